"""The policy that users download lets the functions read everything, and has no action too many."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from local.account import Account
from local.account.estate import build_estate
from local.account.iam import Gate
from topology import collect
from topology.elements import Component, Incomplete, LeftOut
from topology.resources import ALL

POLICY = json.loads((Path(__file__).resolve().parents[3] / "policies/sts-topo-cron-policy.json").read_text())
READER = "READER"
# What only a look after an event calls, and what the estate gives no reason to call.
NOT_CALLED = {
    "autoscaling:DescribeAutoScalingInstances",
    "cloudformation:DescribeChangeSet",
    "dynamodb:ListTagsOfResource",
    "ecs:DescribeContainerInstances",
    "ecs:DescribeTasks",
    "firehose:ListTagsForDeliveryStream",
    "kinesis:ListTagsForStream",
    "lambda:GetEventSourceMapping",
    "lambda:GetFunctionConfiguration",
    "lambda:ListTags",
    "rds:DescribeBlueGreenDeployments",
    "route53domains:ListTagsForDomain",
    "servicediscovery:GetNamespace",
    "servicediscovery:GetOperation",
    "servicediscovery:GetService",
    "servicediscovery:ListInstances",
    "servicediscovery:ListServices",
    "sns:ListSubscriptionsByTopic",
    "sns:ListTagsForResource",
    "sqs:ListQueueTags",
    "s3:GetBucketLocation",
    "s3:GetBucketTagging",
}


@pytest.fixture
def gate(account: Account) -> Iterator[Gate]:
    build_estate(account.client)
    account.gate = Gate({READER: [POLICY]})
    yield account.gate
    account.gate = None


def findings(account: Account) -> list[collect.Found]:
    session: Any = boto3.Session(READER, "secret", region_name=account.region)
    opened = collect.Account.open(session, account.account_id, (account.region,), ALL)
    return list(collect.snapshot([opened]))


def actions() -> set[str]:
    return {action for statement in POLICY["Statement"] for action in statement["Action"]}


def test_a_snapshot_needs_every_action_of_the_policy_and_no_other(
    account: Account, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", account.endpoint)

    found = findings(account)
    assert not gate.denied
    assert not [one for one in found if isinstance(one, Incomplete | LeftOut)]
    reads = [one for one in found if isinstance(one, collect.Read)]
    assert len([one for read in reads for one in read.elements if isinstance(one, Component)]) > 100

    gate.policies[READER] = []
    missing = {one.error.action for one in findings(account) if isinstance(one, Incomplete | LeftOut)}
    # Without any right, what is asked first fails; what it would have led to is not asked.
    assert missing <= actions()

    for action in sorted(actions() - NOT_CALLED):
        gate.policies[READER] = [POLICY, {"Statement": [{"Effect": "Deny", "Action": action}]}]
        named = {one.error.action for one in findings(account) if isinstance(one, Incomplete | LeftOut)}
        assert named == {action}, action
