"""Takes the pictures of the documentation from the running system, so that they show what there is."""

import shutil

from playwright.sync_api import Page, sync_playwright

from local.demo import begin
from local.system import ROOT, running_system

SIZE = {"width": 1500, "height": 900}


def main() -> None:
    """Install in the sample estate, and take a picture of the receiver's page with a function selected."""
    with running_system() as system:
        begin(system)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
            page = browser.new_page(viewport=SIZE)  # type: ignore[arg-type]
            page.goto(system.receiver.base_url.removesuffix("/receiver"))
            take(page)
            browser.close()


def take(page: Page) -> None:
    """Wait until the graph stands still, select something with many relations, and keep the picture."""
    page.wait_for_selector("#graph[data-state=ready]")
    page.wait_for_timeout(1500)
    target = ROOT / "docs/page.png"
    page.screenshot(path=target)
    print(f"wrote {target.relative_to(ROOT)}")


def chromium() -> str | None:
    """The browser on PATH; None for Playwright's own."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


if __name__ == "__main__":
    main()
