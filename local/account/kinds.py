"""The resource types of stacks, each in terms of the API calls that make, change, tag and remove it."""

from __future__ import annotations

import json

from botocore.exceptions import ClientError

from local.account import steps
from local.account.provision import Kind, MotoKind, Place, Properties, ProvisionError, Step, Tagging, moto_knows

_ARN = "arn:aws:{service}:{{region}}:{{account}}:{rest}"


def _arn(service: str, rest: str) -> str:
    return _ARN.format(service=service, rest=rest)


class PolicyKind(Kind):
    """A policy on queues or topics: an attribute of theirs, with no life of its own."""

    def make(self, place: Place, logical_id: str, properties: Properties) -> tuple[str, Properties]:
        """Set it."""
        self._set(place, properties, json.dumps(properties["PolicyDocument"]))
        return f"{place.stack}-{logical_id}", properties

    def replaces(self, new: Properties, old: Properties) -> bool:
        """If it is about other queues or topics."""
        return bool(new[self.name] != old[self.name])

    def change(self, place: Place, identity: str, new: Properties, old: Properties) -> None:
        """Set the new one."""
        self._set(place, new, json.dumps(new["PolicyDocument"]))

    def remove(self, place: Place, identity: str, properties: Properties) -> None:
        """Take it off those that still exist."""
        try:
            self._set(place, properties, "")
        except ClientError as error:
            if "NonExistent" not in str(error) and "NotFound" not in str(error):
                raise

    def _set(self, place: Place, properties: Properties, policy: str) -> None:
        for target in properties[self.name]:
            if self.service == "sqs":
                given: Properties = {"Attributes": {"Policy": policy}}
            else:
                given = {"AttributeName": "Policy", "AttributeValue": policy}
            place.call(self.service, self.create, given | {self.parameter: target})


_RESOURCE_ARN = Tagging("TagResource", "UntagResource", "ResourceArn")

