"""Amazon EC2: instances, security groups, subnets, VPCs and VPN gateways."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from typing import Any

from topology.declare import Call, Change, Ids, PerBatch, Resource, on, on_native
from topology.elements import Element, Item, Relation, Scope, Telemetry, relation_id
from topology.event_fields import text
from topology.shape import component, plain, tag_mapping

# EC2 takes 200 values in a filter. It would answer 1,000 a page, but a parsed page of instances is large.
FILTERED = 200
PAGE = {"MaxResults": 200}
MOVING = '["attaching", "detaching", "associating", "disassociating"]'


def requested(field: str) -> str:
    """A field of a request: newer operations wrap theirs as `{Operation}Request`, in the API's own spelling."""
    return f"(requestParameters.{_lower(field)} || (requestParameters.*.{field} | [0]))"


def answered(field: str) -> str:
    """A field of an answer: newer operations wrap theirs as `{Operation}Response`."""
    # Not `responseElements.*.a.b`, of which the jmespath library takes `.b` for a field of the whole list.
    return f"(responseElements.{field} || (responseElements | *.{field} | [0]))"


def in_set(of: str) -> str:
    """What is in one of EC2's sets, where a single thing may come without the list around it."""
    return f"{of}.[items, item][][]"


def own_ids(prefix: str) -> str:
    """Of the ids in a CreateTags or DeleteTags event, those with this prefix."""
    return f"{in_set('requestParameters.resourcesSet')} | [?starts_with(to_string(resourceId), '{prefix}')].resourceId"


def tagging(prefix: str) -> Change:
    """EC2's tags are changed by calls that name ids of any kind."""
    return on("CreateTags", "DeleteTags", key=own_ids(prefix))


def instances_of(part: str) -> str:
    """The instances that a request or an answer lists."""
    return f"{in_set(f'{part}.instancesSet')}.instanceId"


def moving(things: str, state: str) -> str:
    """Which of the things that belong to an item are on their way there or away from it."""
    return f"{things}[?contains(`{MOVING}`, {state})]"


def only(*prefixes: str) -> Callable[[Scope, str], str]:
    """A `lookup_key` that takes ids with one of the prefixes from events, also from ARNs, and nothing else."""

    def lookup_key(_scope: Scope, key: str) -> str:
        id_ = key.rpartition("/")[2] if key.startswith("arn:") else key
        return id_ if id_.startswith(prefixes) else ""

    return lookup_key


def _lower(name: str) -> str:
    return name[:1].lower() + name[1:]


# ---------------------------------------------------------------------------------------------------- instances

DESCRIBE_INSTANCES = Call("ec2", "describe_instances", "Reservations[].Instances[]", PAGE)


def instance_elements(scope: Scope, item: Item) -> Iterator[Element]:
    """An instance, unless it is terminated: EC2 goes on answering for an hour then."""
    id_ = item["InstanceId"]
    state = item["State"]["Name"]
    if state == "terminated":
        return
    named = {"fqdn": item.get("PublicDnsName"), "public-ip": item.get("PublicIpAddress")}
    named["private-ip"] = item.get("PrivateIpAddress")
    tags = tag_mapping(item.get("Tags") or []) | {"host": id_, "instance-id": id_}
    tags |= {name: value for name, value in named.items() if value}
    hosts = [id_, item.get("PublicDnsName"), item.get("PublicIpAddress")]
    urns = [f"urn:host:/{host}" for host in hosts if host]
    urns.insert(1, scope.arn("ec2", f"instance/{id_}"))
    data = {key: value for key, value in item.items() if key != "TypeInfo"}
    data |= {"Tags": tags, "URN": urns}
    if "TypeInfo" in item:
        data["IsNitro"] = is_nitro(item["TypeInfo"])
    yield component(scope, "aws.ec2", id_, data)
    yield Telemetry("ec2_state", "EC2 instance state", state, id_, (f"state:{state}",))
    if subnet := item.get("SubnetId"):
        yield Relation(id_, "uses service", subnet)
    elif vpc := item.get("VpcId"):
        yield Relation(id_, "uses service", vpc)
    for group in item.get("SecurityGroups") or ():
        yield Relation(id_, "uses service", group["GroupId"])


def is_nitro(type_info: Item | None) -> bool:
    """Whether an instance type runs on Nitro; bare metal names no hypervisor, and counts."""
    return type_info is not None and type_info.get("Hypervisor", "nitro") == "nitro"


