"""The template, walked as it would be deployed in each mode: the code gets what it needs, nothing leads nowhere."""

import ast
import json
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
from tools.check_template import DEPLOYMENTS, deployed, resolved
from topology.settings import VARIABLES, Settings
from topology.spread import LAST_ATTEMPT, PASSING, SILENCE_SECONDS

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "template.yaml").read_text()
TEMPLATE = parse(TEXT)
FUNCTIONS = {
    "topo-cron": "TopoCronFunction",
    "topo-cwevents": "TopoCwEventsFunction",
    "topo-publisher": "TopoPublisherFunction",
}
FULL, MINIMAL = "full", "minimal"
READS_STREAM = ["kinesis:GetRecords stream", "kinesis:GetShardIterator stream", "kinesis:ListShards stream"]
KEEPS_STATE = [
    "s3:GetObject bucket/state/1/x",
    "s3:PutObject bucket/state/1/x",
    "s3:DeleteObject bucket/state/1/x",
    "s3:ListBucket bucket",
]
# Actions that allow a call of another name.
BATCHES = {"sqs:SendMessageBatch": "sqs:SendMessage"}
# What each function calls besides what the declarations say, and where Lambda calls in its name.
CALLS = {
    ("TopoCronFunction", FULL): ["kinesis:PutRecords stream", *READS_STREAM, *KEEPS_STATE],
    ("TopoCronFunction", MINIMAL): [
        "secretsmanager:GetSecretValue secret",
        "s3:PutObject bucket/dead-letters/1/x",
        *KEEPS_STATE,
    ],
    ("TopoCwEventsFunction", FULL): [
        "kinesis:PutRecords stream",
        *READS_STREAM,
        "s3:GetObject bucket/state/1/scopes/x",
        "s3:ListBucket bucket",
        "sqs:SendMessage queue",
        "sqs:ReceiveMessage queue",
        "sqs:DeleteMessage queue",
        "sqs:GetQueueAttributes queue",
    ],
    ("TopoPublisherFunction", FULL): [
        "secretsmanager:GetSecretValue secret",
        "s3:PutObject bucket/dead-letters/1/x",
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
                action = actions[node.func.attr]
                called.add(BATCHES.get(action, action))

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

    # Those of the functions, of the state machine and of its schedule.
    assert len(roles) == len(FUNCTIONS) + 2
    assert {role["Path"] for role in roles} == {options["RolePath"]}
    assert {role["PermissionsBoundary"] for role in roles} == {options["PermissionsBoundaryArn"]}


def test_a_record_is_set_aside_before_the_stream_forgets_it() -> None:
    found = resources(FULL)
    mapping = found["TopoPublisherRecords"]["Properties"]

    assert mapping["MaximumRecordAgeInSeconds"] < found["Stream"]["Properties"]["RetentionPeriodHours"] * 3600
    assert mapping["DestinationConfig"]["OnFailure"]["Destination"] == ARNS["bucket"]
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert (mapping["MaximumRetryAttempts"], mapping["ParallelizationFactor"]) == (-1, 1)


def own_metrics(found: dict[str, dict[str, Any]]) -> list[tuple[str, str]]:
    """Name and service of every metric of the functions' own that alarms watch or the dashboard shows."""
    alarms = [r["Properties"] for r in found.values() if r["Type"] == "AWS::CloudWatch::Alarm"]
    terms = [
        term["MetricStat"]["Metric"] for alarm in alarms for term in alarm.get("Metrics", []) if "MetricStat" in term
    ]
    watched = [
        (metric["MetricName"], dimension["Value"])
        for metric in terms + alarms
        if metric.get("Namespace") == "StackState/Topology"
        for dimension in metric["Dimensions"]
        if dimension["Name"] == "service"
    ]
    shown = [metric for widget in widgets(found) for metric in widget["properties"].get("metrics", [])]
    return watched + [(name, service) for space, name, _, service, _ in shown if space == "StackState/Topology"]


def widgets(found: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    boards = [r["Properties"] for r in found.values() if r["Type"] == "AWS::CloudWatch::Dashboard"]
    return [widget for board in boards for widget in json.loads(board["DashboardBody"])["widgets"]]


def test_alarms_and_dashboard_have_metrics_that_the_functions_of_this_deployment_write(mode: str) -> None:
    services = {environment(function)["POWERTOOLS_SERVICE_NAME"] for function in functions(mode).values()}
    texts = {
        node.value
        for path in (ROOT / "functions").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant)
    }

    found = own_metrics(resources(mode))

    assert {service for _, service in found} <= services
    assert {name for name, _ in found} <= texts
    assert {"IncompleteScopes", "OldestReplaySeconds", "SnapshotsHeldBack", "DeadLetters"} <= {
        name for name, _ in found
    }


def test_the_receiver_is_watched_where_it_is_talked_to(mode: str) -> None:
    for name, service in own_metrics(resources(mode)):
        if name in {"ReceiverMisconfigured", "DeadLetters", "Posts", "DeliveryFailures"}:
            assert service.startswith("topo-cron" if mode.startswith(MINIMAL) else "topo-publisher")


def test_every_alarm_says_what_happened_and_tells_the_topic() -> None:
    found = resources("full, with every option")
    alarms = [r["Properties"] for r in found.values() if r["Type"] == "AWS::CloudWatch::Alarm"]

    assert len(alarms) >= 14
    assert all(alarm["AlarmDescription"].endswith(".") for alarm in alarms)
    assert {tuple(alarm["AlarmActions"]) for alarm in alarms} == {
        (DEPLOYMENTS["full, with every option"]["AlarmTopicArn"],)
    }


@pytest.mark.parametrize("deployment", [FULL, MINIMAL])
def test_the_widgets_of_the_dashboard_have_titles_and_do_not_overlap(deployment: str) -> None:
    taken: set[tuple[int, int]] = set()
    for widget in widgets(resources(deployment)):
        cells = {(widget["x"] + x, widget["y"] + y) for x in range(widget["width"]) for y in range(widget["height"])}
        assert not taken & cells
        assert max(x for x, _ in cells) < 24
        assert widget["properties"].get("title") or widget["properties"].get("markdown")
        taken |= cells

    assert taken


def test_a_dashboard_can_be_left_out() -> None:
    assert widgets(resources("full, with every option")) == []


def test_the_roles_of_other_accounts_and_no_others_can_be_assumed() -> None:
    given = DEPLOYMENTS["full, with every option"] | {"TopoCronRoleArn": ""}
    found = resolved(deployed(TEMPLATE, given))

    for function in ("TopoCronFunction", "TopoCwEventsFunction"):
        variables = environment(found[function]["Properties"])
        assert variables["TOPOLOGY_ACCOUNTS"] == given["AccountRoleArns"]
        assert variables["TOPOLOGY_EXTERNAL_ID"] == given["ExternalId"]
        statements = role_of(found, function)
        assert all(allows(statements, "sts:AssumeRole", arn) for arn in given["AccountRoleArns"].split(","))
        assert not allows(statements, "sts:AssumeRole", "arn:aws:iam::222222222222:role/admin")
        assert not allows(role_of(resources(FULL), function), "sts:AssumeRole", given["AccountRoleArns"].split(",")[0])


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

    admitted = statement["Condition"]["ArnLike"]["aws:SourceArn"].rpartition("/")[2]
    names = [rule["Name"] for rule in rules if "EventPattern" in rule]
    assert names
    assert all(fnmatchcase(name, admitted) for name in names)
    # The longest suffix has 17 characters, the longest name of a rule 64.
    assert max(len(name) for name in names) + 17 <= 64


@pytest.mark.parametrize("deployment", [FULL, MINIMAL])
def test_a_spread_snapshot_is_led_by_the_state_machine_alone(deployment: str) -> None:
    usual = resources(deployment)
    found = resolved(
        deployed(TEMPLATE, DEPLOYMENTS[deployment] | {"SpreadSnapshots": "true", "SpreadConcurrency": "20"})
    )
    machine = found["SnapshotStateMachine"]["Properties"]
    definition = json.loads(machine["DefinitionString"])
    read = definition["States"]["ReadScopes"]["ItemProcessor"]["States"]["ReadPortion"]
    [by_cause] = [one for one in read["Retry"] if "Throttled" in one["ErrorEquals"]]
    [target] = found["SnapshotSchedule"]["Properties"]["Targets"]

    assert "SnapshotStateMachine" not in usual
    assert usual["TopoCronFunctionSchedule"]["Properties"]["State"] == "ENABLED"
    assert usual["TopoCronFunction"]["Properties"]["ReservedConcurrentExecutions"] == 1
    assert found["TopoCronFunctionSchedule"]["Properties"]["State"] == "DISABLED"
    assert "ReservedConcurrentExecutions" not in found["TopoCronFunction"]["Properties"]
    assert definition["States"]["ReadScopes"]["MaxConcurrency"] == 20
    assert by_cause["MaxAttempts"] == LAST_ATTEMPT
    assert set(by_cause["ErrorEquals"]) == {error.__name__ for error in PASSING}
    assert target["Arn"] == "arn:aws:states:eu-west-1:123456789012:stateMachine:snapshotstatemachine"
    assert found["SnapshotFailedAlarm"]["Properties"]["MetricName"] == "ExecutionsFailed"


def test_a_run_counts_as_over_only_after_the_longest_pause_between_its_steps() -> None:
    found = resolved(deployed(TEMPLATE, DEPLOYMENTS[FULL] | {"SpreadSnapshots": "true"}))
    states = json.loads(found["SnapshotStateMachine"]["Properties"]["DefinitionString"])["States"]
    steps = [states["Plan"], states["ReadScopes"]["ItemProcessor"]["States"]["ReadPortion"], states["Publish"]]
    retries = [retry for step in steps for retry in step["Retry"]]
    pauses = [
        retry["IntervalSeconds"] * retry["BackoffRate"] ** n for retry in retries for n in range(retry["MaxAttempts"])
    ]

    assert max(pauses) + found["TopoCronFunction"]["Properties"]["Timeout"] < SILENCE_SECONDS


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


def actions(statements: list[dict[str, Any]]) -> set[str]:
    listed = [one["Action"] if isinstance(one["Action"], list) else [one["Action"]] for one in statements]
    return {action for of_one in listed for action in of_one}


def test_a_role_of_the_users_gets_what_the_stack_would_give_it() -> None:
    offered = actions(json.loads((ROOT / "policies/sts-topo-cron-run-policy.json").read_text())["Statement"])
    given: set[str] = set()
    for mode in (FULL, MINIMAL):
        for policy in resources(mode)["TopoCronRole"]["Properties"]["Policies"]:
            given |= actions(policy["PolicyDocument"]["Statement"])

    assert offered == given
