"""RDS instances and clusters, as the StackPack knows them."""

from collections.abc import Callable
from typing import Any

import boto3
import pytest

from tests.account import TestAccount, api_call, native_event
from tests.resources.support import answer, calls, ended, refuse, scope, touched, unresolved
from topology.elements import Component, Item, Relation, StackResource
from topology.links import Names
from topology.resources import ALL, rds
from topology.shape import MASKED, mask

OpenAccount = Callable[..., TestAccount]

RDS = "arn:aws:rds:eu-west-1:123456789012"
DB = f"{RDS}:db:orders-1"
CLUSTER = f"{RDS}:cluster:orders"
OF_INSTANCE = {("rds.instance", "orders-1")}
OF_CLUSTER = {("rds.cluster", "orders")}
TAGS: Any = [{"Key": "stackstate-identifier", "Value": "Orders"}]


def create_instance(session: boto3.Session, name: str = "single") -> tuple[str, str]:
    """An instance on its own; the VPC and the security group that it is in."""
    ec2 = session.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(GroupName="db", Description="db", VpcId=vpc)["GroupId"]
    client = session.client("rds")
    client.create_db_subnet_group(DBSubnetGroupName="db", DBSubnetGroupDescription="db", SubnetIds=[subnet])
    client.create_db_instance(
        DBInstanceIdentifier=name,
        Engine="postgres",
        DBInstanceClass="db.t3.medium",
        AllocatedStorage=20,
        MasterUsername="owner",
        MasterUserPassword="planted-password",
        DBSubnetGroupName="db",
        VpcSecurityGroupIds=[group],
        Tags=TAGS,
    )
    return vpc, group


def create_cluster(session: boto3.Session, *members: str) -> None:
    """The cluster `orders` with these members."""
    client = session.client("rds")
    client.create_db_cluster(
        DBClusterIdentifier="Orders",
        Engine="aurora-postgresql",
        MasterUsername="owner",
        MasterUserPassword="planted-password",
        Tags=TAGS,
    )
    for member in members:
        client.create_db_instance(
            DBInstanceIdentifier=member,
            DBClusterIdentifier="orders",
            Engine="aurora-postgresql",
            DBInstanceClass="db.t3.medium",
        )


def instance(name: str = "orders-1", **fields: Any) -> Item:
    """An instance, as far as a test needs it."""
    return {"DBInstanceIdentifier": name, "DBInstanceArn": f"{RDS}:db:{name}", **fields}


def cluster(*members: str, **fields: Any) -> Item:
    """A cluster, as far as a test needs it."""
    named = [{"DBInstanceIdentifier": member} for member in members]
    return {"DBClusterIdentifier": "orders", "DBClusterArn": CLUSTER, "DBClusterMembers": named, **fields}


# ---------------------------------------------------------------------------------------------------- instances


def test_an_instance_is_known_by_its_arn_and_its_endpoint(aws: boto3.Session, account: OpenAccount) -> None:
    vpc, group = create_instance(aws)

    found = account(rds.INSTANCE).snapshot()

    [shown] = found.components.values()
    assert (shown.id, shown.type) == (f"{RDS}:db:single", "aws.rds_instance")
    assert shown.data["Name"] == "single"
    assert shown.data["URN"] == [f"urn:endpoint:/{shown.data['Endpoint']['Address']}"]
    assert shown.data["CW"] == {"Dimensions": [{"Key": "DBInstanceIdentifier", "Value": "single"}]}
    assert shown.data["Tags"] == {"stackstate-identifier": "Orders"}
    assert shown.data["Location"] == {"AwsAccount": "123456789012", "AwsRegion": "eu-west-1"}
    assert set(found.relations) == {f"{shown.id}-uses service-{vpc}", f"{shown.id}-uses service-{group}"}
    assert "planted" not in str(shown)


def test_an_instance_that_is_being_created_has_no_endpoint_and_no_network() -> None:
    [found] = rds.instance_elements(scope("rds"), instance(DBInstanceStatus="creating"))

    assert isinstance(found, Component)
    assert (found.data["URN"], found.data["Tags"]) == ([], {})


