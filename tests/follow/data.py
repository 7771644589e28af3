"""Stories of tables, streams, databases, containers and zones."""

from tests.follow.network import TAGGED, TEAM, new_group, new_network
from tests.follow.serverless import arn_of, new_role
from tests.follow.steps import REST, Client, Story, gone, has, linked, parted, step

OWNER = {"MasterUsername": "app", "MasterUserPassword": "not-a-real-one"}
NODE = "has_cluster_node"


def dynamodb(client: Client) -> Story:
    tables = client("dynamodb")
    on = {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}
    made = tables.create_table(
        TableName="follow", KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}], BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}], StreamSpecification=on,
    )["TableDescription"]  # fmt: skip
    arn, stream = made["TableArn"], made["LatestStreamArn"]
    yield step("create", has(arn), has(stream), linked(arn, stream))
    tables.tag_resource(ResourceArn=arn, Tags=TEAM)
    yield step("tag", has(arn, TAGGED))
    tables.update_table(TableName="follow", StreamSpecification={"StreamEnabled": False})
    yield step("switch the stream off", has(arn), gone(stream))
    made = tables.update_table(TableName="follow", StreamSpecification=on)["TableDescription"]
    stream = made["LatestStreamArn"]
    yield step("switch the stream on", has(stream), linked(arn, stream))
    yield REST
    tables.delete_table(TableName="follow")
    yield step("delete", gone(arn), gone(stream))


def kinesis(client: Client) -> Story:
    streams = client("kinesis")
    streams.create_stream(StreamName="follow", ShardCount=1)
    arn = arn_of("kinesis", "stream/follow")
    yield step("create", has(arn, "StreamDescriptionSummary.StreamStatus == 'ACTIVE'"))
    streams.add_tags_to_stream(StreamName="follow", Tags={"team": "shop"})
    yield step("tag", has(arn, TAGGED))
    streams.increase_stream_retention_period(StreamName="follow", RetentionPeriodHours=48)
    yield step("change", has(arn, "StreamDescriptionSummary.RetentionPeriodHours == `48`"))
    streams.remove_tags_from_stream(StreamName="follow", TagKeys=["team"])
    yield step("untag", has(arn, "!Tags"))
    yield REST
    streams.delete_stream(StreamName="follow")
    yield step("delete", gone(arn))


def firehose(client: Client) -> Story:
    deliveries = client("firehose")
    role = new_role(client, "follow-firehose")
    client("kinesis").create_stream(StreamName="follow-delivered", ShardCount=1)
    source = arn_of("kinesis", "stream/follow-delivered")
    first, second = ({"RoleARN": role, "BucketARN": f"arn:aws:s3:::follow-{name}"} for name in ("first", "second"))
    deliveries.create_delivery_stream(
        DeliveryStreamName="follow", DeliveryStreamType="KinesisStreamAsSource",
        KinesisStreamSourceConfiguration={"KinesisStreamARN": source, "RoleARN": role},
        ExtendedS3DestinationConfiguration=first,
    )  # fmt: skip
    arn = arn_of("firehose", "deliverystream/follow")
    yield step("create", has(arn), linked(source, arn), linked(arn, first["BucketARN"]))
    deliveries.tag_delivery_stream(DeliveryStreamName="follow", Tags=TEAM)
    yield step("tag", has(arn, TAGGED))
    described = deliveries.describe_delivery_stream(DeliveryStreamName="follow")["DeliveryStreamDescription"]
    deliveries.update_destination(
        DeliveryStreamName="follow", CurrentDeliveryStreamVersionId=described["VersionId"],
        DestinationId=described["Destinations"][0]["DestinationId"], ExtendedS3DestinationUpdate=second,
    )  # fmt: skip
    yield step("change the bucket", linked(arn, second["BucketARN"]), parted(arn, first["BucketARN"]))
    yield REST
    deliveries.delete_delivery_stream(DeliveryStreamName="follow")
    yield step("delete", gone(arn))


