"""doctor.sh and confirm.sh with the real AWS CLI, against an account whose functions answer as the test says."""

import base64
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from local.account import Account, running_account
from local.account.iam import Gate
from tests.installers.conftest import Installer, Run
from tests.installers.gated import actions, policy, reset
from tests.installers.test_uninstall import state_bucket
from topology import VERSION
from topology.ledger import Ledger
from topology.state import HELD
from topology.status import STATUS, as_text

CRON, PUBLISHER = "stackstate-topo-cron", "stackstate-topo-publisher"
GOOD: tuple[bytes, str | None] = (b"{}", None)


@dataclass
class Installed:
    """An installation, and what its functions do."""

    account: Account
    installer: Installer
    bucket: str
    identity: str
    answer: tuple[bytes, str | None] = GOOD
    """Of a function that is waited for: its body and its error."""
    after: dict[str, Any] = field(default_factory=dict)
    """What the ledger of the next run holds."""
    named: str = ""
    """Of the next run; empty: as it was asked for."""
    invoked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def invoke(self, name: str, payload: bytes, asynchronous: bool) -> tuple[int, bytes, str | None]:
        event = json.loads(payload or b"{}")
        self.invoked.append((name, event))
        if asynchronous:
            self.finish(self.named or event.get("snapshot", "s-2"), **self.after)
            return 202, b"", None
        return 200, *self.answer

    def finish(self, snapshot: str, **fields: Any) -> None:
        """Leave behind what a run of topo-cron does."""
        ledger = Ledger(snapshot, time.time() - 60, version=VERSION, ended=time.time(), **fields)
        key = f"state/{self.identity}/{STATUS}"
        self.account.client("s3").put_object(Bucket=self.bucket, Key=key, Body=as_text(ledger).encode())

    def run(self, script: str, *arguments: str, **environment: str) -> Run:
        settings = {"POLL_SECONDS": "1", "AWS_ACCESS_KEY_ID": "OPERATOR"} | environment
        return self.installer.run(script, *arguments, self.identity, **settings)


@pytest.fixture(scope="module")
def installed(release: Path) -> Iterator[Installed]:
    """A full installation with a further region."""
    with running_account(gate=Gate()) as account:
        account.on_invoke(lambda name, payload, asynchronous: (202, b"", None))
        reset(account)
        installer = Installer(release, account.endpoint)
        run = installer.install("seen", "--regions=eu-west-1,eu-central-1", leave_out=[*SKIPPED, "--trail=create"])
        assert run.status == 0, run.output
        found = Installed(account, installer, state_bucket(account, "seen"), "seen")
        account.on_invoke(found.invoke)
        yield found
        reset(account)


SKIPPED = ["--skip-receiver-check", "--skip-rights-check", "--no-global-events"]
BRAKED = {"held_back": {"removed": 30, "of": 40}, "not_closed_because": ["it would remove 30 of 40 components"]}


@pytest.fixture(autouse=True)
def as_new(installed: Installed) -> None:
    """Nothing of an earlier test is left in how the functions answer."""
    installed.answer, installed.after, installed.named = GOOD, {}, ""
    installed.invoked.clear()


def test_nothing_is_wrong(installed: Installed) -> None:
    run = installed.run("doctor.sh")

    assert run.status == 0, run.output
    assert {line.split(" ")[0] for line in run.output.splitlines()[1:-2]} == {"ok"}
    assert "ok       forwarding from eu-central-1: " in run.output
    assert "ok       trail for change events in eu-central-1: stackstate-topo-trail\n" in run.output
    assert "ok       rights of topo-cron to read\n" in run.output
    assert f"ok       the receiver takes messages from {PUBLISHER}\n" in run.output
    assert installed.invoked == [(PUBLISHER, {"step": "probe"})]


