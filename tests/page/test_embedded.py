"""The page as one file: the topology is in it, nothing is asked for, and nothing leaves it."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from page.embed import page as whole_page
from page.timeline import comparison
from tests.page.scene import SHOP, bright, component, names, open_details, panel, ready, timeline, topology

LEDGER: dict[str, Any] = {
    "format": 1,
    "version": "0.1.0",
    "snapshot": "one",
    "began": 1_700_000_000,
    "ended": 1_700_000_012.5,
    "closed": False,
    "not_closed_because": ["The scope sqs in eu-west-1 was never read to the end."],
    "components": {"aws.sqs": 1},
    "relations": {},
    "scopes": [
        {
            "account": "123456789012",
            "region": "eu-west-1",
            "service": "sqs",
            "complete": False,
            "components": 0,
            "relations": 0,
            "seconds": 0.1,
            "read_at": None,
            "causes": [{"cause": "denied", "action": "sqs:ListQueues", "error": "no identity-based policy allows it"}],
            "replayed": 0,
        }
    ],
    "missing_permissions": ["sqs:ListQueueTags"],
    "held_back": {"removed": 80, "of": 100},
    "drift": {"aws.lambda": 2},
    "advice": ["Attach the read policy to the role."],
}


def open_file(page: Page, folder: Path, document: dict[str, Any] | None, ledger: dict[str, Any] | None = None) -> None:
    file = folder / "topology.html"
    file.write_text(whole_page(document, ledger, "Account <1>"))
    page.context.set_offline(True)
    page.goto(file.as_uri())
    ready(page)


def test_a_file_shows_its_topology_without_a_server(page: Page, tmp_path: Path) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    open_file(page, tmp_path, topology(*SHOP))

    assert names(page) == {"checkout", "mailer", "orders", "baskets"}
    expect(page.get_by_role("heading", name="Account <1>")).to_be_visible()
    open_details(page, "checkout")
    expect(panel(page).get_by_role("button", name="orders")).to_be_visible()
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []


def test_no_text_in_the_data_can_leave_its_place(page: Page, tmp_path: Path) -> None:
    nasty = "</script><script>document.title='taken'</script><!-- {{title}} \u2028"

    open_file(page, tmp_path, topology(component("arn:x", Name=nasty)))

    assert names(page) == {nasty}
    assert page.title() == "Account <1>"


def test_the_ledger_says_what_could_not_be_read_and_what_is_missing(page: Page, tmp_path: Path) -> None:
    open_file(page, tmp_path, topology(*SHOP), LEDGER)

    for told in (
        "sqs in eu-west-1",
        "denied: sqs:ListQueues",
        "no identity-based policy allows it",
        "sqs:ListQueueTags",
        "was never read to the end",
        "would have removed 80 of 100 components",
        "Lambda function: 2",
        "Attach the read policy to the role.",
        "12.5 s",
    ):
        expect(panel(page)).to_contain_text(told)
    expect(page.get_by_label("Counts", exact=True)).to_contain_text("not read1")


def test_a_comparison_is_an_entry_of_the_timeline(page: Page, tmp_path: Path) -> None:
    before = topology(*SHOP[1:])
    entry = comparison(before, topology(*SHOP))

    open_file(page, tmp_path, topology(*SHOP) | {"timeline": [entry.as_json()]})

    expect(timeline(page)).to_contain_text("Comparison")
    timeline(page).click()
    assert bright(page) == {"checkout"}


def read(*scopes: tuple[str, str]) -> dict[str, Any]:
    """A ledger with these scopes: service, and the cause for which it was not read, if it was not."""
    lines = [
        {"account": "1", "region": "eu-west-1", "service": service, "complete": not cause, "components": 0}
        | {"causes": [{"cause": cause, "action": f"{service}:List", "error": "no"}] if cause else []}
        for service, cause in scopes
    ]
    return {"began": 1_700_000_000, "ended": 1_700_000_001, "scopes": lines}


@pytest.mark.parametrize(
    ("ledger", "title", "text"),
    [
        (read(("sqs", "")), "There is nothing", "Everything in eu-west-1 was read to its end"),
        (read(("sqs", "denied"), ("sns", "denied")), "Nothing could be read", "in eu-west-1 is not known (denied)"),
        (read(("sqs", "throttled"), ("sns", "")), "not everything was read", "1 of 2 services could not be read"),
        (None, "Nothing was found", "no component in this file"),
    ],
)
def test_a_page_without_components_says_why(
    page: Page, tmp_path: Path, ledger: dict[str, Any] | None, title: str, text: str
) -> None:
    open_file(page, tmp_path, topology(), ledger)

    expect(page.locator("#empty")).to_contain_text(title)
    expect(page.locator("#empty")).to_contain_text(text)


def test_what_is_shown_as_of_earlier_is_told_apart_from_what_was_not_read(page: Page, tmp_path: Path) -> None:
    old = component("arn:old", Name="old", NotReadSince="2026-01-02T03:04:05Z", NotReadBecause="It is denied.")
    ledger = read(("sns", "denied"), ("sqs", "throttled"), ("redshift", "service not in region"))
    ledger["scopes"][1] |= {"replayed": 1, "read_at": 1_767_323_045}

    open_file(page, tmp_path, topology(*SHOP, old), ledger)

    counts = page.get_by_label("Counts", exact=True)
    expect(counts).to_contain_text("not read1")
    expect(counts).to_contain_text("as of 2 Jan 2026")
    expect(panel(page)).to_contain_text("sns in eu-west-1")
    expect(panel(page)).to_contain_text("whether there is anything is not known")
    expect(panel(page)).to_contain_text("1 component shown as of 2 Jan 2026")
    expect(panel(page)).to_contain_text("Not offered by AWS there")


def test_what_is_the_same_in_several_regions_is_told_once(page: Page, tmp_path: Path) -> None:
    ledger = read(*[("sqs", "denied")] * 9)
    for number, scope in enumerate(ledger["scopes"]):
        scope["region"] = f"eu-west-{number}"

    open_file(page, tmp_path, topology(*SHOP), ledger)

    expect(panel(page).get_by_text("sqs in eu-west-0, ")).to_contain_text("eu-west-5 and 3 more regions")


def test_details_that_were_left_out_are_told_with_their_action(page: Page, tmp_path: Path) -> None:
    left_out = {
        "account": "1",
        "region": "eu-west-1",
        "service": "sqs",
        "cause": "denied",
        "action": "sqs:ListQueueTags",
    }

    open_file(page, tmp_path, topology(*SHOP), read(("sqs", "")) | {"left_out": [left_out]})

    expect(panel(page)).to_contain_text("sqs:ListQueueTags")
    expect(panel(page)).to_contain_text("denied; for sqs in eu-west-1")


def test_calls_and_time_are_told_by_service_and_region(page: Page, tmp_path: Path) -> None:
    ledger = read(("sqs", "")) | {
        "calls": {"total": 15, "by_region": {"eu-west-1": {"sqs": 12}, "us-east-1": {"sts": 3}}}
    }
    ledger["scopes"][0]["seconds"] = 0.42

    open_file(page, tmp_path, topology(*SHOP), ledger)

    table = panel(page).get_by_role("region", name="API calls and time")
    rows = [row.split() for row in table.get_by_role("row").all_inner_texts()[1:]]
    assert rows == [["sqs", "eu-west-1", "12", "0.4"], ["sts", "us-east-1", "3"], ["all", "15", "1.0"]]


def test_counts_are_shown_by_type_and_region(page: Page, tmp_path: Path) -> None:
    open_file(page, tmp_path, topology(*SHOP))

    row = panel(page).get_by_role("row", name="Lambda function")
    assert row.get_by_role("cell").all_inner_texts() == ["1", "1", "2"]
