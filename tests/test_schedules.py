"""Thousands of ways for stream, receiver, bucket and processes to fail: the receiver ends with the truth.

A schedule is a life of the account: changes with and without events, snapshots whole and broken off, in slices with
deltas between them, put twice or out of place; then batches of any size, answers of any kind, processes killed before
any step, and the trigger started again from its last checkpoint.
"""

import base64
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.delivery import OLDEST_SECONDS, Truth, World, silent_handler
from topology.elements import Component
from topology.progress import Progress
from topology.records import Record

# About a minute of them, unless the machine is busy; SCHEDULES=20000 looks longer.
MANY = settings(
    max_examples=int(os.environ.get("SCHEDULES", "1000")), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)

# Of processes that were killed before they had any.
pytestmark = pytest.mark.filterwarnings("ignore:No application metrics")

NAMES = st.sampled_from(["a", "b", "c", "d", "e", "f", "poison 1", "poison 2"])
# Between any two things that happen; less than clocks may differ.
SECONDS = 40
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
    st.one_of(st.none(), st.integers(1, 4)),  # from which record on all come again, since an answer was lost
    st.lists(STEPS, max_size=2),  # deltas for which the start is put again
)
RUN = st.tuples(st.just("run"), st.lists(st.integers(1, 9), max_size=5), st.lists(st.booleans(), max_size=3))
OUTAGE = st.tuples(st.just("outage"))
JUNK = st.tuples(st.just("junk"))
LIFE = st.lists(st.one_of(CHANGE, CHANGE, SNAPSHOT, SNAPSHOT, RUN, OUTAGE, JUNK), max_size=10)
TOLD = st.lists(st.one_of(CHANGE.map(lambda change: (*change[:2], True)), SNAPSHOT, RUN), max_size=10)
NOTHING: st.SearchStrategy[list[Any]] = st.just([])
FAULTS = st.lists(
    st.sampled_from(["none", "none", "none", "reset", "lost", "503", "429", "500", "403", "200", "302", "404"]),
    max_size=30,
)


@pytest.fixture(scope="module")
def handler() -> Iterator[Any]:
    with silent_handler() as one:
        yield one


def live(world: World, truth: Truth, life: list[Any]) -> None:
    """Let it all happen."""
    for number, (what, *how) in enumerate(life):
        world.now += SECONDS
        if what == "change":
            steps, told = how
            delta = truth.change(steps, told=told)
            world.put(*([delta] if delta else []))
        elif what == "snapshot":
            put_snapshot(world, truth, f"s{number}-{len(world.shard)}", *how)
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
    unanswered: int | None,
    restarts: list[list[tuple[str, str]]],
) -> None:
    """Write a snapshot as topo-cron and PutRecords do: from the first refused record on, everything comes again."""
    began = world.now
    deltas = dict(deltas)
    for steps in restarts:
        world.put(truth.snapshot(name, slice_elements, complete=complete)[0])
        if delta := truth.change(steps, told=True):
            world.put(delta)
    records = truth.snapshot(name, slice_elements, complete=complete)
    again = min(refused & set(range(len(records))), default=len(records))
    written = [index for index in range(len(records)) if index not in refused] + list(range(again, len(records)))
    if unanswered is not None:
        written += range(unanswered, len(records))
    for count, index in enumerate(written):
        if count == dies:
            return
        if count in deltas and (delta := truth.change(deltas.pop(count), told=True)):
            world.put(delta)
        world.put(records[index])
        world.now += SECONDS
    if complete:
        world.wrote(name, began)


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
    afterwards: list[Any]
    """How life goes on."""

    def lived(self, handler: Any) -> tuple[World, Truth]:
        """A world in which the receiver had one snapshot without failures, and then all this happened."""
        world, truth = World(handler, [], [], []), Truth()
        truth.change([("create", name) for name in sorted(PERMANENT)], told=False)
        world.put(*truth.snapshot("first", 2, complete=True))
        world.run([], [])
        world.fail(self.faults, self.bucket_failures, self.kills)
        live(world, truth, self.life)
        return world, truth


def schedules(
    life: st.SearchStrategy[list[Any]], afterwards: st.SearchStrategy[list[Any]] = NOTHING
) -> st.SearchStrategy[Schedule]:
    return st.builds(
        Schedule,
        life=life,
        faults=FAULTS,
        bucket_failures=st.lists(st.booleans(), max_size=6),
        kills=st.lists(st.integers(-1, 25), max_size=8),
        sizes=st.lists(st.integers(1, 12), max_size=8),
        stops=st.lists(st.booleans(), max_size=6),
        afterwards=afterwards,
    )


def newest_of_everything(handler: Any, schedule: Schedule) -> None:
    """Records that grew too old, changes without events and junk: the next snapshot makes up for all of it."""
    world, truth = schedule.lived(handler)

    world.put(*truth.snapshot("last", 3, complete=True))
    world.run(schedule.sizes, schedule.stops)

    assert state(world) == expected(truth, poison=False)
    assert all(closed.keys() >= PERMANENT for closed in world.intake.closed)
    assert world.intake.marks.count("stop") >= 2
    set_aside(world, truth)


def changes_alone(handler: Any, schedule: Schedule) -> None:
    """Snapshots are in between, and may be late, broken off or repeated: they set nothing back."""
    world, truth = schedule.lived(handler)

    world.run(schedule.sizes, schedule.stops)

    assert state(world) == expected(truth, poison=False)
    assert all(closed.keys() >= PERMANENT for closed in world.intake.closed)


