"""Amazon Route 53: hosted zones and their records."""

from collections.abc import Iterator

from topology.declare import Call, Ids, PerBatch, PerItem, Resource, on
from topology.elements import Element, Item, Scope
from topology.shape import component

GONE = ("NoSuchHostedZone",)
GET_HOSTED_ZONE = Call(
    "route53",
    "get_hosted_zone",
    "{Id: HostedZone.Id, HostedZone: HostedZone, DelegationSet: DelegationSet}",
    ids=Ids("Id"),
    gone=GONE,
)


def bare_id(key: str) -> str:
    """The id of a zone as requests and tags have it."""
    return key.rpartition("/")[2]


def zone_id(_scope: Scope, key: str) -> str:
    """The id of a zone, as answers have it, from itself, its bare form or its ARN."""
    return f"/hostedzone/{bare_id(key)}"


def elements(scope: Scope, item: Item) -> Iterator[Element]:
    """A hosted zone with its records. The services found through it say so themselves."""
    id_ = item["Id"]
    # The listing says the same, but for the name servers: it serves where the look-up is denied.
    described = item.get("Described", item)
    if described is None:
        return
    data = {
        "Id": id_,
        "HostedZone": described["HostedZone"],
        "Tags": item.get("Tags") or [],
        "URN": [f"arn:{scope.partition}:route53:::hostedzone/{bare_id(id_)}"],
    }
    if name_servers := described.get("DelegationSet"):
        data["DelegationSet"] = name_servers
    if "ResourceRecordSets" in item:
        data["ResourceRecordSets"] = item["ResourceRecordSets"] or []
    yield component(scope, "aws.route53.hostedzone", id_, data)


HOSTED_ZONE = Resource(
    kind="route53.hosted-zone",
    components=["aws.route53.hostedzone"],
    listed_by=Call("route53", "list_hosted_zones", "HostedZones[].{Id: Id, HostedZone: @, Listed: `true`}"),
    looked_up_by=GET_HOSTED_ZONE,
    key="Id",
    details=[
        # Only this call knows the name servers.
        PerItem("Described", GET_HOSTED_ZONE, {"Id": "Id"}, when=lambda _scope, item: bool(item.get("Listed"))),
        PerItem(
            "ResourceRecordSets",
            Call("route53", "list_resource_record_sets", "ResourceRecordSets[]", gone=GONE),
            {"HostedZoneId": "Id"},
        ),
        PerBatch(
            "Tags",
            Call(
                "route53",
                "list_tags_for_resources",
                "ResourceTagSets[]",
                {"ResourceType": "hostedzone"},
                ids=Ids("ResourceIds", 10),
                gone=GONE,
            ),
            id=lambda _scope, item: bare_id(item["Id"]),
            match="ResourceId",
            value="Tags",
        ),
    ],
    elements=elements,
    component_id=zone_id,
    lookup_key=zone_id,
    arn=r"arn:[^:]+:route53:::hostedzone/(?P<key>[^/]+)",
    global_=True,
    changes=[
        on("CreateHostedZone", key="responseElements.hostedZone.id", creates=True),
        on("DeleteHostedZone", key="requestParameters.id || requestParameters.hostedZoneId"),
        on("UpdateHostedZoneComment", key="requestParameters.id || responseElements.hostedZone.id"),
        on(
            *("UpdateHostedZoneFeatures", "ChangeResourceRecordSets"),
            *("AssociateVPCWithHostedZone", "DisassociateVPCFromHostedZone"),
            key="requestParameters.hostedZoneId",
        ),
        # Health checks have tags as well.
        on(
            "ChangeTagsForResource",
            key="requestParameters.resourceType && requestParameters.resourceType == 'hostedzone'"
            " && requestParameters.resourceId",
        ),
        # Of the three, DeleteTrafficPolicyInstance does not say whose records it removes.
        on(
            *("CreateTrafficPolicyInstance", "UpdateTrafficPolicyInstance", "DeleteTrafficPolicyInstance"),
            key="requestParameters.hostedZoneId || responseElements.trafficPolicyInstance.hostedZoneId",
        ),
    ],
)
