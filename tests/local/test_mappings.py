import base64
import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local.functions import Answer
from local.mappings import Item, QueuePoller, ShardDelivery, StreamPoller, failed_items, fitting, payload

OK = Answer(200, b"null")
FAILED = Answer(200, b'{"errorType": "KeyError"}', "Unhandled")
THROTTLED = Answer(429, b"{}", "TooManyRequestsException")
PARTIAL: dict[str, Any] = {"FunctionResponseTypes": ["ReportBatchItemFailures"]}
QUEUE = "arn:aws:sqs:eu-west-1:123456789012:work"
FUNCTION = "arn:aws:lambda:eu-west-1:123456789012:function:worker"


def reporting(*identifiers: Any) -> Answer:
    return Answer(200, json.dumps({"batchItemFailures": [{"itemIdentifier": name} for name in identifiers]}).encode())


def record(number: int, arrived: float = 1000.0) -> Item:
    return {"kinesis": {"sequenceNumber": str(number), "approximateArrivalTimestamp": arrived, "data": "eA=="}}


def numbers(records: list[Item]) -> list[int]:
    return [int(record["kinesis"]["sequenceNumber"]) for record in records]


@pytest.mark.parametrize(
    "answer",
    [
        OK,
        Answer(200, b""),
        Answer(200, b"{}"),
        reporting(),
        Answer(200, b'{"batchItemFailures": null}'),
        Answer(200, b'""'),
    ],
)
def test_an_empty_report_is_success(answer: Answer) -> None:
    assert failed_items(answer, PARTIAL, ["a", "b"]) == set()


@pytest.mark.parametrize(
    "answer",
    [
        FAILED,
        THROTTLED,
        reporting(""),
        reporting(None),
        reporting("c"),
        reporting("a", "c"),
        Answer(200, b'{"batchItemFailures": [{"wrong": "a"}]}'),
        Answer(200, b'"text"'),
    ],
)
def test_a_failure_or_a_bad_report_fails_the_whole_batch(answer: Answer) -> None:
    assert failed_items(answer, PARTIAL, ["a", "b"]) == {"a", "b"}


def test_a_report_counts_only_where_the_mapping_asks_for_it() -> None:
    assert failed_items(reporting("a"), {}, ["a", "b"]) == set()
    assert failed_items(reporting("a"), PARTIAL, ["a", "b"]) == {"a"}


def test_a_batch_ends_at_its_count_or_at_lambdas_payload_limit() -> None:
    small, large = {"data": "x"}, {"data": "x" * 2_500_000}

    assert fitting([small] * 5, 3) == 3
    assert fitting([small] * 2, 3) == 2
    assert fitting([large] * 5, 5) == 2
    assert fitting([{"data": "x" * 7_000_000}], 5) == 1
    assert len(payload([large] * 2)) < 6 * 1024 * 1024


class Shard:
    """A delivery whose function answers as a script says, then with success."""

    def __init__(self, *script: Answer, now: float = 1000.0, **mapping: Any) -> None:
        self.script = list(script)
        self.batches: list[list[int]] = []
        self.discarded: list[tuple[list[int], str, int]] = []
        self.checkpoints: list[int] = []
        self.pauses: list[float] = []
        self.now = now
        self.delivery = ShardDelivery(
            mapping=lambda: {"FunctionArn": FUNCTION} | mapping,
            invoke=self.invoke,
            discard=lambda records, why, attempts, _: self.discarded.append((numbers(records), why, attempts)),
            checkpoint=lambda number: self.checkpoints.append(int(number)),
            wait=self.wait,
            clock=lambda: self.now,
        )

    def invoke(self, _: str, event: bytes) -> Answer:
        self.batches.append(numbers(json.loads(event)["Records"]))
        return self.script.pop(0) if self.script else OK

    def wait(self, seconds: float) -> bool:
        self.pauses.append(seconds)
        self.now += seconds
        return False

    def process(self, *sequence: int) -> "Shard":
        self.delivery.process([record(number) for number in sequence])
        return self


