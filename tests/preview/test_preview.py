"""A preview shows what topo-cron would send, sends nothing, and says what it could not read."""

import os

import boto3
import pytest

from bench.measure import Server
from preview.account import Wanted, opened
from preview.reading import bearer
from tests.account import ACCOUNT_ID, REGION, findings
from tests.preview.conftest import Command, deny
from topology.collect import snapshot


def test_everything_in_the_account_is_shown(server: Server, command: Command) -> None:
    result = command()

    assert result.status == 0
    assert server.unseen(frozenset(result.ids())) == {}
    assert result.document["outcome"] == "all"


def test_the_elements_are_those_of_a_snapshot(server: Server, command: Command) -> None:
    account = opened(Wanted(), os.environ).account
    found = findings(account, list(snapshot([account])))

    result = command()

    assert result.ids() == set(found.components)
    names = {each["externalId"]: each["data"] for each in result.document["components"]}
    assert names == {id_: component.data for id_, component in found.components.items()}


def test_only_reads_are_made_and_all_of_them_are_counted(server: Server, command: Command) -> None:
    calls = command().document["calls"]

    report = server.ask("/__calls")
    made = {name: entry["calls"] for name, entry in report["by_operation"].items()}
    assert all(name.split(":")[1].startswith(("Batch", "Describe", "Get", "List")) for name in made)
    assert calls["by_service"] == report["by_service"]
    assert calls["total"] == sum(made.values())
    assert calls["by_region"]["us-east-1"].keys() == {"route53", "route53domains"}
    assert sum(sum(services.values()) for services in calls["by_region"].values()) == calls["total"]


def test_calls_and_time_are_told_by_service_and_region(server: Server, command: Command) -> None:
    result = command()

    calls = result.document["calls"]
    rows = {line.split()[0]: line.split() for line in result.output.splitlines() if line.strip()}
    assert rows["sqs"][1] == str(calls["by_service"]["sqs"])
    assert rows["us-east-1"][2] == str(sum(calls["by_region"]["us-east-1"].values()))
    assert float(rows["sqs"][2]) >= 0


