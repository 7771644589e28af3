"""Compares what the receiver has at two times: what a snapshot corrected in a picture that change events had made."""

from collections.abc import Mapping
from typing import Any

from local.topology import Instance

# What AWS changes all the time, without any event.
UNANNOUNCED = frozenset(
    {
        "ApproximateNumberOfMessages",
        "ApproximateNumberOfMessagesDelayed",
        "ApproximateNumberOfMessagesNotVisible",
        "AvailableIpAddressCount",
        "EarliestRestorableTime",
        "LatestRestorableTime",
    }
)

Picture = Mapping[str, Mapping[str, Any]]
"""Data of components and relations, by id."""


def picture(instance: Instance) -> Picture:
    """What the receiver has now, but for what changes unannounced."""
    elements = {**dict(instance.components), **dict(instance.relations)}
    return {
        id_: {name: value for name, value in element["data"].items() if name not in UNANNOUNCED}
        for id_, element in elements.items()
    }


def differences(before: Picture, after: Picture) -> list[str]:
    """What came, what went, and what has other data, each in a line."""
    lines = []
    for id_ in sorted(before.keys() | after.keys()):
        old, new = before.get(id_), after.get(id_)
        if old is None or new is None:
            lines.append(f"{id_} {'came' if old is None else 'went'}")
            continue
        changed = {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}
        lines += [f"{id_}: {name} was {old.get(name)!r}, became {new.get(name)!r}" for name in sorted(changed)]
    return lines
