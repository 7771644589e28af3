"""EventBridge: events onto buses, matched with the rules, delivered to their targets, in order and asynchronously.

Rules live in moto. moto's own delivery is not used: it emits no service events, leaves `account` out of what it
delivers, and answers 500 where AWS uses a dead-letter queue.
"""

from __future__ import annotations

import json
import logging
import queue
import re
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import jmespath
from botocore.exceptions import ClientError
from moto.events.models import EventsBackend, Rule, events_backends

from local.account.patterns import matches
from local.account.wire import Answer, Call

logger = logging.getLogger(__name__)

Clients = Callable[[str, str, str], Any]
_EVENTS = "events.amazonaws.com"


class _NotDeliveredError(Exception):
    """A target that cannot take the event: what AWS writes on the message in the dead-letter queue."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class EventBridge:
    """The event buses of the account."""

    def __init__(self, account_id: str, region: str, clients: Clients, invoke: Callable[[], Any]) -> None:
        self.account_id = account_id
        self.region = region
        self._clients = clients
        self._invoke = invoke
        self._open_clients: dict[tuple[str, str], Any] = {}
        self._waiting: queue.Queue[tuple[str, dict[str, Any]] | None] = queue.Queue()
        self._worker = threading.Thread(target=self._work, name="eventbridge", daemon=True)
        self._worker.start()

    def put(self, event: Mapping[str, Any], bus: str = "default") -> None:
        """Put an event onto a bus of its region; what it lacks of id, account, time and the like is filled in."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        envelope: dict[str, Any] = {"version": "0", "id": str(uuid.uuid4()), "detail-type": "", "source": ""}
        envelope |= {"account": self.account_id, "time": now, "region": self.region, "resources": [], "detail": {}}
        self._waiting.put((bus, envelope | dict(event)))

    def close(self) -> None:
        """Deliver what is waiting, and stop."""
        self._waiting.put(None)
        self._worker.join(timeout=10)

    def settle(self) -> None:
        """Return once everything that was put so far has been delivered."""
        self._waiting.join()

    def put_events(self, call: Call) -> Answer:
        """events:PutEvents. `source`s of AWS are AWS's: an entry with one is refused, the others go through."""
        entries = [self._put_entry(entry, call.region) for entry in call.parameters["Entries"]]
        failed = sum("ErrorCode" in entry for entry in entries)
        return call.answer({"FailedEntryCount": failed, "Entries": entries})

    def test_event_pattern(self, call: Call) -> Answer:
        """events:TestEventPattern, which moto answers with nothing."""
        try:
            found = matches(json.loads(call.parameters["EventPattern"]), json.loads(call.parameters["Event"]))
        except ValueError as error:
            return call.refuse("InvalidEventPatternException", f"Event pattern is not valid. Reason: {error}")
        return call.answer({"Result": found})

    def _put_entry(self, entry: dict[str, Any], region: str) -> dict[str, str]:
        missing = next((name for name in ("Source", "DetailType", "Detail") if not entry.get(name)), None)
        if missing:
            return {"ErrorCode": "InvalidArgument", "ErrorMessage": f"Parameter {missing} is not valid."}
        if entry["Source"].startswith("aws."):
            message = "Not authorized for the source."
            return {"ErrorCode": "NotAuthorizedForSourceException", "ErrorMessage": message}
        try:
            detail = json.loads(entry["Detail"])
        except ValueError:
            return {"ErrorCode": "MalformedDetail", "ErrorMessage": "Detail is malformed."}
        event = {"id": str(uuid.uuid4()), "source": entry["Source"], "detail-type": entry["DetailType"]}
        event |= {"region": region, "resources": entry.get("Resources", []), "detail": detail}
        self.put(event, entry.get("EventBusName", "default").rpartition("/")[2])
        return {"EventId": event["id"]}

    def _work(self) -> None:
        while (item := self._waiting.get()) is not None:
            try:
                for rule in self._rules(*item):
                    for target in list(rule.targets):
                        self._deliver(item[1], rule, target)
            except Exception:
                # One event that cannot be handled, by a fault of ours, must not hold up those behind it.
                logger.exception("An event was not delivered: %s", item[1].get("id"))
            finally:
                self._waiting.task_done()

    def _rules(self, bus: str, event: dict[str, Any]) -> Iterator[Rule]:
        backend: EventsBackend = events_backends[self.account_id][event["region"]]
        found = backend.event_buses.get(bus)
        for rule in list(found.rules.values()) if found else []:
            pattern = rule.event_pattern.get_pattern() if rule.event_pattern else None
            if rule.state.startswith("ENABLED") and pattern and matches(pattern, event):
                yield rule

    def _deliver(self, event: dict[str, Any], rule: Rule, target: dict[str, Any]) -> None:
        region = event["region"]
        body = _input(event, target)
        try:
            self._send(target["Arn"], body, target, region)
        except (_NotDeliveredError, ClientError) as error:
            dead_letters = target.get("DeadLetterConfig", {}).get("Arn")
            if dead_letters:
                code = error.code if isinstance(error, _NotDeliveredError) else error.response["Error"]["Code"]
                facts = {"RULE_ARN": rule.arn, "TARGET_ARN": target["Arn"]}
                facts |= {"ERROR_CODE": code, "ERROR_MESSAGE": str(error)}
                attributes = {name: {"DataType": "String", "StringValue": text} for name, text in facts.items()}
                url = self._queue_url(dead_letters, region)
                self._client("sqs", region).send_message(
                    QueueUrl=url, MessageBody=json.dumps(event), MessageAttributes=attributes
                )

    def _send(self, arn: str, body: str, target: dict[str, Any], region: str) -> None:
        service = arn.split(":")[2]
        if service == "sqs":
            url = self._queue_url(arn, region)
            sqs = self._client("sqs", region)
            attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"]).get("Attributes", {})
            _demand_permission(attributes.get("Policy"), arn)
            sqs.send_message(QueueUrl=url, MessageBody=body, **_fifo(target))
        elif service == "lambda":
            self._send_to_function(arn, body, region)
        elif service == "sns":
            self._client("sns", region).publish(TopicArn=arn, Message=body)
        else:
            raise _NotDeliveredError("UNSUPPORTED_TARGET", f"targets of {service} do not exist in the local account")

    def _send_to_function(self, arn: str, body: str, region: str) -> None:
        try:
            policy = self._client("lambda", region).get_policy(FunctionName=arn)["Policy"]
        except ClientError as error:
            raise _NotDeliveredError("NO_PERMISSIONS", f"{arn} has no resource policy, or does not exist") from error
        _demand_permission(policy, arn)
        if (invoke := self._invoke()) is not None:
            invoke(arn.rpartition(":function:")[2].split(":")[0], body.encode(), True)

    def _queue_url(self, arn: str, region: str) -> str:
        name = arn.rpartition(":")[2]
        return str(self._client("sqs", region).get_queue_url(QueueName=name)["QueueUrl"])

    def _client(self, service: str, region: str) -> Any:
        if (service, region) not in self._open_clients:
            self._open_clients[service, region] = self._clients(_EVENTS, service, region)
        return self._open_clients[service, region]


