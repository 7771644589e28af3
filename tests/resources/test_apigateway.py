"""REST APIs of API Gateway, as the StackPack knows them: stages, resources, methods and what these call."""

from collections.abc import Callable
from typing import Any

import boto3
import pytest

from tests.account import TestAccount, api_call
from tests.resources.support import answer, calls, refuse, scope
from topology.elements import Component, Item, Relation, StackResource
from topology.links import Names
from topology.resources import ALL, apigateway

API = "a1b2c3d4e5"
STAGE = f"arn:aws:execute-api:eu-west-1:123456789012:{API}/live"
FUNCTION = "arn:aws:lambda:eu-west-1:123456789012:function:orders"
LOCATION = {"AwsAccount": "123456789012", "AwsRegion": "eu-west-1"}
TYPES = {
    *("aws.apigateway.stage", "aws.apigateway.resource", "aws.apigateway.method"),
    "aws.apigateway.method.http.integration",
}

OpenAccount = Callable[..., TestAccount]


def lambda_uri(function: str) -> str:
    return f"arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/{function}/invocations"


def method(type_: str, uri: str | None = None, **fields: Any) -> Item:
    """A method as the embedded answer has it."""
    integration = {"type": type_, **({"uri": uri} if uri is not None else {})}
    return {"httpMethod": "GET", "authorizationType": "NONE", "methodIntegration": integration, **fields}


def api(**methods: Item) -> dict[str, Any]:
    """An item: an API with the stage `live` and the resource `/orders`, which has the methods."""
    return {
        "id": API,
        "name": "shop",
        "Stages": [{"stageName": "live", "deploymentId": "d1", "variables": {"host": "Shop.Example", "env": "live"}}],
        "Resources": [{"id": "r1", "path": "/orders", "pathPart": "orders", "resourceMethods": methods}],
    }


def components(item: Item) -> dict[str, Component]:
    found = apigateway.elements(scope("apigateway"), item)
    return {one.id: one for one in found if isinstance(one, Component)}


def called(type_: str, uri: str | None) -> list[str]:
    """What a GET of /orders with this integration calls: targets of its relations."""
    found = apigateway.elements(scope("apigateway"), api(GET=method(type_, uri)))
    return [one.target for one in found if isinstance(one, Relation) and one.source == f"{STAGE}/GET/orders"]


def create(session: boto3.Session) -> str:
    """An API in moto: `/` has no method, `/orders` two, `/orders/{id}` one; stages `live` and `test`."""
    client = session.client("apigateway")
    id_: str = client.create_rest_api(name="shop")["id"]
    [root] = client.get_resources(restApiId=id_)["items"]
    orders = client.create_resource(restApiId=id_, parentId=root["id"], pathPart="orders")["id"]
    order = client.create_resource(restApiId=id_, parentId=orders, pathPart="{id}")["id"]
    for resource, verb, type_, uri in (
        (orders, "GET", "AWS_PROXY", lambda_uri(FUNCTION + ":${stageVariables.alias}")),
        (orders, "POST", "AWS", "arn:aws:apigateway:eu-west-1:sqs:path/123456789012/orders"),
        (order, "GET", "HTTP_PROXY", "https://${stageVariables.host}:8443/orders/{id}"),
    ):
        client.put_method(restApiId=id_, resourceId=resource, httpMethod=verb, authorizationType="NONE")
        client.put_integration(
            restApiId=id_, resourceId=resource, httpMethod=verb, type=type_, integrationHttpMethod="POST", uri=uri
        )
    deployment = client.create_deployment(restApiId=id_)["id"]
    for stage in ("live", "test"):
        client.create_stage(
            restApiId=id_,
            stageName=stage,
            deploymentId=deployment,
            variables={"alias": stage, "host": f"{stage}.Shop.example"},
            tags={"team": "shop", "stackstate-identifier": "Shop"},
        )
    return id_


