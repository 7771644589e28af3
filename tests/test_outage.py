"""The receiver is away for a day: nothing is lost meanwhile, and then the newest snapshot matters first."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from local.functions import Answer
from tests.delivery import OLDEST_SECONDS, Truth, World, silent_handler
from tests.test_template import FULL, allows, resources, role_of

HOUR = 3600
# More than Lambda hands over at once, for each snapshot.
COMPONENTS, SLICE = 150, 2
SNAPSHOT_RECORDS = 2 * COMPONENTS // SLICE + 2

# Only where nobody is there to count.
pytestmark = pytest.mark.filterwarnings("ignore:No application metrics")


@pytest.fixture(scope="module")
def handler() -> Iterator[Any]:
    with silent_handler() as one:
        yield one


class Day:
    """A day of an account: a snapshot every hour, a change every ten minutes, of which some events are lost."""

    def __init__(self, handler: Any) -> None:
        self.world, self.truth = World(handler, [], [], []), Truth()
        self.world.intake.room = 1000
        self.truth.change([("create", f"i-{number}") for number in range(COMPONENTS)], told=False)
        self.minutes = 0
        self.hours = -1
        self.newest: dict[str, Any] = {}
        """What there was when the last snapshot that is whole was taken."""
        self.breaks_off = -1
        """The hour whose snapshot does."""
        self.before = 0
        """Records that were delivered before."""

    def passes(self, _: float = 0) -> bool:
        """Ten minutes of it; after a day the receiver is back."""
        if self.world.now >= 24 * HOUR:
            self.world.intake.away = False
            return False
        self.world.now += HOUR / 6
        self.minutes += 10
        number = self.minutes // 10
        change = [("create", f"new-{number}"), ("delete", f"new-{number - 9}"), ("create", f"i-{number % COMPONENTS}")]
        if delta := self.truth.change(change, told=number % 7 > 0):
            self.world.put(delta)
        if not self.minutes % 60:
            self.snapshot()
        return False

    def snapshot(self) -> None:
        """What topo-cron does."""
        self.hours += 1
        name, began = f"hour {self.hours}", self.world.now
        records = self.truth.snapshot(name, SLICE, complete=True)
        if self.hours == self.breaks_off:
            self.world.put(*records[: len(records) // 2])
            return
        self.world.put(*records)
        self.world.wrote(name, began)
        self.newest = dict(self.there)

    @property
    def there(self) -> dict[str, Any]:
        """Data of all elements that there are."""
        return {id_: element.data for id_, element in self.truth.there.items()}  # type: ignore[union-attr]

    def outage(self) -> None:
        """The receiver has a first snapshot, and is away until all that waits for it is delivered."""
        self.snapshot()
        self.world.run([], [])
        self.before = len(self.world.shard)
        self.world.intake.marks.clear()
        self.world.intake.closed.clear()
        self.world.intake.elements = 0
        self.world.intake.away, self.world.wait = True, self.passes
        self.passes()
        self.world.run([], [])

    def received(self) -> dict[str, Any]:
        """What the receiver has."""
        return {id_: orjson.loads(data) for id_, data in self.world.intake.state().items()}


def test_while_the_receiver_is_away_everything_waits_in_the_stream(handler: Any) -> None:
    day = Day(handler)
    answers: list[Any] = []
    real = day.world.invoke

    def invoke(arn: str, payload: bytes) -> Answer:
        answer = real(arn, payload)
        if day.world.intake.away:
            [failed] = orjson.loads(answer.payload)["batchItemFailures"]
            answers.append((failed["itemIdentifier"], day.world.checkpoint))
        return answer

    day.world.invoke = invoke  # type: ignore[method-assign, assignment]
    day.outage()

    assert len(answers) > 100
    assert set(answers) == {(f"{day.before + 1:06d}", day.before)}
    assert (day.world.given_up, day.world.dead_letters()) == ([], {})


def test_after_a_day_the_newest_snapshot_is_the_only_one_that_is_sent(handler: Any) -> None:
    day = Day(handler)
    day.outage()

    assert day.received() == day.there
    assert day.world.intake.marks == ["start", "stop"]
    assert {id_: orjson.loads(data) for id_, data in day.world.intake.closed[0].items()} == day.newest
    assert len(day.world.shard) > 24 * SNAPSHOT_RECORDS
    # The newest snapshot, and four elements of each change.
    assert day.world.intake.elements <= len(day.newest) + 4 * day.minutes / 10


def test_a_snapshot_that_broke_off_is_not_what_the_others_are_skipped_for(handler: Any) -> None:
    day = Day(handler)
    day.breaks_off = 24
    day.outage()

    assert day.world.intake.marks == ["start", "stop", "start"]
    assert {id_: orjson.loads(data) for id_, data in day.world.intake.closed[0].items()} == day.newest

    day.snapshot()
    day.world.run([], [])
    assert day.received() == day.there


@pytest.mark.parametrize("ledger", [None, b"", b"[]", b'{"closed":true}', b'{"closed":true,"snapshot":"","began":"x"}'])
def test_where_nothing_is_known_of_newer_snapshots_all_are_sent_one_after_the_other(
    handler: Any, ledger: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = Day(handler)

    def wrote(*_: object) -> None:
        day.world.bucket.objects |= {"state/1000/ledger.json": ledger} if ledger is not None else {}

    monkeypatch.setattr(day.world, "wrote", wrote)
    day.outage()

    assert day.received() == day.there
    assert day.world.intake.marks == ["start", "stop"] * 24


# ------------------------------------------------------------------------------------------------- what is installed


def test_records_are_kept_over_a_weekend() -> None:
    """From Friday, five o'clock, to Monday, nine; after that they are set aside while the stream still has them."""
    found = resources(FULL)
    oldest = found["TopoPublisherRecords"]["Properties"]["MaximumRecordAgeInSeconds"]

    assert oldest >= 64 * HOUR
    assert oldest == OLDEST_SECONDS
    assert found["Stream"]["Properties"]["RetentionPeriodHours"] * HOUR > oldest


def test_topo_publisher_may_read_what_topo_cron_tells_of_its_last_run() -> None:
    statements = role_of(resources(FULL), "TopoPublisherFunction")

    assert allows(statements, "s3:GetObject", "arn:aws:s3:::statebucket/state/1/ledger.json")
    assert not allows(statements, "s3:PutObject", "arn:aws:s3:::statebucket/state/1/ledger.json")


def test_an_alarm_tells_of_records_that_wait() -> None:
    alarm = resources(FULL)["PublisherBehindAlarm"]["Properties"]

    assert alarm["MetricName"] == "IteratorAge"
    # Milliseconds, of which the alarm sounds long before a record grows too old.
    assert alarm["Threshold"] / 1000 + alarm["Period"] * alarm["EvaluationPeriods"] <= HOUR
