"""The whole system on one machine: the account, what happens between its services, and the receiver, put together."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.account import Account, running_account
from local.functions import Functions
from local.receiver import Receiver, running_receiver
from local.topology import Instance
from local.triggers import Triggers

ROOT = Path(__file__).resolve().parent.parent
API_KEY = "local-receiver-key"
CONFIGURATION_ID = "1000"


@dataclass
class System:
    """A running system."""

    account: Account
    functions: Functions
    triggers: Triggers
    receiver: Receiver
    environment: dict[str, str] = field(default_factory=dict)
    """What a shell needs to reach the account."""

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the project's folder as a user of the account would, and wait for it."""
        return subprocess.run(
            command,
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def aws(self, *arguments: str) -> Any:
        """The answer of an AWS CLI command. Raises RuntimeError with what it said if it fails."""
        done = self.run("aws", "--endpoint-url", self.account.endpoint, "--output", "json", *arguments)
        if done.returncode:
            raise RuntimeError(f"aws {' '.join(arguments)}: {done.stderr}")
        return json.loads(done.stdout) if done.stdout.strip() else None

    @property
    def instance(self) -> Instance | None:
        """The account's topology at the receiver."""
        return self.receiver.topologies.instances.get(("aws", self.account.account_id))

    def component(self, id_: str) -> dict[str, Any] | None:
        """A component as the receiver has it now."""
        return self.instance.components.get(id_) if self.instance else None

    def inventory(self) -> set[str]:
        """Everything in the account that an installation could leave behind, by kind and name."""
        client = self.account.client
        streams = client("kinesis").list_streams()["StreamNames"]
        found = {
            "stack": [s["StackName"] for s in client("cloudformation").describe_stacks()["Stacks"]],
            "function": [f["FunctionName"] for f in client("lambda").list_functions()["Functions"]],
            "mapping": [m["UUID"] for m in client("lambda").list_event_source_mappings()["EventSourceMappings"]],
            "queue": client("sqs").list_queues().get("QueueUrls", []),
            "stream": streams,
            "bucket": [b["Name"] for b in client("s3").list_buckets()["Buckets"]],
            "rule": [r["Name"] for r in client("events").list_rules()["Rules"]],
            "role": [r["RoleName"] for r in client("iam").list_roles()["Roles"]],
            "policy": [p["PolicyName"] for p in client("iam").list_policies(Scope="Local")["Policies"]],
            "log group": [g["logGroupName"] for g in client("logs").describe_log_groups()["logGroups"]],
            "state machine": [m["name"] for m in client("stepfunctions").list_state_machines()["stateMachines"]],
            "secret": [s["Name"] for s in client("secretsmanager").list_secrets()["SecretList"]],
            "alarm": [a["AlarmName"] for a in client("cloudwatch").describe_alarms()["MetricAlarms"]],
        }
        return {f"{kind} {name}" for kind, names in found.items() for name in names}


def wait_for(what: str, condition: Callable[[], Any], seconds: float) -> float:
    """Wait until the condition holds; answers with the seconds that it took. Raises TimeoutError, naming `what`."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            raise TimeoutError(f"after {seconds:.0f} s still waiting for {what}")
        time.sleep(0.1)
    return time.monotonic() - began


@contextmanager
def running_system(account_port: int = 0, receiver_port: int = 0, folder: Path | None = None) -> Iterator[System]:
    """Everything running, nothing installed. `folder` keeps the bodies that the receiver gets."""
    with running_account(account_port) as account, running_receiver(receiver_port, (API_KEY,), folder) as receiver:
        functions = Functions(account, ROOT / "build/local")
        triggers = Triggers(account, functions)
        account.on_invoke(triggers.invoke)
        triggers.start()
        environment = {
            "PATH": f"{ROOT / '.venvs/aws/bin'}:{os.environ['PATH']}",
            "HOME": os.environ.get("HOME", "/"),
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": account.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": account.endpoint,
        }
        try:
            yield System(account, functions, triggers, receiver, environment)
        finally:
            triggers.close()
            functions.close()
