"""Takes the pictures of the documentation from the running system, so that they show what there is.

Page and dashboard come from a fresh installation in the sample estate, after some changes.
"""

import json
import shutil
import tempfile

from playwright.sync_api import Page, sync_playwright

from local.demo import begin
from local.system import ROOT, System, running_system, wait_for
from tools import dashboard, flow

FUNCTIONS = ("topo-cron", "topo-cwevents", "topo-publisher")
CHANGE_SECONDS = 30
SNAPSHOT_SECONDS = 60


def main() -> None:
    """Draw the flow, install in the sample estate, change it, and take pictures of the page and the dashboard."""
    flow.main()
    with running_system() as system:
        begin(system)
        change(system)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1500, "height": 900}, reduced_motion="reduce")
            page.goto(system.receiver.base_url.removesuffix("/receiver"))
            page.wait_for_selector("#graph[data-state=ready]")
            page.wait_for_timeout(1500)  # until what is new no longer shines
            take(page, "docs/page.png")
            page = browser.new_page(viewport={"width": 1200, "height": 400})
            page.set_content(dashboard_of(system))
            take(page, "docs/dashboard.png")
            browser.close()


def change(system: System) -> None:
    """Create a queue, tag it, and delete another one, with a snapshot after each of them."""
    arn = f"arn:aws:sqs:{system.account.region}:{system.account.account_id}:refunds"
    url = system.aws("sqs", "create-queue", "--queue-name", "refunds")["QueueUrl"]
    wait_for("the new queue", lambda: system.component(arn), CHANGE_SECONDS)
    snapshot(system)
    system.aws("sqs", "tag-queue", "--queue-url", url, "--tags", "team=shop")
    wait_for("its tag", lambda: (system.component(arn) or {"data": {}})["data"].get("Tags"), CHANGE_SECONDS)
    snapshot(system)
    system.aws("sqs", "delete-queue", "--queue-url", url.replace("refunds", "mails-dead"))
    wait_for("its end", lambda: not system.component(arn.replace("refunds", "mails-dead")), CHANGE_SECONDS)
    snapshot(system)


def snapshot(system: System) -> None:
    """Have topo-cron take one, as the schedule does every hour, and wait for its end."""
    before = system.instance.snapshots if system.instance else 0
    with tempfile.NamedTemporaryFile() as answer:
        system.aws("lambda", "invoke", "--function-name", "stackstate-topo-cron", answer.name)
    wait_for("a snapshot", lambda: system.instance and system.instance.snapshots > before, SNAPSHOT_SECONDS)


def dashboard_of(system: System) -> str:
    """The installation's dashboard as HTML. Raises RuntimeError if there is none."""
    cloudwatch = system.account.client("cloudwatch")
    for entry in cloudwatch.list_dashboards()["DashboardEntries"]:
        body = cloudwatch.get_dashboard(DashboardName=entry["DashboardName"])["DashboardBody"]
        lines = (line for name in FUNCTIONS for line in system.functions.logs(f"stackstate-{name}"))
        return dashboard.drawn(json.loads(body), dashboard.metrics(lines))
    raise RuntimeError("the installation made no dashboard")


def take(page: Page, name: str) -> None:
    """Keep a picture of all of the page."""
    target = ROOT / name
    page.screenshot(path=target, full_page=True)
    print(f"wrote {target.relative_to(ROOT)}")


def chromium() -> str | None:
    """The browser on PATH; None for Playwright's own."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


if __name__ == "__main__":
    main()
