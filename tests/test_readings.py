"""Readings are kept whole or not at all; items are replaced as wholes; what they share with others stays with those."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from topology.elements import Component, Element, Relation, Scope, StackResource
from topology.errors import StateCorrupt
from topology.packer import Packer
from topology.readings import (
    Deltas,
    History,
    Reading,
    Told,
    all_items,
    census,
    items_of,
    names_of,
    noted,
    undrawn,
    with_deltas,
    without,
)
from topology.records import ItemName, Record

SCOPE = Scope("123456789012", "eu-west-1", "aws", "ec2")
INSTANCE = ("aws", "123456789012")


def name(key: str) -> ItemName:
    return *SCOPE.name, "ec2.instance", key


def component(id_: str, version: int = 1) -> Component:
    return Component(id_, "aws.ec2", {"Version": version})


def packed(items: dict[str, list[Element]], *, whole_items: bool = False) -> list[bytes]:
    packer = Packer(*INSTANCE, 0, whole_items=whole_items)
    for key, elements in items.items():
        packer.item(name(key), elements)
    return packer.records()


def told(items: dict[str, list[Element]]) -> Deltas:
    """What a delta says of these items."""
    history = History()
    for number, data in enumerate(packed(items)):
        history.add(str(number), data)
    return history.items


def versions(records: list[bytes]) -> dict[str, int]:
    """The components in the records, each once, with their versions."""
    lines = [orjson.loads(text) for data in records for text in Record.decode(data).lines.components]
    found = {one["externalId"]: one["data"].get("Version", 0) for one in lines}
    assert len(found) == len(lines)
    return found


def relations(records: list[bytes]) -> list[str]:
    return [orjson.loads(text)["externalId"] for data in records for text in Record.decode(data).lines.relations]


def reading(records: list[bytes]) -> Reading:
    return Reading(SCOPE, records, 1_780_000_000.0, "shard/1")


def test_a_reading_comes_back_as_it_was_kept() -> None:
    kept = reading(packed({"a": [component("a")], "b": [component("b"), Relation("b", "uses", "a")]}))
    assert Reading.decode(kept.encode(), SCOPE) == kept


def test_an_empty_reading_comes_back_as_it_was_kept() -> None:
    assert Reading.decode(reading([]).encode(), SCOPE).records == []


@given(st.data())
def test_no_damage_goes_unnoticed(data: st.DataObject) -> None:
    whole = reading(packed({"a": [component("a")]})).encode()
    at = data.draw(st.integers(0, len(whole) - 1))
    damaged = [
        whole[:at],
        whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :],
        whole + b"x",
    ]
    for one in damaged:
        try:
            found = Reading.decode(one, SCOPE)
        except StateCorrupt:
            continue
        # Digits of the times are nobody's to check; what was read is.
        assert found.records == Reading.decode(whole, SCOPE).records


def test_a_reading_of_another_format_is_not_read() -> None:
    with pytest.raises(StateCorrupt, match="format 0"):
        Reading.decode(reading([]).encode().replace(b'"format":1', b'"format":0'), SCOPE)


def test_a_reading_of_another_scope_is_not_read() -> None:
    with pytest.raises(StateCorrupt, match="ec2"):
        Reading.decode(reading([]).encode(), Scope("123456789012", "eu-west-1", "aws", "sqs"))


def test_items_are_replaced_as_wholes() -> None:
    old = packed({"a": [component("a"), Relation("a", "uses", "g"), Relation("a", "uses", "h")], "b": [component("b")]})

    new = with_deltas(old, told({"a": [component("a", 2), Relation("a", "uses", "g")]}))

    assert versions(new) == {"a": 2, "b": 1}
    assert relations(new) == ["a-uses-g"]


def test_an_item_without_elements_is_gone() -> None:
    assert versions(with_deltas(packed({"a": [component("a")], "b": [component("b")]}), told({"a": []}))) == {"b": 1}


def test_an_item_that_only_has_links_stays() -> None:
    link = StackResource("s", "has resource", "AWS::SQS::Queue", "q")
    [(entry, texts)] = all_items(with_deltas([], told({"s": [link]})))
    assert (entry.links, texts) == ((link.link,), [])


@pytest.mark.parametrize("gone", ["a", "b"])
def test_what_two_items_share_stays_with_the_other(gone: str) -> None:
    shared = Component("profile", "aws.iam", {})
    old = packed({"a": [component("a"), shared], "b": [component("b"), shared]})

    left = without(old, {name(gone)})

    assert "profile" in versions(left)
    [other] = names_of(left)
    assert versions(without(left, {other})) == {}


def test_what_two_items_of_a_delta_share_stays_when_the_first_is_told_anew() -> None:
    shared = Component("profile", "aws.iam", {})
    history = History()
    both = packed({"a": [component("a"), shared], "b": [component("b"), shared]}, whole_items=True)
    one = packed({"a": [component("a", 2)]}, whole_items=True)
    for number, data in enumerate([*both, *one]):
        history.add(str(number), data)

    assert "profile" in versions(with_deltas([], history.items))


def test_an_item_may_be_larger_than_a_record() -> None:
    many: list[Element] = [Relation("a", "uses", f"g-{number}") for number in range(2500)]
    old = packed({"a": [component("a"), *many], "b": [component("b")]})

    assert len(old) == 3
    assert without(old, {name("a")}) == packed({"b": [component("b")]})
    assert len(told({"a": many})[name("a")].texts) == 2500


KEYS = st.sampled_from(["a", "b", "c"])
ITEMS = st.dictionaries(KEYS, st.lists(st.sampled_from(["x", "y", "z"]), unique=True, max_size=3))


@given(ITEMS, st.lists(ITEMS, max_size=4))
def test_whatever_was_read_and_told_the_last_word_on_each_item_holds(
    read: dict[str, list[str]], deltas: list[dict[str, list[str]]]
) -> None:
    """Items share what they like."""

    def elements(key: str, shares: list[str]) -> list[Element]:
        return [component(key), *(Component(one, "aws.iam", {}) for one in shares)]

    history, truth = History(), dict(read)
    for number, delta in enumerate(deltas):
        for data in packed({key: elements(key, shares) for key, shares in delta.items()}, whole_items=True):
            history.add(str(number), data)
        truth |= delta

    found = with_deltas(packed({key: elements(key, shares) for key, shares in read.items()}), history.items)

    wanted = truth.keys() | {one for shares in truth.values() for one in shares}
    assert set(census(found).components) == {orjson.dumps(id_) for id_ in wanted}
    assert names_of(found) == {name(key) for key in truth}


def test_notes_are_put_into_every_component_and_nothing_else() -> None:
    [record] = [Record.decode_whole(data) for data in noted(packed({"a": [component("a")]}), 60.0, "denied")]

    [(entry, [(_, text)])] = items_of(record)
    assert entry.key == "a"
    assert orjson.loads(text)["data"] == {
        "Version": 1,
        "NotReadSince": "1970-01-01T00:01:00+00:00",
        "NotReadBecause": "denied",
    }


def test_relations_that_are_not_to_be_drawn_are_left_out() -> None:
    old = packed({"a": [component("a"), Relation("a", "uses", "g"), Relation("a", "uses", "h")]})
    assert relations(undrawn(old, {b'"a-uses-g"'})) == ["a-uses-h"]


def test_the_census_counts_each_component_once() -> None:
    found = census(packed({"a": [component("a"), Relation("a", "uses", "g")], "b": [component("a", 2)]}))
    assert (found.types, found.relations) == ({"aws.ec2": 1}, {"uses": 1})


# ------------------------------------------------------------------------------------------------------- the history


def test_only_what_was_told_after_a_mark_is_newer() -> None:
    history = History("0")
    [first], [second] = packed({"a": [component("a")]}), packed({"b": [component("b")]})
    mark = Record(*INSTANCE).encode()
    for position, data in (("1", first), ("2", mark), ("3", second)):
        history.add(position, data)

    assert (history.knows("0"), history.knows("2"), history.knows("1")) == (True, True, False)
    assert set(history.of(SCOPE.name, "0")) == {name("a"), name("b")}
    assert set(history.of(SCOPE.name, "2")) == {name("b")}


def test_what_is_forgotten_is_no_longer_known() -> None:
    history = History("0")
    [first], mark = packed({"a": [component("a")]}), Record(*INSTANCE).encode()
    history.add("1", first)
    history.add("2", mark)

    history.forget("2")

    assert not history.knows("0")
    assert history.of(SCOPE.name, "2") == {}


def test_a_snapshots_records_are_no_deltas_but_its_start_is_noted() -> None:
    history = History()
    slice_ = Record(*INSTANCE, "run-1", start=True)
    slice_.lines["components"] = [b'{"externalId":"a","type":{"name":"x"},"data":{}}']
    history.add("1", slice_.encode())
    history.add("2", b"junk")

    assert (history.items, history.starts, history.marks, history.newest) == ({}, 1, {}, 0)


def test_an_item_that_goes_on_in_another_record_is_one() -> None:
    many: list[Element] = [Relation("a", "uses", f"g-{number}") for number in range(1500)]
    history = History()
    for number, data in enumerate(packed({"a": many})):
        history.add(str(number), data)
    # The first of them once more, since its answer was lost; the second follows.
    for number, data in enumerate(packed({"a": many})):
        history.add(str(number + 2), data)

    [one] = history.items.values()
    assert isinstance(one, Told)
    assert len(one.texts) == 1500
