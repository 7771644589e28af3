"""Records: slices of a snapshot, or deltas, as they travel on the stream.

A record is a line of JSON, its head, that says what it is and how many lines of each kind follow; then, compressed with
zstd, one line of JSON per element, already in the form that the receiver wants. So the publisher passes elements on
without reading a single one, and a head can be changed without packing the elements again.

Behind the elements, compressed by themselves, may follow entries: which of the lines belong to which item of AWS. They
are for those who compare what an item had with what it has (`readings.py`, `known.py`), not for the receiver.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson
import zstandard

from topology.elements import (
    Component,
    Deleted,
    Element,
    Relation,
    Telemetry,
    wire_component,
    wire_relation,
    wire_telemetry,
)
from topology.errors import RecordError
from topology.trim import fitted

FORMAT = 1
# A slice becomes one POST, so it keeps to the receiver's limits (receiver.md 7); compressed it is an eighth of that.
SLICE_ELEMENTS = 1000
SLICE_BYTES = 1024 * 1024
# Far above any slice: what decompresses to more is not ours.
LARGEST_RECORD = 16 * 1024 * 1024
COMPRESSION_LEVEL = 3
# Every line of an element begins with its id, as a JSON text.
ID = re.compile(rb'\{"externalId":("(?:[^"\\]|\\.)*")')


# Between lines: JSON that can go into a list as it is. A line has no line end within.
SEPARATOR = b",\n"
KINDS = ("components", "relations", "deletes", "events")
KIND_OF: Mapping[type, str] = dict(zip((Component, Relation, Deleted, Telemetry), KINDS, strict=True))
Text = bytes | memoryview


class Lines:
    """Elements as lines of JSON, in the order in which the receiver takes them.

    What comes from a record stays in one text, for as long as nobody asks for a line: most is only passed on.
    """

    def __init__(
        self,
        components: Sequence[bytes] = (),
        relations: Sequence[bytes] = (),
        deletes: Sequence[bytes] = (),
        events: Sequence[bytes] = (),
    ) -> None:
        self._lists: dict[str, list[bytes]] = {}
        self._texts: dict[str, list[Text]] = {}
        self._counts: dict[str, int] = {}
        for kind, lines in zip(KINDS, (components, relations, deletes, events), strict=True):
            if lines:
                self[kind] = list(lines)

    @classmethod
    def of_texts(cls, texts: Mapping[str, Text], counts: Mapping[str, int]) -> "Lines":
        """Lines by kind, as texts and how many each is."""
        lines = cls()
        for kind in KINDS:
            if counts[kind]:
                lines._texts[kind], lines._counts[kind] = [texts[kind]], counts[kind]
        return lines

    def __getitem__(self, kind: str) -> list[bytes]:
        """The lines of a kind, one by one, to be changed where they are."""
        if kind not in self._lists:
            texts = self._texts.pop(kind, ())
            self._lists[kind] = [line for text in texts for line in bytes(text).split(SEPARATOR)]
        return self._lists[kind]

    def __setitem__(self, kind: str, lines: list[bytes]) -> None:
        self._lists[kind] = lines
        self._texts.pop(kind, None)

    @property
    def components(self) -> list[bytes]:
        """Components, one by one."""
        return self["components"]

    @property
    def relations(self) -> list[bytes]:
        """Relations, one by one."""
        return self["relations"]

    @property
    def deletes(self) -> list[bytes]:
        """Ids of what is gone, one by one."""
        return self["deletes"]

    @property
    def events(self) -> list[bytes]:
        """Telemetry, one by one."""
        return self["events"]

    def texts(self, kind: str) -> list[Text]:
        """The lines of a kind as texts."""
        if kind in self._lists:
            lines = self._lists[kind]
            return [SEPARATOR.join(lines)] if lines else []
        return self._texts.get(kind, [])

    def count(self, *kinds: str) -> int:
        """How many lines there are of these kinds."""
        return sum(len(self._lists[kind]) if kind in self._lists else self._counts.get(kind, 0) for kind in kinds)

    def __len__(self) -> int:
        return self.count(*KINDS)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Lines) and all(self[kind] == other[kind] for kind in KINDS)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Lines({', '.join(f'{kind}={self[kind]}' for kind in KINDS)})"

    @property
    def size(self) -> int:
        """Bytes of all lines."""
        return sum(len(text) for kind in KINDS for text in self.texts(kind))

    def extend(self, other: "Lines") -> None:
        """Append another's lines."""
        for kind in KINDS:
            if added := other.count(kind):
                count = self.count(kind) + added
                self._texts[kind] = [*self.texts(kind), *other.texts(kind)]
                self._counts[kind] = count
                self._lists.pop(kind, None)

    def halves(self) -> tuple["Lines", "Lines"]:
        """The first and the second half of the lines, order kept."""
        room = (len(self) + 1) // 2
        first, second = Lines(), Lines()
        for kind in KINDS:
            lines = self[kind]
            first[kind], second[kind] = lines[:room], lines[room:]
            room = max(0, room - len(lines))
        return first, second


