"""Posts topology to StackState's receiver (contract: receiver.md): one body, and what its answer means."""

import random
import time
import zlib
from collections.abc import Callable
from typing import Any

import orjson
import requests

from topology.errors import Misconfigured, ReceiverUnavailable, Rejected, TooLarge
from topology.records import Lines, Record

PATH = "/stsAgent/intake/"
CONNECT_TIMEOUT_SECONDS = 8
READ_TIMEOUT_SECONDS = 30
COMPRESSION_LEVEL = 3
TRIES = 5
LONGEST_PAUSE_SECONDS = 10.0
# Of the remaining time, what is left for everything but waiting and posting.
RESERVE_SECONDS = 5.0
ANSWER_CHARACTERS = 500

TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})
CONFIGURATION = frozenset({401, 403, 404, 405})


class Receiver:
    """The receiver of one StackState installation, over one kept-alive connection.

    Args:
        base_url: its address, without `/stsAgent`.
        api_key: goes with every request, and nowhere else: not into messages, not into logs.
        host: what the receiver calls the sender, non-empty.
        remaining: seconds left to this invocation.
        sleep: waits seconds.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        host: str,
        remaining: Callable[[], float] = lambda: float("inf"),
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.url = base_url + PATH
        self.remaining = remaining
        self._host = host
        self._sleep = sleep
        self._clock = clock
        self._session = requests.Session()
        self._session.params = {"api_key": api_key}
        self._session.headers.update(
            {
                "sts-api-key": api_key,
                "Content-Type": "application/json",
                "Content-Encoding": "deflate",
                "User-Agent": "stackstate-aws-agent",
            }
        )

    def post(self, record: Record) -> None:
        """Post what the record holds, with its marks; a passing failure is tried again while there is time.

        Raises a kind of ReceiverError.
        """
        body = zlib.compress(envelope(record, self._host, int(self._clock())), COMPRESSION_LEVEL)
        for attempt in range(TRIES):
            try:
                self._post_once(body)
            except ReceiverUnavailable as error:
                pause = max(_pause(attempt), error.retry_after)
                last = attempt == TRIES - 1
                if last or pause + READ_TIMEOUT_SECONDS + RESERVE_SECONDS > self.remaining():
                    raise
                self._sleep(pause)
            else:
                return

    def _post_once(self, body: bytes) -> None:
        try:
            answer = self._session.post(
                self.url, data=body, timeout=(CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS), allow_redirects=False
            )
        except requests.exceptions.SSLError as error:
            # The text of requests' errors holds the address with its query, and so the key: only the kind is told.
            raise Misconfigured(f"{self.url}: TLS failed: {_root_cause(error)}") from None
        except requests.exceptions.RequestException as error:
            raise ReceiverUnavailable(f"{self.url}: {type(error).__name__}: {_root_cause(error)}") from None
        _judge(self.url, answer)


def _judge(url: str, answer: requests.Response) -> None:
    """Raise what the answer means, if it is not a success."""
    status = answer.status_code
    kind = answer.headers.get("Content-Type", "")
    text = f"{url} answered {status}: {answer.text[:ANSWER_CHARACTERS]}"
    if status == 413:
        raise TooLarge(text)
    if "html" in kind and status < 500:
        raise Misconfigured(
            f"{url} answered {status} with a web page: this is not the receiver. The base URL is the receiver's, such "
            "as https://HOST/receiver"
        )
    if 200 <= status < 300:
        return
    if status in TRANSIENT:
        error = ReceiverUnavailable(text)
        error.retry_after = _seconds(answer.headers.get("Retry-After", ""))
        raise error
    if 300 <= status < 400:
        raise Misconfigured(f"{url} answered {status}, a redirect: use the address that it leads to")
    if status in CONFIGURATION:
        raise Misconfigured(f"{text} (check the base URL and the API key)")
    raise Rejected(text)


def envelope(record: Record, host: str, timestamp: int) -> bytes:
    """The body of a POST: the record's elements as one topology of its instance, with its marks and events."""
    instance = {"type": record.instance_type, "url": record.instance_url}
    lines = record.lines
    topology = b"" if _only_events(record) else _topology(orjson.dumps(instance), record, lines)
    return b"".join(
        [
            b'{"collection_timestamp":%d,"internalHostname":%s' % (timestamp, orjson.dumps(host)),
            b',"events":{%s}' % _events_by_kind(lines),
            b',"metrics":[],"service_checks":[],"health":[],"topologies":[%s]}' % topology,
        ]
    )


def _only_events(record: Record) -> bool:
    return not (record.start or record.stop or len(record.lines) > len(record.lines.events))


def _topology(instance: bytes, record: Record, lines: Lines) -> bytes:
    return b"".join(
        [
            b'{"instance":' + instance,
            b',"start_snapshot":true' if record.start else b"",
            b',"stop_snapshot":true' if record.stop else b"",
            b',"components":[' + b",".join(lines.components),
            b'],"relations":[' + b",".join(lines.relations),
            b'],"delete_ids":[' + b",".join(lines.deletes),
            b"]}",
        ]
    )


def _events_by_kind(lines: Lines) -> bytes:
    kinds: dict[str, list[bytes]] = {}
    for line in lines.events:
        kinds.setdefault(orjson.loads(line)["event_type"], []).append(line)
    return b",".join(b"%s:[%s]" % (orjson.dumps(kind), b",".join(events)) for kind, events in kinds.items())


def _pause(attempt: int) -> float:
    return min(LONGEST_PAUSE_SECONDS, 2.0**attempt) * random.uniform(0.5, 1)  # noqa: S311


def _seconds(text: str) -> float:
    """The seconds of a Retry-After; a date, which no receiver sends, counts as none."""
    return float(text) if text.strip().isdigit() else 0.0


def _root_cause(error: Any) -> str:
    """What happened at the bottom, in words that hold no address."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__
    return f"{type(error).__name__}: {error}" if not isinstance(error, requests.RequestException) else ""
