"""Elastic Load Balancing v2: application, network and gateway balancers, target groups and their targets."""

import re
from collections.abc import Iterator
from dataclasses import replace

from topology.declare import Call, ForAll, Ids, PerBatch, PerItem, Resource, on
from topology.elements import Element, Item, Relation, Scope, Telemetry, relation_id
from topology.event_fields import text, texts
from topology.shape import component, dimensions, location

BALANCER_GONE = ("LoadBalancerNotFound",)
TARGET_GROUP_GONE = ("TargetGroupNotFound",)
# ARNs in one call.
BATCH = 20
DESCRIBE_BALANCERS = Call("elbv2", "describe_load_balancers", "LoadBalancers[]")
DESCRIBE_TARGET_GROUPS = Call("elbv2", "describe_target_groups", "TargetGroups[]")
EVENT_SOURCE = "elasticloadbalancing.amazonaws.com"
# A balancer has a path in its ARN, unlike the classic ones; its listeners and their rules have a longer one.
BALANCER_ARN = r"arn:[^:]+:elasticloadbalancing:[^:]+:[^:]+:loadbalancer/(app|net|gwy)/[^/]+/[^/]+"
LISTENER_ARN = re.compile(r"(arn:.+):listener(?:-rule)?/((?:app|net|gwy)/[^/]+/[^/]+)/.+")
TARGET_GROUP_ARN = r"arn:[^:]+:elasticloadbalancing:[^:]+:[^:]+:targetgroup/.+"


def this_version(path: str) -> str:
    """A key of events about these balancers: the classic ones have the same source, and calls of the same names."""
    return f"(apiVersion == '2015-12-01' || !apiVersion) && ({path})"


# ---------------------------------------------------------------------------------------------------- balancers


def balancer_arn(_scope: Scope, key: str) -> str:
    """The ARN of a balancer from itself, or from that of a listener or a rule of it; nothing for anything else."""
    if listener := LISTENER_ARN.fullmatch(key):
        return f"{listener[1]}:loadbalancer/{listener[2]}"
    return key if re.fullmatch(BALANCER_ARN, key) else ""


def path_of(balancer: str) -> str:
    """What CloudWatch calls a balancer: kind, name and id."""
    return balancer.partition("loadbalancer/")[2]


def balancer_elements(scope: Scope, item: Item) -> Iterator[Element]:
    """A balancer with its listeners, and the network that it is in."""
    arn = item["LoadBalancerArn"]
    named = {"Name": item["LoadBalancerName"], "CW": dimensions(LoadBalancer=path_of(arn))}
    type_ = f"aws.elb_v2_{item['Type'].lower()}"
    yield component(scope, type_, arn, {**item, **named, "Tags": item.get("Tags") or []})
    for group in item.get("SecurityGroups") or ():
        yield Relation(arn, "uses service", group)
    if vpc := item.get("VpcId"):
        yield Relation(arn, "uses service", vpc)


