"""SNS topics and where they deliver to, as the StackPack knows them."""

from collections.abc import Callable
from typing import Any

import boto3
import pytest

from tests.account import TestAccount, api_call
from tests.resources.support import answer, calls, refuse, scope, touched, unresolved
from topology.elements import Relation, StackResource
from topology.links import Names
from topology.resources import ALL, sns

ARN = "arn:aws:sns:eu-west-1:123456789012:orders"
FUNCTION = "arn:aws:lambda:eu-west-1:123456789012:function:pick"
QUEUE = "arn:aws:sqs:eu-west-1:999999999999:orders"
SUBSCRIPTION = f"{ARN}:0a1b2c3d-0000-4000-8000-000000000000"

OpenAccount = Callable[..., TestAccount]


def create(session: boto3.Session) -> None:
    client = session.client("sns")
    client.create_topic(Name="orders", Tags=[{"Key": "Team", "Value": "Shop"}])
    client.create_topic(Name="returns")
    client.subscribe(TopicArn=ARN, Protocol="lambda", Endpoint=FUNCTION)
    client.subscribe(TopicArn=ARN, Protocol="sqs", Endpoint=QUEUE)
    client.subscribe(TopicArn=ARN, Protocol="email", Endpoint="ops@example.com")
    client.subscribe(TopicArn=ARN.replace("orders", "returns"), Protocol="lambda", Endpoint=FUNCTION)


def test_a_topic_is_its_arn_with_name_dimension_and_tags(aws: boto3.Session, account: OpenAccount) -> None:
    create(aws)

    topic = account(sns.TOPIC).snapshot().components[ARN]

    assert topic.type == "aws.sns"
    assert topic.data == {
        "TopicArn": ARN,
        "Name": ARN,
        "CW": {"Dimensions": [{"Key": "TopicName", "Value": "orders"}]},
        "Tags": {"Team": "Shop"},
        "Location": {"AwsAccount": "123456789012", "AwsRegion": "eu-west-1"},
    }


def test_a_topic_uses_the_functions_and_queues_it_delivers_to_and_no_mailbox(
    aws: boto3.Session, account: OpenAccount
) -> None:
    create(aws)

    assert set(account(sns.TOPIC).snapshot().relations) == {
        f"{ARN}-uses service-{FUNCTION}",
        f"{ARN}-uses service-{QUEUE}",
        f"{ARN.replace('orders', 'returns')}-uses service-{FUNCTION}",
    }


def test_subscriptions_of_other_topics_in_the_answer_are_not_this_topic_s() -> None:
    others = [
        {"TopicArn": ARN.replace("orders", "returns"), "Protocol": "lambda", "Endpoint": FUNCTION},
        {"TopicArn": ARN, "Protocol": "sqs"},
    ]

    elements = list(sns.elements(scope("sns"), {"TopicArn": ARN, "Subscriptions": others}))

    assert not [one for one in elements if isinstance(one, Relation)]


def test_a_snapshot_and_an_event_say_the_same(aws: boto3.Session, account: OpenAccount) -> None:
    create(aws)
    opened = account(sns.TOPIC)

    snapshot = opened.snapshot()
    after = opened.after(
        api_call("sns", "Subscribe", {"topicArn": ARN}),
        api_call("sns", "CreateTopic", {"name": "returns"}, {"topicArn": ARN.replace("orders", "returns")}),
    )

    assert snapshot.components == after.components
    assert snapshot.relations == after.relations
    assert not after.deleted


def test_a_snapshot_asks_for_topics_subscriptions_and_tags_in_bulk(aws: boto3.Session, account: OpenAccount) -> None:
    for number in range(120):
        arn = aws.client("sns").create_topic(Name=f"t{number}")["TopicArn"]
        aws.client("sns").subscribe(TopicArn=arn, Protocol="sqs", Endpoint=QUEUE)
    opened = account(sns.TOPIC)
    counted = calls(opened.client("sns"), opened.client("resourcegroupstaggingapi"))

    found = opened.snapshot()

    assert len(found.components) == 120
    assert len(found.relations) == 120
    assert counted == {"ListTopics": 2, "ListSubscriptions": 2, "GetResources": 2}


@pytest.mark.parametrize(
    ("client", "operation", "action"),
    [
        ("sns", "list_subscriptions", "sns:ListSubscriptions"),
        ("resourcegroupstaggingapi", "get_resources", "tag:GetResources"),
    ],
)
def test_a_denied_detail_is_left_out_and_named(
    aws: boto3.Session, account: OpenAccount, client: str, operation: str, action: str
) -> None:
    create(aws)
    opened = account(sns.TOPIC)
    refuse(opened.client(client), operation, "AuthorizationError")

    found = opened.snapshot()

    assert len(found.components) == 2
    assert [one.error.action for one in found.left_out] == [action]
    assert not found.incomplete


