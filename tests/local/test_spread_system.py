"""Step Functions leading topo-cron through a snapshot, with the real template, artifact and functions."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from local.account.estate import build_estate
from local.pictures import UNANNOUNCED
from local.system import API_KEY, CONFIGURATION_ID, ROOT, System, running_system, wait_for

STACK = f"stackstate-topo-{CONFIGURATION_ID}"
MACHINE = "stackstate-topo-snapshot"
FUNCTION = "stackstate-topo-cron"
EMPTY_ZIP = b"PK\5\6" + bytes(18)
STACK_SECONDS = SNAPSHOT_SECONDS = 60


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    """An account with something in it, and an installation whose snapshots are spread."""
    with running_system() as running:
        build_estate(running.account.client)
        s3 = running.account.client("s3")
        s3.create_bucket(Bucket="deploy", CreateBucketConfiguration={"LocationConstraint": running.account.region})
        s3.put_object(Bucket="deploy", Key="functions.zip", Body=EMPTY_ZIP)
        change(running, "create_stack", "true")
        yield running
        state = bucket(running)
        for one in s3.list_objects_v2(Bucket=state).get("Contents", []):
            s3.delete_object(Bucket=state, Key=one["Key"])
        running.account.client("cloudformation").delete_stack(StackName=STACK)
        wait_for("the end of the state machine", lambda: not machines(running), STACK_SECONDS)


def change(system: System, operation: str, spread: str) -> None:
    """Make the stack, or change it."""
    stacks = system.account.client("cloudformation")
    parameters = {
        "StackStateBaseUrl": system.receiver.base_url,
        "StackStateApiKey": API_KEY,
        "StackStateConfigurationId": CONFIGURATION_ID,
        "TrailMode": "none",
        "SpreadSnapshots": spread,
    }
    # An artifact of nothing: the account runs the functions from build/local.
    template = (ROOT / "template.yaml").read_text().replace("CodeUri: functions/", "CodeUri: s3://deploy/functions.zip")
    getattr(stacks, operation)(
        StackName=STACK,
        TemplateBody=template,
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
    )

    def status() -> str:
        return str(stacks.describe_stacks(StackName=STACK)["Stacks"][0]["StackStatus"])

    wait_for("the stack", lambda: not status().endswith("_IN_PROGRESS"), STACK_SECONDS)
    assert status() in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}


def machines(system: System) -> list[str]:
    found = system.account.client("stepfunctions").list_state_machines()["stateMachines"]
    return [machine["stateMachineArn"] for machine in found if machine["name"] == MACHINE]


def executions(system: System) -> list[dict[str, Any]]:
    [machine] = machines(system)
    return list(system.account.client("stepfunctions").list_executions(stateMachineArn=machine)["executions"])


def ended(system: System, execution: str) -> dict[str, Any]:
    client = system.account.client("stepfunctions")
    found: dict[str, Any] = {}

    def over() -> bool:
        found.update(client.describe_execution(executionArn=execution))
        return bool(found["status"] != "RUNNING")

    wait_for(f"the end of {execution}", over, SNAPSHOT_SECONDS)
    return found


def picture(system: System, snapshots: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the receiver has once it has had so many snapshots."""

    def there() -> bool:
        return bool(system.instance and system.instance.snapshots >= snapshots)

    wait_for(f"snapshot {snapshots}", there, SNAPSHOT_SECONDS)
    assert system.instance
    return without_clocks(system.instance.components), without_clocks(system.instance.relations)


def without_clocks(data: Any) -> Any:
    """A copy without what AWS changes all the time."""
    if isinstance(data, list):
        return [without_clocks(entry) for entry in data]
    if not isinstance(data, dict):
        return data
    return {name: without_clocks(entry) for name, entry in data.items() if name not in UNANNOUNCED}


def bucket(system: System) -> str:
    resources = system.account.client("cloudformation").list_stack_resources(StackName=STACK)
    [name] = [
        one["PhysicalResourceId"]
        for one in resources["StackResourceSummaries"]
        if one["LogicalResourceId"] == "StateBucket"
    ]
    return str(name)


@pytest.mark.timeout(180)
def test_a_spread_snapshot_shows_what_one_invocation_shows(system: System) -> None:
    answer = system.account.client("lambda").invoke(FunctionName=FUNCTION, Payload=b"{}")
    assert "FunctionError" not in answer
    expected = picture(system, 1)

    # The schedule has a role for it, and gives no input of its own.
    system.triggers.fire_now(MACHINE)
    [execution] = executions(system)
    end = ended(system, execution["executionArn"])

    assert end["status"] == "SUCCEEDED"
    told = json.loads(end["output"])
    assert (told["closed"], told["incomplete"], told["advice"]) == (True, [], [])
    assert told["snapshot"] == execution["name"]
    components, relations = picture(system, 2)
    assert components == expected[0]
    assert relations == expected[1]
    assert len(components) > 100
    assert not system.receiver.refused()


@pytest.mark.timeout(180)
def test_a_run_steps_back_while_another_goes_on(system: System) -> None:
    key = f"state/{CONFIGURATION_ID}/run.json"
    s3 = system.account.client("s3")
    other = json.dumps({"run": "another", "until": time.time() + 600}).encode()
    s3.put_object(Bucket=bucket(system), Key=key, Body=other)
    [machine] = machines(system)

    started = system.account.client("stepfunctions").start_execution(stateMachineArn=machine, name="second")
    end = ended(system, started["executionArn"])
    s3.delete_object(Bucket=bucket(system), Key=key)

    assert end["status"] == "SUCCEEDED"
    assert json.loads(end["output"])["Error"] == "AnotherRun"


@pytest.mark.timeout(180)
def test_spreading_can_be_switched_off_and_on_again(system: System) -> None:
    events = system.account.client("events")
    schedules = {r["Name"]: r["State"] for r in events.list_rules()["Rules"] if r.get("ScheduleExpression")}
    change(system, "update_stack", "false")
    off = {r["Name"]: r["State"] for r in events.list_rules()["Rules"] if r.get("ScheduleExpression")}
    gone = machines(system)
    change(system, "update_stack", "true")

    assert sorted(schedules.values()) == ["DISABLED", "ENABLED"]
    assert schedules[MACHINE] == "ENABLED"
    assert list(off.values()) == ["ENABLED"]
    assert gone == []
    assert len(machines(system)) == 1
