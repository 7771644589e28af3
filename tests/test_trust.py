"""Whatever fails, and whenever: nothing is deleted at the receiver that AWS has, and in the end both are the same.

Hypothesis lives the life of an account: things come, change, refer to each other and go; events of it come late, twice,
out of order or never; snapshots and batches of events stand still anywhere, fail or are killed; what is kept is lost.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from local.topology import Refused
from tests.model import FAULTS, REFERS_TO, RESOURCES, SERVICES, Thing
from tests.trust import CLOCK, HOUR, World, worlds
from topology.gather import Gathered
from topology.known import Known
from topology.snapshot import Run
from topology.state import StateStore

NAMES = st.sampled_from(["a", "b", "c", "d", "e"])
ENDS = st.lists(NAMES, max_size=3, unique=True).map(tuple)
ALTERATION = st.tuples(st.sampled_from(list(RESOURCES)), NAMES, ENDS, st.sampled_from(["", "p"]))
FEW = st.integers(0, 9)
STEPS = st.integers(1, 60)
MOSTLY = st.sampled_from([True, True, True, False])
TROUBLE = st.one_of(
    st.tuples(st.just("spoil"), FEW, st.sampled_from(["lost", "cut", "flipped", "older"])),
    st.tuples(st.just("bucket fails"), st.lists(st.booleans(), max_size=8)),
    st.tuples(st.just("stream refuses"), st.lists(st.sampled_from(["", "0", "1", "2", "lost"]), max_size=4)),
    st.tuples(
        st.just("stream cannot be read"),
        st.lists(st.sampled_from(["", "ProvisionedThroughputExceededException", "Expired"]), max_size=4),
    ),
    st.tuples(st.just("stream shows late"), st.integers(0, 3)),
    st.tuples(st.just("split")),
    st.tuples(st.just("a day passes")),
)
# What there is at first. One thing stays for ever, since an account in which nothing is seen is not believed.
FIRST = {
    ("ec2.group", "permanent"): Thing(0),
    ("ec2.group", "a"): Thing(0),
    ("ec2.instance", "a"): Thing(0, ("a",), "p"),
    ("ec2.instance", "b"): Thing(0, ("a", "b"), "p"),
    ("sqs.queue", "a"): Thing(0, ("a",)),
    ("cloudformation.stack", "a"): Thing(0, ("a", "b")),
}
# How much happens, at least, until all is brought to rest.
LIVELY = 6


class Trust(RuleBasedStateMachine):
    """The life of an account, after a first snapshot."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        CLOCK[:] = [self.world]
        for (kind, name), thing in FIRST.items():
            self.world.change(kind, name, thing, told=False)
        self.unknown = True
        """Whether something may be at the receiver that only a whole snapshot puts right."""
        self.happened = 0
        self.healthy_run()

    def alter(self, kind: str, name: str, ends: tuple[str, ...], shares: str, *, told: bool) -> None:
        """Create or change a thing: attach it to others, or detach it."""
        ends, shares = ends if kind in REFERS_TO else (), shares if kind == "ec2.instance" else ""
        self.world.change(kind, name, Thing(self.world.changes, ends, shares), told=told)
        self.unknown |= not told

    @rule(alterations=st.lists(ALTERATION, min_size=1, max_size=3), told=MOSTLY)
    def change(self, alterations: list[tuple[str, str, tuple[str, ...], str]], told: bool) -> None:
        self.happened += 1
        for alteration in alterations:
            self.alter(*alteration, told=told)

    @rule(alteration=ALTERATION)
    def touch(self, alteration: tuple[str, str, tuple[str, ...], str]) -> None:
        self.happened += 1
        self.alter(*alteration, told=True)

    @rule(which=FEW, told=MOSTLY)
    def delete(self, which: int, told: bool) -> None:
        self.happened += 1
        there = [(kind, name) for kind, things in self.world.cloud.things.items() for name in sorted(things)]
        kind, name = there[which % len(there)]
        if name != "permanent":
            self.world.change(kind, name, None, told=told)
            self.unknown |= not told

    @precondition(lambda self: self.world.queue)
    @rule(picks=st.lists(FEW, min_size=1, max_size=4), container=st.integers(0, 2), twice=st.booleans(), steps=STEPS)
    def look(self, picks: list[int], container: int, twice: bool, steps: int) -> None:
        """Begin a batch of some events, in whatever order; SQS may deliver them to somebody else as well."""
        self.happened += 1
        queue = self.world.queue
        messages = [queue[pick] for pick in dict.fromkeys(pick % len(queue) for pick in picks)]
        process = self.world.look(messages, container)
        if process:
            self.world.queue += messages if twice else []
            process.advance(steps)

    @rule(alteration=ALTERATION, ends=ENDS, steps=st.integers(1, 15))
    def overtake(self, alteration: tuple[str, str, tuple[str, ...], str], ends: tuple[str, ...], steps: int) -> None:
        """A batch that began earlier stands still, while another looks at the same thing, changed since, and writes."""
        self.happened += 1
        kind, name, before, shares = alteration
        for container, now in enumerate((before, ends)):
            self.alter(kind, name, now, shares, told=True)
            process = self.world.look(self.world.queue[-1:], container)
            if process:
                process.advance(1_000_000 if container else steps)

    @precondition(lambda self: self.world.queue)
    @rule()
    def hear(self) -> None:
        """Deliver what is in the queue, all at once."""
        self.happened += 1
        process = self.world.look(self.world.queue, 3)
        assert process
        process.advance()

    @rule(again=st.booleans(), patience=st.one_of(st.none(), st.integers(0, 30)), steps=STEPS)
    def begin(self, again: bool, patience: int | None, steps: int) -> None:
        """Begin a run of topo-cron, with enough time or with too little."""
        self.happened += 1
        self.world.run(again=again, patience=1_000_000 if patience is None else patience).advance(steps)

    @rule(service=st.sampled_from(SERVICES), fault=st.sampled_from(list(FAULTS)), page=st.integers(0, 4))
    def faulty_snapshot(self, service: str, fault: str, page: int) -> None:
        self.snapshot(service, fault, page)

    def snapshot(self, service: str, fault: str, page: int) -> None:
        """A run of topo-cron in which a service fails, from some request on."""
        self.happened += 1
        self.world.cloud.faults[service] = fault, page
        self.world.run().advance()
        self.world.cloud.faults.clear()

    @rule(alteration=ALTERATION, gone=st.booleans(), steps=STEPS)
    def meanwhile(self, alteration: tuple[str, str, tuple[str, ...], str], gone: bool, steps: int) -> None:
        """A change, and the word on it, while a run of topo-cron stands still."""
        self.happened += 1
        process = self.world.run()
        process.advance(steps)
        self.alter(*alteration, told=not gone)
        if gone:
            self.world.change(*alteration[:2], None)
        look = self.world.look(self.world.queue[-1:], 2)
        if look:
            look.advance()
        process.advance()

    @rule(alteration=ALTERATION, steps=st.integers(20, 70))
    def die(self, alteration: tuple[str, str, tuple[str, ...], str], steps: int) -> None:
        """A run that sees what nobody told is killed, and the next cannot read the like of it."""
        self.happened += 1
        self.alter(*alteration, told=False)
        process = self.world.run()
        process.advance(steps)
        process.kill()
        self.world.publish()
        self.snapshot(alteration[0].partition(".")[0], "throttled", 0)

    @precondition(lambda self: self.world.processes)
    @rule(which=FEW, steps=STEPS)
    def advance(self, which: int, steps: int) -> None:
        self.world.processes[which % len(self.world.processes)].advance(steps)

    @precondition(lambda self: self.world.processes)
    @rule(which=FEW, how=st.sampled_from(["finish", "finish", "kill"]))
    def end(self, which: int, how: str) -> None:
        process = self.world.processes[which % len(self.world.processes)]
        if how == "kill":
            process.kill()
        process.advance()

    @rule(size=st.integers(1, 12), patience=st.one_of(st.just(-1), st.integers(0, 12)))
    def publish(self, size: int, patience: int) -> None:
        self.world.publish(size, patience)

    @rule(service=st.sampled_from(SERVICES), fault=st.sampled_from(["", *FAULTS]), page=st.integers(0, 4))
    def fail(self, service: str, fault: str, page: int) -> None:
        """From now on, and from some request of a process on; or no more."""
        self.world.cloud.faults.pop(service, None)
        if fault:
            self.world.cloud.faults[service] = fault, page

    @rule(trouble=TROUBLE)
    def trouble(self, trouble: tuple[Any, ...]) -> None:
        """With what the functions rest upon."""
        match trouble:
            case "spoil", which, how:
                self.unknown |= self.world.bucket.spoil(which, how)
            case "bucket fails", failures:
                self.world.bucket.failures = failures
            case "stream refuses", faults:
                self.world.kinesis.faults = faults
            case "stream cannot be read", codes:
                self.world.kinesis.unreadable = codes
                self.unknown |= "Expired" in codes
            case "stream shows late", lag:
                self.world.kinesis.lag = lag
            case ("split",):
                self.world.kinesis.split()
            case ("a day passes",):
                self.world.now += 25 * HOUR

    @invariant()
    def nothing_is_deleted_that_is_there(self) -> None:
        assert self.world.wrongly_deleted() == set()

    def rest(self) -> None:
        """Nothing fails any more, and all that began comes to its end."""
        self.happened = 0
        self.world.mend()
        self.world.quiet()

    @precondition(lambda self: self.happened >= LIVELY)
    @rule()
    def all_events_lead_to_the_truth(self) -> None:
        """Where nothing was lost since the last whole snapshot."""
        self.rest()
        self.world.hear()
        self.world.drain()
        if not (self.unknown or self.world.unclosed):
            self.world.settled()

    @precondition(lambda self: self.happened >= LIVELY)
    @rule()
    def a_healthy_run_leads_to_the_truth(self) -> None:
        """Late events are still to come, which then tell nothing new."""
        self.rest()
        self.healthy_run()

    def healthy_run(self) -> None:
        self.world.run().advance()
        assert self.world.ledgers[-1].not_closed_because == []
        self.world.drain()
        self.world.settled()
        self.unknown = self.world.unclosed = False

    def teardown(self) -> None:
        self.all_events_lead_to_the_truth()
        self.a_healthy_run_leads_to_the_truth()


