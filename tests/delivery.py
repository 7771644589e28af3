"""A world to try delivery in: an AWS account that changes, its stream, a bucket, and a receiver that misbehaves.

All of it in one process and without waiting; the publisher is the real handler, the trigger the real shard delivery.
"""

import base64
import importlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
import requests
import urllib3
from botocore.exceptions import ClientError, ConnectTimeoutError
from requests.adapters import BaseAdapter

from local.functions import Answer
from local.mappings import ShardDelivery
from local.receiver import _decoded
from local.topology import Refused, Topologies, check, demand
from topology.dead_letters import DeadLetters
from topology.elements import Component, Deleted, Element, Relation
from topology.function import Function, Remaining
from topology.progress import ProgressStore
from topology.receiver import Connection, Receiver
from topology.records import KIND_OF, Lines, Record, line

INSTANCE = ("aws", "123456789012")
RECEIVER = Connection("https://stackstate.example/receiver")
OLDEST_SECONDS = 252_000
HTML = {"Content-Type": "text/html"}


def record_of(elements: Sequence[Element], instance: tuple[str, str] = INSTANCE) -> Record:
    """A delta of these elements."""
    lines = Lines()
    for element in elements:
        lines[KIND_OF[type(element)]].append(line(element, 0))
    return Record(*instance, lines=lines)


def snapshot_of(
    name: str, slices: Sequence[Sequence[Element]], *, complete: bool = True, instance: tuple[str, str] = INSTANCE
) -> list[Record]:
    """The records of a snapshot: its start, these slices of it, and its end if it is complete."""
    records = [record_of((), instance), *(record_of(one, instance) for one in slices)]
    records += [record_of((), instance)] * complete
    for part, record in enumerate(records):
        record.snapshot, record.part = name, part
    records[0].start, records[0].last, records[0].complete = True, len(records) - 1, complete
    records[-1].stop = complete
    return records


class Killed(BaseException):
    """The end of a process, between any two steps."""


@dataclass
class Steps:
    """Counts the steps of a process with the world outside, and ends it before the one that was chosen."""

    until: int = -1

    def __call__(self) -> None:
        if self.until == 0:
            raise Killed
        self.until -= 1


class Bucket:
    """S3, as far as it is used; now and then it fails."""

    def __init__(self, step: Callable[[], None], failures: list[bool]) -> None:
        self.objects: dict[str, bytes] = {}
        self._step = step
        self.failures = failures

    def _happens(self) -> None:
        self._step()
        if self.failures and self.failures.pop():
            raise ConnectTimeoutError(endpoint_url="https://s3")

    def put_object(self, *, Key: str, Body: bytes, **_: Any) -> None:  # noqa: N803
        self._happens()
        self.objects[Key] = Body
        self._step()

    def get_object(self, *, Key: str, **_: Any) -> dict[str, Any]:  # noqa: N803
        self._happens()
        if Key not in self.objects:
            raise ClientError({"Error": {"Code": "NoSuchKey"}}, "GetObject")
        return {"Body": BytesIO(self.objects[Key])}


