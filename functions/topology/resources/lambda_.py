"""AWS Lambda: functions with their aliases, and event source mappings."""

from collections.abc import Iterator

from topology.declare import Call, Ids, PerItem, Resource, bulk_tags, on
from topology.elements import Element, Item, Relation, Scope, relation_id
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


def function_name(_scope: Scope, key: str) -> str:
    """The name of a function from a name or an ARN, whole or partial, with or without a qualifier.

    Nothing for ARNs of what else Lambda has: event source mappings, code signing configurations.
    """
    before, found, after = key.rpartition("function:")
    if not found and before == "" and key.startswith("arn:"):
        return ""
    return after.partition(":")[0]


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
    request = detail.get("requestParameters") or {}
    if not (request.get("functionName") and request.get("name")):
        return []
    return [f"{function_arn(scope, request['functionName'])}:{request['name']}"]


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
    arn=r"(?P<key>arn:[^:]+:lambda:[^:]+:[^:]+:function:[^:]+)",
    cloudformation={"AWS::Lambda::Function": ["aws.lambda"]},
    secrets=["Environment.Variables.*", "Function.Environment.Variables.*"],
    changes=[
        on("CreateFunction", key="responseElements.functionArn || requestParameters.functionName", creates=True),
        on(
            *("UpdateFunctionConfiguration", "UpdateFunctionCode", "PutRuntimeManagementConfig"),
            key="responseElements.functionArn || requestParameters.functionName",
        ),
        # With a qualifier, DeleteFunction ends a version only: the look-up tells.
        on("DeleteFunction", "PublishVersion", "CreateAlias", "UpdateAlias", key="requestParameters.functionName"),
        on("DeleteAlias", key="requestParameters.functionName", ended=deleted_alias),
        on("TagResource", "UntagResource", key="requestParameters.resource"),
    ],
)

# ---------------------------------------------------------------------------------------- event source mappings


def mapping_elements(_scope: Scope, item: Item) -> Iterator[Element]:
    """What a function reads from, while the mapping is switched on."""
    if item.get("State") == "Enabled" and item.get("EventSourceArn"):
        data = {key: value for key, value in item.items() if key != "ResponseMetadata"}
        yield relation(item["FunctionArn"], "uses service", item["EventSourceArn"], data)


def ended_mapping(_scope: Scope, detail: Item) -> list[str]:
    """The relation that a change of a mapping may have ended."""
    ends = detail.get("responseElements") or {}
    if not (ends.get("functionArn") and ends.get("eventSourceArn")):
        return []
    return [relation_id(ends["functionArn"], "uses service", ends["eventSourceArn"])]


EVENT_SOURCE_MAPPING = Resource(
    kind="lambda.event-source-mapping",
    components=[],
    relates={"uses service": ["aws.sqs", "aws.kinesis", "aws.dynamodb.streams"]},
    listed_by=Call("lambda", "list_event_source_mappings", "EventSourceMappings[]"),
    looked_up_by=Call("lambda", "get_event_source_mapping", "@", ids=Ids("UUID"), gone=GONE),
    key="UUID",
    elements=mapping_elements,
    changes=[
        # `Creating` at first, and only `Enabled` is a relation.
        on("CreateEventSourceMapping", key="responseElements.uUID", creates=True),
        on(
            *("UpdateEventSourceMapping", "DeleteEventSourceMapping"),
            key="requestParameters.uUID || responseElements.uUID",
            ended=ended_mapping,
        ),
    ],
)

RESOURCES = (FUNCTION, EVENT_SOURCE_MAPPING)
