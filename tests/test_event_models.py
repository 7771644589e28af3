"""Every declared API call, as CloudTrail would report it by botocore's models: the key comes out where it should be.

The shapes follow from the models and CloudTrail's rules of casing (contract: events.md 1.5); the values are ids of one
resource of each kind. So a misspelt place, or one that AWS's model does not have, finds nothing.
"""

import re
from collections.abc import Mapping
from itertools import product
from typing import Any

import jmespath
import pytest
from botocore.model import OperationModel, Shape

from tests.account import api_call
from tests.resources.support import without_clients
from tools import models
from topology.declare import Change, Resource
from topology.events import meaning
from topology.resources import ALL, ec2

Json = dict[str, Any]
ACCOUNT = "eu-west-1:123456789012"
INSTANCE = "i-0c4d1e2f3a5b60798"
CLUSTER = f"arn:aws:ecs:{ACCOUNT}:cluster/shop"
STACK = f"arn:aws:cloudformation:{ACCOUNT}:stack/shop/3c8f2f40"
TABLE = f"arn:aws:dynamodb:{ACCOUNT}:table/orders"
BALANCER = f"arn:aws:elasticloadbalancing:{ACCOUNT}:loadbalancer/app/shop/50dc6c495c0c9188"
LISTENER = f"arn:aws:elasticloadbalancing:{ACCOUNT}:listener/app/shop/50dc6c495c0c9188/0467ef3c8400ae65"
TARGET_GROUP = f"arn:aws:elasticloadbalancing:{ACCOUNT}:targetgroup/shop/73e2d6bc24d8a067"
REGISTRY = "srv-e4anhexample0004"
OPERATION = "gv4g5meo7ndmeh4fqskygvk23d2fijwa-k9302yzd"

# What stands in a member, by its name in lower case (without the `s` of a list), in events of each service.
VALUES: dict[str, Json] = {
    "ec2": {
        "instanceid": INSTANCE,
        "groupid": "sg-1",
        "subnetid": "subnet-1",
        "vpcid": "vpc-1",
        "vpngatewayid": "vgw-1",
        "networkinterfaceid": "eni-1",
        "attachmentid": "eni-attach-1",
    },
    "autoscaling": {"autoscalinggroupname": "shop", "instanceid": INSTANCE, "resourceid": "shop"}
    | {"resourcetype": "auto-scaling-group"},
    "apigateway": {
        "restapiid": "a1b2c3",
        "id": "a1b2c3",
        "resourcearn": "arn:aws:apigateway:eu-west-1::/restapis/a1b2c3",
    },
    "cloudformation": {"stackid": STACK, "stackname": "shop"},
    "dynamodb": {"tablename": "orders", "targettablename": "orders", "globaltablename": "orders", "tablearn": TABLE}
    | {"resourcearn": TABLE},
    "ecs": {"cluster": CLUSTER, "clusterarn": CLUSTER, "clustername": "shop", "resourcearn": CLUSTER}
    | {"servicearn": f"arn:aws:ecs:{ACCOUNT}:service/shop/web"},
    "servicediscovery": {"id": REGISTRY, "serviceid": REGISTRY, "operationid": OPERATION, "attributes": CLUSTER},
    "elb": {"loadbalancername": "shop"},
    "elbv2": {
        "loadbalancerarn": BALANCER,
        "listenerarn": LISTENER,
        "rulearn": LISTENER,
        "targetgrouparn": TARGET_GROUP,
    },
}
# Ids of a resource in calls that name any kind.
OWN: dict[str, Json] = {
    "ec2.instance": {"resource": INSTANCE},
    "ec2.security-group": {"resource": "sg-1"},
    "ec2.subnet": {"resource": "subnet-1"},
    "ec2.vpc": {"resource": "vpc-1"},
    "ec2.vpn-gateway": {"resource": "vgw-1"},
    "elbv2.load-balancer": {"resourcearn": BALANCER},
    "elbv2.target-group": {"resourcearn": TARGET_GROUP},
}
# Keys of the resource itself, and of what is near it.
KEYS: Mapping[str, set[str]] = {
    "ec2.instance": {INSTANCE, "eni-1", "eni-attach-1"},
    "ec2.security-group": {"sg-1", "vpc-1"},
    "ec2.subnet": {"subnet-1", "vpc-1"},
    "ec2.vpc": {"vpc-1"},
    "ec2.vpn-gateway": {"vgw-1"},
    "autoscaling.group": {"shop", INSTANCE},
    "apigateway.rest-api": {"a1b2c3"},
    "cloudformation.stack": {STACK, "shop"},
    "dynamodb.table": {"orders"},
    "ecs.cluster": {CLUSTER, REGISTRY, OPERATION},
    "elb.load-balancer": {"shop"},
    "elbv2.load-balancer": {BALANCER},
    "elbv2.target-group": {TARGET_GROUP, BALANCER},
}
# It names neither the instance nor its interface.
UNRESOLVABLE = {"DisassociateAddress"}
# EC2's lists of ids in requests, and what CloudTrail calls them and the ids in them.
EC2_LISTS = {"InstanceIds": ("instancesSet", "instanceId"), "Resources": ("resourcesSet", "resourceId")}
DEEPEST = 6

