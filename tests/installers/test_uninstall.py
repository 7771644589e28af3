"""uninstall.sh with the real AWS CLI against the local account."""

from typing import Any

import pytest

from local.account import Account
from tests.installers.conftest import BASE_URL, KEY, Installer


def everything(account: Account) -> set[str]:
    """Names of all that the account has, of the kinds that an installation consists of."""
    services: dict[str, list[tuple[str, str, str]]] = {
        "lambda": [
            ("list_functions", "Functions", "FunctionName"),
            ("list_event_source_mappings", "EventSourceMappings", "UUID"),
        ],
        "sqs": [("list_queues", "QueueUrls", "")],
        "kinesis": [("list_streams", "StreamNames", "")],
        "s3": [("list_buckets", "Buckets", "Name")],
        "events": [("list_rules", "Rules", "Name")],
        "logs": [("describe_log_groups", "logGroups", "logGroupName")],
        "iam": [("list_roles", "Roles", "RoleName"), ("list_policies", "Policies", "PolicyName")],
        "secretsmanager": [("list_secrets", "SecretList", "Name")],
        "cloudwatch": [("describe_alarms", "MetricAlarms", "AlarmName")],
    }
    found: set[str] = set()
    for service, calls in services.items():
        client: Any = account.client(service)
        for operation, entries, name in calls:
            options = {"Scope": "Local"} if operation == "list_policies" else {}
            for entry in getattr(client, operation)(**options).get(entries, []):
                found.add(f"{service} {entry[name] if name else entry}")
    stacks = account.client("cloudformation").describe_stacks()["Stacks"]
    return found | {f"stack {entry['StackName']}" for entry in stacks if entry["StackStatus"] != "DELETE_COMPLETE"}


@pytest.fixture
def before(account: Account) -> set[str]:
    """What the account has before the test."""
    return everything(account)


def state_bucket(account: Account, identity: str) -> str:
    found = account.client("cloudformation").describe_stack_resource(
        StackName=f"stackstate-topo-{identity}", LogicalResourceId="StateBucket"
    )
    return str(found["StackResourceDetail"]["PhysicalResourceId"])


def test_nothing_is_left_and_a_second_run_agrees(before: set[str], account: Account, installer: Installer) -> None:
    assert installer.install("gone", "--name-suffix=-gone").status == 0
    s3, bucket = account.client("s3"), state_bucket(account, "gone")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for _ in range(2):
        s3.put_object(Bucket=bucket, Key="state/gone/eu-west-1/ec2", Body=b"reading")
    s3.delete_object(Bucket=bucket, Key="state/gone/eu-west-1/ec2")
    s3.put_object(Bucket=bucket, Key='dead-letters/with space, ünicode & "quotes"', Body=b"record")
    s3.create_multipart_upload(Bucket=bucket, Key="state/gone/broken off")

    run = installer.run("uninstall.sh", "gone")

    assert run.status == 0, run.output
    assert everything(account) == before
    assert "Nothing of configuration id gone is left" in run.output
    assert KEY not in run.output

    again = installer.run("uninstall.sh", "gone")

    assert again.status == 0, again.output
    assert "There is no installation of configuration id gone" in again.output


def test_an_unknown_id_is_told_with_what_is_installed(account: Account, installer: Installer) -> None:
    assert installer.install("known", "--topo-cron-only", "--name-suffix=-known").status == 0
    before = everything(account)

    run = installer.run("uninstall.sh", "unknwon")

    assert run.status == 0
    assert "There is no installation of configuration id unknwon" in run.output
    assert "  known\n" in run.output
    assert everything(account) == before


