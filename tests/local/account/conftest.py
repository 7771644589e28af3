"""One local account for the tests of it; moto keeps one per process anyway."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from local.account import Account, running_account

FULL = (Path(__file__).parent / "full.yaml").read_text().replace("CodeUri: ./code", "CodeUri: s3://code/code.zip")


@pytest.fixture(scope="session")
def served() -> Iterator[Account]:
    with running_account() as account:
        yield account


@pytest.fixture
def account(served: Account) -> Iterator[Account]:
    """The account, with nothing in it."""
    from moto.moto_api._internal.models import moto_api_backend

    served.events.settle()
    moto_api_backend.reset()
    served.stacks.engine.stacks.clear()
    served.invoke = served.gate = None
    yield served
    served.events.settle()


@pytest.fixture
def events(account: Account, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What is put onto the default bus from now on."""
    seen: list[dict[str, Any]] = []
    for source in (account.trail, account.stacks.engine):
        monkeypatch.setattr(source, "_put_event", seen.append)
    return seen


@pytest.fixture
def role(account: Account) -> str:
    made = account.client("iam").create_role(RoleName="r", AssumeRolePolicyDocument=json.dumps({"Statement": []}))
    return str(made["Role"]["Arn"])


def archive() -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as code:
        code.writestr("app.py", "def handler(event, context): return event")
    return written.getvalue()


@pytest.fixture
def with_code(account: Account) -> None:
    """The code of the functions of full.yaml, in S3."""
    s3 = account.client("s3")
    s3.create_bucket(Bucket="code", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_object(Bucket="code", Key="code.zip", Body=archive())


class Stacks:
    """Short forms of CloudFormation calls."""

    def __init__(self, account: Account) -> None:
        self.client = account.client("cloudformation")

    def deploy(self, name: str, template: Any, tags: Mapping[str, str] | None = None, **parameters: str | None) -> str:
        """Create or update by change set; the status afterwards, or the reason why there was no change."""
        text = template if isinstance(template, str) else json.dumps(template)
        exists = any(stack["StackName"] == name for stack in self.client.describe_stacks()["Stacks"])
        given = [
            {"ParameterKey": key} | ({"UsePreviousValue": True} if value is None else {"ParameterValue": value})
            for key, value in parameters.items()
        ]
        change_set = self.client.create_change_set(
            StackName=name,
            ChangeSetName="change",
            ChangeSetType="UPDATE" if exists else "CREATE",
            TemplateBody=text,
            Parameters=given,
            Tags=[{"Key": key, "Value": value} for key, value in (tags or {}).items()],
            Capabilities=["CAPABILITY_IAM"],
        )["Id"]
        described = self.client.describe_change_set(ChangeSetName=change_set)
        if described["Status"] == "FAILED":
            return str(described["StatusReason"])
        self.client.execute_change_set(ChangeSetName=change_set)
        return self.status(name)

    def status(self, name: str) -> str:
        return str(self.client.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"])

    def resources(self, name: str) -> dict[str, str]:
        listed = self.client.list_stack_resources(StackName=name)["StackResourceSummaries"]
        return {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in listed}

    def failures(self, name: str) -> dict[str, str]:
        events = self.client.describe_stack_events(StackName=name)["StackEvents"]
        return {e["LogicalResourceId"]: e["ResourceStatusReason"] for e in events if "_FAILED" in e["ResourceStatus"]}


@pytest.fixture
def stacks(account: Account) -> Stacks:
    return Stacks(account)


def queue_template(*names: str, **properties: Any) -> dict[str, Any]:
    return {"Resources": {name: {"Type": "AWS::SQS::Queue", "Properties": properties} for name in names}}
