"""Where moto would do what AWS does not, or forget what it was told: corrected once, when an account starts."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from typing import Any

from moto.awslambda.models import LambdaFunction
from moto.cloudtrail.models import Trail
from moto.core.config import default_user_config
from moto.core.errors import COMMON_ERROR_CODES
from moto.dynamodb.models.table import Table
from moto.iam.access_control import IAMPolicyStatement, PermissionResult
from moto.kinesis.models import Stream
from moto.sqs.models import Queue

from local.account.moto_related import relate

# Settings of functions that AWS shows and moto drops.
_KEPT = ("DeadLetterConfig", "LoggingConfig")


@cache
def adapt_moto() -> None:
    """Correct moto in this process."""
    # moto hands every message to a mapped function while it is being sent, and deletes it from the queue. In AWS
    # pollers do that, and here the local triggers.
    for source in (Queue, Stream, Table):
        source.lambda_event_source_mappings = property(lambda self: {}, lambda self, value: None)
    default_user_config["lambda"]["use_docker"] = False
    default_user_config["batch"]["use_docker"] = False
    _forget_conditional_denies()
    _remember_function_settings()
    _show_that_a_function_is_stopped()
    _select_what_a_new_trail_selects()
    relate()
    COMMON_ERROR_CODES.extend(["AccessDenied", "AccessDeniedException", "AuthorizationError", "ValidationError"])
    logging.getLogger("samtranslator.metrics").setLevel(logging.CRITICAL)


def hand_invocations_to(invoke: Callable[[str, bytes], object]) -> None:
    """Let `invoke(function name, payload)` run what moto's SNS, S3 and logs invoke, where moto would start Docker."""

    def run(self: Any, body: str, request_headers: Any, response_headers: Any) -> bytes:
        invoke(self.function_name, body.encode())
        return b"{}"

    LambdaFunction.invoke = run


def _forget_conditional_denies() -> None:
    # moto enforces bucket policies but not their conditions, so "deny what is not TLS" would deny everything.
    permitted = IAMPolicyStatement.is_action_permitted

    def is_action_permitted(self: Any, *args: Any, **named: Any) -> PermissionResult:
        if self._statement.get("Effect") == "Deny" and self._statement.get("Condition"):
            return PermissionResult.NEUTRAL
        return permitted(self, *args, **named)

    IAMPolicyStatement.is_action_permitted = is_action_permitted


def _remember_function_settings() -> None:
    create, update, describe = (
        LambdaFunction.__init__,
        LambdaFunction.update_configuration,
        LambdaFunction.get_configuration,
    )

    def remember(self: Any, settings: dict[str, Any]) -> None:
        self.kept = getattr(self, "kept", {}) | {name: settings[name] for name in _KEPT if settings.get(name)}

    def init(self: Any, account_id: str, spec: dict[str, Any], *args: Any, **named: Any) -> None:
        remember(self, spec)
        create(self, account_id, spec, *args, **named)

    def update_configuration(self: Any, config_updates: dict[str, Any]) -> Any:
        remember(self, config_updates)
        return update(self, config_updates)

    def get_configuration(self: Any, *args: Any, **named: Any) -> dict[str, Any]:
        logs = {"LoggingConfig": {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{self.function_name}"}}
        return {**describe(self, *args, **named), **logs, **self.kept}

    LambdaFunction.__init__ = init
    LambdaFunction.update_configuration = update_configuration
    LambdaFunction.get_configuration = get_configuration


def _show_that_a_function_is_stopped() -> None:
    # AWS tells with a function what is reserved for it, none at all included; moto leaves that zero out.
    describe = LambdaFunction.get_code

    def get_code(self: Any) -> dict[str, Any]:
        reserved = self.reserved_concurrency
        concurrency = {} if reserved is None else {"Concurrency": {"ReservedConcurrentExecutions": int(reserved)}}
        return {**describe(self), **concurrency}

    LambdaFunction.get_code = get_code


def _select_what_a_new_trail_selects() -> None:
    # AWS tells of a trail without selectors of its own that it logs all management events; moto tells nothing.
    chosen = Trail.get_event_selectors
    default = {"ReadWriteType": "All", "IncludeManagementEvents": True, "DataResources": []}

    def get_event_selectors(self: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        basic, advanced = chosen(self)
        return (basic, advanced) if basic or advanced else ([default], [])

    Trail.get_event_selectors = get_event_selectors
