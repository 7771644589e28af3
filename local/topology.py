"""What StackState makes of what it receives: checks every body strictly, and keeps the topology of each instance."""

import json
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from page.timeline import Entry

KEPT_ENTRIES = 200  # of the timeline: snapshots and deltas
MAX_ELEMENT_BYTES = 1_000_000  # one element becomes one Kafka record
ENVELOPE = {
    "collection_timestamp": int,
    "internalHostname": str,
    "events": dict,
    "metrics": list,
    "service_checks": list,
    "health": list,
    "topologies": list,
}
TOPOLOGY = {"instance", "components", "relations", "start_snapshot", "stop_snapshot", "delete_ids"}
COMPONENT = {"externalId", "type", "data", "sourceProperties"}
RELATION = {"externalId", "type", "data", "sourceId", "targetId", "sourceProperties"}

Element = dict[str, Any]


class Refused(Exception):
    """A body that the receiver does not take; the text says why."""


def demand(condition: object, reason: str) -> None:
    """Refuse the body unless the condition holds."""
    if not condition:
        raise Refused(reason)


def check(body: Any) -> None:
    """Refuse what is not a body of StackState's intake, as far as that can be told from the body alone."""
    demand(isinstance(body, dict), "the body is not an object")
    for name, kind in ENVELOPE.items():
        demand(name in body, f"missing member '{name}'")
        demand(type(body[name]) is kind, f"'{name}' is not of type {kind.__name__}")
    demand("apiKey" not in body, "'apiKey' does not belong into the body")
    demand(body["internalHostname"].strip(), "'internalHostname' is empty")
    demand(1e9 <= body["collection_timestamp"] < 1e10, "'collection_timestamp' is not in seconds since 1970")
    for name, events in body["events"].items():
        demand(isinstance(events, list), f"events of '{name}' are not a list")
        for event in events:
            _check_event(event, f"an event of '{name}'")
    for topology in body["topologies"]:
        _check_topology(topology)


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _check_event(event: Any, what: str) -> None:
    demand(isinstance(event, dict), f"{what} is not an object")
    for name in ("msg_title", "msg_text"):
        demand(isinstance(event.get(name), str), f"{what} has no text '{name}'")
    demand(type(event.get("timestamp")) is int and 1e9 <= event["timestamp"] < 1e10, f"{what} has no time in seconds")
    tags = event.get("tags", [])
    demand(isinstance(tags, list) and all(_text(tag) for tag in tags), f"{what} has tags that are not a list of texts")


def _check_topology(topology: Any) -> None:
    demand(isinstance(topology, dict), "a topology is not an object")
    demand(topology.keys() <= TOPOLOGY, f"unknown members in a topology: {sorted(topology.keys() - TOPOLOGY)}")
    instance = topology.get("instance")
    demand(isinstance(instance, dict) and instance.keys() == {"type", "url"}, "'instance' is not of type and url")
    demand(_text(instance["type"]) and _text(instance["url"]), "type and url of 'instance' are not texts")
    for name in ("start_snapshot", "stop_snapshot"):
        demand(isinstance(topology.get(name, False), bool), f"'{name}' is not true or false")
    for name in ("components", "relations"):
        demand(isinstance(topology.get(name), list), f"'{name}' is not a list")
    for component in topology["components"]:
        _check_element(component, "component", COMPONENT)
    for relation in topology["relations"]:
        _check_element(relation, "relation", RELATION)
        source, target, kind = relation.get("sourceId"), relation.get("targetId"), relation["type"]["name"]
        demand(_text(source) and _text(target), f"relation {relation['externalId']} has an end that is not a text")
        wanted = f"{source}-{kind}-{target}"
        demand(relation["externalId"] == wanted, f"relation {relation['externalId']} should have the id {wanted}")
    deleted = topology.get("delete_ids", [])
    demand(isinstance(deleted, list) and all(_text(each) for each in deleted), "'delete_ids' is not a list of ids")


def _check_element(element: Any, what: str, members: set[str]) -> None:
    demand(isinstance(element, dict), f"a {what} is not an object")
    demand(_text(element.get("externalId")), f"a {what} has no externalId")
    what = f"{what} {element['externalId']}"
    demand(element.keys() <= members, f"unknown members in {what}: {sorted(element.keys() - members)}")
    kind = element.get("type")
    demand(isinstance(kind, dict) and kind.keys() == {"name"} and _text(kind["name"]), f"{what} has no type name")
    demand(isinstance(element.get("data"), dict), f"the data of {what} are not an object")
    demand(len(json.dumps(element, ensure_ascii=False).encode()) <= MAX_ELEMENT_BYTES, f"{what} is too large")


