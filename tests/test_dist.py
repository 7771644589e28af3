"""The release archive: what it holds, that it is the same every time, and that the version is one everywhere."""

import hashlib
import re
import stat
import tomllib
import zipfile
from pathlib import Path

import pytest

from tools.build import ROOT
from tools.dist import NAME, contents, pack
from topology import VERSION

METADATA = "Metadata-Version: 2.4\nName: one\nVersion: 1.2\nLicense-Expression: MIT\n\nA package.\n"


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Artifacts as `make build` leaves them, with one package."""
    folder = tmp_path_factory.mktemp("build")
    for architecture in ("arm64", "x86_64"):
        with zipfile.ZipFile(folder / f"functions-{architecture}.zip", "w") as archive:
            archive.writestr("one-1.2.dist-info/METADATA", METADATA)
    return folder


@pytest.fixture(scope="module")
def archive(artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack(artifacts, tmp_path_factory.mktemp("dist"))


def test_two_archives_of_the_same_sources_are_equal_byte_for_byte(
    archive: Path, artifacts: Path, tmp_path: Path
) -> None:
    assert pack(artifacts, tmp_path).read_bytes() == archive.read_bytes()


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
        "template.yaml", "forwarding.yaml", "cross-account.yaml", "prices.awk", "functions-arm64.zip",
        "functions-x86_64.zip", "README.md", "CHANGELOG.md", "docs/operations.md", "SHA256SUMS", "PACKAGES.txt",
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


def test_a_package_without_a_licence_is_not_shipped(tmp_path: Path) -> None:
    for architecture in ("arm64", "x86_64"):
        with zipfile.ZipFile(tmp_path / f"functions-{architecture}.zip", "w") as archive:
            archive.writestr("one-1.2.dist-info/METADATA", METADATA.replace("License-Expression: MIT\n", ""))

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
