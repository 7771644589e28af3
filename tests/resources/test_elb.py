"""Classic load balancers, as the StackPack knows them."""

from collections.abc import Callable
from typing import Any

import boto3
import pytest

from tests.account import TestAccount, api_call
from tests.resources.support import answer, calls, ended, refuse, scope, touched
from topology.elements import Component, Item, Relation, StackResource, Telemetry
from topology.links import Names
from topology.resources import ALL, autoscaling, elb

OpenAccount = Callable[..., TestAccount]

ARN = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/web"
GROUP_ARN = "arn:aws:autoscaling:eu-west-1:123456789012:autoScalingGroup:0b1c:autoScalingGroupName/shop"
LISTENER: Any = {"Protocol": "HTTP", "LoadBalancerPort": 80, "InstanceProtocol": "HTTP", "InstancePort": 8080}
VERSION = "2012-06-01"


def subnet(session: boto3.Session) -> Any:
    """The account's only subnet."""
    ec2 = session.client("ec2")
    if found := ec2.describe_subnets()["Subnets"]:
        return found[0]["SubnetId"]
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    return ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]


def create(session: boto3.Session, name: str = "web") -> None:
    session.client("elb").create_load_balancer(
        LoadBalancerName=name,
        Subnets=[subnet(session)],
        Listeners=[LISTENER],
        Tags=[{"Key": "stackstate-environment", "Value": "Production"}, {"Key": "team", "Value": "shop"}],
    )


def register(session: boto3.Session, *instances: str) -> None:
    session.client("elb").register_instances_with_load_balancer(
        LoadBalancerName="web", Instances=[{"InstanceId": instance} for instance in instances]
    )


def balancer(**fields: Any) -> Item:
    """An item, as far as a test needs it."""
    return {"LoadBalancerName": "web", "DNSName": "web.example.org", **fields}


def group(*instances: str, balancers: tuple[str, ...] = ("web",)) -> Item:
    """An Auto Scaling group with these instances behind these balancers."""
    return {
        "AutoScalingGroupName": "shop",
        "AutoScalingGroupARN": GROUP_ARN,
        "LoadBalancerNames": list(balancers),
        "Instances": [{"InstanceId": instance} for instance in instances],
    }


def event(name: str, request_: dict[str, Any] | None = None, **detail: Any) -> dict[str, Any]:
    return api_call("elasticloadbalancing", name, request_, **({"apiVersion": VERSION} | detail))


def test_a_balancer_is_known_by_its_name(aws: boto3.Session, account: OpenAccount) -> None:
    create(aws)

    [found] = account(elb.BALANCER).snapshot().components.values()

    assert (found.id, found.type) == ("classic_elb_web", "aws.elb_classic")
    assert found.data["URN"] == [ARN]
    assert found.data["Tags"] == {"stackstate-environment": "Production", "team": "shop"}
    assert found.data["Location"] == {"AwsAccount": "123456789012", "AwsRegion": "eu-west-1"}
    assert found.data["ListenerDescriptions"] == [{"Listener": LISTENER, "PolicyNames": []}]
    assert "T" in found.data["CreatedTime"]
    assert not {"Name", "CW", "Health", "Groups"} & set(found.data)


def test_a_balancer_uses_its_network_and_its_instances() -> None:
    item = balancer(VPCId="vpc-1", SecurityGroups=["sg-1"], Instances=[{"InstanceId": "i-1"}, {"InstanceId": "i-2"}])

    relations = [one for one in elb.elements(scope("elb"), item) if isinstance(one, Relation)]

    assert [one.id for one in relations] == [
        "classic_elb_web-uses service-vpc-1",
        "classic_elb_web-uses service-sg-1",
        "classic_elb_web-uses service-i-1",
        "classic_elb_web-uses service-i-2",
    ]
    assert all(one.data == {} for one in relations)


def test_a_balancer_outside_a_vpc_has_no_network() -> None:
    found = list(elb.elements(scope("elb"), balancer(VPCId=None)))

    assert [type(one) for one in found] == [Component]


def test_a_balancer_elsewhere_carries_the_partition_of_its_region() -> None:
    [found] = elb.elements(scope("elb", "cn-north-1", "aws-cn"), balancer())

    assert isinstance(found, Component)
    assert found.data["URN"] == [ARN.replace("aws", "aws-cn", 1).replace("eu-west-1", "cn-north-1")]


