"""Posts topology to StackState's receiver (contract: receiver.md): one body, and what its answer means."""

import logging
import random
import re
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import orjson
import requests
import urllib3
from urllib3.exceptions import HTTPError, InsecureRequestWarning

from topology import VERSION
from topology.errors import Misconfigured, ReceiverUnavailable, Rejected, TooLarge
from topology.network import explained
from topology.records import Lines, Record, Text

PATH = "/stsAgent/intake/"
CONNECT_TIMEOUT_SECONDS = 8.0
READ_TIMEOUT_SECONDS = 30.0
COMPRESSION_LEVEL = 3
TRIES = 5
LONGEST_PAUSE_SECONDS = 10.0
# Of the remaining time, what is left for everything but waiting and posting.
RESERVE_SECONDS = 5.0
# A POST that has less time than this is left to the next invocation.
SHORTEST_POST_SECONDS = 5.0
ANSWER_CHARACTERS = 500
LONGEST_ANSWER_BYTES = 64 * 1024

CONFIGURATION = {
    401: "check the API key",
    403: "check the API key",
    404: "check the base URL",
    405: "check the base URL",
    407: "the proxy wants to know who asks",
    410: "check the base URL",
}


@dataclass(frozen=True)
class Connection:
    """How the receiver is reached. Proxies are those of the usual variables, HTTPS_PROXY and its kin."""

    base_url: str
    """Its address, without `/stsAgent`."""
    encoding: str = "deflate"
    """Of bodies: a key of ENCODINGS."""
    ca_bundle: str = ""
    """Path or PEM text of the certificates to trust in place of the public ones."""
    verify: bool = True
    """Whether the certificate is looked at."""


