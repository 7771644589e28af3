"""AWS Lambda: functions with their aliases, and event source mappings."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from topology.declare import Call, Ids, Path, PerItem, Resource, bulk_tags, on, on_native
from topology.elements import Element, Item, Relation, Scope, relation_id
from topology.event_fields import text
from topology.shape import component, relation

GONE = ("ResourceNotFoundException",)
# What only the look-up of one function answers; without these it says the same as the listing.
NOT_LISTED = frozenset(
    {
        *("State", "StateReason", "StateReasonCode", "RuntimeVersionConfig", "ResponseMetadata"),
        *("LastUpdateStatus", "LastUpdateStatusReason", "LastUpdateStatusReasonCode"),
    }
)

# ---------------------------------------------------------------------------------------------------- functions

# A name, or an ARN of which any part but the name may be missing.
FUNCTION_NAME = re.compile(
    r"((((arn:[^:]+:lambda:)?(?P<region>[^:]+):)?(?P<account>\d{12}):)?function:)?(?P<name>[\w.-]+)(:[\w$-]+)?"
)


def function_name(scope: Scope, key: str) -> str:
    """The name of a function from a name or an ARN, whole or partial, with or without a qualifier.

    Nothing for ARNs of what else Lambda has, nor for functions of other accounts and regions.
    """
    found = FUNCTION_NAME.fullmatch(key)
    if not found or found["account"] not in (None, scope.account) or found["region"] not in (None, scope.region):
        return ""
    return found["name"]


def function_arn(scope: Scope, key: str) -> str:
    """The ARN of a function from whatever names it."""
    return scope.arn("lambda", f"function:{function_name(scope, key)}")


def elements(scope: Scope, item: Item) -> Iterator[Element]:
    """A function and its aliases, with the network that they are in."""
    arn = item["FunctionArn"]
    data = {key: value for key, value in item.items() if key not in NOT_LISTED and key != "Aliases"}
    function = component(scope, "aws.lambda", arn, data | {"Tags": item.get("Tags") or {}})
    yield function
    network = item.get("VpcConfig") or {}
    vpc = network.get("VpcId")
    if vpc:
        yield Relation(arn, "uses service", vpc)
    for group in network.get("SecurityGroupIds") or ():
        yield Relation(arn, "uses service", group)
    for alias in item.get("Aliases") or ():
        yield component(scope, "aws.lambda.alias", alias["AliasArn"], {**alias, "Function": function.data})
        if vpc:
            yield Relation(alias["AliasArn"], "uses service", vpc)


def deleted_alias(scope: Scope, detail: Item) -> list[str]:
    """The alias that a DeleteAlias ends."""
    function, name = function_name(scope, text(detail, NAMED)), text(detail, "requestParameters.name")
    return [f"{function_arn(scope, function)}:{name}"] if function and name else []


NAMED = "requestParameters.functionName || responseElements.functionName"
# The name in what newer events have besides.
RECORDED = "requestParameters.fullyQualifiedArn.relativeId.functionName"
QUALIFIER = "requestParameters.qualifier"
CHANGED = f"responseElements.functionArn || {NAMED} || {RECORDED}"

FUNCTION = Resource(
    kind="lambda.function",
    components=["aws.lambda", "aws.lambda.alias"],
    relates={"uses service": ["aws.vpc", "aws.security-group"]},
    listed_by=Call("lambda", "list_functions", "Functions[]"),
    # Not get_function: that answers with a link to the function's code as well, which nobody here should hold.
    looked_up_by=Call("lambda", "get_function_configuration", "@", ids=Ids("FunctionName"), gone=GONE),
    key="FunctionName",
    details=[
        PerItem(
            "Tags",
            Call("lambda", "list_tags", "Tags", gone=GONE),
            {"Resource": "FunctionArn"},
            in_snapshot=bulk_tags(lambda _scope, item: item["FunctionArn"]),
        ),
        PerItem(
            "Aliases",
            Call("lambda", "list_aliases", "Aliases[]", gone=GONE),
            {"FunctionName": "FunctionName"},
            holds_components=True,
        ),
    ],
    elements=elements,
    component_id=function_arn,
    lookup_key=function_name,
    passing="State == 'Pending' || LastUpdateStatus == 'InProgress'",
    arn=r"(?P<key>arn:[^:]+:lambda:[^:]+:[^:]+:function:[^:]+)",
    cloudformation={"AWS::Lambda::Function": ["aws.lambda"]},
    secrets=["Environment.Variables.*", "Function.Environment.Variables.*"],
    changes=[
        on("CreateFunction", key=CHANGED, creates=True),
        on("UpdateFunctionConfiguration", "UpdateFunctionCode", "PutRuntimeManagementConfig", key=CHANGED),
        # With a qualifier, it ends a version, which is nothing that is seen.
        on("DeleteFunction", key=f"!({QUALIFIER}) && ({NAMED}) || {QUALIFIER} && `false`"),
        on(
            *("PublishVersion", "CreateAlias", "UpdateAlias"),
            key=f"{NAMED} || responseElements.aliasArn || responseElements.functionArn",
        ),
        on("DeleteAlias", key=NAMED, ended=deleted_alias),
        on("TagResource", "UntagResource", key="requestParameters.resource"),
    ],
)

# ---------------------------------------------------------------------------------------- event source mappings


MAPPING_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
FUNCTION_ARN = "arn:[^:]+:lambda:[^:]+:[^:]+:function:"
LIST_MAPPINGS = Call("lambda", "list_event_source_mappings", "EventSourceMappings[]")
MAPPING = "requestParameters.uUID || responseElements.uUID || responseElements.eventSourceMappingArn"


def mapping_elements(_scope: Scope, item: Item) -> Iterator[Element]:
    """What a function reads from, while the mapping is switched on."""
    if item.get("State") == "Enabled" and item.get("EventSourceArn"):
        data = {key: value for key, value in item.items() if key != "ResponseMetadata"}
        yield relation(item["FunctionArn"], "uses service", item["EventSourceArn"], data)


def mapping_id(_scope: Scope, key: str) -> str:
    """The id of a mapping from itself or its ARN; the ARN of a function stays, to look for its mappings."""
    if re.match(FUNCTION_ARN, key):
        return key
    return id_ if MAPPING_ID.fullmatch(id_ := key.rpartition(":event-source-mapping:")[2]) else ""


def ends_if(condition: Path) -> Callable[[Scope, Item], list[str]]:
    """What an event about a mapping ended, if the condition holds for it: the relation that the mapping was."""
    ends = "(responseElements || serviceEventDetails)"

    def ended(_scope: Scope, detail: Item) -> list[str]:
        function, source = (text(detail, f"{condition} && {ends}.{end}") for end in ("functionArn", "eventSourceArn"))
        return [relation_id(function, "uses service", source)] if function and source else []

    return ended


EVENT_SOURCE_MAPPING = Resource(
    kind="lambda.event-source-mapping",
    components=[],
    relates={"uses service": ["aws.sqs", "aws.kinesis", "aws.dynamodb.streams"]},
    listed_by=LIST_MAPPINGS,
    looked_up_by=Call("lambda", "get_event_source_mapping", "@", ids=Ids("UUID"), gone=GONE),
    also_looked_up_by={FUNCTION_ARN: replace(LIST_MAPPINGS, ids=Ids("FunctionName"), gone=GONE)},
    key="UUID",
    lookup_key=mapping_id,
    elements=mapping_elements,
    # Not while it is switched off or deleted, which is the end of the relation already.
    passing='contains(`["Creating", "Enabling", "Updating"]`, State)',
    changes=[
        on("CreateEventSourceMapping", key=MAPPING, creates=True),
        on("UpdateEventSourceMapping", key=MAPPING, ended=ends_if("requestParameters.enabled == `false`")),
        on("DeleteEventSourceMapping", key=MAPPING, ended=ends_if("`true`")),
        # Lambda itself gave up. AWS does not document what the event calls the mapping and the function.
        on_native(
            *("aws.lambda", "AWS Service Event via CloudTrail"),
            where={"eventName": ["LambdaESMDisabled"]},
            key="eventName == 'LambdaESMDisabled' && [serviceEventDetails, requestParameters, responseElements][].*[]",
            ended=ends_if("`true`"),
        ),
    ],
)

RESOURCES = (FUNCTION, EVENT_SOURCE_MAPPING)
