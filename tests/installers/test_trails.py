"""Which CloudTrail trail install.sh takes for one that brings change events, and when it makes its own."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from moto.cloudtrail.models import Trail, cloudtrail_backends

from local.account import Account, running_account
from local.account.iam import Gate
from tests.installers.conftest import Installer
from tests.installers.gated import reset

Make = Callable[..., Any]
MEMBER, MANAGEMENT = "123456789012", "999999999999"
# What install.sh does with trails, and no more.
CHECK = """#!/usr/bin/env bash
set -euo pipefail
suffix=""
here={folder}
. {folder}/installer/aws.sh
. {folder}/installer/preflight.sh
make_work_folder
connect
check_trail "" "" "$@"
say "--trail $trail"
"""
CUSTOM: dict[str, list[dict[str, Any]]] = {
    "no management events": [{"ReadWriteType": "All", "IncludeManagementEvents": False}],
    "reads alone": [{"ReadWriteType": "ReadOnly", "IncludeManagementEvents": True}],
}
ADVANCED: dict[str, list[dict[str, Any]]] = {
    "data events alone": [{"Field": "eventCategory", "Equals": ["Data"]}],
    "reads alone": [
        {"Field": "eventCategory", "Equals": ["Management"]},
        {"Field": "readOnly", "Equals": ["true"]},
    ],
}


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    """An account in this process, where there may be the trail of an organization."""
    with running_account(gate=Gate()) as account:
        reset(account)
        yield account
        reset(account)


@pytest.fixture
def check(release: Any, account: Account) -> Iterator[Callable[..., str]]:
    """Tells what install.sh finds for regions, and what it would do; ends with no trail left."""
    reset(account)
    script = release / "trails"
    script.write_text(CHECK.format(folder=release))
    script.chmod(0o755)
    for region in ("eu-west-1", "us-east-1"):
        where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        account.client("s3", region).create_bucket(Bucket=f"trails-{region}", **where)
    yield (
        lambda *regions, **environment: (
            Installer(release, account.endpoint).run("trails", *regions, **environment).output
        )
    )
    script.unlink()


def make_trail(account: Account, region: str = "eu-west-1", **options: Any) -> Any:
    """A trail that logs; gives the client of its home region."""
    client = account.client("cloudtrail", region)
    client.create_trail(Name="theirs", S3BucketName=f"trails-{region}", **options)
    client.start_logging(Name="theirs")
    return client


def join_organization(selectors: list[dict[str, Any]] | None = None) -> None:
    """What a member account sees of the trail that its organization's management account has in us-east-1."""
    trail = Trail(
        MEMBER, "us-east-1", "organization", "trails-us-east-1", "", "", True, True, True, True, "", "", ""
    )  # fmt: skip
    trail.account_id = MANAGEMENT
    trail.start_logging()
    if selectors:
        trail.put_event_selectors(selectors, [])
        shown = trail.description
        # moto says of every trail that it has no selectors of its own.
        trail.description = lambda include_region=False: shown(include_region) | {"HasCustomEventSelectors": True}
    cloudtrail_backends[MEMBER]["us-east-1"].trails["organization"] = trail


def forbid(account: Account, *actions: str) -> dict[str, str]:
    """The environment of a member who may not look into the organization's trail, as AWS has it."""
    assert account.gate
    denial = {"Effect": "Deny", "Action": list(actions)}
    account.gate.policies["MEMBER"] = [{"Statement": [{"Effect": "Allow", "Action": "*"}, denial]}]
    return {"AWS_ACCESS_KEY_ID": "MEMBER"}


def test_without_a_trail_one_is_made(check: Callable[..., str]) -> None:
    said = check("eu-west-1")

    assert "No CloudTrail trail logs write management events in eu-west-1, so the stack gets one of its own" in said
    assert said.endswith("--trail create\n")


def test_a_multi_region_trail_counts_in_other_regions_than_its_home(
    check: Callable[..., str], account: Account
) -> None:
    make_trail(account, "us-east-1", IsMultiRegionTrail=True)

    said = check("eu-west-1", "eu-central-1")

    assert (
        "Change events in eu-west-1 come by trail theirs.\nChange events in eu-central-1 come by trail theirs." in said
    )
    assert said.endswith("--trail existing\n")


def test_a_trail_of_one_region_counts_there_alone(check: Callable[..., str], account: Account) -> None:
    make_trail(account)

    said = check("eu-west-1", "eu-central-1")

    assert "Change events in eu-west-1 come by trail theirs." in said
    assert "No CloudTrail trail logs write management events in eu-central-1" in said
    assert "In the other regions it is a second trail, where CloudTrail takes $2 for 100,000 events." in said
    assert said.endswith("--trail create\n")


@pytest.mark.parametrize("selectors", CUSTOM.values(), ids=CUSTOM)
def test_a_trail_whose_selectors_leave_writes_out_does_not_count(
    check: Callable[..., str], account: Account, selectors: list[dict[str, Any]]
) -> None:
    make_trail(account).put_event_selectors(TrailName="theirs", EventSelectors=selectors)

    assert check("eu-west-1").endswith("--trail create\n")


@pytest.mark.parametrize("fields", ADVANCED.values(), ids=ADVANCED)
def test_a_trail_whose_advanced_selectors_leave_writes_out_does_not_count(
    check: Callable[..., str], account: Account, fields: list[dict[str, Any]]
) -> None:
    selectors = [{"Name": "one", "FieldSelectors": fields}]
    make_trail(account).put_event_selectors(TrailName="theirs", AdvancedEventSelectors=selectors)

    assert check("eu-west-1").endswith("--trail create\n")


def test_a_trail_whose_advanced_selectors_take_writes_in_counts(check: Callable[..., str], account: Account) -> None:
    fields = [{"Field": "eventCategory", "Equals": ["Management"]}, {"Field": "readOnly", "Equals": ["false"]}]
    selectors = [{"Name": "one", "FieldSelectors": fields}]
    make_trail(account).put_event_selectors(TrailName="theirs", AdvancedEventSelectors=selectors)

    assert check("eu-west-1").endswith("--trail existing\n")


@pytest.mark.parametrize(
    "denied", [[], ["cloudtrail:GetEventSelectors"], ["cloudtrail:GetEventSelectors", "cloudtrail:GetTrailStatus"]]
)
def test_the_trail_of_an_organization_counts_whatever_its_members_may_look_at(
    check: Callable[..., str], account: Account, denied: list[str]
) -> None:
    join_organization()

    said = check("eu-west-1", **forbid(account, *denied, "iam:None"))

    assert "Change events in eu-west-1 come by trail organization." in said
    assert said.endswith("--trail existing\n")


@pytest.mark.parametrize("denied", ["iam:None", "cloudtrail:GetEventSelectors"])
def test_the_trail_of_an_organization_that_may_leave_writes_out_does_not_count(
    check: Callable[..., str], account: Account, denied: str
) -> None:
    join_organization(CUSTOM["reads alone"])

    assert check("eu-west-1", **forbid(account, denied)).endswith("--trail create\n")


def test_a_trail_of_ones_own_that_may_not_be_looked_at_ends_the_run_with_the_right_that_is_missing(
    check: Callable[..., str], account: Account
) -> None:
    make_trail(account)

    said = check("eu-west-1", **forbid(account, "cloudtrail:GetEventSelectors"))

    assert "AWS does not tell whether a CloudTrail trail logs in eu-west-1" in said
    assert "The right cloudtrail:GetEventSelectors is missing." in said
    assert "--trail existing goes on with what there is, unseen; --trail create makes one." in said
