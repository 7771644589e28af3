"""The form of component data: JSON alone, capital first letters, tags as one mapping, and no secrets."""

import json
from copy import deepcopy
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topology.elements import Scope
from topology.shape import (
    MASKED,
    capitalised,
    component,
    dimensions,
    location,
    mask,
    plain,
    relation,
    tag_mapping,
)

SCOPE = Scope("123456789012", "eu-west-1", "aws", "sqs")

names = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1, max_size=8)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
strange = st.datetimes() | st.dates() | st.binary(max_size=4) | st.decimals(allow_nan=False) | st.uuids()
# What boto3 answers: nested mappings and lists of scalars, dates and the odd thing else.
answers = st.recursive(
    scalars | strange,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=20,
)
mappings = st.dictionaries(names, answers, max_size=5)


def keys(value: Any) -> list[str]:
    """Every key at every depth."""
    if isinstance(value, dict):
        return [*value, *(key for inner in value.values() for key in keys(inner))]
    return [key for inner in value for key in keys(inner)] if isinstance(value, list) else []


# --------------------------------------------------------------------------------------------------- sanitising


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (datetime(2018, 4, 16, 8, 1, 8, tzinfo=UTC), "2018-04-16T08:01:08+00:00"),
        (
            datetime(2018, 6, 28, 14, 14, 56, 166000, tzinfo=timezone(timedelta(hours=2))),
            "2018-06-28T14:14:56.166000+02:00",
        ),
        (datetime(2018, 4, 16, 8, 1, 8), "2018-04-16T08:01:08"),
        (date(2018, 4, 16), "2018-04-16"),
        ("2018-04-16T08:01:08.000+0000", "2018-04-16T08:01:08.000+0000"),
        (1523865668, 1523865668),
        (Decimal("1.50"), "1.50"),
        ((1, "a"), [1, "a"]),
        (None, None),
        (True, True),
    ],
)
def test_dates_are_iso_text_and_anything_strange_its_own_text(value: Any, expected: Any) -> None:
    assert plain(value) == expected
    assert capitalised(value) == expected


@given(mappings)
def test_whatever_aws_answers_is_json(answer: dict[str, Any]) -> None:
    before = deepcopy(answer)

    shaped = component(SCOPE, "aws.sqs", "id", {key: value for key, value in answer.items() if key.lower() != "tags"})

    assert json.loads(json.dumps(shaped.data)) == shaped.data
    assert json.loads(json.dumps(plain(answer))) == plain(answer)
    assert answer == before


@given(answers)
def test_what_is_plain_stays_as_it_is(answer: Any) -> None:
    assert plain(plain(answer)) == plain(answer)


# ----------------------------------------------------------------------------------------------- capitalisation


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("httpMethod", "HttpMethod"),
        ("isNitro", "IsNitro"),
        ("application/json", "Application/json"),
        ("aWSKMSKeyArn", "AWSKMSKeyArn"),
        ("_private", "_private"),
        ("1st", "1st"),
        ("élan", "Élan"),
        ("", ""),
        ("VPCId", "VPCId"),
    ],
)
def test_the_first_letter_of_a_key_becomes_a_capital_and_the_rest_stays(key: str, expected: str) -> None:
    assert capitalised({key: {key: [{key: key}]}}) == {expected: {expected: [{expected: key}]}}


@given(mappings)
def test_keys_begin_with_a_capital_at_every_depth(answer: dict[str, Any]) -> None:
    untagged = {f"x{key}": value for key, value in answer.items()}
    shaped = capitalised(untagged)

    without_tags = [key for key in keys(plain(untagged)) if key.lower() == "tags"]
    if not without_tags:
        assert all(key[:1] == key[:1].upper() for key in keys(shaped))
    assert capitalised(shaped) == shaped


