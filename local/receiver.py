"""Stands in for StackState's receiver and its web page: takes topology over HTTP, and shows it.

Paths as StackState's router has them: /stsAgent/… and /receiver/stsAgent/… are the receiver, all others are the page,
which is why a wrong base URL is answered with HTML.
"""

import json
import queue
import threading
import time
import zlib
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from werkzeug import Request, Response
from werkzeug.serving import make_server

from local.functions import QuietHandler
from local.topology import Refused, Topologies, check, demand
from page.embed import page as whole_page

MAX_BODY_BYTES = 8 * 1024 * 1024
WINDOW_BITS = {"deflate": 15, "gzip": 31}  # zlib's way to name the two formats
KEPT_BODIES = 500
CHECK_ERROR = "aws_agent_check_error"  # the kind of event that tells what could not be read
HEARTBEAT_SECONDS = 10.0  # finds out which pages are closed

Script = tuple[int, dict[str, str], str]


class Receiver:
    """The receiver; `folder`, if given, keeps the last bodies, refused ones included."""

    def __init__(self, keys: Collection[str], folder: Path | None = None):
        self.base_url = ""
        self.topologies = Topologies()
        self.log: deque[dict[str, Any]] = deque(maxlen=KEPT_BODIES)
        self.events: deque[dict[str, Any]] = deque(maxlen=1000)
        self._keys = set(keys)
        self._folder = folder
        self._script: deque[Script | None] = deque()
        self._pages: list[queue.Queue[str | None]] = []
        self._lock = threading.Lock()
        self._posts = 0
        # What the last run could not read, as the page shows it: by region and kind.
        self._errors: dict[tuple[str, ...], dict[str, Any]] = {}

    def answers(self, script: Iterable[Script | None]) -> None:
        """Answer the next POSTs so, whatever they hold: (status, headers, body); None lets one be handled as usual."""
        self._script.extend(script)

    def refused(self) -> list[dict[str, Any]]:
        """Give the entries of the log that were not answered with success."""
        return [entry for entry in self.log if entry["status"] >= 300]

    def handle(self, request: Request) -> Response:
        """Answer any request."""
        path = request.path.removeprefix("/receiver")
        if path.rstrip("/") == "/stsAgent/intake":
            return self._intake(request) if request.method == "POST" else _plain(405, "HTTP method not allowed")
        if path == "/stsAgent/features":
            return _json({"features": {}}) if self._knows(request) else _plain(403, "Forbidden")
        if path != request.path or path.startswith("/stsAgent/"):
            return _plain(404, "The requested resource could not be found.")
        if request.path == "/changes":
            return Response(self._stream(), content_type="text/event-stream", headers={"Cache-Control": "no-cache"})
        with self._lock:
            documents: dict[str, Any] = {
                "/topology.json": lambda: self.topologies.as_json() | {"errors": list(self._errors.values())},
                "/events.json": lambda: list(self.events),
                "/log.json": lambda: list(self.log),
            }
            if request.path in documents:
                return _json(documents[request.path]())
        # As StackState's own page does it: whatever the path, here is the page.
        return Response(whole_page(), content_type="text/html; charset=utf-8", headers={"Cache-Control": "no-cache"})

    def close(self) -> None:
        """Let go of the open pages."""
        for page in self._pages:
            page.put(None)

    def _knows(self, request: Request) -> bool:
        return request.args.get("api_key") in self._keys

    def _intake(self, request: Request) -> Response:
        """Take one POST, answer it, and log what it was."""
        raw = request.get_data()
        entry: dict[str, Any] = {
            "time": time.time(),
            "encoding": request.headers.get("Content-Encoding", "none"),
            "bytes": len(raw),
        }
        with self._lock:
            self._posts += 1
            entry["number"] = self._posts
            scripted = self._script.popleft() if self._script else None
            answer = Response(scripted[2], scripted[0], scripted[1]) if scripted else self._take(request, raw, entry)
            entry["status"] = answer.status_code
            if answer.status_code >= 300:
                entry["reason"] = answer.get_data(as_text=True)
            self.log.append(entry)
        return answer

    def _take(self, request: Request, raw: bytes, entry: dict[str, Any]) -> Response:
        if not self._knows(request):
            return _plain(403, "the API key is not known")
        if request.mimetype != "application/json":
            return _plain(415, "The request's Content-Type is not supported. Expected: application/json")
        text = b""
        try:
            text = _decoded(raw, entry["encoding"])
            if max(len(raw), len(text)) > MAX_BODY_BYTES:
                return _plain(413, f"the body is larger than {MAX_BODY_BYTES} bytes")
            body = _parsed(text)
            check(body)
            change = self.topologies.apply(body["topologies"])
        except Refused as refusal:
            self._keep(entry["number"], text or raw, 400)
            return _plain(400, str(refusal))
        self._keep(entry["number"], text, 200)
        entry |= {"raw": len(text), "host": body["internalHostname"], "topologies": _counts(body["topologies"])}
        self.events.extend(event | {"name": name} for name, events in body["events"].items() for event in events)
        if any(topology.get("start_snapshot") for topology in body["topologies"]):
            self._errors = {}
        for event in body["events"].get(CHECK_ERROR, []):
            self._errors[tuple(event.get("tags", []))] = event
        change["errors"] = list(self._errors.values())
        for page in self._pages:
            page.put(json.dumps(change))
        return _plain(200, "ok")

    def _keep(self, number: int, text: bytes, status: int) -> None:
        if self._folder:
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / f"{number:06d}-{status}.json").write_bytes(text)
            for old in self._folder.glob(f"{number - KEPT_BODIES:06d}-*.json"):
                old.unlink()

    def _stream(self) -> Iterator[str]:
        """Give every change from now on as a server-sent event."""
        page: queue.Queue[str | None] = queue.Queue()
        self._pages.append(page)
        try:
            yield f"event: hello\ndata: {self.topologies.revision}\n\n"
            while True:
                try:
                    change = page.get(timeout=HEARTBEAT_SECONDS)
                except queue.Empty:
                    yield ": still here\n\n"
                    continue
                if change is None:
                    return
                yield f"data: {change}\n\n"
        finally:
            self._pages.remove(page)


