"""What is said about an AWS account: StackState's elements, and the scopes they were read in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from topology.errors import AwsError

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Scope:
    """The unit of reading, of concurrency and of failure: one service in one region of one account."""

    account: str
    region: str
    partition: str
    service: str

    @property
    def name(self) -> tuple[str, str, str]:
        """Account, region and service."""
        return self.account, self.region, self.service

    def arn(self, service: str, resource: str) -> str:
        """An ARN in this partition, region and account."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"


@dataclass(frozen=True, slots=True)
class Component:
    """A thing in the picture. `data` is complete and JSON-ready: see `shape.component`."""

    id: str
    type: str
    data: Json


@dataclass(frozen=True, slots=True)
class Relation:
    """An arrow between two components, which need not be known when it is emitted."""

    source: str
    type: str
    target: str
    data: Json = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The id that the StackPack knows the relation by."""
        return relation_id(self.source, self.type, self.target)


@dataclass(frozen=True, slots=True)
class Deleted:
    """The id of a component or relation that is gone."""

    id: str


@dataclass(frozen=True, slots=True)
class StackResource:
    """A relation to what a CloudFormation stack calls `physical_id`: its element's id is for another scope to say."""

    source: str
    type: str
    cloudformation_type: str
    physical_id: str

    @property
    def link(self) -> tuple[str, str, str, str]:
        """The same as plain values."""
        return self.source, self.type, self.cloudformation_type, self.physical_id


@dataclass(frozen=True, slots=True)
class Telemetry:
    """An event beside the topology, such as the state of an EC2 instance (contract: receiver.md 4.1)."""

    event_type: str
    title: str
    text: str
    host: str
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Incomplete:
    """A scope, or a part of it, that could not be read."""

    scope: Scope
    error: AwsError


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A detail (tags, say) that elements of a scope lack because its call is denied."""

    scope: Scope
    error: AwsError


Element = Component | Relation | Deleted | StackResource | Telemetry


def relation_id(source: str, type_: str, target: str) -> str:
    """The id of a relation, as the StackPack forms it: blanks in the type stay."""
    return f"{source}-{type_}-{target}"


def wire_component(component: Component) -> Json:
    """The component as the receiver wants it."""
    return {"externalId": component.id, "type": {"name": component.type}, "data": component.data}


def wire_relation(relation: Relation) -> Json:
    """The relation as the receiver wants it."""
    return {
        "externalId": relation.id,
        "sourceId": relation.source,
        "targetId": relation.target,
        "type": {"name": relation.type},
        "data": relation.data,
    }


def wire_telemetry(telemetry: Telemetry, timestamp: int) -> Json:
    """The event as the receiver wants it; `timestamp` is in seconds since 1970."""
    host = {"host": telemetry.host} if telemetry.host else {}
    return host | {
        "event_type": telemetry.event_type,
        "source_type_name": telemetry.event_type,
        "msg_title": telemetry.title,
        "msg_text": telemetry.text,
        "timestamp": timestamp,
        "tags": list(telemetry.tags),
    }


Item = Mapping[str, Any]
