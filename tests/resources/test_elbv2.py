"""Application, network and gateway load balancers, target groups and targets, as the StackPack knows them."""

from collections.abc import Callable
from typing import Any

import boto3
import pytest

from tests.account import TestAccount, api_call
from tests.resources.support import answer, calls, ended, refuse, scope, touched
from topology.elements import Component, Item, Relation, StackResource, Telemetry
from topology.links import Names
from topology.resources import ALL, elb, elbv2
from topology.shape import mask

OpenAccount = Callable[..., TestAccount]

ELB = "arn:aws:elasticloadbalancing:eu-west-1:123456789012"
BALANCER = f"{ELB}:loadbalancer/app/web/50dc6c495c0c9188"
NETWORK = f"{ELB}:loadbalancer/net/tcp/0a1b2c3d4e5f6071"
GATEWAY = f"{ELB}:loadbalancer/gwy/inspect/1a2b3c4d5e6f7081"
LISTENER = f"{ELB}:listener/app/web/50dc6c495c0c9188/f2f7dc8efc522ab2"
RULE = f"{ELB}:listener-rule/app/web/50dc6c495c0c9188/f2f7dc8efc522ab2/9683b2d02a6cabee"
GROUP = f"{ELB}:targetgroup/shop/73e2d6bc24d8a067"
OTHER_GROUP = f"{ELB}:targetgroup/blog/83f3e7cd35e9b178"
LOCATION = {"AwsAccount": "123456789012", "AwsRegion": "eu-west-1"}
EVERYTHING = [elb.BALANCER, *elbv2.RESOURCES]


def network(session: boto3.Session) -> tuple[str, list[str], str]:
    """The account's VPC, two subnets of it, and a security group."""
    ec2 = session.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{number}.0/24", AvailabilityZone=f"eu-west-1{zone}")
        for number, zone in enumerate("ab")
    ]
    group = ec2.create_security_group(GroupName="web", Description="web", VpcId=vpc)["GroupId"]
    return vpc, [subnet["Subnet"]["SubnetId"] for subnet in subnets], group


def create(session: boto3.Session, type_: Any = "application") -> tuple[str, str]:
    """A balancer that forwards to a target group with one target; their ARNs."""
    vpc, subnets, group = network(session)
    client = session.client("elbv2")
    more: dict[str, Any] = {} if type_ == "gateway" else {"SecurityGroups": [group]}
    tags: Any = [{"Key": "stackstate-environment", "Value": "Production"}, {"Key": "team", "Value": "shop"}]
    [balancer] = client.create_load_balancer(Name="web", Subnets=subnets, Type=type_, Tags=tags, **more)[
        "LoadBalancers"
    ]
    [target_group] = client.create_target_group(Name="shop", Protocol="HTTP", Port=80, VpcId=vpc, TargetType="ip")[
        "TargetGroups"
    ]
    client.register_targets(TargetGroupArn=target_group["TargetGroupArn"], Targets=[{"Id": "10.0.0.7"}])
    client.create_listener(
        LoadBalancerArn=balancer["LoadBalancerArn"],
        Protocol="HTTP",
        Port=80,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": target_group["TargetGroupArn"]}],
    )
    return balancer["LoadBalancerArn"], target_group["TargetGroupArn"]


def balancer_item(arn: str = BALANCER, type_: str = "application", **fields: Any) -> Item:
    """A balancer, as far as a test needs it."""
    return {"LoadBalancerArn": arn, "LoadBalancerName": arn.split("/")[2], "Type": type_, **fields}


def group_item(*balancers: str, arn: str = GROUP, **fields: Any) -> Item:
    """A target group, as far as a test needs it."""
    return {"TargetGroupArn": arn, "TargetGroupName": "shop", "LoadBalancerArns": list(balancers), **fields}


def event(
    name: str, request_: dict[str, Any] | None = None, response: dict[str, Any] | None = None, **detail: Any
) -> dict[str, Any]:
    return api_call("elasticloadbalancing", name, request_, response, **({"apiVersion": "2015-12-01"} | detail))


def forward(*groups: str) -> list[dict[str, Any]]:
    """Actions of a listener or a rule that forward to these target groups, in both forms of AWS."""
    first, *more = groups
    weighted = {"targetGroups": [{"targetGroupArn": group, "weight": 1} for group in more]}
    return [{"type": "forward", "targetGroupArn": first}, {"type": "forward", "forwardConfig": weighted}]


