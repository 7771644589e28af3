"""Stories of EC2, Auto Scaling and the balancers."""

from typing import Any

from tests.follow.steps import REST, Client, Story, gone, gone_alone, has, linked, parted, step, told

TEAM = [{"Key": "team", "Value": "shop"}]
TAGGED = "Tags.team == 'shop'"


def new_network(client: Client, block: str) -> tuple[str, str]:
    """A VPC with a subnet."""
    ec2 = client("ec2")
    vpc = ec2.create_vpc(CidrBlock=f"{block}.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock=f"{block}.1.0/24", AvailabilityZone="eu-west-1a")
    return vpc, subnet["Subnet"]["SubnetId"]


def new_group(client: Client, vpc: str, name: str) -> str:
    """A security group in a VPC."""
    made = client("ec2").create_security_group(GroupName=name, Description=name, VpcId=vpc)
    return str(made["GroupId"])


def launched(client: Client, subnet: str, *groups: str) -> str:
    """An instance that was started in a subnet."""
    given: dict[str, Any] = {"SecurityGroupIds": list(groups)} if groups else {}
    image = client("ec2").describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    made = client("ec2").run_instances(
        ImageId=image, InstanceType="t3.small", MinCount=1, MaxCount=1, SubnetId=subnet, **given
    )
    return str(made["Instances"][0]["InstanceId"])


def ec2_instances(client: Client) -> Story:
    ec2 = client("ec2")
    vpc, subnet = new_network(client, "10.1")
    first, second = new_group(client, vpc, "first"), new_group(client, vpc, "second")
    id_ = launched(client, subnet, first)
    yield step(
        *("create", has(id_, "State.Name == 'running'"), linked(id_, subnet), linked(id_, first), told(id_, "running"))
    )
    ec2.create_tags(Resources=[id_], Tags=TEAM)
    yield step("tag", has(id_, "Tags.team == 'shop'"))
    ec2.modify_instance_attribute(InstanceId=id_, Groups=[first, second])
    yield step("attach a security group", linked(id_, first), linked(id_, second))
    ec2.modify_instance_attribute(InstanceId=id_, Groups=[second])
    yield step("detach a security group", linked(id_, second), parted(id_, first))
    ec2.stop_instances(InstanceIds=[id_])
    yield step("stop", has(id_, "State.Name == 'stopped'"), told(id_, "stopped"))
    ec2.modify_instance_attribute(InstanceId=id_, InstanceType={"Value": "m5.large"})
    yield step("change the type", has(id_, "InstanceType == 'm5.large' && IsNitro"))
    ec2.start_instances(InstanceIds=[id_])
    volume = ec2.create_volume(AvailabilityZone="eu-west-1a", Size=8)["VolumeId"]
    ec2.attach_volume(VolumeId=volume, InstanceId=id_, Device="/dev/sdh")
    yield step("attach a volume", has(id_, f"BlockDeviceMappings[?Ebs.VolumeId == '{volume}']"))
    ec2.detach_volume(VolumeId=volume, InstanceId=id_)
    yield step("detach a volume", has(id_, f"!(BlockDeviceMappings[?Ebs.VolumeId == '{volume}'])"))
    ec2.delete_tags(Resources=[id_], Tags=[{"Key": "team"}])
    yield step("untag", has(id_, "!(Tags.team)"))
    yield REST
    ec2.terminate_instances(InstanceIds=[id_])
    yield step("terminate", gone(id_))


def ec2_networks(client: Client) -> Story:
    ec2 = client("ec2")
    vpc, subnet = new_network(client, "10.2")
    groups = ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["SecurityGroups"]
    default = groups[0]["GroupId"]
    yield step("create a VPC", has(vpc), has(default), linked(vpc, default, "has resource"))
    yield step("create a subnet", has(subnet), linked(subnet, vpc))
    ec2.create_tags(Resources=[vpc, subnet], Tags=TEAM)
    yield step("tag both", has(vpc, TAGGED), has(subnet, TAGGED))
    ec2.associate_vpc_cidr_block(VpcId=vpc, CidrBlock="10.102.0.0/16")
    ec2.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": True})
    yield step("change both", has(vpc, "length(CidrBlockAssociationSet) == `2`"), has(subnet, "MapPublicIpOnLaunch"))

    group = new_group(client, vpc, "web")
    yield step("create a security group", has(group), linked(vpc, group, "has resource"))
    https = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[https])
    ec2.create_tags(Resources=[group], Tags=TEAM)
    yield step("add a rule, and tag", has(group, "IpPermissions[0].FromPort == `443`"), has(group, TAGGED))
    ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[https])
    yield step("remove the rule", has(group, "!IpPermissions"))

    gateway = ec2.create_vpn_gateway(Type="ipsec.1")["VpnGateway"]["VpnGatewayId"]
    yield step("create a VPN gateway", has(gateway))
    ec2.attach_vpn_gateway(VpcId=vpc, VpnGatewayId=gateway)
    ec2.create_tags(Resources=[gateway], Tags=TEAM)
    yield step("attach and tag the gateway", linked(gateway, vpc), has(gateway, TAGGED))
    yield REST
    ec2.detach_vpn_gateway(VpcId=vpc, VpnGatewayId=gateway)
    yield step("detach the gateway", has(gateway), parted(gateway, vpc))
    ec2.delete_vpn_gateway(VpnGatewayId=gateway)
    ec2.delete_security_group(GroupId=group)
    ec2.delete_subnet(SubnetId=subnet)
    yield step("delete gateway, security group and subnet", gone(gateway), gone(group), gone(subnet))
    ec2.delete_vpc(VpcId=vpc)
    yield step("delete the VPC", gone(vpc), gone(default))


