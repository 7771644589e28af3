"""Properties that AWS takes in calls of their own, and parameters that are written otherwise than in a template."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

from moto.iam.models import AWSManagedPolicy, iam_backends

from local.account.provision import Place, Properties, Step


def put(service: str, operation: str, parameter: str, *properties: str, off: str = "") -> Step:
    """A step that hands properties to a call of their own, and calls `off` when they have left the template."""

    def run(place: Place, identity: str, new: Properties, old: Properties) -> None:
        given = {name: new[name] for name in properties if name in new}
        if given or not off:
            place.call(service, operation, given | {parameter: identity})
        else:
            place.call(service, off, {parameter: identity})

    return Step(properties, run)


# -- S3


def bucket_parameters(place: Place, properties: Properties) -> Properties:
    """How a bucket is created in its region."""
    wanted = {"Bucket": properties["BucketName"].lower(), "ObjectOwnership": "BucketOwnerEnforced"}
    if place.region != "us-east-1":
        wanted["CreateBucketConfiguration"] = {"LocationConstraint": place.region}
    return wanted


def _bucket_setting(prop: str, operation: str, parameter: str, off: str, **renamed: str) -> Step:
    """A setting of a bucket; `renamed` gives the names that the API has for members of the property."""

    def run(place: Place, identity: str, new: Properties, old: Properties) -> None:
        if prop in new:
            place.call("s3", operation, {"Bucket": identity, parameter: _renamed(new[prop], renamed)})
        elif off:
            place.call("s3", off, {"Bucket": identity})

    return Step((prop,), run)


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [_renamed(entry, names) for entry in value]
    if isinstance(value, dict):
        return {names.get(name, name): _renamed(entry, names) for name, entry in value.items()}
    return value


def _lifecycle(place: Place, identity: str, new: Properties, old: Properties) -> None:
    if "LifecycleConfiguration" not in new:
        place.call("s3", "DeleteBucketLifecycle", {"Bucket": identity})
        return
    rules: list[Properties] = []
    for given in new["LifecycleConfiguration"]["Rules"]:
        rule = {"Filter": {"Prefix": given.get("Prefix", "")}} | given
        rule["ID"] = rule.pop("Id", f"rule-{len(rules)}")
        rule.pop("Prefix", None)
        if "ExpirationInDays" in rule:
            rule["Expiration"] = {"Days": rule.pop("ExpirationInDays")}
        if "NoncurrentVersionExpirationInDays" in rule:
            rule["NoncurrentVersionExpiration"] = {"NoncurrentDays": rule.pop("NoncurrentVersionExpirationInDays")}
        rules.append(rule)
    configuration = {"LifecycleConfiguration": {"Rules": rules}}
    place.call("s3", "PutBucketLifecycleConfiguration", {"Bucket": identity} | configuration)


def _bucket_tags(place: Place, identity: str, new: Properties, old: Properties) -> None:
    if new.get("Tags"):
        place.call("s3", "PutBucketTagging", {"Bucket": identity, "Tagging": {"TagSet": new["Tags"]}})
    else:
        place.call("s3", "DeleteBucketTagging", {"Bucket": identity})


BUCKET_STEPS = (
    _bucket_setting("VersioningConfiguration", "PutBucketVersioning", "VersioningConfiguration", ""),
    _bucket_setting("PublicAccessBlockConfiguration", "PutPublicAccessBlock", "PublicAccessBlockConfiguration",
                    "DeletePublicAccessBlock"),
    _bucket_setting("OwnershipControls", "PutBucketOwnershipControls", "OwnershipControls", ""),
    _bucket_setting("BucketEncryption", "PutBucketEncryption", "ServerSideEncryptionConfiguration",
                    "DeleteBucketEncryption", ServerSideEncryptionConfiguration="Rules",
                    ServerSideEncryptionByDefault="ApplyServerSideEncryptionByDefault"),
    _bucket_setting("NotificationConfiguration", "PutBucketNotificationConfiguration", "NotificationConfiguration", "",
                    LambdaConfigurations="LambdaFunctionConfigurations", Function="LambdaFunctionArn", Event="Events",
                    Queue="QueueArn", Topic="TopicArn"),
    Step(("LifecycleConfiguration",), _lifecycle),
    Step(("Tags",), _bucket_tags),
)  # fmt: skip


# -- SQS and SNS


def queue_parameters(place: Place, properties: Properties) -> Properties:
    """Everything but a queue's name is an attribute."""
    settings = {name: value for name, value in properties.items() if name != "QueueName"}
    return {"QueueName": properties["QueueName"], "Attributes": attributes(settings)}


