"""SQS queues, as the StackPack knows them."""

from collections.abc import Callable
from typing import Any

import boto3
import pytest

from tests.account import TestAccount, api_call
from tests.resources.support import answer, calls, refuse, scope, touched, unresolved
from topology.elements import Component, StackResource
from topology.links import Names
from topology.resources import ALL, sqs

OpenAccount = Callable[..., TestAccount]

ARN = "arn:aws:sqs:eu-west-1:123456789012:orders"
URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/orders"
DEAD_LETTERS = "arn:aws:sqs:eu-west-1:123456789012:dead-letters"


def create(session: boto3.Session, *names: str, **attributes: str) -> list[str]:
    """Queues with these names; their URLs."""
    client = session.client("sqs")
    tags = {"stackstate-environment": "Production", "team": "shop"}
    return [
        client.create_queue(QueueName=name, tags=tags, Attributes=attributes)["QueueUrl"]
        for name in names or ("orders",)
    ]


def test_a_queue_is_known_by_its_arn_and_its_url(aws: boto3.Session, account: OpenAccount) -> None:
    [url] = create(aws, VisibilityTimeout="60")

    [found] = account(sqs.QUEUE).snapshot().all

    assert isinstance(found, Component)
    assert (found.id, found.type) == (ARN, "aws.sqs")
    assert found.data["Name"] == found.data["QueueUrl"] == url
    assert found.data["URN"] == [url]
    assert found.data["CW"] == {"Dimensions": [{"Key": "QueueName", "Value": "orders"}]}
    assert found.data["Tags"] == {"stackstate-environment": "Production", "team": "shop"}
    assert found.data["Location"] == {"AwsAccount": "123456789012", "AwsRegion": "eu-west-1"}
    assert found.data["VisibilityTimeout"] == "60"
    assert not {"Attributes", "ResponseMetadata"} & set(found.data)


def test_a_queue_of_another_account_keeps_its_id_in_the_place_that_was_read(account: OpenAccount) -> None:
    url = "https://queue.amazonaws.com/210987654321/orders"
    foreign = "arn:aws:sqs:us-east-1:210987654321:orders"
    item = {"QueueUrl": url, "Attributes": {"QueueArn": foreign}}

    [found] = sqs.elements(scope("sqs"), item)

    assert isinstance(found, Component)
    assert (found.id, found.data["URN"], found.data["Name"]) == (foreign, [url], url)
    assert found.data["Location"] == {"AwsAccount": "123456789012", "AwsRegion": "eu-west-1"}


@pytest.mark.parametrize("tags", [{}, {"Tags": None}, {"Tags": {}}])
def test_a_queue_without_tags_has_an_empty_mapping(tags: dict[str, Any]) -> None:
    [found] = sqs.elements(scope("sqs"), {"QueueUrl": URL, "Attributes": {"QueueArn": ARN}, **tags})

    assert isinstance(found, Component)
    assert found.data["Tags"] == {}


def test_the_names_of_tags_keep_their_case(aws: boto3.Session, account: OpenAccount) -> None:
    aws.client("sqs").create_queue(QueueName="orders", tags={"costCentre": "a", "aws-x": "b"})

    assert account(sqs.QUEUE).snapshot().components[ARN].data["Tags"] == {"costCentre": "a", "aws-x": "b"}


def test_a_queue_does_not_point_to_its_dead_letter_queue(aws: boto3.Session, account: OpenAccount) -> None:
    create(aws, "dead-letters")
    create(aws, RedrivePolicy=f'{{"deadLetterTargetArn": "{DEAD_LETTERS}", "maxReceiveCount": 3}}')

    found = account(sqs.QUEUE).snapshot()

    assert set(found.components) == {ARN, DEAD_LETTERS}
    assert not found.relations


def test_a_snapshot_and_an_event_say_the_same(aws: boto3.Session, account: OpenAccount) -> None:
    [url] = create(aws)
    opened = account(sqs.QUEUE)

    found = opened.snapshot()
    after = opened.after(api_call("sqs", "SetQueueAttributes", {"queueUrl": url}))

    assert len(found.components) == 1
    assert found.components == after.components


def test_the_listing_is_read_to_its_last_page(account: OpenAccount) -> None:
    opened = account(sqs.QUEUE)
    client = opened.client("sqs")
    urls = [f"{URL}-{number}" for number in range(1500)]  # SQS answers with 1,000 at most
    asked = answer(client, "list_queues", {"QueueUrls": urls[:1000], "NextToken": "more"}, {"QueueUrls": urls[1000:]})
    client.get_queue_attributes = lambda QueueUrl, **_: {"Attributes": {"QueueArn": QueueUrl}}  # noqa: N803

    found = opened.snapshot()

    assert len(found.components) == 1500
    assert [(one["MaxResults"], one.get("NextToken")) for one in asked] == [(1000, None), (1000, "more")]