def test_the_health_of_each_instance_is_told(aws: boto3.Session, account: OpenAccount) -> None:
    create(aws)
    register(aws, "i-1", "i-2")
    opened = account(elb.BALANCER)
    answer(
        opened.client("elb"),
        "describe_instance_health",
        {
            "InstanceStates": [
                {"InstanceId": "i-1", "State": "InService", "ReasonCode": "N/A", "Description": "N/A"},
                {"InstanceId": "i-2", "State": "OutOfService", "Description": "Instance is stopped."},
            ]
        },
    )

    assert opened.snapshot().telemetry == [
        Telemetry("ec2_state", "EC2 instance state", "InService", "i-1", ("state:InService", "description:N/A")),
        Telemetry(
            *("ec2_state", "EC2 instance state", "OutOfService", "i-2"),
            tags=("state:OutOfService", "description:Instance is stopped."),
        ),
    ]


def test_a_snapshot_and_an_event_say_the_same(aws: boto3.Session, account: OpenAccount) -> None:
    create(aws)
    register(aws, "i-1")
    opened = account(elb.BALANCER)

    found = opened.snapshot()
    after = opened.after(event("ConfigureHealthCheck", {"loadBalancerName": "web"}))

    assert len(found.components) == 1
    assert found.components == after.components
    assert found.relations == after.relations
    assert found.telemetry == after.telemetry


def test_all_balancers_are_read_with_their_tags_in_batches(aws: boto3.Session, account: OpenAccount) -> None:
    for number in range(45):
        create(aws, f"web-{number}")
    opened = account(elb.BALANCER)
    counted = calls(opened.client("elb"), opened.client("autoscaling"))

    found = opened.snapshot()

    assert len(found.components) == 45
    assert all(one.data["Tags"]["team"] == "shop" for one in found.components.values())
    assert counted == {"DescribeLoadBalancers": 1, "DescribeTags": 3}


def test_the_listing_is_read_to_its_last_page(account: OpenAccount) -> None:
    opened = account(elb.BALANCER)
    answer(
        opened.client("elb"),
        "describe_load_balancers",
        {"LoadBalancerDescriptions": [balancer()], "NextMarker": "web"},
        {"LoadBalancerDescriptions": [{"LoadBalancerName": "mail"}]},
    )
    answer(opened.client("elb"), "describe_tags", {"TagDescriptions": [{"LoadBalancerName": "mail", "Tags": []}]})

    assert set(opened.snapshot().components) == {"classic_elb_web", "classic_elb_mail"}


@pytest.mark.parametrize(
    ("operation", "action"),
    [
        ("describe_tags", "elasticloadbalancing:DescribeTags"),
        ("describe_instance_health", "elasticloadbalancing:DescribeInstanceHealth"),
    ],
)
def test_a_denied_detail_leaves_out_that_detail_alone(
    aws: boto3.Session, account: OpenAccount, operation: str, action: str
) -> None:
    create(aws)
    register(aws, "i-1")
    opened = account(elb.BALANCER)
    refuse(opened.client("elb"), operation, "AccessDenied")

    found = opened.snapshot()

    assert set(found.components) == {"classic_elb_web"}
    assert "classic_elb_web-uses service-i-1" in found.relations
    assert [one.error.action for one in found.left_out] == [action]
    assert not found.incomplete


def test_a_refused_listing_is_incomplete(aws: boto3.Session, account: OpenAccount) -> None:
    create(aws)
    opened = account(elb.BALANCER)
    refuse(opened.client("elb"), "describe_load_balancers", "AccessDenied")

    found = opened.snapshot()

    assert not found.components
    assert [one.error.action for one in found.incomplete] == ["elasticloadbalancing:DescribeLoadBalancers"]


# ------------------------------------------------------------------ instances that a group brings to the balancer


def test_in_a_snapshot_the_relation_to_a_group_s_instance_gives_way(aws: boto3.Session, account: OpenAccount) -> None:
    create(aws)
    register(aws, "i-1", "i-2")
    opened = account(elb.BALANCER, autoscaling.GROUP)
    answer(opened.client("autoscaling"), "describe_auto_scaling_groups", {"AutoScalingGroups": [group("i-1")]})

    found = opened.snapshot()

    assert "classic_elb_web-uses service-i-2" in found.relations
    assert f"classic_elb_web-uses service-{GROUP_ARN}" in found.relations
    assert "classic_elb_web-uses service-i-1" not in found.relations
    assert found.deleted == {"classic_elb_web-uses service-i-1"}


