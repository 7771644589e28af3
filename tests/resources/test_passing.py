"""What AWS is making, changing or deleting is looked at again: no event tells when it is done."""

from typing import Any

import pytest

from topology.aws import search
from topology.declare import Resource
from topology.resources import firehose, kinesis, lambda_, redshift

Json = dict[str, Any]


def stream(status: str) -> Json:
    return {"StreamDescriptionSummary": {"StreamStatus": status}}


def delivery_stream(status: str, encryption: str = "DISABLED") -> Json:
    configuration = {"Status": encryption}
    return {
        "DeliveryStreamDescription": {
            "DeliveryStreamStatus": status,
            "DeliveryStreamEncryptionConfiguration": configuration,
        }
    }


@pytest.mark.parametrize(
    ("resource", "item"),
    [
        *((kinesis.STREAM, stream(status)) for status in ("CREATING", "UPDATING", "DELETING")),
        *((firehose.DELIVERY_STREAM, delivery_stream(status)) for status in ("CREATING", "DELETING")),
        *((firehose.DELIVERY_STREAM, delivery_stream("ACTIVE", status)) for status in ("ENABLING", "DISABLING")),
        (lambda_.FUNCTION, {"State": "Pending", "LastUpdateStatus": "InProgress"}),
        (lambda_.FUNCTION, {"State": "Active", "LastUpdateStatus": "InProgress"}),
        *((lambda_.EVENT_SOURCE_MAPPING, {"State": state}) for state in ("Creating", "Enabling", "Updating")),
        *((redshift.CLUSTER, {"ClusterStatus": status}) for status in redshift.PASSING),
    ],
)
def test_what_is_not_done_yet_is_passing(resource: Resource, item: Json) -> None:
    assert search(resource.passing, item) is True


@pytest.mark.parametrize(
    ("resource", "item"),
    [
        (kinesis.STREAM, stream("ACTIVE")),
        (firehose.DELIVERY_STREAM, delivery_stream("ACTIVE", "ENABLED")),
        (firehose.DELIVERY_STREAM, delivery_stream("CREATING_FAILED", "ENABLING_FAILED")),
        (firehose.DELIVERY_STREAM, {"DeliveryStreamDescription": {"DeliveryStreamStatus": "ACTIVE"}}),
        (lambda_.FUNCTION, {"State": "Active", "LastUpdateStatus": "Successful"}),
        (lambda_.FUNCTION, {"FunctionName": "as the listing has it"}),
        *(
            (lambda_.EVENT_SOURCE_MAPPING, {"State": state})
            for state in ("Enabled", "Disabling", "Disabled", "Deleting")
        ),
        *((redshift.CLUSTER, {"ClusterStatus": status}) for status in ("available", "paused", "storage-full")),
    ],
)
def test_what_is_done_or_has_failed_is_not(resource: Resource, item: Json) -> None:
    assert not search(resource.passing, item)
