"""EventBridge: events onto buses, matched with the rules, delivered to their targets, in order and asynchronously.

Rules live in moto. moto's own delivery is not used: it emits no service events, leaves `account` out of what it
delivers, knows no region but the rule's, and answers 500 where AWS uses a dead-letter queue.
"""

from __future__ import annotations

import json
import logging
import queue
import re
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import jmespath
from botocore.exceptions import ClientError
from moto.events.models import EventBus, EventsBackend, Rule, events_backends

from local.account.patterns import matches
from local.account.trust import admits, admits_rule, missing_right, permits, role_at, trust
from local.account.wire import Answer, Call

logger = logging.getLogger(__name__)

# Principal, service, region, account.
Clients = Callable[[str, str, str, str], Any]
_EVENTS = "events.amazonaws.com"


class _NotDeliveredError(Exception):
    """A target that cannot take the event: what AWS writes on the message in the dead-letter queue."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class _Arrival:
    """An event on a bus. The envelope keeps the region and the account that the event is about, wherever it goes."""

    account: str
    region: str
    bus: str
    event: dict[str, Any]
    forwarded: bool = False


class EventBridge:
    """The event buses of the account, and of those that forward to it."""

    def __init__(self, account_id: str, region: str, clients: Clients, invoke: Callable[[], Any]) -> None:
        self.account_id = account_id
        self.region = region
        self._clients = clients
        self._invoke = invoke
        self._open_clients: dict[tuple[str, str, str], Any] = {}
        self._waiting: queue.Queue[_Arrival | None] = queue.Queue()
        self._worker = threading.Thread(target=self._work, name="eventbridge", daemon=True)
        self._worker.start()

    def put(self, event: Mapping[str, Any], bus: str = "default") -> None:
        """Put an event onto a bus of its account and region; what it lacks of id, time and the like is filled in."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        envelope: dict[str, Any] = {"version": "0", "id": str(uuid.uuid4()), "detail-type": "", "source": ""}
        envelope |= {"account": self.account_id, "time": now, "region": self.region, "resources": [], "detail": {}}
        envelope |= event
        self._waiting.put(_Arrival(envelope["account"], envelope["region"], bus, envelope))

    def close(self) -> None:
        """Deliver what is waiting, and stop."""
        self._waiting.put(None)
        self._worker.join(timeout=10)

    def settle(self) -> None:
        """Return once everything that was put so far has been delivered."""
        self._waiting.join()

    def put_events(self, call: Call) -> Answer:
        """events:PutEvents. `source`s of AWS are AWS's: an entry with one is refused, the others go through."""
        entries = [self._put_entry(entry, call) for entry in call.parameters["Entries"]]
        failed = sum("ErrorCode" in entry for entry in entries)
        return call.answer({"FailedEntryCount": failed, "Entries": entries})

    def test_event_pattern(self, call: Call) -> Answer:
        """events:TestEventPattern, which moto answers with nothing."""
        try:
            found = matches(json.loads(call.parameters["EventPattern"]), json.loads(call.parameters["Event"]))
        except ValueError as error:
            return call.refuse("InvalidEventPatternException", f"Event pattern is not valid. Reason: {error}")
        return call.answer({"Result": found})

    def _put_entry(self, entry: dict[str, Any], call: Call) -> dict[str, str]:
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
        event |= {"account": call.account, "region": call.region}
        event |= {"resources": entry.get("Resources", []), "detail": detail}
        self.put(event, entry.get("EventBusName", "default").rpartition("/")[2])
        return {"EventId": event["id"]}

    def _work(self) -> None:
        while (item := self._waiting.get()) is not None:
            try:
                for rule in _rules(item):
                    for target in list(rule.targets):
                        self._deliver(item, rule, target)
            except Exception:
                # One event that cannot be handled, by a fault of ours, must not hold up those behind it.
                logger.exception("An event was not delivered: %s", item.event.get("id"))
            finally:
                self._waiting.task_done()

    def _deliver(self, item: _Arrival, rule: Rule, target: dict[str, Any]) -> None:
        event = item.event
        try:
            if ":event-bus/" in target["Arn"]:
                self._forward(item, rule, target)
            else:
                self._send(target["Arn"], _input(event, target), target, item)
        except (_NotDeliveredError, ClientError) as error:
            dead_letters = target.get("DeadLetterConfig", {}).get("Arn")
            if dead_letters:
                code = error.code if isinstance(error, _NotDeliveredError) else error.response["Error"]["Code"]
                facts = {"RULE_ARN": rule.arn, "TARGET_ARN": target["Arn"]}
                facts |= {"ERROR_CODE": code, "ERROR_MESSAGE": str(error)}
                attributes = {name: {"DataType": "String", "StringValue": text} for name, text in facts.items()}
                url = self._queue_url(dead_letters, item)
                self._client("sqs", item).send_message(
                    QueueUrl=url, MessageBody=json.dumps(event), MessageAttributes=attributes
                )

    def _forward(self, item: _Arrival, rule: Rule, target: dict[str, Any]) -> None:
        """Put the event, as it is, onto another bus. One that came from another bus goes no further, as in AWS."""
        arn = target["Arn"]
        region, account = arn.split(":")[3:5]
        if item.forwarded:
            return
        bus = _bus(account, region, arn.rpartition("/")[2])
        if bus is None:
            raise _NotDeliveredError("RESOURCE_NOT_FOUND", f"{arn} does not exist")
        _demand_role(target.get("RoleArn"), arn, rule.arn)
        if account != item.account:
            _demand_entry(bus, item.account)
        self._waiting.put(_Arrival(account, region, bus.name, item.event, forwarded=True))

    def _send(self, arn: str, body: str, target: dict[str, Any], item: _Arrival) -> None:
        service = arn.split(":")[2]
        if service == "sqs":
            url = self._queue_url(arn, item)
            sqs = self._client("sqs", item)
            attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"]).get("Attributes", {})
            _demand_permission(attributes.get("Policy"), arn)
            sqs.send_message(QueueUrl=url, MessageBody=body, **_fifo(target))
        elif service == "lambda":
            self._send_to_function(arn, body, item)
        elif service == "sns":
            self._client("sns", item).publish(TopicArn=arn, Message=body)
        elif service == "states":
            if reason := missing_right(target.get("RoleArn"), _EVENTS, "states:StartExecution", arn):
                raise _NotDeliveredError("NO_PERMISSIONS", reason)
            self._client("stepfunctions", item).start_execution(stateMachineArn=arn, input=body)
        else:
            raise _NotDeliveredError("UNSUPPORTED_TARGET", f"targets of {service} do not exist in the local account")

    def _send_to_function(self, arn: str, body: str, item: _Arrival) -> None:
        try:
            policy = self._client("lambda", item).get_policy(FunctionName=arn)["Policy"]
        except ClientError as error:
            raise _NotDeliveredError("NO_PERMISSIONS", f"{arn} has no resource policy, or does not exist") from error
        _demand_permission(policy, arn)
        if (invoke := self._invoke()) is not None:
            invoke(arn.rpartition(":function:")[2].split(":")[0], body.encode(), True)

    def _queue_url(self, arn: str, item: _Arrival) -> str:
        name = arn.rpartition(":")[2]
        return str(self._client("sqs", item).get_queue_url(QueueName=name)["QueueUrl"])

    def _client(self, service: str, item: _Arrival) -> Any:
        """A client where the event is: targets other than buses are in the rule's own account and region."""
        key = service, item.region, item.account
        if key not in self._open_clients:
            self._open_clients[key] = self._clients(_EVENTS, *key)
        return self._open_clients[key]