def test_a_refused_listing_is_incomplete(aws: boto3.Session, account: OpenAccount) -> None:
    opened = account(sns.TOPIC)
    refuse(opened.client("sns"), "list_topics", "AuthorizationError")

    assert [one.error.action for one in opened.snapshot().incomplete] == ["sns:ListTopics"]


def test_a_topic_without_tags_has_an_empty_mapping(aws: boto3.Session, account: OpenAccount) -> None:
    aws.client("sns").create_topic(Name="orders")

    assert account(sns.TOPIC).snapshot().components[ARN].data["Tags"] == {}


@pytest.mark.parametrize(
    "event",
    [
        api_call("sns", "CreateTopic", {"name": "orders"}, {"topicArn": ARN}),
        api_call("sns", "CreateTopic", {"name": "orders"}),
        api_call("sns", "DeleteTopic", {"topicArn": ARN}),
        api_call("sns", "SetTopicAttributes", {"topicArn": ARN, "attributeName": "DisplayName"}),
        api_call("sns", "AddPermission", {"topicArn": ARN}),
        api_call("sns", "RemovePermission", {"topicArn": ARN}),
        api_call("sns", "Subscribe", {"topicArn": ARN, "protocol": "sqs"}, {"subscriptionArn": SUBSCRIPTION}),
        api_call("sns", "ConfirmSubscription", {"topicArn": ARN}),
        api_call("sns", "Unsubscribe", {"subscriptionArn": SUBSCRIPTION}),
        api_call("sns", "SetSubscriptionAttributes", {"subscriptionArn": SUBSCRIPTION}),
        api_call("sns", "TagResource", {"resourceArn": ARN}),
        api_call("sns", "UntagResource", {"resourceArn": ARN}),
        api_call("tagging", "TagResources", {"resourceARNList": [ARN]}),
    ],
)
def test_an_event_leads_to_its_topic(event: dict[str, Any]) -> None:
    assert touched([sns.TOPIC], event) == {("sns.topic", ARN)}


@pytest.mark.parametrize(
    "event",
    [
        api_call("sns", "Subscribe", {"topicArn": "arn:aws:sns:eu-west-1:999999999999:theirs"}),
        api_call("sns", "TagResource", {"resourceArn": "arn:aws:sns:eu-west-1:123456789012:app/GCM/shop"}),
        api_call("sns", "DeleteTopic", {"topicArn": ARN}, errorCode="AuthorizationError"),
    ],
)
def test_topics_of_other_accounts_mobile_apps_and_refused_calls_touch_nothing(event: dict[str, Any]) -> None:
    assert not touched([sns.TOPIC], event)


def test_a_call_without_parameters_is_unresolved() -> None:
    assert unresolved([sns.TOPIC], api_call("sns", "DeleteTopic"))


def test_a_deleted_topic_is_deleted_and_a_recreated_one_is_not(aws: boto3.Session, account: OpenAccount) -> None:
    event = api_call("sns", "DeleteTopic", {"topicArn": ARN})
    assert account(sns.TOPIC).after(event).deleted == {ARN}

    aws.client("sns").create_topic(Name="orders")
    again = account(sns.TOPIC).after(event)
    assert set(again.components) == {ARN}
    assert not again.deleted


def test_a_denied_look_after_an_event_deletes_nothing(aws: boto3.Session, account: OpenAccount) -> None:
    opened = account(sns.TOPIC)
    refuse(opened.client("sns"), "list_subscriptions_by_topic", "AuthorizationError")

    after = opened.after(api_call("sns", "DeleteTopic", {"topicArn": ARN}))

    assert not after.deleted
    assert after.incomplete


def test_a_topic_that_ends_between_two_calls_keeps_no_tags(aws: boto3.Session, account: OpenAccount) -> None:
    opened = account(sns.TOPIC)
    answer(opened.client("sns"), "list_subscriptions_by_topic", {"Subscriptions": []})
    refuse(opened.client("sns"), "list_tags_for_resource", "ResourceNotFound")

    assert opened.after(api_call("sns", "Subscribe", {"topicArn": ARN})).components[ARN].data["Tags"] == {}


@pytest.mark.parametrize("physical_id", ["orders", ARN])
def test_a_stack_may_call_a_topic_by_name_or_arn(aws: boto3.Session, account: OpenAccount, physical_id: str) -> None:
    aws.client("sns").create_topic(Name="orders")
    opened = account(sns.TOPIC)
    names = Names(ALL)
    names.add(
        sns.TOPIC, scope("sns"), ARN, opened.snapshot().components[ARN].type, opened.snapshot().components[ARN].id
    )
    link = StackResource("stack", "has resource", "AWS::SNS::Topic", physical_id)

    [relation] = names.relations(scope("cloudformation"), link.link, known_only=True)

    assert relation.target == ARN
