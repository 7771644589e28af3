"""Events of EC2: which resources they touch, and what looking again finds."""

from collections.abc import Callable

import boto3
import pytest

from tests.account import TestAccount, api_call, native_event
from tests.resources.ec2_account import instance, network, start
from tests.resources.support import answer, ended, sample, touched, unresolved
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
    event = sample("ec2/create_vpc")
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
    found = account(ec2.INSTANCE).after(sample("ec2/run_instances"))

    assert INSTANCE in {one.touched.key for one in found.not_yet}
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
    assert ended(ec2.RESOURCES, sample("ec2/detach_vpn_gateway")) == {f"{GATEWAY}-uses service-{VPC}"}


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


def items(*ids: str) -> Json:
    return {"instancesSet": {"items": [{"instanceId": id_} for id_ in ids]}}


def wrapped(name: str, **fields: str) -> Json:
    return {f"{name}Request": fields}


ASSOCIATION = {"iamInstanceProfileAssociation": {"instanceId": INSTANCE}}
MODIFIES_INSTANCE = [
    *("ModifyInstanceMetadataOptions", "ModifyInstancePlacement", "ModifyInstanceMaintenanceOptions"),
    *("ModifyInstanceCapacityReservationAttributes", "ModifyInstanceCpuOptions"),
    *("ModifyInstanceNetworkPerformanceOptions", "ModifyPrivateDnsNameOptions", "CreateReplaceRootVolumeTask"),
]
INSTANCE_EVENTS: list[tuple[str, Json | None, Json | None]] = [
    ("RunInstances", items(), items(INSTANCE)),
    *(
        (name, items(INSTANCE), items(INSTANCE))
        for name in ("StartInstances", "StopInstances", "TerminateInstances", "MonitorInstances")
    ),
    ("StopInstances", {"instancesSet": {}}, items(INSTANCE)),
    ("UnmonitorInstances", items(INSTANCE), None),
    ("ModifyInstanceAttribute", {"instanceId": INSTANCE, "groupSet": {}}, {"_return": True}),
    ("ResetInstanceAttribute", {"instanceId": INSTANCE}, {"_return": True}),
    *((name, wrapped(name, InstanceId=INSTANCE), None) for name in MODIFIES_INSTANCE),
    *((name, {"instanceId": INSTANCE}, None) for name in MODIFIES_INSTANCE),
    ("AttachVolume", {"volumeId": "vol-1", "instanceId": INSTANCE}, {"instanceId": INSTANCE}),
    ("DetachVolume", {"volumeId": "vol-1"}, {"instanceId": INSTANCE}),
    ("AttachNetworkInterface", {"networkInterfaceId": "eni-1", "instanceId": INSTANCE}, None),
    ("AssociateAddress", {"instanceId": INSTANCE, "publicIp": "192.0.2.1"}, None),
    ("AssociateIamInstanceProfile", wrapped("AssociateIamInstanceProfile", InstanceId=INSTANCE), None),
    *(
        (name, wrapped(name, AssociationId="iip-assoc-1"), {f"{name}Response": ASSOCIATION})
        for name in (
            *("AssociateIamInstanceProfile", "DisassociateIamInstanceProfile"),
            "ReplaceIamInstanceProfileAssociation",
        )
    ),
]
RULE = {"securityGroupRuleSet": {"items": [{"groupId": GROUP, "securityGroupRuleId": "sgr-1"}]}}
CHANGES_RULES = [
    *("AuthorizeSecurityGroupIngress", "RevokeSecurityGroupIngress"),
    *("AuthorizeSecurityGroupEgress", "RevokeSecurityGroupEgress"),
]
MODIFIES_RULES = [
    *("ModifySecurityGroupRules", "UpdateSecurityGroupRuleDescriptionsIngress"),
    "UpdateSecurityGroupRuleDescriptionsEgress",
]
GROUP_EVENTS: list[tuple[str, Json | None, Json | None]] = [
    ("CreateSecurityGroup", {"groupName": "web", "vpcId": VPC}, {"groupId": GROUP}),
    ("DeleteSecurityGroup", {"groupId": GROUP}, {"_return": True}),
    ("DeleteSecurityGroup", {"groupName": "web"}, {"_return": True, "groupId": GROUP}),
    *((name, {"groupId": GROUP}, RULE) for name in CHANGES_RULES),
    *((name, {"groupName": "web"}, RULE) for name in CHANGES_RULES),
    *((name, wrapped(name, GroupId=GROUP), None) for name in MODIFIES_RULES),
    *((name, {"groupId": GROUP}, None) for name in MODIFIES_RULES),
]
SUBNET_EVENTS: list[tuple[str, Json | None, Json | None]] = [
    ("CreateSubnet", {"vpcId": VPC}, {"subnet": {"subnetId": SUBNET}}),
    ("CreateDefaultSubnet", {}, {"CreateDefaultSubnetResponse": {"subnet": {"subnetId": SUBNET}}}),
    ("CreateDefaultSubnet", {}, {"subnet": {"subnetId": SUBNET}}),
    ("DeleteSubnet", {"subnetId": SUBNET}, None),
    ("ModifySubnetAttribute", {"subnetId": SUBNET}, None),
    ("AssociateSubnetCidrBlock", {"subnetId": SUBNET}, None),
    ("AssociateSubnetCidrBlock", wrapped("AssociateSubnetCidrBlock", SubnetId=SUBNET), None),
    ("AssociateSubnetCidrBlock", {}, {"AssociateSubnetCidrBlockResponse": {"subnetId": SUBNET}}),
    ("DisassociateSubnetCidrBlock", {"associationId": "a"}, {"subnetId": SUBNET}),
    (
        "DisassociateSubnetCidrBlock",
        {"associationId": "a"},
        {"DisassociateSubnetCidrBlockResponse": {"subnetId": SUBNET}},
    ),
]
VPC_EVENTS: list[tuple[str, Json | None, Json | None]] = [
    ("DeleteVpc", {"vpcId": VPC}, None),
    *((name, {"vpcId": VPC}, None) for name in ("AssociateVpcCidrBlock", "AssociateDhcpOptions", "ModifyVpcTenancy")),
    *(
        (name, wrapped(name, VpcId=VPC), None)
        for name in ("AssociateVpcCidrBlock", "AssociateDhcpOptions", "ModifyVpcTenancy")
    ),
    ("DisassociateVpcCidrBlock", {"associationId": "a"}, {"vpcId": VPC}),
    ("DisassociateVpcCidrBlock", {"associationId": "a"}, {"DisassociateVpcCidrBlockResponse": {"vpcId": VPC}}),
]
GATEWAY_EVENTS: list[tuple[str, Json | None, Json | None]] = [
    ("CreateVpnGateway", {"type": "ipsec.1"}, {"vpnGateway": {"vpnGatewayId": GATEWAY}}),
    *(
        (name, {"vpnGatewayId": GATEWAY, "vpcId": VPC}, None)
        for name in ("DeleteVpnGateway", "AttachVpnGateway", "DetachVpnGateway")
    ),
]
ONE_RESOURCE = [
    *(("ec2.instance", INSTANCE, *event) for event in INSTANCE_EVENTS),
    *(("ec2.security-group", GROUP, *event) for event in GROUP_EVENTS),
    *(("ec2.subnet", SUBNET, *event) for event in SUBNET_EVENTS),
    *(("ec2.vpc", VPC, *event) for event in VPC_EVENTS),
    *(("ec2.vpn-gateway", GATEWAY, *event) for event in GATEWAY_EVENTS),
]


