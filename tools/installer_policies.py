"""The policies of policies/ for those who install and uninstall; tools.generate writes and checks them.

These documents share most of their statements. Each action is listed once, by the documents that have it; the tests of
the installers prove, with an IAM gate, that none is missing and none too many.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "policies"
# Which letter stands for which document, below.
DOCUMENTS = {
    "I": "StackStateIntegrationPolicyInstall",
    "C": "StackStateIntegrationPolicyTopoCronInstall",
    "M": "StackStateIntegrationPolicyTopoCronMinimal",  # with a bucket and a role of one's own
    "U": "StackStateIntegrationPolicyUninstall",
    "V": "StackStateIntegrationPolicyTopoCronUninstall",
    "S": "StackStateIntegrationPolicySpread",  # besides one of the others, for those who use --spread
}
OUR_FUNCTIONS = {"ArnLike": {"lambda:FunctionArn": "arn:*:lambda:*:*:function:stackstate-topo-*"}}
TO_OUR_SERVICES = {"StringEquals": {"iam:PassedToService": ["events.amazonaws.com", "lambda.amazonaws.com"]}}
BY_SECRETS = {"StringLike": {"kms:ViaService": "secretsmanager.*"}}


@dataclass(frozen=True)
class Statement:
    """A statement of some of the documents: `actions` by the letters of those that have them."""

    sid: str
    resource: str | list[str]
    actions: Mapping[str, str]
    condition: Mapping[str, Any] | None = None

    def of(self, letter: str) -> dict[str, Any] | None:
        """The statement as one document has it; None if it has none of the actions."""
        names = [name for letters, text in self.actions.items() if letter in letters for name in text.split()]
        if not names:
            return None
        # No Sid: with them the largest document would exceed the 6,144 characters that a managed policy may have.
        found: dict[str, Any] = {"Effect": "Allow", "Action": sorted(names), "Resource": self.resource}
        return found | ({"Condition": self.condition} if self.condition else {})


STATEMENTS = [
    Statement(
        "SpreadSnapshots",
        "arn:*:states:*:*:stateMachine:stackstate-topo-*",
        {
            "S": "states:CreateStateMachine states:ListTagsForResource states:StartExecution states:TagResource "
            "states:UntagResource states:UpdateStateMachine",
            "SUV": "states:DeleteStateMachine states:DescribeStateMachine",
        },
    ),
    Statement(
        "HandRolesToStepFunctions",
        "arn:*:iam::*:role/*stackstate-topo-*",
        {"S": "iam:PassRole"},
        {"StringEquals": {"iam:PassedToService": "states.amazonaws.com"}},
    ),
    Statement(
        "SeeWhatIsThere",
        "*",
        {
            "ICMUV": "cloudformation:DescribeStacks logs:DescribeLogGroups s3:ListAllMyBuckets sts:GetCallerIdentity",
            "ICM": "cloudformation:GetTemplateSummary lambda:GetAccountSettings",
            "I": "cloudtrail:DescribeTrails events:PutPermission",
            "IU": "events:RemovePermission",
            "UV": "events:ListRules iam:ListPolicies iam:ListRoles tag:GetResources",
        },
    ),
    Statement(
        "AskForRights",
        ["arn:*:iam::*:role/*", "arn:*:iam::*:user/*"],
        {
            "ICM": "iam:SimulatePrincipalPolicy",
        },
    ),
    Statement(
        "CheckNetwork",
        "*",
        {
            "ICM": "ec2:DescribeSecurityGroups ec2:DescribeSubnets ec2:DescribeVpcs",
        },
    ),
    Statement(
        "Stacks",
        "arn:*:cloudformation:*:*:stack/stackstate-topo-*/*",
        {
            "ICM": "cloudformation:CreateChangeSet cloudformation:DeleteChangeSet "
            "cloudformation:DescribeChangeSet cloudformation:ExecuteChangeSet "
            "cloudformation:TagResource",
            "ICMUV": "cloudformation:DeleteStack cloudformation:DescribeStackEvents cloudformation:ListStackResources",
        },
    ),
    Statement(
        "UseServerlessTransform",
        "arn:*:cloudformation:*:aws:transform/Serverless-2016-10-31",
        {"ICM": "cloudformation:CreateChangeSet"},
    ),
    Statement(
        "Buckets",
        "arn:*:s3:::stackstate-topo-*",
        {
            "IC": "s3:CreateBucket s3:PutBucketOwnershipControls s3:PutBucketPolicy "
            "s3:PutBucketPublicAccessBlock s3:PutBucketTagging s3:PutEncryptionConfiguration "
            "s3:PutLifecycleConfiguration",
            "ICUV": "s3:DeleteBucket s3:DeleteBucketPolicy s3:GetBucketPolicy s3:GetBucketTagging",
            "ICMUV": "s3:ListBucket",
            "UV": "s3:ListBucketMultipartUploads s3:ListBucketVersions",
        },
    ),
    Statement(
        "Objects",
        "arn:*:s3:::stackstate-topo-*/*",
        {
            "UV": "s3:AbortMultipartUpload s3:DeleteObjectVersion",
            "ICMUV": "s3:DeleteObject",
            "ICM": "s3:GetObject s3:PutObject",
        },
    ),
    Statement(
        "ApiKey",
        "arn:*:secretsmanager:*:*:secret:stackstate-topo-*",
        {
            "ICM": "secretsmanager:CreateSecret secretsmanager:PutSecretValue secretsmanager:RestoreSecret "
            "secretsmanager:TagResource",
            "UV": "secretsmanager:DeleteSecret",
            "ICMUV": "secretsmanager:DescribeSecret",
        },
    ),
    Statement(
        "UseYourKey",
        "arn:*:kms:*:*:key/*",
        {
            "ICM": "kms:Decrypt kms:GenerateDataKey",
        },
        BY_SECRETS,
    ),
    Statement(
        "Functions",
        "arn:*:lambda:*:*:function:stackstate-topo-*",
        {
            "ICM": "lambda:AddPermission lambda:CreateFunction lambda:DeleteFunctionConcurrency "
            "lambda:GetFunctionEventInvokeConfig lambda:GetPolicy lambda:InvokeFunction "
            "lambda:ListTags lambda:PutFunctionEventInvokeConfig lambda:TagResource "
            "lambda:UntagResource lambda:UpdateFunctionCode lambda:UpdateFunctionConfiguration "
            "lambda:UpdateFunctionEventInvokeConfig",
            "ICMUV": "lambda:DeleteFunction lambda:DeleteFunctionEventInvokeConfig lambda:GetFunction "
            "lambda:GetFunctionConfiguration lambda:PutFunctionConcurrency lambda:RemovePermission",
        },
    ),
    Statement(
        "CreateEventSourceMappings",
        "*",
        {
            "I": "lambda:CreateEventSourceMapping",
        },
        OUR_FUNCTIONS,
    ),
    Statement(
        "ChangeEventSourceMappings",
        "arn:*:lambda:*:*:event-source-mapping:*",
        {
            "IU": "lambda:DeleteEventSourceMapping",
            "I": "lambda:UpdateEventSourceMapping",
        },
        OUR_FUNCTIONS,
    ),
    Statement(
        "SeeEventSourceMappings",
        "arn:*:lambda:*:*:event-source-mapping:*",
        {
            "IU": "lambda:GetEventSourceMapping",
            "I": "lambda:ListTags lambda:TagResource lambda:UntagResource",
        },
    ),
    Statement(
        "Roles",
        "arn:*:iam::*:role/*stackstate-topo-*",
        {
            "IC": "iam:AttachRolePolicy iam:CreateRole iam:DeleteRolePermissionsBoundary "
            "iam:GetRolePolicy iam:PutRolePermissionsBoundary iam:PutRolePolicy iam:TagRole "
            "iam:UntagRole iam:UpdateAssumeRolePolicy iam:UpdateRole",
            "ICUV": "iam:DeleteRole iam:DeleteRolePolicy iam:DetachRolePolicy iam:GetRole "
            "iam:ListAttachedRolePolicies iam:ListRolePolicies",
        },
    ),
    Statement(
        "HandRolesOn",
        "arn:*:iam::*:role/*stackstate-topo-*",
        {
            "ICMUV": "iam:PassRole",
        },
        TO_OUR_SERVICES,
    ),
    Statement(
        "ManagedPolicies",
        "arn:*:iam::*:policy/*stackstate-topo-*",
        {
            "IC": "iam:CreatePolicy iam:CreatePolicyVersion iam:GetPolicyVersion",
            "ICUV": "iam:DeletePolicy iam:GetPolicy iam:ListEntitiesForPolicy iam:ListPolicyVersions",
        },
    ),
    Statement(
        "Logs",
        "arn:*:logs:*:*:log-group:/aws/lambda/stackstate-topo-*",
        {
            "ICM": "logs:CreateLogGroup logs:ListTagsForResource logs:PutRetentionPolicy logs:TagResource "
            "logs:UntagResource",
            "ICMUV": "logs:DeleteLogGroup",
        },
    ),
    Statement(
        "Queues",
        "arn:*:sqs:*:*:stackstate-topo-*",
        {
            "I": "sqs:CreateQueue sqs:ListQueueTags sqs:TagQueue sqs:UntagQueue",
            "IU": "sqs:DeleteQueue sqs:GetQueueAttributes sqs:GetQueueUrl sqs:SetQueueAttributes",
        },
    ),
    Statement(
        "Streams",
        "arn:*:kinesis:*:*:stream/stackstate-topo-*",
        {
            "I": "kinesis:AddTagsToStream kinesis:CreateStream kinesis:DecreaseStreamRetentionPeriod "
            "kinesis:IncreaseStreamRetentionPeriod kinesis:ListTagsForStream "
            "kinesis:RemoveTagsFromStream",
            "IU": "kinesis:DeleteStream kinesis:DescribeStreamSummary",
        },
    ),
    Statement(
        "EncryptStreams",
        ["arn:*:kinesis:*:*:stream/stackstate-topo-*", "arn:*:kms:*:*:key/*"],
        {
            "I": "kinesis:StartStreamEncryption",
        },
    ),
    Statement(
        "Rules",
        ["arn:*:events:*:*:event-bus/default", "arn:*:events:*:*:rule/stackstate-topo-*"],
        {
            "IU": "events:DescribeEventBus",
            "ICMUV": "events:DeleteRule events:DescribeRule events:ListTargetsByRule events:RemoveTargets",
            "ICM": "events:PutRule events:PutTargets events:TagResource events:UntagResource",
        },
    ),
    Statement(
        "AlarmsAndDashboards",
        ["arn:*:cloudwatch:*:*:alarm:stackstate-topo-*", "arn:*:cloudwatch::*:dashboard/stackstate-topo-*"],
        {
            "ICMUV": "cloudwatch:DeleteAlarms cloudwatch:DeleteDashboards cloudwatch:GetDashboard",
            "ICM": "cloudwatch:DescribeAlarms cloudwatch:ListTagsForResource "
            "cloudwatch:PutDashboard cloudwatch:PutMetricAlarm cloudwatch:TagResource "
            "cloudwatch:UntagResource",
        },
    ),
    # Other people's trails may bring the events as well.
    Statement(
        "SeeTrails",
        "arn:*:cloudtrail:*:*:trail/*",
        {"I": "cloudtrail:GetEventSelectors cloudtrail:GetTrailStatus"},
    ),
    # All of them: an alarm that is gone has no name to ask for.
    Statement("SeeAlarms", "arn:*:cloudwatch:*:*:alarm:*", {"UV": "cloudwatch:DescribeAlarms"}),
    Statement(
        "Trail",
        "arn:*:cloudtrail:*:*:trail/stackstate-topo-*",
        {
            "I": "cloudtrail:AddTags cloudtrail:CreateTrail cloudtrail:ListTags "
            "cloudtrail:PutEventSelectors cloudtrail:RemoveTags cloudtrail:StartLogging "
            "cloudtrail:UpdateTrail",
            "IU": "cloudtrail:DeleteTrail cloudtrail:GetTrail",
            "U": "cloudtrail:StopLogging",
        },
    ),
]
# For the user of StackState's CloudWatch metrics, who installs nothing.
METRICS = {
    "Sid": "ReadMetrics",
    "Effect": "Allow",
    "Action": ["cloudwatch:GetMetricData", "cloudwatch:ListMetrics"],
    "Resource": "*",
}


def documents() -> dict[Path, str]:
    """The text of each document, by its path."""
    found = {name: [one for s in STATEMENTS if (one := s.of(letter))] for letter, name in DOCUMENTS.items()}
    found["StackStateIntegrationPolicyCloudWatch"] = [METRICS]
    return {
        FOLDER / f"{name}.json": json.dumps({"Version": "2012-10-17", "Statement": statements}, indent=2) + "\n"
        for name, statements in found.items()
    }
