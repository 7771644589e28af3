"""The functions as processes of their own, with what is between them: a queue of events, the stream, the receiver."""

import base64
import json
import subprocess
import sys
import time
import uuid
from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from typing import Any

import boto3
from botocore.config import Config

from bench.measure import REGION, ROOT, Server, settings
from local.receiver import Receiver

ACCOUNT_ID = "123456789012"
KEY = "bench-key"
STREAM = "stackstate-topo-kinesis"
BUCKET = "stackstate-topo-state"
QUEUE = "stackstate-topo-cwevents"
# As the template has them: messages of a batch, seconds until a batch goes as it is, batches at a time, how often a
# message comes, seconds of a function.
BATCH = 500
WINDOW_SECONDS = 5.0
PROCESSES = 2
RECEIVES = 5
TIMEOUT_SECONDS = 120


class Failed(Exception):
    """A handler that raised something."""


class Invoked:
    """A process of a function."""

    def __init__(self, name: str, environment: dict[str, str]) -> None:
        self.memory_mb: list[float] = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.invoked", name],
            cwd=ROOT,
            env=settings() | environment | {"POWERTOOLS_SERVICE_NAME": name.replace("_", "-")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def __call__(self, event: dict[str, Any]) -> Any:
        """Invoke it. Raises Failed if the handler does, RuntimeError if the process ended."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(event) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the function ended with {self._process.wait()}")
        answer = json.loads(line)
        self.memory_mb.append(answer["memory_mb"])
        if answer["failure"]:
            raise Failed(answer["failure"])
        return answer["result"]

    def close(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.wait()


class Stage:
    """The functions, with what is between them.

    Args:
        server: the account.
        receiver: takes what comes of it.
        stack: ends the processes.
    """

    def __init__(self, server: Server, receiver: Receiver, stack: ExitStack) -> None:
        self.server = server
        self.receiver = receiver
        self.own_calls: Counter[str] = Counter()
        """Requests that were made from here, by service and operation."""
        self._clients: dict[str, Any] = {}
        self._make()
        environment = self._environment()
        self.cron, self.publisher, *self.workers = (
            Invoked(name, environment) for name in ("topo_cron", "topo_publisher", *("topo_cwevents",) * PROCESSES)
        )
        for one in (self.cron, self.publisher, *self.workers):
            stack.callback(one.close)
        shard = self.client("kinesis").list_shards(StreamName=STREAM)["Shards"][0]["ShardId"]
        self._iterator = self.client("kinesis").get_shard_iterator(
            StreamName=STREAM, ShardId=shard, ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]

    def client(self, service: str) -> Any:
        """A client of the account, which does not give up."""
        if service not in self._clients:
            config = Config(retries={"mode": "standard", "total_max_attempts": 30})
            keys: dict[str, Any] = {"aws_access_key_id": "bench", "aws_secret_access_key": "bench"}
            made: Any = boto3.client(service, REGION, endpoint_url=self.server.endpoint, config=config, **keys)
            made.meta.events.register("before-send", lambda event_name, **_: self._note(service, event_name))
            self._clients[service] = made
        return self._clients[service]

    def _note(self, service: str, event_name: str) -> None:
        self.own_calls[f"{service}:{event_name.rpartition('.')[2]}"] += 1

    def _make(self) -> None:
        self.client("kinesis").create_stream(StreamName=STREAM, ShardCount=1)
        self.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        self.queue = self.client("sqs").create_queue(QueueName=QUEUE)["QueueUrl"]

    def _environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.server.endpoint,
            "BENCH_TIMEOUT_SECONDS": str(TIMEOUT_SECONDS),
            "POWERTOOLS_METRICS_NAMESPACE": "StackState/Topology",
            "STACKSTATE_BASE_URL": self.receiver.base_url,
            "STACKSTATE_API_KEY": KEY,
            "STACKSTATE_CONFIGURATION_ID": "1000",
            "TOPOLOGY_STREAM": STREAM,
            "TOPOLOGY_STATE_BUCKET": BUCKET,
            "TOPOLOGY_STATE_PREFIX": "state/",
            "TOPOLOGY_DEAD_LETTER_BUCKET": BUCKET,
            "TOPOLOGY_CHANGE_QUEUE": self.queue,
            # What is measured is the number of calls, not the rate that a real account would take them at.
            "TOPOLOGY_API_SHARE": "100",
        }

    def deliver(self) -> None:
        """Deliver what is on the stream."""
        while True:
            answer = self.client("kinesis").get_records(ShardIterator=self._iterator, Limit=100)
            self._iterator = answer["NextShardIterator"]
            if not answer["Records"]:
                return
            records = [
                {
                    "kinesis": {
                        "sequenceNumber": one["SequenceNumber"],
                        "approximateArrivalTimestamp": one["ApproximateArrivalTimestamp"].timestamp(),
                        "data": base64.b64encode(one["Data"]).decode(),
                    }
                }
                for one in answer["Records"]
            ]
            if failed := self.publisher({"Records": records})["batchItemFailures"]:
                raise RuntimeError(f"the receiver did not take {failed}")

    def snapshot(self) -> None:
        """Take a snapshot, and deliver it. Raises RuntimeError if it is not complete."""
        ledger = self.cron({})
        if not ledger.get("closed"):
            raise RuntimeError(f"the snapshot is not complete: {ledger}")
        self.deliver()


class Messages:
    """The queue of change events, with what is looked at again later in AWS's own.

    Args:
        stage: whose account makes the events.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._waiting: deque[dict[str, Any]] = deque()
        self._receives: Counter[str] = Counter()
        self._opened = 0.0
        self._last_event = 0.0
        self.events = 0
        self.repeated = 0
        self.lost: list[str] = []
        self.failures: list[str] = []
        """What handlers raised."""

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def due(self) -> bool:
        """Whether a batch is full, or its window over."""
        full = len(self._waiting) >= BATCH
        return full or (bool(self._waiting) and time.monotonic() - self._opened > WINDOW_SECONDS)

    def collect(self) -> None:
        """Take over the events of the calls that were made since."""
        for event in self._stage.server.ask("/__events"):
            envelope = {"version": "0", "id": str(uuid.uuid4()), "resources": [], **event}
            self._put({"messageId": envelope["id"], "body": json.dumps(envelope)})
            self.events += 1
            self._last_event = time.monotonic()

    def later(self, seconds: float) -> bool:
        """Take over what is to be looked at again, and is due; answers with whether there is more, now or later on.

        Of what is due after so many seconds since the last event, no notice is taken.
        """
        sqs = self._stage.client("sqs")
        while found := sqs.receive_message(QueueUrl=self._stage.queue, MaxNumberOfMessages=10).get("Messages"):
            for one in found:
                self._put({"messageId": one["MessageId"], "body": one["Body"]})
            gone = [{"Id": one["MessageId"], "ReceiptHandle": one["ReceiptHandle"]} for one in found]
            sqs.delete_message_batch(QueueUrl=self._stage.queue, Entries=gone)
        name = "ApproximateNumberOfMessagesDelayed"
        attributes = sqs.get_queue_attributes(QueueUrl=self._stage.queue, AttributeNames=[name])["Attributes"]
        return bool(self) or (int(attributes[name]) > 0 and time.monotonic() - self._last_event < seconds)

    def batch(self) -> list[dict[str, Any]]:
        """The next messages, as many as Lambda takes."""
        found = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
        self._receives.update(one["messageId"] for one in found)
        return found

    def settle(self, batch: Sequence[dict[str, Any]], invocation: Future[Any]) -> None:
        """Have the messages of a batch come again that failed; what came too often is lost to the dead letters."""
        try:
            names = {one["itemIdentifier"] for one in invocation.result()["batchItemFailures"]}
        except Failed as failure:
            self.failures.append(str(failure))
            names = {one["messageId"] for one in batch}
        for message in (one for one in batch if one["messageId"] in names):
            if self._receives[message["messageId"]] >= RECEIVES:
                self.lost.append(message["body"])
            else:
                self.repeated += 1
                self._put(message)

    def _put(self, message: dict[str, Any]) -> None:
        if not self._waiting:
            self._opened = time.monotonic()
        self._waiting.append(message)
