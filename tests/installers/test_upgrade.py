"""From a release that was really packed, in `releases/`, to today's, each by its own archive."""

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local.account import Account
from tests.installers.conftest import KEY, Installer, Run
from tests.installers.test_archive import unpack
from tests.installers.test_uninstall import everything, state_bucket
from topology import VERSION

RELEASES = Path(__file__).parent / "releases"
IDENTITY = "1000"
STREAM = "stackstate-topo-kinesis"
FUNCTIONS = ("stackstate-topo-cron", "stackstate-topo-cwevents", "stackstate-topo-publisher")
REGIONS = "--regions=eu-west-1,eu-central-1"


@dataclass
class Lived:
    """What was seen on the way from one release to the other."""

    before: set[str]
    """Everything in the account before the earlier release was installed."""
    earlier: Run
    kept: dict[str, Any]
    """What has to survive, as it was under the earlier release."""
    looked: Run
    """Today's status.sh, of the earlier release."""
    upgraded: Run
    again: Run


@pytest.fixture(scope="module", params=["0.1.0"])
def lived(
    request: pytest.FixtureRequest,
    release: Path,
    installer: Installer,
    account: Account,
    tmp_path_factory: pytest.TempPathFactory,
) -> Lived:
    """An installation that an earlier release made and worked in, upgraded with today's archive."""
    before = everything(account)
    earlier = Installer(former(request.param, release, tmp_path_factory.mktemp("former")), installer.endpoint)
    today = Installer(unpack(release, tmp_path_factory.mktemp("today")), installer.endpoint)

    first = earlier.install(IDENTITY, REGIONS, "--log-level=DEBUG", "--schedule=rate(2 hours)")
    assert first.status == 0, first.output
    leave(account, request.param)
    kept = survivors(account)
    looked = today.run("status.sh", IDENTITY)
    upgraded = today.install(IDENTITY)
    again = today.install(IDENTITY)
    return Lived(before, first, kept, looked, upgraded, again)


def former(version: str, release: Path, folder: Path) -> Path:
    """Unpack an earlier release, and give it artifacts, which `releases/` goes without."""
    with zipfile.ZipFile(RELEASES / f"{version}.zip") as archive:
        archive.extractall(folder)
        for entry in archive.infolist():
            (folder / entry.filename).chmod(entry.external_attr >> 16)  # as unzip does
    [unpacked] = folder.iterdir()
    for artifact in release.glob("functions-*.zip"):
        (unpacked / artifact.name).write_bytes(artifact.read_bytes() + version.encode())
    return unpacked


def leave(account: Account, version: str) -> None:
    """Put into bucket and stream what the functions of that release had there in the middle of their work."""
    with zipfile.ZipFile(RELEASES / f"{version}-left.zip") as left:
        for name in sorted(left.namelist()):
            if name.startswith("stream/"):
                put: dict[str, Any] = {"StreamName": STREAM, "PartitionKey": "aws/123456789012"}
                account.client("kinesis").put_record(**put, Data=left.read(name))
            else:
                bucket = state_bucket(account, IDENTITY)
                account.client("s3").put_object(Bucket=bucket, Key=name, Body=left.read(name))


