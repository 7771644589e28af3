"""Keeps the rate of calls below what AWS allows the account, since others live from the same allowance.

Where AWS documents a rate, a share of it is what we take, before anything is refused. Wherever AWS refuses a call for
its rate all the same, the calls of that service become rarer at once, and come back as calls succeed.
"""

import time
from collections.abc import Callable
from threading import Lock
from typing import Any

# Requests per second that AWS documents for an account in a region, by boto3's name of the service.
RATES = {
    "apigateway": 10.0,
    "elb": 10.0,
    "elbv2": 10.0,
    "firehose": 5.0,
    "lambda": 15.0,
    "resourcegroupstaggingapi": 15.0,
    "route53": 5.0,
}
# Both kinds of balancers draw on one allowance for all their reads.
SHARED = {"elbv2": "elb"}

THROTTLED = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "LimitExceededException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    }
)

# Allowances refill all the time, so a second's worth may be used at once.
BURST_SECONDS = 1.0
FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 1.0
RECOVERY = 0.7


class Pace:
    """The rate of one allowance, shared by all threads that draw on it.

    Args:
        rate: requests per second that we may make; 0: as many as AWS takes.
        clock, sleep: seconds that pass.
    """

    def __init__(
        self, rate: float, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._usual = 1 / rate if rate else 0.0
        self._between = self._usual
        self._clock = clock
        self._sleep = sleep
        self._next = 0.0
        self._lock = Lock()

    def watch(self, client: Any) -> None:
        """Pace every request of a boto3 client, repeated ones included."""
        client.meta.events.register("before-send", self._before_send)
        client.meta.events.register("needs-retry", self._after_answer)

    def wait(self) -> None:
        """Wait for one's turn."""
        with self._lock:
            now = self._clock()
            self._next = max(self._next, now - BURST_SECONDS * bool(self._usual)) + self._between
            pause = self._next - now
        if pause > 0:
            self._sleep(pause)

    def refused(self) -> None:
        """AWS refused a call for its rate: call half as often."""
        with self._lock:
            self._between = min(max(2 * self._between, FIRST_PAUSE_SECONDS), max(LONGEST_PAUSE_SECONDS, self._usual))

    def accepted(self) -> None:
        """AWS took a call: go back to the usual rate, bit by bit."""
        if self._between > self._usual:
            with self._lock:
                faster = self._between * RECOVERY
                self._between = max(self._usual, faster if faster > FIRST_PAUSE_SECONDS / 2 else 0.0)

    def _before_send(self, **_: Any) -> None:
        self.wait()

    def _after_answer(self, response: Any = None, **_: Any) -> None:
        if response is not None:
            code = response[1].get("Error", {}).get("Code", "")
            (self.refused if code in THROTTLED else self.accepted)()


def paces(services: list[str], share: float) -> dict[str, Pace]:
    """A pace for each service; `share` is what part of a documented rate is ours, 0: no limit of our own."""
    allowances = {name: Pace(share * RATES.get(name, 0.0)) for name in {SHARED.get(name, name) for name in services}}
    return {name: allowances[SHARED.get(name, name)] for name in services}
