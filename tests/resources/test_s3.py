"""S3 buckets and the functions that they notify, as the StackPack knows them."""

from collections.abc import Callable
from typing import Any

import boto3
import pytest

from tests.account import TestAccount, api_call
from tests.resources.support import answer, calls, refuse, sample, scope, touched, unresolved
from topology.elements import Component, Item, Relation, StackResource
from topology.links import Names
from topology.resources import ALL, s3

NAME = "shop-orders-example"
ARN = f"arn:aws:s3:::{NAME}"
FUNCTION = "arn:aws:lambda:eu-west-1:123456789012:function:orders-api"

OpenAccount = Callable[..., TestAccount]


def create(session: boto3.Session, name: str = NAME, region: str = "eu-west-1") -> None:
    client = session.client("s3", region_name=region)
    place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    client.create_bucket(Bucket=name, **place)


def bucket(**fields: Any) -> Item:
    """An item, as far as a test needs it."""
    return {"Name": NAME, "CreationDate": "2024-05-14T09:30:00+00:00", **fields}


def said(item: Item) -> Component:
    component, *_ = s3.elements(scope("s3"), item)
    assert isinstance(component, Component)
    return component


def test_a_bucket_has_its_date_its_place_and_its_tags(aws: boto3.Session, account: OpenAccount) -> None:
    create(aws)
    tags = [{"Key": "team", "Value": "shop"}, {"Key": "StackstateIdentifier", "Value": "Orders"}]
    aws.client("s3").put_bucket_tagging(Bucket=NAME, Tagging={"TagSet": tags})

    [found] = account(s3.BUCKET).snapshot().all

    assert isinstance(found, Component)
    assert (found.id, found.type) == (ARN, "aws.s3_bucket")
    assert set(found.data) == {"Name", "CreationDate", "BucketLocation", "Tags", "Location"}
    assert found.data["Name"] == NAME
    assert "T" in found.data["CreationDate"]
    assert found.data["BucketLocation"] == "eu-west-1"
    assert found.data["Tags"] == {"team": "shop", "StackstateIdentifier": "Orders"}
    assert found.data["Location"] == {"AwsAccount": "123456789012", "AwsRegion": "eu-west-1"}


@pytest.mark.parametrize("fields", [{}, {"Location": None}, {"BucketRegion": "us-east-1"}])
def test_a_bucket_in_the_first_region_has_no_place(fields: dict[str, Any]) -> None:
    assert "BucketLocation" not in said(bucket(**fields)).data


@pytest.mark.parametrize("fields", [{"Location": "eu-west-1"}, {"BucketRegion": "eu-west-1"}])
def test_a_bucket_elsewhere_has_its_place_however_aws_tells_it(fields: dict[str, Any]) -> None:
    assert said(bucket(**fields)).data["BucketLocation"] == "eu-west-1"


def test_the_id_is_in_the_partition_of_the_region() -> None:
    [found] = s3.elements(scope("s3", "cn-north-1", "aws-cn"), bucket())

    assert isinstance(found, Component)
    assert found.id == f"arn:aws-cn:s3:::{NAME}"


