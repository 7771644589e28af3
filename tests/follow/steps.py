"""The words in which the stories of `tests/follow` are told, and the reader that waits for what they expect.

A story changes something through boto3 and yields a step: a name, and what the receiver must have soon. A story that
yields `REST` stops there until all the others have come as far, so that a snapshot can be compared with the picture.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from local.system import System
from topology.aws import search

USES = "uses service"
# Timed tests fail on busy machines, so nothing is demanded of a step but that it comes; the times are printed.
SECONDS = 60.0

Client = Callable[[str], Any]


@dataclass(frozen=True)
class Expectation:
    """Something that the receiver must have, or must have no more."""

    text: str
    holds: Callable[[System], bool]


@dataclass(frozen=True)
class Step:
    """What was just done, and what comes of it."""

    name: str
    expected: Sequence[Expectation]


Story = Iterator[Step | None]
# The place in a story where everything is as large as it gets.
REST = None


def step(name: str, *expected: Expectation) -> Step:
    """What was just done, and all that comes of it."""
    return Step(name, expected)


def has(id_: str, condition: str = "@") -> Expectation:
    """The component is there, and a JMESPath expression over its data is true."""

    def holds(system: System) -> bool:
        component = system.component(id_)
        return component is not None and bool(search(condition, component["data"]))

    return Expectation(f"{id_} with {condition}", holds)


def linked(source: str, target: str, type_: str = USES) -> Expectation:
    """The relation is there."""
    id_ = f"{source}-{type_}-{target}"
    return Expectation(id_, lambda system: id_ in relations(system))


def parted(source: str, target: str, type_: str = USES) -> Expectation:
    """The relation is there no more."""
    id_ = f"{source}-{type_}-{target}"
    return Expectation(f"no {id_}", lambda system: id_ not in relations(system))


def gone(id_: str) -> Expectation:
    """The component is there no more, nor any relation to or from it."""

    def holds(system: System) -> bool:
        ends = {end for one in relations(system).values() for end in (one["sourceId"], one["targetId"])}
        return system.component(id_) is None and id_ not in ends

    return Expectation(f"no {id_}", holds)


def gone_alone(id_: str) -> Expectation:
    """The component is there no more; what points to it says so still, in AWS as well."""
    return Expectation(f"no {id_}", lambda system: system.component(id_) is None)


def told(host: str, text: str) -> Expectation:
    """The receiver heard an event about the host."""

    def holds(system: System) -> bool:
        events = list(system.receiver.events)
        return any((event.get("host"), event.get("msg_text")) == (host, text) for event in events)

    return Expectation(f"event '{text}' about {host}", holds)


def relations(system: System) -> dict[str, dict[str, Any]]:
    """The relations as they are now; a copy, since the receiver goes on."""
    return dict(system.instance.relations) if system.instance else {}


@dataclass
class Reader:
    """Reads a story, as far as it comes."""

    name: str
    story: Story
    seconds: list[tuple[str, float]] = field(default_factory=list)
    """How long each step took to reach the receiver."""
    trouble: list[str] = field(default_factory=list)
    """Steps that did not come, or the error that ended the story."""

    def read(self, system: System) -> None:
        """Read on, to the next rest or to the end."""
        while not self.trouble:
            try:
                following = next(self.story, REST)
            except Exception as error:  # noqa: BLE001  a fault in one story must not hide what others find
                self.trouble.append(f"{type(error).__name__}: {error}")
                return
            if following is REST:
                return
            self._wait(system, following)

    def _wait(self, system: System, awaited: Step) -> None:
        began = time.monotonic()
        missing = list(awaited.expected)
        while missing and time.monotonic() - began < SECONDS:
            missing = [one for one in missing if not one.holds(system)]
            time.sleep(0.2)
        # What held once may have been taken back by what came later.
        missing = [one for one in awaited.expected if not one.holds(system)]
        self.seconds.append((awaited.name, time.monotonic() - began))
        self.trouble += [f"{awaited.name}: {one.text}" for one in missing]