BALANCER = Resource(
    kind="elbv2.load-balancer",
    components=["aws.elb_v2_application", "aws.elb_v2_network", "aws.elb_v2_gateway"],
    relates={"uses service": ["aws.vpc", "aws.security-group"]},
    listed_by=DESCRIBE_BALANCERS,
    looked_up_by=replace(DESCRIBE_BALANCERS, ids=Ids("LoadBalancerArns", BATCH), gone=BALANCER_GONE),
    key="LoadBalancerArn",
    details=[
        PerBatch(
            "Tags",
            Call("elbv2", "describe_tags", "TagDescriptions[]", ids=Ids("ResourceArns", BATCH), gone=BALANCER_GONE),
            id="LoadBalancerArn",
            match="ResourceArn",
            value="Tags",
        ),
        PerItem(
            "Listeners",
            Call("elbv2", "describe_listeners", "Listeners[]", gone=BALANCER_GONE),
            {"LoadBalancerArn": "LoadBalancerArn"},
        ),
    ],
    elements=balancer_elements,
    component_id=balancer_arn,
    passing="State.Code == 'provisioning'",
    lookup_key=balancer_arn,
    arn=f"(?P<key>{BALANCER_ARN})",
    cloudformation={
        "AWS::ElasticLoadBalancingV2::LoadBalancer": [
            *("aws.elb_v2_application", "aws.elb_v2_network", "aws.elb_v2_gateway"),
        ]
    },
    secrets=[
        "Listeners.*.DefaultActions.*.AuthenticateOidcConfig.ClientSecret",
        "Listeners.*.DefaultActions.*.AuthenticateOidcConfig.AuthenticationRequestExtraParams.*",
        "Listeners.*.DefaultActions.*.AuthenticateCognitoConfig.AuthenticationRequestExtraParams.*",
        # A redirection is a URL in parts.
        "Listeners.*.DefaultActions.*.RedirectConfig.Query",
    ],
    event_source=EVENT_SOURCE,
    changes=[
        on("CreateLoadBalancer", key=this_version("responseElements.loadBalancers[].loadBalancerArn"), creates=True),
        on(
            *("DeleteLoadBalancer", "SetSecurityGroups", "SetSubnets", "SetIpAddressType", "ModifyIpPools"),
            key=this_version("requestParameters.loadBalancerArn"),
        ),
        on(
            "CreateListener",
            key=this_version("responseElements.listeners[].loadBalancerArn || requestParameters.loadBalancerArn"),
        ),
        on(
            *("ModifyListener", "DeleteListener"),
            key=this_version("requestParameters.listenerArn || responseElements.listeners[].loadBalancerArn"),
        ),
        on(
            *("AddTags", "RemoveTags"),
            key=this_version("requestParameters.resourceArns[?contains(to_string(@), ':loadbalancer/')]"),
        ),
    ],
)

# ------------------------------------------------------------------------------------- target groups and targets


def target_group_key(scope: Scope, key: str) -> str:
    """The ARN of a target group, or of the balancer whose target groups are meant; nothing for anything else."""
    return key if re.fullmatch(TARGET_GROUP_ARN, key) else balancer_arn(scope, key)


def target_group_arn(_scope: Scope, key: str) -> str:
    """The id of a target group; nothing for anything else."""
    return key if re.fullmatch(TARGET_GROUP_ARN, key) else ""


def target_id(target: str) -> str:
    """The id of the component that stands for an instance, an address, a function or a balancer as a target."""
    return f"urn:aws/target-group-instance/{target}"


def target_group_elements(scope: Scope, item: Item) -> Iterator[Element]:
    """A target group, the balancers before it, and its targets with their health."""
    arn = item["TargetGroupArn"]
    balancers = item.get("LoadBalancerArns") or []
    metrics = {"TargetGroup": "targetgroup/" + arn.partition("targetgroup/")[2]}
    if balancers:
        metrics["LoadBalancer"] = path_of(balancers[0])
    data = {key: value for key, value in item.items() if key not in {"Balancers", "Health"}}
    data |= {"Name": item["TargetGroupName"], "CW": dimensions(**metrics)}
    for balancer in item.get("Balancers") or ():
        data["TargetLoadBalancerType"] = balancer["Type"].lower()
    yield component(scope, "aws.elb_v2_target_group", arn, data)
    if vpc := item.get("VpcId"):
        yield Relation(arn, "uses service", vpc)
    for balancer in balancers:
        yield Relation(balancer, "uses service", arn, {"Location": location(scope)})
    for health in item.get("Health") or ():
        yield from target_elements(scope, arn, health)


def target_elements(scope: Scope, group: str, health: Item) -> Iterator[Element]:
    """A target of a group. It is one component in whatever groups and with whatever ports."""
    target = health["Target"]["Id"]
    yield component(
        scope,
        "aws.elb_v2_target_group_instance",
        target_id(target),
        {**health, "Name": target, "URN": [target]},
    )
    yield Relation(group, "uses service", target_id(target))
    found = health.get("TargetHealth") or {}
    tags = (f"state:{found.get('State')}", f"reason:{found.get('Reason')}")
    yield Telemetry("target_instance_health", "Target instance health", str(found.get("State")), target, tags)