def test_each_security_group_is_a_relation() -> None:
    groups = [{"VpcSecurityGroupId": "sg-1"}, {"VpcSecurityGroupId": "sg-2"}, {"Status": "adding"}]
    item = instance(DBSubnetGroup={"DBSubnetGroupName": "old"}, VpcSecurityGroups=groups)

    relations = [one for one in rds.instance_elements(scope("rds"), item) if isinstance(one, Relation)]

    assert [one.id for one in relations] == [f"{DB}-uses service-sg-1", f"{DB}-uses service-sg-2"]


def test_a_new_password_is_masked() -> None:
    pending = {"MasterUserPassword": "planted", "Port": 5433}
    for resource, item in ((rds.INSTANCE, instance()), (rds.CLUSTER, cluster())):
        [found] = resource.elements(scope("rds"), {**item, "PendingModifiedValues": pending})
        assert isinstance(found, Component)

        mask(found.data, resource.secrets)

        assert found.data["PendingModifiedValues"] == {"MasterUserPassword": MASKED, "Port": 5433}


# ----------------------------------------------------------------------------------------------------- clusters


def test_a_cluster_is_named_by_its_arn_and_points_to_its_members(aws: boto3.Session, account: OpenAccount) -> None:
    create_cluster(aws, "orders-1", "orders-2")

    found = account(rds.CLUSTER).snapshot()

    shown = found.components[CLUSTER]
    assert shown.type == "aws.rds_cluster"
    assert shown.data["Name"] == CLUSTER
    assert shown.data["CW"] == {"Dimensions": [{"Key": "DBClusterIdentifier", "Value": "orders"}]}
    assert shown.data["TagList"] == TAGS
    assert not {"Tags", "URN", "Instances"} & set(shown.data)
    assert set(found.relations) == {
        f"{CLUSTER}-has_cluster_node-{DB}",
        f"{CLUSTER}-has_cluster_node-{RDS}:db:orders-2",
    }


def test_a_member_that_is_not_listed_is_skipped(account: OpenAccount) -> None:
    opened = account(*rds.RESOURCES)
    answer(opened.client("rds"), "describe_db_clusters", {"DBClusters": [cluster("orders-1", "ghost")]})
    answer(opened.client("rds"), "describe_db_instances", {"DBInstances": [instance(), instance("other")]})

    found = opened.snapshot()

    assert set(found.relations) == {f"{CLUSTER}-has_cluster_node-{DB}"}
    assert set(found.components) == {CLUSTER, DB, f"{RDS}:db:other"}


# ----------------------------------------------------------------------------------------------------- readings


def test_a_snapshot_and_an_event_say_the_same(aws: boto3.Session, account: OpenAccount) -> None:
    create_instance(aws)
    create_cluster(aws, "orders-1")
    opened = account(*rds.RESOURCES)

    found = opened.snapshot()
    after = opened.after(
        *[api_call("rds", "AddTagsToResource", {"resourceName": arn}) for arn in (CLUSTER, DB, f"{RDS}:db:single")]
    )

    assert len(found.components) == 3
    assert steady(found.components) == steady(after.components)
    assert found.relations == after.relations


def steady(components: dict[str, Component]) -> dict[str, dict[str, Any]]:
    """The components' data without what moto says anew with each answer."""
    return {
        id_: {key: value for key, value in one.data.items() if key != "LatestRestorableTime"}
        for id_, one in components.items()
    }


def test_instances_are_listed_once_for_clusters_and_for_themselves(account: OpenAccount) -> None:
    opened = account(*rds.RESOURCES)
    answer(opened.client("rds"), "describe_db_clusters", {"DBClusters": [cluster("orders-1")]})
    asked = answer(
        opened.client("rds"),
        "describe_db_instances",
        {"DBInstances": [instance()], "Marker": "more"},
        {"DBInstances": [instance("other")]},
    )

    assert len(opened.snapshot().components) == 3
    assert len(asked) == 2


