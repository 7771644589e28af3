"""One run of topo-cron: read all scopes, settle each with what is known of it, and publish what is true.

A component may disappear only because its scope was read to the end and it was not there (docs/decisions.md, "What a
snapshot may remove"). All that is kept is kept before anything is published: what StackState has is always in the state
bucket or on the stream, from where a run that cannot read a scope takes it again.
"""

import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import orjson

from topology import VERSION
from topology.collect import Account
from topology.elements import Deleted, Scope
from topology.errors import StreamUnreadable
from topology.gather import Fresh, Gathered, gathered
from topology.ledger import Ledger, ScopeLine
from topology.packer import Packer
from topology.readings import (
    Census,
    History,
    Reading,
    all_items,
    besides,
    census,
    ids_of,
    noted,
    undrawn,
    with_deltas,
)
from topology.records import Entry, Record, entries, slice_of
from topology.state import HELD, LEDGER, StateStore
from topology.status import STATUS, as_text
from topology.stream import Stream
from topology.tail import Tail

# A snapshot that removes fewer components than this is never held back.
BRAKE_LEAST = 20
# Readings that are fetched and kept at a time.
AT_A_TIME = 8
# How often a start is put again because a delta came just before it.
STARTS = 10

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rules:
    """What the settings say of replays and of the brake."""

    replay_max_age: float = 24 * 3600.0
    """Seconds."""
    brake_share: float = 0.5
    """Of what the last snapshot had: one that removes more is held back for a run."""
    confirmed: bool = False
    """A person says that what is missing is really gone, and that what cannot be read holds nothing else."""


def told(tail: Tail | None, since: str, mark: str) -> History:
    """What the stream told since the last run, or, if that is no longer known, since this run's mark.

    Raises StreamUnreadable if not even that is known.
    """
    if tail is None:
        return History()
    history = History(since or mark)
    if since:
        try:
            history.catch_up(tail, mark)
        except StreamUnreadable as error:
            logger.warning("what was told since the last run is not known: %s", error)
            history = History(mark)
    history.catch_up(tail)
    return history


@dataclass
class Settled:
    """A scope as it is published and kept."""

    line: ScopeLine
    records: list[bytes]
    """What is published, but for what was told since the run's mark."""
    reading: Reading
    """What is kept."""
    known: list[bytes]
    """What StackState has of it, as far as that is known."""
    open_because: str = ""
    """Why the snapshot must not be closed."""


def settled(fresh: Fresh, old: Reading | None, history: History, ledger: Ledger, rules: Rules) -> Settled:
    """What is true of a scope, after what this run read of it, what was known, and what deltas told since then."""
    line = fresh.line
    records = fresh.records
    known, is_certain = _known(old, history)
    if line.complete:
        line.read_at = ledger.began
        return Settled(line, records, Reading(line.scope, records, ledger.began, ledger.since), known)
    carried = besides(known, records)
    line.read_at = old.read_at if old and is_certain else None
    accepted = old is not None and old.accepted
    outcome = Settled(
        line, records, Reading(line.scope, records + carried, line.read_at, ledger.since, accepted), known
    )
    if line.read_at is not None and (accepted or ledger.began - line.read_at <= rules.replay_max_age):
        line.replayed = len(census(carried).components)
        outcome.records = records + noted(carried, line.read_at, line.because)
    elif rules.confirmed:
        outcome.reading = Reading(line.scope, records, ledger.began, ledger.since, accepted=True)
    elif carried or records or not line.absent or ledger.ever_read_before(line.scope):
        outcome.open_because = _open_because(line, old, is_certain)
    return outcome


def _known(old: Reading | None, history: History) -> tuple[list[bytes], bool]:
    """What StackState has of a scope, and whether that is certain: deltas since the reading are known, too."""
    if old is None:
        return [], False
    if not history.knows(old.since):
        return list(old.records), False
    return with_deltas(old.records, history.of(old.scope.name, old.since)), True


def _open_because(line: ScopeLine, old: Reading | None, is_certain: bool) -> str:
    if old is None or old.read_at is None:
        how = "was never read before"
    elif not is_certain:
        how = "what changed since its last reading is not known"
    else:
        how = "its last reading is too old"
    scope = line.scope
    return f"{scope.service} in {scope.region} of account {scope.account} could not be read, and {how}: {line.because}"


def marked(slices: Sequence[bytes], mark: Record, *, closed: bool) -> Iterator[bytes]:
    """The records of a snapshot: its start, its slices, and, if it is closed, its end. `mark` is an empty record of it.

    Start and end travel on their own, so that they can be sent before and after everything else, whatever has to be
    sent again in between. All of them are counted, so that a reader knows whether it has had every one.
    """
    last = len(slices) + closed
    yield replace(mark, start=True, complete=closed, last=last).encode()
    for part, data in enumerate(slices, 1):
        yield slice_of(data, mark, part)
    if closed:
        yield replace(mark, stop=True, part=last).encode()


