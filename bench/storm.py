"""What a storm of changes costs: `python -m bench storm`.

Instances come and go by the hundred, targets are registered, a tool applies a large plan: the calls are made to the
synthetic account, which hands out the events that AWS would make of them. Two processes of topo-cwevents take them in
batches, as Lambda does from a queue, while the calls go on. What they write is delivered to the strict receiver, and in
the end a snapshot says whether the picture is right.
"""

import argparse
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.measure import serving
from bench.stage import ACCOUNT_ID, KEY, PROCESSES, Invoked, Messages, Stage
from local.pictures import differences, picture
from local.receiver import running_receiver

ACCOUNT = [sys.executable, "-m", "bench.account_server", "--events"]
SCALE = 5
READS = ("BatchGet", "Describe", "Get", "List")
# Services whose describes take many ids.
BULK = ("autoscaling", "ec2", "elb", "resourcegroupstaggingapi")
# What topo-cwevents works with, beside what it reads.
OWN_CALLS = {"kinesis:GetRecords", "kinesis:GetShardIterator", "kinesis:ListShards", "s3:GetObject", "s3:ListObjectsV2"}
INSTANCES_AT_A_TIME = 25
# Longer than until the first looks that follow a change; the later ones find nothing new in this account.
PATIENCE_SECONDS = 60.0


