"""Amazon Redshift: provisioned clusters."""

from collections.abc import Iterator
from dataclasses import replace

from topology.declare import Call, Ids, Resource, on
from topology.elements import Element, Item, Relation, Scope
from topology.shape import component

DESCRIBE_CLUSTERS = Call("redshift", "describe_clusters", "Clusters[]")


def cluster_identifier(scope: Scope, key: str) -> str:
    """The identifier of a cluster from itself or its ARN; nothing for ARNs of what else Redshift has."""
    own = scope.arn("redshift", "cluster:")
    return "" if key.startswith("arn:") and not key.startswith(own) else key.removeprefix(own).lower()


def elements(scope: Scope, item: Item) -> Iterator[Element]:
    """A cluster and the VPC that it is in."""
    id_ = item["ClusterIdentifier"]
    yield component(scope, "aws.redshift", id_, item)
    if vpc := item.get("VpcId"):
        yield Relation(id_, "uses service", vpc)


CLUSTER = Resource(
    kind="redshift.cluster",
    components=["aws.redshift"],
    relates={"uses service": ["aws.vpc"]},
    listed_by=DESCRIBE_CLUSTERS,
    looked_up_by=replace(DESCRIBE_CLUSTERS, ids=Ids("ClusterIdentifier"), gone=("ClusterNotFound",)),
    key="ClusterIdentifier",
    elements=elements,
    component_id=cluster_identifier,
    lookup_key=cluster_identifier,
    arn=r"(?P<key>arn:[^:]+:redshift:[^:]+:[^:]+:cluster:.+)",
    secrets=["PendingModifiedValues.MasterUserPassword"],
    changes=[
        on(
            *("CreateCluster", "RestoreFromClusterSnapshot"),
            key="responseElements.clusterIdentifier || requestParameters.clusterIdentifier",
            creates=True,
        ),
        on("ModifyCluster", key="requestParameters.[clusterIdentifier, newClusterIdentifier]"),
        on(
            *("DeleteCluster", "ResizeCluster", "CancelResize", "PauseCluster", "ResumeCluster", "RebootCluster"),
            *("RotateEncryptionKey", "FailoverPrimaryCompute", "ModifyClusterIamRoles", "ModifyClusterMaintenance"),
            *("ModifyClusterDbRevision", "ModifyClusterSnapshotSchedule", "ModifySnapshotCopyRetentionPeriod"),
            *("ModifyAquaConfiguration", "ModifyLakehouseConfiguration", "EnableSnapshotCopy", "DisableSnapshotCopy"),
            *("CreateCustomDomainAssociation", "ModifyCustomDomainAssociation", "DeleteCustomDomainAssociation"),
            key="requestParameters.clusterIdentifier",
        ),
        on("CreateTags", "DeleteTags", key="requestParameters.resourceName"),
    ],
)
