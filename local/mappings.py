"""Stands in for Lambda's event source mappings: reads queues and streams, and hands batches to functions.

One poller per mapping, on a thread of its own; it acts on `mapping`, an item of ListEventSourceMappings, which may be
replaced while it runs. Left out: filter criteria, tumbling windows and more than one batch per shard at a time.
"""

import base64
import json
import logging
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import takewhile
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.functions import MAX_PAYLOAD_BYTES, Account, Answer

logger = logging.getLogger(__name__)

DEFAULT_QUEUE_CONCURRENCY = 5  # batches of one queue at a time, before Lambda scales further
MAX_BACKOFF_SECONDS = 30.0
POLL_SECONDS = 1.0  # Lambda's own base rate per shard

Invoke = Callable[[str, bytes], Answer]
Item = dict[str, Any]


def failed_items(answer: Answer, mapping: Item, identifiers: list[str]) -> set[str]:
    """Give the identifiers that failed: all where the function failed, or reports something that was not in the batch.

    An empty or missing `batchItemFailures` is success, as is any answer if the mapping takes no partial responses.
    """
    if answer.error:
        return set(identifiers)
    if "ReportBatchItemFailures" not in (mapping.get("FunctionResponseTypes") or []):
        return set()
    try:
        report = json.loads(answer.payload or b"null") or {}
        failed = {item["itemIdentifier"] for item in report.get("batchItemFailures") or []}
    except (ValueError, TypeError, KeyError, AttributeError):
        return set(identifiers)
    known = set(identifiers)
    return failed if failed.issubset(known) else known


def fitting(records: list[Item], most: int) -> int:
    """Give how many of the first records make one batch: at most `most`, at least one, and within Lambda's payload."""
    size = len('{"Records": []}')
    for count, record in enumerate(records[:most]):
        size += len(json.dumps(record)) + 2
        if size > MAX_PAYLOAD_BYTES:
            return max(count, 1)
    return min(len(records), most)


def payload(records: list[Item]) -> bytes:
    """Give the event that a function gets for a batch."""
    return json.dumps({"Records": records}).encode()


def deliver(account: Account, arn: str, body: str, key: str = "", attributes: dict[str, str] | None = None) -> None:
    """Put a record of a failed invocation to where it was wanted: a queue, a topic, or under `key` in a bucket."""
    service, name = arn.split(":")[2], arn.rsplit(":", 1)[-1]
    values = {what: {"DataType": "String", "StringValue": value} for what, value in (attributes or {}).items()}
    if service == "sqs":
        sqs = account.client("sqs")
        url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
        sqs.send_message(QueueUrl=url, MessageBody=body, MessageAttributes=values)
    elif service == "sns":
        account.client("sns").publish(TopicArn=arn, Message=body, MessageAttributes=values)
    elif service == "s3":
        account.client("s3").put_object(Bucket=name, Key=key, Body=body.encode())
    else:
        raise ValueError(f"no destination of this kind here: {arn}")


def camel(name: str) -> str:
    """Give the name of a message attribute's member as events spell it."""
    return name[0].lower() + name[1:]


