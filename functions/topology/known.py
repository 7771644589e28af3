"""What StackState has of single items, as far as it is known: from the last readings, and from what was told since.

With it a change can say what ended: relations that an item no longer has, and what it leaves behind when it is gone. An
upsert alone cannot remove anything.
"""

import logging
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

import orjson

from topology.elements import Scope
from topology.errors import StreamUnreadable
from topology.links import Names
from topology.readings import Deltas, History, Reading, ScopeName, Texts, ends_of, items_of
from topology.records import SEPARATOR, Entry, ItemName, Record, Text, entries, id_of
from topology.state import LEDGER, StateStore
from topology.stream import Stream
from topology.tail import Tail

logger = logging.getLogger(__name__)


@dataclass
class ScopeKnown:
    """The last reading of a scope, and where in it the items are."""

    reading: Reading
    listed: list[list[Entry]] = field(default_factory=list)
    """The entries of each record."""
    places: dict[ItemName, list[int]] = field(default_factory=lambda: defaultdict(list))
    """Positions of the records that an item is in."""
    shared: set[str] = field(default_factory=set)
    """Ids that more than one item has."""

    @classmethod
    def of(cls, reading: Reading) -> "ScopeKnown":
        """A reading, looked through once."""
        known = cls(reading, [entries(data) for data in reading.records])
        for index, of_record in enumerate(known.listed):
            for entry in of_record:
                known.places[entry.item].append(index)
                known.shared.update(entry.shared)
        return known

    def items(self, names: Collection[ItemName]) -> Iterator[tuple[Entry, Texts]]:
        """These items, or parts of them, each with its lines."""
        for index in sorted({index for name in names for index in self.places.get(name, ())}):
            yield from (part for part in self._items_of(index) if part[0].item in names)

    def all_items(self) -> Iterator[tuple[Entry, Texts]]:
        """All items, or parts of them, each with its lines."""
        for index in range(len(self.listed)):
            yield from self._items_of(index)

    def parts_with_ends(self, wanted: Collection[bytes]) -> Iterator[tuple[Entry, Texts]]:
        """Items, or parts of them, of the records with relations to these ids (as JSON texts), or with links."""
        for index, data in enumerate(self.reading.records):
            texts = Record.decode(data).lines.texts("relations")
            to_one = any(target in wanted for text in texts for _, target in ends_of(text))
            if to_one or any(entry.links for entry in self.listed[index]):
                yield from self._items_of(index)

    def _items_of(self, index: int) -> Iterator[tuple[Entry, Texts]]:
        record = Record.decode(self.reading.records[index])
        record.entries = self.listed[index]
        return items_of(record)