def _bus(account: str, region: str, name: str) -> EventBus | None:
    backend: EventsBackend = events_backends[account][region]
    return backend.event_buses.get(name)


def _rules(item: _Arrival) -> Iterator[Rule]:
    """The rules that the event matches on the bus it is on."""
    found = _bus(item.account, item.region, item.bus)
    for rule in list(found.rules.values()) if found else []:
        pattern = rule.event_pattern.get_pattern() if rule.event_pattern else None
        if rule.state.startswith("ENABLED") and pattern and matches(pattern, item.event):
            yield rule


def _demand_role(role_arn: str | None, bus_arn: str, rule_arn: str) -> None:
    """The target's role must let rules assume it, and allow to put events onto the bus."""
    role = role_at(role_arn) if role_arn else None
    if role is None:
        raise _NotDeliveredError("NO_PERMISSIONS", f"{rule_arn} has no role to put events onto {bus_arn} with")
    if not any(admits_rule(statement, rule_arn) for statement in trust(role)):
        raise _NotDeliveredError("NO_PERMISSIONS", f"{role_arn} does not let {rule_arn} assume it")
    if not permits(role, "events:PutEvents", bus_arn):
        raise _NotDeliveredError("NO_PERMISSIONS", f"{role_arn} does not allow events:PutEvents on {bus_arn}")


def _demand_entry(bus: EventBus, account: str) -> None:
    """A bus must let other accounts in."""
    if not any(admits(statement, account) for statement in json.loads(bus.policy or "{}").get("Statement", [])):
        raise _NotDeliveredError("NO_PERMISSIONS", f"The resource policy of {bus.arn} does not allow {account}")


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
