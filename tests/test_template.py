"""The template, walked as it would be deployed in each mode: the code gets what it needs, nothing leads nowhere."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore import xform_name

from local.account.template import parse
from tools.check_template import DEPLOYMENTS, PSEUDO, deployed, resolved
from topology.settings import VARIABLES, Settings

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "template.yaml").read_text()
TEMPLATE = parse(TEXT)
FUNCTIONS = {
    "topo-cron": "TopoCronFunction",
    "topo-cwevents": "TopoCwEventsFunction",
    "topo-publisher": "TopoPublisherFunction",
}
FULL, MINIMAL = "full", "minimal"
# What each function calls besides what the declarations say, and where Lambda calls in its name.
CALLS = {
    ("TopoCronFunction", FULL): ["kinesis:PutRecords stream"],
    ("TopoCronFunction", MINIMAL): ["secretsmanager:GetSecretValue secret", "s3:PutObject bucket/dead-letters/x"],
    ("TopoCwEventsFunction", FULL): [
        "kinesis:PutRecords stream",
        "sqs:ReceiveMessage queue",
        "sqs:DeleteMessage queue",
        "sqs:GetQueueAttributes queue",
    ],
    ("TopoPublisherFunction", FULL): [
        "secretsmanager:GetSecretValue secret",
        "s3:PutObject bucket/dead-letters/x",
        "s3:GetObject bucket/state/1/delivery.json",
        "s3:PutObject bucket/state/1/delivery.json",
        "s3:PutObject bucket/aws/lambda/x",
        "s3:ListBucket bucket",
        "kinesis:GetRecords stream",
        "kinesis:GetShardIterator stream",
        "kinesis:DescribeStreamSummary stream",
        "kinesis:ListShards stream",
    ],
}
ARNS = {
    "stream": "arn:aws:kinesis:eu-west-1:123456789012:stream/stream",
    "queue": "arn:aws:sqs:eu-west-1:123456789012:changequeue",
    "bucket": "arn:aws:s3:::statebucket",
    "secret": DEPLOYMENTS[FULL]["StackStateApiKeySecretArn"],
}
LOGS = ["logs:CreateLogStream", "logs:PutLogEvents"]


@pytest.fixture(scope="module", params=DEPLOYMENTS)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def resources(mode: str) -> dict[str, dict[str, Any]]:
    return resolved(deployed(TEMPLATE, DEPLOYMENTS[mode]))


def functions(mode: str) -> dict[str, dict[str, Any]]:
    return {n: r["Properties"] for n, r in resources(mode).items() if r["Type"] == "AWS::Lambda::Function"}


def environment(function: dict[str, Any]) -> dict[str, str]:
    return dict(function["Environment"]["Variables"])


def role_of(found: dict[str, dict[str, Any]], function: str) -> list[dict[str, Any]]:
    """The statements of a function's role, those of its managed policies included."""
    name = found[function]["Properties"]["Role"].rsplit("/", 1)[1]
    role = next(r["Properties"] for n, r in found.items() if n.lower() == name and r["Type"] == "AWS::IAM::Role")
    documents = [policy["PolicyDocument"] for policy in role.get("Policies", [])]
    for arn in role.get("ManagedPolicyArns", []):
        documents += [r["Properties"]["PolicyDocument"] for n, r in found.items() if n.lower() == arn.rsplit("/", 1)[1]]
    return [statement for document in documents for statement in document["Statement"]]


def allows(statements: list[dict[str, Any]], action: str, arn: str) -> bool:
    def listed(value: Any) -> list[str]:
        return value if isinstance(value, list) else [value]

    return any(
        any(fnmatchcase(action, pattern) for pattern in listed(statement["Action"]))
        and any(fnmatchcase(arn, pattern) for pattern in listed(statement["Resource"]))
        for statement in statements
    )


def test_every_reference_leads_to_something_that_is_deployed(mode: str) -> None:
    assert resources(mode)


def test_minimal_is_topo_cron_alone(mode: str) -> None:
    found = functions(mode)

    assert set(found) == ({"TopoCronFunction"} if mode.startswith(MINIMAL) else set(FUNCTIONS.values()))


def test_the_settings_take_the_environment_of_every_function(mode: str) -> None:
    for name, function in functions(mode).items():
        settings = Settings.from_environment(environment(function) | {"AWS_REGION": "eu-west-1"})

        sends = name == "TopoPublisherFunction" or mode.startswith(MINIMAL)
        assert bool(settings.base_url) == bool(settings.api_key_secret) == bool(settings.dead_letter_bucket) == sends
        assert bool(settings.stream) == (name != "TopoPublisherFunction" and not mode.startswith(MINIMAL))


def test_the_variables_are_those_that_the_code_reads() -> None:
    given = {name for mode in DEPLOYMENTS for function in functions(mode).values() for name in environment(function)}

    # The key itself in a variable is for runs without AWS.
    assert {name for name in given if not name.startswith("POWERTOOLS_")} == set(VARIABLES) - {"STACKSTATE_API_KEY"}


def test_every_handler_starts_with_its_environment_alone(mode: str) -> None:
    for name, function in functions(mode).items():
        module, attribute = function["Handler"].rsplit(".", 1)
        lambda_gives = {"AWS_REGION": "eu-west-1", "AWS_LAMBDA_FUNCTION_NAME": name, "PATH": os.environ["PATH"]}

        run = subprocess.run(
            [sys.executable, "-c", f"from {module} import {attribute} as handler; assert callable(handler)"],
            cwd=ROOT / "functions",
            env=environment(function) | lambda_gives,
            capture_output=True,
            text=True,
            check=False,
        )

        assert run.returncode == 0, run.stderr


