"""EC2 instances, security groups, subnets, VPCs and VPN gateways, as the StackPack knows them."""

import random
from collections.abc import Callable
from typing import Any

import boto3
import pytest

from tests.account import TestAccount
from tests.resources.ec2_account import instance, network, start
from tests.resources.support import answer, calls, refuse, scope
from topology.elements import Component, Item, Json, Relation, Telemetry
from topology.resources import ec2

LOCATION = {"AwsAccount": "123456789012", "AwsRegion": "eu-west-1"}

OpenAccount = Callable[..., TestAccount]


def said(item: Item) -> tuple[Component, list[str]]:
    """The component of an instance, and the ids of its relations."""
    component, _, *relations = ec2.instance_elements(scope("ec2"), item)
    assert isinstance(component, Component)
    return component, [one.id for one in relations if isinstance(one, Relation)]


# ---------------------------------------------------------------------------------------------------- instances


def test_an_instance_keeps_its_answer_with_dates_as_text(aws: boto3.Session, account: OpenAccount) -> None:
    _, subnet, group = network(aws)
    id_ = start(aws, subnet, group)

    found = account(ec2.INSTANCE).snapshot()

    [component] = found.components.values()
    assert (component.id, component.type) == (id_, "aws.ec2")
    assert component.data["InstanceType"] == "t3.micro"
    assert "T" in component.data["LaunchTime"]
    assert component.data["Location"] == LOCATION
    assert component.data["IsNitro"] is True
    assert "TypeInfo" not in component.data
    assert "Name" not in component.data
    assert "CW" not in component.data
    assert component.data["Tags"]["Name"] == "web"
    assert component.data["Tags"]["host"] == id_
    assert set(found.relations) == {f"{id_}-uses service-{subnet}", f"{id_}-uses service-{group}"}
    assert all(one.data == {} for one in found.relations.values())
    assert found.telemetry == [Telemetry("ec2_state", "EC2 instance state", "running", id_, ("state:running",))]


def test_urns_and_tags_name_the_addresses_that_an_instance_has() -> None:
    component, _ = said(instance(PublicDnsName="ec2.example", PublicIpAddress="192.0.2.1", PrivateIpAddress="10.0.0.1"))

    assert component.data["URN"] == [
        "urn:host:/i-1",
        "arn:aws:ec2:eu-west-1:123456789012:instance/i-1",
        "urn:host:/ec2.example",
        "urn:host:/192.0.2.1",
    ]
    assert component.data["Tags"] == {
        "host": "i-1",
        "instance-id": "i-1",
        "private-ip": "10.0.0.1",
        "fqdn": "ec2.example",
        "public-ip": "192.0.2.1",
    }


def test_an_address_that_is_empty_is_no_urn_and_no_tag() -> None:
    component, _ = said(instance(PublicDnsName=""))

    assert component.data["URN"] == ["urn:host:/i-1", "arn:aws:ec2:eu-west-1:123456789012:instance/i-1"]
    assert component.data["Tags"] == {"host": "i-1", "instance-id": "i-1"}


def test_the_urn_is_in_the_partition_of_the_region() -> None:
    component, *_ = ec2.instance_elements(scope("ec2", "us-gov-west-1", "aws-us-gov"), instance())

    assert isinstance(component, Component)
    assert component.data["URN"][1] == "arn:aws-us-gov:ec2:us-gov-west-1:123456789012:instance/i-1"


@pytest.mark.parametrize(
    ("fields", "targets"),
    [
        ({"SubnetId": "subnet-1", "VpcId": "vpc-1"}, ["subnet-1"]),
        ({"VpcId": "vpc-1"}, ["vpc-1"]),
        ({"SecurityGroups": [{"GroupId": "sg-1"}, {"GroupId": "sg-2"}]}, ["sg-1", "sg-2"]),
        ({}, []),
    ],
)
def test_an_instance_uses_its_subnet_or_else_its_vpc_and_its_groups(fields: Json, targets: list[str]) -> None:
    assert said(instance(**fields))[1] == [f"i-1-uses service-{target}" for target in targets]


@pytest.mark.parametrize("state", ["pending", "running", "shutting-down", "stopping", "stopped"])
def test_an_instance_is_there_until_it_is_terminated(state: str) -> None:
    _, telemetry, *_ = ec2.instance_elements(scope("ec2"), instance(State={"Name": state}))

    assert telemetry == Telemetry("ec2_state", "EC2 instance state", state, "i-1", (f"state:{state}",))


def test_a_terminated_instance_is_not_there() -> None:
    assert list(ec2.instance_elements(scope("ec2"), instance(State={"Name": "terminated"}))) == []


@pytest.mark.parametrize(
    ("type_info", "nitro"),
    [({"Hypervisor": "nitro"}, True), ({"BareMetal": True}, True), ({"Hypervisor": "xen"}, False), (None, False)],
)
def test_nitro_is_told_by_the_type_and_bare_metal_counts(type_info: Item | None, nitro: bool) -> None:
    assert said(instance(TypeInfo=type_info))[0].data["IsNitro"] is nitro


