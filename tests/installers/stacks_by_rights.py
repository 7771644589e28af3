"""A stack that is created, upgraded and deleted by somebody with certain documents of policies/, and what it takes."""

import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from tests.installers.gated import Gated, reset, rights

STACK = "stackstate-topo-gated"
BUCKET = "stackstate-topo-artifacts"
# A life of a stack: each step begins where the one before has ended, and the last two are two ways to remove it soon.
STEPS = ("create", "upgrade", "unbind", "delete", "uninstall")
# Kinds of installations, with the documents of those who install and of those who uninstall them.
OWNERS = {
    "Install": ("Install", "Uninstall"),
    "TopoCronInstall": ("TopoCronInstall", "TopoCronUninstall"),
    "TopoCronMinimal": ("TopoCronMinimal", "TopoCronUninstall"),
    "Spread": ("Install+Spread", "Uninstall"),
    "TopoCronSpread": ("TopoCronInstall+Spread", "TopoCronUninstall"),
}
TAGS = {"Origin": "Stackstate", "stackstate-lightweight-agent": "gated"}


@dataclass(frozen=True)
class Outcome:
    """How a step ended: the stack's status, and the reasons of what failed, by logical id of the resource."""

    status: str
    reasons: dict[str, str]


@dataclass
class Stacks:
    """One stack, and the people who may work on it."""

    behind: Gated
    parameters: dict[str, dict[str, dict[str, str]]]
    """Parameters of the template, by kind of installation and step."""
    takes: dict[str, dict[str, set[str]]] = field(default_factory=dict)
    """The actions that passed, by kind of installation and step."""
    _at: tuple[str, str] = ("", "")
    """The kind of installation that the stack is, and the last step that it took; neither where there is no stack."""

    @cached_property
    def _client(self) -> Any:
        session = self.behind.account.session()
        return session.client("cloudformation", aws_access_key_id="PERSON", aws_secret_access_key="none")

    def live(self, kind: str) -> dict[str, set[str]]:
        """What the life of a stack takes, by step; whoever has the documents is refused nothing."""
        if kind not in self.takes:
            found: dict[str, set[str]] = {}
            for step in [*self.parameters[kind], "delete", "uninstall"]:
                self._prepare(kind, step)
                self._act_with(kind, step)
                self.behind.gate.used["PERSON"] = set()
                outcome = self._take(kind, step)
                assert not outcome.reasons, outcome
                found[step] = self.behind.gate.used["PERSON"]
            self.takes[kind] = found
        return self.takes[kind]

    def take_without(self, kind: str, step: str, action: str) -> Outcome:
        """Take a step without one action, from where everything before it has succeeded."""
        self._prepare(kind, step)
        self._act_with(kind, step, action)
        before = self._at
        outcome = self._take(kind, step)
        self._at = before if outcome.status == "UPDATE_ROLLBACK_COMPLETE" else ("", outcome.status)
        return outcome

    def make(self, kind: str) -> None:
        """Have the stack as it is once it is created, by somebody with all rights."""
        self._prepare(kind, "upgrade")

    def _prepare(self, kind: str, step: str) -> None:
        """Have the stack as it is before a step."""
        before = [one for one in self.parameters[kind] if STEPS.index(one) < STEPS.index(step)]
        if step in {"delete", "uninstall"}:
            before = before[:1]
        if self._at == (kind, before[-1] if before else ""):
            return
        self.behind.gate.policies.pop("PERSON", None)
        if self._at[1]:
            self._client.delete_stack(StackName=STACK)
        for one in before:
            self._take(kind, one)

    def _take(self, kind: str, step: str) -> Outcome:
        """Take a step with what rights there are."""
        seen = {event["EventId"] for event in self._events()}
        if step in {"delete", "uninstall"}:
            self._client.delete_stack(StackName=STACK)
        else:
            self._deploy(self.parameters[kind][step], former=step == "create")
        self._at = (kind, "" if step in {"delete", "uninstall"} else step)
        events = [event for event in self._events() if event["EventId"] not in seen]
        reasons = {
            event["LogicalResourceId"]: event["ResourceStatusReason"]
            for event in reversed(events)
            if event["ResourceStatus"].endswith("_FAILED") and event["LogicalResourceId"] != STACK
        }
        return Outcome(events[-1]["ResourceStatus"], reasons)

    def _act_with(self, kind: str, step: str, without: str = "") -> None:
        installer, uninstaller = OWNERS[kind]
        self.behind.gate.policies["PERSON"] = rights(uninstaller if step == "uninstall" else installer, without)

    def _events(self) -> list[dict[str, Any]]:
        stacks = [stack for stack in self.behind.account.stacks.engine.stacks.values() if stack.name == STACK]
        return list(stacks[-1].events) if stacks else []

    def _deploy(self, parameters: dict[str, str], former: bool) -> None:
        there = [s for s in self.behind.account.stacks.engine.stacks.values() if s.name == STACK and not s.deleted]
        tags = TAGS | ({"Former": "yes"} if former else {})
        self._client.create_change_set(
            StackName=STACK,
            ChangeSetName="change",
            ChangeSetType="UPDATE" if there else "CREATE",
            TemplateURL=f"https://s3.amazonaws.com/{BUCKET}/{'former' if former else 'current'}.yaml",
            Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
            Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
        )
        self._client.execute_change_set(StackName=STACK, ChangeSetName="change")