def line(element: Element, timestamp: int) -> bytes:
    """The element as the receiver takes it; `timestamp`, for telemetry, in seconds since 1970."""
    match element:
        case Component():
            return trimmed(fitted(wire_component(element)))
        case Relation():
            return trimmed(fitted(wire_relation(element)))
        case Deleted():
            return trimmed(orjson.dumps(element.id))
        case Telemetry():
            return trimmed(orjson.dumps(wire_telemetry(element, timestamp)))
    raise TypeError(f"{element!r} has no form on the stream")


def trimmed(data: bytes) -> bytes:
    """The same bytes in no more memory than they need.

    What orjson and zstandard return keeps the whole buffer that it was written in: 8 kB for a line of 1 kB, and for a
    compressed record as much as for its text. A snapshot holds thousands of both.
    """
    return bytes(memoryview(data))


def id_of(text: bytes) -> bytes:
    """The id in the line of a component or relation, as the JSON text that the line of its deletion is."""
    found = ID.match(text)
    return found[1] if found else orjson.dumps(orjson.loads(text)["externalId"])


class Entry(NamedTuple):
    """An item of AWS, and how many of a record's lines are its own; lines and entries of a record have one order."""

    account: str
    region: str
    service: str
    kind: str
    """Of the resource, such as `sqs.queue`."""
    key: str
    """What the item is looked up by."""
    components: int = 0
    relations: int = 0
    first: bool = True
    """False: goes on with an item that did not fit into the record before."""
    shared: tuple[str, ...] = ()
    """Ids of what the item has, too, but whose lines stand with another item of the scope, or were not read again."""
    suppressed: tuple[str, ...] = ()
    """Ids of relations that must not be drawn, since this item speaks for them otherwise."""
    links: tuple[tuple[str, str, str, str], ...] = ()
    """Of a stack: source, relation type, CloudFormation type and physical id of each thing in it."""

    @property
    def item(self) -> "ItemName":
        """What the item is known by."""
        return self.account, self.region, self.service, self.kind, self.key


ItemName = tuple[str, str, str, str, str]
"""Account, region, service, kind and key."""


