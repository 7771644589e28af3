"""Calls keep to their share of what AWS allows, and become rarer as soon as AWS refuses one for its rate."""

import io
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from hypothesis import given
from hypothesis import strategies as st

from tests.account import ACCOUNT_ID, REGION
from topology.collect import Account
from topology.pace import RATES, Pace, paces
from topology.resources import sqs


class Time:
    def __init__(self) -> None:
        self.now = 100.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def pace(rate: float) -> tuple[Pace, Time]:
    time = Time()
    return Pace(rate, time.clock, time.sleep), time


@given(st.floats(1, 50), st.integers(1, 300))
def test_calls_keep_to_the_rate_but_for_a_burst_of_a_second(rate: float, calls: int) -> None:
    paced, time = pace(rate)
    for _ in range(calls):
        paced.wait()

    assert time.now - 100 >= (calls - rate) / rate - 0.01
    assert time.now - 100 <= calls / rate


def test_without_a_rate_nothing_waits() -> None:
    paced, time = pace(0)
    for _ in range(1000):
        paced.wait()

    assert time.now == 100


def test_a_refused_call_makes_the_next_rarer_and_success_brings_them_back() -> None:
    paced, time = pace(0)

    for _ in range(10):
        paced.refused()
    paced.wait()
    assert 0.9 <= time.now - 100 <= 1

    for _ in range(20):
        paced.accepted()
    before = time.now
    for _ in range(100):
        paced.wait()
    assert time.now - before < 1.1


def test_both_kinds_of_balancers_share_one_allowance() -> None:
    found = paces(["elb", "elbv2", "sqs"], 0.5)

    assert found["elb"] is found["elbv2"]
    assert found["sqs"] is not found["elb"]
    assert set(RATES) >= {"elb", "elbv2", "lambda", "route53", "apigateway"}


class Raw(io.BytesIO):
    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self.read()


def test_a_refusal_by_aws_reaches_the_pace_of_its_service_and_the_call_is_repeated(
    aws: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(Pace, "refused", lambda _: told.append("refused"))
    monkeypatch.setattr(Pace, "accepted", lambda _: told.append("accepted"))
    aws.client("sqs").create_queue(QueueName="orders")
    opened = Account.open(aws, ACCOUNT_ID, (REGION,), [sqs.QUEUE])
    answers = [AWSResponse("", 400, HTTPHeaders(), Raw(b'{"__type":"com.amazonaws.sqs#ThrottlingException"}'))]
    client = opened.clients[REGION].clients["sqs"]
    client.meta.events.register_first("before-send", lambda **_: answers.pop() if answers else None)

    assert len(list(opened.clients[REGION].pages(sqs.QUEUE.listed_by, {}))) == 1
    assert told == ["refused", "accepted"]