# About half a minute of lives; TRUST=20000 looks longer.
EXAMPLES = int(os.environ.get("TRUST", "400"))
SEED = int(os.environ.get("SEED", "1"))


def lives(examples: int, **how: Any) -> None:
    """Live so many lives, the same in every process."""
    some = settings(
        max_examples=examples,
        stateful_step_count=40,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
        **{"phases": [Phase.generate, Phase.shrink], **how},
    )
    run_state_machine_as_test(seed(SEED)(Trust), settings=some)


@pytest.fixture(autouse=True)
def quiet_world() -> Iterator[None]:
    with worlds():
        yield


def test_whatever_fails_nothing_is_wrongly_deleted_and_all_ends_in_the_truth() -> None:
    lives(EXAMPLES)


# ------------------------------------------------------------------------------------------ what the lives would notice


def kept_last() -> Callable[[pytest.MonkeyPatch], None]:
    """Readings are kept at the end of a run, in place of before anything is published."""
    late: list[tuple[StateStore, Any]] = []
    keep, keep_links = StateStore.keep, StateStore.keep_links

    def at_the_end(self: StateStore, records: Sequence[bytes]) -> None:
        for store, reading in late:
            keep(store, reading)
        late.clear()
        keep_links(self, records)

    def patch(patches: pytest.MonkeyPatch) -> None:
        patches.setattr(StateStore, "keep", lambda self, reading: late.append((self, reading)))
        patches.setattr(StateStore, "keep_links", at_the_end)

    return patch


