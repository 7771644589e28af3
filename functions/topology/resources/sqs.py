"""Amazon SQS: queues."""

from collections.abc import Iterator

from topology.declare import Call, PerItem, Resource, bulk_tags, on
from topology.elements import Element, Item, Scope
from topology.shape import component, dimensions

GONE = ("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist")


def queue_arn(scope: Scope, key: str) -> str:
    """The ARN of a queue from its URL (whose host has had many forms), its name, or its ARN."""
    if key.startswith("arn:"):
        return key
    *_, account, name = ["", *key.split("/")] if "/" in key else ["", scope.account, key]
    return f"arn:{scope.partition}:sqs:{scope.region}:{account}:{name}"


def queue_url(scope: Scope, key: str) -> str:
    """The URL that SQS's calls want. They go by its path alone, so a URL made from a name serves as well."""
    if "://" in key:
        return key
    return f"https://sqs.{scope.region}.amazonaws.com/{scope.account}/{key.rpartition(':')[2]}"


def elements(scope: Scope, item: Item) -> Iterator[Element]:
    """A queue. What uses it says so itself: topics, functions, methods."""
    url = item["QueueUrl"]
    attributes = item["Attributes"]
    yield component(
        scope,
        "aws.sqs",
        attributes["QueueArn"],
        {
            **attributes,
            "Tags": item.get("Tags") or {},
            "URN": [url],
            "Name": url,
            "QueueUrl": url,
            "CW": dimensions(QueueName=url.rpartition("/")[2]),
        },
    )


QUEUE = Resource(
    kind="sqs.queue",
    components=["aws.sqs"],
    # Without MaxResults, SQS answers with 1,000 queues and no token to go on with.
    listed_by=Call("sqs", "list_queues", "QueueUrls[].{QueueUrl: @}", {"MaxResults": 1000}),
    key="QueueUrl",
    details=[
        PerItem(
            "Attributes",
            Call("sqs", "get_queue_attributes", "Attributes", {"AttributeNames": ["All"]}, gone=GONE),
            {"QueueUrl": "QueueUrl"},
            required=True,
        ),
        PerItem(
            "Tags",
            Call("sqs", "list_queue_tags", "Tags", gone=GONE),
            {"QueueUrl": "QueueUrl"},
            in_snapshot=bulk_tags(lambda _scope, item: item["Attributes"]["QueueArn"]),
        ),
    ],
    elements=elements,
    component_id=queue_arn,
    lookup_key=queue_url,
    arn=r"arn:[^:]+:sqs:[^:]+:[^:]+:(?P<key>[^:]+)",
    cloudformation={"AWS::SQS::Queue": ["aws.sqs"]},
    changes=[
        on("CreateQueue", key="responseElements.queueUrl || requestParameters.queueName", creates=True),
        on(
            *("DeleteQueue", "SetQueueAttributes", "AddPermission", "RemovePermission", "TagQueue", "UntagQueue"),
            key="requestParameters.queueUrl",
        ),
    ],
)