# ---------------------------------------------------------------------------------------------------- balancers


def test_a_balancer_is_known_by_its_arn(aws: boto3.Session, account: OpenAccount) -> None:
    arn, group = create(aws)

    found = account(elbv2.BALANCER).snapshot().components[arn]

    assert found.type == "aws.elb_v2_application"
    assert found.data["Name"] == "web"
    assert found.data["Tags"] == {"stackstate-environment": "Production", "team": "shop"}
    assert found.data["CW"] == {"Dimensions": [{"Key": "LoadBalancer", "Value": arn.partition("loadbalancer/")[2]}]}
    assert found.data["Location"] == LOCATION
    assert "URN" not in found.data
    [listener] = found.data["Listeners"]
    assert listener["DefaultActions"][0]["TargetGroupArn"] == group


@pytest.mark.parametrize(
    ("arn", "type_", "component_type", "dimension"),
    [
        (BALANCER, "application", "aws.elb_v2_application", "app/web/50dc6c495c0c9188"),
        (NETWORK, "network", "aws.elb_v2_network", "net/tcp/0a1b2c3d4e5f6071"),
        (GATEWAY, "gateway", "aws.elb_v2_gateway", "gwy/inspect/1a2b3c4d5e6f7081"),
        (BALANCER.replace("aws", "aws-us-gov", 1), "Application", "aws.elb_v2_application", "app/web/50dc6c495c0c9188"),
    ],
)
def test_each_type_of_balancer_has_a_component_type(arn: str, type_: str, component_type: str, dimension: str) -> None:
    [found] = elbv2.balancer_elements(scope("elbv2"), balancer_item(arn, type_))

    assert isinstance(found, Component)
    assert (found.id, found.type) == (arn, component_type)
    assert component_type in elbv2.BALANCER.components
    assert found.data["CW"]["Dimensions"] == [{"Key": "LoadBalancer", "Value": dimension}]


def test_a_balancer_uses_its_network() -> None:
    item = balancer_item(VpcId="vpc-1", SecurityGroups=["sg-1", "sg-2"])

    relations = [one for one in elbv2.balancer_elements(scope("elbv2"), item) if isinstance(one, Relation)]

    assert [one.id for one in relations] == [
        f"{BALANCER}-uses service-{target}" for target in ("sg-1", "sg-2", "vpc-1")
    ]
    assert all(one.data == {} for one in relations)


def test_secrets_of_listeners_are_masked() -> None:
    oidc = {
        "ClientId": "shop",
        "ClientSecret": "planted-1",
        "TokenEndpoint": "https://user:planted-2@id.example.org/token?key=planted-3",
        "AuthenticationRequestExtraParams": {"login_hint": "planted-4"},
    }
    cognito = {"UserPoolArn": "pool", "AuthenticationRequestExtraParams": {"hint": "planted-5"}}
    redirect = {"Host": "#{host}", "Query": "token=planted-6"}
    actions = [{"AuthenticateOidcConfig": oidc}, {"AuthenticateCognitoConfig": cognito}, {"RedirectConfig": redirect}]
    item = balancer_item(Listeners=[{"ListenerArn": LISTENER, "DefaultActions": actions}])

    [found] = elbv2.balancer_elements(scope("elbv2"), item)
    assert isinstance(found, Component)
    mask(found.data, elbv2.BALANCER.secrets)

    assert "planted" not in str(found.data)
    assert {"shop", "Login_hint", "#{host}"} <= set(str(found.data).replace("'", " ").split())


# ------------------------------------------------------------------------------------- target groups and targets


def test_a_target_group_knows_its_balancer(aws: boto3.Session, account: OpenAccount) -> None:
    balancer, group = create(aws)

    found = account(elbv2.TARGET_GROUP).snapshot()

    shown = found.components[group]
    assert shown.type == "aws.elb_v2_target_group"
    assert shown.data["Name"] == "shop"
    assert shown.data["TargetLoadBalancerType"] == "application"
    assert shown.data["CW"]["Dimensions"] == [
        {"Key": "TargetGroup", "Value": "targetgroup/" + group.partition("targetgroup/")[2]},
        {"Key": "LoadBalancer", "Value": balancer.partition("loadbalancer/")[2]},
    ]
    assert shown.data["Location"] == LOCATION
    assert not {"Tags", "URN", "Health", "Balancers"} & set(shown.data)
    relation = found.relations[f"{balancer}-uses service-{group}"]
    assert relation.data == {"Location": LOCATION}
    assert f"{group}-uses service-{shown.data['VpcId']}" in found.relations