@pytest.mark.parametrize(("kind", "key", "name", "request_", "response"), ONE_RESOURCE)
def test_an_event_touches_one_resource(
    kind: str, key: str, name: str, request_: Json | None, response: Json | None
) -> None:
    event = api_call("ec2", name, request_, response)

    assert touched(ec2.RESOURCES, event) == {(kind, key)}
    assert not unresolved(ec2.RESOURCES, event)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("associate_iam_instance_profile", {("ec2.instance", INSTANCE)}),
        ("authorize_security_group_ingress", {("ec2.security-group", GROUP)}),
        (
            "create_tags_mixed",
            {("ec2.instance", INSTANCE), ("ec2.security-group", GROUP), ("ec2.vpc", VPC)},
        ),
        ("create_vpc", {("ec2.vpc", VPC), ("ec2.security-group", VPC)}),
        ("detach_vpn_gateway", {("ec2.vpn-gateway", GATEWAY)}),
        ("instance_running", {("ec2.instance", INSTANCE)}),
        ("instance_terminated", {("ec2.instance", INSTANCE)}),
        ("modify_security_group_rules", {("ec2.security-group", GROUP)}),
        ("run_instances_refused", set()),
        ("terminate_instances", {("ec2.instance", INSTANCE), ("ec2.instance", "i-0b2c3d4e5f6071829")}),
    ],
)
def test_a_recorded_event_touches_what_it_names(name: str, expected: set[tuple[str, str]]) -> None:
    assert touched(ec2.RESOURCES, sample(f"ec2/{name}")) == expected


