"""The whole life of an installation, with the real installer, artifact and functions: `make demo ONCE=1`."""

import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from local.topology import check

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.timeout(600)
def test_install_snapshot_change_and_uninstall(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "local.demo", "--once", "--bodies", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "The account is as it was before" in done.stdout
    bodies = [orjson.loads(path.read_bytes()) for path in sorted(tmp_path.glob("*.json"))]
    assert bodies
    for body in bodies:
        check(body)
    types = {
        component["type"]["name"] for body in bodies for one in body["topologies"] for component in one["components"]
    }
    assert {"aws.ec2", "aws.lambda", "aws.lambda.alias", "aws.s3_bucket", "aws.sqs", "aws.cloudformation"} <= types
