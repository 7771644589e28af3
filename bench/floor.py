"""The floor: the fewest plain boto3 calls that read what a snapshot reads, from a pool of threads; nothing comes of it.

Tags come in bulk, a hundred to a call; subscriptions, mappings and namespaces come in one list for the account. What
AWS offers no bulk call for takes a call per resource. Where `AWS_ENDPOINT_URL` points is what it reads.
"""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Condition
from typing import Any

import boto3
from botocore.config import Config

REGION = os.environ.get("AWS_REGION", "eu-west-1")
GLOBAL_REGION = "us-east-1"
GLOBAL = ("route53", "route53domains")
WORKERS = 32
SERVICES = (
    *("apigateway", "autoscaling", "cloudformation", "dynamodb", "ec2", "ecs", "elb", "elbv2", "firehose", "kinesis"),
    *("lambda", "rds", "redshift", "resourcegroupstaggingapi", "route53", "route53domains", "s3", "servicediscovery"),
    *("sns", "sqs"),
)
# What does not tell its tags itself.
TAGGED = ["dynamodb:table", "elasticloadbalancing", "firehose", "kinesis", "lambda:function", "s3", "sns", "sqs"]
# Lists that say all there is to say: service, operation, parameters.
LISTS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("autoscaling", "describe_auto_scaling_groups", {"MaxRecords": 100}),
    ("ec2", "describe_security_groups", {"MaxResults": 1000}),
    ("ec2", "describe_subnets", {"MaxResults": 1000}),
    ("ec2", "describe_vpcs", {"MaxResults": 1000}),
    ("ec2", "describe_vpn_gateways", {}),
    ("lambda", "list_event_source_mappings", {}),
    ("rds", "describe_db_clusters", {}),
    ("rds", "describe_db_instances", {}),
    ("redshift", "describe_clusters", {}),
    ("resourcegroupstaggingapi", "get_resources", {"ResourcesPerPage": 100, "ResourceTypeFilters": TAGGED}),
    ("servicediscovery", "list_namespaces", {}),
    ("servicediscovery", "list_services", {}),
    ("sns", "list_subscriptions", {}),
    ("sns", "list_topics", {}),
)
# Lists of what takes one more call each: service, listing, its parameters, what to ask about, then for each of them
# operation, parameter, further parameters.
EACH: tuple[tuple[str, str, dict[str, Any], str, tuple[tuple[str, str, dict[str, Any]], ...]], ...] = (
    (
        *("apigateway", "get_rest_apis", {"limit": 500}, "items[].id"),
        (("get_stages", "restApiId", {}), ("get_resources", "restApiId", {"embed": ["methods"], "limit": 500})),
    ),
    (
        *("cloudformation", "describe_stacks", {}, "Stacks[].StackId"),
        (("list_stack_resources", "StackName", {}),),
    ),
    ("dynamodb", "list_tables", {}, "TableNames[]", (("describe_table", "TableName", {}),)),
    (
        *("elb", "describe_load_balancers", {}, "LoadBalancerDescriptions[].LoadBalancerName"),
        (("describe_instance_health", "LoadBalancerName", {}),),
    ),
    (
        *("elbv2", "describe_load_balancers", {}, "LoadBalancers[].LoadBalancerArn"),
        (("describe_listeners", "LoadBalancerArn", {}),),
    ),
    (
        *("elbv2", "describe_target_groups", {}, "TargetGroups[].TargetGroupArn"),
        (("describe_target_health", "TargetGroupArn", {}),),
    ),
    ("kinesis", "list_streams", {"Limit": 1000}, "StreamNames[]", (("describe_stream_summary", "StreamName", {}),)),
    ("lambda", "list_functions", {}, "Functions[].FunctionName", (("list_aliases", "FunctionName", {}),)),
    ("route53domains", "list_domains", {}, "Domains[].DomainName", (("list_tags_for_domain", "DomainName", {}),)),
    (
        *("s3", "list_buckets", {"MaxBuckets": 1000}, "Buckets[].Name"),
        (("get_bucket_notification_configuration", "Bucket", {}),),
    ),
    (
        *("sqs", "list_queues", {"MaxResults": 1000}, "QueueUrls[]"),
        (("get_queue_attributes", "QueueUrl", {"AttributeNames": ["All"]}),),
    ),
)
# Lists within an ECS cluster of what is described in batches: listing, its parameters, result, description, parameter,
# size of a batch.
IN_CLUSTER: tuple[tuple[str, dict[str, Any], str, str, str, int], ...] = (
    (
        "list_container_instances",
        {},
        "containerInstanceArns[]",
        "describe_container_instances",
        "containerInstances",
        100,
    ),
    ("list_services", {"maxResults": 100}, "serviceArns[]", "describe_services", "services", 10),
    ("list_tasks", {}, "taskArns[]", "describe_tasks", "tasks", 100),
)


