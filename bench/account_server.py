"""A synthetic AWS account on a local port, that counts the calls it gets and makes them slow, throttled or forbidden.

    python -m bench.account_server --scale 100 --port 5600

moto keeps the account. What it answered to a read once is answered from memory from then on, since a moto call takes
up to 50 ms of Python and would be what is measured otherwise: run a collector once before measuring it. Any AWS client
works with it: AWS_ENDPOINT_URL=http://127.0.0.1:5600.

Beside AWS's API it has, in JSON:

    GET  /__calls           what was called since the last reset
    POST /__calls/reset
    POST /__config          latency_ms, throttle_rate, deny (["lambda:ListFunctions", …]), throttle, slow, slow_ms, seed
    GET  /__events          with --events: what CloudTrail and EC2 told of the calls since the last time
    GET  /__inventory       what was seeded: [{"kind": component type, "aliases": [component id]}, …]
"""

import argparse
import asyncio
import gc
import json
import random
import re
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

from moto.moto_api import state_manager
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.test import EnvironBuilder, run_wsgi_app

from bench import seed
from local.account.cloudtrail import CloudTrail
from local.account.wire import Answer, Call, buffered, recognise

SIGNED_FOR = re.compile(r"Credential=[^/]+/\d{8}/([^/]+/[^/]+)/")
READS = ("Batch", "Describe", "Get", "Head", "List")
DENIED = {"ec2": "UnauthorizedOperation", "json": "AccessDeniedException", "rest-json": "AccessDeniedException"}
DENIED_BY = {"sns": "AuthorizationError", "sqs": "AccessDenied"}
THROTTLED = {"ec2": "RequestLimitExceeded", "json": "ThrottlingException", "rest-json": "TooManyRequestsException"}
THROTTLED_BY = {"kinesis": "LimitExceededException", "s3": "SlowDown", "sqs": "RequestThrottled"}
THROTTLED_STATUS = {"ec2": 503, "s3": 503, "apigateway": 429, "lambda": 429}


class Request(NamedTuple):
    """An HTTP request; two of the same get the same answer."""

    method: str
    target: str
    scope: str
    """Region and service that it is signed for."""
    headers: tuple[tuple[str, str], ...]
    """Those that change what is asked for."""
    body: bytes


@dataclass
class Faults:
    """What the account does to calls."""

    latency_ms: float = 0
    throttle_rate: float = 0
    deny: list[str] = field(default_factory=list)
    throttle: list[str] = field(default_factory=list)
    """Operations that are refused for their rate, every time."""
    slow: list[str] = field(default_factory=list)
    """Operations that take `slow_ms`."""
    slow_ms: float = 0
    seed: int = 1


# ------------------------------------------------------------------------------- where moto does not do what AWS does


class Paging(NamedTuple):
    """How AWS pages a REST operation that moto answers in one piece."""

    items: str
    token: str
    """Parameter that has the token; `answered`: field of the answer that has it."""
    answered: str
    limit: str
    default: int
    most: int


PAGINGS = {
    "lambda:ListFunctions": Paging("Functions", "Marker", "NextMarker", "MaxItems", 50, 50),
    "lambda:ListEventSourceMappings": Paging("EventSourceMappings", "Marker", "NextMarker", "MaxItems", 100, 100),
    "apigateway:GetRestApis": Paging("item", "position", "position", "limit", 25, 500),
    "apigateway:GetResources": Paging("item", "position", "position", "limit", 25, 500),
}
# The size of a page where nobody asks for one. To a list of ARNs the tagging API has no pages at all.
LIMITS = {
    "firehose:ListDeliveryStreams": {"Limit": 10},
    "kinesis:ListStreams": {"Limit": 100},
    "resourcegroupstaggingapi:GetResources": {"ResourcesPerPage": 100, "TagsPerPage": 500},
}
# What moto has not implemented, with what AWS answers for what was seeded.
ANSWERS: dict[str, dict[str, Any]] = {"route53domains:ListTagsForDomain": {"TagList": []}}
# AWS takes a function's ARN wherever it takes its name.
FUNCTION_ARN = re.compile(r"/functions/arn(?::|%3A)[^/]*?function(?::|%3A)([^/:%?]+)", re.IGNORECASE)