def test_stages_hold_all_resources_and_methods(aws: boto3.Session, account: OpenAccount) -> None:
    id_ = create(aws)
    base = f"arn:aws:execute-api:eu-west-1:123456789012:{id_}"

    found = account(apigateway.REST_API).snapshot()

    def in_stage(stage: str) -> dict[str, str]:
        return {
            f"{base}/{stage}": "aws.apigateway.stage",
            f"{base}/{stage}/*/orders": "aws.apigateway.resource",
            f"{base}/{stage}/GET/orders": "aws.apigateway.method",
            f"{base}/{stage}/POST/orders": "aws.apigateway.method",
            f"{base}/{stage}/*/orders/{{id}}": "aws.apigateway.resource",
            f"{base}/{stage}/GET/orders/{{id}}": "aws.apigateway.method",
            f"urn:service:/{stage}.shop.example": "aws.apigateway.method.http.integration",
        }

    def relations(stage: str) -> set[str]:
        uses = "-uses service-"
        return {
            f"{base}/{stage}{uses}{base}/{stage}/*/orders",
            f"{base}/{stage}{uses}{base}/{stage}/*/orders/{{id}}",
            f"{base}/{stage}/*/orders{uses}{base}/{stage}/GET/orders",
            f"{base}/{stage}/*/orders{uses}{base}/{stage}/POST/orders",
            f"{base}/{stage}/*/orders/{{id}}{uses}{base}/{stage}/GET/orders/{{id}}",
            f"{base}/{stage}/GET/orders{uses}{FUNCTION}:{stage}",
            f"{base}/{stage}/POST/orders{uses}arn:aws:sqs:eu-west-1:123456789012:orders",
            f"{base}/{stage}/GET/orders/{{id}}{uses}urn:service:/{stage}.shop.example",
        }

    assert {one.id: one.type for one in found.components.values()} == in_stage("live") | in_stage("test")
    assert set(found.relations) == relations("live") | relations("test")
    assert all(relation.data == {} for relation in found.relations.values())
    assert set(apigateway.REST_API.components) == TYPES
    assert not found.incomplete
    assert not found.left_out


def test_a_stage_has_little_data_and_no_name() -> None:
    item = api()
    item["Stages"][0] |= {"methodSettings": {}, "tags": {"team": "Shop", "stackstate-identifier": "x"}}

    assert components(item)[STAGE].data == {
        "DeploymentId": "d1",
        "StageName": "live",
        "RestApiId": API,
        "RestApiName": "shop",
        "Tags": {"team": "Shop", "stackstate-identifier": "x"},
        "CW": {"Dimensions": [{"Key": "Stage", "Value": "live"}, {"Key": "ApiName", "Value": "shop"}]},
        "Location": LOCATION,
    }


def test_a_resource_carries_the_data_and_the_tags_of_its_stage() -> None:
    item = api(GET=method("AWS", "arn:aws:apigateway:eu-west-1:s3:path/x"))
    item["Stages"][0]["tags"] = {"team": "shop"}

    assert components(item)[f"{STAGE}/*/orders"].data == {
        "ResourceId": "r1",
        "Path": "/orders",
        "PathPart": "orders",
        "DeploymentId": "d1",
        "StageName": "live",
        "RestApiId": API,
        "RestApiName": "shop",
        "Tags": {"team": "shop"},
        "CW": {"Dimensions": [{"Key": "Stage", "Value": "live"}, {"Key": "ApiName", "Value": "shop"}]},
        "Location": LOCATION,
    }


def test_a_method_carries_its_whole_answer_capitalised_and_the_data_of_its_resource() -> None:
    get = method(
        "HTTP_PROXY",
        "https://${stageVariables.host}/${stageVariables.env}",
        requestParameters={"method.request.path.id": True},
        methodResponses={"200": {"statusCode": "200", "responseModels": {"application/json": "Empty"}}},
    )
    item = api(GET=get)
    item["Stages"][0]["tags"] = {"team": "shop"}

    assert components(item)[f"{STAGE}/GET/orders"].data == {
        "HttpMethod": "GET",
        "AuthorizationType": "NONE",
        "MethodIntegration": {"Type": "HTTP_PROXY", "Uri": "https://Shop.Example/live"},
        "RequestParameters": {"Method.request.path.id": True},
        "MethodResponses": {"200": {"StatusCode": "200", "ResponseModels": {"Application/json": "Empty"}}},
        "ResourceId": "r1",
        "Path": "/orders",
        "PathPart": "orders",
        "DeploymentId": "d1",
        "StageName": "live",
        "RestApiId": API,
        "RestApiName": "shop",
        "Tags": {"team": "shop"},
        "CW": {
            "Dimensions": [
                {"Key": "Method", "Value": "GET"},
                {"Key": "Resource", "Value": "/orders"},
                {"Key": "Stage", "Value": "live"},
                {"Key": "ApiName", "Value": "shop"},
            ]
        },
        "Location": LOCATION,
    }


