"""Amazon S3: buckets and what they notify."""

from collections.abc import Iterator
from dataclasses import replace

from topology.arns import recorded
from topology.declare import Call, Ids, PerItem, Resource, bulk_tags, on
from topology.elements import Element, Item, Relation, Scope
from topology.shape import component

GONE = ("NoSuchBucket",)
# The region whose buckets have no location constraint.
WITHOUT_CONSTRAINT = "us-east-1"


def bucket_arn(scope: Scope, key: str) -> str:
    """The ARN of a bucket from its name."""
    return f"arn:{scope.partition}:s3:::{key}"


def bucket_name(_scope: Scope, key: str) -> str:
    """The bucket's name from itself or its ARN; nothing for ARNs of other things in S3."""
    return key.rpartition(":::")[2] if "/" not in key else ""


def elements(scope: Scope, item: Item) -> Iterator[Element]:
    """A bucket, and the functions that it notifies: one relation per event, as the StackPack counts them."""
    arn = bucket_arn(scope, item["Name"])
    data = {"Name": item["Name"], "CreationDate": item["CreationDate"], "Tags": item.get("Tags") or []}
    place = item.get("BucketRegion") or item.get("Location")
    if place and place != WITHOUT_CONSTRAINT:
        data["BucketLocation"] = place
    yield component(scope, "aws.s3_bucket", arn, data)
    for rule in item.get("Notifications") or ():
        for event in rule["Events"]:
            yield Relation(arn, "uses service", rule["LambdaFunctionArn"], {"event_type": event})


def elsewhere(scope: Scope, item: Item) -> bool:
    """Whether the bucket is in another region than the one that is read."""
    return (item.get("BucketRegion") or item.get("Location") or WITHOUT_CONSTRAINT) != scope.region


GET_TAGGING = Call("s3", "get_bucket_tagging", "TagSet", gone=(*GONE, "NoSuchTagSet"))
LIST_BUCKETS = Call("s3", "list_buckets", "Buckets[]", {"MaxBuckets": 1000}, action="s3:ListAllMyBuckets")

NAMED = f"requestParameters.bucketName || {recorded('AWS::S3::Bucket')}"

BUCKET = Resource(
    kind="s3.bucket",
    components=["aws.s3_bucket"],
    relates={"uses service": ["aws.lambda"]},
    listed_by=LIST_BUCKETS,
    # No other call tells when a bucket was made.
    looked_up_by=replace(LIST_BUCKETS, ids=Ids("Prefix", exact="Name")),
    key="Name",
    details=[
        PerItem(
            "Location",
            Call("s3", "get_bucket_location", "LocationConstraint", gone=GONE),
            {"Bucket": "Name"},
            # A paged listing tells most buckets' regions itself.
            when=lambda _scope, item: not item.get("BucketRegion"),
        ),
        PerItem(
            "Tags",
            GET_TAGGING,
            {"Bucket": "Name"},
            in_snapshot=bulk_tags(
                lambda scope, item: "" if elsewhere(scope, item) else bucket_arn(scope, item["Name"])
            ),
        ),
        # The bulk reading knows the buckets of its own region only.
        PerItem(
            "Tags",
            GET_TAGGING,
            {"Bucket": "Name"},
            when=lambda scope, item: item.get("Tags") is None and elsewhere(scope, item),
        ),
        PerItem(
            "Notifications",
            Call(
                "s3",
                "get_bucket_notification_configuration",
                "LambdaFunctionConfigurations",
                gone=GONE,
                action="s3:GetBucketNotification",
            ),
            {"Bucket": "Name"},
        ),
    ],
    elements=elements,
    component_id=bucket_arn,
    lookup_key=bucket_name,
    arn=r"arn:[^:]+:s3:::(?P<key>[^/]+)",
    cloudformation={"AWS::S3::Bucket": ["aws.s3_bucket"]},
    once=True,
    changes=[
        on("CreateBucket", key=NAMED, creates=True),
        on("DeleteBucket", key=NAMED, deletes=True),
        on(
            *("PutBucketTagging", "DeleteBucketTagging"),
            *("PutBucketNotification", "PutBucketNotificationConfiguration"),
            key=NAMED,
        ),
        # Calls to S3 Control, which has tags for other things too; no record of them was seen.
        on("TagResource", "UntagResource", key="requestParameters.resourceArn || requestParameters.ResourceArn"),
    ],
)
