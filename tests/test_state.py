"""What outlives a run: kept whole, set aside when it cannot be understood, and never two runs at once."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from tests.account import REGION
from topology.elements import Component, Scope
from topology.errors import AnotherRun, StorageFailed
from topology.packer import Packer
from topology.readings import Reading
from topology.state import HELD, LEDGER, RUN, StateStore

BUCKET = "state-bucket"
PREFIX = "state/1000/"
SCOPE = Scope("123456789012", REGION, "aws", "sqs")
KEY = f"{PREFIX}scopes/123456789012/{REGION}/sqs.state"
CONDITION_FAILED = 412


@pytest.fixture
def s3(aws: boto3.Session) -> Any:
    client = aws.client("s3")
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    return client


@pytest.fixture
def store(s3: Any) -> StateStore:
    return StateStore(s3, BUCKET, PREFIX)


@pytest.fixture
def refusing(aws: boto3.Session) -> Iterator[Stubber]:
    with Stubber(aws.client("s3", region_name=REGION)) as stubber:
        yield stubber


def reading(*ids: str) -> Reading:
    packer = Packer("aws", "123456789012", 0)
    for id_ in ids:
        packer.item((*SCOPE.name, "sqs.queue", id_), [Component(id_, "aws.sqs", {})])
    return Reading(SCOPE, packer.records(), 1_780_000_000.0, "shard/1")


def keys(s3: Any) -> list[str]:
    return [one["Key"] for one in s3.list_objects_v2(Bucket=BUCKET).get("Contents", ())]


def test_a_reading_is_found_again(store: StateStore) -> None:
    assert store.reading(SCOPE) is None

    store.keep(reading("a", "b"))

    assert store.reading(SCOPE) == reading("a", "b")
    assert [scope.name for scope in store.scopes()] == [SCOPE.name]
    store.forget(SCOPE)
    assert store.reading(SCOPE) is None


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"junk",
        reading("a").encode()[:-5],
        reading("a").encode().replace(b'"format":1', b'"format":0'),
        reading("a").encode().replace(b'"service":"sqs"', b'"service":"sns"'),
    ],
    ids=["empty", "junk", "cut", "older", "another scope's"],
)
def test_a_reading_that_cannot_be_understood_is_set_aside_and_told_of(
    store: StateStore, s3: Any, damaged: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    s3.put_object(Bucket=BUCKET, Key=KEY, Body=damaged)

    assert store.reading(SCOPE) is None

    assert keys(s3) == [f"{PREFIX}set-aside/scopes/123456789012/{REGION}/sqs.state"]
    assert s3.get_object(Bucket=BUCKET, Key=keys(s3)[0])["Body"].read() == damaged
    assert "set aside" in caplog.text


@pytest.mark.parametrize("name", [LEDGER, HELD])
def test_a_document_that_cannot_be_understood_is_set_aside(store: StateStore, s3: Any, name: str) -> None:
    s3.put_object(Bucket=BUCKET, Key=f"{PREFIX}{name}", Body=b'{"closed":')

    assert store.document(name) == {}
    assert keys(s3) == [f"{PREFIX}set-aside/{name}"]


def test_without_a_bucket_nothing_is_kept_and_nothing_is_found() -> None:
    store = StateStore(None, "", "")
    store.keep(reading("a"))
    store.keep_document(LEDGER, {"a": 1})
    store.begin("run-1", 0)
    store.begin("run-2", 0)
    store.end()

    assert not store.keeps
    assert (store.reading(SCOPE), store.document(LEDGER), list(store.scopes())) == (None, {}, [])


@pytest.mark.parametrize("operation", ["get_object", "put_object", "delete_object", "list_objects_v2"])
def test_a_bucket_that_refuses_is_an_error_that_names_the_object(refusing: Stubber, operation: str) -> None:
    store = StateStore(refusing.client, BUCKET, PREFIX)
    acts: dict[str, Any] = {
        "get_object": lambda: store.reading(SCOPE),
        "put_object": lambda: store.keep(reading("a")),
        "delete_object": lambda: store.forget(SCOPE),
        "list_objects_v2": lambda: list(store.scopes()),
    }
    refusing.add_client_error(operation, "AccessDenied", http_status_code=403)

    with pytest.raises(StorageFailed, match=f"s3://{BUCKET}/{PREFIX}scopes/.*AccessDenied"):
        acts[operation]()


# ------------------------------------------------------------------------------------------------------------ one run


def test_a_run_keeps_others_from_beginning_until_it_is_over(s3: Any) -> None:
    now = [1000.0]
    store = StateStore(s3, BUCKET, PREFIX, lambda: now[0])
    store.begin("run-1", 1900.0)

    with pytest.raises(AnotherRun, match="run-1 began before and may go on for another 900 s"):
        store.begin("run-2", 1900.0)
    store.end()
    store.begin("run-2", 1900.0)


def test_a_run_that_died_is_replaced_when_its_time_is_over(s3: Any) -> None:
    now = [1000.0]
    store = StateStore(s3, BUCKET, PREFIX, lambda: now[0])
    store.begin("run-1", 1900.0)
    now[0] = 1900.0

    store.begin("run-2", 2800.0)
    with pytest.raises(AnotherRun, match="run-2"):
        store.begin("run-1", 2800.0)


def test_a_run_that_lambda_starts_once_more_is_the_same(store: StateStore) -> None:
    store.begin("run-1", 1e12)
    store.begin("run-1", 1e12)


def test_a_note_that_cannot_be_understood_keeps_nobody_from_beginning(store: StateStore, s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key=f"{PREFIX}{RUN}", Body=b"{")
    store.begin("run-1", 1e12)

    with pytest.raises(AnotherRun):
        store.begin("run-2", 1e12)


@pytest.mark.parametrize("there", [False, True])
def test_of_two_runs_that_begin_at_the_same_moment_one_gives_way(s3: Any, there: bool) -> None:
    """S3 takes the first conditional put alone, whether it creates the note or replaces one that is over."""
    if there:
        StateStore(s3, BUCKET, PREFIX).begin("run-0", 0.0)
    second = StateStore(s3, BUCKET, PREFIX)

    class Racing:
        """The first run begins between the second's look and its note."""

        def get_object(self, **request: Any) -> Any:
            try:
                return s3.get_object(**request)
            finally:
                second.begin("run-2", 1e12)

        def put_object(self, **request: Any) -> Any:
            return s3.put_object(**request)

    with pytest.raises(AnotherRun, match="same moment"):
        StateStore(Racing(), BUCKET, PREFIX).begin("run-1", 1e12)
    assert second.document(RUN)["run"] == "run-2"


@pytest.mark.parametrize("status", [409, 412])
def test_a_condition_that_s3_refuses_means_another_run(refusing: Stubber, status: int) -> None:
    """AWS answers 412 for a condition that does not hold, and 409 for two such puts at the same moment."""
    refusing.add_client_error("get_object", "NoSuchKey", http_status_code=404)
    refusing.add_client_error("put_object", "Whatever", http_status_code=status)

    with pytest.raises(AnotherRun):
        StateStore(refusing.client, BUCKET, PREFIX).begin("run-1", 1e12)


def test_a_note_that_cannot_be_written_is_an_error(refusing: Stubber) -> None:
    refusing.add_client_error("get_object", "NoSuchKey", http_status_code=404)
    refusing.add_client_error("put_object", "AccessDenied", http_status_code=403)

    with pytest.raises(StorageFailed, match=RUN) as raised:
        StateStore(refusing.client, BUCKET, PREFIX).begin("run-1", 1e12)
    assert isinstance(raised.value.__cause__, ClientError)
