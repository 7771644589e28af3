"""Records hold what was put in, in order and within their limits, and nothing else is taken for one."""

import random

import orjson
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from topology.elements import Component, Deleted, Element, Relation, Telemetry
from topology.errors import RecordError
from topology.packer import PACKED_BYTES, Packer
from topology.records import KINDS, SLICE_ELEMENTS, Record, id_of, line, slice_of
from topology.trim import LARGEST_BYTES, NOTE

TEXT = st.text(min_size=1, max_size=20)
ELEMENTS = st.one_of(
    st.builds(Component, TEXT, TEXT, st.dictionaries(TEXT, TEXT, max_size=3)),
    st.builds(Relation, TEXT, TEXT, TEXT),
    st.builds(Deleted, TEXT),
    st.builds(Telemetry, TEXT, TEXT, TEXT, TEXT, st.just(("state:running",))),
)


HEAD = (
    b'{"format": 1, "instance": {"type": "aws", "url": "1"}, "snapshot": "", "start": false, "stop": false, "part": 0, '
    b'"last": 0, "complete": false, "counts": {"components": 1, "relations": 0, "deletes": 0, "events": 0}, '
    b'"bytes": {"components": %d, "relations": 0, "deletes": 0, "events": 0}}\n'
)


def pack(elements: list[Element]) -> list[Record]:
    packer = Packer("aws", "123456789012", 1_700_000_000)
    for element in elements:
        packer.add(element)
    return [Record.decode(data) for data in packer.records()]


def lines(records: list[Record], kind: str) -> list[dict[str, object]]:
    return [orjson.loads(line) for record in records for line in record.lines[kind]]


@given(st.lists(ELEMENTS, max_size=50))
def test_every_element_arrives_once_and_in_order(elements: list[Element]) -> None:
    records = pack(elements)

    different = list({repr(element): element for element in elements}.values())
    components = [element.id for element in different if isinstance(element, Component)]
    assert [line["externalId"] for line in lines(records, "components")] == components
    assert sum(len(record.lines) for record in records) == len(different)


def test_elements_take_the_form_that_the_receiver_wants() -> None:
    [record] = pack(
        [
            Component("i-1", "aws.ec2", {"Name": "é"}),
            Relation("i-1", "uses service", "vpc-1"),
            Deleted("i-2"),
            Telemetry("ec2_state", "EC2 instance state", "running", "i-1", ("state:running",)),
        ]
    )

    assert {kind: lines([record], kind) for kind in KINDS} == {
        "components": [{"externalId": "i-1", "type": {"name": "aws.ec2"}, "data": {"Name": "é"}}],
        "relations": [
            {
                "externalId": "i-1-uses service-vpc-1",
                "sourceId": "i-1",
                "targetId": "vpc-1",
                "type": {"name": "uses service"},
                "data": {},
            }
        ],
        "deletes": ["i-2"],
        "events": [
            {
                "event_type": "ec2_state",
                "source_type_name": "ec2_state",
                "msg_title": "EC2 instance state",
                "msg_text": "running",
                "timestamp": 1_700_000_000,
                "host": "i-1",
                "tags": ["state:running"],
            }
        ],
    }


def test_a_record_keeps_to_the_limits_of_a_post() -> None:
    many = pack([Component(f"i-{number}", "aws.ec2", {}) for number in range(2 * SLICE_ELEMENTS + 1)])
    large = pack([Component(f"i-{number}", "aws.ec2", {"Text": "x" * 100_000}) for number in range(10)])

    assert [len(record.lines) for record in many] == [SLICE_ELEMENTS, SLICE_ELEMENTS, 1]
    assert all(record.lines.size <= PACKED_BYTES for record in large)