def test_a_snapshot_reads_tags_in_bulk(aws: boto3.Session, account: OpenAccount) -> None:
    create(aws, *[f"queue-{number}" for number in range(120)])
    opened = account(sqs.QUEUE)
    counted = calls(opened.client("sqs"), opened.client("resourcegroupstaggingapi"))

    found = opened.snapshot()

    assert all(one.data["Tags"]["team"] == "shop" for one in found.components.values())
    assert counted["ListQueueTags"] == 0
    assert counted["ListQueues"] == 1
    assert counted["GetQueueAttributes"] == 120


def test_denied_tags_leave_out_the_tags_alone(aws: boto3.Session, account: OpenAccount) -> None:
    [url] = create(aws)
    opened = account(sqs.QUEUE)
    refuse(opened.client("sqs"), "list_queue_tags")
    refuse(opened.client("resourcegroupstaggingapi"), "get_resources")

    for found, action in (
        (opened.snapshot(), "tag:GetResources"),
        (opened.after(api_call("sqs", "TagQueue", {"queueUrl": url})), "sqs:ListQueueTags"),
    ):
        assert found.components[ARN].data["Tags"] == {}
        assert [one.error.action for one in found.left_out] == [action]
        assert not found.incomplete


@pytest.mark.parametrize(
    ("operation", "action"),
    [("list_queues", "sqs:ListQueues"), ("get_queue_attributes", "sqs:GetQueueAttributes")],
)
def test_without_a_listing_or_attributes_the_scope_is_incomplete(
    aws: boto3.Session, account: OpenAccount, operation: str, action: str
) -> None:
    create(aws)
    opened = account(sqs.QUEUE)
    refuse(opened.client("sqs"), operation)

    found = opened.snapshot()

    assert not found.components
    assert [one.error.action for one in found.incomplete] == [action]


def test_a_queue_that_goes_while_it_is_read_is_left_out(aws: boto3.Session, account: OpenAccount) -> None:
    create(aws)
    opened = account(sqs.QUEUE)
    refuse(opened.client("sqs"), "get_queue_attributes", "QueueDoesNotExist")

    assert not opened.snapshot().all


# ------------------------------------------------------------------------------------------------------- events


@pytest.mark.parametrize(
    ("name", "request_", "response"),
    [
        ("CreateQueue", {"queueName": "orders"}, {"queueUrl": URL}),
        ("CreateQueue", {"queueName": "orders"}, None),
        *(
            (name, {"queueUrl": URL}, None)
            for name in ("DeleteQueue", "SetQueueAttributes", "AddPermission", "RemovePermission", "TagQueue")
        ),
        ("UntagQueue", {"queueUrl": URL}, None),
    ],
)
def test_a_call_names_its_queue(name: str, request_: dict[str, Any], response: dict[str, Any] | None) -> None:
    assert touched([sqs.QUEUE], api_call("sqs", name, request_, response)) == {("sqs.queue", URL)}


@pytest.mark.parametrize("name", ["PurgeQueue", "StartMessageMoveTask", "SendMessage", "ReceiveMessage", "ListQueues"])
def test_messages_are_no_change(name: str) -> None:
    told = api_call("sqs", name, {"queueUrl": URL})

    assert not touched([sqs.QUEUE], told)
    assert not unresolved([sqs.QUEUE], told)


@pytest.mark.parametrize("name", ["CreateQueue", "DeleteQueue"])
def test_a_call_that_aws_refused_changes_nothing(name: str) -> None:
    told = api_call("sqs", name, {"queueUrl": URL, "queueName": "orders"}, errorCode="AccessDenied")

    assert not touched([sqs.QUEUE], told)
    assert not unresolved([sqs.QUEUE], told)


def test_an_event_without_parameters_is_counted_as_unresolved() -> None:
    assert unresolved([sqs.QUEUE], api_call("sqs", "DeleteQueue"))


def test_the_tag_editor_names_a_queue_by_its_arn() -> None:
    told = api_call(
        "tagging", "UntagResources", {"resourceARNList": [ARN, "arn:aws:sns:eu-west-1:123456789012:orders"]}
    )

    assert touched([sqs.QUEUE], told) == {("sqs.queue", URL)}


