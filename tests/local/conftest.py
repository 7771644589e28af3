"""An account for the tests of the stage: moto alone, without the parts that stand in front of it."""

import io
import json
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import boto3
import pytest
import requests
from moto.server import ThreadedMotoServer
from moto.sqs.models import Queue

from local.functions import Functions


@dataclass
class MotoAccount:
    endpoint: str
    account_id: str = "123456789012"
    region: str = "eu-west-1"

    def client(self, service: str) -> Any:
        session: Any = boto3.Session("testing", "testing", region_name=self.region)
        return session.client(service, endpoint_url=self.endpoint)

    def deploy(self, name: str, code: str, **settings: Any) -> str:
        """Create a function of one module, and give its ARN."""
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as files:
            files.writestr("app.py", code)
        trust = {"Version": "2012-10-17", "Statement": []}
        iam = self.client("iam")
        role = iam.create_role(RoleName=f"{name}-role", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
        defaults = {"Runtime": "python3.13", "Handler": "app.handler", "Timeout": 10, "MemorySize": 256}
        function = self.client("lambda").create_function(
            FunctionName=name, Role=role, Code={"ZipFile": archive.getvalue()}, **(defaults | settings)
        )
        return str(function["FunctionArn"])


@pytest.fixture(scope="session")
def moto_server() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    # moto would take the messages of a queue with an event source mapping for itself, and lose them.
    with patch.object(Queue, "lambda_event_source_mappings", property(lambda _: {}, lambda *_: None), create=True):
        server.start()
        yield f"http://localhost:{server.get_host_and_port()[1]}"
        server.stop()


@pytest.fixture
def account(moto_server: str) -> MotoAccount:
    requests.post(f"{moto_server}/moto-api/reset", timeout=10).raise_for_status()
    return MotoAccount(moto_server)


@pytest.fixture
def functions(account: MotoAccount) -> Iterator[Functions]:
    running = Functions(account)
    yield running
    running.close()


@pytest.fixture
def eventually() -> Callable[[Callable[[], Any], float], Any]:
    def wait(condition: Callable[[], Any], seconds: float = 15) -> Any:
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.05)
        return found

    return wait
