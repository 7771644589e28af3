"""DynamoDB tables and their streams, as the StackPack knows them."""

from collections.abc import Callable
from typing import Any

import boto3
import pytest

from tests.account import TestAccount, api_call
from tests.resources.support import answer, calls, ended, refuse, sample, scope, touched, unresolved
from topology.elements import Component, Item, Relation, StackResource
from topology.links import Names
from topology.resources import ALL, dynamodb

ARN = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders"
STREAM_ARN = f"{ARN}/stream/2024-05-14T09:30:00.123"
RELATION = f"{ARN}-uses service-{STREAM_ARN}"
LOCATION = {"AwsAccount": "123456789012", "AwsRegion": "eu-west-1"}

OpenAccount = Callable[..., TestAccount]


def create(session: boto3.Session, name: str = "orders", *, stream: bool = False) -> None:
    more: dict[str, Any] = (
        {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}} if stream else {}
    )
    session.client("dynamodb").create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
        Tags=[{"Key": "team", "Value": "shop"}, {"Key": "stackstate-environment", "Value": "Production"}],
        **more,
    )


def table(**fields: Any) -> Item:
    """An item, as far as a test needs it."""
    return {"TableName": "orders", "Table": {"TableName": "orders", "TableArn": ARN, **fields}}


def test_a_table_is_named_by_its_arn(aws: boto3.Session, account: OpenAccount) -> None:
    create(aws)

    [found] = account(dynamodb.TABLE).snapshot().all

    assert isinstance(found, Component)
    assert (found.id, found.type, found.data["Name"]) == (ARN, "aws.dynamodb", ARN)
    assert found.data["TableName"] == "orders"
    assert found.data["KeySchema"] == [{"AttributeName": "id", "KeyType": "HASH"}]
    assert "T" in found.data["CreationDateTime"]
    assert found.data["Tags"] == {"team": "shop", "stackstate-environment": "Production"}
    assert found.data["CW"] == {"Dimensions": [{"Key": "TableName", "Value": "orders"}]}
    assert found.data["Location"] == LOCATION
    assert "URN" not in found.data


def test_a_table_uses_its_stream() -> None:
    item = table(
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
        LatestStreamArn=STREAM_ARN,
        LatestStreamLabel="2024-05-14T09:30:00.123",
    )

    _, stream, relation = dynamodb.elements(scope("dynamodb"), item)

    assert isinstance(stream, Component)
    assert (stream.id, stream.type) == (STREAM_ARN, "aws.dynamodb.streams")
    assert stream.data == {
        "StreamEnabled": True,
        "StreamViewType": "NEW_IMAGE",
        "LatestStreamArn": STREAM_ARN,
        "LatestStreamLabel": "2024-05-14T09:30:00.123",
        "Name": STREAM_ARN,
        "CW": {
            "Dimensions": [
                {"Key": "TableName", "Value": "orders"},
                {"Key": "StreamLabel", "Value": "2024-05-14T09:30:00.123"},
            ]
        },
        "Location": LOCATION,
    }
    assert isinstance(relation, Relation)
    assert (relation.id, relation.data) == (RELATION, {})


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"LatestStreamArn": STREAM_ARN, "LatestStreamLabel": "2024-05-14T09:30:00.123"},
        {"StreamSpecification": {"StreamEnabled": True}},
    ],
)
def test_there_is_a_stream_only_with_its_arn_and_its_specification(fields: dict[str, Any]) -> None:
    [found] = dynamodb.elements(scope("dynamodb"), table(**fields))

    assert isinstance(found, Component)
    assert found.type == "aws.dynamodb"


def test_a_snapshot_and_an_event_say_the_same(aws: boto3.Session, account: OpenAccount) -> None:
    create(aws, stream=True)
    opened = account(dynamodb.TABLE)

    found = opened.snapshot()
    after = opened.after(sample("dynamodb/UpdateTable-stream-off"))

    assert len(found.components) == 2
    assert found.components == after.components
    assert found.relations == after.relations


def test_all_tables_are_read_beyond_one_page_and_tags_come_in_bulk(aws: boto3.Session, account: OpenAccount) -> None:
    for number in range(101):  # DynamoDB answers with a hundred names a page
        create(aws, f"table-{number}")
    opened = account(dynamodb.TABLE)
    counted = calls(opened.client("dynamodb"), opened.client("resourcegroupstaggingapi"))

    found = opened.snapshot()

    assert len(found.components) == 101
    assert all(one.data["Tags"]["team"] == "shop" for one in found.components.values())
    assert counted["ListTables"] == 2
    assert counted["DescribeTable"] == 101
    assert counted["ListTagsOfResource"] == 0


