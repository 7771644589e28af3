"""What the scripts say to arguments, right and wrong, before AWS is asked for anything."""

import os
import re
import shutil
from pathlib import Path

import pytest

from tests.installers.conftest import BASE_URL, KEY, Installer

WRONG = {
    "nothing at all": ([], "three arguments are needed"),
    "no configuration id": ([BASE_URL, KEY], "but 2 were given"),
    "one argument too many": ([BASE_URL, KEY, "1", "2"], "but 4 were given"),
    "a base URL without scheme": (["stackstate.example.com", KEY, "1"], "http:// or https:// in front"),
    "a base URL with a query": ([f"{BASE_URL}?api_key=x", KEY, "1"], "BASE_URL is"),
    "an empty key": ([BASE_URL, "", "1"], "API_KEY is empty"),
    "a key with a space": ([BASE_URL, "a b", "1"], "has spaces in it"),
    "a key on an empty standard input": ([BASE_URL, "-", "1"], "standard input is empty"),
    "an id that no stack can be named after": ([BASE_URL, KEY, "a_b"], "CONFIGURATION_ID is 'a_b'"),
    "an unknown option": (["--fast", "x", BASE_URL, KEY, "1"], "unknown option --fast"),
    "an option before another one": (["--regions", "--yes", BASE_URL, KEY, "1"], "--regions needs a value"),
    "a flag with a value": (["--topo-cron-only=yes", BASE_URL, KEY, "1"], "--topo-cron-only takes no value"),
    "a key file that is not there": (["--api-key-file=/nowhere", BASE_URL, "1"], "/nowhere cannot be read"),
    "a key file and a key": (["--api-key-file=/dev/null", BASE_URL, KEY, "1"], "two arguments are needed"),
    "an empty key file": (["--api-key-file=/dev/null", BASE_URL, "1"], "API_KEY is empty"),
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


@pytest.mark.parametrize("script", ["install.sh", "uninstall.sh", "dead-letters.sh"])
def test_help_names_every_option_that_the_script_takes(offline: Installer, script: str) -> None:
    text = "".join((offline.folder / name).read_text() for name in (script, "aws.sh"))
    labels = re.findall(r"^ +(--[a-z][a-z |-]*)\)", text, re.MULTILINE)
    options = {word for label in labels for word in label.split() if word.startswith("--")}

    run = offline.run(script, "--help")

    assert run.status == 0
    common = {"--help", "--version", "--region", "--profile", "--role-arn", "--session-name", "--external-id", "--yes"}
    assert common <= options
    assert not {option for option in options - {"--name-suffix"} if option not in run.output}


@pytest.mark.parametrize("script", ["install.sh", "uninstall.sh", "dead-letters.sh"])
def test_version_is_that_of_the_template(offline: Installer, script: str) -> None:
    run = offline.run(script, "--version")

    assert (run.status, run.output) == (0, "0.1.0\n")


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
    for script in ("install.sh", "uninstall.sh", "dead-letters.sh"):
        assert os.access(Path(__file__).parents[2] / script, os.X_OK)
