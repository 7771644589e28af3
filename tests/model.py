"""AWS as far as trust in a snapshot depends on it: an account that changes while it is read, a bucket and a stream.

All of them step before and after everything they do, so that anything can come in between, and all of them fail.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from io import BytesIO
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError, ConnectTimeoutError

from topology.aws import Aws
from topology.declare import Call, Change, Ids, Pages, PerItem, Resource, on
from topology.elements import Component, Element, Item, Relation, Scope, StackResource, relation_id

REGION = "eu-west-1"
# Things that a page of a listing has, and records that Kinesis answers with.
PAGE = 2
USES = "uses service"
HAS = "has resource"


@dataclass(frozen=True)
class Thing:
    """Something in AWS: what it is like, what it refers to, and what it has together with others."""

    version: int
    ends: tuple[str, ...] = ()
    shares: str = ""


def _listing(service: str, kind: str) -> Call:
    return Call(service, f"list_{kind}", "Items", pages=Pages("Token", "Token", "Token"))


def _changes(kind: str) -> list[Change]:
    key = "requestParameters.name"
    return [on(f"Create {kind}", key=key, creates=True), on(f"Change {kind}", f"Delete {kind}", key=key)]


def _group(_scope: Scope, item: Item) -> Iterator[Element]:
    yield Component(f"group/{item['Name']}", "group", {"Version": item["Version"]})


def _instance(_scope: Scope, item: Item) -> Iterator[Element]:
    """An instance, its groups, and a profile, which every instance that has it tells of."""
    id_ = f"instance/{item['Name']}"
    yield Component(id_, "instance", {"Version": item["Version"]})
    for group in item["Ends"]:
        yield Relation(id_, USES, f"group/{group}")
    if item["Shares"]:
        yield Component(f"profile/{item['Shares']}", "profile", {})


def _queue(_scope: Scope, item: Item) -> Iterator[Element]:
    """A queue, and the instance, of another scope, that it uses."""
    detail = item["Detail"]
    id_ = f"queue/{item['Name']}"
    yield Component(id_, "queue", {"Version": detail["Version"]})
    for instance in detail["Ends"]:
        yield Relation(id_, USES, f"instance/{instance}", {"Version": detail["Version"]})


def _stack(_scope: Scope, item: Item) -> Iterator[Element]:
    """A stack, and the queues in it, which another scope has to say the ids of."""
    id_ = f"stack/{item['Name']}"
    yield Component(id_, "stack", {"Version": item["Version"]})
    for queue in item["Ends"]:
        yield StackResource(id_, HAS, "AWS::SQS::Queue", queue)


GROUP = Resource(
    kind="ec2.group",
    components=["group"],
    listed_by=_listing("ec2", "group"),
    looked_up_by=Call("ec2", "find_group", "Items[]", ids=Ids("Names", PAGE)),
    key="Name",
    elements=_group,
    component_id=lambda _scope, key: f"group/{key}",
    changes=_changes("group"),
)
INSTANCE_ = Resource(
    kind="ec2.instance",
    components=["instance", "profile"],
    listed_by=_listing("ec2", "instance"),
    looked_up_by=Call("ec2", "find_instance", "Items[]", ids=Ids("Names", PAGE)),
    key="Name",
    elements=_instance,
    component_id=lambda _scope, key: f"instance/{key}",
    changes=_changes("instance"),
)
QUEUE = Resource(
    kind="sqs.queue",
    components=["queue"],
    listed_by=_listing("sqs", "queue"),
    key="Name",
    details=[
        PerItem("Detail", Call("sqs", "get_queue", "Item", gone=("NoSuchThing",)), {"Name": "Name"}, required=True)
    ],
    elements=_queue,
    component_id=lambda _scope, key: f"queue/{key}",
    changes=_changes("queue"),
    cloudformation={"AWS::SQS::Queue": ["queue"]},
)
STACK = Resource(
    kind="cloudformation.stack",
    components=["stack"],
    listed_by=_listing("cloudformation", "stack"),
    looked_up_by=Call("cloudformation", "get_stack", "Item", ids=Ids("Name"), gone=("NoSuchThing",)),
    key="Name",
    elements=_stack,
    component_id=lambda _scope, key: f"stack/{key}",
    changes=_changes("stack"),
)
RESOURCES = {resource.kind: resource for resource in (GROUP, INSTANCE_, QUEUE, STACK)}
SERVICES = tuple(dict.fromkeys(resource.service for resource in RESOURCES.values()))
REFERS_TO = {"ec2.instance": "ec2.group", "sqs.queue": "ec2.instance", "cloudformation.stack": "sqs.queue"}

# What AWS answers in place of what it was asked for.
FAULTS = {
    "denied": ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "Read"),
    "forbidden": ClientError({"Error": {"Code": "AccessDenied", "Message": "by a service control policy"}}, "Read"),
    "throttled": ClientError({"Error": {"Code": "Throttling", "Message": "Rate exceeded"}}, "Read"),
    "disabled": ClientError({"Error": {"Code": "OptInRequired", "Message": "not enabled"}}, "Read"),
    "unreachable": ConnectTimeoutError(endpoint_url="https://aws"),
    "strange": ClientError({"Error": {"Code": "Whatever", "Message": "?"}}, "Read"),
}


class Cloud:
    """What there is in the account; now and then a service fails."""

    def __init__(self, step: Callable[[], None]) -> None:
        self.things: dict[str, dict[str, Thing]] = {kind: {} for kind in RESOURCES}
        self.faults: dict[str, tuple[str, int]] = {}
        """By service: what it answers, and from which request on."""
        self.requests = 0
        self._step = step

    def components(self) -> dict[str, dict[str, Any]]:
        """The data of every component that there is, by id."""
        found: dict[str, dict[str, Any]] = {}
        for kind, things in self.things.items():
            type_ = kind.rpartition(".")[2]
            found |= {f"{type_}/{name}": {"Version": thing.version} for name, thing in things.items()}
            found |= {f"profile/{thing.shares}": {} for thing in things.values() if thing.shares}
        return found

    def relations(self) -> dict[str, dict[str, Any]]:
        """The data of every relation whose ends are there; StackState shows no other."""
        there = self.components()
        found: dict[str, dict[str, Any]] = {}
        for kind, target in REFERS_TO.items():
            for name, thing in self.things[kind].items():
                for end in thing.ends:
                    source, other = f"{kind.rpartition('.')[2]}/{name}", f"{target.rpartition('.')[2]}/{end}"
                    type_ = HAS if kind == "cloudformation.stack" else USES
                    data = {"Version": thing.version} if kind == "sqs.queue" else {}
                    if other in there:
                        found[relation_id(source, type_, other)] = data
        return found

    def ask(self, operation: str, calls: Counter[str], service: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """The answer of a service to a process that made these calls before."""
        self._step()
        self.requests += 1
        fault, page = self.faults.get(service, ("", 0))
        calls[service] += 1
        if fault and calls[service] > page:
            raise FAULTS[fault]
        what, _, kind = operation.partition("_")
        things = self.things[f"{service}.{kind}"]
        if what == "list":
            names = sorted(name for name in things if name > request.get("Token", ""))
            more = {"Token": names[PAGE - 1]} if len(names) > PAGE else {}
            return {"Items": [_item(name, things[name]) for name in names[:PAGE]], **more}
        if what == "find":
            return {"Items": [_item(name, things[name]) for name in request["Names"] if name in things]}
        if request["Name"] not in things:
            raise ClientError({"Error": {"Code": "NoSuchThing", "Message": "gone"}}, operation)
        return {"Item": _item(request["Name"], things[request["Name"]])}


def _item(name: str, thing: Thing) -> dict[str, Any]:
    return {"Name": name, "Version": thing.version, "Ends": list(thing.ends), "Shares": thing.shares}


class Client:
    """boto3's client of one service, for one process."""

    def __init__(self, cloud: Cloud, service: str, calls: Counter[str]) -> None:
        operations = {call.operation for one in RESOURCES.values() for call in one.calls if call.service == service}
        self.meta = SimpleNamespace(
            service_model=SimpleNamespace(signing_name=service),
            method_to_api_mapping={operation: operation for operation in operations},
        )
        for operation in operations:
            setattr(self, operation, self._operation(cloud, operation, service, calls))

    @staticmethod
    def _operation(cloud: Cloud, operation: str, service: str, calls: Counter[str]) -> Callable[..., dict[str, Any]]:
        return lambda **request: cloud.ask(operation, calls, service, request)

    def can_paginate(self, _operation: str) -> bool:
        """Pages are declared."""
        return False