def attributes(properties: Properties) -> dict[str, str]:
    """Properties as the attributes of SQS and SNS, which are text."""
    return {
        name: json.dumps(value) if isinstance(value, dict | list | bool) else str(value)
        for name, value in properties.items()
    }


def topic_subscriptions(place: Place, identity: str, new: Properties, old: Properties) -> None:
    """Subscribe what the template lists with the topic."""
    for subscription in new.get("Subscription", []):
        place.call("sns", "Subscribe", {"TopicArn": identity} | subscription)


TOPIC_ATTRIBUTES = ("DisplayName", "KmsMasterKeyId", "TracingConfig", "SignatureVersion")


def topic_attributes(place: Place, identity: str, new: Properties, old: Properties) -> None:
    """Set changed attributes, each in a call of its own."""
    for name in TOPIC_ATTRIBUTES if old else ():
        if new.get(name) != old.get(name):
            given = {"TopicArn": identity, "AttributeName": name, "AttributeValue": new.get(name, "")}
            place.call("sns", "SetTopicAttributes", given)


# -- Lambda


def function_parameters(place: Place, properties: Properties) -> Properties:
    """A new function, with its code."""
    return {"Publish": False} | properties | {"Code": _code(properties["Code"])}


def _code(code: Properties) -> Properties:
    if "ZipFile" not in code:
        return code
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as written:
        written.writestr("index.py", code["ZipFile"])
    return {"ZipFile": archive.getvalue()}


def function_code(place: Place, identity: str, new: Properties, old: Properties) -> None:
    """New code for a function that exists."""
    if old:
        given = {"FunctionName": identity, "Architectures": new.get("Architectures", ["x86_64"])}
        place.call("lambda", "UpdateFunctionCode", given | _code(new["Code"]))


RESERVED = put("lambda", "PutFunctionConcurrency", "FunctionName", "ReservedConcurrentExecutions",
                off="DeleteFunctionConcurrency")  # fmt: skip


def at_qualifier(properties: Properties) -> Properties:
    """What a deletion has to say beside the name."""
    return {"Qualifier": properties.get("Qualifier", "$LATEST")}


# -- Kinesis


def retention(place: Place, identity: str, new: Properties, old: Properties) -> None:
    """Lengthen or shorten how long records are kept."""
    hours, before = (int(p.get("RetentionPeriodHours", 24)) for p in (new, old))
    if hours != before:
        verb = "Increase" if hours > before else "Decrease"
        given = {"StreamName": identity, "RetentionPeriodHours": hours}
        place.call("kinesis", f"{verb}StreamRetentionPeriod", given)


def stream_encryption(place: Place, identity: str, new: Properties, old: Properties) -> None:
    """Switch encryption on or off."""
    verb = "Start" if "StreamEncryption" in new else "Stop"
    settings = new.get("StreamEncryption") or old["StreamEncryption"]
    place.call("kinesis", f"{verb}StreamEncryption", {"StreamName": identity} | settings)


