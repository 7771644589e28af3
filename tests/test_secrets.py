"""Secrets planted wherever AWS's answers may hold one, in every resource: none of them leaves the account.

The answers are made from botocore's models: every member that a model marks as sensitive, and every one whose name says
that it may be secret, holds a secret; and every text is, in a second run, a URL with a password and a token.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.model import Shape

from tests.account import ACCOUNT_ID, REGION
from tools.examples import emitted
from topology.declare import Resource
from topology.elements import Component, Relation, Scope
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


def planted(text: str) -> Callable[[str, Shape], str]:
    """Texts of answers: `text`, but in every place that may hold a secret the secret."""

    def value(name: str, shape: Shape) -> str:
        secret = bool(MAY_BE_SECRET.search(name)) and not HARMLESS.search(name)
        return SECRET if secret or (shape.metadata.get("sensitive") and not SHOWN.match(name)) else text

    return value


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
    found = emitted(resource, Scope(ACCOUNT_ID, REGION, "aws", resource.service), planted(text))

    shown = [component for component in found if isinstance(component, Component)]
    assert shown or not resource.components
    for element in found:
        if isinstance(element, Component | Relation):
            assert not list(leaks(element.data)), element.type


@pytest.mark.parametrize("kind", ["lambda.function", "cloudformation.stack"])
def test_the_setting_turns_masking_off(kind: str) -> None:
    [resource] = [one for one in ALL if one.kind == kind]

    scope = Scope(ACCOUNT_ID, REGION, "aws", resource.service)
    found = emitted(resource, scope, planted("text"), masked=False)

    assert any(list(leaks(one.data)) for one in found if isinstance(one, Component))
