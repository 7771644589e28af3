"""Looking around in a topology: search, filters, views, groups, details and relations."""

import json
import re

import pytest
from playwright.sync_api import Page, expect

from local.receiver import Receiver
from tests.page.scene import (
    NETWORK,
    REGION,
    SHOP,
    boxes,
    bright,
    component,
    drawn,
    kind,
    listed,
    load,
    names,
    open_details,
    panel,
    ready,
    relation,
    snapshot,
)


@pytest.fixture
def shop(page: Page, receiver: Receiver) -> Page:
    """The page, showing a small shop."""
    snapshot(receiver, *SHOP)
    load(page, receiver)
    return page


def wait_for(page: Page, condition: str) -> None:
    """Wait until the condition holds of what is drawn."""
    page.wait_for_function(f"() => document.getElementById('graph').graph.drawn().{condition}")


def test_an_empty_receiver_says_that_it_waits(page: Page, receiver: Receiver) -> None:
    page.goto(receiver.base_url.replace("/receiver", "/"))

    expect(page.get_by_text("No topology yet")).to_be_visible()


def test_a_snapshot_with_nothing_in_it_is_told_from_none(page: Page, receiver: Receiver) -> None:
    snapshot(receiver)
    load(page, receiver)

    expect(page.get_by_text("The topology is empty")).to_be_visible()


def test_a_search_without_hits_says_so_and_how_to_see_everything_again(shop: Page) -> None:
    kind(shop, "SQS queue").click()
    shop.get_by_role("searchbox", name="Search").fill("nowhere")
    expect(shop.get_by_text("No component has “nowhere” in its name")).to_contain_text("and fits the filters")

    shop.locator("#empty").get_by_role("button", name="Clear search and filters").click()

    expect(shop.locator("#empty")).to_be_hidden()
    assert bright(shop) == names(shop)


def test_filters_that_nothing_fits_say_so(shop: Page) -> None:
    kind(shop, "DynamoDB table").click()
    kind(shop, "us-east-1").click()

    expect(shop.get_by_text("No component fits all of the filters")).to_be_visible()


def test_a_view_without_components_leads_to_all(page: Page, receiver: Receiver) -> None:
    snapshot(receiver, component("vpc-1", "aws.vpc"))
    load(page, receiver)
    page.get_by_role("button", name="Serverless").click()
    expect(page.get_by_text("Nothing belongs to the view Serverless")).to_be_visible()

    page.get_by_role("button", name="Show all").click()

    wait_for(page, "length === 1")
    assert names(page) == {"vpc-1"}


def test_the_page_lists_types_with_counts_and_draws_the_graph(shop: Page) -> None:
    expect(kind(shop, "Lambda function")).to_contain_text("2")
    expect(kind(shop, "SQS queue")).to_contain_text("1")
    expect(shop.get_by_label("Counts", exact=True)).to_contain_text("4")
    assert names(shop) == bright(shop) == {"checkout", "mailer", "orders", "baskets"}


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("check", {"checkout"}),
        ("ARN:ord", {"orders"}),
        ("team:shop", {"checkout", "orders"}),
        ("team check", {"checkout"}),
    ],
)
def test_search_finds_by_name_id_and_tag(shop: Page, words: str, found: set[str]) -> None:
    shop.get_by_role("searchbox", name="Search").fill(words)

    expect(shop.get_by_text(f"{len(found)} of 4 components")).to_be_visible()
    assert bright(shop) == found
    for name in found:
        expect(listed(shop, name)).to_be_visible()


def test_a_click_on_a_type_filters_and_a_second_one_shows_all_again(shop: Page) -> None:
    button = kind(shop, "Lambda function")

    button.click()
    expect(listed(shop, "mailer")).to_be_visible()
    assert bright(shop) == {"checkout", "mailer"}
    expect(button).to_have_attribute("aria-pressed", "true")

    button.click()
    assert bright(shop) == names(shop)


def test_regions_filter_where_there_are_several(shop: Page) -> None:
    kind(shop, "us-east-1").click()

    assert bright(shop) == {"mailer"}


def test_labels_filter_and_can_be_taken_away_again(shop: Page) -> None:
    shop.get_by_label("Filter by label").fill("team:shop")
    assert bright(shop) == {"checkout", "orders"}

    shop.get_by_role("button", name="team:shop, take away").click()
    assert bright(shop) == names(shop)


def test_all_filters_together_narrow_down_and_are_cleared_at_once(shop: Page) -> None:
    shop.get_by_label("Filter by label").fill("team:shop")
    kind(shop, "SQS queue").click()
    assert bright(shop) == {"orders"}

    shop.get_by_role("button", name="Clear search and filters").click()
    assert bright(shop) == names(shop)