@contextmanager
def spoilt(account: Account) -> Iterator[tuple[str, str]]:
    """Much of the installation out of order, until the end; gives a disabled mapping's id and a lost rule's name."""
    client = account.client
    lambda_, events, cloudtrail, iam = client("lambda"), client("events"), client("cloudtrail"), client("iam")
    [mapping] = lambda_.list_event_source_mappings(FunctionName=PUBLISHER)["EventSourceMappings"]
    [role] = [one["RoleName"] for one in iam.list_roles()["Roles"] if "-TopoCronRole-" in one["RoleName"]]
    rights = {"RoleName": role, "PolicyName": "state"}
    kept = iam.get_role_policy(**rights)["PolicyDocument"]
    denial = {"Effect": "Deny", "Action": ["sqs:ListQueues", "s3:PutObject"], "Resource": "*"}
    further = client("events", "eu-central-1")
    lost = further.list_rules()["Rules"][0]
    targets = further.list_targets_by_rule(Rule=lost["Name"])["Targets"]

    lambda_.put_function_concurrency(FunctionName=CRON, ReservedConcurrentExecutions=0)
    lambda_.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    events.disable_rule(Name="stackstate-topo-SqsCalls")
    cloudtrail.stop_logging(Name="stackstate-topo-trail")
    iam.put_role_policy(**rights, PolicyDocument=json.dumps(kept | {"Statement": [*kept["Statement"], denial]}))
    further.remove_targets(Rule=lost["Name"], Ids=[target["Id"] for target in targets])
    further.delete_rule(Name=lost["Name"])
    yield mapping["UUID"], lost["Name"]
    lambda_.put_function_concurrency(FunctionName=CRON, ReservedConcurrentExecutions=1)
    lambda_.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)
    events.enable_rule(Name="stackstate-topo-SqsCalls")
    cloudtrail.start_logging(Name="stackstate-topo-trail")
    iam.put_role_policy(**rights, PolicyDocument=json.dumps(kept))
    further.put_rule(Name=lost["Name"], EventPattern=lost["EventPattern"])
    further.put_targets(Rule=lost["Name"], Targets=targets)


def test_what_is_wrong_is_named_with_what_to_do(installed: Installed) -> None:
    installed.answer = b'{"errorMessage": "https://x answered 403: no (check the API key)"}', "Unhandled"

    with spoilt(installed.account) as (mapping, rule):
        run = installed.run("doctor.sh")

    assert run.status == 1
    assert f"PROBLEM  function {CRON} is stopped: its reserved concurrency is 0\n" in run.output
    assert f"update-event-source-mapping --region eu-west-1 --uuid {mapping} --enabled" in run.output
    assert "PROBLEM  rules for change events: disabled are stackstate-topo-SqsCalls\n" in run.output
    assert f"PROBLEM  forwarding from eu-central-1: gone are {rule}" in run.output
    assert "PROBLEM  no CloudTrail trail logs write management events in eu-west-1" in run.output
    assert "lacks rights:\n         sqs:ListQueues: no policy of the role allows it\n" in run.output
    assert "lacks rights:\n         s3:PutObject: no policy of the role allows it\n" in run.output
    assert "ok       rights of topo-cron on its bucket\n" in run.output
    assert f"PROBLEM  the receiver does not take messages from {PUBLISHER}:\n" in run.output
    assert "\n         https://x answered 403: no (check the API key)\n" in run.output


def test_what_may_not_be_looked_at_is_no_problem_but_unknown(installed: Installed) -> None:
    gate = installed.account.gate
    assert gate
    allowed = {"Effect": "Allow", "Action": "*"}
    denied = {"Effect": "Deny", "Action": ["iam:SimulatePrincipalPolicy", "cloudtrail:*"]}
    gate.policies["OPERATOR"] = [{"Statement": [allowed, denied]}]

    run = installed.run("doctor.sh")

    del gate.policies["OPERATOR"]
    assert run.status == 1
    assert "PROBLEM" not in run.output
    assert "UNKNOWN  the trail in eu-west-1\n" in run.output
    assert "The right iam:SimulatePrincipalPolicy is missing." in run.output


def test_a_closed_snapshot_needs_no_confirmation(installed: Installed) -> None:
    installed.finish("s-1")

    run = installed.run("confirm.sh")

    assert (run.status, "there is nothing to confirm" in run.output) == (0, True), run.output
    assert installed.invoked == []


