"""Firehose delivery streams, as the StackPack knows them."""

from collections.abc import Callable
from typing import Any

import boto3
import pytest

from tests.account import TestAccount, api_call
from tests.resources.support import answer, calls, refuse, scope, touched, unresolved
from topology.collect import Account, snapshot
from topology.elements import Component, Item
from topology.resources import firehose

ARN = "arn:aws:firehose:eu-west-1:123456789012:deliverystream/clicks"
STREAM_ARN = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders"
ROLE = "arn:aws:iam::123456789012:role/deliver"

OpenAccount = Callable[..., TestAccount]


def create(
    session: boto3.Session, name: str = "clicks", tags: dict[str, str] | None = None, *, stream: str = ""
) -> None:
    source: dict[str, Any] = {"DeliveryStreamType": "DirectPut"}
    if stream:
        source = {
            "DeliveryStreamType": "KinesisStreamAsSource",
            "KinesisStreamSourceConfiguration": {"KinesisStreamARN": stream, "RoleARN": ROLE},
        }
    session.client("firehose").create_delivery_stream(
        DeliveryStreamName=name,
        ExtendedS3DestinationConfiguration={"RoleARN": ROLE, "BucketARN": "arn:aws:s3:::lake"},
        Tags=[{"Key": key, "Value": value} for key, value in (tags or {"team": "data"}).items()],
        **source,
    )


def described(**fields: Any) -> Item:
    """An item, as far as a test needs it."""
    return {"DeliveryStreamDescription": {"DeliveryStreamARN": ARN, "DeliveryStreamName": "clicks", **fields}}


def ids(item: Item) -> list[str]:
    """Ids of the relations that the item leads to."""
    _, *relations = firehose.elements(scope("firehose"), item)
    return [getattr(relation, "id", "") for relation in relations]


def test_a_delivery_stream_keeps_aws_s_nested_answer(aws: boto3.Session, account: OpenAccount) -> None:
    create(aws)

    [found] = account(firehose.DELIVERY_STREAM).snapshot().components.values()

    assert (found.id, found.type) == (ARN, "aws.firehose")
    assert set(found.data) == {"DeliveryStreamDescription", "Tags", "CW", "Location"}
    assert found.data["DeliveryStreamDescription"]["DeliveryStreamName"] == "clicks"
    assert "T" in found.data["DeliveryStreamDescription"]["CreateTimestamp"]
    assert found.data["CW"] == {"Dimensions": [{"Key": "DeliveryStreamName", "Value": "clicks"}]}
    assert found.data["Tags"] == {"team": "data"}
    assert found.data["Location"] == {"AwsAccount": "123456789012", "AwsRegion": "eu-west-1"}
    assert "Location" not in found.data["DeliveryStreamDescription"]


def test_a_data_stream_uses_the_delivery_stream_and_that_its_bucket(aws: boto3.Session, account: OpenAccount) -> None:
    create(aws, stream=STREAM_ARN)

    relations = account(firehose.DELIVERY_STREAM).snapshot().relations

    assert set(relations) == {f"{STREAM_ARN}-uses service-{ARN}", f"{ARN}-uses service-arn:aws:s3:::lake"}
    assert all(relation.data == {} for relation in relations.values())


def test_a_source_counts_only_for_a_stream_that_reads_from_one() -> None:
    source = {"KinesisStreamSourceDescription": {"KinesisStreamARN": STREAM_ARN}}

    assert ids(described(DeliveryStreamType="DirectPut", Source=source)) == []
    assert ids(described(DeliveryStreamType="KinesisStreamAsSource", Source=source)) == [
        f"{STREAM_ARN}-uses service-{ARN}"
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"DeliveryStreamType": "KinesisStreamAsSource"},
        {"DeliveryStreamType": "KinesisStreamAsSource", "Source": {}},
        {"DeliveryStreamType": "MSKAsSource", "Source": {"MSKSourceDescription": {}}},
        {"Destinations": [{"DestinationId": "1", "HttpEndpointDestinationDescription": {}}]},
        {"Destinations": [{"S3DestinationDescription": {}}]},
    ],
)
def test_what_is_missing_leaves_out_one_relation(fields: dict[str, Any]) -> None:
    assert ids(described(**fields)) == []


