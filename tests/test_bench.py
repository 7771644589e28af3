"""The benchmark's own account, small: a snapshot sees all of it, in few calls, whatever AWS refuses."""

import copy
import time
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest

from bench.__main__ import ACCOUNT, COLLECT, FLOOR
from bench.measure import Server, serving
from tests.account import ACCOUNT_ID, REGION, Findings, findings
from tests.model import Bucket
from tests.trust import Receiver
from topology.collect import Account, snapshot
from topology.elements import Incomplete, LeftOut
from topology.gather import PUBLISHING_SECONDS
from topology.ledger import Ledger
from topology.records import Record
from topology.resources import ALL
from topology.snapshot import Run
from topology.state import StateStore

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
    server.ask("/__config", {"latency_ms": 0, "throttle_rate": 0, "deny": [], "throttle": [], "slow": []})


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


# ---------------------------------------------------------------- what the receiver is left with

GONE = "something that left AWS"
# Longer than a snapshot of this account takes, and shorter than an operation that is slow.
LIMIT_SECONDS = 0.6
SLOW_MS = 1000


def snapshot_into(receiver: Receiver, bucket: Bucket, account: Account, seconds: float = float("inf")) -> Ledger:
    """A run without a stream, which has so many seconds for reading; all it publishes goes to the receiver."""
    end = time.monotonic() + PUBLISHING_SECONDS + seconds
    store = StateStore(bucket, "bucket", "state/1000/")
    run = Run([account], Record("aws", ACCOUNT_ID, "run"), store, remaining=lambda: end - time.monotonic())
    found = run.read()
    run.settle(found)
    for data in run.records(found):
        receiver.post(Record.decode(data))
    run.end()
    return run.ledger


def impatient(monkeypatch: pytest.MonkeyPatch) -> Account:
    """The account, whose calls are tried twice, without a pause between."""
    monkeypatch.setattr("topology.aws.ATTEMPTS", 2)
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.0)
    monkeypatch.setattr("topology.pace.LONGEST_PAUSE_SECONDS", 0.0)
    return Account.open(boto3.Session(region_name=REGION), ACCOUNT_ID, (REGION,), ALL)


FAULTS: dict[str, Callable[[str], dict[str, Any]]] = {
    "denied": lambda operation: {"deny": [operation]},
    "throttled": lambda operation: {"throttle": [operation]},
    "slow": lambda operation: {"slow": [operation], "slow_ms": SLOW_MS},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_api_fails_the_receiver_keeps_what_it_had_and_loses_what_is_gone(
    server: Server, opened: Account, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    account = impatient(monkeypatch)
    server.ask("/__calls/reset", {})
    whole, bucket = Receiver(), Bucket(lambda: None)
    assert snapshot_into(whole, bucket, account).closed
    had = whole.components().keys()
    relations = whole.relations().keys()
    gone = Record("aws", ACCOUNT_ID)
    gone.lines["components"] = [f'{{"externalId":"{GONE}","type":{{"name":"aws.sqs"}},"data":{{}}}}'.encode()]
    whole.post(gone)

    unread, opened_up, lost = [], [], {}
    for operation in server.ask("/__calls")["by_operation"]:
        receiver, kept = copy.deepcopy(whole), Bucket(lambda: None)
        kept.objects = dict(bucket.objects)
        server.ask("/__config", {"deny": [], "throttle": [], "slow": []} | FAULTS[fault](operation))
        ledger = snapshot_into(receiver, kept, account, LIMIT_SECONDS if fault == "slow" else float("inf"))
        if not ledger.closed or GONE in receiver.components():
            opened_up.append(operation)
        if not (ledger.incomplete or ledger.left_out):
            unread.append(operation)
        if missing := had - receiver.components().keys():
            lost[operation] = missing
        if fault != "denied" and (missing := relations - receiver.relations().keys()):
            lost[operation] = missing

    assert (unread, opened_up, lost) == ([], [], {})
