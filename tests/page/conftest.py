"""A browser, a receiver, and a page whose console has to stay empty."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from local.receiver import Receiver, running_receiver
from tests.page.scene import no_problems

PATIENCE_MS = 20_000


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