def test_what_the_brake_held_is_shown_and_goes_with_a_confirmed_snapshot(installed: Installed) -> None:
    installed.finish("s-1", **BRAKED)
    ids = [f'arn:aws:sqs:eu-west-1:123456789012:queue "{number:02}"' for number in range(30)]
    body = json.dumps({"ids": ids}, indent=2).encode()
    installed.account.client("s3").put_object(Bucket=installed.bucket, Key=f"state/seen/{HELD}", Body=body)

    run = installed.run("confirm.sh")

    assert run.status == 0, run.output
    assert "held back that 30 of 40 components go." in run.output
    assert '\n  arn:aws:sqs:eu-west-1:123456789012:queue \\"19\\"\n  and 10 more: s3://' in run.output
    [(name, event)] = installed.invoked
    assert (name, event["confirmed"]) == (CRON, True)
    assert f"Snapshot {event['snapshot']} of " in run.output


def test_a_snapshot_that_is_not_closed_even_so_is_no_success(installed: Installed) -> None:
    installed.finish("s-1", not_closed_because=["sqs could not be read"])
    installed.after = {"not_closed_because": ["changes came too fast to begin between them"]}

    run = installed.run("confirm.sh")

    assert run.status == 1
    assert "changes came too fast" in run.output
    assert "the snapshot is not closed even so" in run.output


def test_another_snapshot_that_ends_first_is_told_from_the_confirmed_one(installed: Installed) -> None:
    installed.finish("s-1", not_closed_because=["sqs could not be read"])
    installed.named = "s-of-the-schedule"

    run = installed.run("confirm.sh")

    assert (run.status, "another snapshot was under way. When it has ended (./status.sh" in run.output) == (1, True), (
        run.output
    )


def test_a_snapshot_that_does_not_end_is_not_waited_for_forever(installed: Installed) -> None:
    installed.finish("s-1", not_closed_because=["sqs could not be read"])
    installed.named = "s-1"

    run = installed.run("confirm.sh", WAIT_SECONDS="3")

    assert (run.status, "the snapshot is not over yet" in run.output) == (1, True), run.output


# What no run below takes, and why it is there all the same.
NOT_TAKEN = {
    "sts:GetCallerIdentity": "AWS refuses it to nobody; listed for those who read the document",
    "states:StartExecution": "confirm.sh, where Step Functions leads the snapshot",
    "states:DescribeExecution": "the same",
    "sqs:SendMessage": "AWS asks for it, and for the next, of who starts to move messages from queue to queue",
    "sqs:DeleteMessage": "the same",
}


def test_the_document_for_operators_has_what_the_scripts_take_and_no_other_action(installed: Installed) -> None:
    gate = installed.account.gate
    assert gate
    gate.policies["OPERATOR"] = [policy("Operate")]
    gate.used.pop("OPERATOR", None)
    s3, sqs = installed.account.client("s3"), installed.account.client("sqs")
    record = json.dumps({"record": base64.b64encode(b"record").decode()}, indent=2).encode()
    s3.put_object(Bucket=installed.bucket, Key="dead-letters/refused/x.json", Body=record)
    dead = sqs.get_queue_url(QueueName="stackstate-topo-cwevents-dead-letters")["QueueUrl"]
    sqs.send_message(QueueUrl=dead, MessageBody="{}")
    installed.finish("s-1", not_closed_because=["sqs could not be read"])

    looked = installed.run("status.sh")
    runs = [installed.run("doctor.sh"), installed.run("confirm.sh")]
    letters = (["list"], ["show", "change-events"], ["replay", "change-events"], ["replay", "dead-letters/refused/"])
    runs += [installed.run("dead-letters.sh", *command) for command in letters]

    del gate.policies["OPERATOR"]
    assert [run.output for run in runs if run.status] == []
    assert "is not known" not in looked.output
    assert gate.used["OPERATOR"] - actions("Operate") == set()
    assert actions("Operate") - gate.used["OPERATOR"] - NOT_TAKEN.keys() == set()