# Operations that came before CloudTrail's newer form, and name their instances or resources in lists.
EC2_OLDER = {
    *("RunInstances", "StartInstances", "StopInstances", "TerminateInstances", "MonitorInstances"),
    *("UnmonitorInstances", "CreateTags", "DeleteTags"),
}
# What a mapping in a request is looked up by.
MAPPED = {"Attributes": "ECS_CLUSTER_NAME"}
# HTTP APIs share events with REST APIs, and are told apart by this.
OF_OTHER_PRODUCTS = {"requestParameters.apiId"}
PLACE = re.compile(r"(?:requestParameters|responseElements)(?:\.\w+(?:\[\d*\])?)+")
OTHER_THAN_EC2 = [
    (resource, change)
    for resource in ALL
    if resource.kind in KEYS and resource.service != "ec2"
    for change in resource.changes
    if not change.native
]
EC2_CALLS = [
    pytest.param(
        resource, name, wraps_request, wraps_answer, id=f"{resource.kind}-{name}-{wraps_request}-{wraps_answer}"
    )
    for resource in ec2.RESOURCES
    for change in resource.changes
    if not change.native
    for name in change.names
    for wraps_request, wraps_answer in product((False, True), repeat=2)
    if not (name in EC2_OLDER and (wraps_request or wraps_answer))
]


def example(shape: Shape, values: Mapping[str, Any], name: str = "", depth: int = 0) -> Any:
    """A value of this shape, with every member, under the names that the API has."""
    if depth > DEEPEST:
        return None
    match shape.type_name:
        case "structure":
            members: Mapping[str, Shape] = shape.members  # type: ignore[attr-defined]
            return {key: example(member, values, key, depth + 1) for key, member in members.items()}
        case "list":
            return [example(shape.member, values, name.removesuffix("s"), depth + 1)]  # type: ignore[attr-defined]
        case "map":
            return {MAPPED.get(name, "entry"): example(shape.value, values, name, depth + 1)}  # type: ignore[attr-defined]
    return values.get(name.lower(), f"some {name}")


def lowered(value: Any) -> Any:
    """The value as most services' events have it: the first letter of every member in lower case."""
    if isinstance(value, dict):
        return {
            key if key in MAPPED.values() else key[:1].lower() + key[1:]: lowered(inner) for key, inner in value.items()
        }
    return [lowered(inner) for inner in value] if isinstance(value, list) else value


