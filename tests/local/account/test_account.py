"""The account as a whole: clients, events to targets, functions, the IAM gate, the sample estate."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from local.account import Account
from local.account.estate import build_estate
from local.account.iam import Gate

from .conftest import archive

ALLOW = {
    "Effect": "Allow",
    "Principal": {"Service": "events.amazonaws.com"},
    "Action": "sqs:SendMessage",
    "Resource": "*",
}


class Bus:
    """Rules and queues of an account."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.sqs, self.rules = account.client("sqs"), account.client("events")

    def queue(self, name: str, *statements: dict[str, Any]) -> str:
        policy = {"Policy": json.dumps({"Version": "2012-10-17", "Statement": list(statements)})} if statements else {}
        self.sqs.create_queue(QueueName=name, Attributes=policy)
        return f"arn:aws:sqs:eu-west-1:123456789012:{name}"

    def rule(self, pattern: dict[str, Any], **target: Any) -> None:
        self.rules.put_rule(Name="rule", EventPattern=json.dumps(pattern))
        self.rules.put_targets(Rule="rule", Targets=[{"Id": "target", **target}])

    def messages(self, name: str) -> list[dict[str, Any]]:
        self.account.events.settle()
        url = self.sqs.get_queue_url(QueueName=name)["QueueUrl"]
        found = self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"])
        return [{"event": json.loads(m["Body"]), **m} for m in found.get("Messages", [])]


@pytest.fixture
def bus(account: Account) -> Bus:
    return Bus(account)


def test_a_session_reaches_the_account_without_being_told_where_it_is(account: Account) -> None:
    account.session().client("sqs").create_queue(QueueName="here")

    assert account.client("sqs").get_queue_url(QueueName="here")["QueueUrl"].endswith("/123456789012/here")


def test_a_change_reaches_the_queue_of_a_rule(account: Account, bus: Bus) -> None:
    arn = bus.queue("changes", ALLOW)
    bus.rule(
        {"source": [{"prefix": "aws."}], "detail": {"eventName": ["CreateQueue"], "errorCode": [{"exists": False}]}},
        Arn=arn,
    )

    bus.queue("orders")
    account.client("sns").create_topic(Name="not-asked-for")

    [message] = bus.messages("changes")
    assert message["event"]["account"] == "123456789012"
    assert message["event"]["detail"]["requestParameters"]["queueName"] == "orders"


def test_an_event_that_a_queue_does_not_let_in_goes_to_the_dead_letters(bus: Bus) -> None:
    arn, dead = bus.queue("closed"), bus.queue("dead")
    bus.rule({"source": ["mine"]}, Arn=arn, DeadLetterConfig={"Arn": dead})

    bus.account.put_event({"source": "mine", "detail-type": "test", "detail": {"a": 1}})

    [message] = bus.messages("dead")
    assert message["event"]["detail"] == {"a": 1}
    assert message["MessageAttributes"]["ERROR_CODE"]["StringValue"] == "NO_PERMISSIONS"
    assert bus.messages("closed") == []


def test_an_event_for_a_queue_that_is_gone_goes_to_the_dead_letters(bus: Bus) -> None:
    dead = bus.queue("dead")
    bus.rule({"source": ["mine"]}, Arn="arn:aws:sqs:eu-west-1:123456789012:gone", DeadLetterConfig={"Arn": dead})

    bus.account.put_event({"source": "mine"})

    assert len(bus.messages("dead")) == 1


def test_a_target_can_ask_for_another_input(bus: Bus) -> None:
    transformer = {
        "InputPathsMap": {"who": "$.detail.name", "all": "$.detail"},
        "InputTemplate": '{"hello": "<who>", "all": <all>}',
    }
    bus.rule({"source": ["mine"]}, Arn=bus.queue("shaped", ALLOW), InputTransformer=transformer)

    bus.account.put_event({"source": "mine", "detail": {"name": "you"}})

    assert bus.messages("shaped")[0]["event"] == {"hello": "you", "all": {"name": "you"}}


def test_custom_events_go_through_and_those_of_aws_are_refused(bus: Bus) -> None:
    bus.rule({"detail": {"n": [1]}}, Arn=bus.queue("custom", ALLOW))

    entry = {"DetailType": "t", "Detail": json.dumps({"n": 1})}
    answer = bus.rules.put_events(Entries=[entry | {"Source": "mine"}, entry | {"Source": "aws.ec2"}])

    assert answer["FailedEntryCount"] == 1
    assert answer["Entries"][1]["ErrorCode"] == "NotAuthorizedForSourceException"
    [message] = bus.messages("custom")
    assert (message["event"]["source"], message["event"]["id"]) == ("mine", answer["Entries"][0]["EventId"])


@pytest.mark.parametrize(("state", "found"), [("running", True), ("stopped", False)])
def test_a_pattern_can_be_tried(bus: Bus, state: str, found: bool) -> None:
    event = {"id": "1", "source": "a", "detail": {"state": state}}
    pattern = json.dumps({"detail": {"state": ["running"]}})

    assert bus.rules.test_event_pattern(EventPattern=pattern, Event=json.dumps(event))["Result"] is found


