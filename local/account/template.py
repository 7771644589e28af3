"""CloudFormation templates: parsed, SAM transform applied, parameters checked, conditions and functions evaluated."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import yaml
from samtranslator.model.exceptions import InvalidDocumentException
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

_SAM = "AWS::Serverless-2016-10-31"
NO_VALUE: Any = object()
# Logical id and attribute ("" for Ref) of a resource to its value.
Lookup = Callable[[str, str], Any]


class TemplateError(Exception):
    """A template or a parameter that CloudFormation refuses with ValidationError."""


class _ManagedPolicies:
    """AWS's managed policies, for the SAM transform: their ARNs follow from their names."""

    def load(self) -> dict[str, str]:
        return {
            name: f"arn:aws:iam::aws:policy/{path}{name}"
            for path, names in (
                ("service-role/", ["AWSLambdaBasicExecutionRole", "AWSLambdaKinesisExecutionRole",
                                   "AWSLambdaSQSQueueExecutionRole", "AWSLambdaVPCAccessExecutionRole"]),
                ("", ["AWSXrayWriteOnlyAccess", "AWSXRayDaemonWriteAccess", "ReadOnlyAccess", "AdministratorAccess"]),
            )
            for name in names
        }  # fmt: skip


# Reading a large template takes longer than most of what is done with it, and the same ones come again and again.
_read = lru_cache(maxsize=16)(yaml_parse)


def parse(text: str) -> dict[str, Any]:
    """A template from JSON or YAML.

    Raises:
        TemplateError: the text is neither.
    """
    try:
        template = _read(text)
    except yaml.YAMLError as error:
        raise TemplateError(f"Template format error: YAML not well-formed. {error}") from error
    if not isinstance(template, dict) or not template.get("Resources"):
        raise TemplateError("Template format error: At least one Resources member must be defined.")
    # Dates become what they were written as: AWSTemplateFormatVersion, and Version of policies.
    plain: dict[str, Any] = json.loads(json.dumps(template, default=str))
    return plain


def uses_sam(template: Mapping[str, Any]) -> bool:
    """Whether the template asks for the SAM transform."""
    wanted = template.get("Transform", [])
    return _SAM in (wanted if isinstance(wanted, list) else [wanted])


