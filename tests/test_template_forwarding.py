"""forwarding.yaml and cross-account.yaml: what they forward, from where, and whom they let in."""

import tomllib
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from local.account.template import parse
from tools import derived
from tools.check_template import ACCOUNT, REGION, TEMPLATES, deployed, resolved
from topology.collect import GLOBAL_REGIONS
from topology.declare import Resource
from topology.resources import ALL

ROOT = Path(__file__).parents[1]
PARSED = {name: parse((ROOT / name).read_text()) for name in TEMPLATES}
FORWARDING, CROSS_ACCOUNT = "forwarding.yaml", "cross-account.yaml"
BOTH = (FORWARDING, CROSS_ACCOUNT)
HOME_BUS = f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/default"
FORWARDS = [
    (FORWARDING, "another region"),
    (FORWARDING, "region of the global services"),
    (CROSS_ACCOUNT, "role and rules"),
    (CROSS_ACCOUNT, "rules"),
]


def found(template: str, deployment: str) -> dict[str, dict[str, Any]]:
    return resolved(deployed(PARSED[template], TEMPLATES[template][deployment]))


def rules(resources: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {n: r["Properties"] for n, r in resources.items() if r["Type"] == "AWS::Events::Rule"}


@pytest.mark.parametrize(("template", "deployment"), FORWARDS)
def test_what_is_forwarded_is_what_the_installation_listens_to(template: str, deployment: str) -> None:
    home = {name: rule["EventPattern"] for name, rule in rules(found("template.yaml", "full")).items()
            if "EventPattern" in rule}  # fmt: skip
    forwarded = {name: rule["EventPattern"] for name, rule in rules(found(template, deployment)).items()}

    assert all(home[name] == pattern for name, pattern in forwarded.items())
    global_ = {name for name, pattern in home.items() if derived.reach(pattern) is derived.Reach.GLOBAL}
    has_global = TEMPLATES[template][deployment].get("AWS::Region") == "us-east-1"
    assert home.keys() - forwarded.keys() == (set() if has_global else global_)


@pytest.mark.parametrize(("template", "deployment"), FORWARDS)
def test_every_rule_forwards_to_the_bus_of_the_installation_and_loses_nothing(template: str, deployment: str) -> None:
    resources = found(template, deployment)
    role = resources["ForwardRole"]["Properties"]
    [policy] = role["Policies"]

    assert policy["PolicyDocument"]["Statement"] == [
        {"Effect": "Allow", "Action": "events:PutEvents", "Resource": HOME_BUS}
    ]
    for rule in rules(resources).values():
        [target] = rule["Targets"]
        assert target["Arn"] == HOME_BUS
        assert target["RoleArn"].endswith("/forwardrole")
        assert target["DeadLetterConfig"]["Arn"].endswith(":deadletterqueue")


@pytest.mark.parametrize("template", BOTH)
def test_only_rules_of_this_account_and_region_can_use_the_role_that_forwards(template: str) -> None:
    deployment = {FORWARDING: "another region", CROSS_ACCOUNT: "rules"}[template]
    given = TEMPLATES[template][deployment]
    [statement] = found(template, deployment)["ForwardRole"]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    admitted = statement["Condition"]["ArnLike"]["aws:SourceArn"]

    assert statement["Principal"] == {"Service": "events.amazonaws.com"}
    own = f"arn:aws:events:{given['AWS::Region']}:{given.get('AWS::AccountId', ACCOUNT)}:rule/stack-SqsCalls-1"
    assert fnmatchcase(own, admitted)
    assert not fnmatchcase(own.replace(given.get("AWS::AccountId", ACCOUNT), "999999999999"), admitted)


@pytest.mark.parametrize(
    ("template", "deployment"),
    [(FORWARDING, "home"), (CROSS_ACCOUNT, "account of the installation"), (CROSS_ACCOUNT, "role alone")],
)
def test_nothing_is_forwarded_that_the_installation_has_already_or_does_not_want(
    template: str, deployment: str
) -> None:
    assert rules(found(template, deployment)) == {}


@pytest.mark.parametrize("template", BOTH)
def test_a_region_that_is_not_read_forwards_what_one_reading_answers_for(template: str) -> None:
    assert set(rules(found(template, "global services"))) == {
        "Route53Calls",
        "Route53domainsCalls",
        "S3Calls",
        "TagEvents",
        "TaggingCalls",
    }


def test_the_role_of_another_account_may_read_what_the_declarations_call_and_nothing_else() -> None:
    resources = found(CROSS_ACCOUNT, "role and rules")

    assert resources["ReadPolicy"]["Properties"]["PolicyDocument"]["Statement"] == derived.read_statements()
    role = resources["ReadRole"]["Properties"]
    assert [arn.rpartition("/")[2] for arn in role["ManagedPolicyArns"]] == ["readpolicy"]
    assert "Policies" not in role


def test_the_role_of_another_account_is_for_the_agent_alone_and_asks_for_the_external_id() -> None:
    given = TEMPLATES[CROSS_ACCOUNT]["role and rules"]
    [statement] = found(CROSS_ACCOUNT, "role and rules")["ReadRole"]["Properties"]["AssumeRolePolicyDocument"][
        "Statement"
    ]

    assert statement == {
        "Effect": "Allow",
        "Action": "sts:AssumeRole",
        "Principal": {"AWS": ACCOUNT},
        "Condition": {
            "ArnEquals": {"aws:PrincipalArn": given["MainRoleArns"].split(",")},
            "StringEquals": {"sts:ExternalId": given["ExternalId"]},
        },
    }
    assert "Default" not in PARSED[CROSS_ACCOUNT]["Parameters"]["ExternalId"]


def test_a_stack_set_over_regions_makes_the_role_once() -> None:
    assert "ReadRole" in found(CROSS_ACCOUNT, "role and rules")
    assert "ReadRole" not in found(CROSS_ACCOUNT, "rules")


def test_the_bus_admits_the_accounts_that_were_named_to_put_events() -> None:
    options = "full, with every option"
    policy = found("template.yaml", options)["ForwardingAccounts"]["Properties"]

    assert policy["Statement"] == {
        "Effect": "Allow",
        "Action": "events:PutEvents",
        "Principal": {"AWS": TEMPLATES["template.yaml"][options]["Accounts"].split(",")},
        "Resource": HOME_BUS,
    }
    assert "ForwardingAccounts" not in found("template.yaml", "full")


@pytest.mark.parametrize("template", BOTH)
def test_the_region_of_the_global_services_is_that_of_the_code(template: str) -> None:
    regions = {partition: entry["Name"] for partition, entry in PARSED[template]["Mappings"]["GlobalRegion"].items()}

    assert regions == {"aws": "us-east-1"} | GLOBAL_REGIONS


@pytest.mark.parametrize("template", BOTH)
def test_every_parameter_is_described_grouped_and_used(template: str) -> None:
    groups = PARSED[template]["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    text = (ROOT / template).read_text()

    assert sorted(n for group in groups for n in group["Parameters"]) == sorted(PARSED[template]["Parameters"])
    assert all(parameter["Description"] for parameter in PARSED[template]["Parameters"].values())
    assert all(f"Ref {name}" in text or f"${{{name}}}" in text for name in PARSED[template]["Parameters"])


@pytest.mark.parametrize("template", BOTH)
def test_the_version_is_that_of_the_project(template: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert PARSED[template]["Mappings"]["Agent"]["Release"]["Version"] == project["version"]


@pytest.mark.parametrize("template", BOTH)
def test_the_template_fits_into_a_call_without_a_bucket(template: str) -> None:
    assert (ROOT / template).stat().st_size < 51_200


def test_reach_is_the_widest_that_a_resource_of_the_source_needs() -> None:
    def source(resource: Resource) -> dict[str, Any]:
        return derived.api_pattern(resource.cloudtrail_source, ["Create"])

    reaches = {resource.kind: derived.reach(source(resource)) for resource in ALL if resource.changes}

    assert {kind for kind, reach in reaches.items() if reach is derived.Reach.GLOBAL} == {
        resource.kind for resource in ALL if resource.global_
    }
    assert {kind for kind, reach in reaches.items() if reach is derived.Reach.ACCOUNT} == {
        resource.kind for resource in ALL if resource.once
    }