def rds(client: Client) -> Story:
    databases = client("rds")
    vpc, subnet = new_network(client, "10.7")
    other = client("ec2").create_subnet(VpcId=vpc, CidrBlock="10.7.2.0/24", AvailabilityZone="eu-west-1b")
    first, second = new_group(client, vpc, "db-first"), new_group(client, vpc, "db-second")
    databases.create_db_subnet_group(
        DBSubnetGroupName="follow", DBSubnetGroupDescription="x", SubnetIds=[subnet, other["Subnet"]["SubnetId"]]
    )
    where = {"DBSubnetGroupName": "follow", "VpcSecurityGroupIds": [first]}
    aurora = {"DBClusterIdentifier": "follow", "Engine": "aurora-postgresql"}
    databases.create_db_cluster(**aurora, **where, **OWNER)
    cluster, member, alone = (arn_of("rds", name) for name in ("cluster:follow", "db:follow-1", "db:follow-alone"))
    yield step("create a cluster", has(cluster))
    databases.create_db_instance(DBInstanceIdentifier="Follow-1", DBInstanceClass="db.r5.large", **aurora)
    yield step("add a member", has(member), linked(cluster, member, NODE))
    databases.create_db_instance(
        DBInstanceIdentifier="follow-alone", DBInstanceClass="db.t3.medium", Engine="postgres", AllocatedStorage=50,
        **where, **OWNER,
    )  # fmt: skip
    yield step("create an instance", has(alone), linked(alone, vpc), linked(alone, first))
    databases.add_tags_to_resource(ResourceName=alone, Tags=TEAM)
    databases.add_tags_to_resource(ResourceName=cluster, Tags=TEAM)
    yield step("tag both", has(alone, TAGGED), has(cluster, "TagList[?Key == 'team'].Value | [0] == 'shop'"))
    databases.modify_db_instance(DBInstanceIdentifier="follow-alone", VpcSecurityGroupIds=[second])
    yield step("change the security group", linked(alone, second), parted(alone, first))
    databases.stop_db_instance(DBInstanceIdentifier="follow-alone")
    yield step("stop", has(alone, "DBInstanceStatus == 'stopped'"))
    databases.start_db_instance(DBInstanceIdentifier="follow-alone")
    yield step("start", has(alone, "DBInstanceStatus == 'available'"))
    yield REST
    databases.delete_db_instance(DBInstanceIdentifier="follow-1")
    databases.delete_db_instance(DBInstanceIdentifier="follow-alone", SkipFinalSnapshot=True)
    yield step("delete the instances", gone(member), gone(alone), has(cluster))
    databases.delete_db_cluster(DBClusterIdentifier="follow", SkipFinalSnapshot=True)
    yield step("delete the cluster", gone(cluster))


def redshift(client: Client) -> Story:
    warehouses = client("redshift")
    made = warehouses.create_cluster(
        ClusterIdentifier="follow", NodeType="ra3.large", NumberOfNodes=2, MasterUsername="admin",
        MasterUserPassword="Not-a-real-1",
    )["Cluster"]  # fmt: skip
    id_ = made["ClusterIdentifier"]
    yield step("create", has(id_))
    warehouses.create_tags(ResourceName=arn_of("redshift", f"cluster:{id_}"), Tags=TEAM)
    yield step("tag", has(id_, TAGGED))
    warehouses.modify_cluster(ClusterIdentifier=id_, AutomatedSnapshotRetentionPeriod=7)
    yield step("change", has(id_, "AutomatedSnapshotRetentionPeriod == `7`"))
    yield REST
    warehouses.delete_cluster(ClusterIdentifier=id_, SkipFinalClusterSnapshot=True)
    yield step("delete", gone(id_))


