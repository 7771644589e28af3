"""The same template with the real SAM CLI, for those who live in SAM."""

import os
import subprocess
from pathlib import Path

from local.account import Account
from tests.installers.conftest import BASE_URL, KEY

ROOT = Path(__file__).resolve().parents[2]


def sam(*arguments: str, **environment: str) -> str:
    settings = dict(os.environ) | {"SAM_CLI_TELEMETRY": "0"} | environment
    run = subprocess.run(
        [str(ROOT / ".venvs/sam/bin/sam"), *arguments],
        cwd=ROOT,
        env=settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout
    return run.stdout


def test_sam_finds_the_template_valid() -> None:
    assert "is a valid SAM Template" in sam("validate", "--lint")


def test_sam_builds_and_deploys_it(account: Account, tmp_path: Path) -> None:
    sam("build", "--build-dir", str(tmp_path))
    assert (tmp_path / "TopoPublisherFunction/topo_publisher/handler.py").exists()

    sam(
        "deploy",
        f"--template={tmp_path / 'template.yaml'}",
        f"--config-file={ROOT / 'samconfig.toml'}",
        "--stack-name=stackstate-sam",
        "--no-confirm-changeset",
        "--parameter-overrides",
        f"StackStateBaseUrl={BASE_URL}",
        f"StackStateApiKey={KEY}",
        "StackStateConfigurationId=sam",
        "NameSuffix=-sam",
        AWS_ENDPOINT_URL=account.endpoint,
    )

    function = account.client("lambda").get_function_configuration(FunctionName="stackstate-topo-publisher-sam")
    secret = function["Environment"]["Variables"]["STACKSTATE_API_KEY_SECRET"]
    assert account.client("secretsmanager").get_secret_value(SecretId=secret)["SecretString"] == KEY
