"""An AWS account for this machine: moto keeps the state, and what moto lacks stands in front of it.

One HTTP endpoint serves every service. A call goes, in this order, past the optional IAM gate, to one of our own parts
(CloudFormation, PutEvents, lambda:Invoke) or to moto, and then onto the record (CloudTrail), whose events reach the
rules of the default event bus as they do in AWS.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import boto3
import botocore.session
from botocore.config import Config
from moto.awslambda.utils import get_backend as lambda_backend
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server
from werkzeug.test import run_wsgi_app

from local.account.cloudformation import CloudFormation
from local.account.cloudtrail import CloudTrail
from local.account.eventbridge import EventBridge
from local.account.iam import Gate, simulated
from local.account.moto_adapted import adapt_moto, hand_invocations_to
from local.account.provision import ProvisionError
from local.account.queues import start_message_move_task
from local.account.quotas import account_settings
from local.account.step_functions import run_state_machines
from local.account.trust import assume_role
from local.account.wire import ACCOUNT, INVOKED_BY, ON_BEHALF_OF, Answer, Call, acting_for, buffered, recognise

ACCOUNT_ID = "123456789012"
REGION = "eu-west-1"

Invoke = Callable[[str, bytes, bool], tuple[int, bytes, str | None]]
# Those that answer None leave it to moto.
Handler = Callable[[Call], Answer | None]


@dataclass
class Account:
    """A running account: where it is, and how to reach into it."""

    endpoint: str
    account_id: str = ACCOUNT_ID
    region: str = REGION
    gate: Gate | None = None
    invoke: Invoke | None = field(default=None, init=False)
    other_stacks: dict[str, CloudFormation] = field(default_factory=dict, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    @cached_property
    def events(self) -> EventBridge:
        """The event bus, with the deliveries of its rules."""
        return EventBridge(self.account_id, self.region, self.client_as, lambda: self.invoke)

    @cached_property
    def trail(self) -> CloudTrail:
        """The record of mutating calls."""
        return CloudTrail(self.events.put)

    @cached_property
    def stacks(self) -> CloudFormation:
        """The stacks."""
        return CloudFormation(self.account_id, self.client_as, self.events.put, self.permit)

    def stacks_of(self, account_id: str) -> CloudFormation:
        """The stacks of any account; one other than this has whatever is made with a role or a client of it."""
        if account_id == self.account_id:
            return self.stacks
        if account_id not in self.other_stacks:
            clients = partial(self.client_as, account_id=account_id)
            self.other_stacks[account_id] = CloudFormation(
                account_id, clients, lambda event: self.events.put({"account": account_id, **event}), self.permit
            )
        return self.other_stacks[account_id]

    @cached_property
    def _session(self) -> boto3.Session:
        """The session of all clients: reading a service's model takes longer than most calls."""
        return self.session()

    def session(self) -> boto3.Session:
        """A session of the account, as a profile with `endpoint_url` would make one."""
        core = botocore.session.Session(profile="default")  # whatever profile this shell is set to
        core.full_config.setdefault("profiles", {})["default"] = {"endpoint_url": self.endpoint}
        return boto3.Session("testing", "testing", region_name=self.region, botocore_session=core)

    def client(self, service: str, region: str | None = None, account_id: str = "") -> Any:
        """A boto3 client of the account, in its home region unless told otherwise; or of another account."""
        with self._lock:  # sessions are not thread-safe, clients are
            client = self._session.client(service, region_name=region, endpoint_url=self.endpoint, config=_CONFIG)
        return _with_header(client, ACCOUNT, account_id) if account_id else client

    def client_as(self, principal: str, service: str, region: str, account_id: str = "") -> Any:
        """A client whose calls are recorded as made by an AWS service, e.g. cloudformation.amazonaws.com."""
        client = _with_header(self.client(service, region, account_id), INVOKED_BY, principal)
        client.meta.events.register("before-sign", _name_the_person)
        return client

    def permit(self, wanted: str) -> None:
        """Pass an action that CloudFormation needs for whom it is acting for.

        Raises:
            ProvisionError: the gate refuses it.
        """
        if self.gate and (reason := self.gate.reason(acting_for.get(), [wanted])):
            raise ProvisionError(reason)

    def put_event(self, event: dict[str, Any]) -> None:
        """Put a whole event onto the default bus of its region: rules are matched, targets get it."""
        self.events.put(event)

    def on_invoke(self, invoke: Invoke) -> None:
        """Run functions with `invoke(name, payload, asynchronous) -> (HTTP status, body, function error or None)`."""
        self.invoke = invoke

    def invoke_function(self, call: Call) -> Answer:
        """Answer lambda:Invoke with what the functions' runner answers."""
        name = call.path_parameters["FunctionName"].rpartition(":function:")[2].split(":")[0]
        if name not in {f.function_name for f in lambda_backend(self.account_id, call.region).list_functions()}:
            return call.refuse("ResourceNotFoundException", f"Function not found: {name}", 404)
        kind = call.request.headers.get("X-Amz-Invocation-Type", "RequestResponse")
        if kind == "DryRun":
            return Answer(204, {}, b"")
        if self.invoke is None:
            return call.refuse("ServiceException", "Nothing runs functions in this account.", 500)
        status, body, error = self.invoke(name, call.request.get_data(), kind == "Event")
        headers = {"Content-Type": "application/json", "X-Amz-Executed-Version": "$LATEST"}
        return Answer(status, headers | ({"X-Amz-Function-Error": error} if error else {}), body)


