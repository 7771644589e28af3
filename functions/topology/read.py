"""Reads the items of declared resources: lists or looks them up, then completes them with their details.

Details of many items are asked for side by side, in the pool that all scopes of a run share. What goes wrong is handed
to `report` as a finding and costs no more than it must: a denied detail leaves out that detail, a failed item leaves
out that item, a failed listing ends the resource. Items that are gone by the time of a detail are left out silently.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from itertools import islice
from typing import Any

from topology.aws import Aws, search
from topology.declare import Call, Detail, ForAll, PerBatch, PerItem, Resource
from topology.elements import Incomplete, Item, LeftOut, Scope
from topology.errors import AwsError, Denied, Gone

# Items completed together: a multiple of every batch size, so that batches are full, and small beside a run's memory,
# since every scope holds as many.
CHUNK = 100

# What stands for a detail that an item cannot be without, and for one that it has to do without.
_FAILED = object()
_LEFT_OUT = object()


class Reader:
    """Reads one scope, for a snapshot or for a few keys.

    Args:
        aws: clients of the scope's region.
        scope: what is read.
        pool: runs the calls that are made side by side.
        report: takes an `Incomplete` or `LeftOut`, each once per kind, action and cause.
    """

    def __init__(self, aws: Aws, scope: Scope, pool: Executor, report: Callable[[Incomplete | LeftOut], None]) -> None:
        self.scope = scope
        self._aws = aws
        self._pool = pool
        self._report = report
        self._lists: dict[Call, list[Any]] = {}
        self._shared: dict[PerBatch, dict[str, Any]] = defaultdict(dict)
        self._reported: set[tuple[type, str, str]] = set()

    def items(self, resource: Resource, keys: Sequence[str] | None = None) -> Iterator[Item]:
        """The complete items of the resource: all of them, or those with these keys."""
        if keys is None:
            return self._completed(self._listed(resource), [*_in_snapshot(resource.details)])
        return self._completed(self._looked_up(resource, keys), resource.details)

    def stint(self, resource: Resource, token: str | None, size: int) -> tuple[Iterator[Item], str | None]:
        """Up to about `size` complete items from a page token on, and the token to go on with; None: the end."""
        found, following = self._stint(resource, token, size)
        return self._completed(iter(found), [*_in_snapshot(resource.details)]), following

    def _stint(self, resource: Resource, token: str | None, size: int) -> tuple[list[Any], str | None]:
        try:
            return self._aws.stint(resource.listed_by, token, size)
        except AwsError as error:
            self._incomplete(error)
            return [], None

    def _completed(self, found: Iterator[Any], details: Sequence[Detail]) -> Iterator[Item]:
        whole = {detail.field: self._grouped(detail) for detail in details if isinstance(detail, ForAll)}
        while chunk := [dict(item) for item in islice(found, CHUNK)]:
            for detail in details:
                self._complete(detail, chunk, whole)
                chunk = [item for item in chunk if item.get(detail.field) is not _FAILED]
            yield from chunk

    def _listed(self, resource: Resource) -> Iterator[Item]:
        try:
            kept = self._lists.get(resource.listed_by)
            yield from self._aws.pages(resource.listed_by, {}) if kept is None else kept
        except AwsError as error:
            self._incomplete(error)

    def _looked_up(self, resource: Resource, keys: Sequence[str]) -> Iterator[Item]:
        own = [key for key in keys if not resource.nearby(key)]
        nearby = [key for key in keys if resource.nearby(key)]
        seen: set[str] = set()
        for call in resource.also_looked_up_by.values():
            for found in self._about(call, [key for key in nearby if resource.nearby(key) is call]):
                if not isinstance(found, str):
                    seen.add(resource.lookup_key(self.scope, search(resource.key, found)))
                    yield found
                elif resource.nearby(found):
                    # What a later call finds something by.
                    nearby.append(found)
                else:
                    own.append(resource.lookup_key(self.scope, found))
        own = unique(key for key in own if key and key not in seen)
        if resource.looked_up_by is None:
            yield from ({resource.key: key} for key in own)
        else:
            yield from self._about(resource.looked_up_by, own)

    def _about(self, call: Call, ids: Sequence[str]) -> Iterator[Any]:
        """What AWS says about the ids, in as few requests as the call allows, side by side."""
        for future in [self._submit(self._all_about, call, batch) for batch in batches(call, ids)]:
            try:
                yield from future.result()
            except AwsError as error:
                self._incomplete(error)

    def _all_about(self, call: Call, ids: Sequence[str]) -> list[Any]:
        return list(self._aws.about(call, ids))

    def _complete(self, detail: Detail, chunk: list[dict[str, Any]], whole: Mapping[str, Any]) -> None:
        """Put the detail's field into every item of the chunk: its value, None, or the mark of a failure."""
        if isinstance(detail, ForAll):
            answers = whole[detail.field]
            for item in chunk:
                _put(item, detail, answers.get(search(detail.id, item), []) if isinstance(answers, dict) else answers)
        elif isinstance(detail, PerBatch):
            ids = [detail.id(self.scope, item) if callable(detail.id) else search(detail.id, item) for item in chunk]
            found = self._in_batches(detail, [one for id_ in ids for one in (id_ if isinstance(id_, list) else [id_])])
            for item, id_ in zip(chunk, ids, strict=True):
                if isinstance(id_, list):
                    _put(item, detail, _several(id_, found))
                else:
                    _put(item, detail, found.get(id_, _FAILED if detail.required else None))
        else:
            wanted = [item for item in chunk if not detail.when or detail.when(self.scope, item)]
            futures = [(item, self._submit(self._one, detail, item)) for item in wanted]
            for item, future in futures:
                _put(item, detail, future.result())

    def _one(self, detail: PerItem, item: Item) -> Any:
        parameters = {name: search(path, item) for name, path in detail.given.items()}
        try:
            if detail.described_by:
                ids = list(self._aws.pages(detail.call, parameters))
                described = detail.described_by
                return [
                    answer
                    for batch in batches(described, ids)
                    for answer in self._aws.about(described, batch, parameters)
                ]
            if detail.many:
                return list(self._aws.pages(detail.call, parameters))
            return self._aws.ask(detail.call, parameters)
        except AwsError as error:
            return self._without(detail, error)

    def _in_batches(self, detail: PerBatch, ids: Sequence[str]) -> dict[str, Any]:
        known = self._shared[detail]
        different = unique(id_ for id_ in ids if id_ and id_ not in known)
        futures = [self._submit(self._one_batch, detail, batch) for batch in batches(detail.call, different)]
        found = {key: value for future in futures for key, value in future.result().items()}
        # What several items share, such as the type of instances, the next chunk asks for again.
        known.update((id_, found[id_]) for id_, count in Counter(ids).items() if count > 1 and id_ in found)
        return known | found

    def _one_batch(self, detail: PerBatch, ids: Sequence[str]) -> dict[str, Any]:
        try:
            return {
                search(detail.match, answer): search(detail.value, answer)
                for answer in self._aws.about(detail.call, ids)
            }
        except AwsError as error:
            return dict.fromkeys(ids, self._without(detail, error))

    def _grouped(self, detail: ForAll) -> Any:
        groups: dict[Any, list[Any]] = defaultdict(list)
        try:
            if detail.call not in self._lists:
                self._lists[detail.call] = list(self._aws.pages(detail.call, {}))
        except AwsError as error:
            return self._without(detail, error)
        for answer in self._lists[detail.call]:
            groups[search(detail.match, answer)].append(answer)
        return dict(groups)

    def _without(self, detail: Detail, error: AwsError) -> Any:
        """What an item gets for a detail that failed: None if AWS has none, else a mark."""
        if isinstance(error, Gone):
            return _FAILED if detail.required else None
        if isinstance(error, Denied) and not detail.required:
            if isinstance(detail, PerItem) and detail.holds_components:
                self._incomplete(error)
            else:
                self._once(LeftOut(self.scope, error))
            return _LEFT_OUT
        self._incomplete(error)
        return _FAILED

    def _incomplete(self, error: AwsError) -> None:
        self._once(Incomplete(self.scope, error))

    def _once(self, finding: Incomplete | LeftOut) -> None:
        # The same denial may cost one resource a detail and another all of its items.
        what = (type(finding), finding.error.action, finding.error.cause)
        if what not in self._reported:
            self._reported.add(what)
            self._report(finding)

    def _submit(self, work: Callable[..., Any], *arguments: Any) -> Future[Any]:
        return self._pool.submit(work, *arguments)


