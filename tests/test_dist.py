"""The release archive: what it holds, that it is the same every time, and that the version is one everywhere."""

import hashlib
import os
import re
import stat
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from tools.build import BYTECODE, ROOT
from tools.dist import NAME, contents, pack
from topology import VERSION

METADATA = "Metadata-Version: 2.4\nName: one\nVersion: 1.2\nLicense-Expression: MIT\n\nA package.\n"


def artifacts_in(folder: Path, metadata: str = METADATA, arm64: str = "none", x86_64: str = "none") -> Path:
    """Put artifacts into the folder as `make build` leaves them, with one package, and the bytecode that is named."""
    for architecture, bytecode in (("arm64", arm64), ("x86_64", x86_64)):
        with zipfile.ZipFile(folder / f"functions-{architecture}.zip", "w") as archive:
            archive.writestr("one-1.2.dist-info/METADATA", metadata)
            archive.writestr(BYTECODE, f"{bytecode}\n")
    return folder


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return artifacts_in(tmp_path_factory.mktemp("build"))


@pytest.fixture(scope="module")
def archive(artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack(artifacts, tmp_path_factory.mktemp("dist"))


def run_elsewhere(command: Sequence[str], home: Path, umask: str, **environment: str) -> None:
    """Run a module of ours with another folder, umask, time zone, locale and order of hashes."""
    home.mkdir()
    settings = dict(os.environ) | {"PYTHONPATH": f"{ROOT / 'functions'}:{ROOT}"} | environment
    script = f'umask {umask}; exec "$@"'
    subprocess.run(["sh", "-c", script, "sh", sys.executable, "-m", *command], cwd=home, env=settings, check=True)


def test_two_archives_of_the_same_sources_are_equal_byte_for_byte(artifacts: Path, tmp_path: Path) -> None:
    command = ["tools.dist", "--artifacts", str(artifacts), "--output", "here"]

    run_elsewhere(command, tmp_path / "one", "077", TZ="Asia/Tokyo", LC_ALL="C", PYTHONHASHSEED="1")
    run_elsewhere(command, tmp_path / "an other", "002", TZ="America/Lima", LC_ALL="C.UTF-8", PYTHONHASHSEED="2")

    [one], [other] = tmp_path.glob("one/here/*"), tmp_path.glob("an other/here/*")
    assert one.name == other.name
    assert one.read_bytes() == other.read_bytes()


def test_two_builds_of_the_same_sources_are_equal_byte_for_byte(tmp_path: Path) -> None:
    """With bytecode, which is the harder half; where Lambda's Python is at hand, it is used in the same way."""
    command = ["tools.build", "--architecture", "local", "--zip", "built.zip"]

    run_elsewhere(command, tmp_path / "one", "077", TZ="Asia/Tokyo", LC_ALL="C", PYTHONHASHSEED="1")
    run_elsewhere(command, tmp_path / "an other", "002", TZ="America/Lima", LC_ALL="C.UTF-8", PYTHONHASHSEED="2")

    one, other = (tmp_path / name / "built.zip" for name in ("one", "an other"))
    assert one.read_bytes() == other.read_bytes()


def test_an_artifact_has_nothing_of_the_machine_that_built_it(tmp_path: Path) -> None:
    """Scripts begin with the path of an interpreter, and RECORD has their sums."""
    run_elsewhere(["tools.build", "--architecture", "local", "--output", "built"], tmp_path / "one", "022")

    files = [path for path in (tmp_path / "one" / "built").rglob("*") if path.is_file()]
    assert not [path for path in files if path.name == "RECORD" or path.parent.name == "bin"]
    assert not [path for path in files if str(tmp_path).encode() in path.read_bytes()]


def test_all_is_in_one_folder_named_by_the_version(archive: Path) -> None:
    assert archive.name == f"stackstate-aws-manual-installation-{VERSION}.zip"
    with zipfile.ZipFile(archive) as opened:
        assert {name.split("/")[0] for name in opened.namelist()} == {NAME}


def test_it_has_what_an_installation_takes_in_its_life(archive: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        names = {name.removeprefix(f"{NAME}/") for name in opened.namelist()}

    assert {path.name for path in ROOT.glob("*.sh")} <= names
    assert {f"policies/{path.name}" for path in ROOT.glob("policies/*.json")} <= names
    assert {
        "template.yaml", "forwarding.yaml", "cross-account.yaml", "installer/aws.sh", "installer/prices.awk",
        "functions-arm64.zip", "functions-x86_64.zip", "README.md", "CHANGELOG.md", "docs/operations.md", "SHA256SUMS",
        "PACKAGES.txt",
    } <= names  # fmt: skip


def test_the_sums_are_those_of_every_other_file(archive: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        found = {name.removeprefix(f"{NAME}/"): opened.read(name) for name in opened.namelist()}
    lines = found.pop("SHA256SUMS").decode().splitlines()

    assert [line.split("  ") for line in lines] == [
        [hashlib.sha256(body).hexdigest(), name] for name, body in sorted(found.items())
    ]


def test_scripts_can_be_run_and_the_rest_only_read(archive: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        modes = {entry.filename.removeprefix(f"{NAME}/"): entry.external_attr >> 16 for entry in opened.infolist()}

    runnable = {name for name, mode in modes.items() if mode & stat.S_IXUSR}
    assert runnable == {path.name for path in ROOT.glob("*.sh") if path.stat().st_mode & stat.S_IXUSR}
    assert "install.sh" in runnable


def test_packages_are_listed_with_version_and_licence(artifacts: Path) -> None:
    assert re.search(r"^one 1\.2 +MIT$", contents(artifacts)["PACKAGES.txt"].decode(), re.MULTILINE)


def test_whose_bytecode_it_has_is_told_since_another_python_writes_other_bytes(tmp_path: Path) -> None:
    artifacts_in(tmp_path, arm64="CPython 3.13.9", x86_64="CPython 3.13.9")
    assert "\nBytecode: CPython 3.13.9." in contents(tmp_path)["PACKAGES.txt"].decode()

    artifacts_in(tmp_path, arm64="CPython 3.13.9", x86_64="none")
    with pytest.raises(ValueError, match=r"bytecode is of CPython 3\.13\.9 and of none"):
        contents(tmp_path)


def test_a_package_without_a_licence_is_not_shipped(tmp_path: Path) -> None:
    artifacts_in(tmp_path, METADATA.replace("License-Expression: MIT\n", ""))

    with pytest.raises(ValueError, match="one names no licence"):
        pack(tmp_path, tmp_path)


def test_without_artifacts_nothing_is_packed(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"functions-arm64\.zip"):
        pack(tmp_path, tmp_path)


@pytest.mark.parametrize("template", ["template.yaml", "forwarding.yaml", "cross-account.yaml"])
def test_templates_and_code_are_of_one_version(template: str) -> None:
    assert re.findall(r"^ *Version: ([0-9][0-9.]*)$", (ROOT / template).read_text(), re.MULTILINE) == [VERSION]


def test_the_project_is_of_that_version_too() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == VERSION


def test_every_module_that_calls_names_the_version() -> None:
    """The receiver and AWS see it as the User-Agent, and every log line has it."""
    functions = ROOT / "functions"
    for name in ("topology/receiver.py", "topology/aws.py"):
        assert 'f"stackstate-aws-agent/{VERSION}"' in (functions / name).read_text()
    for path in functions.glob("*/handler.py"):
        assert "Logger(version=VERSION)" in path.read_text()
