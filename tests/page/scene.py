"""What the page's tests show, and how they look at it."""

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import requests
from playwright.sync_api import Locator, Page, expect

from local.receiver import Receiver

ACCOUNT = {"type": "aws", "url": "123456789012"}
REGION = {"AwsRegion": "eu-west-1", "AwsAccount": "123456789012"}
Element = dict[str, Any]


def component(identifier: str, kind: str = "aws.sqs", **data: Any) -> Element:
    return {"externalId": identifier, "type": {"name": kind}, "data": {"Location": REGION} | data}


def relation(source: str, target: str, kind: str = "uses service") -> Element:
    ends = {"sourceId": source, "targetId": target}
    return {"externalId": f"{source}-{kind}-{target}", "type": {"name": kind}, "data": {}} | ends


def topology(*elements: Element) -> dict[str, list[Element]]:
    return {
        "components": [each for each in elements if "sourceId" not in each],
        "relations": [each for each in elements if "sourceId" in each],
    }


SHOP = (
    component("arn:checkout", "aws.lambda", FunctionName="checkout", Tags={"team": "shop"}, Runtime="python3.13"),
    component("arn:mailer", "aws.lambda", FunctionName="mailer", Location=REGION | {"AwsRegion": "us-east-1"}),
    component("arn:orders", Name="orders", Tags={"team": "shop"}),
    component("arn:table", "aws.dynamodb", TableName="baskets"),
    relation("arn:checkout", "arn:table"),
    relation("arn:checkout", "arn:orders"),
)
NETWORK = (
    component("vpc-1", "aws.vpc", VpcId="vpc-1", Tags={"Name": "shop"}),
    component("subnet-a", "aws.subnet", VpcId="vpc-1", Tags={"Name": "front"}),
    component("i-1", "aws.ec2", Tags={"Name": "web"}),
    component("stack", "aws.cloudformation", StackName="base"),
    component("arn:queue", Name="jobs"),
    relation("subnet-a", "vpc-1"),
    relation("i-1", "subnet-a"),
    relation("stack", "arn:queue", "has resource"),
)


def show(
    receiver: Receiver,
    *elements: Element,
    start: bool = False,
    stop: bool = False,
    delete: tuple[str, ...] = (),
    events: dict[str, Any] | None = None,
) -> None:
    """Send a body through a real POST, so that open pages hear of it."""
    marks = {"start_snapshot": start, "stop_snapshot": stop, "delete_ids": list(delete)}
    body = {
        "collection_timestamp": 1_700_000_000,
        "internalHostname": "topo",
        "events": events or {},
        "topologies": [{"instance": ACCOUNT} | topology(*elements) | marks],
        "metrics": [],
        "service_checks": [],
        "health": [],
    }
    answer = requests.post(f"{receiver.base_url}/stsAgent/intake/", params={"api_key": "key"}, json=body, timeout=30)
    assert answer.text == "ok"


def snapshot(receiver: Receiver, *elements: Element) -> None:
    show(receiver, *elements, start=True, stop=True)


def ready(page: Page) -> None:
    page.wait_for_selector("#graph[data-state=ready]", timeout=60_000)


def load(page: Page, receiver: Receiver) -> None:
    page.goto(receiver.base_url.replace("/receiver", "/"))
    expect(page.get_by_role("status").filter(has_text="Live")).to_be_visible()
    ready(page)


def drawn(page: Page) -> list[dict[str, Any]]:
    """Everything in the graph: name, faded, boxes (their titles, outermost first), at (on the canvas)."""
    found: list[dict[str, Any]] = page.evaluate("document.getElementById('graph').graph.drawn()")
    return found


def names(page: Page) -> set[str]:
    return {each["name"] for each in drawn(page)}


def bright(page: Page) -> set[str]:
    return {each["name"] for each in drawn(page) if not each["faded"]}


def boxes(page: Page) -> dict[str, list[str]]:
    return {each["name"]: each["boxes"] for each in drawn(page)}


def listed(page: Page, name: str) -> Locator:
    return page.get_by_role("navigation").get_by_role("button", name=name, exact=True)


def kind(page: Page, label: str) -> Locator:
    return page.get_by_role("navigation").get_by_role("button", name=label)


def panel(page: Page) -> Locator:
    return page.get_by_label("Details", exact=True)


def timeline(page: Page) -> Locator:
    return page.get_by_role("region", name="Timeline").get_by_role("button")


def open_details(page: Page, name: str) -> None:
    page.get_by_role("searchbox", name="Search").fill(name)
    listed(page, name).click()
    expect(panel(page).get_by_role("heading", name=name)).to_be_visible()


@contextlib.contextmanager
def no_problems(page: Page) -> Iterator[None]:
    """Nothing may be said on the console: no error, no warning, no exception, nothing that the policy refused."""
    problems: list[str] = []
    page.on("console", lambda said: problems.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    yield
    assert problems == []


def estate(size: int) -> dict[str, list[Element]]:
    """An account with `size` components: networks with instances, and many smaller things that use each other."""
    draw = random.Random(7)  # the same one every time
    found: list[Element] = []
    relations: list[Element] = []
    subnets = []
    for number in range(12):
        vpc = f"vpc-{number}"
        found.append(component(vpc, "aws.vpc", VpcId=vpc, Tags={"Name": f"network {number}"}))
        for part in range(8):
            subnets.append(f"subnet-{number}-{part}")
            found.append(component(subnets[-1], "aws.subnet", VpcId=vpc))
            relations.append(relation(subnets[-1], vpc))
    for number in range(size // 3):
        host = f"i-{number:017x}"
        found.append(component(host, "aws.ec2", Tags={"Name": f"host-{number}", "team": f"team-{number % 20}"}))
        relations.append(relation(host, draw.choice(subnets)))
    kinds = ("aws.lambda", "aws.sqs", "aws.s3_bucket", "aws.dynamodb", "aws.sns")
    stacks = [f"stack-{number}" for number in range(size // 40)]
    found += [component(stack, "aws.cloudformation", StackName=stack) for stack in stacks]
    recent: list[str] = []
    while len(found) < size:
        which = draw.choice(kinds)
        name = f"{which.removeprefix('aws.')}-{len(found)}"
        found.append(component(name, which, Name=name))
        if recent and draw.random() < 0.6:
            relations.append(relation(name, draw.choice(recent[-40:])))
        if draw.random() < 0.5:
            relations.append(relation(draw.choice(stacks), name, "has resource"))
        recent.append(name)
    return {"components": found, "relations": relations}