class QueuePoller:
    """Amazon SQS: batches side by side; what succeeded is deleted, the rest comes back after its visibility timeout."""

    def __init__(self, mapping: Item, account: Account, invoke: Invoke):
        self.mapping = mapping
        self._sqs = account.client("sqs")
        self._region = account.region
        self._invoke = invoke
        self._name = mapping["EventSourceArn"].rsplit(":", 1)[-1]
        self._held: list[Item] = []

    def run(self, stop: threading.Event) -> None:
        """Poll until told to stop."""
        limit = (self.mapping.get("ScalingConfig") or {}).get("MaximumConcurrency") or DEFAULT_QUEUE_CONCURRENCY
        free = threading.Semaphore(limit)
        with ThreadPoolExecutor(limit, thread_name_prefix=self._name) as pool:
            while not stop.is_set():
                if not free.acquire(timeout=POLL_SECONDS):
                    continue
                batch = self.gather(stop)
                if not batch:
                    free.release()
                    continue
                pool.submit(self.process, batch).add_done_callback(lambda _: free.release())

    def gather(self, stop: threading.Event) -> list[Item]:
        """Receive a batch: full, or as much as came within the batching window that the first message opened."""
        most = self.mapping.get("BatchSize") or 10
        window = self.mapping.get("MaximumBatchingWindowInSeconds") or 0
        records, closes = self._held, time.monotonic() + window
        while not stop.is_set():
            empty = not records
            try:
                records += self._receive(min(10, most - len(records)))
            except (ClientError, BotoCoreError) as error:  # the queue may be gone before its mapping is
                logger.debug("%s was not read: %s", self._name, error)
                stop.wait(POLL_SECONDS)
            if empty:
                closes = time.monotonic() + window
            count = fitting(records, most)
            if records and (count < len(records) or count == most or time.monotonic() >= closes):
                self._held = records[count:]
                return records[:count]
        return []

    def process(self, records: list[Item]) -> None:
        """Invoke the function with a batch and delete what it dealt with; a throttled batch comes back as a whole."""
        identifiers = [record["messageId"] for record in records]
        answer = self._invoke(self.mapping["FunctionArn"], payload(records))
        done = set(identifiers) - failed_items(answer, self.mapping, identifiers)
        entries = [
            {"Id": str(number), "ReceiptHandle": record["receiptHandle"]}
            for number, record in enumerate(records)
            if record["messageId"] in done
        ]
        for start in range(0, len(entries), 10):
            try:
                self._sqs.delete_message_batch(QueueUrl=self._url(), Entries=entries[start : start + 10])
            except (ClientError, BotoCoreError) as error:
                logger.warning("messages of %s were processed but not deleted: %s", self._name, error)

    def _url(self) -> str:
        return str(self._sqs.get_queue_url(QueueName=self._name)["QueueUrl"])

    def _receive(self, most: int) -> list[Item]:
        found = self._sqs.receive_message(
            QueueUrl=self._url(),
            MaxNumberOfMessages=most,
            WaitTimeSeconds=1,
            AttributeNames=["All"],
            MessageAttributeNames=["All"],
        )
        return [self._record(message) for message in found.get("Messages", [])]

    def _record(self, message: Item) -> Item:
        attributes = {
            name: {camel(key): _text(part) for key, part in value.items()}
            | {"stringListValues": [], "binaryListValues": []}
            for name, value in message.get("MessageAttributes", {}).items()
        }
        return {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": message.get("Attributes", {}),
            "messageAttributes": attributes,
            "md5OfBody": message["MD5OfBody"],
            "eventSource": "aws:sqs",
            "eventSourceARN": self.mapping["EventSourceArn"],
            "awsRegion": self._region,
        }


def _text(value: Any) -> Any:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


@dataclass
class Segment:
    """Neighbouring records of a shard that are delivered together, and how often that was tried."""

    records: list[Item]
    attempts: int = 0


@dataclass
class ShardDelivery:
    """The order of one shard: every record is delivered, or discarded, before the next ones are tried.

    `discard(records, condition, attempts, answer)` gets what is given up; `checkpoint(sequence number)` is called
    whenever everything up to there is dealt with. `wait` sleeps, and says whether to stop.
    """

    mapping: Callable[[], Item]
    invoke: Invoke
    discard: Callable[[list[Item], str, int, Answer | None], None]
    checkpoint: Callable[[str], None]
    wait: Callable[[float], bool]
    clock: Callable[[], float] = time.time
    _segments: list[Segment] = field(default_factory=list)

    def process(self, records: list[Item]) -> None:
        """Return when all records are dealt with, or it is time to stop."""
        self._segments = [Segment(records)]  # the next one is last
        failures = 0
        while self._segments:
            segment = self._segments.pop()
            if self._expire(segment):
                continue
            answer = self.invoke(self.mapping()["FunctionArn"], payload(segment.records))
            if answer.status == 200 and self._settle(segment, answer):
                failures = 0
                continue
            if answer.status != 200:  # not started, so not counted: goes on until the records are too old
                self._segments.append(segment)
            failures += 1
            if self.wait(min(0.5 * 2**failures, MAX_BACKOFF_SECONDS)):
                return

    def _expire(self, segment: Segment) -> bool:
        """Discard what is older than the mapping allows; give whether anything was, and put back the rest."""
        age = self.mapping().get("MaximumRecordAgeInSeconds") or -1
        oldest = self.clock() - age
        old = list(takewhile(lambda r: r["kinesis"]["approximateArrivalTimestamp"] < oldest, segment.records))
        if age < 0 or not old:
            return False
        self._give_up(old, "RecordAgeExceeded", segment.attempts, None)
        if rest := segment.records[len(old) :]:
            self._segments.append(Segment(rest, segment.attempts))
        return True

    def _settle(self, segment: Segment, answer: Answer) -> bool:
        """Act on what the function answered; give whether to go on without a pause."""
        records, mapping = segment.records, self.mapping()
        numbers = [record["kinesis"]["sequenceNumber"] for record in records]
        failed = failed_items(answer, mapping, numbers)
        if not failed:
            self.checkpoint(numbers[-1])
            return True
        first = min(numbers.index(number) for number in failed)
        retries = mapping.get("MaximumRetryAttempts")
        if first:
            # Partial success: the batch is cut at the lowest failure. As with bisecting, cutting uses up no attempt.
            self.checkpoint(numbers[first - 1])
            self._segments.append(Segment(records[first:]))
        elif mapping.get("BisectBatchOnFunctionError") and len(records) > 1 and len(failed) == len(records):
            half = len(records) // 2
            self._segments += [Segment(records[half:], segment.attempts), Segment(records[:half], segment.attempts)]
        elif retries is not None and 0 <= retries <= segment.attempts:
            self._give_up(records, "RetryAttemptsExhausted", segment.attempts + 1, answer)
            return True
        else:
            # Also where the first record alone is reported: AWS cuts at that record, so all of them stay together.
            self._segments.append(Segment(records, segment.attempts + 1))
        return False

    def _give_up(self, records: list[Item], condition: str, attempts: int, answer: Answer | None) -> None:
        self.discard(records, condition, attempts, answer)
        self.checkpoint(records[-1]["kinesis"]["sequenceNumber"])


