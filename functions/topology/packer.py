"""Packs elements into records: what a scope or a delta has, item by item."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import orjson

from topology.elements import Component, Deleted, Element, Relation, StackResource
from topology.records import KIND_OF, SLICE_BYTES, SLICE_ELEMENTS, Entry, ItemName, Lines, Record, id_of, line

# What is being packed is held uncompressed, once for every scope: topo-publisher joins small slices into large POSTs.
PACKED_BYTES = SLICE_BYTES // 4


class Packer:
    """Packs elements into records as they come, and holds the finished ones, compressed.

    Args:
        instance_type, instance_url: the receiver's instance that the elements belong to.
        timestamp: seconds since 1970 that telemetry events carry.
        whole_items: each item gets all of its lines, as one has to be told that stands for itself.
    """

    def __init__(self, instance_type: str, instance_url: str, timestamp: int, *, whole_items: bool = False) -> None:
        self._whole_items = whole_items
        self._blank = Record(instance_type, instance_url)
        self._timestamp = timestamp
        self._open = self._new()
        self._lines = self._size = 0
        self._packed: list[bytes] = []
        self._seen: set[int] = set()

    def add(self, element: Element) -> None:
        """Put an element that belongs to no item into the open record, or, where it does not fit, into a new one."""
        text = line(element, self._timestamp)
        if hash(text) not in self._seen:
            if self._is_full(text):
                self._pack()
            self._append(KIND_OF[type(element)], text)

    def item(self, name: ItemName, elements: Iterable[Element], kept: Iterable[str] = ()) -> None:
        """Put an item's components and relations into records, with an entry that says so.

        Others make no lines: `Deleted` are relations that the item suppresses, `StackResource` are links that somebody
        else makes relations of, `Telemetry` is no part of an item. `kept` are ids of what the item had and may still
        have: the entry remembers them, so that somebody can say later that they ended.
        """
        texts, suppressed, links, lost = [], [], [], set(kept)
        for one in elements:
            match one:
                case Component() | Relation():
                    texts.append((KIND_OF[type(one)], line(one, self._timestamp)))
                    lost.discard(one.id)
                case Deleted():
                    suppressed.append(one.id)
                case StackResource():
                    links.append(one.link)
        self.item_lines(Entry(*name, suppressed=tuple(suppressed), links=tuple(links)), texts, sorted(lost))

    def item_lines(self, entry: Entry, texts: Iterable[tuple[str, bytes]], lost: Iterable[str] = ()) -> None:
        """Put an item's lines, each with its kind, into records; of the entry, its name, relations and links are taken.

        What stands in these records already, to the letter, is not repeated, unless items are whole; the same id with
        other data is (a bucket notifies a function of several events under one relation id).
        """
        counts = Counter[str]()
        shared = list(lost)
        first = True
        own: set[int] = set()
        for kind, text in texts:
            if hash(text) in (own if self._whole_items else self._seen):
                shared.append(orjson.loads(id_of(text)))
                continue
            own.add(hash(text))
            if self._is_full(text):
                if counts.total():
                    self._open.entries.append(Entry(*entry.item, counts["components"], counts["relations"], first))
                    counts, first = Counter(), False
                self._pack()
            self._append(kind, text)
            counts[kind] += 1
        rest = Entry(*entry.item, counts["components"], counts["relations"], first, tuple(shared))
        self._open.entries.append(rest._replace(suppressed=entry.suppressed, links=entry.links))

    def records(self) -> list[bytes]:
        """All that was added, as encoded records in order."""
        if self._lines or self._open.entries:
            self._pack()
        return self._packed

    @property
    def size(self) -> int:
        """Bytes of the finished records."""
        return sum(map(len, self._packed))

    def _append(self, kind: str, text: bytes) -> None:
        self._seen.add(hash(text))
        self._open.lines[kind].append(text)
        self._lines += 1
        self._size += len(text)

    def _is_full(self, text: bytes) -> bool:
        return self._lines == SLICE_ELEMENTS or (self._lines > 0 and self._size + len(text) > PACKED_BYTES)

    def _pack(self) -> None:
        self._packed.append(self._open.encode())
        self._open = self._new()
        self._lines = self._size = 0

    def _new(self) -> Record:
        return replace(self._blank, lines=Lines(), entries=[])
