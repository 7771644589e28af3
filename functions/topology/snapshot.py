"""One run of topo-cron: what was found, as records, and in numbers."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from topology.elements import Component, Finding, Incomplete, LeftOut, Relation
from topology.records import Packer, Record, numbered


@dataclass
class Summary:
    """What a run found, for logs and metrics."""

    components: Counter[str] = field(default_factory=Counter)
    """By type."""
    relations: Counter[str] = field(default_factory=Counter)
    incomplete: list[Incomplete] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether StackState may remove what the run did not see: everything was read, and there was something."""
        return not self.incomplete and bool(self.components)

    def as_log(self) -> dict[str, object]:
        """The numbers, the scopes that could not be read, and the rights that are missing."""
        return {
            "complete": self.complete,
            "components": dict(self.components),
            "relations": dict(self.relations),
            "incomplete": [
                {
                    "region": one.scope.region,
                    "service": one.scope.service,
                    "cause": one.error.cause,
                    "error": str(one.error),
                }
                for one in self.incomplete
            ],
            "missing_permissions": sorted({one.error.action for one in self.left_out}),
        }


def packed(findings: Iterable[Finding], packer: Packer) -> Summary:
    """Pack all elements among the findings, and count them."""
    summary = Summary()
    for finding in findings:
        match finding:
            case Incomplete():
                summary.incomplete.append(finding)
                continue
            case LeftOut():
                summary.left_out.append(finding)
                continue
            case Component():
                summary.components[finding.type] += 1
            case Relation():
                summary.relations[finding.type] += 1
        packer.add(finding)
    return summary


def snapshot_records(packer: Packer, summary: Summary, mark: Record) -> Iterator[bytes]:
    """The records of a snapshot: its start, its elements, and its end if it is complete.

    `mark` is an empty record of the snapshot. Start and end travel on their own, so that they can be sent before and
    after everything else, whatever has to be sent again in between. All of them are counted, so that a reader knows
    whether it has had every one.
    """
    slices = packer.records()
    mark.start, mark.complete, mark.last = True, summary.complete, len(slices) + summary.complete
    yield mark.encode()
    for part, data in enumerate(slices, 1):
        yield numbered(data, part)
    if summary.complete:
        mark.start, mark.stop, mark.part = False, True, mark.last
        yield mark.encode()