def answered_by_ec2(shape: Shape, value: Any, list_name: str) -> Any:
    """An answer of EC2 under its names in XML; elements of a list are `items` in older events, `item` in newer."""
    if isinstance(value, dict):
        members: Mapping[str, Shape] = shape.members  # type: ignore[attr-defined]
        return {
            members[key].serialization.get("name", key): answered_by_ec2(members[key], inner, list_name)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        inside = [answered_by_ec2(shape.member, inner, list_name) for inner in value]  # type: ignore[attr-defined]
        return {"items": inside} if list_name == "items" else {"item": inside[0]}
    return value


def called(operation: OperationModel, values: Mapping[str, Any]) -> tuple[Json | None, Json | None]:
    """Parameters and answer of a call, as the API has them."""
    request = example(operation.input_shape, values) if operation.input_shape else None
    response = example(operation.output_shape, values) if operation.output_shape else None
    return request, response


def reported(operation: OperationModel, values: Mapping[str, Any]) -> tuple[Json | None, Json | None]:
    """The same, as CloudTrail reports them."""
    request, response = called(operation, values)
    if operation.service_model.service_name == "apigateway" and operation.input_shape and request:
        return of_api_gateway(operation, request), lowered(response)
    return lowered(request), lowered(response)


def of_api_gateway(operation: OperationModel, request: Json) -> Json:
    """What is in the path stays outside, the body goes into `{operation}Input`."""
    members: Mapping[str, Shape] = operation.input_shape.members  # type: ignore[union-attr]
    outside = {name for name, shape in members.items() if shape.serialization.get("location") in {"uri", "querystring"}}
    body = {name: value for name, value in request.items() if name not in outside}
    name = f"{operation.name[:1].lower()}{operation.name[1:]}Input"
    reported: Json = lowered({key: request[key] for key in outside}) | {"template": False}
    return reported | ({name: lowered(body)} if body else {})


@pytest.mark.parametrize(
    ("resource", "change"), OTHER_THAN_EC2, ids=[f"{one.kind}-{change.names[0]}" for one, change in OTHER_THAN_EC2]
)
def test_a_call_by_aws_s_model_touches_its_resource(resource: Resource, change: Change) -> None:
    for name in change.names:
        event = event_of(resource, change, name)

        assert keys(resource, event)
        assert keys(resource, event) <= KEYS[resource.kind]


def test_every_place_where_a_key_may_be_is_in_aws_s_model_of_a_call_that_looks_there() -> None:
    missing: set[str] = set()
    found = set(OF_OTHER_PRODUCTS)
    for resource, change in OTHER_THAN_EC2:
        for place in PLACE.findall(change.key):
            details = [event_of(resource, change, name)["detail"] for name in change.names]
            there = any(jmespath.search(place, detail) for detail in details)
            (found if there else missing).add(place)

    assert not missing - found


@pytest.mark.parametrize(("resource", "name", "wraps_request", "wraps_answer"), EC2_CALLS)
def test_a_call_of_ec2_touches_its_resource_in_the_older_and_the_newer_form(
    resource: Resource, name: str, wraps_request: bool, wraps_answer: bool
) -> None:
    operation = models.of("ec2").operation_model(name)
    request, response = called(operation, VALUES["ec2"] | OWN[resource.kind])
    request = request or {}
    older = {
        EC2_LISTS[key][0]: {"items": [{EC2_LISTS[key][1]: one} for one in value]}
        for key, value in request.items()
        if key in EC2_LISTS
    }
    parameters = {f"{name}Request": request} if wraps_request else lowered(request) | older
    answer = {}
    if operation.output_shape:
        answer = answered_by_ec2(operation.output_shape, response, "item" if wraps_answer else "items")

    event = api_call("ec2", name, parameters, {f"{name}Response": answer} if wraps_answer else answer)

    assert keys(resource, event) <= KEYS[resource.kind]
    assert bool(keys(resource, event)) == (name not in UNRESOLVABLE)


def event_of(resource: Resource, change: Change, name: str) -> Json:
    """The event of a call of another service than EC2, with all parameters and the whole answer."""
    source = (change.source or resource.cloudtrail_source).removesuffix(".amazonaws.com")
    service = source if change.source else resource.service
    operation = models.of(service).operation_model(name)
    request, response = reported(operation, VALUES[service] | OWN.get(resource.kind, {}))
    return api_call(source, name, request, response, apiVersion=operation.service_model.api_version)


def keys(resource: Resource, event: Json) -> set[str]:
    return {one.key for one in meaning(without_clients([resource]), event).touched}
