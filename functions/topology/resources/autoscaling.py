"""Amazon EC2 Auto Scaling: groups, their instances, and the balancers before them."""

from collections.abc import Iterator

from topology.declare import Call, Ids, Resource, on, on_native
from topology.elements import Deleted, Element, Item, Relation, Scope, relation_id
from topology.resources.elb import balancer_id
from topology.shape import component

DESCRIBE_GROUPS = Call("autoscaling", "describe_auto_scaling_groups", "AutoScalingGroups[]", {"MaxRecords": 100})
NAMED = "requestParameters.autoScalingGroupName"


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
    group = (detail.get("additionalEventData") or {}).get("GroupId")
    name = (detail.get("requestParameters") or {}).get("autoScalingGroupName")
    if not (group and name):
        return []
    return [scope.arn("autoscaling", f"autoScalingGroup:{group}:autoScalingGroupName/{name}")]


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
            key="AutoScalingGroupName",
        ),
        on("CreateAutoScalingGroup", key=NAMED, creates=True),
        on("DeleteAutoScalingGroup", key=NAMED, ended=deleted_group),
        on(
            *("UpdateAutoScalingGroup", "AttachInstances", "DetachInstances", "EnterStandby", "ExitStandby"),
            *("AttachLoadBalancers", "DetachLoadBalancers", "AttachTrafficSources", "DetachTrafficSources"),
            *("AttachLoadBalancerTargetGroups", "DetachLoadBalancerTargetGroups", "SetDesiredCapacity"),
            *("SuspendProcesses", "ResumeProcesses", "EnableMetricsCollection", "DisableMetricsCollection"),
            *("SetInstanceProtection", "PutWarmPool", "DeleteWarmPool", "LaunchInstances"),
            key=NAMED,
        ),
        on(
            "ExecutePolicy",
            # A policy that is named by its ARN needs no group beside it; the ARN has the group's name.
            key=f"{NAMED} || (starts_with(requestParameters.policyName || '', 'arn:') && requestParameters.policyName)",
        ),
        on("TerminateInstanceInAutoScalingGroup", key="responseElements.activity.autoScalingGroupName"),
        on("SetInstanceHealth", key="requestParameters.instanceId"),
        on("CreateOrUpdateTags", key="requestParameters.tags[?resourceType == 'auto-scaling-group'].resourceId"),
        on("DeleteTags", key="requestParameters.tags[].resourceId"),
    ],
)