@pytest.mark.parametrize(("function", "mode"), CALLS, ids=[" ".join(key) for key in CALLS])
def test_a_role_allows_what_its_function_calls(function: str, mode: str) -> None:
    found = resources(mode)
    statements = role_of(found, function)

    for call in CALLS[function, mode]:
        action, target = call.split()
        name, _, rest = target.partition("/")
        assert allows(statements, action, ARNS[name] + (f"/{rest}" if rest else "")), call
    group = function.removesuffix("Function").lower() + "loggroup"
    for action in LOGS:
        assert allows(statements, action, f"arn:aws:logs:eu-west-1:123456789012:log-group:{group}:*")
    assert not allows(statements, "logs:CreateLogGroup", "*")


def test_the_calls_above_are_those_of_the_code() -> None:
    session = boto3.Session(region_name="eu-west-1")
    actions: dict[str, str] = {}
    for service in ("kinesis", "s3", "secretsmanager", "sqs"):
        names = session.client(service).meta.service_model.operation_names
        actions |= {xform_name(name): f"{service}:{name}" for name in names}
    called = set()
    for path in (ROOT / "functions/topology").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in actions:
                called.add(actions[node.func.attr])

    assert called <= {call.split()[0] for calls in CALLS.values() for call in calls}


def test_no_role_but_those_that_read_the_account_may_read_it() -> None:
    found = resources(FULL)
    instances = ("ec2:DescribeInstances", "*")

    assert allows(role_of(found, "TopoCronFunction"), *instances)
    assert allows(role_of(found, "TopoCwEventsFunction"), *instances)
    assert not allows(role_of(found, "TopoPublisherFunction"), *instances)


def test_a_boundary_and_a_path_apply_to_every_role() -> None:
    options = DEPLOYMENTS["full, with every option"] | {"TopoCronRoleArn": ""}
    roles = [
        resource["Properties"]
        for resource in resolved(deployed(TEMPLATE, options)).values()
        if resource["Type"] == "AWS::IAM::Role"
    ]

    assert len(roles) == len(FUNCTIONS)
    assert {role["Path"] for role in roles} == {options["RolePath"]}
    assert {role["PermissionsBoundary"] for role in roles} == {options["PermissionsBoundaryArn"]}


def test_a_record_is_set_aside_before_the_stream_forgets_it() -> None:
    found = resources(FULL)
    mapping = found["TopoPublisherRecords"]["Properties"]

    assert mapping["MaximumRecordAgeInSeconds"] < found["Stream"]["Properties"]["RetentionPeriodHours"] * 3600
    assert mapping["DestinationConfig"]["OnFailure"]["Destination"] == ARNS["bucket"]
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert (mapping["MaximumRetryAttempts"], mapping["ParallelizationFactor"]) == (-1, 1)


def test_the_alarms_watch_the_metrics_that_the_functions_write(mode: str) -> None:
    found = resources(mode)
    services = {environment(function)["POWERTOOLS_SERVICE_NAME"] for function in functions(mode).values()}
    own = [r["Properties"] for r in found.values() if r["Properties"].get("Namespace") == "StackState/Topology"]

    assert {alarm["MetricName"] for alarm in own} >= {"ReceiverMisconfigured", "DeadLetters"}
    for alarm in own:
        [dimension] = alarm["Dimensions"]
        assert dimension["Name"] == "service"
        assert dimension["Value"] in services
        assert dimension["Value"].startswith("topo-cron" if mode.startswith(MINIMAL) else "topo-publisher")


def test_a_message_stays_hidden_for_longer_than_its_function_may_run() -> None:
    found = resources(FULL)

    hidden = found["ChangeQueue"]["Properties"]["VisibilityTimeout"]
    assert hidden > found["TopoCwEventsFunction"]["Properties"]["Timeout"]


def test_every_event_rule_feeds_the_queue_and_loses_nothing() -> None:
    rules = {n: r["Properties"] for n, r in resources(FULL).items() if r["Type"] == "AWS::Events::Rule"}
    schedule = rules.pop("TopoCronFunctionSchedule")

    assert schedule["ScheduleExpression"] == "rate(1 hour)"
    assert rules
    for rule in rules.values():
        [target] = rule["Targets"]
        assert target["Arn"] == ARNS["queue"]
        assert target["DeadLetterConfig"]["Arn"] == "arn:aws:sqs:eu-west-1:123456789012:changedeadletterqueue"


def test_the_rules_have_the_names_that_the_queue_admits() -> None:
    found = resources(FULL)
    [statement] = found["ChangeQueuePolicy"]["Properties"]["PolicyDocument"]["Statement"]
    rules = [r["Properties"] for r in found.values() if r["Type"] == "AWS::Events::Rule"]

    assert not any("Name" in rule for rule in rules)
    assert statement["Condition"]["ArnLike"]["aws:SourceArn"].endswith(f":rule/{PSEUDO['AWS::StackName']}-*")


def test_every_parameter_is_described_grouped_and_used() -> None:
    groups = TEMPLATE["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    grouped = [name for group in groups for name in group["Parameters"]]

    assert sorted(grouped) == sorted(TEMPLATE["Parameters"])
    assert all(parameter["Description"] for parameter in TEMPLATE["Parameters"].values())
    assert all(len(re.findall(rf"\b{name}\b", TEXT)) > 2 for name in grouped)


def test_the_api_key_is_never_shown() -> None:
    assert TEMPLATE["Parameters"]["StackStateApiKey"]["NoEcho"] is True
    assert set(re.findall(r".*!Ref StackStateApiKey\b(?!S).*", TEXT)) - {
        line for line in TEXT.splitlines() if "Assert:" in line or "HasApiKey:" in line
    } == {"      SecretString: !Ref StackStateApiKey"}


def test_the_version_is_that_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert TEMPLATE["Mappings"]["Agent"]["Release"]["Version"] == project["version"]
