"""Whether a large account fits into one invocation, on paper: `python -m bench paper --components 100000`.

Calls, processor time and memory are measured at two scales of the synthetic account and drawn out to the large one.
Calls of a service with a documented rate take calls ÷ (rate x share) seconds; all others share the workers, at the
given latency. Services are read side by side, so the longest of these times is the reading's.
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from bench.measure import ROOT, Run

sys.path.insert(0, str(ROOT / "functions"))

from topology.aws import WORKERS
from topology.gather import PUBLISHING_SECONDS, PUBLISHING_SECONDS_PER_MEGABYTE
from topology.pace import RATES, SHARED
from topology.settings import API_SHARE_PERCENT

# The template's.
INVOCATION_SECONDS = 900.0
MEMORY_MB = 1024.0
SHARE = API_SHARE_PERCENT / 100
# Lambda gives processors by memory: one for so much.
MB_OF_A_PROCESSOR = 1769.0


@dataclass(frozen=True)
class Large:
    """An account that was never there."""

    components: int
    calls: Mapping[str, float]
    """By service."""
    cpu_s: float
    memory_mb: float
    packed_mb: float
    """What is published."""


def drawn_out(small: Run, large: Run, components: int) -> Large:
    """What so many components take, after two measured runs of fewer."""
    few: int = small.report["components"]
    many: int = large.report["components"]

    def at(less: float, more: float) -> float:
        return max(0.0, less + (more - less) / (many - few) * (components - few))

    services = small.calls.keys() | large.calls.keys()
    calls = {name: at(small.calls.get(name, 0), large.calls.get(name, 0)) for name in services}
    packed = at(small.report["record_bytes"], large.report["record_bytes"]) / 1e6
    return Large(components, calls, at(small.cpu_s, large.cpu_s), at(small.memory_mb, large.memory_mb), packed)


def seconds(calls: Mapping[str, float], latency: float) -> dict[str, float]:
    """How long the calls take: by allowance where there is a rate for it, and all of them at this latency under ""."""
    allowances: dict[str, float] = defaultdict(float)
    for service, count in calls.items():
        allowances[SHARED.get(service, service)] += count
    paced = {name: count / (RATES[name] * SHARE) for name, count in allowances.items() if name in RATES}
    return {**paced, "": sum(calls.values()) * latency / WORKERS}


def as_markdown(large: Large, latency: float) -> str:
    """The table for the docs; `latency` in seconds."""
    took = seconds(large.calls, latency)
    lines = [f"| {large.components:,} components | calls | calls per second | seconds |", "| :-- | --: | --: | --: |"]
    for name in sorted(took.keys() - {""}, key=lambda name: -took[name]):
        rate = RATES[name] * SHARE
        lines.append(f"| {name} | {rate * took[name]:,.0f} | {rate:g} | {took[name]:,.0f} |")
    total = sum(large.calls.values())
    at_once = f"all services: {WORKERS} calls at a time, {latency * 1000:g} ms each"
    lines.append(f"| {at_once} | {total:,.0f} | {WORKERS / latency:,.0f} | {took['']:,.0f} |")
    processor = MEMORY_MB / MB_OF_A_PROCESSOR
    lines.append(f"| {processor:.2f} of a processor | | | {large.cpu_s / processor:,.0f} |")
    longest = max(*took.values(), large.cpu_s / processor)
    limit = INVOCATION_SECONDS - PUBLISHING_SECONDS - PUBLISHING_SECONDS_PER_MEGABYTE * large.packed_mb
    time = (
        f"One invocation reads for {limit:,.0f} s: enough for about {large.components * limit / longest:,.0f} of them."
    )
    memory = f"Memory: {large.memory_mb:,.0f} of {MEMORY_MB:,.0f} MB."
    return "\n".join([*lines, "", f"{time} {memory}"])


def parsed(arguments: list[str]) -> argparse.Namespace:
    """The command line after `paper`."""
    parser = argparse.ArgumentParser(
        "python -m bench paper", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--components", type=int, default=100_000)
    parser.add_argument("--scales", type=lambda text: [int(part) for part in text.split(",")], default=[200, 800])
    parser.add_argument("--latency-ms", type=float, default=30.0)
    return parser.parse_args(arguments)