def deregistered(_scope: Scope, detail: Item) -> list[str]:
    """The relations that a DeregisterTargets ends, once the targets have drained."""
    group = text(detail, "requestParameters.targetGroupArn")
    targets = texts(detail, "requestParameters.targets[].id")
    return [relation_id(group, "uses service", target_id(target)) for target in targets if group]


def forwarded_to(actions: str, *others: str) -> str:
    """Target groups that a listener or a rule forwards to, and what tells its balancer, whose others changed too."""
    forward = f"requestParameters.{actions}[].forwardConfig.targetGroups[].targetGroupArn"
    balancer = " || ".join(others)
    everything = f"[requestParameters.{actions}[].targetGroupArn, {forward}, [{balancer}]][][] | [?@]"
    return this_version(f"({everything}) || `null`")


TARGET_GROUP = Resource(
    kind="elbv2.target-group",
    components=["aws.elb_v2_target_group", "aws.elb_v2_target_group_instance"],
    relates={
        "uses service": [
            *("aws.vpc", "aws.elb_v2_target_group_instance"),
            *("aws.elb_v2_application", "aws.elb_v2_network", "aws.elb_v2_gateway"),
        ]
    },
    listed_by=DESCRIBE_TARGET_GROUPS,
    looked_up_by=replace(DESCRIBE_TARGET_GROUPS, ids=Ids("TargetGroupArns", BATCH), gone=TARGET_GROUP_GONE),
    also_looked_up_by={
        BALANCER_ARN: replace(DESCRIBE_TARGET_GROUPS, ids=Ids("LoadBalancerArn"), gone=BALANCER_GONE),
    },
    key="TargetGroupArn",
    details=[
        ForAll("Balancers", DESCRIBE_BALANCERS, id="LoadBalancerArns[0]", match="LoadBalancerArn"),
        PerItem(
            "Health",
            Call("elbv2", "describe_target_health", "TargetHealthDescriptions", gone=TARGET_GROUP_GONE),
            {"TargetGroupArn": "TargetGroupArn"},
            holds_components=True,
        ),
    ],
    elements=target_group_elements,
    component_id=target_group_arn,
    passing='Health[?contains(`["initial", "draining"]`, TargetHealth.State)]',
    lookup_key=target_group_key,
    arn=f"(?P<key>{TARGET_GROUP_ARN})",
    cloudformation={"AWS::ElasticLoadBalancingV2::TargetGroup": ["aws.elb_v2_target_group"]},
    event_source=EVENT_SOURCE,
    changes=[
        on("CreateTargetGroup", key=this_version("responseElements.targetGroups[].targetGroupArn"), creates=True),
        on(
            *("ModifyTargetGroup", "DeleteTargetGroup", "RegisterTargets"),
            key=this_version("requestParameters.targetGroupArn"),
        ),
        on("DeregisterTargets", key=this_version("requestParameters.targetGroupArn"), ended=deregistered),
        on("DeleteLoadBalancer", key=this_version("requestParameters.loadBalancerArn")),
        on("CreateListener", key=forwarded_to("defaultActions", "requestParameters.loadBalancerArn")),
        on(
            "ModifyListener",
            key=forwarded_to(
                "defaultActions",
                *("requestParameters.listenerArn", "responseElements.listeners[0].loadBalancerArn"),
            ),
        ),
        on(
            *("CreateRule", "ModifyRule"),
            key=forwarded_to("actions", "requestParameters.listenerArn", "requestParameters.ruleArn"),
        ),
        on(
            *("DeleteListener", "DeleteRule"),
            key=this_version("requestParameters.listenerArn || requestParameters.ruleArn"),
        ),
        on(
            *("AddTags", "RemoveTags"),
            key=this_version("requestParameters.resourceArns[?contains(to_string(@), ':targetgroup/')]"),
        ),
    ],
)

# Target groups first: they need the list of balancers, which the engine keeps, so that it is not read twice.
RESOURCES = (TARGET_GROUP, BALANCER)
