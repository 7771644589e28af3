"""Which resources a change event touched (contract: events.md): where to look again, never what is there."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from topology.aws import search
from topology.collect import Account, Touched
from topology.declare import Change, Resource

API_CALL = "AWS API Call via CloudTrail"
# Lambda's event names carry the date of an API version: UpdateFunctionCode20150331v2.
VERSION_SUFFIX = re.compile(r"20\d{6}(v\d+)?$")
# The tagging API's own events name any covered resource by its ARN.
TAGGING_SOURCE = "tagging.amazonaws.com"
TAGGING_NAMES = ("TagResources", "UntagResources")
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
    if detail.get("eventSource") == TAGGING_SOURCE:
        return _tagged(account, event, detail)
    touched: list[Touched] = []
    unresolved = False
    for resource, change in _matching(account.resources, event, detail):
        region = _region(account, resource, event)
        keys = search(change.key, {**detail, "resources": event.get("resources")} if change.native else detail)
        unresolved = unresolved or keys is None or keys == ""
        ended = tuple(change.ended(account.scope(region, resource.service), detail)) if change.ended else ()
        touched += [
            Touched(resource, region, key, change.creates, ended)
            for key in _lookup_keys(account, resource, region, keys)
        ]
    return Meaning(tuple(touched), unresolved and not touched)


def merged(touched: Iterable[Touched]) -> list[Touched]:
    """One entry per resource, whatever number and order of events touched it."""
    by_resource: dict[tuple[Resource, str, str], Touched] = {}
    for one in touched:
        what = one.resource, one.region, one.key
        before = by_resource.get(what, one)
        ended = tuple(dict.fromkeys(before.ended + one.ended))
        by_resource[what] = replace(one, creates=before.creates or one.creates, ended=ended)
    return list(by_resource.values())


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
    keys = found if isinstance(found, list) else [found]
    scope = account.scope(region, resource.service)
    return [key for key in (resource.lookup_key(scope, key) for key in keys if key) if key]


def _tagged(account: Account, event: Mapping[str, Any], detail: Mapping[str, Any]) -> Meaning:
    if detail.get("eventName") not in TAGGING_NAMES:
        return Meaning()
    touched = []
    for arn in search(TAGGED_ARNS, detail) or ():
        for resource in account.resources:
            if resource.arn and (found := re.fullmatch(resource.arn, arn)):
                region = _region(account, resource, event)
                touched += [
                    Touched(resource, region, key) for key in _lookup_keys(account, resource, region, found["key"])
                ]
    return Meaning(tuple(touched))


def _region(account: Account, resource: Resource, event: Mapping[str, Any]) -> str:
    covered = account.regions_of(resource)
    region: str = event["region"]
    return covered[0] if resource.global_ or resource.once else region
