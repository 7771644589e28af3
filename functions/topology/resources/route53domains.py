"""Amazon Route 53 Domains: registered domains."""

from collections.abc import Iterator

from topology.declare import Call, Change, ForAll, PerItem, Resource, on
from topology.elements import Element, Item, Scope
from topology.shape import component

# Not get_domain_detail: that answers with the names and addresses of people.
LIST_DOMAINS = Call("route53domains", "list_domains", "Domains[]", {"MaxItems": 100})


def domain_name(_scope: Scope, key: str) -> str:
    """The name of a domain from itself or its ARN, as the listing spells it."""
    return key.rpartition("/")[2].lower()


def elements(scope: Scope, item: Item) -> Iterator[Element]:
    """A registered domain."""
    for listed in item.get("Listed", [item]):
        name = listed["DomainName"]
        urn = f"arn:{scope.partition}:route53::{scope.account}:domain/{name}"
        yield component(scope, "aws.route53.domain", name, {**listed, "Tags": item.get("Tags") or [], "URN": [urn]})


def on_either_casing(*names: str) -> Change:
    """CloudTrail has been seen to spell these calls, and their domain, in two ways."""
    spellings = [spelling for name in names for spelling in (name, name[0].lower() + name[1:])]
    return on(*spellings, key="requestParameters.domainName.name || requestParameters.domainName")


DOMAIN = Resource(
    kind="route53domains.domain",
    components=["aws.route53.domain"],
    listed_by=LIST_DOMAINS,
    key="DomainName",
    details=[
        # Nothing looks up a domain but the list of all.
        ForAll("Listed", LIST_DOMAINS, id="DomainName", match="DomainName", required=True, in_snapshot=False),
        PerItem(
            "Tags",
            Call(
                "route53domains",
                "list_tags_for_domain",
                "TagList[]",
                # A domain that is not the account's; a top-level domain that has no tags.
                gone=("InvalidInput", "UnsupportedTLD"),
            ),
            {"DomainName": "DomainName"},
            when=lambda _scope, item: bool(item.get("Listed", True)),
        ),
    ],
    elements=elements,
    component_id=domain_name,
    lookup_key=domain_name,
    arn=r"arn:[^:]+:route53domains:[^:]*:[^:]*:domain/(?P<key>[^/]+)",
    global_=True,
    changes=[
        # Not declared as creating: a new domain is listed when its operation ends, hours or days later.
        on_either_casing("RegisterDomain", "TransferDomain", "AcceptDomainTransferFromAnotherAwsAccount"),
        on_either_casing("DeleteDomain", "TransferDomainToAnotherAwsAccount", "PushDomain"),
        on_either_casing(
            *("UpdateDomainContact", "UpdateDomainContactPrivacy", "UpdateDomainNameservers", "RenewDomain"),
            *("EnableDomainAutoRenew", "DisableDomainAutoRenew"),
            *("EnableDomainTransferLock", "DisableDomainTransferLock"),
            *("AssociateDelegationSignerToDomain", "DisassociateDelegationSignerFromDomain"),
            *("UpdateTagsForDomain", "DeleteTagsForDomain"),
        ),
    ],
)
