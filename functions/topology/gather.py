"""What a run of topo-cron reads, packed as it comes: in one process, or in portions that the state bucket collects."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from topology.collect import Account, Found, Read, ScopeRead, scopes, snapshot
from topology.elements import Component, Incomplete, LeftOut, Scope, Telemetry
from topology.errors import TimeRanOut
from topology.ledger import ScopeLine
from topology.links import Names
from topology.packer import Packer
from topology.records import Record

# Of the run's time, what is left for publishing: for a start, and for each megabyte that was read.
PUBLISHING_SECONDS = 40.0
PUBLISHING_SECONDS_PER_MEGABYTE = 3.0


@dataclass
class Fresh:
    """What this run read of a scope."""

    line: ScopeLine
    records: list[bytes] = field(default_factory=list)


@dataclass
class Gathered:
    """What this run read."""

    scopes: dict[Scope, Fresh]
    names: Names
    events: list[bytes] = field(default_factory=list)
    """Telemetry, as records."""
    left_out: list[LeftOut] = field(default_factory=list)


class Gathering:
    """Packs what is found, scope by scope.

    Args:
        planned: the scopes.
        names: takes what stacks may call the components.
        mark: an empty record of the snapshot.
        began: of the run, in seconds since 1970.
    """

    def __init__(self, planned: Sequence[Scope], names: Names, mark: Record, began: float) -> None:
        self._lines = {scope: ScopeLine(scope) for scope in planned}
        self._packers = {scope: Packer(*mark.instance, int(began)) for scope in planned}
        self._events = Packer(*mark.instance, int(began))
        self._names = names
        self._left_out: list[LeftOut] = []
        self._ended: set[Scope] = set()

    @property
    def megabytes(self) -> float:
        """How much was packed."""
        return sum(packer.size for packer in self._packers.values()) / 1e6

    def take(self, finding: Found) -> None:
        """Take something that was found."""
        match finding:
            case Read():
                self._packers[finding.scope].item(finding.name, finding.elements)
                for element in finding.elements:
                    if isinstance(element, Component):
                        self._names.add(finding.resource, finding.scope, finding.key, element.type, element.id)
                    elif isinstance(element, Telemetry):
                        self._events.add(element)
            case ScopeRead():
                self._lines[finding.scope].seconds = finding.seconds
                self._ended.add(finding.scope)
            case Incomplete():
                self._lines[finding.scope].causes.append(finding)
            case LeftOut():
                self._left_out.append(finding)
            case Telemetry():
                self._events.add(finding)

    def gathered(self) -> Gathered:
        """All that was taken; what has no end by now counts as unread."""
        for scope, line in self._lines.items():
            if scope not in self._ended:
                error = TimeRanOut(f"{scope.service}:*", "the snapshot was due before the scope was read to its end")
                line.causes.append(Incomplete(scope, error))
        found = {scope: Fresh(line, self._packers[scope].records()) for scope, line in self._lines.items()}
        return Gathered(found, self._names, self._events.records(), self._left_out)


def gathered(accounts: Sequence[Account], mark: Record, began: float, remaining: Callable[[], float]) -> Gathered:
    """Read all scopes until the time has come to publish."""
    gathering = Gathering(list(scopes(accounts)), Names(accounts[0].resources), mark, began)

    def until() -> float:
        return remaining() - PUBLISHING_SECONDS - PUBLISHING_SECONDS_PER_MEGABYTE * gathering.megabytes

    for finding in snapshot(accounts, until):
        gathering.take(finding)
    return gathering.gathered()
