"""Amazon ECS: clusters with their services and tasks, and the hosted zones in which services are found (Cloud Map)."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

from topology.declare import Call, Ids, PerBatch, PerItem, Resource, on, on_native
from topology.elements import Element, Item, Relation, Scope, relation_id
from topology.event_fields import text
from topology.shape import component, dimensions

GONE = ("ClusterNotFoundException",)
CLOUD_MAP = "servicediscovery.amazonaws.com"
CLOUD_MAP_SERVICE = "srv-[a-z0-9]{16}$"
CLOUD_MAP_NAMESPACE = "ns-[a-z0-9]{16}$"
CLOUD_MAP_OPERATION = "[a-z0-9]{32}-[a-z0-9]{8}$"
PAGE = {"maxResults": 100}
# Calls that name no cluster are about this one.
NAMED_CLUSTER = "(requestParameters != `null` && (requestParameters.cluster || 'default') || `null`)"
# The ARN of a service has its cluster, unless it is an old one.
OF_SERVICE_CALL = (
    "responseElements.service.clusterArn || responseElements.service.serviceArn"
    f" || requestParameters.serviceArn || {NAMED_CLUSTER}"
)
# How a task's group names the service that it belongs to.
OF_SERVICE = "service:"
NODE = "has_cluster_node"
HOST = "uses_ec2_host"

# -------------------------------------------------------------------------------------------------------- names


def cluster_arn(scope: Scope, key: str) -> str:
    """The ARN of a cluster from its name, its ARN, or the ARN of a service or task in it.

    Nothing for other ARNs of ECS, nor for old ARNs of services and tasks, which lack the cluster.
    """
    if key and not key.startswith("arn:"):
        return scope.arn("ecs", f"cluster/{key}")
    kind, name, *inside = [*key.rpartition(":")[2].split("/"), ""]
    is_in_cluster = kind in {"service", "task"} and len(inside) > 1
    return scope.arn("ecs", f"cluster/{name}") if kind == "cluster" or is_in_cluster else ""


def lookup_key(scope: Scope, key: str) -> str:
    """The ARN of the cluster to look at; ids of Cloud Map stay as they are."""
    return key if any(re.match(form, key) for form in OF_CLOUD_MAP) else cluster_arn(scope, key)


def last_part(arn: str) -> str:
    """What an ARN ends with, behind the last slash."""
    return arn.rpartition("/")[2]


# ----------------------------------------------------------------------------------------------------- elements


def elements(scope: Scope, item: Item) -> Iterator[Element]:
    """A cluster with its hosts, services and tasks, unless inactive or stopped: ECS goes on answering for these."""
    # Where the look-up is denied, the cluster is little more than its ARN.
    cluster = item.get("Described", {"clusterArn": item["clusterArn"]})
    if not cluster or cluster.get("status") == "INACTIVE":
        return
    arn = cluster["clusterArn"]
    name = cluster.get("clusterName") or last_part(arn)
    yield component(scope, "aws.ecs.cluster", arn, {**cluster, "Name": name, "CW": dimensions(ClusterName=name)})
    for host in item.get("Hosts") or ():
        yield Relation(arn, HOST, host)
    tasks: dict[str, list[Item]] = defaultdict(list)
    for task in item.get("Tasks") or ():
        # The listing has those that are to run; one that was stopped since may be described still.
        if task.get("desiredStatus") == "STOPPED":
            continue
        tasks[task.get("group", "")].append(task)
        named = {"Name": task_name(task), "URN": task_urns(task)}
        yield component(scope, "aws.ecs.task", task["taskArn"], {**task, **named})
        if not task.get("group", "").startswith(OF_SERVICE):
            yield Relation(arn, NODE, task["taskArn"])
    for service in item.get("Services") or ():
        if service.get("status") != "INACTIVE":
            service_name = service.get("serviceName") or last_part(service["serviceArn"])
            yield from service_elements(scope, name, service_name, service, tasks[OF_SERVICE + service_name])
            yield Relation(arn, NODE, service["serviceArn"])
            for zone in hosted_zones(item, service):
                yield Relation(service["serviceArn"], "uses service", f"/hostedzone/{zone}")


def service_elements(scope: Scope, cluster: str, name: str, service: Item, tasks: Sequence[Item]) -> Iterator[Element]:
    """A service, its tasks, and the target groups that it is behind."""
    arn = service["serviceArn"]
    data = {key: value for key, value in service.items() if key != "events"}
    data |= {"Name": name, "CW": dimensions(ClusterName=cluster, ServiceName=name)}
    if tasks:
        data["URN"] = [f"urn:service:/service-{name}-{one['name']}" for one in tasks[-1].get("containers") or ()]
    yield component(scope, "aws.ecs.service", arn, data)
    for task in tasks:
        yield Relation(arn, NODE, task["taskArn"])
    for balanced in service.get("loadBalancers") or ():
        if group := balanced.get("targetGroupArn"):
            yield Relation(arn, "uses service", group)


def task_name(task: Item) -> str:
    """Family and revision of a task, such as `orders:7`."""
    return last_part(task.get("taskDefinitionArn") or task["taskArn"])


def task_urns(task: Item) -> list[str]:
    """What Traefik calls the containers of a service's task."""
    group = task.get("group", "")
    if not group.startswith(OF_SERVICE):
        return []
    return [
        f"urn:service-instance:/{group.replace(':', '-')}-{container['name']}:/{interface['privateIpv4Address']}"
        for container in task.get("containers") or ()
        for interface in container.get("networkInterfaces") or ()
        if interface.get("privateIpv4Address")
    ]


