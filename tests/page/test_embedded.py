"""The page as one file: the topology is in it, nothing is asked for, and nothing leaves it."""

from pathlib import Path
from typing import Any

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
    expect(page.get_by_label("Counts", exact=True)).to_contain_text("not up to date")


def test_a_comparison_is_an_entry_of_the_timeline(page: Page, tmp_path: Path) -> None:
    before = topology(*SHOP[1:])
    entry = comparison(before, topology(*SHOP))

    open_file(page, tmp_path, topology(*SHOP) | {"timeline": [entry.as_json()]})

    expect(timeline(page)).to_contain_text("Comparison")
    timeline(page).click()
    assert bright(page) == {"checkout"}


def test_an_empty_account_says_so(page: Page, tmp_path: Path) -> None:
    open_file(page, tmp_path, topology())

    expect(page.get_by_text("Nothing was found")).to_be_visible()


def test_counts_are_shown_by_type_and_region(page: Page, tmp_path: Path) -> None:
    open_file(page, tmp_path, topology(*SHOP))

    row = panel(page).get_by_role("row", name="Lambda function")
    assert row.get_by_role("cell").all_inner_texts() == ["1", "1", "2"]