INSTANCE = Resource(
    kind="ec2.instance",
    components=["aws.ec2"],
    relates={"uses service": ["aws.subnet", "aws.vpc", "aws.security-group"]},
    listed_by=DESCRIBE_INSTANCES,
    looked_up_by=replace(DESCRIBE_INSTANCES, ids=Ids("Filters", FILTERED, "instance-id")),
    also_looked_up_by={
        "eni-attach-": replace(
            DESCRIBE_INSTANCES, ids=Ids("Filters", FILTERED, "network-interface.attachment.attachment-id")
        ),
        "eni-": replace(DESCRIBE_INSTANCES, ids=Ids("Filters", FILTERED, "network-interface.network-interface-id")),
    },
    key="InstanceId",
    details=[
        PerBatch(
            "TypeInfo",
            Call(
                "ec2",
                "describe_instance_types",
                "InstanceTypes[]",
                ids=Ids("InstanceTypes", 100),
                gone=("InvalidInstanceType",),
            ),
            id="InstanceType",
            match="InstanceType",
        )
    ],
    elements=instance_elements,
    component_id=lambda _scope, key: key,
    lookup_key=only("i-", "eni-"),
    # EC2 tells of every change of an instance's state, but not when a volume or an interface has come or gone.
    passing=(
        f"State.Name != 'pending' && ({moving('BlockDeviceMappings', 'Ebs.Status')}"
        f" || {moving('NetworkInterfaces', 'Attachment.Status')})"
    ),
    arn=r"arn:[^:]+:ec2:[^:]+:[^:]+:instance/(?P<key>.+)",
    cloudformation={"AWS::EC2::Instance": ["aws.ec2"]},
    changes=[
        on_native("aws.ec2", "EC2 Instance State-change Notification", key='"instance-id" || resources[0]'),
        on_native(
            "aws.autoscaling",
            *("EC2 Instance Launch Successful", "EC2 Instance Terminate Successful"),
            key="EC2InstanceId || (resources[?contains(to_string(@), ':instance/')] | [0])",
        ),
        on("RunInstances", key=f"{instances_of('responseElements')} || `null`", creates=True),
        on(
            *("StartInstances", "StopInstances", "TerminateInstances", "MonitorInstances", "UnmonitorInstances"),
            key=f"{instances_of('requestParameters')} || {instances_of('responseElements')} || `null`",
        ),
        on(
            *("ModifyInstanceAttribute", "ResetInstanceAttribute", "AttachNetworkInterface"),
            *("ModifyInstanceMetadataOptions", "ModifyInstancePlacement", "ModifyInstanceMaintenanceOptions"),
            *("ModifyInstanceCapacityReservationAttributes", "ModifyInstanceCpuOptions"),
            *("ModifyInstanceNetworkPerformanceOptions", "ModifyPrivateDnsNameOptions"),
            key=f"{requested('InstanceId')} || {answered('instanceId')}",
        ),
        on(
            "CreateReplaceRootVolumeTask",
            key=f"{requested('InstanceId')} || {answered('replaceRootVolumeTask.instanceId')}",
        ),
        # A volume can be detached without saying from what.
        on("AttachVolume", "DetachVolume", key=f"{answered('instanceId')} || {requested('InstanceId')}"),
        on("DetachNetworkInterface", key=requested("AttachmentId")),
        on(
            *("ModifyNetworkInterfaceAttribute", "ResetNetworkInterfaceAttribute"),
            key=requested("NetworkInterfaceId"),
        ),
        on("AssociateAddress", key=f"{requested('InstanceId')} || {requested('NetworkInterfaceId')}"),
        # It names the association or the address, neither of which tells whose it was: left to the snapshot.
        on("DisassociateAddress", key=requested("InstanceId")),
        on(
            *("AssociateIamInstanceProfile", "DisassociateIamInstanceProfile"),
            *("ReplaceIamInstanceProfileAssociation",),
            key=f"{requested('InstanceId')} || {answered('iamInstanceProfileAssociation.instanceId')}",
        ),
        tagging("i-"),
    ],
)

# ---------------------------------------------------------------------------------------------- security groups

RULES_GROUP = f"({in_set('responseElements.securityGroupRuleSet')}.groupId | [0])"
DESCRIBE_SECURITY_GROUPS = Call("ec2", "describe_security_groups", "SecurityGroups[]", PAGE)


