"""What AWS has, item by item: everything in a snapshot, or what a few events touched.

Scopes are read side by side; a scope that fails is reported as `Incomplete` among the findings and stops no other.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, Full, Queue
from threading import Event
from typing import Any

import boto3

from topology import shape
from topology.aws import WORKERS, Aws, search
from topology.declare import Resource
from topology.elements import Component, Deleted, Element, Incomplete, Item, LeftOut, Relation, Scope, Telemetry
from topology.errors import AwsError, RegionDisabled
from topology.read import Reader, is_partial, unique
from topology.records import ItemName

# Scopes that are read at a time; their calls share the pool of WORKERS.
SCOPES_AT_A_TIME = 24
# Elements that wait for the writer before the readers pause.
WAITING = 2000
_END = object()
# How often what was deleted and is still answered is looked at again.
LOOKS_AFTER_A_DELETE = 4
# Where AWS's global services are, by partition; their components carry this region.
GLOBAL_REGIONS = {"aws-cn": "cn-northwest-1", "aws-us-gov": "us-gov-west-1"}


class Abandoned(Exception):
    """Nobody takes the findings any more."""


@dataclass(frozen=True, eq=False)
class Account:
    """An AWS account, as far as the resources are read from it."""

    id: str
    partition: str
    regions: tuple[str, ...]
    resources: Sequence[Resource]
    clients: dict[str, Aws]
    mask_values: bool = True

    @classmethod
    def open(
        cls,
        session: boto3.Session,
        account_id: str,
        regions: tuple[str, ...],
        resources: Sequence[Resource],
        *,
        mask_values: bool = True,
        remaining: Callable[[], float] = lambda: float("inf"),
        api_share: float = 0.0,
    ) -> "Account":
        """An account with its clients made: for every region, and for the global services in theirs."""
        partition = session.get_partition_for_region(session.region_name)
        known = session.get_available_regions("ec2", partition)
        offered = [one for one in resources if _is_offered(session, partition, one.service)]
        account = cls(account_id, partition, regions, offered, {}, mask_values)
        for region in unique([*regions, account.global_region]):
            read_here = [resource for resource in resources if region in account.regions_of(resource)]
            services = unique(call.service for resource in read_here for call in resource.calls)
            if services and region in known:
                account.clients[region] = Aws(session, region, services, remaining, api_share)
        return account

    @property
    def global_region(self) -> str:
        """The region that global services are called in and reported under."""
        return GLOBAL_REGIONS.get(self.partition, "us-east-1")

    def regions_of(self, resource: Resource) -> tuple[str, ...]:
        """Where the resource is read: everywhere, or once."""
        if resource.global_:
            return (self.global_region,)
        return self.regions[:1] if resource.once else self.regions

    def scope(self, region: str, service: str) -> Scope:
        """The service's scope in the region."""
        return Scope(self.id, region, self.partition, service)

    def unavailable(self, scope: Scope) -> AwsError | None:
        """Why nothing can be asked about the scope, if that is so."""
        if scope.region in self.clients:
            return None
        message = (
            f"boto3 {boto3.__version__} knows no region {scope.region} in partition {self.partition}: "
            "mend TOPOLOGY_REGIONS, or update this agent if the region is new"
        )
        return RegionDisabled(f"{scope.service}:*", message)


def _is_offered(session: boto3.Session, partition: str, service: str) -> bool:
    """Whether the partition has the service at all: China and GovCloud sell no domains, for example."""
    return bool(session.get_available_regions(service, partition, allow_non_regional=True))


@dataclass(frozen=True, slots=True)
class Read:
    """An item that was read, and what it means."""

    resource: Resource
    scope: Scope
    key: str
    """What the item is looked up by."""
    elements: Sequence[Element]
    partial: bool = False
    """Components may be missing: AWS does not let us see them."""

    @property
    def name(self) -> ItemName:
        """What the item is known by, on the stream and in the state bucket."""
        return *self.scope.name, self.resource.kind, self.key