def test_regions_for_which_the_terminal_is_too_narrow_have_a_table_of_their_own(
    aws: boto3.Session, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    aws.client("sqs", REGION).create_queue(QueueName="orders")

    output = command("--regions", f"{REGION},us-east-1,us-west-2,eu-central-1,ap-south-1").output

    assert max(len(line) for line in output.splitlines() if not line.startswith(("Look", "Data"))) <= 60
    rows = [line.split() for line in output.splitlines()]
    assert ["aws.sqs", "1", "1"] in rows
    assert "By region" in output


def test_counts_are_told_by_type_and_region(server: Server, command: Command) -> None:
    result = command()

    types = result.document["counts"]["components"]
    assert set(types["aws.sqs"]) == {REGION}
    assert set(types["aws.route53.hostedzone"]) == {"us-east-1"}
    assert sum(count for regions in types.values() for count in regions.values()) == len(result.ids())
    row = next(line.split() for line in result.output.splitlines() if "aws.sqs" in line)
    assert row == ["aws.sqs", *[str(types["aws.sqs"][REGION])] * 2]
    relations = result.document["counts"]["relations"]
    assert sum(relations.values()) == len(result.document["relations"])


def test_progress_goes_to_the_end_beside_the_output(server: Server, command: Command) -> None:
    result = command()

    for region in (REGION, "us-east-1"):
        [line] = [line for line in result.errors.splitlines() if f"Reading {region}" in line]
        done, total = next(word for word in line.split() if "/" in word).split("/")
        assert done == total
    assert "Reading" not in result.output


def test_secrets_are_masked(server: Server, command: Command) -> None:
    functions = [each["data"] for each in command().document["components"] if each["type"]["name"] == "aws.lambda"]

    values = {value for each in functions for value in each["Environment"]["Variables"].values()}
    assert values == {"********"}


def test_a_scope_that_is_denied_is_told_with_its_action_and_the_policy(server: Server, command: Command) -> None:
    whole = command().ids()
    deny(server, "sqs:ListQueues")

    result = command()

    assert result.status == 2
    assert all(":sqs:" in id_ for id_ in whole - result.ids())
    assert result.document["missing_actions"] == ["sqs:ListQueues"]
    [scope] = [scope for scope in result.document["ledger"]["scopes"] if not scope["complete"]]
    assert (scope["region"], scope["service"]) == (REGION, "sqs")
    assert "sqs:ListQueues" in result.output
    assert "policies/sts-topo-cron-policy.json" in result.output
    assert "removes nothing" in result.output
    assert "the user moto" in result.output


@pytest.mark.parametrize(
    ("identity", "whom"),
    [
        ("arn:aws:iam::123456789012:user/team/ann", "the user team/ann"),
        ("arn:aws:sts::123456789012:assumed-role/reader/botocore-session-1", "the role reader"),
        (
            "arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_View_Only_0123456789abcdef/ann",
            "the permission set View_Only",
        ),
        ("arn:aws:iam::123456789012:root", "arn:aws:iam::123456789012:root"),
    ],
)
def test_a_policy_is_said_to_be_attached_to_what_takes_one(identity: str, whom: str) -> None:
    assert bearer(identity) == whom


def test_a_detail_that_is_denied_is_told_with_its_action_and_costs_no_component(
    server: Server, command: Command
) -> None:
    whole = command().ids()
    deny(server, "sqs:ListQueueTags", "s3:GetBucketNotificationConfiguration")

    result = command()

    assert result.status == 2
    assert result.ids() == whole
    assert "s3:GetBucketNotification" in result.document["missing_actions"]
    assert "Details that are missing" in result.output
    assert "Not read to the end" not in result.output
    assert "removes nothing" not in result.output


def test_what_an_organization_forbids_is_not_asked_of_the_policy(
    server: Server, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    deny(server, "sqs:ListQueues")
    # Only AWS's own message tells the two apart, and the account has none of an organization.
    monkeypatch.setattr("topology.aws.SERVICE_CONTROL_POLICY", "not authorized")

    result = command()

    assert result.document["missing_actions"] == []
    assert result.document["forbidden_actions"] == ["sqs:ListQueues"]
    assert "no policy of the account can allow" in result.output
    assert "policies/" not in result.output


def test_where_nothing_can_be_read_nothing_is_said_about_what_there_is(server: Server, command: Command) -> None:
    services = {name.split(":")[0] for name in _operations(server, command)} - {"sts"}
    deny(server, *(f"{service}:*" for service in services))

    result = command()

    assert result.status == 1
    assert result.document["components"] == []
    assert f"Nothing could be read in {REGION}" in result.output
    assert "Everything" not in result.output
    assert result.html.exists()


def _operations(server: Server, command: Command) -> list[str]:
    command()
    return list(server.ask("/__calls")["by_operation"])


def test_an_empty_account_was_read_to_the_end_and_has_nothing(aws: boto3.Session, command: Command) -> None:
    result = command()

    assert result.status == 0
    assert result.document["components"] == []
    assert f"Everything in {REGION} was read, and there is nothing to show" in result.output
    assert result.document["missing_actions"] == []


def test_several_regions_are_read_and_named(aws: boto3.Session, command: Command) -> None:
    for region in ("eu-west-1", "us-west-2"):
        aws.client("sqs", region).create_queue(QueueName="orders")

    result = command("--regions", "eu-west-1,us-west-2")

    queues = {id_ for id_ in result.ids() if ":sqs:" in id_}
    assert queues == {f"arn:aws:sqs:{region}:{ACCOUNT_ID}:orders" for region in ("eu-west-1", "us-west-2")}
    assert result.document["counts"]["components"]["aws.sqs"] == {"eu-west-1": 1, "us-west-2": 1}


def test_an_account_is_read_with_a_role(aws: boto3.Session, command: Command) -> None:
    role = "arn:aws:iam::210987654321:role/reader"

    result = command("--role-arn", role, "--external-id", "secret")

    assert result.status == 0
    assert result.document["account"] == "210987654321"
    assert ":assumed-role/reader/" in result.document["identity"]
    assert result.document["calls"]["by_service"]["sts"] == 3
