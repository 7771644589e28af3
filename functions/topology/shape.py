"""The form that the AWS StackPack v5 expects component data in (contract: resources.md 1.2 to 1.6).

AWS's answers are made JSON-ready, keys get a capital first letter at every depth, tags become one mapping, and the
place is added. Ids, type names and the data of relations are left as they are.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from topology.elements import Component, Item, Json, Relation, Scope

SCALARS = (str, int, float, bool, type(None))
MASKED = "********"
# In a URL: user:PASSWORD@host, and ?name=VALUE&name=VALUE.
PASSWORD = re.compile(r"(://[^/?#@:\s]*:)[^/?#@\s]+(@)")
QUERY_VALUE = re.compile(r"([?&][^=&#\s]+=)[^&#\s]+")


def component(scope: Scope, type_: str, id_: str, data: Item) -> Component:
    """A component whose data is `data` (as AWS answered, with what the resource adds) in the StackPack's form."""
    shaped: Json = capitalised(data)
    tags = data.get("Tags", data.get("tags"))
    if tags is not None:
        shaped["Tags"] = tag_mapping(tags)
    shaped["Location"] = location(scope)
    return Component(id_, type_, shaped)


def location(scope: Scope) -> Json:
    """Where the scope is, as the StackPack reads it for CloudWatch."""
    return {"AwsAccount": scope.account, "AwsRegion": scope.region}


def dimensions(**values: str) -> Json:
    """What `CW` holds: the CloudWatch dimensions of a component, in the order given."""
    return {"Dimensions": [{"Key": key, "Value": value} for key, value in values.items()]}


def relation(source: str, type_: str, target: str, data: Item) -> Relation:
    """A relation that carries an answer of AWS, JSON-ready but with its keys as they are."""
    return Relation(source, type_, target, plain(data))


def tag_mapping(tags: Any) -> dict[str, str]:
    """Tags as one mapping, whichever of AWS's shapes they came in; names and values verbatim."""
    if isinstance(tags, Mapping):
        return dict(tags)
    return {tag["Key"] if "Key" in tag else tag["key"]: tag.get("Value", tag.get("value")) for tag in tags}


def plain(value: Any) -> Any:
    """The value with only what JSON knows: dates as ISO text, anything strange as its text."""
    if isinstance(value, SCALARS):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value.isoformat() if isinstance(value, date) else str(value)


def capitalised(value: Any) -> Any:
    """The value JSON-ready, each mapping's keys with a capital first letter; tags keep their names."""
    if isinstance(value, SCALARS):
        return value
    if isinstance(value, Mapping):
        return {
            key[:1].upper() + key[1:]: plain(inner) if _keeps_names(key, inner) else capitalised(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [capitalised(inner) for inner in value]
    return value.isoformat() if isinstance(value, date) else str(value)


def _keeps_names(key: str, value: Any) -> bool:
    # Lower-case `tags` hold either pairs, whose `key` and `value` are field names, or a mapping, whose keys are data.
    return key == "Tags" or (key == "tags" and isinstance(value, Mapping))


def mask(data: Json, paths: Sequence[str]) -> None:
    """Replace, in place, what may be secret; names stay.

    That is the values at the dotted paths, where `*` stands for every key or list element, and in any URL the password
    and the values of its query. Tags go out as they are: that is what they are for.
    """
    for path in paths:
        _mask(data, path.split("."))
    _mask_urls(data)


def _mask(holder: Any, steps: Sequence[str]) -> None:
    for key in _keys(holder) if steps[0] == "*" else [key for key in _keys(holder) if key == steps[0]]:
        if len(steps) == 1:
            holder[key] = MASKED
        else:
            _mask(holder[key], steps[1:])


def _mask_urls(holder: Any) -> None:
    for key in _keys(holder):
        value = holder[key]
        if key == "Tags":
            continue
        if isinstance(value, str):
            if "://" in value:
                holder[key] = QUERY_VALUE.sub(rf"\1{MASKED}", PASSWORD.sub(rf"\1{MASKED}\2", value))
        else:
            _mask_urls(value)


def _keys(holder: Any) -> list[Any]:
    if isinstance(holder, dict):
        return list(holder)
    return list(range(len(holder))) if isinstance(holder, list) else []
