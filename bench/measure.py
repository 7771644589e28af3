"""Runs commands against a synthetic account, and measures what they cost."""

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
REGION = "eu-west-1"
SEEDING_SECONDS = 600


@dataclass(frozen=True)
class Run:
    """What one process cost, and what it said."""

    wall_s: float
    cpu_s: float
    memory_mb: float
    calls: dict[str, int]
    """By service."""
    report: dict[str, Any]
    ids: frozenset[str] = frozenset()


class Server:
    """A synthetic account that is being served."""

    def __init__(self, port: int) -> None:
        self.endpoint = f"http://127.0.0.1:{port}"

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """Read from, or with a body write to, the server's own side."""
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(self.endpoint + path, data), timeout=60) as answer:
            return json.load(answer)

    def measured(self, command: Sequence[str]) -> Run:
        """Run the command against the account. Raises RuntimeError if it fails."""
        self.ask("/__calls/reset", {})
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "report.json"
            run = measured(command, {"AWS_ENDPOINT_URL": self.endpoint, "BENCH_OUT": str(out)})
            report = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}
        ids = frozenset(report.pop("ids", ()))
        return Run(run.wall_s, run.cpu_s, run.memory_mb, self.ask("/__calls")["by_service"], report or run.report, ids)

    def unseen(self, ids: frozenset[str], kinds_left_out: Sequence[str] = ()) -> dict[str, list[str]]:
        """What was seeded and is known by none of the ids, by kind."""
        missing: dict[str, list[str]] = defaultdict(list)
        for entry in self.ask("/__inventory"):
            if ids.isdisjoint(entry["aliases"]) and entry["kind"] not in kinds_left_out:
                missing[entry["kind"]].append(entry["aliases"][0])
        return dict(missing)


@contextmanager
def serving(command: Sequence[str], scale: int, **environment: str) -> Iterator[Server]:
    """Start a server of an account of this scale, wait until it is seeded, and end it afterwards."""
    port = free_port()
    full = [*command, "--scale", str(scale), "--port", str(port)]
    process = subprocess.Popen(full, cwd=ROOT, env=os.environ | environment, stdout=subprocess.DEVNULL)
    server = Server(port)
    try:
        for _ in range(SEEDING_SECONDS * 10):
            if process.poll() is not None:
                raise RuntimeError(f"the account ended before it was ready: {' '.join(full)}")
            try:
                server.ask("/__config", {})
                break
            except urllib.error.URLError:
                time.sleep(0.1)
        yield server
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def measured(command: Sequence[str], environment: dict[str, str] | None = None) -> Run:
    """Run the command to its end; its last line may be a report in JSON. Raises RuntimeError if it fails."""
    with tempfile.TemporaryFile() as output:
        began = time.perf_counter()
        process = subprocess.Popen(command, cwd=ROOT, env=settings() | (environment or {}), stdout=output)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        *_, last = output.read().decode().splitlines() or [""]
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}: {last}")
    report = json.loads(last) if last.startswith("{") else {}
    return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, {}, report)


def settings() -> dict[str, str]:
    """The environment of a measured process: no account but the synthetic one, and compiled code is kept."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("AWS_") and name != "PYTHONDONTWRITEBYTECODE"
    }
    return kept | {
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def middle(runs: Sequence[Run]) -> Run:
    """A run of medians, with what the last one said."""

    def median(name: str) -> float:
        values: list[float] = [getattr(run, name) for run in runs]
        return statistics.median(values)

    last = runs[-1]
    return Run(median("wall_s"), median("cpu_s"), median("memory_mb"), last.calls, last.report, last.ids)


def import_ms(statements: Sequence[str], folder: Path, repeat: int, **environment: str) -> list[float]:
    """CPU milliseconds of each import statement in a process that has imported nothing else: medians, taken in turn."""
    times: list[list[float]] = [[] for _ in statements]
    # The first round writes the .pyc files and warms the page cache.
    for round_ in range(repeat + 1):
        for statement, taken in zip(statements, times, strict=True):
            code = f"import time; began = time.process_time(); {statement}; print(time.process_time() - began)"
            env = settings() | environment | {"PYTHONPATH": str(folder)}
            ran = subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True, text=True)
            if round_:
                taken.append(1000 * float(ran.stdout.split()[-1]))
    return [statistics.median(taken) for taken in times]
