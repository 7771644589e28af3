"""The last run in words, as `status.sh` shows it."""

from collections import Counter
from typing import Any

import pytest

from topology import VERSION
from topology.elements import Incomplete, LeftOut, Scope
from topology.errors import AwsError, Denied, Gone, RegionDisabled, TimeRanOut
from topology.ledger import Ledger, ScopeLine
from topology.status import REMEDIES, as_text

BEGAN = 1_763_708_400.0  # 2025-11-21 07:00 UTC
SQS = Scope("123456789012", "eu-west-1", "aws", "sqs")


def ledger(**fields: Any) -> Ledger:
    return Ledger("s-1", BEGAN, version=VERSION, ended=BEGAN + 48, **fields)


def unread(error: AwsError, read_at: float | None = BEGAN - 7200, scope: Scope = SQS) -> ScopeLine:
    return ScopeLine(scope, causes=[Incomplete(scope, error)], replayed=12 if read_at else 0, read_at=read_at)


def head(text: str) -> dict[str, str]:
    return dict(word.split("=", 1) for word in text.splitlines()[0].split(" "))


def kinds() -> list[type[AwsError]]:
    found: list[type[AwsError]] = [AwsError]
    for kind in found:
        found += kind.__subclasses__()
    return found


def test_the_first_line_is_for_scripts() -> None:
    text = as_text(ledger(not_closed_because=["it would remove 30 of 40"], held_back={"removed": 30, "of": 40}))

    assert head(text) == {
        "format": "1", "snapshot": "s-1", "ended": "1763708448", "closed": "no", "incomplete": "0", "held": "30/40",
    }  # fmt: skip


def test_a_good_run_is_short() -> None:
    counted = {"components": Counter({"aws.sqs": 2, "aws.ec2": 1200}), "relations": Counter({"uses service": 3})}

    assert as_text(ledger(**counted)).splitlines()[1:] == [
        f"Snapshot s-1 of 2025-11-21 07:00 UTC, by version {VERSION}, took 48 s.",
        "It has 1,202 components and 3 relations, and is closed.",
        "     1,200  aws.ec2",
        "         2  aws.sqs",
    ]


def test_what_was_not_read_is_told_with_what_is_shown_instead_and_what_to_do() -> None:
    text = as_text(ledger(lines=[unread(Denied("sqs:ListQueues", "not authorized"))]))

    assert "  sqs in eu-west-1 of account 123456789012\n    denied: sqs:ListQueues: not authorized\n" in text
    assert "Shown instead: 12 components as of 2025-11-21 05:00 UTC, 2.0 h before.\n" in text
    assert "To do: Allow sqs:ListQueues to the role that account 123456789012 is read with." in text


def test_what_was_never_read_has_nothing_to_show() -> None:
    text = as_text(ledger(lines=[unread(TimeRanOut("sqs:ListQueues", "no time"), None)]))

    assert "It was never read to the end, so there is nothing to show in its place." in text


def test_a_region_that_is_not_there_is_one_entry() -> None:
    scopes = [Scope("123456789012", "me-south-1", "aws", service) for service in ("sqs", "sns")]
    text = as_text(ledger(lines=[unread(RegionDisabled("x:Y", "no such region"), None, scope) for scope in scopes]))

    assert head(text)["incomplete"] == "1"
    assert text.count("all services in me-south-1") == 1
    assert "Enable me-south-1 in account 123456789012, or take it out of --regions." in text


def test_missing_rights_drift_and_advice_are_told() -> None:
    text = as_text(
        ledger(
            left_out=[LeftOut(SQS, Denied("sqs:ListQueueTags", "no"))],
            drift=Counter({"aws.ec2": 2}),
            advice=["Do something."],
        )
    )

    assert "these rights are missing. Allow them to the role of topo-cron:\n  sqs:ListQueueTags\n" in text
    assert "2 components came or went without a change event:\n         2  aws.ec2\n" in text
    assert text.endswith("Advice:\n  Do something.\n")


@pytest.mark.parametrize("kind", [kind for kind in kinds() if kind not in {AwsError, Gone}])
def test_every_cause_has_a_remedy_of_its_own(kind: type[AwsError]) -> None:
    assert kind.cause in REMEDIES
    assert "To do: " in as_text(ledger(lines=[unread(kind("sqs:ListQueues", "no"))]))