def autoscaling(client: Client) -> Story:
    scaling, balancing = client("autoscaling"), client("elbv2")
    vpc, subnet = new_network(client, "10.3")
    image = client("ec2").describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    scaling.create_launch_configuration(LaunchConfigurationName="follow", ImageId=image, InstanceType="t3.small")
    scaling.create_auto_scaling_group(
        AutoScalingGroupName="follow", LaunchConfigurationName="follow", MinSize=0, MaxSize=4, DesiredCapacity=2,
        VPCZoneIdentifier=subnet,
    )  # fmt: skip

    def group() -> tuple[str, list[str]]:
        [found] = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=["follow"])["AutoScalingGroups"]
        return found["AutoScalingGroupARN"], [one["InstanceId"] for one in found["Instances"]]

    arn, (first, second) = group()
    yield step("create", has(arn), has(first), linked(arn, first), linked(arn, second), linked(first, subnet))
    scaling.create_or_update_tags(
        Tags=[
            {"ResourceId": "follow", "ResourceType": "auto-scaling-group", "PropagateAtLaunch": False, **TEAM[0]},
        ]
    )
    yield step("tag", has(arn, TAGGED))
    target_group = balancing.create_target_group(Name="scaled", Protocol="HTTP", Port=80, VpcId=vpc)
    target_group = target_group["TargetGroups"][0]["TargetGroupArn"]
    scaling.attach_load_balancer_target_groups(AutoScalingGroupName="follow", TargetGroupARNs=[target_group])
    target, third_target = f"urn:aws/target-group-instance/{first}", "urn:aws/target-group-instance/{}"
    yield step("attach a target group", linked(target_group, arn), linked(target_group, target))
    scaling.set_desired_capacity(AutoScalingGroupName="follow", DesiredCapacity=3)
    [third] = [one for one in group()[1] if one not in {first, second}]
    yield step("scale out", has(third), linked(arn, third), has(third_target.format(third)))
    scaling.detach_load_balancer_target_groups(AutoScalingGroupName="follow", TargetGroupARNs=[target_group])
    yield step("detach the target group", parted(target_group, arn), gone(target), has(target_group))
    yield REST
    scaling.detach_instances(AutoScalingGroupName="follow", InstanceIds=[first], ShouldDecrementDesiredCapacity=True)
    yield step("detach an instance", has(first), parted(arn, first))
    scaling.terminate_instance_in_auto_scaling_group(InstanceId=second, ShouldDecrementDesiredCapacity=True)
    yield step("terminate an instance", gone(second), linked(arn, third))
    scaling.delete_auto_scaling_group(AutoScalingGroupName="follow", ForceDelete=True)
    client("ec2").terminate_instances(InstanceIds=[first])
    yield step("delete", gone(arn), gone(first), gone(third))


