"""Amazon EC2 Auto Scaling: groups, their instances, and the balancers before them."""

from collections.abc import Iterator

from topology.declare import Call, Ids, Resource, on, on_native
from topology.elements import Deleted, Element, Item, Relation, Scope, relation_id
from topology.event_fields import text, texts
from topology.resources.elb import balancer_id
from topology.shape import component

DESCRIBE_GROUPS = Call("autoscaling", "describe_auto_scaling_groups", "AutoScalingGroups[]", {"MaxRecords": 100})
NAMED = "requestParameters.autoScalingGroupName"
# A policy or group that is named by its ARN needs no name beside it: the ARN has the group's name.
BY_ARN = "(requestParameters.policyName || '')"
NAMED_BY_POLICY = f"{NAMED} || (starts_with(to_string({BY_ARN}), 'arn:') && {BY_ARN}) || `null`"


def group_name(_scope: Scope, key: str) -> str:
    """The name of a group from itself, or from the ARN of the group or one of its policies. It never has a colon."""
    if key.startswith("arn:"):
        return key.partition("autoScalingGroupName/")[2].partition(":")[0]
    return key


def elements(scope: Scope, item: Item) -> Iterator[Element]:
    """A group, its instances, and the balancers and target groups that reach them through it.

    Those no longer point to the instances themselves.
    """
    arn = item["AutoScalingGroupARN"]
    instances = [instance["InstanceId"] for instance in item.get("Instances") or ()]
    fronts = [balancer_id(scope, name) for name in item.get("LoadBalancerNames") or ()]
    fronts += item.get("TargetGroupARNs") or ()
    yield component(scope, "aws.autoscaling", arn, item)
    yield from (Relation(arn, "uses service", instance) for instance in instances)
    for front in fronts:
        yield Relation(front, "uses service", arn)
        # Of a target group this is the id from before targets became components: it must not cut those off.
        yield from (Deleted(relation_id(front, "uses service", instance)) for instance in instances)


def deleted_group(scope: Scope, detail: Item) -> list[str]:
    """The ARN of a deleted group: its name does not tell it, but the event may have the id that is in it."""
    id_, name = text(detail, "additionalEventData.GroupId"), text(detail, NAMED)
    return [scope.arn("autoscaling", f"autoScalingGroup:{id_}:autoScalingGroupName/{name}")] if id_ and name else []


def detached_instances(scope: Scope, detail: Item) -> list[str]:
    """The relations that a DetachInstances ends."""
    instances = texts(detail, "requestParameters.instanceIds")
    return [
        relation_id(group, "uses service", instance) for group in deleted_group(scope, detail) for instance in instances
    ]


def detached_fronts(scope: Scope, detail: Item) -> list[str]:
    """The relations that end when balancers or target groups are detached."""
    fronts = [balancer_id(scope, name) for name in texts(detail, "requestParameters.loadBalancerNames")]
    fronts += texts(detail, "requestParameters.targetGroupARNs")
    # The newer call names both kinds: classic balancers by name, target groups by ARN.
    for source in texts(detail, "requestParameters.trafficSources[].identifier"):
        fronts.append(source if source.startswith("arn:") else balancer_id(scope, source))
    return [relation_id(front, "uses service", group) for group in deleted_group(scope, detail) for front in fronts]


GROUP = Resource(
    kind="autoscaling.group",
    components=["aws.autoscaling"],
    relates={"uses service": ["aws.ec2", "aws.elb_classic", "aws.elb_v2_target_group"]},
    listed_by=DESCRIBE_GROUPS,
    looked_up_by=Call(
        "autoscaling",
        "describe_auto_scaling_groups",
        "AutoScalingGroups[]",
        {"MaxRecords": 100},
        ids=Ids("AutoScalingGroupNames", 100),
    ),
    also_looked_up_by={
        r"i-([0-9a-f]{8}|[0-9a-f]{17})$": Call(
            "autoscaling",
            "describe_auto_scaling_instances",
            "AutoScalingInstances[].AutoScalingGroupName[]",
            ids=Ids("InstanceIds", 50),
        )
    },
    key="AutoScalingGroupName",
    elements=elements,
    # Only a group that is being deleted has a status.
    passing="Status",
    # No component_id: the ARN holds an id that the name does not tell.
    lookup_key=group_name,
    arn=r"arn:[^:]+:autoscaling:[^:]+:[^:]+:autoScalingGroup:[^:]+:autoScalingGroupName/(?P<key>[^:]+)",
    cloudformation={"AWS::AutoScaling::AutoScalingGroup": ["aws.autoscaling"]},
    changes=[
        # What Auto Scaling does on its own account is no API call.
        on_native(
            "aws.autoscaling",
            *("EC2 Instance Launch Successful", "EC2 Instance Terminate Successful"),
            *("EC2 Instance-launch Lifecycle Action", "EC2 Instance-terminate Lifecycle Action"),
            key="AutoScalingGroupName || (resources[?contains(to_string(@), ':autoScalingGroupName/')] | [0])",
        ),
        on("CreateAutoScalingGroup", key=NAMED, creates=True),
        on("DeleteAutoScalingGroup", key=NAMED, ended=deleted_group),
        on(
            *("UpdateAutoScalingGroup", "AttachInstances", "EnterStandby", "ExitStandby", "SetDesiredCapacity"),
            *("AttachLoadBalancers", "AttachLoadBalancerTargetGroups", "AttachTrafficSources"),
            *("SuspendProcesses", "ResumeProcesses", "EnableMetricsCollection", "DisableMetricsCollection"),
            *("SetInstanceProtection", "PutWarmPool", "DeleteWarmPool", "LaunchInstances"),
            key=NAMED,
        ),
        on("DetachInstances", key=NAMED, ended=detached_instances),
        on(
            *("DetachLoadBalancers", "DetachLoadBalancerTargetGroups", "DetachTrafficSources"),
            key=NAMED,
            ended=detached_fronts,
        ),
        on("ExecutePolicy", key=NAMED_BY_POLICY),
        on(
            "TerminateInstanceInAutoScalingGroup",
            key="responseElements.activity.autoScalingGroupName || requestParameters.instanceId",
        ),
        on("SetInstanceHealth", key="requestParameters.instanceId"),
        on("CreateOrUpdateTags", key="requestParameters.tags[?resourceType == 'auto-scaling-group'].resourceId"),
        on("DeleteTags", key="requestParameters.tags[].resourceId"),
    ],
)
