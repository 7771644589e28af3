"""The stream's end is read back in order, however its shards are split, and whenever Kinesis shows what it took."""

from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError

from tests.model import Kinesis
from topology.errors import StreamUnreadable
from topology.stream import Stream
from topology.tail import ATTEMPTS, PATIENCE_SECONDS, Tail

KEY = "aws/123456789012"


@pytest.fixture
def kinesis() -> Kinesis:
    return Kinesis(lambda: None)


def stream(kinesis: Kinesis) -> Stream:
    return Stream(kinesis, "topology", KEY, sleep=kinesis.wait)


def tail(kinesis: Kinesis, **how: Any) -> Tail:
    return Tail(kinesis, "topology", KEY, sleep=kinesis.wait, **how)


def write(kinesis: Kinesis, *records: bytes) -> str:
    return stream(kinesis).write(records)


def read(kinesis: Kinesis, position: str, end: str = "", **how: Any) -> list[bytes]:
    return [data for _, data in tail(kinesis, **how).after(position, end)]


def test_what_came_after_a_record_is_read_in_order(kinesis: Kinesis) -> None:
    position = write(kinesis, b"mark")
    write(kinesis, *(b"%d" % number for number in range(7)))

    assert read(kinesis, position) == [b"%d" % number for number in range(7)]


def test_a_position_is_one_to_go_on_from(kinesis: Kinesis) -> None:
    position = write(kinesis, b"mark")
    write(kinesis, b"a", b"b", b"c")
    [(first, _), *_] = tail(kinesis).after(position)

    assert read(kinesis, first) == [b"b", b"c"]


def test_up_to_a_record_and_no_further(kinesis: Kinesis) -> None:
    position = write(kinesis, b"mark")
    end = write(kinesis, b"a", b"own")
    write(kinesis, b"later")

    assert read(kinesis, position, end) == [b"a", b"own"]
    assert read(kinesis, end, end) == []


def test_ones_own_record_is_waited_for(kinesis: Kinesis) -> None:
    position = write(kinesis, b"mark")
    kinesis.lag = 3
    end = write(kinesis, b"a", b"b", b"own")

    assert read(kinesis, position) == []
    assert read(kinesis, position, end) == [b"a", b"b", b"own"]


def test_ones_own_record_is_not_waited_for_for_ever(kinesis: Kinesis) -> None:
    position = write(kinesis, b"mark")
    kinesis.lag = 1
    end = write(kinesis, b"own")
    slept: list[float] = []
    never = Tail(kinesis, "topology", KEY, sleep=slept.append)

    with pytest.raises(StreamUnreadable, match="does not show what was written"):
        list(never.after(position, end))
    assert PATIENCE_SECONDS <= sum(slept) <= PATIENCE_SECONDS + 1


def test_waiting_leaves_time_for_the_rest(kinesis: Kinesis) -> None:
    position = write(kinesis, b"mark")
    kinesis.lag = 1
    end = write(kinesis, b"own")
    slept: list[float] = []
    short = Tail(kinesis, "topology", KEY, lambda: 5.0 - sum(slept), slept.append)

    with pytest.raises(StreamUnreadable):
        list(short.after(position, end))
    assert len(slept) <= 1


@pytest.mark.parametrize("splits", [1, 2, 3])
def test_the_shards_that_took_over_are_followed(kinesis: Kinesis, splits: int) -> None:
    position = write(kinesis, b"mark")
    write(kinesis, b"0")
    kinesis.split()
    for number in range(1, splits):
        write(kinesis, b"%d" % number)
        kinesis.split()
    end = write(kinesis, b"own")

    assert read(kinesis, position, end) == [b"0", *(b"%d" % number for number in range(1, splits)), b"own"]
    assert read(kinesis, position) == read(kinesis, position, end)


def test_a_shard_that_is_over_and_empty_is_passed(kinesis: Kinesis) -> None:
    position = write(kinesis, b"mark")
    kinesis.split()
    kinesis.split()
    write(kinesis, b"a")

    assert read(kinesis, position) == [b"a"]


def test_a_record_that_is_nowhere_is_an_error(kinesis: Kinesis) -> None:
    position = write(kinesis, b"mark")
    kinesis.split()
    kinesis.shards = {name: shard for name, shard in kinesis.shards.items() if shard.closed}

    with pytest.raises(StreamUnreadable, match="does not show"):
        read(kinesis, position, "shard-9b/99")


@pytest.mark.parametrize("code", ["ProvisionedThroughputExceededException", "LimitExceededException"])
def test_throttling_passes(kinesis: Kinesis, code: str) -> None:
    position = write(kinesis, b"mark")
    write(kinesis, b"a", b"b", b"c")
    kinesis.unreadable = [code] * (ATTEMPTS - 1)

    assert read(kinesis, position) == [b"a", b"b", b"c"]


def test_throttling_that_does_not_pass_is_an_error(kinesis: Kinesis) -> None:
    position = write(kinesis, b"mark")
    kinesis.unreadable = ["ProvisionedThroughputExceededException"] * ATTEMPTS

    with pytest.raises(StreamUnreadable, match="ProvisionedThroughput"):
        read(kinesis, position)


@pytest.mark.parametrize("code", ["AccessDeniedException", "ResourceNotFoundException", "InvalidArgumentException"])
def test_what_does_not_pass_is_not_tried_again(kinesis: Kinesis, code: str) -> None:
    position = write(kinesis, b"mark")
    kinesis.unreadable = ["", code]

    with pytest.raises(StreamUnreadable, match=code):
        read(kinesis, position)
    assert kinesis.unreadable == [""]


def test_a_connection_that_breaks_is_made_again(kinesis: Kinesis, monkeypatch: pytest.MonkeyPatch) -> None:
    position = write(kinesis, b"mark")
    write(kinesis, b"a")
    failures: list[Exception] = [
        ConnectTimeoutError(endpoint_url="https://kinesis"),
        ClientError({"Error": {"Code": "InternalFailure"}}, "GetShardIterator"),
    ]
    get = kinesis.get_shard_iterator

    def failing(**request: Any) -> dict[str, Any]:
        if failures:
            raise failures.pop()
        return get(**request)

    monkeypatch.setattr(kinesis, "get_shard_iterator", failing)
    assert read(kinesis, position) == [b"a"]