class Receiver:
    """The receiver of one StackState installation, over one kept-alive connection.

    Args:
        connection: how it is reached.
        api_key: goes with every request, and nowhere else: not into messages, not into logs.
        host: what the receiver calls the sender, non-empty.
        remaining: seconds left to this invocation.
        sleep: waits seconds.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        connection: Connection,
        api_key: str,
        host: str,
        remaining: Callable[[], float] = lambda: float("inf"),
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.url = connection.base_url + PATH
        self.session = requests.Session()
        headers = {"sts-api-key": api_key, "Content-Type": "application/json"}
        headers["User-Agent"] = f"stackstate-aws-agent/{VERSION}"
        if connection.encoding != "none":
            headers["Content-Encoding"] = connection.encoding
        # All that is the same in every request, made once: requests takes its time for it.
        self._blank = self.session.prepare_request(
            requests.Request("POST", self.url, params={"api_key": api_key}, headers=headers)
        )
        self._settings = self.session.merge_environment_settings(
            self.url, {}, stream=True, verify=_verification(connection), cert=None
        )
        self._encoded = ENCODINGS[connection.encoding]
        self._remaining = remaining
        self._host = host
        self._sleep = sleep
        self._clock = clock

    def post(self, record: Record) -> None:
        """Post what the record holds, with its marks; a passing failure is tried again while there is time.

        Raises a kind of ReceiverError.
        """
        body = self._encoded(envelope(record, self._host, int(self._clock())))
        for attempt in range(TRIES):
            try:
                self._post_once(body)
            except ReceiverUnavailable as error:
                pause = max(_pause(attempt), error.retry_after)
                last = attempt == TRIES - 1
                if last or pause + READ_TIMEOUT_SECONDS + RESERVE_SECONDS > self._remaining():
                    raise
                self._sleep(pause)
            else:
                return

    def _post_once(self, body: bytes) -> None:
        patience = min(READ_TIMEOUT_SECONDS, self._remaining() - RESERVE_SECONDS)
        if patience < SHORTEST_POST_SECONDS:
            raise ReceiverUnavailable(f"{self.url}: no time left in this invocation; the next one goes on from here")
        try:
            request = self._blank.copy()
            request.prepare_body(body, None)
            timeout = (min(CONNECT_TIMEOUT_SECONDS, patience), patience)
            with self.session.send(request, timeout=timeout, allow_redirects=False, **self._settings) as answer:
                _judge(self.url, answer, _text(answer, patience))
        except requests.exceptions.RequestException as error:
            raise explained(self.url, error) from None


def _text(answer: requests.Response, patience: float) -> str:
    """The first words of an answer, of which no more is read than patience and memory allow.

    An answer that breaks off has said what counts already, in its first line.
    """
    text = b""
    deadline = time.monotonic() + patience
    try:
        while len(text) < LONGEST_ANSWER_BYTES and time.monotonic() < deadline:
            # At most one read from the connection each: a sender of drops cannot hold us.
            piece = answer.raw.read1(LONGEST_ANSWER_BYTES, decode_content=True)
            if not piece:
                break
            text += piece
    except (HTTPError, OSError):
        answer.close()
    return text.decode(errors="replace")[:ANSWER_CHARACTERS]


def _judge(url: str, answer: requests.Response, words: str) -> None:
    """Raise what the answer means, if it is not a success."""
    status = answer.status_code
    text = f"{url} answered {status}: {words}"
    if status == 413:
        raise TooLarge(text)
    if status in {408, 425, 429} or (500 <= status < 600 and status != 501):
        error = ReceiverUnavailable(text)
        error.retry_after = _seconds(answer.headers.get("Retry-After", ""))
        raise error
    if "html" in answer.headers.get("Content-Type", ""):
        raise Misconfigured(
            f"{url} answered {status} with a web page: this is not the receiver. The base URL is the receiver's, such "
            "as https://HOST/receiver"
        )
    if 200 <= status < 300:
        return
    if 300 <= status < 400:
        raise Misconfigured(f"{url} answered {status}, a redirect: check the base URL, which leads elsewhere")
    if status in CONFIGURATION:
        raise Misconfigured(f"{text} ({CONFIGURATION[status]})")
    raise Rejected(text)


def envelope(record: Record, host: str, timestamp: int) -> Iterator[Text]:
    """The body of a POST, in pieces: the record's elements as one topology of its instance, with its marks and events.

    `timestamp` is in seconds since 1970.
    """
    yield b'{"collection_timestamp":%d,"internalHostname":%s' % (timestamp, orjson.dumps(host))
    yield b',"events":{%s}' % _events_by_kind(record.lines)
    yield b',"metrics":[],"service_checks":[],"health":[],"topologies":['
    if not _only_events(record):
        instance = {"type": record.instance_type, "url": record.instance_url}
        yield b'{"instance":%s' % orjson.dumps(instance)
        yield b',"start_snapshot":true' if record.start else b""
        yield b',"stop_snapshot":true' if record.stop else b""
        for name, kind in (("components", "components"), ("relations", "relations"), ("delete_ids", "deletes")):
            yield b',"%s":[' % name.encode()
            for index, text in enumerate(record.lines.texts(kind)):
                yield b"," if index else b""
                yield text
            yield b"]"
        yield b"}"
    yield b"]}"


def _only_events(record: Record) -> bool:
    events = record.lines.count("events")
    return 0 < events == len(record.lines) and not (record.start or record.stop)


def _events_by_kind(lines: Lines) -> bytes:
    kinds: dict[str, list[bytes]] = {}
    for line in lines.events:
        kinds.setdefault(orjson.loads(line)["event_type"], []).append(line)
    return b",".join(b"%s:[%s]" % (orjson.dumps(kind), b",".join(events)) for kind, events in kinds.items())


def _compressed(pieces: Iterable[Text], window_bits: int) -> bytes:
    """The pieces in zlib's format (15 window bits) or gzip's (31)."""
    compressor = zlib.compressobj(COMPRESSION_LEVEL, zlib.DEFLATED, window_bits)
    return b"".join([*map(compressor.compress, pieces), compressor.flush()])


ENCODINGS: dict[str, Callable[[Iterable[Text]], bytes]] = {
    "deflate": lambda pieces: _compressed(pieces, 15),
    "gzip": lambda pieces: _compressed(pieces, 31),
    "none": b"".join,
}


def _pause(attempt: int) -> float:
    return min(LONGEST_PAUSE_SECONDS, 2.0**attempt) * random.uniform(0.5, 1)  # noqa: S311


def _seconds(text: str) -> float:
    """The seconds of a Retry-After, which may be a date."""
    if text.strip().isdigit():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):  # no date, or one without a zone
        return 0.0


def _verification(connection: Connection) -> bool | str:
    """What requests wants to know: whether to verify, or the path of what to verify with."""
    if not connection.verify:
        urllib3.disable_warnings(InsecureRequestWarning)  # the handlers warn, once in every run
        return False
    if "-----BEGIN" not in connection.ca_bundle:
        return connection.ca_bundle or True
    with tempfile.NamedTemporaryFile("w", suffix=".pem", delete=False) as file:
        file.write(pem(connection.ca_bundle))
    return str(Path(file.name))


def pem(text: str) -> str:
    """Certificates in the lines that OpenSSL wants, whatever consoles and shells made of their line ends."""
    marks = r"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----"
    bodies = ["".join(body.split()) for body in re.findall(marks, text, re.DOTALL)]
    wrapped = ["\n".join(body[at : at + 64] for at in range(0, len(body), 64)) for body in bodies]
    return "".join(f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n" for body in wrapped)


class _WithoutKey(logging.Filter):
    """Takes the key out of what urllib3 logs: the address of a request with its query."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = re.sub(r"api_key=[^&\s\")]+", "api_key=***", record.getMessage())
        record.args = ()
        return True


logging.getLogger("urllib3.connectionpool").addFilter(_WithoutKey())
