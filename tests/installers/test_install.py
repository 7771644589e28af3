"""install.sh with the real AWS CLI against the local account."""

import json
from pathlib import Path
from typing import Any

import pytest

from local.account import Account
from tests.installers.conftest import BASE_URL, KEY, LEAVE_OUT, Installer, Run
from topology import VERSION
from topology.receiver import pem


@pytest.fixture(scope="module")
def full(installer: Installer) -> Run:
    """A full installation of configuration id full-1, under the plain names."""
    run = installer.install("full-1", "--regions", "eu-west-1,us-east-1", "--instance-url=123456789012")
    assert run.status == 0, run.output
    return run


def stack(account: Account, identity: str) -> dict[str, Any]:
    [found] = account.client("cloudformation").describe_stacks(StackName=f"stackstate-topo-{identity}")["Stacks"]
    return dict(found)


def outputs(account: Account, identity: str) -> dict[str, str]:
    return {entry["OutputKey"]: entry["OutputValue"] for entry in stack(account, identity)["Outputs"]}


def functions(account: Account, suffix: str = "") -> set[str]:
    names = {function["FunctionName"] for function in account.client("lambda").list_functions()["Functions"]}
    return {name for name in names if name.endswith(suffix) and name.removesuffix(suffix).count("-") == 2}


def environment(account: Account, function: str) -> dict[str, str]:
    found = account.client("lambda").get_function_configuration(FunctionName=function)
    return dict(found["Environment"]["Variables"])


def test_the_way_to_stackstate_is_passed_on(installer: Installer, account: Account, tmp_path: Path) -> None:
    body = "\n".join(["MIIB" * 16] * 20)
    marked = f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"
    (tmp_path / "ca.pem").write_text(f"our own authority\r\n{marked}")
    (tmp_path / "many.pem").write_text(marked * 3)
    options = ["--topo-cron-only", "--name-suffix=-way", "--skip-tls-verify", "--encoding", "none"]
    options += ["--proxy", "http://proxy.example.com:3128", "--no-proxy", ".amazonaws.com"]

    run = installer.install("way", *options, "--ca-bundle", str(tmp_path / "ca.pem"))
    large = installer.install("large", "--ca-bundle", str(tmp_path / "many.pem"))

    assert run.status == 0, run.output
    function = account.client("lambda").get_function_configuration(FunctionName="stackstate-topo-cron-way")
    variables = function["Environment"]["Variables"]
    assert pem(variables["STACKSTATE_CA_BUNDLE"]) == marked
    assert variables["STACKSTATE_SKIP_TLS_VERIFY"] == "true"
    assert variables["STACKSTATE_ENCODING"] == "none"
    assert variables["HTTPS_PROXY"] == variables["HTTP_PROXY"] == "http://proxy.example.com:3128"
    assert variables["NO_PROXY"] == ".amazonaws.com"
    assert (large.status, "is too large" in large.output) == (2, True)

    again = installer.install("way", "--verify-tls", "--proxy", "", "--no-proxy=")

    assert again.status == 0, again.output
    function = account.client("lambda").get_function_configuration(FunctionName="stackstate-topo-cron-way")
    left = function["Environment"]["Variables"]
    assert left["STACKSTATE_SKIP_TLS_VERIFY"] == "false"
    assert left["STACKSTATE_ENCODING"] == "none"
    assert not left.keys() & {"HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"}


def test_a_full_installation_has_three_functions_between_queue_stream_and_receiver(full: Run, account: Account) -> None:
    found = outputs(account, "full-1")

    assert functions(account) == {"stackstate-topo-cron", "stackstate-topo-cwevents", "stackstate-topo-publisher"}
    assert found["StreamName"] == "stackstate-topo-kinesis"
    mappings = account.client("lambda").list_event_source_mappings()["EventSourceMappings"]
    assert {(m["EventSourceArn"].split(":")[2], m["FunctionArn"].split(":")[6]) for m in mappings} == {
        ("sqs", "stackstate-topo-cwevents"),
        ("kinesis", "stackstate-topo-publisher"),
    }