def test_a_target_group_of_several_balancers_is_used_by_each_and_measured_with_the_first() -> None:
    found = list(elbv2.target_group_elements(scope("elbv2"), group_item(BALANCER, NETWORK)))

    assert isinstance(found[0], Component)
    assert found[0].data["CW"]["Dimensions"][1] == {"Key": "LoadBalancer", "Value": "app/web/50dc6c495c0c9188"}
    assert [one.id for one in found if isinstance(one, Relation)] == [
        f"{BALANCER}-uses service-{GROUP}",
        f"{NETWORK}-uses service-{GROUP}",
    ]


def test_a_target_group_of_functions_has_no_vpc_and_no_balancer_yet() -> None:
    [found] = elbv2.target_group_elements(scope("elbv2"), group_item(TargetType="lambda", Balancers=[]))

    assert isinstance(found, Component)
    assert found.data["CW"]["Dimensions"] == [{"Key": "TargetGroup", "Value": "targetgroup/shop/73e2d6bc24d8a067"}]
    assert "TargetLoadBalancerType" not in found.data


def test_a_target_group_of_a_balancer_that_was_not_listed_has_no_type_for_it() -> None:
    shown, _ = elbv2.target_group_elements(scope("elbv2"), group_item(BALANCER, Balancers=[]))

    assert isinstance(shown, Component)
    assert "TargetLoadBalancerType" not in shown.data


def test_a_target_merges_with_the_instance_behind_it(aws: boto3.Session, account: OpenAccount) -> None:
    _, group = create(aws)
    opened = account(elbv2.TARGET_GROUP)
    health = {
        "Target": {"Id": "i-1", "Port": 80},
        "HealthCheckPort": "80",
        "TargetHealth": {"State": "unhealthy", "Reason": "Target.Timeout", "Description": "timed out"},
    }
    answer(opened.client("elbv2"), "describe_target_health", {"TargetHealthDescriptions": [health]})

    found = opened.snapshot()

    [target] = found.of_type("aws.elb_v2_target_group_instance")
    assert target.id == "urn:aws/target-group-instance/i-1"
    assert target.data == {**health, "Name": "i-1", "URN": ["i-1"], "Location": LOCATION}
    assert f"{group}-uses service-urn:aws/target-group-instance/i-1" in found.relations
    assert found.telemetry == [
        Telemetry(
            *("target_instance_health", "Target instance health", "unhealthy", "i-1"),
            tags=("state:unhealthy", "reason:Target.Timeout"),
        )
    ]


@pytest.mark.parametrize("target", ["10.0.0.7", "arn:aws:lambda:eu-west-1:123456789012:function:shop", BALANCER])
def test_whatever_is_a_target_has_the_same_form_of_id(target: str) -> None:
    item = group_item(Health=[{"Target": {"Id": target}, "TargetHealth": {"State": "healthy"}}])

    _, component, relation, telemetry = elbv2.target_group_elements(scope("elbv2"), item)

    assert isinstance(component, Component)
    assert component.id == f"urn:aws/target-group-instance/{target}"
    assert isinstance(relation, Relation)
    assert relation.id == f"{GROUP}-uses service-urn:aws/target-group-instance/{target}"
    assert isinstance(telemetry, Telemetry)
    assert telemetry.tags == ("state:healthy", "reason:None")


# ----------------------------------------------------------------------------------------------------- readings


def test_a_snapshot_and_an_event_say_the_same(aws: boto3.Session, account: OpenAccount) -> None:
    balancer, group = create(aws)
    opened = account(*elbv2.RESOURCES)

    found = opened.snapshot()
    after = opened.after(event("AddTags", {"resourceArns": [balancer, group]}))

    assert len(found.components) == 3
    assert found.components == after.components
    assert found.relations == after.relations
    assert found.telemetry == after.telemetry