def test_many_instances_are_looked_up_in_one_call(aws: boto3.Session, account: OpenAccount) -> None:
    create_instance(aws)
    opened = account(rds.INSTANCE)
    counted = calls(opened.client("rds"))

    found = opened.after(
        *[api_call("rds", "StopDBInstance", {"dBInstanceIdentifier": f"db-{number}"}) for number in range(99)],
        api_call("rds", "StopDBInstance", {"dBInstanceIdentifier": "SINGLE"}),
    )

    assert counted == {"DescribeDBInstances": 1}
    assert set(found.components) == {f"{RDS}:db:single"}
    assert len(found.deleted) == 99


@pytest.mark.parametrize(
    ("operation", "action"),
    [("describe_db_instances", "rds:DescribeDBInstances"), ("describe_db_clusters", "rds:DescribeDBClusters")],
)
def test_a_refused_listing_is_incomplete(aws: boto3.Session, account: OpenAccount, operation: str, action: str) -> None:
    create_cluster(aws, "orders-1")
    opened = account(*rds.RESOURCES)
    refuse(opened.client("rds"), operation, "AccessDenied")

    found = opened.snapshot()

    assert len(found.components) == 1
    assert not found.relations
    assert [one.error.action for one in found.incomplete] == [action]


# ------------------------------------------------------------------------------------------------------- events

INSTANCE_ANSWER = {"dBInstanceArn": DB, "dBInstanceIdentifier": "orders-1"}
CLUSTER_ANSWER = {"dBClusterArn": CLUSTER, "dBClusterMembers": [{"dBInstanceIdentifier": "orders-1"}]}


@pytest.mark.parametrize("response", [INSTANCE_ANSWER, None])
@pytest.mark.parametrize(
    "name",
    [
        *("CreateDBInstance", "CreateDBInstanceReadReplica", "RestoreDBInstanceFromDBSnapshot"),
        *("RestoreDBInstanceFromS3", "ModifyDBInstance", "DeleteDBInstance", "StartDBInstance", "StopDBInstance"),
        *("RebootDBInstance", "PromoteReadReplica", "SwitchoverReadReplica"),
        *("AddRoleToDBInstance", "RemoveRoleFromDBInstance"),
    ],
)
def test_a_call_names_its_instance(name: str, response: dict[str, Any] | None) -> None:
    told = api_call("rds", name, {"dBInstanceIdentifier": "Orders-1"}, response)

    assert touched(rds.RESOURCES, told) == OF_INSTANCE


@pytest.mark.parametrize(
    "name",
    [
        *("CreateDBCluster", "RestoreDBClusterFromS3", "RestoreDBClusterFromSnapshot"),
        *("RestoreDBClusterToPointInTime", "ModifyDBCluster", "DeleteDBCluster", "StartDBCluster", "StopDBCluster"),
        *("RebootDBCluster", "FailoverDBCluster", "PromoteReadReplicaDBCluster", "BacktrackDBCluster"),
        *("AddRoleToDBCluster", "RemoveRoleFromDBCluster", "ModifyCurrentDBClusterCapacity"),
        *("CreateDBClusterEndpoint", "ModifyDBClusterEndpoint", "DeleteDBClusterEndpoint"),
    ],
)
def test_a_call_names_its_cluster(name: str) -> None:
    told = api_call("rds", name, {"dBClusterIdentifier": "Orders"})

    assert touched(rds.RESOURCES, told) == OF_CLUSTER
    assert not unresolved(rds.RESOURCES, told)


@pytest.mark.parametrize(
    "name",
    [
        *("ModifyDBCluster", "StartDBCluster", "StopDBCluster", "RebootDBCluster", "FailoverDBCluster"),
        *("PromoteReadReplicaDBCluster", "BacktrackDBCluster", "ModifyCurrentDBClusterCapacity"),
    ],
)
def test_a_change_of_a_cluster_reaches_its_members(name: str) -> None:
    told = api_call("rds", name, {"dBClusterIdentifier": "orders"}, CLUSTER_ANSWER)

    assert touched(rds.RESOURCES, told) == OF_CLUSTER | OF_INSTANCE


