"""Where AWS changes several things at once and moto only one of them, or one that nobody touched: corrected."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

from moto.awslambda.models import LambdaFunction
from moto.core.resource_tagging import TaggableResourcesMixin, TaggedResource
from moto.dynamodb.exceptions import StreamAlreadyEnabledException
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.table import Table
from moto.ec2.models import ec2_backends
from moto.elbv2.models import ELBv2Backend
from moto.kinesis.models import KinesisBackend, kinesis_backends
from moto.moto_api import state_manager
from moto.resourcegroupstaggingapi import models as tagging
from moto.route53.models import route53_backends
from moto.servicediscovery.models import Namespace, ServiceDiscoveryBackend


def relate() -> None:
    """Correct moto in this process: once, since it wraps what is there."""
    _balancers_of_target_groups()
    _streams_switched_on_again()
    _networks_of_functions()
    _tags_of_streams()
    _zones_of_namespaces()
    # Tasks run until somebody stops them. moto's go a step towards their end whenever they are described.
    state_manager.set_transition("ecs::task", {"progression": "manual", "times": sys.maxsize})


def _balancers_of_target_groups() -> None:
    # AWS names the balancers whose listeners and rules forward to a target group just now. moto adds a balancer when a
    # listener or a rule is made, and never takes it out again.
    describe = ELBv2Backend.describe_target_groups

    def describe_target_groups(self: Any, *args: Any, **named: Any) -> Any:
        found: dict[str, list[str]] = {arn: [] for arn in self.target_groups}
        for balancer in list(self.load_balancers.values()):
            for arn in _forwarded_to(self, balancer):
                found.setdefault(arn, []).append(balancer.arn)
        for arn, group in list(self.target_groups.items()):
            group.load_balancer_arns = list(dict.fromkeys(found.get(arn, ())))
        return describe(self, *args, **named)

    ELBv2Backend.describe_target_groups = describe_target_groups


def _forwarded_to(backend: Any, balancer: Any) -> Iterator[str]:
    for listener in list(balancer.listeners.values()):
        actions = [*listener.default_actions, *(one for rule in listener.rules.values() for one in rule.actions)]
        for action in actions:
            if action.type == "forward":
                yield from backend._get_target_group_arns_from(action_data=action.data)


def _streams_switched_on_again() -> None:
    # A table that had a stream may get a new one. moto takes the old one's label, which AWS shows on, for a stream.
    def update_table_streams(_self: Any, table: Table, stream_specification: dict[str, Any]) -> None:
        wanted = stream_specification.get("StreamEnabled") or stream_specification.get("StreamViewType")
        if wanted and (table.stream_specification or {}).get("StreamEnabled"):
            raise StreamAlreadyEnabledException
        table.set_stream_specification(stream_specification)

    DynamoDBBackend.update_table_streams = update_table_streams


def _networks_of_functions() -> None:
    # moto puts all functions into a VPC that does not exist.
    def vpc_config(self: Any) -> Mapping[str, Any] | None:
        config = self._vpc_config
        if not config or not config.get("SubnetIds"):
            return config or None
        backend = ec2_backends[self.account_id][self.region]
        subnets = backend.describe_subnets(subnet_ids=list(config["SubnetIds"]))
        return {**config, "VpcId": subnets[0].vpc_id}

    LambdaFunction.vpc_config = property(vpc_config)


def _tags_of_streams() -> None:
    # The tagging API sees Kinesis streams, too.
    known = tagging.iter_taggable_backends

    def iter_taggable_backends(account_id: str, region_name: str) -> Iterator[Any]:
        yield from known(account_id, region_name)
        yield _Streams(kinesis_backends[account_id][region_name])

    tagging.iter_taggable_backends = iter_taggable_backends


class _Streams(TaggableResourcesMixin):  # type: ignore[misc]
    """The streams of an account's region, as moto's tagging API takes what has tags."""

    SERVICE_NAMESPACE = "kinesis"

    def __init__(self, backend: KinesisBackend) -> None:
        self._backend = backend

    def iter_tagged_resources(self) -> Iterator[TaggedResource]:
        """Every stream with its tags."""
        for stream in list(self._backend.streams.values()):
            yield TaggedResource(arn=stream.arn, tags=dict(stream.tags), resource_type="kinesis:stream")


def _zones_of_namespaces() -> None:
    # A namespace names its hosted zone by the bare id, and takes it along when it is deleted.
    make, delete = Namespace.__init__, ServiceDiscoveryBackend.delete_namespace

    def init(self: Any, *args: Any, **named: Any) -> None:
        make(self, *args, **named)
        if zone := (self.dns_properties or {}).get("HostedZoneId"):
            self.dns_properties["HostedZoneId"] = zone.rpartition("/")[2]

    def delete_namespace(self: Any, namespace_id: str) -> Any:
        namespace = self.namespaces.get(namespace_id)
        operation = delete(self, namespace_id)
        zone = (namespace.dns_properties or {}).get("HostedZoneId")
        route53_backends[self.account_id]["aws"].zones.pop(zone, None)
        return operation

    Namespace.__init__ = init
    ServiceDiscoveryBackend.delete_namespace = delete_namespace