@dataclass(frozen=True, slots=True)
class ScopeRead:
    """The end of a scope: everything that could be read of it was found."""

    scope: Scope
    seconds: float


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a scope to go on reading: a kind of resource, and a page token of its listing."""

    kind: str
    token: str | None = None


Found = Read | ScopeRead | Incomplete | LeftOut | Telemetry


def scopes(accounts: Sequence[Account]) -> dict[Scope, tuple[Account, list[Resource]]]:
    """What there is to read, scope by scope."""
    found: dict[Scope, tuple[Account, list[Resource]]] = {}
    for account in accounts:
        for resource in account.resources:
            for region in account.regions_of(resource):
                scope = account.scope(region, resource.service)
                found.setdefault(scope, (account, []))[1].append(resource)
    return found


def snapshot(accounts: Sequence[Account], until: Callable[[], float] = lambda: float("inf")) -> Iterator[Found]:
    """Everything in every scope. `until` says how many seconds are left; a scope that takes longer gets no end."""
    planned = scopes(accounts)
    # Not in a with statement: a call that hangs must not keep the run from publishing what the others found.
    pool = ThreadPoolExecutor(WORKERS, "call")
    try:
        works = [(read_scope, (account, scope, of_scope, pool)) for scope, (account, of_scope) in planned.items()]
        yield from side_by_side(works, until)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


class ScopeReader:
    """Reads one scope for a snapshot, whole or in stints.

    Args:
        account, scope, resources: what is read.
        pool: makes the calls.
        put: takes what is found.
    """

    def __init__(
        self,
        account: Account,
        scope: Scope,
        resources: Sequence[Resource],
        pool: ThreadPoolExecutor,
        put: Callable[[Found], None],
    ) -> None:
        self._account = account
        self._scope = scope
        self._resources = resources
        self._put = put
        self._failed: set[str] = set()
        self._kind: Resource = resources[0]
        self._failure = account.unavailable(scope)
        if not self._failure:
            self._reader = Reader(account.clients[scope.region], scope, pool, self._report)

    def _report(self, finding: Incomplete | LeftOut) -> None:
        self._put(finding)
        if isinstance(finding, Incomplete) and self._kind.kind not in self._failed:
            self._failed.add(self._kind.kind)
            self._put(check_error(self._scope, self._kind, finding))

    def whole(self) -> None:
        """Read everything."""
        if self._failure:
            self._put(Incomplete(self._scope, self._failure))
            return
        for kind in self._resources:
            self._kind = kind
            for item in self._reader.items(kind):
                self._put(spoken(self._account, kind, self._scope, item))

    def stint(self, place: Place | None, size: int) -> Place | None:
        """Read about `size` items from a place on; answers with the place after them, None at the end of the scope."""
        if self._failure:
            self._put(Incomplete(self._scope, self._failure))
            return None
        place = place or Place(self._resources[0].kind)
        kinds = [one.kind for one in self._resources]
        number = kinds.index(place.kind)
        self._kind = self._resources[number]
        items, token = self._reader.stint(self._kind, place.token, size)
        for item in items:
            self._put(spoken(self._account, self._kind, self._scope, item))
        if token is not None:
            return Place(place.kind, token)
        return Place(kinds[number + 1]) if number + 1 < len(kinds) else None


def read_scope(
    account: Account,
    scope: Scope,
    resources: Sequence[Resource],
    pool: ThreadPoolExecutor,
    put: Callable[[Found], None],
) -> None:
    """Put out everything in the scope."""
    began = time.monotonic()
    ScopeReader(account, scope, resources, pool, put).whole()
    put(ScopeRead(scope, time.monotonic() - began))


def check_error(scope: Scope, resource: Resource, failure: Incomplete) -> Telemetry:
    """The event by which the StackPack hears that a kind of component could not be read."""
    type_ = resource.components[0] if resource.components else resource.kind
    return Telemetry(
        "aws_agent_check_error",
        f"{type(failure.error).__name__} in api {scope.service} component_type {type_}",
        str(failure.error),
        "",
        (f"aws_region:{scope.region}", f"account_id:{scope.account}", f"process:{scope.service}|{type_}"),
    )


def side_by_side(
    works: Sequence[tuple[Callable[..., None], tuple[Any, ...]]], until: Callable[[], float] = lambda: float("inf")
) -> Iterator[Any]:
    """What the works put out, as it comes, until the time is over: works that go on then are left to themselves.

    An exception in a work, which can only be a bug, is raised here.
    """
    out: Queue[Any] = Queue(WAITING)
    given_up = Event()

    def put(finding: Any) -> None:
        while not given_up.is_set():
            # Whoever takes the findings may stop half way: nobody must wait for room for ever.
            with suppress(Full):
                out.put(finding, timeout=1)
                return
        raise Abandoned

    def run(work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        try:
            work(*arguments, put)
            put(_END)
        except Abandoned:
            return
        except BaseException as error:
            put(error)
            raise

    threads = ThreadPoolExecutor(SCOPES_AT_A_TIME, "scope")
    try:
        for work, arguments in works:
            threads.submit(run, work, arguments)
        working = len(works)
        while working and (left := until()) > 0:
            try:
                finding = out.get(timeout=min(left, 1))
            except Empty:
                continue
            if finding is _END:
                working -= 1
            elif isinstance(finding, BaseException):
                raise finding
            else:
                yield finding
    finally:
        given_up.set()
        threads.shutdown(wait=False, cancel_futures=True)


def spoken(account: Account, resource: Resource, scope: Scope, item: Item) -> Read:
    """The item's elements, masked."""
    elements = list(resource.elements(scope, item))
    if account.mask_values:
        for element in elements:
            if isinstance(element, Component | Relation):
                shape.mask(element.data, resource.secrets)
    key = resource.lookup_key(scope, search(resource.key, item))
    return Read(resource, scope, key, elements, is_partial(resource, scope, item))