def test_id_and_dimension_come_from_the_description_even_if_the_list_names_it_otherwise() -> None:
    item = {"DeliveryStreamName": "listed", **described()}

    [found] = firehose.elements(scope("firehose"), item)

    assert isinstance(found, Component)
    assert found.id == ARN
    assert found.data["CW"] == {"Dimensions": [{"Key": "DeliveryStreamName", "Value": "clicks"}]}


def test_a_snapshot_and_an_event_say_the_same(aws: boto3.Session, account: OpenAccount) -> None:
    create(aws, stream=STREAM_ARN)
    opened = account(firehose.DELIVERY_STREAM)

    found = opened.snapshot()
    after = opened.after(api_call("firehose", "UpdateDestination", {"deliveryStreamName": "clicks"}))

    assert found.components == after.components
    assert found.relations == after.relations
    assert not after.deleted


def test_all_delivery_streams_are_read_beyond_one_page(account: OpenAccount) -> None:
    opened = account(firehose.DELIVERY_STREAM)
    client = opened.client("firehose")
    asked = answer(
        client,
        "list_delivery_streams",
        {"DeliveryStreamNames": ["a", "b"], "HasMoreDeliveryStreams": True},
        {"DeliveryStreamNames": ["c"], "HasMoreDeliveryStreams": False},
    )
    answer(client, "describe_delivery_stream", *[described()] * 3)

    found = opened.snapshot()

    assert asked == [{"Limit": 10_000}, {"Limit": 10_000, "ExclusiveStartDeliveryStreamName": "b"}]
    assert not found.incomplete
    assert len(found.all) == 3


def test_a_list_that_says_more_without_going_on_is_incomplete(account: OpenAccount) -> None:
    opened = account(firehose.DELIVERY_STREAM)
    answer(
        opened.client("firehose"),
        "list_delivery_streams",
        {"DeliveryStreamNames": [], "HasMoreDeliveryStreams": True},
    )

    assert opened.snapshot().incomplete


def test_a_snapshot_reads_tags_in_bulk(aws: boto3.Session, account: OpenAccount) -> None:
    for number in range(12):
        create(aws, f"stream-{number}")
    opened = account(firehose.DELIVERY_STREAM)
    counted = calls(opened.client("firehose"), opened.client("resourcegroupstaggingapi"))

    assert all(one.data["Tags"] == {"team": "data"} for one in opened.snapshot().components.values())
    assert counted == {"ListDeliveryStreams": 1, "DescribeDeliveryStream": 12, "GetResources": 1}


def test_tags_of_one_delivery_stream_are_read_to_the_last_page(aws: boto3.Session, account: OpenAccount) -> None:
    create(aws)
    opened = account(firehose.DELIVERY_STREAM)
    asked = answer(
        opened.client("firehose"),
        "list_tags_for_delivery_stream",
        {"Tags": [{"Key": "a", "Value": "1"}], "HasMoreTags": True},
        {"Tags": [{"Key": "b"}], "HasMoreTags": False},
    )

    after = opened.after(api_call("firehose", "TagDeliveryStream", {"deliveryStreamName": "clicks"}))

    assert after.components[ARN].data["Tags"] == {"a": "1", "b": None}
    assert asked[1]["ExclusiveStartTagKey"] == "a"


def test_denied_tags_leave_out_the_tags_alone(aws: boto3.Session, account: OpenAccount) -> None:
    create(aws)
    opened = account(firehose.DELIVERY_STREAM)
    refuse(opened.client("firehose"), "list_tags_for_delivery_stream")

    found = opened.after(api_call("firehose", "TagDeliveryStream", {"deliveryStreamName": "clicks"}))

    assert found.components[ARN].data["Tags"] == {}
    assert [one.error.action for one in found.left_out] == ["firehose:ListTagsForDeliveryStream"]


@pytest.mark.parametrize("operation", ["list_delivery_streams", "describe_delivery_stream"])
def test_without_a_listing_or_a_description_the_scope_is_incomplete(
    aws: boto3.Session, account: OpenAccount, operation: str
) -> None:
    create(aws)
    opened = account(firehose.DELIVERY_STREAM)
    refuse(opened.client("firehose"), operation)

    found = opened.snapshot()

    assert not found.components
    assert len(found.incomplete) == 1


def with_secrets() -> Item:
    token = {"SplunkDestinationDescription": {"HECToken": "planted-1", "HECEndpoint": "https://splunk.example:8088"}}
    attribute = {"AttributeName": "X-Key", "AttributeValue": "planted-2"}
    endpoint = {
        "HttpEndpointDestinationDescription": {
            "EndpointConfiguration": {"Url": "https://logs.example/in?key=planted-3"},
            "RequestConfiguration": {"CommonAttributes": [attribute]},
        }
    }
    return described(Destinations=[token, endpoint])


