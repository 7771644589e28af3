"""`make demo`: an account with a sample estate, the real installer, and a live topology to look at.

With --once it goes through the life of an installation by itself and ends with 0 if all of it was as it should be.
"""

import argparse
import sys
import threading
import time
from collections import Counter
from pathlib import Path

from local.account.estate import build_estate
from local.system import API_KEY, CONFIGURATION_ID, ROOT, System, running_system, wait_for

ACCOUNT_PORT = 4566
RECEIVER_PORT = 7077
SNAPSHOT_SECONDS = 120
DELTA_SECONDS = 15


def main() -> None:
    """Run the demonstration."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--once", action="store_true", help="unattended: install, snapshot, change, uninstall, prove")
    parser.add_argument("--bodies", type=Path, help="folder for the bodies that the receiver gets")
    arguments = parser.parse_args()
    ports = (0, 0) if arguments.once else (ACCOUNT_PORT, RECEIVER_PORT)
    with running_system(*ports, folder=arguments.bodies) as system:
        try:
            show(system) if not arguments.once else prove(system)
        except (TimeoutError, RuntimeError, AssertionError) as error:
            sys.exit(f"\nThe demonstration failed: {error}\n{trouble(system)}")
        except KeyboardInterrupt:
            print("\nStopped; nothing is left running.")


def show(system: System) -> None:
    """Install, say what there is to see, and stay until Ctrl-C."""
    begin(system)
    page = system.receiver.base_url.removesuffix("/receiver")
    print(
        f"""
  Look at it:       {page}
  Change something: local/aws sqs create-queue --queue-name hello
                    local/aws ec2 run-instances --image-id ami-12c6146b --count 1 --instance-type t3.micro
                    local/aws ec2 create-security-group --group-name new --description new

  Ctrl-C stops everything."""
    )
    threading.Event().wait()


def prove(system: System) -> None:
    """Go through the life of an installation, and check each step from outside."""
    before = begin(system)
    follow_a_queue(system)
    check_what_the_receiver_got(system)
    check_logs(system)

    step("Uninstalling with ./uninstall.sh")
    output = run(system, "./uninstall.sh", CONFIGURATION_ID)
    print(indented(output.strip().splitlines()[-1]))
    left = system.inventory() - before
    if left:
        raise AssertionError("after uninstalling there is still " + ", ".join(sorted(left)))
    print(
        indented("The account is as it was before: no stack, function, queue, stream, bucket, rule, role, log group,")
    )
    print(indented("secret, alarm or event source mapping of ours."))


def begin(system: System) -> set[str]:
    """Make the estate, install, and wait for the first snapshot; answers with what the account held before."""
    step("Starting an AWS account with a sample estate")
    build_estate(system.account.client)
    before = system.inventory()
    print(indented(f"{system.account.endpoint} (account {system.account.account_id}, {system.account.region})"))

    step("Installing with ./install.sh")
    began = time.monotonic()
    print(indented(run(system, "./install.sh", system.receiver.base_url, API_KEY, CONFIGURATION_ID)))
    print(indented(f"took {time.monotonic() - began:.0f} s"))

    step("Waiting for the first snapshot")
    seconds = wait_for("the first snapshot", lambda: system.instance and system.instance.snapshots, SNAPSHOT_SECONDS)
    instance = system.instance
    assert instance
    types = Counter(component["type"]["name"] for component in instance.components.values())
    print(
        indented(f"{len(instance.components)} components of {len(types)} types and {len(instance.relations)} relations")
    )
    print(
        indented(
            f"reached the receiver {seconds:.0f} s after the installation, in {len(system.receiver.log)} requests."
        )
    )
    return before


def follow_a_queue(system: System) -> None:
    """Create, tag, change and delete a queue with the AWS CLI; each has to show at the receiver in time."""
    step("Changing the account, and watching the topology follow")
    arn = f"arn:aws:sqs:{system.account.region}:{system.account.account_id}:demo-orders"
    url = system.aws("sqs", "create-queue", "--queue-name", "demo-orders")["QueueUrl"]
    said = wait_for("the new queue", lambda: system.component(arn), DELTA_SECONDS)
    print(indented(f"queue created:  there after {said:4.1f} s"))

    system.aws("sqs", "tag-queue", "--queue-url", url, "--tags", "team=shop")
    tagged = wait_for("its tag", lambda: data(system, arn)["Tags"] == {"team": "shop"}, DELTA_SECONDS)
    print(indented(f"queue tagged:   there after {tagged:4.1f} s"))

    system.aws("sqs", "set-queue-attributes", "--queue-url", url, "--attributes", "VisibilityTimeout=77")
    changed = wait_for("its change", lambda: data(system, arn)["VisibilityTimeout"] == "77", DELTA_SECONDS)
    print(indented(f"queue changed:  there after {changed:4.1f} s"))

    system.aws("sqs", "delete-queue", "--queue-url", url)
    deleted = wait_for("its deletion", lambda: system.component(arn) is None, DELTA_SECONDS)
    print(indented(f"queue deleted:  gone after  {deleted:4.1f} s"))


def data(system: System, id_: str) -> dict[str, object]:
    """The data of a component that has to be there."""
    component = system.component(id_)
    assert component, f"{id_} vanished"
    found: dict[str, object] = component["data"]
    return found


def check_what_the_receiver_got(system: System) -> None:
    """The strict receiver must have refused nothing."""
    refused = system.receiver.refused()
    if refused:
        raise AssertionError(f"the receiver refused {len(refused)} of the requests, first {refused[0]}")
    print(indented(f"The receiver took all {len(system.receiver.log)} requests."))


def check_logs(system: System) -> None:
    """No secret may be in what the functions logged."""
    for name in ("topo-cron", "topo-cwevents", "topo-publisher"):
        lines = system.functions.logs(f"stackstate-{name}")
        if not lines:
            raise AssertionError(f"stackstate-{name} logged nothing: it never ran")
        if any(API_KEY in line for line in lines):
            raise AssertionError(f"the API key is in the log of stackstate-{name}")
    print(indented("The logs of the three functions hold no secret."))


def run(system: System, *command: str) -> str:
    """What a script said; its failure is ours."""
    done = system.run(*command)
    if done.returncode:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout


def trouble(system: System) -> str:
    """The last words of the functions, for whoever has to find out."""
    names = [f"stackstate-{name}" for name in ("topo-cron", "topo-cwevents", "topo-publisher")]
    return "\n".join(f"--- {name}\n" + "\n".join(system.functions.logs(name)[-25:]) for name in names)


def step(title: str) -> None:
    """Say what happens next."""
    print(f"\n{title}", flush=True)


def indented(text: str) -> str:
    """The text, under its step."""
    return "\n".join(f"  {line}" for line in text.strip().splitlines())


if __name__ == "__main__":
    if not (ROOT / "build/local").is_dir():
        sys.exit("build/local is missing: run `make build-local`, or start with `make demo`")
    main()