class ModelAws(Aws):
    """The project's caller of AWS, with the model's clients."""

    def __init__(self, cloud: Cloud, remaining: Callable[[], float]) -> None:
        self.region = REGION
        self._remaining = remaining
        self._unlisted = set()
        calls = Counter[str]()
        self.clients = {service: Client(cloud, service, calls) for service in SERVICES}


class Inline(Executor):
    """Does at once what it is given, in place of threads, whose order no two runs would have in common."""

    def __init__(self, *_: Any) -> None: ...

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Do it."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001  as threads do
            future.set_exception(error)
        return future


# ---------------------------------------------------------------- the bucket, the stream


class Bucket:
    """S3, as far as it is used; now and then it fails."""

    def __init__(self, step: Callable[[], None]) -> None:
        self.objects: dict[str, bytes] = {}
        self.failures: list[bool] = []
        self._step = step

    def _happens(self) -> None:
        self._step()
        if self.failures and self.failures.pop():
            raise ConnectTimeoutError(endpoint_url="https://s3")

    def put_object(
        self,
        *,
        Key: str,  # noqa: N803
        Body: bytes,  # noqa: N803
        IfMatch: str = "",  # noqa: N803
        IfNoneMatch: str = "",  # noqa: N803
        **_: Any,
    ) -> None:
        """Write, if the condition holds."""
        self._happens()
        there = self.objects.get(Key)
        if (IfNoneMatch and there is not None) or (IfMatch and (there is None or _etag(there) != IfMatch)):
            failure: Any = {"Error": {"Code": "PreconditionFailed"}, "ResponseMetadata": {"HTTPStatusCode": 412}}
            raise ClientError(failure, "PutObject")
        self.objects[Key] = Body
        self._step()

    def get_object(self, *, Key: str, **_: Any) -> dict[str, Any]:  # noqa: N803
        """Read."""
        self._happens()
        if Key not in self.objects:
            raise ClientError({"Error": {"Code": "NoSuchKey"}}, "GetObject")
        return {"Body": BytesIO(self.objects[Key]), "ETag": _etag(self.objects[Key])}

    def delete_object(self, *, Key: str, **_: Any) -> None:  # noqa: N803
        """Remove, if it is there."""
        self._happens()
        self.objects.pop(Key, None)
        self._step()

    def spoil(self, which: int, how: str) -> bool:
        """Lose or damage an object, but for the note of who runs; says whether there was one."""
        names = [name for name in sorted(self.objects) if not name.endswith("run.json")]
        if not names:
            return False
        name = names[which % len(names)]
        body = self.objects.pop(name)
        spoilt = {
            "cut": body[: len(body) // 2],
            "flipped": body[:-1] + bytes([body[-1] ^ 1]),
            "older": body.replace(b'"format":1', b'"format":0'),
        }
        if how in spoilt:
            self.objects[name] = spoilt[how]
        return True

    def get_paginator(self, _operation: str) -> Any:
        """For list_objects_v2, the one listing that is used."""

        def paginate(*, Prefix: str, **_: Any) -> Iterator[dict[str, Any]]:  # noqa: N803
            self._happens()
            yield {"Contents": [{"Key": key} for key in sorted(self.objects) if key.startswith(Prefix)]}

        return SimpleNamespace(paginate=paginate)


def _etag(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


@dataclass
class Shard:
    """A shard of the stream, and where in all that was written its records are."""

    parent: str
    first: int
    """Number of the first record that it can have."""
    records: list[int] = field(default_factory=list)
    closed: bool = False


class Kinesis:
    """The stream: it takes a moment to show what it took, its shards are split, and now and then it fails."""

    def __init__(self, step: Callable[[], None]) -> None:
        self.written: list[bytes] = []
        self.shards = {"shard-0": Shard("", 0)}
        self.lag = 0
        """Records that are not shown right after they were written."""
        self.hidden = 0
        self.faults: list[str] = []
        """Of PutRecords, one request after the other: `lost` (its answer), or the index of a record that is refused."""
        self.unreadable: list[str] = []
        """Of GetRecords: error codes, or nothing."""
        self._step = step

    @property
    def shown(self) -> list[bytes]:
        """The records that can be read by now."""
        return self.written[: len(self.written) - self.hidden]

    def wait(self, _seconds: float = 0.0) -> None:
        """Time passes."""
        self.hidden = max(0, self.hidden - 1)
        self._step()

    def split(self) -> None:
        """Replace the open shard by two; the records' key goes to the second."""
        name, shard = next((name, one) for name, one in self.shards.items() if not one.closed)
        shard.closed = True
        for half in ("a", "b"):
            child = Shard(name, len(self.written), closed=half == "a")
            self.shards[f"shard-{len(self.shards)}{half}"] = child

    def put_records(self, *, Records: Sequence[Mapping[str, Any]], **_: Any) -> dict[str, Any]:  # noqa: N803
        """Take records."""
        self._step()
        fault = self.faults.pop() if self.faults else ""
        name, shard = next((name, one) for name, one in self.shards.items() if not one.closed)
        answers: list[dict[str, Any]] = []
        for index, record in enumerate(Records):
            if fault == str(index):
                answers.append({"ErrorCode": "ProvisionedThroughputExceededException"})
                continue
            shard.records.append(len(self.written))
            answers.append({"ShardId": name, "SequenceNumber": str(len(self.written))})
            self.written.append(record["Data"])
            self.hidden = min(self.lag, self.hidden + 1)
        self._step()
        if fault == "lost":
            raise ConnectTimeoutError(endpoint_url="https://kinesis")
        return {"Records": answers}

    def get_shard_iterator(self, *, ShardId: str, StartingSequenceNumber: str = "-1", **_: Any) -> dict[str, Any]:  # noqa: N803
        """A place in a shard."""
        return {"ShardIterator": f"{ShardId} {int(StartingSequenceNumber) + 1}"}

    def get_records(self, *, ShardIterator: str) -> dict[str, Any]:  # noqa: N803
        """A few records from a place on."""
        self._step()
        code = self.unreadable.pop() if self.unreadable else ""
        if code:
            raise ClientError({"Error": {"Code": code}}, "GetRecords")
        name, _, number = ShardIterator.partition(" ")
        shard = self.shards[name]
        left = [one for one in shard.records if one >= int(number)]
        shown = [one for one in left if one < len(self.shown)]
        found = shown[:PAGE]
        over = shard.closed and len(found) == len(left)
        following = None if over else f"{name} {found[-1] + 1 if found else int(number)}"
        return {
            "Records": [{"SequenceNumber": str(one), "Data": self.written[one]} for one in found],
            "NextShardIterator": following,
            "MillisBehindLatest": 0 if found == shown else 1000,
        }

    def list_shards(self, **_: Any) -> dict[str, Any]:
        """All shards."""
        whole = 2**128
        ranges = {"a": (0, 0), "b": (1, whole - 1)}
        return {
            "Shards": [
                {
                    "ShardId": name,
                    "ParentShardId": shard.parent,
                    "HashKeyRange": dict(
                        zip(
                            ("StartingHashKey", "EndingHashKey"),
                            map(str, ranges.get(name[-1], (0, whole - 1))),
                            strict=True,
                        )
                    ),
                    "SequenceNumberRange": {"StartingSequenceNumber": str(shard.first)},
                }
                for name, shard in self.shards.items()
            ]
        }
