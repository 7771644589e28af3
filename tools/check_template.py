"""The gate of the templates and policies/: SAM, cfn-lint, a template's own rules, and an IAM linter must be content.

cfn-lint knows SAM's own resources by their schema only and lets many a defect in them pass. So each kind of deployment
is also transformed as AWS would do it, freed of what its conditions exclude, and linted as plain CloudFormation.
"""

import itertools
import json
import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cfnlint.api import lint

from local.account.template import Scope, TemplateError, parameter_values, parse, transformed

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # parliament imports a module that setuptools will drop
    import parliament

ROOT = Path(__file__).resolve().parent.parent
REGION, ACCOUNT = "eu-west-1", "123456789012"
PSEUDO = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::StackId": f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/stackstate-topo-1/0",
    "AWS::StackName": "stackstate-topo-1",
    "AWS::URLSuffix": "amazonaws.com",
}

_NEEDED = {"StackStateBaseUrl": "https://stackstate.example.com/receiver", "StackStateConfigurationId": "1"}
_SECRET = {"StackStateApiKeySecretArn": f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:stackstate-topo-1-a1B2c3"}
_OPTIONS = {
    "StackStateInstanceUrl": "instance",
    "Regions": f"{REGION},us-east-1",
    "ScheduleExpression": "cron(0 * * * ? *)",
    "NameSuffix": "-test",
    "PermissionsBoundaryArn": f"arn:aws:iam::{ACCOUNT}:policy/boundary",
    "RolePath": "/stackstate/",
    "KmsKeyArn": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab",
    "VpcSubnetIds": "subnet-0123456789abcdef0,subnet-0123456789abcdef1",
    "VpcSecurityGroupIds": "sg-0123456789abcdef0",
    "StackStateCaBundle": "-----BEGIN CERTIFICATE----- TUlJQg== -----END CERTIFICATE-----",
    "SkipTlsVerify": "true",
    "StackStateEncoding": "gzip",
    "ProxyUrl": "http://proxy.example.com:3128",
    "NoProxy": ".amazonaws.com",
    "AlarmTopicArn": f"arn:aws:sns:{REGION}:{ACCOUNT}:alarms",
    "Dashboard": "false",
    "TrailMode": "create",
    "TrailInAllRegions": "true",
    "ReserveConcurrency": "false",
    "SpreadSnapshots": "true",
    "SpreadConcurrency": "20",
    "AccountRoleArns": "arn:aws:iam::222222222222:role/stackstate-topo-read,arn:aws:iam::333333333333:role/a/read",
    "ExternalId": "an-external-id",
    "Accounts": "222222222222,333333333333",
}
_BROUGHT = {
    "StateBucketName": "bucket-of-the-user",
    "TopoCronRoleArn": f"arn:aws:iam::{ACCOUNT}:role/role-of-the-user",
}
_FURTHER = {"AWS::Region": "us-east-1", "AWS::StackName": "stackstate-topo-forward-1"}
_FORWARDING = {
    "HomeEventBusArn": f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/default",
    "StackStateConfigurationId": "1",
}
_OTHER = {"AWS::AccountId": "222222222222", "AWS::StackName": "StackSet-stackstate-topo-read-1"}
_CROSS_ACCOUNT = {
    "MainAccountId": ACCOUNT,
    "HomeRegion": REGION,
    "MainRoleArns": f"arn:aws:iam::{ACCOUNT}:role/topo-cron,arn:aws:iam::{ACCOUNT}:role/topo-cwevents",
    "ExternalId": "an-external-id",
    "StackStateConfigurationId": "1",
}
_ROLE_OPTIONS = {name: _OPTIONS[name] for name in ("PermissionsBoundaryArn", "RolePath")}
_THERE = {"AlarmTopicArn": f"arn:aws:sns:us-east-1:{ACCOUNT}:alarms"}
Deployments = dict[str, dict[str, str]]
# The ways to deploy each template that are looked at: together they take both branches of every condition. Values are
# of parameters, and of pseudo parameters where these are not as above.
DEPLOYMENTS: Deployments = {
    "full": _NEEDED | _SECRET,
    "minimal": _NEEDED | _SECRET | {"TopologyMode": "minimal"},
    "full, with every option": _NEEDED | _OPTIONS | _BROUGHT | {"StackStateApiKey": "key"},
    "minimal, with what the user brings": _NEEDED | _SECRET | _BROUGHT | {"TopologyMode": "minimal"},
}
TEMPLATES: Mapping[str, Deployments] = {
    "template.yaml": DEPLOYMENTS,
    "forwarding.yaml": {
        "home": _FORWARDING,
        "another region": _FORWARDING | _ROLE_OPTIONS | {"AWS::Region": "eu-central-1"},
        "global services": _FORWARDING | _FURTHER | {"GlobalServicesOnly": "true", "NameSuffix": "-test"},
        "region of the global services": _FORWARDING | _FURTHER | _THERE,
    },
    "cross-account.yaml": {
        "role and rules": _CROSS_ACCOUNT | _OTHER | _ROLE_OPTIONS,
        "rules": _CROSS_ACCOUNT | _OTHER | _THERE | {"AWS::Region": "us-east-1"},
        "global services": _CROSS_ACCOUNT | _OTHER | {"AWS::Region": "us-east-1", "GlobalServicesOnly": "true"},
        "role alone": _CROSS_ACCOUNT | _OTHER | {"ForwardEvents": "false"},
        "account of the installation": _CROSS_ACCOUNT,
    },
}

# Checks that cannot judge a template from which the other branches of its conditions were taken.
_OF_THE_WHOLE = ["W2001", "W7001", "W8001"]
# What the IAM linter says without being right: the policy, the finding's code, and the reason.
_READS_EVERYTHING = "the topology of an account is all of its resources, whatever their names"
_RANDOM_ID = "an event source mapping has no name of ours, only a random id"
KNOWN_FALSE = {
    ("ReadPolicy", "RESOURCE_STAR"): _READS_EVERYTHING,
    ("sts-topo-cron-policy.json", "RESOURCE_STAR"): _READS_EVERYTHING,
    ("StackStateIntegrationPolicyInstall.json", "INVALID_ARN"): "a transform belongs to the account `aws`",
    ("StackStateIntegrationPolicyInstall.json", "RESOURCE_EFFECTIVELY_STAR"): _RANDOM_ID,
    ("StackStateIntegrationPolicyTopoCronInstall.json", "INVALID_ARN"): "a transform belongs to the account `aws`",
    ("StackStateIntegrationPolicyTopoCronInstall.json", "RESOURCE_EFFECTIVELY_STAR"): _RANDOM_ID,
    ("StackStateIntegrationPolicyTopoCronMinimal.json", "INVALID_ARN"): "a transform belongs to the account `aws`",
    ("StackStateIntegrationPolicyTopoCronMinimal.json", "RESOURCE_EFFECTIVELY_STAR"): _RANDOM_ID,
    ("StackStateIntegrationPolicyTopoCronUninstall.json", "RESOURCE_EFFECTIVELY_STAR"): _RANDOM_ID,
    ("StackStateIntegrationPolicyUninstall.json", "RESOURCE_EFFECTIVELY_STAR"): _RANDOM_ID,
    ("StackStateIntegrationPolicyOperate.json", "RESOURCE_MISMATCH"): "the linter knows express executions alone",
    ("StackStateIntegrationPolicyOperate.json", "RESOURCE_EFFECTIVELY_STAR"): _RANDOM_ID,
    ("NetworkPolicy", "RESOURCE_STAR"): "Lambda checks these before there is a network interface to name",
}

# What a resource's Ref and Arn look like, where its policies may name it. Enough for a linter to tell one from another.
_ARNS = {
    "AWS::IAM::ManagedPolicy": f"arn:aws:iam::{ACCOUNT}:policy/{{name}}",
    "AWS::IAM::Role": f"arn:aws:iam::{ACCOUNT}:role/{{name}}",
    "AWS::Kinesis::Stream": f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{{name}}",
    "AWS::Lambda::Function": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{{name}}",
    "AWS::Logs::LogGroup": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{{name}}:*",
    "AWS::S3::Bucket": "arn:aws:s3:::{name}",
    "AWS::SecretsManager::Secret": f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{{name}}-a1B2c3",
    "AWS::SQS::Queue": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{{name}}",
    "AWS::Events::Rule": f"arn:aws:events:{REGION}:{ACCOUNT}:rule/{{name}}",
    "AWS::StepFunctions::StateMachine": f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:{{name}}",
}
_REF_IS_ARN = {"AWS::IAM::ManagedPolicy", "AWS::SecretsManager::Secret", "AWS::StepFunctions::StateMachine"}


def main() -> None:
    """Check the templates and policies/; exit with 1 and the findings if there are any."""
    logging.getLogger("samtranslator").setLevel(logging.CRITICAL)  # it warns of its own unsent usage statistics
    found = []
    for name, deployments in TEMPLATES.items():
        found += [f"{name}: {finding}" for finding in template_findings((ROOT / name).read_text(), deployments)]
    for path in sorted((ROOT / "policies").glob("*.json")):
        found += policy_findings(path.name, json.loads(path.read_text()))
    for finding in found:
        print(finding)
    sys.exit(1 if found else 0)


def template_findings(text: str, deployments: Deployments) -> list[str]:
    """Everything that is wrong with the text of a template, in one line each; empty if nothing is."""
    try:
        template = parse(text)
    except TemplateError as error:
        return [str(error)]
    found = _linted(text, [])
    found += rule_findings(template, deployments)
    for name, parameters in deployments.items():
        found += [f"{name}: {finding}" for finding in _deployment_findings(template, parameters)]
    return found


def _deployment_findings(template: dict[str, Any], given: Mapping[str, str]) -> list[str]:
    """What is wrong with one way to deploy the template."""
    try:
        scope = deployed(template, given)
        scope.check_rules()
        resources = resolved(scope)
    except TemplateError as error:
        return [str(error)]
    found = _linted(json.dumps(_active(scope, given)), _OF_THE_WHOLE)
    for name, resource in resources.items():
        found += _mapping_findings(name, resource)
        found += _state_machine_findings(name, resource)
        for document in _policies(resource):
            found += policy_findings(name, document)
    return found


def _mapping_findings(name: str, resource: Mapping[str, Any]) -> list[str]:
    """A stream needs a place to start at, a queue has none: Lambda refuses the mapping, cfn-lint does not see it."""
    mapping = resource["Properties"]
    if resource["Type"] != "AWS::Lambda::EventSourceMapping":
        return []
    if (":sqs:" in mapping["EventSourceArn"]) == ("StartingPosition" in mapping):
        return [f"{name}: StartingPosition is needed for a stream, and not allowed for a queue"]
    return []


def _state_machine_findings(name: str, resource: Mapping[str, Any]) -> list[str]:
    """What is wrong with a state machine's definition, which cfn-lint reads only once its parameters are filled in."""
    if resource["Type"] != "AWS::StepFunctions::StateMachine":
        return []
    try:
        definition = json.loads(resource["Properties"]["DefinitionString"])
    except json.JSONDecodeError as error:
        return [f"{name}: the definition is no JSON: {error}"]
    whole = {"Type": resource["Type"], "Properties": {"RoleArn": _ARNS["AWS::IAM::Role"], "Definition": definition}}
    found = _linted(json.dumps({"Resources": {name: whole}}), [])
    return found + [f"{name}: there is no state {state}" for state in _missing_states(definition)]


def _missing_states(machine: Mapping[str, Any]) -> Iterator[str]:
    """The states that a state machine, or one within it, goes on to, and that are not there; cfn-lint does not look."""
    for state in machine["States"].values():
        for part in [state, *state.get("Choices", []), *state.get("Catch", [])]:
            yield from {part[name] for name in ("Next", "Default") if name in part} - machine["States"].keys()
        if "ItemProcessor" in state:
            yield from _missing_states(state["ItemProcessor"])


def deployed(template: dict[str, Any], given: Mapping[str, str]) -> Scope:
    """The template as AWS transforms it, with these parameters and pseudo parameters.

    Raises:
        TemplateError: a parameter, or a part that SAM knows, is not as it has to be.
    """
    os.environ.setdefault("AWS_DEFAULT_REGION", REGION)  # SAM asks a boto3 session for the partition
    template = json.loads(json.dumps(template))
    for resource in template["Resources"].values():
        # A folder here, until `sam build` or install.sh names what was uploaded.
        if str(resource.get("Properties", {}).get("CodeUri", "")).startswith("functions"):
            resource["Properties"]["CodeUri"] = "s3://deployment/functions.zip"
    pseudo = PSEUDO | {name: value for name, value in given.items() if name.startswith("AWS::")}
    values = parameter_values(template, {name: value for name, value in given.items() if name not in pseudo})
    return Scope(transformed(template, values), values, pseudo)


def resolved(scope: Scope) -> dict[str, dict[str, Any]]:
    """The resources that are deployed, by logical id, with every function in them replaced by a plausible value.

    Raises:
        TemplateError: something refers to a resource that is not there, or not in this deployment.
    """
    active = scope.resources()

    def lookup(name: str, attribute: str) -> str:
        if name not in active:
            raise TemplateError(f"{name}{'.' + attribute if attribute else ''} is referred to, but not deployed")
        kind = active[name]["Type"]
        arn = _ARNS.get(kind, "{name}").format(name=name.lower())
        return arn if attribute == "Arn" or (not attribute and kind in _REF_IS_ARN) else name.lower()

    resources = {
        name: {"Type": resource["Type"], "Properties": scope.evaluate(resource.get("Properties", {}), lookup)}
        for name, resource in active.items()
    }
    for output in scope.template.get("Outputs", {}).values():
        if "Condition" not in output or scope.condition(output["Condition"]):
            scope.evaluate(output["Value"], lookup)
    return resources


def _active(scope: Scope, given: Mapping[str, str]) -> dict[str, Any]:
    """The transformed template without conditions: what they exclude is gone, and parameters default to their value."""

    def prune(node: Any) -> Any:
        if isinstance(node, list):
            return [entry for entry in map(prune, node) if entry != {"Ref": "AWS::NoValue"}]
        if not isinstance(node, dict):
            return node
        if "Fn::If" in node:
            condition, then, otherwise = node["Fn::If"]
            return prune(then if scope.condition(condition) else otherwise)
        entries = {name: prune(entry) for name, entry in node.items()}
        return {name: entry for name, entry in entries.items() if entry != {"Ref": "AWS::NoValue"}}

    def holding(part: str) -> dict[str, Any]:
        entries = scope.template.get(part, {})
        kept = {n: e for n, e in entries.items() if "Condition" not in e or scope.condition(e["Condition"])}
        return {name: prune({k: v for k, v in entry.items() if k != "Condition"}) for name, entry in kept.items()}

    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Mappings": scope.template.get("Mappings", {}),
        "Parameters": {
            name: parameter | {"Default": given.get(name, parameter.get("Default", ""))}
            for name, parameter in scope.template.get("Parameters", {}).items()
        },
        "Resources": holding("Resources"),
        "Outputs": holding("Outputs"),
    }


