"""Stands in for Lambda's runtime: runs each deployed function in processes of its own, without Docker.

AWS's own runtime client (awslambdaric) runs the handler; this module is what it talks to: a Runtime API server per
execution environment, the process with nothing but the environment that the deployed function has, timeout, memory,
reserved concurrency and logs. Not reproduced: the read-only file system and the machine image.
"""

import contextlib
import importlib.metadata
import io
import json
import logging
import math
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
import zipfile
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError
from werkzeug import Request, Response
from werkzeug.serving import WSGIRequestHandler, make_server

from local.account.wire import INVOKED_BY

logger = logging.getLogger(__name__)

INIT_SECONDS = 10.0  # Lambda gives the code outside of the handler so long, whatever the function's timeout
MAX_PAYLOAD_BYTES = 6 * 1024 * 1024
UNRESERVED_CONCURRENCY = 10  # what a new AWS account starts with
FLUSH_SECONDS = 2.0  # so that the log of a long invocation can be followed


class Account(Protocol):
    """What this module and the triggers need of the local account."""

    endpoint: str
    account_id: str
    region: str

    def client(self, service: str) -> Any:
        """Give a boto3 client of the account."""


@dataclass(frozen=True)
class Answer:
    """What Lambda's Invoke answers: HTTP status, payload, and what went wrong.

    `error` is `Unhandled` where the function failed (status 200), and the name of the exception where Lambda itself
    refused (status 404, 413, 429).
    """

    status: int
    payload: bytes
    error: str | None = None

    @property
    def throttled(self) -> bool:
        """Whether the function was not even started, for want of concurrency."""
        return self.status == 429


def refusal(status: int, error: str, message: str) -> Answer:
    """Give Lambda's own answer where it cannot invoke the function."""
    return Answer(status, json.dumps({"Type": "User", "Message": message}).encode(), error)


def function_name(reference: str) -> str:
    """Give the bare name out of a name, a partial ARN or an ARN, with or without a qualifier."""
    return reference.rsplit("function:", 1)[-1].split(":")[0]