def test_each_event_that_a_bucket_notifies_a_function_of_is_a_relation(
    aws: boto3.Session, account: OpenAccount
) -> None:
    create(aws)
    aws.client("s3").put_bucket_notification_configuration(
        Bucket=NAME,
        NotificationConfiguration={
            "LambdaFunctionConfigurations": [
                {"LambdaFunctionArn": FUNCTION, "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]},
                {"LambdaFunctionArn": f"{FUNCTION}-2", "Events": ["s3:ObjectCreated:Put"]},
            ]
        },
    )

    _, *relations = account(s3.BUCKET).snapshot().all

    assert relations == [
        Relation(ARN, "uses service", FUNCTION, {"event_type": "s3:ObjectCreated:*"}),
        Relation(ARN, "uses service", FUNCTION, {"event_type": "s3:ObjectRemoved:*"}),
        Relation(ARN, "uses service", f"{FUNCTION}-2", {"event_type": "s3:ObjectCreated:Put"}),
    ]


def test_buckets_of_all_regions_are_said_once(aws: boto3.Session, account: OpenAccount) -> None:
    create(aws)
    create(aws, "elsewhere", "us-east-1")

    found = account(s3.BUCKET, regions=("eu-west-1", "us-east-1")).snapshot()

    assert len(found.all) == 2
    assert set(found.components) == {ARN, "arn:aws:s3:::elsewhere"}
    assert "BucketLocation" not in found.components["arn:aws:s3:::elsewhere"].data


def test_a_snapshot_and_an_event_say_the_same(aws: boto3.Session, account: OpenAccount) -> None:
    create(aws)
    create(aws, f"{NAME}-2")
    opened = account(s3.BUCKET)

    found = opened.snapshot()
    after = opened.after(sample("s3/PutBucketTagging"))

    # The look-up by name begins like the other bucket's name, which is not meant.
    assert after.components == {ARN: found.components[ARN]}
    assert not after.deleted


def test_buckets_are_read_beyond_one_page_and_their_place_is_not_asked_again(account: OpenAccount) -> None:
    opened = account(s3.BUCKET)
    client = opened.client("s3")
    asked = answer(
        client,
        "list_buckets",
        {"Buckets": [bucket(BucketRegion="eu-west-1")], "ContinuationToken": "more"},
        {"Buckets": [bucket(Name="other", BucketRegion="eu-west-1")]},
    )
    places = answer(client, "get_bucket_location")
    answer(client, "get_bucket_tagging", *[{"TagSet": []}] * 2)
    answer(client, "get_bucket_notification_configuration", {}, {})

    assert set(opened.snapshot().components) == {ARN, "arn:aws:s3:::other"}
    assert [one.get("ContinuationToken") for one in asked] == [None, "more"]
    assert all(one["MaxBuckets"] == 1000 for one in asked)
    assert places == []


def test_one_bucket_costs_one_look_up_after_many_events(aws: boto3.Session, account: OpenAccount) -> None:
    create(aws)
    opened = account(s3.BUCKET)
    counted = calls(opened.client("s3"))

    opened.after(*[sample("s3/PutBucketTagging"), sample("s3/PutBucketNotification")] * 5)

    assert counted["ListBuckets"] == counted["GetBucketTagging"] == 1


@pytest.mark.parametrize(
    ("service", "operation", "action", "missing"),
    [
        ("s3", "get_bucket_location", "s3:GetBucketLocation", "BucketLocation"),
        ("resourcegroupstaggingapi", "get_resources", "tag:GetResources", "no field"),
        ("s3", "get_bucket_notification_configuration", "s3:GetBucketNotification", "no field"),
    ],
)
def test_a_denied_detail_leaves_out_that_detail_alone(
    aws: boto3.Session, account: OpenAccount, service: str, operation: str, action: str, missing: str
) -> None:
    create(aws)
    opened = account(s3.BUCKET)
    refuse(opened.client(service), operation, "AccessDenied")

    found = opened.snapshot()

    assert missing not in found.components[ARN].data
    assert found.components[ARN].data["Tags"] == {}
    assert [one.error.action for one in found.left_out] == [action]
    assert not found.incomplete


def test_a_bucket_without_tags_has_none_and_nothing_is_reported(aws: boto3.Session, account: OpenAccount) -> None:
    create(aws)

    found = account(s3.BUCKET).snapshot()

    assert found.components[ARN].data["Tags"] == {}
    assert len(found.all) == 1


def test_a_refused_listing_is_incomplete(aws: boto3.Session, account: OpenAccount) -> None:
    create(aws)
    opened = account(s3.BUCKET)
    refuse(opened.client("s3"), "list_buckets", "AccessDenied")

    found = opened.snapshot()

    assert not found.components
    assert [one.error.action for one in found.incomplete] == ["s3:ListAllMyBuckets"]


def test_a_deleted_bucket_is_deleted_by_its_arn(account: OpenAccount) -> None:
    assert account(s3.BUCKET).after(sample("s3/DeleteBucket")).deleted == {ARN}


def test_a_bucket_that_was_deleted_and_made_again_stays(aws: boto3.Session, account: OpenAccount) -> None:
    create(aws)

    assert not account(s3.BUCKET).after(sample("s3/DeleteBucket"), sample("s3/CreateBucket")).deleted


def test_a_bucket_that_aws_does_not_list_yet_is_looked_at_later(account: OpenAccount) -> None:
    found = account(s3.BUCKET).after(sample("s3/CreateBucket"))

    assert [one.touched.key for one in found.unsettled] == [NAME]
    assert not found.deleted


def test_a_bucket_is_found_whatever_endpoint_it_was_made_at(aws: boto3.Session, account: OpenAccount) -> None:
    create(aws, f"{NAME}-2")

    # The event is of us-east-1, where the global endpoint is; the account is read in eu-west-1.
    found = account(s3.BUCKET).after(sample("s3/CreateBucket-global-endpoint"))

    assert set(found.components) == {f"{ARN}-2"}


@pytest.mark.parametrize(
    ("name", "request_"),
    [
        *(
            (name, {"bucketName": NAME, "Host": "s3.eu-west-1.amazonaws.com"})
            for name in (
                *("CreateBucket", "DeleteBucket", "PutBucketTagging", "DeleteBucketTagging"),
                *("PutBucketNotification", "PutBucketNotificationConfiguration"),
            )
        ),
        ("TagResource", {"resourceArn": ARN}),
        ("UntagResource", {"resourceArn": ARN}),
    ],
)
def test_an_event_names_the_bucket(name: str, request_: dict[str, Any]) -> None:
    assert touched([s3.BUCKET], api_call("s3", name, request_)) == {("s3.bucket", NAME)}


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("CreateBucket", NAME),
        ("CreateBucket-global-endpoint", f"{NAME}-2"),
        ("DeleteBucket", NAME),
        ("PutBucketNotification", NAME),
        ("PutBucketTagging", NAME),
    ],
)
def test_a_recorded_event_names_the_bucket(name: str, key: str) -> None:
    assert touched([s3.BUCKET], sample(f"s3/{name}")) == {("s3.bucket", key)}


