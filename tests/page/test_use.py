"""Everybody can use the page: by keyboard, in light and dark, with a screen reader, on a small screen."""

from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from local.receiver import Receiver
from tests.page.scene import NETWORK, SHOP, bright, component, listed, load, open_details, panel, snapshot, timeline

STALE = component("arn:old", Name="stale-queue", NotReadSince="2026-01-02T03:04:05Z", NotReadBecause="It is denied.")


@pytest.fixture
def loaded(page: Page, receiver: Receiver) -> Page:
    snapshot(receiver, *SHOP, *NETWORK, STALE)
    load(page, receiver)
    return page


def serious(page: Page) -> list[str]:
    """What axe finds that keeps people from using the page."""
    violations: list[dict[str, Any]] = Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {node['html']} {node['failureSummary']}"
        for each in violations
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(loaded: Page, scheme: Literal["light", "dark"]) -> None:
    loaded.emulate_media(color_scheme=scheme)
    assert serious(loaded) == []

    loaded.get_by_label("Filter by label").fill("team:shop")
    timeline(loaded).first.click()
    assert serious(loaded) == []

    loaded.get_by_role("button", name="Clear search and filters").click()
    open_details(loaded, "stale-queue")
    assert serious(loaded) == []

    panel(loaded).get_by_label("Show").select_option("1 step around it")
    loaded.get_by_role("searchbox", name="Search").fill("nowhere")
    expect(loaded.get_by_text("Nothing found")).to_be_visible()
    assert serious(loaded) == []

    loaded.keyboard.press("Escape")
    loaded.get_by_role("button", name="Fold").click()
    loaded.get_by_role("application", name="Graph").focus()
    loaded.keyboard.press("ArrowRight")
    expect(panel(loaded).get_by_role("button", name="Unfold")).to_be_visible()
    assert serious(loaded) == []


def test_axe_would_find_something(loaded: Page) -> None:
    loaded.evaluate("document.getElementById('panel').innerHTML = '<img src=\"data:,\"><button></button>'")

    assert any("button-name" in finding for finding in serious(loaded))


def test_search_list_and_details_work_by_keyboard(loaded: Page) -> None:
    loaded.keyboard.press("/")
    loaded.keyboard.type("mailer")
    expect(listed(loaded, "mailer")).to_be_visible()
    for _ in range(20):
        loaded.keyboard.press("ArrowDown")
        if loaded.evaluate("document.activeElement.textContent") == "mailer":
            break
    loaded.keyboard.press("Enter")
    expect(panel(loaded).get_by_role("heading", name="mailer")).to_be_visible()

    loaded.keyboard.press("Escape")
    expect(panel(loaded).get_by_role("heading", name="Overview")).to_be_visible()
    assert bright(loaded) == {"mailer"}
    loaded.keyboard.press("Escape")
    expect(loaded.get_by_role("searchbox", name="Search")).to_have_value("")


def test_the_graph_works_by_keyboard(loaded: Page) -> None:
    loaded.get_by_role("application", name="Graph").focus()

    loaded.keyboard.press("ArrowRight")
    first = panel(loaded).get_by_role("heading", level=2).inner_text()
    assert first != "Overview"
    for arrow in ("ArrowRight", "ArrowLeft", "ArrowDown", "ArrowUp"):
        loaded.keyboard.press(arrow)
    assert panel(loaded).get_by_role("heading", level=2).inner_text() in bright(loaded)

    zoom = "document.getElementById('graph').graph.camera.zoom"
    before = loaded.evaluate(zoom)
    loaded.keyboard.press("+")
    assert loaded.evaluate(zoom) > before


def test_the_timeline_and_the_views_work_by_keyboard(loaded: Page) -> None:
    timeline(loaded).first.focus()
    loaded.keyboard.press("Enter")
    expect(panel(loaded).get_by_role("heading", name="Snapshot")).to_be_visible()

    loaded.get_by_role("group", name="View").get_by_role("button", name="Serverless").focus()
    loaded.keyboard.press("Space")
    expect(loaded.get_by_role("button", name="Serverless")).to_have_attribute("aria-pressed", "true")
    expect(loaded.get_by_role("button", name="Serverless")).to_be_focused()


def test_high_contrast_reaches_the_graph(loaded: Page) -> None:
    loaded.emulate_media(forced_colors="active", color_scheme="dark")
    loaded.wait_for_timeout(200)

    corner = loaded.evaluate(
        "() => [...document.querySelector('#graph canvas').getContext('2d').getImageData(2, 2, 1, 1).data]"
    )
    assert corner == [0, 0, 0, 255]  # the system's own ground, where the page's dark one is a blue


def test_on_paper_there_is_what_was_found_and_nothing_to_press(loaded: Page) -> None:
    loaded.emulate_media(media="print")

    expect(loaded.get_by_role("toolbar")).to_be_hidden()
    expect(loaded.get_by_role("navigation")).to_be_hidden()
    expect(panel(loaded).get_by_role("table")).to_be_visible()


def test_the_page_follows_the_colour_scheme(loaded: Page) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    light = loaded.evaluate(background)

    loaded.emulate_media(color_scheme="dark")

    assert loaded.evaluate(background) != light


@pytest.mark.parametrize("width", [400, 900, 1400])
def test_nothing_sticks_out_of_the_window(loaded: Page, width: int) -> None:
    loaded.set_viewport_size({"width": width, "height": 800})

    assert loaded.evaluate("document.documentElement.scrollWidth") <= width
    box = loaded.get_by_role("application", name="Graph").bounding_box()
    assert box
    assert box["width"] > 250
    assert box["height"] > 250
