"""EventBridge's event patterns: whether a pattern lets an event through."""

import ipaddress
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def matches(pattern: Mapping[str, Any], event: Any) -> bool:
    """Whether `event` has everything that `pattern` asks for.

    Fields of a pattern are joined by AND, the entries of a list by OR, `$or` holds alternatives. A field of the event
    that is an array matches if one of its elements does; a field that is missing matches {"exists": false} only.

    Raises:
        ValueError: the pattern is not one that EventBridge accepts.
    """
    if isinstance(event, list):
        return any(matches(pattern, element) for element in event)
    for name, wanted in pattern.items():
        if name == "$or":
            if not any(matches(alternative, event) for alternative in wanted):
                return False
        elif not _field_matches(wanted, event, name):
            return False
    return True


def _field_matches(wanted: Any, event: Any, name: str) -> bool:
    fields = event if isinstance(event, Mapping) else {}
    if isinstance(wanted, Mapping):
        # An absent object still matches a pattern whose leaves are all {"exists": false}.
        return matches(wanted, fields.get(name, {}))
    if not isinstance(wanted, list) or not wanted:
        raise ValueError(f'"{name}" must be an object or a non-empty array')
    present = name in fields and not isinstance(fields[name], Mapping)
    values = list(_leaves(fields[name])) if present else []
    return any(_rule_matches(rule, values, present) for rule in wanted)


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        for element in value:
            yield from _leaves(element)
    else:
        yield value


def _rule_matches(rule: Any, values: list[Any], present: bool) -> bool:
    if isinstance(rule, Mapping) and "exists" in rule:
        return rule["exists"] is present
    test = _test(rule)
    return any(test(value) for value in values)


def _test(rule: Any) -> Callable[[Any], bool]:
    """The test that one entry of a pattern's list puts a single value to."""
    if not isinstance(rule, Mapping):
        return lambda value: _same(rule, value)
    if len(rule) != 1:
        raise ValueError(f"one matching rule is allowed in {dict(rule)}")
    [(kind, operand)] = rule.items()
    if kind == "anything-but":
        refused = [_test(entry) for entry in _anything_but(operand)]
        return lambda value: not any(test(value) for test in refused)
    if kind == "numeric":
        comparisons = list(zip(operand[::2], operand[1::2], strict=True))
        return lambda value: _is_number(value) and all(_COMPARE[sign](value, limit) for sign, limit in comparisons)
    if kind == "cidr":
        network = ipaddress.ip_network(operand)
        return lambda value: isinstance(value, str) and _address_in(value, network)
    return _text_test(kind, operand)


def _anything_but(operand: Any) -> list[Any]:
    """The rules that anything-but turns round: plain values, or {"prefix": "a"}, or {"prefix": ["a", "b"]}."""
    if not isinstance(operand, Mapping):
        return operand if isinstance(operand, list) else [operand]
    [(kind, words)] = operand.items()
    return [{kind: word} for word in (words if isinstance(words, list) else [words])]


def _text_test(kind: str, operand: Any) -> Callable[[Any], bool]:
    ignore_case = isinstance(operand, Mapping) and set(operand) == {"equals-ignore-case"}
    word: Any = operand["equals-ignore-case"] if ignore_case else operand
    if not isinstance(word, str) or kind not in {"prefix", "suffix", "equals-ignore-case", "wildcard"}:
        raise ValueError(f"unrecognized match type {kind}")
    if ignore_case or kind == "equals-ignore-case":
        word = word.casefold()
    expression = re.compile(
        {
            "prefix": re.escape(word) + ".*",
            "suffix": ".*" + re.escape(word),
            "equals-ignore-case": re.escape(word),
            "wildcard": "",
        }[kind]
        or _wildcard(word),
        re.DOTALL,
    )
    fold = ignore_case or kind == "equals-ignore-case"

    def test(value: Any) -> bool:
        return isinstance(value, str) and expression.fullmatch(value.casefold() if fold else value) is not None

    return test


def _wildcard(word: str) -> str:
    """A wildcard as a regular expression: a star is any text, one after a backslash is a star."""
    return "".join(
        ".*" if part == "*" else re.escape(part.removeprefix("\\") or part)
        for part in re.findall(r"\\[*\\]|\*|[^*\\]+|\\", word)
    )


def _same(wanted: Any, value: Any) -> bool:
    if _is_number(wanted) and _is_number(value):
        return bool(wanted == value)
    return type(wanted) is type(value) and bool(wanted == value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _address_in(value: str, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    try:
        return ipaddress.ip_address(value) in network
    except ValueError:
        return False
