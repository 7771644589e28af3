"""A run of topo-cron over many invocations, for accounts that are too large for one: Step Functions leads it.

Its state machine (template.yaml) has the scopes planned, each scope read in invocations of its own, portion by portion
into the state bucket, and published from there by the code that publishes any snapshot.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import orjson

from topology.aws import WORKERS
from topology.collect import Found, Place, ScopeRead, ScopeReader, scopes
from topology.declare import Resource
from topology.elements import Incomplete, LeftOut, Scope
from topology.errors import AnotherRun, AwsError, StateCorrupt, Throttled, TimeRanOut, Unreachable
from topology.gather import Fresh, Gathered, Gathering
from topology.ledger import ScopeLine
from topology.links import Names
from topology.readings import Reading, all_items, type_of
from topology.records import id_of
from topology.snapshot import AT_A_TIME, Run
from topology.state import RUN, StateStore

# Listed in one stint, but for the rest of a page: after each it is seen whether there is time for another.
STINT = 200
# What an invocation needs at its end, to keep what it read.
KEEPING_SECONDS = 60.0
# A run of which nothing was heard for so long is over. From step to step it takes an invocation's 15 minutes, and the
# pauses before the next attempt.
SILENCE_SECONDS = 1800.0
# The attempt after which a scope is left as it is: the state machine makes no more.
LAST_ATTEMPT = 3
# Another attempt may do better.
PASSING = (Throttled, Unreachable)
PORTIONS = "portions/"
# A scope is named `account/region/service`.
SEPARATOR = "/"


def plan(run: Run, store: StateStore) -> dict[str, Any]:
    """Begin a run: answers with what the other steps need, and the scopes to read. Raises AnotherRun."""
    store.begin(run.ledger.snapshot, time.time() + SILENCE_SECONDS)
    store.remove_all(PORTIONS)
    run.begin()
    return {
        "snapshot": run.ledger.snapshot,
        "began": run.ledger.began,
        "since": run.ledger.since,
        "scopes": [SEPARATOR.join(scope.name) for scope in scopes(run.accounts)],
    }


def read_portion(
    run: Run, store: StateStore, event: Mapping[str, Any], remaining: Callable[[], float]
) -> dict[str, Any]:
    """Read a portion of a scope into the bucket; answers with the event for the next, and whether the scope is `done`.

    Raises Throttled or Unreachable, once the portion is kept as it is, for the state machine to try it again; after the
    last attempt the scope goes on without what failed. Raises AnotherRun if this run is over.
    """
    _go_on(run, store)
    planned = {SEPARATOR.join(scope.name): scope for scope in scopes(run.accounts)}
    scope = planned[event["scope"]]
    account, resources = scopes(run.accounts)[scope]
    began = time.monotonic()
    gathering = Gathering([scope], Names(account.resources), run.mark, event["run"]["began"])
    place = Place(**event["place"]) if event.get("place") else Place(resources[0].kind)
    with ThreadPoolExecutor(WORKERS, "call") as pool:
        stint: list[Found] = []
        reader = ScopeReader(account, scope, resources, pool, stint.append)
        following = _read(reader, stint, gathering, place, remaining)
    gathering.take(ScopeRead(scope, time.monotonic() - began))
    number = event.get("number", 0)
    found = gathering.gathered()
    store.put(_name(run, scope, number), _portion(scope, found, more=following is not None))
    for cause in found.scopes[scope].line.causes:
        if isinstance(cause.error, PASSING) and event.get("attempt", 0) < LAST_ATTEMPT:
            raise cause.error
    following_place = {"kind": following.kind, "token": following.token} if following else None
    return {**event, "number": number + 1, "place": following_place, "done": following is None}


def _read(
    reader: ScopeReader, stint: list[Found], gathering: Gathering, place: Place, remaining: Callable[[], float]
) -> Place | None:
    """Gather stint by stint while there is time; answers with the place to go on from, None at the end of the scope.

    Args:
        reader: puts what it finds into `stint`.
        stint: is emptied after each.
        gathering: takes what was found.
        place: where to begin.
        remaining: seconds left to this invocation.
    """
    longest, going_on = 0.0, False
    while True:
        began = time.monotonic()
        following = reader.stint(place, STINT)
        if going_on and any(isinstance(one, Incomplete) and isinstance(one.error, TimeRanOut) for one in stint):
            # The next invocation has the time for all of it.
            return place
        for one in stint:
            gathering.take(one)
        stint.clear()
        longest = max(longest, time.monotonic() - began)
        if following is None or remaining() - KEEPING_SECONDS < longest:
            return following
        place, going_on = following, True


def resumed(run: Run, planned: Mapping[str, Any], store: StateStore) -> Gathered:
    """What the portions of a planned run hold, as if this process had read it; the run goes on from there.

    Raises AnotherRun if this run is over.
    """
    _go_on(run, store)
    run.ledger.began, run.ledger.since, run.ledger.spread = planned["began"], planned["since"], True
    found = Gathered({}, Names(run.accounts[0].resources))
    kinds = {resource.kind: resource for account in run.accounts for resource in account.resources}
    with ThreadPoolExecutor(AT_A_TIME, "portions") as pool:
        for part in pool.map(partial(_put_together, run, store), scopes(run.accounts)):
            found.scopes |= part.scopes
            found.events += part.events
            found.left_out += part.left_out
    for scope, fresh in found.scopes.items():
        _add_names(found.names, kinds, scope, fresh.records)
    run.resume(found)
    return found


def _go_on(run: Run, store: StateStore) -> None:
    """Say that the run goes on. Raises AnotherRun once it is over, or another has taken its place."""
    if store.document(RUN).get("run") != run.ledger.snapshot:
        raise AnotherRun(f"run {run.ledger.snapshot} is over, or was silent for so long that another took its place")
    store.keep_document(RUN, {"run": run.ledger.snapshot, "until": time.time() + SILENCE_SECONDS})


def _portion(scope: Scope, found: Gathered, *, more: bool) -> bytes:
    """A portion as one object: a reading whose first record says what the others are."""
    fresh = found.scopes[scope]
    head = {
        "events": len(found.events),
        "seconds": fresh.line.seconds,
        "causes": [_said(one.error) for one in fresh.line.causes],
        "left_out": [_said(one.error) for one in found.left_out],
        "more": more,
    }
    return Reading(scope, [orjson.dumps(head), *fresh.records, *found.events], None).encode()


def _said(error: AwsError) -> dict[str, str]:
    return {"cause": error.cause, "action": error.action, "error": str(error)}


def _put_together(run: Run, store: StateStore, scope: Scope) -> Gathered:
    """The portions of a scope as what was read of it; without one of them it is incomplete."""
    fresh = Fresh(ScopeLine(scope))
    found = Gathered({scope: fresh}, Names(()))
    causes: dict[tuple[str, str], Incomplete] = {}
    number, more = 0, True
    while more:
        try:
            head, records = _portion_at(store, scope, _name(run, scope, number))
        except StateCorrupt as error:
            failure = TimeRanOut(f"{scope.service}:*", f"the scope was not read to its end in time: {error}")
            causes["", ""] = Incomplete(scope, failure)
            break
        items = len(records) - head["events"]
        fresh.records += records[:items]
        found.events += records[items:]
        fresh.line.seconds += head["seconds"]
        for said in head["causes"]:
            causes.setdefault((said["cause"], said["action"]), Incomplete(scope, AwsError.again(said)))
        found.left_out += [LeftOut(scope, AwsError.again(said)) for said in head["left_out"]]
        number, more = number + 1, head["more"]
    fresh.line.causes += causes.values()
    return found


def _portion_at(store: StateStore, scope: Scope, name: str) -> tuple[dict[str, Any], Sequence[bytes]]:
    """What a portion says of itself, and its other records. Raises StateCorrupt, also if there is none."""
    data = store.get(name)
    if data is None:
        raise StateCorrupt("a portion is missing")
    head, *records = Reading.decode(data, scope).records
    return orjson.loads(head), records


def _add_names(names: Names, kinds: Mapping[str, Resource], scope: Scope, records: Sequence[bytes]) -> None:
    """Name the components of a scope as its reader did, those that an item shares with an earlier one included."""
    types: dict[str, str] = {}
    for entry, texts in all_items(records):
        own = {orjson.loads(id_of(text)): type_of(text).decode() for kind, text in texts if kind == "components"}
        types |= own
        for id_ in [*own, *entry.shared]:
            if id_ in types:
                names.add(kinds[entry.kind], scope, entry.key, types[id_], id_)


def _name(run: Run, scope: Scope, number: int) -> str:
    # Under the run's name: what is left of an older one, or is still going on in it, must not mix with this one's.
    return f"{PORTIONS}{run.ledger.snapshot}/{SEPARATOR.join(scope.name)}/{number}.state"
