"""Amazon DynamoDB: tables and their streams."""

from collections.abc import Iterator

from topology.arns import recorded
from topology.declare import Call, PerItem, Resource, bulk_tags, on
from topology.elements import Element, Item, Relation, Scope, relation_id
from topology.event_fields import text
from topology.shape import component, dimensions

GONE = ("ResourceNotFoundException",)
DESCRIBED = "responseElements.tableDescription.tableArn"
NAMED = "requestParameters.tableName"
RECORDED = recorded("AWS::DynamoDB::Table")
# A table names its latest stream also when that is switched off.
ENDED_STREAM = (
    "(eventName == 'DeleteTable' || !(responseElements.tableDescription.streamSpecification.streamEnabled))"
    " && responseElements.tableDescription.latestStreamArn"
)


def table_name(_scope: Scope, key: str) -> str:
    """The name of a table from itself, its ARN, or the ARN of its stream or index; nothing for other ARNs."""
    if not key.startswith("arn:"):
        return key
    return key.partition(":table/")[2].partition("/")[0]


def table_arn(scope: Scope, key: str) -> str:
    """The ARN of a table from whatever names it."""
    return scope.arn("dynamodb", f"table/{table_name(scope, key)}")


def elements(scope: Scope, item: Item) -> Iterator[Element]:
    """A table, and its stream while that is switched on."""
    table = item["Table"]
    arn = table["TableArn"]
    name = table["TableName"]
    yield component(
        scope,
        "aws.dynamodb",
        arn,
        {**table, "Name": arn, "Tags": item.get("Tags") or [], "CW": dimensions(TableName=name)},
    )
    stream = table.get("LatestStreamArn")
    if stream and table.get("StreamSpecification"):
        label = table.get("LatestStreamLabel") or stream.rpartition("/")[2]
        data = {"LatestStreamArn": stream, "LatestStreamLabel": label, "Name": stream}
        cw = dimensions(TableName=name, StreamLabel=label)
        yield component(scope, "aws.dynamodb.streams", stream, {**table["StreamSpecification"], **data, "CW": cw})
        yield Relation(arn, "uses service", stream)


def ended_stream(scope: Scope, detail: Item) -> list[str]:
    """The stream, and the relation to it, that an UpdateTable switched off or a DeleteTable took along."""
    stream = text(detail, ENDED_STREAM)
    return [stream, relation_id(table_arn(scope, stream), "uses service", stream)] if stream else []


TABLE = Resource(
    kind="dynamodb.table",
    components=["aws.dynamodb", "aws.dynamodb.streams"],
    relates={"uses service": ["aws.dynamodb.streams"]},
    listed_by=Call("dynamodb", "list_tables", "TableNames[].{TableName: @}"),
    key="TableName",
    details=[
        PerItem(
            "Table",
            Call("dynamodb", "describe_table", "Table", gone=GONE),
            {"TableName": "TableName"},
            required=True,
        ),
        PerItem(
            "Tags",
            Call("dynamodb", "list_tags_of_resource", "Tags[]", gone=GONE),
            {"ResourceArn": "Table.TableArn"},
            in_snapshot=bulk_tags(lambda _scope, item: item["Table"]["TableArn"]),
        ),
    ],
    elements=elements,
    component_id=table_arn,
    passing='contains(`["CREATING", "UPDATING", "DELETING"]`, Table.TableStatus)',
    lookup_key=table_name,
    arn=r"arn:[^:]+:dynamodb:[^:]+:[^:]+:table/(?P<key>[^/]+)",
    cloudformation={"AWS::DynamoDB::Table": ["aws.dynamodb"]},
    changes=[
        on("CreateTable", key=f"{DESCRIBED} || {NAMED} || {RECORDED}", creates=True),
        on("UpdateTable", "DeleteTable", key=f"{NAMED} || {DESCRIBED} || {RECORDED}", ended=ended_stream),
        on(
            *("RestoreTableFromBackup", "RestoreTableToPointInTime"),
            key=f"requestParameters.targetTableName || {DESCRIBED}",
            creates=True,
        ),
        on(
            "ImportTable",
            key="requestParameters.tableCreationParameters.tableName "
            "|| responseElements.importTableDescription.tableArn",
            creates=True,
        ),
        on(
            *("CreateGlobalTable", "UpdateGlobalTable", "UpdateGlobalTableSettings"),
            key="requestParameters.globalTableName || responseElements.globalTableDescription.globalTableName",
        ),
        on("TagResource", "UntagResource", key="requestParameters.resourceArn"),
    ],
)
