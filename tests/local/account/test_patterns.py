"""EventBridge's patterns."""

from __future__ import annotations

from typing import Any

import pytest

from local.account.patterns import matches

EVENT = {
    "source": "aws.ec2",
    "account": "123456789012",
    "resources": ["arn:a", "arn:b"],
    "detail": {
        "state": "running",
        "count": 5,
        "ratio": 0.5,
        "on": True,
        "none": None,
        "ip": "10.0.0.17",
        "path": "images/2024/cat.PNG",
        "nested": {"deep": {"name": "Web"}},
        "list": [{"id": "a"}, {"id": "b"}],
    },
}


def detail(**pattern: Any) -> dict[str, Any]:
    return {"detail": pattern}


@pytest.mark.parametrize(
    "pattern",
    [
        {"source": ["aws.ec2"]},
        {"source": ["aws.s3", "aws.ec2"]},
        {"source": [{"prefix": "aws."}]},
        {"source": ["aws.ec2"], "account": ["123456789012"]},
        {"resources": ["arn:b"]},
        {"resources": [{"suffix": ":a"}]},
        detail(count=[5]),
        detail(count=[5.0]),
        detail(on=[True]),
        detail(none=[None]),
        detail(path=[{"suffix": "PNG"}]),
        detail(path=[{"suffix": {"equals-ignore-case": ".png"}}]),
        detail(path=[{"prefix": {"equals-ignore-case": "IMAGES"}}]),
        detail(path=[{"wildcard": "images/*/cat.*"}]),
        detail(path=[{"wildcard": "*"}]),
        detail(state=[{"equals-ignore-case": "RUNNING"}]),
        detail(state=[{"anything-but": "stopped"}]),
        detail(state=[{"anything-but": ["stopped", "pending"]}]),
        detail(state=[{"anything-but": {"prefix": "st"}}]),
        detail(state=[{"anything-but": {"prefix": ["st", "pe"]}}]),
        detail(state=[{"anything-but": {"suffix": "ped"}}]),
        detail(path=[{"anything-but": {"wildcard": "*/lib/*"}}]),
        detail(count=[{"anything-but": [4, 6]}]),
        detail(count=[{"numeric": [">", 0, "<=", 5]}]),
        detail(ratio=[{"numeric": ["=", 0.5]}]),
        detail(ip=[{"cidr": "10.0.0.0/24"}]),
        detail(state=[{"exists": True}]),
        detail(error=[{"exists": False}]),
        detail(none=[{"exists": True}]),
        {"absent": {"error": [{"exists": False}]}},
        detail(nested={"deep": {"name": ["Web"]}}),
        detail(list={"id": ["b"]}),
        {"$or": [{"source": ["aws.s3"]}, detail(state=["running"])]},
        detail(**{"state": ["running"], "$or": [{"count": [1]}, {"ratio": [0.5]}]}),
        {"source": [{"prefix": "x"}, {"suffix": "ec2"}]},
        {},
    ],
)
def test_a_pattern_that_holds_matches(pattern: dict[str, Any]) -> None:
    assert matches(pattern, EVENT)


@pytest.mark.parametrize(
    "pattern",
    [
        {"source": ["aws.s3"]},
        {"source": ["AWS.EC2"]},
        {"source": ["aws.ec2"], "account": ["2"]},
        {"resources": ["arn:c"]},
        detail(count=["5"]),
        detail(count=[True]),
        detail(on=[1]),
        detail(on=["true"]),
        detail(absent=[None]),
        detail(path=[{"suffix": ".png"}]),
        detail(path=[{"wildcard": "images/*.gif"}]),
        detail(state=[{"anything-but": "running"}]),
        detail(state=[{"anything-but": ["running", "pending"]}]),
        detail(state=[{"anything-but": {"prefix": "run"}}]),
        detail(path=[{"anything-but": {"wildcard": "images/*"}}]),
        detail(absent=[{"anything-but": "x"}]),
        detail(absent=[{"prefix": ""}]),
        detail(count=[{"numeric": [">", 5]}]),
        detail(state=[{"numeric": [">", 0]}]),
        detail(ip=[{"cidr": "10.0.1.0/24"}]),
        detail(state=[{"cidr": "10.0.1.0/24"}]),
        detail(state=[{"exists": False}]),
        detail(error=[{"exists": True}]),
        detail(nested=[{"exists": True}]),
        detail(nested={"deep": {"name": ["web"]}}),
        detail(list={"id": ["c"]}),
        {"$or": [{"source": ["aws.s3"]}, detail(state=["stopped"])]},
        detail(**{"state": ["stopped"], "$or": [{"count": [5]}, {"ratio": [0.5]}]}),
    ],
)
def test_a_pattern_that_does_not_hold_does_not_match(pattern: dict[str, Any]) -> None:
    assert not matches(pattern, EVENT)


def test_a_wildcard_can_have_a_star_of_its_own() -> None:
    assert matches({"a": [{"wildcard": r"x\*y*"}]}, {"a": "x*yz"})
    assert not matches({"a": [{"wildcard": r"x\*y*"}]}, {"a": "xxyz"})


@pytest.mark.parametrize(
    "pattern", [{"a": "text"}, {"a": []}, {"a": [{"sounds-like": "b"}]}, {"a": [{"prefix": "x", "suffix": "y"}]}]
)
def test_what_eventbridge_does_not_accept_is_an_error(pattern: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        matches(pattern, {"a": "text"})
