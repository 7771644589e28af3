"""CloudTrail: every call that changes something, or was refused, as the event that AWS makes of it.

The shapes follow from botocore's models and a few rules of casing; what no rule covers stands in the tables below.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import xmltodict  # type: ignore[import-untyped]
from moto.core.model import Shape
from moto.ec2.models import ec2_backends

from local.account.service_calls import ServiceCalls
from local.account.wire import Answer, Call

_READING = re.compile(
    "Get|List|Describe|Head|BatchGet|Lookup|Search|Query|Scan|Select|Filter|Check|Test|Validate|Simulate|Generate"
    "|Estimate|Preview|AssumeRole|Encrypt|Decrypt|ReEncrypt|Sign$|Verify|Receive|Poll|Discover|Admin.*Get"
)
# Data events: CloudTrail has them in trails that ask for them, never on the event bus.
_DATA = {
    "s3": re.compile(".*(Object|Objects|ObjectAcl|ObjectTagging|ObjectRetention|ObjectLegalHold|MultipartUpload)$"
                     "|UploadPart|CreateSession"),
    "lambda": re.compile("Invoke"),
    "dynamodb": re.compile("PutItem|UpdateItem|DeleteItem|BatchWrite|Execute|Transact"),
    "sqs": re.compile("SendMessage|DeleteMessage|ChangeMessageVisibility"),
    "sns": re.compile("Publish"),
    "kinesis": re.compile("PutRecord|SubscribeToShard"),
    "firehose": re.compile("PutRecord"),
    "events": re.compile("PutEvents"),
    "logs": re.compile("PutLogEvents"),
    "cloudwatch": re.compile("PutMetricData"),
}  # fmt: skip
_GLOBAL = {"cloudfront", "iam", "route53", "route53domains", "organizations"}
_WITH_API_VERSION = {"elb", "elbv2", "dynamodb", "route53"}
_S3_NAMES = {
    "PutBucketNotificationConfiguration": "PutBucketNotification",
    "PutBucketLifecycleConfiguration": "PutBucketLifecycle",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    "DeletePublicAccessBlock": "DeleteBucketPublicAccessBlock",
}
_LAMBDA_V2 = {"UpdateFunctionConfiguration", "UpdateFunctionCode", "AddPermission", "RemovePermission", "TagResource",
              "UntagResource"}  # fmt: skip
# EC2 operations that came after 2014: wrapped, in their original case.
_EC2_NEWER = re.compile(
    "AssociateIamInstanceProfile|DisassociateIamInstanceProfile|ReplaceIamInstanceProfileAssociation"
    "|ModifySecurityGroupRules|UpdateSecurityGroupRuleDescriptions|ModifyInstanceMetadata|ModifyInstancePlacement"
    "|ModifyInstanceMaintenance|ModifyInstanceCapacity|ModifyInstanceCpu|ModifyInstanceNetwork|ModifyPrivateDnsName"
    "|CreateReplaceRootVolumeTask|CreateDefault|ModifyVpcTenancy|.*(SubnetCidrBlock|VpcCidrBlock|LaunchTemplate|NatGateway"
    "|VpcEndpoint|VpcPeering|FlowLogs|TransitGateway|ClientVpn|EgressOnly|Fleet|Ipam|ManagedPrefixList|VerifiedAccess)"
)
# Lists of EC2's older requests that are not named after their members: key of the list, key of an id in it.
_EC2_LISTS = {
    "InstanceIds": ("instancesSet", "instanceId"),
    "SecurityGroupIds": ("groupSet", "groupId"),
    "Groups": ("groupSet", "groupId"),
    "SecurityGroups": ("groupSet", "groupName"),
    "Resources": ("resourcesSet", "resourceId"),
    "Tags": ("tagSet", "value"),
    "TagSpecifications": ("tagSpecificationSet", ""),
    "IpPermissions": ("ipPermissions", ""),
    "UserIdGroupPairs": ("groups", ""),
    "IpRanges": ("ipRanges", ""),
    "Ipv6Ranges": ("ipv6Ranges", ""),
    "PrefixListIds": ("prefixListIds", ""),
    "BlockDeviceMappings": ("blockDeviceMapping", ""),
    "SecurityGroupRuleIds": ("securityGroupRuleIds", "securityGroupRuleId"),
}
# The one member of an answer that CloudTrail leaves out of the path.
_UNWRAPPED = {"rds": re.compile("DB[A-Z]|EventSubscription|OptionGroup"), "redshift": re.compile("Cluster|Snapshot")}
_HIDDEN = "HIDDEN_DUE_TO_SECURITY_REASONS"
# Members whose values never get into a record, by their name in lower case, and what stands there instead.
_MASKED: Mapping[tuple[str, str], Any] = {
    ("lambda", "environment"): {},
    ("ecs", "environment"): _HIDDEN,
    ("ecs", "command"): _HIDDEN,
    ("ec2", "userdata"): "<sensitiveDataRemoved>",
    ("autoscaling", "userdata"): "<sensitiveDataRemoved>",
    ("stepfunctions", "definition"): _HIDDEN,
    ("apigateway", "variables"): "***",
    ("rds", "masteruserpassword"): "****",
    ("redshift", "masteruserpassword"): "****",
    ("secretsmanager", "secretstring"): _HIDDEN,
    ("ssm", "value"): _HIDDEN,
}
_LEFT_OUT = {("cloudformation", "templatebody"), ("cloudformation", "parameters")}
_OMITTED: Any = object()


def is_recorded(call: Call) -> bool:
    """Whether a call is a management event that is not read-only: the kind that reaches the event bus."""
    if _READING.match(call.operation) or call.service == "sts":
        return False
    data = _DATA.get(call.service)
    return data is None or not data.match(call.operation)


class CloudTrail:
    """The record of all calls, put onto the event bus of their account and region."""

    def __init__(self, put_event: Callable[[Mapping[str, Any]], None]) -> None:
        self._put_event = put_event
        self._instances: dict[tuple[str, str], dict[str, str]] = {}
        self._service_calls = ServiceCalls(put_event)

    def record(self, call: Call, answer: Answer) -> None:
        """Put the event of a call, and those that its effects cause, onto the bus. Faults of moto are not recorded."""
        if answer.status < 500 and is_recorded(call):
            self._put_event(self.event(call, answer))
            if call.service in {"ec2", "autoscaling", "cloudformation"}:
                self._notify_of_instances(call.account, call.region)
            self._service_calls.after(call)

    def event(self, call: Call, answer: Answer) -> dict[str, Any]:
        """The event of one call."""
        source = call.model.service_model.endpoint_prefix.replace("s3-control", "s3")
        region = "us-east-1" if call.service in _GLOBAL else call.region
        time = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        result = call.result(answer)
        requested, answered = request_parameters(call), None if not answer.ok else response_elements(call, result)
        detail: dict[str, Any] = {
            "eventVersion": "1.11",
            "userIdentity": self._identity(call),
            "eventTime": time,
            "eventSource": f"{source}.amazonaws.com",
            "eventName": event_name(call),
            "awsRegion": region,
            "sourceIPAddress": call.invoked_by or call.request.remote_addr,
            "userAgent": call.invoked_by or call.request.headers.get("User-Agent", ""),
        }
        if not answer.ok:
            error = result.get("Error", {})
            code = error.get("Code") or "Unknown"
            detail["errorCode"] = f"Client.{code}" if call.service == "ec2" else code
            detail["errorMessage"] = error.get("Message", "")
            if call.service == "cloudformation" or ("Denied" in code and call.service in {"kinesis", "sns", "lambda"}):
                requested = None
        detail |= {"requestParameters": requested, "responseElements": answered, "requestID": str(uuid.uuid4())}
        detail |= {"eventID": str(uuid.uuid4()), "readOnly": False, "eventType": "AwsApiCall", "managementEvent": True}
        detail |= {"recipientAccountId": call.account, "eventCategory": "Management"}
        if call.service in _WITH_API_VERSION:
            detail["apiVersion"] = call.model.service_model.api_version
        kind = "AWS API Call via CloudTrail"
        envelope = {"source": f"aws.{source}", "detail-type": kind, "time": time}
        return envelope | {"account": call.account, "region": region, "detail": detail}

    def _identity(self, call: Call) -> dict[str, Any]:
        user = {"type": "IAMUser", "principalId": "AIDAEXAMPLELOCALUSER", "userName": "local"}
        user |= {"arn": f"arn:aws:iam::{call.account}:user/local", "accountId": call.account}
        user |= {"accessKeyId": call.access_key}
        return user | ({"invokedBy": call.invoked_by} if call.invoked_by else {})

    def _notify_of_instances(self, account: str, region: str) -> None:
        """EC2's own events for instances whose state is another one than after the last call, whoever changed it."""
        instances = list(ec2_backends[account][region].all_instances())
        now = {instance.id: str(instance._state.name) for instance in instances}
        before, self._instances[account, region] = self._instances.get((account, region), {}), now
        passing = {"running": "pending", "stopped": "stopping", "terminated": "shutting-down"}
        for identity, state in now.items():
            if before.get(identity) == state or (identity not in before and state == "terminated"):
                continue
            arn = f"arn:aws:ec2:{region}:{account}:instance/{identity}"
            for passed in (passing.get(state), state):
                event = {"source": "aws.ec2", "detail-type": "EC2 Instance State-change Notification"}
                detail = {"instance-id": identity, "state": passed}
                if passed:
                    place = {"account": account, "region": region, "resources": [arn]}
                    self._put_event(event | place | {"detail": detail})


