"""Packs the release archive: what a user needs to install, look after and remove the agent, without a checkout.

The same sources and artifacts give the same bytes: names are sorted, and all times are one.
"""

import argparse
import hashlib
import zipfile
from collections.abc import Iterator, Mapping
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path

from tools.build import BYTECODE, EPOCH, PLATFORMS, ROOT
from topology import VERSION

NAME = f"stackstate-aws-manual-installation-{VERSION}"
# What is shipped as it is, by patterns under the root.
SHIPPED = (
    "*.sh",
    "installer/*",
    "template.yaml",
    "forwarding.yaml",
    "cross-account.yaml",
    "policies/*.json",
    "docs/*",
    "README.md",
    "CHANGELOG.md",
    "LICENSE*",
)
SUMS = "SHA256SUMS"
PACKAGES = "PACKAGES.txt"


def main() -> None:
    """Read the command line and write the archive."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--artifacts", type=Path, default=ROOT / "build", help="folder of functions-*.zip")
    parser.add_argument("--output", type=Path, default=ROOT / "build", help="folder to write the archive into")
    arguments = parser.parse_args()
    archive = pack(arguments.artifacts, arguments.output)
    print(f"{archive}: {archive.stat().st_size / 1e6:.1f} MB, SHA-256 {digest(archive.read_bytes())}")


def pack(artifacts: Path, output: Path) -> Path:
    """Write the archive into the folder, and answer with its path. Raises FileNotFoundError without artifacts."""
    files = contents(artifacts)
    files[SUMS] = "".join(f"{digest(body)}  {name}\n" for name, body in sorted(files.items())).encode()
    output.mkdir(parents=True, exist_ok=True)
    target = output / f"{NAME}.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, body in sorted(files.items()):
            archive.writestr(_entry(name, body), body)
    return target


def contents(artifacts: Path) -> dict[str, bytes]:
    """What the archive has but for the checksums: by name, the bytes."""
    paths = [path for pattern in SHIPPED for path in ROOT.glob(pattern) if path.is_file() and path.name[0] != "."]
    files = {str(path.relative_to(ROOT)): path.read_bytes() for path in paths}
    packages: dict[str, str] = {}
    bytecode = set()
    for architecture in PLATFORMS:
        artifact = artifacts / f"functions-{architecture}.zip"
        files[artifact.name] = artifact.read_bytes()
        packages |= packages_of(artifact)
        bytecode.add(bytecode_of(artifact))
    if len(bytecode) > 1:
        raise ValueError(
            f"the artifacts are not of one build: their bytecode is of {' and of '.join(sorted(bytecode))}"
        )
    files[PACKAGES] = "".join(listed(packages, *bytecode)).encode()
    return files


def packages_of(artifact: Path) -> dict[str, str]:
    """The packages in an artifact, as they describe themselves: `name version`, and the licence."""
    found = {}
    with zipfile.ZipFile(artifact) as archive:
        for name in archive.namelist():
            if name.endswith(".dist-info/METADATA"):
                about = HeaderParser().parsestr(archive.read(name).decode())
                found[f"{about['Name']} {about['Version']}"] = licence(about)
    return found


def bytecode_of(artifact: Path) -> str:
    """Which Python compiled the bytecode in an artifact, such as `CPython 3.13.9`, or `none`."""
    with zipfile.ZipFile(artifact) as archive:
        return archive.read(BYTECODE).decode().strip()


def licence(about: Message) -> str:
    """The licence of a package: the expression that newer ones have, what it is classified as, or a short text."""
    classifiers = [text for text in about.get_all("Classifier", []) if text.startswith("License ::")]
    classified = " / ".join(text.rpartition(" :: ")[2] for text in classifiers)
    for text in (about.get("License-Expression", ""), classified, about.get("License", "")):
        if text.strip() and "\n" not in text:
            return str(text.strip())
    raise ValueError(f"{about['Name']} names no licence, and so cannot be shipped")


def listed(packages: Mapping[str, str], bytecode: str) -> Iterator[str]:
    """The lines of the list of packages, and what has to be at hand to build the same bytes again."""
    yield f"What the functions of version {VERSION} are made of beside their own code: package, version, licence.\n\n"
    for name, terms in sorted(packages.items(), key=lambda entry: entry[0].lower()):
        yield f"{name:<40} {terms}\n"
    yield f"\nBytecode: {bytecode}. With the same at hand, make dist builds this archive again, byte for byte.\n"


def digest(body: bytes) -> str:
    """The SHA-256 of it, in hexadecimal."""
    return hashlib.sha256(body).hexdigest()


def _entry(name: str, body: bytes) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(f"{NAME}/{name}", EPOCH)
    entry.create_system = 3  # Unix, whatever this runs on: its permissions count
    entry.external_attr = (0o755 if body.startswith(b"#!") else 0o644) << 16
    # What is a zip file already becomes no smaller.
    entry.compress_type = zipfile.ZIP_STORED if name.endswith(".zip") else zipfile.ZIP_DEFLATED
    return entry


if __name__ == "__main__":
    main()