def test_an_http_integration_has_nothing_but_its_location() -> None:
    found = components(api(GET=method("HTTP_PROXY", "https://shop.example")))

    assert found["urn:service:/shop.example"].data == {"Location": LOCATION}


def test_the_root_resource_has_no_path_part_and_a_slash_for_its_id() -> None:
    item = api()
    item["Resources"] = [{"id": "r0", "path": "/", "resourceMethods": {"GET": method("AWS")}}]

    found = components(item)

    assert found[f"{STAGE}/*/"].data["PathPart"] is None
    assert f"{STAGE}/GET/" in found


def test_a_stage_without_tags_has_none() -> None:
    assert "Tags" not in components(api())[STAGE].data


def test_tags_may_come_as_a_list() -> None:
    item = api()
    item["Stages"][0]["tags"] = [{"key": "team", "value": "shop"}]

    assert components(item)[STAGE].data["Tags"] == {"team": "shop"}


def test_a_resource_without_methods_is_skipped() -> None:
    item = api()
    item["Resources"] = [{"id": "r0", "path": "/"}, {"id": "r1", "path": "/x", "resourceMethods": {}}]

    assert list(components(item)) == [STAGE]


@pytest.mark.parametrize("missing", ["Stages", "Resources"])
def test_an_api_may_have_no_stages_or_no_resources(missing: str) -> None:
    item = api()
    item[missing] = []

    assert len(components(item)) == (0 if missing == "Stages" else 1)


@pytest.mark.parametrize("one", [method("MOCK"), method("HTTP", "https://shop.example"), {"httpMethod": "GET"}, {}])
def test_methods_that_call_nothing_that_the_stack_pack_knows_are_not_shown(one: Item) -> None:
    assert list(components(api(GET=one))) == [STAGE, f"{STAGE}/*/orders"]


def test_methods_come_in_the_order_of_their_verbs_after_their_resource() -> None:
    item = api(POST=method("AWS"), DELETE=method("AWS"), GET=method("AWS"))

    assert list(components(item)) == [
        STAGE,
        f"{STAGE}/*/orders",
        *(f"{STAGE}/{verb}/orders" for verb in ("DELETE", "GET", "POST")),
    ]


def test_a_resource_that_is_listed_twice_is_emitted_twice() -> None:
    item = api(GET=method("AWS"))
    item["Resources"] *= 2

    assert len(list(apigateway.elements(scope("apigateway"), item))) == 1 + 2 * 4


@pytest.mark.parametrize(
    ("type_", "uri", "target"),
    [
        ("AWS_PROXY", lambda_uri(FUNCTION), FUNCTION),
        ("AWS_PROXY", lambda_uri(f"{FUNCTION}:live"), f"{FUNCTION}:live"),
        ("AWS_PROXY", lambda_uri(FUNCTION + ":${stageVariables.env}"), f"{FUNCTION}:live"),
        ("AWS_PROXY", lambda_uri(FUNCTION + ":${stageVariables.other}"), FUNCTION + ":${stageVariables.other}"),
        # The function's name may look like the beginning of an ARN, and the end may be missing or another one.
        ("AWS_PROXY", lambda_uri(f"{FUNCTION}-arn-x"), f"{FUNCTION}-arn-x"),
        ("AWS_PROXY", lambda_uri(FUNCTION).removesuffix("/invocations"), FUNCTION),
        ("AWS_PROXY", lambda_uri(FUNCTION).replace("/invocations", "/response-streaming-invocations"), FUNCTION),
        # The legacy vocabulary says the account that was read, not the one in the URI.
        (
            "AWS",
            "arn:aws:apigateway:us-east-1:sqs:path/999999999999/orders",
            "arn:aws:sqs:eu-west-1:123456789012:orders",
        ),
        ("HTTP_PROXY", "https://192.0.2.10:9001/orders", "urn:service:/192.0.2.10"),
        ("HTTP_PROXY", "http://user:pass@Shop.Example:80/a?b=c", "urn:service:/shop.example"),
        ("HTTP_PROXY", "https://${stageVariables.host}/orders", "urn:service:/shop.example"),
    ],
)
def test_a_method_uses_what_it_calls(type_: str, uri: str, target: str) -> None:
    assert called(type_, uri) == [target]