def replaced(target: str, value: Any) -> Callable[[pytest.MonkeyPatch], None]:
    """Something is replaced."""
    return lambda patches: patches.setattr(target, value)


def unheard(self: Known, *arguments: Any, heard: Any = Known.catch_up) -> set[Any]:
    """As if nobody else had told of anything."""
    heard(self, *arguments)
    return set()


def published_blindly(self: Run, found: Gathered) -> None:
    """Nobody looks at what was told since the readings were settled."""
    assert self._stream
    self._stream.write(self.records(found))


# Each takes away one of the things that trust rests upon.
MUTANTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "what could not be read counts as read": replaced("topology.ledger.ScopeLine.complete", True),
    "a snapshot is closed with nothing to replay": replaced("topology.ledger.Ledger.closed", True),
    "what was told while it was read is ignored": replaced(
        "topology.snapshot.Run._with_news", lambda _, outcome: outcome.records
    ),
    "readings are kept last": kept_last(),
    "nobody looks again after somebody else's word": replaced("topology.changes.Known.catch_up", unheard),
    "what was told since is not replayed": replaced(
        "topology.snapshot._known", lambda old, _: (list(old.records) if old else [], old is not None)
    ),
    "what refers to a thing that comes back is not told again": replaced("topology.changes._referring", lambda *_: []),
    "stacks lose their links to what is replayed": replaced("topology.links.Names.add_items", lambda *_: None),
    "the start is not put again for what came before it": replaced("topology.snapshot.Run.publish", published_blindly),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_the_lives_notice_if(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    MUTANTS[name](monkeypatch)

    with pytest.raises((AssertionError, Refused)):
        lives(2000, phases=[Phase.generate], report_multiple_bugs=False)
