"""What a snapshot costs, beside the floor: `make bench`, or `python -m bench --scales 100,400,1600`.

Every scale is a synthetic account of its own. The snapshot and the floor are run in turn, so that a change of the
machine's mood meets both; figures are medians.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import paper, publish, storm
from bench.floor import SERVICES
from bench.measure import ROOT, Run, import_ms, measured, middle, serving

COLLECT = [sys.executable, "-m", "bench.collect"]
FLOOR = [sys.executable, "-m", "bench.floor"]
ACCOUNT = [sys.executable, "-m", "bench.account_server"]
BASELINE = [sys.executable, "-m", "bench.baseline", *SERVICES]
# A referee's account is moto's as well, whose 50 delivery streams are fewer than a scale of 1,600 has.
REFEREE_ACCOUNT = """
import runpy, sys
from moto.firehose.models import DeliveryStream
DeliveryStream.MAX_STREAMS_PER_REGION = 5000
sys.argv.pop(0)
runpy.run_path(sys.argv[0], run_name="__main__")
"""
# What the referee seeds that the vocabulary has no component for.
NO_COMPONENT = ("stepfunctions.state_machine",)
BARE = "import boto3, requests"
HANDLERS = ("topo_cron", "topo_cwevents", "topo_publisher")
HANDLER_SETTINGS = {
    "TOPOLOGY_STREAM": "stackstate-topo-kinesis",
    "STACKSTATE_BASE_URL": "https://stackstate.example.com/receiver",
    "STACKSTATE_API_KEY_SECRET": "bench",
    "POWERTOOLS_METRICS_NAMESPACE": "StackState/Topology",
    "POWERTOOLS_SERVICE_NAME": "bench",
}


@dataclass
class Figures:
    """What was measured at one scale: medians by latency, ours and the floor's."""

    scale: int
    ours: dict[float, Run] = field(default_factory=dict)
    floor: dict[float, Run] = field(default_factory=dict)
    unseen: dict[str, list[str]] = field(default_factory=dict)

    @property
    def components(self) -> int:
        """How many our snapshot has."""
        found: int = next(iter(self.ours.values())).report["components"]
        return found


def main() -> None:
    """Measure, and print the tables."""
    if sys.argv[1:2] == ["publish"]:
        publish.main(sys.argv[2:])
        return
    if sys.argv[1:2] == ["storm"]:
        storm.main(sys.argv[2:])
        return
    if sys.argv[1:2] == ["paper"]:
        on_paper(paper.parsed(sys.argv[2:]))
        return
    options = parsed()
    console = Console(width=options.width)
    figures = [at_scale(scale, options, console) for scale in options.scales]
    baseline = middle([measured(BASELINE) for _ in range(options.repeat)])
    folder = ROOT / "build/local" if (ROOT / "build/local").is_dir() else ROOT / "functions"
    statements = [BARE, *(f"import {name}.handler" for name in HANDLERS)]
    imports = dict(zip(statements, import_ms(statements, folder, 5, **HANDLER_SETTINGS), strict=True))
    console.print(table(figures, baseline, imports, "the referee's floor" if options.referee else "the floor"))
    for one in figures:
        report(one, console)
    publish.compare(publish.COMPONENTS, options.repeat, console)
    if options.json:
        options.json.write_text(json.dumps(as_json(figures, baseline, imports), indent=1) + "\n", encoding="utf-8")


def parsed() -> argparse.Namespace:
    """The command line."""

    def numbers(text: str) -> list[float]:
        return [float(part) for part in text.split(",")]

    parser = argparse.ArgumentParser(
        "python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scales", type=lambda text: [int(part) for part in text.split(",")], default=[100, 400])
    parser.add_argument("--latency-ms", type=numbers, default=[0.0, 30.0], help="latencies of the account, with commas")
    parser.add_argument("--repeat", type=int, default=3, help="runs to take the median of")
    parser.add_argument("--referee", type=Path, help="another account server, with its floor_collect.py beside it")
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    parser.add_argument("--width", type=int, help="columns of the output (default: the terminal's)")
    return parser.parse_args()


def on_paper(options: argparse.Namespace) -> None:
    """Measure at both scales, and print what the large account takes."""
    small, large = (one_snapshot(scale) for scale in options.scales)
    account = paper.drawn_out(small, large, options.components)
    print(paper.as_markdown(account, options.latency_ms / 1000))


def one_snapshot(scale: int) -> Run:
    """A snapshot of an account of this scale, without latency."""
    with serving(ACCOUNT, scale) as server:
        return server.measured(COLLECT)


