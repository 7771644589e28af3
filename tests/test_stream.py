"""Records reach Kinesis in order, however often it refuses some of them."""

from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError
from hypothesis import given
from hypothesis import strategies as st

from topology.errors import StreamRefused
from topology.stream import BATCH_BYTES, BATCH_RECORDS, Stream


class Kinesis:
    """Takes records, and refuses those of each request that the script says."""

    def __init__(self, refusals: list[set[int]]) -> None:
        self.refusals = refusals
        self.requests: list[list[bytes]] = []
        self.shard: list[bytes] = []

    def put_records(self, **request: Any) -> dict[str, Any]:
        assert {record["PartitionKey"] for record in request["Records"]} == {"aws/123456789012"}
        data = [record["Data"] for record in request["Records"]]
        self.requests.append(data)
        refused = self.refusals.pop(0) if self.refusals else set()
        answers = []
        for index, record in enumerate(data):
            if index in refused:
                answers.append({"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "slow down"})
            else:
                self.shard.append(record)
                answers.append({"SequenceNumber": str(len(self.shard)), "ShardId": "0"})
        return {"FailedRecordCount": len(refused), "Records": answers}


def stream(kinesis: Kinesis) -> tuple[Stream, list[float]]:
    slept: list[float] = []
    return Stream(kinesis, "topology", "aws/123456789012", sleep=slept.append), slept


@given(st.lists(st.sets(st.integers(0, 7)), max_size=8))
def test_refused_records_come_again_and_no_record_is_first_seen_after_a_later_one(refusals: list[set[int]]) -> None:
    kinesis = Kinesis([{index for index in some if index < 3} for some in refusals])
    records = [bytes([number]) for number in range(8)]

    position = stream(kinesis)[0].write(records)

    assert position == f"0/{len(kinesis.shard)}"
    # Kinesis may hold a record twice; what is in force is what came last.
    last_seen = {record: index for index, record in enumerate(kinesis.shard)}
    assert sorted(last_seen, key=last_seen.__getitem__) == records


def test_requests_keep_to_the_limits_of_kinesis() -> None:
    kinesis = Kinesis([])
    stream(kinesis)[0].write([b"x"] * (BATCH_RECORDS + 1) + [b"y" * 1_000_000] * 6)

    assert all(len(request) <= BATCH_RECORDS for request in kinesis.requests)
    assert all(sum(map(len, request)) <= BATCH_BYTES for request in kinesis.requests)
    assert len(kinesis.shard) == BATCH_RECORDS + 7


def test_a_stream_that_goes_on_refusing_is_an_error_that_says_why() -> None:
    kinesis = Kinesis([{0}] * 100)
    writer, slept = stream(kinesis)

    with pytest.raises(StreamRefused, match=r"topology does not take 1 records: Provisioned.*slow down"):
        writer.write([b"x"])
    assert len(slept) == 11
    assert max(slept) <= 10


class Failing(Kinesis):
    """Fails as a whole, as often as the script has errors."""

    def __init__(self, errors: list[Exception]) -> None:
        super().__init__([])
        self.errors = errors

    def put_records(self, **request: Any) -> dict[str, Any]:
        if self.errors:
            raise self.errors.pop(0)
        return super().put_records(**request)


def refusal(code: str, status: int = 400) -> ClientError:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "PutRecords")  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    "error",
    [
        refusal("ThrottlingException"),
        refusal("KMSThrottlingException"),
        refusal("Whatever", 500),
        ReadTimeoutError(endpoint_url="https://kinesis"),
        EndpointConnectionError(endpoint_url="https://kinesis"),
    ],
    ids=repr,
)
def test_a_request_that_fails_for_a_reason_that_passes_is_made_again(error: Exception) -> None:
    kinesis = Failing([error, error])
    writer, slept = stream(kinesis)

    assert writer.write([b"x", b"y"]) == "0/2"
    assert kinesis.shard == [b"x", b"y"]
    assert len(slept) == 2


@pytest.mark.parametrize("code", ["AccessDeniedException", "ResourceNotFoundException", "ValidationException"])
def test_a_request_that_is_wrong_is_not_made_again(code: str) -> None:
    writer, slept = stream(Failing([refusal(code)]))

    with pytest.raises(StreamRefused, match=code):
        writer.write([b"x"])
    assert not slept


def test_as_long_as_the_shard_takes_some_it_is_not_given_up() -> None:
    kinesis = Kinesis([set(range(1, 40))] * 40)
    writer, _ = stream(kinesis)

    writer.write([bytes([number]) for number in range(40)])

    assert len(kinesis.shard) == 40


def test_no_pause_outlasts_the_invocation() -> None:
    slept: list[float] = []
    writer = Stream(Kinesis([{0}] * 100), "topology", "aws/123456789012", lambda: 5.1, slept.append)

    with pytest.raises(StreamRefused):
        writer.write([b"x"])
    assert sum(slept) < 0.2