@dataclass
class Record:
    """One slice of a snapshot, or a delta."""

    instance_type: str
    instance_url: str
    snapshot: str = ""
    """Id of the snapshot that it is a slice of; empty: a delta."""
    start: bool = False
    stop: bool = False
    lines: Lines = field(default_factory=Lines)
    part: int = 0
    """Of a snapshot: its place in it. The start is 0."""
    last: int = 0
    """Of a snapshot's start: the place of the last record."""
    complete: bool = False
    """Of a snapshot's start: whether that last record is its end."""
    entries: list[Entry] = field(default_factory=list)
    """Whose lines they are; the receiver never hears of it."""

    @property
    def instance(self) -> tuple[str, str]:
        """Type and url of the receiver's instance."""
        return self.instance_type, self.instance_url

    @property
    def blank(self) -> bool:
        """Whether there is nothing in it to send."""
        return not (self.start or self.stop or len(self.lines))

    def part_of(self, lines: Lines, *, start: bool = False, stop: bool = False) -> "Record":
        """A record of the same instance and snapshot, with these lines and marks."""
        return Record(self.instance_type, self.instance_url, self.snapshot, start=start, stop=stop, lines=lines)

    def encode(self) -> bytes:
        """The record as it goes on the stream."""
        texts = {kind: SEPARATOR.join(self.lines.texts(kind)) for kind in KINDS}
        head = {
            "format": FORMAT,
            "instance": {"type": self.instance_type, "url": self.instance_url},
            "snapshot": self.snapshot,
            "start": self.start,
            "stop": self.stop,
            "part": self.part,
            "last": self.last,
            "complete": self.complete,
            "counts": {kind: self.lines.count(kind) for kind in KINDS},
            "bytes": {kind: len(text) for kind, text in texts.items()},
        }
        packed = _compressed(b"".join(texts.values()))
        if self.entries:
            head["packed"] = len(packed)
            packed += _compressed(b"\n".join(orjson.dumps(tuple(entry)) for entry in self.entries))
        return b"%s\n%s" % (orjson.dumps(head), packed)

    @classmethod
    def decode(cls, data: bytes) -> "Record":
        """The record that the bytes are. Raises RecordError if they are none, or of a newer format."""
        first, _, packed = data.partition(b"\n")
        head = _head(first)
        try:
            text = _decompressed(packed[: head.get("packed")])
            instance = head["instance"]
            record = cls(instance["type"], instance["url"], head["snapshot"], start=head["start"], stop=head["stop"])
            record.part, record.last, record.complete = head["part"], head["last"], head["complete"]
            texts, rest = {}, memoryview(text)
            for kind in KINDS:
                size = head["bytes"][kind]
                texts[kind], rest = rest[:size], rest[size:]
                if len(texts[kind]) != size:
                    raise RecordError(f"record is {len(text)} bytes where its head says {head}")
            record.lines = Lines.of_texts(texts, head["counts"])
        except (zstandard.ZstdError, KeyError, TypeError) as error:
            raise RecordError(f"not a record of this agent: {error!r}") from error
        if len(rest):
            raise RecordError(f"record is {len(text)} bytes where its head says {head}")
        return record

    @classmethod
    def decode_whole(cls, data: bytes) -> "Record":
        """The record with its entries, for those who ask whose lines they are. Raises RecordError."""
        record = cls.decode(data)
        record.entries = entries(data)
        return record


def entries(data: bytes) -> list[Entry]:
    """Whose lines a record has, without looking at them. Raises RecordError."""
    first, _, packed = data.partition(b"\n")
    frame = _head(first).get("packed")
    if frame is None:
        return []
    try:
        return [_entry(line) for line in _decompressed(packed[frame:]).split(b"\n")]
    except (zstandard.ZstdError, orjson.JSONDecodeError, TypeError, ValueError) as error:
        raise RecordError(f"record with entries that cannot be read: {error!r}") from error


def _entry(text: bytes) -> Entry:
    entry = Entry(*orjson.loads(text))
    links = tuple((source, type_, thing, id_) for source, type_, thing, id_ in entry.links)
    return entry._replace(shared=tuple(entry.shared), suppressed=tuple(entry.suppressed), links=links)


def _compressed(text: bytes) -> bytes:
    return trimmed(zstandard.ZstdCompressor(level=COMPRESSION_LEVEL).compress(text))


def _decompressed(packed: bytes) -> bytes:
    # The limit in the call is for frames that do not say how large they become.
    if zstandard.frame_content_size(packed) > LARGEST_RECORD:
        raise RecordError(f"record would be larger than {LARGEST_RECORD} bytes")
    return zstandard.ZstdDecompressor().decompress(packed, max_output_size=LARGEST_RECORD)


def head_of(data: bytes) -> dict[str, Any]:
    """The head of an encoded record. Raises RecordError if it is none, or of another format."""
    return _head(data.partition(b"\n")[0])


def _head(first: bytes) -> dict[str, Any]:
    """The head of a record. Raises RecordError if it is none, or of another format."""
    try:
        head: dict[str, Any] = orjson.loads(first)
        version = head["format"]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise RecordError(f"not a record of this agent: {error!r}") from error
    if version != FORMAT:
        raise RecordError(f"record of format {version}, but this version reads format {FORMAT}: update the functions")
    return head


def slice_of(data: bytes, snapshot: Record, part: int) -> bytes:
    """The encoded record as a slice of the snapshot, whose mark is given: with its place there, without its entries."""
    first, _, packed = data.partition(b"\n")
    head = orjson.loads(first)
    packed = packed[: head.pop("packed", None)]
    head["instance"] = {"type": snapshot.instance_type, "url": snapshot.instance_url}
    head |= {"snapshot": snapshot.snapshot, "part": part}
    return orjson.dumps(head) + b"\n" + packed