def at_scale(scale: int, options: argparse.Namespace, console: Console) -> Figures:
    """Measure both at one scale, at every latency."""
    account, floor, environment = ACCOUNT, FLOOR, {}
    if options.referee:
        account = [sys.executable, "-c", REFEREE_ACCOUNT, str(options.referee)]
        floor = [
            sys.executable,
            str(options.referee.parent / "floor_collect.py"),
            "--mode",
            "parity",
            "--workers",
            "32",
        ]
        environment = {"PYTHONPATH": str(options.referee.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    figures = Figures(scale)
    with console.status(f"scale {scale}: seeding the account"), serving(account, scale, **environment) as server:
        for latency in options.latency_ms:
            console.log(f"scale {scale}, {latency:g} ms: measuring")
            server.ask("/__config", {"latency_ms": 0})
            server.measured(COLLECT)
            server.measured(floor)
            server.ask("/__config", {"latency_ms": latency})
            runs = [(server.measured(COLLECT), server.measured(floor)) for _ in range(options.repeat)]
            figures.ours[latency] = middle([ours for ours, _ in runs])
            figures.floor[latency] = middle([floors for _, floors in runs])
        figures.unseen = server.unseen(next(iter(figures.ours.values())).ids, NO_COMPONENT)
    return figures


def table(figures: Sequence[Figures], baseline: Run, imports: dict[str, float], floor_name: str) -> Table:
    """All figures: a snapshot, the floor and their ratio for every scale."""
    shown = Table(title=f"A snapshot beside {floor_name}")
    shown.add_column("")
    for one in figures:
        shown.add_column(f"scale {one.scale:,}", justify="right")
        shown.add_column("floor", justify="right")
        shown.add_column("×", justify="right", style="bold")  # noqa: RUF001  the sign for times

    def row(name: str, of: Any, digits: int = 0, *, ratio: bool = True) -> None:
        cells = []
        for one in figures:
            ours, floor = of(one)
            times = f"{ours / floor:.2f}" if ratio and ours and floor else ""
            cells += [*("" if value is None else f"{value:,.{digits}f}" for value in (ours, floor)), times]
        shown.add_row(name, *cells)

    latencies = list(figures[0].ours)
    first = latencies[0]
    services = sorted({name for one in figures for run in (one.ours[first], one.floor[first]) for name in run.calls})
    row("components", lambda one: (one.components, None))
    row("API calls", lambda one: (sum(one.ours[first].calls.values()), sum(one.floor[first].calls.values())))
    for service in services:
        row(
            f"  {service}",
            lambda one, name=service: (one.ours[first].calls.get(name, 0), one.floor[first].calls.get(name, 0)),
        )
    row(
        "API calls per 1,000 components",
        lambda one: [1000 * sum(run.calls.values()) / one.components for run in (one.ours[first], one.floor[first])],
    )
    for latency in latencies:
        row(f"wall s at {latency:g} ms", lambda one, at=latency: (one.ours[at].wall_s, one.floor[at].wall_s), 2)
        row(f"CPU s at {latency:g} ms", lambda one, at=latency: (one.ours[at].cpu_s, one.floor[at].cpu_s), 2)
    row("peak memory MB", lambda one: (peak(one.ours), peak(one.floor)))
    row("  beside boto3 with its clients", lambda one: (peak(one.ours), baseline.memory_mb))
    shown.add_section()
    for smaller, larger in pairwise(figures):
        shown.add_row(f"kB per component, {smaller.scale:,} to {larger.scale:,}", f"{growth(smaller, larger):.2f}")
    bare = imports[BARE]
    for statement, taken in imports.items():
        shown.add_row(f"{statement} (CPU ms)", f"{taken:.0f}", f"{bare:.0f}", f"{taken / bare:.2f}")
    return shown


def peak(runs: dict[float, Run]) -> float:
    """Peak memory, in MB, at the last latency."""
    return list(runs.values())[-1].memory_mb


def growth(smaller: Figures, larger: Figures) -> float:
    """Kilobytes of peak memory for every component that the larger account has more."""
    return 1024 * (peak(larger.ours) - peak(smaller.ours)) / (larger.components - smaller.components)


def report(one: Figures, console: Console) -> None:
    """Say what was seeded and not seen, and what could not be read."""
    last = list(one.ours.values())[-1].report
    for kind, ids in one.unseen.items():
        console.print(f"scale {one.scale}: not seen: {len(ids)} × {kind}, such as {ids[0]}")  # noqa: RUF001
    for error in [*last["errors"], *last["left_out"], *list(one.floor.values())[-1].report["errors"]]:
        console.print(f"scale {one.scale}: not read: {error}")


def as_json(figures: Sequence[Figures], baseline: Run, imports: dict[str, float]) -> dict[str, Any]:
    """The figures for a file."""

    def numbers(run: Run) -> dict[str, Any]:
        calls = {"calls": sum(run.calls.values()), "by_service": run.calls}
        return {"wall_s": run.wall_s, "cpu_s": run.cpu_s, "memory_mb": run.memory_mb, **calls, "report": run.report}

    scales = [
        {
            "scale": one.scale,
            "snapshot": {f"{latency:g} ms": numbers(run) for latency, run in one.ours.items()},
            "floor": {f"{latency:g} ms": numbers(run) for latency, run in one.floor.items()},
            "unseen": one.unseen,
        }
        for one in figures
    ]
    return {"scales": scales, "baseline_mb": baseline.memory_mb, "import_ms": imports}


if __name__ == "__main__":
    main()
