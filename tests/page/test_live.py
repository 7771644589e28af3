"""The live page: it follows what the receiver hears, and tells what each snapshot and delta changed."""

import re

from playwright.sync_api import Page, expect

from local.receiver import Receiver
from tests.page.scene import (
    NETWORK,
    SHOP,
    boxes,
    bright,
    component,
    kind,
    load,
    names,
    open_details,
    panel,
    relation,
    show,
    snapshot,
    timeline,
)


def test_components_appear_change_and_vanish_without_a_reload(page: Page, receiver: Receiver) -> None:
    snapshot(receiver, *SHOP)
    load(page, receiver)

    show(receiver, component("arn:late", Name="latecomer"), relation("arn:late", "arn:orders"))
    expect(kind(page, "SQS queue")).to_contain_text("2")
    expect(panel(page)).to_contain_text("latecomer")
    assert "latecomer" in names(page)

    show(receiver, component("arn:late", Name="renamed"))
    expect(panel(page)).to_contain_text("SQS queue updated")
    assert "renamed" in names(page)

    show(receiver, delete=("arn:late", "arn:late-uses service-arn:orders"))
    expect(kind(page, "SQS queue")).to_contain_text("1")
    expect(panel(page)).to_contain_text("SQS queue deleted")
    assert names(page) == {"checkout", "mailer", "orders", "baskets"}


def test_a_newcomer_is_drawn_in_its_group(page: Page, receiver: Receiver) -> None:
    snapshot(receiver, *NETWORK)
    load(page, receiver)

    show(receiver, component("i-2", "aws.ec2", Tags={"Name": "second"}), relation("i-2", "subnet-a"))

    expect(kind(page, "EC2 instance")).to_contain_text("2")
    assert boxes(page)["second"] == ["shop"]


def test_a_component_that_vanishes_while_it_is_looked_at_closes_its_details(page: Page, receiver: Receiver) -> None:
    snapshot(receiver, *SHOP)
    load(page, receiver)
    open_details(page, "mailer")

    show(receiver, delete=("arn:mailer",))

    expect(panel(page).get_by_role("heading", name="Overview")).to_be_visible()


def test_the_first_snapshot_appears_in_an_open_page(page: Page, receiver: Receiver) -> None:
    page.goto(receiver.base_url.replace("/receiver", "/"))
    expect(page.get_by_text("No topology yet")).to_be_visible()

    snapshot(receiver, *SHOP)

    expect(kind(page, "Lambda function")).to_be_visible()
    page.wait_for_function("document.getElementById('graph').graph.drawn().length === 4")
    expect(page.get_by_text("No topology yet")).to_be_hidden()


def test_a_label_that_is_being_typed_survives_a_change(page: Page, receiver: Receiver) -> None:
    snapshot(receiver, *SHOP)
    load(page, receiver)
    page.get_by_label("Filter by label").press_sequentially("team:")

    show(receiver, component("arn:late", Name="latecomer"))

    expect(kind(page, "SQS queue")).to_contain_text("2")
    page.keyboard.type("shop")
    expect(page.get_by_role("button", name="team:shop, take away")).to_be_visible()


def test_the_timeline_has_snapshots_and_deltas_and_what_each_changed(page: Page, receiver: Receiver) -> None:
    snapshot(receiver, *SHOP)
    load(page, receiver)
    show(receiver, component("arn:orders", Name="orders", Tags={"team": "sales"}))
    show(receiver, delete=("arn:mailer",))

    expect(timeline(page)).to_have_count(3)
    expect(timeline(page).nth(0)).to_contain_text("Snapshot")
    for number, told in enumerate(["4 created", "1 updated", "1 deleted"]):
        expect(timeline(page).nth(number)).to_have_accessible_name(re.compile(told))

    timeline(page).nth(1).click()
    expect(panel(page).get_by_role("heading", name="Delta")).to_be_visible()
    expect(panel(page)).to_contain_text("Tags.team shop → sales")
    assert bright(page) == {"orders"}

    timeline(page).nth(2).click()
    expect(panel(page)).to_contain_text("mailer")
    expect(panel(page)).to_contain_text("Lambda function deleted")

    panel(page).get_by_role("button", name="Close details").click()
    expect(panel(page).get_by_role("heading", name="Overview")).to_be_visible()
    assert bright(page) == names(page)


def test_what_a_timeline_entry_changed_leads_to_the_component(page: Page, receiver: Receiver) -> None:
    snapshot(receiver, *SHOP)
    load(page, receiver)

    timeline(page).first.click()
    panel(page).get_by_role("button", name="baskets").click()

    expect(panel(page).get_by_role("heading", name="baskets")).to_be_visible()


def test_a_snapshot_that_arrives_in_parts_is_one_entry_and_says_so(page: Page, receiver: Receiver) -> None:
    snapshot(receiver, *SHOP)
    load(page, receiver)

    show(receiver, *SHOP[:2], start=True)
    expect(timeline(page).nth(1)).to_contain_text("Snapshot, arriving")
    show(receiver, *SHOP[2:3], stop=True)

    expect(timeline(page).nth(1)).to_have_accessible_name(re.compile("1 deleted"))
    expect(timeline(page).nth(1)).not_to_contain_text("arriving")
    expect(timeline(page)).to_have_count(2)


def test_a_snapshot_that_never_ended_stays_marked_as_such(page: Page, receiver: Receiver) -> None:
    show(receiver, *SHOP, start=True)
    load(page, receiver)

    snapshot(receiver, *SHOP)

    expect(timeline(page).nth(0)).to_contain_text("never finished")
    expect(timeline(page).nth(1)).to_contain_text("=")


def test_what_is_told_again_from_an_earlier_reading_is_marked_everywhere(page: Page, receiver: Receiver) -> None:
    old = {"NotReadSince": "2026-01-02T03:04:05Z", "NotReadBecause": "sqs:ListQueues is denied."}
    snapshot(receiver, *SHOP, component("arn:old", Name="stale-queue", **old))
    load(page, receiver)

    expect(page.get_by_label("Counts", exact=True)).to_contain_text("as of 2 Jan 2026")
    expect(panel(page)).to_contain_text("sqs:ListQueues is denied.")
    panel(page).get_by_role("button", name="SQS queue in eu-west-1: 1").click()
    assert bright(page) == {"stale-queue"}

    open_details(page, "stale-queue")
    expect(panel(page)).to_contain_text("Not read since 2 Jan 2026")


def test_what_the_agent_could_not_read_is_told_until_a_snapshot_could(page: Page, receiver: Receiver) -> None:
    event = {
        "event_type": "aws_agent_check_error",
        "msg_title": "Denied in api sqs component_type aws.sqs",
        "msg_text": "not authorized to perform sqs:ListQueues",
        "timestamp": 1_700_000_000,
        "tags": ["aws_region:eu-west-1"],
    }
    show(receiver, *SHOP, start=True, stop=True, events={"aws_agent_check_error": [event]})
    load(page, receiver)
    expect(panel(page)).to_contain_text("not authorized to perform sqs:ListQueues")

    snapshot(receiver, *SHOP)

    expect(panel(page)).not_to_contain_text("not authorized to perform sqs:ListQueues")