def test_denied_types_leave_out_nitro_alone(aws: boto3.Session, account: OpenAccount) -> None:
    _, subnet, group = network(aws)
    id_ = start(aws, subnet, group)
    opened = account(ec2.INSTANCE)
    refuse(opened.client("ec2"), "describe_instance_types", "UnauthorizedOperation")

    found = opened.snapshot()

    assert "IsNitro" not in found.components[id_].data
    assert [one.error.action for one in found.left_out] == ["ec2:DescribeInstanceTypes"]
    assert not found.incomplete


def test_types_are_asked_for_once_each(aws: boto3.Session, account: OpenAccount) -> None:
    _, subnet, group = network(aws)
    for type_ in ("t3.micro", "t2.micro", "t3.micro"):
        start(aws, subnet, group, type_)
    opened = account(ec2.INSTANCE)
    counted = calls(opened.client("ec2"))

    found = opened.snapshot()

    assert sorted(one.data["IsNitro"] for one in found.components.values()) == [False, True, True]
    assert counted == {"DescribeInstances": 1, "DescribeInstanceTypes": 1}


@pytest.mark.parametrize(
    ("resource", "operation", "field", "id_field"),
    [
        (ec2.SECURITY_GROUP, "describe_security_groups", "SecurityGroups", "GroupId"),
        (ec2.SUBNET, "describe_subnets", "Subnets", "SubnetId"),
        (ec2.VPC, "describe_vpcs", "Vpcs", "VpcId"),
    ],
)
def test_everything_is_read_beyond_one_page(
    account: OpenAccount, resource: Any, operation: str, field: str, id_field: str
) -> None:
    opened = account(resource)
    asked = answer(
        opened.client("ec2"),
        operation,
        {field: [{id_field: "a", "GroupName": "a"}], "NextToken": "more"},
        {field: [{id_field: "b", "GroupName": "b"}]},
    )

    assert set(opened.snapshot().components) == {"a", "b"}
    assert [one["MaxResults"] for one in asked] == [200, 200]


def test_instances_are_read_beyond_one_page(account: OpenAccount) -> None:
    opened = account(ec2.INSTANCE)
    client = opened.client("ec2")
    answer(
        client,
        "describe_instances",
        {"Reservations": [{"Instances": [instance()]}], "NextToken": "more"},
        {"Reservations": [{"Instances": []}, {"Instances": [instance(InstanceId="i-2")]}]},
    )
    answer(client, "describe_instance_types", {"InstanceTypes": [{"InstanceType": "t3.micro"}]})

    assert set(opened.snapshot().components) == {"i-1", "i-2"}


# -------------------------------------------------------------------------- security groups, subnets, VPCs, gateways


def group_of_the_contract() -> Json:
    return {
        "Description": "web tier",
        "GroupName": "web",
        "IpPermissions": [
            {
                "FromPort": 443,
                "IpProtocol": "tcp",
                "IpRanges": [{"CidrIp": "10.0.0.0/8"}, {"CidrIp": "0.0.0.0/0"}],
                "ToPort": 443,
            },
            {"FromPort": 80, "IpProtocol": "tcp", "IpRanges": [], "ToPort": 80},
        ],
        "OwnerId": "123456789012",
        "GroupId": "sg-1",
        "Tags": [{"Key": "Name", "Value": "web"}, {"Key": "App", "Value": "shop"}],
        "VpcId": "vpc-1",
    }


def security_group(item: Item) -> Json:
    component, *_ = ec2.security_group_elements(scope("ec2"), item)
    assert isinstance(component, Component)
    return component.data


def shuffled(value: Any, order: random.Random) -> Any:
    """The value with its lists, and the keys of its mappings, in another order."""
    if isinstance(value, dict):
        return dict(order.sample([(key, shuffled(inner, order)) for key, inner in value.items()], len(value)))
    return order.sample([shuffled(inner, order) for inner in value], len(value)) if isinstance(value, list) else value


def test_the_version_of_a_security_group_is_the_contract_s_hash() -> None:
    expected = "8024e3fe76fd3bc17d18faa322692373957acc0ed64da3d07be02c14cbbf93bf"

    assert security_group(group_of_the_contract())["Version"] == expected


@pytest.mark.parametrize("seed", range(10))
def test_a_security_group_says_the_same_in_whatever_order_aws_lists_its_rules(seed: int) -> None:
    item = shuffled(group_of_the_contract(), random.Random(seed))

    assert security_group(item) == security_group(group_of_the_contract())


def test_the_version_changes_with_a_rule() -> None:
    changed = group_of_the_contract()
    changed["IpPermissions"][1]["ToPort"] = 81

    assert security_group(changed)["Version"] != security_group(group_of_the_contract())["Version"]


