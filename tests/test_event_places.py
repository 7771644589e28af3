"""Where events have ids: in records made after AWS's own models, an id in any of its places comes out as the key.

CloudTrail writes the first letter of every member small, and leaves out the one member that wraps an answer of RDS or
Redshift. What no model tells (S3's names, EC2's sets and wrappings, paths of API Gateway) is for the samples to show.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from botocore.model import OperationModel, Shape
from hypothesis import given, settings
from hypothesis import strategies as st

from tools import models
from topology.aws import search
from topology.resources import ALL

Json = dict[str, Any]
DEEPEST = 5
REQUEST, ANSWER = "requestParameters", "responseElements"
# Places of ids by kind, in the API's own names; those of answers begin with an arrow.
PLACES: Mapping[str, tuple[str, ...]] = {
    "firehose.delivery-stream": ("DeliveryStreamName", "→DeliveryStreamARN"),
    "kinesis.stream": (
        *("StreamName", "StreamARN", "ResourceARN", "ConsumerARN"),
        *("→StreamARN", "→Consumer.ConsumerARN"),
    ),
    "lambda.function": ("FunctionName", "Resource", "→FunctionName", "→FunctionArn", "→AliasArn"),
    "lambda.event-source-mapping": ("UUID", "→UUID", "→EventSourceMappingArn"),
    "rds.cluster": (
        *("DBClusterIdentifier", "ResourceArn", "ResourceIdentifier", "ResourceName", "→ResourceArn"),
        *("SourceDBClusterIdentifier", "DbClusterIdentifier", "TargetDbClusterIdentifier"),
        *("→DBCluster.DBClusterArn", "→DBCluster.DBClusterIdentifier"),
        *("→DBClusterIdentifier", "→DBInstance.DBClusterIdentifier"),
        *("Source", "BlueGreenDeploymentIdentifier", "→BlueGreenDeployment.Source", "→BlueGreenDeployment.Target"),
        "→BlueGreenDeployment.SwitchoverDetails[].SourceMember",
    ),
    "rds.instance": (
        *("DBInstanceIdentifier", "TargetDBInstanceIdentifier", "→DBInstance.DBInstanceArn"),
        *("ResourceArn", "ResourceIdentifier", "ResourceName"),
        "→DBCluster.DBClusterMembers[].DBInstanceIdentifier",
        *("Source", "BlueGreenDeploymentIdentifier", "→BlueGreenDeployment.Source", "→BlueGreenDeployment.Target"),
        "→BlueGreenDeployment.SwitchoverDetails[].TargetMember",
    ),
    "redshift.cluster": ("ClusterIdentifier", "ResourceName", "→ClusterIdentifier", "→Cluster.ClusterIdentifier"),
    "route53.hosted-zone": (
        *("Id", "HostedZoneId", "ResourceId"),
        *("→HostedZone.Id", "→TrafficPolicyInstance.HostedZoneId"),
    ),
    "route53domains.domain": ("DomainName",),
    "sns.topic": ("TopicArn", "Name", "SubscriptionArn", "ResourceArn", "→TopicArn"),
    "sqs.queue": ("QueueUrl", "QueueName", "→QueueUrl"),
}
# Places that are there, but tell of something else in these calls.
OF_OTHERS = {
    ("route53.hosted-zone", "UpdateTrafficPolicyInstance", "Id"),
    ("route53.hosted-zone", "DeleteTrafficPolicyInstance", "Id"),
    ("rds.cluster", "RestoreDBClusterToPointInTime", "SourceDBClusterIdentifier"),
    ("rds.instance", "FailoverDBCluster", "TargetDBInstanceIdentifier"),
}
# Answers that CloudTrail has without what wraps them.
UNWRAPPED = {"rds": ("DBInstance", "DBCluster"), "redshift": ("Cluster",)}
# Members whose value decides what the call is about.
TELLING = {"ResourceType": "hostedzone"}
# With a qualifier, a call is about a version of a function; the others are second ids, which the samples show.
LEFT_OUT = {
    *("Qualifier", "NewDBClusterIdentifier", "NewDBInstanceIdentifier", "NewClusterIdentifier"),
    "SourceDBInstanceIdentifier",
}
CALLS = sorted(
    {
        (resource.kind, name)
        for resource in ALL
        for change in resource.changes
        if resource.kind in PLACES and not change.native and not change.source
        for name in change.names
        if name in models.of(resource.service).operation_names
    }
)
KINDS = {resource.kind: resource for resource in ALL}


@pytest.mark.parametrize(("kind", "name"), CALLS)
def test_an_id_is_found_in_every_place_that_the_call_has_for_it(kind: str, name: str) -> None:
    places = list(own_places(kind, operation(kind, name)))

    for place in places:
        assert (place, found(kind, name, {place: "the id"})) == (place, {"the id"})


@settings(deadline=None, max_examples=20)
@given(st.data())
@pytest.mark.parametrize(("kind", "name"), CALLS)
def test_with_ids_in_some_places_only_those_are_found(kind: str, name: str, data: st.DataObject) -> None:
    places = list(own_places(kind, operation(kind, name)))
    ids = {place: place for place in places if data.draw(st.booleans(), place)}

    assert found(kind, name, ids) <= set(ids)
    assert bool(found(kind, name, ids)) == bool(ids)


def test_a_place_is_one_of_some_declared_call() -> None:
    """The table above tells nothing that no call has."""
    seen = {(kind, place) for kind, name in CALLS for place in own_places(kind, operation(kind, name))}

    assert seen == {(kind, place) for kind, places in PLACES.items() for place in places}


def operation(kind: str, name: str) -> OperationModel:
    return models.of(KINDS[kind].service).operation_model(name)


def found(kind: str, name: str, ids: Mapping[str, str]) -> set[str]:
    """The texts that the declarations find in the record of a call that has these ids, and no others."""
    detail = recorded(KINDS[kind].service, operation(kind, name), ids)
    return {
        text for change in KINDS[kind].changes if name in change.names for text in texts(search(change.key, detail))
    }


def own_places(kind: str, operation: OperationModel) -> Iterator[str]:
    """Those of the kind's places that the operation has."""
    for place in PLACES[kind]:
        shape = operation.output_shape if place.startswith("→") else operation.input_shape
        if has(shape, place) and (kind, operation.name, place) not in OF_OTHERS:
            yield place


