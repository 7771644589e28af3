"""What tests of resources and events work with: an account read by the project's own code, and event envelopes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import boto3

from topology.collect import Account, Gone, Read, Unread, Unsettled, changes, snapshot
from topology.declare import Resource
from topology.elements import Component, Deleted, Incomplete, LeftOut, Relation, StackResource, Telemetry
from topology.events import Meaning, meaning, merged
from topology.links import Names

ACCOUNT_ID = "123456789012"
REGION = "eu-west-1"


@dataclass
class Findings:
    """What a snapshot or a look after events found, by kind."""

    all: list[Any]

    @property
    def components(self) -> dict[str, Component]:
        return {one.id: one for one in self.all if isinstance(one, Component)}

    @property
    def relations(self) -> dict[str, Relation]:
        return {one.id: one for one in self.all if isinstance(one, Relation)}

    @property
    def deleted(self) -> set[str]:
        return {one.id for one in self.all if isinstance(one, Deleted)}

    @property
    def telemetry(self) -> list[Telemetry]:
        return [one for one in self.all if isinstance(one, Telemetry)]

    @property
    def incomplete(self) -> list[Incomplete]:
        return [one for one in self.all if isinstance(one, Incomplete)]

    @property
    def left_out(self) -> list[LeftOut]:
        return [one for one in self.all if isinstance(one, LeftOut)]

    @property
    def unsettled(self) -> list[Unsettled]:
        return [one for one in self.all if isinstance(one, Unsettled)]

    @property
    def unread(self) -> list[Unread]:
        return [one for one in self.all if isinstance(one, Unread)]

    def of_type(self, type_: str) -> list[Component]:
        return [one for one in self.components.values() if one.type == type_]


def findings(account: Account, found: Sequence[Any], *, known_only: bool = True) -> Findings:
    """What was found as elements, each item's in order; relations between scopes last."""
    names = Names(account.resources)
    reads = [one for one in found if isinstance(one, Read)]
    for read in reads:
        for element in read.elements:
            if isinstance(element, Component):
                names.add(read.resource, read.scope, read.key, element.type, element.id)
    every = [element for read in reads for element in read.elements]
    suppressed = {one.id for one in every if isinstance(one, Deleted)}
    elements: list[Any] = []
    for one in found:
        match one:
            case Read():
                elements += [
                    element
                    for element in one.elements
                    if not isinstance(element, StackResource)
                    and not (one.resource.gives_way_to and isinstance(element, Relation) and element.id in suppressed)
                ]
            case Gone():
                id_of = one.touched.resource.component_id
                if id_ := id_of(one.touched.scope, one.touched.key) if id_of else "":
                    elements.append(Deleted(id_))
            case Deleted():
                if one.id not in {element.id for element in every if isinstance(element, Component | Relation)}:
                    elements.append(one)
            case Incomplete() | LeftOut() | Telemetry() | Unread() | Unsettled():
                elements.append(one)
    for read in reads:
        for link in (one.link for one in read.elements if isinstance(one, StackResource)):
            elements += names.relations(read.scope, link, known_only=known_only)
    return Findings(elements)


class TestAccount:
    """An account in moto, read with the project's own code; `resources` narrows what is read."""

    __test__ = False

    def __init__(self, resources: Sequence[Resource], regions: tuple[str, ...] = (REGION,)) -> None:
        self.session = boto3.Session(region_name=regions[0])
        self.opened = Account.open(self.session, ACCOUNT_ID, regions, resources)

    def client(self, service: str, region: str = "") -> Any:
        """The very client that the project reads with, to stub it or to count its calls."""
        return self.opened.clients[region or self.opened.regions[0]].clients[service]

    def snapshot(self) -> Findings:
        return findings(self.opened, list(snapshot([self.opened])))

    def meaning(self, event: dict[str, Any]) -> Meaning:
        return meaning(self.opened, event)

    def after(self, *events: dict[str, Any]) -> Findings:
        """What looking again after the events finds."""
        touched = merged(one for event in events for one in self.meaning(event).touched)
        return findings(self.opened, list(changes(self.opened, touched)), known_only=False)


def api_call(
    service: str,
    name: str,
    request: dict[str, Any] | None = None,
    response: dict[str, Any] | None = None,
    *,
    region: str = REGION,
    **detail: Any,
) -> dict[str, Any]:
    """An `AWS API Call via CloudTrail` event as EventBridge delivers it; `service` as in `sqs.amazonaws.com`."""
    return {
        "version": "0",
        "id": "7bf73129-1428-4cd3-a780-95db273d1602",
        "detail-type": "AWS API Call via CloudTrail",
        "source": f"aws.{service}",
        "account": ACCOUNT_ID,
        "time": "2026-05-14T09:30:00Z",
        "region": region,
        "resources": [],
        "detail": {
            "eventVersion": "1.11",
            "eventTime": "2026-05-14T09:30:00Z",
            "eventSource": f"{service}.amazonaws.com",
            "eventName": name,
            "awsRegion": region,
            "requestParameters": request,
            "responseElements": response,
            "readOnly": False,
            "eventType": "AwsApiCall",
            "recipientAccountId": ACCOUNT_ID,
            **detail,
        },
    }


def native_event(source: str, detail_type: str, detail: dict[str, Any], region: str = REGION) -> dict[str, Any]:
    """A service's own event as EventBridge delivers it."""
    return {
        "version": "0",
        "id": "d1a2b3c4-1428-4cd3-a780-95db273d1602",
        "detail-type": detail_type,
        "source": source,
        "account": ACCOUNT_ID,
        "time": "2026-05-14T09:30:00Z",
        "region": region,
        "resources": [],
        "detail": detail,
    }