def test_the_lowest_reported_record_is_the_checkpoint() -> None:
    shard = Shard(reporting("4", "3"), **PARTIAL).process(1, 2, 3, 4, 5)

    assert shard.batches == [[1, 2, 3, 4, 5], [3, 4, 5]]
    assert shard.checkpoints == [2, 5]


def test_a_failing_batch_is_halved_until_the_bad_record_is_alone_and_the_quota_is_its_own() -> None:
    script = [FAILED, OK, FAILED, FAILED, FAILED, FAILED]  # 1-4, 1-2, 3-4, then 3 three times

    shard = Shard(*script, BisectBatchOnFunctionError=True, MaximumRetryAttempts=2).process(1, 2, 3, 4)

    assert shard.batches == [[1, 2, 3, 4], [1, 2], [3, 4], [3], [3], [3], [4]]
    assert shard.discarded == [([3], "RetryAttemptsExhausted", 3)]
    assert shard.checkpoints == [2, 3, 4]


def test_without_bisecting_the_whole_batch_is_given_up_after_its_retries() -> None:
    shard = Shard(FAILED, FAILED, MaximumRetryAttempts=1).process(1, 2, 3)

    assert shard.batches == [[1, 2, 3]] * 2
    assert shard.discarded == [([1, 2, 3], "RetryAttemptsExhausted", 2)]
    assert shard.checkpoints == [3]


def test_without_a_limit_a_batch_is_tried_again_with_growing_pauses() -> None:
    shard = Shard(*[FAILED] * 20, MaximumRetryAttempts=-1).process(1)

    assert len(shard.batches) == 21
    assert shard.pauses[:4] == [1, 2, 4, 8]
    assert max(shard.pauses) == 30
    assert not shard.discarded


def test_throttling_uses_up_no_attempt() -> None:
    shard = Shard(*[THROTTLED] * 5, MaximumRetryAttempts=0).process(1, 2)

    assert len(shard.batches) == 6
    assert not shard.discarded


def test_records_above_the_maximum_age_are_given_up_and_the_others_are_delivered() -> None:
    shard = Shard(now=1060.0, MaximumRecordAgeInSeconds=60)

    shard.delivery.process([record(1, 990), record(2, 999), record(3, 1010)])

    assert shard.discarded == [([1, 2], "RecordAgeExceeded", 0)]
    assert shard.batches == [[3]]


def test_a_throttled_batch_is_given_up_when_it_is_too_old() -> None:
    shard = Shard(*[THROTTLED] * 100, MaximumRecordAgeInSeconds=60).process(1, 2)

    assert shard.discarded == [([1, 2], "RecordAgeExceeded", 0)]


@settings(max_examples=200, deadline=None)
@given(
    count=st.integers(1, 30),
    outcomes=st.lists(st.sampled_from(["ok", "failed", "throttled", "report", "bad report"]), max_size=60),
    report_at=st.lists(st.integers(0, 29), min_size=1, max_size=5),
    bisect=st.booleans(),
    retries=st.sampled_from([None, -1, 0, 1, 3]),
    age=st.sampled_from([None, -1, 60]),
)
def test_every_record_is_delivered_in_order_or_ends_at_the_failure_destination(
    count: int, outcomes: list[str], report_at: list[int], bisect: bool, retries: int | None, age: int | None
) -> None:
    shard = Shard(
        BisectBatchOnFunctionError=bisect, MaximumRetryAttempts=retries, MaximumRecordAgeInSeconds=age, **PARTIAL
    )
    delivered: list[int] = []

    def invoke(_: str, event: bytes) -> Answer:
        batch = numbers(json.loads(event)["Records"])
        outcome = outcomes.pop(0) if outcomes else "ok"
        good = len(batch) if outcome == "ok" else min(report_at[0], len(batch) - 1) if outcome == "report" else 0
        delivered.extend(batch[:good])
        report = reporting(*map(str, batch[good:]))
        return {"failed": FAILED, "throttled": THROTTLED, "bad report": reporting("x")}.get(outcome, report)

    shard.delivery.invoke = invoke
    shard.process(*range(1, count + 1))

    discarded = [number for batch, _, _ in shard.discarded for number in batch]
    assert sorted(delivered + discarded) == list(range(1, count + 1))
    assert delivered == sorted(delivered)
    assert discarded == sorted(discarded)
    assert shard.checkpoints == sorted(shard.checkpoints)
    assert shard.checkpoints[-1] == count


