"""Fields of an event's `detail`: AWS promises no shape, so whatever is not a text where one should be is left out."""

from typing import Any

import jmespath

from topology.declare import Path
from topology.elements import Item


def text(detail: Item, *places: Path) -> str:
    """The first text at one of these places; empty if there is none."""
    return next((found for place in places if isinstance(found := jmespath.search(place, detail), str) and found), "")


def texts(detail: Item, *places: Path) -> list[str]:
    """The texts in the first of these places that has a list with any; empty if none has."""
    for place in places:
        found: Any = jmespath.search(place, detail)
        if isinstance(found, list) and (those := [one for one in found if isinstance(one, str) and one]):
            return those
    return []