class QuietHandler(WSGIRequestHandler):
    """Serves without a line per request: what the functions log is what matters."""

    protocol_version = "HTTP/1.1"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing."""


class ExecutionEnvironment:
    """One process of one function: takes one invocation at a time, and stays warm for the next."""

    def __init__(self, function: dict[str, Any], code: Path, variables: dict[str, str], log: Callable[..., None]):
        self.function = function
        self.log_stream = f"{datetime.now(UTC):%Y/%m/%d}/[$LATEST]{uuid.uuid4().hex}"
        self._log = log
        self._invocations: queue.Queue[tuple[str, int, bytes] | None] = queue.Queue()
        self._answers: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self._ready = threading.Event()
        self._api = make_server(
            "127.0.0.1", 0, Request.application(self._runtime_api), True, request_handler=QuietHandler
        )
        threading.Thread(target=self._api.serve_forever, args=(0.05,), daemon=True).start()
        # The process and this class write into one pipe, so that the log keeps the true order of both.
        output, self._pipe = os.pipe()
        threading.Thread(target=self._read, args=(output,), daemon=True).start()
        self._started = time.monotonic()
        self._init_ms: float | None = None
        self._peak_mb = 0
        self.process = subprocess.Popen(
            # Without site packages: what the artifact lacks must be missing here as it would be on Lambda.
            [sys.executable, "-S", "-m", "awslambdaric", function["Handler"]],
            cwd=code,
            env=variables
            | {
                "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self._api.server_port}",
                "AWS_LAMBDA_LOG_STREAM_NAME": self.log_stream,
            },
            stdin=subprocess.DEVNULL,
            stdout=self._pipe,
            stderr=self._pipe,
            start_new_session=True,
        )

    def invoke(self, payload: bytes) -> Answer:
        """Run the handler once; a failure of the function is an answer, and may be the end of this environment."""
        request_id = str(uuid.uuid4())
        kind, body = self._initialise()
        begin = time.monotonic()
        self._say(f"START RequestId: {request_id} Version: $LATEST")
        if not kind:
            deadline_ms = int((time.time() + self.function["Timeout"]) * 1000)
            self._invocations.put((request_id, deadline_ms, payload))
            kind, body = self._wait(self.function["Timeout"])
        status = {"timeout": "\tStatus: timeout", "response": ""}.get(kind, f"\tStatus: error\tError Type: {kind}")
        if kind in ("timeout", "Runtime.ExitError", "Runtime.OutOfMemory"):
            body = self._ended(kind, request_id)
        self._report(request_id, begin, status)
        if kind not in ("response", "error"):
            self.close()
        return Answer(200, body, None if kind == "response" else "Unhandled")

    @property
    def usable(self) -> bool:
        """Whether the process still waits for invocations."""
        return self.process.poll() is None

    def close(self) -> None:
        """End the process and its server."""
        pipe, self._pipe = self._pipe, -1
        if pipe < 0:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._invocations.put(None)
        self._api.shutdown()
        self._api.server_close()
        os.close(pipe)

    def _runtime_api(self, request: Request) -> Response:
        """Answer the runtime client: Lambda's Runtime API, version 2018-06-01, as far as it is used."""
        if request.method == "POST":  # .../invocation/{id}/response, .../invocation/{id}/error, .../init/error
            kind = "init" if request.path.endswith("/init/error") else request.path.rsplit("/", 1)[-1]
            self._answers.put((kind, request.get_data()))
            return Response(status=202)
        self._ready.set()
        invocation = self._invocations.get()
        if invocation is None:
            return Response(status=410)
        request_id, deadline_ms, payload = invocation
        headers = {
            "Lambda-Runtime-Aws-Request-Id": request_id,
            "Lambda-Runtime-Deadline-Ms": str(deadline_ms),
            "Lambda-Runtime-Invoked-Function-Arn": self.function["FunctionArn"],
            "Lambda-Runtime-Trace-Id": f"Root=1-{int(time.time()):08x}-{uuid.uuid4().hex[:24]};Sampled=0",
        }
        return Response(payload, headers=headers, content_type="application/json")

    def _initialise(self) -> tuple[str, bytes]:
        """Wait until the process asks for its first invocation, or give how it failed to start."""
        if self._init_ms is not None:
            return "", b""
        # A start that takes too long is tried again by Lambda as part of the invocation: in all, both times.
        kind, body = self._wait(INIT_SECONDS + self.function["Timeout"], self._ready)
        self._init_ms = (time.monotonic() - self._started) * 1000
        return kind, body

    def _wait(self, seconds: float, until: threading.Event | None = None) -> tuple[str, bytes]:
        """Give kind and body of what comes next: an answer, a failure, an exit, too much memory or too much time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if until and until.is_set():
                return "", b""
            with contextlib.suppress(queue.Empty):
                return self._answers.get(timeout=0.02)
            if self.process.poll() is not None:
                # An init error is posted just before the process ends.
                with contextlib.suppress(queue.Empty):
                    return self._answers.get(timeout=0.2)
                return "Runtime.ExitError", b""
            self._peak_mb = max(self._peak_mb, self._memory_mb("VmHWM"))
            if self._peak_mb > self.function["MemorySize"]:
                return "Runtime.OutOfMemory", b""
        return "timeout", b""

    def _ended(self, kind: str, request_id: str) -> bytes:
        """Kill the process and give the payload that Lambda answers for it."""
        code = self.process.poll()
        if kind == "timeout":
            message = f"Task timed out after {self.function['Timeout']:.2f} seconds"
            self._say(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + f"Z {request_id} {message}")
            message = f"RequestId: {request_id} Error: {message}"
            return json.dumps({"errorType": "Sandbox.Timedout", "errorMessage": message}).encode()
        how = "signal: killed" if code is None else f"exit status {code}" if code >= 0 else f"signal: {-code}"
        message = f"RequestId: {request_id} Error: Runtime exited with error: {how}"
        self._say(message)
        return json.dumps({"errorType": kind, "errorMessage": message}).encode()

    def _report(self, request_id: str, begin: float, status: str) -> None:
        duration = (time.monotonic() - begin) * 1000
        init, self._init_ms = self._init_ms or 0.0, 0.0
        billed, size = math.ceil(duration + init), self.function["MemorySize"]
        used = min(size, max(self._peak_mb, self._memory_mb("VmHWM")))
        self._say(f"END RequestId: {request_id}")
        self._say(
            f"REPORT RequestId: {request_id}\tDuration: {duration:.2f} ms\tBilled Duration: {billed} ms"
            f"\tMemory Size: {size} MB\tMax Memory Used: {used} MB"
            + (f"\tInit Duration: {init:.2f} ms" if init else "")
            + status
        )

    def _memory_mb(self, figure: str) -> int:
        """Give a memory figure of the process from Linux; 0 once it is gone."""
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
                if line.startswith(figure):
                    return int(line.split()[1]) // 1024
        return 0

    def _say(self, line: str) -> None:
        with contextlib.suppress(OSError):  # closed meanwhile
            os.write(self._pipe, f"\n{line}\n".encode())

    def _read(self, output: int) -> None:
        """Hand the lines of the pipe to the log, in batches that end with an invocation."""
        lines: list[tuple[int, str]] = []
        flushed = time.monotonic()
        with os.fdopen(output, "rb", buffering=0) as raw, io.BufferedReader(raw) as stream:
            for line in stream:
                if text := line.decode(errors="replace").strip("\r\n"):
                    lines.append((int(time.time() * 1000), text))
                if lines and (text.startswith("REPORT RequestId") or time.monotonic() - flushed > FLUSH_SECONDS):
                    self._log(self.log_stream, lines)
                    lines, flushed = [], time.monotonic()
        if lines:
            self._log(self.log_stream, lines)


class Functions:
    """The functions of the account, each with as many execution environments as it has concurrent invocations.

    `code` is a folder with the unpacked artifact, built for the interpreter that runs here: functions whose handler is
    in it run from there. All others run from the zip that was deployed, which suits code without compiled parts only.
    """

    def __init__(self, account: Account, code: Path | None = None):
        self._account = account
        self._code = code
        self._folder = tempfile.TemporaryDirectory(prefix="functions-")
        self._runtime = _runtime_folder(Path(self._folder.name, "runtime"))
        self._idle: dict[str, list[ExecutionEnvironment]] = defaultdict(list)
        self._busy: dict[str, list[ExecutionEnvironment]] = defaultdict(list)
        self._lock = threading.Lock()
        self._logs: dict[str, deque[str]] = defaultdict(lambda: deque(maxlen=20_000))
        self._lambda = account.client("lambda")
        self._cloudwatch_logs = account.client("logs")

    def invoke(self, reference: str, payload: bytes) -> Answer:
        """Invoke a function and wait for its answer; never raises for what the function does."""
        name = function_name(reference)
        try:
            function = self._lambda.get_function(FunctionName=name)
        except self._lambda.exceptions.ResourceNotFoundException:
            return refusal(404, "ResourceNotFoundException", f"Function not found: {reference}")
        if len(payload) > MAX_PAYLOAD_BYTES:
            return refusal(413, "RequestTooLargeException", f"Request must be smaller than {MAX_PAYLOAD_BYTES} bytes")
        limit = function.get("Concurrency", {}).get("ReservedConcurrentExecutions", UNRESERVED_CONCURRENCY)
        try:
            environment = self._take(name, function["Configuration"], limit)
        except zipfile.BadZipFile as error:
            return refusal(502, "InvalidZipFileException", f"Lambda could not unzip the deployment package: {error}")
        if environment is None:
            return refusal(429, "TooManyRequestsException", "Rate Exceeded.")
        try:
            return environment.invoke(payload or b"{}")  # what Lambda hands over where nothing was given
        finally:
            with self._lock:
                self._busy[name].remove(environment)
                if environment.usable:
                    self._idle[name].append(environment)

    def logs(self, name: str) -> list[str]:
        """Give what a function logged so far, with the lines of the platform."""
        return list(self._logs[name])

    def close(self) -> None:
        """End all processes."""
        with self._lock:
            environments = [e for found in (self._idle, self._busy) for each in found.values() for e in each]
        for environment in environments:
            environment.close()
        self._folder.cleanup()

    def _take(self, name: str, function: dict[str, Any], limit: int) -> ExecutionEnvironment | None:
        """Give a warm environment, or a new one within the limit; warm ones of an older deployment are ended."""
        with self._lock:
            if len(self._busy[name]) >= limit:
                return None
            fresh = [e for e in self._idle[name] if e.function == function and e.usable]
            stale = [e for e in self._idle[name] if e not in fresh]
            environment = fresh.pop() if fresh else self._start(name, function)
            self._idle[name] = fresh
            self._busy[name].append(environment)
        for each in stale:
            each.close()
        return environment

    def _start(self, name: str, function: dict[str, Any]) -> ExecutionEnvironment:
        module = Path(function["Handler"].rpartition(".")[0].replace(".", "/") + ".py")
        code = self._code if self._code and (self._code / module).exists() else self._unpacked(function)
        return ExecutionEnvironment(
            function, code, self._variables(name, function, code), lambda stream, lines: self._keep(name, stream, lines)
        )

    def _variables(self, name: str, function: dict[str, Any], code: Path) -> dict[str, str]:
        """Give the whole environment of the process: what Lambda sets, and what the deployment configured."""
        sts = self._account.client("sts")
        sts.meta.events.register("before-sign", _as_lambda)
        session = sts.assume_role(RoleArn=function["Role"], RoleSessionName=name)
        configured: dict[str, str] = function.get("Environment", {}).get("Variables", {})
        return configured | {
            "PATH": "/usr/local/bin:/usr/bin/:/bin",
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "HOME": "/home/sbx_user1051",  # does not exist on Lambda either; keeps ~/.aws of this machine out
            "PYTHONPATH": str(self._runtime),
            "LAMBDA_TASK_ROOT": str(code),
            "LAMBDA_RUNTIME_DIR": str(self._runtime),
            "_HANDLER": function["Handler"],
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{function['Runtime']}",
            "AWS_LAMBDA_FUNCTION_NAME": name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function["MemorySize"]),
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{name}",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_REGION": self._account.region,
            "AWS_DEFAULT_REGION": self._account.region,
            "AWS_ACCESS_KEY_ID": session["Credentials"]["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": session["Credentials"]["SecretAccessKey"],
            "AWS_SESSION_TOKEN": session["Credentials"]["SessionToken"],
            # The one thing that Lambda does not set: where this account is.
            "AWS_ENDPOINT_URL": self._account.endpoint,
        }

    def _unpacked(self, function: dict[str, Any]) -> Path:
        """Unpack the deployed zip, once per content."""
        # GetFunction answers with a link to a bucket that the account does not serve, so its store is read directly.
        from moto.awslambda.utils import get_backend

        folder = Path(self._folder.name, function["CodeSha256"].replace("/", "_"))
        if not folder.exists():
            backend = get_backend(self._account.account_id, self._account.region)
            with zipfile.ZipFile(io.BytesIO(backend.get_function(function["FunctionName"]).code_bytes)) as archive:
                archive.extractall(folder)
        return folder

    def _keep(self, name: str, stream: str, lines: list[tuple[int, str]]) -> None:
        """Keep lines here, and in the function's log group as Lambda does."""
        self._logs[name].extend(text for _, text in lines)
        where = {"logGroupName": f"/aws/lambda/{name}", "logStreamName": stream}
        logs = self._cloudwatch_logs
        try:
            with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
                logs.create_log_group(logGroupName=where["logGroupName"])
            with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
                logs.create_log_stream(**where)
            logs.put_log_events(**where, logEvents=[{"timestamp": at, "message": text} for at, text in lines])
        except (ClientError, BotoCoreError) as error:  # the account may be gone already
            logger.warning("the log of %s was not written: %s", name, error)


def _as_lambda(request: Any, **_: Any) -> None:
    request.headers.add_header(INVOKED_BY, "lambda.amazonaws.com")


def _runtime_folder(folder: Path) -> Path:
    """Make a folder that holds AWS's runtime client and what it imports, and nothing else of this environment."""
    folder.mkdir()
    for distribution in ("awslambdaric", "simplejson", "snapshot-restore-py"):
        files = importlib.metadata.distribution(distribution).files or []
        for top in {file.parts[0] for file in files if not file.parts[0].startswith((".", "__"))}:
            link = folder / top
            if not link.exists():
                link.symlink_to(Path(str(importlib.metadata.distribution(distribution).locate_file(top))))
    return folder
