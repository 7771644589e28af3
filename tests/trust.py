"""A world to try trust in: the model of AWS, the functions' own code in it as processes, and a strict receiver.

A process stands still before everything that it does to the world outside: so that any other process, a change of AWS
or the end of the process can come between any two steps. All of it is one thread, and happens again as it happened.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from greenlet import getcurrent, greenlet  # type: ignore[import-untyped]

from local.topology import Refused, Topologies
from tests.model import REGION, RESOURCES, Bucket, Cloud, Inline, Kinesis, ModelAws, Thing
from topology.changes import Batch, published
from topology.collect import Account
from topology.dead_letters import DeadLetters
from topology.deliver import Delivery
from topology.errors import AnotherRun, DeliveryError, Rejected, StorageFailed, StreamRefused, StreamUnreadable
from topology.known import Known
from topology.later import Later
from topology.ledger import Ledger
from topology.progress import ProgressStore
from topology.records import Record
from topology.snapshot import Rules, Run
from topology.state import StateStore
from topology.stream import Stream
from topology.tail import Tail

ACCOUNT_ID = "123456789012"
INSTANCE = ("aws", ACCOUNT_ID)
PREFIX = "state/1000/"
HOUR = 3600.0
# What an invocation has, and what is left of it when a run has to stop reading.
PLENTY_SECONDS = 900.0
LITTLE_SECONDS = 60.0
USUAL = Rules()
# What a run of topo-cron, or a batch of topo-cwevents, fails with; Lambda and SQS then try again.
FAILURES = (AnotherRun, StorageFailed, StreamRefused, StreamUnreadable)
NOTES = ("NotReadSince", "NotReadBecause")

Event = dict[str, Any]


class Killed(BaseException):
    """The end of a process, between any two steps."""


class Process:
    """Work that stands still before each of its steps.

    Args:
        work: what it does.
        began: when, in changes of AWS.
        ended: called when it is over, with whether it was killed, or failed.
    """

    def __init__(self, work: Callable[[], None], began: int, ended: Callable[[str], None]) -> None:
        self.began = began
        self.over = False
        self._killed = False
        self._work = work
        self._ended = ended
        self._greenlet = greenlet(self._run)

    def _run(self) -> None:
        how = ""
        try:
            self._work()
        except Killed:
            how = "killed"
        except FAILURES:
            how = "failed"
        self.over = True
        self._ended(how)

    def runs_in(self, current: greenlet) -> bool:
        """Whether it is what runs now."""
        return current is self._greenlet

    def stand(self) -> None:
        """From within: wait until the next step is due."""
        parent = self._greenlet.parent
        assert parent
        parent.switch()
        if self._killed:
            raise Killed

    def advance(self, steps: int = 1_000_000) -> None:
        """Let it take so many steps."""
        while steps and not self.over:
            self._greenlet.switch()
            steps -= 1

    def kill(self) -> None:
        """End it where it stands."""
        self._killed = True
        self.advance()


class Receiver:
    """StackState: takes POSTs strictly."""

    def __init__(self) -> None:
        self._topologies = Topologies()
        self._closed = ""

    def post(self, record: Record) -> None:
        """Take a record as one POST. Raises Refused for marks that are not where they should be.

        One end may come twice: of a snapshot that is closed, when topo-publisher died before it had noted that.
        """
        lines = record.lines
        topology: dict[str, Any] = {"instance": {"type": record.instance_type, "url": record.instance_url}}
        topology |= {kind: [orjson.loads(text) for text in lines[kind]] for kind in ("components", "relations")}
        topology |= {"start_snapshot": record.start, "stop_snapshot": record.stop}
        topology["delete_ids"] = [orjson.loads(text) for text in lines.deletes]
        try:
            self._topologies.apply([topology])
        except Refused as error:
            if record.stop and record.snapshot == self._closed:
                raise Rejected(str(error)) from error
            raise
        self._closed = record.snapshot if record.stop else self._closed

    def raw(self, id_: str) -> dict[str, Any]:
        """The data of a component."""
        data: dict[str, Any] = self._topologies.instances[INSTANCE].components[id_]["data"]
        return data

    def components(self) -> dict[str, dict[str, Any]]:
        """The data of all components, by id, without the notes of when they were read."""
        instance = self._topologies.instances.get(INSTANCE)
        return {
            id_: {name: value for name, value in one["data"].items() if name not in NOTES}
            for id_, one in (instance.components if instance else {}).items()
        }

    def relations(self) -> dict[str, dict[str, Any]]:
        """The data of all relations whose ends are there; StackState shows no other."""
        instance = self._topologies.instances.get(INSTANCE)
        return {
            id_: one["data"]
            for id_, one in (instance.relations if instance else {}).items()
            if instance and {one["sourceId"], one["targetId"]} <= instance.components.keys()
        }


class World:
    """Everything; the rules of the state machine, and single tests, say what happens in it."""

    def __init__(self) -> None:
        self.cloud = Cloud(self.step)
        self.bucket = Bucket(self.step)
        self.kinesis = Kinesis(self.step)
        self.receiver = Receiver()
        self.now = 1_780_000_000.0
        self.changes = 0
        """How often AWS changed."""
        self.queue: list[Event] = []
        """Messages of events."""
        self.ledgers: list[Ledger] = []
        """Of the runs that came to their end."""
        self.processes: list[Process] = []
        """Those that go on."""
        self.bucketless = False
        self.unclosed = False
        """Whether a run kept what it read, and then removed nothing at the receiver: the next one will."""
        self.checkpoint = 0
        """How many records topo-publisher has delivered."""
        self._numbers = iter(range(1, 1_000_000))
        self._failed_run = ""
        self._containers: dict[int, Known] = {}
        self._busy: set[int] = set()
        self._patience = -1
        self._arrived: list[float] = []
        # What the invariant rests upon: when each element came to be, which of them the receiver had, and the looks
        # whose words may still be on their way, each with when it began and where on the stream it ended.
        self._born: dict[str, int] = {}
        self._left: set[str] = set()
        self._reached: set[str] = set()
        self._looks: list[list[int]] = []

    def step(self) -> None:
        """Something is done to the world outside: whoever does it may have to stand still, or end, before."""
        current = getcurrent()
        for process in self.processes:
            if process.runs_in(current):
                process.stand()
                return
        if self._patience == 0:
            raise Killed
        self._patience -= 1

    # ------------------------------------------------------------------------------------------------ what AWS does

    def change(self, kind: str, name: str, thing: Thing | None, *, told: bool = True) -> None:
        """Create or change a thing, or delete it; an event may tell of it."""
        self.changes += 1
        service, _, what = kind.partition(".")
        verb = "Change" if name in self.cloud.things[kind] else "Create"
        if thing is None:
            verb = "Delete"
            del self.cloud.things[kind][name]
        else:
            self.cloud.things[kind][name] = thing
        there = self.cloud.components().keys() | self.cloud.relations().keys()
        self._left |= self._born.keys() - there
        self._reached &= there
        self._born = {id_: self._born.get(id_, self.changes) for id_ in there}
        if told:
            detail = {"eventSource": f"{service}.amazonaws.com", "eventName": f"{verb} {what}"}
            event = {"account": ACCOUNT_ID, "region": REGION, "detail-type": "AWS API Call via CloudTrail"}
            self._send({**event, "detail": {**detail, "requestParameters": {"name": name}}})

    def _send(self, event: Event) -> None:
        self.queue.append({"messageId": str(next(self._numbers)), "body": orjson.dumps(event).decode()})

    def send_message_batch(self, *, Entries: Sequence[Event], **_: Any) -> Event:  # noqa: N803
        """What SQS does with events that have to come again."""
        for entry in Entries:
            self._send(orjson.loads(entry["MessageBody"]))
        return {}

    # ------------------------------------------------------------------------------------------- what the functions do

    def _account(self, remaining: Callable[[], float] = lambda: PLENTY_SECONDS) -> Account:
        clients: Any = {REGION: ModelAws(self.cloud, remaining)}
        return Account(ACCOUNT_ID, "aws", (REGION,), tuple(RESOURCES.values()), clients)

    def store(self) -> StateStore:
        """Of the state bucket."""
        return StateStore(self.bucket, "" if self.bucketless else "bucket", PREFIX, lambda: self.now)

    def _stream(self) -> Stream:
        return Stream(self.kinesis, "topology", "/".join(INSTANCE), lambda: PLENTY_SECONDS, self.kinesis.wait)

    def _tail(self) -> Tail:
        return Tail(self.kinesis, "topology", "/".join(INSTANCE), lambda: PLENTY_SECONDS, self.kinesis.wait)

    def _started(self, work: Callable[[], None], ended: Callable[[str], None]) -> Process:
        def over(how: str) -> None:
            self.processes.remove(process)
            ended(how)

        process = Process(work, self.changes, over)
        self.processes.append(process)
        return process

    def run(self, *, again: bool = False, rules: Rules = USUAL, patience: int = 1_000_000) -> Process:
        """Begin a run of topo-cron, an hour after the last; it asks so often for its time until little is left."""
        name = self._failed_run if again and self._failed_run else f"run-{next(self._numbers)}"
        if not any(process.began < 0 for process in self.processes):
            self.now += HOUR
        left = [patience]

        def remaining() -> float:
            left[0] -= 1
            return PLENTY_SECONDS if left[0] >= 0 else LITTLE_SECONDS

        def work() -> None:
            store, mark = self.store(), Record(*INSTANCE, name)
            run = Run([self._account(remaining)], mark, store, self._stream(), self._tail(), rules, remaining)
            store.begin(name, self.now + PLENTY_SECONDS)
            found = run.read()
            run.settle(found)
            run.publish(found)
            run.end()
            self.ledgers.append(run.ledger)

        def ended(how: str) -> None:
            self._failed_run = name if how else ""
            self.unclosed |= bool(how) or self.ledgers[-1].held_back is not None

        process = self._started(work, ended)
        process.began = -1
        return process

    def look(self, messages: Sequence[Event], container: int = 0) -> Process | None:
        """Begin a batch of topo-cwevents, in a container that may have had others before; None if it is busy."""
        if container in self._busy:
            return None
        self.queue = [one for one in self.queue if one not in messages]
        self._busy.add(container)
        blank = Record(*INSTANCE)
        if container not in self._containers:
            self._containers[container] = Known(self.store(), self._stream(), self._tail(), blank.encode())
        known = self._containers[container]
        accounts = {ACCOUNT_ID: self._account()}
        again = [one["messageId"] for one in messages]

        def work() -> None:
            batch = Batch.parse(accounts, messages)
            done = published(accounts, batch.touched, known, self._stream(), blank)
            not_queued = Later(self, "queue").look(done.unsettled)
            again[:] = batch.malformed + batch.messages_of(done.failed + [one.name for one in not_queued])

        words = [self.changes, 1_000_000]
        self._looks.append(words)

        def ended(how: str) -> None:
            self._busy.discard(container)
            if how == "killed":
                del self._containers[container]
            self.queue += [one for one in messages if one["messageId"] in again]
            # What comes again may have to put right what was written: until then it is not known.
            words[1] = 1_000_000 if again else len(self.kinesis.written)

        return self._started(work, ended)

    def publish(self, size: int = 1_000_000, patience: int = -1) -> None:
        """Deliver up to so many records, by a process that is killed after so many steps."""
        self._arrived += [self.now] * (len(self.kinesis.written) - len(self._arrived))
        records = self.kinesis.shown[self.checkpoint :][:size]
        progress = ProgressStore(self.bucket, "bucket", PREFIX)
        delivery = Delivery(self._receive, DeadLetters(self.bucket, "bucket", "1000"), progress, clock=lambda: self.now)
        self._patience = patience
        try:
            delivery.batch(records, [""] * len(records), self._arrived[self.checkpoint :])
            self.checkpoint += len(records)
        except DeliveryError as error:
            self.checkpoint += error.position
        except Killed:
            return
        finally:
            self._patience = -1

    def _receive(self, record: Record) -> None:
        self.step()
        self.receiver.post(record)
        there = self.receiver.components().keys() | self.receiver.relations().keys()
        self._reached |= there & self._born.keys() - self._left
        self.step()

    # -------------------------------------------------------------------------------------------------- what must hold

    def wrongly_deleted(self) -> set[str]:
        """What AWS has, and has had ever since it reached the receiver, and what the receiver is without.

        A batch of events that looked before something came to be may take it back for a moment: it looks once more.
        """
        self._looks = [one for one in self._looks if one[1] > self.checkpoint]
        oldest = min((began for began, _ in self._looks), default=1_000_000)
        there = self.receiver.components().keys() | self.receiver.relations().keys()
        return {id_ for id_ in self._reached - there if self._born[id_] <= oldest}

    def mend(self) -> None:
        """From now on, nothing fails."""
        self.cloud.faults.clear()
        self.bucket.failures.clear()
        self.kinesis.faults.clear()
        self.kinesis.unreadable.clear()
        self.kinesis.lag = 0

    def quiet(self) -> None:
        """Let all processes come to their end."""
        for process in list(self.processes):
            process.advance()

    def drain(self) -> None:
        """Deliver all that is on the stream."""
        self.kinesis.hidden = 0
        self.publish()
        assert self.checkpoint == len(self.kinesis.written)

    def hear(self) -> None:
        """Deliver all events, those included that come again."""
        while self.queue:
            process = self.look(self.queue)
            assert process
            process.advance()

    def differences(self) -> dict[str, Any]:
        """What the receiver has otherwise than AWS: with both data."""
        found: dict[str, Any] = {}
        for ours, theirs in (
            (self.receiver.components(), self.cloud.components()),
            (self.receiver.relations(), self.cloud.relations()),
        ):
            ids = [id_ for id_ in ours.keys() | theirs.keys() if ours.get(id_) != theirs.get(id_)]
            found |= {id_: (ours.get(id_), theirs.get(id_)) for id_ in sorted(ids)}
        return found

    def settled(self) -> None:
        """All is quiet, and the receiver has what AWS has: nothing has to be made allowance for any more."""
        differences = self.differences()
        assert differences == {}, differences
        self._left.clear()
        self._looks.clear()


@contextmanager
def worlds() -> Iterator[None]:
    """A place for worlds: without threads, clocks and logs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("topology.collect.ThreadPoolExecutor", Inline)
        patch.setattr("topology.snapshot.ThreadPoolExecutor", Inline)
        patch.setattr("topology.snapshot.time", SimpleNamespace(time=lambda: CLOCK[-1].now))
        level = logging.root.manager.disable
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(level)


CLOCK: list[World] = []
"""The world of the moment, last."""