def event_name(call: Call) -> str:
    """The event's name: the operation's, dated for Lambda, short for S3."""
    dated = re.match(r"/(\d{4})-(\d\d)-(\d\d)/", call.model.http.get("requestUri", "/"))
    if call.service == "lambda" and dated and dated.group(1) < "2019":
        return call.operation + "".join(dated.groups()) + ("v2" if call.operation in _LAMBDA_V2 else "")
    return _S3_NAMES.get(call.operation, call.operation) if call.service == "s3" else call.operation


def request_parameters(call: Call) -> Any:
    """What the record says was asked for."""
    if call.service == "s3":
        return _s3_request(call)
    shape, given = call.model.input_shape, call.parameters
    if shape is None or not given:
        return None
    if call.service == "ec2":
        if _EC2_NEWER.match(call.operation):
            return {f"{call.operation}Request": _newer_ec2(shape, given, keep_case=True)}
        return _older_ec2_request(call.operation, shape, given)
    cased = _cased(call.service, shape, given)
    if call.service == "apigateway":
        return _api_gateway_request(call, cased)
    return cased


def response_elements(call: Call, result: Mapping[str, Any]) -> Any:
    """What the record says was answered; null when there is nothing in it."""
    if call.service == "s3":
        return None
    shape = call.model.output_shape
    if call.service == "ec2":
        request_id = {"requestId": str(uuid.uuid4())}
        if _EC2_NEWER.match(call.operation):
            space = {"xmlns": "http://ec2.amazonaws.com/doc/2016-11-15/"}
            inner = _newer_ec2(shape, result, keep_case=False) if shape else {}
            return {f"{call.operation}Response": space | request_id | inner}
        return request_id | ((_older_ec2_response(shape, result) if shape else {}) or {"_return": True})
    if shape is None or not result:
        return None
    result = {n: v for n, v in result.items() if shape.members[n].serialization.get("location") != "statusCode"}
    unwrapped = _UNWRAPPED.get(call.service)
    if unwrapped and len(result) == 1 and unwrapped.match(name := next(iter(result))):
        shape, result = shape.members[name], result[name]
    return _cased(call.service, shape, result) or None


