"""Amazon SNS: topics and where they deliver to."""

from collections.abc import Iterator

from topology.declare import Call, ForAll, PerItem, Resource, bulk_tags, on
from topology.elements import Element, Item, Relation, Scope
from topology.shape import component, dimensions

# Deliveries to other protocols (mail, HTTP, phones) end outside AWS.
DELIVERED = frozenset({"lambda", "sqs"})


def topic_arn(scope: Scope, key: str) -> str:
    """The ARN of a topic from its name, its ARN, or the ARN of a subscription to it.

    Nothing for other ARNs of SNS (mobile push), nor for topics of other accounts, which that account describes.
    """
    if not key.startswith("arn:"):
        return scope.arn("sns", key)
    account, name = [*key.split(":"), "", ""][4:6]
    return scope.arn("sns", name) if account == scope.account and name and "/" not in name else ""


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
        on("CreateTopic", key="responseElements.topicArn || requestParameters.name", creates=True),
        on(
            *("DeleteTopic", "SetTopicAttributes", "AddPermission", "RemovePermission"),
            *("Subscribe", "ConfirmSubscription"),
            key="requestParameters.topicArn",
        ),
        # Only the subscription is named, but its ARN begins with the topic's.
        on("Unsubscribe", "SetSubscriptionAttributes", key="requestParameters.subscriptionArn"),
        on("TagResource", "UntagResource", key="requestParameters.resourceArn"),
    ],
)
