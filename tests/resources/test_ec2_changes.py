"""Events of EC2: which resources they touch, and what looking again finds."""

from collections.abc import Callable

import boto3
import pytest

from tests.account import TestAccount, api_call, native_event
from tests.resources.ec2_account import instance, network, start
from tests.resources.support import answer, ended, sample, touched
from topology.elements import Json
from topology.resources import ec2

INSTANCE = "i-0a1b2c3d4e5f60718"
GROUP = "sg-0123456789abcdef0"
SUBNET = "subnet-0123456789abcdef0"
VPC = "vpc-0123456789abcdef0"
GATEWAY = "vgw-0123456789abcdef0"
STATE_CHANGE = "EC2 Instance State-change Notification"

OpenAccount = Callable[..., TestAccount]


def test_a_snapshot_and_events_say_the_same(aws: boto3.Session, account: OpenAccount) -> None:
    vpc, subnet, group = network(aws)
    client = aws.client("ec2")
    id_ = start(aws, subnet, group)
    gateway = client.create_vpn_gateway(Type="ipsec.1")["VpnGateway"]["VpnGatewayId"]
    client.attach_vpn_gateway(VpcId=vpc, VpnGatewayId=gateway)
    opened = account(*ec2.RESOURCES)

    found = opened.snapshot()
    items = [{"resourceId": one} for one in (id_, subnet, group, vpc, gateway, "vol-1")]
    after = opened.after(
        api_call("ec2", "CreateTags", {"resourcesSet": {"items": items}}),
        api_call("ec2", "CreateVpc", {}, {"vpc": {"vpcId": vpc}}),  # brings the default group
    )

    assert f"{gateway}-uses service-{vpc}" in found.relations
    assert found.components == after.components
    assert found.relations == after.relations
    assert found.telemetry == after.telemetry
    assert not after.deleted


def test_a_new_vpc_brings_its_default_group(aws: boto3.Session, account: OpenAccount) -> None:
    vpc = aws.client("ec2").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    event = sample("ec2/CreateVpc")
    event["detail"]["responseElements"]["vpc"]["vpcId"] = vpc

    found = account(*ec2.RESOURCES).after(event)

    [group] = found.of_type("aws.security-group")
    assert set(found.components) == {vpc, group.id}
    assert set(found.relations) == {f"{vpc}-has resource-{group.id}"}
    assert not found.deleted


def test_a_default_vpc_brings_its_subnets(aws: boto3.Session, account: OpenAccount) -> None:
    vpc, subnet, _ = network(aws)
    event = api_call("ec2", "CreateDefaultVpc", {}, {"CreateDefaultVpcResponse": {"vpc": {"vpcId": vpc}}})

    found = account(*ec2.RESOURCES).after(event)

    assert {vpc, subnet} < set(found.components)


def test_a_terminated_instance_is_deleted_while_aws_still_answers_for_it(
    aws: boto3.Session, account: OpenAccount
) -> None:
    _, subnet, group = network(aws)
    id_ = start(aws, subnet, group)
    aws.client("ec2").terminate_instances(InstanceIds=[id_])
    event = native_event("aws.ec2", STATE_CHANGE, {"instance-id": id_, "state": "terminated"})

    found = account(ec2.INSTANCE).after(event)

    assert found.deleted == {id_}
    assert not found.components


def test_an_instance_that_is_shutting_down_is_there(account: OpenAccount) -> None:
    opened = account(ec2.INSTANCE)
    reservation = {"Instances": [instance(InstanceId=INSTANCE, State={"Name": "shutting-down"})]}
    answer(opened.client("ec2"), "describe_instances", {"Reservations": [reservation]})
    answer(opened.client("ec2"), "describe_instance_types", {"InstanceTypes": []})
    event = native_event("aws.ec2", STATE_CHANGE, {"instance-id": INSTANCE, "state": "shutting-down"})

    found = opened.after(event)

    assert set(found.components) == {INSTANCE}
    assert not found.deleted


def test_an_instance_that_aws_does_not_know_yet_is_looked_at_later(account: OpenAccount) -> None:
    found = account(ec2.INSTANCE).after(sample("ec2/RunInstances"))

    assert INSTANCE in {one.touched.key for one in found.unsettled}
    assert not found.deleted


@pytest.mark.parametrize(
    ("name", "request_", "deleted"),
    [
        ("DeleteSecurityGroup", {"groupId": GROUP}, GROUP),
        ("DeleteSubnet", {"subnetId": SUBNET}, SUBNET),
        ("DeleteVpc", {"vpcId": VPC}, VPC),
        ("DeleteVpnGateway", {"vpnGatewayId": GATEWAY}, GATEWAY),
    ],
)
def test_what_aws_no_longer_knows_is_deleted(account: OpenAccount, name: str, request_: Json, deleted: str) -> None:
    assert account(*ec2.RESOURCES).after(api_call("ec2", name, request_)).deleted == {deleted}


