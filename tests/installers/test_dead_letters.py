"""dead-letters.sh with the real AWS CLI against the local account."""

import base64
import json
from typing import Any

import pytest

from local.account import Account
from tests.installers.conftest import Installer
from tests.installers.test_uninstall import state_bucket
from topology.dead_letters import DeadLetters
from topology.errors import RecordError, Rejected
from topology.records import Record

STREAM = "stackstate-topo-kinesis-letters"


@pytest.fixture(scope="module")
def installed(installer: Installer, account: Account) -> str:
    """An installation; gives its bucket."""
    run = installer.install("letters", "--name-suffix=-letters")
    assert run.status == 0, run.output
    return state_bucket(account, "letters")


def on_stream(account: Account) -> list[tuple[str, bytes]]:
    kinesis = account.client("kinesis")
    found = []
    for shard in kinesis.list_shards(StreamName=STREAM)["Shards"]:
        where = {"StreamName": STREAM, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
        records = kinesis.get_records(ShardIterator=kinesis.get_shard_iterator(**where)["ShardIterator"])["Records"]
        found += [(record["PartitionKey"], record["Data"]) for record in records]
    return found


def queue(account: Account, name: str) -> Any:
    return account.client("sqs").get_queue_url(QueueName=name)["QueueUrl"]


def messages(account: Account, name: str) -> list[str]:
    found = account.client("sqs").receive_message(
        QueueUrl=queue(account, name), MaxNumberOfMessages=10, VisibilityTimeout=0
    )
    return [message["Body"] for message in found.get("Messages", [])]


def refused(account: Account, bucket: str, installation: str = "letters") -> Record:
    record = Record("aws", "123456789012", "s")
    record.lines["components"] = [b'{"externalId":"a b/c","type":{"name":"aws.ec2"},"data":{"Name":"x"}}']
    letters = DeadLetters(account.client("s3"), bucket, installation)
    letters.keep_refused(record, Rejected("https://x answered 400: not nice"))
    return record


def test_nothing_was_set_aside(installer: Installer, installed: str) -> None:
    run = installer.run("dead-letters.sh", "list")

    assert (run.status, run.output) == (
        0,
        "Nothing was set aside in the installation of configuration id letters.\n",
    )


def test_a_refused_element_is_listed_shown_and_goes_on_the_stream_again(
    installer: Installer, account: Account, installed: str, invoked: list[str]
) -> None:
    record = refused(account, installed)

    key = installer.run("dead-letters.sh", "list", "letters").output.split("\t")[0]
    shown = installer.run("dead-letters.sh", "show", key)
    run = installer.run("dead-letters.sh", "replay", key)

    assert key.startswith("dead-letters/letters/refused/a_b_c-")
    assert json.loads(shown.output)["reason"] == "https://x answered 400: not nice"
    assert json.loads(shown.output)["components"][0]["externalId"] == "a b/c"
    assert run.status == 0, run.output
    [(partition, data)] = on_stream(account)
    assert partition == "aws/letters"
    assert Record.decode(data) == Record("aws", "123456789012", lines=record.lines)
    assert invoked[-1] == "stackstate-topo-cron-letters"
    assert "Nothing was set aside" in installer.run("dead-letters.sh", "list").output


def test_many_are_replayed_together(installer: Installer, account: Account, installed: str) -> None:
    before = len(on_stream(account))
    letters = DeadLetters(account.client("s3"), installed, "letters")
    for number in range(3):
        letters.keep_unreadable(f"4968{number}", b"\x00record", RecordError("record of format 2"))

    shown = installer.run("dead-letters.sh", "show", "dead-letters/letters/unreadable/49680")
    run = installer.run("dead-letters.sh", "replay", "dead-letters/letters/unreadable/")

    assert "record of format 2\n7 bytes, which begin with:\nrecord\n" in shown.output
    assert run.status == 0, run.output
    assert [data for _, data in on_stream(account)[before:]] == [b"\x00record"] * 3
    assert "Nothing was set aside" in installer.run("dead-letters.sh", "list").output


def test_records_that_grew_too_old_are_replayed_by_a_snapshot(
    installer: Installer, account: Account, installed: str, invoked: list[str]
) -> None:
    before, runs = len(on_stream(account)), len(invoked)
    resource = {"StackName": "stackstate-topo-letters", "LogicalResourceId": "TopoPublisherRecords"}
    found = account.client("cloudformation").describe_stack_resource(**resource)["StackResourceDetail"]
    key = f"aws/lambda/{found['PhysicalResourceId']}/shardId-0/2026/01/01/x"
    body = {"payload": json.dumps({"Records": [{"kinesis": {"data": base64.b64encode(b"x").decode()}}]})}
    account.client("s3").put_object(Bucket=installed, Key=key, Body=json.dumps(body).encode())
    account.client("s3").put_object(Bucket=installed, Key="aws/lambda/of-another-function/x", Body=b"")

    listed = installer.run("dead-letters.sh", "list")
    shown = installer.run("dead-letters.sh", "show", key)
    run = installer.run("dead-letters.sh", "replay", key)

    assert [line.split("\t")[0] for line in listed.output.splitlines()] == [key]
    assert json.loads(shown.output) == body
    assert run.status == 0, run.output
    assert len(on_stream(account)) == before
    assert invoked[runs:] == ["stackstate-topo-cron-letters"]


def test_of_a_shared_bucket_only_what_is_the_installations_own_is_listed_and_replayed(
    installer: Installer, account: Account, installed: str
) -> None:
    before = len(on_stream(account))
    for identity in ("letters", "others"):
        body = {"reason": "no", "record": base64.b64encode(f"of {identity}".encode()).decode()}
        account.client("s3").put_object(
            Bucket=installed, Key=f"dead-letters/{identity}/refused/x.json", Body=json.dumps(body, indent=2).encode()
        )

    listed = installer.run("dead-letters.sh", "list")
    status = installer.run("status.sh")
    foreign = installer.run("dead-letters.sh", "replay", "dead-letters/others/refused/x.json")
    run = installer.run("dead-letters.sh", "replay", "dead-letters/")

    assert [line.split("\t")[0] for line in listed.output.splitlines()] == ["dead-letters/letters/refused/x.json"]
    assert "Set aside: 1." in status.output
    assert (foreign.status, "it is not of configuration id letters" in foreign.output) == (1, True), foreign.output
    assert run.status == 0, run.output
    assert [data for _, data in on_stream(account)[before:]] == [b"of letters"]
    kept = account.client("s3").list_objects_v2(Bucket=installed, Prefix="dead-letters/")["Contents"]
    assert [one["Key"] for one in kept] == ["dead-letters/others/refused/x.json"]


def test_change_events_go_back_to_their_queue(installer: Installer, account: Account, installed: str) -> None:
    dead = "stackstate-topo-cwevents-dead-letters-letters"
    for number in range(12):
        account.client("sqs").send_message(QueueUrl=queue(account, dead), MessageBody=f'{{"number": {number}}}')

    listed = installer.run("dead-letters.sh", "list")
    shown = installer.run("dead-letters.sh", "show", "change-events")
    run = installer.run("dead-letters.sh", "replay", "change-events")

    assert listed.output == "change-events\tabout 12 events\n"
    assert '{"number": ' in shown.output
    assert run.status == 0, run.output
    assert messages(account, dead) == []
    assert len(messages(account, "stackstate-topo-cwevents-letters")) == 10


def test_what_is_not_there_is_told(installer: Installer, installed: str) -> None:
    missing = installer.run("dead-letters.sh", "show", "dead-letters/refused/x.json")
    nobody = installer.run("dead-letters.sh", "list", "nobody")
    nothing = installer.run("dead-letters.sh", "replay", "dead-letters/refused/")

    assert (missing.status, "there is no dead-letters/refused/x.json" in missing.output) == (1, True), missing.output
    assert (nobody.status, "no installation of configuration id nobody" in nobody.output) == (1, True)
    assert (nothing.status, "nothing under" in nothing.output) == (1, True)


def test_a_minimal_installation_takes_a_snapshot_and_has_no_events(
    installer: Installer, account: Account, invoked: list[str]
) -> None:
    assert installer.install("small", "--topo-cron-only", "--name-suffix=-small").status == 0
    bucket = state_bucket(account, "small")
    refused(account, bucket, "small")
    key = installer.run("dead-letters.sh", "list", "small").output.split("\t")[0]
    runs = len(invoked)

    run = installer.run("dead-letters.sh", "replay", key, "small")
    events = installer.run("dead-letters.sh", "replay", "change-events", "small")

    assert run.status == 0, run.output
    assert invoked[runs:] == ["stackstate-topo-cron-small"]
    assert (events.status, "has no change events" in events.output) == (1, True)
