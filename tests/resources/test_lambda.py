"""Functions, their aliases, and event source mappings, as the StackPack knows them."""

import io
import zipfile
from collections.abc import Callable
from typing import Any

import boto3
import pytest

from tests.account import TestAccount, api_call, native_event
from tests.resources.support import answer, calls, ended, refuse, sample, scope, touched, unresolved
from topology.elements import Component, Element, Relation
from topology.resources import lambda_
from topology.shape import MASKED

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:orders-api"
ALIAS = f"{ARN}:live"
MAPPING = "14e0db71-5b3a-4f5d-8c3e-0123456789ab"
STREAM = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2024-05-14T09:00:00.000"
LOCATION = {"AwsAccount": "123456789012", "AwsRegion": "eu-west-1"}

OpenAccount = Callable[..., TestAccount]


def code() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("app.py", "def handler(event, context): pass")
    return content.getvalue()


def create(session: boto3.Session, name: str = "orders-api", **more: Any) -> str:
    iam = session.client("iam")
    if not iam.list_roles()["Roles"]:
        iam.create_role(RoleName="orders", AssumeRolePolicyDocument="{}")
    role = iam.get_role(RoleName="orders")["Role"]["Arn"]
    arn: str = session.client("lambda").create_function(
        FunctionName=name, Runtime="python3.12", Role=role, Handler="app.handler", Code={"ZipFile": code()}, **more
    )["FunctionArn"]
    return arn


def open_functions(account: OpenAccount) -> TestAccount:
    """The account, with aliases listed by the function's ARN as AWS does it; moto takes the name alone."""
    opened = account(lambda_.FUNCTION)
    client = opened.client("lambda")
    by_name = client.list_aliases
    client.list_aliases = lambda FunctionName, **more: by_name(  # noqa: N803
        FunctionName=FunctionName.rpartition(":")[2], **more
    )
    return opened


def in_a_vpc(session: boto3.Session) -> dict[str, Any]:
    ec2 = session.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    groups = [ec2.create_security_group(GroupName=n, Description=n, VpcId=vpc)["GroupId"] for n in ("a", "b")]
    return {"SubnetIds": [subnet], "SecurityGroupIds": groups}


def relations_of(elements: list[Element]) -> set[str]:
    return {one.id for one in elements if isinstance(one, Relation)}


# ---------------------------------------------------------------------------------------------------- functions


def test_a_function_is_its_listing_with_tags_and_has_no_name_of_its_own(
    aws: boto3.Session, account: OpenAccount
) -> None:
    create(aws, Tags={"team": "shop", "stackstate-identifier": "Orders"}, Environment={"Variables": {"lower": "x"}})

    function = open_functions(account).snapshot().components[ARN]

    assert function.type == "aws.lambda"
    assert function.data["FunctionName"] == "orders-api"
    assert function.data["FunctionArn"] == ARN
    assert function.data["Runtime"] == "python3.12"
    assert function.data["Tags"] == {"team": "shop", "stackstate-identifier": "Orders"}
    assert function.data["Location"] == LOCATION
    assert not {"Name", "URN", "CW", "Aliases", "ResponseMetadata", "Code"} & set(function.data)


def test_a_function_and_its_aliases_use_their_network(aws: boto3.Session, account: OpenAccount) -> None:
    network = in_a_vpc(aws)
    create(aws, VpcConfig=network, Publish=True)
    aws.client("lambda").create_alias(FunctionName="orders-api", Name="live", FunctionVersion="1")

    found = open_functions(account).snapshot()

    vpc = found.components[ARN].data["VpcConfig"]["VpcId"]
    assert vpc.startswith("vpc-")
    assert set(found.relations) == {
        f"{ARN}-uses service-{vpc}",
        *(f"{ARN}-uses service-{group}" for group in network["SecurityGroupIds"]),
        f"{ALIAS}-uses service-{vpc}",
    }


