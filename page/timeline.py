"""What a snapshot, a delta or a comparison changed: the entries of the page's timeline."""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Element = Mapping[str, Any]
What = Literal["created", "updated", "deleted"]

MOST_CHANGES = 300  # of an entry are told one by one, the rest is counted
MOST_FIELDS = 12  # of a component
MOST_TEXT = 120  # characters of a value


def _none() -> dict[str, int]:
    return {"created": 0, "updated": 0, "deleted": 0}


@dataclass
class Entry:
    """One entry; `state` is "open" while a snapshot arrives, "closed", or "unfinished" if its end never came."""

    kind: Literal["snapshot", "delta", "comparison"]
    instance: str
    number: int = 0
    state: str = "closed"
    time: float = field(default_factory=time.time)
    components: dict[str, int] = field(default_factory=_none)
    relations: dict[str, int] = field(default_factory=_none)
    changes: list[dict[str, Any]] = field(default_factory=list)

    def component(self, before: Element | None, after: Element | None) -> None:
        """Note what became of a component: None before is a new one, None after a deleted one."""
        what = _what(before, after)
        self.components[what] += 1
        shown = after or before
        if shown is None or len(self.changes) >= MOST_CHANGES:
            return
        change = {"what": what, "externalId": shown["externalId"], "type": shown["type"]["name"], "name": _name(shown)}
        if before and after:
            change["fields"] = changed_fields(before["data"], after["data"])
        self.changes.append(change)

    def relation(self, before: Element | None, after: Element | None) -> None:
        """Note what became of a relation."""
        self.relations[_what(before, after)] += 1

    def as_json(self) -> dict[str, Any]:
        """The entry as the page gets it."""
        return asdict(self)


def comparison(before: Mapping[str, Any], after: Mapping[str, Any], instance: str = "") -> Entry:
    """What is different between two topologies, each with `components` and `relations` as the receiver takes them."""
    entry = Entry("comparison", instance)
    for kind, note in (("components", entry.component), ("relations", entry.relation)):
        old, new = ({each["externalId"]: each for each in topology[kind]} for topology in (before, after))
        for identifier in old | new:
            if old.get(identifier) != new.get(identifier):
                note(old.get(identifier), new.get(identifier))
    return entry


def changed_fields(before: Any, after: Any, path: str = "") -> list[dict[str, str | None]]:
    """The fields that differ, as {name, old, new}: names are dotted, values are texts, None where there is no field."""
    found: list[dict[str, str | None]] = []
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += changed_fields(old, new, f"{path}{name}.")
        else:
            found.append(
                {"name": path + name, "old": _text(before, name), "new": _text(after, name)},
            )
    return found[:MOST_FIELDS]


def _what(before: Element | None, after: Element | None) -> What:
    if before is None:
        return "created"
    return "deleted" if after is None else "updated"


def _text(data: Mapping[str, Any], name: str) -> str | None:
    if name not in data:
        return None
    value = data[name]
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= MOST_TEXT else text[:MOST_TEXT] + "…"


def _name(component: Element) -> str:
    """What a deleted component was called: all that is left of it is this entry."""
    data = component["data"]
    tags = data.get("Tags")
    name = (tags.get("Name") if isinstance(tags, Mapping) else None) or data.get("Name") or component["externalId"]
    return str(name)
