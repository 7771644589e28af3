import shutil
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, Error, Page, expect, sync_playwright

from local.receiver import Receiver, running_receiver

ACCOUNT = {"type": "aws", "url": "123456789012"}
SEEN = 10_000  # milliseconds


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        options: dict[str, Any] = {"args": ["--no-sandbox", "--disable-background-networking"]}
        if installed := shutil.which("chromium"):
            options["executable_path"] = installed
        try:
            started = playwright.chromium.launch(**options)
        except Error as error:
            pytest.fail(f"there is no browser; 'make chromium' installs one: {error}")
        yield started
        started.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as running:
        yield running


@pytest.fixture
def page(browser: Browser, receiver: Receiver) -> Iterator[Page]:
    opened = browser.new_page(viewport={"width": 1400, "height": 850})
    opened.set_default_timeout(SEEN)
    problems: list[str] = []
    opened.on(
        "console", lambda message: problems.append(message.text) if message.type in ("error", "warning") else None
    )
    opened.on("pageerror", lambda error: problems.append(str(error)))
    yield opened
    opened.close()
    assert problems == []


def component(identifier: str, kind: str = "aws.sqs", **data: Any) -> dict[str, Any]:
    return {"externalId": identifier, "type": {"name": kind}, "data": data}


def relation(source: str, target: str) -> dict[str, Any]:
    ends = {"sourceId": source, "targetId": target}
    return {"externalId": f"{source}-uses service-{target}", "type": {"name": "uses service"}, "data": {}} | ends


def show(receiver: Receiver, *elements: dict[str, Any], snapshot: bool = False, delete: tuple[str, ...] = ()) -> None:
    """Send a body through a real POST, so that open pages hear of it."""
    topology = {
        "instance": ACCOUNT,
        "components": [each for each in elements if "sourceId" not in each],
        "relations": [each for each in elements if "sourceId" in each],
        "start_snapshot": snapshot,
        "stop_snapshot": snapshot,
        "delete_ids": list(delete),
    }
    body = {"collection_timestamp": 1_700_000_000, "internalHostname": "topo", "events": {}, "topologies": [topology]}
    body |= {"metrics": [], "service_checks": [], "health": []}
    answer = requests.post(f"{receiver.base_url}/stsAgent/intake/", params={"api_key": "key"}, json=body, timeout=10)
    assert answer.text == "ok"


def shop(receiver: Receiver) -> None:
    show(
        receiver,
        component("arn:checkout", "aws.lambda", FunctionName="checkout", Tags={"team": "shop"}, Runtime="python3.13"),
        component("arn:mailer", "aws.lambda", FunctionName="mailer"),
        component("arn:orders", Name="orders", Tags={"team": "shop"}, Location={"AwsRegion": "eu-west-1"}),
        component("arn:table", "aws.dynamodb", TableName="baskets"),
        relation("arn:checkout", "arn:table"),
        relation("arn:checkout", "arn:orders"),
        snapshot=True,
    )


def load(page: Page, receiver: Receiver) -> None:
    page.goto(receiver.base_url.replace("/receiver", "/"))
    expect(page.get_by_role("status").filter(has_text="Live")).to_be_visible()
    page.wait_for_selector("#graph[data-state=ready]")


def drawn(page: Page) -> set[str]:
    names = page.evaluate("document.getElementById('graph').cy.nodes().map((node) => node.data('name'))")
    return set(names)


def faded(page: Page) -> set[str]:
    return set(page.evaluate("document.getElementById('graph').cy.nodes('.faded').map((node) => node.data('name'))"))


def listed(page: Page, name: str) -> Any:
    return page.get_by_role("navigation").get_by_role("button", name=name, exact=True)


def kind(page: Page, label: str) -> Any:
    return page.get_by_role("navigation").get_by_role("button", name=label)


def panel(page: Page) -> Any:
    return page.get_by_label("Details", exact=True)


def test_an_empty_receiver_says_that_it_waits(page: Page, receiver: Receiver) -> None:
    page.goto(receiver.base_url.replace("/receiver", "/"))

    expect(page.get_by_text("No topology yet")).to_be_visible()


def test_the_page_lists_types_with_counts_and_draws_the_graph(page: Page, receiver: Receiver) -> None:
    shop(receiver)
    load(page, receiver)

    expect(kind(page, "Lambda function")).to_contain_text("2")
    expect(kind(page, "SQS queue")).to_contain_text("1")
    expect(page.get_by_label("Counts")).to_contain_text("4")
    assert drawn(page) == {"checkout", "mailer", "orders", "baskets"}
    assert page.evaluate("document.getElementById('graph').cy.edges().length") == 2


@pytest.mark.parametrize(
    ("words", "names"), [("check", {"checkout"}), ("arn:ord", {"orders"}), ("team:shop", {"checkout", "orders"})]
)
def test_search_finds_by_name_id_and_tag(page: Page, receiver: Receiver, words: str, names: set[str]) -> None:
    shop(receiver)
    load(page, receiver)

    page.get_by_role("searchbox").fill(words)

    expect(page.get_by_text(f"{len(names)} of 4 components")).to_be_visible()
    assert drawn(page) - faded(page) == names
    for name in names:
        expect(listed(page, name)).to_be_visible()


def test_a_click_on_a_type_filters_and_a_second_one_shows_all_again(page: Page, receiver: Receiver) -> None:
    shop(receiver)
    load(page, receiver)
    button = kind(page, "Lambda function")

    button.click()
    expect(listed(page, "mailer")).to_be_visible()
    assert drawn(page) - faded(page) == {"checkout", "mailer"}
    expect(button).to_have_attribute("aria-pressed", "true")

    button.click()
    assert faded(page) == set()


