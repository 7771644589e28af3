"""What happens to a scope when a call fails: refused, throttled, on a later page, or about something that is gone."""

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from botocore.stub import Stubber

from tests.account import ACCOUNT_ID, REGION, TestAccount, api_call
from topology.collect import Account, Read, changes, snapshot
from topology.elements import Incomplete, wire_telemetry
from topology.errors import (
    Denied,
    DeniedByOrganization,
    RegionDisabled,
    Throttled,
    TimeRanOut,
    UnexpectedAnswer,
    Unreachable,
)
from topology.resources import ecs, lambda_, s3, sqs

Open = Callable[..., TestAccount]


def refuse(account: TestAccount, service: str, operation: str, error: Exception) -> None:
    """Let one operation of a client fail; all others go on."""
    client = account.client(service)
    name = client.meta.method_to_api_mapping[operation]
    real = client._make_api_call

    def call(operation_name: str, parameters: dict[str, Any]) -> Any:
        if operation_name == name:
            raise error
        return real(operation_name, parameters)

    client._make_api_call = call


def client_error(code: str, message: str = "", status: int = 400) -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]
        "Operation",
    )


def queues(aws: Any, *names: str) -> list[str]:
    return [aws.client("sqs").create_queue(QueueName=name)["QueueUrl"] for name in names]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (client_error("AccessDenied"), Denied),
        (client_error("UnauthorizedOperation"), Denied),
        (
            client_error("AccessDeniedException", "with an explicit deny in a service control policy"),
            DeniedByOrganization,
        ),
        (client_error("ThrottlingException"), Throttled),
        (client_error("RequestLimitExceeded"), Throttled),
        (client_error("UnrecognizedClientException"), RegionDisabled),
        (client_error("OptInRequired"), RegionDisabled),
        (client_error("InternalError", status=500), Unreachable),
        (EndpointConnectionError(endpoint_url="https://sqs"), Unreachable),
        (client_error("SomethingNew"), UnexpectedAnswer),
    ],
)
def test_a_listing_that_fails_is_incomplete_with_its_cause_and_not_empty(
    aws: Any, account: Open, error: Exception, kind: type[Exception]
) -> None:
    aws.client("s3").create_bucket(Bucket="data", CreateBucketConfiguration={"LocationConstraint": REGION})
    opened = account(sqs.QUEUE, s3.BUCKET)
    refuse(opened, "sqs", "list_queues", error)

    found = opened.snapshot()

    [incomplete] = found.incomplete
    assert type(incomplete.error) is kind
    assert incomplete.error.action == "sqs:ListQueues"
    assert incomplete.scope.service == "sqs"
    assert list(found.components) == ["arn:aws:s3:::data"]


def test_a_denied_detail_is_left_out_and_its_action_named_once(aws: Any, account: Open) -> None:
    queues(aws, "one", "two")
    opened = account(sqs.QUEUE)
    refuse(opened, "resourcegroupstaggingapi", "get_resources", client_error("AccessDeniedException"))

    found = opened.snapshot()

    assert len(found.components) == 2
    assert [one.error.action for one in found.left_out] == ["tag:GetResources"]
    assert not found.incomplete


def test_a_kind_that_could_not_be_read_is_told_as_an_event_once(aws: Any, account: Open) -> None:
    queues(aws, "one", "two")
    opened = account(sqs.QUEUE)
    refuse(opened, "sqs", "get_queue_attributes", client_error("AccessDenied"))

    [event] = opened.snapshot().telemetry

    assert (event.event_type, event.title) == ("aws_agent_check_error", "Denied in api sqs component_type aws.sqs")
    assert event.tags == ("aws_region:eu-west-1", "account_id:123456789012", "process:sqs|aws.sqs")
    assert "host" not in wire_telemetry(event, 5)


def test_a_throttled_detail_makes_the_scope_incomplete_and_no_half_component(aws: Any, account: Open) -> None:
    queues(aws, "one")
    opened = account(sqs.QUEUE)
    refuse(opened, "resourcegroupstaggingapi", "get_resources", client_error("ThrottlingException"))

    found = opened.snapshot()

    assert not found.components
    assert [type(one.error) for one in found.incomplete] == [Throttled]


def test_a_denied_description_costs_its_kind_and_nothing_else(aws: Any, account: Open) -> None:
    queues(aws, "one", "two")
    opened = account(sqs.QUEUE)
    refuse(opened, "sqs", "get_queue_attributes", client_error("AccessDenied"))

    found = opened.snapshot()

    assert not found.components
    assert [one.error.action for one in found.incomplete] == ["sqs:GetQueueAttributes"]


def test_a_queue_that_is_gone_by_the_time_it_is_described_is_not_there_and_nothing_failed(
    aws: Any, account: Open
) -> None:
    queues(aws, "one")
    opened = account(sqs.QUEUE)
    refuse(opened, "sqs", "get_queue_attributes", client_error("AWS.SimpleQueueService.NonExistentQueue"))

    found = opened.snapshot()

    assert not found.all


