"""Stands in for what AWS does between services: asynchronous invocations, schedules, and event source mappings.

Everything is discovered from the account again and again, so that a deployment takes effect while this runs.
"""

import json
import logging
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.account.trust import missing_right
from local.functions import Account, Answer, Functions, function_name
from local.mappings import Item, QueuePoller, StreamPoller, deliver
from local.schedules import next_firing

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
RETRY_SECONDS = (60.0, 120.0)  # Lambda's pauses before the two retries of an asynchronous invocation
MAX_THROTTLE_SECONDS = 300.0
DEFAULT_EVENT_AGE = 6 * 3600


@dataclass
class Schedule:
    """A schedule of the account: what it invokes with what, and when it is due next."""

    arn: str
    expression: str
    target: str
    event: str | None  # None: EventBridge's own scheduled event
    role: str | None = None
    due: datetime | None = None


class Triggers:
    """Invokes the functions of an account as AWS would; between `start` and `close`, or step by step with `look`."""

    def __init__(self, account: Account, functions: Functions, retry_seconds: tuple[float, ...] = RETRY_SECONDS):
        self._account = account
        self._functions = functions
        self._retry_seconds = retry_seconds
        self._lambda = account.client("lambda")
        self._events = account.client("events")
        self._scheduler = account.client("scheduler")
        self._schedules: dict[tuple[str, str], Schedule] = {}  # by ARN and target
        self._pollers: dict[str, tuple[QueuePoller | StreamPoller, threading.Event, threading.Thread]] = {}
        self._checkpoints: dict[str, dict[str, str]] = defaultdict(dict)
        self._stop = threading.Event()

    def start(self) -> None:
        """Look at the account once a second from now on."""
        threading.Thread(target=self._watch, name="triggers", daemon=True).start()

    def close(self) -> None:
        """Stop everything and wait for what is under way."""
        self._stop.set()
        for _, stop, _ in self._pollers.values():
            stop.set()
        for _, _, thread in self._pollers.values():
            thread.join(timeout=10)

    def invoke(self, name: str, payload: bytes, asynchronous: bool) -> tuple[int, bytes, str | None]:
        """Invoke a function as Lambda's Invoke does; give status, payload and error as in `Answer`."""
        if not asynchronous:
            answer = self._functions.invoke(name, payload)
            return answer.status, answer.payload, answer.error
        threading.Thread(target=self._invoke_later, args=(name, payload), daemon=True).start()
        return 202, b"", None

    def fire_now(self, rule: str) -> None:
        """Fire a schedule of the account, given by its name, without waiting until it is due."""
        self._find_schedules(datetime.now(UTC))
        found = [schedule for schedule in self._schedules.values() if schedule.arn.rsplit("/", 1)[-1] == rule]
        if not found:
            raise LookupError(f"the account has no schedule {rule}")
        for schedule in found:
            self._fire(schedule, datetime.now(UTC))

    def look(self, now: datetime) -> None:
        """Discover mappings and schedules, and fire what is due."""
        self._find_mappings()
        self._find_schedules(now)
        for schedule in self._schedules.values():
            if schedule.due and schedule.due <= now:
                self._fire(schedule, schedule.due)
                schedule.due = next_firing(schedule.expression, schedule.due)

    def _watch(self) -> None:
        while not self._stop.is_set():
            try:
                self.look(datetime.now(UTC))
            except (ClientError, BotoCoreError) as error:
                logger.warning("the account was not read: %s", error)
            self._stop.wait(LOOK_SECONDS)

    def _invoke_later(self, name: str, payload: bytes) -> None:
        """Deal with one asynchronous event: retries, and in the end its destination or dead-letter queue."""
        begin, attempts, throttled = time.monotonic(), 0, 0
        while not self._stop.is_set():
            answer = self._functions.invoke(name, payload)
            if answer.status == 404:
                logger.warning("an event for %s was dropped: there is no such function", name)
                return
            settings = self._event_invoke_config(name)
            if answer.status == 200:
                attempts += 1
                if answer.error is None:
                    self._settle(name, payload, answer, "Success", attempts, settings)
                    return
                if attempts > settings.get("MaximumRetryAttempts", 2):
                    self._settle(name, payload, answer, "RetriesExhausted", attempts, settings)
                    return
                pause = self._retry_seconds[min(attempts, len(self._retry_seconds)) - 1]
            else:  # throttled: not an attempt
                throttled += 1
                pause = min(2.0 ** (throttled - 1), MAX_THROTTLE_SECONDS)
            if time.monotonic() + pause - begin > settings.get("MaximumEventAgeInSeconds", DEFAULT_EVENT_AGE):
                self._settle(name, payload, answer, "EventAgeExceeded", attempts, settings)
                return
            self._stop.wait(pause)

    def _event_invoke_config(self, name: str) -> Item:
        try:
            return dict(self._lambda.get_function_event_invoke_config(FunctionName=function_name(name)))
        except ClientError:  # there is none
            return {}

    def _settle(self, name: str, payload: bytes, answer: Answer, condition: str, attempts: int, settings: Item) -> None:
        """Write the end of an asynchronous event to where the account wants it."""
        function = self._lambda.get_function_configuration(FunctionName=function_name(name))
        record = {
            "version": "1.0",
            "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "requestContext": {
                "requestId": str(uuid.uuid4()),
                "functionArn": f"{function['FunctionArn']}:$LATEST",
                "condition": condition,
                "approximateInvokeCount": attempts,
            },
            "requestPayload": json.loads(payload or b"null"),
            "responseContext": {
                "statusCode": answer.status,
                "executedVersion": "$LATEST",
                "functionError": answer.error,
            },
            "responsePayload": json.loads(answer.payload or b"null"),
        }
        outcome = "OnSuccess" if condition == "Success" else "OnFailure"
        destination = (settings.get("DestinationConfig") or {}).get(outcome, {}).get("Destination")
        dead_letters = (function.get("DeadLetterConfig") or {}).get("TargetArn")
        try:
            if destination:
                deliver(
                    self._account,
                    destination,
                    json.dumps(record),
                    f"aws/lambda/async/{function_name(name)}/{uuid.uuid4()}",
                )
            if dead_letters and condition != "Success":
                attributes = {"RequestID": record["requestContext"]["requestId"], "ErrorCode": str(answer.status)}
                deliver(self._account, dead_letters, payload.decode(), attributes=attributes)
        except (ClientError, BotoCoreError) as error:
            logger.warning("the end of an event for %s was not delivered: %s", name, error)

    def _find_mappings(self) -> None:
        """Start, change and stop pollers so that they are those of the account."""
        pages = self._lambda.get_paginator("list_event_source_mappings").paginate()
        mappings = {mapping["UUID"]: mapping for page in pages for mapping in page["EventSourceMappings"]}
        wanted = {key: m for key, m in mappings.items() if m.get("State") in (None, "Enabled", "Creating", "Enabling")}
        for key in self._pollers.keys() - wanted.keys():
            self._pollers.pop(key)[1].set()
        for key, mapping in wanted.items():
            if key in self._pollers:
                self._pollers[key][0].mapping = mapping
                continue
            poller = self._poller(mapping)
            if poller:
                stop = threading.Event()
                thread = threading.Thread(target=poller.run, args=(stop,), name=mapping["EventSourceArn"], daemon=True)
                self._pollers[key] = (poller, stop, thread)
                thread.start()

    def _poller(self, mapping: Item) -> QueuePoller | StreamPoller | None:
        service = mapping["EventSourceArn"].split(":")[2]
        if service == "sqs":
            return QueuePoller(mapping, self._account, self._functions.invoke)
        if service == "kinesis":
            return StreamPoller(mapping, self._account, self._functions.invoke, self._checkpoints[mapping["UUID"]])
        return None

    def _find_schedules(self, now: datetime) -> None:
        """Take up new and changed schedules, which count from now, and forget those that are gone or disabled."""
        found = {}
        for schedule in [*self._rules(), *self._scheduler_schedules()]:
            known = self._schedules.get((schedule.arn, schedule.target))
            try:
                same = known and known.expression == schedule.expression
                schedule.due = known.due if known and same else next_firing(schedule.expression, now)
            except ValueError as error:
                logger.warning("%s never fires: %s", schedule.arn, error)
            found[schedule.arn, schedule.target] = schedule
        self._schedules = found

    def _rules(self) -> Iterator[Schedule]:
        """Give EventBridge's rules with a schedule, one entry per target."""
        for page in self._events.get_paginator("list_rules").paginate():
            for rule in page["Rules"]:
                if rule["State"] == "ENABLED" and rule.get("ScheduleExpression"):
                    for target in self._events.list_targets_by_rule(Rule=rule["Name"])["Targets"]:
                        found = rule["Arn"], rule["ScheduleExpression"], target["Arn"]
                        yield Schedule(*found, target.get("Input"), target.get("RoleArn"))

    def _scheduler_schedules(self) -> Iterator[Schedule]:
        """Give the schedules of EventBridge Scheduler."""
        for page in self._scheduler.get_paginator("list_schedules").paginate():
            for listed in page["Schedules"]:
                one: Any = self._scheduler.get_schedule(Name=listed["Name"], GroupName=listed["GroupName"])
                if one["State"] == "ENABLED":
                    target = one["Target"]
                    yield Schedule(one["Arn"], one["ScheduleExpression"], target["Arn"], target.get("Input", "{}"))

    def _fire(self, schedule: Schedule, due: datetime) -> None:
        event = schedule.event or json.dumps(
            {
                "version": "0",
                "id": str(uuid.uuid4()),
                "detail-type": "Scheduled Event",
                "source": "aws.events",
                "account": self._account.account_id,
                "time": f"{due:%Y-%m-%dT%H:%M:%SZ}",
                "region": self._account.region,
                "resources": [schedule.arn],
                "detail": {},
            }
        )
        if ":states:" in schedule.target:
            self._start_execution(schedule, event)
        elif ":lambda:" not in schedule.target:
            deliver(self._account, schedule.target, event)
        elif schedule.arn.split(":")[2] == "events" and not self._may_invoke(schedule.target, schedule.arn):
            logger.warning("%s was not invoked: its policy does not allow %s to", schedule.target, schedule.arn)
        else:
            self.invoke(schedule.target, event.encode(), asynchronous=True)

    def _start_execution(self, schedule: Schedule, event: str) -> None:
        """Start a state machine, if the target's role lets EventBridge; AWS drops the event if it does not."""
        right = ("events.amazonaws.com", "states:StartExecution", schedule.target)
        if reason := missing_right(schedule.role, *right):
            logger.warning("%s was not started: %s", schedule.target, reason)
            return
        self._account.client("stepfunctions").start_execution(stateMachineArn=schedule.target, input=event)

    def _may_invoke(self, function: str, rule_arn: str) -> bool:
        """Tell whether a function's resource policy lets EventBridge invoke it; AWS drops the event if it does not."""
        try:
            policy = json.loads(self._lambda.get_policy(FunctionName=function_name(function))["Policy"])
        except ClientError:
            return False
        return any(
            statement.get("Principal") in ("*", {"Service": "events.amazonaws.com"})
            and rule_arn in json.dumps(statement.get("Condition", rule_arn))
            for statement in policy["Statement"]
        )