@dataclass(frozen=True, eq=False)
class Touched:
    """A resource that events touched: look at it again."""

    resource: Resource
    scope: Scope
    key: str
    creates: bool = False
    """It may be so new that AWS's own reads do not know it yet."""
    deletes: bool = False
    """It is gone, and AWS's own reads may still know it."""
    ended: tuple[str, ...] = ()
    """Ids of components and relations that may have ended."""
    attempt: int = 0
    """How often it was looked at already without an end of what began."""

    @property
    def region(self) -> str:
        """Where it is."""
        return self.scope.region

    @property
    def name(self) -> ItemName:
        """What it is known by, on the stream and in the state bucket."""
        return *self.scope.name, self.resource.kind, self.key


@dataclass(frozen=True)
class Unsettled:
    """A resource that AWS does not know yet, or that is being made, changed or deleted: look again later."""

    touched: Touched


@dataclass(frozen=True)
class Gone:
    """A resource that AWS no longer knows."""

    touched: Touched


@dataclass(frozen=True)
class Unread:
    """A resource of which nobody knows whether AWS has it, since the scope is `Incomplete`."""

    touched: Touched


Change = Read | Gone | Unsettled | Unread | Deleted | Incomplete | LeftOut


def changes(account: Account, touched: Sequence[Touched]) -> Iterator[Change]:
    """What AWS has now of the touched resources, `Gone` for what it no longer knows, `Deleted` for what may have ended.

    A scope that cannot be read yields `Incomplete`, and `Unread` for all of the touched that was not found in it.
    """
    by_resource: dict[tuple[Resource, Scope], dict[str, Touched]] = defaultdict(dict)
    for one in touched:
        by_resource[one.resource, one.scope][one.key] = one
    with ThreadPoolExecutor(WORKERS, "call") as pool:
        works = [(looked_again, (account, *which, keys, pool)) for which, keys in by_resource.items()]
        yield from side_by_side(works)


def looked_again(
    account: Account,
    resource: Resource,
    scope: Scope,
    keys: dict[str, Touched],
    pool: ThreadPoolExecutor,
    put: Callable[[Change], None],
) -> None:
    """Put out what AWS has now of some resources of one kind in one scope."""
    failures: list[Incomplete | LeftOut] = []
    reader = Reader(account.clients[scope.region], scope, pool, failures.append)
    there: set[str] = set()
    over: set[str] = set()
    for item in reader.items(resource, list(keys)):
        read = spoken(account, resource, scope, item)
        one = keys.get(read.key, Touched(resource, scope, read.key))
        passing = bool(resource.passing and search(resource.passing, item))
        means = any(isinstance(element, Component | Relation) for element in read.elements)
        if read.key in keys and not (means or passing):
            # AWS answers for a while about what is gone.
            over.add(read.key)
            continue
        there.add(read.key)
        put(read)
        if passing or (one.deletes and one.attempt < LOOKS_AFTER_A_DELETE):
            put(Unsettled(one))
    for failure in failures:
        put(failure)
    if any(isinstance(failure, Incomplete) for failure in failures):
        for key, one in keys.items():
            if key not in there:
                put(Unread(one))
        return
    for key, one in keys.items():
        # What is over may be an older thing of that name; asked again, AWS knows the new one if there is one.
        early = key not in there and one.creates and not (key in over and one.attempt)
        if not resource.nearby(key) and key not in there:
            put(Unsettled(one) if early else Gone(one))
        if not early:
            for id_ in one.ended:
                put(Deleted(id_))
