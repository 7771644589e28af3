"""Secrets planted wherever AWS's answers may hold one, in every resource: none of them leaves the account.

The answers are made from botocore's models: every member that a model marks as sensitive, and every one whose name says
that it may be secret, holds a secret; and every text is, in a second run, a URL with a password and a token.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.model import Shape

from tests.account import ACCOUNT_ID, REGION
from tools import derived
from topology.aws import search
from topology.collect import Account, Names, spoken
from topology.declare import Call, Resource
from topology.elements import Component, Element, Finding, Relation, Scope
from topology.read import Reader
from topology.records import line
from topology.resources import ALL

SECRET = "hunter2"
URL = f"https://user:{SECRET}@example.com/path?token={SECRET}&sig={SECRET}"
MAY_BE_SECRET = re.compile(r"password|secret|userdata|token|^variables$|parametervalue|credential", re.IGNORECASE)
# Names that only sound like it: ids of what is kept elsewhere, switches, and tokens of idempotence.
HARMLESS = re.compile(
    "arn$|clienttoken|enabled|kmskeyid|status|secretsmanager|requesttoken|httptokens|tokenendpoint|^credentials$",
    re.IGNORECASE,
)
# What the models call sensitive though it is a name or a text for people, which goes out.
SHOWN = re.compile(
    "^(Description|Message|User|Username|Database|Schema|Table|.*ColumnName|.*RoleName|AccountUrl|Url|PrivateLinkVpceId|AttributeName|SnowflakeRole)$"
)
# Texts that a resource takes apart or compares, by member.
SPECIAL: Mapping[str, Any] = {
    "State": "Enabled",
    "StackStatus": "CREATE_COMPLETE",
    "Type": "application",
    "type": "AWS",
    "status": "ACTIVE",
    "Protocol": "sqs",
    "Key": "name",
    "key": "name",
    "group": "service:shop",
    "path": "/orders",
}


def planted(shape: Shape, text: str, name: str = "", depth: int = 0) -> Any:
    """An answer of this shape in which every text is `text` and every secret place holds the secret."""
    if depth > 9:
        return None
    secret = bool(MAY_BE_SECRET.search(name)) and not HARMLESS.search(name)
    match shape.type_name:
        case "structure":
            members: Mapping[str, Shape] = shape.members  # type: ignore[attr-defined]
            return {key: planted(member, text, key, depth + 1) for key, member in members.items()}
        case "list":
            return [planted(shape.member, text, name, depth + 1)]  # type: ignore[attr-defined]
        case "map":
            inner = SECRET if secret else planted(shape.value, text, name, depth + 1)  # type: ignore[attr-defined]
            return {"name": inner, "QueueArn": text} if name == "Attributes" else {"name": inner}
        case "string":
            if secret or (shape.metadata.get("sensitive") and not SHOWN.match(name)):
                return SECRET
            return SPECIAL.get(name, text)
        case "boolean":
            return True
        case "integer" | "long" | "double" | "float":
            return 1
    return text


class Answering:
    """Answers every call with what `planted` makes of the operation's shape."""

    def __init__(self, text: str) -> None:
        self._text = text

    def ask(self, call: Call, _parameters: Mapping[str, Any]) -> Any:
        shape = derived.model(call.service).operation_model(derived.operation_name(call)).output_shape
        assert shape
        return search(call.result, planted(shape, self._text))

    def pages(self, call: Call, parameters: Mapping[str, Any]) -> Iterator[Any]:
        yield from self.ask(call, parameters) or ()

    def about(self, call: Call, _ids: Sequence[str], parameters: Mapping[str, Any] | None = None) -> Iterator[Any]:
        answer = self.ask(call, parameters or {})
        yield from answer if isinstance(answer, list) else [answer]


def emitted(resource: Resource, text: str, *, masked: bool = True) -> list[Element]:
    account = Account(ACCOUNT_ID, "aws", (REGION,), ALL, {}, masked)
    scope = Scope(ACCOUNT_ID, REGION, "aws", resource.service)
    failures: list[Finding] = []
    with ThreadPoolExecutor(2) as pool:
        reader = Reader(Answering(text), scope, pool, failures.append)  # type: ignore[arg-type]
        found = [
            element for item in reader.items(resource) for element in spoken(account, resource, scope, item, Names())
        ]
    assert not failures
    return found


def leaks(value: Any, way: str = "") -> Iterator[str]:
    """Where in the data a secret is. Tags go out as they are; names and dimensions are made of ids, never of URLs."""
    if isinstance(value, dict):
        for key, inner in value.items():
            assert SECRET not in key, f"{way}.{key}"
            if key not in {"Tags", "CW", "URN", "Name"}:
                yield from leaks(inner, f"{way}.{key}")
    elif isinstance(value, list):
        for inner in value:
            yield from leaks(inner, f"{way}[]")
    elif isinstance(value, str) and SECRET in value:
        yield f"{way}: {value}"


@pytest.mark.parametrize("resource", ALL, ids=[resource.kind for resource in ALL])
@pytest.mark.parametrize("text", ["text", URL], ids=["fields", "urls"])
def test_no_planted_secret_is_in_what_is_emitted(resource: Resource, text: str) -> None:
    found = emitted(resource, text)

    shown = [component for component in found if isinstance(component, Component)]
    assert shown or not resource.components
    for element in found:
        if isinstance(element, Component | Relation):
            assert not list(leaks(element.data)), element.type


@pytest.mark.parametrize("kind", ["lambda.function", "cloudformation.stack"])
def test_the_setting_turns_masking_off(kind: str) -> None:
    [resource] = [one for one in ALL if one.kind == kind]

    text = b"".join(line(one, 0) for one in emitted(resource, "text", masked=False) if isinstance(one, Component))

    assert SECRET.encode() in text
