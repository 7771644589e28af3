"""Amazon Kinesis Data Streams: streams. What reads from them and writes to them says so itself."""

from collections.abc import Callable, Iterator

from topology.arns import own_name
from topology.declare import Call, Pages, PerItem, Resource, bulk_tags, on
from topology.elements import Element, Item, Scope
from topology.shape import component

GONE = ("ResourceNotFoundException",)


def stream_name(scope: Scope, key: str) -> str:
    """The name of a stream from itself, its ARN, or the ARN of one of its consumers; nothing for other ARNs."""
    return own_name(scope, key, "kinesis", "stream/").partition("/")[0]


def stream_arn(scope: Scope, key: str) -> str:
    """The ARN of a stream from whatever names it."""
    return scope.arn("kinesis", f"stream/{stream_name(scope, key)}")


def paged_tags(service: str, operation: str, name: str, arn: Callable[[Scope, Item], str]) -> PerItem:
    """Tags of one stream at a time, in pages that boto3 does not know; of many at once for a snapshot."""
    pages = Pages("ExclusiveStartTagKey", "Tags[-1].Key", "HasMoreTags")
    return PerItem(
        "Tags",
        Call(service, operation, "Tags[]", pages=pages, gone=GONE),
        {name: name},
        in_snapshot=bulk_tags(arn),
    )


def elements(scope: Scope, item: Item) -> Iterator[Element]:
    """A stream, its fields nested as AWS answers."""
    summary = item["StreamDescriptionSummary"]
    data = {"StreamDescriptionSummary": summary, "Tags": item.get("Tags") or []}
    yield component(scope, "aws.kinesis", summary["StreamARN"], data)


# Not `detail.resources`: of a call by name, that has no name in it.
NAMED = "requestParameters.streamName || requestParameters.streamARN || responseElements.streamARN"
# Consumers have tags of their own.
TAGGED = "requestParameters.resourceARN && !contains(to_string(requestParameters.resourceARN), '/consumer/')"

STREAM = Resource(
    kind="kinesis.stream",
    components=["aws.kinesis"],
    # boto3's paginator goes by a NextToken only, and ends early where the answer has none.
    listed_by=Call(
        "kinesis",
        "list_streams",
        "StreamNames[].{StreamName: @}",
        pages=Pages("ExclusiveStartStreamName", "StreamNames[-1]", "HasMoreStreams"),
    ),
    key="StreamName",
    details=[
        PerItem(
            "StreamDescriptionSummary",
            Call("kinesis", "describe_stream_summary", "StreamDescriptionSummary", gone=GONE),
            {"StreamName": "StreamName"},
            required=True,
        ),
        paged_tags(
            *("kinesis", "list_tags_for_stream", "StreamName"),
            arn=lambda _scope, item: item["StreamDescriptionSummary"]["StreamARN"],
        ),
    ],
    elements=elements,
    component_id=stream_arn,
    lookup_key=stream_name,
    passing='contains(`["CREATING", "UPDATING", "DELETING"]`, StreamDescriptionSummary.StreamStatus)',
    arn=r"arn:[^:]+:kinesis:[^:]+:[^:]+:stream/(?P<key>[^/]+)",
    cloudformation={"AWS::Kinesis::Stream": ["aws.kinesis"]},
    changes=[
        on("CreateStream", key=NAMED, creates=True),
        on(
            *("DeleteStream", "AddTagsToStream", "RemoveTagsFromStream"),
            *("IncreaseStreamRetentionPeriod", "DecreaseStreamRetentionPeriod"),
            *("StartStreamEncryption", "StopStreamEncryption"),
            *("EnableEnhancedMonitoring", "DisableEnhancedMonitoring"),
            *("UpdateShardCount", "MergeShards", "SplitShard"),
            *("UpdateStreamMode", "UpdateMaxRecordSize", "UpdateStreamWarmThroughput"),
            key=NAMED,
        ),
        on(
            *("RegisterStreamConsumer", "DeregisterStreamConsumer"),
            key="requestParameters.streamARN || requestParameters.consumerARN || responseElements.consumer.consumerARN",
        ),
        on("TagResource", "UntagResource", key=f"{TAGGED} && requestParameters.resourceARN"),
    ],
)
