"""Who may assume a role, or put events onto a bus: the policies of resources, as far as the account heeds them.

moto lets everybody assume any role, even one that does not exist.
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterator, Mapping
from typing import Any

from moto.iam.access_control import IAMPolicy, PermissionResult
from moto.iam.models import Role, iam_backends

from local.account.wire import Answer, Call

Statement = Mapping[str, Any]


def assume_role(call: Call) -> Answer | None:
    """sts:AssumeRole, refused unless the role's trust policy admits the caller's service, or account and external id.

    None leaves the answer to moto. Conditions on the caller's own ARN are not heeded: functions here have no role.
    """
    arn, external_id = call.parameters["RoleArn"], call.parameters.get("ExternalId")
    role = role_at(arn)
    for statement in trust(role) if role else ():
        if call.invoked_by and serves(statement, call.invoked_by):
            return None
        wanted = statement.get("Condition", {}).get("StringEquals", {}).get("sts:ExternalId", external_id)
        if admits(statement, call.account) and external_id in (wanted if isinstance(wanted, list) else [wanted]):
            return None
    caller = f"arn:aws:iam::{call.account}:user/local"
    message = f"User: {caller} is not authorized to perform: sts:AssumeRole on resource: {arn}"
    return call.refuse("AccessDenied", message, 403)


def role_at(arn: str) -> Role | None:
    """The role with this ARN."""
    roles: Mapping[str, Role] = iam_backends[arn.split(":")[4]]["aws"].roles
    return next((role for role in roles.values() if role.arn == arn), None)


def trust(role: Role) -> Iterator[Statement]:
    """What a role's trust policy allows."""
    statements = json.loads(role.assume_role_policy_document).get("Statement", [])
    for statement in statements if isinstance(statements, list) else [statements]:
        if statement.get("Effect") == "Allow":
            yield statement


def admits(statement: Statement, account: str) -> bool:
    """Whether a statement is about an account, given by its id, its root or somebody of it."""
    principal = statement.get("Principal", {})
    listed = principal if isinstance(principal, str) else principal.get("AWS", [])
    return any(one == "*" or account in one.split(":") for one in ([listed] if isinstance(listed, str) else listed))


def serves(statement: Statement, service: str) -> bool:
    """Whether a statement is about a service of AWS."""
    principal = statement.get("Principal", {})
    services = principal.get("Service", []) if isinstance(principal, Mapping) else [principal]
    return service in services if isinstance(services, list) else service == services


def admits_rule(statement: Statement, rule_arn: str) -> bool:
    """Whether a statement lets EventBridge act for a rule."""
    wanted = statement.get("Condition", {}).get("ArnLike", {}).get("aws:SourceArn", "*")
    service = statement.get("Principal", {}).get("Service")
    return service == "events.amazonaws.com" and fnmatch.fnmatchcase(rule_arn, wanted)


def missing_right(role_arn: str | None, service: str, action: str, resource: str) -> str:
    """Why a service of AWS may not do this with a role; empty if it may."""
    role = role_at(role_arn) if role_arn else None
    if role is None:
        return f"{service} has no role to call {action} on {resource} with"
    if not any(serves(statement, service) for statement in trust(role)):
        return f"{role_arn} does not let {service} assume it"
    return "" if permits(role, action, resource) else f"{role_arn} does not allow {action} on {resource}"


def permits(role: Role, action: str, resource: str) -> bool:
    """Whether a role's policies, inline and managed, allow an action."""
    policies = [*role.policies.values(), *role.managed_policies.values()]
    answers = {IAMPolicy(one).is_action_permitted(action, resource) for one in policies}
    return PermissionResult.PERMITTED in answers and PermissionResult.DENIED not in answers