class StreamPoller:
    """Kinesis: shards side by side, each in its order; the shards of a split or merge come after their parents.

    `checkpoints` says by shard up to where it was read; it outlives the poller, as a mapping may be paused.
    """

    def __init__(self, mapping: Item, account: Account, invoke: Invoke, checkpoints: dict[str, str]):
        self.mapping = mapping
        self._account = account
        self._kinesis = account.client("kinesis")
        self._invoke = invoke
        self._checkpoints = checkpoints
        self._finished: set[str] = set()

    def run(self, stop: threading.Event) -> None:
        """Read all shards until told to stop."""
        threads: dict[str, threading.Thread] = {}
        while not stop.is_set():
            for shard in self._shards():
                waits_for = {shard.get("ParentShardId"), shard.get("AdjacentParentShardId")} & threads.keys()
                if shard["ShardId"] not in threads and waits_for <= self._finished:
                    threads[shard["ShardId"]] = threading.Thread(target=self._read, args=(shard, stop), daemon=True)
                    threads[shard["ShardId"]].start()
            stop.wait(POLL_SECONDS)
        for thread in threads.values():
            thread.join()

    def _shards(self) -> list[Item]:
        try:
            return list(self._kinesis.list_shards(StreamARN=self.mapping["EventSourceArn"])["Shards"])
        except (ClientError, BotoCoreError) as error:  # the stream may be gone before its mapping is
            logger.debug("%s was not read: %s", self.mapping["EventSourceArn"], error)
            return []

    def _read(self, shard: Item, stop: threading.Event) -> None:
        """Deliver one shard's records until it is closed and read to its end, or it is time to stop."""
        shard_id = shard["ShardId"]
        delivery = ShardDelivery(
            mapping=lambda: self.mapping,
            invoke=self._invoke,
            discard=lambda *what: self._discard(shard_id, *what),
            checkpoint=lambda number: self._checkpoints.__setitem__(shard_id, number),
            wait=stop.wait,
        )
        held: list[Item] = []
        iterator, opened = None, 0.0
        while not stop.is_set():
            most, window = self.mapping.get("BatchSize") or 100, self.mapping.get("MaximumBatchingWindowInSeconds") or 0
            opened = opened if held else time.monotonic()
            try:
                iterator = iterator or self._iterator(shard_id, held)
                page = self._kinesis.get_records(ShardIterator=iterator, Limit=max(most - len(held), 1))
                iterator = page.get("NextShardIterator")
                held += [self._record(shard_id, record) for record in page["Records"]]
            except (ClientError, BotoCoreError) as error:
                logger.debug("%s of %s was not read: %s", shard_id, self.mapping["EventSourceArn"], error)
                iterator, page = None, {"Records": []}
            count = fitting(held, most)
            if held and (count < len(held) or count == most or time.monotonic() - opened >= window):
                delivery.process(held[:count])
                held = held[count:]
            elif not held and not page["Records"] and self._closed(shard_id):
                self._finished.add(shard_id)
                return
            elif not page["Records"]:
                stop.wait(POLL_SECONDS)

    def _closed(self, shard_id: str) -> bool:
        return any(
            shard["ShardId"] == shard_id and "EndingSequenceNumber" in shard["SequenceNumberRange"]
            for shard in self._shards()
        )

    def _iterator(self, shard_id: str, held: list[Item]) -> str:
        where: Item = {"ShardIteratorType": self.mapping.get("StartingPosition") or "TRIM_HORIZON"}
        if where["ShardIteratorType"] == "AT_TIMESTAMP":
            where["Timestamp"] = self.mapping["StartingPositionTimestamp"]
        after = held[-1]["kinesis"]["sequenceNumber"] if held else self._checkpoints.get(shard_id)
        if after:
            where = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": after}
        stream = self.mapping["EventSourceArn"].rsplit("/", 1)[-1]  # moto's iterators know the stream by its name only
        answer = self._kinesis.get_shard_iterator(StreamName=stream, ShardId=shard_id, **where)
        return str(answer["ShardIterator"])

    def _record(self, shard_id: str, record: Item) -> Item:
        return {
            "kinesis": {
                "kinesisSchemaVersion": "1.0",
                "partitionKey": record["PartitionKey"],
                "sequenceNumber": record["SequenceNumber"],
                "data": base64.b64encode(record["Data"]).decode(),
                "approximateArrivalTimestamp": record["ApproximateArrivalTimestamp"].timestamp(),
            },
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventID": f"{shard_id}:{record['SequenceNumber']}",
            "eventName": "aws:kinesis:record",
            "invokeIdentityArn": f"arn:aws:iam::{self._account.account_id}:role/lambda",
            "awsRegion": self._account.region,
            "eventSourceARN": self.mapping["EventSourceArn"],
        }

    def _discard(
        self, shard_id: str, records: list[Item], condition: str, attempts: int, answer: Answer | None
    ) -> None:
        """Send what is given up to the mapping's failure destination, in AWS's form."""
        arn = ((self.mapping.get("DestinationConfig") or {}).get("OnFailure") or {}).get("Destination")
        logger.warning("%d records of %s were given up: %s", len(records), shard_id, condition)
        if arn:
            key, body = failure_record(self.mapping, shard_id, records, condition, attempts, answer)
            if arn.split(":")[2] == "s3":  # only a bucket has room for the records themselves
                body["payload"] = payload(records).decode()
            try:
                deliver(self._account, arn, json.dumps(body), key)
            except (ClientError, BotoCoreError) as error:
                logger.warning("the failure destination %s did not take them: %s", arn, error)


