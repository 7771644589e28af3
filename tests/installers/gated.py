"""The scripts behind the IAM gate: an account in this process, a former release to upgrade from, and runs by policy."""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moto.moto_api._internal.models import moto_api_backend

from local.account import Account, running_account
from local.account.iam import Gate
from tests.installers.conftest import BASE_URL, KEY, ROOT, Installer, Run

POLICIES = ROOT / "policies"
# What a former release may have had otherwise: text of the template, by what it replaces.
FORMER = {
    r"Description: Lets ": "Description: Helps ",
    r"Principal: \{ Service: lambda\.amazonaws\.com \}": "Principal: { Service: [lambda.amazonaws.com] }",
    r"PolicyName: logs": "PolicyName: log",
    r"RetentionPeriodHours: 72": "RetentionPeriodHours: 96",
    r"BatchSize: \d+": "BatchSize: 10",
    r"MemorySize: \d+": "MemorySize: 256",
    r"Threshold: 1$": "Threshold: 2",
    r"VisibilityTimeout: \d+": "VisibilityTimeout: 720",
    r"MaximumRetryAttempts: 1$": "MaximumRetryAttempts: 0",
    r"Description: Starts a snapshot": "Description: Begins a snapshot",
    r"ExpirationInDays: \d+": "ExpirationInDays: 3",
    r"Sid: OnlyWithTls": "Sid: WithTls",
    r"'sqs:ListQueues', ": "",
    r"ReadWriteType: WriteOnly": "ReadWriteType: All",
    r"(IsMultiRegionTrail|IncludeGlobalServiceEvents): .*": r"\1: false",
    r"Version: \d+\.\d+\.\d+": "Version: 0.0.9",
    r"    Tags:\n      Origin: Stackstate": "    Tags:\n      Former: Stackstate\n      Origin: Stackstate",
    r'"width": ?\d+': '"width": 3',
}


@dataclass
class Gated:
    """The scripts of this release and of a former one, run by somebody with a policy document."""

    account: Account
    installer: Installer
    former: Installer

    @property
    def gate(self) -> Gate:
        assert self.account.gate
        return self.account.gate

    def run(self, document: str, script: str, *arguments: str, without: str = "", former: bool = False) -> Run:
        """Run a script with a document of policies/, or several ("Install+Spread"), perhaps without some actions."""
        name = f"{document or 'ANYBODY'}{without}".translate(str.maketrans("", "", ":+ "))[:60].upper()
        if document:
            self.gate.policies[name] = rights(document, without)
        chosen = self.former if former else self.installer
        environment = {"AWS_ACCESS_KEY_ID": name, "POLL_SECONDS": "1"}
        given = [*arguments]
        if script == "install.sh":
            given += ["--skip-receiver-check", BASE_URL, KEY, "gated"]
        run = chosen.run(script, *given, **environment)
        self.gate.used.setdefault(document, set()).update(self.gate.used.pop(name, set()))
        return run


def rights(document: str, without: str = "") -> list[dict[str, Any]]:
    """The policies of somebody who has documents (joined by "+"), and is denied some actions (with blanks)."""
    denial = [{"Statement": [{"Effect": "Deny", "Action": without.split()}]}] if without else []
    return [*map(policy, document.split("+")), *denial]


def policy(document: str) -> dict[str, Any]:
    """A document of policies/."""
    return dict(json.loads((POLICIES / f"StackStateIntegrationPolicy{document}.json").read_text()))


def actions(document: str) -> set[str]:
    """All actions of a document."""
    listed = [statement["Action"] for statement in policy(document)["Statement"]]
    return {action for entry in listed for action in ([entry] if isinstance(entry, str) else entry)}


def former_release(release: Path, folder: Path) -> Path:
    """A copy of the release in which whatever can change from one release to the next is otherwise."""
    shutil.copytree(release, folder)
    for name in ("template.yaml", "forwarding.yaml"):
        text = (folder / name).read_text()
        for found, former in FORMER.items():
            text, count = re.subn(found, former, text, flags=re.MULTILINE)
            assert count or name != "template.yaml", f"{found} is not in the template any more"
        (folder / name).write_text(text)
    deploy = folder / "installer/deploy.sh"
    deploy.write_text(deploy.read_text().replace("--tags Origin=Stackstate", "--tags Former=yes Origin=Stackstate"))
    for artifact in folder.glob("functions-*.zip"):
        artifact.write_bytes(artifact.read_bytes() + b"former")
    return folder


@contextmanager
def gated(release: Path, folder: Path) -> Iterator[Gated]:
    """An empty account behind a gate, and the scripts for it."""
    with running_account(gate=Gate()) as account:
        account.on_invoke(lambda name, payload, asynchronous: (202, b"", None))
        reset(account)
        former = Installer(former_release(release, folder), account.endpoint)
        yield Gated(account, Installer(release, account.endpoint), former)
        reset(account)


def reset(account: Account) -> None:
    """Empty the account."""
    account.events.settle()
    moto_api_backend.reset()
    account.stacks.engine.stacks.clear()