def test_names_of_tags_keep_their_case_at_any_depth() -> None:
    listed = [{"Key": "costCentre", "Value": "a"}]
    value = {"tags": {"costCentre": "a"}, "inner": {"Tags": {"costCentre": "a"}, "tags": listed}}

    assert capitalised({"Tags": {"a": {"b": 1}}, **value}) == {
        "Tags": {"costCentre": "a"},
        "Inner": {"Tags": [{"Key": "costCentre", "Value": "a"}]},
    }


def test_tags_in_small_letters_are_field_names_if_they_come_in_pairs() -> None:
    assert capitalised({"tags": [{"key": "costCentre", "value": "a"}]}) == {
        "Tags": [{"Key": "costCentre", "Value": "a"}]
    }


# --------------------------------------------------------------------------------------------------------- tags


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ([{"Key": "team", "Value": "shop"}], {"team": "shop"}),
        ([{"key": "team", "value": "shop"}], {"team": "shop"}),
        ([{"Key": "team", "Value": "a"}, {"Key": "team", "Value": "b"}], {"team": "b"}),
        ([{"Key": "team", "Value": "shop", "PropagateAtLaunch": True, "ResourceId": "x"}], {"team": "shop"}),
        ([{"Key": "empty"}], {"empty": None}),
        ([{"Key": "aws:cloudformation:stack-name", "Value": "Shop"}], {"aws:cloudformation:stack-name": "Shop"}),
        ({"stackstate-Identifier": "Shop"}, {"stackstate-Identifier": "Shop"}),
        ([], {}),
        ({}, {}),
    ],
)
def test_tags_become_one_mapping_with_names_and_values_verbatim(tags: Any, expected: dict[str, Any]) -> None:
    assert tag_mapping(tags) == expected
    assert component(SCOPE, "aws.sqs", "id", {"Tags": tags}).data["Tags"] == expected
    assert component(SCOPE, "aws.sqs", "id", {"tags": tags}).data["Tags"] == expected


@given(st.dictionaries(st.text(min_size=1), st.text()))
def test_every_shape_of_the_same_tags_says_the_same(tags: dict[str, str]) -> None:
    large = [{"Key": key, "Value": value} for key, value in tags.items()]
    small = [{"key": key, "value": value} for key, value in tags.items()]

    assert tag_mapping(tags) == tag_mapping(large) == tag_mapping(small) == tags


def test_what_aws_does_not_tag_has_no_tags() -> None:
    assert "Tags" not in component(SCOPE, "aws.vpc", "id", {"VpcId": "vpc-1"}).data


# ----------------------------------------------------------------------------------- components and relations


def test_a_component_carries_its_place_and_leaves_the_answer_alone() -> None:
    answer = {"queueUrl": "https://example.org", "Tags": [{"Key": "a", "Value": "b"}]}
    before = deepcopy(answer)

    found = component(SCOPE, "aws.sqs", "the id", answer)

    assert (found.id, found.type) == ("the id", "aws.sqs")
    assert found.data == {
        "QueueUrl": "https://example.org",
        "Tags": {"a": "b"},
        "Location": {"AwsAccount": "123456789012", "AwsRegion": "eu-west-1"},
    }
    assert answer == before
    assert location(SCOPE) == found.data["Location"]


def test_dimensions_keep_their_order() -> None:
    assert dimensions(TableName="orders", StreamLabel="now") == {
        "Dimensions": [{"Key": "TableName", "Value": "orders"}, {"Key": "StreamLabel", "Value": "now"}]
    }


def test_data_of_a_relation_keeps_its_keys_and_gets_no_place() -> None:
    found = relation("a", "child of", "b", {"stackName": "shop", "at": datetime(2018, 4, 16, tzinfo=UTC)})

    assert found.id == "a-child of-b"
    assert found.data == {"stackName": "shop", "at": "2018-04-16T00:00:00+00:00"}


# ------------------------------------------------------------------------------------------------------ masking


def masked(data: dict[str, Any], *paths: str) -> dict[str, Any]:
    mask(data, paths)
    return data


