"""Registered domains, as the StackPack knows them."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest

from tests.account import TestAccount, api_call
from tests.resources.support import answer, refuse, touched
from topology.resources import route53domains

GLOBAL = "us-east-1"
DOMAIN = {
    "DomainName": "shop.example",
    "AutoRenew": True,
    "TransferLock": False,
    "Expiry": datetime(2027, 5, 14, 9, 30, tzinfo=UTC),
}
TAGS = {"TagList": [{"Key": "Team", "Value": "Shop"}]}
REFRESHED = [
    *("RegisterDomain", "TransferDomain", "AcceptDomainTransferFromAnotherAwsAccount"),
    *("DeleteDomain", "TransferDomainToAnotherAwsAccount", "PushDomain"),
    *("UpdateDomainContact", "UpdateDomainContactPrivacy", "UpdateDomainNameservers"),
    *("EnableDomainAutoRenew", "DisableDomainAutoRenew", "EnableDomainTransferLock", "DisableDomainTransferLock"),
    *("AssociateDelegationSignerToDomain", "DisassociateDelegationSignerFromDomain", "RenewDomain"),
    *("UpdateTagsForDomain", "DeleteTagsForDomain"),
]

OpenAccount = Callable[..., TestAccount]


def open_with(account: OpenAccount, *pages: list[dict[str, Any]]) -> tuple[TestAccount, Any]:
    """An account with domains in these pages of the list; moto knows no tags of domains."""
    opened = account(route53domains.DOMAIN)
    client = opened.client("route53domains", GLOBAL)
    answers = [{"Domains": page, "NextPageMarker": str(number)} for number, page in enumerate(pages, 1)]
    del answers[-1]["NextPageMarker"]
    answer(client, "list_domains", *answers)
    answer(client, "list_tags_for_domain", *[TAGS] * 500)
    return opened, client


def test_a_domain_is_its_list_entry_with_tags_and_an_arn(aws: boto3.Session, account: OpenAccount) -> None:
    opened, _ = open_with(account, [DOMAIN])

    [domain] = opened.snapshot().components.values()

    assert (domain.id, domain.type) == ("shop.example", "aws.route53.domain")
    assert domain.data == {
        "DomainName": "shop.example",
        "AutoRenew": True,
        "TransferLock": False,
        "Expiry": "2027-05-14T09:30:00+00:00",
        "Tags": {"Team": "Shop"},
        "URN": ["arn:aws:route53::123456789012:domain/shop.example"],
        "Location": {"AwsAccount": "123456789012", "AwsRegion": GLOBAL},
    }


def test_domains_are_listed_to_the_last_page_in_pages_of_a_hundred(aws: boto3.Session, account: OpenAccount) -> None:
    names = [f"d{number}.example" for number in range(102)]
    opened, client = open_with(account, [])
    pages = [[DOMAIN | {"DomainName": name} for name in names[:100]], [DOMAIN | {"DomainName": n} for n in names[100:]]]
    asked = answer(client, "list_domains", {"Domains": pages[0], "NextPageMarker": "1"}, {"Domains": pages[1]})

    assert set(opened.snapshot().components) == set(names)
    assert asked == [{"MaxItems": 100}, {"MaxItems": 100, "Marker": "1"}]


def test_domains_in_moto_are_seen(aws: boto3.Session, account: OpenAccount) -> None:
    contact = {"FirstName": "A", "LastName": "B", "Email": "a@example.com", "ContactType": "PERSON"}
    contact |= {"AddressLine1": "1", "City": "C", "CountryCode": "US", "ZipCode": "1", "PhoneNumber": "+1.5555555555"}
    aws.client("route53domains", region_name=GLOBAL).register_domain(
        DomainName="shop.com", DurationInYears=2, AdminContact=contact, RegistrantContact=contact, TechContact=contact
    )
    opened = account(route53domains.DOMAIN)
    answer(opened.client("route53domains", GLOBAL), "list_tags_for_domain", TAGS)

    [domain] = opened.snapshot().components.values()

    assert domain.id == "shop.com"
    assert "a@example.com" not in repr(domain)


def test_a_snapshot_and_an_event_say_the_same(aws: boto3.Session, account: OpenAccount) -> None:
    first, _ = open_with(account, [DOMAIN, DOMAIN | {"DomainName": "other.example"}])
    second, _ = open_with(account, [DOMAIN, DOMAIN | {"DomainName": "other.example"}])

    snapshot = first.snapshot()
    after = second.after(api_call("route53domains", "RenewDomain", {"domainName": "shop.example"}, region=GLOBAL))

    assert after.components == {"shop.example": snapshot.components["shop.example"]}
    assert not after.deleted


@pytest.mark.parametrize("code", ["AccessDeniedException", "InvalidInput", "UnsupportedTLD"])
def test_a_domain_whose_tags_aws_does_not_tell_has_none(aws: boto3.Session, account: OpenAccount, code: str) -> None:
    opened, client = open_with(account, [DOMAIN])
    refuse(client, "list_tags_for_domain", code)

    found = opened.snapshot()

    assert found.components["shop.example"].data["Tags"] == {}
    assert not found.incomplete
    named = ["route53domains:ListTagsForDomain"] if code == "AccessDeniedException" else []
    assert [one.error.action for one in found.left_out] == named


def test_a_refused_listing_is_incomplete(aws: boto3.Session, account: OpenAccount) -> None:
    opened = account(route53domains.DOMAIN)
    refuse(opened.client("route53domains", GLOBAL), "list_domains")

    assert [one.error.action for one in opened.snapshot().incomplete] == ["route53domains:ListDomains"]


@pytest.mark.parametrize("domain", ["shop.example", {"name": "shop.example"}, "Shop.Example"])
@pytest.mark.parametrize("region", ["us-east-1", "us-west-2"])
@pytest.mark.parametrize("name", REFRESHED + [name[0].lower() + name[1:] for name in REFRESHED])
def test_an_event_in_either_casing_leads_to_its_domain(name: str, region: str, domain: Any) -> None:
    event = api_call("route53domains", name, {"domainName": domain}, {"operationId": "1"}, region=region)

    assert touched([route53domains.DOMAIN], event) == {("route53domains.domain", "shop.example")}


def test_a_domain_that_is_no_longer_listed_is_deleted(aws: boto3.Session, account: OpenAccount) -> None:
    opened, client = open_with(account, [DOMAIN | {"DomainName": "other.example"}])
    asked = answer(client, "list_tags_for_domain")

    after = opened.after(api_call("route53domains", "DeleteDomain", {"domainName": "shop.example"}, region=GLOBAL))

    assert after.deleted == {"shop.example"}
    assert not after.components
    assert not asked


def test_a_refused_listing_after_an_event_deletes_nothing(aws: boto3.Session, account: OpenAccount) -> None:
    opened = account(route53domains.DOMAIN)
    refuse(opened.client("route53domains", GLOBAL), "list_domains")

    after = opened.after(api_call("route53domains", "DeleteDomain", {"domainName": "shop.example"}, region=GLOBAL))

    assert not after.deleted
    assert after.incomplete


def test_many_domains_are_looked_up_with_one_list(aws: boto3.Session, account: OpenAccount) -> None:
    opened, _ = open_with(account, [DOMAIN, DOMAIN | {"DomainName": "other.example"}])
    events = [
        api_call("route53domains", "RenewDomain", {"domainName": name}, region=GLOBAL)
        for name in ("shop.example", "other.example")
    ]

    assert set(opened.after(*events).components) == {"shop.example", "other.example"}
