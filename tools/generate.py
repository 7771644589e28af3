"""Writes what follows from the declarations into the files that hold it, or checks that they hold it already."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import yaml

from tools import derived, installer_policies

ROOT = Path(__file__).resolve().parent.parent

RULE = """\
  {name}:
    Type: AWS::Events::Rule
    Condition: {condition}
    Properties:
{named}      Description: {description}
      EventPattern:
{pattern}
      Targets:
{target}"""

# Names of our own: the queue's policy knows the rules by them, whatever the stack is called.
HOME_NAME = "      Name: !Sub stackstate-topo${{NameSuffix}}-{name}\n"
HOME_TARGET = """\
        - Id: changes
          Arn: !GetAtt ChangeQueue.Arn
          DeadLetterConfig: { Arn: !GetAtt ChangeDeadLetterQueue.Arn }
"""

FORWARD_TARGET = """\
        - Id: home
          Arn: {bus}
          RoleArn: !GetAtt ForwardRole.Arn
          DeadLetterConfig: {{ Arn: !GetAtt DeadLetterQueue.Arn }}
"""
# When a rule forwards, by where its events matter: conditions of the templates that forward.
FORWARD_CONDITIONS = {
    derived.Reach.REGION: "RegionIsRead",
    derived.Reach.ACCOUNT: "Forwards",
    derived.Reach.GLOBAL: "HasGlobalServices",
}
# The default bus of the installation, as each of these templates knows it.
HOME_BUS = {
    "forwarding.yaml": "!Ref HomeEventBusArn",
    "cross-account.yaml": "!Sub arn:${AWS::Partition}:events:${HomeRegion}:${MainAccountId}:event-bus/default",
}

READ_POLICY = """\
  ReadPolicy:
    Type: AWS::IAM::ManagedPolicy
    Condition: {condition}
    Properties:
      Description: What StackState's topology functions may read in this account.
      Path: !Ref RolePath
      PolicyDocument:
        Version: "2012-10-17"
        Statement:
{statements}
"""


def main() -> None:
    """Write the files; with --check, say which ones differ and fail."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only")
    check = parser.parse_args().check
    stale = [path for path, text in files().items() if not path.exists() or path.read_text() != text]
    if check and stale:
        names = ", ".join(str(path.relative_to(ROOT)) for path in stale)
        sys.exit(f"{names}: not what the declarations say; run `make generate` and commit the result")
    for path in stale:
        path.parent.mkdir(exist_ok=True)
        path.write_text(files()[path])
        print(f"wrote {path.relative_to(ROOT)}")


def files() -> dict[Path, str]:
    """Every file that holds something generated, as it should be."""
    policy = {"Version": "2012-10-17", "Statement": derived.read_statements()}
    templates = {
        "template.yaml": {"event rules": home_rules(), "read policy": read_policy("NeedsReadPolicy")},
        "forwarding.yaml": {"event rules": forward_rules(HOME_BUS["forwarding.yaml"])},
        "cross-account.yaml": {
            "event rules": forward_rules(HOME_BUS["cross-account.yaml"]),
            "read policy": read_policy("MakesRole"),
        },
    }
    return (
        {ROOT / name: with_blocks(name, blocks) for name, blocks in templates.items()}
        | installer_policies.documents()
        | {
            ROOT / "policies/sts-topo-cron-policy.json": json.dumps(policy, indent=2) + "\n",
            ROOT / "docs/resources.md": derived.page(),
        }
    )


def home_rules() -> str:
    """The rules of the installation's own region: onto its queue."""
    return "".join(
        rule(name, pattern, "Full", HOME_TARGET, HOME_NAME.format(name=name))
        for name, pattern in derived.patterns().items()
    )


def forward_rules(bus: str) -> str:
    """The rules of another region or account: onto the installation's bus."""
    return "".join(
        rule(name, pattern, FORWARD_CONDITIONS[derived.reach(pattern)], FORWARD_TARGET.format(bus=bus))
        for name, pattern in derived.patterns().items()
    )


def rule(name: str, pattern: dict[str, Any], condition: str, target: str, named: str = "") -> str:
    """One rule; `target` and `named` are lines of YAML."""
    return RULE.format(
        name=name,
        condition=condition,
        named=named,
        description=description(pattern),
        pattern=as_yaml(pattern, 8),
        target=target,
    )


def read_policy(condition: str) -> str:
    """The managed policy that allows all declared calls."""
    return READ_POLICY.format(condition=condition, statements=as_yaml(derived.read_statements(), 10))


def description(pattern: dict[str, Any]) -> str:
    """What the rule is for, for whoever meets it in the console."""
    if "eventSource" in pattern.get("detail", {}):
        return f"Calls to {pattern['detail']['eventSource'][0]} that change what StackState shows."
    return f"Events of {pattern['source'][0]} that tell of changes in what StackState shows."


def as_yaml(value: Any, indent: int) -> str:
    """The value as YAML, lists of plain values on as few lines as fit, indented by blanks."""
    text = yaml.safe_dump(value, sort_keys=False, default_flow_style=None, width=100)
    return "\n".join(" " * indent + line for line in text.rstrip().splitlines())


def with_blocks(name: str, blocks: dict[str, str]) -> str:
    """The text of the template, with what stands between the markers of each block replaced."""
    text = (ROOT / name).read_text()
    for block, lines in blocks.items():
        begin, end = f"  # BEGIN generated: {block}\n", f"  # END generated: {block}\n"
        if begin not in text or end not in text:
            sys.exit(f"{name} lacks the markers of the generated block `{block}`")
        before, after = text.split(begin)[0], text.split(end)[1]
        text = f"{before}{begin}{lines}{end}{after}"
    return text


if __name__ == "__main__":
    main()
