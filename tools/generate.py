"""Writes what follows from the declarations into the files that hold it, or checks that they hold it already."""

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

from tools import derived

ROOT = Path(__file__).resolve().parent.parent

RULE = """\
  {name}:
    Type: AWS::Events::Rule
    Condition: Full
    Properties:
      Description: {description}
      EventPattern:
{pattern}
      Targets:
        - Id: changes
          Arn: !GetAtt ChangeQueue.Arn
          DeadLetterConfig: {{ Arn: !GetAtt ChangeDeadLetterQueue.Arn }}
"""

READ_POLICY = """\
  ReadPolicy:
    Type: AWS::IAM::ManagedPolicy
    Condition: NeedsReadPolicy
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
    template = ROOT / "template.yaml"
    text = with_block(template.read_text(), "event rules", "".join(rules()))
    text = with_block(text, "read policy", READ_POLICY.format(statements=as_yaml(derived.read_statements(), 10)))
    policy = {"Version": "2012-10-17", "Statement": derived.read_statements()}
    return {
        template: text,
        ROOT / "policies/sts-topo-cron-policy.json": json.dumps(policy, indent=2) + "\n",
        ROOT / "docs/resources.md": derived.page(),
    }


def rules() -> list[str]:
    """The event rules of the template."""
    return [
        RULE.format(name=name, description=description(pattern), pattern=as_yaml(pattern, 8))
        for name, pattern in derived.patterns().items()
    ]


def description(pattern: dict[str, Any]) -> str:
    """What the rule is for, for whoever meets it in the console."""
    if "eventSource" in pattern.get("detail", {}):
        return f"Calls to {pattern['detail']['eventSource'][0]} that change what StackState shows."
    return f"Events of {pattern['source'][0]} that tell of changes in what StackState shows."


def as_yaml(value: Any, indent: int) -> str:
    """The value as YAML, lists of plain values on as few lines as fit, indented by blanks."""
    text = yaml.safe_dump(value, sort_keys=False, default_flow_style=None, width=100)
    return "\n".join(" " * indent + line for line in text.rstrip().splitlines())


def with_block(text: str, name: str, block: str) -> str:
    """The text with what stands between the markers of that name replaced."""
    begin, end = f"  # BEGIN generated: {name}\n", f"  # END generated: {name}\n"
    if begin not in text or end not in text:
        sys.exit(f"template.yaml lacks the markers of the generated block `{name}`")
    return re.sub(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: begin + block + end, text, flags=re.DOTALL)


if __name__ == "__main__":
    main()
