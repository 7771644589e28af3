"""Draws how an account becomes a live topology, with the names and numbers of template.yaml: docs/flow.svg.

What is drawn has to be in the template under its logical id, so the picture cannot show what is no longer deployed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from local.account.template import parse

ROOT = Path(__file__).resolve().parent.parent
SIZE = (1040, 330)
STYLE = (
    ".lane{fill:#f6f8fa;stroke:#d0d7de}.box{fill:#fff;stroke:#57606a}.fn{fill:#fff3e6;stroke:#c45a00}"
    ".st{fill:#ede7f9;stroke:#6b4fbb}.ss{fill:#e3f4ec;stroke:#1a7f5a}text{fill:#1f2328}.h{font-weight:600;font-size:15px}"
    ".s,.l{font-size:12.5px;fill:#57606a}.a{stroke:#57606a;stroke-width:1.6;fill:none;marker-end:url(#m)}"
    "@media (prefers-color-scheme:dark){.lane{fill:#161b22;stroke:#30363d}.box{fill:#0d1117;stroke:#8b949e}"
    ".fn{fill:#33200d;stroke:#f0883e}.st{fill:#231b3a;stroke:#a78bfa}.ss{fill:#0f2a20;stroke:#3fb68b}"
    "text{fill:#e6edf3}.s,.l{fill:#9da7b1}.a{stroke:#9da7b1}#m path{fill:#9da7b1}}"
)
DESCRIPTION = (
    "A schedule starts topo-cron, which reads the AWS APIs and writes a snapshot to Kinesis. Change events reach "
    "topo-cwevents through a queue; it looks again and writes deltas to the same stream. topo-publisher posts both to "
    "the StackState receiver."
)


@dataclass(frozen=True)
class Box:
    """A rectangle with a title and lines under it; `style` is a class of the style sheet."""

    style: str
    x: int
    y: int
    width: int
    height: int
    title: str
    lines: tuple[str, ...]

    def svg(self) -> str:
        """The box as SVG."""
        middle = self.x + self.width / 2
        top = self.y + self.height / 2 - 8.5 * len(self.lines) + 5
        texts = [f'<text class="h" x="{middle}" y="{top}" text-anchor="middle">{escape(self.title)}</text>']
        texts += [
            f'<text class="s" x="{middle}" y="{top + 19 + 17 * number}" text-anchor="middle">{escape(line)}</text>'
            for number, line in enumerate(self.lines)
        ]
        place = f'x="{self.x}" y="{self.y}" width="{self.width}" height="{self.height}"'
        return f'<rect class="{self.style}" {place} rx="8" stroke-width="1.5"/>{"".join(texts)}'


# Path, and the label with its place.
ARROWS: tuple[tuple[str, str, int, int], ...] = (
    ("M180 82 H248", "", 0, 0),
    ("M325 138 V114", "", 0, 0),
    ("M325 194 V224", "", 0, 0),
    ("M180 263 H248", "queue", 214, 256),
    ("M400 82 H550 V137", "snapshot", 470, 75),
    ("M400 263 H550 V201", "delta", 470, 256),
    ("M620 169 H648", "", 0, 0),
    ("M790 169 H878", "HTTPS", 834, 162),
)


def main() -> None:
    """Write docs/flow.svg."""
    target = ROOT / "docs/flow.svg"
    target.write_text(flow(parse((ROOT / "template.yaml").read_text())))
    print(f"wrote {target.relative_to(ROOT)}")


def flow(template: Mapping[str, Any]) -> str:
    """The picture as SVG. Raises KeyError with the logical id of what the template no longer has."""
    resources = template["Resources"]
    rules = [each for each in resources.values() if each["Type"] == "AWS::Events::Rule" and _feeds_the_queue(each)]
    if not rules:
        raise KeyError("ChangeQueue: no rule of the template sends events to it")
    schedule = template["Parameters"]["ScheduleExpression"]["Default"]
    cron, cwevents, publisher = (
        _short(resources[name]["Properties"]["FunctionName"])
        for name in ("TopoCronFunction", "TopoCwEventsFunction", "TopoPublisherFunction")
    )
    boxes = (
        Box("box", 30, 52, 150, 60, "schedule", (schedule,)),
        Box("fn", 250, 52, 150, 60, cron, ("reads everything",)),
        Box("box", 30, 140, 370, 52, "AWS APIs", ("describe, list, get: read-only",)),
        Box("box", 30, 226, 150, 74, "change events", (f"{len(rules)} EventBridge rules:", "API calls, states …")),
        Box("fn", 250, 226, 150, 74, cwevents, ("looks again at", "what was touched")),
        Box("st", 480, 139, 140, 60, _short(resources["Stream"]["Properties"]["Name"]), ("one order for all",)),
        Box("fn", 650, 139, 140, 60, publisher, ("joins, retries",)),
        Box("ss", 880, 139, 140, 60, "StackState", ("receiver",)),
    )
    arrows = "\n".join(
        f'<path class="a" d="{path}"/><text class="l" x="{x}" y="{y}" text-anchor="middle">{label}</text>'
        for path, label, x, y in ARROWS
    )
    width, height = SIZE
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-labelledby="t d" '
        'font-family="system-ui, Segoe UI, Helvetica, Arial, sans-serif">\n'
        f'<title id="t">How an account becomes a live topology</title>\n<desc id="d">{DESCRIPTION}</desc>\n'
        f"<style>{STYLE}</style>\n"
        '<defs><marker id="m" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0 10 5 0 10z" fill="#57606a"/></marker></defs>\n'
        '<rect class="lane" x="10" y="10" width="790" height="310" rx="10"/>'
        '<text class="l" x="26" y="32">your AWS account</text>\n'
    )
    return head + "\n".join(box.svg() for box in boxes) + f"\n{arrows}\n</svg>\n"


def _feeds_the_queue(rule: Mapping[str, Any]) -> bool:
    return any(target["Arn"] == {"Fn::GetAtt": ["ChangeQueue", "Arn"]} for target in rule["Properties"]["Targets"])


def _short(name: Any) -> str:
    """What something is called in conversation: without the prefix and the suffix of an installation."""
    text: str = name["Fn::Sub"] if isinstance(name, Mapping) else name
    return text.removeprefix("stackstate-").removesuffix("${NameSuffix}")


if __name__ == "__main__":
    main()
