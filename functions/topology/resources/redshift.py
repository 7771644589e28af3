"""Amazon Redshift: provisioned clusters."""

import json
from collections.abc import Iterator
from dataclasses import replace

from topology.arns import own_name
from topology.declare import Call, Ids, Resource, on
from topology.elements import Element, Item, Relation, Scope
from topology.shape import component

# Statuses that end without an event, a cluster being what Redshift sends none about.
PASSING = (
    *("creating", "modifying", "renaming", "rebooting", "resizing", "cancelling-resize", "pausing", "resuming"),
    *("rotating-keys", "updating-hsm", "final-snapshot", "deleting"),
)
DESCRIBE_CLUSTERS = Call("redshift", "describe_clusters", "Clusters[]")


def cluster_identifier(scope: Scope, key: str) -> str:
    """The identifier of a cluster from itself or its ARN; nothing for ARNs of what else Redshift has."""
    return own_name(scope, key, "redshift", "cluster:").lower()


def elements(scope: Scope, item: Item) -> Iterator[Element]:
    """A cluster and the VPC that it is in."""
    id_ = item["ClusterIdentifier"]
    yield component(scope, "aws.redshift", id_, item)
    if vpc := item.get("VpcId"):
        yield Relation(id_, "uses service", vpc)


NAMED = "requestParameters.clusterIdentifier || responseElements.clusterIdentifier"

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
    passing=f"contains(`{json.dumps(PASSING)}`, ClusterStatus)",
    arn=r"(?P<key>arn:[^:]+:redshift:[^:]+:[^:]+:cluster:.+)",
    secrets=["PendingModifiedValues.MasterUserPassword"],
    changes=[
        on("CreateCluster", "RestoreFromClusterSnapshot", key=NAMED, creates=True),
        on("ModifyCluster", key=f"({NAMED}) && [{NAMED}, requestParameters.newClusterIdentifier]"),
        on(
            *("DeleteCluster", "ResizeCluster", "CancelResize", "PauseCluster", "ResumeCluster", "RebootCluster"),
            *("RotateEncryptionKey", "FailoverPrimaryCompute", "ModifyClusterIamRoles", "ModifyClusterMaintenance"),
            *("ModifyClusterDbRevision", "ModifyClusterSnapshotSchedule", "ModifySnapshotCopyRetentionPeriod"),
            *("ModifyAquaConfiguration", "ModifyLakehouseConfiguration", "EnableSnapshotCopy", "DisableSnapshotCopy"),
            *("CreateCustomDomainAssociation", "ModifyCustomDomainAssociation", "DeleteCustomDomainAssociation"),
            key=NAMED,
        ),
        on("CreateTags", "DeleteTags", key="requestParameters.resourceName"),
    ],
)
