"""The words in which a service file describes its resources: data only, nothing here calls AWS.

A `Resource` says how its items are listed, which further calls complete an item, which events mean "look again", and
holds one pure function that turns a complete item into elements. The engine in `collect.py` makes the calls; the IAM
policy, the event rules and the documentation are generated from the same objects.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from topology.elements import Element, Item, Scope

# JMESPath expressions, the query language that botocore's own models use; evaluated in `aws.py`.
Path = str


@dataclass(frozen=True)
class Ids:
    """How a call takes the ids of what it should answer: as a value, as a list, or as values of a filter."""

    parameter: str
    size: int = 1
    """How many go into one call. 1: the parameter takes a single id."""
    filter: str = ""
    """Name of the filter that takes them, where `parameter` is a list of filters."""
    exact: Path = ""
    """Where an answer's element has its id, if the call answers with more than it was asked for."""

    def parameters(self, ids: Sequence[str]) -> dict[str, Any]:
        """The parameters of a call about these ids."""
        if self.filter:
            return {self.parameter: [{"Name": self.filter, "Values": list(ids)}]}
        return {self.parameter: ids[0] if self.size == 1 else list(ids)}


@dataclass(frozen=True)
class Pages:
    """Paging of an operation for which boto3 has no paginator, or a wrong one."""

    parameter: str
    token: Path
    """Where in an answer the value for the next call's parameter is."""
    more: Path
    """What in an answer says that there is more."""


@dataclass(frozen=True, eq=False)
class Call:
    """One operation of AWS, and where in its answer the result is."""

    service: str
    """boto3's name of the service."""
    operation: str
    """boto3's name of the operation."""
    result: Path
    parameters: Mapping[str, Any] = field(default_factory=dict)
    ids: Ids | None = None
    pages: Pages | None = None
    gone: tuple[str, ...] = ()
    """Error codes that mean: what the call asked about does not exist."""
    action: str = ""
    """The IAM action, where it is not the operation's name behind the service's prefix."""
    policy_resource: str = "*"
    """What the action has to be allowed on; `{partition}` stands for the partition."""


@dataclass(frozen=True)
class PerBatch:
    """A detail for many items in one call; the answers are matched to the items by id."""

    field: str
    call: Call
    id: Path | Callable[[Scope, Item], str | list[str]]
    """The id that the call wants, from the item. From a list of ids, the item gets a mapping of ids to values."""
    match: Path
    """The same id, from one element of the answer."""
    value: Path = "@"
    """What of that element the item gets."""
    required: bool = False

    @property
    def calls(self) -> Sequence[Call]:
        """The one call."""
        return [self.call]


@dataclass(frozen=True)
class ForAll:
    """A detail for every item of the scope from one reading of a list, which is kept for the rest of the scope."""

    field: str
    call: Call
    id: Path
    match: Path
    required: bool = False
    in_snapshot: bool = True
    """False: only after a change, when the resource that says the same in a snapshot is not read."""

    @property
    def calls(self) -> Sequence[Call]:
        """The one call."""
        return [self.call]


@dataclass(frozen=True)
class PerItem:
    """A detail that AWS gives for one item at a time."""

    field: str
    call: Call
    given: Mapping[str, Path]
    """Parameters of the call, from the item."""
    required: bool = False
    """Without a required detail there is no item; any other is left out when its call is denied."""
    described_by: Call | None = None
    """Where `call` lists only ids: the call that describes them, with the same parameters."""
    when: Callable[[Scope, Item], bool] | None = None
    """The call is made only where this holds for the item."""
    in_snapshot: PerBatch | ForAll | None = None
    """How a snapshot gets the same field for many items at once."""
    holds_components: bool = False
    """What it lists becomes components: the scope is incomplete without them, even if just this call is denied."""

    @property
    def calls(self) -> Sequence[Call]:
        """Every call that can be made for the detail."""
        described = [self.described_by] if self.described_by else []
        return [self.call, *described, *(self.in_snapshot.calls if self.in_snapshot else ())]

    @property
    def many(self) -> bool:
        """Whether the detail is a list, read to its last page."""
        return self.call.result.endswith("[]") or self.described_by is not None


Detail = PerItem | PerBatch | ForAll


