"""What publishing costs, beside the plain work: `python -m bench publish`, the second table of `make bench`.

A snapshot's records are drained batch by batch into a local sink, once by topo-publisher's delivery with its receiver,
once by the fewest lines that decompress the same records, compress them for HTTP and POST them over one connection.
"""

import argparse
import http.client
import io
import json
import random
import socketserver
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "functions"))

import zstandard
from rich.console import Console
from rich.table import Table

from bench.measure import ROOT, Run, measured, middle
from topology.dead_letters import DeadLetters
from topology.deliver import Delivery
from topology.elements import Component, Relation
from topology.packer import Packer
from topology.progress import ProgressStore
from topology.receiver import COMPRESSION_LEVEL, Connection, Receiver
from topology.records import Record
from topology.snapshot import marked

COMPONENTS = 100_000
# What Lambda hands over at once: 6 MB of base64, of at most the mapping's 100 records.
BATCH_BYTES = 4_400_000
BATCH_RECORDS = 100
INSTANCE = ("aws", "123456789012")
PORT_OF = "listening on "


# --------------------------------------------------------------------------------------------------------- the records


def component(number: int, chance: random.Random) -> Component:
    """A component of the size, and the kind of content, that most have."""
    arn = f"arn:aws:lambda:eu-west-1:123456789012:function:orders-{number}"
    digits = [f"{chance.getrandbits(64):016x}" for _ in range(12)]
    data = {
        "Name": f"orders-{number}",
        "FunctionArn": arn,
        "CodeSha256": "".join(digits[:4]),
        "Location": {"AwsAccount": INSTANCE[1], "AwsRegion": "eu-west-1"},
        "URN": [arn],
        "Tags": {"team": f"team-{number % 40}", "stage": "production", "cost-center": str(number % 9000)},
        "VpcConfig": {"SubnetIds": [f"subnet-{one}" for one in digits[4:7]], "VpcId": f"vpc-{number % 30:017x}"},
        "Environment": {"Variables": {f"SETTING_{index}": "*****" for index in range(8)}},
        "Layers": [{"Arn": f"arn:aws:lambda:eu-west-1:123456789012:layer:common:{number % 50}", "CodeSize": 90211}],
        "LastModified": f"2026-01-{number % 28 + 1:02d}T10:00:00.000+0000",
        "RevisionId": "-".join(digits[8:]),
        "LoggingConfig": {"LogFormat": "Text", "LogGroup": f"/aws/lambda/orders-{number}"},
        "CW": {"Dimensions": [{"Key": "FunctionName", "Value": f"orders-{number}"}]},
    }
    return Component(arn, "aws.lambda", data)


def write_records(path: Path, components: int) -> None:
    """Write a snapshot's records to a file: each after its length, in four bytes."""
    chance = random.Random(1)
    packer = Packer(*INSTANCE, int(time.time()))
    for number in range(components):
        one = component(number, chance)
        packer.add(one)
        packer.add(Relation(one.id, "uses service", one.data["VpcConfig"]["VpcId"]))
    with path.open("wb") as file:
        for record in marked(packer.records(), Record(*INSTANCE, "bench"), closed=True):
            file.write(len(record).to_bytes(4) + record)


def batches(path: Path) -> Iterator[list[bytes]]:
    """The records as Lambda hands them over."""
    batch: list[bytes] = []
    with path.open("rb") as file:
        while length := file.read(4):
            record = file.read(int.from_bytes(length))
            if batch and (len(batch) == BATCH_RECORDS or sum(map(len, batch)) + len(record) > BATCH_BYTES):
                yield batch
                batch = []
            batch.append(record)
    yield batch


# ------------------------------------------------------------------------------------------------ who is measured


class Bucket:
    """As much of S3 as keeps one small object."""

    def __init__(self) -> None:
        self.body = b"[]"

    def put_object(self, *, Body: bytes, **_: Any) -> None:  # noqa: N803
        """Keep it."""
        self.body = Body

    def get_object(self, **_: Any) -> dict[str, Any]:
        """Give it."""
        return {"Body": io.BytesIO(self.body)}


def publisher(path: Path, port: int) -> int:
    """Drain the records as topo-publisher does; gives the POSTs."""
    receiver = Receiver(Connection(f"http://localhost:{port}"), "key", "bench")
    bucket: Any = Bucket()
    posts = 0
    for records in batches(path):
        delivery = Delivery(receiver.post, DeadLetters(bucket, "bucket", "1000"), ProgressStore(bucket, "bucket", ""))
        delivery.batch(records, [""] * len(records))
        posts += delivery.counts["Posts"]
    return posts