def test_after_an_event_the_relation_to_a_group_s_instance_stays_away(aws: boto3.Session, account: OpenAccount) -> None:
    create(aws)
    register(aws, "i-1", "i-2", "i-3")
    opened = account(elb.BALANCER)
    answer(
        opened.client("autoscaling"),
        "describe_auto_scaling_groups",
        {"AutoScalingGroups": [group("i-1"), group("i-3", balancers=("mail",))]},
    )

    found = opened.after(event("RegisterInstancesWithLoadBalancer", {"loadBalancerName": "web"}))

    assert {"classic_elb_web-uses service-i-2", "classic_elb_web-uses service-i-3"} <= set(found.relations)
    assert "classic_elb_web-uses service-i-1" not in found.relations


def test_after_an_event_groups_that_may_not_be_read_are_left_out(aws: boto3.Session, account: OpenAccount) -> None:
    create(aws)
    register(aws, "i-1")
    opened = account(elb.BALANCER)
    refuse(opened.client("autoscaling"), "describe_auto_scaling_groups")

    found = opened.after(event("RegisterInstancesWithLoadBalancer", {"loadBalancerName": "web"}))

    assert "classic_elb_web-uses service-i-1" in found.relations
    assert [one.error.action for one in found.left_out] == ["autoscaling:DescribeAutoScalingGroups"]


# ------------------------------------------------------------------------------------------------------- events


@pytest.mark.parametrize("request_", [None, {}, {"loadBalancerName": "web"}])
def test_a_deregistration_without_instances_ends_nothing(request_: dict[str, Any] | None) -> None:
    assert not ended([elb.BALANCER], event("DeregisterInstancesFromLoadBalancer", request_))


def test_the_tag_editor_tells_classic_balancers_from_newer_ones() -> None:
    newer = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/web/50dc6c495c0c9188"
    told = api_call("tagging", "TagResources", {"resourceARNList": [ARN, newer]})

    assert touched([elb.BALANCER], told) == {("elb.load-balancer", "web")}


def test_a_deleted_balancer_is_deleted(account: OpenAccount) -> None:
    found = account(elb.BALANCER).after(event("DeleteLoadBalancer", {"loadBalancerName": "web"}))

    assert found.deleted == {"classic_elb_web"}


def test_one_balancer_that_is_gone_does_not_hide_the_others(aws: boto3.Session, account: OpenAccount) -> None:
    create(aws, "mail")

    found = account(elb.BALANCER).after(event("AddTags", {"loadBalancerNames": ["web", "mail"]}))

    assert set(found.components) == {"classic_elb_mail"}
    assert found.deleted == {"classic_elb_web"}


def test_a_deregistered_instance_is_detached(aws: boto3.Session, account: OpenAccount) -> None:
    create(aws)
    register(aws, "i-2")
    told = event(
        "DeregisterInstancesFromLoadBalancer",
        {"loadBalancerName": "web", "instances": [{"instanceId": "i-1"}, {"instanceId": "i-2"}]},
    )

    found = account(elb.BALANCER).after(told)

    assert found.deleted == {"classic_elb_web-uses service-i-1"}
    assert "classic_elb_web-uses service-i-2" in found.relations


def test_a_balancer_that_aws_does_not_know_yet_is_looked_at_later(account: OpenAccount) -> None:
    found = account(elb.BALANCER).after(event("CreateLoadBalancer", {"loadBalancerName": "web"}))

    assert [one.touched.key for one in found.unsettled] == ["web"]
    assert not found.deleted


def test_a_stack_s_balancer_is_found_by_its_name(aws: boto3.Session, account: OpenAccount) -> None:
    create(aws)
    opened = account(elb.BALANCER)
    names = Names(ALL)
    for component in opened.snapshot().components.values():
        names.add(elb.BALANCER, scope("elb"), "web", component.type, component.id)

    link = StackResource("stack", "has resource", "AWS::ElasticLoadBalancing::LoadBalancer", "web")
    [relation] = names.relations(scope("cloudformation"), link.link, known_only=True)

    assert relation.id == "stack-has resource-classic_elb_web"
