"""A run over many invocations: what its portions hold is what one invocation would have read, whatever befalls them."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from tests.account import ACCOUNT_ID, REGION, TestAccount
from topology import spread
from topology.declare import Resource
from topology.elements import Scope
from topology.errors import AnotherRun, Throttled
from topology.records import Record
from topology.resources import cloudformation, ec2, kinesis, sns, sqs
from topology.snapshot import Run
from topology.state import StateStore

Open = Callable[..., TestAccount]

BUCKET = "state"
PREFIX = "state/1000/"
BEGAN = 1795245449.0
PLENTY_SECONDS = 900.0
STACK = {
    "Resources": {
        "Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "of-a-stack"}},
        "Topic": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "of-a-stack"}},
    }
}


@dataclass
class Clock:
    """Seconds left to an invocation."""

    left: float = PLENTY_SECONDS

    def __call__(self) -> float:
        return self.left


@dataclass
class Machine:
    """What the state machine does with topo-cron, step by step; every step is another process."""

    account: TestAccount
    store: StateStore
    clock: Clock = field(default_factory=Clock)
    events: list[dict[str, Any]] = field(default_factory=list)
    """What topo-cron was invoked with to read."""

    def run(self, snapshot: str) -> Run:
        run = Run([self.account.opened], Record("aws", ACCOUNT_ID, snapshot), self.store)
        run.ledger.began = BEGAN
        return run

    def plan(self, snapshot: str = "first") -> dict[str, Any]:
        planned: dict[str, Any] = json.loads(json.dumps(spread.plan(self.run(snapshot), self.store)))
        return planned

    def step(self, event: dict[str, Any]) -> dict[str, Any]:
        """Read one portion."""
        self.events.append(event)
        run = self.run(event["run"]["snapshot"])
        answer = spread.read_portion(run, self.store, json.loads(json.dumps(event)), self.clock)
        return dict(json.loads(json.dumps(answer)))

    def read(self, planned: dict[str, Any]) -> None:
        for scope in planned["scopes"]:
            event = {"run": planned, "scope": scope, "number": 0, "place": None, "attempt": 0, "done": False}
            while not event["done"]:
                event = self.step(event)

    def published(self, planned: dict[str, Any]) -> tuple[Run, set[bytes]]:
        run = self.run(planned["snapshot"])
        found = spread.resumed(run, planned, self.store)
        return run, published(run, found)


def published(run: Run, found: Any) -> set[bytes]:
    """The lines of the run's snapshot; its ledger is kept."""
    run.settle(found)
    kinds = ("components", "relations", "deletes", "events")
    lines = {line for data in run.records(found) for kind in kinds for line in Record.decode(data).lines[kind]}
    run.end()
    return lines


@pytest.fixture
def store(aws: boto3.Session) -> StateStore:
    client = aws.client("s3")
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    return StateStore(client, BUCKET, PREFIX)


@pytest.fixture
def machine(account: Open, store: StateStore) -> Callable[..., Machine]:
    def started(*resources: Resource) -> Machine:
        return Machine(account(*resources), store)

    return started


