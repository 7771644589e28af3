"""The release archive as a user has it: unpacked, with no Python for its scripts, against the local account."""

import os
import shutil
import zipfile
from pathlib import Path

import pytest

from local.account import Account
from tests.installers.conftest import ROOT, Installer
from tools.build import BYTECODE
from tools.dist import NAME, pack


def unpack(release: Path, folder: Path) -> Path:
    """Pack the archive with the artifacts of the release, and unpack it; answers with the folder that it makes."""
    (folder / "build").mkdir()
    for artifact in release.glob("functions-*.zip"):
        shutil.copy(artifact, folder / "build")
        with zipfile.ZipFile(folder / "build" / artifact.name, "a") as archive:
            archive.writestr("one-1.dist-info/METADATA", "Name: one\nVersion: 1\nLicense: MIT\n")
            archive.writestr(BYTECODE, "none\n")
    with zipfile.ZipFile(pack(folder / "build", folder / "build")) as archive:
        archive.extractall(folder)
        for entry in archive.infolist():
            (folder / entry.filename).chmod(entry.external_attr >> 16)  # as unzip does
    return folder / NAME


@pytest.fixture(scope="module")
def unpacked(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the archive unpacks to."""
    return unpack(release, tmp_path_factory.mktemp("unpacked"))


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A PATH on which whatever the scripts must not need fails, and leaves a mark."""
    for name in ("python", "python3", "jq", "make", "git", "sam"):
        (tmp_path / name).write_text(f"#!/bin/sh\ntouch '{tmp_path}/needed-{name}'\nexit 97\n")
        (tmp_path / name).chmod(0o755)
    return f"{tmp_path}:{ROOT / '.venvs/aws/bin'}:{os.environ['PATH']}"


def test_an_installation_lives_and_goes_by_what_the_archive_has(
    unpacked: Path, account: Account, path: str, tmp_path: Path
) -> None:
    installer = Installer(unpacked, account.endpoint, {"PATH": path})

    installed = installer.install("unpacked", "--name-suffix=-unpacked")
    again = installer.install("unpacked")
    looked = installer.run("status.sh", "unpacked")
    letters = installer.run("dead-letters.sh", "list", "unpacked")
    gone = installer.run("uninstall.sh", "unpacked")

    assert installed.status == 0, installed.output
    assert "up to date" in again.output
    assert "No snapshot was finished yet" in looked.output
    assert "Nothing was set aside" in letters.output
    assert (gone.status, "is left" in gone.output) == (0, True), gone.output
    assert not list(tmp_path.glob("needed-*"))
