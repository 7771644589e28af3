"""The file that a preview writes, in a browser that has no network."""

import boto3
from playwright.sync_api import Page, expect

from bench.measure import Server
from tests.account import ACCOUNT_ID, REGION
from tests.page.scene import panel, ready, timeline
from tests.preview.conftest import Command, Result, deny


def look(page: Page, result: Result) -> None:
    page.context.set_offline(True)
    page.goto(result.html.as_uri())
    ready(page)


def test_the_page_shows_what_was_found_and_what_it_took(server: Server, command: Command, page: Page) -> None:
    result = command()

    look(page, result)

    expect(page.get_by_role("heading", name=f"Preview of {REGION}")).to_be_visible()
    expect(page.get_by_role("banner")).to_contain_text(ACCOUNT_ID)
    expect(page.get_by_label("Counts", exact=True)).to_contain_text(f"{len(result.ids())}")
    expect(panel(page)).to_contain_text(f"API calls{result.document['calls']['total']}")


def test_the_page_says_what_was_not_read_and_what_to_do(server: Server, command: Command, page: Page) -> None:
    whole = command()
    deny(server, "sqs:ListQueues", "lambda:*")

    look(page, command("--diff", str(whole.json), "--title", "Shop"))

    expect(page.get_by_role("heading", name="Shop")).to_be_visible()
    for told in (f"sqs in {REGION}", "denied: sqs:ListQueues", "policies/sts-topo-cron-policy.json", "is not known"):
        expect(panel(page)).to_contain_text(told)
    expect(timeline(page)).to_contain_text("Comparison")


def test_the_page_of_an_empty_account_says_that_all_was_read(aws: boto3.Session, command: Command, page: Page) -> None:
    look(page, command())

    expect(page.get_by_text("There is nothing", exact=True)).to_be_visible()
    expect(panel(page)).to_contain_text(f"Everything in {REGION} was read, and there is nothing to show")
