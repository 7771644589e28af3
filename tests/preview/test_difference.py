"""What came, went and changed since an earlier preview; what one of the two did not see is neither."""

from typing import Any

import boto3
import pytest

from bench.measure import Server
from preview.difference import Difference
from tests.account import ACCOUNT_ID, REGION
from tests.preview.conftest import Command, deny

Document = dict[str, Any]
FUNCTION = "arn:function"
NONE: Document = {"created": [], "deleted": [], "updated": {}}


def arn(name: str) -> str:
    return f"arn:aws:sqs:{REGION}:{ACCOUNT_ID}:{name}"


def test_what_came_went_and_changed_is_told_everywhere(aws: boto3.Session, command: Command) -> None:
    sqs = aws.client("sqs")
    urls = {name: sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("kept", "gone")}
    before = command()
    sqs.create_queue(QueueName="new")
    sqs.tag_queue(QueueUrl=urls["kept"], Tags={"team": "shop"})
    sqs.delete_queue(QueueUrl=urls["gone"])

    after = command("--diff", str(before.json))

    changes = after.document["comparison"]["components"]
    assert changes["created"] == [arn("new")]
    assert changes["deleted"] == [arn("gone")]
    assert list(changes["updated"]) == [arn("kept")]
    assert {"name": "Tags.team", "old": None, "new": "shop"} in changes["updated"][arn("kept")]
    for line in (f"+ {arn('new')}", f"- {arn('gone')}", f"~ {arn('kept')}"):
        assert line in after.output
    assert arn("gone") in after.html.read_text()


def test_nothing_changed_where_nothing_changed(server: Server, command: Command) -> None:
    before = command()

    after = command("--diff", str(before.json))

    assert after.document["comparison"]["components"] == NONE
    assert after.document["comparison"]["relations"] == NONE
    assert after.document["comparison"]["not_compared"] == {"components": 0, "relations": 0}


@pytest.mark.parametrize(
    "operation",
    ["sqs:ListQueues", "s3:ListBuckets", "resourcegroupstaggingapi:GetResources", "route53:*"],
)
def test_what_could_not_be_read_has_neither_gone_nor_come_nor_changed(
    server: Server, command: Command, operation: str
) -> None:
    whole = command()
    deny(server, operation)

    denied = command("--diff", str(whole.json))
    deny(server)
    again = command("--diff", str(denied.json))

    for result in (denied, again):
        assert result.document["comparison"]["components"] == NONE
        assert result.document["comparison"]["relations"] == NONE
        assert result.document["comparison"]["not_compared"]["components"] > 0
        assert "changed is not known" in result.output


def preview(
    *names: str, complete: bool = True, left_out: tuple[str, ...] = (), regions: tuple[str, ...] = (REGION,)
) -> Document:
    """A preview of queues with these names, and of one function that uses each."""
    place = {"Location": {"AwsRegion": REGION}}
    queues = [{"externalId": name, "type": {"name": "aws.sqs"}, "data": place} for name in names]
    function = {"externalId": FUNCTION, "type": {"name": "aws.lambda"}, "data": place}
    relations = [
        {
            "externalId": f"{FUNCTION}-{name}",
            "sourceId": FUNCTION,
            "targetId": name,
            "type": {"name": "uses"},
            "data": {},
        }
        for name in names
    ]
    scopes = [
        {"region": region, "service": service, "complete": complete or service == "lambda"}
        for region in regions
        for service in ("lambda", "sqs")
    ]
    findings = [{"region": REGION, "service": "sqs", "action": action} for action in left_out]
    ledger = {"began": 1.0, "ended": 2.0, "scopes": scopes, "left_out": findings}
    return {"components": [*queues, function], "relations": relations, "ledger": ledger}


def test_relations_come_and_go_with_what_they_belong_to() -> None:
    told = Difference(preview("a", "b"), preview("b", "c")).as_document()

    assert told["components"] == {"created": ["c"], "deleted": ["a"], "updated": {}}
    assert told["relations"] == {"created": [f"{FUNCTION}-c"], "deleted": [f"{FUNCTION}-a"], "updated": {}}


def test_what_was_read_in_an_unfinished_scope_has_come_and_what_is_missing_there_is_not_gone() -> None:
    told = Difference(preview("a"), preview("b", complete=False)).as_document()

    assert told["components"] == {"created": ["b"], "deleted": [], "updated": {}}
    assert told["not_compared"] == {"components": 1, "relations": 1}


def test_a_region_that_was_not_read_this_time_is_not_compared() -> None:
    told = Difference(preview("a"), preview(regions=("us-west-2",)) | {"components": [], "relations": []}).as_document()

    assert told["components"] == NONE
    assert told["not_compared"] == {"components": 2, "relations": 1}


def test_the_same_denied_detail_in_both_hides_no_change() -> None:
    before, after = (preview("a", left_out=("sqs:ListQueueTags",)) for _ in range(2))
    after["components"][0]["data"] = before["components"][0]["data"] | {"Delay": 5}

    told = Difference(before, after).as_document()

    assert told["components"]["updated"] == {"a": [{"name": "Delay", "old": None, "new": "5"}]}


def test_a_bucket_that_the_listing_of_another_region_lacks_is_gone() -> None:
    before, after = preview(), preview()
    before["components"] = [
        {"externalId": "arn:bucket", "type": {"name": "aws.s3_bucket"}, "data": {"Location": {"AwsRegion": REGION}}}
    ]
    after["components"] = []
    after["ledger"]["scopes"] = [{"region": "us-west-2", "service": "s3", "complete": True}]

    assert Difference(before, after).as_document()["components"]["deleted"] == ["arn:bucket"]
