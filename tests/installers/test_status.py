"""status.sh with the real AWS CLI against the local account."""

from datetime import UTC, datetime
from typing import Any

import pytest

from local.account import Account
from tests.installers.conftest import Installer
from tests.installers.test_uninstall import state_bucket
from topology import VERSION
from topology.elements import Incomplete, Scope
from topology.errors import Denied
from topology.ledger import Ledger, ScopeLine
from topology.status import STATUS, as_text

SUFFIX = "-looked"


@pytest.fixture(scope="module")
def installed(installer: Installer, account: Account) -> str:
    """A full installation, after a good snapshot; gives its bucket."""
    run = installer.install("looked", f"--name-suffix={SUFFIX}", "--regions=eu-west-1,eu-central-1")
    assert run.status == 0, run.output
    return state_bucket(account, "looked")


def finished(account: Account, bucket: str, identity: str = "looked", **fields: Any) -> None:
    """Leave behind what a run of topo-cron does."""
    now = datetime.now(UTC).timestamp()
    ledger = Ledger("s-1", now - 660, version=VERSION, ended=now - 600, **fields)
    account.client("s3").put_object(Bucket=bucket, Key=f"state/{identity}/{STATUS}", Body=as_text(ledger).encode())


def measured(account: Account, namespace: str, name: str, value: float, **dimension: str) -> None:
    [(key, text)] = dimension.items()
    data = {"MetricName": name, "Value": value, "Dimensions": [{"Name": key, "Value": text}]}
    account.client("cloudwatch").put_metric_data(Namespace=namespace, MetricData=[data])


def test_before_the_first_snapshot_it_says_so(installer: Installer, installed: str) -> None:
    run = installer.run("status.sh", "looked")

    assert run.status == 1
    assert "No snapshot was finished yet. If that stays so, see the log: aws logs filter-log-events" in run.output


def test_all_is_well(installer: Installer, account: Account, installed: str) -> None:
    finished(account, installed)
    service = f"topo-publisher{SUFFIX}"
    measured(account, "StackState/Topology", "Posts", 12, service=service)
    measured(account, "StackState/Topology", "Events", 40, service=f"topo-cwevents{SUFFIX}")
    measured(account, "StackState/Topology", "Events", 2, service=f"topo-cwevents{SUFFIX}")
    measured(account, "AWS/Lambda", "IteratorAge", 3210, FunctionName=f"stackstate-topo-publisher{SUFFIX}")

    run = installer.run("status.sh", "looked")

    assert run.status == 0, run.output
    assert "stack stackstate-topo-looked (full).\nChange events are forwarded from: eu-central-1" in run.output
    assert f"\nVersion {VERSION}.\n" in run.output
    assert "\nThe last snapshot ended 10 minutes ago.\nSnapshot s-1 of " in run.output
    assert "the receiver took 12 messages; 0 deliveries failed." in run.output
    assert "Change events in the last hour: 42." in run.output
    assert "waited 3 s lately, and at most 3 s in the last hour." in run.output
    assert "\nNothing was set aside.\n\nNo alarm is on.\n" in run.output


def test_what_needs_a_person_is_told_and_makes_the_exit_status(
    installer: Installer, account: Account, installed: str
) -> None:
    scope = Scope("123456789012", "eu-west-1", "aws", "sqs")
    line = ScopeLine(scope, causes=[Incomplete(scope, Denied("sqs:ListQueues", "not authorized"))])
    finished(account, installed, lines=[line], not_closed_because=["sqs could not be read"])
    s3, sqs = account.client("s3"), account.client("sqs")
    s3.put_object(Bucket=installed, Key="dead-letters/refused/x.json", Body=b"{}")
    dead = sqs.get_queue_url(QueueName=f"stackstate-topo-cwevents-dead-letters{SUFFIX}")["QueueUrl"]
    sqs.send_message(QueueUrl=dead, MessageBody="{}")
    measured(account, "StackState/Topology", "ReceiverMisconfigured", 1, service=f"topo-publisher{SUFFIX}")
    cloudwatch = account.client("cloudwatch", "eu-central-1")
    [alarm] = [one["AlarmName"] for one in cloudwatch.describe_alarms()["MetricAlarms"]]
    cloudwatch.set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="a test")

    run = installer.run("status.sh", "looked")

    assert run.status == 1
    assert "StackState goes on showing what is gone, because\n  sqs could not be read\n" in run.output
    assert "To do: Allow sqs:ListQueues" in run.output
    assert "The receiver's address or the API key is wrong." in run.output
    assert "Set aside: 2. See ./dead-letters.sh --region eu-west-1 list looked" in run.output
    assert f"Alarms that are on:\n  {alarm}\n    Change events could not be forwarded" in run.output


def test_a_minimal_installation_has_a_status_too(installer: Installer, account: Account) -> None:
    assert installer.install("tiny", "--topo-cron-only", "--name-suffix=-tiny").status == 0
    finished(account, state_bucket(account, "tiny"), "tiny")

    run = installer.run("status.sh", "tiny")

    assert run.status == 0, run.output
    assert "stack stackstate-topo-tiny (minimal)." in run.output
    assert "Change events" not in run.output


def test_other_scripts_are_told_from_what_is_installed(installer: Installer, account: Account, installed: str) -> None:
    arn = f"arn:aws:lambda:eu-west-1:123456789012:function:stackstate-topo-cron{SUFFIX}"
    tag = "stackstate-aws-agent-version"
    account.client("lambda").tag_resource(Resource=arn, Tags={tag: "0.0.1"})

    run = installer.run("status.sh", "looked")

    account.client("lambda").tag_resource(Resource=arn, Tags={tag: VERSION})
    assert f"stackstate-topo-cron{SUFFIX} is of version 0.0.1, the stack of {VERSION}: run install.sh" in run.output


def test_a_wrong_id_and_too_many_arguments_are_refused(
    installer: Installer, offline: Installer, installed: str
) -> None:
    nobody = installer.run("status.sh", "nobody")
    many = offline.run("status.sh", "one", "two")

    assert (nobody.status, "there is no installation of configuration id nobody" in nobody.output) == (1, True)
    assert (many.status, "one CONFIGURATION_ID at a time" in many.output) == (2, True)