def one_page(whole: Answer, paging: Paging, asked: dict[str, str]) -> Answer:
    """The page of an answer that the request asked for."""
    answer = json.loads(whole.body)
    start = int(asked.get(paging.token, 0))
    end = start + min(int(asked.get(paging.limit, paging.default)), paging.most)
    items = answer.get(paging.items) or []
    answer[paging.items] = items[start:end]
    if end < len(items):
        answer[paging.answered] = str(end)
    return replaced(whole, json.dumps(answer).encode())


def replaced(answer: Answer, body: bytes) -> Answer:
    """The answer with another body."""
    headers = {name: value for name, value in answer.headers.items() if name.lower() != "content-length"}
    return Answer(answer.status, headers, body)


def without_methods(answer: Answer, request: Request) -> Answer:
    """API Gateway tells the methods' names only, unless it is asked to embed the methods."""
    if "embed=methods" in request.target:
        return answer
    whole = json.loads(answer.body)
    for resource in whole.get("item", []):
        if methods := resource.get("resourceMethods"):
            resource["resourceMethods"] = {verb: {} for verb in methods}
    return replaced(answer, json.dumps(whole).encode())


def with_regions(answer: Answer, request: Request) -> Answer:
    """S3 names the buckets' regions where a page was asked for; here they are all in one."""
    if "max-buckets=" not in request.target and "bucket-region=" not in request.target:
        return answer
    region = f"<BucketRegion>{seed.REGION}</BucketRegion></Bucket>".encode()
    return replaced(answer, answer.body.replace(b"</Bucket>", region))


def with_aws_urls(answer: Answer, _request: Request) -> Answer:
    """Queues have URLs of AWS, not of the host that was asked."""
    aws = b"https://sqs.%s.amazonaws.com/" % seed.REGION.encode()
    return replaced(answer, re.sub(rb"http://[^/\s\"]+/(?=\d{12}/)", aws, answer.body))


REPAIRS: dict[str, Callable[[Answer, Request], Answer]] = {
    "apigateway:GetResources": without_methods,
    "s3:ListBuckets": with_regions,
    "sqs:CreateQueue": with_aws_urls,
    "sqs:ListQueues": with_aws_urls,
}