def _counts(topologies: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "instance": f"{topology['instance']['type']}/{topology['instance']['url']}",
            "start": topology.get("start_snapshot", False),
            "stop": topology.get("stop_snapshot", False),
            "components": len(topology["components"]),
            "relations": len(topology["relations"]),
            "deleted": len(topology.get("delete_ids", [])),
        }
        for topology in topologies
    ]


def _decoded(raw: bytes, encoding: str) -> bytes:
    """Undo the content encoding; `deflate` is zlib's format, as HTTP defines it and StackState's agents send it."""
    if encoding in ("none", "identity"):
        return raw
    demand(encoding in WINDOW_BITS, f"the content encoding {encoding} is not supported")
    decoder = zlib.decompressobj(WINDOW_BITS[encoding])
    try:
        text = decoder.decompress(raw, MAX_BODY_BYTES + 1)
    except zlib.error as error:
        raise Refused(f"the body is not {encoding}: {error}") from error
    demand(decoder.eof or len(text) > MAX_BODY_BYTES, f"the body is not {encoding}: it is cut off")
    return text


def _parsed(text: bytes) -> Any:
    """Parse strict JSON: UTF-8, without NaN and Infinity."""

    def constant(name: str) -> None:
        raise Refused(f"the body is not JSON: {name}")

    try:
        return json.loads(text.decode(), parse_constant=constant)
    except ValueError as error:
        raise Refused(f"the body is not JSON: {error}") from error


def _plain(status: int, text: str) -> Response:
    return Response(text, status, content_type="text/plain; charset=utf-8")


def _json(document: Any) -> Response:
    return Response(json.dumps(document), content_type="application/json", headers={"Cache-Control": "no-store"})


@contextmanager
def running_receiver(port: int = 0, keys: Collection[str] = ("key",), folder: Path | None = None) -> Iterator[Receiver]:
    """Serve a receiver on 127.0.0.1:`port` (0: any free one) while the context is open."""
    receiver = Receiver(keys, folder)
    application = Request.application(receiver.handle)
    server = make_server("127.0.0.1", port, application, threaded=True, request_handler=QuietHandler)
    receiver.base_url = f"http://localhost:{server.server_port}/receiver"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="receiver", daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.close()
        server.shutdown()
        thread.join()
        server.server_close()
