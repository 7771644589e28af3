"""Events of API Gateway: which REST API they touch, and which are about something else."""

from typing import Any

import pytest

from tests.account import api_call
from tests.resources.support import ended, touched, unresolved
from topology.resources import apigateway

API = "a1b2c3d4e5"
STAGE_ARN = f"arn:aws:apigateway:eu-west-1::/restapis/{API}/stages/live"


@pytest.mark.parametrize(
    ("name", "request_"),
    [
        # HTTP and WebSocket APIs share event names with REST APIs.
        ("CreateStage", {"apiId": "h1", "stageName": "live"}),
        ("DeleteStage", {"apiId": "h1", "stageName": "live"}),
        ("UpdateIntegration", {"apiId": "h1", "integrationId": "i1"}),
        ("CreateDeployment", {"apiId": "h1"}),
        ("CreateDeployment", {"apiId": "h1", "stageName": "live"}),
        ("TagResource", {"resourceArn": "arn:aws:apigateway:eu-west-1::/apis/h1"}),
        # A deployment that no stage gets, and things that are no part of an API.
        ("CreateDeployment", {"restApiId": API, "createDeploymentInput": {}}),
        ("CreateDeployment", {"restApiId": API, "template": False}),
        ("TagResource", {"resourceArn": "arn:aws:apigateway:eu-west-1::/usageplans/u1"}),
        ("TagResource", {"resourceArn": "arn:aws:apigateway:eu-west-1::/apikeys/k1"}),
        ("UpdateDeployment", {"restApiId": API}),
        ("FlushStageCache", {"restApiId": API, "stageName": "live"}),
        ("CreateModel", {"restApiId": API}),
    ],
)
def test_an_event_of_something_else_touches_nothing(name: str, request_: dict[str, Any]) -> None:
    event = api_call("apigateway", name, request_)

    assert not touched([apigateway.REST_API], event)
    assert not ended([apigateway.REST_API], event)
    assert not unresolved([apigateway.REST_API], event)


def test_the_tag_editor_names_an_api_or_a_stage_by_its_arn() -> None:
    arns = [STAGE_ARN, "arn:aws:apigateway:eu-west-1::/restapis/other", "arn:aws:apigateway:eu-west-1::/apis/h1"]
    event = api_call("tagging", "TagResources", {"resourceARNList": arns, "tags": {"a": "b"}})

    assert touched([apigateway.REST_API], event) == {("apigateway.rest-api", API), ("apigateway.rest-api", "other")}