KINDS: dict[str, Kind] = {
    "AWS::S3::Bucket": Kind(
        "s3", "CreateBucket", "DeleteBucket", "Bucket", name="BucketName", length=63,
        arn="arn:aws:s3:::{id}", update="", prepare=steps.bucket_parameters, steps=steps.BUCKET_STEPS,
        attributes={"DomainName": "{id}.s3.amazonaws.com", "RegionalDomainName": "{id}.s3.{region}.amazonaws.com"},
    ),
    "AWS::S3::BucketPolicy": Kind(
        "s3", "PutBucketPolicy", "DeleteBucketPolicy", "Bucket", name="Bucket", update="PutBucketPolicy",
        renamed={"PolicyDocument": "Policy"},
    ),
    "AWS::SQS::Queue": Kind(
        "sqs", "CreateQueue", "DeleteQueue", "QueueUrl", "QueueUrl", name="QueueName", length=80,
        update="SetQueueAttributes", prepare=steps.queue_parameters, arn=_arn("sqs", "{name}"), fixed=("FifoQueue",),
        attributes={"QueueName": "{name}", "QueueUrl": "{id}"},
        tagging=Tagging("TagQueue", "UntagQueue", "QueueUrl", "{id}", form="map"),
    ),
    "AWS::SQS::QueuePolicy": PolicyKind("sqs", "SetQueueAttributes", "", "QueueUrl", name="Queues"),
    "AWS::SNS::Topic": Kind(
        "sns", "CreateTopic", "DeleteTopic", "TopicArn", "TopicArn", name="TopicName", length=256, arn="{id}",
        renamed={"TopicName": "Name"}, fixed=("FifoTopic",), update="", also=steps.TOPIC_ATTRIBUTES,
        tagging=_RESOURCE_ARN, attributes={"TopicName": "{name}", "TopicArn": "{id}"},
        steps=(Step(("Subscription",), steps.topic_subscriptions),
               Step(steps.TOPIC_ATTRIBUTES, steps.topic_attributes)),
        prepare=lambda place, given: {"TopicName": given.pop("TopicName"), "Attributes": steps.attributes(given)},
    ),
    "AWS::SNS::TopicPolicy": PolicyKind("sns", "SetTopicAttributes", "", "TopicArn", name="Topics"),
    "AWS::SNS::Subscription": Kind(
        "sns", "Subscribe", "Unsubscribe", "SubscriptionArn", "SubscriptionArn", arn="{id}",
        prepare=lambda place, given: {name: given.pop(name) for name in ("TopicArn", "Protocol", "Endpoint")}
        | {"Attributes": steps.attributes(given)},
    ),
    "AWS::Lambda::Function": Kind(
        "lambda", "CreateFunction", "DeleteFunction", "FunctionName", name="FunctionName", also=("Code",),
        update="UpdateFunctionConfiguration", prepare=steps.function_parameters, arn=_arn("lambda", "function:{id}"),
        steps=(Step(("Code", "Architectures"), steps.function_code), steps.RESERVED), fixed=("PackageType",),
        tagging=Tagging("TagResource", "UntagResource", "Resource", form="map"),
    ),
    "AWS::Lambda::EventSourceMapping": Kind(
        "lambda", "CreateEventSourceMapping", "DeleteEventSourceMapping", "UUID", "UUID", attributes={"Id": "{id}"},
        update="UpdateEventSourceMapping", arn=_arn("lambda", "event-source-mapping:{id}"),
        fixed=("EventSourceArn", "StartingPosition", "StartingPositionTimestamp"),
        tagging=Tagging("TagResource", "UntagResource", "Resource", form="map"),
    ),
    "AWS::Lambda::Permission": Kind(
        "lambda", "AddPermission", "RemovePermission", "StatementId", name="StatementId", length=100,
        delete_with=lambda p: {"FunctionName": p["FunctionName"]},
    ),
    "AWS::Lambda::EventInvokeConfig": Kind(
        "lambda", "PutFunctionEventInvokeConfig", "DeleteFunctionEventInvokeConfig", "FunctionName",
        name="FunctionName", update="PutFunctionEventInvokeConfig", fixed=("Qualifier",),
        delete_with=steps.at_qualifier,
    ),
    "AWS::Lambda::Version": Kind(
        "lambda", "PublishVersion", "DeleteFunction", "FunctionName", "FunctionArn", arn="{id}",
        attributes={"FunctionArn": "{id}", "Version": "=GetFunctionConfiguration FunctionName Version"},
    ),
    "AWS::Lambda::Alias": Kind(
        "lambda", "CreateAlias", "DeleteAlias", "AliasArn", "AliasArn", name="Name", update="UpdateAlias", arn="{id}",
        fixed=("FunctionName",), delete_with=lambda p: {"FunctionName": p["FunctionName"], "Name": p["Name"]},
    ),
    "AWS::Kinesis::Stream": Kind(
        "kinesis", "CreateStream", "DeleteStream", "StreamName", name="Name", length=128, update="",
        renamed={"Name": "StreamName"}, arn=_arn("kinesis", "stream/{id}"), also=("ShardCount", "StreamModeDetails"),
        steps=(Step(("RetentionPeriodHours",), steps.retention), Step(("StreamEncryption",), steps.stream_encryption),
               Step(("ShardCount", "StreamModeDetails"), steps.stream_size)),
        tagging=Tagging("AddTagsToStream", "RemoveTagsFromStream", "StreamName", "{id}", form="map"),
    ),
    "AWS::Events::Rule": Kind(
        "events", "PutRule", "DeleteRule", "Name", name="Name", update="PutRule", fixed=("EventBusName",),
        arn=_arn("events", "rule/{id}"), steps=(Step(("Targets",), steps.targets),), before_delete=steps.drop_targets,
        tagging=Tagging("TagResource", "UntagResource", "ResourceARN"),
    ),
    "AWS::Events::EventBusPolicy": Kind(
        "events", "PutPermission", "RemovePermission", "StatementId", name="StatementId", update="PutPermission",
        fixed=("EventBusName",), prepare=steps.bus_policy, delete_with=lambda p: {"EventBusName": p["EventBusName"]},
    ),
    "AWS::Scheduler::Schedule": Kind(
        "scheduler", "CreateSchedule", "DeleteSchedule", "Name", name="Name", update="UpdateSchedule",
        fixed=("GroupName",), arn=_arn("scheduler", "schedule/default/{id}"),
        delete_with=lambda p: {"GroupName": p["GroupName"]} if "GroupName" in p else {},
    ),
    "AWS::IAM::Role": Kind(
        "iam", "CreateRole", "DeleteRole", "RoleName", name="RoleName", update="UpdateRole", fixed=("Path",),
        arn="arn:aws:iam::{account}:role/{id}", attributes={"Arn": "=GetRole RoleName Role.Arn",
                                                            "RoleId": "=GetRole RoleName Role.RoleId"},
        also=("AssumeRolePolicyDocument", "PermissionsBoundary"), before_delete=steps.strip_role,
        steps=(Step(("AssumeRolePolicyDocument",), steps.trust), Step(("PermissionsBoundary",), steps.boundary),
               Step(("Policies",), steps.inline), Step(("ManagedPolicyArns",), steps.attach)),
        tagging=Tagging("TagRole", "UntagRole", "RoleName", "{id}"),
    ),
    "AWS::IAM::ManagedPolicy": Kind(
        "iam", "CreatePolicy", "DeletePolicy", "PolicyArn", "Policy.Arn", name="ManagedPolicyName", length=128,
        renamed={"ManagedPolicyName": "PolicyName"}, arn="{id}", attributes={"PolicyArn": "{id}"}, update="",
        also=("PolicyDocument",), fixed=("Path", "Description"),
        steps=(Step(("PolicyDocument",), steps.policy_version),),
    ),
    "AWS::Logs::LogGroup": Kind(
        "logs", "CreateLogGroup", "DeleteLogGroup", "logGroupName", name="LogGroupName", length=512, update="",
        arn=_arn("logs", "log-group:{id}:*"),
        steps=(steps.put("logs", "PutRetentionPolicy", "logGroupName", "RetentionInDays",
                         off="DeleteRetentionPolicy"),),
        tagging=Tagging("TagLogGroup", "UntagLogGroup", "logGroupName", "{id}", "tags", "map", "tags"),
    ),
    "AWS::CloudWatch::Alarm": Kind(
        "cloudwatch", "PutMetricAlarm", "DeleteAlarms", "AlarmNames", name="AlarmName", length=255,
        arn=_arn("cloudwatch", "alarm:{id}"), update="PutMetricAlarm",
        tagging=Tagging("TagResource", "UntagResource", "ResourceARN"),
    ),
    "AWS::CloudWatch::Dashboard": Kind(
        "cloudwatch", "PutDashboard", "DeleteDashboards", "DashboardNames", name="DashboardName", length=255,
        update="PutDashboard",
    ),
    "AWS::SecretsManager::Secret": Kind(
        "secretsmanager", "CreateSecret", "DeleteSecret", "SecretId", "ARN", name="Name", length=255, arn="{id}",
        attributes={"Id": "{id}"}, update="UpdateSecret", prepare=steps.secret_parameters, tagging=Tagging(
            "TagResource", "UntagResource", "SecretId"),
        delete_with=lambda p: {"ForceDeleteWithoutRecovery": True},
    ),
    "AWS::CloudTrail::Trail": Kind(
        "cloudtrail", "CreateTrail", "DeleteTrail", "Name", name="TrailName", length=128, update="UpdateTrail",
        renamed={"TrailName": "Name"},
        arn=_arn("cloudtrail", "trail/{id}"),
        steps=(Step(("EventSelectors",), steps.selectors), Step(("IsLogging",), steps.logging)),
        tagging=Tagging("AddTags", "RemoveTags", "ResourceId", "{arn}", "TagsList", "list", "TagsList"),
    ),
    "AWS::KMS::Key": Kind(
        "kms", "CreateKey", "ScheduleKeyDeletion", "KeyId", "KeyMetadata.KeyId", arn=_arn("kms", "key/{id}"),
        update="", renamed={"KeyPolicy": "Policy"}, also=("KeyPolicy",), attributes={"KeyId": "{id}"},
        steps=(Step(("EnableKeyRotation",), steps.rotation), Step(("KeyPolicy",), steps.key_policy)),
        tagging=Tagging("TagResource", "UntagResource", "KeyId", "{id}", form="kms"),
        delete_with=lambda p: {"PendingWindowInDays": p.get("PendingWindowInDays", 30)},
    ),
    "AWS::KMS::Alias": Kind(
        "kms", "CreateAlias", "DeleteAlias", "AliasName", name="AliasName", update="UpdateAlias"
    ),
    "AWS::DynamoDB::Table": Kind(
        "dynamodb", "CreateTable", "DeleteTable", "TableName", name="TableName", length=255, update="UpdateTable",
        fixed=("KeySchema",), arn=_arn("dynamodb", "table/{id}"), prepare=steps.table_parameters, tagging=_RESOURCE_ARN,
        attributes={"StreamArn": "=DescribeTable TableName Table.LatestStreamArn"},
    ),
    "AWS::StepFunctions::StateMachine": Kind(
        "stepfunctions", "CreateStateMachine", "DeleteStateMachine", "stateMachineArn", "stateMachineArn",
        name="StateMachineName", length=80, arn="{id}", attributes={"Name": "{name}"}, update="UpdateStateMachine",
        renamed={"StateMachineName": "name", "StateMachineType": "type"}, fixed=("StateMachineType",),
        prepare=steps.state_machine_parameters, tagging=Tagging("TagResource", "UntagResource", "resourceArn", "{id}"),
    ),
    "AWS::SSM::Parameter": Kind(
        "ssm", "PutParameter", "DeleteParameter", "Name", name="Name", length=255, update="PutParameter",
        attributes={"Value": "=GetParameter Name Parameter.Value"},
    ),
}  # fmt: skip

_MOTO_KINDS: dict[str, MotoKind] = {}


def kind_of(type_name: str) -> Kind | MotoKind:
    """How resources of a type are handled.

    Raises:
        ProvisionError: nobody here knows the type.
    """
    if type_name in KINDS:
        return KINDS[type_name]
    if type_name in _MOTO_KINDS or moto_knows(type_name):
        return _MOTO_KINDS.setdefault(type_name, MotoKind(type_name))
    raise ProvisionError(f"Template format error: Unrecognized resource types: [{type_name}]")
