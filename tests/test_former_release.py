"""What the functions of an earlier release left behind in the middle of their work is understood by today's."""

import json
import re
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from local.receiver import Receiver, running_receiver
from tests.account import REGION
from tests.test_handlers import Context, batch, start
from topology.collect import scopes
from topology.elements import Incomplete
from topology.errors import Throttled
from topology.records import Record
from topology.state import StateStore

LEFT = {
    path.name.removesuffix("-left.zip"): path
    for path in (Path(__file__).parent / "installers" / "releases").glob("*-left.zip")
}
STREAM = "stackstate-topo-kinesis"
BUCKET = "state-bucket"
PREFIX = "state/1000/"


@pytest.fixture(params=list(LEFT.values()), ids=list(LEFT))
def left(request: pytest.FixtureRequest) -> dict[str, bytes]:
    """All that an installation of a release left: objects of the state bucket, and records that wait."""
    with zipfile.ZipFile(request.param) as archive:
        return {name: archive.read(name) for name in sorted(archive.namelist())}


@pytest.fixture
def s3(aws: boto3.Session, left: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Any:
    """The bucket as it was an hour ago, and the environment of functions that find it."""
    client = aws.client("s3")
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    for name, body in left.items():
        if not name.startswith("stream/"):
            client.put_object(Bucket=BUCKET, Key=name, Body=an_hour_old(body))
    settings = {
        "POWERTOOLS_METRICS_NAMESPACE": "StackState/Topology",
        "POWERTOOLS_SERVICE_NAME": "former",
        "STACKSTATE_CONFIGURATION_ID": "1000",
        "TOPOLOGY_STATE_BUCKET": BUCKET,
        "TOPOLOGY_STATE_PREFIX": PREFIX,
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return client


def an_hour_old(body: bytes) -> bytes:
    """The object with other times, since an old reading is not shown any more."""
    head, rest, more = body.partition(b"\n")
    return re.sub(rb'"(read_at|began|ended)":[0-9.]+', rb'"\1":%.1f' % (time.time() - 3600), head) + rest + more


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver(keys=("key",)) as running:
        yield running


@pytest.fixture
def stream(aws: boto3.Session, left: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """The stream with what waits, at the positions that the ledger names."""
    kinesis: Any = aws.client("kinesis")
    kinesis.create_stream(StreamName=STREAM, ShardCount=4)  # as moto makes of one on demand
    position = int(before(left)["since"].rpartition("/")[2])
    waiting = [body for name, body in left.items() if name.startswith("stream/")]
    for body in [Record("aws", "123456789012").encode()] * position + waiting:
        kinesis.put_record(StreamName=STREAM, PartitionKey="aws/123456789012", Data=body)
    monkeypatch.setenv("TOPOLOGY_STREAM", STREAM)


@pytest.fixture
def unreadable(stream: None, s3: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The ledger of today's topo-cron after a run for which AWS throttled everything."""

    def throttled(accounts: Any, _until: float) -> Iterator[Incomplete]:
        return (Incomplete(scope, Throttled("any:Call", "Rate exceeded")) for scope in scopes(accounts))

    monkeypatch.setattr("topology.gather.snapshot", throttled)
    start("topo_cron").lambda_handler({}, Context("stackstate-topo-cron"))
    ledger: dict[str, Any] = json.loads(s3.get_object(Bucket=BUCKET, Key=f"{PREFIX}ledger.json")["Body"].read())
    return ledger


def before(left: dict[str, bytes]) -> dict[str, Any]:
    """The ledger that the release left."""
    found: dict[str, Any] = json.loads(left[f"{PREFIX}ledger.json"])
    return found


def test_every_reading_is_read(left: dict[str, bytes], s3: Any) -> None:
    store = StateStore(s3, BUCKET, PREFIX)
    readings = {scope.name: store.reading(scope) for scope in store.scopes()}

    assert len(readings) == len([name for name in left if name.endswith(".state") and "/scopes/" in name])
    assert all(reading and reading.read_at for reading in readings.values())
    assert list(store.links())
    assert not [name for name in keys(s3) if "set-aside" in name]


def keys(s3: Any) -> list[str]:
    return [one["Key"] for one in s3.list_objects_v2(Bucket=BUCKET)["Contents"]]


def test_what_cannot_be_read_today_is_as_the_release_knew_it(
    left: dict[str, bytes], s3: Any, unreadable: dict[str, Any]
) -> None:
    """And as its change tells that came after its snapshot, and waits on the stream: one queue more."""
    replayed = {by_scope(line): line["replayed"] for line in unreadable["scopes"]}

    assert unreadable["closed"], unreadable["not_closed_because"]
    for line in before(left)["scopes"]:
        assert replayed[by_scope(line)] == line["components"] + (line["service"] == "sqs"), line
    assert not [name for name in keys(s3) if "set-aside" in name]


def by_scope(line: dict[str, Any]) -> tuple[str, ...]:
    return line["account"], line["region"], line["service"]


def test_a_snapshot_that_is_open_is_closed_by_todays_publisher(
    left: dict[str, bytes], s3: Any, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STACKSTATE_BASE_URL", receiver.base_url)
    monkeypatch.setenv("STACKSTATE_API_KEY", "key")
    started: dict[str, Any] = {"instance": {"type": "aws", "url": "123456789012"}, "start_snapshot": True}
    receiver.topologies.apply([started | {"components": [], "relations": [], "delete_ids": []}])
    waiting = [body for name, body in left.items() if name.startswith("stream/")]
    assert json.loads(left[f"{PREFIX}delivery.json"])[0]["next"] == 2

    answer = start("topo_publisher").lambda_handler(batch(waiting), Context("stackstate-topo-publisher"))

    assert answer == {"batchItemFailures": []}
    [instance] = receiver.topologies.instances.values()
    assert instance.snapshots == 1
    assert f"arn:aws:sqs:{REGION}:123456789012:created-after" in instance.components
    [delivery] = json.loads(s3.get_object(Bucket=BUCKET, Key=f"{PREFIX}delivery.json")["Body"].read())
    assert delivery["snapshot"] == ""
    assert not receiver.refused()