def test_values_at_a_path_are_masked_and_names_stay() -> None:
    data = {"Environment": {"Variables": {"PASSWORD": "p", "HOST": "h"}}, "Handler": "main"}

    assert masked(data, "Environment.Variables.*") == {
        "Environment": {"Variables": {"PASSWORD": MASKED, "HOST": MASKED}},
        "Handler": "main",
    }


def test_a_star_stands_for_each_element_of_a_list() -> None:
    data = {"Parameters": [{"ParameterKey": "k", "ParameterValue": "p"}, {"ParameterKey": "no value"}]}

    assert masked(data, "Parameters.*.ParameterValue") == {
        "Parameters": [{"ParameterKey": "k", "ParameterValue": MASKED}, {"ParameterKey": "no value"}]
    }


@pytest.mark.parametrize("data", [{}, {"Environment": None}, {"Environment": "text"}, {"Environment": {"Error": {}}}])
def test_a_path_that_is_not_there_masks_nothing(data: dict[str, Any]) -> None:
    before = deepcopy(data)

    assert masked(data, "Environment.Variables.*") == before


def test_a_whole_mapping_is_masked_where_the_path_ends() -> None:
    assert masked({"Secret": {"Inner": "p"}}, "Secret") == {"Secret": MASKED}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://user:p4ss@example.org/path", f"https://user:{MASKED}@example.org/path"),
        ("postgres://:p4ss@db:5432/shop", f"postgres://:{MASKED}@db:5432/shop"),
        ("https://example.org/?token=p4ss", f"https://example.org/?token={MASKED}"),
        ("https://example.org/?a=p4ss&b=p4ss#top", f"https://example.org/?a={MASKED}&b={MASKED}#top"),
        ("at amqp://u:p4ss@mq and redis://:p4ss@cache", f"at amqp://u:{MASKED}@mq and redis://:{MASKED}@cache"),
        ("https://example.org:9001/path", "https://example.org:9001/path"),
        ("https://user@example.org/", "https://user@example.org/"),
        ("https://example.org/?flag", "https://example.org/?flag"),
        ("user:p4ss@example.org", "user:p4ss@example.org"),
        ("arn:aws:sqs:eu-west-1:123456789012:orders", "arn:aws:sqs:eu-west-1:123456789012:orders"),
    ],
)
def test_passwords_and_query_values_of_urls_are_masked_at_any_depth(url: str, expected: str) -> None:
    assert masked({"Url": url, "Inner": [{"Urls": [url]}]}) == {"Url": expected, "Inner": [{"Urls": [expected]}]}


@given(mappings)
def test_masking_changes_no_name_and_nothing_without_a_url(answer: dict[str, Any]) -> None:
    data = plain(answer)
    before = deepcopy(data)

    mask(data, [])

    assert keys(data) == keys(before)
    if "://" not in json.dumps(before):
        assert data == before


secrets = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=6, max_size=20)


def test_tags_go_out_as_they_are() -> None:
    tags = {"runbook": "https://example.org/?page=7"}

    assert masked({"Tags": dict(tags), "Inner": {"Tags": dict(tags)}}) == {"Tags": tags, "Inner": {"Tags": tags}}


@given(
    secrets,
    st.dictionaries(names.filter(lambda name: name != "Tags"), st.none(), min_size=1, max_size=4),
    st.integers(0, 3),
)
def test_a_secret_is_found_however_deep_it_is(secret: str, holders: dict[str, None], depth: int) -> None:
    planted = f"planted{secret}"
    value: Any = {"Url": f"https://user:{planted}@example.org/?key={planted}"}
    for name in list(holders)[:depth]:
        value = {name: [value]}
    data: dict[str, Any] = {"Inner": value, "Variables": dict.fromkeys(holders, planted)}

    mask(data, ["Variables.*"])

    assert planted not in json.dumps(data)