def test_an_alias_holds_all_that_is_known_of_its_function(aws: boto3.Session, account: OpenAccount) -> None:
    create(aws, Publish=True, Tags={"team": "shop"})
    aws.client("lambda").create_alias(FunctionName="orders-api", Name="live", FunctionVersion="1", Description="now")

    found = open_functions(account).snapshot()
    alias = found.components[ALIAS]

    assert alias.type == "aws.lambda.alias"
    assert alias.data["Name"] == "live"
    assert alias.data["Location"] == LOCATION
    assert alias.data["Function"] == found.components[ARN].data
    assert alias.data["Function"]["Tags"] == {"team": "shop"}
    assert alias.data["Function"]["Location"] == LOCATION
    assert "Tags" not in alias.data


def test_the_same_alias_arn_of_two_functions_is_told_twice_each_with_the_function_at_hand() -> None:
    alias = {"AliasArn": ALIAS, "Name": "live"}
    aliases = []
    for name in ("one", "two"):
        item = {"FunctionName": name, "FunctionArn": ARN.replace("orders-api", name), "Aliases": [alias]}
        elements = lambda_.elements(scope("lambda"), item)
        aliases += [one for one in elements if isinstance(one, Component) and one.type == "aws.lambda.alias"]

    assert [one.id for one in aliases] == [ALIAS, ALIAS]
    assert [one.data["Function"]["FunctionName"] for one in aliases] == ["one", "two"]


@pytest.mark.parametrize("network", [{}, {"VpcConfig": None}, {"VpcConfig": {"VpcId": "", "SecurityGroupIds": []}}])
def test_a_function_outside_of_vpcs_has_no_relations(network: dict[str, Any]) -> None:
    item = {"FunctionName": "orders-api", "FunctionArn": ARN, "Aliases": [{"AliasArn": ALIAS}], **network}

    assert not relations_of(list(lambda_.elements(scope("lambda"), item)))


def test_a_function_without_tags_has_an_empty_mapping(aws: boto3.Session, account: OpenAccount) -> None:
    create(aws)

    assert open_functions(account).snapshot().components[ARN].data["Tags"] == {}


def test_environment_values_are_masked_in_functions_and_aliases_and_names_stay(
    aws: boto3.Session, account: OpenAccount
) -> None:
    variables = {"DB_PASSWORD": "s3cret", "URL": "https://user:s3cret@db.example/?token=s3cret"}
    create(aws, Publish=True, Environment={"Variables": variables})
    aws.client("lambda").create_alias(FunctionName="orders-api", Name="live", FunctionVersion="1")

    found = open_functions(account).snapshot()

    assert "s3cret" not in repr(found.all)
    masked = {"DB_PASSWORD": MASKED, "URL": MASKED}
    assert found.components[ARN].data["Environment"]["Variables"] == masked
    assert found.components[ALIAS].data["Function"]["Environment"]["Variables"] == masked


def test_functions_are_listed_to_the_last_page_and_tagged_in_bulk(aws: boto3.Session, account: OpenAccount) -> None:
    opened = open_functions(account)
    arns = [f"{ARN}-{number}" for number in range(130)]
    functions = [{"FunctionName": arn.rpartition(":")[2], "FunctionArn": arn} for arn in arns]
    client = opened.client("lambda")
    answer(client, "list_functions", {"Functions": functions[:50], "NextMarker": "50"}, {"Functions": functions[50:]})
    client.list_aliases = lambda **_: {"Aliases": []}
    tags = [{"ResourceARN": arn, "Tags": [{"Key": "n", "Value": arn[-3:]}]} for arn in arns]
    tagging = opened.client("resourcegroupstaggingapi")
    asked = answer(
        tagging, "get_resources", {"ResourceTagMappingList": tags[:100]}, {"ResourceTagMappingList": tags[100:]}
    )

    found = opened.snapshot()

    assert set(found.components) == set(arns)
    assert sorted(len(one["ResourceARNList"]) for one in asked) == [30, 100]
    assert found.components[arns[7]].data["Tags"] == {"n": arns[7][-3:]}


def test_aliases_are_listed_to_the_last_page(aws: boto3.Session, account: OpenAccount) -> None:
    create(aws)
    opened = open_functions(account)
    aliases = [{"AliasArn": f"{ARN}:{number}", "Name": str(number)} for number in range(60)]
    answer(
        opened.client("lambda"),
        "list_aliases",
        {"Aliases": aliases[:50], "NextMarker": "50"},
        {"Aliases": aliases[50:]},
    )

    assert len(opened.snapshot().of_type("aws.lambda.alias")) == 60


