"""Which resources a change event touched (contract: events.md): where to look again, never what is there."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from topology.aws import search
from topology.collect import Account, Touched
from topology.declare import Change, Resource
from topology.records import ItemName

API_CALL = "AWS API Call via CloudTrail"
# Lambda's event names carry the date of an API version: UpdateFunctionCode20150331v2.
VERSION_SUFFIX = re.compile(r"20\d{6}(v\d+)?$")
# The tagging API's own events name any covered resource by its ARN.
TAGGING_SOURCE = "tagging.amazonaws.com"
TAGGING_NAMES = ("TagResources", "UntagResources")
# Events that topo-cwevents sends itself; nobody on the event bus can, since no rule lets this source through.
LOOK_AGAIN_SOURCE = "stackstate.topology"
# EventBridge's own event about any change of tags; it names one resource.
TAG_CHANGES = "aws.tag"
TAG_CHANGE = "Tag Change on Resource"
TAGGED_ARNS = "requestParameters.resourceARNList"


@dataclass(frozen=True)
class Meaning:
    """What an event says."""

    touched: tuple[Touched, ...] = ()
    unresolved: bool = False
    """It is about a declared change, but has no usable id: the next snapshot will see what it was."""


def meaning(account: Account, event: Mapping[str, Any]) -> Meaning:
    """What the event touched; nothing if it declares no change of ours, or reports a call that AWS refused."""
    detail = event.get("detail") or {}
    if event.get("account") != account.id or detail.get("errorCode"):
        return Meaning()
    if event.get("source") == LOOK_AGAIN_SOURCE:
        return _again(account, detail)
    if event.get("source") == TAG_CHANGES:
        return _tagged(account, event, event.get("resources"))
    if detail.get("eventSource") == TAGGING_SOURCE:
        named = detail.get("eventName") in TAGGING_NAMES
        return _tagged(account, event, search(TAGGED_ARNS, detail)) if named else Meaning()
    touched: list[Touched] = []
    unresolved = False
    for resource, change in _matching(account.resources, event, detail):
        region = _region(account, resource, event)
        keys = search(change.key, {**detail, "resources": event.get("resources")} if change.native else detail)
        unresolved = unresolved or not _is_answer(keys)
        scope = account.scope(region, resource.service)
        ended = tuple(change.ended(scope, detail)) if change.ended else ()
        touched += [
            Touched(resource, scope, key, change.creates, change.deletes, ended)
            for key in _lookup_keys(account, resource, region, keys)
        ]
    return Meaning(tuple(touched), unresolved and not touched)


def merged(touched: Iterable[Touched]) -> list[Touched]:
    """One entry per resource, whatever number and order of events touched it."""
    by_resource: dict[ItemName, Touched] = {}
    for one in touched:
        before = by_resource.get(one.name, one)
        ended = tuple(dict.fromkeys(before.ended + one.ended))
        by_resource[one.name] = replace(
            one,
            creates=before.creates or one.creates,
            deletes=before.deletes or one.deletes,
            ended=ended,
            attempt=min(before.attempt, one.attempt),
        )
    return list(by_resource.values())


def look_again(touched: Touched) -> dict[str, Any]:
    """An event of our own that says: look at this again. It goes into the queue with a delay."""
    return {
        "source": LOOK_AGAIN_SOURCE,
        "detail-type": "Look Again",
        "account": touched.scope.account,
        "region": touched.scope.region,
        "detail": {
            "kind": touched.resource.kind,
            "region": touched.scope.region,
            "key": touched.key,
            "creates": touched.creates,
            "deletes": touched.deletes,
            "attempt": touched.attempt + 1,
        },
    }


def _again(account: Account, detail: Mapping[str, Any]) -> Meaning:
    resource = next((one for one in account.resources if one.kind == detail["kind"]), None)
    if resource is None or detail["region"] not in account.clients:
        # Put there by another version, or before a region was taken out.
        return Meaning(unresolved=True)
    scope = account.scope(detail["region"], resource.service)
    flags = {name: detail[name] for name in ("creates", "deletes", "attempt")}
    return Meaning((Touched(resource, scope, detail["key"], **flags),))


def _matching(
    resources: Sequence[Resource], event: Mapping[str, Any], detail: Mapping[str, Any]
) -> Iterator[tuple[Resource, Change]]:
    api_call = event.get("detail-type") == API_CALL
    name = VERSION_SUFFIX.sub("", detail.get("eventName", "")) if api_call else event.get("detail-type")
    source = detail.get("eventSource") if api_call else event.get("source")
    for resource in resources:
        for change in resource.changes:
            expected = change.native or change.source or resource.cloudtrail_source
            if name in change.names and source == expected and bool(change.native) != api_call:
                yield resource, change


def _lookup_keys(account: Account, resource: Resource, region: str, found: Any) -> list[str]:
    """The keys to look up; none where the region is not covered or the id is of another kind of resource."""
    if region not in account.regions_of(resource):
        return []
    scope = account.scope(region, resource.service)
    return [key for key in (resource.lookup_key(scope, key) for key in _texts(found)) if key]


def _texts(found: Any) -> Iterator[str]:
    """The texts in what a declaration found in an event, whose shape AWS does not promise."""
    if isinstance(found, str):
        yield from [found] if found else ()
    elif isinstance(found, list):
        for one in found:
            yield from _texts(one)


def _is_answer(found: Any) -> bool:
    """Whether there are ids in it, or it says that there are none of ours: `false`, an empty list."""
    return found is False or found == [] or any(_texts(found))


def _tagged(account: Account, event: Mapping[str, Any], arns: Any) -> Meaning:
    """What some ARNs, of whatever kind, are the names of."""
    touched = []
    for arn in _texts(arns):
        for resource in account.resources:
            if resource.arn and (found := re.fullmatch(resource.arn, arn)):
                region = _region(account, resource, event)
                scope = account.scope(region, resource.service)
                touched += [
                    Touched(resource, scope, key) for key in _lookup_keys(account, resource, region, found["key"])
                ]
    return Meaning(tuple(touched), not any(_texts(arns)))


def _region(account: Account, resource: Resource, event: Mapping[str, Any]) -> str:
    covered = account.regions_of(resource)
    region: str = event["region"]
    return covered[0] if resource.global_ or resource.once else region