@dataclass
class Storm:
    """What a storm cost."""

    events: int = 0
    batches: int = 0
    seconds: float = 0.0
    calls: Counter[str] = field(default_factory=Counter)
    """Reads of the account, by service and operation."""
    throttled: int = 0
    repeated: int = 0
    """Messages that came again."""
    lost: list[str] = field(default_factory=list)
    """Messages that came too often."""
    failures: list[str] = field(default_factory=list)
    """What the function raised; its batch came again."""
    memory_mb: list[list[float]] = field(default_factory=list)
    """After every batch, by process."""
    refused: list[dict[str, Any]] = field(default_factory=list)
    """What the receiver refused."""
    components: int = 0
    corrections: list[str] = field(default_factory=list)
    """What the snapshot that followed changed in the picture."""

    @property
    def bulk_calls(self) -> int:
        """Calls of the services whose describes take many ids."""
        return sum(number for name, number in self.calls.items() if name.partition(":")[0] in BULK)

    @property
    def growth_mb(self) -> float:
        """By how much a process was larger after its last batches than after those in the middle, at most."""
        return max((max(row[-2:]) - max(row[: len(row) // 2 + 1]) for row in self.memory_mb if row), default=0.0)


# ------------------------------------------------------------------------------------------------------- the changes


def changes(stage: Stage, events: int) -> Iterator[None]:
    """The calls of a storm of about so many events, a few at a time."""
    ec2, balancing, sqs = (stage.client(service) for service in ("ec2", "elbv2", "sqs"))
    subnet = ec2.describe_subnets()["Subnets"][0]
    vpc = subnet["VpcId"]
    made = balancing.create_target_group(Name="storm", Protocol="HTTP", Port=80, VpcId=vpc)
    group = made["TargetGroups"][0]["TargetGroupArn"]
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    number = count()
    # Scaling out: of every instance two notifications, and half of them go again, with two more.
    for _ in range(max(events // 5 // INSTANCES_AT_A_TIME, 1)):
        answer = ec2.run_instances(
            ImageId=image, InstanceType="t3.micro", MinCount=INSTANCES_AT_A_TIME, MaxCount=INSTANCES_AT_A_TIME,
            SubnetId=subnet["SubnetId"],
        )  # fmt: skip
        instances = [one["InstanceId"] for one in answer["Instances"]]
        targets = [{"Id": id_} for id_ in instances]
        balancing.register_targets(TargetGroupArn=group, Targets=targets)
        yield
        half = INSTANCES_AT_A_TIME // 2
        balancing.deregister_targets(TargetGroupArn=group, Targets=targets[:half])
        ec2.terminate_instances(InstanceIds=instances[:half])
        ec2.create_tags(Resources=instances[half:], Tags=[{"Key": "storm", "Value": "yes"}])
        yield
    # A plan is applied: every thing is made, changed and tagged by calls of its own.
    for _ in range(events // 10):
        name = f"storm-{next(number)}"
        id_ = ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"]
        rule = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "192.0.2.0/24"}]}
        ec2.authorize_security_group_ingress(GroupId=id_, IpPermissions=[rule])
        ec2.create_tags(Resources=[id_], Tags=[{"Key": "storm", "Value": name}])
        yield
    for _ in range(events // 100):
        url = sqs.create_queue(QueueName=f"storm-{next(number)}")["QueueUrl"]
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "77"})
        sqs.tag_queue(QueueUrl=url, Tags={"storm": "yes"})
        yield


# --------------------------------------------------------------------------------------------------------- the storm


def storm(events: int, throttle_rate: float = 0.0, *, at_once: bool = False) -> Storm:
    """A storm of about so many events on an account of its own.

    Args:
        events: about how many.
        throttle_rate: the part of all calls that AWS throttles.
        at_once: the events are all in the queue before the first is taken out.
    """
    with ExitStack() as stack:
        server = stack.enter_context(serving(ACCOUNT, SCALE))
        receiver = stack.enter_context(running_receiver(keys=(KEY,)))
        stage = Stage(server, receiver, stack)
        stage.snapshot()
        server.ask("/__config", {"throttle_rate": throttle_rate})
        found = ridden_out(stage, events, at_once=at_once)
        server.ask("/__config", {"throttle_rate": 0})
        stage.deliver()
        instance = receiver.topologies.instances["aws", ACCOUNT_ID]
        before = picture(instance)
        stage.snapshot()
        found.corrections = differences(before, picture(instance))
        found.components = len(instance.components)
        found.refused = receiver.refused()
        return found


def ridden_out(stage: Stage, events: int, *, at_once: bool) -> Storm:
    """Make the changes, and follow them until the queue is empty."""
    found, messages = Storm(), Messages(stage)
    stage.server.ask("/__events")
    stage.server.ask("/__calls/reset", {})
    stage.own_calls.clear()
    began = time.monotonic()
    busy: dict[Future[Any], tuple[Invoked, list[dict[str, Any]]]] = {}
    idle = deque(stage.workers)
    with ThreadPoolExecutor(PROCESSES + 1) as pool:
        caller = pool.submit(deque, changes(stage, events), 0)
        more = True
        while more:
            over = caller.done()
            if over or not at_once:
                messages.collect()
            while idle and messages.due:
                worker, batch = idle.popleft(), messages.batch()
                busy[pool.submit(worker, {"Records": batch})] = worker, batch
                found.batches += 1
            for future in wait(busy, 0.2, FIRST_COMPLETED).done if busy else ():
                worker, batch = busy.pop(future)
                messages.settle(batch, future)
                idle.append(worker)
            if not busy:
                time.sleep(0.2)
            more = not over or bool(busy) or bool(messages) or messages.later(PATIENCE_SECONDS)
        caller.result()
    found.seconds = time.monotonic() - began
    report = stage.server.ask("/__calls")
    found.throttled = report["throttled"]
    for name, row in report["by_operation"].items():
        made = row["calls"] - stage.own_calls[name]
        if made and name.partition(":")[2].startswith(READS) and name not in OWN_CALLS:
            found.calls[name] = made
    found.events, found.repeated, found.lost = messages.events, messages.repeated, messages.lost
    found.failures = messages.failures
    found.memory_mb = [worker.memory_mb for worker in stage.workers]
    return found


def main(arguments: Sequence[str]) -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser("python -m bench storm", description=__doc__)
    parser.add_argument("--events", type=int, default=5000)
    parser.add_argument("--throttle", type=float, default=0.2, help="part of the calls that the second storm loses")
    options = parser.parse_args(arguments)
    console = Console()
    storms = {}
    for rate in dict.fromkeys((0.0, options.throttle)):
        with console.status(f"a storm of {options.events:,} events, {rate:.0%} of the calls throttled"):
            storms[rate] = storm(options.events, rate)
    console.print(table(storms))
    for rate, one in storms.items():
        for line in (*one.corrections, *one.lost, *one.failures, *one.refused):
            console.print(f"at {rate:.0%}: {line}")


def table(storms: dict[float, Storm]) -> Table:
    """The figures, side by side."""
    shown = Table(title="A storm of changes")
    shown.add_column("")
    for rate in storms:
        shown.add_column(f"{rate:.0%} throttled", justify="right")
    rows: dict[str, list[str]] = {
        "events": [f"{one.events:,}" for one in storms.values()],
        "batches": [f"{one.batches:,}" for one in storms.values()],
        "events a second": [f"{one.events / one.seconds:,.0f}" for one in storms.values()],
        "calls that read": [f"{one.calls.total():,}" for one in storms.values()],
        "  where many ids go into one": [f"{one.bulk_calls:,}" for one in storms.values()],
        "  events to each of these": [f"{one.events / max(one.bulk_calls, 1):,.0f}" for one in storms.values()],
        "calls that were throttled": [f"{one.throttled:,}" for one in storms.values()],
        "messages that came again": [f"{one.repeated:,}" for one in storms.values()],
        "messages that were lost": [f"{len(one.lost):,}" for one in storms.values()],
        "memory MB, at most": [f"{max(map(max, one.memory_mb)):,.0f}" for one in storms.values()],
        "  growth in the second half": [f"{one.growth_mb:,.1f}" for one in storms.values()],
        "components in the end": [f"{one.components:,}" for one in storms.values()],
        "corrected by a snapshot": [f"{len(one.corrections):,}" for one in storms.values()],
    }
    for name in sorted({name for one in storms.values() for name in one.calls}):
        rows[f"    {name}"] = [f"{one.calls[name]:,}" for one in storms.values()]
    for name, cells in rows.items():
        shown.add_row(name, *cells)
    return shown
