"""A process that imports boto3 and makes clients of the services named on the command line, and does nothing else."""

import sys
from typing import Any

import boto3

REGION = "eu-west-1"


def main() -> None:
    """Make them, and keep them until the end."""
    session: Any = boto3.Session(region_name=REGION)
    clients = [session.client(name) for name in sys.argv[1:]]
    print(f"{len(clients)} clients")


if __name__ == "__main__":
    main()