def test_a_security_group_is_in_its_vpc() -> None:
    component, relation = ec2.security_group_elements(scope("ec2"), group_of_the_contract())

    assert isinstance(component, Component)
    assert (component.id, component.type) == ("sg-1", "aws.security-group")
    assert component.data["Name"] == "web"
    assert component.data["GroupName"] == "web"
    assert component.data["URN"] == ["arn:aws:ec2:eu-west-1:123456789012:security-group/sg-1"]
    assert component.data["Tags"] == {"Name": "web", "App": "shop"}
    assert component.data["Location"] == LOCATION
    assert relation == Relation("vpc-1", "has resource", "sg-1")


def test_the_urn_of_a_shared_group_has_the_account_that_was_read() -> None:
    data = security_group({**group_of_the_contract(), "OwnerId": "999999999999"})

    assert data["URN"] == ["arn:aws:ec2:eu-west-1:123456789012:security-group/sg-1"]


def test_a_group_without_a_vpc_has_no_relation() -> None:
    assert len(list(ec2.security_group_elements(scope("ec2"), {"GroupId": "sg-1", "GroupName": "web"}))) == 1


def test_a_network_is_read_whole(aws: boto3.Session, account: OpenAccount) -> None:
    vpc, subnet, group = network(aws)
    aws.client("ec2").create_tags(Resources=[subnet], Tags=[{"Key": "stackstate-identifier", "Value": "Sub"}])

    found = account(*ec2.RESOURCES).snapshot()

    [default] = {one.id for one in found.of_type("aws.security-group")} - {group}
    assert {one.id: one.type for one in found.components.values()} == {
        vpc: "aws.vpc",
        subnet: "aws.subnet",
        group: "aws.security-group",
        default: "aws.security-group",
    }
    assert set(found.relations) == {
        f"{subnet}-uses service-{vpc}",
        f"{vpc}-has resource-{group}",
        f"{vpc}-has resource-{default}",
    }
    assert found.components[vpc].data["URN"] == [f"arn:aws:ec2:eu-west-1:123456789012:vpc/{vpc}"]
    assert found.components[subnet].data["URN"] == [f"arn:aws:ec2:eu-west-1:123456789012:subnet/{subnet}"]
    assert found.components[subnet].data["Tags"] == {"stackstate-identifier": "Sub"}
    assert all(one.data["Location"] == LOCATION for one in found.components.values())
    assert "Name" not in found.components[vpc].data
    assert "Name" not in found.components[subnet].data


def test_a_vpc_without_tags_has_no_field_for_them() -> None:
    [vpc] = ec2.vpc_elements(scope("ec2"), {"VpcId": "vpc-1"})
    [tagged] = ec2.vpc_elements(scope("ec2"), {"VpcId": "vpc-1", "Tags": []})

    assert isinstance(vpc, Component)
    assert isinstance(tagged, Component)
    assert "Tags" not in vpc.data
    assert tagged.data["Tags"] == {}


def test_a_subnet_without_a_vpc_has_no_relation() -> None:
    assert len(list(ec2.subnet_elements(scope("ec2"), {"SubnetId": "subnet-1"}))) == 1


def test_a_gateway_uses_every_vpc_that_it_is_attached_to() -> None:
    attachments = [{"VpcId": "vpc-1", "State": "attached"}, {"VpcId": "vpc-2", "State": "detaching"}, {}]

    component, *relations = ec2.vpn_gateway_elements(
        scope("ec2"), {"VpnGatewayId": "vgw-1", "State": "available", "VpcAttachments": attachments}
    )

    assert isinstance(component, Component)
    assert (component.id, component.type) == ("vgw-1", "aws.vpngateway")
    assert set(component.data) == {"VpnGatewayId", "State", "VpcAttachments", "Location"}
    assert [getattr(one, "id", "") for one in relations] == ["vgw-1-uses service-vpc-1", "vgw-1-uses service-vpc-2"]


@pytest.mark.parametrize("state", ["deleting", "deleted"])
def test_a_deleted_gateway_is_not_there_though_aws_still_lists_it(state: str) -> None:
    assert list(ec2.vpn_gateway_elements(scope("ec2"), {"VpnGatewayId": "vgw-1", "State": state})) == []


@pytest.mark.parametrize(
    ("operation", "action"),
    [
        ("describe_instances", "ec2:DescribeInstances"),
        ("describe_security_groups", "ec2:DescribeSecurityGroups"),
        ("describe_subnets", "ec2:DescribeSubnets"),
        ("describe_vpcs", "ec2:DescribeVpcs"),
        ("describe_vpn_gateways", "ec2:DescribeVpnGateways"),
    ],
)
def test_a_refused_listing_is_incomplete_and_hides_no_other(
    aws: boto3.Session, account: OpenAccount, operation: str, action: str
) -> None:
    vpc, subnet, group = network(aws)
    gateway = aws.client("ec2").create_vpn_gateway(Type="ipsec.1")["VpnGateway"]["VpnGatewayId"]
    id_ = start(aws, subnet, group)
    opened = account(*ec2.RESOURCES)
    refuse(opened.client("ec2"), operation, "UnauthorizedOperation")

    found = opened.snapshot()

    assert [one.error.action for one in found.incomplete] == [action]
    assert len({vpc, subnet, group, gateway, id_} & set(found.components)) == 4
