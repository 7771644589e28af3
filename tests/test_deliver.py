"""What is on the stream reaches the receiver once, in order, with its marks; what is refused for good stands alone."""

from collections.abc import Mapping, Sequence, Set
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.delivery import record_of, snapshot_of
from topology.deliver import Delivery
from topology.elements import Component, Deleted, Element, Relation
from topology.errors import (
    AgentError,
    DeliveryError,
    Misconfigured,
    ReceiverUnavailable,
    Rejected,
    StorageFailed,
    TooLarge,
)
from topology.order import collapsed, planned, posts
from topology.progress import MOST_REFUSED, Newest, Open, Progress
from topology.records import SLICE_BYTES, SLICE_ELEMENTS, Record

AWS = ("aws", "1")


class Letters:
    """Dead letters, in memory."""

    def __init__(self) -> None:
        self.refused: list[list[str]] = []
        self.unreadable: dict[str, bytes] = {}

    def keep_refused(self, record: Record, _error: AgentError) -> None:
        self.refused.append(ids(record))

    def keep_unreadable(self, name: str, data: bytes, _error: AgentError) -> None:
        self.unreadable[name] = data


class Store:
    """What is open at the receiver, in memory."""

    def __init__(self) -> None:
        self.open: Open = {}
        self.last: Newest | None = None
        self.saves = 0

    def load(self) -> Open:
        return dict(self.open)

    def newest(self) -> Newest | None:
        return self.last

    def save(self, open_: Mapping[tuple[str, str], Progress]) -> None:
        self.open = dict(open_)
        self.saves += 1


class Receiver:
    """Takes posts unless they have an id that it refuses, or are too large."""

    def __init__(self, refuse: Set[str] = frozenset(), room: int = 1000) -> None:
        self.taken: list[Record] = []
        self.refuse = refuse
        self.room = room
        self.error: AgentError | None = None

    def post(self, record: Record) -> None:
        if self.error:
            raise self.error
        if len(record.lines) > self.room:
            raise TooLarge("413")
        if self.refuse & set(ids(record)):
            raise Rejected("400: externalId")
        if not record.blank:
            self.taken.append(record)

    def said(self) -> list[tuple[str, list[str]]]:
        """Every post, its marks as the ends of an interval."""
        return [("[" * one.start + "]" * one.stop, ids(one)) for one in self.taken]


class Publisher:
    """topo-publisher's delivery, a new process for every batch."""

    def __init__(self, receiver: Receiver | None = None, remaining: float = 900, now: float = 10_000) -> None:
        self.receiver = receiver or Receiver()
        self.letters = Letters()
        self.store = Store()
        self.remaining = remaining
        self.now = now
        self.counts: dict[str, int] = {}

    def batch(self, *records: Record | bytes, arrived: Sequence[float] = ()) -> list[tuple[str, list[str]]]:
        """Deliver a batch; answers with what the receiver got of it."""
        self.receiver.taken.clear()
        encoded = [one if isinstance(one, bytes) else one.encode() for one in records]
        letters: Any = self.letters
        store: Any = self.store
        delivery = Delivery(self.receiver.post, letters, store, lambda: self.remaining, lambda: self.now)
        try:
            delivery.batch(encoded, [f"n{number}" for number in range(len(encoded))], arrived)
        finally:
            self.counts = dict(delivery.counts)
        return self.receiver.said()


def ids(record: Record) -> list[str]:
    found = [orjson.loads(text)["externalId"] for text in record.lines.components + record.lines.relations]
    return found + [f"-{orjson.loads(text)}" for text in record.lines.deletes]


def record(*elements: Element, url: str = "1") -> Record:
    return record_of(elements, ("aws", url))


def component(number: object, **data: object) -> Component:
    return Component(str(number), "aws.ec2", data)


def snapshot(name: str, *slices: Sequence[object], complete: bool = True) -> list[Record]:
    return snapshot_of(name, [[component(id_) for id_ in one] for one in slices], complete=complete, instance=AWS)


def test_a_small_snapshot_is_one_post_with_both_marks() -> None:
    publisher = Publisher()

    assert publisher.batch(*snapshot("s", [1, 2], [3])) == [("[]", ["1", "2", "3"])]
    assert publisher.store.saves == 1