def test_nothing_is_read_twice_and_tags_come_in_batches(account: OpenAccount) -> None:
    opened = account(*elbv2.RESOURCES)
    client = opened.client("elbv2")
    arns = [f"{BALANCER}{number}" for number in range(45)]
    listed = answer(
        client,
        "describe_load_balancers",
        {"LoadBalancers": [balancer_item(arn) for arn in arns[:40]], "NextMarker": "more"},
        {"LoadBalancers": [balancer_item(arn) for arn in arns[40:]]},
    )
    answer(client, "describe_target_groups", {"TargetGroups": [group_item(arns[44])]})
    answer(client, "describe_target_health", {"TargetHealthDescriptions": []})
    tagged = answer(client, "describe_tags", *[{"TagDescriptions": []}] * 3)
    answer(client, "describe_listeners", *[{"Listeners": []}] * 45)

    found = opened.snapshot()

    assert set(found.components) == {*arns, GROUP}
    assert found.components[GROUP].data["TargetLoadBalancerType"] == "application"
    assert len(listed) == 2
    assert sorted(len(one["ResourceArns"]) for one in tagged) == [5, 20, 20]


def test_an_account_without_balancers_is_asked_for_them_once(aws: boto3.Session, account: OpenAccount) -> None:
    opened = account(*elbv2.RESOURCES)
    counted = calls(opened.client("elbv2"))

    assert not opened.snapshot().all
    assert counted == {"DescribeLoadBalancers": 1, "DescribeTargetGroups": 1}


def test_tags_are_matched_by_arn(aws: boto3.Session, account: OpenAccount) -> None:
    balancer, _ = create(aws)
    opened = account(elbv2.BALANCER)
    foreign = {"ResourceArn": NETWORK, "Tags": [{"Key": "a", "Value": "foreign"}]}
    own = {"ResourceArn": balancer, "Tags": [{"Key": "a", "Value": "own"}]}
    answer(opened.client("elbv2"), "describe_tags", {"TagDescriptions": [foreign, own]})

    assert opened.snapshot().components[balancer].data["Tags"] == {"a": "own"}


def test_listeners_are_read_to_the_last_page(aws: boto3.Session, account: OpenAccount) -> None:
    balancer, _ = create(aws)
    opened = account(elbv2.BALANCER)
    answer(
        opened.client("elbv2"),
        "describe_listeners",
        {"Listeners": [{"Port": 80}], "NextMarker": "more"},
        {"Listeners": [{"Port": 443}]},
    )

    found = opened.snapshot().components[balancer]

    assert [listener["Port"] for listener in found.data["Listeners"]] == [80, 443]


@pytest.mark.parametrize(
    ("operation", "action"),
    [
        ("describe_tags", "elasticloadbalancing:DescribeTags"),
        ("describe_listeners", "elasticloadbalancing:DescribeListeners"),
    ],
)
def test_a_denied_detail_leaves_out_that_detail_alone(
    aws: boto3.Session, account: OpenAccount, operation: str, action: str
) -> None:
    balancer, group = create(aws)
    opened = account(*elbv2.RESOURCES)
    refuse(opened.client("elbv2"), operation, "AccessDenied")

    found = opened.snapshot()

    assert {balancer, group} <= set(found.components)
    assert f"{balancer}-uses service-{group}" in found.relations
    assert [one.error.action for one in found.left_out] == [action]
    assert not found.incomplete


def test_without_their_targets_target_groups_are_shown_and_the_scope_is_incomplete(
    aws: boto3.Session, account: OpenAccount
) -> None:
    balancer, group = create(aws)
    opened = account(*elbv2.RESOURCES)
    refuse(opened.client("elbv2"), "describe_target_health", "AccessDenied")

    found = opened.snapshot()

    assert set(found.components) == {balancer, group}
    assert [one.error.action for one in found.incomplete] == ["elasticloadbalancing:DescribeTargetHealth"]


def test_without_the_list_of_balancers_target_groups_lack_its_type_and_the_scope_is_incomplete(
    aws: boto3.Session, account: OpenAccount
) -> None:
    _, group = create(aws)
    opened = account(*elbv2.RESOURCES)
    refuse(opened.client("elbv2"), "describe_load_balancers", "AccessDenied")

    found = opened.snapshot()

    assert "TargetLoadBalancerType" not in found.components[group].data
    assert [one.error.action for one in found.incomplete] == ["elasticloadbalancing:DescribeLoadBalancers"]


def test_a_refused_list_of_target_groups_is_incomplete(aws: boto3.Session, account: OpenAccount) -> None:
    balancer, _ = create(aws)
    opened = account(*elbv2.RESOURCES)
    refuse(opened.client("elbv2"), "describe_target_groups", "AccessDenied")

    found = opened.snapshot()

    assert set(found.components) == {balancer}
    assert [one.error.action for one in found.incomplete] == ["elasticloadbalancing:DescribeTargetGroups"]


# ------------------------------------------------------------------------------------------------------- events

