"""What the scripts say to arguments, right and wrong, before AWS is asked for anything."""

import os
import pty
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.installers.conftest import BASE_URL, KEY, ROOT, Installer
from topology import VERSION

SCRIPTS = ("install.sh", "uninstall.sh", "status.sh", "doctor.sh", "confirm.sh", "dead-letters.sh")
WRONG = {
    "nothing at all": ([], "three arguments are needed"),
    "no configuration id": ([BASE_URL, KEY], "but 2 were given"),
    "one argument too many": ([BASE_URL, KEY, "1", "2"], "but 4 were given"),
    "a base URL without scheme": (["stackstate.example.com", KEY, "1"], "http:// or https:// in front"),
    "a base URL with a query": ([f"{BASE_URL}?api_key=x", KEY, "1"], "BASE_URL is"),
    "an empty key": ([BASE_URL, "", "1"], "the API key is empty"),
    "a key with a space": ([BASE_URL, "a b", "1"], "has spaces in it"),
    "a key on an empty standard input": ([BASE_URL, "-", "1"], "standard input is empty"),
    "an id that no stack can be named after": ([BASE_URL, KEY, "a_b"], "CONFIGURATION_ID is 'a_b'"),
    "an unknown option": (["--fast", "x", BASE_URL, KEY, "1"], "unknown option --fast"),
    "an option before another one": (["--regions", "--yes", BASE_URL, KEY, "1"], "--regions needs a value"),
    "a flag with a value": (["--topo-cron-only=yes", BASE_URL, KEY, "1"], "--topo-cron-only takes no value"),
    "a key file that is not there": (["--api-key-file=/nowhere", BASE_URL, "1"], "/nowhere cannot be read"),
    "a key file and a key": (["--api-key-file=/dev/null", BASE_URL, KEY, "1"], "two arguments are needed"),
    "an empty key file": (["--api-key-file=/dev/null", BASE_URL, "1"], "the first line of /dev/null must be the key"),
    "a folder for a key file": (["--api-key-file=/", BASE_URL, "1"], "--api-key-file: / cannot be read"),
    "an unknown way to a trail": (["--trail=some", BASE_URL, KEY, "1"], "must be existing, create or none"),
    "an option without its value": ([BASE_URL, KEY, "1", "--region"], "--region needs a value"),
    "a suffix without hyphen": (["--name-suffix", "b", BASE_URL, KEY, "1"], "must begin with a hyphen"),
    "certificates that are not there": (["--ca-bundle=/nowhere.pem", BASE_URL, KEY, "1"], "cannot be read"),
    "a file without certificates": (["--ca-bundle=/dev/null", BASE_URL, KEY, "1"], "has no certificate in PEM form"),
    "an unknown architecture": (["--architecture=riscv", BASE_URL, KEY, "1"], "must be arm64 or x86_64"),
}


@pytest.mark.parametrize(("arguments", "reason"), WRONG.values(), ids=WRONG)
def test_install_refuses(offline: Installer, arguments: list[str], reason: str) -> None:
    run = offline.run("install.sh", *arguments)

    assert run.status == 2
    assert reason in run.output
    assert "install.sh --help" in run.output
    assert not run.commands
    assert KEY not in run.output


@pytest.mark.parametrize("written", ["two words\n", "\r\n", " \n"], ids=["two words", "an empty line", "a space"])
def test_a_key_file_with_something_else_in_it_is_named(offline: Installer, tmp_path: Path, written: str) -> None:
    file = tmp_path / "key"
    file.write_bytes(written.encode())

    run = offline.run("install.sh", "--api-key-file", str(file), BASE_URL, "1")

    assert (run.status, f"irst line of {file}" in run.output) == (2, True), run.output
    assert not run.commands


def test_a_key_that_a_person_types_is_not_shown(offline: Installer) -> None:
    terminal, inside = pty.openpty()
    process = subprocess.Popen(
        [str(offline.folder / "install.sh"), "--region=nowhere", BASE_URL, "-", "1"],
        env={"PATH": os.environ["PATH"]},
        stdin=inside,
        stdout=inside,
        stderr=inside,
        start_new_session=True,
    )
    os.close(inside)
    shown = read_until(terminal, b"API key: ")

    os.write(terminal, f"{KEY}\n".encode())
    shown += read_until(terminal, b"\n", b"is no region")
    process.wait()
    os.close(terminal)

    assert b"'nowhere' is no region" in shown
    assert KEY.encode() not in shown


def read_until(terminal: int, *texts: bytes) -> bytes:
    """What a program shows on a terminal, up to texts that it has to show one after the other."""
    shown = b""
    for text in texts:
        rest = b""
        while text not in rest:
            rest += os.read(terminal, 1000)
        shown += rest
    return shown


