"""Fills an empty AWS account, as moto keeps it in this process, with an estate of a given scale.

About five resources to one of scale, of every kind that has a component and in the proportions of a company that runs
instances and functions side by side. The same scale gives the same estate, ids included, save for what moto takes from
the clock. The inventory says what was made: the type of its component, and the component's id.
"""

import io
import itertools
import json
import random
import zipfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import boto3
from moto import mock_aws
from moto.firehose.models import DeliveryStream
from moto.moto_api._internal import mock_random

ACCOUNT_ID = "123456789012"
REGION = "eu-west-1"
GLOBAL_REGION = "us-east-1"
ROLE = f"arn:aws:iam::{ACCOUNT_ID}:role/bench"
TEAMS = ("payments", "search", "identity", "catalog", "platform")
STAGES = ("production", "staging", "development")
INSTANCE_TYPES = ("t3.micro", "m5.large", "c5.xlarge", "r5.large")
VERBS = ("GET", "POST")


@dataclass
class Estate:
    """What was made so far, for what refers to it."""

    scale: int
    inventory: list[dict[str, Any]] = field(default_factory=list)
    subnets: dict[str, list[str]] = field(default_factory=dict)
    """By VPC."""
    groups: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    instances: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    functions: list[str] = field(default_factory=list)
    queues: list[str] = field(default_factory=list)
    buckets: list[str] = field(default_factory=list)

    def add(self, type_: str, *ids: str) -> None:
        """Note components that a snapshot has to show."""
        self.inventory += [{"kind": type_, "aliases": [id_]} for id_ in ids]

    def one(self, share: int, least: int = 1) -> range:
        """Numbers for one resource to every `share` of scale."""
        return range(max(self.scale // share, least))

    def vpc(self, number: int) -> str:
        """The VPC that the resource with this number is in."""
        return list(self.subnets)[number % len(self.subnets)]


@cache
def client(service: str, region: str = REGION) -> Any:
    """A client; moto answers it within the process."""
    return boto3.client(
        service,
        region_name=region,
        aws_access_key_id="bench",
        aws_secret_access_key="bench",
    )


def arn(service: str, rest: str) -> str:
    """An ARN in the account."""
    return f"arn:aws:{service}:{REGION}:{ACCOUNT_ID}:{rest}"


def tags(number: int, name: str) -> dict[str, str]:
    """Tags as companies set them."""
    return {"Name": name, "team": TEAMS[number % 5], "environment": STAGES[number % 3], "cost-center": "4711"}


def pairs(number: int, name: str, key: str = "Key", value: str = "Value") -> list[dict[str, str]]:
    """The same tags in the form that most services take."""
    return [{key: tag, value: text} for tag, text in tags(number, name).items()]


def seeded(scale: int) -> list[dict[str, Any]]:
    """Fill the account; answers with the inventory. What was made stays in moto's memory."""
    mock_random.seed(scale)
    random.seed(scale)
    DeliveryStream.MAX_STREAMS_PER_REGION = 5000  # AWS's quota in large regions
    estate = Estate(scale)
    mock = mock_aws()
    mock.start()
    try:
        for step in STEPS:
            step(estate)
    finally:
        mock.stop(remove_data=False)
        client.cache_clear()
    return estate.inventory


# ------------------------------------------------------------------------------------------ network and instances


def network(estate: Estate) -> None:
    """VPCs, subnets and security groups in turn in each of them, and a VPN gateway to the first."""
    ec2 = client("ec2")
    zones = [zone["ZoneName"] for zone in ec2.describe_availability_zones()["AvailabilityZones"]]
    for number in range(estate.scale // 100 + 1):
        vpc = ec2.create_vpc(CidrBlock=f"10.{number}.0.0/16", TagSpecifications=_tagged("vpc", number))["Vpc"]["VpcId"]
        ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})  # moto's tasks need a DNS name
        estate.subnets[vpc] = []
    for number in estate.one(20, 2 * len(estate.subnets)):
        vpc, place = estate.vpc(number), number // len(estate.subnets)
        subnet = ec2.create_subnet(
            VpcId=vpc,
            CidrBlock=f"10.{number % len(estate.subnets)}.{place}.0/24",
            AvailabilityZone=zones[place % len(zones)],
            TagSpecifications=_tagged("subnet", number),
        )
        estate.subnets[vpc].append(subnet["Subnet"]["SubnetId"])
    for number in estate.one(2):
        vpc = estate.vpc(number)
        group = ec2.create_security_group(
            GroupName=f"group-{number}",
            Description=f"security group {number}",
            VpcId=vpc,
            TagSpecifications=_tagged("security-group", number),
        )["GroupId"]
        rule = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])
        estate.groups[vpc].append(group)
    gateway = ec2.create_vpn_gateway(Type="ipsec.1")["VpnGateway"]["VpnGatewayId"]
    ec2.attach_vpn_gateway(VpnGatewayId=gateway, VpcId=estate.vpc(0))
    estate.add("aws.vpngateway", gateway)
    # moto's account is born with a default VPC, and every VPC with a default group.
    estate.add("aws.vpc", *(vpc["VpcId"] for vpc in ec2.describe_vpcs()["Vpcs"]))
    estate.add("aws.subnet", *(subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"]))
    estate.add("aws.security-group", *(group["GroupId"] for group in ec2.describe_security_groups()["SecurityGroups"]))


def _tagged(type_: str, number: int) -> list[dict[str, Any]]:
    return [{"ResourceType": type_, "Tags": pairs(number, f"{type_}-{number}")}]


def instances(estate: Estate) -> None:
    """Instances, in all subnets and with two groups each."""
    ec2 = client("ec2")
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    for number in estate.one(1):
        vpc = estate.vpc(number)
        groups, subnets = estate.groups[vpc], estate.subnets[vpc]
        made = ec2.run_instances(
            ImageId=image,
            MinCount=1,
            MaxCount=1,
            InstanceType=INSTANCE_TYPES[number % 4],
            SubnetId=subnets[number % len(subnets)],
            SecurityGroupIds=sorted({groups[number % len(groups)], groups[(number + 1) % len(groups)]}),
            TagSpecifications=_tagged("instance", number),
        )["Instances"][0]
        estate.instances[vpc].append(made["InstanceId"])
        estate.add("aws.ec2", made["InstanceId"])


def scaling_groups(estate: Estate) -> None:
    """Auto Scaling groups that took in one instance each."""
    autoscaling = client("autoscaling")
    autoscaling.create_launch_configuration(LaunchConfigurationName="bench", ImageId="ami-1", InstanceType="t3.micro")
    for number in estate.one(20):
        vpc, name = estate.vpc(number), f"scaling-group-{number}"
        autoscaling.create_auto_scaling_group(
            AutoScalingGroupName=name,
            LaunchConfigurationName="bench",
            MinSize=0,
            MaxSize=4,
            DesiredCapacity=0,
            VPCZoneIdentifier=",".join(estate.subnets[vpc][:2]),
            Tags=[{**tag, "PropagateAtLaunch": False} for tag in pairs(number, name)],
        )
        free = estate.instances[vpc][number // len(estate.subnets)]
        autoscaling.attach_instances(AutoScalingGroupName=name, InstanceIds=[free])
    groups = autoscaling.get_paginator("describe_auto_scaling_groups").paginate()
    estate.add("aws.autoscaling", *groups.search("AutoScalingGroups[].AutoScalingGroupARN"))


# ---------------------------------------------------------------------------------- functions, messages, storage


def functions(estate: Estate) -> None:
    """Functions; one in ten in a VPC, one in four with an alias."""
    lambda_ = client("lambda")
    code = {"ZipFile": _archive()}
    client("iam").create_role(RoleName="bench", AssumeRolePolicyDocument=json.dumps({"Statement": []}))
    for number in estate.one(2):
        name, vpc = f"function-{number}", estate.vpc(number)
        network = {"SubnetIds": estate.subnets[vpc][:1], "SecurityGroupIds": estate.groups[vpc][:1]}
        made = lambda_.create_function(
            FunctionName=name,
            Runtime="python3.13",
            Role=ROLE,
            Handler="app.handler",
            Code=code,
            Tags=tags(number, name),
            Timeout=30,
            Environment={"Variables": {"STAGE": "production", "LOG_LEVEL": "INFO", "TABLE": f"table-{number // 2}"}},
            **({"VpcConfig": network} if number % 10 == 0 else {}),
        )["FunctionArn"]
        estate.functions.append(made)
        estate.add("aws.lambda", made)
        if number % 4 == 0:
            version = lambda_.publish_version(FunctionName=name)["Version"]
            alias = lambda_.create_alias(FunctionName=name, Name="live", FunctionVersion=version)
            estate.add("aws.lambda.alias", alias["AliasArn"])


def _archive() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(zipfile.ZipInfo("app.py"), "def handler(event, context):\n    return event\n")
    return out.getvalue()


def messages(estate: Estate) -> None:
    """Queues, of which one in four feeds a function, and topics with two subscriptions each."""
    for number in estate.one(4):
        name = f"queue-{number}"
        client("sqs").create_queue(QueueName=name, tags=tags(number, name))
        estate.queues.append(arn("sqs", name))
        if number % 4 == 0:
            client("lambda").create_event_source_mapping(
                EventSourceArn=arn("sqs", name), FunctionName=estate.functions[number % len(estate.functions)]
            )
    for number in estate.one(4):
        name = f"topic-{number}"
        topic = client("sns").create_topic(Name=name, Tags=pairs(number, name))["TopicArn"]
        for protocol, endpoints in {"sqs": estate.queues, "lambda": estate.functions}.items():
            endpoint = endpoints[number % len(endpoints)]
            client("sns").subscribe(TopicArn=topic, Protocol=protocol, Endpoint=endpoint)
        estate.add("aws.sns", topic)
    estate.add("aws.sqs", *estate.queues)


def tables(estate: Estate) -> None:
    """DynamoDB tables, one in three with a stream."""
    for number in estate.one(4):
        name = f"table-{number}"
        stream = {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}}
        made = client("dynamodb").create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            Tags=pairs(number, name),
            **(stream if number % 3 == 0 else {}),
        )["TableDescription"]
        estate.add("aws.dynamodb", made["TableArn"])
        if made.get("LatestStreamArn"):
            estate.add("aws.dynamodb.streams", made["LatestStreamArn"])


def buckets(estate: Estate) -> None:
    """Buckets, one in four of which notifies a function."""
    s3 = client("s3")
    for number in estate.one(4):
        name = f"bench-bucket-{number}"
        s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
        s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": pairs(number, name)})
        if number % 4 == 0:
            function = estate.functions[number % len(estate.functions)]
            rule = {"LambdaFunctionArn": function, "Events": ["s3:ObjectCreated:*"]}
            s3.put_bucket_notification_configuration(
                Bucket=name, NotificationConfiguration={"LambdaFunctionConfigurations": [rule]}
            )
        estate.buckets.append(f"arn:aws:s3:::{name}")
    estate.add("aws.s3_bucket", *estate.buckets)


def streams(estate: Estate) -> None:
    """Kinesis streams, each delivered to a bucket."""
    for number in estate.one(20):
        name, source = f"stream-{number}", arn("kinesis", f"stream/stream-{number}")
        client("kinesis").create_stream(StreamName=name, ShardCount=1)
        client("kinesis").add_tags_to_stream(StreamName=name, Tags=tags(number, name))
        delivery = client("firehose").create_delivery_stream(
            DeliveryStreamName=f"delivery-{number}",
            DeliveryStreamType="KinesisStreamAsSource",
            KinesisStreamSourceConfiguration={"KinesisStreamARN": source, "RoleARN": ROLE},
            ExtendedS3DestinationConfiguration={
                "RoleARN": ROLE,
                "BucketARN": estate.buckets[number % len(estate.buckets)],
            },
            Tags=pairs(number, f"delivery-{number}"),
        )
        estate.add("aws.kinesis", source)
        estate.add("aws.firehose", delivery["DeliveryStreamARN"])


# --------------------------------------------------------------------------------------- balancers and databases


def balancers(estate: Estate) -> None:
    """Application and classic load balancers, with two instances each."""
    elb, elbv2 = client("elb"), client("elbv2")
    for number in estate.one(10):
        vpc, name = estate.vpc(number), f"balancer-{number}"
        here = estate.instances[vpc]
        behind = sorted({here[(2 * number + k) % len(here)] for k in range(2)})
        place = {"SecurityGroups": estate.groups[vpc][:1], "Tags": pairs(number, name)}
        made = elbv2.create_load_balancer(Name=name, Subnets=estate.subnets[vpc][:2], **place)["LoadBalancers"][0]
        group = elbv2.create_target_group(
            Name=f"targets-{number}", Protocol="HTTP", Port=80, VpcId=vpc, TargetType="instance", Tags=place["Tags"]
        )["TargetGroups"][0]["TargetGroupArn"]
        elbv2.register_targets(TargetGroupArn=group, Targets=[{"Id": id_, "Port": 80} for id_ in behind])
        elbv2.create_listener(
            LoadBalancerArn=made["LoadBalancerArn"],
            Protocol="HTTP",
            Port=80,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": group}],
        )
        estate.add("aws.elb_v2_application", made["LoadBalancerArn"])
        estate.add("aws.elb_v2_target_group", group)
        estate.add("aws.elb_v2_target_group_instance", *(f"urn:aws/target-group-instance/{id_}" for id_ in behind))
        listener = {"Protocol": "HTTP", "LoadBalancerPort": 80, "InstanceProtocol": "HTTP", "InstancePort": 80}
        name = f"classic-{number}"
        elb.create_load_balancer(LoadBalancerName=name, Subnets=estate.subnets[vpc][:1], Listeners=[listener], **place)
        elb.register_instances_with_load_balancer(
            LoadBalancerName=name, Instances=[{"InstanceId": id_} for id_ in behind]
        )
        estate.add("aws.elb_classic", f"classic_elb_{name}")


def databases(estate: Estate) -> None:
    """RDS instances, some in a cluster, and Redshift clusters."""
    rds, redshift = client("rds"), client("redshift")
    for vpc, subnets in estate.subnets.items():
        group = {"SubnetIds": subnets[:2], "Tags": []}
        rds.create_db_subnet_group(DBSubnetGroupName=vpc, DBSubnetGroupDescription="bench", **group)
    redshift.create_cluster_subnet_group(
        ClusterSubnetGroupName="bench", Description="bench", SubnetIds=estate.subnets[estate.vpc(0)][:2]
    )
    login: dict[str, Any] = {"MasterUsername": "bench", "MasterUserPassword": "Not-a-secret-1"}
    for number in estate.one(20):
        vpc, name = estate.vpc(number), f"database-{number}"
        member: dict[str, Any] = {}
        if number % 10 == 0:
            cluster = rds.create_db_cluster(
                DBClusterIdentifier=f"cluster-{number}", Engine="aurora-postgresql", **login
            )
            estate.add("aws.rds_cluster", cluster["DBCluster"]["DBClusterArn"])
            member = {"DBClusterIdentifier": f"cluster-{number}"}
        made = rds.create_db_instance(
            DBInstanceIdentifier=name,
            DBInstanceClass="db.t3.medium",
            Engine="aurora-postgresql" if member else "postgres",
            DBSubnetGroupName=vpc,
            VpcSecurityGroupIds=estate.groups[vpc][:1],
            Tags=pairs(number, name),
            **(member or {**login, "AllocatedStorage": 20}),
        )
        estate.add("aws.rds_instance", made["DBInstance"]["DBInstanceArn"])
        redshift.create_cluster(
            ClusterIdentifier=f"warehouse-{number}",
            NodeType="ra3.xlplus",
            ClusterType="single-node",
            ClusterSubnetGroupName="bench",
            Tags=pairs(number, f"warehouse-{number}"),
            **login,
        )
        estate.add("aws.redshift", f"warehouse-{number}")


# ------------------------------------------------------------------------------- containers, APIs, stacks, names


def clusters(estate: Estate) -> None:
    """ECS clusters with two services and their tasks; the first service of all is found by service discovery."""
    ecs = client("ecs")
    container = {"name": "app", "image": "registry.example/app:1", "cpu": 128, "memory": 256, "essential": True}
    definition = ecs.register_task_definition(
        family="bench",
        networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"],
        cpu="256",
        memory="512",
        containerDefinitions=[container],
    )["taskDefinition"]["taskDefinitionArn"]
    registry = _registry(estate)
    for number in estate.one(20):
        # moto takes the tasks of a cluster by the beginning of its name, so none may begin another.
        name, vpc = f"{number:05}-cluster", estate.vpc(number)
        place = {"awsvpcConfiguration": {"subnets": estate.subnets[vpc][:1], "securityGroups": estate.groups[vpc][:1]}}
        run = {"cluster": name, "taskDefinition": definition, "launchType": "FARGATE", "networkConfiguration": place}
        made = ecs.create_cluster(clusterName=name, tags=pairs(number, name, "key", "value"))
        estate.add("aws.ecs.cluster", made["cluster"]["clusterArn"])
        for k in range(2):
            service = f"service-{number}-{k}"
            created = ecs.create_service(
                **run,
                serviceName=service,
                desiredCount=1,
                serviceRegistries=[{"registryArn": registry}] if number == k == 0 else [],
                tags=pairs(number, service, "key", "value"),
            )["service"]
            estate.add("aws.ecs.service", created["serviceArn"])
            ecs.run_task(**run, count=1, group=f"service:{service}")
        estate.add("aws.ecs.task", *ecs.list_tasks(cluster=name)["taskArns"])


def _registry(estate: Estate) -> str:
    discovery = client("servicediscovery")
    discovery.create_private_dns_namespace(Name="bench.internal", Vpc=estate.vpc(0))
    [namespace] = discovery.list_namespaces()["Namespaces"]
    records = {"NamespaceId": namespace["Id"], "DnsRecords": [{"Type": "A", "TTL": 60}]}
    made: str = discovery.create_service(Name="app", DnsConfig=records)["Service"]["Arn"]
    return made


def apis(estate: Estate) -> None:
    """REST APIs with one stage and five resources, whose methods call functions, and one of them a web service."""
    gateway = client("apigateway")
    for number in estate.one(20):
        name = f"api-{number}"
        api = gateway.create_rest_api(name=name)["id"]
        [root] = gateway.get_resources(restApiId=api)["items"]
        stage = arn("execute-api", f"{api}/prod")
        for k in range(5):
            resource = gateway.create_resource(restApiId=api, parentId=root["id"], pathPart=f"r{k}")["id"]
            function = estate.functions[(10 * number + k) % len(estate.functions)]
            target = f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{function}/invocations"
            for verb in VERBS:
                method = {"restApiId": api, "resourceId": resource, "httpMethod": verb}
                integration = {"type": "AWS_PROXY", "integrationHttpMethod": "POST", "uri": target}
                if number == k == 0:
                    integration = {**integration, "type": "HTTP_PROXY", "uri": "https://shop.example.com/orders"}
                gateway.put_method(**method, authorizationType="NONE")
                gateway.put_integration(**method, **integration)
                estate.add("aws.apigateway.method", f"{stage}/{verb}/r{k}")
            estate.add("aws.apigateway.resource", f"{stage}/*/r{k}")
        deployment = gateway.create_deployment(restApiId=api)["id"]
        gateway.create_stage(restApiId=api, stageName="prod", deploymentId=deployment, tags=tags(number, name))
        estate.add("aws.apigateway.stage", stage)
    estate.add("aws.apigateway.method.http.integration", "urn:service:/shop.example.com")


def stacks(estate: Estate) -> None:
    """Stacks, each of a topic and a queue."""
    for number in estate.one(20):
        topic, queue = f"stack-topic-{number}", f"stack-queue-{number}"
        made = {
            "Topic": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": topic}},
            "Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": queue}},
        }
        stack = client("cloudformation").create_stack(
            StackName=f"stack-{number}",
            TemplateBody=json.dumps({"Resources": made}),
            Tags=pairs(number, f"stack-{number}"),
        )
        estate.add("aws.cloudformation", stack["StackId"])
        estate.add("aws.sns", arn("sns", topic))
        estate.add("aws.sqs", arn("sqs", queue))


