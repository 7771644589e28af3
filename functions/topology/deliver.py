"""Delivers what the stream holds to the receiver: one POST after the other, poison set aside, ends only where true."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from topology.dead_letters import DeadLetters
from topology.errors import (
    DeliveryError,
    Misconfigured,
    ReceiverError,
    ReceiverUnavailable,
    RecordError,
    Rejected,
    StorageFailed,
    TooLarge,
)
from topology.order import Numbered, Step, collapsed, current, planned, posts
from topology.progress import NOTHING, Open, Progress, ProgressStore
from topology.records import Lines, Record

# With less time left, what the receiver refused is not narrowed down to what is at fault in this invocation.
NARROWING_SECONDS = 60.0

# Records that waited for longer than this are worth a look for a newer snapshot, which would take their place.
BEHIND_SECONDS = 900.0
# By as much the clocks of Kinesis and of topo-cron may differ.
CLOCKS_SECONDS = 60.0

# What is counted, as the metrics are called: POSTs that were taken; what was set aside; records of snapshots that a
# newer one took the place of; ends of snapshots that were not sent, since something of the snapshot is missing.
COUNTS = ("Posts", "DeadLetters", "RecordsSuperseded", "SnapshotsNotClosed")

NOWHERE = ProgressStore(None, "", "")

logger = logging.getLogger(__name__)


class Delivery:
    """Delivers records of the stream to the receiver.

    Args:
        post: posts one record; raises a kind of ReceiverError.
        dead_letters: takes what cannot be delivered, ever.
        store: keeps what is open at the receiver.
        remaining: seconds left to this invocation.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        post: Callable[[Record], None],
        dead_letters: DeadLetters,
        store: ProgressStore,
        remaining: Callable[[], float] = lambda: float("inf"),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.counts = Counter(dict.fromkeys(COUNTS, 0))
        self._post = post
        self._dead_letters = dead_letters
        self._store = store
        self._remaining = remaining
        self._clock = clock
        self._saved: Open = {}
        self._open: Open = {}
        self._sent = self._refused = 0
        self._may_wait = False

    def batch(self, records: Sequence[bytes], names: Sequence[str], arrived: Sequence[float] = ()) -> None:
        """Deliver a batch of the stream.

        `names` are what its records are called in dead letters; `arrived`, where it is known, is when they came to the
        stream, in seconds since 1970.

        Raises DeliveryError, with the position of the first record that was not delivered, as soon as a POST fails for
        a reason that will pass. What comes before it is delivered and need not come again.
        """
        self._load()
        found = list(self._readable(records, names))
        kept, self.counts["RecordsSuperseded"] = current(found, self._older(found, arrived))
        self._deliver(collapsed(list(planned(kept, self._open))))

    def snapshot(self, records: Iterable[bytes]) -> None:
        """Deliver a snapshot from its start to its end, as it comes. Raises DeliveryError."""
        self._store = NOWHERE  # no other process has a part in it
        self._deliver(planned(self._readable(records, ()), {}))

    def probe(self, record: Record) -> None:
        """Post a record without elements, to learn whether one with elements would arrive. Raises DeliveryError."""
        try:
            self._post(record)
        except ReceiverError as error:
            raise DeliveryError(0, error) from error

    def _older(self, records: Sequence[Numbered], arrived: Sequence[float]) -> frozenset[int]:
        """Positions of records of snapshots that are older than one which is on the stream from start to end.

        What came to the stream before that one was begun is older than all that it tells, and stands before it.
        """
        slices = {position: record.snapshot for position, record in records if record.snapshot} if arrived else {}
        behind = self._clock() - BEHIND_SECONDS
        newest = self._store.newest() if any(arrived[position] < behind for position in slices) else None
        if newest is None:
            return frozenset()
        begun = newest.began - CLOCKS_SECONDS
        return frozenset(at for at, name in slices.items() if name != newest.snapshot and arrived[at] < begun)

    def _deliver(self, steps: Iterable[Step]) -> None:
        for step in posts(steps):
            # What is first in its batch has had all of an invocation's time; and a snapshot does not come again.
            self._may_wait = step.first > 0 and self._store is not NOWHERE
            try:
                self._step(step)
            except (ReceiverError, StorageFailed) as error:
                self._save_before_failing(step.first, error)
                raise DeliveryError(step.first, error) from error
        self._save()

    def _step(self, step: Step) -> None:
        """Send one POST, and note how far that brings its snapshot."""
        record = step.record
        before = self._open.get(record.instance, NOTHING)
        if record.start:
            self._end_before(record)
            before = NOTHING
        self._sent, self._refused = before.sent, before.refused
        self._narrowed(record)
        self.counts["SnapshotsNotClosed"] += step.unclosed
        after = step.after
        if after.snapshot:
            after = replace(after, sent=self._sent, refused=self._refused)
        self._open[record.instance] = after
        if record.stop:
            # At once, since its end should not come again.
            self._save()

    def _end_before(self, record: Record) -> None:
        """Before a start, save that the snapshot before it is over.

        From the start on the receiver forgets what it saw of that one, whose end must then not come again.
        """
        if self._saved.get(record.instance, NOTHING).snapshot not in {"", record.snapshot}:
            self._open[record.instance] = self._open[record.instance].ended()
            self._save()

    def _narrowed(self, record: Record) -> None:
        """Post a record; if the receiver refuses it, do so with parts of it, down to what is at fault.

        That is set aside, and all around it is delivered. Other failures are raised: the same record will do later.
        """
        if record.stop and not self._may_close(record):
            logger.error("snapshot %s is not closed: the receiver refused %d elements", record.snapshot, self._refused)
            self.counts["SnapshotsNotClosed"] += 1
            record = record.part_of(record.lines, start=record.start)
        if record.blank:
            return
        try:
            self._post(record)
        except (TooLarge, Rejected) as error:
            parts = list(_parts(record))
            if len(parts) > 1 and (self._remaining() > NARROWING_SECONDS or record.start or record.stop):
                for part in parts:
                    self._narrowed(part)
            elif len(parts) > 1 and self._may_wait:
                raise ReceiverUnavailable(f"no time left to find what is at fault: {error}") from error
            else:
                self._set_aside(record, error)
        else:
            self.counts["Posts"] += 1
            self._sent += len(record.lines)

    def _may_close(self, record: Record) -> bool:
        return Progress(sent=self._sent + len(record.lines), refused=self._refused).may_be_closed

    def _set_aside(self, record: Record, error: ReceiverError) -> None:
        """Keep what was refused, unless the receiver refuses everything."""
        try:
            self._post(record.part_of(Lines()))
        except (TooLarge, Rejected) as refused:
            raise Misconfigured(f"the receiver refuses even a message without elements: {refused}") from None
        if record.start:
            raise Misconfigured(f"the receiver refuses the start of a snapshot: {error}") from None
        if record.stop:
            # It was delivered before, and its answer was lost; or it is not liked: the next snapshot will remove what
            # is gone, too.
            logger.warning("the receiver refuses the end of snapshot %s: %s", record.snapshot, error)
            return
        self._dead_letters.keep_refused(record, error)
        self.counts["DeadLetters"] += 1
        self._refused += len(record.lines)

    def _readable(self, records: Iterable[bytes], names: Sequence[str]) -> Iterator[Numbered]:
        for position, data in enumerate(records):
            try:
                yield position, Record.decode(data)
            except RecordError as error:
                try:
                    self._dead_letters.keep_unreadable(names[position] if names else str(position), data, error)
                except StorageFailed as failure:
                    raise DeliveryError(0, failure) from failure
                self.counts["DeadLetters"] += 1

    def _load(self) -> None:
        try:
            self._saved = self._store.load()
        except StorageFailed as error:
            raise DeliveryError(0, error) from error
        self._open = dict(self._saved)

    def _save(self) -> None:
        """Save what is open, if that is news. Where that fails, the whole batch has to come again."""
        open_ = {instance: one for instance, one in self._open.items() if one != NOTHING}
        if open_ == self._saved:
            return
        try:
            self._store.save(open_)
        except StorageFailed as error:
            raise DeliveryError(0, error) from error
        self._saved = open_

    def _save_before_failing(self, position: int, error: Exception) -> None:
        """Save what was delivered before the position that failed, so that it need not come again."""
        try:
            self._save()
        except DeliveryError as failure:
            logger.warning("position %d: %s", position, error)
            raise failure from error


def _parts(record: Record) -> Iterator[Record]:
    """The record in parts: its marks by themselves, and halves of its elements."""
    if record.start and (len(record.lines) or record.stop):
        yield record.part_of(Lines(), start=True)
        yield record.part_of(record.lines, stop=record.stop)
    elif record.stop and len(record.lines):
        yield record.part_of(record.lines)
        yield record.part_of(Lines(), stop=True)
    elif len(record.lines) > 1:
        for half in record.lines.halves():
            yield record.part_of(half)
    else:
        yield record