def test_what_the_user_brought_and_other_installations_stay(account: Account, installer: Installer) -> None:
    s3, iam = account.client("s3"), account.client("iam")
    s3.create_bucket(Bucket="of-the-user", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_object(Bucket="of-the-user", Key="letter", Body=b"dear")
    role = iam.create_role(RoleName="of-the-user", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    assert installer.install("stays", "--topo-cron-only", "--name-suffix=-stays").status == 0
    before = everything(account)
    brought = ["--topo-cron-bucket=of-the-user", f"--topo-cron-role={role}"]
    install = installer.install("brings", "--topo-cron-only", "--name-suffix=-brings", *brought)
    assert install.status == 0, install.output

    run = installer.run("uninstall.sh", "brings")

    assert run.status == 0, run.output
    assert "Bucket of-the-user is yours and stays" in run.output
    assert "of-the-user is yours and stays" in run.output
    assert "other installations use it" in run.output
    assert everything(account) == before
    assert s3.get_object(Bucket="of-the-user", Key="letter")["Body"].read() == b"dear"


def test_logs_that_a_function_made_again_go_too(before: set[str], account: Account, installer: Installer) -> None:
    assert installer.install("logs", "--topo-cron-only", "--name-suffix=-logs").status == 0
    logs = account.client("logs")
    # A group without tags, as Lambda makes them.
    logs.delete_log_group(logGroupName="/aws/lambda/stackstate-topo-cron-logs")
    logs.create_log_group(logGroupName="/aws/lambda/stackstate-topo-cron-logs")

    run = installer.run("uninstall.sh", "logs")

    assert run.status == 0, run.output
    assert everything(account) == before


def test_what_is_left_is_listed_and_the_exit_status_says_so(account: Account, installer: Installer) -> None:
    name = "stackstate-topo-halfway-TopoCronRole-1A2B3C"
    account.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument="{}")

    run = installer.run("uninstall.sh", "halfway")

    account.client("iam").delete_role(RoleName=name)
    assert run.status == 1
    assert "Still there:" in run.output
    assert f"AWS::IAM::Role\t{name}" in run.output


def test_what_outlived_its_stack_goes_too(before: set[str], account: Account, installer: Installer) -> None:
    sqs, s3, secrets = account.client("sqs"), account.client("s3"), account.client("secretsmanager")
    sqs.create_queue(QueueName="stackstate-topo-cwevents-halved", tags={"stackstate-lightweight-agent": "halved"})
    bucket = "stackstate-topo-halved-statebucket-1a2b3c"
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_bucket_tagging(
        Bucket=bucket, Tagging={"TagSet": [{"Key": "stackstate-lightweight-agent", "Value": "halved"}]}
    )
    s3.put_object(Bucket=bucket, Key="state/halved/x", Body=b"")
    tags = [{"Key": "stackstate-lightweight-agent", "Value": "halved"}]
    secrets.create_secret(Name="stackstate-topo-halved", SecretString="key", Tags=tags)
    secrets.delete_secret(SecretId="stackstate-topo-halved")

    run = installer.run("uninstall.sh", "halved")

    assert run.status == 0, run.output
    assert everything(account) == before


def test_forwarding_in_further_regions_comes_and_goes_with_the_regions(
    before: set[str], account: Account, installer: Installer
) -> None:
    def forwards(region: str) -> bool:
        stacks = account.client("cloudformation", region).describe_stacks()["Stacks"]
        return "stackstate-topo-forward-far" in {stack["StackName"] for stack in stacks}

    options = ["--skip-receiver-check", "--skip-rights-check", "--trail=none", "--name-suffix=-far"]
    options += ["--instance-url=far"]
    both = installer.run("install.sh", *options, "--regions=eu-west-1,eu-central-1", BASE_URL, KEY, "far")
    assert both.status == 0, both.output
    assert (forwards("eu-central-1"), forwards("us-east-1"), forwards("eu-west-1")) == (True, True, False)

    fewer = installer.run("install.sh", *options, "--regions=eu-west-1", "--no-global-events", BASE_URL, KEY, "far")
    assert fewer.status == 0, fewer.output
    assert (forwards("eu-central-1"), forwards("us-east-1")) == (False, False)

    again = installer.run("install.sh", *options, "--regions=eu-west-1,eu-central-1", BASE_URL, KEY, "far")
    assert again.status == 0, again.output
    assert (forwards("eu-central-1"), forwards("us-east-1")) == (True, False), "what was left out once stays so"

    run = installer.run("uninstall.sh", "far")

    assert run.status == 0, run.output
    assert not forwards("eu-central-1")
    assert everything(account) == before


def test_without_an_id_it_lists_and_asks_and_all_means_all(account: Account, installer: Installer) -> None:
    for identity in ("one", "two"):
        assert installer.install(identity, "--topo-cron-only", f"--name-suffix=-{identity}").status == 0

    listed = installer.run("uninstall.sh")
    wrong = installer.run("uninstall.sh", text="three\n")
    rehearsed = installer.run("uninstall.sh", "--dry-run", "one")
    chosen = installer.run("uninstall.sh", text="one\n")
    everywhere = installer.run("uninstall.sh", "--all", "--yes")

    assert (listed.status, "stack stackstate-topo-one" in listed.output) == (2, True)
    assert (wrong.status, "'three' is none of them" in wrong.output) == (2, True)
    assert (rehearsed.status, "Nothing was changed." in rehearsed.output) == (0, True)
    assert (chosen.status, "Nothing of configuration id one is left" in chosen.output) == (0, True)
    assert (everywhere.status, "Nothing of configuration id two is left" in everywhere.output) == (0, True)
    stacks = account.client("cloudformation").describe_stacks()["Stacks"]
    assert not [stack for stack in stacks if stack["StackName"].startswith("stackstate-topo-")]


def test_a_bucket_is_emptied_over_several_pages(account: Account, installer: Installer) -> None:
    s3 = account.client("s3")
    s3.create_bucket(Bucket="many-objects", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    for number in range(1005):
        s3.put_object(Bucket="many-objects", Key=f"{number}", Body=b"")
    script = installer.folder / "empty"
    script.write_text(f"""#!/usr/bin/env bash
. {installer.folder}/installer/aws.sh && make_work_folder && connect && empty_bucket many-objects""")
    script.chmod(0o755)

    run = installer.run("empty")

    assert run.status == 0, run.output
    s3.delete_bucket(Bucket="many-objects")
