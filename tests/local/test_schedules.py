from datetime import UTC, datetime

import pytest

from local.schedules import next_firing


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


NOW = moment("2026-02-03T10:20:30")  # a Tuesday


@pytest.mark.parametrize(
    ("expression", "due"),
    [
        ("rate(1 minute)", "2026-02-03T10:21:30"),
        ("rate(15 minutes)", "2026-02-03T10:35:30"),
        ("rate(1 hour)", "2026-02-03T11:20:30"),
        ("rate(2 days)", "2026-02-05T10:20:30"),
        ("cron(0 * * * ? *)", "2026-02-03T11:00:00"),
        ("cron(0/15 * * * ? *)", "2026-02-03T10:30:00"),
        ("cron(20 10 * * ? *)", "2026-02-04T10:20:00"),
        ("cron(0 8 ? * MON-FRI *)", "2026-02-04T08:00:00"),
        ("cron(0 8 ? * SUN,SAT *)", "2026-02-07T08:00:00"),
        ("cron(5,10 0 1 JAN ? *)", "2027-01-01T00:05:00"),
        ("cron(0 0 29 2 ? *)", "2028-02-29T00:00:00"),
        ("at(2026-02-03T10:20:31)", "2026-02-03T10:20:31"),
    ],
)
def test_a_schedule_is_due_as_aws_says(expression: str, due: str) -> None:
    assert next_firing(expression, NOW) == moment(due)


@pytest.mark.parametrize("expression", ["at(2020-01-01T00:00:00)", "cron(0 0 1 1 ? 2020)"])
def test_a_schedule_of_the_past_never_fires(expression: str) -> None:
    assert next_firing(expression, NOW) is None


@pytest.mark.parametrize(
    "expression", ["rate(0 minutes)", "rate(5 seconds)", "cron(0 * * * ?)", "cron(0 0 L * ? *)", "hourly", ""]
)
def test_an_unknown_expression_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match="known here"):
        next_firing(expression, NOW)
