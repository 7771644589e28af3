"""What goes to the receiver is what it demands, and each of its answers means what the contract says."""

import gzip
import logging
import ssl
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest
import requests
import responses

from topology.elements import Component, Relation, Telemetry
from topology.errors import Misconfigured, ReceiverError, ReceiverUnavailable, Rejected, TooLarge
from topology.receiver import Connection, Receiver, envelope
from topology.records import Lines, Record, line

URL = "https://stackstate.example/receiver/stsAgent/intake/"
KEY = "s3cr3t/key with blanks"
RECORD = Record("aws", "123456789012", "s", start=True, stop=True)


@pytest.fixture
def answers() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


def receiver(slept: list[float] | None = None, remaining: float = 900, encoding: str = "deflate") -> Receiver:
    base = "https://stackstate.example/receiver"
    pauses: list[float] = [] if slept is None else slept
    connection = Connection(base, encoding=encoding)
    return Receiver(connection, KEY, "topo-publisher", lambda: remaining, pauses.append, lambda: 1_700_000_000.9)


def test_a_post_is_a_whole_envelope_compressed_with_the_key_where_the_contract_wants_it(
    answers: responses.RequestsMock,
) -> None:
    answers.post(URL, status=200)

    receiver().post(RECORD)

    request = answers.calls[0].request
    assert parse_qs(urlsplit(request.url or "").query) == {"api_key": [KEY]}
    assert request.headers["sts-api-key"] == KEY
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["Content-Encoding"] == "deflate"
    assert orjson.loads(zlib.decompress(request.body)) == {  # type: ignore[arg-type]
        "collection_timestamp": 1_700_000_000,
        "internalHostname": "topo-publisher",
        "events": {},
        "metrics": [],
        "service_checks": [],
        "health": [],
        "topologies": [
            {
                "instance": {"type": "aws", "url": "123456789012"},
                "start_snapshot": True,
                "stop_snapshot": True,
                "components": [],
                "relations": [],
                "delete_ids": [],
            }
        ],
    }


def test_a_delta_has_no_marks_and_events_go_beside_the_topology_by_their_type() -> None:
    lines = Lines(
        components=[line(Component("i-1", "aws.ec2", {}), 0)],
        relations=[line(Relation("i-1", "uses service", "vpc-1"), 0)],
        deletes=[b'"i-2"'],
        events=[line(Telemetry("ec2_state", "EC2 instance state", "running", "i-1", ("state:running",)), 5)],
    )

    body = orjson.loads(b"".join(envelope(Record("aws", "1", lines=lines), "host", 5)))

    [topology] = body["topologies"]
    assert set(topology) == {"instance", "components", "relations", "delete_ids"}
    assert topology["delete_ids"] == ["i-2"]
    assert [event["host"] for event in body["events"]["ec2_state"]] == ["i-1"]


def test_events_alone_bring_no_topology() -> None:
    event = line(Telemetry("ec2_state", "EC2 instance state", "running", "i-1", ()), 5)

    body = orjson.loads(b"".join(envelope(Record("aws", "1", lines=Lines(events=[event])), "host", 5)))

    assert body["topologies"] == []


@pytest.mark.parametrize(
    ("status", "kind", "text", "error"),
    [
        (400, "text/plain", "missing member internalHostname", Rejected),
        (401, "text/plain", "", Misconfigured),
        (403, "text/plain", "invalid key", Misconfigured),
        (404, "text/plain", "", Misconfigured),
        (302, "text/plain", "", Misconfigured),
        (200, "text/html; charset=utf-8", "<html>StackState</html>", Misconfigured),
        (404, "text/html", "<html>", Misconfigured),
        (413, "text/html", "<html>nginx</html>", TooLarge),
        (422, "text/plain", "", Rejected),
        (501, "text/plain", "", Rejected),
        (407, "text/plain", "", Misconfigured),
        (400, "text/html", "<html>The plain HTTP request was sent to HTTPS port</html>", Misconfigured),
        (408, "text/plain", "", ReceiverUnavailable),
        (429, "text/plain", "", ReceiverUnavailable),
        (429, "text/html", "<html>slow down</html>", ReceiverUnavailable),
        (520, "text/html", "<html>", ReceiverUnavailable),
        (500, "text/plain", "", ReceiverUnavailable),
        (502, "text/html", "<html>bad gateway</html>", ReceiverUnavailable),
        (503, "text/plain", "", ReceiverUnavailable),
        (504, "text/plain", "", ReceiverUnavailable),
    ],
)
def test_an_answer_means_what_the_contract_says(
    answers: responses.RequestsMock, status: int, kind: str, text: str, error: type[ReceiverError]
) -> None:
    answers.post(URL, status=status, content_type=kind, body=text)

    with pytest.raises(error, match=str(status)) as raised:
        receiver().post(RECORD)
    assert type(raised.value) is error


