"""The last run of topo-cron in words, for `status.sh`: what was found, what was not, and what to do about it.

Written beside the ledger, since those who look after an installation have a shell and the AWS CLI, and no more.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from topology.errors import (
    Denied,
    DeniedByOrganization,
    RegionDisabled,
    ServiceNotInRegion,
    Throttled,
    TimeRanOut,
    UnexpectedAnswer,
    Unreachable,
)
from topology.ledger import Ledger, merged_regions

STATUS = "status.txt"
FORMAT = 1

# What a person can do about a cause; `{actions}`, `{account}` and `{region}` are filled in.
REMEDIES = {
    Denied.cause: (
        "Allow {actions} to the role that account {account} is read with. Is it the stack's own, run install.sh again; "
        "a role of yours has to have policies/sts-topo-cron-policy.json; in a further account, update the stack of "
        "cross-account.yaml. A permissions boundary must allow it, too."
    ),
    DeniedByOrganization.cause: (
        "A service control policy of the organization forbids {actions}. Whoever manages the organization can except "
        "the role from it. If it closes the whole region, take {region} out of --regions."
    ),
    Throttled.cause: (
        "AWS refuses calls for their rate. If this lasts, lower --api-share, or ask AWS for a higher rate of {actions}."
    ),
    RegionDisabled.cause: "Enable {region} in account {account}, or take it out of --regions.",
    ServiceNotInRegion.cause: "Nothing: AWS does not offer the service in {region}.",
    Unreachable.cause: (
        "In a VPC, the functions need a NAT gateway, a proxy, or an endpoint for the service in {region}. Otherwise "
        "AWS has a failure there, and the next snapshot reads it."
    ),
    TimeRanOut.cause: (
        "The account is too large for one invocation: have Step Functions lead the snapshot (install.sh --spread)."
    ),
    UnexpectedAnswer.cause: "The next snapshot tries again. If it stays, report it with the text above.",
}


def as_text(ledger: Ledger) -> str:
    """The run in lines of text. The first one is for scripts: words of the form name=value."""
    held = f"{ledger.held_back['removed']}/{ledger.held_back['of']}" if ledger.held_back else ""
    head = {
        "format": FORMAT,
        "snapshot": ledger.snapshot,
        "ended": int(ledger.ended),
        "closed": "yes" if ledger.closed else "no",
        "incomplete": len(merged_regions(ledger.lines)),
        "held": held,
    }
    lines = [" ".join(f"{name}={value}" for name, value in head.items()), *_summary(ledger)]
    for part in (_unclosed(ledger), _unread(ledger), _details(ledger), _drift(ledger), _advice(ledger)):
        found = list(part)
        if found:
            lines += ["", *found]
    return "\n".join(lines) + "\n"


def _summary(ledger: Ledger) -> Iterator[str]:
    took = ledger.ended - ledger.began
    yield f"Snapshot {ledger.snapshot} of {moment(ledger.began)}, by version {ledger.version}, took {took:.0f} s."
    components, relations = ledger.components.total(), ledger.relations.total()
    closed = "closed" if ledger.closed else "not closed"
    yield f"It has {components:,} components and {relations:,} relations, and is {closed}."
    yield from _counts(ledger.components)


def _unclosed(ledger: Ledger) -> Iterator[str]:
    if ledger.closed:
        return
    yield "StackState goes on showing what is gone, because"
    yield from (f"  {reason}" for reason in ledger.not_closed_because)
    yield "  If that is as it should be, ./confirm.sh closes the next snapshot all the same."


def _unread(ledger: Ledger) -> Iterator[str]:
    for number, line in enumerate(merged_regions(ledger.lines)):
        if not number:
            yield "Not read, or not to the end:"
        service = "all services" if line["service"] == "*" else line["service"]
        yield f"  {service} in {line['region']} of account {line['account']}"
        yield from (f"    {one['cause']}: {one['error']}" for one in line["causes"])
        yield f"    {_shown_instead(line, ledger.began)}"
        yield from (f"    To do: {remedy}" for remedy in _remedies(line))


def _shown_instead(line: dict[str, Any], began: float) -> str:
    if line["read_at"] is None:
        return "It was never read to the end, so there is nothing to show in its place."
    hours = (began - line["read_at"]) / 3600
    return f"Shown instead: {line['replayed']:,} components as of {moment(line['read_at'])}, {hours:.1f} h before."


def _remedies(line: dict[str, Any]) -> Iterator[str]:
    actions: dict[str, list[str]] = {}
    for one in line["causes"]:
        actions.setdefault(one["cause"], []).append(one["action"])
    for cause, named in actions.items():
        remedy = REMEDIES.get(cause, REMEDIES[UnexpectedAnswer.cause])
        yield remedy.format(actions=", ".join(sorted(set(named))), account=line["account"], region=line["region"])


def _details(ledger: Ledger) -> Iterator[str]:
    missing = sorted({one.error.action for one in ledger.left_out})
    if missing:
        yield "Details are left out, since these rights are missing. Allow them to the role of topo-cron:"
        yield from (f"  {action}" for action in missing)


def _drift(ledger: Ledger) -> Iterator[str]:
    if ledger.drift.total():
        yield f"{ledger.drift.total():,} components came or went without a change event:"
        yield from _counts(ledger.drift)


def _advice(ledger: Ledger) -> Iterator[str]:
    if ledger.advice:
        yield "Advice:"
        yield from (f"  {sentence}" for sentence in ledger.advice)


def _counts(counts: Counter[str]) -> Iterator[str]:
    for name, count in sorted(counts.items()):
        yield f"  {count:>8,}  {name}"


def moment(seconds: float) -> str:
    """A time as people read it, from seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