def _lower(name: str) -> str:
    return name[:1].lower() + name[1:]


def _cased(service: str, shape: Shape, value: Any) -> Any:
    """`value` with the first letter of every member lowered, and nothing in it that must stay secret."""
    if shape.metadata.get("sensitive"):
        return _HIDDEN
    if shape.type_name == "structure":
        cased = {}
        for name, member in shape.members.items():
            key = (service, name.lower())
            if value.get(name) is not None and key not in _LEFT_OUT:
                cased[_lower(name)] = _MASKED[key] if key in _MASKED else _cased(service, member, value[name])
        return {name: entry for name, entry in cased.items() if entry is not _OMITTED}
    if shape.type_name == "list":
        return [_cased(service, shape.member, entry) for entry in value]
    if shape.type_name == "map":
        return {key: _cased(service, shape.value, entry) for key, entry in value.items()}
    return _scalar(shape, value)


def _scalar(shape: Shape, value: Any) -> Any:
    if shape.type_name == "blob" or hasattr(value, "read"):
        return _OMITTED
    if isinstance(value, datetime):
        return value.strftime("%b %-d, %Y, %-I:%M:%S %p")
    return value


def _api_gateway_request(call: Call, cased: dict[str, Any]) -> dict[str, Any]:
    """Path members stay outside, the body goes into <operation>Input."""
    in_path = {_lower(name): value for name, value in call.path_parameters.items()}
    names = {
        _lower(name)
        for name, member in call.model.input_shape.members.items()
        if member.serialization.get("location") in {"uri", "querystring"}
    }
    outside = {name: value for name, value in cased.items() if name in names} or in_path
    inside = {name: value for name, value in cased.items() if name not in names}
    return outside | ({f"{_lower(call.operation)}Input": inside} if inside else {}) | {"template": False}