@dataclass(frozen=True)
class Change:
    """Events after which to look again at the resource they touched."""

    names: tuple[str, ...]
    """CloudTrail's event names without Lambda's dates; of native events, the detail-types."""
    key: Path
    """Key, or list of keys, of what was touched: an expression over the event's `detail`.

    Native events say some things only in their `resources`, so there that is added to the `detail`.
    """
    native: str = ""
    """The `source` of native events; empty: API calls that CloudTrail reports."""
    where: Mapping[str, Any] = field(default_factory=dict)
    """Of native events, which ones: a further EventBridge pattern for `detail`."""
    source: str = ""
    """CloudTrail's event source, where it is not the service's own."""
    creates: bool = False
    """AWS's reads may not know the resource yet."""
    deletes: bool = False
    """AWS's reads may know the resource for a while, and do not say that it is being deleted."""
    ended: Callable[[Scope, Item], Sequence[str]] | None = None
    """Ids, from the event's `detail`, of components and relations that may have ended with it."""


def on(
    *names: str,
    key: Path,
    creates: bool = False,
    deletes: bool = False,
    ended: Callable[[Scope, Item], Sequence[str]] | None = None,
    source: str = "",
) -> Change:
    """API calls after which to look again."""
    return Change(names, key, creates=creates, deletes=deletes, ended=ended, source=source)


def on_native(
    source: str,
    *detail_types: str,
    key: Path,
    where: Mapping[str, Any] | None = None,
    ended: Callable[[Scope, Item], Sequence[str]] | None = None,
) -> Change:
    """A service's own events after which to look again."""
    return Change(detail_types, key, native=source, where=where or {}, ended=ended)


def _same(_scope: Scope, key: str) -> str:
    return key


@dataclass(frozen=True, eq=False, kw_only=True)
class Resource:
    """One kind of AWS thing: everything that the project knows about it."""

    kind: str
    """`service.kind`, as the documentation and the logs name it."""
    components: Sequence[str]
    """Type names of the components that it emits."""
    listed_by: Call
    key: Path
    """What names an item in AWS's calls, from the item."""
    elements: Callable[[Scope, Item], Iterator[Element]]
    relates: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Types of the relations that it emits, and the types of the components at their other end."""
    looked_up_by: Call | None = None
    """Answers some of the items, by key. None: the details alone make an item of its key."""
    also_looked_up_by: Mapping[str, Call] = field(default_factory=dict)
    """Calls that find items by the id of something near them, such as their VPC: regular expression of the beginning of
    such ids → call. One that answers keys, not items, goes before the look-up of these."""
    details: Sequence[Detail] = ()
    component_id: Callable[[Scope, str], str] | None = None
    """The component's id from its key; empty where the key alone does not tell it."""
    lookup_key: Callable[[Scope, str], str] = _same
    """The key in the one form that the calls take, from whatever form an event had it in; empty: not one of these."""
    arn: str = ""
    """Regular expression that finds the key in an ARN of the resource, as the tagging API names it."""
    cloudformation: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """CloudFormation type → types of the components that stand for it."""
    secrets: Sequence[str] = ()
    """Where in the components' data values may be secret: dotted keys as emitted, `*` for all below."""
    event_source: str = ""
    """CloudTrail's name of the service, where it is not `{service}.amazonaws.com`."""
    changes: Sequence[Change] = ()
    global_: bool = False
    """AWS has the service once for all regions, under one region's name."""
    gives_way_to: str = ""
    """Service whose items may say that relations of this one are not to be drawn: they emit their ids as `Deleted`."""
    passing: Path = ""
    """What in an item is true while AWS is making, changing or deleting it, and no event will tell of the end."""
    once: bool = False
    """One region's listing answers for all regions."""

    def __repr__(self) -> str:
        return f"<Resource {self.kind}>"

    @property
    def service(self) -> str:
        """The service whose scope the resource is read in."""
        return self.listed_by.service

    @property
    def cloudtrail_source(self) -> str:
        """The `eventSource` of the service's calls in CloudTrail."""
        return self.event_source or f"{self.service}.amazonaws.com"

    @property
    def calls(self) -> Sequence[Call]:
        """Every call that can be made for the resource, in the order of the declaration."""
        calls = [self.listed_by]
        calls += [self.looked_up_by] if self.looked_up_by else []
        calls += self.also_looked_up_by.values()
        for detail in self.details:
            calls += detail.calls
        return calls

    def nearby(self, key: str) -> Call | None:
        """The call that finds items by this id of something near them; None for a key of the resource's own."""
        return next((call for beginning, call in self.also_looked_up_by.items() if re.match(beginning, key)), None)


def bulk_tags(arn: Callable[[Scope, Item], str]) -> PerBatch:
    """Tags of a hundred resources a call, for a snapshot; after a change the resource itself knows them sooner."""
    return PerBatch("Tags", GET_RESOURCES, id=arn, match="ResourceARN", value="Tags")


GET_RESOURCES = Call(
    "resourcegroupstaggingapi",
    "get_resources",
    "ResourceTagMappingList[]",
    ids=Ids("ResourceARNList", 100),
    action="tag:GetResources",
)