# ---------------------------------------------------------------------------------------------------- Cloud Map


# From what an event of Cloud Map names to the clusters that it is about, step by step.
OF_CLOUD_MAP = {
    CLOUD_MAP_OPERATION: Call(
        "servicediscovery",
        "get_operation",
        "Operation.Targets.*[]",
        ids=Ids("OperationId"),
        gone=("OperationNotFound",),
    ),
    CLOUD_MAP_NAMESPACE: Call(
        "servicediscovery", "list_services", "Services[].Id[]", ids=Ids("Filters", filter="NAMESPACE_ID")
    ),
    # The clusters whose tasks are instances of a service; others than ECS register theirs as well.
    CLOUD_MAP_SERVICE: Call(
        "servicediscovery",
        "list_instances",
        "Instances[].Attributes.[ECS_CLUSTER_NAME || ''][]",
        ids=Ids("ServiceId"),
        gone=("ServiceNotFound",),
    ),
}


def registry_ids(_scope: Scope, item: Item) -> list[str]:
    """The Cloud Map services that the services of a cluster are registered with."""
    services = item.get("Services") or ()
    return [one for service in services for one in registries_of(service)]


def registries_of(service: Item) -> list[str]:
    """The Cloud Map services that a service is registered with."""
    return [last_part(one["registryArn"]) for one in service.get("serviceRegistries") or () if one.get("registryArn")]


def namespace_ids(_scope: Scope, item: Item) -> list[str]:
    """The namespaces that the registries of a cluster are in."""
    return [namespace for namespace in (item.get("Registries") or {}).values() if namespace]


def hosted_zones(item: Item, service: Item) -> Sequence[str]:
    """The hosted zones in which a service is found; namespaces that are known by HTTP alone have none."""
    registries = item.get("Registries") or {}
    zones = item.get("Zones") or {}
    found = [zones.get(registries.get(registry)) for registry in registries_of(service)]
    return [zone for zone in dict.fromkeys(found) if zone]


# -------------------------------------------------------------------------------------------------------- events