@pytest.mark.parametrize(
    ("type_", "uri"),
    [
        ("AWS", lambda_uri(FUNCTION)),
        ("AWS", "arn:aws:apigateway:eu-west-1:sqs:action/SendMessage"),
        ("AWS", "arn:aws:apigateway:eu-west-1:dynamodb:action/PutItem"),
        ("AWS_PROXY", "arn:aws:apigateway:eu-west-1:sqs:path/123456789012/orders"),
        ("AWS_PROXY", "${stageVariables.function}"),
        ("HTTP_PROXY", ""),
        ("HTTP_PROXY", "/orders"),
        ("HTTP_PROXY", "https://[broken/orders"),
        *((type_, None) for type_ in ("AWS", "AWS_PROXY", "HTTP_PROXY")),
    ],
)
def test_a_method_without_a_target_that_is_known_stays_without_relation(type_: str, uri: str | None) -> None:
    assert called(type_, uri) == []
    assert f"{STAGE}/GET/orders" in components(api(GET=method(type_, uri)))


def test_ids_are_in_the_partition_of_the_region() -> None:
    china = scope("apigateway", "cn-north-1", "aws-cn")
    uri = "arn:aws-cn:apigateway:cn-north-1:sqs:path/123456789012/orders"

    found = list(apigateway.elements(china, api(GET=method("AWS", uri))))

    assert isinstance(found[0], Component)
    assert found[0].id == f"arn:aws-cn:execute-api:cn-north-1:123456789012:{API}/live"
    assert isinstance(found[-1], Relation)
    assert found[-1].target == "arn:aws-cn:sqs:cn-north-1:123456789012:orders"


def test_a_snapshot_and_an_event_say_the_same(aws: boto3.Session, account: OpenAccount) -> None:
    id_ = create(aws)
    opened = account(apigateway.REST_API)

    found = opened.snapshot()
    after = opened.after(api_call("apigateway", "UpdateStage", {"restApiId": id_, "stageName": "live"}))

    assert found.components == after.components
    assert found.relations == after.relations
    assert not after.deleted


def test_methods_come_with_their_resources_and_nothing_is_asked_about_an_api_without_stages(
    aws: boto3.Session, account: OpenAccount
) -> None:
    create(aws)
    aws.client("apigateway").create_rest_api(name="empty")
    opened = account(apigateway.REST_API)
    counted = calls(opened.client("apigateway"))

    opened.snapshot()

    assert counted == {"GetRestApis": 1, "GetStages": 2, "GetResources": 1}


def test_apis_and_resources_are_read_beyond_one_page(account: OpenAccount) -> None:
    opened = account(apigateway.REST_API)
    client = opened.client("apigateway")
    first = answer(client, "get_rest_apis", {"items": [], "position": "p"}, {"items": [{"id": API, "name": "shop"}]})
    answer(client, "get_stages", {"item": api()["Stages"]})
    row = api(GET=method("AWS"))["Resources"]
    then = answer(
        client,
        "get_resources",
        {"items": row, "position": "q"},
        {"items": [{**row[0], "path": "/more"}]},
    )

    found = opened.snapshot()

    assert [asked["limit"] for asked in first + then] == [500] * 4
    assert {asked["restApiId"] for asked in then} == {API}
    assert all(asked["embed"] == ["methods"] for asked in then)
    assert {f"{STAGE}/GET/orders", f"{STAGE}/GET/more"} < set(found.components)