class Known:
    """What StackState has, for a process that lives through many batches.

    Args:
        store: of the state bucket.
        stream, tail: of the installation.
        blank: an empty record of its instance.
    """

    def __init__(self, store: StateStore, stream: Stream, tail: Tail, blank: bytes) -> None:
        self._store = store
        self._stream = stream
        self._tail = tail
        self._blank = blank
        self._history: History | None = None
        self._scopes: dict[ScopeName, ScopeKnown | None] = {}
        self._starts = 0

    def catch_up(self, end: str = "", own: Collection[bytes] = ()) -> set[ItemName]:
        """Hear what was told up to the record at `end`, or up to now; answers with what others told it of.

        If that is not known, nothing is known, and the next snapshot will say what ended.
        """
        try:
            return self._caught_up(end, own)
        except StreamUnreadable as error:
            logger.warning("what was told before is not known: %s", error)
            self._history, self._scopes = History(end or self._mark()), {}
            return set()

    def _caught_up(self, end: str, own: Collection[bytes]) -> set[ItemName]:
        if self._history is None:
            self._history = History(self._last_run() or end or self._mark())
        told = self._history.catch_up(self._tail, end, own)
        if self._history.starts != self._starts:
            # A snapshot was begun, and before that its readings were kept.
            self._starts, self._scopes = self._history.starts, {}
            if self._history.knows(last := self._last_run()):
                self._history.forget(last)
        return told

    def _mark(self) -> str:
        """A position to begin with: of a record that says nothing."""
        return self._stream.write([self._blank])

    def _last_run(self) -> str:
        return str(self._store.document(LEDGER).get("since") or "")

    def ids(self, names: Collection[ItemName]) -> dict[ItemName, set[str]]:
        """Ids of the components and relations that StackState has of these items; of an unknown item none."""
        found: dict[ItemName, set[str]] = defaultdict(set)
        for entry, texts in self._items(names):
            found[entry.item].update(entry.shared, (orjson.loads(id_of(text)) for _, text in texts))
        return found

    def components(self, names: Collection[ItemName]) -> dict[ItemName, set[str]]:
        """Ids of the components that StackState has of these items; of an unknown item none."""
        found: dict[ItemName, set[str]] = defaultdict(set)
        for entry, texts in self._items(names):
            found[entry.item].update(orjson.loads(id_of(text)) for kind, text in texts if kind == "components")
        return found

    def keys_near(self, scope: Scope, kind: str, ids: Collection[str]) -> list[str]:
        """Keys of the items of this kind that StackState has a relation of to or from one of these ids."""
        wanted = {orjson.dumps(id_) for id_ in ids}
        return [
            entry.key
            for entry, texts in self._all_items(scope.name)
            if entry.kind == kind and any(_touches(text, wanted) for _, text in texts)
        ]

    def links(self, names: Collection[ItemName]) -> dict[ItemName, set[tuple[str, str, str, str]]]:
        """The links of these items, which are stacks."""
        found: dict[ItemName, set[tuple[str, str, str, str]]] = defaultdict(set)
        for entry, _ in self._items(names):
            found[entry.item].update(entry.links)
        return found

    def suppressed(self, scope: ScopeName) -> set[str]:
        """Ids of relations that must not be drawn, as the scope's items say."""
        known, deltas = self._scope(scope), self._deltas(scope)
        told = [told.entry for told in deltas.values()]
        read = [entry for of_record in known.listed for entry in of_record if entry.item not in deltas] if known else []
        return {id_ for entry in told + read for id_ in entry.suppressed}

    def held(self, scope: ScopeName, ids: Collection[str], besides: Collection[ItemName]) -> set[str]:
        """Those of the ids that an item of the scope has, not counting the items in `besides`."""
        known, deltas = self._scope(scope), self._deltas(scope)
        wanted, found = {orjson.dumps(id_) for id_ in ids}, set[str]()
        shared = known is not None and not known.shared.isdisjoint(ids)
        for entry, texts in self._all_items(scope) if shared else _told(deltas):
            if entry.item not in besides:
                found.update(one for one in entry.shared if one in ids)
                found.update(orjson.loads(id_) for _, text in texts if (id_ := id_of(text)) in wanted)
        return found

    def relations_of(self, components: Collection[str]) -> set[str]:
        """Ids of all relations that one of these components is an end of, whatever scope they were read in."""
        wanted = {orjson.dumps(id_) for id_ in components}
        found: set[str] = set()
        for text in self._all_relations():
            if _touches(text, wanted):
                lines = bytes(text).split(SEPARATOR)
                found.update(orjson.loads(id_of(line)) for line in lines if _touches(line, wanted))
        return found

    def referring(self, components: Collection[str], names: Names) -> set[ItemName]:
        """The items that have a relation to one of these components, or a link to one that has this name in stacks."""
        wanted = {orjson.dumps(id_) for id_ in components}
        found: set[ItemName] = set()
        for known in [self._scope(scope.name) for scope in self._store.scopes()]:
            deltas = self._deltas(known.reading.scope.name) if known else {}
            parts = known.parts_with_ends(wanted) if known else ()
            found.update(part[0].item for part in parts if part[0].item not in deltas and _refers(part, wanted, names))
        told = self._history.items.values() if self._history else ()
        return found | {one.entry.item for one in told if _refers((one.entry, one.texts), wanted, names)}

    def _all_relations(self) -> Iterator[Text]:
        """Texts of all relations that were read or told; of those that were read, some that were told anew since."""
        for scope in self._store.scopes():
            for data in known.reading.records if (known := self._scope(scope.name)) else ():
                yield from Record.decode(data).lines.texts("relations")
        for data in self._store.links():
            yield from Record.decode(data).lines.texts("relations")
        for told in self._history.items.values() if self._history else ():
            yield from (text for kind, text in told.texts if kind == "relations")

    def _all_items(self, scope: ScopeName) -> Iterator[tuple[Entry, Texts]]:
        known, deltas = self._scope(scope), self._deltas(scope)
        yield from _told(deltas)
        if known:
            yield from (part for part in known.all_items() if part[0].item not in deltas)

    def _items(self, names: Collection[ItemName]) -> Iterator[tuple[Entry, Texts]]:
        by_scope: dict[ScopeName, list[ItemName]] = defaultdict(list)
        for name in names:
            by_scope[name[:3]].append(name)
        for scope, of_scope in by_scope.items():
            deltas = self._deltas(scope)
            yield from _told({name: deltas[name] for name in of_scope if name in deltas})
            if known := self._scope(scope):
                yield from known.items([name for name in of_scope if name not in deltas])

    def _scope(self, scope: ScopeName) -> ScopeKnown | None:
        if scope not in self._scopes:
            account, region, service = scope
            reading = self._store.reading(Scope(account, region, "", service))
            usable = reading and self._history and self._history.knows(reading.since)
            self._scopes[scope] = ScopeKnown.of(reading) if reading and usable else None
            if reading and not usable:
                logger.warning("what changed in %s since it was read is not known", scope)
        return self._scopes[scope]

    def _deltas(self, scope: ScopeName) -> Deltas:
        if self._history is None:
            return {}
        known = self._scope(scope)
        since = known.reading.since if known else self._history.start
        return self._history.of(scope, since)


def _touches(text: Text, wanted: Collection[bytes]) -> bool:
    """Whether one of these ids, as JSON texts, is an end of a relation in the text."""
    return any(source in wanted or target in wanted for source, target in ends_of(text))


def _refers(part: tuple[Entry, Texts], wanted: Collection[bytes], names: Names) -> bool:
    entry, texts = part
    scope = Scope(entry.account, entry.region, "", entry.service)
    return any(target in wanted for _, text in texts for _, target in ends_of(text)) or any(
        orjson.dumps(one.target) in wanted
        for link in entry.links
        for one in names.relations(scope, link, known_only=True)
    )


def _told(deltas: Deltas) -> Iterator[tuple[Entry, Texts]]:
    for told in deltas.values():
        yield told.entry, told.texts
