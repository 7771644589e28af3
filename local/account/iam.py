"""An IAM gate in front of the account: what an access key may call, by action. Off unless an account is given one.

It knows actions only, neither resources nor conditions: enough to show that a policy has every action that a program
needs, and none that it does not.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from local.account.wire import Answer, Call

_PREFIXES = {
    "apigatewayv2": "apigateway",
    "dynamodbstreams": "dynamodb",
    "efs": "elasticfilesystem",
    "elb": "elasticloadbalancing",
    "elbv2": "elasticloadbalancing",
    "opensearch": "es",
    "resourcegroupstaggingapi": "tag",
    "s3control": "s3",
    "stepfunctions": "states",
}
# S3 calls and the actions that allow them, where the names differ.
_S3 = {
    "ListBuckets": "ListAllMyBuckets",
    "HeadBucket": "ListBucket",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListObjectVersions": "ListBucketVersions",
    "HeadObject": "GetObject",
    "DeleteObjects": "DeleteObject",
    "DeleteBucketTagging": "PutBucketTagging",
    "GetBucketNotificationConfiguration": "GetBucketNotification",
    "PutBucketNotificationConfiguration": "PutBucketNotification",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
}
_DENIED = {"ec2": "UnauthorizedOperation", "query": "AccessDenied", "rest-xml": "AccessDenied"}


@dataclass
class Gate:
    """Policies by access key. A key without an entry may do everything, as may AWS's services among themselves."""

    policies: dict[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    denied: list[str] = field(default_factory=list)

    def refusal(self, call: Call) -> Answer | None:
        """The refusal of a call in its protocol's own form; None if it may pass."""
        policies = self.policies.get(call.access_key)
        wanted = action(call)
        if policies is None or call.invoked_by or wanted == "sts:GetCallerIdentity" or allows(policies, wanted):
            return None
        self.denied.append(wanted)
        who = f"arn:aws:iam::123456789012:user/{call.access_key}"
        message = f"User: {who} is not authorized to perform: {wanted} because no identity-based policy allows it"
        code = "AuthorizationError" if call.service == "sns" else _DENIED.get(call.protocol, "AccessDeniedException")
        return call.refuse(code, message, 400 if call.protocol == "json" else 403)


def action(call: Call) -> str:
    """The IAM action that allows a call."""
    prefix = _PREFIXES.get(call.service, call.service)
    if prefix == "apigateway":
        return f"apigateway:{call.request.method}"
    if prefix == "lambda" and call.operation == "Invoke":
        return "lambda:InvokeFunction"
    name = _S3.get(call.operation, call.operation) if call.service == "s3" else call.operation
    return f"{prefix}:{name}"


def allows(policies: Sequence[Mapping[str, Any]], wanted: str) -> bool:
    """Whether policy documents allow an action, their resources and conditions aside; a condition makes no denial."""
    effects = set()
    for policy in policies:
        statements = policy["Statement"]
        for statement in statements if isinstance(statements, list) else [statements]:
            if statement["Effect"] == "Deny" and "Condition" in statement:
                continue
            if _concerns(statement, wanted):
                effects.add(statement["Effect"])
    return effects == {"Allow"}


def _concerns(statement: Mapping[str, Any], wanted: str) -> bool:
    names = statement.get("Action", statement.get("NotAction", []))
    patterns = [names] if isinstance(names, str) else names
    found = any(re.match(fnmatch.translate(pattern.lower()), wanted.lower()) for pattern in patterns)
    return found is ("Action" in statement)