class Intake(BaseAdapter):
    """The receiver, in the place of requests' connections: strict, and as faulty as its script says."""

    def __init__(self, step: Callable[[], None], script: list[str]) -> None:
        super().__init__()
        self.away = False
        self.elements = 0
        """How many it took, in all."""
        self.room = 6
        """Elements that it takes at once."""
        self.topologies = Topologies()
        self.marks: list[str] = []
        self.closed: list[dict[str, str]] = []
        """What there was right after each end of a snapshot."""
        self.poisonous = True
        """Whether it refuses components with poison in their names."""
        self._step = step
        self.script = script

    def close(self) -> None: ...

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        self._step()
        fault = self.script.pop() if self.script else "none"
        if self.away or fault == "reset":
            raise requests.exceptions.ConnectionError(ConnectionResetError(104, "reset"))
        if fault.isdigit():
            headers = HTML if fault in {"200", "302", "404"} else {"Retry-After": "1"}
            return _answer(request, int(fault), headers)
        answer = self._take(request)
        self._step()
        if fault == "lost":
            raise requests.exceptions.ReadTimeout("read timed out")
        return answer

    def _take(self, request: requests.PreparedRequest) -> requests.Response:
        assert isinstance(request.body, bytes)
        body = json.loads(_decoded(request.body, request.headers["Content-Encoding"]))
        elements = sum(len(one["components"]) + len(one["relations"]) for one in body["topologies"])
        if elements > self.room:
            return _answer(request, 413, HTML)
        try:
            check(body)
            names = [component["externalId"] for one in body["topologies"] for component in one["components"]]
            demand(not (self.poisonous and any("poison" in name for name in names)), "poison")
            self.topologies.apply(body["topologies"])
        except Refused as refusal:
            return _answer(request, 400, {}, str(refusal))
        self.elements += elements
        for topology in body["topologies"]:
            self.marks += ["start"] * topology.get("start_snapshot", False)
            if topology.get("stop_snapshot"):
                self.marks.append("stop")
                self.closed.append(self.state())
        return _answer(request, 200, {})

    def state(self) -> dict[str, str]:
        """Every element that the receiver has, with its data."""
        instance = self.topologies.instances.get(INSTANCE)
        if not instance:
            return {}
        return {id_: json.dumps(one["data"]) for id_, one in (instance.components | instance.relations).items()}


def _answer(
    request: requests.PreparedRequest, status: int, headers: dict[str, str], text: str = ""
) -> requests.Response:
    raw = urllib3.HTTPResponse(BytesIO(text.encode()), headers, status, preload_content=False)
    answer: requests.Response = requests.adapters.HTTPAdapter().build_response(request, raw)
    return answer


@dataclass
class Truth:
    """The AWS account: what there is, and the stream of what the functions said of it."""

    stream: list[bytes] = field(default_factory=list)
    there: dict[str, Element] = field(default_factory=dict)
    newest: int = 0

    def change(self, steps: list[tuple[str, str]], *, told: bool) -> bytes | None:
        """Create, update or delete; the delta of it, if events tell of it."""
        said: list[Element] = []
        for name, what in {name: what for what, name in steps}.items():
            self.newest += 1
            if what == "delete":
                gone = [id_ for id_ in self.there if id_ == name or id_.startswith(f"{name}-")]
                for id_ in {name, *gone}:
                    self.there.pop(id_, None)
                    said.append(Deleted(id_))
            else:
                component = Component(name, "aws.ec2", {"at": self.newest})
                relation = Relation(name, "uses service", "vpc", {"at": self.newest})
                for element in (component, relation):
                    self.there[element.id] = element
                    said.append(element)
        return record_of(said).encode() if told else None

    def snapshot(self, name: str, slice_elements: int, *, complete: bool) -> list[bytes]:
        """The records of a snapshot of what there is now."""
        there = list(self.there.values())
        slices = [there[at : at + slice_elements] for at in range(0, len(there), slice_elements)]
        return [record.encode() for record in snapshot_of(name, slices, complete=complete)]