@pytest.mark.parametrize(
    ("problem", "error"),
    [
        (requests.exceptions.ConnectTimeout("to https://x/?api_key=s3cr3t"), ReceiverUnavailable),
        (requests.exceptions.ReadTimeout("slow"), ReceiverUnavailable),
        (requests.exceptions.ConnectionError("refused"), ReceiverUnavailable),
        (requests.exceptions.ChunkedEncodingError("cut"), ReceiverUnavailable),
        (requests.exceptions.SSLError(ssl.SSLCertVerificationError("certificate verify failed")), Misconfigured),
        (requests.exceptions.SSLError(ssl.SSLEOFError("EOF")), ReceiverUnavailable),
        (requests.exceptions.InvalidHeader(f"in header value: {KEY}"), Misconfigured),
    ],
)
def test_a_failing_connection_is_tried_again_later_unless_its_certificate_is_wrong(
    answers: responses.RequestsMock, problem: Exception, error: type[ReceiverError]
) -> None:
    answers.post(URL, body=problem)

    with pytest.raises(error):
        receiver().post(RECORD)


def test_a_passing_failure_is_met_with_growing_pauses_and_then_forgotten(answers: responses.RequestsMock) -> None:
    for status in (500, 503, 429, 200):
        answers.post(URL, status=status)
    slept: list[float] = []

    receiver(slept).post(RECORD)

    assert len(answers.calls) == 4
    assert len(slept) == 3
    assert 0.5 <= slept[0] <= 1
    assert 2 <= slept[2] <= 4


def test_the_receiver_says_itself_how_long_to_wait(answers: responses.RequestsMock) -> None:
    answers.post(URL, status=429, headers={"Retry-After": "17"})
    answers.post(URL, status=200)
    slept: list[float] = []

    receiver(slept).post(RECORD)

    assert slept == [17.0]


def test_the_time_to_wait_may_be_a_date(answers: responses.RequestsMock) -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=25), usegmt=True)
    answers.post(URL, status=503, headers={"Retry-After": later})
    answers.post(URL, status=503, headers={"Retry-After": "soon"})
    answers.post(URL, status=200)
    slept: list[float] = []

    receiver(slept).post(RECORD)

    assert 22 < slept[0] <= 25
    assert slept[1] <= 2


def test_without_time_for_an_answer_nothing_is_sent(answers: responses.RequestsMock) -> None:
    with pytest.raises(ReceiverUnavailable, match="no time left"):
        receiver(remaining=9).post(RECORD)
    assert len(answers.calls) == 0


@pytest.mark.parametrize(("encoding", "decode"), [("gzip", gzip.decompress), ("none", bytes)])
def test_the_encoding_is_a_setting(answers: responses.RequestsMock, encoding: str, decode: Any) -> None:
    answers.post(URL, status=200)

    receiver(encoding=encoding).post(RECORD)

    request = answers.calls[0].request
    assert request.headers.get("Content-Encoding", "none") == encoding
    assert orjson.loads(decode(request.body))["topologies"]


def test_a_message_without_elements_names_the_instance_and_has_no_marks() -> None:
    """What the receiver is asked with when it refuses something: it changes nothing."""
    [topology] = orjson.loads(b"".join(envelope(Record("aws", "1", "s"), "host", 5)))["topologies"]

    assert topology == {"instance": {"type": "aws", "url": "1"}, "components": [], "relations": [], "delete_ids": []}


def test_nothing_is_tried_again_that_would_outlast_the_invocation(answers: responses.RequestsMock) -> None:
    answers.post(URL, status=503, headers={"Retry-After": "60"})
    slept: list[float] = []

    with pytest.raises(ReceiverUnavailable):
        receiver(slept, remaining=90).post(RECORD)
    assert slept == []


def test_what_is_wrong_with_the_body_is_not_tried_again(answers: responses.RequestsMock) -> None:
    answers.post(URL, status=400)

    with pytest.raises(Rejected):
        receiver().post(RECORD)
    assert len(answers.calls) == 1


@pytest.mark.parametrize("status", [200, 302, 400, 403, 500])
def test_the_key_is_in_no_message_and_in_no_log(
    answers: responses.RequestsMock, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    caplog.set_level(logging.DEBUG)
    answers.post(URL, status=status, body="no")
    answers.post(URL, body=requests.exceptions.ConnectionError(f"https://x/?api_key={KEY}"))

    said = ""
    try:
        receiver().post(RECORD)
    except ReceiverError as error:
        said = f"{error!r} {error.__cause__!r}"
    assert "s3cr3t" not in said + caplog.text