_CONFIG = Config(max_pool_connections=32, s3={"addressing_style": "path"})


def _with_header(client: Any, name: str, value: str) -> Any:
    """The client, adding a header to all of its requests."""
    client.meta.events.register("before-sign", lambda request, **_: request.headers.add_header(name, value))
    return client


def _name_the_person(request: Any, **_: Any) -> None:
    if person := acting_for.get():
        request.headers.add_header(ON_BEHALF_OF, person)


class Front:
    """The WSGI application in front of moto."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.moto = DomainDispatcherApplication(create_backend_app)
        self.handlers: dict[tuple[str, str], Handler] = {
            ("lambda", "Invoke"): account.invoke_function,
            ("lambda", "GetAccountSettings"): account_settings,
            ("iam", "SimulatePrincipalPolicy"): lambda call: simulated(call, account.gate),
            ("sqs", "StartMessageMoveTask"): lambda call: start_message_move_task(call, account.client),
            ("sts", "AssumeRole"): assume_role,
            ("events", "PutEvents"): account.events.put_events,
            ("events", "TestEventPattern"): account.events.test_event_pattern,
            **{("cloudformation", name): self._stacks for name in account.stacks.handlers},
        }

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        request = buffered(environ)
        call = recognise(request)
        answer = self.answer(call, environ) if call else self.ask_moto(environ)
        headers = dict(answer.headers)
        if request.method != "HEAD":  # whose answer has the length of what is not sent
            headers["Content-Length"] = str(len(answer.body))
        start_response(f"{answer.status} -", list(headers.items()))
        return [] if request.method == "HEAD" else [answer.body]

    def _stacks(self, call: Call) -> Answer:
        return self.account.stacks_of(call.account).handlers[call.operation](call)

    def answer(self, call: Call, environ: dict[str, Any]) -> Answer:
        """Gate, part or moto, record."""
        gate, trail = self.account.gate, self.account.trail
        answer = gate.refusal(call) if gate else None
        if answer is None and (handler := self.handlers.get((call.service, call.operation))):
            answer = handler(call)
        if answer is None:
            answer = self.ask_moto(environ)
        trail.record(call, answer)
        return answer

    def ask_moto(self, environ: dict[str, Any]) -> Answer:
        """What moto answers; what moto has not implemented is an error of the server, with the reason."""
        try:
            body, status, headers = run_wsgi_app(self.moto, environ, buffered=True)
        except NotImplementedError as missing:
            return Answer(501, {"Content-Type": "application/json"}, json.dumps({"message": str(missing)}).encode())
        return Answer(int(status.split()[0]), dict(headers.items()), b"".join(body))


class _Quiet(MotoRequestHandler):  # type: ignore[misc]
    protocol_version = "HTTP/1.1"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


@contextmanager
def running_account(port: int = 0, gate: Gate | None = None) -> Iterator[Account]:
    """Serve an account on 127.0.0.1:`port` (0: any free one) while the context is open.

    moto keeps one account per process, so a second one opened later finds what the first one left.
    """
    adapt_moto()
    holder: list[Front] = []
    server = make_server("127.0.0.1", port, lambda *request: holder[0](*request), threaded=True, request_handler=_Quiet)
    # CloudFormation clients of AWS and of moto tell a local endpoint by the word localhost.
    account = Account(f"http://localhost:{server.server_port}", gate=gate)
    holder.append(Front(account))
    run_state_machines(lambda: account.invoke)
    hand_invocations_to(lambda name, payload: account.invoke and account.invoke(name, payload, True))
    thread = threading.Thread(target=server.serve_forever, name="account", daemon=True)
    thread.start()
    try:
        yield account
    finally:
        account.events.close()
        server.shutdown()
        thread.join()
        server.server_close()
