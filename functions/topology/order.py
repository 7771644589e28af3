"""What of a stretch of the stream is sent, and with which marks: never an end that would remove too much.

The stream may hold records twice, out of place or not at all: PutRecords takes some of a request and not others, Lambda
repeats a batch, a record grows too old. So marks are not passed on as they come, but where they are true.
"""

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from topology.progress import NOTHING, Progress
from topology.records import SLICE_BYTES, SLICE_ELEMENTS, Lines, Record, id_of

Numbered = tuple[int, Record]
UPSERTS = ("components", "relations")

logger = logging.getLogger(__name__)


@dataclass
class Step:
    """What is sent of a record, or of neighbouring ones in one POST.

    `first` is the position of the first of them, `after` the progress of their instance once they are delivered.
    """

    first: int
    record: Record
    after: Progress
    unclosed: int = 0
    """Ends among them that are not sent."""
    size: int = field(default=0)
    """Bytes of the lines; only counted where steps are joined."""


def current(records: Sequence[Numbered], older: Collection[int] = ()) -> tuple[list[Numbered], int]:
    """The records without snapshots that a newer one takes the place of; and how many were left out.

    `older` are positions of records whose snapshot is older than one that stands further on the stream. A newer one in
    the batch counts only if all of it is there: one that broke off would not remove what the older one does, nor tell
    all that it tells.
    """
    newest: dict[tuple[str, str], int] = {}
    for index, (_, record) in enumerate(records):
        if record.start and _whole(records[index:]):
            newest[record.instance] = index
    kept = [
        (position, record)
        for index, (position, record) in enumerate(records)
        if not record.snapshot or (index >= newest.get(record.instance, 0) and position not in older)
    ]
    return kept, len(records) - len(kept)


def _whole(records: Sequence[Numbered]) -> bool:
    """Whether all of the snapshot that the first record begins is among them, its end included."""
    start = records[0][1]
    parts = {record.part for _, record in records if record.snapshot == start.snapshot}
    return start.complete and len(parts) == start.last + 1


def planned(records: Iterable[Numbered], open_: Mapping[tuple[str, str], Progress]) -> Iterator[Step]:
    """What to send of each record, given what is open at the receiver before them."""
    progress = dict(open_)
    for position, record in records:
        before = progress.get(record.instance, NOTHING)
        after = progress[record.instance] = before.after(record)
        unclosed = 0
        if record.snapshot in before.over and not record.start:
            yield Step(position, record.part_of(Lines()), after)
            continue
        if record.snapshot and record.snapshot == before.snapshot and before.touched:
            record.lines = _without(record.lines, before.touched)
        if record.stop and not (record.snapshot == before.snapshot and record.part == before.next):
            logger.warning(
                "snapshot %s is not closed: of its records, %s",
                record.snapshot,
                f"number {before.next} did not come"
                if record.snapshot == before.snapshot
                else "the start did not come",
            )
            record.stop, unclosed = False, 1
        yield Step(position, record, after, unclosed)


def _without(lines: Lines, touched: frozenset[bytes]) -> Lines:
    """The lines without what deltas told more recently."""
    left = (
        [text for text in lines.components if id_of(text) not in touched],
        [text for text in lines.relations if id_of(text) not in touched],
    )
    return Lines(*left, [id_ for id_ in lines.deletes if id_ not in touched], lines.events)


def collapsed(steps: Sequence[Step]) -> Sequence[Step]:
    """The steps without upserts of what comes again in a later one, up to the end of a snapshot.

    Deletions all stay. What stands together in one record or in one snapshot stays, too: there, one id may have several
    lines. An end is not looked across: what it does not see it removes, and what comes after it would come back as new.
    """
    if len(steps) < 2 or (steps[0].record.snapshot and len({step.record.snapshot for step in steps}) == 1):
        return steps
    later: dict[tuple[tuple[str, str], str, bytes], object] = {}
    for index in range(len(steps) - 1, -1, -1):
        record = steps[index].record
        whose = record.snapshot or index
        if record.stop:
            later = {key: of for key, of in later.items() if key[0] != record.instance}
        for kind in UPSERTS:
            named = [((record.instance, kind, id_of(text)), text) for text in record.lines[kind]]
            kept = [(key, text) for key, text in named if later.get(key, whose) == whose]
            record.lines[kind] = [text for _, text in kept]
            later.update((key, whose) for key, _ in kept)
            later.update(((record.instance, kind, text), whose) for text in record.lines.deletes)
    return steps


def posts(steps: Iterable[Step]) -> Iterator[Step]:
    """Join neighbouring steps into as few POSTs as the receiver's limits allow."""
    joined: Step | None = None
    for step in steps:
        size = step.record.lines.size
        if joined and not _fits(joined, step.record, size):
            yield joined
            joined = None
        if joined is None:
            blank = Record(step.record.instance_type, step.record.instance_url, start=step.record.start)
            joined = Step(step.first, blank, step.after)
        joined.record.lines.extend(step.record.lines)
        joined.record.snapshot = step.record.snapshot or joined.record.snapshot
        joined.record.stop = step.record.stop
        joined.after = step.after
        joined.unclosed += step.unclosed
        joined.size += size
    if joined:
        yield joined


def _fits(joined: Step, record: Record, size: int) -> bool:
    before = joined.record
    small = len(before.lines) + len(record.lines) <= SLICE_ELEMENTS and joined.size + size <= SLICE_BYTES
    # A POST is a start, upserts, deletes and a stop, in this order; what would have to come earlier goes into the next.
    in_order = (
        not record.start and not before.stop and not (before.lines.count("deletes") and record.lines.count(*UPSERTS))
    )
    return before.instance == record.instance and small and in_order