def stacks_of(behind: Gated) -> Stacks:
    """An empty account with the templates of two releases, and everything that a user may bring."""
    reset(behind.account)
    client = behind.account.client
    for name in (BUCKET, "stackstate-topo-mine"):
        client("s3").create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    for name, scripts in (("former", behind.former), ("current", behind.installer)):
        artifact = (scripts.folder / "functions-arm64.zip").read_bytes()
        client("s3").put_object(Bucket=BUCKET, Key=f"{name}.zip", Body=artifact)
        text = (scripts.folder / "template.yaml").read_text()
        text = re.sub(r"^( *CodeUri:) functions/$", rf"\1 s3://{BUCKET}/{name}.zip", text, flags=re.MULTILINE)
        client("s3").put_object(Bucket=BUCKET, Key=f"{name}.yaml", Body=text.encode())
    allows = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    boundary = client("iam").create_policy(PolicyName="bounds", PolicyDocument=json.dumps(allows))["Policy"]["Arn"]
    role = client("iam").create_role(RoleName="stackstate-topo-mine", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    vpc = client("ec2").create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    subnet = client("ec2").create_subnet(VpcId=vpc, CidrBlock="10.1.0.0/24")["Subnet"]["SubnetId"]
    group = client("ec2").create_security_group(VpcId=vpc, GroupName="out", Description="out")["GroupId"]
    key = client("kms").create_key()["KeyMetadata"]["Arn"]
    common = {
        "StackStateBaseUrl": "https://stackstate.example.com/receiver",
        "StackStateApiKeySecretArn": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:stackstate-topo-gated-0",
        "StackStateConfigurationId": "gated",
        "TopologyMode": "minimal",
    }
    rich = common | {"KmsKeyArn": key, "VpcSubnetIds": subnet, "VpcSecurityGroupIds": group}
    bare = common | {"LogRetentionInDays": "30", "ReserveConcurrency": "false", "PermissionsBoundaryArn": boundary}
    full = {"TopologyMode": "full", "TrailMode": "create", "Accounts": "111122223333"}
    own = {"StateBucketName": "stackstate-topo-mine", "TopoCronRoleArn": role}
    spread = {"SpreadSnapshots": "true"}
    slow = spread | {"SpreadConcurrency": "2"}
    parameters = {
        "Install": {"create": rich | full, "upgrade": bare | full, "unbind": common | full},
        "TopoCronInstall": {"create": rich, "upgrade": bare, "unbind": common},
        "TopoCronMinimal": {"create": rich | own, "upgrade": bare | own},
        "Spread": {"create": rich | full | slow, "upgrade": bare | full | spread},
        "TopoCronSpread": {"create": rich | slow, "upgrade": bare | spread},
    }
    return Stacks(behind, parameters)