def test_the_stack_says_whose_it_is(full: Run, account: Account) -> None:
    tags = {tag["Key"]: tag["Value"] for tag in stack(account, "full-1")["Tags"]}

    assert tags == {
        "Origin": "Stackstate",
        "stackstate-lightweight-agent": "full-1",
        "stackstate-aws-agent-version": VERSION,
        "stackstate-aws-agent-global-events": "no",
    }


def test_options_reach_the_functions(full: Run, account: Account) -> None:
    variables = environment(account, "stackstate-topo-cron")

    assert variables["TOPOLOGY_REGIONS"] == "eu-west-1,us-east-1"
    assert variables["STACKSTATE_INSTANCE_URL"] == "123456789012"


def test_only_what_sends_knows_the_receiver_and_its_secret(full: Run, account: Account) -> None:
    sender = environment(account, "stackstate-topo-publisher")

    assert sender["STACKSTATE_BASE_URL"] == BASE_URL
    assert ":secret:stackstate-topo-full-1" in sender["STACKSTATE_API_KEY_SECRET"]
    for name in ("stackstate-topo-cron", "stackstate-topo-cwevents"):
        assert not {"STACKSTATE_BASE_URL", "STACKSTATE_API_KEY_SECRET"} & environment(account, name).keys()


def test_the_key_is_in_the_secret_and_nowhere_else(full: Run, account: Account) -> None:
    cloudformation = account.client("cloudformation")
    shown = json.dumps(
        [
            stack(account, "full-1"),
            cloudformation.get_template(StackName="stackstate-topo-full-1")["TemplateBody"],
            account.client("lambda").list_functions(),
        ],
        default=str,
    )
    secret = account.client("secretsmanager").get_secret_value(SecretId="stackstate-topo-full-1")

    assert secret["SecretString"] == KEY
    assert KEY not in shown
    assert KEY not in full.output


def test_the_key_is_no_argument_of_any_process_that_the_script_starts(full: Run) -> None:
    assert any("secretsmanager create-secret" in command for command in full.commands)
    assert not [command for command in full.commands if KEY in command]


def test_a_key_from_a_file_with_line_ends_of_windows_arrives_and_shows_nowhere(
    account: Account, installer: Installer, tmp_path: Path
) -> None:
    (tmp_path / "key").write_bytes(b"from-a-file-7d41\r\nand a note\r\n")
    options = [*LEAVE_OUT, "--topo-cron-only", "--name-suffix=-filed", "--instance-url=filed"]

    run = installer.run("install.sh", *options, f"--api-key-file={tmp_path / 'key'}", BASE_URL, "filed")

    assert run.status == 0, run.output
    secret = account.client("secretsmanager").get_secret_value(SecretId="stackstate-topo-filed")
    assert secret["SecretString"] == "from-a-file-7d41"
    assert "from-a-file-7d41" not in run.output
    assert not [command for command in run.commands if "from-a-file-7d41" in command]


def test_the_first_snapshot_is_taken_at_once(full: Run, invoked: list[str]) -> None:
    assert "stackstate-topo-cron" in invoked
    assert "A first snapshot is being taken" in full.output