def test_an_answer_about_stages_may_lack_the_list(account: OpenAccount) -> None:
    opened = account(apigateway.REST_API)
    answer(opened.client("apigateway"), "get_rest_apis", {"items": [{"id": API, "name": "shop"}]})
    answer(opened.client("apigateway"), "get_stages", {})

    assert opened.snapshot().all == []


@pytest.mark.parametrize("operation", ["get_rest_apis", "get_stages", "get_resources"])
def test_what_is_refused_makes_the_scope_incomplete(aws: boto3.Session, account: OpenAccount, operation: str) -> None:
    create(aws)
    opened = account(apigateway.REST_API)
    refuse(opened.client("apigateway"), operation)

    found = opened.snapshot()

    assert not found.components
    assert [one.error.action for one in found.incomplete] == ["apigateway:GET"]


def test_an_api_that_vanishes_while_it_is_read_is_no_failure(aws: boto3.Session, account: OpenAccount) -> None:
    create(aws)
    opened = account(apigateway.REST_API)
    refuse(opened.client("apigateway"), "get_resources", "NotFoundException")

    assert opened.snapshot().all == []


def test_static_values_in_requests_and_queries_are_masked_and_mappings_are_found_first(account: OpenAccount) -> None:
    integration = {
        "type": "HTTP_PROXY",
        "uri": "https://user:planted-1@shop.example/orders?key=${stageVariables.key}",
        "requestParameters": {"integration.request.header.X-Key": "'planted-2'"},
        "requestTemplates": {"application/json": '{"key": "planted-3"}'},
    }
    item = api(GET={"httpMethod": "GET", "methodIntegration": integration})
    item["Stages"][0]["variables"] = {"key": "planted-4", "unused": "planted-5"}
    opened = account(apigateway.REST_API)
    client = opened.client("apigateway")
    answer(client, "get_rest_apis", {"items": [{"id": API, "name": "shop"}]})
    answer(client, "get_stages", {"item": item["Stages"]})
    answer(client, "get_resources", {"items": item["Resources"]})

    found = opened.snapshot()

    assert "planted" not in str(found.all)
    assert "Integration.request.header.X-Key" in str(found.all)
    assert f"{STAGE}/GET/orders-uses service-urn:service:/shop.example" in found.relations


def test_a_deleted_api_is_no_failure_and_a_deleted_stage_is_deleted(aws: boto3.Session, account: OpenAccount) -> None:
    id_ = create(aws)
    opened = account(apigateway.REST_API)
    base = f"arn:aws:execute-api:eu-west-1:123456789012:{id_}"
    event = api_call("apigateway", "DeleteStage", {"restApiId": id_, "stageName": "test"})

    assert opened.after(event).deleted == set()  # the stage is there: deleted and made again
    aws.client("apigateway").delete_stage(restApiId=id_, stageName="test")
    assert opened.after(event).deleted == {f"{base}/test"}
    aws.client("apigateway").delete_rest_api(restApiId=id_)
    gone = opened.after(event, api_call("apigateway", "DeleteRestApi", {"restApiId": id_}))
    assert gone.deleted == {f"{base}/test"}
    assert not gone.incomplete


def test_a_stack_has_every_stage_of_its_api(aws: boto3.Session, account: OpenAccount) -> None:
    id_ = create(aws)
    names = Names(ALL)
    for item in ({**api(), "id": id_, "Stages": [{"stageName": "live"}, {"stageName": "test"}]},):
        for element in apigateway.elements(scope("apigateway"), item):
            if isinstance(element, Component):
                names.add(apigateway.REST_API, scope("apigateway"), id_, element.type, element.id)

    link = StackResource("stack", "has resource", "AWS::ApiGateway::RestApi", id_)
    found = names.relations(scope("cloudformation"), link.link, known_only=True)

    base = f"arn:aws:execute-api:eu-west-1:123456789012:{id_}"
    assert [one.target for one in found] == [f"{base}/live", f"{base}/test"]
