"""What is on the stream reaches the receiver once, in order, with its marks; what is refused for good stands alone."""

from collections.abc import Set

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from topology.deliver import deliver_all, posts
from topology.elements import Component, Deleted, Element, Relation
from topology.errors import AgentError, DeliveryError, ReceiverUnavailable, Rejected, TooLarge
from topology.records import SLICE_BYTES, SLICE_ELEMENTS, Lines, Record, line


class Letters:
    """Dead letters, in memory."""

    def __init__(self) -> None:
        self.refused: list[tuple[str, list[str]]] = []
        self.unreadable: list[bytes] = []

    def keep_refused(self, name: str, record: Record, _error: AgentError) -> None:
        self.refused.append((name, ids(record)))

    def keep_unreadable(self, _name: str, data: bytes, _error: AgentError) -> None:
        self.unreadable.append(data)


def ids(record: Record) -> list[str]:
    found = [orjson.loads(text)["externalId"] for text in record.lines.components + record.lines.relations]
    return found + [f"-{orjson.loads(text)}" for text in record.lines.deletes]


def record(*elements: Element, start: bool = False, stop: bool = False, snapshot: str = "", url: str = "1") -> Record:
    lines = Lines()
    for element in elements:
        lines.kind_of(element).append(line(element, 0))
    return Record("aws", url, snapshot, start, stop, lines)


def delivered(
    records: list[Record], letters: Letters, refuse: Set[str] = frozenset(), room: int = 1000
) -> list[Record]:
    taken: list[Record] = []

    def post(one: Record) -> None:
        if len(one.lines) > room:
            raise TooLarge("413")
        if refuse & set(ids(one)):
            raise Rejected("400: externalId")
        taken.append(one)

    deliver_all(post, [one.encode() for one in records], letters)  # type: ignore[arg-type]
    return taken


def component(number: object) -> Component:
    return Component(str(number), "aws.ec2", {})


def test_a_small_snapshot_is_one_post_with_both_marks() -> None:
    records = [
        record(start=True, snapshot="s"),
        record(component(1), Relation("1", "uses service", "2"), snapshot="s"),
        record(stop=True, snapshot="s"),
    ]

    [post] = delivered(records, Letters())

    assert (post.start, post.stop, ids(post)) == (True, True, ["1", "1-uses service-2"])


def test_neighbouring_deltas_are_joined_up_to_the_limits() -> None:
    small = [record(component(number)) for number in range(SLICE_ELEMENTS + 1)]
    large = [record(Component(str(number), "t", {"x": "y" * (SLICE_BYTES // 2)})) for number in range(3)]

    assert [len(post.lines) for post in delivered(small, Letters())] == [SLICE_ELEMENTS, 1]
    assert [len(post.lines) for post in delivered(large, Letters())] == [1, 1, 1]


def test_an_upsert_after_a_delete_goes_into_a_later_post() -> None:
    records = [record(component(1)), record(Deleted("1")), record(component(1))]

    assert [ids(post) for post in delivered(records, Letters())] == [["1", "-1"], ["1"]]


def test_instances_are_not_mixed() -> None:
    records = [record(component(1), url="1"), record(component(2), url="2")]

    assert [post.instance_url for post in delivered(records, Letters())] == ["1", "2"]


def test_a_new_start_and_what_follows_a_stop_begin_a_new_post() -> None:
    records = [
        record(component(0)),
        record(start=True, snapshot="a"),
        record(component(1), snapshot="a"),
        record(stop=True, snapshot="a"),
        record(component(2)),
    ]

    taken = delivered(records, Letters())

    assert [(post.start, ids(post), post.stop) for post in taken] == [
        (False, ["0"], False),
        (True, ["1"], True),
        (False, ["2"], False),
    ]


@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=40, unique=True), st.sets(st.integers(0, 40)), st.integers(1, 9)
)
def test_poison_is_set_aside_and_all_around_it_arrives(numbers: list[int], poison: set[int], room: int) -> None:
    letters = Letters()
    records = [
        record(start=True, snapshot="s"),
        record(*(component(number) for number in numbers), snapshot="s"),
        record(stop=True, snapshot="s"),
    ]

    taken = delivered(records, letters, refuse={str(number) for number in poison}, room=room)

    assert [id_ for post in taken for id_ in ids(post)] == [str(number) for number in numbers if number not in poison]
    assert {id_ for _, some in letters.refused for id_ in some} == {str(number) for number in poison & set(numbers)}
    assert [post.start for post in taken] == [True] + [False] * (len(taken) - 1)
    assert [post.stop for post in taken] == [False] * (len(taken) - 1) + [True]


def test_a_record_that_cannot_be_read_is_kept_and_the_rest_goes_on() -> None:
    letters = Letters()
    taken: list[Record] = []

    deliver_all(taken.append, [b"junk", record(component(1)).encode()], letters)  # type: ignore[arg-type]

    assert letters.unreadable == [b"junk"]
    assert [ids(post) for post in taken] == [["1"]]


def test_a_failure_that_passes_names_the_first_record_that_was_not_delivered() -> None:
    taken: list[Record] = []

    def post(one: Record) -> None:
        if one.start:
            raise ReceiverUnavailable("503")
        taken.append(one)

    records = [
        record(component(1)),
        record(component(2)),
        record(start=True, snapshot="s"),
        record(stop=True, snapshot="s"),
    ]
    with pytest.raises(DeliveryError) as failure:
        deliver_all(post, [one.encode() for one in records], Letters())  # type: ignore[arg-type]

    assert failure.value.position == 2
    assert [ids(one) for one in taken] == [["1", "2"]]


def test_a_mark_that_is_refused_alone_is_no_poison_but_a_failure() -> None:
    def post(_one: Record) -> None:
        raise Rejected("400: instance")

    with pytest.raises(DeliveryError):
        deliver_all(post, [record(start=True, snapshot="s").encode()], Letters())  # type: ignore[arg-type]


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), max_size=60))
def test_joining_never_changes_what_the_receiver_ends_with(steps: list[tuple[bool, int]]) -> None:
    """Upserts and deletes one by one, and joined into POSTs, lead to the same topology."""
    records = [record(Deleted(str(number)) if gone else component(number)) for gone, number in steps]

    one_by_one: set[str] = set()
    for gone, number in steps:
        (one_by_one.discard if gone else one_by_one.add)(str(number))
    joined: set[str] = set()
    for post in posts(enumerate(records)):
        lines = post.record.lines
        joined |= {orjson.loads(text)["externalId"] for text in lines.components}
        joined -= {orjson.loads(text) for text in lines.deletes}

    assert joined == one_by_one
