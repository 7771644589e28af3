"""Keeps an element within what the receiver can hold: one that is too large loses its largest fields, and says so."""

import logging
from typing import Any

import orjson

# The receiver makes one Kafka record of an element, of at most 1,048,588 bytes (receiver.md 5.2).
LARGEST_BYTES = 900_000
# In the data of a trimmed element: its missing fields, with their sizes in bytes.
NOTE = "TrimmedFields"

logger = logging.getLogger(__name__)


def fitted(element: dict[str, Any]) -> bytes:
    """The element of the wire form as JSON; if that is too large, without its largest fields of `data`."""
    text = orjson.dumps(element)
    # Escaping at most doubles it, so most elements need no closer look.
    if len(text) <= LARGEST_BYTES // 2 or _weight(text) <= LARGEST_BYTES:
        return text
    return _trimmed(element, _weight(text))


def _weight(text: bytes) -> int:
    """Bytes that the receiver needs: it keeps data as a JSON text within JSON, where quotes and backslashes double."""
    return len(text) + text.count(b'"') + text.count(b"\\")


def _trimmed(element: dict[str, Any], weight: int) -> bytes:
    weights = {name: _weight(orjson.dumps(value)) for name, value in element["data"].items()}
    removed: dict[str, int] = {}
    for name in sorted(weights, key=weights.__getitem__, reverse=True):
        removed[name] = len(orjson.dumps(element["data"][name]))
        weight -= weights[name]
        kept = {name: value for name, value in element["data"].items() if name not in removed}
        if weight <= LARGEST_BYTES:
            text = orjson.dumps({**element, "data": {**kept, NOTE: removed}})
            if (weight := _weight(text)) <= LARGEST_BYTES:
                break
    logger.warning(
        "%s is too large for the receiver: left out %s (bytes)", element["externalId"], orjson.dumps(removed).decode()
    )
    return orjson.dumps({**element, "data": {**kept, NOTE: removed}})
