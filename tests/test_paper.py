"""The bench's estimate of a large account, after figures that can be checked by hand."""

import pytest

from bench.measure import Run
from bench.paper import as_markdown, drawn_out, seconds


def run(components: int, calls: dict[str, int], memory_mb: float) -> Run:
    report = {"components": components, "record_bytes": components * 100}
    return Run(0.0, components / 1000, memory_mb, calls, report)


SMALL = run(1_000, {"lambda": 101, "elb": 30, "elbv2": 20, "sqs": 300}, 110.0)
LARGE = run(2_000, {"lambda": 201, "elb": 60, "elbv2": 40, "sqs": 600}, 120.0)


@pytest.fixture(autouse=True)
def half(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.paper.SHARE", 0.5)


def test_what_grows_is_drawn_out_and_what_does_not_is_counted_once() -> None:
    found = drawn_out(SMALL, LARGE, 101_000)

    assert found.calls == {"lambda": 10_101, "elb": 3_030, "elbv2": 2_020, "sqs": 30_300}
    assert found.memory_mb == pytest.approx(1_110)
    assert found.cpu_s == pytest.approx(101)
    assert found.packed_mb == pytest.approx(10.1)


def test_calls_take_as_long_as_half_of_their_documented_rate_makes_them_and_balancers_share_theirs() -> None:
    took = seconds({"lambda": 7_500, "elb": 300, "elbv2": 200, "sqs": 24_000}, latency=0.032)

    assert took == {"lambda": 1_000, "elb": 100, "": pytest.approx(32)}


def test_the_table_says_for_how_many_components_one_invocation_is_enough() -> None:
    table = as_markdown(drawn_out(SMALL, LARGE, 101_000), 0.030)

    # (900 - 40 - 3 x 10.1) s of 10,101 / 7.5 s.
    assert "| lambda | 10,101 | 7.5 | 1,347 |" in table
    assert "enough for about 62,221 of them" in table
    assert "Memory: 1,110 of 1,024 MB" in table
