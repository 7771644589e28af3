"""A browser, a receiver, and a page whose console has to stay empty."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Error, Page, expect, sync_playwright

from local.receiver import Receiver, running_receiver
from tests.page.scene import no_problems
from tools.pictures import chromium

PATIENCE_MS = 20_000


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        options: dict[str, Any] = {"args": ["--no-sandbox", "--disable-background-networking"]}
        try:
            started = playwright.chromium.launch(executable_path=chromium(), **options)
        except Error as error:
            pytest.fail(f"there is no browser; 'make chromium' installs one: {error}")
        yield started
        started.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as running:
        yield running


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    opened = browser.new_page(viewport={"width": 1400, "height": 850}, reduced_motion="reduce")
    opened.set_default_timeout(PATIENCE_MS)
    with no_problems(opened):
        yield opened
    opened.close()