def keeping(events: list[Any]) -> Callable[[str, bytes], Answer]:
    def invoke(_: str, event: bytes) -> Answer:
        events.append(json.loads(event))
        return OK

    return invoke


@pytest.fixture
def run() -> Any:
    stop = threading.Event()
    threads: list[threading.Thread] = []

    def start(poller: QueuePoller | StreamPoller) -> None:
        threads.append(threading.Thread(target=poller.run, args=(stop,)))
        threads[-1].start()

    yield start
    stop.set()
    for thread in threads:
        thread.join(timeout=10)


def stream(account: Any, shards: int = 1) -> str:
    kinesis = account.client("kinesis")
    kinesis.create_stream(StreamName="records", ShardCount=shards)
    return str(kinesis.describe_stream(StreamName="records")["StreamDescription"]["StreamARN"])


def test_a_stream_is_read_from_its_start_in_batches_with_the_shape_of_aws(
    account: Any, run: Any, eventually: Any
) -> None:
    mapping = {"UUID": "u", "EventSourceArn": stream(account), "FunctionArn": FUNCTION, "BatchSize": 2}
    for text in "abc":
        account.client("kinesis").put_record(StreamName="records", PartitionKey="key", Data=text.encode())
    events: list[Any] = []

    checkpoints: dict[str, str] = {}
    run(StreamPoller(mapping, account, keeping(events), checkpoints))
    eventually(lambda: len(events) == 2)

    records = [record for event in events for record in event["Records"]]
    assert [base64.b64decode(record["kinesis"]["data"]) for record in records] == [b"a", b"b", b"c"]
    assert records[0]["eventSource"] == "aws:kinesis"
    assert records[0]["eventID"] == f"shardId-000000000000:{records[0]['kinesis']['sequenceNumber']}"
    assert records[0]["eventSourceARN"] == mapping["EventSourceArn"]
    eventually(lambda: checkpoints == {"shardId-000000000000": records[2]["kinesis"]["sequenceNumber"]})


def test_a_batching_window_collects_records(account: Any, run: Any, eventually: Any) -> None:
    mapping = {"UUID": "u", "EventSourceArn": stream(account), "FunctionArn": FUNCTION, "BatchSize": 100}
    events: list[Any] = []
    run(
        StreamPoller(
            mapping | {"MaximumBatchingWindowInSeconds": 3},
            account,
            keeping(events),
            {},
        )
    )
    kinesis = account.client("kinesis")

    for text in "ab":
        kinesis.put_record(StreamName="records", PartitionKey="key", Data=text.encode())
        threading.Event().wait(1.2)
    eventually(lambda: events)

    assert len(events[0]["Records"]) == 2


def test_a_poller_goes_on_at_its_checkpoint(account: Any, run: Any, eventually: Any) -> None:
    mapping = {"UUID": "u", "EventSourceArn": stream(account), "FunctionArn": FUNCTION}
    kinesis = account.client("kinesis")
    sequence = [kinesis.put_record(StreamName="records", PartitionKey="k", Data=b"x")["SequenceNumber"] for _ in "ab"]
    events: list[Any] = []

    checkpoints = {"shardId-000000000000": sequence[0]}
    run(StreamPoller(mapping, account, keeping(events), checkpoints))
    eventually(lambda: events)

    assert [r["kinesis"]["sequenceNumber"] for r in events[0]["Records"]] == [sequence[1]]


