"""The preview, run as from the command line, against a small account that counts and denies calls."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bench.__main__ import ACCOUNT
from bench.measure import Server, serving
from preview.__main__ import main
from tests.page.conftest import page  # noqa: F401  a fixture

SCALE = 5
WIDE = "300"  # columns: no table is wrapped


@dataclass
class Result:
    """What a run of the command said and wrote."""

    status: int
    output: str
    errors: str
    html: Path
    json: Path

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.json.read_text())
        return found

    def ids(self, kind: str = "components") -> set[str]:
        return {element["externalId"] for element in self.document[kind]}


Command = Callable[..., Result]


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("COLUMNS", WIDE)
    runs = 0

    def run(*arguments: str) -> Result:
        nonlocal runs
        runs += 1
        html, data = tmp_path / f"{runs}.html", tmp_path / f"{runs}.json"
        capsys.readouterr()
        try:
            status = main([*arguments, "--out", str(html), "--json", str(data)])
        except SystemExit as end:
            status = int(end.code or 0)
        said = capsys.readouterr()
        return Result(status, said.out, said.err, html, data)

    return run


@pytest.fixture(scope="module")
def started() -> Iterator[Server]:
    with serving(ACCOUNT, SCALE) as server:
        yield server


@pytest.fixture
def server(started: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The account, as every AWS client of this test finds it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", started.endpoint)
    started.ask("/__calls/reset", {})
    yield started
    started.ask("/__config", {"deny": []})


def deny(server: Server, *operations: str) -> None:
    server.ask("/__config", {"deny": operations})