def security_group_elements(scope: Scope, item: Item) -> Iterator[Element]:
    """A security group, with its rules in a fixed order and a hash that tells whether they changed."""
    ordered = in_order(plain(item))
    id_ = item["GroupId"]
    urn = [scope.arn("ec2", f"security-group/{id_}")]
    yield component(
        scope,
        "aws.security-group",
        id_,
        ordered | {"Version": version(ordered), "Name": item["GroupName"], "URN": urn},
    )
    if vpc := item.get("VpcId"):
        yield Relation(vpc, "has resource", id_)


def version(ordered: Item) -> str:
    """The StackPack's change marker: a hash that depends on what the group holds, not on how AWS orders it."""
    return sha256(json.dumps(ordered, sort_keys=True).encode()).hexdigest()


def in_order(value: Any) -> Any:
    """A copy of the value with the lists in it sorted, at every depth."""
    if isinstance(value, dict):
        return {key: in_order(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return sorted((in_order(inner) for inner in value), key=_sort_text)
    return value


def _sort_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


SECURITY_GROUP = Resource(
    kind="ec2.security-group",
    components=["aws.security-group"],
    relates={"has resource": ["aws.vpc"]},
    listed_by=DESCRIBE_SECURITY_GROUPS,
    looked_up_by=replace(DESCRIBE_SECURITY_GROUPS, ids=Ids("Filters", FILTERED, "group-id")),
    # A new VPC brings its default group without an event of its own.
    also_looked_up_by={
        "vpc-[0-9a-f]+$": replace(DESCRIBE_SECURITY_GROUPS, ids=Ids("Filters", FILTERED, "vpc-id")),
        # In a default VPC, calls may name the group; whatever groups have the name are looked at. It is never an id.
        "(?!sg-)": replace(DESCRIBE_SECURITY_GROUPS, ids=Ids("Filters", FILTERED, "group-name")),
    },
    key="GroupId",
    elements=security_group_elements,
    component_id=lambda _scope, key: key,
    arn=r"arn:[^:]+:ec2:[^:]+:[^:]+:security-group/(?P<key>.+)",
    changes=[
        on("CreateSecurityGroup", key=answered("groupId"), creates=True),
        on(
            *("DeleteSecurityGroup", "AuthorizeSecurityGroupIngress", "RevokeSecurityGroupIngress"),
            *("AuthorizeSecurityGroupEgress", "RevokeSecurityGroupEgress", "ModifySecurityGroupRules"),
            *("UpdateSecurityGroupRuleDescriptionsIngress", "UpdateSecurityGroupRuleDescriptionsEgress"),
            key=f"{requested('GroupId')} || {answered('groupId')} || {RULES_GROUP} || {requested('GroupName')}",
        ),
        # The default group goes with its VPC, and has no event of its own either.
        on("CreateVpc", "CreateDefaultVpc", "DeleteVpc", key=f"{answered('vpc.vpcId')} || {requested('VpcId')}"),
        tagging("sg-"),
    ],
)

# ------------------------------------------------------------------------------------------------------ subnets

DESCRIBE_SUBNETS = Call("ec2", "describe_subnets", "Subnets[]", PAGE)


def subnet_elements(scope: Scope, item: Item) -> Iterator[Element]:
    """A subnet and the VPC that it is in."""
    id_ = item["SubnetId"]
    yield component(scope, "aws.subnet", id_, {**item, "URN": [scope.arn("ec2", f"subnet/{id_}")]})
    if vpc := item.get("VpcId"):
        yield Relation(id_, "uses service", vpc)


SUBNET = Resource(
    kind="ec2.subnet",
    components=["aws.subnet"],
    relates={"uses service": ["aws.vpc"]},
    listed_by=DESCRIBE_SUBNETS,
    looked_up_by=replace(DESCRIBE_SUBNETS, ids=Ids("Filters", FILTERED, "subnet-id")),
    also_looked_up_by={"vpc-": replace(DESCRIBE_SUBNETS, ids=Ids("Filters", FILTERED, "vpc-id"))},
    key="SubnetId",
    elements=subnet_elements,
    component_id=lambda _scope, key: key,
    lookup_key=only("subnet-", "vpc-"),
    passing=f"State == 'pending' || {moving('Ipv6CidrBlockAssociationSet', 'Ipv6CidrBlockState.State')}",
    arn=r"arn:[^:]+:ec2:[^:]+:[^:]+:subnet/(?P<key>.+)",
    changes=[
        on("CreateSubnet", "CreateDefaultSubnet", key=answered("subnet.subnetId"), creates=True),
        on(
            *("DeleteSubnet", "ModifySubnetAttribute", "AssociateSubnetCidrBlock", "DisassociateSubnetCidrBlock"),
            key=f"{requested('SubnetId')} || {answered('subnetId')}",
        ),
        on("CreateDefaultVpc", key=answered("vpc.vpcId")),
        tagging("subnet-"),
    ],
)

# --------------------------------------------------------------------------------------------------------- VPCs

DESCRIBE_VPCS = Call("ec2", "describe_vpcs", "Vpcs[]", PAGE)


def vpc_elements(scope: Scope, item: Item) -> Iterator[Element]:
    """A VPC."""
    id_ = item["VpcId"]
    yield component(scope, "aws.vpc", id_, {**item, "URN": [scope.arn("ec2", f"vpc/{id_}")]})


VPC = Resource(
    kind="ec2.vpc",
    components=["aws.vpc"],
    listed_by=DESCRIBE_VPCS,
    looked_up_by=replace(DESCRIBE_VPCS, ids=Ids("Filters", FILTERED, "vpc-id")),
    key="VpcId",
    elements=vpc_elements,
    component_id=lambda _scope, key: key,
    lookup_key=only("vpc-"),
    passing=(
        f"State == 'pending' || {moving('CidrBlockAssociationSet', 'CidrBlockState.State')}"
        f" || {moving('Ipv6CidrBlockAssociationSet', 'Ipv6CidrBlockState.State')}"
    ),
    arn=r"arn:[^:]+:ec2:[^:]+:[^:]+:vpc/(?P<key>.+)",
    changes=[
        on("CreateVpc", "CreateDefaultVpc", key=answered("vpc.vpcId"), creates=True),
        on(
            *("DeleteVpc", "AssociateVpcCidrBlock", "DisassociateVpcCidrBlock", "AssociateDhcpOptions"),
            "ModifyVpcTenancy",
            key=f"{requested('VpcId')} || {answered('vpcId')}",
        ),
        tagging("vpc-"),
    ],
)

# ------------------------------------------------------------------------------------------------- VPN gateways

DESCRIBE_VPN_GATEWAYS = Call("ec2", "describe_vpn_gateways", "VpnGateways[]")


def vpn_gateway_elements(scope: Scope, item: Item) -> Iterator[Element]:
    """A VPN gateway and the VPCs that it is attached to; EC2 goes on answering for deleted ones."""
    if item.get("State") in {"deleting", "deleted"}:
        return
    id_ = item["VpnGatewayId"]
    yield component(scope, "aws.vpngateway", id_, item)
    for attachment in item.get("VpcAttachments") or ():
        # EC2 goes on naming a VPC for a while from which it is detached.
        if (vpc := attachment.get("VpcId")) and attachment.get("State") != "detached":
            yield Relation(id_, "uses service", vpc)


def detached(_scope: Scope, detail: Item) -> list[str]:
    """The relation that a DetachVpnGateway ends."""
    gateway, vpc = text(detail, requested("VpnGatewayId")), text(detail, requested("VpcId"))
    return [relation_id(gateway, "uses service", vpc)] if gateway and vpc else []


VPN_GATEWAY = Resource(
    kind="ec2.vpn-gateway",
    components=["aws.vpngateway"],
    relates={"uses service": ["aws.vpc"]},
    listed_by=DESCRIBE_VPN_GATEWAYS,
    looked_up_by=replace(DESCRIBE_VPN_GATEWAYS, ids=Ids("Filters", FILTERED, "vpn-gateway-id")),
    key="VpnGatewayId",
    elements=vpn_gateway_elements,
    component_id=lambda _scope, key: key,
    lookup_key=only("vgw-"),
    passing=f"State == 'pending' || {moving('VpcAttachments', 'State')}",
    arn=r"arn:[^:]+:ec2:[^:]+:[^:]+:vpn-gateway/(?P<key>.+)",
    changes=[
        on("CreateVpnGateway", key=answered("vpnGateway.vpnGatewayId"), creates=True),
        on("DeleteVpnGateway", "AttachVpnGateway", key=requested("VpnGatewayId")),
        on("DetachVpnGateway", key=requested("VpnGatewayId"), ended=detached),
        tagging("vgw-"),
    ],
)

RESOURCES = (INSTANCE, SECURITY_GROUP, SUBNET, VPC, VPN_GATEWAY)
