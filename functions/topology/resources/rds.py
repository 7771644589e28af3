"""Amazon RDS: database instances and clusters, those of Neptune and DocumentDB included."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from topology.arns import own_name
from topology.declare import Call, Change, ForAll, Ids, PerItem, Resource, on, on_native
from topology.elements import Element, Item, Relation, Scope, relation_id
from topology.event_fields import text
from topology.shape import component, dimensions

# RDS answers a hundred at most a page.
FILTERED = 100
INSTANCE_GONE = ("DBInstanceNotFound",)
CLUSTER_GONE = ("DBClusterNotFoundFault",)
DESCRIBE_INSTANCES = Call("rds", "describe_db_instances", "DBInstances[]", gone=INSTANCE_GONE)
DESCRIBE_CLUSTERS = Call("rds", "describe_db_clusters", "DBClusters[]", gone=CLUSTER_GONE)
# RDS answers asterisks for a new password that waits for its time.
SECRETS = ["PendingModifiedValues.MasterUserPassword"]

# What a switchover of a blue/green deployment renames, by the id of the deployment: all that its events tell.
DEPLOYMENT = "bgd-[0-9a-z]{10,}$"
DESCRIBE_DEPLOYMENT = Call(
    "rds",
    "describe_blue_green_deployments",
    "BlueGreenDeployments[].[Source, Target, SwitchoverDetails[].[SourceMember, TargetMember][]][][]",
    ids=Ids("BlueGreenDeploymentIdentifier"),
    gone=("BlueGreenDeploymentNotFoundFault",),
)


def identifier(kind: str) -> Callable[[Scope, str], str]:
    """A `lookup_key` for instances (`db`) or clusters (`cluster`), from an identifier or an ARN.

    RDS keeps identifiers in lower case; its events have them as they were typed. Nothing for ARNs of other kinds or
    regions.
    """

    def lookup_key(scope: Scope, key: str) -> str:
        return own_name(scope, key, "rds", f"{kind}:").lower()

    return lookup_key


instance_identifier = identifier("db")
cluster_identifier = identifier("cluster")


def instance_arn(scope: Scope, key: str) -> str:
    """The ARN of an instance from its identifier or itself."""
    name = instance_identifier(scope, key)
    return scope.arn("rds", f"db:{name}") if name else ""


def cluster_arn(scope: Scope, key: str) -> str:
    """The ARN of a cluster from its identifier or itself."""
    name = cluster_identifier(scope, key)
    return scope.arn("rds", f"cluster:{name}") if name else ""


def and_also(path: str, *others: str) -> str:
    """A key whose first part has to be there, and others that may be."""
    return f"({path}) && [{path}, {', '.join(others)}]"


def own_event(detail_type: str) -> Change:
    """RDS's own events about what is done, but not about the daily backup, which changes nothing that is seen."""
    key = "!contains(to_array(EventCategories || `[]`), 'backup') && (SourceArn || SourceIdentifier)"
    return on_native("aws.rds", detail_type, key=key)


# All that a deployment tells of: both sides and, after a switchover, what was renamed to what.
SIDES = (
    "(responseElements.blueGreenDeployment || responseElements)"
    ".[source, target, switchoverDetails[].[sourceMember, targetMember][]][] | [?@]"
)
BLUE_GREEN = (
    on_native("aws.rds", "RDS Blue Green Deployment Event", key="SourceIdentifier"),
    on(
        *("CreateBlueGreenDeployment", "SwitchoverBlueGreenDeployment", "DeleteBlueGreenDeployment"),
        key=f"({SIDES}) || requestParameters.source || requestParameters.blueGreenDeploymentIdentifier",
    ),
)
ACTIVITY_STREAM = on(
    "StartActivityStream", "StopActivityStream", "ModifyActivityStream", key="requestParameters.resourceArn"
)
MAINTENANCE = on("ApplyPendingMaintenanceAction", key="requestParameters.resourceIdentifier")
TAGGING = on("AddTagsToResource", "RemoveTagsFromResource", key="requestParameters.resourceName")

# ---------------------------------------------------------------------------------------------------- instances

INSTANCE_KEY = "responseElements.dBInstanceArn || requestParameters.dBInstanceIdentifier"


