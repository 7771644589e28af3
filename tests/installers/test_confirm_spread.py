"""confirm.sh for an installation whose snapshots Step Functions leads, with the real state machine and functions."""

from collections.abc import Iterator

import pytest

from local.system import API_KEY, System, running_system, wait_for
from tests.installers.conftest import LEAVE_OUT, Installer, Run

IDENTITY = "spread"
QUEUES = {f"waits-{number:02}" for number in range(30)}
SECONDS = 120


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    """An account with queues in it, and a receiver."""
    with running_system() as running:
        for name in QUEUES:
            running.account.client("sqs").create_queue(QueueName=name)
        yield running


@pytest.fixture(scope="module")
def installer(release: object, system: System) -> Iterator[Installer]:
    """The scripts, after an installation with --spread; it is removed again."""
    scripts = Installer(release, system.account.endpoint, {"POLL_SECONDS": "1"})  # type: ignore[arg-type]
    given = [*LEAVE_OUT, "--topo-cron-only", "--spread", system.receiver.base_url, API_KEY, IDENTITY]
    installed = scripts.run("install.sh", *given)
    assert installed.status == 0, installed.output
    yield scripts
    removed = scripts.run("uninstall.sh", IDENTITY)
    assert removed.status == 0, removed.output
    assert "Nothing of configuration id spread is left" in removed.output


def queues(system: System) -> set[str]:
    """The queues that the receiver shows."""
    shown = system.instance.components if system.instance else {}
    return {id_.rpartition(":")[2] for id_, component in shown.items() if component["type"]["name"] == "aws.sqs"}


def executions(system: System) -> list[dict[str, str]]:
    client = system.account.client("stepfunctions")
    [machine] = client.list_state_machines()["stateMachines"]
    return list(client.list_executions(stateMachineArn=machine["stateMachineArn"])["executions"])


def finish(system: System, snapshots: int) -> None:
    """Wait until so many snapshots that Step Functions leads are over."""
    wait_for(
        f"{snapshots} executions",
        lambda: [one["status"] for one in executions(system)] == ["SUCCEEDED"] * snapshots,
        SECONDS,
    )


def confirm(installer: Installer) -> Run:
    return installer.run("confirm.sh", IDENTITY, WAIT_SECONDS=str(SECONDS))


@pytest.mark.timeout(600)
def test_what_the_brake_held_goes_with_a_confirmed_snapshot_that_is_spread_too(
    system: System, installer: Installer
) -> None:
    finish(system, 1)
    wait_for("the first snapshot", lambda: queues(system) == QUEUES, SECONDS)
    for name in QUEUES:
        url = system.account.client("sqs").get_queue_url(QueueName=name)["QueueUrl"]
        system.account.client("sqs").delete_queue(QueueUrl=url)
    closed = confirm(installer)
    [first] = executions(system)
    client = system.account.client("stepfunctions")
    machine = client.describe_execution(executionArn=first["executionArn"])["stateMachineArn"]
    client.start_execution(stateMachineArn=machine, input="{}")
    finish(system, 2)
    held = installer.run("status.sh", IDENTITY)
    assert queues(system) == QUEUES

    run = confirm(installer)

    assert (closed.status, "there is nothing to confirm" in closed.output) == (0, True), closed.output
    assert "it would remove 30 of" in held.output
    assert run.status == 0, run.output
    assert "The brake held back that 30 of " in run.output
    assert "and is closed." in run.output
    assert any(one["name"].startswith("confirmed-") for one in executions(system))
    assert queues(system) == set()
