"""Every declaration is checked against AWS's own models: what it calls, how, with what, and what may go wrong."""

import json
import pkgutil
import re
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import boto3
import jmespath
import pytest
from botocore.model import OperationModel
from parliament import iam_definition

import topology.resources
from tools import derived, models
from tools.examples import answer
from topology.declare import Call, Detail, ForAll, PerBatch, PerItem, Resource
from topology.resources import ALL

CALLS = [
    pytest.param(resource, call, id=f"{resource.kind}-{call.operation}") for resource in ALL for call in resource.calls
]
RESOURCES = [pytest.param(resource, id=resource.kind) for resource in ALL]
# Operations that answer in pages though boto3 has no paginator for them: a declaration has to bring its own `Pages`.
OWN_PAGES = {"list_delivery_streams", "list_tags_for_delivery_stream", "list_tags_for_stream"}
# Ids per call that AWS documents without saying so in its model (contract: events.md 1.6).
DOCUMENTED_SIZES = {
    "describe_services": 10,
    "describe_clusters": 100,
    "describe_tasks": 100,
    "describe_container_instances": 100,
    "get_resources": 100,
    "list_tags_for_resources": 10,
    "describe_instance_types": 100,
    "describe_tags": 20,
}
FILTER_VALUES = 200


def operation(call: Call) -> OperationModel:
    return models.of(call.service).operation_model(models.operation_name(call))


def parameters(resource: Resource, call: Call) -> set[str]:
    """All parameters that the engine can give to the call."""
    names = set(call.parameters) | ({call.ids.parameter} if call.ids else set())
    names |= {call.pages.parameter} if call.pages else set()
    for detail in resource.details:
        if isinstance(detail, PerItem) and call in (detail.call, detail.described_by):
            names |= set(detail.given)
    return names


def test_every_module_of_a_service_is_listed_in_all() -> None:
    for module in pkgutil.iter_modules(topology.resources.__path__):
        content = vars(import_module(f"topology.resources.{module.name}"))
        declared = [value for value in content.values() if isinstance(value, Resource)]
        assert declared
        assert set(declared) <= set(ALL), f"{module.name}: not in ALL"


def test_kinds_are_unique_and_components_belong_to_one_resource() -> None:
    kinds = [resource.kind for resource in ALL]
    components = [name for resource in ALL for name in resource.components]
    assert len(set(kinds)) == len(kinds)
    assert len(set(components)) == len(components)


@pytest.mark.parametrize(("resource", "call"), CALLS)
def test_an_operation_exists_and_takes_the_parameters(resource: Resource, call: Call) -> None:
    shape = operation(call).input_shape
    members = set(shape.members) if shape else set()
    given = parameters(resource, call)
    assert given <= members
    required = set(shape.required_members) if shape else set()
    assert required <= given


@pytest.mark.parametrize(("resource", "call"), CALLS)
def test_the_result_is_in_the_answer(resource: Resource, call: Call) -> None:
    output = operation(call).output_shape
    assert output
    assert jmespath.search(call.result, answer(output, lambda name, _shape: name)), f"{call.result} finds nothing"


@pytest.mark.parametrize(("resource", "call"), CALLS)
def test_constant_parameters_have_values_that_aws_takes(resource: Resource, call: Call) -> None:
    shape = operation(call).input_shape
    for name, value in call.parameters.items():
        assert shape
        member = shape.members[name]
        if isinstance(value, int):
            assert member.metadata.get("min", 0) <= value <= member.metadata.get("max", 10_000)


@pytest.mark.parametrize(("resource", "call"), CALLS)
def test_an_answer_in_pages_is_read_to_its_end(resource: Resource, call: Call) -> None:
    client: Any = boto3.client(call.service, region_name="us-east-1")
    in_pages = client.can_paginate(call.operation) or call.operation in OWN_PAGES
    if not in_pages:
        return
    if call.operation in OWN_PAGES:
        assert call.pages, "boto3 has no paginator: declare Pages"
    reads_many = call.result.endswith("[]") or re.search(r"\[\]\.?\{.*\}$", call.result)
    assert reads_many, "only results that end in a list are read page after page"


@pytest.mark.parametrize(("resource", "call"), CALLS)
def test_ids_fit_into_one_call(resource: Resource, call: Call) -> None:
    if call.ids is None:
        return
    shape = operation(call).input_shape
    assert shape
    member = shape.members[call.ids.parameter]
    if call.ids.filter:
        assert call.ids.size <= FILTER_VALUES
    elif call.ids.size == 1:
        assert member.type_name == "string"
    else:
        assert member.type_name == "list"
        limit = DOCUMENTED_SIZES.get(call.operation, member.metadata.get("max", call.ids.size))
        assert call.ids.size <= limit


@pytest.mark.parametrize(("resource", "call"), CALLS)
def test_the_iam_action_is_real_and_only_reads(resource: Resource, call: Call) -> None:
    prefix, name = models.action(call).split(":")
    assert is_real(prefix, name), f"{prefix}:{name} is no IAM action"
    assert re.match(r"Describe|List|Get|GET$", name)


@pytest.mark.parametrize("resource", RESOURCES)
def test_a_detail_asks_with_ids_that_the_call_takes(resource: Resource) -> None:
    for detail in resource.details:
        for one in every_detail(detail):
            if isinstance(one, PerBatch):
                assert one.call.ids
            if isinstance(one, PerItem) and one.described_by:
                assert one.described_by.ids
            if isinstance(one, PerBatch | ForAll):
                jmespath.compile(one.match)


@pytest.mark.parametrize("resource", RESOURCES)
def test_event_names_are_operations_of_the_service(resource: Resource) -> None:
    for change in resource.changes:
        assert change.names
        jmespath.compile(change.key)
        if change.native:
            assert change.native.startswith("aws.")


def test_no_pattern_exceeds_the_limit_of_event_bridge() -> None:
    for name, pattern in derived.patterns().items():
        assert len(json.dumps(pattern, separators=(",", ":"))) <= derived.PATTERN_LIMIT, name


def every_detail(detail: Detail) -> Sequence[Detail]:
    return [detail, detail.in_snapshot] if isinstance(detail, PerItem) and detail.in_snapshot else [detail]


def is_real(prefix: str, name: str) -> bool:
    """Whether IAM knows the action, by the list that AWS publishes (as parliament ships it)."""
    services = [service for service in iam_definition if service["prefix"] == prefix]
    return any(entry["privilege"] == name for service in services for entry in service["privileges"])
