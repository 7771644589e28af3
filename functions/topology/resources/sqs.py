"""Amazon SQS: queues."""

import re
from collections.abc import Iterator

from topology.arns import own_name, recorded
from topology.declare import Call, PerItem, Resource, bulk_tags, on
from topology.elements import Element, Item, Scope
from topology.shape import component, dimensions

# Callers may use older hosts (`queue.amazonaws.com`) or their own endpoints; the listing answers with one form.
AWS_HOST = re.compile(r"https?://[^/]+\.(?P<domain>amazonaws\.com(\.cn)?)/(?P<path>.+)")
GONE = ("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist")


def queue_arn(scope: Scope, key: str) -> str:
    """The ARN of a queue from its URL (whose host has had many forms), its name, or its ARN."""
    if key.startswith("arn:"):
        return key
    *_, account, name = ["", *key.split("/")] if "/" in key else ["", scope.account, key]
    return f"arn:{scope.partition}:sqs:{scope.region}:{account}:{name}"


def queue_url(scope: Scope, key: str) -> str:
    """The URL of a queue, as the listing has it, from any URL of it, its name, or its ARN.

    Nothing for queues of other accounts, which that account describes.
    """
    if "://" not in key:
        domain = "amazonaws.com.cn" if scope.partition == "aws-cn" else "amazonaws.com"
        name = own_name(scope, key, "sqs", "")
        return name and f"https://sqs.{scope.region}.{domain}/{scope.account}/{name}"
    if f"/{scope.account}/" not in key:
        return ""
    found = AWS_HOST.fullmatch(key)
    return f"https://sqs.{scope.region}.{found['domain']}/{found['path']}" if found else key


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


RECORDED = recorded("AWS::SQS::Queue")

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
        on(
            "CreateQueue",
            key=f"responseElements.queueUrl || requestParameters.queueName || {RECORDED}",
            creates=True,
        ),
        # AWS may answer for a queue until a minute after it was deleted.
        on("DeleteQueue", key=f"requestParameters.queueUrl || {RECORDED}", deletes=True),
        on(
            *("SetQueueAttributes", "AddPermission", "RemovePermission", "TagQueue", "UntagQueue"),
            key=f"requestParameters.queueUrl || {RECORDED}",
        ),
    ],
)
