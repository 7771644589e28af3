"""Stacks, what they made, and the stacks that they are nested in, as the StackPack knows them."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest

from tests.account import TestAccount, api_call, native_event
from tests.resources.support import answer, refuse, scope, touched, without_clients
from topology.collect import spoken
from topology.declare import Resource
from topology.elements import Component, StackResource
from topology.links import Names
from topology.resources import ALL, cloudformation, lambda_, sns, sqs
from topology.shape import MASKED

ID = "arn:aws:cloudformation:eu-west-1:123456789012:stack/shop/0a1b2c3d-0000-4000-8000-000000000000"
PARENT = "arn:aws:cloudformation:eu-west-1:123456789012:stack/root/0a1b2c3d-0000-4000-8000-000000000001"
CREATED = datetime(2024, 5, 14, 9, 30, 0, 166000, tzinfo=UTC)
LAMBDA = "arn:aws:lambda:eu-west-1:123456789012:function:pick"
STACK_SET = "arn:aws:cloudformation:eu-west-1:123456789012:stackset/shop:1"
BALANCERS = "arn:aws:elasticloadbalancing:eu-west-1:123456789012"

OpenAccount = Callable[..., TestAccount]


def stack(**more: Any) -> dict[str, Any]:
    return {
        "StackId": ID,
        "StackName": "shop",
        "Description": "The shop",
        "CreationTime": CREATED,
        "StackStatus": "CREATE_COMPLETE",
        "Parameters": [{"ParameterKey": "Password", "ParameterValue": "s3cret"}],
        "Tags": [{"Key": "team", "Value": "shop"}],
        **more,
    }


def made(type_: str, physical_id: str | None) -> dict[str, Any]:
    given = {"LogicalResourceId": "One", "ResourceType": type_, "ResourceStatus": "CREATE_COMPLETE"}
    return given if physical_id is None else given | {"PhysicalResourceId": physical_id}


def serve(opened: TestAccount, stacks: list[dict[str, Any]], *resources: dict[str, Any]) -> list[dict[str, Any]]:
    """Lets CloudFormation answer with these stacks, each with these resources; returns what it was asked with."""
    client = opened.client("cloudformation")
    client.list_stack_resources = lambda **_: {"StackResourceSummaries": list(resources)}
    return answer(client, "describe_stacks", {"Stacks": stacks}, {"Stacks": stacks})


# ------------------------------------------------------------------------------------------------------- stacks


def test_a_stack_is_as_described_with_masked_parameters(aws: boto3.Session, account: OpenAccount) -> None:
    opened = account(cloudformation.STACK)
    serve(opened, [stack()], made("AWS::SQS::Queue", "orders"))

    [found] = opened.snapshot().components.values()

    assert (found.id, found.type) == (ID, "aws.cloudformation")
    assert found.data == {
        "StackId": ID,
        "StackName": "shop",
        "Description": "The shop",
        "CreationTime": "2024-05-14T09:30:00.166000+00:00",
        "StackStatus": "CREATE_COMPLETE",
        "Parameters": [{"ParameterKey": "Password", "ParameterValue": MASKED}],
        "Tags": {"team": "shop"},
        "Location": {"AwsAccount": "123456789012", "AwsRegion": "eu-west-1"},
    }


def test_a_stack_of_moto_has_what_it_made(aws: boto3.Session, account: OpenAccount) -> None:
    template = '{"Resources": {"Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "orders"}}}}'
    id_ = aws.client("cloudformation").create_stack(StackName="shop", TemplateBody=template)["StackId"]

    found = account(sqs.QUEUE, cloudformation.STACK).snapshot()

    relation = found.relations[f"{id_}-has resource-arn:aws:sqs:eu-west-1:123456789012:orders"]
    assert (relation.type, relation.data) == ("has resource", {})


def test_a_nested_stack_is_the_child_of_its_parent_and_the_relation_carries_its_summary(
    aws: boto3.Session, account: OpenAccount
) -> None:
    opened = account(cloudformation.STACK)
    serve(opened, [stack(ParentId=PARENT, RootId=PARENT, DriftInformation={"StackDriftStatus": "NOT_CHECKED"})])

    [relation] = opened.snapshot().relations.values()

    assert relation.id == f"{ID}-child of-{PARENT}"
    assert relation.data == {
        "StackId": ID,
        "StackName": "shop",
        "TemplateDescription": "The shop",
        "CreationTime": "2024-05-14T09:30:00.166000+00:00",
        "StackStatus": "CREATE_COMPLETE",
        "ParentId": PARENT,
        "RootId": PARENT,
        "DriftInformation": {"StackDriftStatus": "NOT_CHECKED"},
    }


def test_a_deleted_stack_is_no_child_and_no_component(aws: boto3.Session, account: OpenAccount) -> None:
    opened = account(cloudformation.STACK)
    serve(opened, [stack(ParentId=PARENT, StackStatus="DELETE_COMPLETE")])

    found = opened.snapshot()

    assert not found.components
    assert not found.relations


def test_stacks_and_their_resources_are_read_to_the_last_page(aws: boto3.Session, account: OpenAccount) -> None:
    for number in range(130):
        aws.client("sqs").create_queue(QueueName=f"q{number}")
    resources = [made("AWS::SQS::Queue", f"q{number}") for number in range(130)]
    opened = account(sqs.QUEUE, cloudformation.STACK)
    client = opened.client("cloudformation")
    other = ID.replace("/shop/", "/other/")
    answer(
        client,
        "describe_stacks",
        {"Stacks": [stack()], "NextToken": "1"},
        {"Stacks": [stack(StackId=other, StackName="other")]},
    )

    def list_stack_resources(StackName: str, NextToken: str = "") -> dict[str, Any]:  # noqa: N803
        if StackName == other:
            return {"StackResourceSummaries": []}
        if NextToken:
            return {"StackResourceSummaries": resources[100:]}
        return {"StackResourceSummaries": resources[:100], "NextToken": "1"}

    client.list_stack_resources = list_stack_resources

    found = opened.snapshot()

    assert {one.id for one in found.of_type("aws.cloudformation")} == {ID, other}
    assert len(found.relations) == 130
    assert {relation.source for relation in found.relations.values()} == {ID}


def test_denied_resources_are_left_out_and_named(aws: boto3.Session, account: OpenAccount) -> None:
    opened = account(cloudformation.STACK)
    serve(opened, [stack()])
    refuse(opened.client("cloudformation"), "list_stack_resources")

    found = opened.snapshot()

    assert set(found.components) == {ID}
    assert [one.error.action for one in found.left_out] == ["cloudformation:ListStackResources"]
    assert not found.incomplete


def test_a_refused_listing_is_incomplete(aws: boto3.Session, account: OpenAccount) -> None:
    opened = account(cloudformation.STACK)
    refuse(opened.client("cloudformation"), "describe_stacks")

    assert [one.error.action for one in opened.snapshot().incomplete] == ["cloudformation:DescribeStacks"]


# --------------------------------------------------------------------------------------------- what a stack made


def arn(service: str, resource: str) -> str:
    return f"arn:aws:{service}:eu-west-1:123456789012:{resource}"


# Of every type that the StackPack relates: a complete item, the physical ids that stacks have for it, and its ids.
MADE: dict[str, tuple[dict[str, Any], list[str], list[str]]] = {
    "AWS::Lambda::Function": ({"FunctionName": "pick", "FunctionArn": LAMBDA}, ["pick", LAMBDA], [LAMBDA]),
    "AWS::Kinesis::Stream": (
        {
            "StreamName": "clicks",
            "StreamDescriptionSummary": {"StreamName": "clicks", "StreamARN": arn("kinesis", "stream/clicks")},
        },
        ["clicks", arn("kinesis", "stream/clicks")],
        [arn("kinesis", "stream/clicks")],
    ),
    "AWS::S3::Bucket": (
        {"Name": "pictures", "CreationDate": CREATED},
        ["pictures"],
        ["arn:aws:s3:::pictures"],
    ),
    "AWS::ApiGateway::RestApi": (
        {"id": "api1", "name": "shop", "Stages": [{"stageName": "live"}, {"stageName": "test"}]},
        ["api1"],
        [arn("execute-api", "api1/live"), arn("execute-api", "api1/test")],
    ),
    "AWS::ElasticLoadBalancingV2::TargetGroup": (
        {
            "TargetGroupArn": f"{BALANCERS}:targetgroup/web/0123456789abcdef",
            "TargetGroupName": "web",
            "LoadBalancerArns": [],
        },
        [f"{BALANCERS}:targetgroup/web/0123456789abcdef"],
        [f"{BALANCERS}:targetgroup/web/0123456789abcdef"],
    ),
    "AWS::ElasticLoadBalancingV2::LoadBalancer": (
        {
            "LoadBalancerArn": f"{BALANCERS}:loadbalancer/app/web/0123456789abcdef",
            "LoadBalancerName": "web",
            "Type": "application",
        },
        [f"{BALANCERS}:loadbalancer/app/web/0123456789abcdef"],
        [f"{BALANCERS}:loadbalancer/app/web/0123456789abcdef"],
    ),
    "AWS::AutoScaling::AutoScalingGroup": (
        {
            "AutoScalingGroupName": "web",
            "AutoScalingGroupARN": arn("autoscaling", "autoScalingGroup:0a1b:autoScalingGroupName/web"),
        },
        ["web"],
        [arn("autoscaling", "autoScalingGroup:0a1b:autoScalingGroupName/web")],
    ),
    "AWS::ElasticLoadBalancing::LoadBalancer": ({"LoadBalancerName": "web"}, ["web"], ["classic_elb_web"]),
    "AWS::RDS::DBInstance": (
        {"DBInstanceIdentifier": "orders", "DBInstanceArn": arn("rds", "db:orders")},
        ["orders", arn("rds", "db:orders")],
        [arn("rds", "db:orders")],
    ),
    "AWS::SNS::Topic": ({"TopicArn": arn("sns", "sold")}, ["sold", arn("sns", "sold")], [arn("sns", "sold")]),
    "AWS::SQS::Queue": (
        {
            "QueueUrl": "https://sqs.eu-west-1.amazonaws.com/123456789012/orders",
            "Attributes": {"QueueArn": arn("sqs", "orders")},
        },
        [
            "orders",
            arn("sqs", "orders"),
            "https://sqs.eu-west-1.amazonaws.com/123456789012/orders",
            "https://eu-west-1.queue.amazonaws.com/123456789012/orders",
            "https://queue.amazonaws.com/123456789012/orders",
        ],
        [arn("sqs", "orders")],
    ),
    "AWS::DynamoDB::Table": (
        {"TableName": "orders", "Table": {"TableName": "orders", "TableArn": arn("dynamodb", "table/orders")}},
        ["orders", arn("dynamodb", "table/orders")],
        [arn("dynamodb", "table/orders")],
    ),
    "AWS::ECS::Cluster": (
        {"clusterArn": arn("ecs", "cluster/shop")},
        ["shop", arn("ecs", "cluster/shop")],
        [arn("ecs", "cluster/shop")],
    ),
    "AWS::EC2::Instance": (
        {"InstanceId": "i-0123456789abcdef0", "State": {"Name": "running"}},
        ["i-0123456789abcdef0"],
        ["i-0123456789abcdef0"],
    ),
}


def maker(type_: str) -> Resource:
    [resource] = [one for one in ALL if type_ in one.cloudformation]
    return resource


def test_these_are_all_types_that_the_resources_declare() -> None:
    assert {type_ for resource in ALL for type_ in resource.cloudformation} == set(MADE)


@pytest.mark.parametrize(
    ("type_", "physical_id"), [(type_, physical_id) for type_, (_, ids, _) in MADE.items() for physical_id in ids]
)
def test_a_stack_has_the_element_whatever_form_its_physical_id_has(type_: str, physical_id: str) -> None:
    item, _, targets = MADE[type_]
    resource = maker(type_)
    opened = without_clients(ALL)
    names = Names(ALL)
    read = spoken(opened, resource, scope(resource.service), item)
    for element in read.elements:
        if isinstance(element, Component):
            names.add(resource, read.scope, read.key, element.type, element.id)
    link = StackResource(ID, "has resource", type_, physical_id)

    relations = names.relations(scope("cloudformation"), link.link, known_only=True)

    assert [one.id for one in relations] == [f"{ID}-has resource-{target}" for target in targets]


@pytest.mark.parametrize("type_", MADE)
def test_what_was_not_seen_has_no_relation_in_a_snapshot(type_: str) -> None:
    link = StackResource(ID, "has resource", type_, MADE[type_][1][0])

    assert not list(Names(ALL).relations(scope("cloudformation"), link.link, known_only=True))


@pytest.mark.parametrize(
    "resource",
    [
        made("AWS::Lambda::Function", None),
        made("AWS::Lambda::Function", ""),
        made("AWS::Lambda::Function", "never-scanned"),
        made("AWS::IAM::Role", "orders"),
        made("Custom::Thing", "thing"),
    ],
)
def test_resources_without_an_id_unknown_ones_and_other_types_are_skipped(
    aws: boto3.Session, account: OpenAccount, resource: dict[str, Any]
) -> None:
    opened = account(lambda_.FUNCTION, cloudformation.STACK)
    serve(opened, [stack()], resource)

    found = opened.snapshot()

    assert set(found.components) == {ID}
    assert not found.relations
    assert not found.incomplete


def test_stacks_of_other_regions_do_not_have_this_region_s_elements(aws: boto3.Session, account: OpenAccount) -> None:
    aws.client("sns").create_topic(Name="sold")
    opened = account(sns.TOPIC, cloudformation.STACK, regions=("eu-west-1", "eu-central-1"))
    template = '{"Resources": {"Topic": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "sold"}}}}'
    away = boto3.Session(region_name="eu-central-1")
    id_ = away.client("cloudformation").create_stack(StackName="away", TemplateBody=template)["StackId"]

    targets = {one.target for one in opened.snapshot().relations.values() if one.source == id_}

    assert targets == {"arn:aws:sns:eu-central-1:123456789012:sold"}


# ------------------------------------------------------------------------------------------------------- events


def changed(status: str, id_: str = ID) -> dict[str, Any]:
    detail = {"stack-id": id_, "status-details": {"status": status, "status-reason": ""}}
    return native_event("aws.cloudformation", "CloudFormation Stack Status Change", detail)


@pytest.mark.parametrize(
    "event",
    [
        api_call("cloudformation", "DeleteStack", None, errorCode="ValidationError"),
        api_call("tagging", "TagResources", {"resourceARNList": [STACK_SET]}),
    ],
)
def test_events_without_a_stack_touch_nothing(event: dict[str, Any]) -> None:
    assert not touched([cloudformation.STACK], event)


@pytest.mark.parametrize("name", ["shop", ID])
def test_a_stack_is_looked_up_by_name_and_by_arn(aws: boto3.Session, account: OpenAccount, name: str) -> None:
    opened = account(cloudformation.STACK)
    asked = serve(opened, [stack()])

    after = opened.after(api_call("cloudformation", "CancelUpdateStack", {"stackName": name}))

    assert set(after.components) == {ID}
    assert not after.deleted
    assert asked == [{"StackName": name}]


def test_a_snapshot_and_an_event_say_the_same(aws: boto3.Session, account: OpenAccount) -> None:
    template = '{"Resources": {"Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "orders"}}}}'
    parameters = {"StackName": "shop", "TemplateBody": template, "Tags": [{"Key": "team", "Value": "shop"}]}
    id_ = aws.client("cloudformation").create_stack(**parameters)["StackId"]
    opened = account(sqs.QUEUE, cloudformation.STACK)

    snapshot = opened.snapshot()
    after = opened.after(changed("UPDATE_COMPLETE", id_))

    assert snapshot.components[id_] == after.components[id_]
    assert snapshot.relations == after.relations
    assert len(after.relations) == 1


@pytest.mark.parametrize("still_answered", [True, False])
def test_a_deleted_stack_is_deleted_though_cloudformation_may_answer_for_it(
    aws: boto3.Session, account: OpenAccount, still_answered: bool
) -> None:
    opened = account(cloudformation.STACK)
    serve(opened, [stack(StackStatus="DELETE_COMPLETE")])
    if not still_answered:
        refuse(opened.client("cloudformation"), "describe_stacks", "ValidationError", "Stack does not exist")

    after = opened.after(changed("DELETE_COMPLETE"))

    assert after.deleted == {ID}
    assert not after.components


def test_a_stack_that_is_only_known_by_a_name_that_is_gone_is_left_to_the_native_event(
    aws: boto3.Session, account: OpenAccount
) -> None:
    after = account(cloudformation.STACK).after(api_call("cloudformation", "DeleteStack", {"stackName": "shop"}))

    assert not after.all


def test_a_throttled_look_after_an_event_deletes_nothing(aws: boto3.Session, account: OpenAccount) -> None:
    opened = account(cloudformation.STACK)
    refuse(opened.client("cloudformation"), "describe_stacks", "Throttling")

    after = opened.after(changed("DELETE_COMPLETE"))

    assert not after.deleted
    assert after.incomplete
