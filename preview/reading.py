"""Reads the account with the code of topo-cron, shows how far it is, and puts what came of it into one document."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from preview.account import EXPIRED, Opened
from preview.errors import Interrupted
from topology.aws import Aws
from topology.collect import Account, scopes
from topology.declare import Call
from topology.elements import LeftOut
from topology.errors import AwsError, Denied, DeniedByOrganization, ServiceNotInRegion
from topology.ledger import Ledger
from topology.records import Record
from topology.snapshot import Run
from topology.state import StateStore

FORMAT = 1
POLICY = "policies/sts-topo-cron-policy.json"
Document = dict[str, Any]
# The role that IAM Identity Center makes of a permission set.
PERMISSION_SET = re.compile(r"AWSReservedSSO_(.+)_[0-9a-f]+")


class Watched(Aws):
    """Clients of one region that tell when a listing is over, whether it was read to its end or failed."""

    def __init__(self, aws: Aws, over: Callable[[str, Call], None]) -> None:
        vars(self).update(vars(aws))  # the same clients, limits included
        self._over = over

    def pages(self, call: Call, parameters: Mapping[str, Any]) -> Iterator[Any]:
        """As `Aws` does it."""
        try:
            yield from super().pages(call, parameters)
        finally:
            self._over(self.region, call)


def read(one: Opened, console: Console) -> Document:
    """Everything that topo-cron would send of the account, what it could not read, and what that took.

    JSON-ready, with all times in seconds since 1970: `components`, `relations` and `events` in the receiver's form,
    `counts`, `calls`, the run's `ledger`, and in `missing_actions` the IAM actions that would have to be allowed.
    """
    account = one.account
    run = Run([account], Record("aws", account.id, "preview"), StateStore(None, "", ""))
    with progress(account, console):
        found = run.read()
    run.settle(found)
    elements = _elements(run.records(found))
    run.end()
    return {
        "format": FORMAT,
        "account": account.id,
        "regions": list(account.regions),
        "identity": one.identity,
        **elements,
        "counts": _counts(elements),
        "calls": {
            "total": one.calls.total,
            "by_service": one.calls.by_service(),
            "by_region": one.calls.by_region(),
        },
        **_unread(run.ledger, one.identity, account.regions),
        "ledger": run.ledger.as_document() | {"left_out": [_left_out(each) for each in run.ledger.left_out]},
    }


@contextmanager
def progress(account: Account, console: Console) -> Iterator[None]:
    """Show a bar for every region that counts its listings, while something reads the account."""
    waiting = {(scope.region, each.listed_by) for scope, (_, of) in scopes([account]).items() for each in of}
    totals = Counter(region for region, _ in waiting)
    columns = (
        SpinnerColumn(finished_text="✓"),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("listings"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as bars:
        tasks = {region: bars.add_task(f"Reading {region}", total=total) for region, total in totals.items()}

        def over(region: str, call: Call) -> None:
            if (region, call) in waiting:
                waiting.discard((region, call))
                bars.advance(tasks[region])

        account.clients.update({region: Watched(aws, over) for region, aws in account.clients.items()})
        try:
            yield
        except KeyboardInterrupt:
            done = totals.total() - len(waiting)
            raise Interrupted(f"after {done:,} of {totals.total():,} listings") from None


def _elements(records: Iterator[bytes]) -> Document:
    """What the records hold, by kind; of an id that comes twice the last, as at the receiver."""
    found: dict[str, dict[str, Any]] = {"components": {}, "relations": {}}
    events = []
    for record in records:
        lines = Record.decode(record).lines
        for kind, by_id in found.items():
            elements = (orjson.loads(text) for text in lines[kind])
            by_id.update((element["externalId"], element) for element in elements)
        events += [orjson.loads(text) for text in lines.events]
    return {kind: list(by_id.values()) for kind, by_id in found.items()} | {"events": events}


def _counts(elements: Document) -> Document:
    """Components by type and region, relations by type."""
    by_type: dict[str, Counter[str]] = defaultdict(Counter)
    for component in elements["components"]:
        by_type[component["type"]["name"]][component["data"]["Location"]["AwsRegion"]] += 1
    relations = Counter(relation["type"]["name"] for relation in elements["relations"])
    return {
        "components": {type_: dict(sorted(regions.items())) for type_, regions in sorted(by_type.items())},
        "relations": dict(sorted(relations.items())),
    }


def _left_out(finding: LeftOut) -> Document:
    error = finding.error
    return {
        "account": finding.scope.account,
        "region": finding.scope.region,
        "service": finding.scope.service,
        "cause": error.cause,
        "action": error.action,
        "error": str(error),
    }


def _unread(ledger: Ledger, identity: str, regions: Sequence[str]) -> Document:
    """Whether all was read, which actions are missing, and what a person can do about it."""
    errors: list[AwsError] = [cause.error for line in ledger.lines for cause in line.causes]
    errors += [finding.error for finding in ledger.left_out]
    forbidden = sorted({error.action for error in errors if isinstance(error, DeniedByOrganization)})
    missing = sorted({error.action for error in errors if isinstance(error, Denied)} - set(forbidden))
    nothing = not any(line.complete for line in ledger.lines) and not ledger.components
    # What AWS does not sell in a region is not missing from the picture.
    unread = any(not isinstance(error, ServiceNotInRegion) for error in errors)
    outcome = "nothing" if nothing else "part" if unread else "all"
    advice = [*ledger.advice]
    if not ledger.components:
        advice.append(_nothing_found(outcome, regions))
    if missing:
        advice.append(
            f"IAM actions are missing: attach {POLICY} to {bearer(identity)}. It allows what is read here, and changes "
            "nothing."
        )
    if forbidden:
        advice.append(
            "A service control policy of the organization forbids what no policy of the account can allow: "
            f"{', '.join(forbidden)}."
        )
    if any(code in str(error) for error in errors for code in EXPIRED):
        advice.append("The credentials expired while they were used: get new ones, and read again.")
    if outcome == "part" and not ledger.closed:
        advice.append(
            "Where a scope cannot be read, topo-cron sends what it found and ends no snapshot: StackState shows that, "
            "and removes nothing until everything was read once."
        )
    return {
        "outcome": outcome,
        "missing_actions": missing,
        "forbidden_actions": forbidden,
        "advice": advice,
    }


def bearer(identity: str) -> str:
    """What a policy is attached to, for whom AWS takes us: of a session its role, or the permission set behind it."""
    kind, _, name = identity.rpartition(":")[2].partition("/")
    if kind == "assumed-role":
        role = name.rpartition("/")[0]
        permission_set = PERMISSION_SET.fullmatch(role)
        return f"the permission set {permission_set[1]}" if permission_set else f"the role {role}"
    return f"the user {name}" if kind == "user" else identity


def _nothing_found(outcome: str, regions: Sequence[str]) -> str:
    """A sentence that says no more than is known."""
    where = ", ".join(regions)
    if outcome == "nothing":
        return f"Nothing could be read in {where}."
    if outcome == "part":
        return f"Nothing was found in {where}, but not everything could be read."
    return f"Everything in {where} was read, and there is nothing to show. Look elsewhere with --regions."