def test_a_snapshot_and_an_event_say_the_same(aws: boto3.Session, account: OpenAccount) -> None:
    network = in_a_vpc(aws)
    create(aws, VpcConfig=network, Publish=True, Tags={"team": "shop"})
    aws.client("lambda").create_alias(FunctionName="orders-api", Name="live", FunctionVersion="1")
    opened = open_functions(account)

    snapshot = opened.snapshot()
    after = opened.after(sample("lambda/UpdateFunctionCode"))

    assert set(snapshot.components) == {ARN, ALIAS}
    assert snapshot.components == after.components
    assert snapshot.relations == after.relations
    assert not after.deleted


def test_what_only_a_look_up_answers_is_not_told() -> None:
    item = {"FunctionName": "orders-api", "FunctionArn": ARN, "State": "Active", "LastUpdateStatus": "InProgress"}

    [function] = lambda_.elements(scope("lambda"), item)

    assert isinstance(function, Component)
    assert not {"State", "LastUpdateStatus"} & set(function.data)


@pytest.mark.parametrize(
    ("client", "operation", "action"),
    [
        ("resourcegroupstaggingapi", "get_resources", "tag:GetResources"),
        ("lambda", "list_aliases", "lambda:ListAliases"),
    ],
)
def test_a_denied_detail_is_named_and_the_function_stays(
    aws: boto3.Session, account: OpenAccount, client: str, operation: str, action: str
) -> None:
    create(aws, Tags={"team": "shop"})
    opened = open_functions(account)
    refuse(opened.client(client), operation)

    found = opened.snapshot()

    assert set(found.components) == {ARN}
    actions = [one.error.action for one in found.left_out] + [one.error.action for one in found.incomplete]
    assert actions == [action]


@pytest.mark.parametrize(
    ("resource", "operation", "action"),
    [
        (lambda_.FUNCTION, "list_functions", "lambda:ListFunctions"),
        (lambda_.EVENT_SOURCE_MAPPING, "list_event_source_mappings", "lambda:ListEventSourceMappings"),
    ],
)
def test_a_refused_listing_is_incomplete(
    aws: boto3.Session, account: OpenAccount, resource: Any, operation: str, action: str
) -> None:
    opened = account(resource)
    refuse(opened.client("lambda"), operation)

    assert [one.error.action for one in opened.snapshot().incomplete] == [action]


# ---------------------------------------------------------------------------------------- event source mappings


def mapping(**more: Any) -> dict[str, Any]:
    given = {"UUID": MAPPING, "FunctionArn": ARN, "EventSourceArn": STREAM, "State": "Enabled", "batchSize": 100}
    return given | more


def test_an_enabled_mapping_is_a_relation_that_carries_it_as_it_is() -> None:
    [relation] = lambda_.mapping_elements(scope("lambda"), mapping(ResponseMetadata={"RequestId": "1"}))

    assert isinstance(relation, Relation)
    assert relation.id == f"{ARN}-uses service-{STREAM}"
    assert relation.data == mapping()


@pytest.mark.parametrize("more", [{"State": "Disabled"}, {"State": "Creating"}, {"EventSourceArn": None}])
def test_a_mapping_that_is_off_or_has_no_source_is_no_relation(more: dict[str, Any]) -> None:
    assert not list(lambda_.mapping_elements(scope("lambda"), mapping(**more)))


def test_a_mapping_in_moto_looks_the_same_from_a_snapshot_and_an_event(
    aws: boto3.Session, account: OpenAccount
) -> None:
    create(aws)
    aws.client("sqs").create_queue(QueueName="orders")
    queue = "arn:aws:sqs:eu-west-1:123456789012:orders"
    made = aws.client("lambda").create_event_source_mapping(FunctionName="orders-api", EventSourceArn=queue)
    opened = account(lambda_.EVENT_SOURCE_MAPPING)

    snapshot = opened.snapshot()
    after = opened.after(api_call("lambda", "UpdateEventSourceMapping20150331", {"uUID": made["UUID"]}))

    assert set(snapshot.relations) == {f"{ARN}-uses service-{queue}"}
    assert snapshot.relations == after.relations


