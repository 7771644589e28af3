"""One snapshot of the whole account, read and packed as topo-cron does it, in a process of its own.

Where `AWS_ENDPOINT_URL` points is what it reads. Prints what it found as one line of JSON; the file that `BENCH_OUT`
names, if any, gets the same together with every id that the snapshot knows something by.
"""

import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "functions"))

import boto3

from topology.collect import Account
from topology.ledger import Ledger
from topology.records import Record
from topology.resources import ALL
from topology.snapshot import Run
from topology.state import StateStore

ACCOUNT_ID = "123456789012"
REGION = "eu-west-1"


def main() -> None:
    """Read, settle, pack, and say what came of it."""
    session = boto3.Session(region_name=os.environ.get("AWS_REGION", REGION))
    account = Account.open(session, ACCOUNT_ID, (session.region_name,), ALL)
    run = Run([account], Record("aws", ACCOUNT_ID, "bench"), StateStore(None, "", ""))
    found = run.read()
    run.settle(found)
    records = list(run.records(found))
    report = described(run.ledger, records)
    if out := os.environ.get("BENCH_OUT"):
        Path(out).write_text(json.dumps(report | {"ids": sorted(ids(records))}), encoding="utf-8")
    print(json.dumps(report))


def described(ledger: Ledger, records: list[bytes]) -> dict[str, Any]:
    """What the run found, in numbers, and what it could not read."""
    return {
        "components": ledger.components.total(),
        "relations": ledger.relations.total(),
        "record_bytes": sum(map(len, records)),
        "errors": [str(cause.error) for line in ledger.incomplete for cause in line.causes],
        "left_out": [one.error.action for one in ledger.left_out],
        "snapshot_complete": ledger.closed,
    }


def ids(records: Iterable[bytes]) -> set[str]:
    """Everything that somebody may look for a component by, or for what only shows in its data."""
    lines = (line for record in records for line in Record.decode(record).lines.components)
    return {id_ for line in lines for id_ in known_as(json.loads(line))}


def known_as(component: dict[str, Any]) -> Iterator[str]:
    """The ids of one component."""
    yield component["externalId"]
    yield component["externalId"].removeprefix("classic_elb_")
    yield from component["data"].get("URN") or ()
    for field in ("Name", "RestApiId"):
        if isinstance(name := component["data"].get(field), str):
            yield name


if __name__ == "__main__":
    main()
