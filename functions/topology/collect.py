"""What AWS has, as elements: everything in a snapshot, or what a few events touched.

Scopes are read side by side; a scope that fails is reported as `Incomplete` among the elements and stops no other.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import Queue
from threading import Event
from typing import Any

import boto3

from topology import shape
from topology.aws import WORKERS, Aws, search
from topology.declare import Resource
from topology.elements import (
    Component,
    Deleted,
    Element,
    Finding,
    Incomplete,
    Item,
    Relation,
    Scope,
    StackResource,
    Telemetry,
)
from topology.read import Reader, unique

# Scopes that are read at a time; their calls share the pool of WORKERS.
SCOPES_AT_A_TIME = 24
# Elements that wait for the writer before the readers pause.
WAITING = 2000
_END = object()
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
        partition = session.get_partition_for_region(regions[0])
        offered = [one for one in resources if _is_offered(session, partition, one.service)]
        account = cls(account_id, partition, regions, offered, {}, mask_values)
        for region in unique([*regions, account.global_region]):
            read_here = [resource for resource in resources if region in account.regions_of(resource)]
            services = unique(call.service for resource in read_here for call in resource.calls)
            if services:
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


def _is_offered(session: boto3.Session, partition: str, service: str) -> bool:
    """Whether the partition has the service at all: China and GovCloud sell no domains, for example."""
    return bool(session.get_available_regions(service, partition, allow_non_regional=True))


@dataclass
class Names:
    """What CloudFormation calls the elements: the small index that links stacks to other scopes."""

    ids: dict[tuple[str, str, str], list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, resource: Resource, scope: Scope, item_key: str, component: Component) -> None:
        """Remember the component under the physical id that a stack would have for it."""
        for cloudformation_type, types in resource.cloudformation.items():
            if component.type in types:
                name = _common_name(resource, scope, item_key)
                self.ids[scope.region, cloudformation_type, name].append(component.id)


def _common_name(resource: Resource, scope: Scope, key: str) -> str:
    # Stacks name queues by URL, tests and older stacks by name; the component's id is the same for all of these.
    return resource.component_id(scope, key) if resource.component_id else resource.lookup_key(scope, key)


def snapshot(account: Account) -> Iterator[Finding]:
    """Everything in every scope, links between scopes last."""
    by_scope: dict[Scope, list[Resource]] = defaultdict(list)
    for resource in account.resources:
        for region in account.regions_of(resource):
            by_scope[account.scope(region, resource.service)].append(resource)
    names = Names()
    links: list[tuple[Scope, StackResource]] = []
    deleted: set[str] = set()
    waiting: list[Relation] = []
    with ThreadPoolExecutor(WORKERS, "call") as pool:

        def read(scope: Scope, resources: Sequence[Resource], put: Callable[[Finding], None]) -> None:
            failed: set[Resource] = set()

            def report(finding: Finding) -> None:
                put(finding)
                if isinstance(finding, Incomplete) and resource not in failed:
                    failed.add(resource)
                    put(check_error(scope, resource, finding))

            reader = Reader(account.clients[scope.region], scope, pool, report)
            for resource in resources:
                for item in reader.items(resource):
                    for element in spoken(account, resource, scope, item, names):
                        if isinstance(element, StackResource):
                            links.append((scope, element))
                        elif isinstance(element, Relation) and resource.gives_way:
                            waiting.append(element)
                        else:
                            put(element)

        for finding in side_by_side([(read, (scope, resources)) for scope, resources in by_scope.items()]):
            if isinstance(finding, Deleted):
                deleted.add(finding.id)
            yield finding
    yield from (relation for relation in waiting if relation.id not in deleted)
    for scope, link in links:
        yield from linked(account, scope, link, names, known_only=True)


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


def side_by_side(works: Sequence[tuple[Callable[..., None], tuple[Any, ...]]]) -> Iterator[Finding]:
    """What the works put out, as it comes. An exception in a work, which can only be a bug, is raised here."""
    out: Queue[Any] = Queue(WAITING)
    given_up = Event()

    def put(finding: Any) -> None:
        if given_up.is_set():
            raise Abandoned
        out.put(finding)

    def run(work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        try:
            work(*arguments, put)
        finally:
            out.put(_END)

    with ThreadPoolExecutor(SCOPES_AT_A_TIME, "scope") as threads:
        running = [threads.submit(run, work, arguments) for work, arguments in works]
        working = len(running)
        try:
            while working:
                finding = out.get()
                if finding is _END:
                    working -= 1
                else:
                    yield finding
        finally:
            # Whoever took the findings may have stopped half way: the readers must not wait for room for ever.
            given_up.set()
            while working:
                working -= out.get() is _END
        for future in running:
            future.result()


def spoken(account: Account, resource: Resource, scope: Scope, item: Item, names: Names) -> Iterator[Element]:
    """The elements of an item, masked, and remembered under their CloudFormation name."""
    for element in resource.elements(scope, item):
        if account.mask_values and isinstance(element, Component | Relation):
            shape.mask(element.data, resource.secrets)
        if isinstance(element, Component):
            names.add(resource, scope, _key(resource, item), element)
        yield element


def linked(
    account: Account, scope: Scope, link: StackResource, names: Names, *, known_only: bool
) -> Iterator[Relation]:
    """The relations from a stack to what it made; without an index of all, the id is taken on the key's word."""
    resource = next((r for r in account.resources if link.cloudformation_type in r.cloudformation), None)
    if resource is None:
        return
    name = _common_name(resource, scope, link.physical_id)
    targets = names.ids.get((scope.region, link.cloudformation_type, name), [])
    if not targets and not known_only and resource.component_id:
        targets = [resource.component_id(scope, link.physical_id)]
    yield from (Relation(link.source, link.type, target) for target in unique(targets))


