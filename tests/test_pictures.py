"""The pictures of the documentation show what there is."""

import json
from pathlib import Path
from typing import Any

import pytest

from local.account.template import parse
from tools.dashboard import drawn, metrics
from tools.flow import flow

ROOT = Path(__file__).resolve().parent.parent
WIDGET = {
    "type": "metric",
    "x": 0,
    "y": 0,
    "width": 8,
    "height": 6,
    "properties": {
        "title": "Found <all>",
        "metrics": [["Agent", "Components", "service", "cron", {"label": "things"}]],
    },
}


def measurement(**values: Any) -> str:
    described = {
        "Timestamp": 1_700_000_000_000,
        "CloudWatchMetrics": [
            {"Namespace": "Agent", "Dimensions": [["service"]], "Metrics": [{"Name": name} for name in values]}
        ],
    }
    return json.dumps({"_aws": described, "service": "cron"} | values)


@pytest.fixture
def template() -> dict[str, Any]:
    return parse((ROOT / "template.yaml").read_text())


def test_the_flow_in_the_documentation_is_what_the_template_says(template: dict[str, Any]) -> None:
    assert (ROOT / "docs/flow.svg").read_text() == flow(template), "run: make docs"


@pytest.mark.parametrize("gone", ["TopoCronFunction", "TopoPublisherFunction", "Stream"])
def test_the_flow_cannot_show_what_is_no_longer_deployed(template: dict[str, Any], gone: str) -> None:
    del template["Resources"][gone]

    with pytest.raises(KeyError, match=gone):
        flow(template)


def test_the_flow_needs_rules_that_feed_the_queue(template: dict[str, Any]) -> None:
    template["Resources"] = {
        name: each for name, each in template["Resources"].items() if each["Type"] != "AWS::Events::Rule"
    }

    with pytest.raises(KeyError, match="ChangeQueue"):
        flow(template)


def test_metrics_are_found_among_the_lines_of_a_log() -> None:
    lines = ["START RequestId: 1", measurement(Components=[3.0]), '{"level": "INFO"}', measurement(Components=5)]

    assert metrics(lines) == {
        ("Agent", "Components", "service", "cron"): [(1_700_000_000_000, 3.0), (1_700_000_000_000, 5.0)]
    }


def test_the_dashboard_draws_what_was_measured_and_says_where_nothing_was() -> None:
    body = {"widgets": [{"type": "text", "x": 0, "width": 24, "properties": {"markdown": "## Snapshots"}}, WIDGET]}

    with_values, without = drawn(body, metrics([measurement(Components=[153])])), drawn(body, {})

    assert ">153</text>" in with_values
    assert "Found &lt;all&gt;" in with_values
    assert "No data available" not in with_values
    assert "No data available" in without