def ended_service(scope: Scope, detail: Item) -> list[str]:
    """The service that a DeleteService ends, and the cluster's relation to it: only running ones are listed."""
    arn = text(detail, "responseElements.service.serviceArn", "requestParameters.serviceArn")
    named = text(detail, "requestParameters.service")
    if not arn and named:
        cluster = last_part(cluster_arn(scope, text(detail, NAMED_CLUSTER)))
        arn = named if named.startswith("arn:") else scope.arn("ecs", f"service/{cluster}/{named}")
    if not arn:
        return []
    cluster = cluster_arn(scope, text(detail, "responseElements.service.clusterArn") or arn)
    return [arn, *([relation_id(cluster, NODE, arn)] if cluster else ())]


def stopped_task(scope: Scope, detail: Item) -> list[str]:
    """The task that a StopTask ends, and the relation to it."""
    return ended_task(scope, detail, "responseElements.task.")


def ended_task(scope: Scope, detail: Item, place: str = "") -> list[str]:
    """A task that has stopped or is to stop, and the relation to it from its service or its cluster."""
    arn, cluster, group, desired, last = (
        text(detail, place + field) for field in ("taskArn", "clusterArn", "group", "desiredStatus", "lastStatus")
    )
    if not arn or "STOPPED" not in (desired, last):
        return []
    cluster = cluster or cluster_arn(scope, arn)
    _, is_of_service, service = group.partition(OF_SERVICE)
    owner = scope.arn("ecs", f"service/{last_part(cluster)}/{service}") if is_of_service else cluster
    return [arn, relation_id(owner, NODE, arn)]


def ended_host(scope: Scope, detail: Item) -> list[str]:
    """The relation to the EC2 instance of a container instance that may have left its cluster."""
    instance = text(detail, "responseElements.containerInstance.ec2InstanceId", "ec2InstanceId")
    cluster = text(detail, "clusterArn") or cluster_arn(scope, text(detail, NAMED_CLUSTER))
    return [relation_id(cluster, HOST, instance)] if instance and cluster else []


# --------------------------------------------------------------------------------------------------- declaration


def active(_scope: Scope, item: Item) -> bool:
    """Whether there can be something in the cluster."""
    return bool(item.get("Described", True)) and (item.get("Described") or {}).get("status") != "INACTIVE"


