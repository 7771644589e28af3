"""Auto Scaling groups, as the StackPack knows them."""

from collections.abc import Callable
from typing import Any

import boto3
import pytest

from tests.account import TestAccount, api_call, native_event
from tests.resources.support import answer, calls, ended, refuse, sample, scope, touched, unresolved
from topology.elements import Component, Deleted, Item, Relation, StackResource
from topology.links import Names
from topology.resources import ALL, autoscaling

OpenAccount = Callable[..., TestAccount]

UUID = "49251dfa-4734-5846-92bf-85b90dab9853"
PREFIX = "arn:aws:autoscaling:eu-west-1:123456789012"
ARN = f"{PREFIX}:autoScalingGroup:{UUID}:autoScalingGroupName/shop-web"
TARGET_GROUP = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/shop/73e2d6bc24d8a067"


def create(session: boto3.Session, *names: str, capacity: int = 0) -> None:
    ec2 = session.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    client = session.client("autoscaling")
    client.create_launch_configuration(LaunchConfigurationName="small", ImageId="ami-12c6146b", InstanceType="t3.micro")
    for name in names or ("shop-web",):
        client.create_auto_scaling_group(
            AutoScalingGroupName=name,
            LaunchConfigurationName="small",
            MinSize=0,
            MaxSize=4,
            DesiredCapacity=capacity,
            VPCZoneIdentifier=subnet,
            Tags=[{"Key": "stackstate-identifier", "Value": "Shop", "PropagateAtLaunch": True}],
        )


def group(**fields: Any) -> Item:
    """An item, as far as a test needs it."""
    return {"AutoScalingGroupName": "shop-web", "AutoScalingGroupARN": ARN, **fields}


def instances(*ids: str) -> list[dict[str, Any]]:
    return [{"InstanceId": id_, "LifecycleState": "InService"} for id_ in ids]


def event(name: str, request_: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return api_call("autoscaling", name, request_, **more)


def test_a_group_is_known_by_its_arn(aws: boto3.Session, account: OpenAccount) -> None:
    create(aws)

    [found] = account(autoscaling.GROUP).snapshot().all

    assert isinstance(found, Component)
    assert found.type == "aws.autoscaling"
    assert found.id == found.data["AutoScalingGroupARN"]
    assert found.id.endswith(":autoScalingGroupName/shop-web")
    assert found.data["Tags"] == {"stackstate-identifier": "Shop"}
    assert found.data["Location"] == {"AwsAccount": "123456789012", "AwsRegion": "eu-west-1"}
    assert found.data["MaxSize"] == 4
    assert "T" in found.data["CreatedTime"]
    assert not {"Name", "URN", "CW"} & set(found.data)


def test_a_group_stands_between_its_balancers_and_its_instances() -> None:
    item = group(Instances=instances("i-1", "i-2", "i-3"), LoadBalancerNames=["web"], TargetGroupARNs=[TARGET_GROUP])

    found = list(autoscaling.elements(scope("autoscaling"), item))

    assert [one.id for one in found if isinstance(one, Relation)] == [
        f"{ARN}-uses service-i-1",
        f"{ARN}-uses service-i-2",
        f"{ARN}-uses service-i-3",
        f"classic_elb_web-uses service-{ARN}",
        f"{TARGET_GROUP}-uses service-{ARN}",
    ]
    assert [one.id for one in found if isinstance(one, Deleted)] == [
        f"{front}-uses service-{instance}"
        for front in ("classic_elb_web", TARGET_GROUP)
        for instance in ("i-1", "i-2", "i-3")
    ]


def test_a_group_with_one_classic_balancer_and_three_instances_has_four_relations() -> None:
    item = group(Instances=instances("i-1", "i-2", "i-3"), LoadBalancerNames=["web"])

    kinds = [type(one) for one in autoscaling.elements(scope("autoscaling"), item)]

    assert (kinds.count(Relation), kinds.count(Deleted)) == (4, 3)


def test_a_group_without_anything_is_a_component_alone() -> None:
    assert len(list(autoscaling.elements(scope("autoscaling"), group()))) == 1


def test_a_snapshot_and_an_event_say_the_same(aws: boto3.Session, account: OpenAccount) -> None:
    create(aws, capacity=2)
    opened = account(autoscaling.GROUP)

    found = opened.snapshot()
    after = opened.after(event("SetDesiredCapacity", {"autoScalingGroupName": "shop-web"}))

    assert len(found.relations) == 2
    assert found.components == after.components
    assert found.relations == after.relations


def test_groups_are_read_a_hundred_a_call(aws: boto3.Session, account: OpenAccount) -> None:
    create(aws, *[f"group-{number}" for number in range(101)])
    opened = account(autoscaling.GROUP)
    counted = calls(opened.client("autoscaling"))

    assert len(opened.snapshot().components) == 101
    assert counted == {"DescribeAutoScalingGroups": 2}


def test_a_refused_listing_is_incomplete(account: OpenAccount) -> None:
    opened = account(autoscaling.GROUP)
    refuse(opened.client("autoscaling"), "describe_auto_scaling_groups", "AccessDenied")

    found = opened.snapshot()

    assert [one.error.action for one in found.incomplete] == ["autoscaling:DescribeAutoScalingGroups"]


# ------------------------------------------------------------------------------------------------------- events


def test_a_policy_named_without_its_group_tells_nothing() -> None:
    assert not touched([autoscaling.GROUP], event("ExecutePolicy", {"policyName": "grow"}))


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("", "PutScalingPolicy"),
        ("", "StartInstanceRefresh"),
        ("", "PutLifecycleHook"),
        ("aws.autoscaling", "EC2 Instance Launch Unsuccessful"),
        ("aws.autoscaling", "EC2 Auto Scaling Instance Refresh Succeeded"),
    ],
)
def test_what_is_no_part_of_a_group_is_no_change(source: str, name: str) -> None:
    told = (
        native_event(source, name, {"AutoScalingGroupName": "shop-web"})
        if source
        else event(name, {"autoScalingGroupName": "shop-web"})
    )

    assert not touched([autoscaling.GROUP], told)
    assert not unresolved([autoscaling.GROUP], told)