class Floor:
    """Clients, a pool, and a count of the work that is left."""

    def __init__(self) -> None:
        session = boto3.Session()
        config = Config(
            retries={"mode": "standard", "total_max_attempts": 10},
            max_pool_connections=WORKERS,
            parameter_validation=False,
        )
        self.clients: dict[str, Any] = {
            name: session.client(
                name,
                region_name=GLOBAL_REGION if name in GLOBAL else REGION,
                config=config,
            )
            for name in SERVICES
        }
        self.errors: list[str] = []
        self._pool = ThreadPoolExecutor(WORKERS)
        self._left = 0
        self._changed = Condition()

    def go(self, work: Callable[..., object], *arguments: Any) -> None:
        """Do it in the pool."""
        with self._changed:
            self._left += 1
        self._pool.submit(work, *arguments).add_done_callback(self._done)

    def _done(self, future: Any) -> None:
        if error := future.exception():
            self.errors.append(repr(error))
        with self._changed:
            self._left -= 1
            self._changed.notify()

    def run(self) -> None:
        """Read everything."""
        for each in EACH:
            self.go(self.each, *each)
        for work in (self.instances, self.clusters, self.deliveries, self.zones):
            self.go(work)
        for service, operation, parameters in LISTS:
            self.go(self.whole, service, operation, parameters)
        with self._changed:
            self._changed.wait_for(lambda: not self._left)
        self._pool.shutdown()

    def pages(self, service: str, operation: str, parameters: dict[str, Any]) -> Iterator[Any]:
        """Every page, or the one answer of an operation that knows no pages."""
        client = self.clients[service]
        if client.can_paginate(operation):
            yield from client.get_paginator(operation).paginate(**parameters)
        else:
            yield getattr(client, operation)(**parameters)

    def found(self, service: str, operation: str, parameters: dict[str, Any], result: str) -> Iterator[Any]:
        """What a list has."""
        yield from self.clients[service].get_paginator(operation).paginate(**parameters).search(result)

    def whole(self, service: str, operation: str, parameters: dict[str, Any]) -> None:
        """Read a list."""
        for _ in self.pages(service, operation, parameters):
            pass

    def each(
        self,
        service: str,
        listing: str,
        parameters: dict[str, Any],
        result: str,
        details: Sequence[tuple[str, str, dict[str, Any]]],
    ) -> None:
        """Read a list, and the details of each that is in it."""
        for id_ in self.found(service, listing, parameters, result):
            for operation, parameter, more in details:
                self.go(self.whole, service, operation, {parameter: id_, **more})

    def instances(self) -> None:
        """Instances, and the types that they are of."""
        found = self.found("ec2", "describe_instances", {"MaxResults": 1000}, "Reservations[].Instances[].InstanceType")
        if types := sorted(set(found)):
            self.whole("ec2", "describe_instance_types", {"InstanceTypes": types})

    def clusters(self) -> None:
        """ECS clusters and what is in each."""
        arns = list(self.found("ecs", "list_clusters", {}, "clusterArns[]"))
        for start in range(0, len(arns), 100):
            self.go(
                self.whole, "ecs", "describe_clusters", {"clusters": arns[start : start + 100], "include": ["TAGS"]}
            )
        for arn in arns:
            for inside in IN_CLUSTER:
                self.go(self.in_cluster, arn, *inside)

    def in_cluster(
        self, cluster: str, listing: str, parameters: dict[str, Any], result: str, describe: str, ids: str, size: int
    ) -> None:
        """One kind of thing in an ECS cluster."""
        arns = list(self.found("ecs", listing, {"cluster": cluster, **parameters}, result))
        for start in range(0, len(arns), size):
            self.go(self.whole, "ecs", describe, {"cluster": cluster, ids: arns[start : start + size]})

    def deliveries(self) -> None:
        """Firehose's streams, which boto3 has no paginator for."""
        firehose = self.clients["firehose"]
        names: list[str] = []
        more = True
        while more:
            page = firehose.list_delivery_streams(
                Limit=1000, **({"ExclusiveStartDeliveryStreamName": names[-1]} if names else {})
            )
            names += page["DeliveryStreamNames"]
            more = page["HasMoreDeliveryStreams"]
        for name in names:
            self.go(self.whole, "firehose", "describe_delivery_stream", {"DeliveryStreamName": name})

    def zones(self) -> None:
        """Hosted zones with their records, and their tags, ten to a call."""
        ids = [id_.rpartition("/")[2] for id_ in self.found("route53", "list_hosted_zones", {}, "HostedZones[].Id")]
        for id_ in ids:
            self.go(self.whole, "route53", "get_hosted_zone", {"Id": id_})
            self.go(self.whole, "route53", "list_resource_record_sets", {"HostedZoneId": id_})
        for start in range(0, len(ids), 10):
            wanted = {"ResourceType": "hostedzone", "ResourceIds": ids[start : start + 10]}
            self.go(self.whole, "route53", "list_tags_for_resources", wanted)


def main() -> None:
    """Read, and say what went wrong."""
    floor = Floor()
    floor.run()
    print(json.dumps({"errors": floor.errors}))


if __name__ == "__main__":
    main()