@dataclass(frozen=True, eq=False)
class Touched:
    """A resource that events touched: look at it again."""

    resource: Resource
    region: str
    key: str
    creates: bool = False
    """It may be so new that AWS's own reads do not know it yet."""
    ended: tuple[str, ...] = ()
    """Ids of components and relations that may have ended."""


@dataclass(frozen=True)
class NotYet:
    """A resource that was just created and that AWS does not know yet: look again later, delete nothing."""

    touched: Touched


def changes(account: Account, touched: Sequence[Touched]) -> Iterator[Finding | NotYet]:
    """What AWS has now of the touched resources: upserts, and `Deleted` for what it no longer knows.

    A scope that cannot be read yields `Incomplete` and neither upserts nor deletes of what it failed for.
    """
    by_resource: dict[tuple[Resource, str], dict[str, Touched]] = defaultdict(dict)
    for one in touched:
        by_resource[one.resource, one.region][one.key] = one
    names = Names()
    links: list[tuple[Scope, StackResource]] = []
    with ThreadPoolExecutor(WORKERS, "call") as pool:

        def look(resource: Resource, region: str, keys: dict[str, Touched], put: Callable[[Any], None]) -> None:
            scope = account.scope(region, resource.service)
            for finding in looked_again(account, scope, resource, keys, pool, names):
                if isinstance(finding, StackResource):
                    links.append((scope, finding))
                else:
                    put(finding)

        yield from side_by_side([(look, (*which, keys)) for which, keys in by_resource.items()])
    for scope, link in links:
        yield from linked(account, scope, link, names, known_only=False)


def looked_again(
    account: Account,
    scope: Scope,
    resource: Resource,
    keys: dict[str, Touched],
    pool: ThreadPoolExecutor,
    names: Names,
) -> Iterator[Finding | NotYet]:
    """What AWS has now of some resources of one kind in one scope."""
    failures: list[Finding] = []
    reader = Reader(account.clients[scope.region], scope, pool, failures.append)
    there: set[str] = set()
    emitted: set[str] = set()
    for item in reader.items(resource, list(keys)):
        for element in spoken(account, resource, scope, item, names):
            there.add(resource.lookup_key(scope, _key(resource, item)))
            if isinstance(element, Component | Relation):
                emitted.add(element.id)
            yield element
    yield from failures
    if any(isinstance(failure, Incomplete) for failure in failures):
        return
    for key, one in keys.items():
        if key not in there and one.creates and not resource.nearby(key):
            yield NotYet(one)
            continue
        may_be_gone = list(one.ended)
        if key not in there and not resource.nearby(key) and resource.component_id:
            may_be_gone.append(resource.component_id(scope, key))
        yield from (Deleted(id_) for id_ in may_be_gone if id_ and id_ not in emitted)


def _key(resource: Resource, item: Item) -> str:
    key: str = search(resource.key, item)
    return key