def survivors(account: Account) -> dict[str, Any]:
    """What an upgrade must neither replace nor change."""
    s3, kinesis, bucket = account.client("s3"), account.client("kinesis"), state_bucket(account, IDENTITY)
    objects = s3.list_objects_v2(Bucket=bucket)["Contents"]
    records = []
    for shard in kinesis.list_shards(StreamName=STREAM)["Shards"]:
        where = {"StreamName": STREAM, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
        records += kinesis.get_records(ShardIterator=kinesis.get_shard_iterator(**where)["ShardIterator"])["Records"]
    mappings = account.client("lambda").list_event_source_mappings()["EventSourceMappings"]
    secret = account.client("secretsmanager").get_secret_value(SecretId=f"stackstate-topo-{IDENTITY}")
    return {
        "bucket": bucket,
        "objects": {one["Key"]: s3.get_object(Bucket=bucket, Key=one["Key"])["Body"].read() for one in objects},
        "stream": kinesis.describe_stream_summary(StreamName=STREAM)["StreamDescriptionSummary"]["StreamARN"],
        "records": [(record["SequenceNumber"], record["Data"]) for record in records],
        # A mapping that is made anew begins somewhere else on the stream.
        "mappings": sorted(mapping["UUID"] for mapping in mappings),
        "secret": (secret["ARN"], secret["SecretString"]),
    }


def test_the_stream_what_waits_on_it_the_state_and_the_secret_survive(lived: Lived, account: Account) -> None:
    assert lived.upgraded.status == 0, lived.upgraded.output
    assert len(lived.kept["objects"]) > 10
    assert len(lived.kept["records"]) > 1
    assert lived.kept["secret"][1] == KEY
    assert survivors(account) == lived.kept


def test_the_functions_are_of_the_new_version_with_the_options_of_the_old_one(lived: Lived, account: Account) -> None:
    for name in FUNCTIONS:
        found = account.client("lambda").get_function(FunctionName=name)
        assert found["Tags"]["stackstate-aws-agent-version"] == VERSION
        assert found["Configuration"]["Environment"]["Variables"]["POWERTOOLS_LOG_LEVEL"] == "DEBUG"
    rules = account.client("events").list_rules()["Rules"]
    assert "rate(2 hours)" in [rule.get("ScheduleExpression") for rule in rules]
    assert "Uploading version" in lived.earlier.output
    assert "Uploading version" in lived.upgraded.output


def test_the_rights_follow(lived: Lived, account: Account) -> None:
    """What topo-cron may read is what this version's document says, no more and no less."""
    iam = account.client("iam")
    [policy] = [p for p in iam.list_policies(Scope="Local")["Policies"] if "-1000-ReadPolicy" in p["PolicyName"]]
    version = iam.get_policy_version(PolicyArn=policy["Arn"], VersionId=policy["DefaultVersionId"])
    document = json.loads((RELEASES.parents[2] / "policies" / "sts-topo-cron-policy.json").read_text())

    assert actions(version["PolicyVersion"]["Document"]) == actions(document)


def actions(document: dict[str, Any]) -> set[str]:
    found: set[str] = set()
    for statement in document["Statement"]:
        entries = statement["Action"]
        found |= {entries} if isinstance(entries, str) else set(entries)
    return found


def test_the_forwarding_follows(lived: Lived, account: Account) -> None:
    stacks = account.client("cloudformation", "eu-central-1").describe_stacks()["Stacks"]
    [stack] = [one for one in stacks if one["StackName"] == f"stackstate-topo-forward-{IDENTITY}"]

    assert stack["StackStatus"] in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}
    assert {"Key": "stackstate-aws-agent-version", "Value": VERSION} in stack["Tags"]


def test_a_second_run_changes_nothing(lived: Lived) -> None:
    assert lived.again.status == 0, lived.again.output
    assert f"Stack stackstate-topo-{IDENTITY} is up to date." in lived.again.output
    assert f"Stack stackstate-topo-forward-{IDENTITY} is up to date." in lived.again.output
    assert "Uploading" not in lived.again.output


def test_what_the_last_snapshot_of_the_old_version_said_is_still_told(lived: Lived) -> None:
    assert "The last snapshot ended" in lived.looked.output
    assert " components" in lived.looked.output
    assert "is not known" not in lived.looked.output


def test_todays_uninstaller_removes_it_all(lived: Lived, account: Account, installer: Installer) -> None:
    """The last of this file: nothing is there any more then."""
    gone = installer.run("uninstall.sh", IDENTITY)

    assert gone.status == 0, gone.output
    assert f"Nothing of configuration id {IDENTITY} is left" in gone.output
    assert everything(account) == lived.before
