"""What a snapshot may remove: what was read to the end and is not there; and when it is not closed at all."""

from typing import Any

import pytest

from tests.model import FAULTS, Thing
from tests.trust import HOUR, World
from topology.ledger import Ledger
from topology.snapshot import BRAKE_LEAST, Rules

MANY = BRAKE_LEAST + 10


def thing(*ends: str, shares: str = "") -> Thing:
    return Thing(1, ends, shares)


@pytest.fixture
def account(world: World) -> World:
    """An account with something of everything, after its first snapshot."""
    world.change("ec2.group", "web", thing(), told=False)
    world.change("ec2.instance", "a", thing("web", shares="admin"), told=False)
    world.change("sqs.queue", "orders", thing("a"), told=False)
    world.change("cloudformation.stack", "shop", thing("orders"), told=False)
    assert run(world).closed
    world.settled()
    return world


def run(world: World, **how: Any) -> Ledger:
    """A run from start to end, and all it wrote delivered."""
    before = len(world.ledgers)
    world.run(**how).advance()
    assert len(world.ledgers) == before + 1
    world.drain()
    return world.ledgers[-1]


def notes(world: World, id_: str) -> dict[str, Any]:
    """What the receiver's component says of when it was read."""
    return {name: value for name, value in world.receiver.raw(id_).items() if name.startswith("NotRead")}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("page", [0, 1])
def test_a_scope_that_cannot_be_read_keeps_its_elements_and_freezes_no_other(
    account: World, fault: str, page: int
) -> None:
    account.change("cloudformation.stack", "shop", None, told=False)
    account.change("ec2.instance", "b", thing("web"), told=False)
    account.cloud.faults["ec2"] = fault, page

    ledger = run(account)

    assert ledger.closed
    [line] = ledger.incomplete
    assert (line.scope.service, line.replayed > 0) == ("ec2", True)
    assert "stack/shop" not in account.receiver.components()
    assert {"instance/a", "group/web", "profile/admin", "queue/orders"} <= account.receiver.components().keys()
    assert "instance/a-uses service-group/web" in account.receiver.relations()


def test_what_was_not_read_says_since_when_and_why(account: World) -> None:
    read_at = account.now
    account.cloud.faults["sqs"] = "throttled", 0
    run(account)

    said = notes(account, "queue/orders")
    assert said["NotReadSince"].startswith("2026-")
    assert "Rate exceeded" in said["NotReadBecause"]
    assert account.ledgers[-1].lines[-1].read_at is not None
    assert account.ledgers[-1].oldest_replay_seconds == account.now - read_at
    assert notes(account, "instance/a") == {}

    account.mend()
    run(account)
    assert notes(account, "queue/orders") == {}


def test_a_scope_that_was_never_read_keeps_the_snapshot_from_being_closed(world: World) -> None:
    world.change("ec2.group", "web", thing(), told=False)
    world.cloud.faults["sqs"] = "denied", 0

    ledger = run(world)

    [because] = ledger.not_closed_because
    assert "sqs in eu-west-1" in because
    assert "was never read before" in because
    assert "group/web" in world.receiver.components()


def test_a_replay_has_an_end(account: World) -> None:
    account.cloud.faults["sqs"] = "denied", 0
    rules = Rules(replay_max_age=2 * HOUR)

    assert run(account, rules=rules).closed
    assert run(account, rules=rules).closed
    [because] = run(account, rules=rules).not_closed_because
    assert "its last reading is too old" in because
    assert "queue/orders" in account.receiver.components()


def test_a_person_may_confirm_that_what_cannot_be_read_holds_nothing_more(account: World) -> None:
    account.cloud.faults["sqs"] = "denied", 0
    old = Rules(replay_max_age=HOUR / 2)
    assert not run(account, rules=old).closed

    assert run(account, rules=Rules(replay_max_age=HOUR / 2, confirmed=True)).closed
    assert "queue/orders" not in account.receiver.components()
    assert "group/web" in account.receiver.components()
    # And that stays so.
    account.now += 40 * HOUR
    assert run(account, rules=old).not_closed_because == []


def test_a_region_that_was_never_there_keeps_only_the_first_snapshot_open(world: World) -> None:
    world.change("ec2.group", "web", thing(), told=False)
    world.cloud.faults["sqs"] = "disabled", 0

    assert not run(world).closed
    ledger = run(world)
    assert ledger.not_closed_because == []
    assert [line.scope.service for line in ledger.incomplete] == ["sqs"]


def test_a_region_that_was_disabled_is_replayed_and_then_asked_about(account: World) -> None:
    account.cloud.faults["sqs"] = "disabled", 0

    assert run(account).closed
    assert "queue/orders" in account.receiver.components()
    account.now += 25 * HOUR
    assert not run(account).closed
    assert not run(account).closed
    assert "queue/orders" in account.receiver.components()


def test_what_changed_while_it_was_read_is_not_set_back(account: World) -> None:
    process = account.run()
    process.advance(8)
    account.change("sqs.queue", "new", thing())
    account.change("ec2.instance", "a", None)
    account.change("ec2.group", "web", Thing(7))
    account.hear()
    process.advance()

    account.drain()
    account.settled()


@pytest.mark.parametrize("steps", range(0, 60, 3))
def test_a_run_that_is_killed_anywhere_leaves_the_picture_as_it_was(account: World, steps: int) -> None:
    before = account.receiver.components()
    process = account.run()
    process.advance(steps)
    process.kill()
    account.drain()

    assert account.receiver.components() == before
    assert run(account).closed
    account.settled()