def instance_elements(scope: Scope, item: Item) -> Iterator[Element]:
    """A database instance and the network that it is in. A new one has no endpoint yet."""
    arn = item["DBInstanceArn"]
    name = item["DBInstanceIdentifier"]
    address = (item.get("Endpoint") or {}).get("Address")
    named = {
        "Name": name,
        "URN": [f"urn:endpoint:/{address}"] if address else [],
        "CW": dimensions(DBInstanceIdentifier=name),
        "Tags": item.get("TagList") or [],
    }
    yield component(scope, "aws.rds_instance", arn, {**item, **named})
    if vpc := (item.get("DBSubnetGroup") or {}).get("VpcId"):
        yield Relation(arn, "uses service", vpc)
    for group in item.get("VpcSecurityGroups") or ():
        if id_ := group.get("VpcSecurityGroupId"):
            yield Relation(arn, "uses service", id_)


INSTANCE = Resource(
    kind="rds.instance",
    components=["aws.rds_instance"],
    relates={"uses service": ["aws.vpc", "aws.security-group"]},
    listed_by=DESCRIBE_INSTANCES,
    looked_up_by=replace(DESCRIBE_INSTANCES, ids=Ids("Filters", FILTERED, "db-instance-id")),
    also_looked_up_by={DEPLOYMENT: DESCRIBE_DEPLOYMENT},
    key="DBInstanceIdentifier",
    elements=instance_elements,
    component_id=instance_arn,
    lookup_key=instance_identifier,
    arn=r"(?P<key>arn:[^:]+:rds:[^:]+:[^:]+:db:.+)",
    cloudformation={"AWS::RDS::DBInstance": ["aws.rds_instance"]},
    secrets=SECRETS,
    changes=[
        own_event("RDS DB Instance Event"),
        on(
            *("CreateDBInstance", "RestoreDBInstanceFromDBSnapshot", "RestoreDBInstanceFromS3"),
            key=INSTANCE_KEY,
            creates=True,
        ),
        on(
            "CreateDBInstanceReadReplica",
            key=and_also(INSTANCE_KEY, "requestParameters.sourceDBInstanceIdentifier"),
            creates=True,
        ),
        on(
            "RestoreDBInstanceToPointInTime",
            key="responseElements.dBInstanceArn || requestParameters.targetDBInstanceIdentifier",
            creates=True,
        ),
        on("ModifyDBInstance", key=and_also(INSTANCE_KEY, "requestParameters.newDBInstanceIdentifier")),
        on(
            *("DeleteDBInstance", "StartDBInstance", "StopDBInstance", "RebootDBInstance"),
            *("PromoteReadReplica", "SwitchoverReadReplica", "AddRoleToDBInstance", "RemoveRoleFromDBInstance"),
            key=INSTANCE_KEY,
        ),
        on(
            *("ModifyDBCluster", "StartDBCluster", "StopDBCluster", "RebootDBCluster", "FailoverDBCluster"),
            *("PromoteReadReplicaDBCluster", "BacktrackDBCluster", "ModifyCurrentDBClusterCapacity"),
            *("AddRoleToDBCluster", "RemoveRoleFromDBCluster"),
            # The members, where the answer names them.
            key="responseElements.dBClusterMembers[].dBInstanceIdentifier || `false`",
        ),
        *BLUE_GREEN,
        ACTIVITY_STREAM,
        MAINTENANCE,
        TAGGING,
    ],
)

# ----------------------------------------------------------------------------------------------------- clusters

CLUSTER_NAMED = "responseElements.dBClusterIdentifier || requestParameters.dBClusterIdentifier"
CLUSTER_KEY = f"responseElements.dBClusterArn || {CLUSTER_NAMED}"
# Of a change of an instance, the cluster that it belongs to, if any.
CLUSTER_OF_INSTANCE = f"{CLUSTER_NAMED} || `false`"


