"""CloudTrail's events, against the shapes that change events have in AWS."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import jmespath
import pytest
from botocore.exceptions import ClientError

from local.account import Account

from .conftest import archive

Events = list[dict[str, Any]]


def named(events: Events, name: str) -> dict[str, Any]:
    """The detail of the last event of a name."""
    [*_, detail] = [event["detail"] for event in events if event["detail"].get("eventName") == name]
    found: dict[str, Any] = detail
    return found


def at(events: Events, name: str, path: str) -> Any:
    """The value at a path such as re.instancesSet.items[].instanceId in the last event of a name."""
    detail = named(events, name)
    roots = {"rp": detail["requestParameters"], "re": detail["responseElements"]}
    return jmespath.search(path, roots)


@pytest.fixture
def network(account: Account) -> dict[str, str]:
    ec2 = account.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.1.0.0/24")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(GroupName="web", Description="web", VpcId=vpc)["GroupId"]
    image = ec2.describe_images()["Images"][0]["ImageId"]
    return {"vpc": vpc, "subnet": subnet, "group": group, "image": image}


def launch(account: Account, network: dict[str, str], count: int = 1) -> list[str]:
    made = account.client("ec2").run_instances(
        ImageId=network["image"], MinCount=count, MaxCount=count, SubnetId=network["subnet"], UserData="secret",
        SecurityGroupIds=[network["group"]],
    )  # fmt: skip
    return [instance["InstanceId"] for instance in made["Instances"]]


def test_the_envelope_is_that_of_aws(account: Account, events: Events) -> None:
    account.client("sqs").create_queue(QueueName="orders")

    [event] = events
    assert event["source"] == "aws.sqs"
    assert event["detail-type"] == "AWS API Call via CloudTrail"
    detail = event["detail"]
    assert (detail["eventSource"], detail["eventName"]) == ("sqs.amazonaws.com", "CreateQueue")
    assert (detail["awsRegion"], detail["recipientAccountId"]) == ("eu-west-1", "123456789012")
    assert detail["eventTime"] == event["time"]
    assert detail["readOnly"] is False
    assert "Boto3" in detail["userAgent"]
    assert "errorCode" not in detail


def test_instances_of_old_calls_are_items_of_sets(account: Account, network: dict[str, str], events: Events) -> None:
    ec2 = account.client("ec2")
    ids = launch(account, network, 2)
    assert at(events, "RunInstances", "re.instancesSet.items[].instanceId") == ids
    assert at(events, "RunInstances", "rp.groupSet.items[].groupId") == [network["group"]]
    assert isinstance(at(events, "RunInstances", "re.instancesSet.items[0].launchTime"), int)
    assert "secret" not in json.dumps(events)

    for operation, name in (("stop_instances", "StopInstances"), ("terminate_instances", "TerminateInstances")):
        getattr(ec2, operation)(InstanceIds=ids)
        assert at(events, name, "rp.instancesSet.items[].instanceId") == ids
        assert at(events, name, "re.instancesSet.items[].instanceId") == ids

    ec2.create_tags(Resources=[ids[0], network["vpc"]], Tags=[{"Key": "team", "Value": "shop"}])
    assert at(events, "CreateTags", "rp.resourcesSet.items[].resourceId") == [ids[0], network["vpc"]]
    assert at(events, "CreateTags", "rp.tagSet.items") == [{"key": "team", "value": "shop"}]
    assert at(events, "CreateTags", "re._return") is True


def test_every_state_of_an_instance_is_a_notification(
    account: Account, network: dict[str, str], events: Events
) -> None:
    [instance] = launch(account, network)
    account.client("ec2").stop_instances(InstanceIds=[instance])
    account.client("ec2").terminate_instances(InstanceIds=[instance])

    told = [event for event in events if event["detail-type"] == "EC2 Instance State-change Notification"]
    assert [event["detail"]["state"] for event in told] == [
        "pending", "running", "stopping", "stopped", "shutting-down", "terminated",
    ]  # fmt: skip
    assert {event["resources"][0] for event in told} == {f"arn:aws:ec2:eu-west-1:123456789012:instance/{instance}"}


def test_newer_calls_of_ec2_are_wrapped_in_their_own_case(
    account: Account, network: dict[str, str], events: Events
) -> None:
    ec2, group = account.client("ec2"), network["group"]
    permission = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443}
    ec2.authorize_security_group_ingress(
        GroupId=group, IpPermissions=[permission | {"IpRanges": [{"CidrIp": "1.2.3.4/32"}]}]
    )
    assert at(events, "AuthorizeSecurityGroupIngress", "rp.groupId") == group
    assert (
        at(events, "AuthorizeSecurityGroupIngress", "rp.ipPermissions.items[0].ipRanges.items[0].cidrIp")
        == "1.2.3.4/32"
    )
    rule = at(events, "AuthorizeSecurityGroupIngress", "re.securityGroupRuleSet.items[0].securityGroupRuleId")

    change = {"SecurityGroupRuleId": rule, "SecurityGroupRule": permission | {"CidrIpv4": "1.2.3.5/32"}}
    ec2.modify_security_group_rules(GroupId=group, SecurityGroupRules=[change])
    request = at(events, "ModifySecurityGroupRules", "rp.ModifySecurityGroupRulesRequest")
    assert request == {"GroupId": group, "SecurityGroupRule": {"tag": 1} | change}
    assert at(events, "ModifySecurityGroupRules", "re.ModifySecurityGroupRulesResponse.return") is True


# What is called, the event that must come of it, and where the id must be in it.
ROWS: list[tuple[str, str, dict[str, Any], str, str]] = [
    ("ec2", "create_vpc", {"CidrBlock": "10.2.0.0/16"}, "CreateVpc", "re.vpc.vpcId"),
    ("ec2", "create_vpn_gateway", {"Type": "ipsec.1"}, "CreateVpnGateway", "re.vpnGateway.vpnGatewayId"),
    ("sqs", "create_queue", {"QueueName": "q"}, "CreateQueue", "re.queueUrl"),
    ("sns", "create_topic", {"Name": "t"}, "CreateTopic", "re.topicArn"),
    ("kinesis", "create_stream", {"StreamName": "s", "ShardCount": 1}, "CreateStream", "rp.streamName"),
    ("s3", "create_bucket", {"Bucket": "bucket-1", "CreateBucketConfiguration": {"LocationConstraint": "eu-west-1"}},
     "CreateBucket", "rp.CreateBucketConfiguration.LocationConstraint"),
    ("dynamodb", "create_table", {"TableName": "t", "BillingMode": "PAY_PER_REQUEST",
     "KeySchema": [{"AttributeName": "i", "KeyType": "HASH"}],
     "AttributeDefinitions": [{"AttributeName": "i", "AttributeType": "S"}]},
     "CreateTable", "re.tableDescription.tableArn"),
    ("rds", "create_db_instance", {"DBInstanceIdentifier": "Db", "DBInstanceClass": "db.t3.micro", "Engine": "postgres",
     "MasterUsername": "u", "MasterUserPassword": "unseen-password", "AllocatedStorage": 20},
     "CreateDBInstance", "re.dBInstanceArn"),
    ("redshift", "create_cluster", {"ClusterIdentifier": "c", "NodeType": "ra3.large", "MasterUsername": "u",
     "MasterUserPassword": "Unseen-1-password"}, "CreateCluster", "re.clusterIdentifier"),
    ("apigateway", "create_rest_api", {"name": "a"}, "CreateRestApi", "re.id"),
    ("ecs", "create_cluster", {"clusterName": "c"}, "CreateCluster", "re.cluster.clusterArn"),
    ("route53", "create_hosted_zone", {"Name": "a.org", "CallerReference": "1"},
     "CreateHostedZone", "re.hostedZone.id"),
    ("stepfunctions", "create_activity", {"name": "a"}, "CreateActivity", "re.activityArn"),
    ("cloudformation", "create_stack",
     {"StackName": "s", "TemplateBody": '{"Resources": {"Q": {"Type": "AWS::SQS::Queue"}}}'},
     "CreateStack", "re.stackId"),
    ("secretsmanager", "create_secret", {"Name": "s", "SecretString": "unseen-secret"}, "CreateSecret", "re.aRN"),
    ("ssm", "put_parameter", {"Name": "p", "Value": "unseen-value", "Type": "SecureString"}, "PutParameter", "rp.name"),
    ("logs", "create_log_group", {"logGroupName": "g"}, "CreateLogGroup", "rp.logGroupName"),
]  # fmt: skip


@pytest.mark.parametrize(("service", "operation", "given", "event", "path"), ROWS, ids=[row[3] for row in ROWS])
def test_ids_are_where_aws_has_them(
    account: Account, events: Events, service: str, operation: str, given: dict[str, Any], event: str, path: str
) -> None:
    getattr(account.client(service), operation)(**given)

    assert at(events, event, path)
    assert "unseen" not in json.dumps(events).lower()


def test_classic_and_v2_balancers_differ_in_version_only(
    account: Account, network: dict[str, str], events: Events
) -> None:
    second = account.client("ec2").create_subnet(
        VpcId=network["vpc"], CidrBlock="10.1.1.0/24", AvailabilityZone="eu-west-1b"
    )["Subnet"]["SubnetId"]
    listener = {"Protocol": "HTTP", "LoadBalancerPort": 80, "InstancePort": 80}
    account.client("elb").create_load_balancer(LoadBalancerName="old", Listeners=[listener], Subnets=[second])
    assert named(events, "CreateLoadBalancer")["apiVersion"] == "2012-06-01"
    assert at(events, "CreateLoadBalancer", "rp.loadBalancerName") == "old"

    account.client("elbv2").create_load_balancer(Name="new", Subnets=[network["subnet"], second])
    assert named(events, "CreateLoadBalancer")["apiVersion"] == "2015-12-01"
    assert at(events, "CreateLoadBalancer", "re.loadBalancers[].loadBalancerArn")
    assert {event["source"] for event in events if event["detail"].get("eventName") == "CreateLoadBalancer"} == {
        "aws.elasticloadbalancing"
    }


def test_lambda_dates_its_names_and_hides_environments(account: Account, events: Events, role: str) -> None:
    functions = account.client("lambda")
    function = functions.create_function(
        FunctionName="orders", Runtime="python3.13", Role=role, Handler="app.handler", Code={"ZipFile": archive()},
        Environment={"Variables": {"PASSWORD": "unseen"}}, Tags={"team": "shop"},
    )["FunctionArn"]  # fmt: skip
    assert at(events, "CreateFunction20150331", "re.functionArn") == function
    assert at(events, "CreateFunction20150331", "rp.environment") == {}
    assert at(events, "CreateFunction20150331", "rp.tags") == {"team": "shop"}

    functions.update_function_configuration(FunctionName="orders", Environment={"Variables": {"PASSWORD": "unseen"}})
    assert at(events, "UpdateFunctionConfiguration20150331v2", "rp.functionName") == "orders"
    functions.tag_resource(Resource=function, Tags={"a": "b"})
    assert at(events, "TagResource20170331v2", "rp.resource") == function
    functions.put_function_concurrency(FunctionName="orders", ReservedConcurrentExecutions=1)
    assert at(events, "PutFunctionConcurrency20171031", "rp.functionName") == "orders"

    url = account.client("sqs").create_queue(QueueName="q")["QueueUrl"]
    queue = account.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"][
        "QueueArn"
    ]
    mapping = functions.create_event_source_mapping(FunctionName="orders", EventSourceArn=queue)["UUID"]
    assert at(events, "CreateEventSourceMapping20150331", "re.uUID") == mapping
    functions.delete_event_source_mapping(UUID=mapping)
    assert at(events, "DeleteEventSourceMapping20150331", "rp.uUID") == mapping
    assert at(events, "DeleteEventSourceMapping20150331", "[re.functionArn, re.eventSourceArn]") == [function, queue]
    functions.delete_function(FunctionName=function)
    assert at(events, "DeleteFunction20150331", "rp.functionName") == function
    assert named(events, "DeleteFunction20150331")["responseElements"] is None
    assert "unseen" not in json.dumps(events)


def test_s3_records_the_names_and_the_xml_of_its_api(account: Account, events: Events) -> None:
    s3 = account.client("s3")
    s3.create_bucket(Bucket="uploads", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_bucket_tagging(Bucket="uploads", Tagging={"TagSet": [{"Key": "team", "Value": "shop"}]})
    assert at(events, "PutBucketTagging", "rp.bucketName") == "uploads"
    assert at(events, "PutBucketTagging", "rp.Tagging.TagSet.Tag") == {"Key": "team", "Value": "shop"}
    assert at(events, "PutBucketTagging", "rp.tagging") == ""

    topic = account.client("sns").create_topic(Name="t")["TopicArn"]
    target = {"TopicArn": topic, "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"], "Id": "new"}
    s3.put_bucket_notification_configuration(
        Bucket="uploads", NotificationConfiguration={"TopicConfigurations": [target]}
    )
    assert (
        at(events, "PutBucketNotification", "rp.NotificationConfiguration.TopicConfiguration.Event") == target["Events"]
    )

    s3.delete_bucket(Bucket="uploads")
    assert at(events, "DeleteBucket", "rp.bucketName") == "uploads"


def refuse_vpc(account: Account) -> None:
    account.client("ec2").delete_vpc(VpcId="vpc-0123456789abcdef0")


def refuse_queue(account: Account) -> None:
    account.client("sqs").delete_queue(QueueUrl=f"{account.endpoint}/123456789012/none")


def refuse_stack(account: Account) -> None:
    account.client("cloudformation").update_stack(StackName="none", TemplateBody="{}")


@pytest.mark.parametrize(
    ("act", "name", "code", "has_request"),
    [
        (refuse_vpc, "DeleteVpc", "Client.InvalidVpcID.NotFound", True),
        (refuse_queue, "DeleteQueue", "NonExistentQueue", True),
        (refuse_stack, "UpdateStack", "ValidationError", False),
    ],
)
def test_a_refused_call_is_recorded_with_its_error(
    account: Account, events: Events, act: Callable[[Account], None], name: str, code: str, has_request: bool
) -> None:
    with pytest.raises(ClientError):
        act(account)

    detail = named(events, name)
    assert code in detail["errorCode"]
    assert detail["errorMessage"]
    assert detail["responseElements"] is None
    assert (detail["requestParameters"] is not None) is has_request


def test_reading_and_data_are_not_recorded(account: Account, events: Events) -> None:
    sqs, s3 = account.client("sqs"), account.client("s3")
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    s3.create_bucket(Bucket="data-1", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    events.clear()

    sqs.send_message(QueueUrl=url, MessageBody="x")
    sqs.receive_message(QueueUrl=url)
    sqs.list_queues()
    s3.put_object(Bucket="data-1", Key="k", Body=b"x")
    s3.delete_object(Bucket="data-1", Key="k")
    s3.list_buckets()
    account.client("ec2").describe_instances()
    account.client("sts").get_caller_identity()
    account.client("cloudformation").describe_stacks()
    account.client("events").put_events(Entries=[{"Source": "a", "DetailType": "b", "Detail": "{}"}])

    assert events == []


def test_global_services_are_recorded_in_us_east_1(account: Account, events: Events) -> None:
    account.client("route53").create_hosted_zone(Name="a.org", CallerReference="1")

    assert events[-1]["region"] == "us-east-1"
    assert events[-1]["detail"]["awsRegion"] == "us-east-1"
