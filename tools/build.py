"""Builds the one artifact that all three functions share: our code and the locked packages, reproducibly.

Neither Docker nor Lambda's own Python is needed: wheels for the wanted platform are unpacked, never run.
"""

import argparse
import compileall
import os
import platform
import py_compile
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LAMBDA_PYTHON = "3.13"
PLATFORMS = {"arm64": "aarch64-manylinux2014", "x86_64": "x86_64-manylinux2014"}
# Clients that the code makes beside those of the declarations.
OWN_CLIENTS = frozenset({"kinesis", "resourcegroupstaggingapi", "s3", "secretsmanager", "sts"})
# A zip cannot hold an earlier date; a fixed one makes two builds of the same source equal byte for byte.
EPOCH = (1980, 1, 1, 0, 0, 0)
# The file of an artifact that says whose bytecode is in it: the one thing that depends on where it was built.
BYTECODE = "BYTECODE"


def main() -> None:
    """Read the command line and build a folder or a zip file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--architecture", choices=[*PLATFORMS, "local"], required=True)
    parser.add_argument("--output", type=Path, help="folder to build into (default: beside the zip file)")
    parser.add_argument("--zip", type=Path, help="zip file to write")
    arguments = parser.parse_args()
    if not (arguments.output or arguments.zip):
        parser.error("say where to: --output, --zip or both")
    folder = arguments.output or arguments.zip.with_suffix("")
    build(arguments.architecture, folder)
    if arguments.zip:
        pack(folder, arguments.zip)
        print(f"{arguments.zip}: {arguments.zip.stat().st_size / 1e6:.1f} MB")


def build(architecture: str, folder: Path) -> None:
    """Put the code and its packages into the folder, as Lambda's /var/task will have them."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    install_packages(architecture, folder)
    prune_packages(folder)
    others = shutil.ignore_patterns("__pycache__", "Makefile", ".*")  # the last are what systems and editors leave
    shutil.copytree(ROOT / "functions", folder, dirs_exist_ok=True, ignore=others)
    (folder / BYTECODE).write_text(f"{compile_bytecode(architecture, folder) or 'none'}\n")


def install_packages(architecture: str, folder: Path) -> None:
    """Unpack the locked wheels for the platform; a package without a wheel for it fails the build."""
    command = [os.environ.get("UV", str(ROOT / ".venvs/uv/bin/uv")), "pip", "install", "--quiet", "--no-deps"]
    command += ["--require-hashes", "--only-binary", ":all:", "--link-mode", "copy"]
    command += ["--target", str(folder), "-r", str(ROOT / "requirements/runtime.txt")]
    if architecture == "local":
        command += ["--python", sys.executable]
    else:
        command += ["--python-platform", PLATFORMS[architecture], "--python-version", LAMBDA_PYTHON]
    subprocess.run(command, check=True)


def prune_packages(folder: Path) -> None:
    """Leave out what no function opens: the models of services that we never call are nine tenths of botocore."""
    sys.path.insert(0, str(ROOT / "functions"))
    from topology.resources import ALL  # the path above has to be set first

    needed = OWN_CLIENTS | {call.service for resource in ALL for call in resource.calls}
    for model in (folder / "botocore/data").iterdir():
        if model.is_dir() and model.name not in needed:
            shutil.rmtree(model)
    # zstandard brings its code twice, and CPython takes the C extension.
    unused = [*folder.glob("zstandard/_cffi*"), *folder.rglob("__pycache__")]
    unused += [folder / name for name in ("boto3/examples", "boto3/data", "bin", ".lock")]
    # The installer's notes: RECORD has the sums of the scripts in bin/, which begin with a path of this machine.
    for name in ("RECORD", "INSTALLER", "REQUESTED"):
        unused += folder.glob(f"*.dist-info/{name}")
    for path in unused:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def compile_bytecode(architecture: str, folder: Path) -> str | None:
    """Add .pyc files where an interpreter of Lambda's version is at hand: without them imports take 5 times as long.

    Unchecked hashes, since the dates in the zip are not those of the sources. Answers with what compiled them, such as
    `CPython 3.13.9`: another patch level may write other bytes.
    """
    if architecture == "local":
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
        compileall.compile_dir(folder, quiet=1, workers=1, invalidation_mode=mode, stripdir=str(folder))
        return f"{platform.python_implementation()} {platform.python_version()}"
    interpreter = lambda_interpreter()
    if interpreter is None:
        print(f"No working python{LAMBDA_PYTHON} found: the artifact has no .pyc files, so cold starts are slower.")
        return None
    command = [interpreter, "-m", "compileall", "-q", "-j", "1", "--invalidation-mode", "unchecked-hash"]
    subprocess.run([*command, "-s", str(folder), str(folder)], check=True)
    asked = "import platform as p; print(p.python_implementation(), p.python_version())"
    return subprocess.run([interpreter, "-c", asked], check=True, capture_output=True, text=True).stdout.strip()


def lambda_interpreter() -> str | None:
    """A Python of Lambda's version that really runs (a version manager's shim may not), or None."""
    uv = os.environ.get("UV", str(ROOT / ".venvs/uv/bin/uv"))
    found = subprocess.run(
        [uv, "python", "find", "--no-python-downloads", LAMBDA_PYTHON], capture_output=True, text=True, check=False
    )
    path = found.stdout.strip()
    runs = path and subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode == 0
    return path if found.returncode == 0 and runs else None


def pack(folder: Path, target: Path) -> None:
    """Zip the folder, the same bytes for the same content."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(str(path.relative_to(folder)), EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, path.read_bytes())


if __name__ == "__main__":
    main()
