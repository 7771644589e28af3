"""install.sh and uninstall.sh when they are broken off, come upon work that is under way, or were left half done."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from local.account import Account, running_account
from local.account.iam import Gate
from local.account.plans import Stack
from tests.installers.conftest import BASE_URL, KEY, LEAVE_OUT, Installer, Run
from tests.installers.gated import reset
from tests.installers.test_uninstall import everything

# Runs the AWS CLI, and sends a signal once the call that it is told of has been answered.
INTERRUPTING_AWS = """#!/usr/bin/env bash
PATH=${PATH#*:}
aws "$@"
status=$?
case "$*" in
  *"$INTERRUPT_AT"*)
    if [ "$SIGNAL" = INT ]; then
      kill -INT 0
    else
      kill -"$SIGNAL" "$(ps -o sid= -p $$ | tr -d ' ')"
    fi
    ;;
esac
exit $status
"""
# What a run of install.sh calls, in order, and the signal that comes then: Ctrl-C goes to the whole group of processes,
# what ends a service or a closed terminal to the script alone.
INSTALLING = {
    "s3api create-bucket": "INT",
    "s3api put-public-access-block": "TERM",
    "secretsmanager create-secret": "INT",
    "s3api put-object": "HUP",
    "cloudformation deploy": "INT",
    "cloudformation execute-change-set": "TERM",
    "lambda invoke": "INT",
}
REMOVING = {
    "cloudformation list-stack-resources": "INT",
    "lambda put-function-concurrency": "TERM",
    "s3api list-multipart-uploads": "INT",
    "cloudformation delete-stack": "INT",
    "secretsmanager delete-secret": "HUP",
    "s3api delete-bucket": "INT",
}
STATUS = {"INT": 130, "TERM": 143, "HUP": 143}


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    """An account in this process, whose stacks and gate a test can reach."""
    with running_account(gate=Gate()) as account:
        account.on_invoke(lambda name, payload, asynchronous: (202, b"", None))
        reset(account)
        yield account
        reset(account)


@pytest.fixture(autouse=True)
def emptied(account: Account) -> Iterator[None]:
    """What a test leaves behind goes."""
    yield
    reset(account)


@pytest.fixture
def installer(release: Path, account: Account) -> Installer:
    """The scripts."""
    return Installer(release, account.endpoint, {"POLL_SECONDS": "1"})


@pytest.fixture
def interrupted(release: Path, account: Account, tmp_path: Path) -> Installer:
    """The scripts with an AWS CLI that sends a signal at INTERRUPT_AT, and a folder of its own for temporary files."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "tmp").mkdir()
    (tmp_path / "bin/aws").write_text(INTERRUPTING_AWS)
    (tmp_path / "bin/aws").chmod(0o755)
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    return Installer(release, account.endpoint, {"PATH": path, "TMPDIR": str(tmp_path / "tmp"), "POLL_SECONDS": "1"})


def the_stack(account: Account, identity: str) -> Stack:
    """The stack of an installation, as the account keeps it."""
    name = f"stackstate-topo-{identity}"
    [found] = [one for one in account.stacks.engine.stacks.values() if one.name == name and not one.deleted]
    return found


def forbid(account: Account, action: str) -> dict[str, str]:
    """The environment of somebody who may do everything but this."""
    assert account.gate
    allowed = {"Effect": "Allow", "Action": "*"}
    account.gate.policies["HALF"] = [{"Statement": [allowed, {"Effect": "Deny", "Action": action}]}]
    return {"AWS_ACCESS_KEY_ID": "HALF"}


def reserved(account: Account, function: str) -> Any:
    """The concurrency that is reserved for a function; None where nothing is."""
    return account.client("lambda").get_function_concurrency(FunctionName=function).get("ReservedConcurrentExecutions")


def log_groups(account: Account) -> set[str]:
    return {group["logGroupName"] for group in account.client("logs").describe_log_groups()["logGroups"]}


@contextmanager
def under_way(stack: Stack, status: str, end: Callable[[], None]) -> Iterator[None]:
    """CloudFormation at work on a stack, which comes to its end a few seconds later."""
    stack.status = status
    timer = threading.Timer(3, end)
    timer.start()
    yield
    timer.join()


def succeed(run: Run) -> Run:
    assert run.status == 0, run.output
    return run