def stream_size(place: Place, identity: str, new: Properties, old: Properties) -> None:
    """Change the mode or the number of shards of a stream that exists."""
    if not old:
        return
    if new.get("StreamModeDetails") != old.get("StreamModeDetails"):
        arn = f"arn:aws:kinesis:{place.region}:{place.account}:stream/{identity}"
        mode = new.get("StreamModeDetails", {"StreamMode": "PROVISIONED"})
        place.call("kinesis", "UpdateStreamMode", {"StreamARN": arn, "StreamModeDetails": mode})
    elif "ShardCount" in new:
        given = {"StreamName": identity, "TargetShardCount": new["ShardCount"], "ScalingType": "UNIFORM_SCALING"}
        place.call("kinesis", "UpdateShardCount", given)


# -- EventBridge


def targets(place: Place, identity: str, new: Properties, old: Properties) -> None:
    """Put the targets of a rule, and take away those that left."""
    bus = {"Rule": identity} | ({"EventBusName": new["EventBusName"]} if "EventBusName" in new else {})
    kept = [target["Id"] for target in new.get("Targets", [])]
    if gone := [target["Id"] for target in old.get("Targets", []) if target["Id"] not in kept]:
        place.call("events", "RemoveTargets", bus | {"Ids": gone})
    if kept:
        place.call("events", "PutTargets", bus | {"Targets": new["Targets"]})


def bus_policy(place: Place, properties: Properties) -> Properties:
    """A policy of the one statement. moto adds it to those of the bus, as CloudFormation does; AWS's call replaces."""
    statement = properties["Statement"] | {"Sid": properties["StatementId"]}
    document = {"Version": "2012-10-17", "Statement": [statement]}
    return {"EventBusName": properties["EventBusName"], "Policy": json.dumps(document)}


def drop_targets(place: Place, identity: str, properties: Properties) -> None:
    """Take away all targets: a rule with targets cannot be deleted."""
    if ids := [target["Id"] for target in properties.get("Targets", [])]:
        place.call("events", "RemoveTargets", {"Rule": identity, "Ids": ids})


# -- IAM


def attach(place: Place, identity: str, new: Properties, old: Properties) -> None:
    """Attach managed policies to a role, and detach those that left."""
    wanted, had = (set(p.get("ManagedPolicyArns", [])) for p in (new, old))
    for arn in sorted(had - wanted):
        place.call("iam", "DetachRolePolicy", {"RoleName": identity, "PolicyArn": arn})
    for arn in sorted(wanted - had):
        _ensure_aws_policy(place, arn)
        place.call("iam", "AttachRolePolicy", {"RoleName": identity, "PolicyArn": arn})


def _ensure_aws_policy(place: Place, arn: str) -> None:
    # AWS's managed policies are not in moto's account unless loaded, which takes seconds; a name is all that is needed.
    if arn.startswith("arn:aws:iam::aws:policy/"):
        policies = iam_backends[place.account]["aws"].managed_policies
        document = {"CreateDate": "2015-04-09T15:03:43+00:00", "UpdateDate": "2015-04-09T15:03:43+00:00"}
        path, _, name = arn.removeprefix("arn:aws:iam::aws:policy").rpartition("/")
        details: Properties = document | {"Arn": arn, "DefaultVersionId": "v1", "Path": f"{path}/"}
        details |= {"Document": {"Version": "2012-10-17", "Statement": []}}
        policies.setdefault(arn, AWSManagedPolicy.from_data(name, place.account, "us-east-1", details))


def inline(place: Place, identity: str, new: Properties, old: Properties) -> None:
    """Put a role's inline policies, and delete those that left."""
    wanted, had = ({p["PolicyName"]: p["PolicyDocument"] for p in props.get("Policies", [])} for props in (new, old))
    for name in sorted(had.keys() - wanted.keys()):
        place.call("iam", "DeleteRolePolicy", {"RoleName": identity, "PolicyName": name})
    for name, document in wanted.items():
        if had.get(name) != document:
            # SAM writes policies without a version, which AWS takes for 2008-10-17; moto knows 2012-10-17 only.
            dated = {"Version": "2012-10-17"} | document
            given = {"RoleName": identity, "PolicyName": name, "PolicyDocument": dated}
            place.call("iam", "PutRolePolicy", given)


