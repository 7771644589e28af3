"""When AWS's schedule expressions are due: rate(…), cron(…) and at(…), in UTC."""

import re
from datetime import UTC, datetime, timedelta

_MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
_WEEKDAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
_NAMES = {name: str(number) for names in (_MONTHS, _WEEKDAYS) for number, name in enumerate(names, 1)}
_BOUNDS = [
    (0, 59),
    (0, 23),
    (1, 31),
    (1, 12),
    (1, 7),
    (1970, 2199),
]  # minute, hour, day, month, weekday (Sunday 1), year


def next_firing(expression: str, after: datetime) -> datetime | None:
    """Give the first moment after `after` that a schedule fires, None if it never does again.

    A rate counts from `after`, as AWS counts from the creation of the rule. The special days of cron (`L`, `W`, `#`)
    and malformed expressions raise ValueError.
    """
    kind, _, inside = expression.rstrip(")").partition("(")
    if kind == "rate" and (match := re.fullmatch(r"([1-9]\d*) (minute|hour|day)s?", inside)):
        return after + timedelta(**{f"{match[2]}s": int(match[1])})
    if kind == "at":
        moment = datetime.fromisoformat(inside).replace(tzinfo=UTC)
        return moment if moment > after else None
    if kind == "cron" and len(fields := inside.split()) == len(_BOUNDS):
        return _next_match([_values(field, *bounds) for field, bounds in zip(fields, _BOUNDS, strict=True)], after)
    raise ValueError(f"not a schedule expression that is known here: {expression}")


def _values(field: str, low: int, high: int) -> set[int]:
    """Give the numbers that one field of a cron expression allows."""
    values: set[int] = set()
    for part in re.sub("[A-Z]{3}", lambda name: _NAMES[name[0]], field.upper()).split(","):
        match = re.fullmatch(r"(\*|\?|\d+)(?:-(\d+))?(?:/(\d+))?", part)
        if not match:
            raise ValueError(f"not a field of a cron expression that is known here: {field}")
        first = low if match[1] in "*?" else int(match[1])
        last = int(match[2]) if match[2] else high if match[1] in "*?" or match[3] else first
        values.update(range(first, last + 1, int(match[3] or 1)))
    return values


def _next_match(allowed: list[set[int]], after: datetime) -> datetime | None:
    minutes, hours, days, months, weekdays, years = allowed
    moment = after.replace(second=0, microsecond=0) + timedelta(minutes=1)
    for _ in range(366 * 5):  # days; the rarest date is a 29 February
        if (
            moment.year in years
            and moment.month in months
            and moment.day in days
            and moment.isoweekday() % 7 + 1 in weekdays
        ):
            for minute in range(moment.hour * 60 + moment.minute, 24 * 60):
                if minute // 60 in hours and minute % 60 in minutes:
                    return moment.replace(hour=minute // 60, minute=minute % 60)
        moment = moment.replace(hour=0, minute=0) + timedelta(days=1)
    return None
