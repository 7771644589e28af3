"""The documents of policies/ have every action that the scripts take, and no other: proven behind an IAM gate.

What CloudFormation does counts as done by whoever runs the script, as in AWS, with what AWS's own resource handlers ask
for besides. The gate knows actions; that they fit their resources and conditions is the IAM linter's to say. Here whole
lives of installations pass; test_rights_of_scripts.py and test_rights_of_stacks.py take away one right after the other.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.account import quotas
from tests.installers.conftest import Run
from tests.installers.gated import POLICIES, Gated, actions, gated, policy
from tools.check_template import policy_findings
from tools.installer_policies import documents

# A life of every kind of installation, with the real command line tool, takes minutes.
pytestmark = pytest.mark.timeout(1500)

UNINSTALL = {"Install": "Uninstall", "TopoCronInstall": "TopoCronUninstall", "TopoCronMinimal": "TopoCronUninstall"}
# What no run below takes, and why it is there all the same; test_rights_of_*.py take each but the first away.
NOT_TAKEN = {
    "sts:GetCallerIdentity": "AWS refuses it to nobody; listed for those who read the document",
    "cloudformation:DescribeStackEvents": "tells how far CloudFormation is, and why it failed; here it is quick",
    "cloudwatch:DeleteDashboards": "takes a dashboard back when a later resource fails",
    "lambda:ListTags": "tells whose function it is that has the name already",
    "lambda:RemovePermission": "takes back the last resource of a minimal stack, when one of a later release fails",
    "lambda:DeleteFunctionEventInvokeConfig": "takes back an early resource; AWS's handler deletes it by the function",
}


@pytest.fixture(scope="module")
def behind(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gated]:
    """The scripts behind the gate, and what a user may bring."""
    with gated(release, tmp_path_factory.mktemp("former") / "release") as opened:
        yield opened


def brought(behind: Gated) -> dict[str, list[str]]:
    """The options that name what the user has, for each document."""
    client = behind.account.client
    allows = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    boundary = client("iam").create_policy(PolicyName="bounds", PolicyDocument=json.dumps(allows))["Policy"]["Arn"]
    role = client("iam").create_role(RoleName="stackstate-topo-mine", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    for name in ("stackstate-topo-mine", "trails"):
        client("s3").create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    client("cloudtrail").create_trail(Name="theirs", S3BucketName="trails")
    client("cloudtrail").start_logging(Name="theirs")
    vpc = client("ec2").create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    subnet = client("ec2").create_subnet(VpcId=vpc, CidrBlock="10.1.0.0/24")["Subnet"]["SubnetId"]
    group = client("ec2").create_security_group(VpcId=vpc, GroupName="out", Description="out")["GroupId"]
    network = [f"--subnets={subnet}", f"--security-groups={group}"]
    key = ["--kms-key=" + client("kms").create_key()["KeyMetadata"]["Arn"]]
    own = ["--topo-cron-bucket=stackstate-topo-mine", f"--topo-cron-role={role}", "--topo-cron-only"]
    return {
        "bound": [f"--permissions-boundary={boundary}"],
        "Install": [*network, *key, "--regions=eu-west-1,eu-central-1", "--forwarding-accounts=111122223333"],
        "TopoCronInstall": [*network, *key, "--topo-cron-only"],
        "TopoCronMinimal": [*network, *key, *own],
    }


def succeed(run: Run) -> None:
    assert run.status == 0, run.output


@pytest.fixture(scope="module")
def taken(behind: Gated) -> dict[str, set[str]]:
    """The actions that the life of an installation takes, by document; no run of it may fail."""
    options = brought(behind)
    bound, unbound = options.pop("bound"), ["--permissions-boundary="]
    for document, given in options.items():
        everything = [*given, "--trail=create"] if document == "Install" else given
        succeed(behind.run(document, "install.sh", "--dry-run", *given))
        succeed(behind.run(document, "install.sh", *everything, *unbound, former=True))
        behind.account.client("secretsmanager").delete_secret(SecretId="stackstate-topo-gated")
        quotas.CONCURRENT_EXECUTIONS = 100
        bare = ["--log-retention=30", "--kms-key=", "--subnets=", "--security-groups="]
        succeed(behind.run(document, "install.sh", *everything, *bound, *bare))
        quotas.CONCURRENT_EXECUTIONS = 1000
        succeed(behind.run(document, "install.sh", "--dry-run", *everything))
        if document != "TopoCronMinimal":
            succeed(behind.run(document, "install.sh", "--topo-cron-only", *unbound))
        if document == "Install":
            succeed(behind.run("Install+Spread", "install.sh", *everything, "--full", "--spread"))
        else:
            if document == "TopoCronInstall":
                succeed(behind.run("TopoCronInstall+Spread", "install.sh", "--topo-cron-only", "--spread"))
            leave_something(behind)
            # A right that is missing near the end has everything before it taken back.
            succeed(behind.run(UNINSTALL[document], "uninstall.sh", "gated"))
            failed = behind.run(document, "install.sh", "--skip-rights-check", *given, without="lambda:AddPermission")
            assert "lambda:AddPermission" in failed.output, failed.output
        leave_something(behind)
        succeed(behind.run(UNINSTALL[document], "uninstall.sh", "gated"))
    return behind.gate.used


def leave_something(behind: Gated) -> None:
    """Let buckets hold what takes rights of its own to remove."""
    s3 = behind.account.client("s3")
    for bucket in [b["Name"] for b in s3.list_buckets()["Buckets"] if b["Name"].startswith("stackstate-topo-gated")]:
        s3.create_multipart_upload(Bucket=bucket, Key="broken off")


@pytest.mark.parametrize("document", [*UNINSTALL, "Uninstall", "TopoCronUninstall"])
def test_a_document_has_what_the_scripts_take_and_no_other_action(taken: dict[str, set[str]], document: str) -> None:
    assert taken[document] - actions(document) == set()
    assert actions(document) - taken[document] - NOT_TAKEN.keys() == set()


def test_asked_beforehand_aws_names_all_rights_that_are_missing(behind: Gated) -> None:
    for document in ("Install", "TopoCronInstall", "TopoCronMinimal"):
        behind.gate.policies["NOBODY"] = [
            {"Statement": [{"Effect": "Allow", "Action": ["cloudformation:DescribeStacks", "iam:Simulate*"]}]}
        ]
        options = {"Install": [], "TopoCronInstall": ["--topo-cron-only"]}.get(
            document, ["--topo-cron-only", "--topo-cron-bucket=b", "--topo-cron-role=arn:aws:iam::123456789012:role/r"]
        )

        run = behind.installer.install("nobody", *options, AWS_ACCESS_KEY_ID="NOBODY", leave_out=["--trail=none"])

        assert run.status == 1
        named = {line.strip() for line in run.output.splitlines() if line.startswith("  ")}
        assert named == actions(document) - {"cloudformation:DescribeStacks", "iam:SimulatePrincipalPolicy"}
        assert f"policies/StackStateIntegrationPolicy{document}.json has all of them" in run.output


@pytest.mark.parametrize("path", sorted(POLICIES.glob("*.json")), ids=lambda path: path.stem)
def test_a_document_is_valid_in_every_partition_and_small_enough(path: Path) -> None:
    document = json.loads(path.read_text())

    assert policy_findings(path.name, document) == []
    resources = [statement["Resource"] for statement in document["Statement"]]
    listed = [one for entry in resources for one in ([entry] if isinstance(entry, str) else entry)]
    assert not [one for one in listed if one != "*" and not one.startswith("arn:*:")]
    # AWS counts a managed policy without its white space.
    assert len(json.dumps(document, separators=(",", ":"))) <= 6144


def test_the_documents_are_as_generated() -> None:
    assert {path: path.read_text() for path in documents()} == documents()


def test_no_document_allows_everything_of_a_service() -> None:
    for document in [*UNINSTALL, "Uninstall", "TopoCronUninstall"]:
        assert not [
            action for statement in policy(document)["Statement"] for action in statement["Action"] if "*" in action
        ]
