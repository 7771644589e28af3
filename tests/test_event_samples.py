"""Events as EventBridge delivers them, one file each in `tests/events/{service}/`, and what each of them touches.

A file holds

- `event`: the whole envelope;
- `touches`: kind, region and key of all that has to be looked at again, and of nothing else;
- `unresolved` (true): the event is one of ours without a usable id;
- `deletes`: the ids that are deleted when AWS knows nothing of what was touched;
- `passes` (false): no rule lets the event through.
"""

import json
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from local.account.patterns import matches
from tests.account import TestAccount
from tests.resources.support import EVENTS, without_clients
from tools import derived
from topology.collect import Account
from topology.events import API_CALL, VERSION_SUFFIX, Meaning, meaning
from topology.resources import ALL

Json = dict[str, Any]
PATTERNS = list(derived.patterns().values())
# What AWS never sends in the place of an id, a list or a structure, and an event may still hold.
SHAPES: list[Any] = [None, "text", 7, ["text", None, [7]], {"items": 7}]


def file_names() -> list[str]:
    return sorted(str(path.relative_to(EVENTS).with_suffix("")) for path in EVENTS.glob("*/*.json"))


def read(name: str) -> Json:
    content: Json = json.loads((EVENTS / f"{name}.json").read_text())
    assert set(content) <= {"event", "touches", "unresolved", "deletes", "passes"}
    return content


SAMPLES = {name: read(name) for name in file_names()}
API_CALLS = [name for name, one in SAMPLES.items() if one["event"]["detail-type"] == API_CALL]
every_sample = pytest.mark.parametrize("name", SAMPLES)
every_api_call = pytest.mark.parametrize("name", API_CALLS)


@pytest.fixture(scope="module")
def any_account() -> Account:
    return without_clients(ALL)


def touched(said: Meaning) -> list[list[str]]:
    return sorted([one.resource.kind, one.region, one.key] for one in said.touched)


def passes(event: Json) -> bool:
    return any(matches(pattern, event) for pattern in PATTERNS)


@every_sample
def test_an_event_touches_what_its_sample_says_and_nothing_else(any_account: Account, name: str) -> None:
    said = meaning(any_account, SAMPLES[name]["event"])

    assert touched(said) == sorted(SAMPLES[name]["touches"])
    assert said.unresolved == SAMPLES[name].get("unresolved", False)


@every_sample
def test_the_rules_let_through_what_touches_something_and_no_forgery_of_it(name: str) -> None:
    event = SAMPLES[name]["event"]
    expected = SAMPLES[name].get("passes", True)

    assert passes(event) == expected
    assert expected or not SAMPLES[name]["touches"]
    assert not passes(event | {"source": "com.example.shop"})


@every_sample
def test_an_event_of_another_account_or_of_a_region_that_is_not_covered_touches_nothing(
    any_account: Account, name: str
) -> None:
    event = SAMPLES[name]["event"]
    elsewhere = meaning(any_account, event | {"region": "ap-south-1"})

    assert meaning(any_account, event | {"account": "999999999999"}) == Meaning()
    assert all(one.resource.global_ or one.resource.once for one in elsewhere.touched)


@every_api_call
@pytest.mark.parametrize("code", ["AccessDenied", "Client.DryRunOperation", "ThrottlingException"])
def test_a_refused_call_touches_nothing_and_passes_no_rule(any_account: Account, name: str, code: str) -> None:
    event = changed(SAMPLES[name]["event"], ("detail", "errorCode"), code)

    assert meaning(any_account, event) == Meaning()
    assert not passes(event)


@every_api_call
@pytest.mark.parametrize("verb", ["Describe", "Get", "List"])
def test_a_call_that_only_reads_passes_no_rule(name: str, verb: str) -> None:
    event = SAMPLES[name]["event"]

    assert not passes(changed(event, ("detail", "eventName"), verb + event["detail"]["eventName"]))


@pytest.mark.parametrize("name", [name for name in API_CALLS if SAMPLES[name]["touches"]])
def test_a_call_without_parameters_and_answer_is_unresolved(any_account: Account, name: str) -> None:
    event = deepcopy(SAMPLES[name]["event"])
    event["detail"] |= {"requestParameters": None, "responseElements": None}
    event["detail"].pop("resources", None)

    assert meaning(any_account, event) == Meaning(unresolved=True)


@every_sample
def test_whatever_shape_a_part_of_an_event_has_it_is_understood_or_unresolved(any_account: Account, name: str) -> None:
    event = deepcopy(SAMPLES[name]["event"])

    for place, step in places(event["detail"]):
        before = place[step]
        for shape in SHAPES:
            place[step] = shape
            for one in meaning(any_account, event).touched:
                assert all(isinstance(id_, str) for id_ in (one.key, *one.ended))
        place[step] = before


@pytest.mark.parametrize("name", [name for name, one in SAMPLES.items() if "deletes" in one])
def test_what_aws_does_not_know_any_more_is_deleted(account: Callable[..., TestAccount], name: str) -> None:
    kinds = {kind for kind, _, _ in SAMPLES[name]["touches"]}
    opened = account(*[resource for resource in ALL if resource.kind in kinds])

    assert opened.after(SAMPLES[name]["event"]).deleted == set(SAMPLES[name]["deletes"])


def test_every_declared_event_has_a_sample() -> None:
    sampled = {name_of(one["event"]) for one in SAMPLES.values()}
    declared = {
        (change.native or change.source or resource.cloudtrail_source, name)
        for resource, change in derived.declared_changes()
        for name in change.names
    }

    assert not declared - sampled


def name_of(event: Json) -> tuple[str, str]:
    """Source and name of an event, as they are declared."""
    if event["detail-type"] == API_CALL:
        return event["detail"]["eventSource"], VERSION_SUFFIX.sub("", event["detail"]["eventName"])
    return event["source"], event["detail-type"]


def places(detail: Json) -> list[tuple[Any, Any]]:
    """Where in an event's detail there may be an id, or a structure or list on the way to one."""
    leaves_out = {"userIdentity", "eventName", "eventSource", "errorCode"}
    found: list[tuple[Any, Any]] = [(detail, name) for name in detail if name not in leaves_out]
    for place, step in found:
        inner = place[step]
        found += [(inner, one) for one in (inner if isinstance(inner, dict) else ())]
        found += [(inner, number) for number in range(len(inner) if isinstance(inner, list) else 0)]
    return found


def changed(event: Json, path: tuple[Any, ...], value: Any) -> Json:
    """A copy of the event with another value at the path."""
    copy = deepcopy(event)
    place: Any = copy
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return copy
