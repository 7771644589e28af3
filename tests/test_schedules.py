"""Thousands of ways for stream, receiver, bucket and processes to fail: the receiver ends with the truth.

A schedule is a life of the account: changes with and without events, snapshots whole and broken off, in slices with
deltas between them, put twice or out of place; then batches of any size, answers of any kind, processes killed before
any step, and the trigger started again from its last checkpoint.
"""

import base64
import importlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.delivery import OLDEST_SECONDS, Truth, World
from topology.elements import Component
from topology.records import Record

# About a minute of them; SCHEDULES=20000 looks longer.
MANY = settings(
    max_examples=int(os.environ.get("SCHEDULES", "1500")), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)

# Of processes that were killed before they had any.
pytestmark = pytest.mark.filterwarnings("ignore:No application metrics")

NAMES = st.sampled_from(["a", "b", "c", "d", "e", "f", "poison 1", "poison 2"])
# What no schedule deletes: once the receiver has it, it may never be without it.
PERMANENT = {"a", "b", "c"}
STEPS = st.lists(
    st.tuples(st.sampled_from(["create", "delete"]), NAMES).filter(lambda s: s[0] == "create" or s[1] not in PERMANENT),
    min_size=1,
    max_size=3,
)
CHANGE = st.tuples(st.just("change"), STEPS, st.booleans())
SNAPSHOT = st.tuples(
    st.just("snapshot"),
    st.integers(1, 5),  # elements in a slice
    st.sampled_from([True, True, False]),  # whether it is complete
    st.dictionaries(st.integers(1, 6), STEPS, max_size=3),  # deltas between its records
    st.one_of(st.none(), st.integers(1, 6)),  # after how many records topo-cron dies
    st.sets(st.integers(1, 6), max_size=2),  # records that Kinesis refuses the first time
)
RUN = st.tuples(st.just("run"), st.lists(st.integers(1, 9), max_size=5), st.lists(st.booleans(), max_size=3))
OUTAGE = st.tuples(st.just("outage"))
JUNK = st.tuples(st.just("junk"))
LIFE = st.lists(st.one_of(CHANGE, CHANGE, SNAPSHOT, SNAPSHOT, RUN, OUTAGE, JUNK), max_size=10)
TOLD = st.lists(st.one_of(CHANGE.map(lambda change: (*change[:2], True)), SNAPSHOT, RUN), max_size=10)
FAULTS = st.lists(
    st.sampled_from(["none", "none", "none", "reset", "lost", "503", "429", "500", "403", "200", "302", "404"]),
    max_size=30,
)


