"""Redshift clusters, as the StackPack knows them."""

from collections.abc import Callable
from typing import Any

import boto3
import pytest

from tests.account import TestAccount, api_call
from tests.resources.support import answer, refuse, scope, touched, unresolved
from topology.elements import Component, Relation
from topology.resources import redshift
from topology.shape import MASKED, mask

OpenAccount = Callable[..., TestAccount]

ARN = "arn:aws:redshift:eu-west-1:123456789012:cluster:sales"


def create(session: boto3.Session) -> None:
    session.client("redshift").create_cluster(
        ClusterIdentifier="sales",
        NodeType="ra3.xlplus",
        MasterUsername="owner",
        MasterUserPassword="Planted-1",
        Tags=[{"Key": "stackstate-environment", "Value": "Production"}],
    )


def test_a_cluster_is_known_by_its_identifier(aws: boto3.Session, account: OpenAccount) -> None:
    create(aws)

    found = account(redshift.CLUSTER).snapshot().components["sales"]

    assert found.type == "aws.redshift"
    assert found.data["ClusterIdentifier"] == "sales"
    assert found.data["Tags"] == {"stackstate-environment": "Production"}
    assert found.data["Location"] == {"AwsAccount": "123456789012", "AwsRegion": "eu-west-1"}
    assert "T" in found.data["ClusterCreateTime"]
    assert not {"Name", "URN", "CW"} & set(found.data)


def test_a_cluster_uses_its_vpc() -> None:
    _, relation = redshift.elements(scope("redshift"), {"ClusterIdentifier": "sales", "VpcId": "vpc-1"})

    assert isinstance(relation, Relation)
    assert (relation.id, relation.data) == ("sales-uses service-vpc-1", {})


@pytest.mark.parametrize("fields", [{}, {"VpcId": None}, {"VpcId": ""}])
def test_a_cluster_without_a_vpc_has_no_relation(fields: dict[str, Any]) -> None:
    assert len(list(redshift.elements(scope("redshift"), {"ClusterIdentifier": "sales", **fields}))) == 1


def test_a_new_password_is_masked() -> None:
    item = {"ClusterIdentifier": "sales", "PendingModifiedValues": {"MasterUserPassword": "p", "NodeType": "dc2"}}
    [found] = redshift.elements(scope("redshift"), item)
    assert isinstance(found, Component)

    mask(found.data, redshift.CLUSTER.secrets)

    assert found.data["PendingModifiedValues"] == {"MasterUserPassword": MASKED, "NodeType": "dc2"}


def test_a_snapshot_and_an_event_say_the_same(aws: boto3.Session, account: OpenAccount) -> None:
    create(aws)
    opened = account(redshift.CLUSTER)

    found = opened.snapshot()
    after = opened.after(api_call("redshift", "CreateTags", {"resourceName": ARN}))

    assert set(found.components) == {"sales"}
    assert found.components == after.components
    assert found.relations == after.relations


def test_the_listing_is_read_to_its_last_page(account: OpenAccount) -> None:
    opened = account(redshift.CLUSTER)
    answer(
        opened.client("redshift"),
        "describe_clusters",
        {"Clusters": [{"ClusterIdentifier": "sales"}], "Marker": "more"},
        {"Clusters": [{"ClusterIdentifier": "stock"}]},
    )

    assert set(opened.snapshot().components) == {"sales", "stock"}


def test_a_refused_listing_is_incomplete(account: OpenAccount) -> None:
    opened = account(redshift.CLUSTER)
    refuse(opened.client("redshift"), "describe_clusters", "AccessDenied")

    assert [one.error.action for one in opened.snapshot().incomplete] == ["redshift:DescribeClusters"]


