"""The benchmark's own account, small: a snapshot sees all of it, in few calls, whatever AWS refuses."""

from collections.abc import Iterator

import boto3
import pytest

from bench.__main__ import ACCOUNT, COLLECT, FLOOR
from bench.measure import Server, serving
from tests.account import ACCOUNT_ID, REGION, Findings, findings
from topology.collect import Account, snapshot
from topology.elements import Incomplete, LeftOut
from topology.resources import ALL

SCALE = 5
# Beyond the floor, every service may once have a batch that is not full.
SERVICES = len({resource.service for resource in ALL})


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(ACCOUNT, SCALE) as server:
        yield server


@pytest.fixture
def opened(server: Server, credentials: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint)
    yield Account.open(boto3.Session(region_name=REGION), ACCOUNT_ID, (REGION,), ALL)
    server.ask("/__config", {"latency_ms": 0, "throttle_rate": 0, "deny": []})


def seen(account: Account) -> tuple[Findings, frozenset[str]]:
    found = findings(account, list(snapshot([account])))
    return found, frozenset(found.components)


def test_the_account_has_a_resource_of_every_type_that_is_declared(server: Server) -> None:
    seeded = {entry["kind"] for entry in server.ask("/__inventory")}
    declared = {type_ for resource in ALL for type_ in resource.components}

    assert declared - seeded <= {"aws.elb_v2_network", "aws.elb_v2_gateway"}


def test_a_snapshot_sees_everything_that_was_seeded(server: Server, opened: Account) -> None:
    found, ids = seen(opened)

    assert server.unseen(ids) == {}
    assert [*found.incomplete, *found.left_out] == []


def test_a_snapshot_takes_few_more_calls_than_the_floor(server: Server) -> None:
    ours = server.measured(COLLECT)
    floor = server.measured(FLOOR)

    assert ours.report["snapshot_complete"]
    assert floor.report["errors"] == []
    assert sum(ours.calls.values()) <= 1.1 * sum(floor.calls.values()) + SERVICES


def test_no_call_is_made_twice(server: Server, opened: Account) -> None:
    server.ask("/__calls/reset", {})
    seen(opened)

    assert server.ask("/__calls")["repeated"] == []


def test_a_denied_call_is_named_and_costs_no_other_service_anything(server: Server, opened: Account) -> None:
    server.ask("/__calls/reset", {})
    whole, everything = seen(opened)
    service_of = {type_: resource.service for resource in ALL for type_ in resource.components}

    unnamed, lost_elsewhere, lost_silently = [], [], []
    for operation in server.ask("/__calls")["by_operation"]:
        server.ask("/__config", {"deny": [operation]})
        found, ids = seen(opened)
        failures: list[Incomplete | LeftOut] = [*found.incomplete, *found.left_out]
        lost = everything - ids
        if {failure.error.action for failure in failures} != {action_of(opened, operation)}:
            unnamed.append(operation)
        if {service_of[whole.components[id_].type] for id_ in lost} - {operation.partition(":")[0]}:
            lost_elsewhere.append(operation)
        if lost and not found.incomplete:
            lost_silently.append(operation)

    assert (unnamed, lost_elsewhere, lost_silently) == ([], [], [])


def action_of(account: Account, operation: str) -> str:
    """The IAM action of an operation that the server counted, such as `s3:ListBuckets`."""
    for aws in account.clients.values():
        for call in (call for resource in ALL for call in resource.calls if call.service in aws.clients):
            name = aws.clients[call.service].meta.method_to_api_mapping[call.operation]
            if f"{call.service}:{name}" == operation:
                return aws.action(call)
    raise AssertionError(f"{operation} is not declared")


@pytest.mark.parametrize("rate", [0.05, 0.3])
def test_throttling_loses_nothing(server: Server, opened: Account, rate: float) -> None:
    server.ask("/__config", {"throttle_rate": rate})
    server.ask("/__calls/reset", {})
    found, ids = seen(opened)

    assert server.ask("/__calls")["throttled"] > 0
    assert server.unseen(ids) == {}
    assert [*found.incomplete, *found.left_out] == []
