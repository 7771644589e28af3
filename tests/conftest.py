"""Fixtures that all tests share: an empty AWS account in moto, and ways to read it as the functions do."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws
from playwright.sync_api import Browser, Error, expect, sync_playwright

from tests.account import REGION, TestAccount
from tests.trust import CLOCK, World, worlds
from tools.pictures import chromium
from topology.declare import Resource


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test can reach a real account, whatever the machine it runs on knows."""
    for name in list(os.environ):
        if name.startswith("AWS_") and name != "AWS_CA_BUNDLE":
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def aws() -> Iterator[boto3.Session]:
    """An AWS account in moto, without moto's default VPC and all that comes with it."""
    with mock_aws():
        session = boto3.Session(region_name=REGION)
        ec2 = session.client("ec2")
        for subnet in ec2.describe_subnets()["Subnets"]:
            ec2.delete_subnet(SubnetId=subnet["SubnetId"])
        for vpc in ec2.describe_vpcs()["Vpcs"]:
            for group in ec2.describe_security_groups()["SecurityGroups"]:
                if group["GroupName"] != "default":
                    ec2.delete_security_group(GroupId=group["GroupId"])
            ec2.delete_vpc(VpcId=vpc["VpcId"])
        yield session


@pytest.fixture
def account(aws: boto3.Session) -> Callable[..., TestAccount]:
    """Opens the moto account to read some resources: `account(sqs.QUEUE)`."""

    def open_account(*resources: Resource, regions: tuple[str, ...] = (REGION,)) -> TestAccount:
        return TestAccount(resources, regions)

    return open_account


@pytest.fixture
def world() -> Iterator[World]:
    """A model account, empty yet, with its stream, bucket and receiver."""
    with worlds():
        made = World()
        CLOCK[:] = [made]
        yield made


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=20_000)
    with sync_playwright() as playwright:
        options: dict[str, Any] = {"args": ["--no-sandbox", "--disable-background-networking"]}
        try:
            started = playwright.chromium.launch(executable_path=chromium(), **options)
        except Error as error:
            pytest.fail(f"there is no browser; 'make chromium' installs one: {error}")
        yield started
        started.close()
