"""What tests of resources share: refusals, answers that moto does not give, counts of calls, and what events touch."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from tests.account import ACCOUNT_ID, REGION
from topology.collect import Account
from topology.declare import Resource
from topology.elements import Scope
from topology.events import meaning

EVENTS = Path(__file__).parent.parent / "events"


def scope(service: str, region: str = REGION, partition: str = "aws") -> Scope:
    """A scope to call a resource's pure functions with."""
    return Scope(ACCOUNT_ID, region, partition, service)


def sample(name: str) -> dict[str, Any]:
    """An event as EventBridge delivers it: `sample("ec2/CreateVpc")`. The file says what it touches, too."""
    event: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text())["event"]
    return event


def touched(resources: Sequence[Resource], event: dict[str, Any]) -> set[tuple[str, str]]:
    """Kind and key of everything that the event says to look at again."""
    return {(one.resource.kind, one.key) for one in meaning(without_clients(resources), event).touched}


def ended(resources: Sequence[Resource], event: dict[str, Any]) -> set[str]:
    """Ids of what the event may have ended."""
    return {id_ for one in meaning(without_clients(resources), event).touched for id_ in one.ended}


def unresolved(resources: Sequence[Resource], event: dict[str, Any]) -> bool:
    """Whether the event is counted as one that has no usable id."""
    return meaning(without_clients(resources), event).unresolved


def without_clients(resources: Sequence[Resource]) -> Account:
    """An account in which events can be understood, and nothing can be called."""
    return Account(ACCOUNT_ID, "aws", (REGION,), resources, {})


def refuse(client: Any, operation: str, code: str = "AccessDeniedException", message: str = "not allowed") -> None:
    """From now on, AWS refuses the operation."""
    error = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": 400}}

    def refused(**_parameters: Any) -> Any:
        raise ClientError(error, operation)  # type: ignore[arg-type]

    setattr(client, operation, refused)


def answer(client: Any, operation: str, *answers: Mapping[str, Any]) -> list[dict[str, Any]]:
    """From now on, the operation gives these answers, one after the other; returns the parameters it is asked with."""
    asked: list[dict[str, Any]] = []
    waiting = iter(answers)

    def answered(**parameters: Any) -> Any:
        asked.append(parameters)
        return next(waiting)

    setattr(client, operation, answered)
    return asked


def calls(*clients: Any) -> Counter[str]:
    """Counts the requests that these clients send from now on, by operation."""
    counted: Counter[str] = Counter()

    def count(model: Any, **_: Any) -> None:
        counted[model.name] += 1

    for client in clients:
        client.meta.events.register("before-call", count)
    return counted