def trust(place: Place, identity: str, new: Properties, old: Properties) -> None:
    """Who may assume a role that exists."""
    if old:
        given = {"RoleName": identity, "PolicyDocument": new["AssumeRolePolicyDocument"]}
        place.call("iam", "UpdateAssumeRolePolicy", given)


def boundary(place: Place, identity: str, new: Properties, old: Properties) -> None:
    """The permissions boundary of a role that exists."""
    if old and "PermissionsBoundary" in new:
        given = {"RoleName": identity, "PermissionsBoundary": new["PermissionsBoundary"]}
        place.call("iam", "PutRolePermissionsBoundary", given)
    elif old:
        place.call("iam", "DeleteRolePermissionsBoundary", {"RoleName": identity})


def strip_role(place: Place, identity: str, properties: Properties) -> None:
    """Take all policies off a role: one that has any cannot be deleted."""
    attach(place, identity, {}, properties)
    inline(place, identity, {}, properties)


def policy_version(place: Place, identity: str, new: Properties, old: Properties) -> None:
    """The new default version of a managed policy that exists."""
    if old:
        given = {"PolicyArn": identity, "PolicyDocument": new["PolicyDocument"], "SetAsDefault": True}
        place.call("iam", "CreatePolicyVersion", given)


# -- the others


def secret_parameters(place: Place, properties: Properties) -> Properties:
    """A secret, with a value made up where the template asks for that."""
    generate = properties.pop("GenerateSecretString", None)
    if generate is not None:
        template = json.loads(generate.get("SecretStringTemplate", "{}"))
        password = place.call("secretsmanager", "GetRandomPassword", generate)["RandomPassword"]
        key = generate.get("GenerateStringKey")
        properties["SecretString"] = json.dumps(template | {key: password}) if key else password
    return properties


def state_machine_parameters(place: Place, properties: Properties) -> Properties:
    """A state machine, with the values in its definition that the template gives beside it."""
    as_object = properties.pop("Definition", None)
    definition = properties.pop("DefinitionString", None) or json.dumps(as_object)
    for name, value in properties.pop("DefinitionSubstitutions", {}).items():
        definition = definition.replace(f"${{{name}}}", value if isinstance(value, str) else json.dumps(value))
    return properties | {"definition": definition}


def logging(place: Place, identity: str, new: Properties, old: Properties) -> None:
    """Switch a trail on or off."""
    verb = "Start" if str(new.get("IsLogging", True)).lower() == "true" else "Stop"
    place.call("cloudtrail", f"{verb}Logging", {"Name": identity})


def selectors(place: Place, identity: str, new: Properties, old: Properties) -> None:
    """What a trail records."""
    if "EventSelectors" in new:
        given = {"TrailName": identity, "EventSelectors": new["EventSelectors"]}
        place.call("cloudtrail", "PutEventSelectors", given)


def rotation(place: Place, identity: str, new: Properties, old: Properties) -> None:
    """Switch the rotation of a key on or off."""
    verb = "Enable" if str(new.get("EnableKeyRotation", False)).lower() == "true" else "Disable"
    place.call("kms", f"{verb}KeyRotation", {"KeyId": identity})


def key_policy(place: Place, identity: str, new: Properties, old: Properties) -> None:
    """The policy of a key that exists."""
    if old:
        given = {"KeyId": identity, "PolicyName": "default", "Policy": new["KeyPolicy"]}
        place.call("kms", "PutKeyPolicy", given)


def table_parameters(place: Place, properties: Properties) -> Properties:
    """A table; a stream specification means that the stream is on."""
    stream = properties.get("StreamSpecification")
    if stream is not None:
        properties["StreamSpecification"] = {"StreamEnabled": True} | stream
    return properties
