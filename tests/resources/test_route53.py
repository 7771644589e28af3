"""Hosted zones, as the StackPack knows them."""

from collections.abc import Callable
from typing import Any

import boto3
import pytest

from tests.account import TestAccount, api_call
from tests.resources.support import calls, refuse, scope, touched, unresolved
from topology.elements import Component
from topology.resources import route53

GLOBAL = "us-east-1"
ZONE = "/hostedzone/Z0123456789ABCDEFGHIJ"
BARE = "Z0123456789ABCDEFGHIJ"

OpenAccount = Callable[..., TestAccount]


def create(session: boto3.Session, name: str = "shop.example.", tags: dict[str, str] | None = None) -> str:
    client = session.client("route53")
    zone: str = client.create_hosted_zone(Name=name, CallerReference=name)["HostedZone"]["Id"]
    pairs = [{"Key": key, "Value": value} for key, value in (tags or {}).items()]
    if pairs:
        bare = zone.rpartition("/")[2]
        client.change_tags_for_resource(ResourceType="hostedzone", ResourceId=bare, AddTags=pairs)
    return zone


def add_records(session: boto3.Session, zone: str, count: int) -> None:
    session.client("route53").change_resource_record_sets(
        HostedZoneId=zone,
        ChangeBatch={
            "Changes": [
                {
                    "Action": "CREATE",
                    "ResourceRecordSet": {
                        "Name": f"r{number}.shop.example.",
                        "Type": "A",
                        "TTL": 60,
                        "ResourceRecords": [{"Value": "192.0.2.1"}],
                    },
                }
                for number in range(count)
            ]
        },
    )


def test_a_zone_has_its_records_name_servers_tags_and_arn(aws: boto3.Session, account: OpenAccount) -> None:
    zone = create(aws, tags={"Team": "Shop"})
    add_records(aws, zone, 1)

    [found] = account(route53.HOSTED_ZONE).snapshot().components.values()

    assert (found.id, found.type) == (zone, "aws.route53.hostedzone")
    assert zone.startswith("/hostedzone/")
    assert set(found.data) == {"Id", "HostedZone", "DelegationSet", "ResourceRecordSets", "Tags", "URN", "Location"}
    assert found.data["Id"] == zone
    assert found.data["HostedZone"]["Name"] == "shop.example."
    assert found.data["DelegationSet"]["NameServers"]
    assert {"Name": "r0.shop.example.", "Type": "A", "TTL": 60, "ResourceRecords": [{"Value": "192.0.2.1"}]} in (
        found.data["ResourceRecordSets"]
    )
    assert found.data["Tags"] == {"Team": "Shop"}
    assert found.data["URN"] == [f"arn:aws:route53:::{zone[1:]}"]
    assert found.data["Location"] == {"AwsAccount": "123456789012", "AwsRegion": GLOBAL}


def test_a_private_zone_has_no_name_servers_and_an_untagged_one_an_empty_mapping() -> None:
    item: dict[str, Any] = {"Id": ZONE, "HostedZone": {"Id": ZONE}, "DelegationSet": None, "ResourceRecordSets": []}

    [zone] = route53.elements(scope("route53", GLOBAL), item)

    assert isinstance(zone, Component)
    assert "DelegationSet" not in zone.data
    assert zone.data["Tags"] == {}


def test_the_arn_is_of_the_partition() -> None:
    [zone] = route53.elements(scope("route53", "cn-northwest-1", "aws-cn"), {"Id": ZONE, "HostedZone": {"Id": ZONE}})

    assert isinstance(zone, Component)
    assert zone.data["URN"] == [f"arn:aws-cn:route53:::hostedzone/{BARE}"]


def test_zones_are_read_once_however_many_regions_there_are(aws: boto3.Session, account: OpenAccount) -> None:
    create(aws)

    found = account(route53.HOSTED_ZONE, regions=("eu-west-1", "eu-central-1")).snapshot()

    assert len([one for one in found.all if isinstance(one, Component)]) == 1


def test_records_and_zones_are_read_to_the_last_page(aws: boto3.Session, account: OpenAccount) -> None:
    zones = [create(aws), *[create(aws, f"z{number}.example.") for number in range(100)]]
    add_records(aws, zones[0], 301)

    found = account(route53.HOSTED_ZONE).snapshot()

    assert set(found.components) == set(zones)
    assert len(found.components[zones[0]].data["ResourceRecordSets"]) >= 301
    assert not found.incomplete


def test_tags_come_ten_zones_a_call(aws: boto3.Session, account: OpenAccount) -> None:
    for number in range(11):
        create(aws, f"z{number}.example.", {"number": str(number)})
    opened = account(route53.HOSTED_ZONE)
    counted = calls(opened.client("route53", GLOBAL))

    found = opened.snapshot()

    assert counted == {
        "ListHostedZones": 1,
        "GetHostedZone": 11,
        "ListResourceRecordSets": 11,
        "ListTagsForResources": 2,
    }
    assert all(zone.data["Tags"] for zone in found.components.values())


def test_a_snapshot_and_an_event_say_the_same(aws: boto3.Session, account: OpenAccount) -> None:
    zone = create(aws, tags={"Team": "Shop"})
    opened = account(route53.HOSTED_ZONE)

    snapshot = opened.snapshot()
    after = opened.after(
        api_call("route53", "ChangeResourceRecordSets", {"hostedZoneId": zone.rpartition("/")[2]}, region=GLOBAL)
    )

    assert snapshot.components == after.components
    assert not after.deleted