@pytest.mark.parametrize(
    ("url", "arn"),
    [
        (URL, ARN),
        ("https://eu-west-1.queue.amazonaws.com/123456789012/orders", ARN),
        ("https://queue.amazonaws.com/123456789012/orders", ARN),
        ("https://sqs.eu-west-1.amazonaws.com.cn/123456789012/orders", ARN),
        ("http://localhost:5000/123456789012/orders", ARN),
        ("https://sqs.eu-west-1.amazonaws.com/123456789012/orders.fifo", f"{ARN}.fifo"),
        ("orders", ARN),
        (ARN, ARN),
    ],
)
def test_a_queue_that_is_gone_is_deleted_whatever_form_its_url_had(account: OpenAccount, url: str, arn: str) -> None:
    assert account(sqs.QUEUE).after(api_call("sqs", "DeleteQueue", {"queueUrl": url})).deleted == {arn}


@pytest.mark.parametrize(
    "key", [URL.replace("123456789012", "210987654321"), ARN.replace("123456789012", "210987654321")]
)
def test_a_queue_of_another_account_is_for_that_account_to_describe(key: str) -> None:
    assert not touched([sqs.QUEUE], api_call("sqs", "TagQueue", {"queueUrl": key}))


@pytest.mark.parametrize(
    ("key", "url"),
    [
        ("https://eu-west-1.queue.amazonaws.com/123456789012/orders", URL),
        ("https://queue.amazonaws.com/123456789012/orders", URL),
        ("https://vpce-0a1b-2c3d.sqs.eu-west-1.vpce.amazonaws.com/123456789012/orders", URL),
        ("http://localhost:5000/123456789012/orders", "http://localhost:5000/123456789012/orders"),
    ],
)
def test_a_queue_has_the_url_that_the_listing_has_whatever_host_was_called(key: str, url: str) -> None:
    assert touched([sqs.QUEUE], api_call("sqs", "TagQueue", {"queueUrl": key})) == {("sqs.queue", url)}


def test_a_queue_in_china_has_the_domain_of_china() -> None:
    assert sqs.queue_url(scope("sqs", "cn-north-1", "aws-cn"), "orders") == (
        "https://sqs.cn-north-1.amazonaws.com.cn/123456789012/orders"
    )


def test_a_queue_that_was_made_again_is_not_deleted(aws: boto3.Session, account: OpenAccount) -> None:
    [url] = create(aws)

    found = account(sqs.QUEUE).after(api_call("sqs", "DeleteQueue", {"queueUrl": url}))

    assert set(found.components) == {ARN}
    assert not found.deleted


def test_a_queue_that_aws_does_not_know_yet_is_looked_at_later(account: OpenAccount) -> None:
    found = account(sqs.QUEUE).after(api_call("sqs", "CreateQueue", {"queueName": "orders"}, {"queueUrl": URL}))

    assert [one.touched.key for one in found.unsettled] == [URL]
    assert not found.deleted


def test_a_throttled_look_neither_shows_nor_deletes(aws: boto3.Session, account: OpenAccount) -> None:
    [url] = create(aws)
    opened = account(sqs.QUEUE)
    refuse(opened.client("sqs"), "get_queue_attributes", "ThrottlingException")

    found = opened.after(api_call("sqs", "DeleteQueue", {"queueUrl": url}))

    assert [type(one).__name__ for one in found.all] == ["Incomplete", "Unread"]


def test_many_events_of_one_queue_are_one_look(aws: boto3.Session, account: OpenAccount) -> None:
    [url] = create(aws)
    opened = account(sqs.QUEUE)
    counted = calls(opened.client("sqs"))

    opened.after(*[api_call("sqs", name, {"queueUrl": url}) for name in ("TagQueue", "SetQueueAttributes") * 50])

    assert counted == {"GetQueueAttributes": 1, "ListQueueTags": 1}


@pytest.mark.parametrize("physical_id", [URL, ARN, "orders"])
def test_a_stack_s_queue_is_found_by_url_arn_or_name(
    aws: boto3.Session, account: OpenAccount, physical_id: str
) -> None:
    create(aws)
    opened = account(sqs.QUEUE)
    names = Names(ALL)
    for component in opened.snapshot().components.values():
        names.add(sqs.QUEUE, scope("sqs"), component.data["QueueUrl"], component.type, component.id)

    link = StackResource("stack", "has resource", "AWS::SQS::Queue", physical_id)
    [relation] = names.relations(scope("cloudformation"), link.link, known_only=True)

    assert relation.id == f"stack-has resource-{ARN}"
