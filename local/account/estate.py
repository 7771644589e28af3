"""A sample estate: a web tier, a serverless application and a data pipeline, as plain calls of AWS's API."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

REGION, ACCOUNT = "eu-west-1", "123456789012"
TRUST = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {
    "Service": ["lambda.amazonaws.com", "firehose.amazonaws.com", "states.amazonaws.com"]}}]}  # fmt: skip

SUBNETS = [(f"{tier}-{zone}", f"10.0.{10 * t + z}.0/24", f"{REGION}{zone}")
           for t, tier in enumerate(("public", "web", "app", "data")) for z, zone in enumerate("abc")]  # fmt: skip
# security group: who may enter, through which port
GROUPS = {"lb": ("0.0.0.0/0", 443), "web": ("lb", 8080), "app": ("web", 9000), "db": ("app", 5432),
          "cache": ("app", 6379), "bastion": ("203.0.113.0/24", 22)}  # fmt: skip
# instances: how many, type, subnet, security group, team
INSTANCES = {"web": (4, "t3.small", "web-a", "web", "shop"), "app": (4, "m5.large", "app-a", "app", "shop"),
             "search": (3, "r5.large", "app-b", "app", "search"), "legacy": (2, "t2.medium", "web-b", "web", "billing"),
             "bastion": (1, "t3.nano", "public-a", "bastion", "ops")}  # fmt: skip
# load balancers: tier behind it, kind, protocol
BALANCERS = {"shop-web": ("web", "application", "HTTP"), "shop-app": ("app", "application", "HTTP"),
             "search": ("search", "network", "TCP")}  # fmt: skip
# functions: environment, alias or none
FUNCTIONS: dict[str, tuple[dict[str, str], str | None]] = {
    "orders-api": ({"TABLE": "orders", "DB_PASSWORD": "correct-horse-battery"}, "live"),
    "orders-worker": ({"TABLE": "orders", "TOPIC": "order-events"}, "live"),
    "payments-api": ({"STRIPE_API_KEY": "sk_test_51Habcdefghijklmnop", "TABLE": "payments"}, "live"),
    "payments-worker": ({"DATABASE_URL": "postgres://app:hunter2@billing-db.local:5432/payments"}, None),
    "customers-api": ({"TABLE": "customers"}, "live"),
    "mail-sender": ({"SMTP_PASSWORD": "s3cr3t-mail", "QUEUE": "mails"}, None),
    "thumbnails": ({"BUCKET": "shop-thumbnails"}, None),
    "catalog-import": ({"BUCKET": "shop-catalog"}, None),
    "table-audit": ({"STREAM": "clicks"}, None),
    "click-enricher": ({"STREAM": "clicks", "TOKEN": "eyJhbGciOiJIUzI1NiJ9.e30.x"}, "live"),
    "invoice-pdf": ({"BUCKET": "billing-invoices"}, None),
    "report-nightly": ({"CLUSTER": "warehouse"}, None),
}  # fmt: skip
IN_VPC = {"payments-api", "payments-worker", "report-nightly"}
QUEUES = {"orders": "orders-worker", "payments": "payments-worker", "mails": "mail-sender", "imports": "catalog-import",
          "invoices": "invoice-pdf"}  # fmt: skip
TOPICS = {"order-events": ["payments", "mails"], "payment-events": ["invoices", "mails"], "alarms": []}
TABLES = {"orders": True, "payments": True, "customers": False, "sessions": False, "products": False}
BUCKETS = {"shop-uploads": "thumbnails", "shop-catalog": "catalog-import", "shop-thumbnails": None,
           "billing-invoices": None, "data-clicks": None, "data-events": None}  # fmt: skip
APIS = {"shop": {"orders": "orders-api", "customers": "customers-api"}, "billing": {"payments": "payments-api"}}
STREAMS = {"clicks": "click-enricher", "events": None}
SERVICES = ("recommender", "session-store", "clickhouse-loader")

NESTED = {"Resources": {name: {"Type": "AWS::SQS::Queue"} for name in ("Inbox", "Outbox")}}
MONITORING = {"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}, "Logs": {"Type": "AWS::Logs::LogGroup"}}}


class Estate:
    """Makes the estate through clients that `client` gives; ids of what is made stay in `ids`."""

    def __init__(self, client: Callable[[str], Any]) -> None:
        self.client = client
        self.ids: dict[str, str] = {}

    def build(self) -> None:
        """Make everything."""
        role = self.client("iam").create_role(RoleName="estate", AssumeRolePolicyDocument=json.dumps(TRUST))
        self.role = role["Role"]["Arn"]
        for part in (self._network, self._instances, self._balancers, self._databases, self._functions, self._messaging,
                     self._tables, self._buckets, self._apis, self._pipeline, self._containers, self._zone,
                     self._stacks):  # fmt: skip
            part()

    def _network(self) -> None:
        ec2 = self.client("ec2")
        vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=_named("vpc", "shop", "ops"))["Vpc"]["VpcId"]
        for name, block, zone in SUBNETS:
            given = {"VpcId": vpc, "CidrBlock": block, "AvailabilityZone": zone}
            made = ec2.create_subnet(**given, TagSpecifications=_named("subnet", name, "ops"))
            self.ids[name] = made["Subnet"]["SubnetId"]
        for name, (source, port) in GROUPS.items():
            given = {"GroupName": f"shop-{name}", "Description": f"{name} tier", "VpcId": vpc}
            made = ec2.create_security_group(**given, TagSpecifications=_named("security-group", name, "ops"))
            group = self.ids[f"sg-{name}"] = made["GroupId"]
            rule: dict[str, Any] = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port}
            rule |= {"IpRanges": [{"CidrIp": source}]} if "." in source else {
                "UserIdGroupPairs": [{"GroupId": self.ids[f"sg-{source}"]}]}  # fmt: skip
            ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])
        gateway = ec2.create_vpn_gateway(Type="ipsec.1", TagSpecifications=_named("vpn-gateway", "office", "ops"))
        ec2.attach_vpn_gateway(VpcId=vpc, VpnGatewayId=gateway["VpnGateway"]["VpnGatewayId"])
        self.ids["vpc"] = vpc

    def _instances(self) -> None:
        ec2 = self.client("ec2")
        self.image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
        for name, (count, kind, subnet, group, team) in INSTANCES.items():
            where = {"SubnetId": self.ids[subnet], "SecurityGroupIds": [self.ids[f"sg-{group}"]]}
            what = {"ImageId": self.image, "InstanceType": kind, "MinCount": 1, "MaxCount": 1}
            for host in [f"{name}-{number}" for number in range(1, count + 1)]:
                made = ec2.run_instances(**what, **where, TagSpecifications=_named("instance", host, team))
                self.ids[host] = made["Instances"][0]["InstanceId"]

    def _balancers(self) -> None:
        elb, public = self.client("elbv2"), [self.ids["public-a"], self.ids["public-b"]]
        for name, (tier, kind, protocol) in BALANCERS.items():
            given: dict[str, Any] = {"SecurityGroups": [self.ids["sg-lb"]]} if kind == "application" else {}
            made = elb.create_load_balancer(Name=name, Subnets=public, Type=kind, Tags=_tags("shop"), **given)
            balancer, given = made["LoadBalancers"][0], {"Protocol": protocol, "Port": 8080, "VpcId": self.ids["vpc"]}
            arn = elb.create_target_group(Name=name, Tags=_tags("shop"), **given)["TargetGroups"][0]["TargetGroupArn"]
            elb.register_targets(TargetGroupArn=arn, Targets=[{"Id": i} for i in self._members(tier)])
            given = {"Protocol": protocol, "Port": 80, "DefaultActions": [{"Type": "forward", "TargetGroupArn": arn}]}
            elb.create_listener(LoadBalancerArn=balancer["LoadBalancerArn"], **given)
            self.ids |= {f"lb-{name}": balancer["DNSName"], f"tg-{name}": arn}
        classic = self.client("elb")
        listeners = [{"Protocol": "HTTP", "LoadBalancerPort": 80, "InstancePort": 8080}]
        classic.create_load_balancer(
            LoadBalancerName="legacy", Listeners=listeners, Subnets=public, Tags=_tags("billing")
        )
        members = [{"InstanceId": i} for i in self._members("legacy")]
        classic.register_instances_with_load_balancer(LoadBalancerName="legacy", Instances=members)
        scaling = self.client("autoscaling")
        for name, tier, size in (("shop-burst", "web", 2), ("search-burst", "app", 2)):
            given = {"ImageId": self.image, "InstanceType": "t3.small", "SecurityGroups": [self.ids[f"sg-{tier}"]]}
            scaling.create_launch_configuration(LaunchConfigurationName=name, **given)
            scaling.create_auto_scaling_group(
                AutoScalingGroupName=name, LaunchConfigurationName=name, MinSize=1, MaxSize=6, DesiredCapacity=size,
                VPCZoneIdentifier=self.ids[f"{tier}-a"], TargetGroupARNs=[self.ids[f"tg-shop-{tier}"]],
                Tags=[{**tag, "PropagateAtLaunch": True} for tag in _tags(tier)],
            )  # fmt: skip

    def _members(self, tier: str) -> list[str]:
        return [self.ids[f"{tier}-{number}"] for number in range(1, INSTANCES[tier][0] + 1)]

    def _databases(self) -> None:
        rds, data = self.client("rds"), [self.ids[f"data-{zone}"] for zone in "abc"]
        rds.create_db_subnet_group(DBSubnetGroupName="data", DBSubnetGroupDescription="data tier", SubnetIds=data)
        common = {"DBSubnetGroupName": "data", "VpcSecurityGroupIds": [self.ids["sg-db"]]}
        owner = {"MasterUsername": "app", "MasterUserPassword": "not-a-real-one"}
        aurora = {"DBClusterIdentifier": "shop", "Engine": "aurora-postgresql", "Tags": _tags("shop")}
        rds.create_db_cluster(**aurora, **common, **owner)
        for name in ("shop-1", "shop-2"):
            rds.create_db_instance(DBInstanceIdentifier=name, DBInstanceClass="db.r5.large", **aurora)
        rds.create_db_instance(
            DBInstanceIdentifier="billing-db", DBInstanceClass="db.t3.medium", Engine="postgres", AllocatedStorage=50,
            Tags=_tags("billing"), **common, **owner,
        )  # fmt: skip

    def _functions(self) -> None:
        functions, archive = self.client("lambda"), io.BytesIO()
        with zipfile.ZipFile(archive, "w") as code:
            code.writestr("app.py", "def handler(event, context):\n    return event\n")
        for name, (environment, alias) in FUNCTIONS.items():
            network = {"SubnetIds": [self.ids["app-a"], self.ids["app-b"]], "SecurityGroupIds": [self.ids["sg-app"]]}
            given = {"VpcConfig": network} if name in IN_VPC else {}
            functions.create_function(
                FunctionName=name, Runtime="python3.13", Role=self.role, Handler="app.handler", Timeout=30,
                MemorySize=256, Code={"ZipFile": archive.getvalue()}, Environment={"Variables": environment},
                Tags=_map("shop"), **given,
            )  # fmt: skip
            if alias:
                functions.create_alias(FunctionName=name, Name=alias, FunctionVersion="$LATEST")

    def _messaging(self) -> None:
        sqs, sns, functions = self.client("sqs"), self.client("sns"), self.client("lambda")
        for name, consumer in QUEUES.items():
            sqs.create_queue(QueueName=f"{name}-dead", tags=_map("shop"))
            redrive = json.dumps({"deadLetterTargetArn": _arn("sqs", f"{name}-dead"), "maxReceiveCount": 5})
            settings = {"RedrivePolicy": redrive, "VisibilityTimeout": "180"}
            sqs.create_queue(QueueName=name, Attributes=settings, tags=_map("shop", consumer=consumer))
            functions.create_event_source_mapping(FunctionName=consumer, EventSourceArn=_arn("sqs", name), BatchSize=10)
        for name, queues in TOPICS.items():
            topic = sns.create_topic(Name=name, Tags=_tags("shop"))["TopicArn"]
            for queue in queues:
                sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=_arn("sqs", queue))

    def _tables(self) -> None:
        dynamodb = self.client("dynamodb")
        key = [{"AttributeName": "id", "KeyType": "HASH"}]
        for name, streamed in TABLES.items():
            stream = {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}} if streamed else {}
            made = dynamodb.create_table(
                TableName=name, KeySchema=key, AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
                BillingMode="PAY_PER_REQUEST", Tags=_tags("shop"), **stream,
            )["TableDescription"]  # fmt: skip
            if streamed:
                self._map_source("table-audit", made["LatestStreamArn"])

    def _map_source(self, function: str, arn: str) -> None:
        given = {"EventSourceArn": arn, "StartingPosition": "LATEST"}
        self.client("lambda").create_event_source_mapping(FunctionName=function, **given)

    def _buckets(self) -> None:
        s3 = self.client("s3")
        for name, function in BUCKETS.items():
            s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
            s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": _tags(name.split("-")[0])})
            if function:
                target = {"LambdaFunctionArn": _arn("lambda", f"function:{function}"), "Events": ["s3:ObjectCreated:*"]}
                configuration = {"LambdaFunctionConfigurations": [target]}
                s3.put_bucket_notification_configuration(Bucket=name, NotificationConfiguration=configuration)

    def _apis(self) -> None:
        gateway = self.client("apigateway")
        for name, paths in APIS.items():
            api = gateway.create_rest_api(name=name, tags=_map(name))["id"]
            root = gateway.get_resources(restApiId=api)["items"][0]["id"]
            for path, function in paths.items():
                resource = gateway.create_resource(restApiId=api, parentId=root, pathPart=path)["id"]
                where = {"restApiId": api, "resourceId": resource}
                path = f"path/2015-03-31/functions/{_arn('lambda', f'function:{function}')}/invocations"
                for verb in ("GET", "POST"):
                    gateway.put_method(**where, httpMethod=verb, authorizationType="NONE")
                    target = {"type": "AWS_PROXY", "uri": f"arn:aws:apigateway:{REGION}:lambda:{path}"}
                    gateway.put_integration(**where, httpMethod=verb, integrationHttpMethod="POST", **target)
            gateway.create_deployment(restApiId=api, stageName="prod")

    def _pipeline(self) -> None:
        kinesis, firehose = self.client("kinesis"), self.client("firehose")
        for name, consumer in STREAMS.items():
            kinesis.create_stream(StreamName=name, ShardCount=2)
            kinesis.add_tags_to_stream(StreamName=name, Tags=_map("data"))
            source = {"KinesisStreamARN": _arn("kinesis", f"stream/{name}"), "RoleARN": self.role}
            target = {"RoleARN": self.role, "BucketARN": f"arn:aws:s3:::data-{name}"}
            firehose.create_delivery_stream(
                DeliveryStreamName=f"{name}-to-s3", DeliveryStreamType="KinesisStreamAsSource", Tags=_tags("data"),
                KinesisStreamSourceConfiguration=source, ExtendedS3DestinationConfiguration=target,
            )  # fmt: skip
            if consumer:
                self._map_source(consumer, source["KinesisStreamARN"])
        self.client("redshift").create_cluster(
            ClusterIdentifier="warehouse", NodeType="ra3.large", NumberOfNodes=2, MasterUsername="admin",
            MasterUserPassword="Not-a-real-1", Tags=_tags("data"),
        )  # fmt: skip

    def _containers(self) -> None:
        ecs = self.client("ecs")
        tags = [{"key": tag["Key"], "value": tag["Value"]} for tag in _tags("data")]
        ecs.create_cluster(clusterName="platform", tags=tags)
        for name in SERVICES:
            container = {"name": name, "image": f"registry.example.com/{name}:1", "memory": 512, "cpu": 256}
            ecs.register_task_definition(family=name, containerDefinitions=[container])
            ecs.create_service(cluster="platform", serviceName=name, taskDefinition=name, desiredCount=2, tags=tags)

    def _zone(self) -> None:
        route53 = self.client("route53")
        zone = route53.create_hosted_zone(Name="shop.example.com", CallerReference="estate")["HostedZone"]["Id"]
        for name in ("web", "app"):
            record = {"Name": f"{name}.shop.example.com", "Type": "CNAME", "TTL": 60}
            record |= {"ResourceRecords": [{"Value": self.ids[f"lb-shop-{name}"]}]}
            batch = {"Changes": [{"Action": "CREATE", "ResourceRecordSet": record}]}
            route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch=batch)
        tags = {"ResourceType": "hostedzone", "ResourceId": zone.rpartition("/")[2], "AddTags": _tags("shop")}
        route53.change_tags_for_resource(**tags)

    def _stacks(self) -> None:
        body = json.dumps(NESTED).encode()
        self.client("s3").put_object(Bucket="shop-catalog", Key="templates/nested.json", Body=body)
        nested = {"Type": "AWS::CloudFormation::Stack", "Properties": {
            "TemplateURL": f"https://s3.{REGION}.amazonaws.com/shop-catalog/templates/nested.json"}}  # fmt: skip
        ledger = {"Resources": {"Ledger": {"Type": "AWS::DynamoDB::Table", "Properties": {
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}], "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}]}}, "Mailbox": nested}}  # fmt: skip
        for name, template in (("accounting", ledger), ("monitoring", MONITORING)):
            given = {"TemplateBody": json.dumps(template), "Tags": _tags("billing")}
            self.client("cloudformation").create_stack(StackName=name, **given)


def build_estate(client: Callable[[str], Any]) -> None:
    """Make the estate in an account that has none yet, with the boto3 clients that `client(service)` gives."""
    Estate(client).build()


def _arn(service: str, resource: str) -> str:
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"


def _map(team: str, **more: str) -> dict[str, str]:
    return {"team": team, "stackstate-environment": "production", **more}


def _tags(team: str, **more: str) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in _map(team, **more).items()]


def _named(kind: str, name: str, team: str, **more: str) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": _tags(team, Name=name, **more)}]