@pytest.fixture(scope="module")
def handler() -> Iterator[Any]:
    """topo-publisher's handler, silent."""
    silent = {
        "AWS_REGION": "eu-west-1",
        "STACKSTATE_BASE_URL": "https://stackstate.example/receiver",
        "STACKSTATE_API_KEY": "key",
        "POWERTOOLS_METRICS_NAMESPACE": "test",
        "POWERTOOLS_METRICS_DISABLED": "true",
        "POWERTOOLS_SERVICE_NAME": "test",
        "POWERTOOLS_LOG_LEVEL": "CRITICAL",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in silent.items():
            patch.setenv(name, value)
        sys.modules.pop("topo_publisher.handler", None)
        yield importlib.import_module("topo_publisher.handler")
        sys.modules.pop("topo_publisher.handler", None)


def live(world: World, truth: Truth, life: list[Any]) -> None:
    """Let it all happen."""
    for number, (what, *how) in enumerate(life):
        if what == "change":
            steps, told = how
            delta = truth.change(steps, told=told)
            world.put(*([delta] if delta else []))
        elif what == "snapshot":
            put_snapshot(world, truth, f"s{number}", *how)
        elif what == "run":
            world.run(*how)
        elif what == "outage":  # nothing was delivered since the last run, and now it is too old
            world.now += OLDEST_SECONDS + 1
        else:
            world.put(b"junk")


def put_snapshot(
    world: World,
    truth: Truth,
    name: str,
    slice_elements: int,
    complete: bool,
    deltas: dict[int, list[tuple[str, str]]],
    dies: int | None,
    refused: set[int],
) -> None:
    """Write a snapshot as topo-cron and PutRecords do: from the first refused record on, everything comes again."""
    records = truth.snapshot(name, slice_elements, complete=complete)
    again = min(refused & set(range(len(records))), default=len(records))
    written = [index for index in range(len(records)) if index not in refused] + list(range(again, len(records)))
    for count, index in enumerate(written):
        if count == dies:
            return
        if count in deltas and (delta := truth.change(deltas.pop(count), told=True)):
            world.put(delta)
        world.put(records[index])


def expected(truth: Truth, *, poison: bool) -> dict[str, str]:
    return {
        id_: orjson.dumps(element.data).decode()  # type: ignore[union-attr]
        for id_, element in truth.there.items()
        if poison or not ("poison" in id_ and isinstance(element, Component))
    }


def state(world: World) -> dict[str, str]:
    return {id_: orjson.dumps(orjson.loads(data)).decode() for id_, data in world.intake.state().items()}


@dataclass
class Schedule:
    """A life of the account, and everything that fails meanwhile."""

    life: list[Any]
    faults: list[str]
    bucket_failures: list[bool]
    kills: list[int]
    """Steps after which the processes are killed; -1: they live on."""
    sizes: list[int]
    """Of the last batches."""
    stops: list[bool]
    """Whether the trigger is ended at its next pause."""

    def lived(self, handler: Any) -> tuple[World, Truth]:
        """A world in which the receiver had one snapshot without failures, and then all this happened."""
        world, truth = World(handler, [], [], []), Truth()
        truth.change([("create", name) for name in sorted(PERMANENT)], told=False)
        world.put(*truth.snapshot("first", 2, complete=True))
        world.run([], [])
        world.fail(self.faults, self.bucket_failures, self.kills)
        live(world, truth, self.life)
        return world, truth


def schedules(life: st.SearchStrategy[list[Any]]) -> st.SearchStrategy[Schedule]:
    return st.builds(
        Schedule,
        life=life,
        faults=FAULTS,
        bucket_failures=st.lists(st.booleans(), max_size=6),
        kills=st.lists(st.integers(-1, 25), max_size=8),
        sizes=st.lists(st.integers(1, 12), max_size=8),
        stops=st.lists(st.booleans(), max_size=6),
    )


@settings(MANY)
@given(schedule=schedules(LIFE))
def test_whatever_fails_the_receiver_ends_with_the_newest_state_of_everything(handler: Any, schedule: Schedule) -> None:
    """Records that grew too old, changes without events and junk: the next snapshot makes up for all of it."""
    world, truth = schedule.lived(handler)

    world.put(*truth.snapshot("last", 3, complete=True))
    world.run(schedule.sizes, schedule.stops)

    assert state(world) == expected(truth, poison=False)
    assert all(closed.keys() >= PERMANENT for closed in world.intake.closed)
    assert world.intake.marks.count("stop") >= 2
    set_aside(world, truth)


@settings(MANY)
@given(schedule=schedules(TOLD))
def test_where_nothing_grows_too_old_changes_alone_lead_to_the_newest_state(handler: Any, schedule: Schedule) -> None:
    """Snapshots are in between, and may be late, broken off or repeated: they set nothing back."""
    world, truth = schedule.lived(handler)

    world.run(schedule.sizes, schedule.stops)

    assert state(world) == expected(truth, poison=False)
    assert all(closed.keys() >= PERMANENT for closed in world.intake.closed)


def set_aside(world: World, truth: Truth) -> None:
    """Poison is in the bucket, can be put on the stream again, and does no harm there."""
    letters = world.dead_letters()
    refused = [orjson.loads(body) for key, body in letters.items() if key.startswith("dead-letters/refused/")]
    for id_, element in truth.there.items():
        if "poison" in id_ and isinstance(element, Component):
            wanted = {"externalId": id_, "type": {"name": "aws.ec2"}, "data": element.data}
            assert any(wanted in letter["components"] for letter in refused)
    junk = sum(record == b"junk" for record in map(data_of, world.shard))
    assert sum(body == b"junk" for body in letters.values()) + world.given_up.count(b"junk") >= junk

    world.intake.poisonous = False
    for letter in refused:
        assert "poison" in letter["reason"]
        record = Record.decode(base64.b64decode(letter["record"]))
        assert (record.snapshot, record.start, record.stop) == ("", False, False)
        world.put(record.encode())
    world.put(*truth.snapshot("replayed", 3, complete=True))
    world.run([], [])
    assert state(world) == expected(truth, poison=True)


def data_of(record: dict[str, Any]) -> bytes:
    return base64.b64decode(record["kinesis"]["data"])