def whole_once(handler: Any, schedule: Schedule) -> None:
    """A whole snapshot tells what no event told; whatever breaks off after it, and wherever batches end."""
    world, truth = schedule.lived(handler)

    began = world.now
    world.put(*truth.snapshot("whole", 2, complete=True))
    world.wrote("whole", began)
    live(world, truth, schedule.afterwards)
    world.run(schedule.sizes, schedule.stops)

    assert state(world) == expected(truth, poison=False)
    assert all(closed.keys() >= PERMANENT for closed in world.intake.closed)


@settings(MANY)
@given(schedule=schedules(LIFE))
def test_whatever_fails_the_receiver_ends_with_the_newest_state_of_everything(handler: Any, schedule: Schedule) -> None:
    newest_of_everything(handler, schedule)


@settings(MANY)
@given(schedule=schedules(TOLD))
def test_where_nothing_grows_too_old_changes_alone_lead_to_the_newest_state(handler: Any, schedule: Schedule) -> None:
    changes_alone(handler, schedule)


@settings(MANY)
@given(schedule=schedules(LIFE, TOLD))
def test_a_whole_snapshot_is_made_up_for_by_nothing_less_than_another(handler: Any, schedule: Schedule) -> None:
    whole_once(handler, schedule)


def set_aside(world: World, truth: Truth) -> None:
    """Poison is in the bucket, can be put on the stream again, and does no harm there."""
    letters = world.dead_letters()
    refused = [orjson.loads(body) for key, body in letters.items() if key.startswith("dead-letters/1000/refused/")]
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


# ------------------------------------------------------------------------------------- what the schedules would notice


def a_snapshot(
    deltas: dict[int, Any] | None = None,
    dies: int | None = None,
    refused: tuple[int, ...] = (),
    again: int | None = None,
) -> tuple[Any, ...]:
    return "snapshot", 2, True, deltas or {}, dies, set(refused), again, []


def careless(progress: Progress, record: Record, after: Any = Progress.after) -> Progress:
    """As if all but the end had come."""
    following: Progress = after(progress, record)
    return replace(following, next=following.last) if following.snapshot else following


@dataclass
class Mutant:
    """Delivery without one of the things that it rests upon, and the schedules that suffer from it."""

    name: str
    target: str
    value: Any
    check: Callable[[Any, Schedule], None]
    life: list[Any]
    sizes: tuple[int, ...] = ()
    afterwards: tuple[Any, ...] = ()
    kills: int = 0
    """Steps of which each is once the last of a process."""
    refusals: int = 0
    """POSTs of which each is once refused."""
    behind: float = 900.0
    """Seconds after which topo-publisher looks for newer snapshots."""

    def schedules(self) -> Iterator[Schedule]:
        for at in range(max(self.kills, self.refusals, 1)):
            faults = ["403", *["none"] * at] if self.refusals else []
            kills = [at, -1] if self.kills else []
            yield Schedule(self.life, faults, [], kills, list(self.sizes), [], list(self.afterwards))


CREATED = ("change", [("create", "d")], True)
UNTOLD = ("change", [("create", "d")], False)
GONE = [("delete", "d")]
MUTANTS = [
    Mutant(
        "before a start, the snapshot before it is not noted as over",
        "topology.deliver.Delivery._end_before",
        lambda *_: None,
        changes_alone,
        [CREATED, a_snapshot(), a_snapshot()],
        sizes=(100, 4),
        kills=20,
        behind=float("inf"),
    ),
    Mutant(
        "what was delivered before a failure is not noted",
        "topology.deliver.Delivery._save_before_failing",
        lambda *_: None,
        changes_alone,
        [CREATED, a_snapshot({2: GONE})],
        refusals=10,
    ),
    Mutant(
        "snapshots that are over are forgotten",
        "topology.progress.Progress.ended",
        lambda _: Progress(),
        changes_alone,
        [CREATED, a_snapshot({6: GONE}, again=1)],
    ),
    Mutant(
        "a snapshot that broke off takes the place of an older one",
        "topology.order._whole",
        lambda _: True,
        whole_once,
        [UNTOLD],
        afterwards=(a_snapshot(dies=2),),
    ),
    Mutant(
        "a snapshot takes the place of a newer one",
        "topology.deliver.CLOCKS_SECONDS",
        -1e9,
        newest_of_everything,
        [a_snapshot(), UNTOLD],
    ),
    Mutant(
        "slices set back what deltas told",
        "topology.order._without",
        lambda lines, _: lines,
        changes_alone,
        [CREATED, a_snapshot({2: GONE})],
    ),
    Mutant(
        "an end is sent though something is missing",
        "topology.progress.Progress.after",
        careless,
        changes_alone,
        [a_snapshot(dies=4, refused=(1,))],
    ),
]


def noticed(handler: Any, mutant: Mutant) -> int:
    """How many of the schedules end wrong."""
    count = 0
    for schedule in mutant.schedules():
        try:
            mutant.check(handler, schedule)
        except AssertionError:
            count += 1
    return count


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_schedules_notice_if(mutant: Mutant, handler: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("topology.deliver.BEHIND_SECONDS", mutant.behind)
    assert not noticed(handler, mutant)

    monkeypatch.setattr(mutant.target, mutant.value)
    assert noticed(handler, mutant)