def test_the_views_show_what_belongs_to_them(page: Page, receiver: Receiver) -> None:
    balancer = component("arn:balancer", "aws.elb_v2_application", LoadBalancerName="entry")
    snapshot(receiver, *SHOP, *NETWORK, balancer)
    load(page, receiver)
    expected = {
        "Infrastructure": {"shop", "front", "web", "entry"},
        "Serverless": {"checkout", "mailer", "orders", "baskets", "jobs", "entry"},
        "All": names(page),
    }

    for view, shown in expected.items():
        button = page.get_by_role("group", name="View").get_by_role("button", name=view)
        button.click()
        expect(button).to_have_attribute("aria-pressed", "true")
        expect(page.get_by_label("Counts", exact=True)).to_contain_text(f"{len(shown)}")
        assert names(page) == shown


def test_components_are_grouped_by_vpc_subnet_stack_and_type(page: Page, receiver: Receiver) -> None:
    snapshot(receiver, *NETWORK)
    load(page, receiver)
    grouping = page.get_by_label("Group by")

    assert boxes(page)["web"] == boxes(page)["front"] == ["shop"]
    assert boxes(page)["jobs"] == ["Outside VPCs"]
    for wanted, title, name in [
        ("Subnet", ["shop", "front"], "web"),
        ("Stack", ["base"], "jobs"),
        ("Type", ["SQS queue"], "jobs"),
        ("Nothing", [], "web"),
    ]:
        grouping.select_option(wanted)
        page.wait_for_function(
            "wanted => document.getElementById('graph').graph.drawn()"
            ".some(({name, boxes}) => name === wanted[0] && boxes.join() === wanted[1])",
            arg=[name, ",".join(title)],
        )
        ready(page)


def test_what_belongs_to_something_in_a_vpc_is_drawn_in_it(page: Page, receiver: Receiver) -> None:
    balanced = component("arn:group", "aws.elb_v2_target_group", VpcId="vpc-1", TargetGroupName="webs")
    target = component("urn:aws/target-group-instance/i-1", "aws.elb_v2_target_group_instance", Name="target")
    snapshot(receiver, *NETWORK, balanced, target, relation("arn:group", target["externalId"]))
    load(page, receiver)

    assert boxes(page)["webs"] == boxes(page)["target"] == ["shop"]


def test_no_two_components_are_drawn_over_each_other(page: Page, receiver: Receiver) -> None:
    snapshot(receiver, *SHOP, *NETWORK)
    load(page, receiver)
    spots = [each["at"] for each in drawn(page)]

    for number, (x, y) in enumerate(spots):
        assert all(abs(x - across) > 20 or abs(y - down) > 20 for across, down in spots[number + 1 :])


def test_details_show_data_and_tags_and_lead_along_relations_in_both_directions(shop: Page) -> None:
    open_details(shop, "checkout")
    expect(panel(shop)).to_contain_text("arn:checkout")
    expect(panel(shop)).to_contain_text("python3.13")
    expect(panel(shop).get_by_role("button", name="team shop")).to_be_visible()
    expect(panel(shop)).to_contain_text("→ uses service")
    assert bright(shop) == {"checkout", "orders", "baskets"}

    panel(shop).get_by_role("button", name="orders").click()
    expect(panel(shop).get_by_role("heading", name="orders")).to_be_visible()
    expect(panel(shop)).to_contain_text("← uses service")

    panel(shop).get_by_role("button", name="checkout").click()
    expect(panel(shop).get_by_role("heading", name="checkout")).to_be_visible()


def test_details_show_the_further_identifiers(page: Page, receiver: Receiver) -> None:
    snapshot(receiver, component("i-1", "aws.ec2", Name="web", URN=["urn:host:/i-1", "urn:vpcip:vpc-1/10.0.0.7"]))
    load(page, receiver)

    open_details(page, "web")

    expect(panel(page)).to_contain_text("urn:vpcip:vpc-1/10.0.0.7")


def test_a_relation_to_something_unknown_is_shown_but_leads_nowhere(page: Page, receiver: Receiver) -> None:
    snapshot(receiver, component("arn:a", Name="alone"), relation("arn:a", "arn:elsewhere"))
    load(page, receiver)

    open_details(page, "alone")

    expect(panel(page)).to_contain_text("arn:elsewhere")
    expect(panel(page).get_by_role("button", name="arn:elsewhere", exact=True)).to_have_count(0)