def test_the_deployment_bucket_is_private_and_marked(full: Run, account: Account) -> None:
    s3, name = account.client("s3"), "stackstate-topo-deploy-123456789012-eu-west-1"

    assert all(s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"].values())
    assert s3.get_bucket_tagging(Bucket=name)["TagSet"] == [{"Key": "Origin", "Value": "Stackstate"}]


def test_installing_again_changes_the_key_and_keeps_options(full: Run, account: Account, installer: Installer) -> None:
    leave_out = ["--skip-receiver-check", "--skip-rights-check"]
    run = installer.run("install.sh", *leave_out, BASE_URL, "-", "full-1", text="rotated\n")

    assert run.status == 0, run.output
    assert "Stack stackstate-topo-full-1 is up to date." in run.output
    assert environment(account, "stackstate-topo-cron")["TOPOLOGY_REGIONS"] == "eu-west-1,us-east-1"
    secret = account.client("secretsmanager").get_secret_value(SecretId="stackstate-topo-full-1")
    assert secret["SecretString"] == "rotated"


def test_another_configuration_id_does_not_take_the_names(full: Run, account: Account, installer: Installer) -> None:
    run = installer.install("other")

    assert run.status == 1
    assert "stackstate-topo-cron exists already, for configuration id full-1" in run.output
    assert "--name-suffix" in run.output
    names = {secret["Name"] for secret in account.client("secretsmanager").list_secrets()["SecretList"]}
    assert "stackstate-topo-other" not in names


def test_a_minimal_installation_is_topo_cron_alone_and_can_grow(account: Account, installer: Installer) -> None:
    small = installer.install("grows", "--topo-cron-only", "--name-suffix", "-grows")

    assert small.status == 0, small.output
    assert functions(account, "-grows") == {"stackstate-topo-cron-grows"}
    variables = environment(account, "stackstate-topo-cron-grows")
    assert variables["STACKSTATE_BASE_URL"] == BASE_URL
    assert "TOPOLOGY_STREAM" not in variables

    again = installer.install("grows")

    assert again.status == 0, again.output
    assert functions(account, "-grows") == {"stackstate-topo-cron-grows"}

    grown = installer.install("grows", "--full")

    assert grown.status == 0, grown.output
    assert len(functions(account, "-grows")) == 3
    variables = environment(account, "stackstate-topo-cron-grows")
    assert variables["TOPOLOGY_STREAM"] == "stackstate-topo-kinesis-grows"
    assert "STACKSTATE_API_KEY_SECRET" not in variables


def test_a_failed_deployment_names_its_cause_and_can_be_repeated(account: Account, installer: Installer) -> None:
    logs, group = account.client("logs"), "/aws/lambda/stackstate-topo-cron-fails"
    logs.create_log_group(logGroupName=group)

    failed = installer.install("fails", "--topo-cron-only", "--name-suffix=-fails")

    assert failed.status == 1
    assert "TopoCronLogGroup" in failed.output
    assert stack(account, "fails")["StackStatus"] == "ROLLBACK_COMPLETE"

    logs.delete_log_group(logGroupName=group)
    repeated = installer.install("fails", "--topo-cron-only", "--name-suffix=-fails")

    assert repeated.status == 0, repeated.output
    assert "An earlier installation did not come to an end (ROLLBACK_COMPLETE)" in repeated.output


def test_a_rule_of_the_template_is_told_as_the_cause(installer: Installer) -> None:
    run = installer.install("vpc", "--topo-cron-only", "--name-suffix=-vpc", "--subnets", "subnet-0123456789abcdef0")

    assert run.status == 1
    assert "VpcSubnetIds needs VpcSecurityGroupIds" in run.output


def test_a_secret_that_somebody_else_made_is_not_overwritten(account: Account, installer: Installer) -> None:
    secrets = account.client("secretsmanager")
    secrets.create_secret(Name="stackstate-topo-theirs", SecretString="theirs")

    run = installer.install("theirs", "--name-suffix=-theirs")

    assert run.status == 1
    assert "secret stackstate-topo-theirs exists already" in run.output
    assert secrets.get_secret_value(SecretId="stackstate-topo-theirs")["SecretString"] == "theirs"


def test_a_bucket_that_is_not_there_is_told(installer: Installer) -> None:
    run = installer.install("lost", "--name-suffix=-lost", "--topo-cron-bucket", "no-such-bucket")

    assert run.status == 1
    assert "bucket no-such-bucket (--topo-cron-bucket) does not exist" in run.output


def test_a_missing_artifact_is_told_with_the_way_to_make_it(installer: Installer) -> None:
    artifact = installer.folder / "functions-x86_64.zip"
    artifact.rename(artifact.with_suffix(".aside"))

    run = installer.install("built", "--name-suffix=-built", "--architecture", "x86_64")

    artifact.with_suffix(".aside").rename(artifact)
    assert run.status == 1
    assert "functions-x86_64.zip is missing. In a checkout, run: make build" in run.output
