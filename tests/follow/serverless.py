"""Stories of functions, queues, topics, buckets, APIs and stacks."""

import io
import json
import zipfile
from typing import Any

from tests.follow.network import TAGGED, TEAM, new_group, new_network
from tests.follow.steps import REST, Client, Story, gone, has, linked, parted, step

REGION, ACCOUNT = "eu-west-1", "123456789012"
TRUST = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {
    "Service": ["lambda.amazonaws.com", "firehose.amazonaws.com"]}}]}  # fmt: skip
STACK: dict[str, Any] = {"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}, "Topic": {"Type": "AWS::SNS::Topic"}}}


def arn_of(service: str, resource: str) -> str:
    """An ARN in the account and its region."""
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"


def new_role(client: Client, name: str) -> str:
    """A role that functions and delivery streams may assume."""
    role = client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))
    return str(role["Role"]["Arn"])


def new_function(client: Client, name: str, **settings: Any) -> str:
    """A function that nobody invokes."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as code:
        code.writestr("app.py", "def handler(event, context):\n    return event\n")
    made = client("lambda").create_function(
        FunctionName=name, Runtime="python3.13", Role=new_role(client, f"follow-{name}"), Handler="app.handler",
        Code={"ZipFile": archive.getvalue()}, **settings,
    )  # fmt: skip
    return str(made["FunctionArn"])


def new_queue(client: Client, name: str) -> tuple[str, str]:
    """URL and ARN of a queue."""
    return client("sqs").create_queue(QueueName=name)["QueueUrl"], arn_of("sqs", name)


def functions(client: Client) -> Story:
    lambda_ = client("lambda")
    vpc, subnet = new_network(client, "10.6")
    group = new_group(client, vpc, "functions")
    arn = new_function(client, "follow", VpcConfig={"SubnetIds": [subnet], "SecurityGroupIds": [group]})
    yield step("create", has(arn), linked(arn, vpc), linked(arn, group))
    lambda_.tag_resource(Resource=arn, Tags={"team": "shop"})
    yield step("tag", has(arn, "Tags.team == 'shop'"))
    lambda_.update_function_configuration(FunctionName="follow", Timeout=77, Environment={"Variables": {"KEY": "x"}})
    yield step("change", has(arn, "Timeout == `77` && Environment.Variables.KEY != 'x'"))
    alias = lambda_.create_alias(FunctionName="follow", Name="live", FunctionVersion="$LATEST")["AliasArn"]
    other = lambda_.create_alias(FunctionName="follow", Name="test", FunctionVersion="$LATEST")["AliasArn"]
    yield step("create aliases", has(alias, "Name == 'live'"), linked(alias, vpc), has(other))
    _, source = new_queue(client, "follow-source")
    mapping = lambda_.create_event_source_mapping(FunctionName="follow", EventSourceArn=source)["UUID"]
    yield step("map a queue to it", linked(arn, source))
    lambda_.update_event_source_mapping(UUID=mapping, Enabled=False)
    yield step("switch the mapping off", parted(arn, source))
    lambda_.update_event_source_mapping(UUID=mapping, Enabled=True)
    yield step("switch the mapping on", linked(arn, source))
    lambda_.delete_alias(FunctionName="follow", Name="test")
    yield step("delete an alias", gone(other), has(alias))
    lambda_.untag_resource(Resource=arn, TagKeys=["team"])
    yield step("untag", has(arn, "!(Tags.team)"))
    yield REST
    lambda_.delete_event_source_mapping(UUID=mapping)
    yield step("delete the mapping", parted(arn, source))
    lambda_.delete_function(FunctionName="follow")
    yield step("delete", gone(arn), gone(alias))


def sqs(client: Client) -> Story:
    queues = client("sqs")
    url, arn = new_queue(client, "follow")
    yield step("create", has(arn))
    queues.tag_queue(QueueUrl=url, Tags={"team": "shop"})
    yield step("tag", has(arn, "Tags.team == 'shop'"))
    queues.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "77"})
    yield step("change", has(arn, "VisibilityTimeout == '77'"))
    queues.untag_queue(QueueUrl=url, TagKeys=["team"])
    yield step("untag", has(arn, "!(Tags.team)"))
    yield REST
    queues.delete_queue(QueueUrl=url)
    yield step("delete", gone(arn))


def sns(client: Client) -> Story:
    topics = client("sns")
    _, queue = new_queue(client, "follow-subscriber")
    arn = topics.create_topic(Name="follow")["TopicArn"]
    yield step("create", has(arn))
    topics.tag_resource(ResourceArn=arn, Tags=TEAM)
    yield step("tag", has(arn, TAGGED))
    subscription = topics.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=queue)["SubscriptionArn"]
    yield step("subscribe", linked(arn, queue))
    topics.unsubscribe(SubscriptionArn=subscription)
    yield step("unsubscribe", has(arn), parted(arn, queue))
    topics.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=queue)
    yield step("subscribe again", linked(arn, queue))
    yield REST
    topics.delete_topic(TopicArn=arn)
    yield step("delete", gone(arn))


def s3(client: Client) -> Story:
    buckets = client("s3")
    function = new_function(client, "follow-bucket")
    buckets.create_bucket(Bucket="follow-me", CreateBucketConfiguration={"LocationConstraint": REGION})
    arn = "arn:aws:s3:::follow-me"
    yield step("create", has(arn, f"BucketLocation == '{REGION}'"))
    buckets.put_bucket_tagging(Bucket="follow-me", Tagging={"TagSet": TEAM})
    yield step("tag", has(arn, TAGGED))
    notify = {"LambdaFunctionArn": function, "Events": ["s3:ObjectCreated:*"]}
    buckets.put_bucket_notification_configuration(
        Bucket="follow-me", NotificationConfiguration={"LambdaFunctionConfigurations": [notify]}
    )
    yield step("notify a function", linked(arn, function))
    buckets.put_bucket_notification_configuration(Bucket="follow-me", NotificationConfiguration={})
    yield step("notify nobody", has(arn), parted(arn, function))
    buckets.delete_bucket_tagging(Bucket="follow-me")
    yield step("untag", has(arn, "!Tags"))
    yield REST
    buckets.delete_bucket(Bucket="follow-me")
    yield step("delete", gone(arn))


def apigateway(client: Client) -> Story:
    gateway = client("apigateway")
    function = new_function(client, "follow-api")
    api = gateway.create_rest_api(name="follow")["id"]
    root = gateway.get_resources(restApiId=api)["items"][0]["id"]
    resource = gateway.create_resource(restApiId=api, parentId=root, pathPart="orders")["id"]
    where = {"restApiId": api, "resourceId": resource}
    uri = f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{function}/invocations"
    for verb in ("GET", "POST"):
        gateway.put_method(**where, httpMethod=verb, authorizationType="NONE")
        gateway.put_integration(**where, httpMethod=verb, integrationHttpMethod="POST", type="AWS_PROXY", uri=uri)
    deployment = gateway.create_deployment(restApiId=api, stageName="prod")["id"]
    stage = arn_of("execute-api", f"{api}/prod")
    path, get, post = f"{stage}/*/orders", f"{stage}/GET/orders", f"{stage}/POST/orders"
    yield step("deploy", has(stage), linked(stage, path), linked(path, get), linked(path, post), linked(get, function))
    gateway.tag_resource(resourceArn=f"arn:aws:apigateway:{REGION}::/restapis/{api}/stages/prod", tags={"team": "shop"})
    yield step("tag", has(stage, "Tags.team == 'shop'"))
    gateway.create_stage(restApiId=api, stageName="test", deploymentId=deployment)
    other = arn_of("execute-api", f"{api}/test")
    yield step("create a stage", has(other), linked(other, f"{other}/*/orders"))
    gateway.delete_method(**where, httpMethod="POST")
    yield step("delete a method", has(get), gone(post), gone(f"{other}/POST/orders"))
    gateway.delete_stage(restApiId=api, stageName="test")
    yield step("delete a stage", gone(other), gone(f"{other}/*/orders"), gone(f"{other}/GET/orders"), has(stage))
    yield REST
    gateway.delete_resource(**where)
    yield step("delete a resource", has(stage), gone(path), gone(get))
    gateway.delete_rest_api(restApiId=api)
    yield step("delete the API", gone(stage))


def cloudformation(client: Client) -> Story:
    stacks = client("cloudformation")
    made = stacks.create_stack(StackName="follow", TemplateBody=json.dumps(STACK), Tags=TEAM)["StackId"]
    client("cloudformation").get_waiter("stack_create_complete").wait(StackName="follow", WaiterConfig={"Delay": 1})
    physical = {
        one["LogicalResourceId"]: one["PhysicalResourceId"]
        for one in stacks.describe_stack_resources(StackName="follow")["StackResources"]
    }
    topic, queue = physical["Topic"], arn_of("sqs", physical["Queue"].rpartition("/")[2])
    yield step(
        "create",
        has(made, "StackStatus == 'CREATE_COMPLETE'"),
        has(made, TAGGED),
        *(check for id_ in (topic, queue) for check in (has(id_), linked(made, id_, "has resource"))),
    )
    smaller = json.dumps({"Resources": {"Queue": STACK["Resources"]["Queue"]}})
    stacks.update_stack(StackName="follow", TemplateBody=smaller, Tags=TEAM)
    yield step("take a resource out", has(made, "StackStatus == 'UPDATE_COMPLETE'"), gone(topic), has(queue))
    yield REST
    stacks.delete_stack(StackName="follow")
    yield step("delete", gone(made), gone(queue))


STORIES = (functions, sqs, sns, s3, apigateway, cloudformation)
