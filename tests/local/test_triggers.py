import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from local.functions import Functions
from local.triggers import Triggers

NOW = datetime(2026, 2, 3, 10, 20, 30, tzinfo=UTC)
WORKER = """
import json
def handler(event, context):
    print(json.dumps(event))
    if event.get("fail"):
        raise RuntimeError("asked to")
"""


@pytest.fixture
def triggers(account: Any, functions: Functions) -> Iterator[Triggers]:
    running = Triggers(account, functions, retry_seconds=(0.1, 0.2))
    yield running
    running.close()


def deploy(account: Any, name: str = "worker", allowed: bool = True, **settings: Any) -> str:
    arn: str = account.deploy(name, WORKER, **settings)
    if allowed:
        account.client("lambda").add_permission(
            FunctionName=name, StatementId="rule", Action="lambda:InvokeFunction", Principal="events.amazonaws.com"
        )
    return arn


def events(functions: Functions, name: str = "worker") -> list[Any]:
    return [json.loads(line) for line in functions.logs(name) if line.startswith("{")]


def schedule(account: Any, target: str, expression: str = "rate(1 hour)", **settings: Any) -> str:
    client = account.client("events")
    arn: str = client.put_rule(Name="hourly", ScheduleExpression=expression)["RuleArn"]
    client.put_targets(Rule="hourly", Targets=[{"Id": "1", "Arn": target} | settings])
    return arn


def test_a_rate_fires_one_period_after_the_rule_is_there_and_then_every_period(
    account: Any, functions: Functions, triggers: Triggers, eventually: Any
) -> None:
    rule = schedule(account, deploy(account))

    triggers.look(NOW)
    triggers.look(NOW + timedelta(minutes=59))
    assert not events(functions)

    for minutes in (60, 61, 120):
        triggers.look(NOW + timedelta(minutes=minutes))

    eventually(lambda: len(events(functions)) == 2)
    event = min(events(functions), key=lambda found: found["time"])
    assert event["time"] == "2026-02-03T11:20:30Z"
    assert event["detail-type"] == "Scheduled Event"
    assert event["source"] == "aws.events"
    assert event["resources"] == [rule]


def test_a_target_gets_the_input_of_its_rule(
    account: Any, functions: Functions, triggers: Triggers, eventually: Any
) -> None:
    schedule(account, deploy(account), Input='{"kind": "snapshot"}')

    triggers.fire_now("hourly")

    eventually(lambda: events(functions) == [{"kind": "snapshot"}])


def test_a_disabled_rule_does_not_fire(account: Any, functions: Functions, triggers: Triggers) -> None:
    schedule(account, deploy(account))
    account.client("events").disable_rule(Name="hourly")

    with pytest.raises(LookupError):
        triggers.fire_now("hourly")


def test_a_rule_without_permission_invokes_nothing(
    account: Any, functions: Functions, triggers: Triggers, caplog: pytest.LogCaptureFixture
) -> None:
    schedule(account, deploy(account, allowed=False))

    triggers.fire_now("hourly")

    assert "its policy does not allow" in caplog.text
    assert not events(functions)


def test_a_schedule_that_is_not_understood_is_named_and_stops_nothing(
    account: Any, triggers: Triggers, caplog: pytest.LogCaptureFixture
) -> None:
    schedule(account, deploy(account), "cron(0 0 L * ? *)")

    triggers.look(NOW)

    assert "rule/hourly never fires" in caplog.text


def test_schedules_of_eventbridge_scheduler_fire_too(
    account: Any, functions: Functions, triggers: Triggers, eventually: Any
) -> None:
    account.client("scheduler").create_schedule(
        Name="often",
        ScheduleExpression="rate(5 minutes)",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={
            "Arn": deploy(account),
            "RoleArn": "arn:aws:iam::123456789012:role/scheduler",
            "Input": '{"from": "it"}',
        },
    )

    triggers.look(NOW)
    triggers.look(NOW + timedelta(minutes=5))

    eventually(lambda: events(functions) == [{"from": "it"}])


