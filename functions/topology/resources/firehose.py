"""Amazon Data Firehose: delivery streams, what they read from and where they deliver."""

from collections.abc import Iterator

from topology.arns import own_name
from topology.declare import Call, Pages, PerItem, Resource, on
from topology.elements import Element, Item, Relation, Scope
from topology.resources.kinesis import GONE, paged_tags
from topology.shape import component, dimensions


def delivery_stream_name(scope: Scope, key: str) -> str:
    """The name of a delivery stream from itself or its ARN; nothing for other ARNs."""
    return own_name(scope, key, "firehose", "deliverystream/")


def delivery_stream_arn(scope: Scope, key: str) -> str:
    """The ARN of a delivery stream from whatever names it."""
    return scope.arn("firehose", f"deliverystream/{delivery_stream_name(scope, key)}")


def elements(scope: Scope, item: Item) -> Iterator[Element]:
    """A delivery stream, its fields nested as AWS answers, between a data stream and buckets."""
    description = item["DeliveryStreamDescription"]
    arn = description["DeliveryStreamARN"]
    yield component(
        scope,
        "aws.firehose",
        arn,
        {
            "DeliveryStreamDescription": description,
            "Tags": item.get("Tags") or [],
            "CW": dimensions(DeliveryStreamName=description["DeliveryStreamName"]),
        },
    )
    if description.get("DeliveryStreamType") == "KinesisStreamAsSource":
        source = (description.get("Source") or {}).get("KinesisStreamSourceDescription") or {}
        if stream := source.get("KinesisStreamARN"):
            yield Relation(stream, "uses service", arn)
    for destination in description.get("Destinations") or ():
        if bucket := (destination.get("S3DestinationDescription") or {}).get("BucketARN"):
            yield Relation(arn, "uses service", bucket)


NAMED = "requestParameters.deliveryStreamName || responseElements.deliveryStreamARN"
DESTINATION = "DeliveryStreamDescription.Destinations.*"

DELIVERY_STREAM = Resource(
    kind="firehose.delivery-stream",
    components=["aws.firehose"],
    relates={"uses service": ["aws.kinesis", "aws.s3_bucket"]},
    # Without a limit, Firehose answers with ten names.
    listed_by=Call(
        "firehose",
        "list_delivery_streams",
        "DeliveryStreamNames[].{DeliveryStreamName: @}",
        {"Limit": 10_000},
        pages=Pages("ExclusiveStartDeliveryStreamName", "DeliveryStreamNames[-1]", "HasMoreDeliveryStreams"),
    ),
    key="DeliveryStreamName",
    details=[
        PerItem(
            "DeliveryStreamDescription",
            Call("firehose", "describe_delivery_stream", "DeliveryStreamDescription", gone=GONE),
            {"DeliveryStreamName": "DeliveryStreamName"},
            required=True,
        ),
        paged_tags(
            *("firehose", "list_tags_for_delivery_stream", "DeliveryStreamName"),
            arn=lambda _scope, item: item["DeliveryStreamDescription"]["DeliveryStreamARN"],
        ),
    ],
    elements=elements,
    component_id=delivery_stream_arn,
    lookup_key=delivery_stream_name,
    passing='contains(`["CREATING", "DELETING"]`, DeliveryStreamDescription.DeliveryStreamStatus) || '
    'contains(`["ENABLING", "DISABLING"]`, '
    "DeliveryStreamDescription.DeliveryStreamEncryptionConfiguration.Status)",
    arn=r"arn:[^:]+:firehose:[^:]+:[^:]+:deliverystream/(?P<key>[^/]+)",
    # Headers of requests to an endpoint, and the token of a Splunk collector.
    secrets=[
        f"{DESTINATION}.HttpEndpointDestinationDescription.RequestConfiguration.CommonAttributes.*.AttributeValue",
        f"{DESTINATION}.SplunkDestinationDescription.HECToken",
    ],
    changes=[
        on("CreateDeliveryStream", key=NAMED, creates=True),
        on(
            *("UpdateDestination", "DeleteDeliveryStream", "TagDeliveryStream", "UntagDeliveryStream"),
            *("StartDeliveryStreamEncryption", "StopDeliveryStreamEncryption"),
            key=NAMED,
        ),
    ],
)
