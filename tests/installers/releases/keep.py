"""Keeps what an installation of a release leaves behind in the middle of its work: `python -m … FILE`, in its checkout.

The release's functions take two snapshots and follow a change. The second snapshot waits on the stream, of which
topo-publisher has delivered a part. State bucket and waiting records go into a zip file. See README.md beside this.
"""

import base64
import json
import sys
import zipfile
from typing import Any

from local.account.estate import build_estate
from local.system import API_KEY, CONFIGURATION_ID, System, running_system, wait_for

STREAM = "stackstate-topo-kinesis"
# What waits are a change, the mark, the start of the second snapshot, slices, its end, and another change.
DELIVERED = 4
TIME = (1980, 1, 1, 0, 0, 0)


def main() -> None:
    """Install the release in a local account, let it work, and write what is there."""
    with running_system() as system:
        build_estate(system.account.client)
        leave_out = ["--skip-receiver-check", "--skip-rights-check", "--no-global-events", "--trail=none"]
        done = system.run("./install.sh", *leave_out, system.receiver.base_url, API_KEY, CONFIGURATION_ID)
        assert done.returncode == 0, done.stdout + done.stderr
        wait_for("the first snapshot", lambda: system.instance and system.instance.snapshots, 300)
        stop_publisher(system)
        before = len(records(system))
        change(system, "created-before")
        invoke(system, "stackstate-topo-cron", {})
        change(system, "created-after")
        waiting = records(system)[before:]
        assert len(waiting) > DELIVERED, f"only {len(waiting)} records wait"
        invoke(system, "stackstate-topo-publisher", {"Records": [delivered(one) for one in waiting[:DELIVERED]]})
        files = {f"stream/{number:02}": one["Data"] for number, one in enumerate(waiting[DELIVERED:])}
        write(sys.argv[1], files | objects(system))


def stop_publisher(system: System) -> None:
    """Let what comes on the stream stay there."""
    functions: Any = system.account.client("lambda")
    for mapping in functions.list_event_source_mappings()["EventSourceMappings"]:
        if ":kinesis:" in mapping["EventSourceArn"]:
            functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)


def change(system: System, queue: str) -> None:
    """Create a queue, and wait until the stream tells of it."""
    before = len(records(system))
    system.account.client("sqs").create_queue(QueueName=queue)
    wait_for(f"queue {queue}", lambda: len(records(system)) > before, 120)


def records(system: System) -> list[dict[str, Any]]:
    """All records on the stream."""
    kinesis: Any = system.account.client("kinesis")
    found: list[dict[str, Any]] = []
    for shard in kinesis.list_shards(StreamName=STREAM)["Shards"]:
        where = {"StreamName": STREAM, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
        found += kinesis.get_records(ShardIterator=kinesis.get_shard_iterator(**where)["ShardIterator"])["Records"]
    return found


def delivered(record: dict[str, Any]) -> dict[str, Any]:
    """The record as Lambda hands it over."""
    data = base64.b64encode(record["Data"]).decode()
    arrived = record["ApproximateArrivalTimestamp"].timestamp()
    kinesis = {"data": data, "sequenceNumber": record["SequenceNumber"], "approximateArrivalTimestamp": arrived}
    return {"eventSource": "aws:kinesis", "kinesis": kinesis}


def invoke(system: System, function: str, event: dict[str, Any]) -> None:
    """Run a function to its end."""
    answer = system.account.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event))
    body = answer["Payload"].read()
    assert "FunctionError" not in answer, body
    assert b'"batchItemFailures":[{' not in body.replace(b" ", b""), body


def objects(system: System) -> dict[str, bytes]:
    """What is in the state bucket."""
    s3: Any = system.account.client("s3")
    [bucket] = [one["Name"] for one in s3.list_buckets()["Buckets"] if "-statebucket-" in one["Name"]]
    keys = [one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    return {key: s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}


def write(path: str, files: dict[str, bytes]) -> None:
    """Write the files into a zip file."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, body in sorted(files.items()):
            entry = zipfile.ZipInfo(name, TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, body)


if __name__ == "__main__":
    main()