def test_an_installation_that_is_broken_off_anywhere_is_completed_by_the_next_run(
    interrupted: Installer, account: Account, tmp_path: Path
) -> None:
    for call, signal in INSTALLING.items():
        run = interrupted.install("broken", "--topo-cron-only", INTERRUPT_AT=call, SIGNAL=signal)

        assert (run.status, "Run the same command again" in run.output) == (STATUS[signal], True), (
            f"{call}: {run.output}"
        )
        assert [path for path in (tmp_path / "tmp").rglob("*") if path.is_file()] == []
        assert KEY not in run.output

    completed = succeed(interrupted.install("broken", "--topo-cron-only", INTERRUPT_AT="nothing"))

    assert "Stack stackstate-topo-broken is up to date." in completed.output
    secret = account.client("secretsmanager").get_secret_value(SecretId="stackstate-topo-broken")
    assert secret["SecretString"] == KEY
    for call, signal in REMOVING.items():
        run = interrupted.run("uninstall.sh", "broken", INTERRUPT_AT=call, SIGNAL=signal)

        assert (run.status, "goes on where this was" in run.output) == (STATUS[signal], True), f"{call}: {run.output}"

    succeed(interrupted.run("uninstall.sh", "broken", INTERRUPT_AT="nothing"))
    assert everything(account) == set()


def test_a_rehearsal_that_is_broken_off_changes_nothing_and_the_next_run_installs(
    interrupted: Installer, account: Account
) -> None:
    run = interrupted.install(
        "looks", "--topo-cron-only", "--dry-run", INTERRUPT_AT="cloudformation deploy", SIGNAL="INT"
    )

    assert (run.status, "What was made only to look may be left" in run.output) == (130, True), run.output
    assert the_stack(account, "looks").status == "REVIEW_IN_PROGRESS"
    succeed(interrupted.install("looks", "--topo-cron-only", INTERRUPT_AT="nothing"))
    succeed(interrupted.run("uninstall.sh", "looks", INTERRUPT_AT="nothing"))
    assert everything(account) == set()


def test_an_empty_stack_that_was_left_by_a_change_set_goes(interrupted: Installer, account: Account) -> None:
    interrupted.install("review", "--topo-cron-only", INTERRUPT_AT="cloudformation deploy", SIGNAL="INT")
    assert the_stack(account, "review").status == "REVIEW_IN_PROGRESS"

    succeed(interrupted.run("uninstall.sh", "review", INTERRUPT_AT="nothing"))

    assert everything(account) == set()


@pytest.mark.parametrize(
    ("meanwhile", "then"),
    [
        ("CREATE_IN_PROGRESS", "CREATE_COMPLETE"),
        ("UPDATE_ROLLBACK_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE"),
    ],
)
def test_install_and_uninstall_wait_for_what_cloudformation_does_already(
    installer: Installer, account: Account, meanwhile: str, then: str
) -> None:
    succeed(installer.install("busy", "--topo-cron-only"))
    stack = the_stack(account, "busy")

    def ends() -> None:
        stack.status = then

    said = f"CloudFormation is still at work on stack stackstate-topo-busy ({meanwhile}). Waiting for its end."
    with under_way(stack, meanwhile, ends):
        again = succeed(installer.install("busy", "--topo-cron-only"))
    assert said in again.output
    assert "is up to date" in again.output
    with under_way(stack, meanwhile, ends):
        gone = succeed(installer.run("uninstall.sh", "busy"))
    assert said in gone.output
    assert everything(account) == set()


def test_install_waits_for_a_removal_and_then_installs(installer: Installer, account: Account) -> None:
    succeed(installer.install("leaves", "--topo-cron-only"))
    stack = the_stack(account, "leaves")

    with under_way(stack, "DELETE_IN_PROGRESS", lambda: account.stacks.engine.delete(stack)):
        again = succeed(installer.install("leaves", "--topo-cron-only"))

    assert "still at work on stack stackstate-topo-leaves (DELETE_IN_PROGRESS)" in again.output
    assert the_stack(account, "leaves").status == "CREATE_COMPLETE"


def test_uninstall_waits_for_another_removal_and_takes_the_rest(installer: Installer, account: Account) -> None:
    succeed(installer.install("leaves", "--topo-cron-only"))
    stack = the_stack(account, "leaves")

    with under_way(stack, "DELETE_IN_PROGRESS", lambda: account.stacks.engine.delete(stack)):
        succeed(installer.run("uninstall.sh", "leaves"))

    assert everything(account) == set()