def test_a_click_on_a_component_in_the_graph_opens_its_details(shop: Page) -> None:
    box = shop.locator("#graph canvas").bounding_box()
    assert box
    [spot] = [each["at"] for each in drawn(shop) if each["name"] == "baskets"]

    shop.mouse.click(box["x"] + spot[0], box["y"] + spot[1])

    expect(panel(shop).get_by_role("heading", name="baskets")).to_be_visible()


def test_the_address_leads_back_to_a_component(shop: Page) -> None:
    open_details(shop, "baskets")

    shop.reload()

    expect(panel(shop).get_by_role("heading", name="baskets")).to_be_visible()


def test_the_address_leads_back_to_view_grouping_search_and_filters(page: Page, receiver: Receiver) -> None:
    snapshot(receiver, *SHOP, *NETWORK)
    load(page, receiver)
    page.get_by_role("button", name="Serverless").click()
    page.get_by_label("Group by").select_option("Type")
    kind(page, "Lambda function").click()
    page.get_by_label("Filter by label").fill("team:shop")
    page.get_by_role("searchbox", name="Search").fill("check")
    expect(page).to_have_url(re.compile("q=check"))

    page.reload()

    ready(page)
    expect(page.get_by_text("1 of 5 components")).to_be_visible()
    expect(page.get_by_role("searchbox", name="Search")).to_have_value("check")
    expect(page.get_by_role("button", name="Serverless")).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_label("Group by")).to_have_value("type")
    assert bright(page) == {"checkout"}
    assert boxes(page)["jobs"] == ["SQS queue"]


def test_an_address_that_somebody_else_sends_is_followed_without_a_reload(shop: Page) -> None:
    shop.evaluate("location.hash = '#view=serverless&q=orders&group=nonsense&view=unheard'")

    expect(shop.get_by_text("1 of 4 components")).to_be_visible()
    assert bright(shop) == {"orders"}


CHAIN = (
    *(component(f"arn:{name}", Name=name) for name in ("web", "api", "queue", "worker", "other")),
    *(relation(f"arn:{a}", f"arn:{b}") for a, b in (("web", "api"), ("api", "queue"), ("queue", "worker"))),
)


@pytest.mark.parametrize(
    ("reach", "shown"),
    [
        ("1 step around it", {"web", "api", "queue"}),
        ("2 steps around it", {"web", "api", "queue", "worker"}),
        ("what it needs", {"api", "queue", "worker"}),
        ("what needs it", {"api", "web"}),
    ],
)
def test_nothing_but_the_surroundings_of_a_component_can_be_shown(
    page: Page, receiver: Receiver, reach: str, shown: set[str]
) -> None:
    snapshot(receiver, *CHAIN)
    load(page, receiver)
    everything = names(page)
    open_details(page, "api")

    panel(page).get_by_label("Show").select_option(reach)

    expect(page.get_by_label("Counts", exact=True)).to_contain_text(f"components{len(shown)}")
    ready(page)
    assert names(page) == shown
    page.get_by_role("button", name=f"Only {reach.replace('it needs', 'api needs').replace(' it', ' api')}").click()
    expect(page.get_by_label("Counts", exact=True)).to_contain_text(f"components{len(everything)}")


def test_what_needs_something_is_drawn_above_it(page: Page, receiver: Receiver) -> None:
    snapshot(receiver, *CHAIN)
    load(page, receiver)

    heights = {each["name"]: each["at"][1] for each in drawn(page)}

    assert heights["web"] < heights["api"] < heights["queue"] < heights["worker"]


def test_relations_in_a_circle_are_drawn(page: Page, receiver: Receiver) -> None:
    snapshot(receiver, *CHAIN, relation("arn:worker", "arn:web"), relation("arn:api", "arn:api"))
    load(page, receiver)

    heights = {round(each["at"][1]) for each in drawn(page) if each["name"] != "other"}
    assert len(heights) == 4


def test_a_group_folds_into_one_component_and_unfolds_again(page: Page, receiver: Receiver) -> None:
    snapshot(receiver, *SHOP, *NETWORK, relation("arn:checkout", "i-1"))
    load(page, receiver)
    everything = names(page)

    page.get_by_role("button", name="Fold").click()
    wait_for(page, "length === 2")
    assert names(page) == {"shop", "Outside VPCs"}

    page.get_by_role("application", name="Graph").focus()
    page.keyboard.press("ArrowRight")
    expect(panel(page)).to_contain_text("folded into one")
    page.keyboard.press("Escape")

    open_details(page, "web")
    wait_for(page, "length > 2")
    assert names(page) == {"shop", "front", "web", "Outside VPCs"}

    page.get_by_role("button", name="Fold").click()
    wait_for(page, f"length === {len(everything)}")