class Run:
    """A run of topo-cron, from its mark on the stream to its ledger.

    Args:
        accounts: what is read.
        mark: an empty record of the snapshot.
        store: of the state bucket.
        stream, tail: of the installation; None: the snapshot goes elsewhere.
        rules: of replays and of the brake.
        remaining: seconds left to this invocation.
    """

    def __init__(
        self,
        accounts: Sequence[Account],
        mark: Record,
        store: StateStore,
        stream: Stream | None = None,
        tail: Tail | None = None,
        rules: Rules = Rules(),
        remaining: Callable[[], float] = lambda: float("inf"),
    ) -> None:
        self.ledger = Ledger(mark.snapshot, time.time(), before=store.document(LEDGER), version=VERSION)
        self.accounts = accounts
        self.mark = mark
        self._store = store
        self._stream = stream
        self._tail = tail
        self._rules = rules
        self._remaining = remaining
        self._history = History()
        self._outcomes: list[Settled] = []
        self._unplanned: list[Scope] = []
        self._links: list[bytes] = []

    def begin(self) -> None:
        """Begin: what deltas tell from now on is newer than what is read."""
        if self._stream:
            self.ledger.since = self._stream.write([Record(*self.mark.instance).encode()])

    def read(self) -> Gathered:
        """Begin, and read all scopes."""
        self.begin()
        found = gathered(self.accounts, self.mark, self.ledger.began, self._remaining)
        self.resume(found)
        return found

    def resume(self, found: Gathered) -> None:
        """Go on with what was read."""
        self.ledger.left_out = found.left_out
        self.ledger.lines = [fresh.line for fresh in found.scopes.values()]

    def settle(self, found: Gathered) -> None:
        """Decide what is true, and keep it. Raises StorageFailed: what cannot be kept must not be published."""
        ledger = self.ledger
        try:
            self._history = told(self._tail, ledger.before_since, ledger.since)
        except StreamUnreadable as error:
            self._history = History(ledger.since)
            ledger.not_closed_because.append(f"what changed while the snapshot was read is not known: {error}")
        with ThreadPoolExecutor(AT_A_TIME, "state") as pool:
            olds = pool.map(self._store.reading, found.scopes)
            self._outcomes = [
                settled(fresh, old, self._history, ledger, self._rules)
                for fresh, old in zip(found.scopes.values(), olds, strict=True)
            ]
            ledger.not_closed_because += [one.open_because for one in self._outcomes if one.open_because]
            self._brake()
            list(pool.map(self._store.keep, [one.reading for one in self._outcomes]))

    def _brake(self) -> None:
        """Count what comes and goes; hold back a snapshot that would remove too much."""
        gone: dict[bytes, Settled | None] = {}
        had = has = 0
        for outcome in self._outcomes:
            now = census(self._with_news(outcome))
            before = census(outcome.known)
            had += len(before.components)
            has += len(now.components)
            gone |= dict.fromkeys(before.components.keys() - now.components.keys(), outcome)
            self._count(outcome, now, before)
        had += self._count_unplanned(gone)
        if self._rules.confirmed:
            return
        ledger, lost = self.ledger, self._lost(gone)
        if not has:
            ledger.not_closed_because.append("no component was found at all")
        elif len(lost) >= BRAKE_LEAST and len(lost) > self._rules.brake_share * had:
            ledger.held_back = {"removed": len(lost), "of": had}
            ledger.not_closed_because.append(
                f"it would remove {len(lost)} of {had} components: the next run that sees the same will, "
                "or a person who confirms it"
            )
            self._store.keep_document(HELD, {"snapshot": ledger.snapshot, "ids": sorted(map(orjson.loads, gone))})
            for outcome in {id(one): one for one in gone.values() if one}.values():
                fresh = outcome.reading
                records = [*fresh.records, *besides(outcome.known, fresh.records)]
                outcome.reading = replace(fresh, records=records)

    def _lost(self, gone: Collection[bytes]) -> set[bytes]:
        """Those of the components that are in no other scope now, and whose removal no earlier run held back."""
        before = self._store.document(HELD)
        seen = before.get("ids", ()) if before.get("snapshot") != self.ledger.snapshot else ()
        held = {orjson.dumps(id_) for id_ in seen}
        lost = set(gone) - held
        for outcome in self._outcomes if lost else ():
            lost -= census(self._with_news(outcome)).components.keys()
        return lost

    def _count(self, outcome: Settled, now: Census, before: Census) -> None:
        ledger = self.ledger
        outcome.line.components = len(now.components)
        ledger.components += now.types
        ledger.relations += now.relations
        if not (outcome.line.complete and outcome.known):
            return
        for id_ in now.components.keys() ^ before.components.keys():
            _, type_ = now.components.get(id_) or before.components[id_]
            ledger.drift[type_] += 1
        for id_ in now.components.keys() & before.components.keys():
            text, type_ = now.components[id_]
            ledger.changed[type_] += text != before.components[id_][0]

    def _count_unplanned(self, gone: dict[bytes, Settled | None]) -> int:
        """Add what is known of scopes that are no longer read, such as those of a region that was taken out."""
        planned = {line.scope.name for line in self.ledger.lines}
        had = 0
        for scope in self._store.scopes():
            if scope.name in planned:
                continue
            self._unplanned.append(scope)
            if old := self._store.reading(scope):
                known = census(_known(old, self._history)[0]).components
                had += len(known)
                gone |= dict.fromkeys(known)
        return had

    def _with_news(self, outcome: Settled) -> list[bytes]:
        """What is published of a scope, with what was told since the run's mark."""
        return with_deltas(outcome.records, self._history.of(outcome.line.scope.name, self.ledger.since))

    def records(self, found: Gathered) -> Iterator[bytes]:
        """The snapshot: its start, its elements, and its end if it may be closed."""
        return marked(self._slices(found), self.mark, closed=self.ledger.closed)

    def publish(self, found: Gathered) -> None:
        """Write the snapshot to the stream. Raises StreamRefused, StreamUnreadable."""
        if self._stream is None or self._tail is None:
            raise TypeError("there is no stream to publish to")
        for _ in range(STARTS):
            start, *rest = self.records(found)
            newest = self._history.newest
            self._history.catch_up(self._tail, self._stream.write([start]))
            if self._history.newest == newest:
                break
        else:
            self.ledger.not_closed_because.append("changes came too fast to begin between them")
            start, *rest = self.records(found)
            self._stream.write([start])
        self._stream.write(rest)

    def _slices(self, found: Gathered) -> list[bytes]:
        """All elements, as records."""
        by_scope = {outcome.line.scope: self._with_news(outcome) for outcome in self._outcomes}
        listed = {scope: [entry for data in records for entry in entries(data)] for scope, records in by_scope.items()}
        suppressed = {id_ for of_scope in listed.values() for entry in of_scope for id_ in entry.suppressed}
        giving_way = {one.service for one in self.accounts[0].resources if one.gives_way_to}
        slices: list[bytes] = []
        for scope, records in by_scope.items():
            gives_way = suppressed and scope.service in giving_way
            slices += undrawn(records, {orjson.dumps(id_) for id_ in suppressed}) if gives_way else records
        return slices + self._between_scopes(found, listed, suppressed)

    def _between_scopes(
        self, found: Gathered, listed: dict[Scope, list[Entry]], suppressed: Iterable[str]
    ) -> list[bytes]:
        """What belongs to no item: relations from stacks to what they made, telemetry, what is not to be drawn."""
        packer = Packer(*self.mark.instance, int(self.ledger.began))
        for outcome in self._outcomes:
            # What this run did not read, but is there: stacks have it all the same.
            scope = outcome.line.scope
            found.names.add_items(scope, () if outcome.line.complete else all_items(outcome.records))
            news = self._history.of(scope.name, self.ledger.since).values()
            found.names.add_items(scope, ((told.entry, told.texts) for told in news))
        for scope, of_scope in listed.items():
            for link in (link for entry in of_scope for link in entry.links):
                for relation in found.names.relations(scope, link, known_only=True):
                    packer.add(relation)
        self._links = list(packer.records())
        for id_ in (*suppressed, *sorted(map(orjson.loads, self._ended()))):
            packer.add(Deleted(id_))
        return packer.records() + found.events

    def _ended(self) -> set[bytes]:
        """Ids, as JSON texts, of what complete scopes have no more, where only other scopes keep the snapshot open."""
        scopes_alone = {one.open_because for one in self._outcomes}
        if self.ledger.closed or not scopes_alone.issuperset(self.ledger.not_closed_because):
            return set()
        ended: set[bytes] = set()
        for outcome in self._outcomes:
            if outcome.line.complete and outcome.known:
                ended |= ids_of(outcome.known) - ids_of(self._with_news(outcome))
        for outcome in self._outcomes if ended else ():
            ended -= ids_of(self._with_news(outcome))
        return ended

    def end(self) -> None:
        """Keep the ledger, and forget what is over. Raises StorageFailed."""
        self.ledger.ended = time.time()
        self.ledger.advise(self._remaining())
        if self.ledger.closed:
            if not self.ledger.incomplete:
                self._store.remove(HELD)
            for scope in self._unplanned:
                self._store.forget(scope)
        self._store.keep_links(self._links)
        self._store.keep_document(LEDGER, self.ledger.as_document())
        self._store.put(STATUS, as_text(self.ledger).encode())
        self._store.end()