def test_a_mapping_that_is_still_being_created_is_looked_at_again(aws: boto3.Session, account: OpenAccount) -> None:
    opened = account(lambda_.EVENT_SOURCE_MAPPING)
    answer(opened.client("lambda"), "get_event_source_mapping", mapping(State="Creating"))

    after = opened.after(sample("lambda/CreateEventSourceMapping"))

    assert [one.touched.key for one in after.unsettled] == [MAPPING]


def test_a_deleted_mapping_ends_its_relation(aws: boto3.Session, account: OpenAccount) -> None:
    after = account(lambda_.EVENT_SOURCE_MAPPING).after(sample("lambda/DeleteEventSourceMapping"))

    assert after.deleted == {f"{ARN}-uses service-{STREAM}"}


def test_a_mapping_that_is_switched_off_ends_its_relation_and_one_that_is_on_does_not(
    aws: boto3.Session, account: OpenAccount
) -> None:
    response = {"uUID": MAPPING, "functionArn": ARN, "eventSourceArn": STREAM}
    event = api_call("lambda", "UpdateEventSourceMapping20150331", {"uUID": MAPPING, "enabled": False}, response)
    opened = account(lambda_.EVENT_SOURCE_MAPPING)
    answer(opened.client("lambda"), "get_event_source_mapping", mapping(State="Disabled"), mapping())

    assert opened.after(event).deleted == {f"{ARN}-uses service-{STREAM}"}
    assert not opened.after(event).deleted


# ------------------------------------------------------------------------------------------------------- events


FUNCTION_EVENTS = [
    sample("lambda/CreateFunction"),
    sample("lambda/UpdateFunctionCode"),
    sample("lambda/TagResource"),
    sample("lambda/DeleteFunction-by-arn"),
    api_call("lambda", "CreateFunction20150331", {"functionName": "orders-api"}),
    api_call("lambda", "UpdateFunctionConfiguration20150331v2", {"functionName": "123456789012:function:orders-api"}),
    api_call("lambda", "UpdateFunctionConfiguration", {"functionName": f"{ARN}:live"}),
    api_call("lambda", "UpdateFunctionCode20150331", {"functionName": "orders-api:$LATEST"}),
    api_call("lambda", "PublishVersion20150331", {"functionName": "orders-api"}, {"functionArn": f"{ARN}:7"}),
    api_call("lambda", "CreateAlias20150331", {"functionName": "orders-api", "name": "live"}, {"aliasArn": ALIAS}),
    api_call("lambda", "UpdateAlias20150331", {"functionName": ARN, "name": "live"}),
    api_call("lambda", "DeleteAlias20150331", {"functionName": "orders-api", "name": "live"}),
    api_call("lambda", "UntagResource20170331v2", {"resource": ARN}),
    api_call("lambda", "PutRuntimeManagementConfig", {"functionName": "orders-api"}, {"functionArn": ARN}),
    api_call("tagging", "TagResources", {"resourceARNList": [ARN]}),
]


@pytest.mark.parametrize("event", FUNCTION_EVENTS)
def test_an_event_leads_to_its_function_whatever_it_calls_it(event: dict[str, Any]) -> None:
    assert touched(lambda_.RESOURCES, event) == {("lambda.function", "orders-api")}


@pytest.mark.parametrize(
    "event",
    [
        sample("lambda/CreateEventSourceMapping"),
        sample("lambda/DeleteEventSourceMapping"),
        api_call("lambda", "UpdateEventSourceMapping20150331", {"uUID": MAPPING, "enabled": True}),
    ],
)
def test_an_event_leads_to_its_mapping(event: dict[str, Any]) -> None:
    assert touched(lambda_.RESOURCES, event) == {("lambda.event-source-mapping", MAPPING)}


