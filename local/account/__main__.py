"""Serve the local AWS account: `python -m local.account --port 4566 [--estate]`."""

import argparse
import threading

from local.account.server import running_account


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description="An AWS account on this machine.")
    parser.add_argument("--port", type=int, default=4566)
    parser.add_argument("--estate", action="store_true", help="with the sample estate in it")
    arguments = parser.parse_args()
    with running_account(arguments.port) as account:
        if arguments.estate:
            from local.account.estate import build_estate

            build_estate(account.client)
        print(f"AWS account {account.account_id}, {account.region}: {account.endpoint}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
