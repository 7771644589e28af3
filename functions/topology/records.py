"""Records: slices of a snapshot, or deltas, as they travel on the stream.

A record is text, compressed with zstd: a line that says what it is and how many lines of each kind follow, then one
line of JSON per element, already in the form that the receiver wants. So the publisher joins and splits records
without reading a single element.
"""

from dataclasses import dataclass, field, fields, replace
from typing import Any

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

FORMAT = 1
# A slice becomes one POST, so it keeps to the receiver's limits (receiver.md 7); compressed it is an eighth of that.
SLICE_ELEMENTS = 1000
SLICE_BYTES = 1024 * 1024
# Far above any slice: what decompresses to more is not ours.
LARGEST_RECORD = 16 * 1024 * 1024
COMPRESSION_LEVEL = 3


@dataclass
class Lines:
    """Elements as lines of JSON, in the order in which the receiver takes them."""

    components: list[bytes] = field(default_factory=list)
    relations: list[bytes] = field(default_factory=list)
    deletes: list[bytes] = field(default_factory=list)
    events: list[bytes] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.components) + len(self.relations) + len(self.deletes) + len(self.events)

    @property
    def size(self) -> int:
        """Bytes of all lines."""
        return sum(len(line) for kind in KINDS for line in getattr(self, kind))

    def kind_of(self, element: Element) -> list[bytes]:
        """Those of the lines that the element's goes to."""
        match element:
            case Component():
                return self.components
            case Relation():
                return self.relations
            case Deleted():
                return self.deletes
            case Telemetry():
                return self.events
        raise TypeError(f"{element!r} has no form on the stream")

    def extend(self, other: "Lines") -> None:
        """Append another's lines."""
        for kind in KINDS:
            getattr(self, kind).extend(getattr(other, kind))

    def halves(self) -> tuple["Lines", "Lines"]:
        """The first and the second half of the lines, order kept."""
        room = (len(self) + 1) // 2
        first, second = Lines(), Lines()
        for kind in KINDS:
            lines: list[bytes] = getattr(self, kind)
            getattr(first, kind).extend(lines[:room])
            getattr(second, kind).extend(lines[room:])
            room = max(0, room - len(lines))
        return first, second


def line(element: Element, timestamp: int) -> bytes:
    """The element as the receiver takes it; `timestamp`, for telemetry, in seconds since 1970."""
    match element:
        case Component():
            return _dumped(wire_component(element))
        case Relation():
            return _dumped(wire_relation(element))
        case Deleted():
            return _dumped(element.id)
        case Telemetry():
            return _dumped(wire_telemetry(element, timestamp))
    raise TypeError(f"{element!r} has no form on the stream")


def _dumped(value: Any) -> bytes:
    return trimmed(orjson.dumps(value))


def trimmed(data: bytes) -> bytes:
    """The same bytes in no more memory than they need.

    What orjson and zstandard return keeps the whole buffer that it was written in: 8 kB for a line of 1 kB, and for a
    compressed record as much as for its text. A snapshot holds thousands of both.
    """
    return bytes(memoryview(data))


KINDS = tuple(entry.name for entry in fields(Lines))


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

    def encode(self) -> bytes:
        """The record as it goes on the stream."""
        head = {
            "format": FORMAT,
            "instance": {"type": self.instance_type, "url": self.instance_url},
            "snapshot": self.snapshot,
            "start": self.start,
            "stop": self.stop,
            **{kind: len(getattr(self.lines, kind)) for kind in KINDS},
        }
        text = b"\n".join([orjson.dumps(head), *(line for kind in KINDS for line in getattr(self.lines, kind))])
        return trimmed(zstandard.ZstdCompressor(level=COMPRESSION_LEVEL).compress(text))

    @classmethod
    def decode(cls, data: bytes) -> "Record":
        """The record that the bytes are. Raises RecordError if they are none, or of a newer format."""
        try:
            text = zstandard.ZstdDecompressor().decompress(data, max_output_size=LARGEST_RECORD)
            first, *lines = text.split(b"\n")
            head: dict[str, Any] = orjson.loads(first)
            version = head["format"]
        except (zstandard.ZstdError, orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise RecordError(f"not a record of this agent: {error!r}") from error
        if version != FORMAT:
            raise RecordError(
                f"record of format {version}, but this version reads format {FORMAT}: update the functions"
            )
        if len(lines) != sum(head[kind] for kind in KINDS):
            raise RecordError(f"record has {len(lines)} elements where its head says {head}")
        record = cls(
            head["instance"]["type"], head["instance"]["url"], head["snapshot"], start=head["start"], stop=head["stop"]
        )
        rest = iter(lines)
        for kind in KINDS:
            getattr(record.lines, kind).extend(next(rest) for _ in range(head[kind]))
        return record


class Packer:
    """Packs elements into records as they come, and holds the finished ones, compressed.

    Args:
        instance_type, instance_url: the receiver's instance that the elements belong to.
        timestamp: seconds since 1970 that telemetry events carry.
        snapshot: id of the snapshot, empty for a delta.
    """

    def __init__(self, instance_type: str, instance_url: str, timestamp: int, snapshot: str = "") -> None:
        self._blank = Record(instance_type, instance_url, snapshot)
        self._timestamp = timestamp
        self._open = replace(self._blank, lines=Lines())
        self._size = 0
        self._packed: list[bytes] = []
        self._seen: set[int] = set()

    def add(self, element: Element) -> None:
        """Put the element into the open record, or, where it does not fit, into a new one.

        What was added before, to the letter, is left out; the same id with other data is not (a bucket notifies a
        function of several events under one relation id).
        """
        text = line(element, self._timestamp)
        if hash(text) in self._seen:
            return
        self._seen.add(hash(text))
        if len(self._open.lines) and (self._size + len(text) > SLICE_BYTES or len(self._open.lines) == SLICE_ELEMENTS):
            self._pack()
        self._open.lines.kind_of(element).append(text)
        self._size += len(text)

    def records(self) -> list[bytes]:
        """All that was added, as encoded records in order."""
        if len(self._open.lines):
            self._pack()
        return self._packed

    def _pack(self) -> None:
        self._packed.append(self._open.encode())
        self._open = replace(self._blank, lines=Lines())
        self._size = 0