def test_run_instances_touches_every_instance_that_it_started() -> None:
    event = sample("ec2/run_instances")
    started = [one["instanceId"] for one in event["detail"]["responseElements"]["instancesSet"]["items"]]

    assert touched(ec2.RESOURCES, event) == {("ec2.instance", id_) for id_ in started}


def test_a_new_default_vpc_touches_its_groups_and_subnets() -> None:
    event = api_call("ec2", "CreateDefaultVpc", {}, {"CreateDefaultVpcResponse": {"vpc": {"vpcId": VPC}}})

    assert touched(ec2.RESOURCES, event) == {
        ("ec2.vpc", VPC),
        ("ec2.security-group", VPC),
        ("ec2.subnet", VPC),
    }


@pytest.mark.parametrize("name", ["CreateTags", "DeleteTags"])
def test_tags_of_other_things_touch_nothing(name: str) -> None:
    ids = {"items": [{"resourceId": "vol-1"}, {"resourceId": "eni-1"}, {"resourceId": "vpce-1"}]}
    event = api_call("ec2", name, {"resourcesSet": ids})

    assert not touched(ec2.RESOURCES, event)
    assert not unresolved(ec2.RESOURCES, event)


@pytest.mark.parametrize(
    "event",
    [
        api_call("ec2", "StopInstances", items(INSTANCE), errorCode="Client.DryRunOperation"),
        api_call("ec2", "DeleteVpc", {"vpcId": VPC}, errorCode="Client.DependencyViolation"),
        api_call("ec2", "RebootInstances", items(INSTANCE)),
        api_call("ec2", "CreateNetworkInterface", {"subnetId": SUBNET}),
        api_call("ec2", "DescribeInstances", items(INSTANCE)),
        # Anybody may put events on the bus, but none with the source of an AWS service.
        native_event("com.example", STATE_CHANGE, {"instance-id": INSTANCE, "state": "terminated"}),
        {**native_event("aws.ec2", STATE_CHANGE, {"instance-id": INSTANCE}), "account": "999999999999"},
    ],
)
def test_what_changed_nothing_touches_nothing(event: Json) -> None:
    assert not touched(ec2.RESOURCES, event)


@pytest.mark.parametrize(
    ("name", "request_"),
    [
        ("DeleteSecurityGroup", {"groupName": "web"}),
        ("DeleteVpc", None),
        ("DetachVpnGateway", None),
        ("CreateVpc", {"cidrBlock": "10.0.0.0/16"}),
    ],
)
def test_an_event_without_an_id_is_counted_as_unresolved(name: str, request_: Json | None) -> None:
    assert unresolved(ec2.RESOURCES, api_call("ec2", name, request_))


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