@pytest.mark.parametrize(
    "name",
    [
        *("CreateCluster", "RestoreFromClusterSnapshot", "ModifyCluster", "DeleteCluster", "ResizeCluster"),
        *("CancelResize", "PauseCluster", "ResumeCluster", "RebootCluster", "RotateEncryptionKey"),
        *("FailoverPrimaryCompute", "ModifyClusterIamRoles", "ModifyClusterMaintenance", "ModifyClusterDbRevision"),
        *("ModifyClusterSnapshotSchedule", "ModifySnapshotCopyRetentionPeriod", "ModifyAquaConfiguration"),
        *("ModifyLakehouseConfiguration", "EnableSnapshotCopy", "DisableSnapshotCopy"),
        *("CreateCustomDomainAssociation", "ModifyCustomDomainAssociation", "DeleteCustomDomainAssociation"),
    ],
)
def test_a_call_names_its_cluster(name: str) -> None:
    told = api_call("redshift", name, {"clusterIdentifier": "sales"})

    assert touched([redshift.CLUSTER], told) == {("redshift.cluster", "sales")}


@pytest.mark.parametrize("name", ["CreateTags", "DeleteTags"])
@pytest.mark.parametrize(
    ("arn", "expected"),
    [
        (ARN, {("redshift.cluster", "sales")}),
        ("arn:aws:redshift:eu-west-1:123456789012:snapshot:sales/today", set()),
        ("arn:aws:redshift:eu-west-1:123456789012:parametergroup:sales", set()),
    ],
)
def test_a_tag_event_names_a_cluster_or_nothing_of_ours(name: str, arn: str, expected: set[tuple[str, str]]) -> None:
    told = api_call("redshift", name, {"resourceName": arn})

    assert touched([redshift.CLUSTER], told) == expected
    assert not unresolved([redshift.CLUSTER], told)


def test_the_answer_tells_a_restored_cluster() -> None:
    told = api_call("redshift", "RestoreFromClusterSnapshot", {}, {"clusterIdentifier": "sales"})

    assert touched([redshift.CLUSTER], told) == {("redshift.cluster", "sales")}


def test_a_renamed_cluster_is_looked_at_under_both_names() -> None:
    told = api_call("redshift", "ModifyCluster", {"clusterIdentifier": "sales", "newClusterIdentifier": "Stock"})

    assert touched([redshift.CLUSTER], told) == {("redshift.cluster", "sales"), ("redshift.cluster", "stock")}


@pytest.mark.parametrize("name", ["CreateClusterSnapshot", "EnableLogging", "CreateClusterSubnetGroup"])
def test_what_is_no_part_of_a_cluster_is_no_change(name: str) -> None:
    assert not touched([redshift.CLUSTER], api_call("redshift", name, {"clusterIdentifier": "sales"}))


@pytest.mark.parametrize("name", ["CreateCluster", "ModifyCluster", "DeleteCluster", "CreateTags"])
def test_an_event_without_parameters_is_counted_as_unresolved(name: str) -> None:
    assert unresolved([redshift.CLUSTER], api_call("redshift", name))


def test_the_tag_editor_names_a_cluster_by_its_arn() -> None:
    told = api_call("tagging", "TagResources", {"resourceARNList": [ARN, ARN.replace("cluster", "snapshot")]})

    assert touched([redshift.CLUSTER], told) == {("redshift.cluster", "sales")}


def test_a_cluster_that_is_gone_is_deleted_and_one_still_being_deleted_is_not(account: OpenAccount) -> None:
    told = api_call("redshift", "DeleteCluster", {"clusterIdentifier": "sales"})
    opened = account(redshift.CLUSTER)

    assert opened.after(told).deleted == {"sales"}

    answer(
        opened.client("redshift"),
        "describe_clusters",
        {"Clusters": [{"ClusterIdentifier": "sales", "ClusterStatus": "deleting"}]},
    )
    found = opened.after(told)

    assert found.components["sales"].data["ClusterStatus"] == "deleting"
    assert not found.deleted


def test_a_cluster_that_aws_does_not_know_yet_is_looked_at_later(account: OpenAccount) -> None:
    found = account(redshift.CLUSTER).after(api_call("redshift", "CreateCluster", {"clusterIdentifier": "sales"}))

    assert [one.touched.key for one in found.unsettled] == ["sales"]
    assert not found.deleted