def test_a_click_on_the_title_of_a_group_folds_it(page: Page, receiver: Receiver) -> None:
    snapshot(receiver, *NETWORK)
    load(page, receiver)
    box = page.locator("#graph canvas").bounding_box()
    assert box
    title = page.evaluate("document.getElementById('graph').graph.painter.titles.find(({box}) => box.title === 'shop')")

    page.mouse.click(box["x"] + title["left"] + 5, box["y"] + title["top"] + 5)

    wait_for(page, "some(({id}) => id.startsWith('group|'))")
    assert names(page) == {"shop", "base", "jobs"}


def test_what_is_seen_is_kept_as_a_picture_and_what_was_found_as_data(shop: Page) -> None:
    kind(shop, "Lambda function").click()

    with shop.expect_download() as picture:
        shop.get_by_role("button", name="Save as PNG").click()
    with shop.expect_download() as kept:
        shop.get_by_role("button", name="Save as JSON").click()

    assert picture.value.path().read_bytes().startswith(b"\x89PNG")
    document = json.loads(kept.value.path().read_text())
    assert {each["externalId"] for each in document["components"]} == {"arn:checkout", "arn:mailer"}


CONSOLE = "https://eu-west-1.console.aws.amazon.com"
GOV_CLOUD = "https://us-gov-west-1.console.amazonaws-us-gov.com"


@pytest.mark.parametrize(
    ("shown", "address"),
    [
        (component("i-1", "aws.ec2", Name="x"), f"{CONSOLE}/ec2/home?region=eu-west-1#InstanceDetails:instanceId=i-1"),
        (
            component("arn:aws:lambda:eu-west-1:1:function:f:live", "aws.lambda.alias"),
            f"{CONSOLE}/lambda/home?region=eu-west-1#/functions/f/aliases/live",
        ),
        (
            component("arn:aws:s3:::b", "aws.s3_bucket", Name="b", BucketLocation="eu-north-1"),
            "https://eu-north-1.console.aws.amazon.com/s3/buckets/b?region=eu-north-1",
        ),
        (
            component("vpc-1", "aws.vpc", Location=REGION | {"AwsRegion": "cn-north-1"}),
            "https://cn-north-1.console.amazonaws.cn/vpcconsole/home?region=cn-north-1#VpcDetails:VpcId=vpc-1",
        ),
        (
            component("sg-1", "aws.security-group", Location=REGION | {"AwsRegion": "us-gov-west-1"}),
            f"{GOV_CLOUD}/ec2/home?region=us-gov-west-1#SecurityGroup:groupId=sg-1",
        ),
    ],
)
def test_details_link_to_the_resource_in_the_console(
    page: Page, receiver: Receiver, shown: dict[str, object], address: str
) -> None:
    snapshot(receiver, shown)
    load(page, receiver)

    page.goto(f"{page.url}#id={'aws%2F123456789012%7C'}{shown['externalId']}")
    page.reload()

    expect(panel(page).get_by_role("link", name="Open in the AWS console")).to_have_attribute("href", address)


def test_data_cannot_lead_the_console_link_elsewhere(page: Page, receiver: Receiver) -> None:
    snapshot(receiver, component("i-1", "aws.ec2", Name="web", Location={"AwsRegion": "evil.example/"}))
    load(page, receiver)

    open_details(page, "web")

    expect(panel(page).get_by_role("link")).to_have_count(0)


def test_data_are_shown_as_text_and_never_as_markup(page: Page, receiver: Receiver) -> None:
    snapshot(receiver, component("arn:x", Name="<img src=x onerror=alert(1)>", Tags={"<b>": "<i>"}))
    load(page, receiver)

    page.get_by_role("searchbox", name="Search").fill("arn:x")
    listed(page, "<img src=x onerror=alert(1)>").click()

    expect(panel(page).get_by_role("heading", name="<img")).to_be_visible()


def test_the_view_moves_by_mouse_and_shows_everything_again(shop: Page) -> None:
    before = [each["at"] for each in drawn(shop)]

    shop.mouse.move(700, 400)
    shop.mouse.down()
    shop.mouse.move(760, 430, steps=3)
    shop.mouse.up()
    shop.mouse.wheel(0, -300)
    shop.wait_for_timeout(100)
    assert [each["at"] for each in drawn(shop)] != before

    shop.get_by_role("button", name="Fit").click()
    assert [each["at"] for each in drawn(shop)] == before
