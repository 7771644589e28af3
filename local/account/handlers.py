"""The rights that CloudFormation's resource handlers need of whoever deploys, beyond the calls that our engine makes.

In AWS each resource type lists the IAM actions of its handlers in CloudFormation's registry; cfn-lint brings a copy.
The lists hold everything that any property could need, so what a handler does in any case, or with certain properties,
is said here; a test compares it with the registry.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

# What a handler looks at, waits for, or hands on, whatever the properties.
ALWAYS = {
    "AWS::CloudTrail::Trail": {"cloudtrail:GetTrail", "cloudtrail:GetTrailStatus", "cloudtrail:GetEventSelectors",
                               "cloudtrail:ListTags", "cloudtrail:DescribeTrails"},
    "AWS::CloudWatch::Alarm": {"cloudwatch:DescribeAlarms", "cloudwatch:ListTagsForResource"},
    "AWS::CloudWatch::Dashboard": {"cloudwatch:GetDashboard"},
    "AWS::Events::EventBusPolicy": {"events:DescribeEventBus"},
    "AWS::Events::Rule": {"events:DescribeRule", "events:ListTargetsByRule"},
    "AWS::IAM::ManagedPolicy": {"iam:GetPolicy", "iam:GetPolicyVersion", "iam:ListEntitiesForPolicy",
                                "iam:ListPolicyVersions"},
    "AWS::IAM::Role": {"iam:GetRole", "iam:GetRolePolicy", "iam:ListAttachedRolePolicies", "iam:ListRolePolicies"},
    "AWS::Kinesis::Stream": {"kinesis:DescribeStreamSummary", "kinesis:ListTagsForStream"},
    "AWS::Lambda::EventInvokeConfig": {"lambda:GetFunctionEventInvokeConfig", "lambda:UpdateFunctionEventInvokeConfig"},
    "AWS::Lambda::EventSourceMapping": {"lambda:GetEventSourceMapping", "lambda:ListTags"},
    "AWS::Lambda::Function": {"lambda:GetFunction", "iam:PassRole", "s3:GetObject"},
    "AWS::Lambda::Permission": {"lambda:GetPolicy"},
    "AWS::Logs::LogGroup": {"logs:DescribeLogGroups", "logs:ListTagsForResource"},
    "AWS::S3::Bucket": {"s3:ListBucket"},
    "AWS::S3::BucketPolicy": {"s3:GetBucketPolicy"},
    "AWS::SQS::Queue": {"sqs:GetQueueUrl", "sqs:GetQueueAttributes", "sqs:ListQueueTags"},
    "AWS::StepFunctions::StateMachine": {"states:DescribeStateMachine", "states:ListTagsForResource", "iam:PassRole"},
}  # fmt: skip
# What it does where a property is there.
WITH_PROPERTY = {
    "AWS::Lambda::Function": {
        "VpcConfig": {"ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeVpcs"},
    },
}
# A target or a destination with a role: whoever makes it hands the role on.
_WITH_ROLE = {"AWS::Events::Rule": "Targets"}
# Creating ends with reading: that is how CloudFormation learns a resource's attributes.
_VERBS = {"create": ("create", "read"), "update": ("update", "read"), "delete": ("delete",)}


@cache
def registered(type_name: str, verb: str) -> frozenset[str]:
    """The actions that the registry lists for a type and a handler: create, read, update or delete."""
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", type_name).schema
    listed = schema.get("handlers", {}).get(verb, {}).get("permissions", [])
    return frozenset(action.replace("CloudTrail:", "cloudtrail:") for action in listed)


def needed(type_name: str, verb: str, properties: Mapping[str, Any]) -> list[str]:
    """What the handler `verb` (create, update, delete) of a type asks for, in order."""
    wanted = set(ALWAYS.get(type_name, ()))
    for name, actions in WITH_PROPERTY.get(type_name, {}).items():
        if properties.get(name):
            wanted |= actions
    entries = properties.get(_WITH_ROLE.get(type_name, ""), [])
    if any(entry.get("RoleArn") for entry in entries):
        wanted.add("iam:PassRole")
    listed: Iterable[frozenset[str]] = [registered(type_name, one) for one in _VERBS[verb]] if wanted else []
    return sorted(wanted & frozenset().union(*listed))
