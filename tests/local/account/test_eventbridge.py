"""Events of other regions and accounts on their way to the installation, as the project's own templates have it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from local.account import Account
from local.account.template import parse

ROOT = Path(__file__).parents[3]
HOME, ABROAD, OTHER = "eu-west-1", "us-east-1", "222222222222"
HOME_BUS = f"arn:aws:events:{HOME}:123456789012:event-bus/default"
HOME_TYPES = {"AWS::Events::Rule", "AWS::Events::EventBusPolicy", "AWS::SQS::Queue", "AWS::SQS::QueuePolicy"}
FORWARDING = (ROOT / "forwarding.yaml").read_text()
CROSS_ACCOUNT = (ROOT / "cross-account.yaml").read_text()
MAIN = {
    "MainAccountId": "123456789012",
    "HomeRegion": HOME,
    "MainRoleArns": "arn:aws:iam::123456789012:role/topo-cron",
    "ExternalId": "an-external-id",
    "StackStateConfigurationId": "1",
}


def home_template() -> str:
    """What template.yaml says of events: its rules, queues, and who may use its bus."""
    template = parse((ROOT / "template.yaml").read_text())
    kept = {name: r for name, r in template["Resources"].items() if r["Type"] in HOME_TYPES}
    parts = {name: template[name] for name in ("Parameters", "Mappings", "Conditions")}
    return json.dumps(parts | {"Resources": kept})


class World:
    """The account's regions, and another account."""

    def __init__(self, account: Account) -> None:
        self.account = account

    def deploy(self, template: str, region: str, account_id: str = "", **parameters: str) -> dict[str, str]:
        """Create the stack; the resources' types by logical id."""
        stacks = self.account.client("cloudformation", region, account_id)
        given = [{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()]
        stacks.create_stack(
            StackName="stack", TemplateBody=template, Parameters=given, Capabilities=["CAPABILITY_NAMED_IAM"]
        )
        [stack] = stacks.describe_stacks(StackName="stack")["Stacks"]
        assert stack["StackStatus"] == "CREATE_COMPLETE", stack.get("StackStatusReason")
        listed = stacks.list_stack_resources(StackName="stack")["StackResourceSummaries"]
        return {resource["LogicalResourceId"]: resource["ResourceType"] for resource in listed}

    def install(self, **parameters: str) -> None:
        needed = {"StackStateBaseUrl": "https://stackstate.example.com", "StackStateConfigurationId": "1"}
        self.deploy(home_template(), HOME, **needed, **parameters)

    def forward(self, region: str, **parameters: str) -> dict[str, str]:
        needed = {"HomeEventBusArn": HOME_BUS, "StackStateConfigurationId": "1"}
        return self.deploy(FORWARDING, region, **needed, **parameters)

    def received(self, queue: str = "stackstate-topo-cwevents", region: str = HOME, account_id: str = "") -> list[Any]:
        """Account, region and subject of every event in the queue; the stacks' own are left out."""
        self.account.events.settle()
        sqs = self.account.client("sqs", region, account_id)
        url = min(sqs.list_queues(QueueNamePrefix=queue)["QueueUrls"], key=len)
        found = []
        while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
            for message in messages:
                event = json.loads(message["Body"])
                if event["detail"].get("userIdentity", {}).get("invokedBy") or event["source"] == "aws.cloudformation":
                    continue
                found.append((event["account"], event["region"], event["detail"]["eventName"]))
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return [event for event in found if not event[2].endswith("Stack")]


@pytest.fixture
def world(account: Account) -> Iterator[World]:
    yield World(account)
    account.events.settle()
    account.other_stacks.clear()


def test_a_change_in_another_region_reaches_the_queue_of_the_installation_with_its_own_region(world: World) -> None:
    world.install()
    world.forward(ABROAD)

    world.account.client("sqs", ABROAD).create_queue(QueueName="orders")
    world.account.client("sqs", "eu-central-1").create_queue(QueueName="not-asked-for")

    assert world.received() == [("123456789012", ABROAD, "CreateQueue")]


def test_forwarding_in_the_home_region_itself_makes_no_rule(world: World) -> None:
    made = world.forward(HOME)

    assert made == {"ForwardRole": "AWS::IAM::Role"}


def test_a_region_that_is_not_read_forwards_what_is_global_alone(world: World) -> None:
    world.install()
    world.forward(ABROAD, GlobalServicesOnly="true")

    world.account.client("sqs", ABROAD).create_queue(QueueName="orders")
    world.account.client("route53").create_hosted_zone(Name="example.com", CallerReference="1")
    world.account.client("s3", ABROAD).create_bucket(Bucket="pictures")

    assert [event[1:] for event in world.received()] == [(ABROAD, "CreateHostedZone"), (ABROAD, "CreateBucket")]


def test_a_forwarded_event_goes_no_further(world: World) -> None:
    world.install()
    world.forward(ABROAD)
    role = world.account.client("cloudformation", ABROAD).describe_stack_resource(
        StackName="stack", LogicalResourceId="ForwardRole"
    )["StackResourceDetail"]["PhysicalResourceId"]
    arn = f"arn:aws:iam::123456789012:role/{role}"
    back = f"arn:aws:events:{ABROAD}:123456789012:event-bus/default"
    rules = world.account.client("events", HOME)
    rules.put_rule(Name="back", EventPattern=json.dumps({"source": [{"prefix": "aws."}]}))
    rules.put_targets(Rule="back", Targets=[{"Id": "back", "Arn": back, "RoleArn": arn}])

    world.account.client("sqs", ABROAD).create_queue(QueueName="orders")

    assert len(world.received()) == 1


def test_an_event_waits_in_the_dead_letters_of_its_region_when_its_role_may_not_forward_it(world: World) -> None:
    world.install()
    world.deploy(FORWARDING.replace("Action: events:PutEvents", "Action: events:PutRule"), ABROAD,
                 HomeEventBusArn=HOME_BUS, StackStateConfigurationId="1")  # fmt: skip

    world.account.client("sqs", ABROAD).create_queue(QueueName="orders")

    assert world.received() == []
    assert world.received("stackstate-topo-forward-dead-letters", ABROAD) == [("123456789012", ABROAD, "CreateQueue")]


@pytest.mark.parametrize("region", [HOME, ABROAD])
def test_a_change_in_another_account_reaches_the_queue_of_an_installation_that_admits_it(
    world: World, region: str
) -> None:
    world.install(Accounts=f"111111111111,{OTHER}")
    made = world.deploy(CROSS_ACCOUNT, region, OTHER, **MAIN)

    world.account.client("sqs", region, OTHER).create_queue(QueueName="orders")

    assert world.received() == [(OTHER, region, "CreateQueue")]
    assert ("ReadRole" in made) == (region == HOME)


def test_an_account_that_is_not_admitted_keeps_its_events_as_dead_letters(world: World) -> None:
    world.install(Accounts="111111111111")
    world.deploy(CROSS_ACCOUNT, HOME, OTHER, **MAIN)

    world.account.client("sqs", HOME, OTHER).create_queue(QueueName="orders")

    assert world.received() == []
    assert world.received("stack-DeadLetterQueue", HOME, OTHER) == [(OTHER, HOME, "CreateQueue")]


def test_the_role_of_another_account_can_be_assumed_with_its_external_id_alone(world: World) -> None:
    world.deploy(CROSS_ACCOUNT, HOME, OTHER, **MAIN)
    world.account.client("sqs", HOME, OTHER).create_queue(QueueName="orders")
    sts = world.account.client("sts")
    role = {"RoleArn": f"arn:aws:iam::{OTHER}:role/stackstate-topo-read", "RoleSessionName": "topo-cron"}

    for refused in (role, role | {"ExternalId": "a-guess"}, role | {"RoleArn": f"arn:aws:iam::{OTHER}:role/none"}):
        with pytest.raises(sts.exceptions.ClientError) as refusal:
            sts.assume_role(**refused)
        assert refusal.value.response["Error"]["Code"] == "AccessDenied"
    keys = sts.assume_role(**role, ExternalId="an-external-id")["Credentials"]
    session = boto3.Session(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"], region_name=HOME)

    sqs = session.client("sqs", endpoint_url=world.account.endpoint)
    assert [url.rsplit("/", 2)[1:] for url in sqs.list_queues(QueueNamePrefix="orders")["QueueUrls"]] == [
        [OTHER, "orders"]
    ]


def test_nothing_of_the_forwarding_stays_when_its_stack_is_deleted(world: World) -> None:
    world.install(Accounts=OTHER)
    world.forward(ABROAD)

    for region in (ABROAD, HOME):
        world.account.client("cloudformation", region).delete_stack(StackName="stack")

    assert world.account.client("events", ABROAD).list_rules()["Rules"] == []
    assert world.account.client("sqs", ABROAD).list_queues().get("QueueUrls", []) == []
    assert world.account.client("iam").list_roles()["Roles"] == []
    assert "Policy" not in world.account.client("events", HOME).describe_event_bus()


def test_a_statement_of_somebody_else_stays_in_the_policy_of_the_bus(world: World) -> None:
    bus = world.account.client("events", HOME)
    bus.put_permission(Action="events:PutEvents", Principal="333333333333", StatementId="theirs")

    world.install(Accounts=OTHER)
    world.account.client("cloudformation", HOME).delete_stack(StackName="stack")

    [statement] = json.loads(bus.describe_event_bus()["Policy"])["Statement"]
    assert statement["Sid"] == "theirs"
