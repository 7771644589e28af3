"""What a run of topo-cron found in every scope, what it did, and why: for the log, for metrics, for the next run."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from topology.elements import Incomplete, LeftOut, Scope
from topology.errors import RegionDisabled, ServiceNotInRegion, Throttled, TimeRanOut

FORMAT = 1
# A run that needs more of its invocation's time than this will soon need more than there is.
SHARE_OF_TIME = 0.6
# The stream keeps records for 72 hours. Where it begins is not asked: Kinesis may go on from there without a word.
LONGEST_STREAM_SECONDS = 60 * 3600.0


@dataclass
class ScopeLine:
    """How a scope ended."""

    scope: Scope
    seconds: float = 0.0
    causes: list[Incomplete] = field(default_factory=list)
    components: int = 0
    replayed: int = 0
    """Components that were not read, but known from before."""
    read_at: float | None = None
    """Seconds since 1970: when its last complete reading began."""

    @property
    def complete(self) -> bool:
        """Whether everything in the scope was read."""
        return not self.causes

    @property
    def absent(self) -> bool:
        """Whether there is no such place in AWS, as far as this account is concerned."""
        return bool(self.causes) and all(
            isinstance(cause.error, RegionDisabled | ServiceNotInRegion) for cause in self.causes
        )

    @property
    def because(self) -> str:
        """The causes, as a sentence or several."""
        return "; ".join(f"{one.error.cause} ({one.error})" for one in self.causes)

    def as_document(self) -> dict[str, Any]:
        """The line as JSON."""
        return {
            "account": self.scope.account,
            "region": self.scope.region,
            "service": self.scope.service,
            "complete": self.complete,
            "components": self.components,
            "replayed": self.replayed,
            "seconds": round(self.seconds, 3),
            "read_at": self.read_at,
            "causes": [
                {"cause": one.error.cause, "action": one.error.action, "error": str(one.error)} for one in self.causes
            ],
        }


@dataclass
class Ledger:
    """One run, in numbers and sentences."""

    snapshot: str
    began: float
    """Seconds since 1970."""
    before: Mapping[str, Any] = field(default_factory=dict)
    """The document of the last run; empty if there is none."""
    version: str = ""
    ended: float = 0.0
    since: str = ""
    """The run's mark on the stream: all readings that it kept are at least as new."""
    components: Counter[str] = field(default_factory=Counter)
    """By type."""
    relations: Counter[str] = field(default_factory=Counter)
    lines: list[ScopeLine] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    not_closed_because: list[str] = field(default_factory=list)
    held_back: dict[str, int] | None = None
    """How many components the snapshot would have removed, and of how many, if the brake held."""
    drift: Counter[str] = field(default_factory=Counter)
    """By type: components that came or went without any event about them."""
    changed: Counter[str] = field(default_factory=Counter)
    """By type: components whose data changed without any event about them; counters among them do all the time."""
    advice: list[str] = field(default_factory=list)
    spread: bool = False
    """Whether the run took several invocations."""

    @property
    def closed(self) -> bool:
        """Whether StackState removes what the run did not see."""
        return not self.not_closed_because

    @property
    def before_since(self) -> str:
        """The last run's mark on the stream; empty if it is not known, or may have left the stream."""
        if self.before.get("format") != FORMAT or self.began - self.before["began"] > LONGEST_STREAM_SECONDS:
            return ""
        return str(self.before["since"])

    def ever_read_before(self, scope: Scope) -> bool:
        """Whether there may have been a complete reading of the scope in an earlier run."""
        if self.before.get("format") != FORMAT:
            return True
        return any(
            line["account"] == scope.account
            and line["region"] == scope.region
            and line["service"] in {scope.service, "*"}
            and line["read_at"] is not None
            for line in self.before["scopes"]
        )

    @property
    def incomplete(self) -> list[ScopeLine]:
        """The scopes of which something could not be read."""
        return [line for line in self.lines if not line.complete]

    @property
    def oldest_replay_seconds(self) -> float:
        """How long ago the longest unread scope was read that was replayed; 0 if none was."""
        return max((self.began - line.read_at for line in self.lines if line.replayed and line.read_at), default=0.0)

    @property
    def throttled(self) -> int:
        """How many scopes AWS throttled until nothing came of them."""
        return sum(any(isinstance(one.error, Throttled) for one in line.causes) for line in self.lines)

    def advise(self, left: float) -> None:
        """Say it if the one invocation will soon be too short; `left` are its seconds that were not needed."""
        if self.spread:
            return
        took = self.ended - self.began
        late = any(isinstance(cause.error, TimeRanOut) for line in self.lines for cause in line.causes)
        if late or took > left * SHARE_OF_TIME / (1 - SHARE_OF_TIME):
            self.advice.append(
                f"The run took {took:.0f} s, which is {'too long' if late else 'near the limit'} for one invocation: "
                "have Step Functions lead it (install.sh --spread, or SpreadSnapshots=true)"
            )

    def metrics(self) -> dict[str, float]:
        """What CloudWatch hears."""
        return {
            "Components": self.components.total(),
            "Relations": self.relations.total(),
            "IncompleteScopes": len(merged_regions(self.lines)),
            "ThrottledScopes": self.throttled,
            "OldestReplaySeconds": self.oldest_replay_seconds,
            "SnapshotsNotClosed": not self.closed,
            "SnapshotsHeldBack": self.held_back is not None,
            "UnannouncedChanges": self.drift.total(),
            "SnapshotSeconds": self.ended - self.began,
        }

    def as_log(self) -> dict[str, Any]:
        """What a log line needs: the numbers, the scopes that could not be read, and the rights that are missing."""
        return {
            "snapshot": self.snapshot,
            "closed": self.closed,
            "not_closed_because": self.not_closed_because,
            "components": dict(self.components),
            "relations": dict(self.relations),
            "incomplete": merged_regions(self.lines),
            "missing_permissions": sorted({one.error.action for one in self.left_out}),
            "held_back": self.held_back,
            "drift": dict(self.drift),
            "advice": self.advice,
        }

    def as_document(self) -> dict[str, Any]:
        """Everything, as it is kept in the state bucket."""
        complete = [line.as_document() for line in self.lines if line.complete]
        return {
            "format": FORMAT,
            "version": self.version,
            "began": self.began,
            "ended": self.ended,
            "since": self.since,
            "scopes": complete + merged_regions(self.lines),
            "changed": dict(self.changed),
            **{name: value for name, value in self.as_log().items() if name != "incomplete"},
        }


def merged_regions(lines: Iterable[ScopeLine]) -> list[dict[str, Any]]:
    """The incomplete lines; of a region that is not there at all, one for all services."""
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for line in lines:
        if line.complete:
            continue
        document = line.as_document()
        whole_region = all(isinstance(one.error, RegionDisabled) for one in line.causes)
        if whole_region:
            document["service"] = "*"
            document["causes"] = document["causes"][:1]
        key = document["account"], document["region"], document["service"]
        before = found.setdefault(key, document)
        if before is not document:
            before["components"] += document["components"]
            before["replayed"] += document["replayed"]
            before["read_at"] = before["read_at"] or document["read_at"]
    return list(found.values())
