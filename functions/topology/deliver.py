"""From records on the stream to POSTs at the receiver: neighbours joined, order kept, poison set aside."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from topology.dead_letters import DeadLetters
from topology.errors import DeliveryError, ReceiverError, RecordError, Rejected, TooLarge
from topology.records import SLICE_BYTES, SLICE_ELEMENTS, Lines, Record

# Takes what the receiver refuses, and why.
SetAside = Callable[[Record, ReceiverError], object]


@dataclass
class Post:
    """Records that go together in one POST, and the position of the first of them."""

    first: int
    record: Record
    size: int = field(default=0)


def posts(records: Iterable[tuple[int, Record]]) -> Iterator[Post]:
    """Join neighbouring records, each with its position, into as few POSTs as the receiver's limits allow."""
    joined: Post | None = None
    for position, record in records:
        size = record.lines.size
        if joined and not _fits(joined, record, size):
            yield joined
            joined = None
        if joined is None:
            blank = Record(record.instance_type, record.instance_url, record.snapshot, start=record.start)
            joined = Post(position, blank)
        joined.record.lines.extend(record.lines)
        joined.record.stop = record.stop
        joined.size += size
    if joined:
        yield joined


def _fits(post: Post, record: Record, size: int) -> bool:
    before = post.record
    same = (before.instance_type, before.instance_url) == (record.instance_type, record.instance_url)
    small = len(before.lines) + len(record.lines) <= SLICE_ELEMENTS and post.size + size <= SLICE_BYTES
    # A POST is a start, upserts, deletes and a stop, in this order; what would have to come earlier goes into the next.
    in_order = not record.start and not before.stop and not (before.lines.deletes and _upserts(record.lines))
    # Only a delta may stand between the slices of a snapshot.
    one_snapshot = before.snapshot == record.snapshot or not (before.stop or record.stop or record.start)
    return same and small and in_order and one_snapshot


def _upserts(lines: Lines) -> bool:
    return bool(lines.components or lines.relations)


def deliver(post: Callable[[Record], None], record: Record, set_aside: SetAside) -> None:
    """Post a record; if the receiver finds it too large or wrong, halve it until what is at fault stands alone.

    That is set aside, and all around it is delivered. The start mark goes with the first half, the stop mark with the
    last. Other failures are raised: the same record will do later.
    """
    try:
        post(record)
    except (TooLarge, Rejected) as error:
        if not record.lines:
            raise  # no element is at fault, but the instance or the envelope
        if len(record.lines) == 1:
            set_aside(record, error)
            if record.start or record.stop:
                post(_part(record, Lines(), start=record.start, stop=record.stop))
            return
        first, second = record.lines.halves()
        deliver(post, _part(record, first, start=record.start, stop=False), set_aside)
        deliver(post, _part(record, second, start=False, stop=record.stop), set_aside)


def deliver_all(
    post: Callable[[Record], None],
    records: Iterable[bytes],
    dead_letters: DeadLetters,
    names: Sequence[str] = (),
) -> int:
    """Deliver encoded records; answers with the number of POSTs.

    `names` are what the records are called in the names of dead letters. Raises DeliveryError, with the position of the
    first record that was not delivered, as soon as one POST fails for a reason that will pass.
    """

    def readable() -> Iterator[tuple[int, Record]]:
        for position, data in enumerate(records):
            try:
                yield position, Record.decode(data)
            except RecordError as error:
                dead_letters.keep_unreadable(_name(names, position), data, error)

    count = 0
    for joined in posts(readable()):
        try:
            deliver(post, joined.record, partial(dead_letters.keep_refused, _name(names, joined.first)))
        except ReceiverError as error:
            raise DeliveryError(joined.first, error) from error
        count += 1
    return count


def _name(names: Sequence[str], position: int) -> str:
    return names[position] if names else str(position)


def _part(record: Record, lines: Lines, *, start: bool, stop: bool) -> Record:
    return Record(record.instance_type, record.instance_url, record.snapshot, start=start, stop=stop, lines=lines)