@pytest.mark.parametrize("name", ["CreateDBInstance", "DeleteDBInstance"])
def test_a_member_that_comes_or_goes_changes_its_cluster(name: str) -> None:
    told = api_call(
        "rds", name, {"dBInstanceIdentifier": "orders-1"}, INSTANCE_ANSWER | {"dBClusterIdentifier": "orders"}
    )

    assert touched(rds.RESOURCES, told) == OF_CLUSTER | OF_INSTANCE


DEPLOYMENT = {
    "blueGreenDeploymentIdentifier": "bgd-wi89nwzglccsfake",
    "source": CLUSTER,
    "target": f"{CLUSTER}-green-a1b2c3",
    "switchoverDetails": [
        {"sourceMember": CLUSTER, "targetMember": f"{CLUSTER}-green-a1b2c3"},
        {"sourceMember": DB},
    ],
}


@pytest.mark.parametrize(
    ("name", "request_", "response", "expected"),
    [
        (
            "CreateDBInstanceReadReplica",
            {"dBInstanceIdentifier": "orders-1", "sourceDBInstanceIdentifier": "source"},
            None,
            OF_INSTANCE | {("rds.instance", "source")},
        ),
        (
            "CreateDBInstanceReadReplica",
            {"dBInstanceIdentifier": "orders-1", "sourceDBInstanceIdentifier": DB.replace("eu-west-1", "us-east-1")},
            None,
            OF_INSTANCE,
        ),
        ("RestoreDBInstanceToPointInTime", {"targetDBInstanceIdentifier": "orders-1"}, None, OF_INSTANCE),
        (
            "ModifyDBInstance",
            {"dBInstanceIdentifier": "orders-1", "newDBInstanceIdentifier": "Bills"},
            None,
            OF_INSTANCE | {("rds.instance", "bills")},
        ),
        (
            "ModifyDBCluster",
            {"dBClusterIdentifier": "orders", "newDBClusterIdentifier": "Bills"},
            None,
            OF_CLUSTER | {("rds.cluster", "bills")},
        ),
        ("EnableHttpEndpoint", {"resourceArn": CLUSTER}, None, OF_CLUSTER),
        ("DisableHttpEndpoint", {"resourceArn": CLUSTER}, None, OF_CLUSTER),
        ("CreateGlobalCluster", {"sourceDBClusterIdentifier": CLUSTER}, None, OF_CLUSTER),
        ("CreateGlobalCluster", {"globalClusterIdentifier": "world"}, None, set()),
        ("RemoveFromGlobalCluster", {"dbClusterIdentifier": CLUSTER}, None, OF_CLUSTER),
        ("FailoverGlobalCluster", {"targetDbClusterIdentifier": CLUSTER}, None, OF_CLUSTER),
        (
            "SwitchoverGlobalCluster",
            {"targetDbClusterIdentifier": CLUSTER.replace("eu-west-1", "us-east-1")},
            None,
            set(),
        ),
        ("StartActivityStream", {"resourceArn": CLUSTER}, None, OF_CLUSTER),
        ("StopActivityStream", {"resourceArn": DB}, None, OF_INSTANCE),
        ("ModifyActivityStream", {"resourceArn": DB}, None, OF_INSTANCE),
        ("ApplyPendingMaintenanceAction", {"resourceIdentifier": CLUSTER}, None, OF_CLUSTER),
        ("ApplyPendingMaintenanceAction", {"resourceIdentifier": DB}, None, OF_INSTANCE),
        ("AddTagsToResource", {"resourceName": DB}, None, OF_INSTANCE),
        ("RemoveTagsFromResource", {"resourceName": CLUSTER}, None, OF_CLUSTER),
        ("AddTagsToResource", {"resourceName": f"{RDS}:snapshot:orders-1"}, None, set()),
        ("AddTagsToResource", {"resourceName": f"{RDS}:cluster-pg:orders"}, None, set()),
        *(
            (
                name,
                {},
                {"blueGreenDeployment": DEPLOYMENT},
                OF_CLUSTER | OF_INSTANCE | {("rds.cluster", "orders-green-a1b2c3")},
            )
            for name in (
                *("CreateBlueGreenDeployment", "SwitchoverBlueGreenDeployment"),
                "DeleteBlueGreenDeployment",
            )
        ),
    ],
)
def test_a_call_names_what_it_changes_in_many_ways(
    name: str, request_: dict[str, Any], response: dict[str, Any] | None, expected: set[tuple[str, str]]
) -> None:
    told = api_call("rds", name, request_, response)

    assert touched(rds.RESOURCES, told) == expected
    assert not unresolved(rds.RESOURCES, told)