@pytest.mark.parametrize(
    "resource",
    [
        f"arn:aws:lambda:eu-west-1:123456789012:event-source-mapping:{MAPPING}",
        "arn:aws:lambda:eu-west-1:123456789012:code-signing-config:csc-0d4518bd353a0a7c6",
    ],
)
def test_tags_of_what_is_no_function_touch_nothing(resource: str) -> None:
    assert not touched(lambda_.RESOURCES, api_call("lambda", "TagResource20170331v2", {"resource": resource}))


def test_a_mapping_without_its_id_is_unresolved() -> None:
    assert unresolved(lambda_.RESOURCES, api_call("lambda", "DeleteEventSourceMapping20150331"))


def test_a_deleted_function_is_deleted_and_its_name_may_be_an_arn(aws: boto3.Session, account: OpenAccount) -> None:
    assert open_functions(account).after(sample("lambda/DeleteFunction-by-arn")).deleted == {ARN}


@pytest.mark.parametrize("version", ["7", "$LATEST"])
def test_a_version_that_is_deleted_by_its_whole_name_deletes_no_function(
    aws: boto3.Session, account: OpenAccount, version: str
) -> None:
    create(aws)

    after = open_functions(account).after(
        api_call("lambda", "DeleteFunction20150331", {"functionName": f"{ARN}:{version}"})
    )

    assert set(after.components) == {ARN}
    assert not after.deleted


@pytest.mark.parametrize("state", ["Updating", "Enabling"])
def test_a_mapping_that_is_being_changed_keeps_its_relation_until_aws_is_done(account: OpenAccount, state: str) -> None:
    opened = account(lambda_.EVENT_SOURCE_MAPPING)
    answer(opened.client("lambda"), "get_event_source_mapping", mapping(State=state))

    ends = {"uUID": MAPPING, "functionArn": ARN, "eventSourceArn": STREAM}
    after = opened.after(api_call("lambda", "UpdateEventSourceMapping20150331", {"uUID": MAPPING}, ends))

    assert [one.touched.key for one in after.unsettled] == [MAPPING]
    assert not after.deleted


def test_what_lambda_gave_up_ends_its_relation_and_not_those_of_other_mappings(
    aws: boto3.Session, account: OpenAccount
) -> None:
    opened = account(lambda_.EVENT_SOURCE_MAPPING)
    answer(opened.client("lambda"), "get_event_source_mapping", mapping(State="Disabled"))
    others = mapping(EventSourceArn=f"{STREAM}-2")
    answer(opened.client("lambda"), "list_event_source_mappings", {"EventSourceMappings": [others]})

    ends = {"mapping": MAPPING, "functionArn": ARN, "eventSourceArn": STREAM}
    event = {"eventName": "LambdaESMDisabled", "requestParameters": None, "serviceEventDetails": ends}
    after = opened.after(native_event("aws.lambda", "AWS Service Event via CloudTrail", event))

    assert after.deleted == {f"{ARN}-uses service-{STREAM}"}
    assert set(after.relations) == {f"{ARN}-uses service-{STREAM}-2"}


def test_a_new_function_that_is_not_known_yet_is_looked_at_again(aws: boto3.Session, account: OpenAccount) -> None:
    after = open_functions(account).after(sample("lambda/CreateFunction"))

    assert [one.touched.key for one in after.unsettled] == ["orders-api"]
    assert not after.deleted


def test_a_deleted_alias_is_deleted_unless_it_is_there_again(aws: boto3.Session, account: OpenAccount) -> None:
    create(aws, Publish=True)
    event = api_call("lambda", "DeleteAlias20150331", {"functionName": "orders-api", "name": "live"})
    assert open_functions(account).after(event).deleted == {ALIAS}

    aws.client("lambda").create_alias(FunctionName="orders-api", Name="live", FunctionVersion="1")
    assert not open_functions(account).after(event).deleted
    assert ended(lambda_.RESOURCES, event) == {ALIAS}


def test_a_look_up_does_not_ask_for_links_to_the_code(aws: boto3.Session, account: OpenAccount) -> None:
    create(aws)
    opened = open_functions(account)
    counted = calls(opened.client("lambda"))

    opened.after(sample("lambda/UpdateFunctionCode"))

    assert counted == {"GetFunctionConfiguration": 1, "ListTags": 1, "ListAliases": 1}