@pytest.mark.parametrize(
    ("operation", "action", "missing"),
    [
        ("get_hosted_zone", "route53:GetHostedZone", "DelegationSet"),
        ("list_resource_record_sets", "route53:ListResourceRecordSets", "ResourceRecordSets"),
        ("list_tags_for_resources", "route53:ListTagsForResources", ""),
    ],
)
def test_a_denied_detail_is_left_out_and_named(
    aws: boto3.Session, account: OpenAccount, operation: str, action: str, missing: str
) -> None:
    create(aws)
    opened = account(route53.HOSTED_ZONE)
    refuse(opened.client("route53", GLOBAL), operation, "AccessDenied")

    found = opened.snapshot()

    [zone] = found.components.values()
    assert zone.data["HostedZone"]["Name"] == "shop.example."
    assert zone.data["Tags"] == {}
    assert missing not in zone.data
    assert [one.error.action for one in found.left_out] == [action]
    assert not found.incomplete


def test_a_refused_listing_is_incomplete(aws: boto3.Session, account: OpenAccount) -> None:
    opened = account(route53.HOSTED_ZONE)
    refuse(opened.client("route53", GLOBAL), "list_hosted_zones", "AccessDenied")

    assert [one.error.action for one in opened.snapshot().incomplete] == ["route53:ListHostedZones"]


def test_a_zone_that_ends_while_a_snapshot_runs_is_not_in_it(aws: boto3.Session, account: OpenAccount) -> None:
    create(aws)
    opened = account(route53.HOSTED_ZONE)
    refuse(opened.client("route53", GLOBAL), "get_hosted_zone", "NoSuchHostedZone")

    found = opened.snapshot()

    assert not found.components
    assert not found.incomplete


@pytest.mark.parametrize(
    ("name", "request_", "response"),
    [
        ("CreateHostedZone", {"name": "shop.example"}, {"hostedZone": {"id": ZONE}}),
        ("DeleteHostedZone", {"id": BARE}, None),
        ("UpdateHostedZoneComment", {"id": BARE}, {"hostedZone": {"id": ZONE}}),
        ("UpdateHostedZoneFeatures", {"hostedZoneId": BARE}, None),
        ("ChangeResourceRecordSets", {"hostedZoneId": BARE}, {"changeInfo": {"id": "/change/C1"}}),
        ("AssociateVPCWithHostedZone", {"hostedZoneId": BARE}, None),
        ("DisassociateVPCFromHostedZone", {"hostedZoneId": BARE}, None),
        ("ChangeTagsForResource", {"resourceType": "hostedzone", "resourceId": BARE}, None),
        ("CreateTrafficPolicyInstance", {"hostedZoneId": BARE}, None),
        ("UpdateTrafficPolicyInstance", {"id": "1"}, {"trafficPolicyInstance": {"hostedZoneId": BARE}}),
    ],
)
def test_an_event_leads_to_its_zone(name: str, request_: dict[str, Any], response: dict[str, Any] | None) -> None:
    event = api_call("route53", name, request_, response, region=GLOBAL)

    assert touched([route53.HOSTED_ZONE], event) == {("route53.hosted-zone", ZONE)}


def test_the_tagging_api_names_a_zone_by_its_arn() -> None:
    event = api_call("tagging", "TagResources", {"resourceARNList": [f"arn:aws:route53:::hostedzone/{BARE}"]})

    assert touched([route53.HOSTED_ZONE], event) == {("route53.hosted-zone", ZONE)}


def test_tags_of_a_health_check_touch_nothing() -> None:
    event = api_call("route53", "ChangeTagsForResource", {"resourceType": "healthcheck", "resourceId": "1-2-3"})

    assert not touched([route53.HOSTED_ZONE], event)


@pytest.mark.parametrize(
    "event",
    [
        api_call("route53", "DeleteTrafficPolicyInstance", {"id": "1"}),
        api_call("route53", "ChangeResourceRecordSets", {"omitted": True}),
    ],
)
def test_an_event_that_names_no_zone_is_left_to_the_snapshot(event: dict[str, Any]) -> None:
    assert unresolved([route53.HOSTED_ZONE], event)


def test_a_deleted_zone_is_deleted(aws: boto3.Session, account: OpenAccount) -> None:
    after = account(route53.HOSTED_ZONE).after(api_call("route53", "DeleteHostedZone", {"id": BARE}, region=GLOBAL))

    assert after.deleted == {ZONE}


def test_a_new_zone_that_is_not_known_yet_is_looked_at_again(aws: boto3.Session, account: OpenAccount) -> None:
    event = api_call("route53", "CreateHostedZone", {}, {"hostedZone": {"id": ZONE}}, region=GLOBAL)

    after = account(route53.HOSTED_ZONE).after(event)

    assert [one.touched.key for one in after.unsettled] == [ZONE]
    assert not after.deleted


def test_a_denied_look_after_an_event_deletes_nothing(aws: boto3.Session, account: OpenAccount) -> None:
    opened = account(route53.HOSTED_ZONE)
    refuse(opened.client("route53", GLOBAL), "get_hosted_zone", "AccessDenied")

    after = opened.after(api_call("route53", "DeleteHostedZone", {"id": BARE}, region=GLOBAL))

    assert not after.deleted
    assert after.incomplete
