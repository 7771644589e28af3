"""A delta says what is there and what ended, completely, and in the order in which it was true."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import orjson
import pytest

from tests.model import RESOURCES, Thing
from tests.trust import World
from topology.collect import Account, Change, Read, Touched, Unsettled, changes
from topology.elements import Component
from topology.events import merged
from topology.later import DELAYS, LAST_LOOK
from topology.records import Record


def thing(*ends: str, shares: str = "", version: int = 1) -> Thing:
    return Thing(version, ends, shares)


@pytest.fixture
def account(world: World) -> World:
    """An account with something of everything, after its first snapshot."""
    world.change("ec2.group", "web", thing(), told=False)
    world.change("ec2.group", "db", thing(), told=False)
    world.change("ec2.instance", "a", thing("web", "db", shares="admin"), told=False)
    world.change("ec2.instance", "b", thing("web", shares="admin"), told=False)
    world.change("sqs.queue", "orders", thing("a"), told=False)
    world.change("cloudformation.stack", "shop", thing("orders"), told=False)
    world.run().advance()
    world.drain()
    world.settled()
    return world


def heard(world: World) -> None:
    world.hear()
    world.drain()


def deleted(world: World, start: int) -> set[str]:
    """What the deltas from this record on delete."""
    return {orjson.loads(text) for data in world.kinesis.written[start:] for text in Record.decode(data).lines.deletes}


def test_a_relation_that_an_item_no_longer_has_ends_and_nothing_else(account: World) -> None:
    start = len(account.kinesis.written)
    account.change("ec2.instance", "a", thing("web", shares="admin", version=2))
    heard(account)

    assert deleted(account, start) == {"instance/a-uses service-group/db"}
    account.settled()


def test_a_relation_that_only_an_earlier_delta_told_of_ends(account: World) -> None:
    account.change("ec2.instance", "b", thing("web", "db", shares="admin", version=2))
    heard(account)
    account.change("ec2.instance", "b", thing("web", shares="admin", version=3))
    heard(account)

    account.settled()


def test_what_an_item_shares_stays_until_the_last_that_has_it_is_gone(account: World) -> None:
    account.change("ec2.instance", "b", None)
    heard(account)
    assert "profile/admin" in account.receiver.components()

    account.change("ec2.instance", "a", None)
    heard(account)
    assert "profile/admin" not in account.receiver.components()
    account.settled()


def test_both_that_share_something_may_go_at_once(account: World) -> None:
    account.change("ec2.instance", "a", None)
    account.change("ec2.instance", "b", None)
    heard(account)

    account.settled()


def test_with_a_component_go_the_relations_that_other_scopes_have_to_it(account: World) -> None:
    start = len(account.kinesis.written)
    account.change("ec2.instance", "a", None)
    heard(account)

    assert deleted(account, start) == {
        "instance/a",
        "instance/a-uses service-group/web",
        "instance/a-uses service-group/db",
        "queue/orders-uses service-instance/a",
    }


def test_with_a_thing_goes_what_its_stack_had_to_it(account: World) -> None:
    start = len(account.kinesis.written)
    account.change("sqs.queue", "orders", None)
    heard(account)

    assert "stack/shop-has resource-queue/orders" in deleted(account, start)


def test_with_a_stack_that_only_events_told_of_go_its_links(account: World) -> None:
    account.change("cloudformation.stack", "new", thing("orders"))
    heard(account)
    start = len(account.kinesis.written)
    account.change("cloudformation.stack", "new", None)
    heard(account)

    assert deleted(account, start) == {"stack/new", "stack/new-has resource-queue/orders"}


def test_where_a_key_does_not_tell_the_id_what_is_known_of_the_item_does(
    account: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = RESOURCES["cloudformation.stack"]
    monkeypatch.setitem(RESOURCES, stack.kind, replace(stack, component_id=lambda _scope, _key: ""))
    start = len(account.kinesis.written)
    account.change("cloudformation.stack", "shop", None)
    account.change("cloudformation.stack", "new", thing(), told=False)
    account.change("cloudformation.stack", "new", None)
    heard(account)

    assert deleted(account, start) == {"stack/shop", "stack/shop-has resource-queue/orders"}


def test_what_refers_to_a_thing_that_comes_back_is_told_again(account: World) -> None:
    account.change("sqs.queue", "orders", None)
    heard(account)
    assert "stack/shop-has resource-queue/orders" not in account.receiver.relations()

    account.change("sqs.queue", "orders", thing("a", version=2))
    heard(account)
    account.settled()
    assert "stack/shop-has resource-queue/orders" in account.receiver.relations()


def test_what_was_told_is_replayed_with_what_was_read(account: World) -> None:
    account.change("sqs.queue", "new", thing("b"))
    account.change("sqs.queue", "orders", None)
    heard(account)
    account.cloud.faults["sqs"] = "denied", 0
    account.run().advance()
    account.drain()

    assert account.ledgers[-1].closed
    account.settled()


def test_a_scope_that_cannot_be_read_ends_nothing_and_its_messages_come_again(account: World) -> None:
    start = len(account.kinesis.written)
    account.change("ec2.instance", "a", None)
    account.change("sqs.queue", "orders", thing("b", version=2))
    account.cloud.faults["ec2"] = "throttled", 0

    process = account.look(list(account.queue))
    assert process
    process.advance()

    assert deleted(account, start) == {"queue/orders-uses service-instance/a"}
    assert [orjson.loads(one["body"])["detail"]["eventName"] for one in account.queue] == ["Delete instance"]
    account.mend()
    heard(account)
    account.settled()


def test_of_a_scope_that_was_read_in_part_only_the_rest_comes_again(account: World) -> None:
    for name in ("a", "b", "c"):
        account.change("ec2.instance", name, thing("web", version=2))
    # Two go into one request, and the next one fails.
    account.cloud.faults["ec2"] = "throttled", 1

    process = account.look(list(account.queue))
    assert process
    process.advance()

    assert [orjson.loads(one["body"])["detail"]["requestParameters"] for one in account.queue] == [{"name": "c"}]
    account.drain()
    assert account.receiver.components()["instance/a"] == {"Version": 2}
    account.mend()
    heard(account)
    account.settled()


def without_groups(read: Read) -> Read:
    return replace(read, elements=[one for one in read.elements if isinstance(one, Component)])


def test_an_item_that_was_read_in_part_loses_nothing(account: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def in_part(*arguments: Any) -> Iterator[Change]:
        for found in changes(*arguments):
            yield replace(without_groups(found), partial=True) if isinstance(found, Read) else found

    monkeypatch.setattr("topology.changes.changes", in_part)
    start = len(account.kinesis.written)
    account.change("ec2.instance", "a", thing("web", "db", shares="admin", version=2))
    heard(account)
    assert deleted(account, start) == set()

    monkeypatch.undo()
    account.change("ec2.instance", "a", thing("web", shares="admin", version=3))
    heard(account)
    assert deleted(account, start) == {"instance/a-uses service-group/db"}
    account.settled()


def test_what_an_item_loses_while_it_changes_ends_when_the_change_does(
    account: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changing(account_: Account, touched: Sequence[Touched]) -> Iterator[Change]:
        for found in changes(account_, touched):
            yield without_groups(found) if isinstance(found, Read) else found
        yield from (Unsettled(one) for one in touched if one.attempt < 2)

    monkeypatch.setattr("topology.changes.changes", changing)
    start = len(account.kinesis.written)
    account.change("ec2.instance", "a", thing(shares="admin", version=2))
    heard(account)

    assert deleted(account, start) == {"instance/a-uses service-group/web", "instance/a-uses service-group/db"}
    assert [bool(Record.decode(data).lines.deletes) for data in account.kinesis.written[start:]] == [False, False, True]
    account.settled()


def overtaken(account: World, steps: int, name: str, then: Thing) -> None:
    """One process looks at instance a; after so many steps, another one tells what became of an instance meanwhile."""
    account.change("ec2.instance", "a", thing("web", version=2))
    first = account.look(list(account.queue), 0)
    assert first
    first.advance(steps)
    account.change("ec2.instance", name, then)
    second = account.look(list(account.queue), 1)
    assert second
    second.advance()
    first.advance()
    account.drain()


@pytest.mark.parametrize("steps", range(1, 14))
def test_whoever_was_overtaken_looks_once_more(account: World, steps: int) -> None:
    overtaken(account, steps, "a", thing("web", "db", version=3))

    account.settled()


@pytest.mark.parametrize("steps", range(1, 16))
def test_whoever_was_overtaken_at_what_it_found_besides_looks_once_more(
    account: World, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    def finding_b_besides(account_: Account, touched: Sequence[Touched]) -> Iterator[Change]:
        found = [replace(one, key="b") for one in touched if one.key == "a"]
        return changes(account_, merged([*touched, *found]))

    monkeypatch.setattr("topology.changes.changes", finding_b_besides)
    overtaken(account, steps, "b", thing("web", "db", version=2))

    account.settled()


def test_who_is_overtaken_time_and_again_leaves_it_to_the_queue(
    account: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("topology.changes.LOOKS", 1)
    account.change("ec2.instance", "a", thing("web", version=2))
    account.cloud.requests = 0
    [message] = account.queue
    first = account.look([message], 0)
    assert first
    while not account.cloud.requests:
        first.advance(1)
    account.change("ec2.instance", "a", thing("web", "db", version=3))
    second = account.look(list(account.queue), 1)
    assert second
    second.advance()
    assert account.queue == []
    first.advance()

    assert account.queue == [message]
    heard(account)
    account.settled()


def test_what_was_just_created_is_looked_at_again_with_growing_delays_and_not_for_ever(account: World) -> None:
    account.change("sqs.queue", "new", thing())
    account.change("sqs.queue", "new", None, told=False)
    delays: list[int] = []
    send = account.send_message_batch

    def noting(**request: Any) -> Any:
        delays.extend(entry["DelaySeconds"] for entry in request["Entries"])
        return send(**request)

    account.send_message_batch = noting  # type: ignore[method-assign]
    start = len(account.kinesis.written)
    heard(account)

    assert delays == list(DELAYS[:LAST_LOOK])
    assert deleted(account, start) == {"queue/new"}


def test_where_the_stream_cannot_be_read_changes_are_told_all_the_same(account: World) -> None:
    account.change("ec2.instance", "a", thing("web", "db", version=2, shares="admin"))
    account.kinesis.unreadable = ["Expired"] * 5
    heard(account)

    account.settled()


def test_state_that_is_lost_costs_only_what_ended(account: World) -> None:
    account.bucket.objects.clear()
    account.change("ec2.instance", "a", thing("web", version=2))
    heard(account)

    assert account.receiver.components()["instance/a"] == {"Version": 2}
    assert "instance/a-uses service-group/db" in account.receiver.relations()
    account.run().advance()
    account.drain()
    account.settled()
