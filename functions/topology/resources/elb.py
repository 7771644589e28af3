"""Elastic Load Balancing, classic: balancers and the instances behind them."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from topology.declare import Call, ForAll, Ids, PerBatch, PerItem, Resource, on
from topology.elements import Element, Item, Relation, Scope, Telemetry, relation_id
from topology.event_fields import text, texts
from topology.shape import component

GONE = ("LoadBalancerNotFound",)
# Names in one call.
BATCH = 20
DESCRIBE_BALANCERS = Call("elb", "describe_load_balancers", "LoadBalancerDescriptions[]")


def balancer_id(_scope: Scope, key: str) -> str:
    """The id of a balancer from its name; nothing for ARNs of the newer balancers."""
    name = balancer_name(_scope, key)
    return f"classic_elb_{name}" if name else ""


def balancer_name(_scope: Scope, key: str) -> str:
    """The name of a balancer from itself or its ARN; nothing for ARNs of the newer balancers, which have a path."""
    name = key.partition(":loadbalancer/")[2] if key.startswith("arn:") else key
    return name if "/" not in name else ""


def elements(scope: Scope, item: Item) -> Iterator[Element]:
    """A balancer, the network that it is in, and its instances with their health."""
    name = item["LoadBalancerName"]
    id_ = balancer_id(scope, name)
    data = {key: value for key, value in item.items() if key not in {"Health", "Groups"}}
    urn = [scope.arn("elasticloadbalancing", f"loadbalancer/{name}")]
    yield component(scope, "aws.elb_classic", id_, data | {"URN": urn, "Tags": item.get("Tags") or []})
    if vpc := item.get("VPCId"):
        yield Relation(id_, "uses service", vpc)
    for group in item.get("SecurityGroups") or ():
        yield Relation(id_, "uses service", group)
    reached_through_groups = instances_of_groups(item.get("Groups") or (), name)
    for instance in item.get("Instances") or ():
        if instance["InstanceId"] not in reached_through_groups:
            yield Relation(id_, "uses service", instance["InstanceId"])
    for health in item.get("Health") or ():
        state = health.get("State")
        tags = (f"state:{state}", f"description:{health.get('Description')}")
        yield Telemetry("ec2_state", "EC2 instance state", str(state), health["InstanceId"], tags)


def instances_of_groups(groups: Sequence[Item], balancer: str) -> set[str]:
    """Instances that the balancer has from an Auto Scaling group: its relation is to the group then."""
    return {
        instance["InstanceId"]
        for group in groups
        if balancer in (group.get("LoadBalancerNames") or ())
        for instance in group.get("Instances") or ()
    }


def deregistered(scope: Scope, detail: Item) -> list[str]:
    """The relations that a DeregisterInstancesFromLoadBalancer ends."""
    id_ = balancer_id(scope, text(detail, "requestParameters.loadBalancerName"))
    instances = texts(detail, "requestParameters.instances[].instanceId")
    return [relation_id(id_, "uses service", instance) for instance in instances if id_]


def classic(path: str) -> str:
    """A key of events about classic balancers: the newer ones have the same source, and calls of the same names."""
    return f"(apiVersion == '2012-06-01' || !apiVersion) && ({path})"


BALANCER = Resource(
    kind="elb.load-balancer",
    components=["aws.elb_classic"],
    relates={"uses service": ["aws.vpc", "aws.ec2", "aws.security-group"]},
    listed_by=DESCRIBE_BALANCERS,
    looked_up_by=replace(DESCRIBE_BALANCERS, ids=Ids("LoadBalancerNames", BATCH), gone=GONE),
    key="LoadBalancerName",
    details=[
        PerBatch(
            "Tags",
            Call("elb", "describe_tags", "TagDescriptions[]", ids=Ids("LoadBalancerNames", BATCH), gone=GONE),
            id="LoadBalancerName",
            match="LoadBalancerName",
            value="Tags",
        ),
        PerItem(
            "Health",
            Call("elb", "describe_instance_health", "InstanceStates", gone=GONE),
            {"LoadBalancerName": "LoadBalancerName"},
            when=lambda _scope, item: bool(item.get("Instances")),
        ),
        # In a snapshot, the groups themselves say which relations give way.
        ForAll(
            "Groups",
            Call("autoscaling", "describe_auto_scaling_groups", "AutoScalingGroups[]", {"MaxRecords": 100}),
            id="'all'",
            match="'all'",
            in_snapshot=False,
        ),
    ],
    elements=elements,
    component_id=balancer_id,
    lookup_key=balancer_name,
    arn=r"arn:[^:]+:elasticloadbalancing:[^:]+:[^:]+:loadbalancer/(?P<key>[^/]+)",
    cloudformation={"AWS::ElasticLoadBalancing::LoadBalancer": ["aws.elb_classic"]},
    event_source="elasticloadbalancing.amazonaws.com",
    gives_way_to="autoscaling",
    changes=[
        on("CreateLoadBalancer", key=classic("requestParameters.loadBalancerName"), creates=True),
        on(
            "DeregisterInstancesFromLoadBalancer",
            key=classic("requestParameters.loadBalancerName"),
            ended=deregistered,
        ),
        on(
            *("DeleteLoadBalancer", "RegisterInstancesWithLoadBalancer", "ApplySecurityGroupsToLoadBalancer"),
            *("AttachLoadBalancerToSubnets", "DetachLoadBalancerFromSubnets"),
            *("EnableAvailabilityZonesForLoadBalancer", "DisableAvailabilityZonesForLoadBalancer"),
            *("CreateLoadBalancerListeners", "DeleteLoadBalancerListeners", "ConfigureHealthCheck"),
            *("SetLoadBalancerListenerSSLCertificate", "SetLoadBalancerPoliciesForBackendServer"),
            *("SetLoadBalancerPoliciesOfListener", "CreateAppCookieStickinessPolicy"),
            *("CreateLBCookieStickinessPolicy", "CreateLoadBalancerPolicy", "DeleteLoadBalancerPolicy"),
            key=classic("requestParameters.loadBalancerName"),
        ),
        on("AddTags", "RemoveTags", key=classic("requestParameters.loadBalancerNames")),
    ],
)
