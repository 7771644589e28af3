"""The policy that a preview names is all that it needs."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from moto.moto_api._internal.models import moto_api_backend

from local.account.estate import build_estate
from local.account.iam import Gate
from local.account.server import Account, running_account
from preview.reading import POLICY
from tests.preview.conftest import Command

ROOT = Path(__file__).resolve().parent.parent.parent
READER = "READER"


@pytest.fixture
def gated(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    """The sample estate, where one access key may do what the policy allows, and nothing else."""
    # What other tests of this process left in moto would be in the account as well.
    moto_api_backend.reset()
    with running_account(gate=Gate()) as account:
        build_estate(account.client)
        monkeypatch.setenv("AWS_ENDPOINT_URL", account.endpoint)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", READER)
        yield account


def allow(account: Account, *actions: str) -> None:
    assert account.gate
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    account.gate.policies[READER] = [{"Statement": [statement]}]


def test_the_policy_lets_everything_be_read_and_the_lack_of_one_action_is_told(
    gated: Account, command: Command
) -> None:
    [statement] = json.loads((ROOT / POLICY).read_text())["Statement"]
    actions = statement["Action"]

    allow(gated, *actions)
    whole = command()
    assert whole.status == 0, whole.output

    allow(gated, *(action for action in actions if action != "sqs:ListQueues"))
    part = command("--diff", str(whole.json))
    assert part.status == 2
    assert part.document["missing_actions"] == ["sqs:ListQueues"]

    allow(gated)
    none = command()
    assert none.status == 1
    assert POLICY in none.output
