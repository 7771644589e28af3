"""Amazon API Gateway: the stages, resources and methods of REST APIs, and what the methods call."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

from topology.declare import Call, Ids, PerItem, Resource, on
from topology.elements import Element, Item, Json, Relation, Scope
from topology.event_fields import text
from topology.shape import component, dimensions

GONE = ("NotFoundException",)
# IAM knows API Gateway's calls by their HTTP method.
ACTION = "apigateway:GET"
# How many APIs, or resources of an API, come in one page.
PAGE = 500

INTEGRATED = frozenset({"AWS", "AWS_PROXY", "HTTP_PROXY"})
STAGE_VARIABLE = re.compile(r"\$\{stageVariables\.([^}]+)\}")
FUNCTION = re.compile(r"/functions/(arn:[^/]+)")
QUEUE = re.compile(r"arn:[^:]+:apigateway:[^:]+:sqs:path/(?:.*/)?([^/]+)")
# Of all that can be tagged, APIs and their stages; the ARN has no account.
TAGGED = re.compile(r"arn:[^:]+:apigateway:[^:]*:[^:]*:/restapis/(?P<key>[^/]+)(/stages/[^/]+)?")


def rest_api_id(_scope: Scope, key: str) -> str:
    """The id of a REST API from itself, its ARN, or the ARN of one of its stages; nothing for anything else."""
    arn = unquote(key)
    if not arn.startswith("arn:"):
        return key
    found = TAGGED.fullmatch(arn)
    return found["key"] if found else ""


def stage_id(scope: Scope, api: str, stage: str) -> str:
    """The id of a stage: the ARN that permits to call it."""
    return scope.arn("execute-api", f"{api}/{stage}")


def elements(scope: Scope, item: Item) -> Iterator[Element]:
    """The stages of an API, each with all resources and methods: callers know them by the stage."""
    for stage in item.get("Stages") or ():
        id_ = stage_id(scope, item["id"], stage["stageName"])
        data = {
            "DeploymentId": stage.get("deploymentId"),
            "StageName": stage["stageName"],
            "RestApiId": item["id"],
            "RestApiName": item.get("name", ""),
        }
        if stage.get("tags") is not None:
            data["Tags"] = stage["tags"]
        yield component(scope, "aws.apigateway.stage", id_, {**data, "CW": metrics(data)})
        for resource in item.get("Resources") or ():
            if resource.get("resourceMethods"):
                yield from resource_elements(scope, id_, data, resource, stage.get("variables") or {})


def metrics(stage: Item, **first: str) -> Json:
    """The dimensions of what is in a stage."""
    return dimensions(**first, Stage=stage["StageName"], ApiName=stage["RestApiName"])


def resource_elements(scope: Scope, stage: str, stage_data: Item, resource: Item, variables: Item) -> Iterator[Element]:
    """A resource of one stage and its methods; everything carries the data of what it is in, tags included."""
    path = resource["path"]
    id_ = f"{stage}/*{path}"
    data = {"ResourceId": resource["id"], "Path": path, "PathPart": resource.get("pathPart"), **stage_data}
    yield component(scope, "aws.apigateway.resource", id_, {**data, "CW": metrics(data)})
    yield Relation(stage, "uses service", id_)
    for verb, method in sorted(resource["resourceMethods"].items()):
        integration = method.get("methodIntegration") or {}
        if integration.get("type") not in INTEGRATED:
            continue
        method_id = f"{stage}/{verb}{path}"
        uri = with_variables(integration.get("uri"), variables)
        called = integration if uri is None else {**integration, "uri": uri}
        yield component(
            scope,
            "aws.apigateway.method",
            method_id,
            {**method, "methodIntegration": called, **data, "CW": metrics(data, Method=verb, Resource=path)},
        )
        yield Relation(id_, "uses service", method_id)
        yield from integration_elements(scope, method_id, integration["type"], uri or "")


def integration_elements(scope: Scope, method: str, type_: str, uri: str) -> Iterator[Element]:
    """What a method calls: a function, a queue or a host."""
    if type_ == "AWS_PROXY":
        if function := FUNCTION.search(uri):
            yield Relation(method, "uses service", function[1])
    elif queue := QUEUE.fullmatch(uri):
        # The StackPack knows the queue by the account that was read, whatever account the URI names.
        yield Relation(method, "uses service", scope.arn("sqs", queue[1]))
    if type_ == "HTTP_PROXY" and (host := host_name(uri)):
        service = f"urn:service:/{host}"
        yield component(scope, "aws.apigateway.method.http.integration", service, {})
        yield Relation(method, "uses service", service)


def with_variables(uri: Any, variables: Item) -> Any:
    """The URI as it is in a stage; variables that the stage does not define stay in the text."""
    if not isinstance(uri, str):
        return uri
    return STAGE_VARIABLE.sub(lambda found: variables.get(found[1], found[0]), uri)


def host_name(uri: str) -> str:
    """The host in a URL, in lower case; empty if it has none."""
    try:
        return urlsplit(uri).hostname or ""
    except ValueError:
        return ""


def deleted_stage(scope: Scope, detail: Item) -> list[str]:
    """The stage that a DeleteStage ends."""
    api, stage = text(detail, "requestParameters.restApiId"), text(detail, "requestParameters.stageName")
    return [stage_id(scope, api, stage)] if api and stage else []


# HTTP and WebSocket APIs have events of the same names; theirs name an `apiId`, and nothing of ours.
CHANGED_API = "requestParameters.restApiId || (requestParameters.apiId && `[]`)"
# A deployment touches a stage only if it names one, which it then makes where it is missing.
DEPLOYED_API = (
    "(requestParameters.createDeploymentInput.stageName && requestParameters.restApiId) || (requestParameters && `[]`)"
)

REST_API = Resource(
    kind="apigateway.rest-api",
    components=[
        *("aws.apigateway.stage", "aws.apigateway.resource", "aws.apigateway.method"),
        "aws.apigateway.method.http.integration",
    ],
    relates={
        "uses service": [
            *("aws.apigateway.resource", "aws.apigateway.method", "aws.apigateway.method.http.integration"),
            *("aws.lambda", "aws.lambda.alias", "aws.sqs"),
        ]
    },
    listed_by=Call("apigateway", "get_rest_apis", "items[]", {"limit": PAGE}, action=ACTION),
    looked_up_by=Call("apigateway", "get_rest_api", "@", ids=Ids("restApiId"), gone=GONE, action=ACTION),
    key="id",
    details=[
        PerItem(
            "Stages",
            Call("apigateway", "get_stages", "item[]", gone=GONE, action=ACTION),
            {"restApiId": "id"},
            required=True,
        ),
        PerItem(
            "Resources",
            Call(
                "apigateway",
                "get_resources",
                "items[]",
                {"embed": ["methods"], "limit": PAGE},
                gone=GONE,
                action=ACTION,
            ),
            {"restApiId": "id"},
            required=True,
            # Nothing is said about resources that are in no stage.
            when=lambda _scope, item: bool(item["Stages"]),
        ),
    ],
    elements=elements,
    lookup_key=rest_api_id,
    arn=TAGGED.pattern,
    cloudformation={"AWS::ApiGateway::RestApi": ["aws.apigateway.stage"]},
    # Header values and templates of requests are where keys of the called service get written down.
    secrets=["MethodIntegration.RequestParameters.*", "MethodIntegration.RequestTemplates.*"],
    changes=[
        on("CreateRestApi", "ImportRestApi", key="responseElements.id"),
        on(
            *("PutRestApi", "UpdateRestApi", "DeleteRestApi", "CreateStage", "UpdateStage"),
            *("CreateResource", "UpdateResource", "DeleteResource"),
            *("PutMethod", "UpdateMethod", "DeleteMethod"),
            *("PutIntegration", "UpdateIntegration", "DeleteIntegration"),
            *("PutMethodResponse", "UpdateMethodResponse", "DeleteMethodResponse"),
            *("PutIntegrationResponse", "UpdateIntegrationResponse", "DeleteIntegrationResponse"),
            key=CHANGED_API,
        ),
        on("DeleteStage", key=CHANGED_API, ended=deleted_stage),
        on("CreateDeployment", key=DEPLOYED_API),
        on("TagResource", "UntagResource", key="requestParameters.resourceArn"),
    ],
)
