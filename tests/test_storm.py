"""A storm of changes, small: two processes of topo-cwevents ride it out in few calls, and the picture is right."""

import pytest

from bench.storm import Storm, storm

EVENTS = 1200
# Storms take minutes where others work on the machine.
pytestmark = pytest.mark.timeout(900)

# Where AWS takes many ids, so many events at least go into one call.
EVENTS_PER_CALL = 20
# What Python's allocator may keep of one batch.
GROWTH_MB = 10


@pytest.fixture(scope="module")
def calm() -> Storm:
    return storm(EVENTS, at_once=True)


def test_every_event_of_a_storm_counts(calm: Storm) -> None:
    assert calm.events >= 0.9 * EVENTS
    assert calm.batches > 2
    assert calm.failures == []
    assert calm.lost == []
    assert calm.refused == []


def test_the_picture_is_right_when_a_storm_has_drained(calm: Storm) -> None:
    assert not calm.corrections, "\n".join(calm.corrections)


def test_a_storm_costs_few_describes(calm: Storm) -> None:
    assert calm.bulk_calls <= calm.events / EVENTS_PER_CALL, dict(calm.calls)


def test_memory_does_not_grow_with_a_storm(calm: Storm) -> None:
    assert calm.growth_mb < GROWTH_MB, calm.memory_mb


def test_throttling_loses_no_event_of_a_storm() -> None:
    throttled = storm(EVENTS // 4, throttle_rate=0.3)

    assert throttled.throttled > 0
    assert throttled.lost == []
    assert throttled.refused == []
    assert not throttled.corrections, "\n".join(throttled.corrections)