def test_details_show_data_and_tags_and_lead_along_relations_in_both_directions(page: Page, receiver: Receiver) -> None:
    shop(receiver)
    load(page, receiver)
    kind(page, "Lambda function").click()

    listed(page, "checkout").click()
    expect(panel(page)).to_contain_text("arn:checkout")
    expect(panel(page)).to_contain_text("python3.13")
    expect(panel(page).get_by_role("button", name="team shop")).to_be_visible()
    expect(panel(page)).to_contain_text("→ uses service")

    panel(page).get_by_role("button", name="orders").click()
    expect(panel(page).get_by_role("heading", name="orders")).to_be_visible()
    expect(panel(page)).to_contain_text("← uses service")

    panel(page).get_by_role("button", name="checkout").click()
    expect(panel(page).get_by_role("heading", name="checkout")).to_be_visible()


def test_a_click_on_a_node_opens_its_details(page: Page, receiver: Receiver) -> None:
    shop(receiver)
    load(page, receiver)
    spot = page.evaluate(
        """() => {
            const graph = document.getElementById('graph');
            const at = graph.cy.nodes().filter((node) => node.data('name') === 'baskets').renderedPosition();
            const box = graph.getBoundingClientRect();
            return [box.left + at.x, box.top + at.y];
        }"""
    )

    page.mouse.click(*spot)

    expect(panel(page).get_by_role("heading", name="baskets")).to_be_visible()


def test_the_address_leads_back_to_a_component(page: Page, receiver: Receiver) -> None:
    shop(receiver)
    load(page, receiver)
    page.get_by_role("searchbox").fill("baskets")
    listed(page, "baskets").click()

    page.reload()

    expect(panel(page).get_by_role("heading", name="baskets")).to_be_visible()


def test_components_appear_change_and_vanish_without_a_reload(page: Page, receiver: Receiver) -> None:
    shop(receiver)
    load(page, receiver)

    show(receiver, component("arn:late", Name="latecomer"), relation("arn:late", "arn:orders"))
    expect(kind(page, "SQS queue")).to_contain_text("2")
    expect(panel(page)).to_contain_text("latecomer")
    assert "latecomer" in drawn(page)

    show(receiver, component("arn:late", Name="renamed"))
    expect(panel(page)).to_contain_text("SQS queue updated")
    assert "renamed" in drawn(page)

    show(receiver, delete=("arn:late", "arn:late-uses service-arn:orders"))
    expect(kind(page, "SQS queue")).to_contain_text("1")
    expect(panel(page)).to_contain_text("SQS queue deleted")
    assert drawn(page) == {"checkout", "mailer", "orders", "baskets"}


def test_a_component_that_vanishes_while_it_is_looked_at_closes_its_details(page: Page, receiver: Receiver) -> None:
    shop(receiver)
    load(page, receiver)
    page.get_by_role("searchbox").fill("mailer")
    listed(page, "mailer").click()

    show(receiver, delete=("arn:mailer",))

    expect(panel(page).get_by_role("heading", name="Overview")).to_be_visible()


def test_the_first_snapshot_appears_in_an_open_page(page: Page, receiver: Receiver) -> None:
    page.goto(receiver.base_url.replace("/receiver", "/"))
    expect(page.get_by_text("No topology yet")).to_be_visible()

    shop(receiver)

    expect(kind(page, "Lambda function")).to_be_visible()
    page.wait_for_function("document.getElementById('graph').cy.nodes().length === 4")
    expect(page.get_by_text("No topology yet")).to_be_hidden()


def test_the_page_works_by_keyboard(page: Page, receiver: Receiver) -> None:
    shop(receiver)
    load(page, receiver)

    page.keyboard.press("/")
    page.keyboard.type("mailer")
    expect(listed(page, "mailer")).to_be_visible()
    for _ in range(20):
        page.keyboard.press("ArrowDown")
        if page.evaluate("document.activeElement.textContent") == "mailer":
            break
    page.keyboard.press("Enter")
    expect(panel(page).get_by_role("heading", name="mailer")).to_be_visible()

    page.keyboard.press("Escape")
    expect(panel(page).get_by_role("heading", name="Overview")).to_be_visible()


def test_the_page_follows_the_colour_scheme(page: Page, receiver: Receiver) -> None:
    load_color = "getComputedStyle(document.body).backgroundColor"
    shop(receiver)
    load(page, receiver)
    light = page.evaluate(load_color)

    page.emulate_media(color_scheme="dark")

    assert page.evaluate(load_color) != light


def test_data_are_shown_as_text_and_never_as_markup(page: Page, receiver: Receiver) -> None:
    show(receiver, component("arn:x", Name="<img src=x onerror=alert(1)>", Tags={"<b>": "<i>"}), snapshot=True)
    load(page, receiver)

    page.get_by_role("searchbox").fill("arn:x")
    listed(page, "<img src=x onerror=alert(1)>").click()

    expect(panel(page).get_by_role("heading", name="<img")).to_be_visible()


def test_two_thousand_components_are_laid_out_while_the_page_stays_usable(page: Page, receiver: Receiver) -> None:
    queues = [component(f"q{number}", Name=f"queue-{number}") for number in range(1000)]
    functions = [component(f"f{number}", "aws.lambda", Name=f"function-{number}") for number in range(1000)]
    chains = [relation(f"f{number}", f"q{(number * 7) % 900}") for number in range(900)]
    show(receiver, *queues, *functions, *chains, snapshot=True)

    load(page, receiver)
    page.get_by_role("searchbox").fill("function-77")

    expect(listed(page, "function-777")).to_be_visible()
    assert page.evaluate("document.getElementById('graph').cy.nodes().length") == 2000