def test_an_exact_repetition_is_left_out_and_other_data_under_the_same_id_is_not() -> None:
    records = pack(
        [
            Relation("b", "uses service", "f", {"event_type": "created"}),
            Relation("b", "uses service", "f", {"event_type": "created"}),
            Relation("b", "uses service", "f", {"event_type": "removed"}),
        ]
    )

    assert [line["data"] for line in lines(records, "relations")] == [
        {"event_type": "created"},
        {"event_type": "removed"},
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a head",
        b"[]",
        b'{"no": "format"}',
        b'{"format": 2}',
        b'{"format": 1}\nnot compressed',
        b'{"format": 1}\n' + zstandard.compress(b"{}"),
        HEAD % 2 + zstandard.compress(b""),
        HEAD % 2 + zstandard.compress(b"{},\n{}"),
        HEAD % 2 + zstandard.compress(b"{}")[:-1],
    ],
)
def test_what_is_no_record_of_ours_is_refused(data: bytes) -> None:
    with pytest.raises(RecordError):
        Record.decode(data)


def test_a_record_that_would_not_fit_into_memory_is_refused() -> None:
    bomb = HEAD % 1 + zstandard.compress(b" " * 64 * 1024 * 1024)

    with pytest.raises(RecordError):
        Record.decode(bomb)


@given(st.lists(ELEMENTS, min_size=2, max_size=30))
def test_halves_hold_the_same_lines_in_the_same_order(elements: list[Element]) -> None:
    for record in pack(elements):
        first, second = record.lines.halves()
        assert len(first) - len(second) in {0, 1}
        for kind in KINDS:
            assert first[kind] + second[kind] == record.lines[kind]


@given(ELEMENTS)
def test_the_id_of_an_element_is_found_without_reading_it(element: Element) -> None:
    text = line(element, 0)

    if isinstance(element, Component | Relation):
        assert id_of(text) == line(Deleted(element.id), 0)


def test_a_record_keeps_what_it_is_and_its_place_can_be_given_later() -> None:
    record = Record("aws", "1", "s", start=True, part=0, last=7, complete=True)

    assert Record.decode(record.encode()) == record
    placed = Record.decode(slice_of(Record("", "").encode(), record, 3))
    assert (placed.instance, placed.snapshot, placed.part) == (("aws", "1"), "s", 3)


# Nothing compresses worse than text out of all letters at random.
INCOMPRESSIBLE = "".join(random.Random(1).choices([chr(code) for code in range(0x4E00, 0x9FFF)], k=400_000))


def test_the_worst_that_can_be_packed_is_well_within_the_limit_of_kinesis() -> None:
    packer = Packer("aws", "1", 0)
    for start in range(0, len(INCOMPRESSIBLE), 1000):
        packer.add(Component(f"i-{start}", "aws.ec2", {"Text": INCOMPRESSIBLE[start : start + 1000]}))

    assert max(map(len, packer.records())) < 900_000


def test_an_element_that_is_too_large_loses_its_largest_fields_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    data = {"Name": "f", "Policy": "x" * 800_000, "Code": "y" * 400_000, "Tags": {"team": "shop"}}

    [record] = pack([Component("f", "aws.lambda", data)])

    [component] = lines([record], "components")
    assert component["data"] == {
        "Name": "f",
        "Code": "y" * 400_000,
        "Tags": {"team": "shop"},
        NOTE: {"Policy": 800_002},
    }
    assert "f is too large" in caplog.text
    assert "Policy" in caplog.text


@given(
    st.dictionaries(st.text(max_size=5), st.one_of(st.text(max_size=9), st.integers(1, 1_200_000)), max_size=6),
    st.sampled_from(["x", '"', "é", "\\"]),
)
@settings(max_examples=30, deadline=None)
def test_no_element_is_larger_than_the_receiver_takes_and_small_fields_stay(fields: dict[str, object], of: str) -> None:
    data = {name: of * value if isinstance(value, int) else value for name, value in fields.items()}

    text = line(Component("id", "type", data), 0)

    # As the receiver keeps it: data as a text within the element's JSON.
    assert len(orjson.dumps(text.decode())) <= LARGEST_BYTES + 2
    left = orjson.loads(text)["data"]
    note = left.pop(NOTE, {})
    assert left.keys() | note.keys() == data.keys()
    assert all(left[name] == data[name] for name in left)
    assert not note or min(note.values()) >= max((len(orjson.dumps(value)) for value in left.values()), default=0) // 2