CLUSTER = Resource(
    kind="ecs.cluster",
    components=["aws.ecs.cluster", "aws.ecs.service", "aws.ecs.task"],
    relates={
        HOST: ["aws.ec2"],
        NODE: ["aws.ecs.service", "aws.ecs.task"],
        "uses service": ["aws.elb_v2_target_group", "aws.route53.hostedzone"],
    },
    listed_by=Call("ecs", "list_clusters", "clusterArns[].{clusterArn: @}", PAGE),
    also_looked_up_by=OF_CLOUD_MAP,
    key="clusterArn",
    details=[
        PerBatch(
            "Described",
            Call("ecs", "describe_clusters", "clusters[]", {"include": ["TAGS"]}, ids=Ids("clusters", 100)),
            id="clusterArn",
            match="clusterArn",
        ),
        PerItem(
            "Hosts",
            Call("ecs", "list_container_instances", "containerInstanceArns[]", PAGE, gone=GONE),
            {"cluster": "clusterArn"},
            described_by=Call(
                "ecs",
                "describe_container_instances",
                "containerInstances[].ec2InstanceId[]",
                ids=Ids("containerInstances", 100),
                gone=GONE,
            ),
            when=active,
        ),
        PerItem(
            "Services",
            Call("ecs", "list_services", "serviceArns[]", PAGE, gone=GONE),
            {"cluster": "clusterArn"},
            described_by=Call(
                "ecs", "describe_services", "services[]", {"include": ["TAGS"]}, ids=Ids("services", 10), gone=GONE
            ),
            when=active,
            holds_components=True,
        ),
        PerItem(
            "Tasks",
            Call("ecs", "list_tasks", "taskArns[]", PAGE, gone=GONE),
            {"cluster": "clusterArn"},
            described_by=Call("ecs", "describe_tasks", "tasks[]", ids=Ids("tasks", 100), gone=GONE),
            when=active,
            holds_components=True,
        ),
        PerBatch(
            "Registries",
            Call("servicediscovery", "get_service", "Service", ids=Ids("Id"), gone=("ServiceNotFound",)),
            id=registry_ids,
            match="Id",
            value="DnsConfig.NamespaceId || NamespaceId",
        ),
        PerBatch(
            "Zones",
            Call("servicediscovery", "get_namespace", "Namespace", ids=Ids("Id"), gone=("NamespaceNotFound",)),
            id=namespace_ids,
            match="Id",
            value="Properties.DnsProperties.HostedZoneId",
        ),
    ],
    elements=elements,
    component_id=cluster_arn,
    passing=('contains(`["PROVISIONING", "DEPROVISIONING"]`, Described.status) || Services[?status == \'DRAINING\']'),
    lookup_key=lookup_key,
    arn=r"(?P<key>arn:[^:]+:ecs:[^:]+:[^:]+:(cluster|service|task)/.+)",
    cloudformation={"AWS::ECS::Cluster": ["aws.ecs.cluster"]},
    secrets=[
        "Overrides.ContainerOverrides.*.Environment.*.Value",
        "Overrides.ContainerOverrides.*.Command.*",
        # Among them are the tokens of log services.
        "Deployments.*.ServiceConnectConfiguration.LogConfiguration.Options.*",
    ],
    changes=[
        on_native("aws.ecs", "ECS Task State Change", key="clusterArn || taskArn || resources[0]", ended=ended_task),
        on_native("aws.ecs", "ECS Container Instance State Change", key="clusterArn", ended=ended_host),
        on_native("aws.ecs", "ECS Service Action", "ECS Deployment State Change", key="clusterArn || resources[0]"),
        on("CreateCluster", key="responseElements.cluster.clusterArn || requestParameters.clusterName", creates=True),
        on(
            *("DeleteCluster", "UpdateCluster", "UpdateClusterSettings", "PutClusterCapacityProviders"),
            key=f"responseElements.cluster.clusterArn || {NAMED_CLUSTER}",
        ),
        on("CreateService", "UpdateService", key=OF_SERVICE_CALL),
        on("DeleteService", key=OF_SERVICE_CALL, ended=ended_service),
        on("CreateExpressGatewayService", "UpdateExpressGatewayService", key=OF_SERVICE_CALL),
        on("DeleteExpressGatewayService", key=OF_SERVICE_CALL, ended=ended_service),
        on(
            *("CreateTaskSet", "UpdateTaskSet", "DeleteTaskSet", "UpdateServicePrimaryTaskSet"),
            key=f"responseElements.taskSet.clusterArn || {NAMED_CLUSTER}",
        ),
        on("RunTask", "StartTask", key=f"responseElements.tasks[].clusterArn || {NAMED_CLUSTER}"),
        on("StopTask", key=f"responseElements.task.clusterArn || {NAMED_CLUSTER}", ended=stopped_task),
        on("RegisterContainerInstance", key=NAMED_CLUSTER),
        on("DeregisterContainerInstance", key=NAMED_CLUSTER, ended=ended_host),
        on("TagResource", "UntagResource", key="requestParameters.resourceArn"),
        on(
            *("CreatePrivateDnsNamespace", "CreatePublicDnsNamespace", "DeleteNamespace"),
            key="requestParameters.id || responseElements.operationId",
            source=CLOUD_MAP,
        ),
        on("CreateService", key="responseElements.service.id", source=CLOUD_MAP),
        on("UpdateService", "DeleteService", key="requestParameters.id", source=CLOUD_MAP),
        on(
            "RegisterInstance",
            key="requestParameters.attributes.ECS_CLUSTER_NAME || requestParameters.serviceId",
            source=CLOUD_MAP,
        ),
        on("DeregisterInstance", key="requestParameters.serviceId", source=CLOUD_MAP),
    ],
)
