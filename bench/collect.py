"""One snapshot of the whole account, read and packed as topo-cron does it, in a process of its own.

Where `AWS_ENDPOINT_URL` points is what it reads. Prints what it found as one line of JSON; the file that `BENCH_OUT`
names, if any, gets the same together with every id that the snapshot knows something by.
"""

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "functions"))

import boto3

from topology.collect import Account, snapshot
from topology.elements import Component, Finding
from topology.records import Packer, Record
from topology.resources import ALL
from topology.snapshot import Summary, packed, snapshot_records

ACCOUNT_ID = "123456789012"
REGION = "eu-west-1"


def main() -> None:
    """Read, pack, and say what came of it."""
    session = boto3.Session(region_name=os.environ.get("AWS_REGION", REGION))
    account = Account.open(session, ACCOUNT_ID, (session.region_name,), ALL)
    ids: set[str] = set()
    findings = snapshot(account)
    packer = Packer("aws", ACCOUNT_ID, int(time.time()), "bench")
    summary = packed(noted(findings, ids) if "BENCH_OUT" in os.environ else findings, packer)
    records = list(snapshot_records(packer, summary, Record("aws", ACCOUNT_ID, "bench")))
    report = described(summary, records)
    if out := os.environ.get("BENCH_OUT"):
        Path(out).write_text(json.dumps(report | {"ids": sorted(ids)}), encoding="utf-8")
    print(json.dumps(report))


def described(summary: Summary, records: list[bytes]) -> dict[str, Any]:
    """What the run found, in numbers, and what it could not read."""
    return {
        "components": summary.components.total(),
        "relations": summary.relations.total(),
        "record_bytes": sum(map(len, records)),
        "errors": [str(one.error) for one in summary.incomplete],
        "left_out": [one.error.action for one in summary.left_out],
        "snapshot_complete": summary.complete,
    }


def noted(findings: Iterable[Finding], ids: set[str]) -> Iterator[Finding]:
    """The findings as they are, with the ids of the components put aside."""
    for finding in findings:
        if isinstance(finding, Component):
            ids.update(known_as(finding))
        yield finding


def known_as(component: Component) -> Iterator[str]:
    """The ids under which somebody may look for the component, or for what only shows in its data."""
    yield component.id
    yield component.id.removeprefix("classic_elb_")
    yield from component.data.get("URN") or ()
    for field in ("Name", "RestApiId"):
        if isinstance(name := component.data.get(field), str):
            yield name


if __name__ == "__main__":
    main()
