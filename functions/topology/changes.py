"""One run of topo-cwevents: a batch of messages, what they touched, and the delta that it led to."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from topology.collect import Account, Gone, Read, Touched, Unread, Unsettled, changes
from topology.declare import Resource
from topology.elements import Component, Deleted, Incomplete, LeftOut, Relation, Scope, StackResource, Telemetry
from topology.events import meaning, merged
from topology.known import Known
from topology.later import LAST_LOOK
from topology.links import Names
from topology.packer import Packer
from topology.readings import ScopeName
from topology.records import ItemName, Record
from topology.stream import Stream

# How often a batch looks at the same resources because others told of them meanwhile.
LOOKS = 3


@dataclass
class Batch:
    """Messages of the queue, each an event, by what they touched."""

    by_message: dict[str, tuple[Touched, ...]] = field(default_factory=dict)
    malformed: list[str] = field(default_factory=list)
    unresolved: Counter[str] = field(default_factory=Counter)
    """Events that change something of ours, but do not say what; by name."""

    @classmethod
    def parse(cls, accounts: Mapping[str, Account], messages: Sequence[Mapping[str, Any]]) -> "Batch":
        """What the messages say. One that is no event comes back until the queue sets it aside as a dead letter."""
        batch = cls()
        for message in messages:
            id_ = message["messageId"]
            try:
                event = orjson.loads(message["body"])
                account = accounts.get(event["account"])
                said = meaning(account, event) if account else None
            except (AttributeError, KeyError, TypeError, ValueError):
                batch.malformed.append(id_)
                continue
            batch.by_message[id_] = tuple(_at_last(one) for one in said.touched) if said else ()
            if said and said.unresolved:
                detail = event.get("detail") or {}
                batch.unresolved[str(detail.get("eventName") or event.get("detail-type"))] += 1
        return batch

    @property
    def touched(self) -> list[Touched]:
        """What the messages touched, each resource once."""
        return merged(one for touched in self.by_message.values() for one in touched)

    def messages_of(self, names: Iterable[ItemName]) -> list[str]:
        """The messages that touched one of these."""
        wanted = set(names)
        return [id_ for id_, touched in self.by_message.items() if any(one.name in wanted for one in touched)]

    def as_log(self) -> dict[str, object]:
        """What was touched, by kind."""
        return {
            "messages": len(self.by_message) + len(self.malformed),
            "malformed": len(self.malformed),
            "unresolved": dict(self.unresolved),
            "touched": dict(Counter(one.resource.kind for one in self.touched)),
        }


def _at_last(touched: Touched) -> Touched:
    """What was looked at often enough is gone if AWS does not know it."""
    return replace(touched, creates=touched.creates and touched.attempt < LAST_LOOK)


@dataclass
class Delta:
    """What AWS has now of what was touched."""

    records: list[bytes] = field(default_factory=list)
    unsettled: list[Touched] = field(default_factory=list)
    failed: list[ItemName] = field(default_factory=list)
    """What could not be read."""
    looked: list[Touched] = field(default_factory=list)
    """All that AWS was asked about, and what it answered with besides."""
    counts: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)

    def as_log(self) -> dict[str, object]:
        """The numbers, and what could not be read."""
        return {"elements": dict(self.counts), "errors": self.errors, "unsettled": len(self.unsettled)}


@dataclass
class Look:
    """What AWS answered about what was touched."""

    reads: dict[ItemName, Read] = field(default_factory=dict)
    gone: dict[ItemName, Touched] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    """Ids that events named as ended."""
    passing: set[ItemName] = field(default_factory=set)
    """What may lack something just now: it is being made, changed or deleted, or was read in part."""


def looked_again(accounts: Mapping[str, Account], touched: Sequence[Touched], known: Known, blank: Record) -> Delta:
    """Ask AWS about all that was touched, and say what is there, and what ended."""
    delta, look = Delta(), Look()
    touched = merged([*touched, *_near(touched, known)])
    for account in accounts.values():
        for finding in changes(account, [one for one in touched if one.scope.account == account.id]):
            match finding:
                case Read():
                    look.reads[finding.name] = finding
                case Gone():
                    look.gone[finding.touched.name] = finding.touched
                case Deleted():
                    look.ended.add(finding.id)
                case Unsettled():
                    delta.unsettled.append(finding.touched)
                case Unread():
                    delta.failed.append(finding.touched.name)
                case Incomplete() | LeftOut():
                    delta.errors.append(str(finding.error))
    look.passing = {one.name for one in delta.unsettled} | {name for name, read in look.reads.items() if read.partial}
    asked = {one.name for one in touched}
    besides = [Touched(one.resource, one.scope, one.key) for name, one in look.reads.items() if name not in asked]
    delta.looked = [*touched, *besides]
    _draw(look, known)
    resources = next(iter(accounts.values())).resources
    _pack(delta, look, Names(resources), known, blank)
    return delta


def _near(touched: Sequence[Touched], known: Known) -> list[Touched]:
    """What was found by the id of something near it before, and may be so no more."""
    near: dict[tuple[Resource, Scope], set[str]] = defaultdict(set)
    for one in touched:
        if one.resource.nearby(one.key):
            near[one.resource, one.scope].add(one.key)
    return [
        Touched(resource, scope, key)
        for (resource, scope), ids in near.items()
        for key in known.keys_near(scope, resource.kind, ids)
    ]


def _draw(look: Look, known: Known) -> None:
    """Leave out relations that items of another service speak for."""
    giving_way = {name: read for name, read in look.reads.items() if read.resource.gives_way_to}
    ways = {(*name[:2], read.resource.gives_way_to) for name, read in giving_way.items()}
    suppressed = {way: known.suppressed(way) for way in ways}
    for name, read in look.reads.items():
        if name[:3] in ways:
            suppressed[name[:3]] |= {one.id for one in read.elements if isinstance(one, Deleted)}
    for name, read in giving_way.items():
        undrawn = suppressed[*name[:2], read.resource.gives_way_to]
        kept = [one for one in read.elements if not (isinstance(one, Relation) and one.id in undrawn)]
        look.reads[name] = replace(read, elements=kept)


def _pack(delta: Delta, look: Look, names: Names, known: Known, blank: Record) -> None:
    """Pack what is there, and the ids of what is not."""
    packer = Packer(*blank.instance, int(time.time()), whole_items=True)
    had = known.ids(look.reads.keys() | look.gone.keys())
    for read in look.reads.values():
        packer.item(read.name, read.elements, had[read.name] if read.name in look.passing else ())
        for element in read.elements:
            if isinstance(element, Component):
                names.add(read.resource, read.scope, read.key, element.type, element.id)
    for name in look.gone:
        packer.item(name, ())
    delta.unsettled += _referring(look, had, names, known)
    links = [relation for read in look.reads.values() for relation in _links(read, names)]
    there = [one for read in look.reads.values() for one in read.elements if isinstance(one, Component | Relation)]
    there += links
    ended = _ended(look, had, names, known) - {one.id for one in there}
    for relation in links:
        packer.add(relation)
    for event in (one for read in look.reads.values() for one in read.elements if isinstance(one, Telemetry)):
        packer.add(event)
    for id_ in sorted(ended):
        packer.add(Deleted(id_))
    delta.records = packer.records()
    delta.counts = Counter(one.type if isinstance(one, Component) else "relation" for one in there)
    delta.counts["deleted"] = len(ended)


def _links(read: Read, names: Names) -> list[Relation]:
    """The relations from a stack to what it made."""
    links = [one for one in read.elements if isinstance(one, StackResource)]
    return [relation for one in links for relation in names.relations(read.scope, one.link, known_only=False)]


def _referring(look: Look, had: Mapping[ItemName, set[str]], names: Names, known: Known) -> list[Touched]:
    """What refers to a component that came, or came back: StackState keeps no relation without both of its ends."""
    came = {
        one.id
        for name, read in look.reads.items()
        for one in read.elements
        if isinstance(one, Component) and one.id not in had.get(name, ())
    }
    resources = {resource.kind: resource for resource in names.resources}
    partition = next((read.scope.partition for read in look.reads.values()), "")
    return [
        Touched(resources[kind], Scope(account, region, partition, service), key)
        for account, region, service, kind, key in sorted(known.referring(came, names) if came else ())
        if kind in resources and (account, region, service, kind, key) not in look.reads
    ]


def _ended(look: Look, had: Mapping[ItemName, set[str]], names: Names, known: Known) -> set[str]:
    """Ids of what was there before and may be no more."""
    touched = look.reads.keys() | look.gone.keys()
    here = {one.id for read in look.reads.values() for one in read.elements if isinstance(one, Component)}
    lost: dict[ScopeName, set[str]] = defaultdict(set)
    for name in touched - look.passing:
        read = look.reads.get(name)
        have = {one.id for one in read.elements if isinstance(one, Component | Relation)} if read else set()
        lost[name[:3]] |= had.get(name, set()) - have
    gone: dict[ScopeName, set[str]] = defaultdict(set)
    for name, one in look.gone.items():
        own = one.resource.component_id(one.scope, one.key) if one.resource.component_id else ""
        gone[name[:3]] |= {own} - {""}
    for name, components in known.components(look.gone.keys()).items():
        gone[name[:3]] |= components
    ended, components = set(look.ended), set[str]()
    for whose in lost.keys() | gone.keys():
        held = known.held(whose, lost[whose] | gone[whose], touched - look.passing)
        ended |= lost[whose] - held
        components |= gone[whose] - held - here
    ended |= components | known.relations_of(components)
    for read in look.reads.values():
        ended |= {one.id for one in read.elements if isinstance(one, Deleted)}
    for name, had_links in known.links(touched).items():
        read = look.reads.get(name)
        scope = read.scope if read else look.gone[name].scope
        lost_links = had_links - {one.link for one in (read.elements if read else ()) if isinstance(one, StackResource)}
        ended |= {one.id for link in lost_links for one in names.relations(scope, link, known_only=False)}
    return ended


@dataclass
class Publication:
    """What a batch led to, in numbers, and what has to be done yet."""

    deltas: list[Delta] = field(default_factory=list)
    overtaken: set[ItemName] = field(default_factory=set)
    """What others told of while this batch looked, time and again."""

    @property
    def failed(self) -> list[ItemName]:
        """What could not be read, or not be told in order."""
        return [name for delta in self.deltas for name in delta.failed] + list(self.overtaken)

    @property
    def unsettled(self) -> list[Touched]:
        """What has to be looked at again later."""
        return merged(one for delta in self.deltas for one in delta.unsettled)

    def as_log(self) -> dict[str, object]:
        """The numbers, and what could not be read."""
        counts: Counter[str] = sum((delta.counts for delta in self.deltas), Counter())
        return {
            "elements": dict(counts),
            "errors": [error for delta in self.deltas for error in delta.errors],
            "unsettled": len(self.unsettled),
            "looks": len(self.deltas),
            "overtaken": len(self.overtaken),
        }


def published(
    accounts: Mapping[str, Account], touched: Sequence[Touched], known: Known, stream: Stream, blank: Record
) -> Publication:
    """Look at what was touched, and write it to the stream, in the order in which it was true.

    Another process may look at the same resource earlier and write later. So whoever finds, behind what it knew when it
    looked and before what it wrote, somebody else's word on a resource, looks at it once more.
    """
    publication = Publication()
    known.catch_up()
    for _ in range(LOOKS):
        delta = looked_again(accounts, touched, known, blank)
        publication.deltas.append(delta)
        if not delta.records:
            break
        told = known.catch_up(stream.write(delta.records), delta.records)
        touched = [one for one in delta.looked if one.name in told]
        if not touched:
            break
    else:
        publication.overtaken = {one.name for one in touched}
    return publication