def own_event(kind: str, **detail: Any) -> dict[str, Any]:
    return native_event("aws.rds", f"RDS DB {kind} Event", {"EventCategories": ["availability"], **detail})


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (own_event("Instance", SourceArn=DB, SourceIdentifier="orders-1", EventID="RDS-EVENT-0006"), OF_INSTANCE),
        (own_event("Instance", SourceIdentifier="orders-1", EventID="RDS-EVENT-0003"), OF_INSTANCE),
        (own_event("Cluster", SourceArn=CLUSTER, EventID="RDS-EVENT-0171"), OF_CLUSTER),
        (own_event("Cluster", SourceIdentifier="orders", EventCategories=None), OF_CLUSTER),
        (own_event("Instance", SourceArn=DB, EventID="RDS-EVENT-0001", EventCategories=["backup"]), set()),
        (own_event("Cluster", SourceArn=CLUSTER, EventID="RDS-EVENT-0168", EventCategories=["backup"]), set()),
        (own_event("Snapshot", SourceArn=f"{RDS}:snapshot:orders-1"), set()),
    ],
)
def test_rds_s_own_events_name_what_they_are_about_and_backups_are_no_change(
    event: dict[str, Any], expected: set[tuple[str, str]]
) -> None:
    assert touched(rds.RESOURCES, event) == expected
    assert not unresolved(rds.RESOURCES, event)


def test_a_switchover_leads_to_both_sides_of_the_deployment(aws: boto3.Session, account: OpenAccount) -> None:
    create_cluster(aws, "orders-1")
    opened = account(*rds.RESOURCES)
    described = {
        "BlueGreenDeploymentIdentifier": "bgd-wi89nwzglccsfake",
        "Source": CLUSTER,
        "Target": f"{CLUSTER}-old1",
        "SwitchoverDetails": [{"SourceMember": DB, "TargetMember": f"{DB}-old1"}],
    }
    answer(opened.client("rds"), "describe_blue_green_deployments", *[{"BlueGreenDeployments": [described]}] * 2)
    event = native_event(
        "aws.rds",
        "RDS Blue Green Deployment Event",
        {"SourceIdentifier": "bgd-wi89nwzglccsfake", "EventID": "RDS-EVENT-0248"},
    )

    found = opened.after(event)

    assert set(found.components) == {CLUSTER, DB}
    assert not found.deleted


@pytest.mark.parametrize("name", ["CreateDBSnapshot", "ModifyDBSubnetGroup", "DeleteGlobalCluster", "CreateDBProxy"])
def test_what_is_no_component_is_no_change(name: str) -> None:
    request = {"dBInstanceIdentifier": "orders-1", "dBClusterIdentifier": "orders"}

    assert not touched(rds.RESOURCES, api_call("rds", name, request))


@pytest.mark.parametrize("name", ["CreateDBInstance", "ModifyDBCluster", "AddTagsToResource", "DeleteDBCluster"])
def test_an_event_without_parameters_is_counted_as_unresolved(name: str) -> None:
    assert unresolved(rds.RESOURCES, api_call("rds", name))