def is_partial(resource: Resource, scope: Scope, item: Item) -> bool:
    """Whether the item, which was read for its key, has to do without a detail that holds components."""
    return any(
        isinstance(detail, PerItem)
        and detail.holds_components
        and detail.field not in item
        and (detail.when is None or detail.when(scope, item))
        for detail in resource.details
    )


def _put(item: dict[str, Any], detail: Detail, value: Any) -> None:
    if value is not _LEFT_OUT:
        item[detail.field] = value


def _several(ids: Sequence[str], found: Mapping[str, Any]) -> Any:
    """What an item gets that asked for several ids: those that there are."""
    values = {id_: found[id_] for id_ in ids if id_ in found}
    if any(value is _FAILED for value in values.values()):
        return _FAILED
    return {id_: value for id_, value in values.items() if value is not _LEFT_OUT}


def _in_snapshot(details: Sequence[Detail]) -> Iterator[Detail]:
    """The details as a snapshot gets them."""
    for detail in details:
        if isinstance(detail, PerItem):
            yield detail.in_snapshot or detail
        elif not isinstance(detail, ForAll) or detail.in_snapshot:
            yield detail


def batches(call: Call, ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """The ids in as many pieces as the call needs requests."""
    if call.ids is None:
        raise TypeError(f"{call.service} {call.operation} takes no ids")
    for start in range(0, len(ids), call.ids.size):
        yield ids[start : start + call.ids.size]


def unique(values: Iterable[str]) -> list[str]:
    """The values without repetitions, in their first order."""
    return list(dict.fromkeys(values))
