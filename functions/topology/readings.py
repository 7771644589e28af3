"""What was read of a scope: its elements as records, with the items that they belong to; and how readings are merged.

An item is the unit: a delta tells an item anew as a whole, and so takes the place of what an earlier reading had of it,
relations that it no longer has included.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import accumulate, pairwise

import orjson

from topology.elements import Scope
from topology.errors import RecordError, StateCorrupt
from topology.packer import Packer
from topology.records import Entry, ItemName, Lines, Record, Text, entries, head_of, id_of
from topology.tail import Tail

FORMAT = 1
# The type's name in the line of a component or relation.
TYPE = re.compile(rb'"type":\{"name":"((?:[^"\\]|\\.)*)"\}')
# And a relation's ends, whose names within another text would have a backslash before the quote.
ENDS = re.compile(rb'"sourceId":("(?:[^"\\]|\\.)*"),"targetId":("(?:[^"\\]|\\.)*")')

Texts = list[tuple[str, bytes]]
"""Lines of an item, each with its kind."""


@dataclass(frozen=True)
class Reading:
    """What a scope had when it was last read."""

    scope: Scope
    records: Sequence[bytes]
    """Of items, with their entries; of no snapshot."""
    read_at: float | None
    """Seconds since 1970 when the last complete reading of the scope began; None: there was none yet."""
    since: str = ""
    """Position on the stream after which deltas are newer than this reading; empty where there is no stream."""
    accepted: bool = False
    """A person has confirmed that this is all, though not everything could be read: it does not grow old."""

    def encode(self) -> bytes:
        """The reading as one object: a line of JSON that says what follows, then the records."""
        body = b"".join(self.records)
        head = {
            "format": FORMAT,
            "account": self.scope.account,
            "region": self.scope.region,
            "partition": self.scope.partition,
            "service": self.scope.service,
            "read_at": self.read_at,
            "since": self.since,
            "accepted": self.accepted,
            "sizes": [len(record) for record in self.records],
            "digest": hashlib.sha256(body).hexdigest(),
        }
        return orjson.dumps(head) + b"\n" + body

    @classmethod
    def decode(cls, data: bytes, scope: Scope) -> "Reading":
        """The scope's reading that the object is. Raises StateCorrupt if it is none, or of another format."""
        first, _, body = data.partition(b"\n")
        try:
            head = orjson.loads(first)
            if head["format"] != FORMAT:
                raise StateCorrupt(f"a reading of format {head['format']}, but this version has format {FORMAT}")
            if [head["account"], head["region"], head["service"]] != [scope.account, scope.region, scope.service]:
                raise StateCorrupt(f"a reading of {head['account']}, {head['region']}, {head['service']}")
            if hashlib.sha256(body).hexdigest() != head["digest"] or sum(head["sizes"]) != len(body):
                raise StateCorrupt("a reading whose content is not what was written")
            ends = list(accumulate(head["sizes"], initial=0))
            records = [body[start:end] for start, end in pairwise(ends)]
            return cls(scope, records, head["read_at"], head["since"], head["accepted"])
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise StateCorrupt(f"not a reading: {error!r}") from error


@dataclass
class Told:
    """What deltas told of an item, last of all."""

    order: int
    """Grows with the stream."""
    entry: Entry
    texts: Texts


Deltas = Mapping[ItemName, Told]

ScopeName = tuple[str, str, str]
"""Account, region and service."""