def cluster_elements(scope: Scope, item: Item) -> Iterator[Element]:
    """A database cluster and those of its members that there are."""
    arn = item["DBClusterArn"]
    named = {"Name": arn, "CW": dimensions(DBClusterIdentifier=item["DBClusterIdentifier"])}
    yield component(
        scope, "aws.rds_cluster", arn, {key: value for key, value in item.items() if key != "Instances"} | named
    )
    members = {member.get("DBInstanceIdentifier") for member in item.get("DBClusterMembers") or ()}
    for instance in item.get("Instances") or ():
        if instance["DBInstanceIdentifier"] in members:
            yield Relation(arn, "has_cluster_node", instance["DBInstanceArn"])


def left(scope: Scope, detail: Item) -> list[str]:
    """The relation from a cluster to an instance that a DeleteDBInstance ends."""
    cluster, instance = (
        text(detail, f"responseElements.{field}", f"requestParameters.{field}")
        for field in ("dBClusterIdentifier", "dBInstanceIdentifier")
    )
    if not (cluster and instance):
        return []
    return [relation_id(cluster_arn(scope, cluster), "has_cluster_node", instance_arn(scope, instance))]


CLUSTER = Resource(
    kind="rds.cluster",
    components=["aws.rds_cluster"],
    relates={"has_cluster_node": ["aws.rds_instance"]},
    listed_by=DESCRIBE_CLUSTERS,
    looked_up_by=replace(DESCRIBE_CLUSTERS, ids=Ids("Filters", FILTERED, "db-cluster-id")),
    also_looked_up_by={DEPLOYMENT: DESCRIBE_DEPLOYMENT},
    key="DBClusterIdentifier",
    details=[
        PerItem(
            "Instances",
            DESCRIBE_INSTANCES,
            {"Filters": "[{Name: 'db-instance-id', Values: DBClusterMembers[].DBInstanceIdentifier}]"},
            when=lambda _scope, item: bool(item.get("DBClusterMembers")),
            in_snapshot=ForAll("Instances", DESCRIBE_INSTANCES, id="'all'", match="'all'"),
        )
    ],
    elements=cluster_elements,
    component_id=cluster_arn,
    lookup_key=cluster_identifier,
    arn=r"(?P<key>arn:[^:]+:rds:[^:]+:[^:]+:cluster:.+)",
    secrets=SECRETS,
    changes=[
        own_event("RDS DB Cluster Event"),
        on(
            *("CreateDBCluster", "RestoreDBClusterFromS3"),
            *("RestoreDBClusterFromSnapshot", "RestoreDBClusterToPointInTime"),
            key=CLUSTER_KEY,
            creates=True,
        ),
        # A new member; one that gets another name, or another place in the order of failover.
        on("CreateDBInstance", "ModifyDBInstance", key=CLUSTER_OF_INSTANCE),
        on("DeleteDBInstance", key=CLUSTER_OF_INSTANCE, ended=left),
        on("ModifyDBCluster", key=and_also(CLUSTER_KEY, "requestParameters.newDBClusterIdentifier")),
        on(
            *("DeleteDBCluster", "StartDBCluster", "StopDBCluster", "RebootDBCluster", "FailoverDBCluster"),
            *("PromoteReadReplicaDBCluster", "BacktrackDBCluster", "AddRoleToDBCluster", "RemoveRoleFromDBCluster"),
            "ModifyCurrentDBClusterCapacity",
            key=CLUSTER_KEY,
        ),
        on(
            *("CreateDBClusterEndpoint", "ModifyDBClusterEndpoint", "DeleteDBClusterEndpoint"),
            key=CLUSTER_NAMED,
        ),
        on(
            *("EnableHttpEndpoint", "DisableHttpEndpoint"),
            key="requestParameters.resourceArn || responseElements.resourceArn",
        ),
        on(
            *("CreateGlobalCluster", "RemoveFromGlobalCluster"),
            *("FailoverGlobalCluster", "SwitchoverGlobalCluster"),
            key="requestParameters.sourceDBClusterIdentifier || requestParameters.dbClusterIdentifier"
            " || requestParameters.targetDbClusterIdentifier || requestParameters.globalClusterIdentifier && `false`",
        ),
        *BLUE_GREEN,
        ACTIVITY_STREAM,
        MAINTENANCE,
        TAGGING,
    ],
)

# Clusters first: they need the list of instances, which the engine keeps, so that it is not read twice.
RESOURCES = (CLUSTER, INSTANCE)
