"""The AWS CLI for tests that call it hundreds of times: its own code, imported once, and a forked process per command.

Starting the AWS CLI takes half a second, nearly all of it for imports. Here a server has them done (`serve`, run by the
Python that has the CLI), and a small program named aws, which the scripts find on PATH, hands it each command with its
arguments, environment, folder, umask and standard streams, and ends as the command ended. test_cli.py has the life of
an installation with the CLI as it is shipped.
"""

import ast
import functools
import gc
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

# What the scripts call: read beforehand, for these descriptions are large.
SERVICES = ("cloudformation", "cloudtrail", "cloudwatch", "events", "iam", "kinesis", "lambda", "logs",
            "resourcegroupstaggingapi", "s3", "secretsmanager", "sqs", "stepfunctions", "sts")  # fmt: skip
CLIENT = """#!{python} -IS
import os, signal, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
mask = os.umask(0)
request = repr((sys.argv[1:], dict(os.environ), os.getcwd(), mask)).encode()
socket.send_fds(server, [b"%20d" % len(request)], [0, 1, 2])
server.sendall(request)
answers = server.makefile()
process = int(answers.readline())
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, lambda number, frame: os.kill(process, number))
sys.exit(int(answers.readline() or 1))
"""


@contextmanager
def preloaded_cli(python: Path, folder: Path) -> Iterator[None]:
    """Have a program named aws in `folder` that goes by a server of its own; `python` is that of the AWS CLI."""
    address = str(folder / "socket")
    client = folder / "aws"
    client.write_text(CLIENT.format(python=sys.executable, address=address))
    client.chmod(0o755)
    server = subprocess.Popen([python, __file__, address], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n", "the AWS CLI cannot be preloaded"
    yield
    server.terminate()
    server.wait()


def serve(address: str) -> None:
    """Run commands, each in a process of its own, until ended."""
    run = preload()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address)
    listening.listen(64)
    print("ready", flush=True)
    while True:
        connection, _ = listening.accept()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            listening.close()
            answer(connection, run)
        connection.close()


def preload() -> Any:
    """Import the AWS CLI, read what describes the services, and return its main function."""
    clidriver: Any = import_module("awscli.clidriver")
    loader: Any = import_module("botocore.loaders").JSONFileLoader
    # A process runs one command, so nobody meets what another one made of a description.
    loader.load_file = staticmethod(functools.cache(loader().load_file))
    driver = clidriver.create_clidriver()
    for service in SERVICES:
        commands = driver._get_command_table()[service]
        commands.create_help_command()
        driver.session.create_client(service, "eu-west-1", aws_access_key_id="none", aws_secret_access_key="none")
    gc.freeze()  # what all share stays shared
    gc.disable()
    return clidriver.main


def answer(connection: socket.socket, run: Any) -> None:
    """Run the one command that a connection asks for, tell how it ended, and end."""
    os.setsid()
    size, streams, _, _ = socket.recv_fds(connection, 20, 3)
    with connection.makefile("rb") as request:
        arguments, environment, folder, mask = ast.literal_eval(request.read(int(size)).decode())
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    own = {"AWS_DATA_PATH": os.environ["AWS_DATA_PATH"]}  # which the CLI sets where it is imported
    os.environ.clear()
    os.environ.update(environment | own)
    os.chdir(folder)
    os.umask(mask)
    time.tzset()
    sys.argv = ["aws", *arguments]
    connection.sendall(b"%d\n" % os.getpid())
    try:
        status = run()
    except SystemExit as end:
        status = end.code
    except KeyboardInterrupt:
        status = 130
    sys.stdout.flush()
    sys.stderr.flush()
    connection.sendall(b"%d\n" % (status or 0))
    os._exit(0)


if __name__ == "__main__":
    serve(sys.argv[1])