def _demand_permission(policy: str | None, arn: str) -> None:
    """A target's own policy must let EventBridge in; AWS sends the event to the dead-letter queue if it does not."""
    for statement in json.loads(policy or "{}").get("Statement", []):
        principal = statement.get("Principal", {})
        services = principal.get("Service", []) if isinstance(principal, dict) else principal
        allowed = {services} if isinstance(services, str) else set(services)
        if statement["Effect"] == "Allow" and allowed & {_EVENTS, "*"}:
            return
    raise _NotDeliveredError("NO_PERMISSIONS", f"The resource policy of {arn} does not allow {_EVENTS}")


def _fifo(target: dict[str, Any]) -> dict[str, str]:
    group = target.get("SqsParameters", {}).get("MessageGroupId")
    return {"MessageGroupId": group} if group else {}


def _input(event: dict[str, Any], target: dict[str, Any]) -> str:
    """What the target gets: the event, or what Input, InputPath or InputTransformer make of it."""
    if "Input" in target:
        return str(target["Input"])
    if "InputPath" in target:
        return json.dumps(_at(target["InputPath"], event))
    if "InputTransformer" not in target:
        return json.dumps(event)
    paths = target["InputTransformer"].get("InputPathsMap", {})
    values = {name: _at(path, event) for name, path in paths.items()}

    def fill(found: re.Match[str]) -> str:
        value = values.get(found.group(1), "")
        return value if isinstance(value, str) else json.dumps(value)

    return re.sub(r"<([\w.-]+)>", fill, target["InputTransformer"]["InputTemplate"])


def _at(path: str, event: dict[str, Any]) -> Any:
    """The value at a JSONPath of the simple form that targets use: $.detail.instance-id, $.resources[0]."""
    steps = re.findall(r"\.([\w-]+)|\[(\d+)\]", path.removeprefix("$"))
    expression = "".join(f'."{name}"' if name else f"[{index}]" for name, index in steps).removeprefix(".")
    return jmespath.search(expression, event) if expression else event