@dataclass
class History:
    """What the stream told since a position, item by item: the last word on each.

    Readings begin with a mark of their own on the stream (a record without anything), so that it is known of every
    delta whether it is newer.
    """

    start: str = ""
    """The position; empty where there is no stream."""
    items: dict[ItemName, Told] = field(default_factory=dict)
    marks: dict[str, int] = field(default_factory=dict)
    order: int = 0
    """How many records there were."""
    position: str = ""
    """Of the last of them."""
    newest: int = 0
    """Order of the last that told something."""
    starts: int = 0
    """How many snapshots were begun."""

    def __post_init__(self) -> None:
        self.position = self.position or self.start

    def add(self, position: str, data: bytes) -> list[ItemName]:
        """Add what a record says, and answer with what it tells of; records come in the order of the stream.

        One that is none of ours says nothing: topo-publisher sets it aside.
        """
        self.order += 1
        self.position = position
        try:
            head = head_of(data)
            if head["snapshot"]:
                self.starts += head["start"]
                return []
            if not any(head["counts"].values()) and "packed" not in head:
                self.marks[position] = self.order
                return []
            record = Record.decode_whole(data)
        except (RecordError, KeyError):
            return []
        self.newest = self.order
        for entry, texts in items_of(record):
            self._tell(entry, texts)
        return [entry.item for entry in record.entries]

    def catch_up(self, tail: Tail, end: str = "", own: Collection[bytes] = ()) -> set[ItemName]:
        """Add what came since, up to the record at `end` or to now; answers with what was told of besides `own`.

        Raises StreamUnreadable.
        """
        told: set[ItemName] = set()
        for position, data in tail.after(self.position, end):
            names = self.add(position, data)
            told.update(() if data in own else names)
        return told

    def _tell(self, entry: Entry, texts: Texts) -> None:
        before = self.items.get(entry.item)
        if entry.first or before is None:
            self.items[entry.item] = Told(self.order, entry, texts)
            return
        whole = before.entry._replace(
            shared=before.entry.shared + entry.shared,
            suppressed=before.entry.suppressed + entry.suppressed,
            links=before.entry.links + entry.links,
        )
        self.items[entry.item] = Told(self.order, whole, before.texts + texts)

    def knows(self, since: str) -> bool:
        """Whether everything that was told since this position is known."""
        return since == self.start or since in self.marks

    def of(self, whose: ScopeName, since: str) -> Deltas:
        """What was told of the scope since this position, which has to be known."""
        order = 0 if since == self.start else self.marks[since]
        return {name: told for name, told in self.items.items() if name[:3] == whose and told.order > order}

    def forget(self, since: str) -> None:
        """Forget what was told before this mark, which has to be known."""
        order = 0 if since == self.start else self.marks[since]
        self.start = since
        self.items = {name: told for name, told in self.items.items() if told.order > order}
        self.marks = {mark: at for mark, at in self.marks.items() if at >= order}


def items_of(record: Record) -> Iterator[tuple[Entry, Texts]]:
    """The items of a record, or parts of them, each with its lines."""
    components, relations = iter(record.lines.components), iter(record.lines.relations)
    for entry in record.entries:
        texts = [("components", next(components)) for _ in range(entry.components)]
        texts += [("relations", next(relations)) for _ in range(entry.relations)]
        yield entry, texts


def all_items(records: Iterable[bytes]) -> Iterator[tuple[Entry, Texts]]:
    """The items of encoded records. Raises RecordError."""
    for data in records:
        yield from items_of(Record.decode_whole(data))


def names_of(records: Iterable[bytes]) -> set[ItemName]:
    """What the items of encoded records are known by. Raises RecordError."""
    return {entry.item for data in records for entry in entries(data)}


def without(records: Sequence[bytes], names: Container[ItemName]) -> list[bytes]:
    """The records without these items. Lines that another item shares stay, with that item."""
    listed = [entries(data) for data in records]
    affected = [any(entry.item in names for entry in of_record) for of_record in listed]
    if not any(affected):
        return list(records)
    sharers = {
        id_: entry.item
        for of_record in listed
        for entry in of_record
        if entry.item not in names
        for id_ in entry.shared
    }
    kept = [
        _without(Record.decode_whole(data), names, sharers) if touched else data
        for data, touched in zip(records, affected, strict=True)
    ]
    return [data for data in kept if data]


def _without(record: Record, names: Container[ItemName], sharers: Mapping[str, ItemName]) -> bytes:
    left = Record(record.instance_type, record.instance_url)
    for entry, texts in items_of(record):
        if entry.item not in names:
            _append(left, entry, texts)
            continue
        for kind, text in texts:
            if sharer := sharers.get(orjson.loads(id_of(text))):
                component = kind == "components"
                _append(left, Entry(*sharer, int(component), int(not component), first=False), [(kind, text)])
    return left.encode() if left.entries else b""