def failure_record(
    mapping: Item, shard_id: str, records: list[Item], condition: str, attempts: int, answer: Answer | None
) -> tuple[str, Item]:
    """Give the key in a bucket and the record that Lambda writes of a discarded Kinesis batch."""
    now = datetime.now(UTC)
    arrivals = [
        datetime.fromtimestamp(record["kinesis"]["approximateArrivalTimestamp"], UTC)
        for record in (records[0], records[-1])
    ]
    body: Item = {
        "requestContext": {
            "requestId": str(uuid.uuid4()),
            "functionArn": mapping["FunctionArn"],
            "condition": condition,
            "approximateInvokeCount": attempts,
        },
        "version": "1.0",
        "timestamp": _iso(now),
        "KinesisBatchInfo": {
            "shardId": shard_id,
            "startSequenceNumber": records[0]["kinesis"]["sequenceNumber"],
            "endSequenceNumber": records[-1]["kinesis"]["sequenceNumber"],
            "approximateArrivalOfFirstRecord": _iso(arrivals[0]),
            "approximateArrivalOfLastRecord": _iso(arrivals[1]),
            "batchSize": len(records),
            "streamArn": mapping["EventSourceArn"],
        },
    }
    if answer:
        body["responseContext"] = {
            "statusCode": answer.status,
            "executedVersion": "$LATEST",
            "functionError": answer.error,
        }
    return f"aws/lambda/{mapping['UUID']}/{shard_id}/{now:%Y/%m/%d/%Y-%m-%dT%H.%M.%S}-{uuid.uuid4()}", body


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
