"""topo-publisher as a real process, killed at every step of its work: nothing is lost, nothing is removed too early.

The process runs Lambda's own runtime client; S3 is moto's, over HTTP, and the receiver strict. Each of them kills the
process before it heeds a request, or after it did and before the answer leaves.
"""

import base64
import json
import os
import signal
import site
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock, Thread
from typing import Any

import boto3
import pytest
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug import Request
from werkzeug.serving import make_server

from local.functions import Answer, ExecutionEnvironment, QuietHandler
from local.mappings import ShardDelivery
from local.receiver import Receiver
from tests.delivery import INSTANCE, OLDEST_SECONDS, Truth, record_of
from topology.elements import Component, Element, Relation

FUNCTIONS = Path(__file__).parents[1] / "functions"
BUCKET = "state"
PERMANENT = ("a", "b", "c")
POISON = "poison"
NAME = "/".join(INSTANCE)

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Publisher:
    """topo-publisher's processes, one after the other: the next is started when one is dead."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment
        self._running: ExecutionEnvironment | None = None
        self._lock = Lock()
        self.steps = self.kill_at = -1
        self.deaths = 0

    def step(self) -> bool:
        """Count a step; kills the process if it is the chosen one, and says so."""
        with self._lock:
            self.steps += 1
            if self.steps != self.kill_at or self._running is None:
                return False
            os.kill(self._running.process.pid, signal.SIGKILL)
            self._running.process.wait()
            self.deaths += 1
            return True

    def invoke(self, arn: str, payload: bytes) -> Answer:
        """Hand a batch to the process. Lambda does not hear of an answer if the process dies with it."""
        if self._running is None or not self._running.usable:
            self.close()
            function: dict[str, Any] = {"Handler": "topo_publisher.handler.lambda_handler", "FunctionArn": arn}
            function |= {"Timeout": 300, "MemorySize": 1024}
            self._running = ExecutionEnvironment(function, FUNCTIONS, self._environment, lambda *_: None)
        answer = self._running.invoke(payload)
        return Answer(200, b"", "Unhandled") if self.step() else answer

    def close(self) -> None:
        """End the process."""
        if self._running:
            self._running.close()
        self._running = None


@contextmanager
def serving(application: Wsgi) -> Iterator[int]:
    """Serve the application; gives the port."""
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=QuietHandler)
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


class World:
    """S3, the receiver and the publisher between them."""

    def __init__(self) -> None:
        self.publisher = Publisher({})
        self.receiver = Receiver(("key",))
        self.states: list[set[str]] = []
        """Ids that the receiver had after each POST."""
        self._moto: Wsgi = DomainDispatcherApplication(create_backend_app)
        self.s3: Any = None
        self.poison: list[str] = []
        """Keys of the dead letters that there have to be."""

    def bucket(self, environ: dict[str, Any], respond: Callable[..., Any]) -> Iterable[bytes]:
        """S3, with a step before and after each request of the publisher."""
        return self._stepped(self._moto, environ, respond)

    def intake(self, environ: dict[str, Any], respond: Callable[..., Any]) -> Iterable[bytes]:
        """The receiver, likewise."""
        return self._stepped(Request.application(self._take), environ, respond)

    def _take(self, request: Request) -> Any:
        answer = self.receiver.handle(request)
        self.states.append(set(self.state()))
        return answer

    def _stepped(self, heed: Wsgi, environ: dict[str, Any], respond: Callable[..., Any]) -> Iterable[bytes]:
        if self.publisher.step():
            respond("500 nobody is there any more", [])
            return []
        body = list(heed(environ, respond))
        self.publisher.step()
        return body

    def begin(self, life: "Life", *, kill_at: int) -> None:
        """With an empty bucket, and a receiver that has what there was, the counting of steps begins."""
        self.publisher.kill_at = -1
        for found in self.s3.list_objects_v2(Bucket=BUCKET).get("Contents", []):
            self.s3.delete_object(Bucket=BUCKET, Key=found["Key"])
        self.receiver = Receiver(("key",))
        there = record_of(life.before).lines
        topology = {kind: [json.loads(text) for text in there[kind]] for kind in ("components", "relations")}
        self.receiver.topologies.apply([{"instance": {"type": INSTANCE[0], "url": INSTANCE[1]}, **topology}])
        self.states.clear()
        self.publisher.steps, self.publisher.deaths, self.publisher.kill_at = -1, 0, kill_at

    def deliver(self, records: list[bytes], size: int) -> None:
        """Have the records delivered as Lambda does, in batches of this size."""
        shard = [
            {
                "kinesis": {
                    "sequenceNumber": f"{number:06d}",
                    "data": base64.b64encode(data).decode(),
                    "approximateArrivalTimestamp": 0.0,
                }
            }
            for number, data in enumerate(records)
        ]
        delivery = ShardDelivery(
            mapping=lambda: {
                "FunctionArn": "arn:aws:lambda:eu-west-1:123456789012:function:topo-publisher",
                "FunctionResponseTypes": ["ReportBatchItemFailures"],
                "BisectBatchOnFunctionError": True,
                "MaximumRetryAttempts": -1,
                "MaximumRecordAgeInSeconds": OLDEST_SECONDS,
            },
            invoke=self.publisher.invoke,
            discard=lambda *what: pytest.fail(f"records were given up: {what}"),
            checkpoint=lambda _: None,
            wait=lambda _: False,
            clock=lambda: 0.0,
        )
        for at in range(0, len(shard), size):
            delivery.process(shard[at : at + size])

    def state(self) -> dict[str, Any]:
        """Every element that the receiver has, with its data."""
        instance = self.receiver.topologies.instances[INSTANCE]
        return {id_: one["data"] for id_, one in (instance.components | instance.relations).items()}

    def set_aside(self) -> list[str]:
        """Keys of refused elements in the bucket."""
        found = self.s3.list_objects_v2(Bucket=BUCKET, Prefix="dead-letters/1000/refused/")
        return [one["Key"] for one in found.get("Contents", [])]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    one = World()
    with serving(one.bucket) as s3_port, serving(one.intake) as port:
        endpoint = f"http://127.0.0.1:{s3_port}"
        session: Any = boto3.Session("testing", "testing", region_name="eu-west-1")
        one.s3 = session.client("s3", endpoint_url=endpoint)
        one.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        one.publisher = Publisher(
            {
                # The runtime starts without this environment's packages; here they are meant.
                "PYTHONPATH": ":".join(site.getsitepackages()),
                "PATH": os.environ["PATH"],
                "AWS_ACCESS_KEY_ID": "testing",
                "AWS_SECRET_ACCESS_KEY": "testing",
                "AWS_REGION": "eu-west-1",
                "AWS_ENDPOINT_URL": endpoint,
                "AWS_LAMBDA_FUNCTION_NAME": "topo-publisher",
                "POWERTOOLS_SERVICE_NAME": "topo-publisher",
                "POWERTOOLS_METRICS_NAMESPACE": "StackState/Topology",
                "STACKSTATE_BASE_URL": f"http://localhost:{port}/receiver",
                "STACKSTATE_API_KEY": "key",
                "STACKSTATE_CONFIGURATION_ID": "1000",
                "TOPOLOGY_STATE_BUCKET": BUCKET,
                "TOPOLOGY_STATE_PREFIX": "state/1000/",
                "TOPOLOGY_DEAD_LETTER_BUCKET": BUCKET,
            }
        )
        yield one
        one.publisher.close()


@dataclass
class Life:
    """What the receiver has at first, what comes to the stream, and what there is in the end."""

    before: list[Element]
    stream: list[bytes]
    after: dict[str, Any]


@pytest.fixture(scope="module")
def life() -> Life:
    """Two snapshots, with changes before, within, between and after them, and an element that the receiver refuses."""
    truth = Truth()
    truth.change([("create", name) for name in (*PERMANENT, "d", "e")], told=False)
    before: list[Element] = [*truth.there.values(), Component("gone before", "aws.ec2", {})]
    stream = [truth.change([("create", "f")], told=True)]
    truth.change([("delete", "e")], told=False)
    one = truth.snapshot("one", 4, complete=True)
    stream += one[:2]
    stream.append(truth.change([("delete", "d"), ("create", "c"), ("create", "g")], told=True))
    stream += one[2:]
    stream.append(truth.change([("delete", "g")], told=True))
    stream.append(record_of([Component(POISON, "", {}), *truth.there.values()]).encode())
    truth.change([("create", "h"), ("delete", "f")], told=False)
    two = truth.snapshot("two", 4, complete=True)
    stream += two[:-1]
    stream += [truth.change([("create", "i"), ("create", "a")], told=True), two[-1]]
    stream.append(truth.change([("create", "b"), ("delete", "h")], told=True))
    after = {one.id: one.data for one in truth.there.values() if isinstance(one, Component | Relation)}
    return Life(before, [record for record in stream if record], after)


def check(world: World, life: Life) -> None:
    """The receiver has what there is, never was without what there is all the time, and refused nothing but this."""
    assert world.state() == life.after
    assert all(state.issuperset(PERMANENT) for state in world.states)
    refused = {entry["reason"] for entry in world.receiver.refused()}
    # The end of a snapshot comes once more if the process dies before it can note that the receiver took it.
    assert refused <= {f"component {POISON} has no type name", f"a snapshot of {NAME} is stopped that was not started"}
    assert world.set_aside() == world.poison


# Batches in which a snapshot goes over several, and one that holds everything.
@pytest.mark.parametrize("size", [4, 100])
def test_killed_at_any_step_the_process_loses_nothing(world: World, life: Life, size: int) -> None:
    world.begin(life, kill_at=-1)
    world.deliver(life.stream, size)
    steps = world.publisher.steps + 1
    world.poison = world.set_aside()
    assert len(world.poison) == 1
    check(world, life)

    for step in range(steps):
        world.begin(life, kill_at=step)
        world.deliver(life.stream, size)
        assert world.publisher.deaths == 1
        check(world, life)
