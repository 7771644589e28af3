"""One run of topo-cwevents: a batch of messages, what they touched, and the delta that it led to."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from topology.collect import Account, NotYet, Touched, changes
from topology.elements import Component, Deleted, Incomplete, LeftOut, Relation
from topology.events import meaning, merged
from topology.records import Packer, Record

# How often a message may come before a resource that AWS does not know counts as gone, however new it was. The queue's
# maxReceiveCount has to be higher.
LAST_LOOK = 4


@dataclass
class Delta:
    """The records of a delta, and the ids of the messages that have to come again."""

    records: list[bytes]
    later: list[str]
    counts: Counter[str]
    errors: list[str]

    def as_log(self) -> dict[str, object]:
        """The numbers, and what could not be read."""
        return {"elements": dict(self.counts), "errors": self.errors, "later": len(self.later)}


@dataclass
class Batch:
    """Messages of the queue, each an event, by what they touched."""

    by_message: dict[str, tuple[Touched, ...]] = field(default_factory=dict)
    malformed: list[str] = field(default_factory=list)
    unresolved: int = 0

    @classmethod
    def parse(cls, account: Account, messages: Sequence[Mapping[str, Any]]) -> "Batch":
        """What the messages say. One that is no event comes back until the queue sets it aside as a dead letter."""
        batch = cls()
        for message in messages:
            id_ = message["messageId"]
            try:
                said = meaning(account, orjson.loads(message["body"]))
            except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
                batch.malformed.append(id_)
                continue
            batch.unresolved += said.unresolved
            last_look = int(message.get("attributes", {}).get("ApproximateReceiveCount", 1)) >= LAST_LOOK
            batch.by_message[id_] = tuple(replace(one, creates=False) if last_look else one for one in said.touched)
        return batch

    @property
    def touched(self) -> list[Touched]:
        """What the messages touched, each resource once."""
        return merged(one for touched in self.by_message.values() for one in touched)

    def look_again(self, account: Account, empty: Record) -> Delta:
        """Ask AWS about all that was touched, and pack its state as a delta."""
        packer = Packer(empty.instance_type, empty.instance_url, int(time.time()))
        counts: Counter[str] = Counter()
        failed: set[tuple[str, str]] = set()
        early: set[tuple[str, str, str]] = set()
        errors = []
        for finding in changes(account, self.touched):
            match finding:
                case Incomplete():
                    failed.add((finding.scope.service, finding.scope.region))
                    errors.append(str(finding.error))
                case NotYet():
                    early.add(_name(finding.touched))
                case LeftOut():
                    errors.append(str(finding.error))
                case _:
                    packer.add(finding)
                    counts[_kind(finding)] += 1
        later = self.malformed + [
            message
            for message, touched in self.by_message.items()
            if any((one.resource.service, one.region) in failed or _name(one) in early for one in touched)
        ]
        return Delta(packer.records(), later, counts, errors)

    def as_log(self) -> dict[str, object]:
        """What was touched, by kind."""
        return {
            "messages": len(self.by_message) + len(self.malformed),
            "malformed": len(self.malformed),
            "unresolved": self.unresolved,
            "touched": dict(Counter(one.resource.kind for one in self.touched)),
        }


def _name(touched: Touched) -> tuple[str, str, str]:
    return touched.resource.kind, touched.region, touched.key


def _kind(element: object) -> str:
    match element:
        case Component():
            return element.type
        case Relation() | Deleted():
            return type(element).__name__.lower()
    return type(element).__name__
