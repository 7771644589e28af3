"""Changes within seconds: in the whole local system, the receiver follows what is done to every service.

Stories (`tests/follow`) create, change, tag, attach, detach and delete through boto3; their steps' times are printed.
"""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
import requests

from local.pictures import differences, picture
from local.system import API_KEY, CONFIGURATION_ID, System, running_system, wait_for
from tests.follow import data, network, serverless
from tests.follow.steps import Reader

STORIES = (*network.STORIES, *serverless.STORIES, *data.STORIES)
SNAPSHOT_SECONDS = 180
# Longer than the window in which the queue collects a batch.
QUIET_SECONDS = 9


@dataclass
class Followed:
    """What came of the stories."""

    readers: dict[str, Reader]
    corrections: list[str] = field(default_factory=list)
    """What a snapshot changed in the picture that the events had made."""


def snapshots(system: System) -> int:
    return system.instance.snapshots if system.instance else 0


def correction(system: System) -> list[str]:
    """What a snapshot changes in the picture, once nothing moves any more."""
    wait_for("silence", lambda: time.time() - system.receiver.log[-1]["time"] > QUIET_SECONDS, SNAPSHOT_SECONDS)
    assert system.instance
    before, count = picture(system.instance), snapshots(system)
    system.account.client("lambda").invoke(FunctionName="stackstate-topo-cron", InvocationType="Event", Payload=b"{}")
    wait_for("a snapshot", lambda: snapshots(system) > count, SNAPSHOT_SECONDS)
    return differences(before, picture(system.instance))


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    with running_system() as system:
        requests.post(f"{system.account.endpoint}/moto-api/reset", timeout=10).raise_for_status()
        done = system.run("./install.sh", system.receiver.base_url, API_KEY, CONFIGURATION_ID)
        assert done.returncode == 0, done.stdout + done.stderr
        wait_for("the first snapshot", lambda: snapshots(system), SNAPSHOT_SECONDS)
        yield system


@pytest.fixture(scope="module")
def followed(system: System) -> Followed:
    """All stories, read side by side to where everything is largest, and from there to their ends."""
    followed = Followed({story.__name__: Reader(story.__name__, story(system.account.client)) for story in STORIES})
    for _ in ("to the rest", "to the end"):
        with ThreadPoolExecutor(len(STORIES)) as pool:
            list(pool.map(lambda reader: reader.read(system), followed.readers.values()))
        followed.corrections += correction(system)
    return followed


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("story", [story.__name__ for story in STORIES])
def test_the_receiver_follows(followed: Followed, story: str) -> None:
    reader = followed.readers[story]
    for name, seconds in reader.seconds:
        print(f"{story}: {name}: {seconds:.1f} s")

    assert reader.trouble == []


def test_a_snapshot_has_nothing_to_correct(followed: Followed) -> None:
    assert not followed.corrections, "\n".join(followed.corrections)


def test_the_receiver_refuses_nothing(followed: Followed, system: System) -> None:
    assert system.receiver.refused() == []