class Account:
    """The seeded account: who asks moto, and what was asked so far."""

    def __init__(self, inventory: list[dict[str, Any]], *, with_events: bool = False) -> None:
        self.inventory = inventory
        self.events: list[dict[str, Any]] = []
        self._trail = CloudTrail(lambda event: self.events.append(dict(event))) if with_events else None
        self.faults = Faults()
        self.calls: Counter[str] = Counter()
        self.requests: Counter[Request] = Counter()
        """Those that were answered, by what they asked for."""
        self._random = random.Random(self.faults.seed)
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._thread = ThreadPoolExecutor(1)  # moto is not thread-safe
        self._known: dict[Request, Call | None] = {}
        self._answers: dict[Request, Answer] = {}

    async def answer(self, request: Request) -> Answer:
        """The answer to a request of AWS's API, after the time that it takes."""
        due = asyncio.get_running_loop().time() + self.faults.latency_ms / 1000
        if request not in self._known:
            self._known[request] = recognise(buffered(environ(request)))
        call = self._known[request]
        name = f"{call.service}:{call.operation}" if call else "unknown"
        self.calls[name] += 1
        if name in self.faults.slow:
            due += self.faults.slow_ms / 1000
        answer = self._refusal(call, name) if call else None
        if answer is None:
            self.requests[request] += 1
            answer = call.answer(ANSWERS[name]) if call and name in ANSWERS else await self._given(request, name, call)
        await asyncio.sleep(due - asyncio.get_running_loop().time())
        return answer

    def _refusal(self, call: Call, name: str) -> Answer | None:
        if name in self.faults.deny or f"{call.service}:*" in self.faults.deny:
            self.calls["denied"] += 1
            code = DENIED_BY.get(call.service) or DENIED.get(call.protocol, "AccessDenied")
            return call.refuse(code, f"User bench is not authorized to perform: {name}", 403)
        throttled = self.faults.throttle_rate and self._random.random() < self.faults.throttle_rate
        if throttled or name in self.faults.throttle:
            self.calls["throttled"] += 1
            code = THROTTLED_BY.get(call.service) or THROTTLED.get(call.protocol, "Throttling")
            return call.refuse(code, "Rate exceeded", THROTTLED_STATUS.get(call.service, 400))
        return None

    async def _given(self, request: Request, name: str, call: Call | None) -> Answer:
        if request not in self._answers:
            loop = asyncio.get_running_loop()
            answer = await loop.run_in_executor(self._thread, self._recorded, request, name, call)
            if not name.rpartition(":")[2].startswith(READS):
                self._answers.clear()
                return answer
            self._answers[request] = answer
        return self._answers[request]

    def _recorded(self, request: Request, name: str, call: Call | None) -> Answer:
        """What AWS answers, and tells of the call."""
        answer = self._as_aws(request, name)
        if self._trail and call:
            self._trail.record(call, answer)
        return answer

    def _as_aws(self, request: Request, name: str) -> Answer:
        """What moto answers, as AWS would have put it."""
        path, _, query = request.target.partition("?")
        asked = dict(parse_qsl(query))
        if name.startswith("lambda:"):
            path = FUNCTION_ARN.sub(r"/functions/\1", path)
        sent = request
        if paging := PAGINGS.get(name):
            rest = {key: value for key, value in asked.items() if key not in {paging.token, paging.limit}}
            sent = request._replace(target=f"{path}?{urlencode(rest)}")
        elif name in LIMITS:
            sent = request._replace(body=json.dumps(LIMITS[name] | json.loads(request.body or b"{}")).encode())
        else:
            sent = request._replace(target=path + (f"?{query}" if query else ""))
        answer = self._from_moto(sent)
        if answer.ok and name in REPAIRS:
            answer = REPAIRS[name](answer, request)
        return one_page(answer, paging, asked) if answer.ok and paging else answer

    def _from_moto(self, request: Request) -> Answer:
        try:
            body, status, headers = run_wsgi_app(self._moto, environ(request), buffered=True)
        except NotImplementedError as missing:
            return Answer(501, {"Content-Type": "application/json"}, json.dumps({"message": str(missing)}).encode())
        kept = {name: value for name, value in headers.items() if name.lower() not in {"connection", "content-length"}}
        return Answer(int(status.split()[0]), kept, b"".join(body))

    def control(self, method: str, path: str, body: bytes) -> Any:
        """The answer to a request of the benchmark's own; None: there is no such thing."""
        match method, path:
            case "GET", "/__calls":
                return self.report()
            case "POST", "/__calls/reset":
                self.calls.clear()
                self.requests.clear()
                self._random = random.Random(self.faults.seed)
                return {}
            case "POST", "/__config":
                self.faults = Faults(**{**asdict(self.faults), **json.loads(body or b"{}")})
                self._random = random.Random(self.faults.seed)
                return asdict(self.faults)
            case "GET", "/__events":
                told, self.events[:] = list(self.events), []
                return told
            case "GET", "/__inventory":
                return self.inventory
        return None

    def report(self) -> dict[str, Any]:
        """The calls by service and by operation, those that were refused, and what was answered more than once."""
        operations = {name: {"calls": count} for name, count in sorted(self.calls.items()) if ":" in name}
        services: Counter[str] = Counter()
        for name, row in operations.items():
            services[name.partition(":")[0]] += row["calls"]
        return {
            "total": services.total(),
            "throttled": self.calls["throttled"],
            "denied": self.calls["denied"],
            "by_service": dict(services),
            "by_operation": operations,
            "repeated": [
                f"{one.method} {one.target} {one.body!r}" for one, count in self.requests.items() if count > 1
            ],
        }


