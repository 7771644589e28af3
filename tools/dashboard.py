"""Draws the CloudWatch dashboard of an installation, with what its functions measured on this machine.

The widgets come from the dashboard that the installation made, the values from the metrics in the functions' logs, as
CloudWatch has them. Metrics that AWS itself measures have no values here, and are drawn as CloudWatch draws them then.
"""

import html
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Series = list[tuple[float, float]]
"""Time in milliseconds, and value."""
Metrics = dict[tuple[str, ...], Series]
"""By namespace, name, and names and values of the dimensions, as a widget lists them."""

COLORS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728")
WIDTH, HEIGHT = 440, 130  # of a chart, in its own units
STYLE = """
body { margin: 0; padding: 18px; background: #f2f3f3; font: 13px/1.4 system-ui, sans-serif; color: #16191f; }
main { display: grid; grid-template-columns: repeat(24, 1fr); gap: 10px; }
section { background: #fff; border: 1px solid #d5dbdb; border-radius: 6px; padding: 10px 14px; }
section.text { background: none; border: 0; padding: 8px 0 0; font-size: 16px; font-weight: 650; }
h2 { font-size: 13px; margin: 0 0 6px; }
svg { width: 100%; display: block; }
ul { list-style: none; margin: 6px 0 0; padding: 0; display: flex; flex-wrap: wrap; gap: 2px 14px; }
li::before { content: ''; display: inline-block; width: 10px; height: 3px; margin-right: 6px; background: var(--color);
  vertical-align: middle; }
text { font-size: 10px; fill: #545b64; }
"""


def metrics(lines: Iterable[str]) -> Metrics:
    """The metrics in a function's log: lines in CloudWatch's embedded metric format, among others."""
    found: Metrics = {}
    for line in lines:
        start = line.find("{")
        if start < 0 or '"_aws"' not in line:
            continue
        record = json.loads(line[start:])
        for group in record["_aws"]["CloudWatchMetrics"]:
            for dimensions in group["Dimensions"]:
                named = [text for name in dimensions for text in (name, str(record[name]))]
                for metric in group["Metrics"]:
                    values = record[metric["Name"]]
                    series = found.setdefault((group["Namespace"], metric["Name"], *named), [])
                    for value in values if isinstance(values, list) else [values]:
                        series.append((record["_aws"]["Timestamp"], float(value)))
    return found


def drawn(body: Mapping[str, Any], measured: Metrics) -> str:
    """The dashboard as HTML; `body` is what CloudWatch keeps of it."""
    times = [time for series in measured.values() for time, _ in series]
    span = (min(times, default=0.0), max(times, default=1.0))
    sections = "".join(_widget(widget, measured, span) for widget in body["widgets"])
    return f"<!doctype html><meta charset=utf-8><title>Dashboard</title><style>{STYLE}</style><main>{sections}</main>"


def _widget(widget: Mapping[str, Any], measured: Metrics, span: tuple[float, float]) -> str:
    place = f"grid-column: {widget['x'] + 1} / span {widget['width']}"
    properties = widget["properties"]
    if widget["type"] == "text":
        return f'<section class="text" style="{place}">{html.escape(properties["markdown"].lstrip("# "))}</section>'
    labels, series = [], []
    for metric in properties["metrics"]:
        options = metric[-1] if isinstance(metric[-1], Mapping) else {}
        key = tuple(part for part in metric if isinstance(part, str))
        labels.append(options.get("label", key[1]))
        points = measured.get(key, [])
        counted = options.get("stat") == "SampleCount"
        series.append([(time, 1.0) for time, _ in points] if counted else points)
    legend = "".join(
        f'<li style="--color: {color}">{html.escape(label)}</li>' for label, color in zip(labels, COLORS, strict=False)
    )
    chart = _chart(series, span)
    return f'<section style="{place}"><h2>{html.escape(properties["title"])}</h2>{chart}<ul>{legend}</ul></section>'


def _chart(series: Sequence[Series], span: tuple[float, float]) -> str:
    began, ended = span
    highest = max([value for points in series for _, value in points], default=0.0) or 1.0
    parts = [f'<path d="M34 10V{HEIGHT - 14}H{WIDTH}" fill="none" stroke="#aab7b8"/>']
    if not any(series):
        parts.append(f'<text x="{WIDTH / 2}" y="{HEIGHT / 2}" text-anchor="middle">No data available</text>')
    else:
        parts.append(f'<text x="28" y="16" text-anchor="end">{highest:.3g}</text>')
        parts.append(f'<text x="28" y="{HEIGHT - 12}" text-anchor="end">0</text>')
    for points, color in zip(series, COLORS, strict=False):
        spots = [
            (
                50 + (WIDTH - 70) * (time - began) / ((ended - began) or 1.0),
                HEIGHT - 14 - (HEIGHT - 28) * value / highest,
            )
            for time, value in sorted(points)
        ]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="1.5"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{color}"/>' for x, y in spots]
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}">{"".join(parts)}</svg>'