@pytest.mark.parametrize("name", ["UpdateAutoScalingGroup", "DeleteTags", "SetInstanceHealth"])
def test_an_event_without_parameters_is_counted_as_unresolved(name: str) -> None:
    assert unresolved([autoscaling.GROUP], event(name))


def test_an_instance_s_health_leads_to_its_group(aws: boto3.Session, account: OpenAccount) -> None:
    create(aws, "shop-web", "shop-batch", capacity=1)
    opened = account(autoscaling.GROUP)
    first = opened.snapshot().of_type("aws.autoscaling")[0]
    [instance] = first.data["Instances"]

    found = opened.after(event("SetInstanceHealth", {"instanceId": instance["InstanceId"]}))

    assert set(found.components) == {first.id}
    assert not found.deleted


def test_a_group_that_is_gone_is_deleted_if_the_event_tells_its_id(account: OpenAccount) -> None:
    opened = account(autoscaling.GROUP)
    named = event("DeleteAutoScalingGroup", {"autoScalingGroupName": "shop-web"})
    known = event("DeleteAutoScalingGroup", {"autoScalingGroupName": "shop-web"}, additionalEventData={"GroupId": UUID})

    assert opened.after(known).deleted == {ARN}
    # The name alone does not tell the ARN: the next snapshot does.
    assert opened.after(named).deleted == set()


def test_a_group_whose_instances_are_still_terminating_is_there(account: OpenAccount) -> None:
    opened = account(autoscaling.GROUP)
    answer(
        opened.client("autoscaling"),
        "describe_auto_scaling_groups",
        {"AutoScalingGroups": [group(Status="Delete in progress", Instances=instances("i-1"))]},
    )
    known = event("DeleteAutoScalingGroup", {"autoScalingGroupName": "shop-web"}, additionalEventData={"GroupId": UUID})

    found = opened.after(known)

    assert found.components[ARN].data["Status"] == "Delete in progress"
    assert not found.deleted


@pytest.mark.parametrize("request_", [None, {}, {"autoScalingGroupName": "shop-web"}])
def test_a_delete_that_tells_too_little_ends_nothing(request_: dict[str, Any] | None) -> None:
    assert not ended([autoscaling.GROUP], event("DeleteAutoScalingGroup", request_))


def test_a_group_that_aws_does_not_know_yet_is_looked_at_later(account: OpenAccount) -> None:
    found = account(autoscaling.GROUP).after(sample("autoscaling/CreateAutoScalingGroup"))

    assert [one.touched.key for one in found.unsettled] == ["shop-web"]


def test_a_storm_of_events_is_one_look(aws: boto3.Session, account: OpenAccount) -> None:
    create(aws, "shop-web", "shop-batch")
    opened = account(autoscaling.GROUP)
    counted = calls(opened.client("autoscaling"))

    found = opened.after(
        *[sample("autoscaling/InstanceLaunchSuccessful"), sample("autoscaling/CreateOrUpdateTags")] * 100
    )

    assert len(found.components) == 2
    assert counted == {"DescribeAutoScalingGroups": 1}


def test_a_stack_s_group_is_found_by_its_name_among_others(aws: boto3.Session, account: OpenAccount) -> None:
    create(aws, "shop-web", "shop-batch")
    opened = account(autoscaling.GROUP)
    names = Names(ALL)
    for component in opened.snapshot().components.values():
        names.add(
            autoscaling.GROUP,
            scope("autoscaling"),
            component.data["AutoScalingGroupName"],
            component.type,
            component.id,
        )

    link = StackResource("stack", "has resource", "AWS::AutoScaling::AutoScalingGroup", "shop-web")
    [relation] = names.relations(scope("cloudformation"), link.link, known_only=True)

    assert relation.target.endswith(":autoScalingGroupName/shop-web")