def _s3_request(call: Call) -> dict[str, Any]:
    """S3 records the request as it came: the XML of its body, the subresource, its headers."""
    request = call.request
    wanted: dict[str, Any] = {"bucketName": call.path_parameters.get("Bucket"), "Host": request.host}
    wanted |= {name: "" for name in request.args if not request.args[name]}
    wanted |= {name.lower(): value for name, value in request.headers if name.lower() == "x-amz-acl"}
    body = request.get_data()
    if body.lstrip().startswith(b"<"):
        wanted |= _without_marks(xmltodict.parse(body))
    return wanted


def _without_marks(node: Any) -> Any:
    if isinstance(node, dict):
        return {name.lstrip("@"): _without_marks(value) for name, value in node.items()}
    return [_without_marks(entry) for entry in node] if isinstance(node, list) else node


# -- EC2


def _older_ec2_request(operation: str, shape: Shape, given: Mapping[str, Any]) -> dict[str, Any]:
    if operation == "RunInstances":
        launched = {n: given[n] for n in ("ImageId", "MinCount", "MaxCount", "KeyName") if n in given}
        rest = {name: value for name, value in given.items() if name not in launched}
        item = {_lower(name): value for name, value in launched.items()}
        return {"instancesSet": {"items": [item]}} | _older_ec2_request("", shape, rest)
    found = {}
    for name, value in given.items():
        member = shape.members[name]
        if member.type_name == "list":
            single = member.serialization.get("name") or member.member.serialization.get("name") or name
            key, id_key = _EC2_LISTS.get(name, (f"{_lower(single)}Set", _lower(single)))
            items = [_older_item(member.member, entry, id_key) for entry in value]
            found[key] = {"items": items} if items else {}
        else:
            found[_lower(name)] = _MASKED.get(("ec2", name.lower())) or _older_item(member, value, "")
    return found


def _older_item(shape: Shape, value: Any, id_key: str) -> Any:
    if shape.type_name != "structure":
        scalar = _scalar(shape, value)
        return {id_key: scalar} if id_key else scalar
    found = _older_ec2_request("", shape, value)
    if "tagSet" in found and "resourceType" in found:  # a tag specification keeps its tags bare
        found["tags"] = found.pop("tagSet").get("items", [])
    return found


def _older_ec2_response(shape: Shape, value: Any) -> Any:
    if shape.type_name == "structure":
        found = {
            m.serialization.get("name", _lower(n)): _older_ec2_response(m, value[n])
            for n, m in shape.members.items()
            if value.get(n) is not None
        }
        return {"_return" if name == "return" else name: entry for name, entry in found.items()}
    if shape.type_name == "list":
        key = "item" if shape.serialization.get("name") == "privateIpAddressesSet" else "items"
        return {key: [_older_ec2_response(shape.member, entry) for entry in value]} if value else {}
    return int(value.timestamp() * 1000) if isinstance(value, datetime) else _scalar(shape, value)


def _newer_ec2(shape: Shape, value: Any, keep_case: bool) -> Any:
    if shape.type_name == "structure":
        return {
            (m.serialization.get("name", n) if not keep_case else _singular(n, m)): _newer_ec2(m, value[n], keep_case)
            for n, m in shape.members.items()
            if value.get(n) is not None
        }
    if shape.type_name == "list":
        items = [_newer_ec2(shape.member, entry, keep_case) for entry in value]
        if keep_case:
            tagged = [{"tag": i, **(e if isinstance(e, dict) else {"content": e})} for i, e in enumerate(items, 1)]
            return tagged[0] if len(tagged) == 1 else tagged
        return {"item": items[0] if len(items) == 1 else items} if items else ""
    return _scalar(shape, value)


def _singular(name: str, shape: Shape) -> str:
    listed = shape.type_name == "list"
    return str(shape.serialization.get("name") or shape.member.serialization.get("name") or name) if listed else name
