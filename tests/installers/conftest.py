"""install.sh and uninstall.sh as a user has them, unpacked in a folder, and the local account to run them against."""

import os
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from local.account import Account
from tests.installers.preloaded_cli import preloaded_cli

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ("*.sh", "installer", "template.yaml", "forwarding.yaml", "policies")
KEY = "receiver-key-7d41c0ffee"
# Who has every right need not ask for them; the receiver is none; events are forwarded where a test says so.
LEAVE_OUT = ("--skip-receiver-check", "--skip-rights-check", "--no-global-events", "--trail=none")
BASE_URL = "https://stackstate.example.com/receiver"


@dataclass
class Run:
    """A script that has come to its end."""

    status: int
    output: str
    commands: set[str]
    """Command lines of the processes that it started, as ps would show them."""


@dataclass
class Installer:
    """The unpacked release, and the account that it is run against (empty endpoint: none can be reached)."""

    folder: Path
    endpoint: str = ""
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, script: str, *arguments: str, text: str = "", **environment: str) -> Run:
        """Run a script with the real AWS CLI (see preloaded_cli), and watch its child processes."""
        settings = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_MAX_ATTEMPTS": "1",
            "AWS_ENDPOINT_URL": self.endpoint or "http://localhost:9",
        }
        process = subprocess.Popen(
            [str(self.folder / script), *arguments],
            env={name: value for name, value in (settings | self.environment | environment).items() if value},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # so that its processes can be told from those of other tests
        )
        commands: set[str] = set()
        watcher = threading.Thread(target=watch, args=(process, commands))
        watcher.start()
        output, _ = process.communicate(text)
        watcher.join()
        return Run(process.returncode, output, commands)

    def install(
        self, identity: str, *options: str, key: str = KEY, leave_out: Sequence[str] = LEAVE_OUT, **environment: str
    ) -> Run:
        """install.sh with a good URL and key, an instance of its own, and without what most tests are not about."""
        instance = f"--instance-url={identity}"
        return self.run("install.sh", *leave_out, instance, *options, BASE_URL, key, identity, **environment)


def watch(process: "subprocess.Popen[str]", commands: set[str]) -> None:
    """Note the command lines of all processes that run the AWS CLI while the script runs."""
    while process.poll() is None:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                if os.getsid(int(path.parent.name)) != process.pid:
                    continue
                line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:  # it ended meanwhile
                continue
            if "/aws " in line:
                commands.add(line)
        time.sleep(0.02)


@pytest.fixture(scope="session", autouse=True)
def quick_cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The AWS CLI on PATH, which starts quickly; test_cli.py and test_archive.py have it as it is shipped."""
    folder = tmp_path_factory.mktemp("cli")
    with preloaded_cli(ROOT / ".venvs/aws/bin/python", folder), pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        yield


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts and the template with an artifact beside them, as the release archive has them."""
    folder = tmp_path_factory.mktemp("release")
    for path in [path for pattern in SHIPPED for path in ROOT.glob(pattern)]:
        if path.is_dir():
            shutil.copytree(path, folder / path.name)
        else:
            shutil.copy(path, folder)
    for architecture in ("arm64", "x86_64"):
        with zipfile.ZipFile(folder / f"functions-{architecture}.zip", "w") as archive:
            archive.writestr("handler.py", f"ARCHITECTURE = {architecture!r}\n")
    return folder


@pytest.fixture(scope="module")
def invoked() -> list[str]:
    """Functions that were invoked in the account, in order."""
    return []


@pytest.fixture(scope="module")
def account(invoked: list[str]) -> Iterator[Account]:
    """The local account, in a process of its own: moto keeps one account per process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.installers.served_account"],
        cwd=ROOT,
        env=dict(os.environ) | {"AWS_DEFAULT_REGION": "eu-west-1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    lines = process.stdout
    endpoint = lines.readline().strip()
    assert endpoint, "the account did not start"

    def note() -> None:
        invoked.extend(line.split()[1] for line in lines if line.startswith("invoked "))

    reader = threading.Thread(target=note, daemon=True)
    reader.start()
    yield Account(endpoint)
    process.terminate()
    process.wait()
    reader.join()


@pytest.fixture
def offline(release: Path) -> Installer:
    """The scripts where no AWS can be reached: for what is refused before anything is asked of it."""
    return Installer(release)


@pytest.fixture(scope="module")
def installer(release: Path, account: Account) -> Installer:
    """The scripts, with the local account in AWS's place."""
    return Installer(release, account.endpoint)
