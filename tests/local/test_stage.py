"""The parts of the stage together: the account as it is served, its functions, and what happens between services."""

import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from local.account import Account, running_account
from local.functions import Functions
from local.triggers import Triggers

CODE = """
import json
def handler(event, context):
    print(json.dumps(event))
    return {"echo": event}
"""
TRUST = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "lambda.amazonaws.com"}}


@dataclass
class Stage:
    account: Account
    functions: Functions

    def events(self) -> list[Any]:
        return [json.loads(line) for line in self.functions.logs("worker") if line.startswith("{")]


@pytest.fixture
def stage() -> Iterator[Stage]:
    with running_account() as account:
        functions = Functions(account)
        triggers = Triggers(account, functions)
        account.on_invoke(triggers.invoke)
        triggers.start()
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as files:
            files.writestr("app.py", CODE)
        trust = json.dumps({"Version": "2012-10-17", "Statement": [TRUST]})
        role = account.client("iam").create_role(RoleName="worker", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
        function = {"Runtime": "python3.13", "Handler": "app.handler", "Code": {"ZipFile": archive.getvalue()}}
        account.client("lambda").create_function(FunctionName="worker", Role=role, Timeout=5, **function)
        yield Stage(account, functions)
        account.client("lambda").delete_function(FunctionName="worker")
        account.client("iam").delete_role(RoleName="worker")
        triggers.close()
        functions.close()


def test_a_client_of_the_account_invokes_functions_at_once_and_later(stage: Stage, eventually: Any) -> None:
    client = stage.account.client("lambda")

    now = client.invoke(FunctionName="worker", Payload=b'{"n": 1}')
    later = client.invoke(FunctionName="worker", Payload=b'{"n": 2}', InvocationType="Event")

    assert (now["StatusCode"], json.loads(now["Payload"].read())) == (200, {"echo": {"n": 1}})
    assert later["StatusCode"] == 202
    eventually(lambda: stage.events() == [{"n": 1}, {"n": 2}])
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.invoke(FunctionName="nobody")


def test_an_event_goes_by_rule_and_queue_to_a_function(stage: Stage, eventually: Any) -> None:
    sqs, events, functions = (stage.account.client(service) for service in ("sqs", "events", "lambda"))
    url = sqs.create_queue(QueueName="events")["QueueUrl"]
    queue = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    allow = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage"}
    policy = {"Version": "2012-10-17", "Statement": [allow | {"Resource": queue}]}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
    events.put_rule(Name="orders", EventPattern='{"source": ["shop"]}')
    events.put_targets(Rule="orders", Targets=[{"Id": "queue", "Arn": queue}])
    mapping = functions.create_event_source_mapping(EventSourceArn=queue, FunctionName="worker", BatchSize=10)

    events.put_events(Entries=[{"Source": "shop", "DetailType": "order", "Detail": '{"id": 7}'}])

    [batch, *_] = eventually(stage.events)
    assert json.loads(batch["Records"][0]["body"])["detail"] == {"id": 7}
    functions.delete_event_source_mapping(UUID=mapping["UUID"])
    events.remove_targets(Rule="orders", Ids=["queue"])
    events.delete_rule(Name="orders")
    sqs.delete_queue(QueueUrl=url)


def test_records_of_a_stream_reach_a_function_in_their_order(stage: Stage, eventually: Any) -> None:
    kinesis, functions = stage.account.client("kinesis"), stage.account.client("lambda")
    kinesis.create_stream(StreamName="records", StreamModeDetails={"StreamMode": "ON_DEMAND"})
    kinesis.get_waiter("stream_exists").wait(StreamName="records", WaiterConfig={"Delay": 1})
    arn = kinesis.describe_stream(StreamName="records")["StreamDescription"]["StreamARN"]
    mapping = functions.create_event_source_mapping(
        EventSourceArn=arn, FunctionName="worker", StartingPosition="TRIM_HORIZON", MaximumBatchingWindowInSeconds=1
    )

    sent = [kinesis.put_record(StreamName="records", PartitionKey="one", Data=b"x")["SequenceNumber"] for _ in range(5)]

    def seen() -> list[str]:
        return [record["kinesis"]["sequenceNumber"] for event in stage.events() for record in event["Records"]]

    eventually(lambda: seen() == sent)
    functions.delete_event_source_mapping(UUID=mapping["UUID"])
    kinesis.delete_stream(StreamName="records")