@pytest.mark.parametrize(
    ("name", "request_"),
    [
        ("TagResource", {"resourceArn": "arn:aws:s3:eu-west-1:123456789012:accesspoint/orders"}),
        ("TagResource", {"resourceArn": "arn:aws:s3:us-east-1:123456789012:storage-lens-group/all"}),
        ("PutBucketPolicy", {"bucketName": NAME}),
        ("PutBucketVersioning", {"bucketName": NAME}),
        ("PutObject", {"bucketName": NAME, "key": "order.json"}),
        ("CreateAccessPoint", {"name": "orders", "bucket": NAME}),
    ],
)
def test_an_event_of_something_else_touches_nothing(name: str, request_: dict[str, Any]) -> None:
    event = api_call("s3", name, request_)

    assert not touched([s3.BUCKET], event)
    assert not unresolved([s3.BUCKET], event)


def test_directory_buckets_have_a_source_of_their_own() -> None:
    assert not touched([s3.BUCKET], api_call("s3express", "DeleteBucket", {"bucketName": f"{NAME}--x-s3"}))


def test_a_refused_delete_changes_nothing() -> None:
    event = api_call("s3", "DeleteBucket", {"bucketName": NAME}, errorCode="BucketNotEmpty")

    assert not touched([s3.BUCKET], event)


def test_the_tag_editor_names_a_bucket_by_its_arn() -> None:
    event = api_call("tagging", "TagResources", {"resourceARNList": [ARN], "tags": {"a": "b"}})

    assert touched([s3.BUCKET], event) == {("s3.bucket", NAME)}


def test_a_stack_s_bucket_is_found_by_its_name(account: OpenAccount) -> None:
    link = StackResource("stack", "has resource", "AWS::S3::Bucket", NAME)

    [relation] = Names(ALL).relations(scope("cloudformation"), link.link, known_only=False)

    assert relation.id == f"stack-has resource-{ARN}"
