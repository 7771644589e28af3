"""The three handlers, each as Lambda calls it: with its environment, an event and a context, in moto's account."""

import base64
import importlib
import json
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest

from local.receiver import Receiver, running_receiver
from tests.account import REGION, api_call
from topology.collect import ScopeRead, scopes
from topology.elements import Component
from topology.errors import DeliveryError, SettingError
from topology.later import DELAYS, LAST_LOOK
from topology.packer import Packer
from topology.records import Record
from topology.snapshot import marked

STREAM = "stackstate-topo-kinesis"
BUCKET = "dead-letter-bucket"


@dataclass
class Context:
    function_name: str
    aws_request_id: str = "run-1"
    memory_limit_in_mb: int = 512
    milliseconds: int = 900_000

    @property
    def invoked_function_arn(self) -> str:
        return f"arn:aws:lambda:{REGION}:123456789012:function:{self.function_name}"

    def get_remaining_time_in_millis(self) -> int:
        return self.milliseconds


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver(keys=("key",)) as running:
        yield running


@pytest.fixture
def stream(aws: boto3.Session) -> Any:
    kinesis = aws.client("kinesis")
    kinesis.create_stream(StreamName=STREAM, ShardCount=1)
    aws.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    return kinesis


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "StackState/Topology")
    # powertools keeps one log handler per service name, and with it the output of the test that made it.
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", f"test-{uuid.uuid4()}")
    monkeypatch.setenv("STACKSTATE_CONFIGURATION_ID", "1000")
    return monkeypatch


def start(function: str) -> Any:
    """A handler's module as a new process would have it."""
    sys.modules.pop(f"{function}.handler", None)
    return importlib.import_module(f"{function}.handler")


def on_stream(kinesis: Any) -> list[bytes]:
    shard = kinesis.list_shards(StreamName=STREAM)["Shards"][0]["ShardId"]
    iterator = kinesis.get_shard_iterator(StreamName=STREAM, ShardId=shard, ShardIteratorType="TRIM_HORIZON")
    return [record["Data"] for record in kinesis.get_records(ShardIterator=iterator["ShardIterator"])["Records"]]


def told(kinesis: Any) -> list[Record]:
    """The deltas on the stream, without marks that say nothing to the receiver."""
    return [record for record in map(Record.decode, on_stream(kinesis)) if not record.blank]


def batch(records: list[bytes]) -> dict[str, Any]:
    return {
        "Records": [
            {
                "kinesis": {
                    "sequenceNumber": str(number),
                    "data": base64.b64encode(record).decode(),
                    "approximateArrivalTimestamp": time.time(),
                }
            }
            for number, record in enumerate(records, 1)
        ]
    }


def messages(*bodies: Any, count: int = 1) -> dict[str, Any]:
    return {
        "Records": [
            {"messageId": f"m-{number}", "body": body, "attributes": {"ApproximateReceiveCount": str(count)}}
            for number, body in enumerate(json.dumps(body) if isinstance(body, dict) else body for body in bodies)
        ]
    }


def queue(aws: boto3.Session) -> str:
    url: str = aws.client("sqs").create_queue(QueueName="orders")["QueueUrl"]
    return url