@pytest.mark.parametrize("patience", range(12))
def test_with_little_time_left_what_was_read_is_published_and_the_rest_replayed(account: World, patience: int) -> None:
    account.change("sqs.queue", "new", thing(), told=False)

    ledger = run(account, patience=patience)

    assert ledger.closed
    assert {one.error.cause for line in ledger.incomplete for one in line.causes} <= {"time ran out"}
    assert account.wrongly_deleted() == set()
    assert {"queue/orders", "instance/a", "stack/shop"} <= account.receiver.components().keys()


def test_stacks_keep_their_links_to_what_could_not_be_read(account: World) -> None:
    account.cloud.faults["sqs"] = "denied", 0
    run(account)

    assert "stack/shop-has resource-queue/orders" in account.receiver.relations()


def test_a_stack_keeps_its_link_to_what_came_while_the_snapshot_was_read(account: World) -> None:
    account.change("cloudformation.stack", "shop", thing("orders", "invoices"))
    process = account.run()
    account.cloud.faults["sqs"] = "denied", 0
    process.advance(20)
    account.mend()
    account.change("sqs.queue", "invoices", thing())
    account.hear()
    process.advance()
    account.drain()

    assert "stack/shop-has resource-queue/invoices" in account.receiver.relations()


# ------------------------------------------------------------------------------------------------------------ the brake


@pytest.fixture
def large(world: World) -> World:
    """An account with many queues, after its first snapshot."""
    world.change("ec2.group", "web", thing(), told=False)
    for number in range(MANY):
        world.change("sqs.queue", f"q-{number:03}", thing(), told=False)
    assert run(world).closed
    return world


def remove(world: World, numbers: range) -> None:
    for number in numbers:
        world.change("sqs.queue", f"q-{number:03}", None, told=False)


def test_a_snapshot_that_would_remove_most_is_held_back_until_the_next_sees_the_same(large: World) -> None:
    remove(large, range(25))

    ledger = run(large)
    assert ledger.held_back == {"removed": 25, "of": MANY + 1}
    assert "it would remove 25 of 31 components" in ledger.not_closed_because[0]
    assert len(large.receiver.components()) == MANY + 1
    assert ledger.metrics()["SnapshotsHeldBack"] == 1

    assert run(large).closed
    large.settled()


def test_another_removal_than_the_one_held_back_is_held_back_as_well(large: World) -> None:
    remove(large, range(20))
    assert run(large).held_back
    large.change("sqs.queue", "q-000", thing(), told=False)
    for number in range(100, 140):
        large.change("sqs.queue", f"q-{number:03}", thing(), told=False)
    assert run(large).closed
    remove(large, range(100, 140))
    assert run(large).held_back


def test_a_person_may_confirm_a_removal_that_was_held_back(large: World) -> None:
    remove(large, range(MANY))
    assert run(large).held_back

    assert run(large, rules=Rules(confirmed=True)).closed
    large.settled()


def test_few_components_are_removed_whatever_their_share(account: World) -> None:
    account.change("sqs.queue", "orders", None, told=False)
    account.change("cloudformation.stack", "shop", None, told=False)
    account.change("ec2.instance", "a", None, told=False)

    assert run(account).closed
    account.settled()


def test_what_events_announced_is_no_reason_to_hold_back(large: World) -> None:
    for number in range(25):
        large.change("sqs.queue", f"q-{number:03}", None)
    large.hear()

    assert run(large).closed
    large.settled()


def test_an_account_in_which_nothing_is_seen_is_not_believed(account: World) -> None:
    for things in account.cloud.things.values():
        things.clear()

    assert run(account).not_closed_because == ["no component was found at all"]
    assert "queue/orders" in account.receiver.components()


# ------------------------------------------------------------------------------------------------ what is kept and told


def test_scopes_that_are_no_longer_read_are_removed_and_forgotten(account: World) -> None:
    kept = account.bucket.objects
    other = "state/1000/scopes/123456789012/eu-central-1/sqs.state"
    reading = account.store().reading(account.ledgers[-1].lines[0].scope)
    assert reading
    kept[other] = reading.encode().replace(b'"region":"eu-west-1"', b'"region":"eu-central-1"')
    kept[other] = kept[other].replace(reading.scope.service.encode(), b"sqs")

    assert run(account).closed
    assert other not in kept


def test_changes_that_no_event_announced_are_counted(account: World) -> None:
    account.change("sqs.queue", "told", thing())
    account.hear()
    account.change("sqs.queue", "untold", thing(), told=False)
    account.change("cloudformation.stack", "shop", None, told=False)
    account.change("ec2.group", "web", Thing(9), told=False)

    ledger = run(account)

    assert ledger.drift == {"queue": 1, "stack": 1}
    assert +ledger.changed == {"group": 1}
    assert ledger.metrics()["UnannouncedChanges"] == 2


def test_a_stream_that_cannot_be_read_back_keeps_the_snapshot_from_being_published(account: World) -> None:
    before = account.receiver.components()
    account.change("sqs.queue", "orders", None, told=False)
    process = account.run()
    process.advance(2)
    account.kinesis.unreadable = ["Expired"] * 20
    process.advance()
    account.drain()

    assert account.receiver.components() == before
    account.mend()
    assert run(account).closed
    account.settled()


def test_what_cannot_be_kept_is_not_published(account: World) -> None:
    account.change("sqs.queue", "orders", None, told=False)
    process = account.run()
    process.advance(15)
    account.bucket.failures = [True] * 30
    process.advance()
    written = [record for record in account.kinesis.written[account.checkpoint :] if b'"snapshot":"run' in record]

    assert written == []
    assert len(account.ledgers) == 1


def test_without_a_bucket_a_scope_that_cannot_be_read_keeps_the_snapshot_open(account: World) -> None:
    account.bucketless = True
    assert run(account).closed
    account.cloud.faults["sqs"] = "denied", 0

    assert not run(account).closed
    assert "queue/orders" in account.receiver.components()
