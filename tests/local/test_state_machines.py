"""State machines of the local account: their tasks run its functions, and hear of errors under Lambda's names."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from local.account import Account, running_account

FUNCTION = "arn:aws:lambda:eu-west-1:123456789012:function:worker"
MACHINE = {
    "StartAt": "Each",
    "States": {
        "Each": {
            "Type": "Map",
            "MaxConcurrency": 2,
            "ItemsPath": "$.items",
            "ItemSelector": {"item.$": "$$.Map.Item.Value", "run.$": "$$.Execution.Name"},
            "ItemProcessor": {
                "ProcessorConfig": {"Mode": "INLINE"},
                "StartAt": "Work",
                "States": {
                    "Work": {
                        "Type": "Task",
                        "Resource": FUNCTION,
                        "Parameters": {"run.$": "$.run", "item.$": "$.item", "attempt.$": "$$.State.RetryCount"},
                        "Retry": [
                            {"ErrorEquals": ["Throttled"], "IntervalSeconds": 1, "MaxAttempts": 2},
                            {"ErrorEquals": ["Lambda.TooManyRequestsException"], "IntervalSeconds": 1},
                        ],
                        "Catch": [{"ErrorEquals": ["ValueError"], "ResultPath": "$.failed", "Next": "Caught"}],
                        "End": True,
                    },
                    "Caught": {"Type": "Pass", "End": True},
                },
            },
            "End": True,
        }
    },
}


@dataclass
class Stage:
    account: Account
    invocations: list[dict[str, Any]]

    def invoke(self, name: str, payload: bytes, asynchronous: bool) -> tuple[int, bytes, str | None]:
        """A function that fails as its item says."""
        event = json.loads(payload)
        self.invocations.append(event)
        match event["item"]:
            case "busy" if event["attempt"] == 0:
                return 429, b'{"Message": "Rate Exceeded."}', "TooManyRequestsException"
            case "throttled" if event["attempt"] < 2:
                return 200, b'{"errorType": "Throttled", "errorMessage": "later"}', "Unhandled"
            case "wrong":
                return 200, b'{"errorType": "ValueError", "errorMessage": "no"}', "Unhandled"
        return 200, json.dumps(event | {"name": name, "asynchronous": asynchronous}).encode(), None

    def run(self, *items: str) -> dict[str, Any]:
        client = self.account.client("stepfunctions")
        machine = client.list_state_machines()["stateMachines"][0]["stateMachineArn"]
        arn = client.start_execution(stateMachineArn=machine, name="one", input=json.dumps({"items": items}))
        deadline = time.monotonic() + 20
        while (found := client.describe_execution(executionArn=arn["executionArn"]))["status"] == "RUNNING":
            assert time.monotonic() < deadline, "the execution did not end"
            time.sleep(0.05)
        return dict(found)


def role(account: Account, action: str) -> str:
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "states.amazonaws.com"}}
    allow = {"Effect": "Allow", "Action": action, "Resource": FUNCTION}
    iam = account.client("iam")
    documents = [json.dumps({"Version": "2012-10-17", "Statement": [one]}) for one in (trust, allow)]
    made = iam.create_role(RoleName="machine", AssumeRolePolicyDocument=documents[0])["Role"]["Arn"]
    iam.put_role_policy(RoleName="machine", PolicyName="invoke", PolicyDocument=documents[1])
    return str(made)


@pytest.fixture(params=["lambda:InvokeFunction"])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    with running_account() as account:
        client = account.client("stepfunctions")
        definition = json.dumps(MACHINE)
        arn = role(account, request.param)
        made = client.create_state_machine(name="machine", definition=definition, roleArn=arn)
        running = Stage(account, [])
        account.on_invoke(running.invoke)
        yield running
        client.delete_state_machine(stateMachineArn=made["stateMachineArn"])
        account.client("iam").delete_role_policy(RoleName="machine", PolicyName="invoke")
        account.client("iam").delete_role(RoleName="machine")


def test_a_task_answers_what_its_function_answers(stage: Stage) -> None:
    end = stage.run("fine")

    expected = {"run": "one", "item": "fine", "attempt": 0, "name": "worker", "asynchronous": False}
    assert json.loads(end["output"]) == [expected]


def test_errors_are_tried_again_and_caught_by_the_name_of_their_class(stage: Stage) -> None:
    end = stage.run("throttled", "wrong", "busy")

    throttled, wrong, busy = json.loads(end["output"])
    assert (throttled["attempt"], busy["attempt"]) == (2, 1)
    assert wrong["failed"]["Error"] == "ValueError"
    assert json.loads(wrong["failed"]["Cause"])["errorMessage"] == "no"


@pytest.mark.parametrize("stage", ["lambda:GetFunction"], indirect=True)
def test_without_the_right_no_function_runs(stage: Stage) -> None:
    end = stage.run("fine")

    assert (end["status"], end["error"]) == ("FAILED", "Lambda.AWSLambdaException")
    assert "does not allow lambda:InvokeFunction" in end["cause"]
    assert stage.invocations == []
