"""What tests of EC2 share: an instance as AWS answers, and a small network in moto."""

from typing import Any

import boto3

from topology.elements import Item


def instance(**fields: Any) -> Item:
    """An item, as far as a test needs it."""
    return {"InstanceId": "i-1", "InstanceType": "t3.micro", "State": {"Name": "running"}, **fields}


def network(session: boto3.Session) -> tuple[str, str, str]:
    """A VPC, a subnet in it and a security group, in moto."""
    client = session.client("ec2")
    vpc = client.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = client.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]
    group = client.create_security_group(GroupName="web", Description="web tier", VpcId=vpc)["GroupId"]
    return vpc, subnet, group


def start(session: boto3.Session, subnet: str, group: str, type_: str = "t3.micro") -> str:
    tags = [{"Key": "Name", "Value": "web"}, {"Key": "host", "Value": "overridden"}]
    answered = session.client("ec2").run_instances(
        ImageId="ami-12c6146b",
        MinCount=1,
        MaxCount=1,
        InstanceType=type_,
        SubnetId=subnet,
        SecurityGroupIds=[group],
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
    )
    id_: str = answered["Instances"][0]["InstanceId"]
    return id_
