"""The scripts with AWS CLI v2 as with v1, whatever settings of the CLI their user has."""

import os
import pty
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from local.account import Account
from tests.installers.conftest import BASE_URL, ROOT, Installer, Run
from tests.installers.test_dead_letters import refused
from tests.installers.test_uninstall import everything, state_bucket
from topology.records import Record

# What a person may have set for working by hand, and would disturb a script that does not say what it needs.
CONFIG = """
[default]
output = table
cli_pager = {pager}
cli_auto_prompt = on
cli_timestamp_format = wire
cli_binary_format = raw-in-base64-out
cli_history = enabled

[profile without-keys]
region = eu-west-1
output = yaml-stream

[profile signed-in]
region = eu-west-1
sso_start_url = https://example.awsapps.com/start
sso_region = eu-west-1
sso_account_id = 123456789012
sso_role_name = Admin
"""
EXPIRED = b"""<ErrorResponse><Error><Type>Sender</Type><Code>ExpiredToken</Code>
<Message>The security token included in the request is expired</Message></Error></ErrorResponse>"""


class Expired(BaseHTTPRequestHandler):
    """AWS to whoever comes with a session that is over."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.send_response(403)
        self.send_header("Content-Length", str(len(EXPIRED)))
        self.end_headers()
        self.wfile.write(EXPIRED)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module", params=["aws", "aws2"], ids=["v1", "v2"])
def cli(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of somebody who has this CLI, and settings of their own; a pager would leave a mark."""
    folder = ROOT / ".venvs" / request.param / "bin"
    if not (folder / "aws").exists():
        assert not os.environ.get("CI"), f"there is no AWS CLI in {folder}; 'make aws-cli' installs v2"
        pytest.skip("there is no AWS CLI v2 here; 'make aws-cli' installs one where that is possible")
    home = tmp_path_factory.mktemp("home")
    (home / ".aws").mkdir()
    (home / "pager").write_text(f"#!/bin/sh\ntouch '{home}/paged'\nexec cat\n")
    (home / "pager").chmod(0o755)
    (home / ".aws" / "config").write_text(CONFIG.format(pager=home / "pager"))
    return {"PATH": f"{folder}:{os.environ['PATH']}", "HOME": str(home), "AWS_DEFAULT_OUTPUT": "yaml"}


@pytest.fixture
def scripts(installer: Installer, cli: dict[str, str]) -> Installer:
    """The scripts with the local account in AWS's place, and one of the CLIs."""
    return Installer(installer.folder, installer.endpoint, cli)


@pytest.fixture
def expired() -> Iterator[str]:
    """The address of what says to everything that the token is expired."""
    server = ThreadingHTTPServer(("localhost", 0), Expired)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://localhost:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("cli", ["aws2"], ids=["v2"], indirect=True)  # all other tests are of v1
def test_an_installation_lives_and_goes(
    scripts: Installer, account: Account, invoked: list[str], tmp_path: Path
) -> None:
    before = everything(account)

    installed = scripts.install("lived", "--name-suffix=-lived", "--regions=eu-west-1,eu-central-1")
    assert installed.status == 0, installed.output
    record = refused(account, state_bucket(account, "lived"), "lived")
    again = scripts.install("lived")
    rehearsed = scripts.install("lived", "--dry-run", "--schedule=rate(2 hours)")
    upgraded = upgrade(scripts, tmp_path)
    looked = scripts.run("status.sh", "lived")
    examined = scripts.run("doctor.sh", "lived")
    listed = scripts.run("dead-letters.sh", "list", "lived")
    replayed = scripts.run("dead-letters.sh", "replay", listed.output.split("\t")[0], "lived")
    sent = on_stream(account, "stackstate-topo-kinesis-lived")
    confirmed = scripts.run("confirm.sh", "lived")
    foreseen = scripts.run("uninstall.sh", "--dry-run", "lived")
    gone = scripts.run("uninstall.sh", "lived")

    assert "aws logs tail /aws/lambda/stackstate-topo-cron-lived" in installed.output  # v1 has no such command
    assert "is up to date" in again.output, again.output
    assert "Modify   TopoCronFunctionSchedule" in rehearsed.output, rehearsed.output
    assert upgraded.status == 0, upgraded.output
    assert "No snapshot was finished yet" in looked.output
    assert "Set aside: 1." in looked.output
    assert (examined.status, "Nothing is wrong" in examined.output) == (0, True), examined.output
    assert invoked.count("stackstate-topo-publisher-lived") == 1
    assert replayed.status == 0, replayed.output
    assert Record.decode(sent).lines == record.lines
    assert "there is nothing to confirm" in confirmed.output
    assert "AWS::Kinesis::Stream             stackstate-topo-kinesis-lived" in foreseen.output
    assert (gone.status, "is left" in gone.output) == (0, True), gone.output
    assert everything(account) == before