@dataclass
class Instance:
    """The topology of one instance; `seen` holds the ids of a snapshot that has begun and not ended."""

    type: str
    url: str
    components: dict[str, Element] = field(default_factory=dict)
    relations: dict[str, Element] = field(default_factory=dict)
    seen: set[str] | None = None
    entry: Entry | None = None
    """What the snapshot that has begun changed so far."""
    snapshots: int = 0
    last_snapshot: float | None = None

    @property
    def name(self) -> str:
        """The instance in one word."""
        return f"{self.type}/{self.url}"

    def summary(self) -> dict[str, Any]:
        """Give counts; a dangling relation is one that StackState does not show, for lack of an end."""
        ends = [(each["sourceId"], each["targetId"]) for each in self.relations.values()]
        return {
            "type": self.type,
            "url": self.url,
            "components": len(self.components),
            "relations": len(self.relations),
            "dangling": sum(not {source, target} <= self.components.keys() for source, target in ends),
            "snapshots": self.snapshots,
            "snapshotOpen": self.seen is not None,
            "lastSnapshot": self.last_snapshot,
        }


class Topologies:
    """All instances, and what each snapshot and each delta changed."""

    def __init__(self) -> None:
        self.instances: dict[tuple[str, str], Instance] = {}
        self.revision = 0
        self.timeline: deque[Entry] = deque(maxlen=KEPT_ENTRIES)
        self._entries = 0

    def apply(self, topologies: list[dict[str, Any]]) -> dict[str, Any]:
        """Apply checked topologies, all or none; give what changed, as the page gets it."""
        began = {key: instance.seen is not None for key, instance in self.instances.items()}
        for topology in topologies:
            key = (topology["instance"]["type"], topology["instance"]["url"])
            began[key] = began.get(key, False) or topology.get("start_snapshot", False)
            if topology.get("stop_snapshot"):
                demand(began[key], f"a snapshot of {key[0]}/{key[1]} is stopped that was not started")
                began[key] = False
        change: dict[str, Any] = {"components": [], "relations": [], "removed": []}
        touched: dict[int, Entry] = {}
        for topology in topologies:
            key = (topology["instance"]["type"], topology["instance"]["url"])
            instance = self.instances.setdefault(key, Instance(*key))
            entries = self._entries_for(instance, topology)
            touched |= {entry.number: entry for entry in entries}
            _apply(instance, topology, change, entries[-1])
        self.revision += any(change.values())
        return (
            change
            | {"revision": self.revision, "instances": [each.summary() for each in self.instances.values()]}
            | {"timeline": [entry.as_json() for entry in touched.values()]}
        )

    def _entries_for(self, instance: Instance, topology: dict[str, Any]) -> list[Entry]:
        """The entries of the timeline that a topology changes; what it does belongs to the last one."""
        unfinished = []
        if topology.get("start_snapshot"):
            if instance.entry:
                instance.entry.state = "unfinished"
                unfinished.append(instance.entry)
            instance.entry = self._new(Entry("snapshot", instance.name, state="open"))
        return [*unfinished, instance.entry or self._new(Entry("delta", instance.name))]

    def _new(self, entry: Entry) -> Entry:
        self._entries += 1
        entry.number = self._entries
        self.timeline.append(entry)
        return entry

    def as_json(self) -> dict[str, Any]:
        """Give everything, as the page shows it."""
        instances = self.instances.values()
        return {
            "revision": self.revision,
            "instances": [each.summary() for each in instances],
            "components": [c | {"instance": each.name} for each in instances for c in each.components.values()],
            "relations": [r | {"instance": each.name} for each in instances for r in each.relations.values()],
            "timeline": [entry.as_json() for entry in self.timeline],
        }


def _apply(instance: Instance, topology: dict[str, Any], change: dict[str, Any], entry: Entry) -> None:
    """Apply one topology, and add what it changed to the page's `change` and to the entry."""
    if topology.get("start_snapshot"):
        instance.seen = set()
    stores = (("components", instance.components, entry.component), ("relations", instance.relations, entry.relation))
    for kind, store, note in stores:
        for element in topology[kind]:
            identifier = element["externalId"]
            if instance.seen is not None:
                instance.seen.add(identifier)
            if store.get(identifier) != element:
                note(store.get(identifier), element)
                store[identifier] = element
                change[kind].append(element | {"instance": instance.name})
    gone = set(topology.get("delete_ids", []))
    if instance.seen is not None:
        instance.seen -= gone
    if topology.get("stop_snapshot") and instance.seen is not None:
        gone |= (instance.components.keys() | instance.relations.keys()) - instance.seen
        instance.seen, instance.snapshots, instance.last_snapshot = None, instance.snapshots + 1, time.time()
        entry.state, instance.entry = "closed", None
    for identifier in gone:
        for _, store, note in stores:
            if element := store.pop(identifier, None):
                note(element, None)
                change["removed"].append({"instance": instance.name, "externalId": identifier})