def zones(estate: Estate) -> None:
    """Hosted zones with five records each."""
    route53 = client("route53")
    record = partial("r{}.zone{}.example.".format)
    for number in estate.one(50):
        zone = route53.create_hosted_zone(Name=f"zone{number}.example.", CallerReference=str(number))["HostedZone"][
            "Id"
        ]
        route53.change_tags_for_resource(
            ResourceType="hostedzone", ResourceId=zone.rpartition("/")[2], AddTags=pairs(number, f"zone-{number}")
        )
        records = [
            {"Name": record(k, number), "Type": "A", "TTL": 60, "ResourceRecords": [{"Value": f"192.0.2.{k}"}]}
            for k in range(5)
        ]
        changes = [{"Action": "CREATE", "ResourceRecordSet": one} for one in records]
        route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": changes})
    # Service discovery and every registered domain made one, too.
    found = route53.get_paginator("list_hosted_zones").paginate().search("HostedZones[].Id")
    estate.add("aws.route53.hostedzone", *(f"/hostedzone/{id_.rpartition('/')[2]}" for id_ in found))


def domains(estate: Estate) -> None:
    """Registered domains."""
    contact = {"FirstName": "Ann", "LastName": "Example", "ContactType": "PERSON", "AddressLine1": "1 High Street"}
    contact |= {"City": "Dublin", "CountryCode": "IE", "ZipCode": "D01", "PhoneNumber": "+353.15550100"}
    contact |= {"Email": "ann@example.com"}
    contacts = {f"{role}Contact": contact for role in ("Admin", "Registrant", "Tech")}
    for number in estate.one(100):
        name = f"bench{number}.com"
        client("route53domains", GLOBAL_REGION).register_domain(DomainName=name, DurationInYears=2, **contacts)
        estate.add("aws.route53.domain", name)


Step = Callable[[Estate], None]
STEPS: tuple[Step, ...] = (
    *(network, instances, scaling_groups, functions, messages, tables, buckets, streams),
    *(balancers, databases, clusters, apis, stacks, domains, zones),
)


def counts(inventory: list[dict[str, Any]]) -> dict[str, int]:
    """How many of each type the inventory has."""
    kinds = sorted(entry["kind"] for entry in inventory)
    return {kind: len(list(group)) for kind, group in itertools.groupby(kinds)}