def read_with_secrets(opened: TestAccount, *, mask_values: bool) -> str:
    client = opened.client("firehose")
    answer(client, "list_delivery_streams", {"DeliveryStreamNames": ["clicks"]})
    answer(client, "describe_delivery_stream", with_secrets())
    before = opened.opened
    masking = Account(
        before.id, before.partition, before.regions, before.resources, before.clients, mask_values=mask_values
    )
    return str(list(snapshot([masking])))


def test_tokens_of_endpoints_are_masked_and_names_stay(account: OpenAccount) -> None:
    text = read_with_secrets(account(firehose.DELIVERY_STREAM), mask_values=True)

    assert "planted" not in text
    assert "X-Key" in text
    assert "https://splunk.example:8088" in text


def test_masking_can_be_switched_off(account: OpenAccount) -> None:
    text = read_with_secrets(account(firehose.DELIVERY_STREAM), mask_values=False)

    assert all(f"planted-{number}" in text for number in (1, 2, 3))


def test_a_deleted_delivery_stream_is_deleted_by_its_arn(account: OpenAccount) -> None:
    event = api_call("firehose", "DeleteDeliveryStream", {"deliveryStreamName": "clicks"})

    assert account(firehose.DELIVERY_STREAM).after(event).deleted == {ARN}


def test_a_delivery_stream_that_is_still_being_deleted_is_there(account: OpenAccount) -> None:
    opened = account(firehose.DELIVERY_STREAM)
    answer(opened.client("firehose"), "describe_delivery_stream", described(DeliveryStreamStatus="DELETING"))
    answer(opened.client("firehose"), "list_tags_for_delivery_stream", {"Tags": [], "HasMoreTags": False})

    found = opened.after(api_call("firehose", "DeleteDeliveryStream", {"deliveryStreamName": "clicks"}))

    assert set(found.components) == {ARN}
    assert not found.deleted


def test_a_delivery_stream_that_aws_does_not_know_yet_is_looked_at_later(account: OpenAccount) -> None:
    event = api_call("firehose", "CreateDeliveryStream", {"deliveryStreamName": "clicks"}, {"deliveryStreamARN": ARN})

    found = account(firehose.DELIVERY_STREAM).after(event)

    assert [one.touched.key for one in found.unsettled] == ["clicks"]
    assert not found.deleted


@pytest.mark.parametrize(
    ("name", "request_", "response"),
    [
        ("CreateDeliveryStream", {"deliveryStreamName": "clicks"}, {"deliveryStreamARN": ARN}),
        ("CreateDeliveryStream", {}, {"deliveryStreamARN": ARN}),
        *(
            (name, {"deliveryStreamName": "clicks"}, None)
            for name in (
                *("UpdateDestination", "DeleteDeliveryStream", "TagDeliveryStream", "UntagDeliveryStream"),
                *("StartDeliveryStreamEncryption", "StopDeliveryStreamEncryption"),
            )
        ),
    ],
)
def test_an_event_names_the_delivery_stream(
    name: str, request_: dict[str, Any], response: dict[str, Any] | None
) -> None:
    event = api_call("firehose", name, request_, response)

    assert touched([firehose.DELIVERY_STREAM], event) == {("firehose.delivery-stream", "clicks")}


def test_a_refused_delete_changes_nothing() -> None:
    # Firehose leaves the parameters of a refused call in the event.
    event = api_call(
        "firehose", "DeleteDeliveryStream", {"deliveryStreamName": "clicks"}, errorCode="ResourceInUseException"
    )

    assert not touched([firehose.DELIVERY_STREAM], event)


def test_data_is_no_change() -> None:
    event = api_call("firehose", "PutRecordBatch", {"deliveryStreamName": "clicks"})

    assert not touched([firehose.DELIVERY_STREAM], event)
    assert not unresolved([firehose.DELIVERY_STREAM], event)


def test_the_tag_editor_names_a_delivery_stream_by_its_arn() -> None:
    event = api_call("tagging", "UntagResources", {"resourceARNList": [ARN], "tagKeys": ["a"]})

    assert touched([firehose.DELIVERY_STREAM], event) == {("firehose.delivery-stream", "clicks")}