def environ(request: Request) -> dict[str, Any]:
    """The request as WSGI has it."""
    path, _, query = request.target.partition("?")
    region, _, service = request.scope.partition("/")
    signed = (
        f"AWS4-HMAC-SHA256 Credential=bench/20260101/{region}/{service}/aws4_request, SignedHeaders=host, Signature=0"
    )
    headers = [*request.headers, ("Authorization", signed), ("Host", "127.0.0.1")]
    built = EnvironBuilder(path, "http://127.0.0.1", query, method=request.method, headers=headers, data=request.body)
    made = dict(built.get_environ())
    made["RAW_URI"] = made["REQUEST_URI"] = request.target
    return made


# ------------------------------------------------------------------------------------------------------------- HTTP

# Of a request's headers, those that change what is asked for.
MEANT = ("content-type", "x-amz-target", "smithy-protocol")


class Connection(asyncio.Protocol):
    """As much of HTTP/1.1 as AWS's clients speak: one request after the other, with a length, kept alive."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._buffer = bytearray()
        self._busy = False
        self._transport: Any = None
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where answers go."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Serve the request, once it is whole."""
        self._buffer += data
        if self._busy or (end := self._buffer.find(b"\r\n\r\n")) < 0:
            return
        first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        stop = end + 4 + int(headers.get("content-length", 0))
        if len(self._buffer) < stop:
            return
        body = bytes(self._buffer[end + 4 : stop])
        del self._buffer[:stop]
        method, target, _ = first.split(" ")
        self._busy = True
        self._task = asyncio.get_running_loop().create_task(self._serve(method, target, headers, body))

    async def _serve(self, method: str, target: str, headers: dict[str, str], body: bytes) -> None:
        if target.startswith("/__"):
            found = self._account.control(method, target, body)
            answer = Answer(200 if found is not None else 404, {}, json.dumps(found).encode())
        else:
            scope = SIGNED_FOR.search(headers.get("authorization", ""))
            meant = tuple((name, headers[name]) for name in MEANT if name in headers)
            request = Request(method, target, scope[1] if scope else "", meant, body)
            answer = await self._account.answer(request)
        head = [f"HTTP/1.1 {answer.status} -", *(f"{name}: {value}" for name, value in answer.headers.items())]
        head += [f"Content-Length: {len(answer.body)}", "", ""]
        self._transport.write("\r\n".join(head).encode("latin-1") + (b"" if method == "HEAD" else answer.body))
        self._busy = False
        if self._buffer:
            self.data_received(b"")


async def serve(account: Account, port: int) -> None:
    """Serve until the process is ended."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(account), "127.0.0.1", port, backlog=1024)
    print(f"ready on http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    async with server:
        await server.serve_forever()


def main() -> None:
    """Seed and serve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=int, default=100)
    parser.add_argument("--port", type=int, default=5600, help="0: any free one")
    parser.add_argument("--events", action="store_true", help="keep the events of calls that change something")
    arguments = parser.parse_args()
    # moto's serialisers miss our refusals in the services' models, and write them as they should be all the same.
    warnings.filterwarnings("ignore", "Exception.*does not match an error shape")
    # moto's tasks go a step towards their end whenever they are described.
    state_manager.set_transition("ecs::task", {"progression": "manual", "times": sys.maxsize})
    account = Account(seed.seeded(arguments.scale), with_events=arguments.events)
    print(f"seeded {len(account.inventory)} resources", file=sys.stderr, flush=True)
    gc.collect()
    gc.freeze()
    asyncio.run(serve(account, arguments.port))


if __name__ == "__main__":
    main()
