"""An IAM gate in front of the account: what an access key may call, by action. Off unless an account is given one.

It knows actions only, neither resources nor conditions: enough to show that a policy has every action that a program
needs, and none that it does not. What CloudFormation does for somebody counts as done by that person, as in AWS.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from local.account.trust import permits, role_at
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
    "ListMultipartUploads": "ListBucketMultipartUploads",
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
# Parameters that take an action more: operation, parameter, action.
_ALSO = [
    ("cloudformation:CreateChangeSet", "Tags", "cloudformation:TagResource"),
    ("secretsmanager:CreateSecret", "Tags", "secretsmanager:TagResource"),
    ("secretsmanager:CreateSecret", "KmsKeyId", "kms:GenerateDataKey"),
    ("secretsmanager:CreateSecret", "KmsKeyId", "kms:Decrypt"),
    ("s3:DeleteObjects", "Delete", "s3:DeleteObjectVersion"),
]
# CloudFormation tags log groups by the newer of two calls.
_NEWER = {"logs:TagLogGroup": "logs:TagResource", "logs:UntagLogGroup": "logs:UntagResource"}
_DENIED = {"ec2": "UnauthorizedOperation", "query": "AccessDenied", "rest-xml": "AccessDenied"}


@dataclass
class Gate:
    """Policies by access key. A key without an entry may do everything, as may AWS's services among themselves."""

    policies: dict[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    denied: list[str] = field(default_factory=list)
    used: dict[str, set[str]] = field(default_factory=dict)
    """The actions that passed, by access key."""

    def refusal(self, call: Call) -> Answer | None:
        """The refusal of a call in its protocol's own form; None if it may pass."""
        if call.invoked_by and not call.on_behalf_of:
            return None
        message = self.reason(call.on_behalf_of or call.access_key, actions(call))
        if message is None:
            return None
        code = "AuthorizationError" if call.service == "sns" else _DENIED.get(call.protocol, "AccessDeniedException")
        return call.refuse(code, message, 400 if call.protocol == "json" else 403)

    def reason(self, access_key: str, wanted: Sequence[str]) -> str | None:
        """Why an access key may not do what takes all these actions; None if it may."""
        policies = self.policies.get(access_key)
        if policies is None:
            return None
        for one in wanted:
            if one != "sts:GetCallerIdentity" and not allows(policies, one):
                self.denied.append(one)
                who = f"arn:aws:iam::123456789012:user/{access_key}"
                return f"User: {who} is not authorized to perform: {one} because no identity-based policy allows it"
            self.used.setdefault(access_key, set()).add(one)
        return None


def actions(call: Call) -> list[str]:
    """All IAM actions that a call takes: some parameters need one of their own."""
    return [action(call), *(also for operation, name, also in _ALSO if _asks(call, operation, name))]


def _asks(call: Call, operation: str, name: str) -> bool:
    return f"{call.service}:{call.operation}" == operation and bool(call.parameters.get(name))


def simulated(call: Call, gate: Gate | None) -> Answer:
    """Answer iam:SimulatePrincipalPolicy: what the policies of a role say; of others, what the gate would say."""
    source = call.parameters["PolicySourceArn"]
    role, resources = role_at(source), call.parameters.get("ResourceArns") or ["*"]
    if role is None and ":role/" in source:
        return call.refuse("NoSuchEntity", f"The entity {source} cannot be found.", 404)
    policies = gate.policies.get(call.access_key) if gate else None

    def may(wanted: str) -> bool:
        if role:
            return all(permits(role, wanted, resource) for resource in resources)
        return policies is None or allows(policies, wanted)

    return call.answer(
        {
            "EvaluationResults": [
                {
                    "EvalActionName": name,
                    "EvalDecision": "allowed" if may(name) else "implicitDeny",
                    "EvalResourceName": "*",
                    "ResourceSpecificResults": [],
                }
                for name in call.parameters["ActionNames"]
            ],
            "IsTruncated": False,
        }
    )


def action(call: Call) -> str:
    """The IAM action that allows a call."""
    prefix = _PREFIXES.get(call.service, call.service)
    if prefix == "apigateway":
        return f"apigateway:{call.request.method}"
    if prefix == "lambda" and call.operation == "Invoke":
        return "lambda:InvokeFunction"
    name = _S3.get(call.operation, call.operation) if call.service == "s3" else call.operation
    return _NEWER.get(f"{prefix}:{name}", f"{prefix}:{name}")


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
    found = any(fnmatchcase(wanted.lower(), pattern.lower()) for pattern in patterns)
    return found is ("Action" in statement)