def _append(record: Record, entry: Entry, texts: Texts) -> None:
    record.entries.append(entry)
    for kind, text in texts:
        record.lines[kind].append(text)


def besides(records: Sequence[bytes], fresh: Sequence[bytes]) -> list[bytes]:
    """What of the records the fresh ones, of the same scope, are without: items, and elements of the same items.

    Where a scope was not read to its end, an item may have been read in part: a cluster without its services, say.
    """
    names = names_of(fresh)
    kept = without(records, names)
    known = {id_of(text) for data in [*fresh, *kept] for text in _upserts(Record.decode(data).lines)}
    left = Record("", "")
    for entry, texts in all_items(records) if names else ():
        missing = [(kind, text) for kind, text in texts if id_of(text) not in known]
        if entry.item in names and missing:
            counts = Counter(kind for kind, _ in missing)
            _append(left, Entry(*entry.item, counts["components"], counts["relations"], first=False), missing)
    return kept + ([left.encode()] if left.entries else [])


def _upserts(lines: Lines) -> list[bytes]:
    return lines.components + lines.relations


def with_deltas(records: Sequence[bytes], deltas: Deltas) -> list[bytes]:
    """The records, and in place of the items that the deltas told anew, those."""
    if not deltas:
        return list(records)
    packer = Packer("", "", 0)
    for told in deltas.values():
        if told.texts or told.entry.links or told.entry.suppressed:
            packer.item_lines(told.entry, told.texts)
    return without(records, deltas) + packer.records()


def noted(records: Sequence[bytes], read_at: float | None, because: str) -> list[bytes]:
    """The records with a note in every component: since when it was not read, and why."""
    since = datetime.fromtimestamp(read_at, UTC).isoformat(timespec="seconds") if read_at else "never"
    found = []
    for data in records:
        record = Record.decode_whole(data)
        record.lines["components"] = [_noted(text, since, because) for text in record.lines.components]
        found.append(record.encode())
    return found


def _noted(text: bytes, since: str, because: str) -> bytes:
    component = orjson.loads(text)
    component["data"] |= {"NotReadSince": since, "NotReadBecause": because}
    return orjson.dumps(component)


def undrawn(records: Sequence[bytes], suppressed: Container[bytes]) -> list[bytes]:
    """The records without the relations of these ids (as JSON texts), and without entries: ready to be published."""
    found = []
    for data in records:
        record = Record.decode(data)
        kept = [text for text in record.lines.relations if id_of(text) not in suppressed]
        lines = Lines(record.lines.components, kept)
        if len(lines):
            found.append(Record(record.instance_type, record.instance_url, lines=lines).encode())
    return found


@dataclass(frozen=True)
class Census:
    """Who is there."""

    components: Mapping[bytes, tuple[int, str]]
    """By id as JSON text: a hash of the line, and the type."""
    relations: Counter[str]
    """By type."""

    @property
    def types(self) -> Counter[str]:
        """The components, by type."""
        return Counter(type_ for _, type_ in self.components.values())


def census(records: Iterable[bytes]) -> Census:
    """Who is there in encoded records. Raises RecordError."""
    components: dict[bytes, tuple[int, str]] = {}
    relations = Counter[bytes]()
    for data in records:
        lines = Record.decode(data).lines
        components.update((id_of(text), (hash(text), type_of(text).decode())) for text in lines.components)
        relations.update(type_of(text) for text in lines.relations)
    return Census(components, Counter({type_.decode(): count for type_, count in relations.items()}))


def ids_of(records: Iterable[bytes]) -> set[bytes]:
    """Ids of all elements in encoded records, as JSON texts. Raises RecordError."""
    lines = [Record.decode(data).lines for data in records]
    return {id_of(text) for one in lines for text in (*one.components, *one.relations)}


def ends_of(text: Text) -> list[tuple[bytes, bytes]]:
    """The ids of both ends, as JSON texts, of every relation in the text."""
    return ENDS.findall(text)


def type_of(text: bytes) -> bytes:
    """The type in the line of a component or relation. Raises RecordError if there is none."""
    found = TYPE.search(text)
    if found is None:
        raise RecordError(f"an element without a type: {text[:200]!r}")
    return found[1]