def test_a_detached_gateway_loses_the_relation_and_only_that(aws: boto3.Session, account: OpenAccount) -> None:
    gateway = aws.client("ec2").create_vpn_gateway(Type="ipsec.1")["VpnGateway"]["VpnGatewayId"]
    event = api_call("ec2", "DetachVpnGateway", {"vpcId": VPC, "vpnGatewayId": gateway})

    found = account(ec2.VPN_GATEWAY).after(event)

    assert found.deleted == {f"{gateway}-uses service-{VPC}"}
    assert set(found.components) == {gateway}


def test_a_gateway_that_is_still_attached_keeps_the_relation(aws: boto3.Session, account: OpenAccount) -> None:
    vpc, *_ = network(aws)
    gateway = aws.client("ec2").create_vpn_gateway(Type="ipsec.1")["VpnGateway"]["VpnGatewayId"]
    aws.client("ec2").attach_vpn_gateway(VpcId=vpc, VpnGatewayId=gateway)
    event = api_call("ec2", "DetachVpnGateway", {"vpcId": vpc, "vpnGatewayId": gateway})

    found = account(ec2.VPN_GATEWAY).after(event)

    assert not found.deleted
    assert set(found.relations) == {f"{gateway}-uses service-{vpc}"}


def test_a_detach_names_the_relation_that_ended() -> None:
    assert ended(ec2.RESOURCES, sample("ec2/DetachVpnGateway")) == {f"{GATEWAY}-uses service-{VPC}"}


def test_two_hundred_ids_go_into_one_call(account: OpenAccount) -> None:
    opened = account(ec2.INSTANCE)
    asked = answer(opened.client("ec2"), "describe_instances", *[{"Reservations": []}] * 2)
    ids = [f"i-{number:017}" for number in range(201)]
    items = [{"instanceId": id_} for id_ in ids]

    found = opened.after(api_call("ec2", "TerminateInstances", {"instancesSet": {"items": items}}))

    assert sorted(len(one["Filters"][0]["Values"]) for one in asked) == [1, 200]
    assert {one["Filters"][0]["Name"] for one in asked} == {"instance-id"}
    assert found.deleted == set(ids)


@pytest.mark.parametrize(
    ("event", "filter_"),
    [
        (
            api_call("ec2", "DetachNetworkInterface", {"attachmentId": "eni-attach-1", "force": False}),
            "network-interface.attachment.attachment-id",
        ),
        (
            api_call("ec2", "ModifyNetworkInterfaceAttribute", {"networkInterfaceId": "eni-1"}),
            "network-interface.network-interface-id",
        ),
    ],
)
def test_an_interface_finds_its_instance(account: OpenAccount, event: Json, filter_: str) -> None:
    opened = account(ec2.INSTANCE)
    asked = answer(opened.client("ec2"), "describe_instances", {"Reservations": [{"Instances": [instance()]}]})
    answer(opened.client("ec2"), "describe_instance_types", {"InstanceTypes": []})

    found = opened.after(event)

    assert set(found.components) == {"i-1"}
    assert [one["Filters"][0]["Name"] for one in asked] == [filter_]
    assert not found.deleted


def test_an_interface_without_an_instance_is_nothing(account: OpenAccount) -> None:
    opened = account(ec2.INSTANCE)
    answer(opened.client("ec2"), "describe_instances", {"Reservations": []})

    assert opened.after(api_call("ec2", "AssociateAddress", {"networkInterfaceId": "eni-1"})).all == []


def test_a_group_that_a_call_names_is_found_by_its_name(aws: boto3.Session, account: OpenAccount) -> None:
    _, _, group = network(aws)
    opened = account(ec2.SECURITY_GROUP)

    found = opened.after(api_call("ec2", "AuthorizeSecurityGroupIngress", {"groupName": "web"}, {"_return": True}))
    gone = opened.after(api_call("ec2", "DeleteSecurityGroup", {"groupName": "mail"}, {"_return": True}))

    assert set(found.components) == {group}
    # Nobody can tell which group had the name.
    assert not gone.all


def test_the_tag_editor_names_each_kind_by_its_arn() -> None:
    keys = {
        ("ec2.instance", INSTANCE): f"instance/{INSTANCE}",
        ("ec2.security-group", GROUP): f"security-group/{GROUP}",
        ("ec2.subnet", SUBNET): f"subnet/{SUBNET}",
        ("ec2.vpc", VPC): f"vpc/{VPC}",
        ("ec2.vpn-gateway", GATEWAY): f"vpn-gateway/{GATEWAY}",
    }
    arns = [f"arn:aws:ec2:eu-west-1:123456789012:{path}" for path in (*keys.values(), "volume/vol-1")]
    event = api_call("tagging", "TagResources", {"resourceARNList": arns, "tags": {"a": "b"}})

    assert touched(ec2.RESOURCES, event) == set(keys)
