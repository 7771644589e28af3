"""Amazon SNS: topics and where they deliver to."""

from collections.abc import Iterator

from topology.arns import own_name, recorded
from topology.declare import Call, ForAll, PerItem, Resource, bulk_tags, on
from topology.elements import Element, Item, Relation, Scope
from topology.shape import component, dimensions

# Deliveries to other protocols (mail, HTTP, phones) end outside AWS.
DELIVERED = frozenset({"lambda", "sqs"})


def topic_arn(scope: Scope, key: str) -> str:
    """The ARN of a topic from its name, its ARN, or the ARN of a subscription to it.

    Nothing for other ARNs of SNS (mobile push), nor for topics of other accounts, which that account describes.
    """
    name = own_name(scope, key, "sns", "").partition(":")[0]
    return scope.arn("sns", name) if name and "/" not in name else ""


def elements(scope: Scope, item: Item) -> Iterator[Element]:
    """A topic, and the functions and queues that it delivers to."""
    arn = item["TopicArn"]
    yield component(
        scope,
        "aws.sns",
        arn,
        {
            "TopicArn": arn,
            "Name": arn,
            "Tags": item.get("Tags") or [],
            "CW": dimensions(TopicName=arn.rpartition(":")[2]),
        },
    )
    for subscription in item.get("Subscriptions") or ():
        endpoint = subscription.get("Endpoint")
        if subscription["TopicArn"] == arn and subscription.get("Protocol") in DELIVERED and endpoint:
            yield Relation(arn, "uses service", endpoint)


RECORDED = recorded("AWS::SNS::Topic")

TOPIC = Resource(
    kind="sns.topic",
    components=["aws.sns"],
    relates={"uses service": ["aws.lambda", "aws.sqs"]},
    listed_by=Call("sns", "list_topics", "Topics[]"),
    key="TopicArn",
    details=[
        PerItem(
            "Subscriptions",
            Call("sns", "list_subscriptions_by_topic", "Subscriptions[]", gone=("NotFound", "NotFoundException")),
            {"TopicArn": "TopicArn"},
            # After a change it is this call that tells whether there is such a topic.
            required=True,
            in_snapshot=ForAll(
                "Subscriptions",
                Call("sns", "list_subscriptions", "Subscriptions[]"),
                id="TopicArn",
                match="TopicArn",
            ),
        ),
        PerItem(
            "Tags",
            Call(
                "sns",
                "list_tags_for_resource",
                "Tags[]",
                gone=("ResourceNotFound", "ResourceNotFoundException", "NotFound"),
            ),
            {"ResourceArn": "TopicArn"},
            in_snapshot=bulk_tags(lambda _scope, item: item["TopicArn"]),
        ),
    ],
    elements=elements,
    component_id=topic_arn,
    lookup_key=topic_arn,
    arn=r"(?P<key>arn:[^:]+:sns:[^:]+:[^:]+:[^:/]+)",
    cloudformation={"AWS::SNS::Topic": ["aws.sns"]},
    changes=[
        on("CreateTopic", key=f"responseElements.topicArn || requestParameters.name || {RECORDED}", creates=True),
        on("DeleteTopic", key=f"requestParameters.topicArn || {RECORDED}", deletes=True),
        on(
            *("SetTopicAttributes", "AddPermission", "RemovePermission"),
            *("Subscribe", "ConfirmSubscription"),
            key=f"requestParameters.topicArn || {RECORDED}",
        ),
        # Only the subscription is named, but its ARN begins with the topic's.
        on("Unsubscribe", "SetSubscriptionAttributes", key=f"requestParameters.subscriptionArn || {RECORDED}"),
        on("TagResource", "UntagResource", key=f"requestParameters.resourceArn || {RECORDED}"),
    ],
)