OF_BALANCER = {("elbv2.load-balancer", BALANCER)}
OF_GROUP = {("elbv2.target-group", GROUP)}
# The target groups of the balancer: AWS is asked which these are.
OF_ITS_GROUPS = {("elbv2.target-group", BALANCER)}
OF_BOTH_GROUPS = OF_GROUP | {("elbv2.target-group", OTHER_GROUP)}
ANSWERED = {"listeners": [{"listenerArn": LISTENER, "loadBalancerArn": BALANCER}]}


@pytest.mark.parametrize(
    ("name", "request_", "response", "expected"),
    [
        (
            "CreateLoadBalancer",
            {"name": "web", "subnets": ["subnet-1"]},
            {"loadBalancers": [{"loadBalancerArn": BALANCER}, {"loadBalancerArn": NETWORK}]},
            OF_BALANCER | {("elbv2.load-balancer", NETWORK)},
        ),
        ("DeleteLoadBalancer", {"loadBalancerArn": BALANCER}, None, OF_BALANCER | OF_ITS_GROUPS),
        ("SetSecurityGroups", {"loadBalancerArn": BALANCER}, None, OF_BALANCER),
        ("SetSubnets", {"loadBalancerArn": BALANCER}, None, OF_BALANCER),
        ("SetIpAddressType", {"loadBalancerArn": BALANCER}, None, OF_BALANCER),
        ("ModifyIpPools", {"loadBalancerArn": BALANCER}, None, OF_BALANCER),
        (
            "CreateListener",
            {"loadBalancerArn": BALANCER, "defaultActions": forward(GROUP, OTHER_GROUP)},
            ANSWERED,
            OF_BALANCER | OF_ITS_GROUPS | OF_BOTH_GROUPS,
        ),
        (
            "CreateListener",
            {"loadBalancerArn": BALANCER, "defaultActions": [{"type": "fixed-response"}]},
            None,
            OF_BALANCER | OF_ITS_GROUPS,
        ),
        (
            "ModifyListener",
            {"listenerArn": LISTENER, "defaultActions": forward(GROUP)},
            None,
            OF_BALANCER | OF_ITS_GROUPS | OF_GROUP,
        ),
        ("ModifyListener", {"port": 81}, ANSWERED, OF_BALANCER | OF_ITS_GROUPS),
        ("DeleteListener", {"listenerArn": LISTENER}, None, OF_BALANCER | OF_ITS_GROUPS),
        (
            "CreateRule",
            {"listenerArn": LISTENER, "actions": forward(GROUP, OTHER_GROUP)},
            None,
            OF_ITS_GROUPS | OF_BOTH_GROUPS,
        ),
        ("ModifyRule", {"ruleArn": RULE, "actions": forward(GROUP)}, None, OF_ITS_GROUPS | OF_GROUP),
        ("ModifyRule", {"ruleArn": RULE}, None, OF_ITS_GROUPS),
        ("DeleteRule", {"ruleArn": RULE}, None, OF_ITS_GROUPS),
        (
            "CreateTargetGroup",
            {"name": "shop"},
            {"targetGroups": [{"targetGroupArn": GROUP}, {"targetGroupArn": OTHER_GROUP}]},
            OF_BOTH_GROUPS,
        ),
        ("ModifyTargetGroup", {"targetGroupArn": GROUP}, None, OF_GROUP),
        ("DeleteTargetGroup", {"targetGroupArn": GROUP}, None, OF_GROUP),
        ("RegisterTargets", {"targetGroupArn": GROUP, "targets": [{"id": "i-1"}]}, None, OF_GROUP),
        ("DeregisterTargets", {"targetGroupArn": GROUP, "targets": [{"id": "i-1"}]}, None, OF_GROUP),
        (
            "AddTags",
            {"resourceArns": [BALANCER, GROUP, LISTENER, RULE], "tags": []},
            None,
            OF_BALANCER | OF_GROUP,
        ),
        ("RemoveTags", {"resourceArns": [GATEWAY]}, None, {("elbv2.load-balancer", GATEWAY)}),
        ("RemoveTags", {"resourceArns": [f"{ELB}:truststore/ca/73e2d6bc24d8a067"]}, None, set()),
    ],
)
@pytest.mark.parametrize("detail", [{}, {"apiVersion": None}])
def test_an_event_names_balancers_and_target_groups(
    name: str,
    request_: dict[str, Any],
    response: dict[str, Any] | None,
    expected: set[tuple[str, str]],
    detail: dict[str, Any],
) -> None:
    told = event(name, request_, response, **detail)

    assert touched(EVERYTHING, told) == expected