def elb(client: Client) -> Story:
    balancing = client("elb")
    vpc, subnet = new_network(client, "10.4")
    instance = launched(client, subnet)
    first, second = new_group(client, vpc, "classic-first"), new_group(client, vpc, "classic-second")
    listener = {"Protocol": "HTTP", "LoadBalancerPort": 80, "InstancePort": 8080}
    balancing.create_load_balancer(
        LoadBalancerName="follow", Listeners=[listener], Subnets=[subnet], SecurityGroups=[first]
    )
    id_ = "classic_elb_follow"
    yield step("create", has(id_), linked(id_, vpc), linked(id_, first))
    balancing.add_tags(LoadBalancerNames=["follow"], Tags=TEAM)
    yield step("tag", has(id_, TAGGED))
    balancing.register_instances_with_load_balancer(LoadBalancerName="follow", Instances=[{"InstanceId": instance}])
    yield step("register an instance", linked(id_, instance), told(instance, "InService"))
    balancing.apply_security_groups_to_load_balancer(LoadBalancerName="follow", SecurityGroups=[second])
    yield step("change the security group", linked(id_, second), parted(id_, first))
    yield REST
    balancing.deregister_instances_from_load_balancer(LoadBalancerName="follow", Instances=[{"InstanceId": instance}])
    yield step("deregister the instance", has(id_), parted(id_, instance))
    balancing.delete_load_balancer(LoadBalancerName="follow")
    yield step("delete", gone(id_))


def elbv2(client: Client) -> Story:
    ec2, balancing = client("ec2"), client("elbv2")
    vpc, subnet = new_network(client, "10.5")
    other = ec2.create_subnet(VpcId=vpc, CidrBlock="10.5.2.0/24", AvailabilityZone="eu-west-1b")["Subnet"]["SubnetId"]
    first, second = new_group(client, vpc, "lb-first"), new_group(client, vpc, "lb-second")
    one, two = launched(client, subnet), launched(client, subnet)
    made = balancing.create_load_balancer(Name="follow", Subnets=[subnet, other], SecurityGroups=[first])
    arn = made["LoadBalancers"][0]["LoadBalancerArn"]
    yield step("create a balancer", has(arn), linked(arn, vpc), linked(arn, first))
    made = balancing.create_target_group(Name="follow", Protocol="HTTP", Port=80, VpcId=vpc)
    group = made["TargetGroups"][0]["TargetGroupArn"]
    yield step("create a target group", has(group), linked(group, vpc))
    balancing.register_targets(TargetGroupArn=group, Targets=[{"Id": one}, {"Id": two}])
    target, other_target = f"urn:aws/target-group-instance/{one}", f"urn:aws/target-group-instance/{two}"
    yield step("register targets", has(target), linked(group, target), linked(group, other_target))
    forward = [{"Type": "forward", "TargetGroupArn": group}]
    listener = balancing.create_listener(LoadBalancerArn=arn, Protocol="HTTP", Port=80, DefaultActions=forward)
    listener = listener["Listeners"][0]["ListenerArn"]
    yield step("create a listener", linked(arn, group), has(arn, f"Listeners[?ListenerArn == '{listener}']"))
    balancing.add_tags(ResourceArns=[arn], Tags=TEAM)
    yield step("tag", has(arn, TAGGED))
    balancing.set_security_groups(LoadBalancerArn=arn, SecurityGroups=[second])
    yield step("change the security group", linked(arn, second), parted(arn, first))
    yield REST
    balancing.deregister_targets(TargetGroupArn=group, Targets=[{"Id": one}])
    yield step("deregister a target", gone(target), linked(group, other_target))
    balancing.delete_listener(ListenerArn=listener)
    yield step("delete the listener", has(arn), has(group), parted(arn, group))
    balancing.delete_target_group(TargetGroupArn=group)
    yield step("delete the target group", gone(group), gone(other_target))
    balancing.delete_load_balancer(LoadBalancerArn=arn)
    yield step("delete the balancer", gone_alone(arn), parted(arn, vpc))


STORIES = (ec2_instances, ec2_networks, autoscaling, elb, elbv2)