def test_a_snapshot_goes_through_the_stream_to_the_receiver(
    aws: boto3.Session, stream: Any, environment: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    queue(aws)
    environment.setenv("TOPOLOGY_STREAM", STREAM)
    summary = start("topo_cron").lambda_handler({}, Context("stackstate-topo-cron"))

    assert summary["closed"]
    environment.delenv("TOPOLOGY_STREAM")
    environment.setenv("STACKSTATE_BASE_URL", receiver.base_url)
    secret = aws.client("secretsmanager").create_secret(Name="key", SecretString="key\n")
    environment.setenv("STACKSTATE_API_KEY_SECRET", secret["ARN"])
    answer = start("topo_publisher").lambda_handler(batch(on_stream(stream)), Context("stackstate-topo-publisher"))

    assert answer == {"batchItemFailures": []}
    [instance] = receiver.topologies.instances.values()
    assert (instance.type, instance.url, instance.snapshots) == ("aws", "123456789012", 1)
    assert "arn:aws:sqs:eu-west-1:123456789012:orders" in instance.components


def test_without_a_stream_the_snapshot_goes_straight_to_the_receiver(
    aws: boto3.Session, environment: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    queue(aws)
    environment.setenv("STACKSTATE_BASE_URL", receiver.base_url)
    environment.setenv("STACKSTATE_API_KEY", "key")

    start("topo_cron").lambda_handler({}, Context("stackstate-topo-cron"))

    [instance] = receiver.topologies.instances.values()
    assert instance.snapshots == 1
    assert not receiver.refused()


def test_an_account_in_which_nothing_is_seen_does_not_empty_the_picture(
    aws: boto3.Session, environment: pytest.MonkeyPatch, stream: Any
) -> None:
    aws.client("s3").delete_bucket(Bucket=BUCKET)
    environment.setenv("TOPOLOGY_STREAM", STREAM)
    stream.create_stream(StreamName="unrelated", ShardCount=1)
    environment.setattr(
        "topology.gather.snapshot", lambda accounts, _until: (ScopeRead(one, 0) for one in scopes(accounts))
    )

    ledger = start("topo_cron").lambda_handler({}, Context("stackstate-topo-cron"))

    assert ledger["not_closed_because"] == ["no component was found at all"]

    assert not any(Record.decode(data).stop for data in on_stream(stream))


def test_events_become_one_delta(aws: boto3.Session, stream: Any, environment: pytest.MonkeyPatch) -> None:
    url = queue(aws)
    gone = f"https://sqs.{REGION}.amazonaws.com/123456789012/gone"
    environment.setenv("TOPOLOGY_STREAM", STREAM)

    answer = start("topo_cwevents").lambda_handler(
        messages(
            api_call("sqs", "TagQueue", {"queueUrl": url}),
            api_call("sqs", "TagQueue", {"queueUrl": url}),
            api_call("sqs", "DeleteQueue", {"queueUrl": gone}),
        ),
        Context("stackstate-topo-cwevents"),
    )

    assert answer == {"batchItemFailures": []}
    [record] = told(stream)
    assert (record.start, record.stop, record.snapshot) == (False, False, "")
    assert [json.loads(line)["externalId"] for line in record.lines.components] == [
        "arn:aws:sqs:eu-west-1:123456789012:orders"
    ]
    assert record.lines.deletes == [b'"arn:aws:sqs:eu-west-1:123456789012:gone"']


def test_a_message_that_is_no_event_fails_alone(
    aws: boto3.Session, stream: Any, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("TOPOLOGY_STREAM", STREAM)
    event = api_call("sqs", "TagQueue", {"queueUrl": queue(aws)})

    answer = start("topo_cwevents").lambda_handler(
        messages("not json", event, "[]"), Context("stackstate-topo-cwevents")
    )

    assert answer == {"batchItemFailures": [{"itemIdentifier": "m-0"}, {"itemIdentifier": "m-2"}]}
    assert len(told(stream)) == 1


def test_what_was_just_created_comes_again_until_it_counts_as_gone(
    aws: boto3.Session, stream: Any, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("TOPOLOGY_STREAM", STREAM)
    sqs = aws.client("sqs")
    changes = sqs.create_queue(QueueName="changes")["QueueUrl"]
    environment.setenv("TOPOLOGY_CHANGE_QUEUE", changes)
    environment.setattr("topology.later.DELAYS", (0,) * len(DELAYS))
    url = f"https://sqs.{REGION}.amazonaws.com/123456789012/new"
    handler = start("topo_cwevents").lambda_handler

    body: Any = api_call("sqs", "CreateQueue", {"queueName": "new"}, {"queueUrl": url})
    for _ in range(LAST_LOOK):
        assert handler(messages(body), Context("stackstate-topo-cwevents")) == {"batchItemFailures": []}
        assert not told(stream)
        [again] = sqs.receive_message(QueueUrl=changes)["Messages"]
        sqs.delete_message(QueueUrl=changes, ReceiptHandle=again["ReceiptHandle"])
        body = json.loads(again["Body"])

    handler(messages(body), Context("stackstate-topo-cwevents"))
    [record] = told(stream)
    assert record.lines.deletes == [b'"arn:aws:sqs:eu-west-1:123456789012:new"']
    assert "Messages" not in sqs.receive_message(QueueUrl=changes)


def test_without_a_queue_to_delay_it_in_the_message_of_what_was_just_created_comes_again(
    aws: boto3.Session, stream: Any, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("TOPOLOGY_STREAM", STREAM)
    event = api_call("sqs", "CreateQueue", {"queueName": "new"}, {"queueUrl": f"https://sqs.{REGION}/123456789012/new"})

    answer = start("topo_cwevents").lambda_handler(messages(event), Context("stackstate-topo-cwevents"))

    assert answer == {"batchItemFailures": [{"itemIdentifier": "m-0"}]}
    assert not told(stream)


def publisher(environment: pytest.MonkeyPatch, receiver: Receiver) -> Any:
    environment.setenv("STACKSTATE_BASE_URL", receiver.base_url)
    environment.setenv("STACKSTATE_API_KEY", "key")
    environment.setenv("TOPOLOGY_DEAD_LETTER_BUCKET", BUCKET)
    return start("topo_publisher").lambda_handler


def delta(*ids: str, url: str = "123456789012") -> bytes:
    record = Record("aws", url)
    record.lines["components"] = [
        json.dumps({"externalId": id_, "type": {"name": "aws.ec2"}, "data": {}}).encode() for id_ in ids
    ]
    return record.encode()


def test_the_stream_goes_on_from_the_first_record_that_failed(
    stream: Any, environment: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    handler = publisher(environment, receiver)
    receiver.answers([None, (403, {}, "invalid key")])

    # Two instances never share a POST, so the second record is the one that fails.
    answer = handler(batch([delta("i-1"), delta("i-2", url="2")]), Context("stackstate-topo-publisher"))

    assert answer == {"batchItemFailures": [{"itemIdentifier": "2"}]}


def test_what_the_receiver_refuses_is_kept_with_its_answer_and_the_rest_delivered(
    aws: boto3.Session, stream: Any, environment: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    handler = publisher(environment, receiver)

    answer = handler(batch([delta("i-1", ""), b"junk", delta("i-2")]), Context("stackstate-topo-publisher"))

    assert answer == {"batchItemFailures": []}
    [instance] = receiver.topologies.instances.values()
    assert set(instance.components) == {"i-1", "i-2"}
    bucket = aws.resource("s3").Bucket(BUCKET)
    kept = {entry.key: entry.get()["Body"].read() for entry in bucket.objects.all()}
    [refused] = [json.loads(body) for key, body in kept.items() if key.startswith("dead-letters/1000/refused/")]
    assert "400" in refused["reason"]
    assert refused["components"][0]["externalId"] == ""
    assert Record.decode(base64.b64decode(refused["record"])).lines.components
    assert kept["dead-letters/1000/unreadable/2"] == b"junk"


def test_a_snapshot_goes_on_in_another_process_by_what_the_bucket_says(
    stream: Any, environment: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    environment.setenv("TOPOLOGY_STATE_BUCKET", BUCKET)
    environment.setenv("TOPOLOGY_STATE_PREFIX", "state/1000/")
    packer = Packer("aws", "123456789012", 0)
    packer.add(Component("i-1", "aws.ec2", {}))
    start, slice_, stop = marked(packer.records(), Record("aws", "123456789012", "s"), closed=True)

    for records in ([start, slice_], [slice_, stop], [stop]):
        handler = publisher(environment, receiver)
        assert handler(batch(records), Context("stackstate-topo-publisher")) == {"batchItemFailures": []}

    [instance] = receiver.topologies.instances.values()
    assert (instance.snapshots, set(instance.components)) == (1, {"i-1"})
    assert not receiver.refused()


def test_a_key_that_a_person_changes_is_used_by_a_process_that_lives(
    aws: boto3.Session, stream: Any, environment: pytest.MonkeyPatch, receiver: Receiver, capsys: Any
) -> None:
    secrets = aws.client("secretsmanager")
    environment.setenv("STACKSTATE_BASE_URL", receiver.base_url)
    environment.setenv("STACKSTATE_API_KEY_SECRET", secrets.create_secret(Name="key", SecretString="old-s3cr3t")["ARN"])
    handler = start("topo_publisher").lambda_handler

    refused = handler(batch([delta("i-1")]), Context("stackstate-topo-publisher"))
    secrets.put_secret_value(SecretId="key", SecretString="key")
    taken = handler(batch([delta("i-1")]), Context("stackstate-topo-publisher"))

    assert refused == {"batchItemFailures": [{"itemIdentifier": "1"}]}
    assert taken == {"batchItemFailures": []}
    said = capsys.readouterr()
    figures = [json.loads(line) for line in said.out.splitlines() if "_aws" in line]
    assert [figure["ReceiverMisconfigured"] for figure in figures] == [[1.0], [0.0]]
    assert "check the API key" in said.out
    assert "s3cr3t" not in said.out + said.err


@pytest.mark.parametrize("secret", ["two words", "line\nbreak", "schlüssel", " "])
def test_a_key_that_cannot_be_one_is_told_without_telling_it(
    aws: boto3.Session, environment: pytest.MonkeyPatch, receiver: Receiver, capsys: Any, secret: str
) -> None:
    made = aws.client("secretsmanager").create_secret(Name="key", SecretString=secret)
    environment.setenv("STACKSTATE_BASE_URL", receiver.base_url)
    environment.setenv("STACKSTATE_API_KEY_SECRET", made["ARN"])

    answer = start("topo_publisher").lambda_handler(batch([delta("i-1")]), Context("stackstate-topo-publisher"))

    assert answer == {"batchItemFailures": [{"itemIdentifier": "1"}]}
    said = capsys.readouterr().out
    assert "the API key is malformed" in said
    assert not secret.strip() or secret not in said


def test_every_run_without_verification_warns(
    stream: Any, environment: pytest.MonkeyPatch, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    environment.setenv("STACKSTATE_SKIP_TLS_VERIFY", "true")
    handler = publisher(environment, receiver)

    for _ in range(2):
        handler(batch([delta("i-1")]), Context("stackstate-topo-publisher"))
    assert caplog.text.count("certificate is not verified") == 2


def test_a_minimal_installation_tells_of_a_wrong_key_and_fails(
    aws: boto3.Session, environment: pytest.MonkeyPatch, receiver: Receiver, capsys: Any
) -> None:
    queue(aws)
    environment.setenv("STACKSTATE_BASE_URL", receiver.base_url)
    environment.setenv("STACKSTATE_API_KEY", "wrong")

    with pytest.raises(DeliveryError, match="check the API key"):
        start("topo_cron").lambda_handler({}, Context("stackstate-topo-cron"))
    assert '"ReceiverMisconfigured":[1.0]' in capsys.readouterr().out


@pytest.mark.parametrize("function", ["topo_cron", "topo_publisher"])
def test_whoever_sends_can_be_asked_whether_a_message_would_arrive(
    function: str, aws: boto3.Session, stream: Any, environment: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    environment.setenv("STACKSTATE_BASE_URL", receiver.base_url)
    environment.setenv("STACKSTATE_API_KEY", "key")
    handler = start(function).lambda_handler

    handler({"step": "probe"}, Context(f"stackstate-{function}"))
    receiver.answers([(403, {}, "invalid key")])
    with pytest.raises(DeliveryError, match="check the API key"):
        handler({"step": "probe"}, Context(f"stackstate-{function}"))

    sent, refused = receiver.log
    assert (sent["status"], refused["status"]) == (200, 403)
    assert receiver.topologies.revision == 0


@pytest.mark.parametrize("function", ["topo_cron", "topo_cwevents", "topo_publisher"])
def test_a_function_without_its_settings_does_not_start(function: str, environment: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingError, match="STACKSTATE_BASE_URL"):
        start(function)