def test_the_tag_editor_names_balancers_and_target_groups_by_arn() -> None:
    classic = f"{ELB}:loadbalancer/web"
    told = api_call("tagging", "UntagResources", {"resourceARNList": [BALANCER, GROUP, LISTENER, classic]})

    assert touched(elbv2.RESOURCES, told) == OF_BALANCER | OF_GROUP


def test_a_deleted_balancer_and_a_deleted_target_group_are_deleted(account: OpenAccount) -> None:
    opened = account(*elbv2.RESOURCES)

    assert opened.after(event("DeleteLoadBalancer", {"loadBalancerArn": BALANCER})).deleted == {BALANCER}
    assert opened.after(event("DeleteTargetGroup", {"targetGroupArn": GROUP})).deleted == {GROUP}


def test_a_deleted_listener_leads_to_the_balancer_and_its_target_groups(
    aws: boto3.Session, account: OpenAccount
) -> None:
    balancer, group = create(aws)
    listener = aws.client("elbv2").describe_listeners(LoadBalancerArn=balancer)["Listeners"][0]["ListenerArn"]

    found = account(*elbv2.RESOURCES).after(event("DeleteListener", {"listenerArn": listener}))

    assert {balancer, group} <= set(found.components)
    assert not found.deleted


def test_a_deregistered_target_is_detached_once_it_has_drained(aws: boto3.Session, account: OpenAccount) -> None:
    _, group = create(aws)
    targets = [{"id": "10.0.0.7", "port": 80}, {"id": "10.0.0.8"}]

    found = account(elbv2.TARGET_GROUP).after(event("DeregisterTargets", {"targetGroupArn": group, "targets": targets}))

    assert found.deleted == {f"{group}-uses service-urn:aws/target-group-instance/10.0.0.8"}


@pytest.mark.parametrize("request_", [None, {"targetGroupArn": GROUP}])
def test_a_deregistration_without_targets_ends_nothing(request_: dict[str, Any] | None) -> None:
    assert not ended([elbv2.TARGET_GROUP], event("DeregisterTargets", request_))


def test_what_aws_does_not_know_yet_is_looked_at_later(account: OpenAccount) -> None:
    balancer = event("CreateLoadBalancer", {"name": "web"}, {"loadBalancers": [{"loadBalancerArn": BALANCER}]})
    group = event("CreateTargetGroup", {"name": "shop"}, {"targetGroups": [{"targetGroupArn": GROUP}]})

    found = account(*elbv2.RESOURCES).after(balancer, group)

    assert {one.touched.key for one in found.unsettled} == {BALANCER, GROUP}
    assert not found.deleted


def test_many_target_groups_are_looked_up_in_full_batches(account: OpenAccount) -> None:
    opened = account(elbv2.TARGET_GROUP)
    client = opened.client("elbv2")
    arns = [f"{GROUP}{number}" for number in range(50)]
    answer(client, "describe_load_balancers", {"LoadBalancers": []})
    asked = answer(client, "describe_target_groups", *[{"TargetGroups": []}] * 3)

    found = opened.after(*[event("RegisterTargets", {"targetGroupArn": arn}) for arn in arns * 2])

    assert sorted(len(one["TargetGroupArns"]) for one in asked) == [10, 20, 20]
    assert found.deleted == set(arns)


@pytest.mark.parametrize(
    ("type_", "arn"),
    [
        ("AWS::ElasticLoadBalancingV2::LoadBalancer", "balancer"),
        ("AWS::ElasticLoadBalancingV2::TargetGroup", "group"),
    ],
)
def test_a_stack_s_balancer_and_target_group_are_found_by_arn(
    aws: boto3.Session, account: OpenAccount, type_: str, arn: str
) -> None:
    balancer, group = create(aws)
    physical_id = {"balancer": balancer, "group": group}[arn]
    opened = account(*elbv2.RESOURCES)
    names = Names(ALL)
    for component in opened.snapshot().components.values():
        for resource in elbv2.RESOURCES:
            names.add(resource, scope("elbv2"), component.id, component.type, component.id)

    link = StackResource("stack", "has resource", type_, physical_id)
    [relation] = names.relations(scope("cloudformation"), link.link, known_only=True)

    assert relation.id == f"stack-has resource-{physical_id}"
