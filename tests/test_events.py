"""Events say where to look again: which resource, in which region, and never more than that."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.account.patterns import matches
from tests.account import ACCOUNT_ID, REGION, TestAccount, api_call, native_event
from tools import derived
from topology.collect import Touched
from topology.elements import Scope
from topology.events import merged
from topology.resources import ALL, ec2, lambda_, s3, sqs

SCOPE = Scope(ACCOUNT_ID, REGION, "aws", "sqs")

Open = Callable[..., TestAccount]
URL = f"https://sqs.{REGION}.amazonaws.com/123456789012/orders"
CHANGES = [(resource, change) for resource in ALL for change in resource.changes]


def touched(opened: TestAccount, event: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(one.resource.kind, one.region, one.key) for one in opened.meaning(event).touched]


def test_an_event_touches_the_resource_that_its_declaration_finds_in_it(account: Open) -> None:
    event = api_call("sqs", "TagQueue", {"queueUrl": URL})

    assert touched(account(*ALL), event) == [("sqs.queue", REGION, URL)]


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(api_call("sqs", "DeleteQueue", {"queueUrl": URL}, errorCode="AccessDenied"), id="refused"),
        pytest.param(api_call("ec2", "RunInstances", errorCode="Client.DryRunOperation"), id="dry run"),
        pytest.param(api_call("sqs", "ReceiveMessage", {"queueUrl": URL}), id="data plane"),
        pytest.param(api_call("sns", "TagQueue", {"queueUrl": URL}), id="another service's name"),
        pytest.param(api_call("sqs", "TagQueue", {"queueUrl": URL}) | {"account": "999999999999"}, id="foreign"),
        pytest.param(api_call("sqs", "TagQueue", {"queueUrl": URL}, region="us-west-2"), id="region not covered"),
        pytest.param(native_event("aws.s3", "Object Created", {}), id="another native event"),
        pytest.param(native_event("aws.ec2", "AWS API Call via CloudTrail", {}), id="empty detail"),
        pytest.param({"account": "123456789012", "region": REGION}, id="no detail"),
    ],
)
def test_what_changed_nothing_of_ours_touches_nothing(account: Open, event: dict[str, Any]) -> None:
    said = account(*ALL).meaning(event)

    assert not said.touched
    assert not said.unresolved


def test_an_event_of_ours_without_an_id_is_counted_and_touches_nothing(account: Open) -> None:
    said = account(sqs.QUEUE).meaning(api_call("sqs", "TagQueue"))

    assert said.unresolved
    assert not said.touched


def test_one_call_that_tags_many_kinds_touches_each_of_ours(account: Open) -> None:
    ids = ["i-1", "vol-1", "sg-1", "vpc-1", "subnet-1", "vgw-1", "eni-1"]
    event = api_call("ec2", "CreateTags", {"resourcesSet": {"items": [{"resourceId": id_} for id_ in ids]}})

    found = touched(account(*ec2.RESOURCES), event)

    assert {key for _, _, key in found} == {"i-1", "sg-1", "vpc-1", "subnet-1", "vgw-1"}


def test_tags_of_what_we_do_not_show_are_no_unresolved_event(account: Open) -> None:
    event = api_call("ec2", "DeleteTags", {"resourcesSet": {"items": [{"resourceId": "vol-1"}]}})

    said = account(*ec2.RESOURCES).meaning(event)

    assert not said.touched
    assert not said.unresolved


def test_the_tagging_api_names_any_resource_by_its_arn(account: Open) -> None:
    arns = [
        f"arn:aws:sqs:{REGION}:123456789012:orders",
        "arn:aws:s3:::data",
        f"arn:aws:ec2:{REGION}:123456789012:instance/i-1",
        f"arn:aws:lambda:{REGION}:123456789012:function:orders",
        f"arn:aws:lambda:{REGION}:123456789012:event-source-mapping:7bf73129",
        f"arn:aws:kms:{REGION}:123456789012:key/1",
    ]
    event = api_call("tagging", "TagResources", {"resourceARNList": arns})

    opened = account(sqs.QUEUE, s3.BUCKET, ec2.INSTANCE, *lambda_.RESOURCES)
    assert touched(opened, event) == [
        ("sqs.queue", REGION, URL),
        ("s3.bucket", REGION, "data"),
        ("ec2.instance", REGION, "i-1"),
        ("lambda.function", REGION, "orders"),
    ]


@pytest.mark.parametrize(
    "name",
    [
        "UpdateFunctionCode20150331v2",
        "UpdateFunctionCode20150331",
        "UpdateFunctionCode",
        "UpdateFunctionCode20990101v7",
    ],
)
def test_the_date_in_lambdas_event_names_does_not_matter(account: Open, name: str) -> None:
    event = api_call("lambda", name, {"functionName": "orders"})

    assert touched(account(*lambda_.RESOURCES), event) == [("lambda.function", REGION, "orders")]


@pytest.mark.parametrize(
    "named",
    [
        "orders",
        "orders:7",
        "123456789012:function:orders",
        f"arn:aws:lambda:{REGION}:123456789012:function:orders",
        f"arn:aws:lambda:{REGION}:123456789012:function:orders:live",
    ],
)
def test_a_function_is_the_same_however_it_is_named(account: Open, named: str) -> None:
    event = api_call("lambda", "DeleteFunction20150331", {"functionName": named})

    assert touched(account(*lambda_.RESOURCES), event) == [("lambda.function", REGION, "orders")]


def test_events_of_one_resource_are_one_look_and_what_each_of_them_ended_is_kept() -> None:
    one = Touched(sqs.QUEUE, SCOPE, URL, ended=("a",))
    same = Touched(sqs.QUEUE, SCOPE, URL, creates=True, ended=("b", "a"))

    [look] = merged([one, same])

    assert (look.key, look.creates, look.ended) == (URL, True, ("a", "b"))


@given(
    st.permutations([api_call("sqs", name, {"queueUrl": URL}) for name in ("TagQueue", "DeleteQueue", "UntagQueue")])
)
def test_the_order_of_events_does_not_matter(events: list[dict[str, Any]]) -> None:
    looks = [Touched(sqs.QUEUE, SCOPE, event["detail"]["requestParameters"]["queueUrl"]) for event in events]

    assert len(merged(looks)) == 1


# --------------------------------------------------------------------------------------------------- the rules


def passes(event: dict[str, Any]) -> bool:
    return any(matches(pattern, event) for pattern in derived.patterns().values())


@pytest.mark.parametrize(
    ("source", "name"),
    sorted(
        {
            (change.source or resource.cloudtrail_source, name)
            for resource, change in CHANGES
            if not change.native
            for name in change.names
        }
    ),
)
def test_every_declared_api_call_passes_the_rules_and_a_refused_one_does_not(source: str, name: str) -> None:
    service = source.removesuffix(".amazonaws.com")

    assert passes(api_call(service, name))
    assert passes(api_call(service, f"{name}20150331v2")) == (source in derived.DATED_SOURCES)
    assert not passes(api_call(service, name, errorCode="AccessDenied"))
    assert not passes(api_call(service, name) | {"source": "com.example.forged"})


@pytest.mark.parametrize("name", ["DescribeInstances", "GetQueueAttributes", "ListBuckets", "Invoke", "PutObject"])
@pytest.mark.parametrize("service", ["ec2", "sqs", "s3", "lambda", "iam"])
def test_reading_and_data_calls_do_not_pass_the_rules(service: str, name: str) -> None:
    assert not passes(api_call(service, name))