def test_tags_of_one_table_are_read_to_the_last_page(aws: boto3.Session, account: OpenAccount) -> None:
    create(aws)
    opened = account(dynamodb.TABLE)
    answer(
        opened.client("dynamodb"),
        "list_tags_of_resource",
        {"Tags": [{"Key": "a", "Value": "1"}], "NextToken": "more"},
        {"Tags": [{"Key": "b", "Value": "2"}]},
    )

    after = opened.after(api_call("dynamodb", "TagResource", {"resourceArn": ARN}))

    assert after.components[ARN].data["Tags"] == {"a": "1", "b": "2"}


def test_denied_tags_leave_out_the_tags_alone(aws: boto3.Session, account: OpenAccount) -> None:
    create(aws)
    opened = account(dynamodb.TABLE)
    refuse(opened.client("dynamodb"), "list_tags_of_resource")

    found = opened.after(api_call("dynamodb", "TagResource", {"resourceArn": ARN}))

    assert found.components[ARN].data["Tags"] == {}
    assert [one.error.action for one in found.left_out] == ["dynamodb:ListTagsOfResource"]


@pytest.mark.parametrize("operation", ["list_tables", "describe_table"])
def test_without_a_listing_or_a_description_the_scope_is_incomplete(
    aws: boto3.Session, account: OpenAccount, operation: str
) -> None:
    create(aws)
    opened = account(dynamodb.TABLE)
    refuse(opened.client("dynamodb"), operation)

    found = opened.snapshot()

    assert not found.components
    assert len(found.incomplete) == 1


def test_a_deleted_table_is_deleted_with_the_stream_that_the_event_names(account: OpenAccount) -> None:
    with_stream = sample("dynamodb/DeleteTable")
    with_stream["detail"]["responseElements"]["tableDescription"] |= {"latestStreamArn": STREAM_ARN}

    assert account(dynamodb.TABLE).after(sample("dynamodb/DeleteTable")).deleted == {ARN}
    assert account(dynamodb.TABLE).after(with_stream).deleted == {ARN, STREAM_ARN, RELATION}


def test_a_table_that_is_still_being_deleted_is_there(account: OpenAccount) -> None:
    opened = account(dynamodb.TABLE)
    answer(opened.client("dynamodb"), "describe_table", {"Table": table(TableStatus="DELETING")["Table"]})
    answer(opened.client("dynamodb"), "list_tags_of_resource", {"Tags": []})

    found = opened.after(sample("dynamodb/DeleteTable"))

    assert found.components[ARN].data["TableStatus"] == "DELETING"
    assert not found.deleted


def test_a_stream_that_was_switched_off_is_deleted_with_its_relation(aws: boto3.Session, account: OpenAccount) -> None:
    create(aws)

    found = account(dynamodb.TABLE).after(sample("dynamodb/UpdateTable-stream-off"))

    assert set(found.components) == {ARN}
    assert found.deleted == {STREAM_ARN, RELATION}


def test_a_stream_that_was_switched_on_has_not_ended() -> None:
    event = sample("dynamodb/UpdateTable-stream-off")
    event["detail"]["responseElements"]["tableDescription"]["streamSpecification"] = {"streamEnabled": True}

    assert not ended([dynamodb.TABLE], event)


def test_a_table_that_aws_does_not_know_yet_is_looked_at_later(account: OpenAccount) -> None:
    found = account(dynamodb.TABLE).after(sample("dynamodb/CreateTable"))

    assert [one.touched.key for one in found.unsettled] == ["orders"]
    assert not found.deleted


@pytest.mark.parametrize("name", ["PutItem", "UpdateTimeToLive", "CreateBackup", "PutResourcePolicy"])
def test_items_and_policies_are_no_change(name: str) -> None:
    event = api_call("dynamodb", name, {"tableName": "orders"})

    assert not touched([dynamodb.TABLE], event)
    assert not unresolved([dynamodb.TABLE], event)


def test_the_tag_editor_names_a_table_by_its_arn() -> None:
    event = api_call("tagging", "TagResources", {"resourceARNList": [ARN], "tags": {"a": "b"}})

    assert touched([dynamodb.TABLE], event) == {("dynamodb.table", "orders")}


def test_a_stack_s_table_is_found_by_its_name_and_its_stream_is_not_meant(account: OpenAccount) -> None:
    names = Names(ALL)
    item = table(StreamSpecification={"StreamEnabled": True}, LatestStreamArn=STREAM_ARN)
    for element in dynamodb.elements(scope("dynamodb"), item):
        if isinstance(element, Component):
            names.add(dynamodb.TABLE, scope("dynamodb"), "orders", element.type, element.id)

    link = StackResource("stack", "has resource", "AWS::DynamoDB::Table", "orders")
    [relation] = names.relations(scope("cloudformation"), link.link, known_only=True)

    assert relation.id == f"stack-has resource-{ARN}"