def test_a_listing_that_breaks_on_a_later_page_keeps_what_came_before_and_is_incomplete(account: Open) -> None:
    opened = account(lambda_.EVENT_SOURCE_MAPPING)
    mapping = {
        "UUID": "7bf73129-1428-4cd3-a780-95db273d1602",
        "State": "Enabled",
        "FunctionArn": "arn:aws:lambda:eu-west-1:123456789012:function:f",
        "EventSourceArn": "arn:aws:sqs:eu-west-1:123456789012:q",
    }
    with Stubber(opened.client("lambda")) as stub:
        stub.add_response("list_event_source_mappings", {"EventSourceMappings": [mapping], "NextMarker": "2"})
        stub.add_client_error("list_event_source_mappings", "TooManyRequestsException", expected_params={"Marker": "2"})

        found = opened.snapshot()

    assert len(found.relations) == 1
    assert [type(one.error) for one in found.incomplete] == [Throttled]


def test_a_run_that_has_no_time_left_stops_and_says_so(aws: Any) -> None:
    queues(aws, "one")
    opened = Account.open(aws, ACCOUNT_ID, (REGION,), [sqs.QUEUE], remaining=lambda: 3)

    [incomplete] = [one for one in snapshot([opened]) if isinstance(one, Incomplete)]

    assert isinstance(incomplete, Incomplete)
    assert isinstance(incomplete.error, TimeRanOut)


def test_a_bug_in_a_resource_is_an_exception_and_ends_the_run(aws: Any, account: Open) -> None:
    queues(aws, "one")
    opened = account(sqs.QUEUE)

    def broken(*_: Any) -> Any:
        raise ZeroDivisionError

    object.__setattr__(opened.opened.resources[0], "elements", broken)
    try:
        with pytest.raises(ZeroDivisionError):
            opened.snapshot()
    finally:
        object.__setattr__(sqs.QUEUE, "elements", sqs.elements)


def test_whoever_stops_taking_findings_does_not_leave_readers_behind(aws: Any, account: Open) -> None:
    queues(aws, *(f"q{number}" for number in range(20)))

    findings = snapshot([account(sqs.QUEUE).opened])

    assert isinstance(next(findings), Read)
    findings.close()  # type: ignore[attr-defined]  # returns, instead of waiting for room in the queue


def test_more_than_a_chunk_of_items_is_read_to_the_end(
    aws: Any, account: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("topology.read.CHUNK", 3)
    queues(aws, *(f"q{number}" for number in range(10)))

    assert len(account(sqs.QUEUE).snapshot().components) == 10


@pytest.mark.parametrize("code", ["AccessDenied", "ThrottlingException"])
def test_a_look_that_fails_deletes_nothing(aws: Any, account: Open, code: str) -> None:
    [url] = queues(aws, "one")
    opened = account(sqs.QUEUE)
    refuse(opened, "sqs", "get_queue_attributes", client_error(code))

    found = opened.after(api_call("sqs", "DeleteQueue", {"queueUrl": url}))

    assert not found.deleted
    assert len(found.incomplete) == 1
    assert [one.touched.key for one in found.unread] == [url]


@pytest.mark.parametrize("denied", [False, True])
def test_a_cluster_whose_services_may_not_be_listed_is_read_in_part(aws: Any, account: Open, *, denied: bool) -> None:
    aws.client("ecs").create_cluster(clusterName="shop")
    opened = account(ecs.CLUSTER)
    if denied:
        refuse(opened, "ecs", "list_services", client_error("AccessDeniedException"))
    [touched] = opened.meaning(api_call("ecs", "UpdateCluster", {"cluster": "shop"})).touched

    reads = [one for one in changes(opened.opened, [touched]) if isinstance(one, Read)]

    assert [one.partial for one in reads] == [denied]


def test_a_created_queue_that_sqs_does_not_know_yet_is_looked_at_later_and_not_deleted(account: Open) -> None:
    opened = account(sqs.QUEUE)
    url = f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT_ID}/new"

    found = opened.after(api_call("sqs", "CreateQueue", {"queueName": "new"}, {"queueUrl": url}))

    assert not found.deleted
    assert [one.touched.key for one in found.unsettled] == [url]


def test_global_services_are_read_once_and_others_in_every_region(aws: Any, account: Open) -> None:
    aws.client("s3").create_bucket(Bucket="data", CreateBucketConfiguration={"LocationConstraint": REGION})
    for region in (REGION, "eu-central-1"):
        aws.client("sqs", region_name=region).create_queue(QueueName="orders")

    found = account(sqs.QUEUE, s3.BUCKET, regions=(REGION, "eu-central-1")).snapshot()

    assert sorted(found.components) == [
        "arn:aws:s3:::data",
        "arn:aws:sqs:eu-central-1:123456789012:orders",
        "arn:aws:sqs:eu-west-1:123456789012:orders",
    ]