def test_the_shards_of_a_split_come_after_their_parent(account: Any, run: Any, eventually: Any) -> None:
    mapping = {"UUID": "u", "EventSourceArn": stream(account), "FunctionArn": FUNCTION}
    kinesis = account.client("kinesis")
    kinesis.put_record(StreamName="records", PartitionKey="key", Data=b"before")
    kinesis.split_shard(StreamName="records", ShardToSplit="shardId-000000000000", NewStartingHashKey=str(2**127))
    kinesis.put_record(StreamName="records", PartitionKey="key", Data=b"after")
    seen: list[bytes] = []

    def invoke(_: str, event: bytes) -> Answer:
        seen.extend(base64.b64decode(record["kinesis"]["data"]) for record in json.loads(event)["Records"])
        return OK

    run(StreamPoller(mapping, account, invoke, {}))
    eventually(lambda: len(seen) == 2)

    assert seen == [b"before", b"after"]


@pytest.mark.parametrize("kind", ["sqs", "s3", "sns"])
def test_what_is_given_up_goes_to_the_failure_destination(account: Any, run: Any, eventually: Any, kind: str) -> None:
    sqs, s3, sns = account.client("sqs"), account.client("s3"), account.client("sns")
    url = sqs.create_queue(QueueName="failures")["QueueUrl"]
    queue = "arn:aws:sqs:eu-west-1:123456789012:failures"
    s3.create_bucket(Bucket="failures", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    topic = sns.create_topic(Name="failures")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue, Attributes={"RawMessageDelivery": "true"})
    mapping = {
        "UUID": "the-uuid",
        "EventSourceArn": stream(account),
        "FunctionArn": FUNCTION,
        "MaximumRetryAttempts": 0,
        "DestinationConfig": {
            "OnFailure": {"Destination": {"sqs": queue, "s3": "arn:aws:s3:::failures", "sns": topic}[kind]}
        },
    }
    account.client("kinesis").put_record(StreamName="records", PartitionKey="key", Data=b"precious")

    run(StreamPoller(mapping, account, lambda *_: FAILED, {}))

    if kind == "s3":
        [found] = eventually(lambda: s3.list_objects_v2(Bucket="failures").get("Contents"))
        assert found["Key"].startswith(
            f"aws/lambda/the-uuid/shardId-000000000000/{datetime.now(UTC):%Y/%m/%d/%Y-%m-%dT}"
        )
        body = json.loads(s3.get_object(Bucket="failures", Key=found["Key"])["Body"].read())
        [kept] = json.loads(body["payload"])["Records"]
        assert base64.b64decode(kept["kinesis"]["data"]) == b"precious"
    else:
        [message] = eventually(lambda: sqs.receive_message(QueueUrl=url).get("Messages"))
        body = json.loads(message["Body"])
        assert "payload" not in body
    assert body["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert body["requestContext"]["approximateInvokeCount"] == 1
    assert body["responseContext"] == {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"}
    assert body["KinesisBatchInfo"]["batchSize"] == 1
    assert body["KinesisBatchInfo"]["streamArn"] == mapping["EventSourceArn"]


def queue_poller(account: Any, invoke: Callable[[str, bytes], Answer], **mapping: Any) -> QueuePoller:
    return QueuePoller({"UUID": "u", "EventSourceArn": QUEUE, "FunctionArn": FUNCTION} | mapping, account, invoke)


def test_a_queue_is_handed_over_with_the_shape_of_aws_and_emptied(account: Any, run: Any, eventually: Any) -> None:
    sqs = account.client("sqs")
    url = sqs.create_queue(QueueName="work")["QueueUrl"]
    attributes = {
        "kind": {"DataType": "String", "StringValue": "test"},
        "raw": {"DataType": "Binary", "BinaryValue": b"x"},
    }
    sqs.send_message(QueueUrl=url, MessageBody="hello", MessageAttributes=attributes)
    events: list[Any] = []

    run(queue_poller(account, keeping(events)))
    eventually(lambda: events)

    [message] = events[0]["Records"]
    assert message["body"] == "hello"
    assert message["attributes"]["ApproximateReceiveCount"] == "1"
    assert message["messageAttributes"]["kind"]["stringValue"] == "test"
    assert message["messageAttributes"]["raw"]["binaryValue"] == base64.b64encode(b"x").decode()
    assert message["eventSource"] == "aws:sqs"
    assert message["eventSourceARN"] == QUEUE
    eventually(lambda: left(sqs, url) == (0, 0))


def left(sqs: Any, url: str) -> tuple[int, int]:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return int(found[names[0]]), int(found[names[1]])


def test_only_the_reported_message_comes_back_and_ends_in_the_dead_letter_queue(
    account: Any, run: Any, eventually: Any
) -> None:
    sqs = account.client("sqs")
    dead = sqs.create_queue(QueueName="dead")["QueueUrl"]
    redrive = {"deadLetterTargetArn": "arn:aws:sqs:eu-west-1:123456789012:dead", "maxReceiveCount": 2}
    url = sqs.create_queue(
        QueueName="work", Attributes={"VisibilityTimeout": "1", "RedrivePolicy": json.dumps(redrive)}
    )["QueueUrl"]
    for text in ["good", "bad", "good"]:
        sqs.send_message(QueueUrl=url, MessageBody=text)
    seen: list[str] = []

    def invoke(_: str, event: bytes) -> Answer:
        records = json.loads(event)["Records"]
        seen.extend(record["body"] for record in records)
        return reporting(*[record["messageId"] for record in records if record["body"] == "bad"])

    run(queue_poller(account, invoke, **PARTIAL))
    [message] = eventually(lambda: sqs.receive_message(QueueUrl=dead).get("Messages"))

    assert message["Body"] == "bad"
    assert sorted(seen) == ["bad", "bad", "good", "good"]
    assert left(sqs, url) == (0, 0)


@pytest.mark.parametrize("answer", [FAILED, reporting("unknown"), THROTTLED])
def test_a_batch_that_fails_comes_back_whole(account: Any, run: Any, eventually: Any, answer: Answer) -> None:
    sqs = account.client("sqs")
    url = sqs.create_queue(QueueName="work", Attributes={"VisibilityTimeout": "1"})["QueueUrl"]
    for text in "ab":
        sqs.send_message(QueueUrl=url, MessageBody=text)
    batches: list[list[str]] = []

    def invoke(_: str, event: bytes) -> Answer:
        batches.append(sorted(record["body"] for record in json.loads(event)["Records"]))
        return answer if len(batches) == 1 else OK

    run(queue_poller(account, invoke, **PARTIAL))
    eventually(lambda: left(sqs, url) == (0, 0))

    assert batches[0] == ["a", "b"]
    assert sorted(text for batch in batches[1:] for text in batch) == ["a", "b"]


def test_a_window_collects_messages_up_to_the_batch_size(account: Any, run: Any, eventually: Any) -> None:
    sqs = account.client("sqs")
    url = sqs.create_queue(QueueName="work")["QueueUrl"]
    events: list[Any] = []
    run(
        queue_poller(
            account,
            keeping(events),
            BatchSize=12,
            MaximumBatchingWindowInSeconds=20,
        )
    )

    for number in range(12):
        sqs.send_message(QueueUrl=url, MessageBody=str(number))
    eventually(lambda: events)

    assert [len(event["Records"]) for event in events] == [12]


def test_no_more_batches_run_at_a_time_than_the_mapping_allows(account: Any, run: Any, eventually: Any) -> None:
    sqs = account.client("sqs")
    url = sqs.create_queue(QueueName="work")["QueueUrl"]
    for number in range(6):
        sqs.send_message(QueueUrl=url, MessageBody=str(number))
    lock, running, most = threading.Lock(), [0], [0]

    def invoke(*_: Any) -> Answer:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        threading.Event().wait(0.2)
        with lock:
            running[0] -= 1
        return OK

    run(queue_poller(account, invoke, BatchSize=1, ScalingConfig={"MaximumConcurrency": 2}))
    eventually(lambda: left(sqs, url) == (0, 0))

    assert most[0] == 2