@contextmanager
def silent_handler() -> Iterator[Any]:
    """topo-publisher's handler, which says nothing."""
    environment = {
        "AWS_REGION": "eu-west-1",
        "STACKSTATE_BASE_URL": "https://stackstate.example/receiver",
        "STACKSTATE_API_KEY": "key",
        "POWERTOOLS_METRICS_NAMESPACE": "test",
        "POWERTOOLS_METRICS_DISABLED": "true",
        "POWERTOOLS_SERVICE_NAME": "test",
        "POWERTOOLS_LOG_LEVEL": "CRITICAL",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        sys.modules.pop("topo_publisher.handler", None)
        yield importlib.import_module("topo_publisher.handler")
        sys.modules.pop("topo_publisher.handler", None)


class Context:
    """What the handler asks of Lambda."""

    function_name = "topo-publisher"
    invoked_function_arn = "arn"
    aws_request_id = "1"
    memory_limit_in_mb = 512

    def get_remaining_time_in_millis(self) -> int:
        """Plenty."""
        return 900_000


class World:
    """The stream, its trigger, the publisher and the receiver."""

    def __init__(self, handler: Any, faults: list[str], bucket_failures: list[bool], kills: list[int]) -> None:
        self.handler = handler
        self.step = Steps()
        self.intake = Intake(self.step, faults)
        self.bucket = Bucket(self.step, bucket_failures)
        self.kills = kills
        self.now = 0.0
        self.shard: list[dict[str, Any]] = []
        self.checkpoint = 0
        self.given_up: list[bytes] = []
        self.wait: Callable[[float], bool] = lambda _: False
        """What the trigger does in its pauses, and whether it is ended then."""

    def fail(self, faults: list[str], bucket_failures: list[bool], kills: list[int]) -> None:
        """From now on, have all this happen."""
        self.intake.script, self.bucket.failures, self.kills = faults, bucket_failures, kills

    def wrote(self, snapshot: str, began: float) -> None:
        """Note, as topo-cron does, that a snapshot is on the stream from start to end."""
        self.bucket.objects["state/1000/ledger.json"] = orjson.dumps(
            {"snapshot": snapshot, "began": began, "closed": True}
        )

    def put(self, *records: bytes) -> None:
        """Put records on the stream."""
        for data in records:
            kinesis = {
                "sequenceNumber": f"{len(self.shard) + 1:06d}",
                "data": base64.b64encode(data).decode(),
                "approximateArrivalTimestamp": self.now,
            }
            self.shard.append({"kinesis": kinesis})

    def run(self, sizes: list[int], stops: list[bool]) -> None:
        """Deliver what is on the stream, in batches of these sizes, the trigger itself ended now and then."""
        delivery = ShardDelivery(
            mapping=lambda: {
                "FunctionArn": "topo-publisher",
                "FunctionResponseTypes": ["ReportBatchItemFailures"],
                "BisectBatchOnFunctionError": True,
                "MaximumRetryAttempts": -1,
                "MaximumRecordAgeInSeconds": OLDEST_SECONDS,
            },
            invoke=self.invoke,
            discard=lambda records, *_: self.given_up.extend(
                base64.b64decode(record["kinesis"]["data"]) for record in records
            ),
            checkpoint=lambda number: setattr(self, "checkpoint", int(number)),
            wait=lambda seconds: self.wait(seconds) or bool(stops and stops.pop()),
            clock=lambda: self.now,
        )
        while self.checkpoint < len(self.shard):
            size = sizes.pop() if sizes else 100
            delivery.process(self.shard[self.checkpoint : self.checkpoint + size])

    def invoke(self, _arn: str, payload: bytes) -> Answer:
        """Run the handler as a process that may have run before, and that may be killed before any of its steps."""
        self.step.until = self.kills.pop() if self.kills else -1
        receiver = Receiver(RECEIVER, "key", "topo-publisher", lambda: 900.0, lambda _: None)
        receiver.session.mount("https://", self.intake)
        client: Any = self.bucket
        function: Any = SimpleNamespace(
            remaining=Remaining(),
            settings=SimpleNamespace(skip_tls_verify=False),
            receiver=lambda _: receiver,
            dead_letters=lambda: DeadLetters(client, "bucket", "1000"),
            progress=lambda: ProgressStore(client, "bucket", "state/1000/"),
        )
        function.delivery = partial(Function.delivery, function)
        self.handler.function = function
        try:
            answer = self.handler.lambda_handler(orjson.loads(payload), Context())
        except Killed:
            return Answer(200, b"{}", "Unhandled")
        finally:
            self.step.until = -1
        return Answer(200, orjson.dumps(answer), None)

    def dead_letters(self) -> dict[str, bytes]:
        """What was set aside."""
        return {key: body for key, body in self.bucket.objects.items() if key.startswith("dead-letters/")}