@pytest.mark.parametrize(
    "script", ["install.sh", "uninstall.sh", "status.sh", "doctor.sh", "confirm.sh", "dead-letters.sh"]
)
def test_a_script_finds_its_parts_from_anywhere_and_through_links(
    offline: Installer, tmp_path: Path, script: str
) -> None:
    spaced, elsewhere = tmp_path / "with a space", tmp_path / "elsewhere"
    shutil.copytree(offline.folder, spaced)
    elsewhere.mkdir()
    (elsewhere / "absolute").symlink_to(spaced / script)
    (elsewhere / "relative").symlink_to("absolute")
    (tmp_path / "folder").symlink_to(spaced)
    environment = {"PATH": os.environ["PATH"], "CDPATH": f"{tmp_path}:{spaced}"}

    for command in (f"../with a space/{script}", "./relative", f"{tmp_path}/folder/{script}"):
        run = subprocess.run(
            [command, "--version"], cwd=elsewhere, env=environment, capture_output=True, text=True, check=False
        )
        assert (run.returncode, run.stdout, run.stderr) == (0, f"{VERSION}\n", ""), command


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["1", "2"], "one configuration id"),
        (["--every"], "unknown option --every"),
        (["--all", "1"], "contradict each other"),
        (["a_b"], "CONFIGURATION_ID is 'a_b'"),
        (["--all=yes"], "--all takes no value"),
    ],
)
def test_uninstall_refuses(offline: Installer, arguments: list[str], reason: str) -> None:
    run = offline.run("uninstall.sh", *arguments)

    assert (run.status, reason in run.output) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "what to do?"),
        (["drop"], "unknown command drop"),
        (["show"], "show needs a KEY"),
        (["replay", "dead-letters/refused/x", "1", "2"], "one KEY at a time"),
        (["list", "1", "2"], "list takes a configuration id"),
        (["replay", "state/1/delivery.json"], "is no KEY"),
        (["--all", "list"], "unknown option --all"),
    ],
)
def test_dead_letters_refuses(offline: Installer, arguments: list[str], reason: str) -> None:
    run = offline.run("dead-letters.sh", *arguments)

    assert (run.status, reason in run.output) == (2, True), run.output


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_names_every_option_that_the_script_takes(offline: Installer, script: str) -> None:
    text = "".join((offline.folder / name).read_text() for name in (script, "installer/aws.sh"))
    labels = re.findall(r"^ +(--[a-z][a-z |-]*)\)", text, re.MULTILINE)
    options = {word for label in labels for word in label.split() if word.startswith("--")}

    run = offline.run(script, "--help")

    assert run.status == 0
    common = {"--help", "--version", "--region", "--profile", "--role-arn", "--session-name", "--external-id", "--yes"}
    assert common <= options
    assert not {option for option in options - {"--name-suffix"} if option not in run.output}


@pytest.mark.parametrize("script", SCRIPTS)
def test_version_is_that_of_the_template(offline: Installer, script: str) -> None:
    run = offline.run(script, "--version")

    assert (run.status, run.output) == (0, f"{VERSION}\n")


def test_without_the_aws_cli_it_says_where_to_get_it(offline: Installer, tmp_path: Path) -> None:
    for tool in ("bash", "dirname", "sed", "mktemp", "basename", "rm", "env", "cat"):
        tmp_path.joinpath(tool).symlink_to(str(shutil.which(tool)))

    run = offline.run("install.sh", BASE_URL, KEY, "1", PATH=str(tmp_path))

    assert run.status == 1
    assert "https://aws.amazon.com/cli/" in run.output


def test_without_a_region_it_says_how_to_name_one(offline: Installer) -> None:
    run = offline.run("install.sh", BASE_URL, KEY, "1", AWS_DEFAULT_REGION="")

    assert run.status == 1
    assert "no region: name it with --region" in run.output


@pytest.mark.parametrize("script", ["install.sh", "uninstall.sh", "dead-letters.sh"])
def test_without_credentials_it_says_what_aws_says(offline: Installer, script: str) -> None:
    arguments = {"uninstall.sh": ["1"], "dead-letters.sh": ["list"]}.get(script, [BASE_URL, KEY, "1"])

    run = offline.run(script, *arguments, "--profile", "nobody", AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")

    assert run.status == 1
    assert "Check the credentials" in run.output
    assert "nobody" in run.output


def test_the_scripts_can_be_run_as_they_are_checked_out() -> None:
    for script in SCRIPTS:
        assert os.access(ROOT / script, os.X_OK)
