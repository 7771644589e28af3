"""Whatever keeps a preview from being made is said in one sentence, with what to do about it."""

import json
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from botocore import exceptions
from botocore.stub import Stubber

from preview import account
from preview.__main__ import main
from preview.account import Wanted
from tests.preview.conftest import Command
from topology.snapshot import Run


@pytest.fixture(autouse=True)
def no_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


def said(command: Command, *arguments: str) -> str:
    """What is said where nothing can be read; it is one line."""
    result = command(*arguments)
    assert result.status == 1
    assert result.output == ""
    assert not result.html.exists()
    [line] = result.errors.splitlines()
    return line


def test_no_credentials(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    assert "no credentials: give --profile NAME" in said(command)


def test_no_credentials_to_assume_a_role_with(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    assert "no credentials" in said(command, "--role-arn", "arn:aws:iam::123456789012:role/reader")


def test_no_region(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION")

    assert "no region: give --regions" in said(command)


def test_an_unknown_region_with_the_name_that_was_meant(command: Command) -> None:
    assert "unknown region 'eu-wst-1': did you mean eu-west-1?" in said(command, "--regions", "us-east-1,eu-wst-1")


def test_a_region_like_none(command: Command) -> None:
    assert "unknown region 'mars': give names such as eu-west-1" in said(command, "--regions", "mars")


def test_regions_that_no_account_has_both(command: Command) -> None:
    assert "eu-west-1 is in partition aws, and cn-north-1 in aws-cn" in said(
        command, "--regions", "eu-west-1,cn-north-1"
    )


def test_an_unknown_profile(command: Command) -> None:
    line = said(command, "--profile", "nobody")

    assert "(nobody) could not be found" in line
    assert "aws configure list-profiles" in line


REFUSALS = [
    ("ExpiredToken", "GetCallerIdentity", "the credentials have expired: get new ones"),
    ("InvalidClientTokenId", "GetCallerIdentity", "AWS does not accept the credentials (InvalidClientTokenId)"),
    ("AccessDenied", "AssumeRole", "cannot be assumed: its trust policy has to name you, without an external id"),
    ("InternalFailure", "GetCallerIdentity", "AWS refuses the credentials"),
]


@pytest.fixture
def sts(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    """STS, as the preview asks it who it is."""
    client = boto3.client("sts")
    with Stubber(client) as stub:
        monkeypatch.setattr(boto3.Session, "client", lambda *_arguments, **_options: client)
        yield stub


@pytest.mark.parametrize(("code", "operation", "sentence"), REFUSALS)
def test_a_refusal_of_aws(code: str, operation: str, sentence: str) -> None:
    error = exceptions.ClientError({"Error": {"Code": code, "Message": "no"}}, operation)

    assert sentence in account.reason(error, Wanted(role_arn="arn:aws:iam::123456789012:role/reader"))


def test_an_expired_token(sts: Stubber, command: Command) -> None:
    sts.add_client_error("get_caller_identity", "ExpiredToken")

    assert "the credentials have expired" in said(command)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (exceptions.UnauthorizedSSOTokenError(), "not logged in: run 'aws sso login --profile shop'"),
        (exceptions.TokenRetrievalError(provider="sso", error_msg="over"), "run 'aws sso login --profile shop'"),
        (exceptions.LoginRefreshRequired(), "run 'aws login --profile shop'"),
        (exceptions.EndpointConnectionError(endpoint_url="https://sts"), "AWS cannot be reached"),
        (exceptions.PartialCredentialsError(provider="env", cred_var="x"), "the credentials cannot be used"),
    ],
)
def test_a_failure_before_aws_answers(error: exceptions.BotoCoreError, sentence: str) -> None:
    assert sentence in account.reason(error, Wanted(profile="shop"))


def test_credentials_that_expire_while_they_are_used(
    aws: boto3.Session, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def expire(**_: object) -> None:
        raise exceptions.ClientError({"Error": {"Code": "ExpiredToken", "Message": "over"}}, "ListQueues")

    kept = account.Calls.watch_session

    def watch(self: account.Calls, session: boto3.Session) -> None:
        kept(self, session)
        session.events.register_first("before-send.sqs.ListQueues", expire)

    monkeypatch.setattr(account.Calls, "watch_session", watch)

    result = command()

    assert result.status in {1, 2}
    assert "The credentials expired while they were used" in result.output


def test_an_interruption_says_how_far_it_was(
    aws: boto3.Session, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(run: Run) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Run, "read", interrupt)

    result = command()

    assert result.status == 130
    assert "interrupted after 0 of " in result.errors
    assert "no file was written" in result.errors
    assert not result.html.exists()


@pytest.mark.parametrize("wrong", ["folder", "closed/preview.html", "nowhere/preview.html", "same.json"])
def test_files_that_cannot_be_written_are_told_before_anything_is_read(
    tmp_path: Path, wrong: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "closed").mkdir()
    # To root, which tests may run as, everything is open.
    monkeypatch.setattr("os.access", lambda path, _: path != tmp_path / "closed")

    with pytest.raises(SystemExit) as end:
        main(["--out", str(tmp_path / wrong), "--json", str(tmp_path / "same.json")])

    assert end.value.code == 1
    assert str(tmp_path / wrong) in capsys.readouterr().err


def test_an_earlier_preview_that_is_none(command: Command, aws: boto3.Session, tmp_path: Path) -> None:
    file = tmp_path / "earlier.json"
    ledger = {"began": 1, "ended": 2, "scopes": [], "left_out": []}
    whole = {"format": 1, "account": "123456789012", "components": [], "relations": [], "ledger": {}}

    def document(**changed: object) -> str:
        return json.dumps(whole | changed)

    for content, sentence in (
        (None, "cannot be read: No such file"),
        ("<html>", "it is not JSON"),
        ("[]", "it is not a preview"),
        ('{"components": []}', "it is not a preview"),
        (document(components=[]), "parts of it are missing or changed"),
        (document(components=5, ledger=ledger), "parts of it are missing or changed"),
        (document(components=[{"name": "x"}], ledger=ledger), "parts of it are missing or changed"),
    ):
        if content is not None:
            file.write_text(content)
        assert sentence in said(command, "--diff", str(file))


def test_an_earlier_preview_of_another_account_or_version(command: Command, aws: boto3.Session) -> None:
    earlier = command()
    text = earlier.json.read_text()

    earlier.json.write_text(text.replace('"account": "123456789012"', '"account": "210987654321"', 1))
    assert "shows account 210987654321, and the credentials are of 123456789012" in said(
        command, "--diff", str(earlier.json)
    )
    earlier.json.write_text(text.replace('"format": 1', '"format": 99', 1))
    assert "format 99" in said(command, "--diff", str(earlier.json))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--role-arn", "reader"], "give an ARN such as"),
        (["--external-id", "x"], "--external-id belongs to --role-arn"),
        (["--nonsense"], "unrecognized arguments"),
    ],
)
def test_a_wrong_command_line_reads_nothing(command: Command, arguments: list[str], sentence: str) -> None:
    result = command(*arguments)

    assert result.status == 1
    assert sentence in result.errors


def test_the_help_names_the_policy_and_the_status(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])

    said = capsys.readouterr().out
    assert "policies/sts-topo-cron-policy.json" in said
    assert "exit status" in said