@pytest.fixture
def by_single_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every invocation has time for one page."""
    monkeypatch.setattr(spread, "STINT", 1)
    monkeypatch.setattr(spread, "KEEPING_SECONDS", PLENTY_SECONDS)


@pytest.fixture
def estate(aws: boto3.Session) -> None:
    """Things with relations in their scope and beyond it, made by a stack, and with telemetry."""
    aws.client("cloudformation").create_stack(StackName="shop", TemplateBody=json.dumps(STACK))
    topic = f"arn:aws:sns:{REGION}:{ACCOUNT_ID}:of-a-stack"
    queue = f"arn:aws:sqs:{REGION}:{ACCOUNT_ID}:of-a-stack"
    aws.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue)
    for number in range(3):
        aws.client("sqs").create_queue(QueueName=f"orders-{number}", tags={"number": str(number)})
    streams(aws, 12)
    vpc = aws.client("ec2").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = aws.client("ec2").create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]
    aws.client("ec2").run_instances(ImageId="ami-12c6146b", MinCount=2, MaxCount=2, SubnetId=subnet)
    gateway = aws.client("ec2").create_vpn_gateway(Type="ipsec.1")["VpnGateway"]["VpnGatewayId"]
    aws.client("ec2").attach_vpn_gateway(VpcId=vpc, VpnGatewayId=gateway)


def streams(aws: boto3.Session, count: int) -> None:
    for number in range(count):
        aws.client("kinesis").create_stream(StreamName=f"stream-{number:03}", ShardCount=1)


def topics(aws: boto3.Session, count: int) -> None:
    for number in range(count):
        aws.client("sns").create_topic(Name=f"topic-{number:03}")


EVERYTHING = (sqs.QUEUE, sns.TOPIC, kinesis.STREAM, *ec2.RESOURCES, cloudformation.STACK)


@pytest.mark.parametrize("single_pages", [False, True], ids=["in one portion each", "page by page"])
def test_the_portions_make_the_snapshot_that_one_invocation_makes(
    estate: None, machine: Callable[..., Machine], request: pytest.FixtureRequest, single_pages: bool
) -> None:
    if single_pages:
        request.getfixturevalue("by_single_pages")
    stage = machine(*EVERYTHING)
    whole = stage.run("whole")
    expected = published(whole, whole.read())

    planned = stage.plan()
    stage.read(planned)
    run, lines = stage.published(planned)

    assert lines == expected
    assert any(b"of-a-stack" in line and b"has resource" in line for line in lines)
    assert any(b"InstanceState" in line or b"ec2_state" in line for line in lines)
    assert run.ledger.closed
    assert run.ledger.components == whole.ledger.components
    assert (len(stage.events) > len(planned["scopes"])) == single_pages


@pytest.mark.parametrize(
    ("make", "count", "resource", "pages"),
    [
        pytest.param(topics, 250, sns.TOPIC, 3, id="by botocore's pages"),
        pytest.param(streams, 25, kinesis.STREAM, 3, id="by pages of our own"),
    ],
)
def test_a_scope_goes_on_from_its_page_token(
    aws: boto3.Session, machine: Callable[..., Machine], by_single_pages: None, make: Any, count: int,
    resource: Resource, pages: int,
) -> None:  # fmt: skip
    make(aws, count)
    stage = machine(resource)

    planned = stage.plan()
    stage.read(planned)
    run, _ = stage.published(planned)

    assert len(stage.events) == pages
    assert run.ledger.components.total() == count
    assert run.ledger.closed


def test_what_has_no_pages_is_read_at_once(
    estate: None, machine: Callable[..., Machine], by_single_pages: None
) -> None:
    stage = machine(ec2.VPN_GATEWAY)

    planned = stage.plan()
    stage.read(planned)
    run, _ = stage.published(planned)

    assert (len(stage.events), run.ledger.components.total()) == (1, 1)


def test_a_stint_ends_with_a_page_and_never_within_one(aws: boto3.Session, account: Open) -> None:
    topics(aws, 150)
    reader = account(sns.TOPIC).opened.clients[REGION]

    first, token = reader.stint(sns.TOPIC.listed_by, None, 7)
    rest, end = reader.stint(sns.TOPIC.listed_by, token, 7)

    assert (len(first), len(rest), end) == (100, 50, None)


def test_a_stint_that_runs_out_of_time_is_left_to_the_next_invocation(
    aws: boto3.Session, machine: Callable[..., Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spread, "STINT", 1)
    topics(aws, 150)
    stage = machine(sns.TOPIC)
    reader = stage.account.opened.clients[REGION]
    reader._remaining = stage.clock
    listings: list[Any] = []

    def listed(**_: Any) -> None:
        listings.append(None)
        if len(listings) == 2:
            stage.clock.left = 1

    reader.clients["sns"].meta.events.register("after-call.sns.ListTopics", listed)
    planned = stage.plan()
    [scope] = planned["scopes"]
    first = stage.step({"run": planned, "scope": scope})
    stage.clock.left = PLENTY_SECONDS
    second = stage.step(first)
    run, _ = stage.published(planned)

    assert (first["done"], second["done"]) == (False, True)
    assert run.ledger.lines[0].complete
    assert run.ledger.components.total() == 150


def test_an_invocation_that_has_no_time_for_its_first_page_leaves_the_scope_incomplete_and_ends(
    aws: boto3.Session, machine: Callable[..., Machine]
) -> None:
    topics(aws, 3)
    stage = machine(sns.TOPIC)
    stage.account.opened.clients[REGION]._remaining = lambda: 1.0

    planned = stage.plan()
    stage.read(planned)
    run, _ = stage.published(planned)

    assert {cause.error.cause for cause in run.ledger.lines[0].causes} == {"time ran out"}
    assert not run.ledger.closed


@pytest.mark.parametrize("damage", ["missing", "corrupt", "of nothing"])
def test_a_portion_that_cannot_be_used_makes_its_scope_incomplete_and_the_last_reading_stands_in(
    aws: boto3.Session, machine: Callable[..., Machine], by_single_pages: None, damage: str
) -> None:
    topics(aws, 150)
    queue = aws.client("sqs").create_queue(QueueName="orders")["QueueUrl"]
    stage = machine(sns.TOPIC, sqs.QUEUE)
    planned = stage.plan("healthy")
    stage.read(planned)
    stage.published(planned)
    aws.client("sqs").delete_queue(QueueUrl=queue)
    aws.client("sqs").create_queue(QueueName="invoices")

    planned = stage.plan("damaged")
    stage.read(planned)
    key = f"{PREFIX}portions/damaged/{ACCOUNT_ID}/{REGION}/sns/1.state"
    s3 = aws.client("s3")
    data = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    s3.delete_object(Bucket=BUCKET, Key=key)
    if damage != "missing":
        body = b"" if damage == "of nothing" else data[:-1] + bytes([data[-1] ^ 1])
        s3.put_object(Bucket=BUCKET, Key=key, Body=body)
    run, lines = stage.published(planned)

    states = {line.scope.service: (line.complete, line.components, line.replayed) for line in run.ledger.lines}
    assert states == {"sns": (False, 150, 50), "sqs": (True, 1, 0)}
    assert run.ledger.closed
    assert sum(b"NotReadSince" in line for line in lines) == 50
    assert any(b":invoices" in line for line in lines)
    assert not any(b":orders" in line for line in lines)


def test_what_was_throttled_is_tried_again_once_the_rest_is_kept_and_in_the_end_goes_on(
    aws: boto3.Session, machine: Callable[..., Machine]
) -> None:
    aws.client("sqs").create_queue(QueueName="orders")
    stage = machine(sqs.QUEUE)
    planned = stage.plan()
    [scope] = planned["scopes"]
    event = {"run": planned, "scope": scope, "attempt": 0}
    with Stubber(stage.account.client("sqs")) as stubber:
        for attempt in (0, spread.LAST_ATTEMPT):
            stubber.add_client_error("list_queues", "ThrottlingException")
            if attempt < spread.LAST_ATTEMPT:
                with pytest.raises(Throttled):
                    stage.step(event | {"attempt": attempt})
            else:
                assert stage.step(event | {"attempt": attempt})["done"]
    throttled, _ = stage.published(planned)

    planned = stage.plan("again")
    with Stubber(stage.account.client("sqs")) as stubber:
        stubber.add_client_error("list_queues", "ThrottlingException")
        with pytest.raises(Throttled):
            stage.step(event | {"run": planned})
    stage.step(event | {"run": planned, "attempt": 1})
    healed, lines = stage.published(planned)

    assert [cause.error.cause for cause in throttled.ledger.lines[0].causes] == ["throttled"]
    assert healed.ledger.lines[0].complete
    assert any(b":orders" in line for line in lines)


def test_a_cause_that_several_portions_had_is_told_once(
    aws: boto3.Session, machine: Callable[..., Machine], by_single_pages: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spread, "LAST_ATTEMPT", 0)
    streams(aws, 25)
    stage = machine(kinesis.STREAM)
    parsed = {"Error": {"Code": "Throttling", "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    answer = SimpleNamespace(status_code=400), parsed
    stage.account.client("kinesis").meta.events.register(
        "before-call.kinesis.DescribeStreamSummary", lambda **_: answer
    )

    planned = stage.plan()
    stage.read(planned)
    run, _ = stage.published(planned)

    assert len(stage.events) == 3
    assert [one.error.action for one in run.ledger.lines[0].causes] == ["kinesis:DescribeStreamSummary"]


def test_a_run_does_not_begin_while_another_goes_on_unless_that_fell_silent(
    aws: boto3.Session, machine: Callable[..., Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    aws.client("sqs").create_queue(QueueName="orders")
    stage = machine(sqs.QUEUE)
    planned = stage.plan("first")
    stage.plan("first")

    with pytest.raises(AnotherRun):
        stage.plan("second")

    monkeypatch.setattr(stage.store, "_clock", lambda: time.time() + spread.SILENCE_SECONDS + 1)
    stage.plan("second")
    with pytest.raises(AnotherRun):
        stage.read(planned)
    with pytest.raises(AnotherRun):
        stage.published(planned)


def test_every_step_says_that_the_run_goes_on(
    aws: boto3.Session, machine: Callable[..., Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = machine(sqs.QUEUE)
    planned = stage.plan()
    late = time.time() + spread.SILENCE_SECONDS - 1
    monkeypatch.setattr(time, "time", lambda: late)
    stage.read(planned)
    monkeypatch.setattr(stage.store, "_clock", lambda: late + 2)

    with pytest.raises(AnotherRun):
        stage.plan("second")


def test_a_run_that_is_over_is_not_published_again(aws: boto3.Session, machine: Callable[..., Machine]) -> None:
    aws.client("sqs").create_queue(QueueName="orders")
    stage = machine(sqs.QUEUE)
    planned = stage.plan()
    stage.read(planned)
    stage.published(planned)

    with pytest.raises(AnotherRun):
        stage.published(planned)


def test_what_a_run_that_died_left_is_removed_and_never_mixed_in(
    aws: boto3.Session, machine: Callable[..., Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = aws.client("sqs").create_queue(QueueName="orders")["QueueUrl"]
    stage = machine(sqs.QUEUE)
    dead = stage.plan("dead")
    stage.read(dead)
    aws.client("sqs").delete_queue(QueueUrl=url)
    aws.client("sqs").create_queue(QueueName="invoices")
    monkeypatch.setattr(stage.store, "_clock", lambda: time.time() + spread.SILENCE_SECONDS + 1)

    planned = stage.plan("next")
    left = aws.client("s3").list_objects_v2(Bucket=BUCKET, Prefix=f"{PREFIX}portions/").get("Contents", [])
    stage.read(planned)
    _, lines = stage.published(planned)

    assert left == []
    assert any(b":invoices" in line for line in lines)
    assert not any(b":orders" in line for line in lines)


def test_a_spread_run_is_not_advised_to_be_spread(aws: boto3.Session, machine: Callable[..., Machine]) -> None:
    aws.client("sqs").create_queue(QueueName="orders")
    stage = machine(sqs.QUEUE)
    planned = stage.plan() | {"began": time.time() - 7200}
    stage.read(planned)

    run, _ = stage.published(planned)

    assert run.ledger.ended - run.ledger.began > 7000
    assert run.ledger.advice == []


def test_a_scope_that_no_portion_tells_of_is_known_by_its_name(machine: Callable[..., Machine]) -> None:
    stage = machine(sqs.QUEUE, sns.TOPIC)

    planned = stage.plan()
    run = stage.run(planned["snapshot"])
    found = spread.resumed(run, planned, stage.store)

    assert {scope.name for scope in found.scopes} == {tuple(name.split("/")) for name in planned["scopes"]}
    assert all(isinstance(scope, Scope) and not fresh.line.complete for scope, fresh in found.scopes.items())