def test_an_asynchronous_event_that_fails_is_tried_three_times_and_ends_in_the_dead_letter_queue(
    account: Any, functions: Functions, triggers: Triggers, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sqs = account.client("sqs")
    url = sqs.create_queue(QueueName="dead")["QueueUrl"]
    settings = {"TargetArn": "arn:aws:sqs:eu-west-1:123456789012:dead"}
    configured = {"FunctionArn": deploy(account), "DeadLetterConfig": settings}
    # moto forgets the setting; AWS answers with it.
    monkeypatch.setattr(triggers._lambda, "get_function_configuration", lambda **_: configured)

    assert triggers.invoke("worker", b'{"fail": 1}', asynchronous=True) == (202, b"", None)

    [message] = eventually(lambda: sqs.receive_message(QueueUrl=url, MessageAttributeNames=["All"]).get("Messages"))
    assert json.loads(message["Body"]) == {"fail": 1}
    assert message["MessageAttributes"]["ErrorCode"]["StringValue"] == "200"
    assert len(events(functions)) == 3


def test_settings_of_asynchronous_invocation_limit_retries_and_name_a_destination(
    account: Any, functions: Functions, triggers: Triggers, eventually: Any
) -> None:
    sqs = account.client("sqs")
    url = sqs.create_queue(QueueName="failures")["QueueUrl"]
    deploy(account)
    account.client("lambda").put_function_event_invoke_config(
        FunctionName="worker",
        MaximumRetryAttempts=0,
        DestinationConfig={"OnFailure": {"Destination": "arn:aws:sqs:eu-west-1:123456789012:failures"}},
    )

    triggers.invoke("worker", b'{"fail": 1}', asynchronous=True)

    [message] = eventually(lambda: sqs.receive_message(QueueUrl=url).get("Messages"))
    record = json.loads(message["Body"])
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["requestContext"]["approximateInvokeCount"] == 1
    assert record["requestPayload"] == {"fail": 1}
    assert record["responsePayload"]["errorType"] == "RuntimeError"
    assert len(events(functions)) == 1


def test_mappings_are_found_changed_and_dropped_while_it_runs(
    account: Any, functions: Functions, triggers: Triggers, eventually: Any
) -> None:
    url = account.client("sqs").create_queue(QueueName="work")["QueueUrl"]
    function = deploy(account)
    triggers.look(NOW)
    mapping = account.client("lambda").create_event_source_mapping(
        EventSourceArn="arn:aws:sqs:eu-west-1:123456789012:work", FunctionName=function
    )
    triggers.look(NOW)
    account.client("sqs").send_message(QueueUrl=url, MessageBody="hello")
    eventually(lambda: events(functions))
    poller, _, thread = triggers._pollers[mapping["UUID"]]

    account.client("lambda").update_event_source_mapping(UUID=mapping["UUID"], BatchSize=3)
    triggers.look(NOW)
    assert poller.mapping["BatchSize"] == 3

    account.client("lambda").delete_event_source_mapping(UUID=mapping["UUID"])
    triggers.look(NOW)
    thread.join(timeout=10)
    assert not thread.is_alive()


def test_a_stream_reaches_its_function(account: Any, functions: Functions, triggers: Triggers, eventually: Any) -> None:
    kinesis = account.client("kinesis")
    kinesis.create_stream(StreamName="records", ShardCount=1)
    arn = kinesis.describe_stream(StreamName="records")["StreamDescription"]["StreamARN"]
    account.client("lambda").create_event_source_mapping(
        EventSourceArn=arn, FunctionName=deploy(account), StartingPosition="TRIM_HORIZON"
    )
    triggers.start()

    kinesis.put_record(StreamName="records", PartitionKey="k", Data=b"x")

    eventually(lambda: events(functions))
    assert events(functions)[0]["Records"][0]["kinesis"]["partitionKey"] == "k"
