"""Kinesis data streams, as the StackPack knows them."""

from collections.abc import Callable
from typing import Any

import boto3
import pytest

from tests.account import TestAccount, api_call
from tests.resources.support import answer, calls, refuse, scope, touched, unresolved
from topology.elements import StackResource
from topology.links import Names
from topology.resources import ALL, kinesis

ARN = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders"
CONSUMER = f"{ARN}/consumer/audit:1715679000"

OpenAccount = Callable[..., TestAccount]


def create(session: boto3.Session, name: str = "orders", tags: dict[str, str] | None = None) -> None:
    client = session.client("kinesis")
    client.create_stream(StreamName=name, ShardCount=1)
    if tags:
        client.add_tags_to_stream(StreamName=name, Tags=tags)


def know_tags(opened: TestAccount, tags: dict[str, str]) -> None:
    """Lets the tagging API know the stream's tags, as AWS's does; moto's does not know Kinesis."""
    mapping = {"ResourceARN": ARN, "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
    answer(opened.client("resourcegroupstaggingapi"), "get_resources", {"ResourceTagMappingList": [mapping]})


def test_a_stream_keeps_aws_s_nested_answer_and_has_no_name_of_its_own(
    aws: boto3.Session, account: OpenAccount
) -> None:
    create(aws)
    opened = account(kinesis.STREAM)
    know_tags(opened, {"team": "shop", "stackstate-identifier": "Orders"})

    [stream] = opened.snapshot().components.values()

    assert (stream.id, stream.type) == (ARN, "aws.kinesis")
    assert set(stream.data) == {"StreamDescriptionSummary", "Tags", "Location"}
    summary = stream.data["StreamDescriptionSummary"]
    assert summary["StreamName"] == "orders"
    assert summary["StreamARN"] == ARN
    assert "T" in summary["StreamCreationTimestamp"]
    assert stream.data["Tags"] == {"team": "shop", "stackstate-identifier": "Orders"}
    assert stream.data["Location"] == {"AwsAccount": "123456789012", "AwsRegion": "eu-west-1"}


def test_the_id_comes_from_the_description_even_if_the_list_names_it_otherwise() -> None:
    described = {"StreamName": "described", "StreamARN": ARN.replace("orders", "described")}

    [stream] = kinesis.elements(scope("kinesis"), {"StreamName": "listed", "StreamDescriptionSummary": described})

    assert getattr(stream, "id", "") == "arn:aws:kinesis:eu-west-1:123456789012:stream/described"


def test_a_snapshot_and_an_event_say_the_same(aws: boto3.Session, account: OpenAccount) -> None:
    create(aws, tags={"team": "shop"})
    opened = account(kinesis.STREAM)
    know_tags(opened, {"team": "shop"})

    snapshot = opened.snapshot()
    after = opened.after(api_call("kinesis", "UpdateShardCount", {"streamName": "orders", "targetShardCount": 2}))

    assert snapshot.components == after.components
    assert not after.deleted


def test_all_streams_are_read_beyond_one_page_and_tags_come_in_bulk(aws: boto3.Session, account: OpenAccount) -> None:
    for number in range(23):  # moto answers with ten names a page
        create(aws, f"stream-{number:02}")
    opened = account(kinesis.STREAM)
    counted = calls(opened.client("kinesis"), opened.client("resourcegroupstaggingapi"))

    assert len(opened.snapshot().components) == 23
    assert counted == {"ListStreams": 3, "DescribeStreamSummary": 23, "GetResources": 1}


def test_tags_of_one_stream_are_read_to_the_last_page(aws: boto3.Session, account: OpenAccount) -> None:
    create(aws)
    opened = account(kinesis.STREAM)
    asked = answer(
        opened.client("kinesis"),
        "list_tags_for_stream",
        {"Tags": [{"Key": "a", "Value": "1"}], "HasMoreTags": True},
        {"Tags": [{"Key": "b", "Value": "2"}], "HasMoreTags": False},
    )

    after = opened.after(api_call("kinesis", "AddTagsToStream", {"streamName": "orders", "tags": {"b": "2"}}))

    assert after.components[ARN].data["Tags"] == {"a": "1", "b": "2"}
    assert asked[1]["ExclusiveStartTagKey"] == "a"


def test_denied_tags_leave_out_the_tags_alone(aws: boto3.Session, account: OpenAccount) -> None:
    create(aws, tags={"team": "shop"})
    opened = account(kinesis.STREAM)
    refuse(opened.client("resourcegroupstaggingapi"), "get_resources")

    found = opened.snapshot()

    assert found.components[ARN].data["Tags"] == {}
    assert [one.error.action for one in found.left_out] == ["tag:GetResources"]
    assert not found.incomplete


@pytest.mark.parametrize("operation", ["list_streams", "describe_stream_summary"])
def test_without_a_listing_or_a_description_the_scope_is_incomplete(
    aws: boto3.Session, account: OpenAccount, operation: str
) -> None:
    create(aws)
    opened = account(kinesis.STREAM)
    refuse(opened.client("kinesis"), operation)

    found = opened.snapshot()

    assert not found.components
    assert len(found.incomplete) == 1


def test_a_refused_description_after_an_event_deletes_nothing(aws: boto3.Session, account: OpenAccount) -> None:
    opened = account(kinesis.STREAM)
    refuse(opened.client("kinesis"), "describe_stream_summary")

    found = opened.after(api_call("kinesis", "DeleteStream", {"streamName": "orders"}))

    assert not found.deleted
    assert found.incomplete


@pytest.mark.parametrize("request_", [{"streamName": "orders"}, {"streamARN": ARN}])
def test_a_deleted_stream_is_deleted_by_its_arn(account: OpenAccount, request_: dict[str, Any]) -> None:
    assert account(kinesis.STREAM).after(api_call("kinesis", "DeleteStream", request_)).deleted == {ARN}


def test_a_stream_that_is_still_being_deleted_is_there(aws: boto3.Session, account: OpenAccount) -> None:
    create(aws)
    opened = account(kinesis.STREAM)
    summary = {"StreamName": "orders", "StreamARN": ARN, "StreamStatus": "DELETING"}
    answer(opened.client("kinesis"), "describe_stream_summary", {"StreamDescriptionSummary": summary})

    found = opened.after(api_call("kinesis", "DeleteStream", {"streamName": "orders"}))

    assert found.components[ARN].data["StreamDescriptionSummary"]["StreamStatus"] == "DELETING"
    assert not found.deleted


def test_a_stream_that_aws_does_not_know_yet_is_looked_at_later(account: OpenAccount) -> None:
    found = account(kinesis.STREAM).after(api_call("kinesis", "CreateStream", {"streamName": "orders"}))

    assert [one.touched.key for one in found.unsettled] == ["orders"]
    assert not found.deleted


BY_NAME_OR_ARN = [
    *("CreateStream", "DeleteStream", "AddTagsToStream", "RemoveTagsFromStream", "UpdateShardCount"),
    *("IncreaseStreamRetentionPeriod", "DecreaseStreamRetentionPeriod", "MergeShards", "SplitShard"),
    *("StartStreamEncryption", "StopStreamEncryption", "EnableEnhancedMonitoring", "DisableEnhancedMonitoring"),
    *("UpdateStreamMode", "UpdateMaxRecordSize", "UpdateStreamWarmThroughput"),
]


@pytest.mark.parametrize(
    ("name", "request_"),
    [
        *((name, {"streamName": "orders"}) for name in BY_NAME_OR_ARN),
        *((name, {"streamARN": ARN}) for name in BY_NAME_OR_ARN),
        ("RegisterStreamConsumer", {"streamARN": ARN, "consumerName": "audit"}),
        ("DeregisterStreamConsumer", {"streamARN": ARN, "consumerName": "audit"}),
        ("DeregisterStreamConsumer", {"consumerARN": CONSUMER}),
        ("TagResource", {"resourceARN": ARN, "tags": {"a": "b"}}),
        ("UntagResource", {"resourceARN": ARN, "tagKeys": ["a"]}),
    ],
)
def test_an_event_names_the_stream_by_name_or_by_arn(name: str, request_: dict[str, Any]) -> None:
    # AWS's own resources list is wrong for Kinesis.
    event = api_call("kinesis", name, request_, resources=[{"ARN": "arn:aws:kinesis:REGION:x:stream/null"}])

    assert touched([kinesis.STREAM], event) == {("kinesis.stream", "orders")}


@pytest.mark.parametrize("name", ["TagResource", "UntagResource"])
def test_tags_of_a_consumer_touch_nothing(name: str) -> None:
    event = api_call("kinesis", name, {"resourceARN": CONSUMER})

    assert not touched([kinesis.STREAM], event)
    assert not unresolved([kinesis.STREAM], event)


@pytest.mark.parametrize("name", ["DeleteStream", "TagResource"])
def test_an_event_without_parameters_is_counted_as_unresolved(name: str) -> None:
    assert unresolved([kinesis.STREAM], api_call("kinesis", name))


@pytest.mark.parametrize("name", ["PutRecord", "PutRecords", "PutResourcePolicy", "SubscribeToShard"])
def test_data_and_policies_are_no_change(name: str) -> None:
    event = api_call("kinesis", name, {"streamName": "orders"})

    assert not touched([kinesis.STREAM], event)
    assert not unresolved([kinesis.STREAM], event)


def test_the_tag_editor_names_a_stream_by_its_arn() -> None:
    event = api_call("tagging", "TagResources", {"resourceARNList": [ARN, CONSUMER], "tags": {"a": "b"}})

    assert touched([kinesis.STREAM], event) == {("kinesis.stream", "orders")}


def test_a_stack_s_stream_is_found_by_its_name(aws: boto3.Session, account: OpenAccount) -> None:
    link = StackResource("stack", "has resource", "AWS::Kinesis::Stream", "orders")

    [relation] = Names(ALL).relations(scope("cloudformation"), link.link, known_only=False)

    assert relation.id == f"stack-has resource-{ARN}"
