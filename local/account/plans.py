"""What a stack is, what it is to become, and the difference between the two."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from local.account.kinds import kind_of
from local.account.provision import Kind, MotoKind, Properties
from local.account.template import Scope, Unknown

NESTED = "AWS::CloudFormation::Stack"
WAIT_HANDLE = "AWS::CloudFormation::WaitConditionHandle"
# Types of moto's whose Tags property is a list of Key and Value, and honoured.
_MOTO_TAGGED = {f"AWS::EC2::{name}" for name in ("VPC", "Subnet", "SecurityGroup", "Instance", "InternetGateway")}


def now() -> datetime:
    """This moment."""
    return datetime.now(UTC)


@dataclass
class Plan:
    """What a stack is to become: a processed template with the values of its parameters, and tags."""

    text: str
    template: dict[str, Any]
    given: dict[str, str]
    scope: Scope
    tags: dict[str, str]
    sam: bool

    def intent(self, definition: dict[str, Any]) -> Any:
        """A resource's properties with what is not yet known left as it is written: what plans are compared by."""
        return self.with_tags(definition["Type"], self.scope.evaluate(definition.get("Properties", {}), _unknown))

    def outputs_intent(self) -> Any:
        """The same of the outputs."""
        return self.scope.evaluate(self.template.get("Outputs", {}), _unknown)

    def with_tags(self, type_name: str, properties: Properties) -> Properties:
        """The properties with the stack's tags, those of the resource itself winning."""
        kind = None if type_name in {NESTED, WAIT_HANDLE} else kind_of(type_name)
        taggable = kind.takes_tags if isinstance(kind, Kind) else type_name in {NESTED, *_MOTO_TAGGED}
        if not taggable or not self.tags:
            return properties
        own = properties.get("Tags") or []
        if isinstance(own, dict):
            return properties | {"Tags": self.tags | own}
        tags = self.tags | {tag["Key"]: tag["Value"] for tag in own}
        return properties | {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}


@dataclass
class Resource:
    """A resource of a stack."""

    logical_id: str
    type: str
    intent: Any
    policy: str = "Delete"
    physical_id: str = ""
    properties: Properties = field(default_factory=dict)
    status: str = ""
    reason: str | None = None
    time: datetime = field(default_factory=now)

    def replaced_by(self, type_name: str, properties: Properties) -> bool:
        """Whether getting `properties`, or what is known of them, takes another resource."""
        if self.type != type_name:
            return True
        if type_name in {NESTED, WAIT_HANDLE}:
            return False
        # In an intent a reference is not yet a value, and not a change either.
        before = {n: properties[n] if _has_unknown(properties.get(n)) else v for n, v in self.properties.items()}
        return kind_of(type_name).replaces(properties, before)

    def named(self, properties: Properties) -> Properties:
        """The properties with the name that was made up when this resource was made."""
        kind = None if self.type in {NESTED, WAIT_HANDLE} else kind_of(self.type)
        if kind is None or isinstance(kind, MotoKind) or not kind.name or kind.name in properties:
            return properties
        return {**properties, kind.name: self.properties.get(kind.name)}


@dataclass
class Stack:
    """A stack, with its history."""

    name: str
    id: str
    region: str
    plan: Plan | None = None
    capabilities: list[str] = field(default_factory=list)
    parent: str | None = None
    root: str | None = None
    disable_rollback: bool = False
    protected: bool = False
    status: str = "REVIEW_IN_PROGRESS"
    reason: str | None = None
    created: datetime = field(default_factory=now)
    updated: datetime | None = None
    deleted: datetime | None = None
    resources: dict[str, Resource] = field(default_factory=dict)
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    change_sets: dict[str, Any] = field(default_factory=dict)

    def changes(self, plan: Plan) -> list[dict[str, Any]]:
        """The changes that `plan` means for the resources, as DescribeChangeSet tells them."""
        wanted = plan.scope.resources()
        found = []
        for logical_id, definition in wanted.items():
            old, intent = self.resources.get(logical_id), plan.intent(definition)
            if old is None:
                found.append(_change("Add", logical_id, definition["Type"]))
            elif old.intent != intent or old.type != definition["Type"]:
                replaced = old.replaced_by(definition["Type"], intent)
                found.append(_change("Modify", logical_id, old.type, old.physical_id, replaced))
        gone = [resource for name, resource in self.resources.items() if name not in wanted]
        return found + [_change("Remove", old.logical_id, old.type, old.physical_id) for old in gone]

    def is_already(self, plan: Plan) -> bool:
        """Whether `plan` changes nothing."""
        old = self.plan
        same = old is not None and old.tags == plan.tags and old.outputs_intent() == plan.outputs_intent()
        return same and not self.changes(plan)


def _unknown(logical_id: str, attribute: str) -> Unknown:
    return Unknown(f"${{{logical_id}.{attribute}}}")


def _has_unknown(value: Any) -> bool:
    return "${" in json.dumps(value, default=str)


def _change(
    action: str, logical_id: str, type_name: str, physical_id: str = "", replaced: bool | None = None
) -> dict[str, Any]:
    change: dict[str, Any] = {"Action": action, "LogicalResourceId": logical_id, "ResourceType": type_name}
    if physical_id:
        change["PhysicalResourceId"] = physical_id
    if replaced is not None:
        change |= {"Replacement": str(replaced), "Scope": ["Properties"], "Details": []}
    return {"Type": "Resource", "ResourceChange": change}