def test_neighbouring_deltas_are_joined_up_to_the_limits() -> None:
    publisher = Publisher()
    publisher.batch(*(record(component(number)) for number in range(SLICE_ELEMENTS + 1)))
    assert [len(post.lines) for post in publisher.receiver.taken] == [SLICE_ELEMENTS, 1]

    publisher.batch(*(record(component(number, x="y" * (SLICE_BYTES // 2))) for number in range(3)))
    assert [len(post.lines) for post in publisher.receiver.taken] == [1, 1, 1]


def test_an_upsert_after_a_delete_goes_into_a_later_post() -> None:
    deltas = [record(component(2)), record(Deleted("1")), record(component(1))]

    assert Publisher().batch(*deltas) == [("", ["2", "-1"]), ("", ["1"])]


def test_instances_are_not_mixed() -> None:
    publisher = Publisher()
    publisher.batch(record(component(1), url="1"), record(component(2), url="2"))

    assert [post.instance_url for post in publisher.receiver.taken] == ["1", "2"]


def test_a_new_start_and_what_follows_a_stop_begin_a_new_post() -> None:
    batch = [record(component(0)), *snapshot("a", [1]), record(component(2))]

    assert Publisher().batch(*batch) == [("", ["0"]), ("[]", ["1"]), ("", ["2"])]


# ------------------------------------------------------------------------------------------------ order and marks


def test_a_snapshot_goes_on_over_batches_and_processes() -> None:
    publisher = Publisher()
    start, one, two, stop = snapshot("s", [1], [2])

    said = [publisher.batch(start, one), publisher.batch(two), publisher.batch(stop)]

    assert said == [[("[", ["1"])], [("", ["2"])], [("]", [])]]
    assert publisher.store.open == {AWS: Progress(over=("s",))}


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_snapshot_of_which_anything_was_lost_is_never_closed(lost: int) -> None:
    publisher = Publisher()
    records = snapshot("s", [1], [2])
    del records[lost]

    for one in records:
        publisher.batch(one)

    assert publisher.counts["SnapshotsNotClosed"] == 1
    assert publisher.receiver.said() == []


def test_the_end_of_an_older_snapshot_does_not_close_a_newer_one() -> None:
    publisher = Publisher()
    *_, stop = snapshot("old", [1])
    start, one, _ = snapshot("new", [1])

    publisher.batch(start)

    assert publisher.batch(one, stop) == [("", ["1"])]


def test_what_put_records_put_twice_or_out_of_place_is_closed_when_all_is_there() -> None:
    """One record of a request is refused, so it and what follows are put again, and the end is on the stream twice."""
    start, one, two, stop = snapshot("s", [1], [2])

    assert Publisher().batch(start, two, stop, one, two, stop) == [("[]", ["2", "1", "2"])]

    publisher = Publisher()
    publisher.batch(start, two, stop)
    assert publisher.batch(one, two, stop) == [("]", ["1", "2"])]
    assert publisher.batch(two, stop) == []


def test_where_a_start_was_put_again_the_last_one_counts() -> None:
    """A delta came before it, which the slices then know of: there may be more of them."""
    old, new = snapshot("s", [1]), snapshot("s", [1], [2])
    batch = [old[0], record(component(2), Deleted("3")), *new]

    assert Publisher().batch(*batch) == [("", ["-3"]), ("[]", ["1", "2"])]

    publisher = Publisher()
    said = [post for one in batch for post in publisher.batch(one)]
    assert said == [("[", []), ("", ["2", "-3"]), ("[", []), ("", ["1"]), ("", ["2"]), ("]", [])]


def test_a_snapshot_that_waits_for_its_end_for_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """topo-cron died: nobody will close it, and what changes meanwhile is not kept for ever."""
    monkeypatch.setattr("topology.progress.MOST_TOUCHED", 3)
    publisher = Publisher()
    start, one, two, stop = snapshot("s", [1], [2])

    publisher.batch(start, one, *(record(component(number)) for number in range(4)))
    assert publisher.store.open == {AWS: Progress(over=("s",))}
    assert publisher.batch(two, stop) == []
    assert publisher.batch(*snapshot("t", [1])) == [("[]", ["1"])]


def test_a_snapshot_without_an_end_is_forgotten_after_its_last_record() -> None:
    publisher = Publisher()
    start, one, two = snapshot("s", [1], [2], complete=False)

    publisher.batch(start, one)
    assert publisher.store.open[AWS].next == 2
    publisher.batch(two)
    assert publisher.store.open == {AWS: Progress(over=("s",))}


def test_a_delta_between_the_slices_is_newer_than_what_the_snapshot_still_has_to_say() -> None:
    publisher = Publisher()
    start, one, two, stop = snapshot("s", [1], [2, 3, 4])

    publisher.batch(start, one, record(Deleted("2"), component(3, state="new")))

    assert publisher.batch(two, stop) == [("]", ["4"])]


def test_a_batch_that_comes_again_does_no_harm() -> None:
    publisher = Publisher()
    start, one, two, stop = snapshot("s", [1], [2])
    publisher.batch(start, one)

    assert publisher.batch(one, two) == [("", ["1", "2"])]
    assert publisher.batch(two, stop) == [("]", ["2"])]
    assert publisher.batch(two, stop) == []


def test_a_batch_that_comes_again_with_what_was_before_a_snapshot_has_the_snapshot_again() -> None:
    """It may say that what the deltas before it tell of is gone."""
    publisher = Publisher()
    batch = [record(component(9)), *snapshot("s", [1])]
    said = [("", ["9"]), ("[]", ["1"])]

    assert publisher.batch(*batch) == said
    assert publisher.batch(*batch) == said
    publisher.batch(*batch[:3])
    assert publisher.batch(*batch) == said


def test_before_a_snapshot_begins_the_one_that_was_open_is_forgotten() -> None:
    """Killed after the start, the batch comes again: the end of the older one must not close the newer one."""
    publisher = Publisher()
    old, new = snapshot("old", [1], [2]), snapshot("new", [3], [4], complete=False)
    publisher.batch(*old[:2])

    class Killed(BaseException):
        pass

    def post(one: Record) -> None:
        publisher.receiver.taken.append(one)
        if one.start:
            raise Killed

    parts: Any = (publisher.letters, publisher.store)
    batch = [one.encode() for one in [*old[2:], *new]]
    with pytest.raises(Killed):
        Delivery(post, *parts).batch(batch, [""] * len(batch))
    assert publisher.receiver.said()[-1][0] == "["

    assert publisher.batch(*old[2:], *new) == [("[", ["3", "4"])]


def test_what_comes_once_more_of_a_snapshot_that_is_over_does_not_set_back_what_is_newer() -> None:
    publisher = Publisher()
    start, one, stop = snapshot("s", [1])
    publisher.batch(start, one, stop)
    publisher.batch(record(component(1, state="new")))

    assert publisher.batch(one, stop) == []
    assert publisher.counts["SnapshotsNotClosed"] == 0


# ----------------------------------------------------------------------------------------------- nothing in vain


def test_a_snapshot_that_a_newer_one_takes_the_place_of_is_not_sent() -> None:
    publisher = Publisher()
    batch = [*snapshot("a", [1], [2]), record(component(9)), *snapshot("b", [1])]

    assert publisher.batch(*batch) == [("", ["9"]), ("[]", ["1"])]
    assert publisher.counts["RecordsSuperseded"] == 4


def test_a_snapshot_that_was_read_with_gaps_takes_no_place() -> None:
    batch = [*snapshot("a", [1]), *snapshot("b", [2], complete=False)]

    assert Publisher().batch(*batch) == [("[]", ["1"]), ("[", ["2"])]


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_a_snapshot_that_may_have_broken_off_takes_no_place(lost: int) -> None:
    """Its end would remove what the older one does not tell of; if that never comes, the older one has to do it."""
    newer = snapshot("b", [2], [3])
    del newer[lost]

    assert Publisher().batch(*snapshot("a", [1]), *newer)[0] == ("[]", ["1"])


def test_what_waited_long_is_not_sent_if_a_newer_snapshot_is_whole_on_the_stream() -> None:
    publisher = Publisher()
    publisher.store.last = Newest("b", began=5_000)
    old, new = snapshot("a", [1], [2]), snapshot("b", [3])

    assert publisher.batch(*old[:2], record(component(9)), arrived=[1_000, 1_001, 1_002]) == [("", ["9"])]
    assert publisher.batch(*old[2:], arrived=[1_003, 1_004]) == []
    assert publisher.counts["RecordsSuperseded"] == 2
    assert publisher.batch(*new, arrived=[5_300, 5_300, 5_300]) == [("[]", ["3"])]


@pytest.mark.parametrize(
    ("name", "arrived", "now"),
    [("b", 4_000, 10_000), ("a", 4_950, 10_000), ("a", 5_100, 10_000), ("a", 4_000, 4_800)],
    ids=["the newest itself", "about when the newest began", "newer than that", "not behind"],
)
def test_what_may_be_newer_than_the_last_whole_snapshot_is_sent(name: str, arrived: float, now: float) -> None:
    publisher = Publisher(now=now)
    publisher.store.last = Newest("b", began=5_000)

    assert publisher.batch(*snapshot(name, [1]), arrived=[arrived] * 3) == [("[]", ["1"])]


def test_of_several_upserts_of_one_element_the_last_is_sent() -> None:
    publisher = Publisher()
    deltas = [record(component(1, at=at), component(f"only {at}")) for at in range(3)]

    assert publisher.batch(*deltas) == [("", ["only 0", "only 1", "1", "only 2"])]
    assert b'"at":2' in b"".join(publisher.receiver.taken[0].lines.components)


def test_an_upsert_before_a_delete_is_not_sent_but_deletes_are() -> None:
    deltas = [record(component(1)), record(Deleted("1")), record(component(1)), record(Deleted("1"))]

    assert Publisher().batch(*deltas) == [("", ["-1", "-1"])]


def test_nothing_is_left_out_for_what_comes_after_the_end_of_a_snapshot() -> None:
    """Otherwise the end would remove it, and it would come back as something new."""
    batch = [*snapshot("s", [1]), record(component(1))]

    assert Publisher().batch(*batch) == [("[]", ["1"]), ("", ["1"])]


def test_one_id_may_have_several_lines_in_one_record() -> None:
    notified = [Relation("b", "uses service", "f", {"event_type": kind}) for kind in ("created", "removed")]
    id_ = notified[0].id

    assert Publisher().batch(record(*notified), record(component(1))) == [("", ["1", id_, id_])]


STEPS = st.lists(st.tuples(st.sampled_from("+-"), st.integers(0, 5)), max_size=40)


@given(st.lists(STEPS, max_size=12))
def test_joining_and_collapsing_never_change_what_the_receiver_ends_with(deltas: list[list[tuple[str, int]]]) -> None:
    """Upserts and deletes one by one, and joined into POSTs, lead to the same topology."""
    records = []
    one_by_one: dict[str, int] = {}
    for at, steps in enumerate(deltas):
        last = {str(number): what for what, number in steps}
        records.append(record(*(component(id_, at=at) if what == "+" else Deleted(id_) for id_, what in last.items())))
        for id_, what in last.items():
            one_by_one.pop(id_, None)
            if what == "+":
                one_by_one[id_] = at
    joined: dict[str, int] = {}
    for post in posts(collapsed(list(planned(enumerate(records), {})))):
        lines = post.record.lines
        joined |= {one["externalId"]: one["data"]["at"] for one in map(orjson.loads, lines.components)}
        for id_ in map(orjson.loads, lines.deletes):
            joined.pop(id_, None)

    assert joined == one_by_one


# ------------------------------------------------------------------------------------------------------- refusals


@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=40, unique=True), st.sets(st.integers(0, 40)), st.integers(1, 9)
)
def test_poison_is_set_aside_and_all_around_it_arrives(numbers: list[int], poison: set[int], room: int) -> None:
    publisher = Publisher(Receiver({str(number) for number in poison}, room))

    said = publisher.batch(*snapshot("s", numbers))

    good = [str(number) for number in numbers if number not in poison]
    assert [id_ for _, some in said for id_ in some] == good
    assert {id_ for some in publisher.letters.refused for id_ in some} == {str(n) for n in poison & set(numbers)}
    marks = "".join(marks for marks, _ in said)
    refused = len(poison & set(numbers))
    assert marks == ("[]" if good and refused <= min(MOST_REFUSED, len(good)) else "[")


def test_a_receiver_that_refuses_everything_is_misconfigured_and_nothing_is_set_aside() -> None:
    publisher = Publisher()
    publisher.receiver.error = Rejected("400: instance")

    with pytest.raises(DeliveryError) as failure:
        publisher.batch(*snapshot("s", [1, 2]))
    assert isinstance(failure.value.__cause__, Misconfigured)
    assert not publisher.letters.refused


def test_a_snapshot_of_which_much_was_refused_is_not_closed() -> None:
    many = [f"bad {number}" for number in range(MOST_REFUSED + 1)]
    publisher = Publisher(Receiver(set(many)))
    start, one, two, stop = snapshot("s", [*range(20), *many], [21])

    publisher.batch(start, one)
    assert [marks for marks, _ in publisher.batch(two, stop)] == [""]
    assert publisher.counts["SnapshotsNotClosed"] == 1


def test_an_end_that_was_delivered_before_does_not_block_the_stream() -> None:
    class Strict(Receiver):
        def post(self, record: Record) -> None:
            if record.stop:
                raise Rejected("400: a snapshot is stopped that was not started")
            super().post(record)

    publisher = Publisher(Strict())

    assert publisher.batch(*snapshot("s", [1, 2])) == [("[", []), ("", ["1", "2"])]
    assert not publisher.letters.refused


def test_without_time_to_narrow_it_down_what_was_refused_is_set_aside_as_it_is() -> None:
    publisher = Publisher(Receiver({"2"}), remaining=30)

    publisher.batch(record(*map(component, range(5))))

    assert publisher.letters.refused == [["0", "1", "2", "3", "4"]]


def test_what_is_not_the_first_of_its_batch_is_narrowed_down_by_an_invocation_of_its_own() -> None:
    publisher = Publisher(Receiver({"2"}), remaining=30)

    with pytest.raises(DeliveryError) as failure:
        publisher.batch(record(Deleted("9")), record(*map(component, range(5))))
    assert failure.value.position == 1
    assert not publisher.letters.refused

    publisher.remaining = 900
    publisher.batch(record(*map(component, range(5))))
    assert publisher.letters.refused == [["2"]]


def test_a_record_that_cannot_be_read_is_kept_and_the_rest_goes_on() -> None:
    publisher = Publisher()

    assert publisher.batch(b"junk", record(component(1))) == [("", ["1"])]
    assert publisher.letters.unreadable == {"n0": b"junk"}
    assert publisher.counts["DeadLetters"] == 1


def test_a_failure_that_passes_names_the_first_record_that_was_not_delivered() -> None:
    class Busy(Receiver):
        def post(self, record: Record) -> None:
            if record.start:
                raise ReceiverUnavailable("503")
            super().post(record)

    publisher = Publisher(Busy())
    with pytest.raises(DeliveryError) as failure:
        publisher.batch(record(component(1)), record(component(2)), *snapshot("s", []))

    assert failure.value.position == 2
    assert publisher.receiver.said() == [("", ["1", "2"])]


def test_what_was_delivered_before_a_failure_is_remembered() -> None:
    class Busy(Receiver):
        def post(self, record: Record) -> None:
            if "2" in ids(record):
                raise ReceiverUnavailable("503")
            super().post(record)

    publisher = Publisher(Busy())
    start, one, two, stop = snapshot("s", [1], [2])
    with pytest.raises(DeliveryError) as failure:
        publisher.batch(start, one, record(Deleted("9")), two, stop)
    assert failure.value.position == 3

    publisher.receiver = Receiver()
    assert publisher.batch(two, stop) == [("]", ["2"])]


def test_while_the_bucket_is_away_nothing_counts_as_delivered() -> None:
    publisher = Publisher()
    start, one, *_ = snapshot("s", [1], [2])

    def failing(*_: object) -> Open:
        raise StorageFailed("503")

    publisher.store.save = failing  # type: ignore[assignment]
    with pytest.raises(DeliveryError) as failure:
        publisher.batch(record(component(0)), start, one)
    assert failure.value.position == 0

    publisher.store.load = failing  # type: ignore[method-assign]
    with pytest.raises(DeliveryError):
        publisher.batch(record(component(0)))
