"""What came, went and changed between two previews of an account, as far as both of them can tell."""

from collections import defaultdict
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson

from page.timeline import changed_fields, comparison
from preview.errors import CannotPreview
from preview.reading import FORMAT, Document
from topology.resources import ALL

Element = Mapping[str, Any]


def previous(path: Path, account: str) -> Document:
    """The preview that was written to the file earlier. Raises CannotPreview if it is none of this account."""
    try:
        found = orjson.loads(path.read_bytes())
    except OSError as error:
        raise CannotPreview(f"--diff {path}: it cannot be read: {error.strerror}") from error
    except orjson.JSONDecodeError as error:
        raise CannotPreview(f"--diff {path}: it is not JSON: give a file that --json wrote") from error
    if not (isinstance(found, dict) and {"format", "account", "components", "relations", "ledger"} <= found.keys()):
        raise CannotPreview(f"--diff {path}: it is not a preview: give a file that --json wrote")
    if found["format"] != FORMAT:
        raise CannotPreview(f"--diff {path}: it has format {found['format']}, and this version {FORMAT}: make it anew")
    if found["account"] != account:
        raise CannotPreview(f"--diff {path}: it shows account {found['account']}, and the credentials are of {account}")
    if not _is_whole(found):
        raise CannotPreview(f"--diff {path}: parts of it are missing or changed: give a file as --json wrote it")
    return found


def _is_whole(document: Document) -> bool:
    """Whether what is compared is there."""
    ledger = document["ledger"]
    elements = [document["components"], document["relations"]]
    return (
        isinstance(ledger, dict)
        and {"began", "ended", "scopes", "left_out"} <= ledger.keys()
        and all(isinstance(each, list) for each in (*elements, ledger["scopes"], ledger["left_out"]))
        and all(isinstance(each, dict) and {"externalId", "data"} <= each.keys() for of in elements for each in of)
    )


class Difference:
    """Two previews, compared.

    What is missing from a preview whose scope was not read to its end is not gone, and what only lacks a denied detail
    has not changed: such elements are counted, and not compared.
    """

    def __init__(self, before: Document, after: Document) -> None:
        self.before, self.after = _Sight(before), _Sight(after)
        self.not_compared: dict[str, int] = {}
        self.old, self.new = {}, {}
        for kind, tells in (("components", self._tells_of_component), ("relations", self._tells_of_relation)):
            old, new = self.before.elements[kind], self.after.elements[kind]
            unlike = [id_ for id_ in old | new if old.get(id_) != new.get(id_)]
            vague = {id_ for id_ in unlike if not tells(old.get(id_), new.get(id_))}
            self.not_compared[kind] = len(vague)
            self.old[kind], self.new[kind] = (
                {id_: each for id_, each in side.items() if id_ not in vague} for side in (old, new)
            )

    def _tells_of_component(self, old: Element | None, new: Element | None) -> bool:
        return self._tells(old, new, [element for element in (new or old,) if element])

    def _tells_of_relation(self, old: Element | None, new: Element | None) -> bool:
        relation = new or old
        if relation is None:
            return True
        ends = [
            self.after.elements["components"].get(relation[end])
            or self.before.elements["components"].get(relation[end])
            for end in ("sourceId", "targetId")
        ]
        # Where details are missing, relations are.
        known = [end for end in ends if end]
        return self._tells(old, new, known) and self._same_details(known)

    def _tells(self, old: Element | None, new: Element | None, components: list[Element]) -> bool:
        if old and new:
            return self._same_details(components)
        other = self.after if old else self.before
        return all(other.saw_all_of(component) for component in components)

    def _same_details(self, components: list[Element]) -> bool:
        return all(self.before.denied(component) == self.after.denied(component) for component in components)

    def as_document(self) -> Document:
        """Ids of what came and went, and what changed, by kind of element."""
        return {
            "with": {name: self.before.document["ledger"][name] for name in ("began", "ended")},
            **{kind: self._of(kind) for kind in ("components", "relations")},
            "not_compared": self.not_compared,
        }

    def _of(self, kind: str) -> Document:
        old, new = self.old[kind], self.new[kind]
        return {
            "created": [id_ for id_ in new if id_ not in old],
            "deleted": [id_ for id_ in old if id_ not in new],
            "updated": {
                id_: changed_fields(old[id_]["data"], new[id_]["data"])
                for id_ in new
                if id_ in old and old[id_] != new[id_]
            },
        }

    @property
    def advice(self) -> list[str]:
        """What has to be known beside the changes."""
        if not any(self.not_compared.values()):
            return []
        counts = " and ".join(f"{count:,} {kind}" for kind, count in self.not_compared.items())
        return [f"Whether {counts} changed is not known: one of the two readings did not see all of them."]

    def as_entry(self) -> Document:
        """An entry of the page's timeline."""
        old, new = ({kind: [*of.values()] for kind, of in side.items()} for side in (self.old, self.new))
        return comparison(old, new).as_json() | {"not_compared": sum(self.not_compared.values())}


class _Sight:
    """What a preview has, and how far it could see."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.elements: dict[str, dict[str, Element]] = {
            kind: {each["externalId"]: each for each in document[kind]} for kind in ("components", "relations")
        }

    @cached_property
    def _complete(self) -> set[tuple[str, str]]:
        """Region and service of what was read to its end."""
        scopes = [scope for scope in self.document["ledger"]["scopes"] if scope["complete"]]
        return {(region, scope["service"]) for scope in scopes for region in (scope["region"], ANYWHERE)}

    @cached_property
    def _denied(self) -> Mapping[tuple[str, str], set[str]]:
        """Actions whose details are missing, by region and service."""
        found: dict[tuple[str, str], set[str]] = defaultdict(set)
        for one in self.document["ledger"]["left_out"]:
            for region in (one["region"], ANYWHERE):
                found[region, one["service"]].add(one["action"])
        return found

    def saw_all_of(self, component: Element) -> bool:
        """Whether the scopes that the component may be in were read to their end."""
        return self._complete.issuperset(_places(component))

    def denied(self, component: Element) -> set[str]:
        """The actions whose details the component may lack."""
        return {action for place in _places(component) for action in self._denied.get(place, ())}


# Stands for the one region in which a service is read that answers for all of them.
ANYWHERE = ""


def _places(component: Element) -> set[tuple[str, str]]:
    """Region and service of the scopes that have components of this type."""
    region, type_ = component["data"]["Location"]["AwsRegion"], component["type"]["name"]
    return {(ANYWHERE if each.once else region, each.service) for each in ALL if type_ in each.components}
