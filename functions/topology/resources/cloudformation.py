"""AWS CloudFormation: stacks, what they made, and the stacks that they are nested in."""

from collections.abc import Iterator
from dataclasses import replace

from topology.declare import Call, Ids, PerItem, Resource, on, on_native
from topology.elements import Element, Item, Scope, StackResource
from topology.shape import component, relation

# CloudFormation has no code of its own for a stack that does not exist.
GONE = ("ValidationError",)
DESCRIBE_STACKS = Call("cloudformation", "describe_stacks", "Stacks[]")
# The stack's fields that a summary in ListStacks has too: the data of the relation to the parent.
SUMMARY = (
    *("StackId", "StackName", "TemplateDescription", "CreationTime", "LastUpdatedTime", "DeletionTime"),
    *("StackStatus", "StackStatusReason", "ParentId", "RootId", "DriftInformation"),
)


def stack_id(_scope: Scope, key: str) -> str:
    """The id of a stack is its ARN, which a name does not tell."""
    return key if key.startswith("arn:") else ""


def elements(scope: Scope, item: Item) -> Iterator[Element]:
    """A stack, unless it is deleted: by its ARN, CloudFormation goes on answering for 90 days."""
    if item["StackStatus"] == "DELETE_COMPLETE":
        return
    id_ = item["StackId"]
    yield component(scope, "aws.cloudformation", id_, {key: value for key, value in item.items() if key != "Resources"})
    if parent := item.get("ParentId"):
        described = {**item, "TemplateDescription": item.get("Description")}
        summary = {key: described[key] for key in SUMMARY if described.get(key) is not None}
        yield relation(id_, "child of", parent, summary)
    for made in item.get("Resources") or ():
        if physical_id := made.get("PhysicalResourceId"):
            yield StackResource(id_, "has resource", made["ResourceType"], physical_id)


STACK = Resource(
    kind="cloudformation.stack",
    components=["aws.cloudformation"],
    relates={"child of": ["aws.cloudformation"], "has resource": ["(what the stack made)"]},
    listed_by=DESCRIBE_STACKS,
    looked_up_by=replace(DESCRIBE_STACKS, ids=Ids("StackName"), gone=GONE),
    also_looked_up_by={
        # Whoever names a change set by its ARN need not name the stack.
        "arn:[^:]+:cloudformation:[^:]+:[^:]+:changeSet/": Call(
            "cloudformation",
            "describe_change_set",
            "[StackId][]",
            ids=Ids("ChangeSetName"),
            gone=("ChangeSetNotFound",),
        )
    },
    key="StackId",
    details=[
        # Not describe_stack_resources, which ends at a hundred.
        PerItem(
            "Resources",
            Call("cloudformation", "list_stack_resources", "StackResourceSummaries[]", gone=GONE),
            {"StackName": "StackId"},
        )
    ],
    elements=elements,
    component_id=stack_id,
    arn=r"(?P<key>arn:[^:]+:cloudformation:[^:]+:[^:]+:stack/.+)",
    secrets=["Parameters.*.ParameterValue"],
    changes=[
        # The one event that comes for every change of every stack, nested ones included, and with the ARN.
        on_native(
            "aws.cloudformation",
            "CloudFormation Stack Status Change",
            "CloudFormation Drift Detection Status Change",
            key='"stack-id" || resources[0]',
        ),
        on(
            *("CreateStack", "UpdateStack", "CreateChangeSet", "UpdateTerminationProtection", "RollbackStack"),
            key="responseElements.stackId || requestParameters.stackName",
        ),
        on(
            *("DeleteStack", "CancelUpdateStack", "ContinueUpdateRollback"),
            key="requestParameters.stackName",
        ),
        on("ExecuteChangeSet", key="requestParameters.stackName || requestParameters.changeSetName"),
    ],
)