def has(shape: Shape | None, place: str) -> bool:
    current: Any = shape
    for step in steps(place):
        current = current.member if current is not None and current.type_name == "list" else current
        if current is None or step not in getattr(current, "members", {}):
            return False
        current = current.members[step]
    return True


def recorded(service: str, operation: OperationModel, ids: Mapping[str, str]) -> Json:
    """The event's `detail` with these ids in their places, nothing in other places, and texts everywhere else."""
    request = example(operation.input_shape)
    answer = example(operation.output_shape)
    for place in every_place(operation):
        put(answer if place.startswith("→") else request, steps(place), ids.get(place))
    if isinstance(answer, dict) and len(answer) == 1 and set(answer) <= set(UNWRAPPED.get(service, ())):
        [answer] = answer.values()
    return {"eventName": operation.name, REQUEST: cased(request), ANSWER: cased(answer)}


def every_place(operation: OperationModel) -> Iterator[str]:
    for place in dict.fromkeys(place for places in PLACES.values() for place in places):
        if has(operation.output_shape if place.startswith("→") else operation.input_shape, place):
            yield place


def steps(place: str) -> list[str]:
    return place.removeprefix("→").replace("[]", "").split(".")


def put(value: Any, path: list[str], text: str | None) -> None:
    """Set or remove a member of an example, in every element of lists on the way."""
    for one in value if isinstance(value, list) else [value]:
        if len(path) > 1:
            put(one[path[0]], path[1:], text)
        elif text is None:
            one.pop(path[0], None)
        else:
            one[path[0]] = text


def example(shape: Shape | None, name: str = "", depth: int = 0) -> Any:
    """A value of the shape with every member; texts are the member's name, with a small first letter."""
    if shape is None or depth > DEEPEST:
        return None
    members: Mapping[str, Shape] = getattr(shape, "members", {})
    match shape.type_name:
        case "structure":
            return {key: example(one, key, depth + 1) for key, one in members.items() if key not in LEFT_OUT}
        case "list":
            return [example(shape.member, name, depth + 1)]  # type: ignore[attr-defined]
        case "map":
            return {"entry": example(shape.value, name, depth + 1)}  # type: ignore[attr-defined]
        case "string":
            return TELLING.get(name, lower(name))
        case "boolean":
            return True
    return 1


def cased(value: Any) -> Any:
    """The value as CloudTrail spells it."""
    if isinstance(value, dict):
        return {lower(name): cased(one) for name, one in value.items()}
    return [cased(one) for one in value] if isinstance(value, list) else value


def lower(name: str) -> str:
    return name[:1].lower() + name[1:]


def texts(key: Any) -> list[str]:
    """The texts in what a key's expression found."""
    return [one for one in (key if isinstance(key, list) else [key]) if isinstance(one, str)]
