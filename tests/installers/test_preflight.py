"""What install.sh finds out before it changes anything, and what it says then."""

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.account import Account
from local.receiver import running_receiver
from tests.installers.conftest import BASE_URL, KEY, Installer, Run

LEAVE_OUT = ["--skip-rights-check", "--topo-cron-only"]


@pytest.fixture
def missing(installer: Installer) -> Iterator[None]:
    """A release without artifact; whoever gets to it has passed all that stands before."""
    for architecture in ("arm64", "x86_64"):
        (installer.folder / f"functions-{architecture}.zip").rename(installer.folder / f"{architecture}.aside")
    yield
    for architecture in ("arm64", "x86_64"):
        (installer.folder / f"{architecture}.aside").rename(installer.folder / f"functions-{architecture}.zip")


class Answers(http.server.BaseHTTPRequestHandler):
    """Answers every POST with what its path says: /301, /404 or /html."""

    def do_POST(self) -> None:
        """Answer."""
        said = self.path.split("/")[1]
        self.send_response(200 if said == "html" else int(said))
        self.send_header("Content-Type", "text/html" if said == "html" else "text/plain")
        self.send_header("Location", "https://elsewhere.example.com/")
        self.send_header("Content-Length", "6")
        self.end_headers()
        self.wfile.write(b"so so\n")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def answering() -> Iterator[str]:
    """The address of a server that answers as its path says."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def rehearse(installer: Installer, *arguments: str, **environment: str) -> Run:
    return installer.run("install.sh", *LEAVE_OUT, "--dry-run", *arguments, "checked", **environment)


WRONG = {
    "/html": "answers with a web page: that is StackState's user interface",
    "/301": "sends on to https://elsewhere.example.com/",
    "/401": "does not take the API key (HTTP 401)",
    "/403": "does not take the API key (HTTP 403)",
    "/404": "is no receiver (HTTP 404)",
    "/407": "the proxy wants a password",
    "/500": "answers with HTTP 500: so so",
}


@pytest.mark.parametrize(("path", "reason"), WRONG.items())
def test_what_answers_in_place_of_the_receiver_is_explained(
    installer: Installer, answering: str, path: str, reason: str
) -> None:
    run = rehearse(installer, answering + path, KEY)

    assert (run.status, reason in run.output) == (1, True), run.output
    assert "Nothing was changed." in run.output
    assert KEY not in run.output


def test_a_receiver_that_does_not_answer_is_explained(installer: Installer) -> None:
    run = rehearse(installer, "http://127.0.0.1:9/receiver", KEY)

    assert run.status == 1
    assert "nothing answers at its port" in run.output
    assert "--skip-receiver-check" in run.output


def test_the_functions_may_reach_what_this_machine_cannot(installer: Installer) -> None:
    network = ["--subnets=subnet-0123456789abcdef0", "--security-groups=sg-0123456789abcdef0"]

    run = rehearse(installer, *network, "http://127.0.0.1:9/receiver", KEY)

    assert run.status == 0, run.output
    assert "cannot be reached from here: nothing answers" in run.output
    assert "Nothing was changed." in run.output


def test_the_receiver_gets_one_empty_message_with_the_key(installer: Installer) -> None:
    key = "a key/with&everything?=%é".replace(" ", "+")
    with running_receiver(keys=[key]) as receiver:
        right = rehearse(installer, receiver.base_url, key)
        wrong = rehearse(installer, receiver.base_url, "another")

    assert right.status == 0, right.output
    assert f"The receiver at {receiver.base_url} takes the API key." in right.output
    assert (wrong.status, "does not take the API key" in wrong.output) == (1, True), wrong.output
    assert not receiver.topologies.instances


def test_a_rehearsal_shows_changes_and_costs_and_leaves_nothing(installer: Installer, account: Account) -> None:
    before = {bucket["Name"] for bucket in account.client("s3").list_buckets()["Buckets"]}

    run = installer.run(
        "install.sh", "--skip-rights-check", "--skip-receiver-check", "--dry-run", "--regions=eu-central-1",
        BASE_URL, KEY, "rehearsed",
    )  # fmt: skip

    assert run.status == 0, run.output
    assert "No CloudTrail trail logs write management events in eu-west-1 eu-central-1 us-east-1" in run.output
    assert "Add      Stream                            AWS::Kinesis::Stream" in run.output
    assert "Forward  change events of eu-central-1" in run.output
    assert "730 snapshots of 60 s" in run.output
    assert "in all, before the free tier" in run.output
    assert {bucket["Name"] for bucket in account.client("s3").list_buckets()["Buckets"]} == before
    stacks = account.client("cloudformation").describe_stacks()["Stacks"]
    secrets = account.client("secretsmanager").list_secrets()["SecretList"]
    assert not [
        name for name in (*(s["StackName"] for s in stacks), *(s["Name"] for s in secrets)) if "rehearsed" in name
    ]


def test_a_trail_that_logs_is_used_and_one_that_does_not_is_not(installer: Installer, account: Account) -> None:
    s3, cloudtrail = account.client("s3"), account.client("cloudtrail")
    s3.create_bucket(Bucket="trails", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    arguments = ["--skip-rights-check", "--skip-receiver-check", "--no-global-events", "--dry-run"]
    arguments += [BASE_URL, KEY, "trails"]
    cloudtrail.create_trail(Name="reads", S3BucketName="trails", IsMultiRegionTrail=True)
    cloudtrail.start_logging(Name="reads")
    only_reads = [{"ReadWriteType": "ReadOnly", "IncludeManagementEvents": True}]
    cloudtrail.put_event_selectors(TrailName="reads", EventSelectors=only_reads)
    cloudtrail.create_trail(Name="rests", S3BucketName="trails")

    without = installer.run("install.sh", *arguments)
    cloudtrail.start_logging(Name="rests")
    found = installer.run("install.sh", *arguments)
    for name in ("reads", "rests"):
        cloudtrail.delete_trail(Name=name)

    assert "so the stack gets one of its own" in without.output, without.output
    assert "AWS::CloudTrail::Trail" in without.output
    assert "Change events in eu-west-1 come by trail rests." in found.output, found.output
    assert "AWS::CloudTrail::Trail" not in found.output


@pytest.mark.usefixtures("missing")
def test_a_role_is_assumed_with_external_id_and_session_name(installer: Installer, account: Account) -> None:
    statement = {
        "Effect": "Allow",
        "Action": "sts:AssumeRole",
        "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
        "Condition": {"StringEquals": {"sts:ExternalId": ["x-1", "x-2"]}},
    }
    trust = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    role = account.client("iam").create_role(RoleName="deployer", AssumeRolePolicyDocument=trust)["Role"]
    options = ["--role-arn", role["Arn"], "--session-name", "friday", "--external-id", "x-1"]

    by_option = installer.install("roles", *options)
    environment = {"AWS_ROLE_ARN": role["Arn"], "AWS_SESSION_NAME": "monday", "AWS_EXTERNAL_ID": "x-2"}
    by_environment = installer.run("install.sh", BASE_URL, KEY, "roles", **environment)

    without = installer.install("roles", "--role-arn", role["Arn"])

    assert (without.status, "give it with --external-id" in without.output) == (1, True)
    assert "as arn:aws:sts::123456789012:assumed-role/deployer/friday" in by_option.output
    assert any("--external-id x-1" in command for command in by_option.commands)
    assert "as arn:aws:sts::123456789012:assumed-role/deployer/monday" in by_environment.output


@pytest.mark.parametrize(("number", "status"), [("2.0.3", 1), ("2.0.4", 2), ("1.46.2", 2)])
def test_versions_of_the_cli_that_get_cloudformation_wrong_are_refused(
    offline: Installer, tmp_path: Path, number: str, status: int
) -> None:
    cli = tmp_path / "aws"
    cli.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo "aws-cli/{number} Python/3.8" && exit\nexit 2\n')
    cli.chmod(0o755)

    run = offline.run("install.sh", BASE_URL, KEY, "1", PATH=f"{tmp_path}:/usr/bin:/bin")

    assert run.status == 1
    assert ("Install 2.0.4 or newer" in run.output) == (status == 1), run.output


def test_an_account_without_spare_concurrency_goes_without_a_reservation(
    installer: Installer, account: Account
) -> None:
    functions = account.client("lambda")
    role = account.client("iam").create_role(RoleName="greedy", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    code = {"ZipFile": (installer.folder / "functions-arm64.zip").read_bytes()}
    functions.create_function(FunctionName="greedy", Runtime="python3.13", Role=role, Handler="h.h", Code=code)
    functions.put_function_concurrency(FunctionName="greedy", ReservedConcurrentExecutions=900)

    run = installer.install("spare", "--topo-cron-only", "--name-suffix=-spare", "--instance-url=spare")
    functions.delete_function(FunctionName="greedy")

    assert run.status == 0, run.output
    assert "Lambda has 100 unreserved concurrent executions here" in run.output
    reserved = functions.get_function_concurrency(FunctionName="stackstate-topo-cron-spare")
    assert "ReservedConcurrentExecutions" not in reserved


def test_a_second_installation_for_the_same_instance_is_refused_in_any_region(installer: Installer) -> None:
    first = installer.install("first", "--topo-cron-only", "--region=eu-north-1", "--instance-url=shared")
    assert first.status == 0, first.output

    second = installer.install("second", "--topo-cron-only", "--name-suffix=-second", "--instance-url=shared")
    other = installer.install("second", "--topo-cron-only", "--dry-run", "--instance-url=another")

    assert second.status == 1
    assert "stack stackstate-topo-first in eu-north-1 sends to the same instance (aws, shared)" in second.output
    assert "./uninstall.sh --region eu-north-1 first" in second.output
    assert other.status == 0, other.output