def transformed(template: dict[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The template as CloudFormation runs it: with the SAM transform applied, if it asks for that.

    `parameters` are values of the template's parameters and of AWS::Region.

    Raises:
        TemplateError: SAM refuses the template.
    """
    if not uses_sam(template):
        return template
    # SAM asks boto3 for a region, only to know the partition.
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    try:
        result: dict[str, Any] = transform(json.loads(json.dumps(template)), dict(parameters), _ManagedPolicies())
    except InvalidDocumentException as error:
        causes = ", ".join(str(cause.message) for cause in error.causes)
        raise TemplateError(f"Transform {_SAM} failed with: Invalid Serverless Application Specification "
                            f"document. Number of errors found: {len(error.causes)}. {causes}") from error  # fmt: skip
    return {name: json.loads(json.dumps(part)) for name, part in result.items() if name != "Transform"}


def parameter_values(template: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, Any]:
    """The value of every parameter of the template, defaults included; lists are lists.

    Raises:
        TemplateError: a value is missing, unknown, or against the parameter's constraints.
    """
    declared: dict[str, dict[str, Any]] = template.get("Parameters", {})
    if unknown := sorted(given.keys() - declared.keys()):
        raise TemplateError(f"Parameters: [{', '.join(unknown)}] do not exist in the template")
    if missing := sorted(n for n, p in declared.items() if n not in given and "Default" not in p):
        raise TemplateError(f"Parameters: [{', '.join(missing)}] must have values")
    values: dict[str, Any] = {}
    for name, parameter in declared.items():
        text = str(given.get(name, parameter.get("Default")))
        kind = parameter.get("Type", "String")
        is_list = kind == "CommaDelimitedList" or kind.startswith("List<")
        parts = [part.strip() for part in text.split(",")] if is_list and text else [text]
        for part in parts:
            _check_parameter(name, parameter, part)
        values[name] = (parts if text else []) if is_list else text
    return values


def _check_parameter(name: str, parameter: Mapping[str, Any], value: str) -> None:
    why = parameter.get("ConstraintDescription")
    allowed = [str(entry) for entry in parameter.get("AllowedValues", [])]
    if allowed and value not in allowed:
        if why:
            raise TemplateError(f"Parameter {name} failed to satisfy constraint: {why}")
        raise TemplateError(f"Parameter '{name}' must be one of AllowedValues")
    number = parameter.get("Type") == "Number"
    try:
        size = float(value) if number else len(value)
    except ValueError as error:
        raise TemplateError(f"Parameter '{name}' must be a number.") from error
    low, high = ("MinValue", "MaxValue") if number else ("MinLength", "MaxLength")
    pattern = parameter.get("AllowedPattern", "")
    holds = float(parameter.get(low, size)) <= size <= float(parameter.get(high, size))
    if not holds or (pattern and not re.fullmatch(pattern, value)):
        cause = why or (f"Member must satisfy {low} and {high}" if not holds else f"must match pattern {pattern}")
        raise TemplateError(f"Parameter {name} failed to satisfy constraint: {cause}")


class Unknown(str):
    """Stands for a value that is known only once its resource exists; any part of it is itself."""

    __slots__ = ()

    def split(self, *_: Any) -> Any:
        """Parts that are all the same."""
        return _Parts([self])


class _Parts(list[str]):
    def __getitem__(self, index: Any) -> Any:
        return super().__getitem__(0)


@dataclass
class Scope:
    """What the functions of a template are evaluated with."""

    template: Mapping[str, Any]
    parameters: Mapping[str, Any]
    pseudo: Mapping[str, Any]
    exports: Mapping[str, str] = field(default_factory=dict)

    def condition(self, name: str) -> bool:
        """Whether a named condition holds."""
        conditions = self.template.get("Conditions", {})
        if name not in conditions:
            raise TemplateError(f"Template format error: Unresolved condition dependency {name}")
        return bool(self.evaluate(conditions[name], _no_resources))

    def resources(self) -> dict[str, dict[str, Any]]:
        """The resources whose condition holds, each after those it depends on.

        Raises:
            TemplateError: a reference leads nowhere, or in a circle.
        """
        declared: dict[str, dict[str, Any]] = self.template["Resources"]
        active = {n: r for n, r in declared.items() if "Condition" not in r or self.condition(r["Condition"])}
        needs = {name: self._needs(resource, declared) & active.keys() for name, resource in active.items()}
        ordered: dict[str, dict[str, Any]] = {}
        while len(ordered) < len(active):
            ready = [name for name in active if name not in ordered and needs[name] <= ordered.keys()]
            if not ready:
                circle = [name for name in active if name not in ordered]
                raise TemplateError(f"Circular dependency between resources: [{', '.join(circle)}]")
            ordered |= {name: active[name] for name in ready}
        return ordered

    def check_rules(self) -> None:
        """Raise TemplateError if an assertion of the template's Rules does not hold for the parameters."""
        for name, rule in self.template.get("Rules", {}).items():
            if "RuleCondition" in rule and not self.evaluate(rule["RuleCondition"], _no_resources):
                continue
            for assertion in rule["Assertions"]:
                if not self.evaluate(assertion["Assert"], _no_resources):
                    raise TemplateError(
                        f"Template validation error: {assertion.get('AssertDescription', name)} (rule {name})"
                    )

    def evaluate(self, node: Any, lookup: Lookup) -> Any:
        """`node` with every function replaced by its value; resources' ids and attributes come from `lookup`."""
        if isinstance(node, list):
            entries = [self.evaluate(entry, lookup) for entry in node]
            return [entry for entry in entries if entry is not NO_VALUE]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            [(name, argument)] = node.items()
            if name == "Condition" and isinstance(argument, str):
                return self.condition(argument)
            if name == "Ref":
                return self._ref(argument, lookup)
            if name.startswith("Fn::"):
                return self._function(name[4:], argument, lookup)
        values = {name: self.evaluate(entry, lookup) for name, entry in node.items()}
        return {name: value for name, value in values.items() if value is not NO_VALUE}

    def _ref(self, name: str, lookup: Lookup) -> Any:
        if name == "AWS::NoValue":
            return NO_VALUE
        if name in self.pseudo:
            return self.pseudo[name]
        return self.parameters[name] if name in self.parameters else lookup(name, "")

    def _function(self, name: str, argument: Any, lookup: Lookup) -> Any:
        if name == "If":
            condition, then, otherwise = argument
            return self.evaluate(then if self.condition(condition) else otherwise, lookup)
        if name == "GetAtt":
            parts = argument.split(".", 1) if isinstance(argument, str) else argument
            return lookup(parts[0], str(self.evaluate(parts[1], lookup)))
        if name == "Sub":
            return self._substitute(argument, lookup)
        values = self.evaluate(argument, lookup)
        if name not in _FUNCTIONS:
            if name == "ImportValue" and values in self.exports:
                return self.exports[values]
            if name == "ImportValue":
                raise TemplateError(f"No export named {values} found.")
            if name == "FindInMap":
                return self._find_in_map(values)
            if name == "GetAZs":
                return [f"{values or self.pseudo['AWS::Region']}{zone}" for zone in "abc"]
            raise TemplateError(f"Template error: unknown function Fn::{name}")
        return _FUNCTIONS[name](values)

    def _find_in_map(self, keys: list[str]) -> Any:
        found: Any = self.template.get("Mappings", {})
        for key in keys:
            if key not in found:
                raise TemplateError(f"Template error: Unable to get mapping for {'::'.join(map(str, keys))}")
            found = found[key]
        return found

    def _substitute(self, argument: Any, lookup: Lookup) -> str:
        text, extra = (argument, {}) if isinstance(argument, str) else argument

        def value(found: re.Match[str]) -> str:
            name = found.group(1).strip()
            if name.startswith("!"):
                return "${" + name[1:] + "}"
            if name in extra:
                return _text(self.evaluate(extra[name], lookup))
            if "." in name and name not in self.parameters:
                return _text(lookup(*name.split(".", 1)))
            return _text(self._ref(name, lookup))

        return re.sub(r"\$\{([^}]+)\}", value, text)

    def _needs(self, resource: Mapping[str, Any], declared: Mapping[str, Any]) -> set[str]:
        """Logical ids that a resource refers to, those in branches that are not taken left out."""
        depends = resource.get("DependsOn", [])
        found = {depends} if isinstance(depends, str) else set(depends)

        def note(name: str, attribute: str) -> str:
            found.add(name)
            return Unknown(f"${{{name}.{attribute}}}")

        self.evaluate(resource.get("Properties", {}), note)
        if lost := sorted(name for name in found if name not in declared):
            raise TemplateError(f"Template format error: Unresolved resource dependencies [{', '.join(lost)}] "
                                "in the Resources block of the template")  # fmt: skip
        return found


def _no_resources(name: str, attribute: str) -> Any:
    raise TemplateError(f"Template error: unresolved reference to {name} in a condition {attribute}".strip())


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _flat(values: list[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, list):
            yield from _flat(value)
        else:
            yield value


_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "And": all,
    "Or": any,
    "Not": lambda v: not v[0],
    "Equals": lambda v: _text(v[0]) == _text(v[1]),
    "Contains": lambda v: v[1] in v[0],
    "EachMemberIn": lambda v: set(v[0]) <= set(v[1]),
    "EachMemberEquals": lambda v: all(member == v[1] for member in v[0]),
    "Join": lambda v: v[0].join(_text(part) for part in _flat(v[1])),
    "Select": lambda v: v[1][int(v[0])],
    "Split": lambda v: v[1].split(v[0]),
    "Base64": lambda v: base64.b64encode(v.encode()).decode(),
    "Length": len,
    "ToJsonString": json.dumps,
}
