"""ECS clusters, services and tasks, as the StackPack knows them, and the hosted zones that services are found in."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest

from tests.account import TestAccount, api_call, native_event
from tests.resources.support import answer, calls, ended, refuse, sample, scope, touched, unresolved
from topology import shape
from topology.elements import Component, Relation, StackResource
from topology.links import Names
from topology.resources import ALL, ecs

ECS = "arn:aws:ecs:eu-west-1:123456789012"
CLUSTER = f"{ECS}:cluster/shop"
SERVICE = f"{ECS}:service/shop/orders"
TASK = f"{ECS}:task/shop/0123456789abcdef0123456789abcdef"
OTHER_TASK = f"{ECS}:task/shop/11111111111111111111111111111111"
HOST = f"{ECS}:container-instance/shop/fedcba9876543210fedcba9876543210"
TARGET_GROUP = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/orders/0123456789abcdef"
REGISTRY = "srv-0123456789abcdef"
REGISTRY_ARN = f"arn:aws:servicediscovery:eu-west-1:123456789012:service/{REGISTRY}"
NAMESPACE = "ns-0123456789abcdef"
LOCATION = {"AwsAccount": "123456789012", "AwsRegion": "eu-west-1"}

OpenAccount = Callable[..., TestAccount]


def cluster_item(**more: Any) -> dict[str, Any]:
    return {
        "clusterArn": CLUSTER,
        "Described": {
            "clusterArn": CLUSTER,
            "clusterName": "shop",
            "status": "ACTIVE",
            "runningTasksCount": 1,
            "settings": [{"name": "containerInsights", "value": "enabled"}],
            "tags": [{"key": "team", "value": "shop"}],
        },
        **more,
    }


def service_answer(arn: str = SERVICE, **more: Any) -> dict[str, Any]:
    return {
        "serviceArn": arn,
        "serviceName": arn.rpartition("/")[2],
        "clusterArn": CLUSTER,
        "status": "ACTIVE",
        "loadBalancers": [],
        "serviceRegistries": [],
        "events": [{"id": "1", "message": "has reached a steady state"}],
        "createdAt": datetime(2024, 5, 14, 9, 30, tzinfo=UTC),
        "tags": [{"key": "stackstate-environment", "value": "Production"}],
        **more,
    }


def task_answer(arn: str = TASK, group: str = "service:orders", **more: Any) -> dict[str, Any]:
    return {
        "taskArn": arn,
        "clusterArn": CLUSTER,
        "taskDefinitionArn": f"{ECS}:task-definition/orders:7",
        "group": group,
        "lastStatus": "RUNNING",
        "containers": [{"name": "app", "networkInterfaces": [{"privateIpv4Address": "10.0.1.30"}]}],
        **more,
    }


def spoken(item: dict[str, Any]) -> tuple[dict[str, Component], set[str]]:
    elements = list(ecs.elements(scope("ecs"), item))
    relations = {one.id for one in elements if isinstance(one, Relation)}
    return {one.id: one for one in elements if isinstance(one, Component)}, relations


def serve(opened: TestAccount, *, services: int = 0, tasks: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """Lets ECS answer as AWS does, in pages, about one cluster; returns what each operation was asked with."""
    client = opened.client("ecs")
    asked: dict[str, list[Any]] = {}
    arns = [f"{ECS}:service/shop/s{number}" for number in range(services)]

    def give(operation: str, answered: Callable[..., dict[str, Any]]) -> None:
        def give_and_note(**parameters: Any) -> dict[str, Any]:
            asked.setdefault(operation, []).append(parameters)
            return answered(**parameters)

        setattr(client, operation, give_and_note)

    def page(field: str, values: list[str]) -> Callable[..., dict[str, Any]]:
        def answered(maxResults: int = 10, nextToken: str = "0", **_: Any) -> dict[str, Any]:  # noqa: N803
            end = int(nextToken) + maxResults
            more = {"nextToken": str(end)} if end < len(values) else {}
            return {field: values[int(nextToken) : end], **more}

        return answered

    described = cluster_item()["Described"]
    give("list_clusters", page("clusterArns", [CLUSTER]))
    give("describe_clusters", lambda **_: {"clusters": [described]})
    give("list_services", page("serviceArns", arns))
    give(
        "describe_services",
        lambda services, **_: {"services": [service_answer(arn) for arn in services]},
    )
    give("list_tasks", page("taskArns", [task["taskArn"] for task in tasks or ()]))
    give("describe_tasks", lambda **_: {"tasks": tasks or []})
    give("list_container_instances", page("containerInstanceArns", [HOST]))
    give("describe_container_instances", lambda **_: {"containerInstances": [{"ec2InstanceId": "i-0a1b2c3d4e5f60718"}]})
    return asked


# ----------------------------------------------------------------------------------------------------- elements


def test_a_cluster_has_its_name_dimension_and_tags() -> None:
    components, _ = spoken(cluster_item())

    cluster = components[CLUSTER]

    assert cluster.type == "aws.ecs.cluster"
    assert cluster.data == {
        "ClusterArn": CLUSTER,
        "ClusterName": "shop",
        "Status": "ACTIVE",
        "RunningTasksCount": 1,
        "Settings": [{"Name": "containerInsights", "Value": "enabled"}],
        "Tags": {"team": "shop"},
        "Name": "shop",
        "CW": {"Dimensions": [{"Key": "ClusterName", "Value": "shop"}]},
        "Location": LOCATION,
    }


def test_a_service_has_its_names_and_dimensions_but_not_its_events() -> None:
    components, relations = spoken(
        cluster_item(
            Services=[service_answer(loadBalancers=[{"targetGroupArn": TARGET_GROUP}, {"loadBalancerName": "old"}])],
            Tasks=[task_answer()],
        )
    )

    service = components[SERVICE]

    assert service.type == "aws.ecs.service"
    assert service.data == {
        "ServiceArn": SERVICE,
        "ServiceName": "orders",
        "ClusterArn": CLUSTER,
        "Status": "ACTIVE",
        "LoadBalancers": [{"TargetGroupArn": TARGET_GROUP}, {"LoadBalancerName": "old"}],
        "ServiceRegistries": [],
        "CreatedAt": "2024-05-14T09:30:00+00:00",
        "Tags": {"stackstate-environment": "Production"},
        "Name": "orders",
        "CW": {"Dimensions": [{"Key": "ClusterName", "Value": "shop"}, {"Key": "ServiceName", "Value": "orders"}]},
        "URN": ["urn:service:/service-orders-app"],
        "Location": LOCATION,
    }
    assert relations == {
        f"{CLUSTER}-has_cluster_node-{SERVICE}",
        f"{SERVICE}-has_cluster_node-{TASK}",
        f"{SERVICE}-uses service-{TARGET_GROUP}",
    }


def test_a_service_without_tasks_has_no_urn() -> None:
    components, _ = spoken(cluster_item(Services=[service_answer()], Tasks=[task_answer(group="service:carts")]))

    assert "URN" not in components[SERVICE].data


def test_a_task_is_named_after_its_definition_and_found_by_its_containers_addresses() -> None:
    interfaces = [{"privateIpv4Address": "10.0.1.30"}, {"ipv6Address": "2001:db8::1"}]
    containers = [{"name": "app", "networkInterfaces": interfaces}, {"name": "log", "networkInterfaces": interfaces}]
    components, _ = spoken(cluster_item(Tasks=[task_answer(containers=containers)]))

    task = components[TASK]

    assert task.type == "aws.ecs.task"
    assert task.data["Name"] == "orders:7"
    assert task.data["URN"] == [
        "urn:service-instance:/service-orders-app:/10.0.1.30",
        "urn:service-instance:/service-orders-log:/10.0.1.30",
    ]
    assert "CW" not in task.data
    assert task.data["Location"] == LOCATION
    assert task.data["Containers"][0]["NetworkInterfaces"][0] == {"PrivateIpv4Address": "10.0.1.30"}


@pytest.mark.parametrize("more", [{"group": "family:batch"}, {"group": ""}])
def test_a_task_of_its_own_belongs_to_the_cluster_and_has_an_empty_urn(more: dict[str, Any]) -> None:
    components, relations = spoken(cluster_item(Tasks=[task_answer(**more)]))

    assert components[TASK].data["URN"] == []
    assert relations == {f"{CLUSTER}-has_cluster_node-{TASK}"}


def test_every_task_of_a_service_is_its_node() -> None:
    _, relations = spoken(
        cluster_item(Services=[service_answer()], Tasks=[task_answer(), task_answer(OTHER_TASK)]),
    )

    assert {f"{SERVICE}-has_cluster_node-{TASK}", f"{SERVICE}-has_cluster_node-{OTHER_TASK}"} <= relations
    assert f"{CLUSTER}-has_cluster_node-{TASK}" not in relations


def test_what_optional_fields_would_tell_is_left_out_without_them() -> None:
    bare_task = {"taskArn": TASK}
    bare_service = {"serviceArn": SERVICE, "serviceRegistries": [{}]}
    components, relations = spoken(
        {"clusterArn": CLUSTER, "Described": {"clusterArn": CLUSTER}, "Services": [bare_service], "Tasks": [bare_task]}
    )

    assert {id_: one.data["Name"] for id_, one in components.items()} == {
        CLUSTER: "shop",
        SERVICE: "orders",
        TASK: "0123456789abcdef0123456789abcdef",
    }
    assert relations == {f"{CLUSTER}-has_cluster_node-{SERVICE}", f"{CLUSTER}-has_cluster_node-{TASK}"}


def test_an_inactive_cluster_or_service_is_gone() -> None:
    inactive = cluster_item()
    inactive["Described"]["status"] = "INACTIVE"

    assert spoken(inactive) == ({}, set())
    assert SERVICE not in spoken(cluster_item(Services=[service_answer(status="INACTIVE")]))[0]


def test_environment_commands_and_log_options_are_masked_and_names_stay() -> None:
    overrides = {
        "containerOverrides": [
            {"name": "app", "environment": [{"name": "TOKEN", "value": "s3cret"}], "command": ["--key", "s3cret"]}
        ]
    }
    options = {"logConfiguration": {"logDriver": "splunk", "options": {"splunk-token": "s3cret"}}}
    components, _ = spoken(
        cluster_item(
            Services=[service_answer(deployments=[{"serviceConnectConfiguration": options}])],
            Tasks=[task_answer(overrides=overrides)],
        )
    )

    for one in components.values():
        shape.mask(one.data, ecs.CLUSTER.secrets)

    assert "s3cret" not in repr(components)
    overridden = components[TASK].data["Overrides"]["ContainerOverrides"][0]
    assert overridden["Environment"] == [{"Name": "TOKEN", "Value": shape.MASKED}]
    assert overridden["Name"] == "app"


# ---------------------------------------------------------------------------------------------------- Cloud Map


def test_a_service_uses_the_hosted_zone_that_it_is_found_in(aws: boto3.Session, account: OpenAccount) -> None:
    opened = account(ecs.CLUSTER)
    serve(opened, services=2)
    registered = {"serviceRegistries": [{"registryArn": REGISTRY_ARN}]}
    client = opened.client("ecs")
    client.describe_services = lambda services, **_: {
        "services": [service_answer(arn, **registered) for arn in services]
    }
    discovery = opened.client("servicediscovery")
    service = {"Service": {"Id": REGISTRY, "DnsConfig": {"NamespaceId": NAMESPACE}}}
    asked = answer(discovery, "get_service", service)
    zone = {"Properties": {"DnsProperties": {"HostedZoneId": "Z0123456789"}}}
    answer(discovery, "get_namespace", {"Namespace": {"Id": NAMESPACE, **zone}})

    relations = opened.snapshot().relations

    assert f"{ECS}:service/shop/s0-uses service-/hostedzone/Z0123456789" in relations
    assert f"{ECS}:service/shop/s1-uses service-/hostedzone/Z0123456789" in relations
    assert asked == [{"Id": REGISTRY}], "asked once for all services"


def test_real_cloud_map_services_lead_to_their_zone(aws: boto3.Session, account: OpenAccount) -> None:
    discovery = aws.client("servicediscovery")
    discovery.create_public_dns_namespace(Name="shop.example", CreatorRequestId="1")
    [namespace] = discovery.list_namespaces()["Namespaces"]
    zone = namespace["Properties"]["DnsProperties"]["HostedZoneId"]
    dns = {"DnsRecords": [{"Type": "A", "TTL": 60}], "NamespaceId": namespace["Id"]}
    service = discovery.create_service(Name="orders", NamespaceId=namespace["Id"], DnsConfig=dns)["Service"]
    opened = account(ecs.CLUSTER)
    serve(opened, services=1)
    opened.client("ecs").describe_services = lambda services, **_: {
        "services": [service_answer(services[0], serviceRegistries=[{"registryArn": service["Arn"]}])]
    }

    assert f"{ECS}:service/shop/s0-uses service-/hostedzone/{zone}" in opened.snapshot().relations


@pytest.mark.parametrize(
    "details",
    [
        {"Registries": {REGISTRY: NAMESPACE}, "Zones": {NAMESPACE: None}},  # known by HTTP alone
        {"Registries": {REGISTRY: None}, "Zones": {}},
        {"Registries": {}, "Zones": {}},
        {},
    ],
)
def test_a_service_without_a_zone_has_no_relation_to_one(details: dict[str, Any]) -> None:
    services = [service_answer(serviceRegistries=[{"registryArn": REGISTRY_ARN}])]

    _, relations = spoken(cluster_item(Services=services, **details))

    assert relations == {f"{CLUSTER}-has_cluster_node-{SERVICE}"}


def test_a_cloud_map_service_with_the_name_in_another_s_id_is_not_taken_for_it() -> None:
    services = [service_answer(serviceRegistries=[{"registryArn": REGISTRY_ARN}])]
    details = {"Registries": {f"{REGISTRY}0": NAMESPACE}, "Zones": {NAMESPACE: "Z1"}}

    _, relations = spoken(cluster_item(Services=services, **details))

    assert not any("hostedzone" in relation for relation in relations)


@pytest.mark.parametrize("operation", ["get_service", "get_namespace"])
def test_a_denial_of_cloud_map_leaves_out_the_zones_and_is_named(
    aws: boto3.Session, account: OpenAccount, operation: str
) -> None:
    opened = account(ecs.CLUSTER)
    serve(opened, services=1)
    registered = [{"registryArn": REGISTRY_ARN}]
    opened.client("ecs").describe_services = lambda services, **_: {
        "services": [service_answer(services[0], serviceRegistries=registered)]
    }
    discovery = opened.client("servicediscovery")
    answer(discovery, "get_service", {"Service": {"Id": REGISTRY, "DnsConfig": {"NamespaceId": NAMESPACE}}})
    refuse(discovery, operation)

    found = opened.snapshot()

    assert f"{ECS}:service/shop/s0" in found.components
    assert not found.incomplete
    [left_out] = found.left_out
    assert left_out.error.action == f"servicediscovery:{operation.title().replace('_', '')}"


# ------------------------------------------------------------------------------------------------------ reading


def test_lists_are_read_to_their_end_in_full_pages_and_batches(aws: boto3.Session, account: OpenAccount) -> None:
    opened = account(ecs.CLUSTER)
    asked = serve(opened, services=123, tasks=[task_answer()])

    found = opened.snapshot()

    assert len(found.of_type("aws.ecs.service")) == 123
    assert [len(one["services"]) for one in asked["describe_services"]] == [10] * 12 + [3]
    assert {operation: len(asks) for operation, asks in asked.items()} == {
        "list_clusters": 1,
        "describe_clusters": 1,
        "list_services": 2,
        "describe_services": 13,
        "list_tasks": 1,
        "describe_tasks": 1,
        "list_container_instances": 1,
        "describe_container_instances": 1,
    }
    assert f"{CLUSTER}-uses_ec2_host-i-0a1b2c3d4e5f60718" in found.relations
    assert not found.incomplete


def test_a_snapshot_and_an_event_say_the_same(aws: boto3.Session, account: OpenAccount) -> None:
    opened = account(ecs.CLUSTER)
    serve(opened, services=12, tasks=[task_answer(group="service:s1"), task_answer(OTHER_TASK, "family:batch")])

    snapshot = opened.snapshot()
    after = opened.after(sample("ecs/CreateService"))

    assert snapshot.components == after.components
    assert snapshot.relations == after.relations
    assert not after.deleted


def test_a_cluster_in_moto_is_seen_with_its_services_and_hosts(aws: boto3.Session, account: OpenAccount) -> None:
    client = aws.client("ecs")
    client.create_cluster(clusterName="shop", tags=[{"key": "team", "value": "shop"}])
    containers = [{"name": "app", "image": "orders:7", "memory": 128}]
    client.register_task_definition(family="orders", containerDefinitions=containers)
    for number in range(11):
        client.create_service(cluster="shop", serviceName=f"s{number}", taskDefinition="orders", desiredCount=0)

    found = account(ecs.CLUSTER).snapshot()

    assert found.components[CLUSTER].data["Tags"] == {"team": "shop"}
    assert len(found.of_type("aws.ecs.service")) == 11
    assert not found.incomplete


def test_a_deleted_cluster_is_deleted_though_ecs_still_answers_for_it(aws: boto3.Session, account: OpenAccount) -> None:
    client = aws.client("ecs")
    client.create_cluster(clusterName="shop")
    client.delete_cluster(cluster="shop")

    after = account(ecs.CLUSTER).after(api_call("ecs", "DeleteCluster", {"cluster": "shop"}))

    assert after.deleted == {CLUSTER}
    assert not after.components


def test_a_new_cluster_that_ecs_does_not_know_yet_is_looked_at_again(aws: boto3.Session, account: OpenAccount) -> None:
    event = api_call("ecs", "CreateCluster", {"clusterName": "shop"}, {"cluster": {"clusterArn": CLUSTER}})

    after = account(ecs.CLUSTER).after(event)

    assert [one.touched.key for one in after.unsettled] == [CLUSTER]
    assert not after.deleted


def test_denied_hosts_are_left_out_and_the_rest_is_complete(aws: boto3.Session, account: OpenAccount) -> None:
    opened = account(ecs.CLUSTER)
    serve(opened, services=1)
    refuse(opened.client("ecs"), "list_container_instances")

    found = opened.snapshot()

    assert set(found.components) == {CLUSTER, f"{ECS}:service/shop/s0"}
    assert [one.error.action for one in found.left_out] == ["ecs:ListContainerInstances"]
    assert not found.incomplete


def test_a_cluster_whose_description_is_denied_keeps_its_services(aws: boto3.Session, account: OpenAccount) -> None:
    opened = account(ecs.CLUSTER)
    serve(opened, services=1)
    refuse(opened.client("ecs"), "describe_clusters")

    found = opened.snapshot()

    assert set(found.components) == {CLUSTER, f"{ECS}:service/shop/s0"}
    assert found.components[CLUSTER].data["Name"] == "shop"
    assert [one.error.action for one in found.left_out] == ["ecs:DescribeClusters"]


@pytest.mark.parametrize(
    ("operation", "action", "missing"),
    [
        ("list_services", "ecs:ListServices", "aws.ecs.service"),
        ("describe_services", "ecs:DescribeServices", "aws.ecs.service"),
        ("list_tasks", "ecs:ListTasks", "aws.ecs.task"),
        ("describe_tasks", "ecs:DescribeTasks", "aws.ecs.task"),
    ],
)
def test_services_and_tasks_that_may_not_be_read_make_the_scope_incomplete_but_cost_nothing_else(
    aws: boto3.Session, account: OpenAccount, operation: str, action: str, missing: str
) -> None:
    opened = account(ecs.CLUSTER)
    serve(opened, services=1, tasks=[task_answer(group="service:s0")])
    refuse(opened.client("ecs"), operation)

    found = opened.snapshot()

    assert [one.error.action for one in found.incomplete] == [action]
    seen = {one.type for one in found.components.values()}
    assert seen == {"aws.ecs.cluster", "aws.ecs.service", "aws.ecs.task"} - {missing}


def test_a_refused_listing_is_incomplete(aws: boto3.Session, account: OpenAccount) -> None:
    opened = account(ecs.CLUSTER)
    refuse(opened.client("ecs"), "list_clusters")

    assert [one.error.action for one in opened.snapshot().incomplete] == ["ecs:ListClusters"]


def test_one_request_describes_many_clusters(aws: boto3.Session, account: OpenAccount) -> None:
    for number in range(3):
        aws.client("ecs").create_cluster(clusterName=f"c{number}")
    opened = account(ecs.CLUSTER)
    counted = calls(opened.client("ecs"))

    opened.snapshot()

    assert counted["DescribeClusters"] == 1
    assert counted["ListClusters"] == 1


# ------------------------------------------------------------------------------------------------------- events


def test_a_deployment_of_a_service_with_an_old_arn_is_left_to_the_snapshot() -> None:
    event = native_event("aws.ecs", "ECS Deployment State Change", {}) | {"resources": [f"{ECS}:service/orders"]}

    assert not touched([ecs.CLUSTER], event)


def test_a_deployment_without_its_service_is_unresolved() -> None:
    assert unresolved([ecs.CLUSTER], native_event("aws.ecs", "ECS Deployment State Change", {}))


def test_a_stopped_task_is_deleted_with_the_relation_to_it(aws: boto3.Session, account: OpenAccount) -> None:
    opened = account(ecs.CLUSTER)
    serve(opened, services=1)

    after = opened.after(sample("ecs/TaskStateChange-stopped"))

    assert after.deleted == {TASK, f"{SERVICE}-has_cluster_node-{TASK}"}


def test_a_late_event_deletes_no_task_that_still_runs(aws: boto3.Session, account: OpenAccount) -> None:
    opened = account(ecs.CLUSTER)
    serve(opened, services=1, tasks=[task_answer(group="family:batch")])

    after = opened.after(sample("ecs/TaskStateChange-stopped"))

    assert TASK in after.components
    assert TASK not in after.deleted


def test_a_stopped_task_of_its_own_ends_the_relation_from_the_cluster() -> None:
    task = {"taskArn": TASK, "clusterArn": CLUSTER, "group": "family:batch", "desiredStatus": "STOPPED"}

    assert ended([ecs.CLUSTER], api_call("ecs", "StopTask", {"task": TASK}, {"task": task})) == {
        TASK,
        f"{CLUSTER}-has_cluster_node-{TASK}",
    }


def test_a_running_task_ends_nothing() -> None:
    assert not ended([ecs.CLUSTER], sample("ecs/TaskStateChange-running"))


def test_a_deleted_service_is_deleted_with_the_relation_to_it(aws: boto3.Session, account: OpenAccount) -> None:
    client = aws.client("ecs")
    client.create_cluster(clusterName="shop")
    response = {"service": {"serviceArn": SERVICE, "clusterArn": CLUSTER, "status": "DRAINING"}}

    after = account(ecs.CLUSTER).after(
        api_call("ecs", "DeleteService", {"service": "orders", "cluster": "shop"}, response)
    )

    assert after.deleted == {SERVICE, f"{CLUSTER}-has_cluster_node-{SERVICE}"}
    assert CLUSTER in after.components


def test_a_host_that_left_its_cluster_is_no_longer_used(aws: boto3.Session, account: OpenAccount) -> None:
    aws.client("ecs").create_cluster(clusterName="shop")
    host = {"containerInstance": {"containerInstanceArn": HOST, "ec2InstanceId": "i-0a1b2c3d4e5f60718"}}
    event = api_call("ecs", "DeregisterContainerInstance", {"cluster": "shop"}, host)

    after = account(ecs.CLUSTER).after(event, sample("ecs/ContainerInstanceStateChange"))

    assert after.deleted == {f"{CLUSTER}-uses_ec2_host-i-0a1b2c3d4e5f60718"}


def test_a_change_in_cloud_map_leads_to_the_clusters_whose_tasks_it_knows(
    aws: boto3.Session, account: OpenAccount
) -> None:
    aws.client("ecs").create_cluster(clusterName="shop")
    opened = account(ecs.CLUSTER)
    instances = [{"Attributes": {"ECS_CLUSTER_NAME": "shop"}}] * 3 + [{"Attributes": {"EC2_INSTANCE_ID": "i-1"}}]
    answer(opened.client("servicediscovery"), "list_instances", {"Instances": instances})

    after = opened.after(api_call("servicediscovery", "UpdateService", {"id": REGISTRY}))

    assert [one.id for one in after.all if isinstance(one, Component)] == [CLUSTER]
    assert not after.deleted


def test_a_failed_call_deletes_nothing_after_an_event(aws: boto3.Session, account: OpenAccount) -> None:
    opened = account(ecs.CLUSTER)
    serve(opened, services=1)
    refuse(opened.client("ecs"), "list_tasks", "ThrottlingException")

    after = opened.after(sample("ecs/TaskStateChange-stopped"))

    assert not after.deleted
    assert after.incomplete


# ----------------------------------------------------------------------------------------------- CloudFormation


def test_a_stack_names_its_cluster(aws: boto3.Session, account: OpenAccount) -> None:
    aws.client("ecs").create_cluster(clusterName="shop")
    opened = account(ecs.CLUSTER)
    [cluster] = opened.snapshot().of_type("aws.ecs.cluster")
    names = Names(ALL)
    names.add(ecs.CLUSTER, scope("ecs"), CLUSTER, cluster.type, cluster.id)

    for physical_id in ("shop", CLUSTER):
        link = StackResource("stack", "has resource", "AWS::ECS::Cluster", physical_id)
        [relation] = names.relations(scope("cloudformation"), link.link, known_only=True)
        assert relation.target == CLUSTER