def upgrade(scripts: Installer, folder: Path) -> Run:
    """Install a release with other code over what is there."""
    shutil.copytree(scripts.folder, folder / "newer")
    (folder / "newer" / "functions-arm64.zip").write_bytes(b"other code")
    run = Installer(folder / "newer", scripts.endpoint, scripts.environment).install("lived")
    assert "Uploading version" in run.output, run.output
    return run


def on_stream(account: Account, name: str) -> bytes:
    """What is on a stream that has one record."""
    kinesis = account.client("kinesis")
    found = b""
    for shard in kinesis.list_shards(StreamName=name)["Shards"]:
        where = {"StreamName": name, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
        records = kinesis.get_records(ShardIterator=kinesis.get_shard_iterator(**where)["ShardIterator"])["Records"]
        found += b"".join(record["Data"] for record in records)
    return found


def test_no_pager_waits_for_a_person_at_a_terminal(scripts: Installer, cli: dict[str, str]) -> None:
    """The child has a terminal; a pager that started would have left its mark."""
    main, terminal = pty.openpty()
    settings = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_REGION": "eu-west-1"}
    settings |= cli | {"AWS_ENDPOINT_URL": scripts.endpoint, "TERM": "xterm"}

    process = subprocess.Popen(
        [scripts.folder / "status.sh", "nobody"], env=settings, stdin=terminal, stdout=terminal, stderr=terminal
    )
    assert process.wait(120) == 1
    os.close(terminal)

    assert b"there is no installation of configuration id nobody" in os.read(main, 10_000)
    os.close(main)
    assert not (Path(cli["HOME"]) / "paged").exists()


REFUSED: dict[str, tuple[list[str], dict[str, str], str]] = {
    "no region": ([], {"AWS_DEFAULT_REGION": ""}, "no region: name it with --region, in AWS_REGION or in the profile"),
    "a region that is none": (["--region=europe"], {}, "'europe' is no region. They are named like eu-west-1"),
    "no credentials": (
        [],
        {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""},
        "AWS does not know who is asking. Check the credentials",
    ),
    "half of the credentials": ([], {"AWS_SECRET_ACCESS_KEY": ""}, "Check the credentials"),
    "a profile that is not there": (["--profile=nobody"], {}, "The config profile (nobody) could not be found"),
    "a profile that is not there, and no region": (
        ["--profile=nobody"],
        {"AWS_DEFAULT_REGION": ""},
        "The config profile (nobody) could not be found",
    ),
    "a profile without keys": (["--profile=without-keys"], {}, "Check the credentials"),
    "a profile that is not signed in": (["--profile=signed-in"], {}, "aws sso login"),
}


@pytest.mark.parametrize(("options", "environment", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_is_missing_is_told(
    scripts: Installer, options: list[str], environment: dict[str, str], reason: str
) -> None:
    run = scripts.run("install.sh", *options, BASE_URL, "key", "refused", **environment)

    assert run.status == 1
    assert reason in run.output
    assert "Traceback" not in run.output


def test_an_expired_session_is_told(scripts: Installer, cli: dict[str, str], expired: str) -> None:
    run = Installer(scripts.folder, expired, cli).run("install.sh", BASE_URL, "key", "refused")

    assert run.status == 1
    assert "Check the credentials" in run.output
    assert "The security token included in the request is expired" in run.output


def test_a_cli_that_does_not_run_is_told(offline: Installer, tmp_path: Path) -> None:
    """As with a version manager's stand-in that has no version chosen."""
    (tmp_path / "aws").write_text("#!/bin/sh\necho 'aws: no version is chosen' >&2\nexit 127\n")
    (tmp_path / "aws").chmod(0o755)

    run = offline.run("install.sh", BASE_URL, "key", "1", PATH=f"{tmp_path}:/usr/bin:/bin")

    assert run.status == 1
    assert f"the AWS CLI does not run. Install it anew: https://aws.amazon.com/cli/\n{tmp_path}/aws says:" in run.output
    assert "aws: no version is chosen" in run.output


def test_another_shell_than_bash_is_told_apart(offline: Installer) -> None:
    """`sh install.sh` is what many type. Where sh is bash, it goes on; elsewhere it says what to type."""
    called = subprocess.run(["sh", offline.folder / "install.sh"], capture_output=True, text=True, check=False)

    assert called.returncode == 2
    assert "Run it as: bash" in called.stderr or "three arguments are needed" in called.stderr