def test_what_a_refused_uninstall_stopped_runs_again_after_the_next_installation(
    installer: Installer, account: Account
) -> None:
    create = [option for option in LEAVE_OUT if not option.startswith("--trail")] + ["--trail=create"]
    functions = [f"stackstate-topo-{name}" for name in ("cron", "cwevents", "publisher")]
    trail = account.client("cloudtrail")
    succeed(installer.install("half", leave_out=create))

    refused = installer.run("uninstall.sh", "half", **forbid(account, "cloudformation:DeleteStack"))

    assert refused.status == 1
    assert "The right cloudformation:DeleteStack is missing." in refused.output
    assert "Its functions stay stopped until it is, or install.sh starts them again" in refused.output
    assert "steps failed, see above" in refused.output
    assert [reserved(account, name) for name in functions] == [0, 0, 0]
    assert not trail.get_trail_status(Name="stackstate-topo-trail")["IsLogging"]

    succeed(installer.install("half", leave_out=create))

    assert [reserved(account, name) for name in functions] == [1, None, None]
    assert trail.get_trail_status(Name="stackstate-topo-trail")["IsLogging"]
    assert log_groups(account) == {f"/aws/lambda/{name}" for name in functions}
    secret = account.client("secretsmanager").get_secret_value(SecretId="stackstate-topo-half")
    assert secret["SecretString"] == KEY
    succeed(installer.run("uninstall.sh", "half"))
    assert everything(account) == set()


def test_one_deletion_that_is_refused_keeps_no_other_and_the_repeated_run_takes_it(
    installer: Installer, account: Account
) -> None:
    succeed(installer.install("denied"))

    refused = installer.run("uninstall.sh", "denied", **forbid(account, "sqs:DeleteQueue"))

    assert refused.status == 1
    assert "FAILED: delete the stack" in refused.output
    assert "not authorized to perform: sqs:DeleteQueue" in refused.output
    assert "Still there:\n" in refused.output
    assert "  AWS::SQS::Queue\tstackstate-topo-cwevents\n" in refused.output
    assert "run this again: it goes on where it is" in refused.output
    assert the_stack(account, "denied").status == "DELETE_FAILED"
    left = {name.split("/")[-1].removeprefix("sqs ") for name in everything(account)}
    assert left == {
        "stackstate-topo-cwevents", "stackstate-topo-cwevents-dead-letters", "stack stackstate-topo-denied",
    }  # fmt: skip

    installed = installer.install("denied")

    assert installed.status == 1
    assert "was being removed, and that failed. Run ./uninstall.sh --region eu-west-1 denied first" in installed.output
    succeed(installer.run("uninstall.sh", "denied"))
    assert everything(account) == set()


def test_after_a_removal_the_same_installation_can_be_made_again(installer: Installer, account: Account) -> None:
    for _ in range(2):
        succeed(installer.install("again"))
        succeed(installer.run("uninstall.sh", "again"))

    assert everything(account) == set()


def test_log_groups_alone_are_found_by_their_names(installer: Installer, account: Account) -> None:
    for name in ("cron", "publisher"):
        account.client("logs").create_log_group(logGroupName=f"/aws/lambda/stackstate-topo-{name}-remains")

    refused = installer.install("remains", "--name-suffix=-remains")
    rolled_back = installer.install("remains", "--name-suffix=-remains", "--dry-run")
    succeed(installer.run("uninstall.sh", "--name-suffix=-remains", "remains"))

    assert refused.status == 1
    assert "this removes what is: ./uninstall.sh --region eu-west-1 remains" in refused.output
    assert rolled_back.status == 1
    assert "(ROLLBACK_COMPLETE). What is left of it has to go before" in rolled_back.output
    assert everything(account) == set()


def test_an_upgrade_that_fails_is_taken_back_with_the_reason_and_can_be_repeated(
    installer: Installer, account: Account
) -> None:
    succeed(installer.install("grows", "--topo-cron-only"))
    queue = account.client("sqs").create_queue(QueueName="stackstate-topo-cwevents")["QueueUrl"]
    before = everything(account)

    failed = installer.run("install.sh", *LEAVE_OUT, "--full", "--instance-url=grows", BASE_URL, KEY, "grows")

    assert failed.status == 1
    assert "could not be deployed (UPDATE_ROLLBACK_COMPLETE), because of\n  ChangeQueue: " in failed.output
    assert "What was installed before runs on unchanged." in failed.output
    assert everything(account) == before
    assert reserved(account, "stackstate-topo-cron") == 1

    account.client("sqs").delete_queue(QueueUrl=queue)
    grown = succeed(installer.run("install.sh", *LEAVE_OUT, "--full", "--instance-url=grows", BASE_URL, KEY, "grows"))
    assert "sender   stackstate-topo-publisher" in grown.output