@pytest.fixture
def function(account: Account, role: str) -> str:
    made = account.client("lambda").create_function(
        FunctionName="echo", Runtime="python3.13", Role=role, Handler="app.handler", Code={"ZipFile": archive()}
    )
    return str(made["FunctionArn"])


def test_invocations_go_to_whoever_runs_functions(account: Account, function: str) -> None:
    calls: list[tuple[str, bytes, bool]] = []

    def run(name: str, payload: bytes, asynchronous: bool) -> tuple[int, bytes, str | None]:
        calls.append((name, payload, asynchronous))
        return (202, b"", None) if asynchronous else (200, b'{"errorMessage": "no"}', "Unhandled")

    account.on_invoke(run)
    client = account.client("lambda")
    answer = client.invoke(FunctionName=function, Payload=b'{"a": 1}')
    later = client.invoke(FunctionName="echo", InvocationType="Event", Payload=b"{}")

    assert (answer["FunctionError"], json.load(answer["Payload"])) == ("Unhandled", {"errorMessage": "no"})
    assert later["StatusCode"] == 202
    assert calls == [("echo", b'{"a": 1}', False), ("echo", b"{}", True)]
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.invoke(FunctionName="none")


def test_a_rule_starts_a_function_that_lets_it(account: Account, bus: Bus, function: str) -> None:
    calls: list[str] = []

    def run(name: str, payload: bytes, asynchronous: bool) -> tuple[int, bytes, str | None]:
        calls.append(f"{name} {asynchronous}")
        return 202, b"", None

    account.on_invoke(run)
    bus.rule({"source": ["mine"]}, Arn=function)

    account.put_event({"source": "mine"})
    account.events.settle()
    assert calls == []

    permission = {"StatementId": "rule", "Action": "lambda:InvokeFunction", "Principal": "events.amazonaws.com"}
    account.client("lambda").add_permission(FunctionName="echo", **permission)
    account.put_event({"source": "mine"})
    account.events.settle()
    assert calls == ["echo True"]


def test_messages_for_a_mapped_function_stay_in_the_queue_until_they_are_polled(bus: Bus, function: str) -> None:
    arn = bus.queue("work")
    bus.account.client("lambda").create_event_source_mapping(FunctionName="echo", EventSourceArn=arn)
    url = bus.sqs.get_queue_url(QueueName="work")["QueueUrl"]

    bus.sqs.send_message(QueueUrl=url, MessageBody='{"a": 1}')

    assert len(bus.messages("work")) == 1


POLICY = {
    "Statement": [
        {"Effect": "Allow", "Action": ["ec2:Describe*", "s3:ListAllMyBuckets", "apigateway:GET"], "Resource": "*"}
    ]
}
CALLS: list[tuple[str, Callable[[Any], Any], str]] = [
    ("ec2", lambda ec2: ec2.create_vpc(CidrBlock="10.0.0.0/16"), "UnauthorizedOperation"),
    ("sqs", lambda sqs: sqs.list_queues(), "AccessDenied"),
    ("lambda", lambda functions: functions.list_functions(), "AccessDeniedException"),
    ("s3", lambda s3: s3.create_bucket(Bucket="no-1"), "AccessDenied"),
    ("cloudformation", lambda stacks: stacks.describe_stacks(), "AccessDenied"),
    ("kinesis", lambda kinesis: kinesis.list_streams(), "AccessDeniedException"),
]


@pytest.mark.parametrize(("service", "call", "code"), CALLS, ids=[row[0] for row in CALLS])
def test_the_gate_lets_through_what_a_policy_allows_and_nothing_else(
    account: Account, service: str, call: Callable[[Any], Any], code: str
) -> None:
    account.gate = Gate({"LIMITED": [POLICY]})

    def client(name: str) -> Any:
        return boto3.Session("LIMITED", "x", region_name="eu-west-1").client(name, endpoint_url=account.endpoint)

    with pytest.raises(ClientError) as refused:
        call(client(service))
    assert code in refused.value.response["Error"]["Code"]
    assert account.gate.denied[0].startswith(f"{service}:")
    client("ec2").describe_vpcs()
    client("s3").list_buckets()
    client("apigateway").get_rest_apis()
    assert len(account.gate.denied) == 1
    account.client("sqs").list_queues()


def test_the_estate_is_worth_looking_at(account: Account, events: list[dict[str, Any]]) -> None:
    started = time.monotonic()
    build_estate(account.client)

    made = [event["detail"] for event in events if event["detail"].get("eventName", "").startswith(("Create", "Run"))]
    assert len(made) > 120
    assert not [event for event in events if "errorCode" in event["detail"]]
    stacks = account.client("cloudformation").describe_stacks()["Stacks"]
    assert {stack["StackStatus"] for stack in stacks} == {"CREATE_COMPLETE"}
    assert [stack["StackName"] for stack in stacks if "ParentId" not in stack].sort() == [
        "accounting",
        "monitoring",
    ].sort()
    assert len(stacks) == 3
    assert time.monotonic() - started < 120