def route53(client: Client) -> Story:
    zones = client("route53")
    id_ = zones.create_hosted_zone(Name="follow.example.com", CallerReference="follow")["HostedZone"]["Id"]
    yield step("create", has(id_))
    record = {"Name": "web.follow.example.com", "Type": "CNAME", "TTL": 60, "ResourceRecords": [{"Value": "x.test"}]}

    def change(action: str) -> None:
        batch = {"Changes": [{"Action": action, "ResourceRecordSet": record}]}
        zones.change_resource_record_sets(HostedZoneId=id_, ChangeBatch=batch)

    change("CREATE")
    yield step("add a record", has(id_, "ResourceRecordSets[?Type == 'CNAME']"))
    bare = {"ResourceType": "hostedzone", "ResourceId": id_.rpartition("/")[2]}
    zones.change_tags_for_resource(**bare, AddTags=TEAM)
    yield step("tag", has(id_, TAGGED))
    yield REST
    change("DELETE")
    yield step("remove the record", has(id_, "!(ResourceRecordSets[?Type == 'CNAME'])"))
    zones.delete_hosted_zone(Id=id_)
    yield step("delete", gone(id_))


def ecs(client: Client) -> Story:
    containers, discovery = client("ecs"), client("servicediscovery")
    vpc, subnet = new_network(client, "10.8")
    client("ec2").modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})  # moto's tasks need a DNS name
    security_group = new_group(client, vpc, "containers")
    made = client("elbv2").create_target_group(Name="containers", Protocol="HTTP", Port=80, VpcId=vpc)
    group = made["TargetGroups"][0]["TargetGroupArn"]
    cluster = containers.create_cluster(clusterName="follow")["cluster"]["clusterArn"]
    yield step("create a cluster", has(cluster))
    containers.tag_resource(resourceArn=cluster, tags=[{"key": "team", "value": "shop"}])
    yield step("tag", has(cluster, TAGGED))
    discovery.create_private_dns_namespace(Name="follow.local", Vpc=vpc)
    namespace = discovery.list_namespaces()["Namespaces"][0]
    zone = f"/hostedzone/{namespace['Properties']['DnsProperties']['HostedZoneId'].rpartition('/')[2]}"
    records = {"DnsRecords": [{"Type": "A", "TTL": 60}]}
    registry = discovery.create_service(Name="web", NamespaceId=namespace["Id"], DnsConfig=records)["Service"]["Arn"]
    container = {"name": "web", "image": "registry.example.com/web:1", "memory": 512, "cpu": 256}
    containers.register_task_definition(
        family="web", containerDefinitions=[container], networkMode="awsvpc", requiresCompatibilities=["FARGATE"]
    )
    network = {"awsvpcConfiguration": {"subnets": [subnet], "securityGroups": [security_group]}}
    service = containers.create_service(
        cluster="follow", serviceName="web", taskDefinition="web", desiredCount=1, networkConfiguration=network,
        loadBalancers=[{"targetGroupArn": group, "containerName": "web", "containerPort": 80}],
        serviceRegistries=[{"registryArn": registry}],
    )["service"]["serviceArn"]  # fmt: skip
    yield step(
        *("create a service", has(service), linked(cluster, service, NODE)),
        *(linked(service, group), linked(service, zone), has(zone)),
    )
    containers.update_service(cluster="follow", service="web", desiredCount=2)
    yield step("change the service", has(service, "DesiredCount == `2`"))
    run = containers.run_task(
        cluster="follow", taskDefinition="web", launchType="FARGATE", networkConfiguration=network
    )
    task = run["tasks"][0]["taskArn"]
    yield step("run a task", has(task), linked(cluster, task, NODE))
    yield REST
    containers.stop_task(cluster="follow", task=task)
    yield step("stop the task", gone(task))
    containers.delete_service(cluster="follow", service="web", force=True)
    yield step("delete the service", gone(service), has(cluster))
    containers.delete_cluster(cluster="follow")
    discovery.delete_service(Id=registry.rpartition("/")[2])
    discovery.delete_namespace(Id=namespace["Id"])
    yield step("delete the cluster and its namespace", gone(cluster), gone(zone))


STORIES = (dynamodb, kinesis, firehose, rds, redshift, route53, ecs)
