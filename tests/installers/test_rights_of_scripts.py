"""What the scripts call themselves: each action of the documents, taken away alone.

install.sh must end with a message that names the action and the document that has it; uninstall.sh must do so, too,
and go on with what it may do. What CloudFormation does for them is test_rights_of_stacks.py's.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.installers.conftest import KEY, Run
from tests.installers.gated import Gated, gated
from tests.installers.rights import INSTALLING, UNINSTALLING
from tests.installers.stacks_by_rights import STACK, TAGS, Stacks, stacks_of

pytestmark = pytest.mark.timeout(600)

DEPLOYMENT = "stackstate-topo-deploy-123456789012-eu-west-1"
TAG_LIST = [{"Key": key, "Value": value} for key, value in TAGS.items()]
# install.sh ends well without these, and says what it could not do.
NO_FAILURE = {"lambda:InvokeFunction", "states:StartExecution"}
# uninstall.sh does not go on without these: nobody would know what is to be removed, or that it is not in use.
WAIT_FOR = {"cloudformation:DescribeStacks", "secretsmanager:DeleteSecret", "secretsmanager:DescribeSecret"}
INSTALLS = [
    (document, state, action)
    for document, states in INSTALLING.items()
    for state, actions in states.items()
    for action in actions.split()
]
UNINSTALLS = [(document, action) for document, actions in UNINSTALLING.items() for action in actions.split()]


@pytest.fixture(scope="module")
def behind(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gated]:
    """The scripts behind the gate."""
    with gated(release, tmp_path_factory.mktemp("former") / "release") as opened:
        yield opened


@pytest.fixture
def stacks(behind: Gated) -> Stacks:
    """An account with what a user brings, and no stack yet."""
    stacks = stacks_of(behind)
    client = behind.account.client
    client("s3").create_bucket(Bucket="trails", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    client("cloudtrail").create_trail(Name="theirs", S3BucketName="trails")
    client("cloudtrail").start_logging(Name="theirs")
    return stacks


def install(stacks: Stacks, document: str, without: str, *more: str) -> Run:
    """install.sh as somebody with a document would call it, without a right or several."""
    kind = document.split("+")[-1]
    given = stacks.parameters[kind]["create"]
    options = ["--skip-rights-check", "--no-global-events", f"--kms-key={given['KmsKeyArn']}"]
    if "StateBucketName" in given:
        options += [f"--topo-cron-bucket={given['StateBucketName']}", f"--topo-cron-role={given['TopoCronRoleArn']}"]
    options += ["--topo-cron-only"] if given["TopologyMode"] == "minimal" else []
    options += ["--spread"] if "SpreadSnapshots" in given else []
    return stacks.behind.run(document, "install.sh", *options, *more, without=without)


def installed(stacks: Stacks, kind: str) -> None:
    """What a run of install.sh leaves: stack, secret, and the bucket that it deploys from."""
    stacks.make(kind)
    client = stacks.behind.account.client
    client("secretsmanager").create_secret(Name=STACK, SecretString=KEY, Tags=TAG_LIST)
    client("s3").create_bucket(Bucket=DEPLOYMENT, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    client("s3").put_bucket_tagging(Bucket=DEPLOYMENT, Tagging={"TagSet": TAG_LIST[:1]})


def stopped(stacks: Stacks, kind: str) -> None:
    """An installation that uninstall.sh has begun to remove."""
    installed(stacks, kind)
    functions = stacks.behind.account.client("lambda")
    for function in functions.list_functions()["Functions"]:
        functions.put_function_concurrency(FunctionName=function["FunctionName"], ReservedConcurrentExecutions=0)


def failed(stacks: Stacks, kind: str) -> None:
    """A stack that could not be created."""
    assert stacks.take_without(kind, "create", "lambda:AddPermission").status == "ROLLBACK_COMPLETE"


def named(stacks: Stacks, kind: str) -> None:
    """An installation whose stack is gone, but for a function."""
    stacks.make(kind)
    stacks.behind.account.stacks.engine.stacks.clear()


def forgotten(stacks: Stacks, kind: str) -> None:
    """A secret of an earlier installation, about to be deleted."""
    secrets = stacks.behind.account.client("secretsmanager")
    secrets.create_secret(Name=STACK, SecretString=KEY, Tags=TAG_LIST)
    secrets.delete_secret(SecretId=STACK)


BEFORE: dict[str, Callable[[Stacks, str], None]] = {
    "again": installed,
    "stopped": stopped,
    "failed": failed,
    "named": named,
    "forgotten": forgotten,
}


@pytest.mark.parametrize(("document", "state", "action"), INSTALLS, ids=[" ".join(one) for one in INSTALLS])
def test_without_a_right_install_ends_and_says_which_document_has_it(
    stacks: Stacks, document: str, state: str, action: str
) -> None:
    prepare = BEFORE.get(state)
    if prepare:
        prepare(stacks, document)
    more = ["--dry-run"] if state == "rehearsed" else []
    # Something else that is missing shows only with the right to look.
    other = " lambda:AddPermission" if state == "broken" else ""

    run = install(stacks, f"Install+{document}" if document == "Spread" else document, action + other, *more)

    assert run.status == (0 if action in NO_FAILURE else 1), run.output
    assert f"The right {action} is missing" in run.output, run.output
    assert f"policies/StackStateIntegrationPolicy{document}.json" in run.output, run.output


@pytest.mark.parametrize(("document", "action"), UNINSTALLS, ids=[" ".join(one) for one in UNINSTALLS])
def test_without_a_right_uninstall_goes_on_and_says_which_document_has_it(
    stacks: Stacks, document: str, action: str
) -> None:
    kind = {"Uninstall": "Install", "TopoCronUninstall": "TopoCronSpread"}[document]
    installed(stacks, kind)
    s3 = stacks.behind.account.client("s3")
    for bucket in [one["Name"] for one in s3.list_buckets()["Buckets"] if "state" in one["Name"]]:
        s3.put_object(Bucket=bucket, Key="state/gated/1", Body=b"1")
        s3.create_multipart_upload(Bucket=bucket, Key="broken off")
    other = " lambda:DeleteFunction" if action == "cloudformation:DescribeStackEvents" else ""

    run = stacks.behind.run(document, "uninstall.sh", "gated", without=action + other)

    assert run.status == 1, run.output
    assert f"The right {action} is missing" in run.output, run.output
    assert f"policies/StackStateIntegrationPolicy{document}.json" in run.output, run.output
    if action in WAIT_FOR:
        return
    # One of the last steps: no other right stands in its way.
    left = stacks.behind.account.client("secretsmanager").list_secrets(IncludePlannedDeletion=True)["SecretList"]
    assert not left, run.output


@pytest.mark.parametrize(("kind", "document"), [("Spread", "Uninstall"), ("TopoCronSpread", "TopoCronUninstall")])
def test_the_documents_for_uninstalling_remove_what_is_spread_as_well(stacks: Stacks, kind: str, document: str) -> None:
    installed(stacks, kind)
    machines = stacks.behind.account.client("stepfunctions")
    assert machines.list_state_machines()["stateMachines"]

    run = stacks.behind.run(document, "uninstall.sh", "gated")

    assert run.status == 0, run.output
    assert not machines.list_state_machines()["stateMachines"]


def test_the_scripts_say_what_cloudformation_was_refused_and_which_document_has_it(stacks: Stacks) -> None:
    run = install(stacks, "TopoCronInstall", "lambda:AddPermission")

    assert run.status == 1
    assert "SchedulePermission: User: " in run.output, run.output
    document = "policies/StackStateIntegrationPolicyTopoCronInstall.json"
    assert f"The right lambda:AddPermission is missing. It is in {document}." in run.output