def test_the_tag_editor_names_instances_and_clusters_by_arn() -> None:
    arns = [DB, CLUSTER, f"{RDS}:cluster-snapshot:orders"]

    assert touched(rds.RESOURCES, api_call("tagging", "TagResources", {"resourceARNList": arns})) == (
        OF_INSTANCE | OF_CLUSTER
    )


def test_what_is_gone_is_deleted_with_its_relation(account: OpenAccount) -> None:
    answered = INSTANCE_ANSWER | {"dBClusterIdentifier": "Orders"}
    told = api_call("rds", "DeleteDBInstance", {"dBInstanceIdentifier": "Orders-1"}, answered)

    found = account(*rds.RESOURCES).after(told)

    assert found.deleted == {DB, CLUSTER, f"{CLUSTER}-has_cluster_node-{DB}"}


def test_an_instance_that_is_still_being_deleted_is_there(aws: boto3.Session, account: OpenAccount) -> None:
    create_cluster(aws, "orders-1")
    answered = INSTANCE_ANSWER | {"dBClusterIdentifier": "orders"}
    told = api_call("rds", "DeleteDBInstance", {"dBInstanceIdentifier": "orders-1"}, answered)

    found = account(*rds.RESOURCES).after(told)

    assert set(found.components) == {DB, CLUSTER}
    assert not found.deleted


@pytest.mark.parametrize("response", [None, {}, {"dBClusterIdentifier": "orders"}])
def test_a_delete_that_tells_too_little_ends_nothing(response: dict[str, Any] | None) -> None:
    assert not ended(rds.RESOURCES, api_call("rds", "DeleteDBInstance", None, response))


def test_a_renamed_instance_is_deleted_under_its_old_name(aws: boto3.Session, account: OpenAccount) -> None:
    create_instance(aws)
    request = {"dBInstanceIdentifier": "old", "newDBInstanceIdentifier": "single"}

    found = account(rds.INSTANCE).after(api_call("rds", "ModifyDBInstance", request))

    assert set(found.components) == {f"{RDS}:db:single"}
    assert found.deleted == {f"{RDS}:db:old"}


def test_an_unknown_identifier_that_fails_the_whole_call_does_not_hide_the_others(account: OpenAccount) -> None:
    opened = account(rds.INSTANCE)
    client = opened.client("rds")

    def describe(**parameters: Any) -> dict[str, Any]:
        [named] = parameters["Filters"]
        if "gone" in named["Values"]:
            raise client.exceptions.DBInstanceNotFoundFault({"Error": {"Code": "DBInstanceNotFound"}}, "Describe")
        return {"DBInstances": [instance(name) for name in named["Values"]]}

    client.describe_db_instances = describe

    found = opened.after(
        *[api_call("rds", "StopDBInstance", {"dBInstanceIdentifier": name}) for name in ("a", "gone", "b")]
    )

    assert set(found.components) == {f"{RDS}:db:a", f"{RDS}:db:b"}
    assert found.deleted == {f"{RDS}:db:gone"}


@pytest.mark.parametrize("name", ["CreateDBInstance", "CreateDBCluster"])
def test_what_aws_does_not_know_yet_is_looked_at_later(account: OpenAccount, name: str) -> None:
    request = {"dBInstanceIdentifier": "orders-1"} if "Instance" in name else {"dBClusterIdentifier": "orders"}

    found = account(*rds.RESOURCES).after(api_call("rds", name, request))

    assert len(found.unsettled) == 1
    assert not found.deleted


def test_a_stack_s_instance_is_found_by_its_identifier(aws: boto3.Session, account: OpenAccount) -> None:
    create_instance(aws)
    opened = account(rds.INSTANCE)
    names = Names(ALL)
    for component in opened.snapshot().components.values():
        names.add(rds.INSTANCE, scope("rds"), "single", component.type, component.id)

    link = StackResource("stack", "has resource", "AWS::RDS::DBInstance", "single")
    [relation] = names.relations(scope("cloudformation"), link.link, known_only=True)

    assert relation.id == f"stack-has resource-{RDS}:db:single"
