"""What follows from the declarations: IAM actions, EventBridge patterns, and the page about resources."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Any

from botocore.model import Shape

from tools.examples import emitted
from tools.models import action, operation_name
from topology.declare import Call, Change, Resource
from topology.elements import Component, Scope
from topology.events import API_CALL, TAG_CHANGE, TAG_CHANGES, TAGGING_NAMES, TAGGING_SOURCE
from topology.resources import ALL

# AWS's default limit of a pattern, in characters of JSON.
PATTERN_LIMIT = 2048
# Lambda's event names end with the date of an API version, which nobody should have to know.
DATED_SOURCES = frozenset({"lambda.amazonaws.com"})


def read_statements(resources: Sequence[Resource] = ALL) -> list[dict[str, Any]]:
    """The statements of the policy that allows all declared calls and nothing else."""
    by_place: dict[str, set[str]] = defaultdict(set)
    for resource in resources:
        for call in resource.calls:
            by_place[call.policy_resource].add(action(call))
    return [
        {"Effect": "Allow", "Action": sorted(actions), "Resource": place.replace("{partition}", "*")}
        for place, actions in sorted(by_place.items())
    ]


def patterns(resources: Sequence[Resource] = ALL) -> dict[str, dict[str, Any]]:
    """One EventBridge pattern per source of events, by the logical id of its rule."""
    names: dict[str, set[str]] = defaultdict(set)
    native: dict[tuple[str, str], set[str]] = defaultdict(set)
    where: dict[tuple[str, str], Any] = {}
    for resource, change in declared_changes(resources):
        if change.native:
            place = change.native, repr(change.where)
            native[place].update(change.names)
            where[place] = change.where
        else:
            names[_source(resource, change)].update(change.names)
    names[TAGGING_SOURCE].update(TAGGING_NAMES)
    rules = {f"{_title(source)}Calls": api_pattern(source, sorted(found)) for source, found in sorted(names.items())}
    native[TAG_CHANGES, "tags"].add(TAG_CHANGE)
    where[TAG_CHANGES, "tags"] = {"service": tagged_services(resources)}
    for own, condition in sorted(native):
        pattern: dict[str, Any] = {"source": [own], "detail-type": sorted(native[own, condition])}
        if where[own, condition]:
            pattern["detail"] = dict(where[own, condition])
        number = sum(rule.startswith(f"{_title(own)}Events") for rule in rules)
        rules[f"{_title(own)}Events{number + 1 if number else ''}"] = pattern
    return rules


class Reach(Enum):
    """Where events come up that matter to an installation."""

    REGION = "in the regions that are read"
    ACCOUNT = "in any region: one reading answers for all of them"
    GLOBAL = "in the region of the global services alone"


def reach(pattern: Mapping[str, Any], resources: Sequence[Resource] = ALL) -> Reach:
    """Where the events of one of the `patterns` come up."""
    [source] = pattern.get("detail", {}).get("eventSource") or pattern["source"]
    about = [one for one, change in declared_changes(resources) if source == _source(one, change)]
    # No resource: the tagging API, whose events are about resources of all kinds.
    if not about or any(one.once for one in about):
        return Reach.ACCOUNT
    return Reach.GLOBAL if all(one.global_ for one in about) else Reach.REGION


def tagged_services(resources: Sequence[Resource]) -> list[str]:
    """The services in the ARNs of the resources, which is what tag events call them."""
    return sorted({found[1] for one in resources if (found := re.search(r"arn:\[\^:\]\+:([a-z0-9-]+):", one.arn))})


def api_pattern(source: str, names: Sequence[str]) -> dict[str, Any]:
    """Successful calls with these names; nobody but AWS can put events whose `source` begins with `aws.`."""
    dated = source in DATED_SOURCES
    return {
        "source": [{"prefix": "aws."}],
        "detail-type": [API_CALL],
        "detail": {
            "eventSource": [source],
            "eventName": [{"prefix": name} if dated else name for name in names],
            "errorCode": [{"exists": False}],
        },
    }


def declared_changes(resources: Sequence[Resource] = ALL) -> Iterator[tuple[Resource, Change]]:
    """Every change of every resource."""
    return ((resource, change) for resource in resources for change in resource.changes)


def _source(resource: Resource, change: Change) -> str:
    return change.native or change.source or resource.cloudtrail_source


def _title(source: str) -> str:
    return source.removesuffix(".amazonaws.com").removeprefix("aws.").capitalize()


PLACE = Scope("{account}", "{region}", "{partition}", "")


def placeholder(name: str, _shape: Shape) -> str:
    """What stands for a text of AWS's in the documentation."""
    return f"{{{name}}}"


def page(resources: Sequence[Resource] = ALL) -> str:
    """The documentation page: what is seen in AWS, how, and after which events."""
    lines = [
        "# What the agent sees",
        "",
        "Generated from the declarations in `functions/topology/resources/`; `make generate` writes it again.",
        "",
        "| resource | components | relations | CloudFormation |",
        "| :-- | :-- | :-- | :-- |",
    ]
    for resource in resources:
        arrows = [f"{type_} → {', '.join(targets)}" for type_, targets in resource.relates.items()]
        stack = ", ".join(f"`{name}`" for name in resource.cloudformation)
        lines.append(f"| {resource.kind} | {_code(resource.components)} | {'; '.join(arrows)} | {stack} |")
    for resource in resources:
        lines += ["", f"## {resource.kind}", "", *_about(resource)]
    return "\n".join(lines) + "\n"


def _about(resource: Resource) -> Iterator[str]:
    purpose = (resource.elements.__doc__ or "").strip().splitlines()
    if purpose:
        yield f"{purpose[0]}\n"
    components = {one.type: one for one in emitted(resource, PLACE, placeholder) if isinstance(one, Component)}
    if components:
        yield "| component | id | fields |"
        yield "| :-- | :-- | :-- |"
        for type_, one in components.items():
            yield f"| `{type_}` | `{one.id}` | {', '.join(one.data)} |"
        yield ""
    yield "| call | IAM action | when |"
    yield "| :-- | :-- | :-- |"
    for call, when in _uses(resource):
        yield f"| `{call.service}` {operation_name(call)} | `{action(call)}` | {when} |"
    if resource.secrets:
        yield f"\nMasked: {_code(resource.secrets)}."
    api = sorted({name for change in resource.changes if not change.native for name in change.names})
    own = sorted({f"{change.native} {name}" for change in resource.changes if change.native for name in change.names})
    if api:
        yield f"\nLooked at again after {_code(api)} of `{resource.cloudtrail_source}`."
    if own:
        yield f"\nAlso after the events {_code(own)}."


def _uses(resource: Resource) -> Iterator[tuple[Call, str]]:
    yield resource.listed_by, "snapshot: lists all"
    if resource.looked_up_by:
        yield resource.looked_up_by, "change: looks up some"
    for call in resource.also_looked_up_by.values():
        yield call, "change: looks up what belongs to another resource"
    for detail in resource.details:
        need = "" if detail.required else "; left out if denied"
        for call in detail.calls:
            yield call, f"`{detail.field}`{need}"


def _code(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
