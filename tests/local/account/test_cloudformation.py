"""CloudFormation, as clients see it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.account import Account

from .conftest import FULL, Stacks, queue_template

AWS = Path(".venvs/aws/bin/aws")


@pytest.fixture
def full(stacks: Stacks, with_code: None) -> Stacks:
    assert stacks.deploy("topo", FULL, {"team": "shop"}, ApiKey="key") == "CREATE_COMPLETE", stacks.failures("topo")
    return stacks


def test_a_sam_template_becomes_functions_with_what_the_template_says_of_them(account: Account, full: Stacks) -> None:
    functions, ids = account.client("lambda"), full.resources("topo")
    cron = functions.get_function(FunctionName=ids["Cron"])

    assert cron["Configuration"]["Environment"]["Variables"] == {"LEVEL": "INFO", "STREAM": "changes"}
    assert cron["Configuration"]["DeadLetterConfig"]["TargetArn"].startswith("arn:aws:sqs:")
    assert cron["Tags"] == {"team": "shop", "own": "cron", "lambda:createdBy": "SAM"}
    assert cron["Concurrency"] == {"ReservedConcurrentExecutions": 1}
    assert functions.get_function_event_invoke_config(FunctionName=ids["Cron"])["MaximumRetryAttempts"] == 0
    assert "events.amazonaws.com" in functions.get_policy(FunctionName=ids["Cron"])["Policy"]


def test_mappings_keep_what_pollers_go_by(account: Account, full: Stacks) -> None:
    mappings = account.client("lambda").list_event_source_mappings()["EventSourceMappings"]
    by_source = {mapping["EventSourceArn"].split(":")[2]: mapping for mapping in mappings}
    stream = account.client("lambda").get_event_source_mapping(UUID=by_source["kinesis"]["UUID"])

    assert by_source["sqs"]["BatchSize"] == 100
    assert by_source["sqs"]["MaximumBatchingWindowInSeconds"] == 5
    assert by_source["sqs"]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert stream["BisectBatchOnFunctionError"] is True
    assert stream["MaximumRecordAgeInSeconds"] == 3600
    assert stream["MaximumRetryAttempts"] == 5
    assert "sqs" in stream["DestinationConfig"]["OnFailure"]["Destination"]


def test_properties_show_in_what_the_services_describe(account: Account, full: Stacks) -> None:
    ids = full.resources("topo")
    stream = account.client("kinesis").describe_stream_summary(StreamName="changes")["StreamDescriptionSummary"]
    s3, sqs = account.client("s3"), account.client("sqs")
    queue = sqs.get_queue_attributes(QueueUrl=ids["Queue"], AttributeNames=["All"])["Attributes"]

    assert (stream["RetentionPeriodHours"], stream["EncryptionType"]) == (72, "KMS")
    assert stream["StreamModeDetails"]["StreamMode"] == "ON_DEMAND"
    assert s3.get_bucket_versioning(Bucket=ids["Bucket"])["Status"] == "Enabled"
    assert all(s3.get_public_access_block(Bucket=ids["Bucket"])["PublicAccessBlockConfiguration"].values())
    assert s3.get_bucket_lifecycle_configuration(Bucket=ids["Bucket"])["Rules"][0]["Expiration"] == {"Days": 30}
    assert queue["VisibilityTimeout"] == "180"
    assert json.loads(queue["RedrivePolicy"])["maxReceiveCount"] == 3
    assert "events.amazonaws.com" in queue["Policy"]
    assert account.client("secretsmanager").get_secret_value(SecretId=ids["Secret"])["SecretString"] == "key"
    assert account.client("cloudtrail").get_trail_status(Name=ids["Trail"])["IsLogging"] is True
    assert account.client("kms").get_key_rotation_status(KeyId=ids["Key"])["KeyRotationEnabled"] is True
    [logs] = account.client("logs").describe_log_groups()["logGroups"]
    assert logs["retentionInDays"] == 14


def test_tags_of_the_stack_reach_its_resources(account: Account, full: Stacks) -> None:
    ids, tag = full.resources("topo"), {"Key": "team", "Value": "shop"}

    assert account.client("sqs").list_queue_tags(QueueUrl=ids["Queue"])["Tags"] == {"team": "shop"}
    assert account.client("kinesis").list_tags_for_stream(StreamName="changes")["Tags"] == [tag]
    assert account.client("s3").get_bucket_tagging(Bucket=ids["Bucket"])["TagSet"] == [tag]
    assert tag in account.client("iam").list_role_tags(RoleName=ids["CronRole"])["Tags"]
    assert tag in account.client("secretsmanager").describe_secret(SecretId=ids["Secret"])["Tags"]


def test_a_condition_that_no_longer_holds_removes_and_one_that_holds_again_makes(
    account: Account, full: Stacks
) -> None:
    assert full.deploy("topo", FULL, {"team": "ops"}, ApiKey=None, Mode="minimal", Minutes="5") == "UPDATE_COMPLETE"

    assert account.client("kinesis").list_streams()["StreamNames"] == []
    assert account.client("lambda").list_event_source_mappings()["EventSourceMappings"] == []
    [cron] = account.client("lambda").list_functions()["Functions"]
    assert cron["Environment"]["Variables"] == {"LEVEL": "INFO"}
    assert account.client("lambda").list_tags(Resource=cron["FunctionArn"])["Tags"]["team"] == "ops"
    [rule] = account.client("events").list_rules()["Rules"]
    assert rule["ScheduleExpression"] == "rate(5 minutes)"
    outputs = full.client.describe_stacks(StackName="topo")["Stacks"][0]["Outputs"]
    assert [output["OutputKey"] for output in outputs] == ["CronArn"]

    assert full.deploy("topo", FULL, {"team": "ops"}, ApiKey=None, Mode="full") == "UPDATE_COMPLETE"
    assert account.client("kinesis").list_streams()["StreamNames"] == ["changes"]


def test_a_deployment_without_changes_is_refused_as_such(full: Stacks) -> None:
    reason = full.deploy("topo", FULL, {"team": "shop"}, ApiKey=None)

    assert reason.startswith("The submitted information didn't contain changes.")


def test_a_bucket_with_something_in_it_keeps_the_stack_from_being_deleted(account: Account, full: Stacks) -> None:
    bucket, s3 = full.resources("topo")["Bucket"], account.client("s3")
    stack = full.client.describe_stacks(StackName="topo")["Stacks"][0]["StackId"]
    version = s3.put_object(Bucket=bucket, Key="state", Body=b"x")["VersionId"]

    full.client.delete_stack(StackName="topo")
    assert full.status("topo") == "DELETE_FAILED"
    assert "not empty" in full.failures("topo")["Bucket"]

    s3.delete_object(Bucket=bucket, Key="state", VersionId=version)
    full.client.delete_stack(StackName="topo")
    assert full.status(stack) == "DELETE_COMPLETE"
    assert account.client("lambda").list_functions()["Functions"] == []
    assert account.client("iam").list_roles()["Roles"] == []
    assert account.client("iam").list_policies(Scope="Local")["Policies"] == []
    assert account.client("sqs").list_queues().get("QueueUrls") is None
    assert account.client("logs").describe_log_groups()["logGroups"] == []
    assert account.client("secretsmanager").list_secrets()["SecretList"] == []
    with pytest.raises(ClientError, match="Stack with id topo does not exist"):
        full.status("topo")


def test_what_cannot_be_made_is_rolled_back_with_its_reason(account: Account, stacks: Stacks) -> None:
    template = queue_template("Good")
    template["Resources"]["Bad"] = {
        "Type": "AWS::Lambda::Function",
        "DependsOn": "Good",
        "Properties": {"Code": {"S3Bucket": "nowhere", "S3Key": "x"}, "Role": "arn:aws:iam::123456789012:role/none"},
    }

    assert stacks.deploy("broken", template) == "ROLLBACK_COMPLETE"

    assert "Status Code: " in stacks.failures("broken")["Bad"]
    assert account.client("sqs").list_queues().get("QueueUrls") is None
    with pytest.raises(ClientError, match="ROLLBACK_COMPLETE state and can not be updated"):
        stacks.deploy("broken", template)


def test_an_update_that_fails_goes_back_to_what_was(account: Account, stacks: Stacks) -> None:
    stacks.deploy("works", queue_template("Queue", VisibilityTimeout=30))
    queue = stacks.resources("works")["Queue"]
    changed = queue_template("Queue", VisibilityTimeout=60)
    changed["Resources"]["Second"] = {"Type": "AWS::SQS::Queue", "DependsOn": "Queue"}
    changed["Resources"]["Bad"] = {
        "Type": "AWS::Kinesis::Stream",
        "DependsOn": "Second",
        "Properties": {"Name": "not a name!", "ShardCount": 1, "RetentionPeriodHours": 1},
    }

    assert stacks.deploy("works", changed) == "UPDATE_ROLLBACK_COMPLETE"

    attributes = account.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
    assert attributes["VisibilityTimeout"] == "30"
    assert account.client("sqs").list_queues()["QueueUrls"] == [queue]
    assert stacks.resources("works") == {"Queue": queue}


def test_a_property_that_cannot_change_gets_another_resource(stacks: Stacks) -> None:
    stacks.deploy("moves", queue_template("Queue", QueueName="before"))
    assert stacks.deploy("moves", queue_template("Queue", QueueName="after")) == "UPDATE_COMPLETE"

    assert stacks.resources("moves")["Queue"].endswith("/after")


@pytest.mark.parametrize(
    ("template", "parameters", "message"),
    [
        (FULL, {}, r"Parameters: \[ApiKey\] must have values"),
        (FULL, {"ApiKey": "k", "Mode": "some"}, "Parameter 'Mode' must be one of AllowedValues"),
        (FULL, {"ApiKey": "k", "Minutes": "0"}, "Parameter Minutes failed to satisfy constraint"),
        (FULL, {"ApiKey": "k", "Other": "0"}, r"Parameters: \[Other\] do not exist in the template"),
        ({"Resources": {"A": {"Type": "AWS::Nope::Nope"}}}, {}, "Unrecognized resource types"),
        ({"Resources": {"A": {"Type": "AWS::SQS::Queue", "DependsOn": "B"}}}, {}, r"Unresolved resource .*\[B\]"),
        ("{", {}, "not well-formed"),
        (
            {
                "Parameters": {"A": {"Type": "String", "Default": ""}},
                "Rules": {"NeedsA": {"Assertions": [{"Assert": {"Fn::Not": [{"Fn::Equals": [{"Ref": "A"}, ""]}]}}]}},
                **queue_template("Queue"),
            },
            {},
            "rule NeedsA",
        ),
    ],
)
def test_a_bad_template_or_parameter_is_refused_at_once(
    stacks: Stacks, template: Any, parameters: dict[str, str], message: str
) -> None:
    with pytest.raises(ClientError, match=message):
        stacks.deploy("bad", template, None, **parameters)

    assert stacks.client.describe_stacks()["Stacks"] == []


def test_roles_need_a_capability_and_named_ones_another(stacks: Stacks) -> None:
    role: dict[str, Any] = {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {"Statement": []}}}
    template = {"Resources": {"Role": role}}
    with pytest.raises(ClientError, match=r"InsufficientCapabilities.*\[CAPABILITY_IAM\]"):
        stacks.client.create_stack(StackName="a", TemplateBody=json.dumps(template))

    role["Properties"]["RoleName"] = "mine"
    with pytest.raises(ClientError, match=r"\[CAPABILITY_NAMED_IAM\]"):
        stacks.client.create_stack(StackName="a", TemplateBody=json.dumps(template), Capabilities=["CAPABILITY_IAM"])


def test_stacks_of_a_user_nest_and_hold_types_that_only_moto_knows(
    account: Account, stacks: Stacks, with_code: None
) -> None:
    nested = queue_template("Inner") | {"Outputs": {"Url": {"Value": {"Ref": "Inner"}}}}
    account.client("s3").put_object(Bucket="code", Key="nested.json", Body=json.dumps(nested).encode())
    template = {
        "Resources": {
            "Child": {
                "Type": "AWS::CloudFormation::Stack",
                "Properties": {"TemplateURL": "https://s3.eu-west-1.amazonaws.com/code/nested.json"},
            },
            "Network": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.9.0.0/16"}},
        },
        "Outputs": {"Inner": {"Value": {"Fn::GetAtt": ["Child", "Outputs.Url"]}}},
    }
    stacks.client.create_stack(StackName="parent", TemplateBody=json.dumps(template))

    [parent] = stacks.client.describe_stacks(StackName="parent")["Stacks"]
    [child] = [
        stack for stack in stacks.client.describe_stacks()["Stacks"] if stack.get("ParentId") == parent["StackId"]
    ]
    assert parent["StackStatus"] == child["StackStatus"] == "CREATE_COMPLETE"
    assert child["RootId"] == parent["StackId"]
    assert parent["Outputs"][0]["OutputValue"] == stacks.resources(child["StackId"])["Inner"]
    network = stacks.resources("parent")["Network"]
    assert account.client("ec2").describe_vpcs(VpcIds=[network])["Vpcs"][0]["CidrBlock"] == "10.9.0.0/16"
    found = stacks.client.describe_stack_resources(PhysicalResourceId=network)["StackResources"]
    assert network in {resource["PhysicalResourceId"] for resource in found}

    stacks.client.delete_stack(StackName="parent")
    assert stacks.client.describe_stacks()["Stacks"] == []
    assert account.client("sqs").list_queues().get("QueueUrls") is None


def test_every_status_of_a_stack_is_an_event(stacks: Stacks, events: list[dict[str, Any]]) -> None:
    stacks.deploy("told", queue_template("Queue"))

    changes = [event for event in events if event["detail-type"] == "CloudFormation Stack Status Change"]
    assert [change["detail"]["status-details"]["status"] for change in changes] == [
        "REVIEW_IN_PROGRESS",
        "CREATE_IN_PROGRESS",
        "CREATE_COMPLETE",
    ]
    [created] = [e for e in events if e["detail"].get("eventName") == "CreateQueue"]
    assert created["detail"]["userIdentity"]["invokedBy"] == "cloudformation.amazonaws.com"


@pytest.mark.skipif(not AWS.exists(), reason="the AWS CLI has not been installed (make .venvs/aws/installed)")
def test_the_aws_cli_packages_and_deploys(account: Account, stacks: Stacks, with_code: None, tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "app.py").write_text("def cron(event, context): pass")
    (tmp_path / "full.yaml").write_text((Path(__file__).parent / "full.yaml").read_text())
    environment = {
        "PATH": os.environ["PATH"],
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "eu-west-1",
        # The upload of `package` and `deploy` ignores --endpoint-url.
        "AWS_ENDPOINT_URL": account.endpoint,
    }

    def aws(*words: str) -> str:
        command = [str(AWS.resolve()), "cloudformation", *words]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    aws("package", "--template-file", "full.yaml", "--s3-bucket", "code", "--output-template-file", "out.yaml")
    deploy = ["deploy", "--template-file", "out.yaml", "--s3-bucket", "code", "--stack-name", "cli", "--capabilities",
              "CAPABILITY_IAM", "--parameter-overrides", "ApiKey=k"]  # fmt: skip

    assert "Successfully created/updated stack" in aws(*deploy)
    assert "No changes to deploy" in aws(*deploy, "--no-fail-on-empty-changeset")
    aws("delete-stack", "--stack-name", "cli")
    aws("wait", "stack-delete-complete", "--stack-name", "cli")