def _linted(text: str, ignored: list[str]) -> list[str]:
    """What cfn-lint finds in a template."""
    matches = lint(text, config={"regions": [REGION], "ignore_checks": ignored})
    return [
        f"{match.rule.id} {match.message} ({'/'.join(map(str, match.path or [])) or f'line {match.linenumber}'})"
        for match in matches
    ]


def _policies(node: Any) -> Iterator[dict[str, Any]]:
    """Every policy document within a resource, whatever property holds it."""
    if isinstance(node, list):
        for entry in node:
            yield from _policies(entry)
    elif isinstance(node, dict):
        if isinstance(node.get("Statement"), dict):  # an event bus gets its policy one statement at a time
            yield {"Version": "2012-10-17", "Statement": [node["Statement"]]}
        elif "Statement" in node:
            yield node
        for entry in node.values():
            yield from _policies(entry)


def policy_findings(name: str, document: Mapping[str, Any]) -> list[str]:
    """What the IAM linter finds in one policy: unknown actions, resources that an action cannot have, and the like."""
    # A role's trust policy has no Resource, since it is about the role; the linter expects one.
    role = f"arn:aws:iam::{ACCOUNT}:role/{name}"
    statements = [{"Resource": role} | statement for statement in document["Statement"]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        analyzed = parliament.analyze_policy_string(json.dumps(dict(document) | {"Statement": statements}))
    return [
        f"{name}: {finding.issue} {finding.detail}"
        for finding in analyzed.findings
        if (name, finding.issue) not in KNOWN_FALSE
    ]


def rule_findings(template: Mapping[str, Any], deployments: Deployments) -> list[str]:
    """The assertions of the template's Rules that hold, or fail, whatever values its parameters take."""
    found = []
    for name, rule in template.get("Rules", {}).items():
        for assertion in rule["Assertions"]:
            outcomes = set()
            for values in _combinations(template, _references(rule), deployments):
                scope = Scope(template, values, PSEUDO)
                if scope.evaluate(rule.get("RuleCondition", True), _no_resource):
                    outcomes.add(bool(scope.evaluate(assertion["Assert"], _no_resource)))
            if False not in outcomes:
                found.append(f"rule {name} can never fail: {assertion.get('AssertDescription', '')}")
            if True not in outcomes:
                found.append(f"rule {name} can never hold: {assertion.get('AssertDescription', '')}")
    return found


def _combinations(template: Mapping[str, Any], names: set[str], deployments: Deployments) -> Iterator[dict[str, str]]:
    """All combinations of values that these parameters admit, out of those that the deployments give."""
    admitted = []
    for name in sorted(names):
        parameter = template["Parameters"][name]
        known = {parameters[name] for parameters in deployments.values() if name in parameters}
        known |= {str(parameter.get("Default", "")), ""} | {str(value) for value in parameter.get("AllowedValues", [])}
        pattern = parameter.get("AllowedPattern", "")
        allowed = parameter.get("AllowedValues", known)
        admitted.append([v for v in sorted(known) if v in allowed and (not pattern or re.fullmatch(pattern, v))])
    for values in itertools.product(*admitted):
        yield dict(zip(sorted(names), values, strict=True))


def _references(node: Any) -> set[str]:
    if isinstance(node, list):
        return set().union(*map(_references, node))
    if not isinstance(node, dict):
        return set()
    own = {node["Ref"]} if isinstance(node.get("Ref"), str) else set()
    return own.union(*map(_references, node.values()))


def _no_resource(name: str, attribute: str) -> str:
    raise TemplateError(f"a rule cannot refer to {name} {attribute}".strip())


if __name__ == "__main__":
    main()