def plain(path: Path, port: int) -> int:
    """Decompress, compress and POST the same bytes, and nothing else; gives the POSTs."""
    connection = http.client.HTTPConnection("localhost", port)
    posts = 0
    for records in batches(path):
        for record in records:
            _, _, packed = record.partition(b"\n")
            text = zstandard.ZstdDecompressor().decompress(packed)
            body = zlib.compress(text, COMPRESSION_LEVEL)
            headers = {"Content-Type": "application/json", "Content-Encoding": "deflate"}
            connection.request("POST", "/stsAgent/intake/?api_key=key", body, headers)
            connection.getresponse().read()
            posts += 1
    return posts


class Sink(socketserver.StreamRequestHandler):
    """Takes every POST of a connection, and forgets it."""

    disable_nagle_algorithm = True

    def handle(self) -> None:
        """Answer until the connection is closed."""
        while self.rfile.readline():
            length = 0
            while (line := self.rfile.readline()) != b"\r\n":
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            self.rfile.read(length)
            self.wfile.write(b"HTTP/1.1 202 Accepted\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok")


@contextmanager
def sink() -> Iterator[int]:
    """A sink in a process of its own; gives its port."""
    command = [sys.executable, "-m", "bench.publish", "sink"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield int(process.stdout.readline().removeprefix(PORT_OF))
        process.terminate()


# ------------------------------------------------------------------------------------------------------------ the table


def run(role: str, path: Path, port: int) -> Run:
    """Drain once, in a process of its own."""
    return measured([sys.executable, "-m", "bench.publish", role, str(path), str(port)])


def compare(components: int, repeat: int, console: Console) -> None:
    """Measure both in turn, and print the table."""
    with tempfile.TemporaryDirectory() as folder, sink() as port:
        path, small = Path(folder, "records"), Path(folder, "fewer")
        with console.status("publish: making the records"):
            write_records(path, components)
            write_records(small, components // 4)
        run("publisher", path, port)
        runs = [(run("publisher", path, port), run("plain", path, port)) for _ in range(repeat)]
        ours, floor = middle([one for one, _ in runs]), middle([two for _, two in runs])
        fewer = run("publisher", small, port)
        numbers = [sum(1 for _ in batches(one)) for one in (small, path)]
        console.print(table(components, ours, floor, fewer, numbers))


def table(components: int, ours: Run, floor: Run, fewer: Run, numbers: list[int]) -> Table:
    """The figures: topo-publisher, the plain work, and their ratio."""
    shown = Table(title=f"Publishing a snapshot of {components:,} components")
    for name in ("", "topo-publisher", "plain", "plain ÷ topo-publisher"):
        shown.add_column(name, justify="right" if name else "left")
    ours_s, floor_s = ours.report["seconds"], floor.report["seconds"]
    ours_cpu, floor_cpu = ours.report["cpu_seconds"], floor.report["cpu_seconds"]
    shown.add_row("POSTs", *(f"{one.report['posts']:,}" for one in (ours, floor)), "")
    shown.add_row("wall s", f"{ours_s:.2f}", f"{floor_s:.2f}", f"{floor_s / ours_s:.2f}")
    shown.add_row("CPU s", f"{ours_cpu:.2f}", f"{floor_cpu:.2f}", f"{floor_cpu / ours_cpu:.2f}")
    shown.add_row("components per s", f"{components / ours_s:,.0f}", f"{components / floor_s:,.0f}", "")
    shown.add_row(f"peak memory MB, {numbers[1]} batches", f"{ours.memory_mb:.0f}", f"{floor.memory_mb:.0f}", "")
    shown.add_row(f"peak memory MB, {numbers[0]} batches", f"{fewer.memory_mb:.0f}", "", "")
    return shown


def main(arguments: Sequence[str]) -> None:
    """Play one of the roles."""
    parser = argparse.ArgumentParser("python -m bench publish", description=__doc__)
    parser.add_argument("role", nargs="?", default="compare", choices=["compare", "publisher", "plain", "sink"])
    parser.add_argument("path", nargs="?", type=Path)
    parser.add_argument("port", nargs="?", type=int)
    parser.add_argument("--components", type=int, default=COMPONENTS)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args(arguments)
    if options.role == "compare":
        compare(options.components, options.repeat, Console())
    elif options.role == "sink":
        with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Sink) as server:
            server.daemon_threads = True
            print(f"{PORT_OF}{server.server_address[1]}", flush=True)
            server.serve_forever()
    else:
        drain = publisher if options.role == "publisher" else plain
        began, cpu = time.perf_counter(), time.process_time()
        posts = drain(options.path, options.port)
        taken = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - cpu}
        print(json.dumps({"posts": posts, **taken}))


if __name__ == "__main__":
    main(sys.argv[1:])
