"""The gate lets the clean template through, and catches defects that were seen to slip past one linter or another."""

from pathlib import Path

import pytest

from local.account.template import parse
from tools.check_template import (
    DEPLOYMENTS,
    TEMPLATES,
    deployed,
    policy_findings,
    rule_findings,
    template_findings,
)

ROOT = Path(__file__).parents[1]
TEMPLATE = (ROOT / "template.yaml").read_text()

# Name of a defect: text of the template, what it becomes, and a part of the finding.
DEFECTS = {
    "a runtime in Globals that Lambda dropped": ("Runtime: python3.13", "Runtime: python3.5", "python3.5"),
    "a handler that is missing": ("      Handler: topo_cron.handler.lambda_handler\n", "", "Handler"),
    "a misspelt property of a mapping in a function": ("BatchSize: 500", "BatchSise: 500", "BatchSise"),
    "a misspelt property of a mapping": ("BatchSize: 100", "BatchSise: 100", "BatchSise"),
    "a mapping without starting position": ("      StartingPosition: TRIM_HORIZON\n", "", "StartingPosition"),
    "a batch that is too large": ("BatchSize: 500", "BatchSize: 100000", "100000"),
    "a Ref to a missing resource in Globals": ("LEVEL: !Ref LogLevel", "LEVEL: !Ref LogLevels", "LogLevels"),
    "a GetAtt of a missing resource": ("!GetAtt TopoCronRole.Arn", "!GetAtt TopoCronnRole.Arn", "TopoCronnRole"),
    "a GetAtt of a missing attribute": ("!GetAtt ChangeQueue.Arn", "!GetAtt ChangeQueue.Am", "Am"),
    "a bad schedule by default": ("Default: rate(1 hour)", "Default: rate(1 hours)", "hours"),
    "an unknown property of a function": ("      MemorySize: 1024", "      MemorySice: 1024", "MemorySice"),
    "too little memory": ("      MemorySize: 1024", "      MemorySize: 64", "64"),
    "an unknown property of the stream": ("RetentionPeriodHours: 72", "RetentionHours: 72", "RetentionHours"),
    "an unknown condition": ("    Condition: NeedsReadPolicy", "    Condition: NeedsPolicy", "NeedsPolicy"),
    "an unknown operator of an alarm": ("GreaterThanThreshold", "MoreThanThreshold", "MoreThanThreshold"),
    "a misspelt IAM action": ("lambda:ListAliases", "lambda:ListAliasses", "ListAliasses"),
    "an action that its resource cannot have": (
        "kinesis:ListShards, kinesis:PutRecords]\n                  Resource: !GetAtt Stream.Arn",
        "kinesis:ListShards, kinesis:PutRecords]\n                  Resource: !GetAtt ChangeQueue.Arn",
        "RESOURCE_MISMATCH",
    ),
    "a right on everything that one could narrow": ("Resource: !GetAtt TopoCronLogGroup.Arn", 'Resource: "*"', "STAR"),
    "a rule that a default satisfies": (
        "    Assertions:\n      - Assert: !Not [!And [!Equals",
        "    Assertions:\n      - Assert: !Not [!Equals [!Ref LogLevel, \"\"]]\n      - Assert: !Not [!And [!Equals",
        "OneApiKey can never fail",
    ),
    "a rule that nothing satisfies": (
        "      - Assert: !Not [!Equals [!Ref VpcSecurityGroupIds, \"\"]]",
        "      - Assert: !Equals [!Ref LogLevel, \"\"]",
        "SubnetsNeedSecurityGroups can never hold",
    ),
    "text that is no YAML": ("Parameters:\n", "Parameters: [\n", "YAML"),
}  # fmt: skip


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_templates_are_clean_in_every_deployment(name: str) -> None:
    assert template_findings((ROOT / name).read_text(), TEMPLATES[name]) == []


@pytest.mark.parametrize(("found", "seeded", "told"), DEFECTS.values(), ids=DEFECTS)
def test_the_gate_catches(found: str, seeded: str, told: str) -> None:
    assert found in TEMPLATE
    findings = template_findings(TEMPLATE.replace(found, seeded, 1), {"full": DEPLOYMENTS["full"]})

    assert any(told in finding for finding in findings), findings


def test_the_gate_catches_a_reference_to_what_one_deployment_lacks() -> None:
    seeded = TEMPLATE.replace(
        "TOPOLOGY_STREAM: !If [Full, !Ref Stream, !Ref AWS::NoValue]", "TOPOLOGY_STREAM: !Ref Stream"
    )

    findings = template_findings(seeded, {"minimal": DEPLOYMENTS["minimal"]})

    assert "minimal: Stream is referred to, but not deployed" in findings


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_deployments_take_both_branches_of_every_condition(name: str) -> None:
    template = parse((ROOT / name).read_text())
    scopes = [deployed(template, parameters) for parameters in TEMPLATES[name].values()]

    for condition in template["Conditions"]:
        assert {scope.condition(condition) for scope in scopes} == {True, False}, condition


def test_a_policy_of_an_unknown_action_is_told_with_the_name_of_its_file() -> None:
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sqs:ReadMessage", "Resource": "*"}]}

    assert policy_findings("read.json", policy) == ["read.json: UNKNOWN_ACTION Unknown action sqs:ReadMessage"]


def test_a_rule_that_its_parameters_patterns_make_idle_is_told() -> None:
    template = {
        "Parameters": {"Name": {"Type": "String", "Default": "a", "AllowedPattern": "^[a-z]+$"}},
        "Rules": {"Named": {"Assertions": [{"Assert": {"Fn::Not": [{"Fn::Equals": [{"Ref": "Name"}, ""]}]}}]}},
    }

    assert rule_findings(template, {}) == ["rule Named can never fail: "]
