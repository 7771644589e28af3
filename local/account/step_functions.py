"""Step Functions: moto's interpreter of state machines, whose Lambda tasks run the functions of this account.

moto's tasks would call an endpoint of their own with any role, and know no errors of Lambda itself; its executions
would have no name where the caller gives none.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from functools import cache
from typing import Any

from moto.core.config import default_user_config
from moto.stepfunctions.parser.api import HistoryEventType, LambdaFunctionFailedEventDetails
from moto.stepfunctions.parser.asl.component.common.error_name.custom_error_name import CustomErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEvent, FailureEventException
from moto.stepfunctions.parser.asl.component.state.exec.state_task import lambda_eval_utils
from moto.stepfunctions.parser.asl.component.state.exec.state_task.lambda_eval_utils import LambdaFunctionErrorException
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails
from moto.stepfunctions.parser.models import StepFunctionsParserBackend

from local.account.trust import missing_right

Invoke = Callable[[str, bytes, bool], tuple[int, bytes, str | None]]
_STATES = "states.amazonaws.com"


def run_state_machines(invoke: Callable[[], Invoke | None]) -> None:
    """Let executions run; `invoke` gives what runs functions, as far as there is anything."""
    default_user_config["stepfunctions"]["execute_state_machine"] = True

    def run(env: Any, parameters: dict[str, Any], region: str, state_credentials: Any) -> None:
        arn = parameters["FunctionName"]
        if reason := missing_right(env.aws_execution_details.role_arn, _STATES, "lambda:InvokeFunction", arn):
            raise _failure(env, "Lambda.AWSLambdaException", reason)
        function = invoke()
        if function is None:
            raise _failure(env, "Lambda.ServiceException", "Nothing runs functions in this account.")
        status, body, error = function(arn.rpartition(":function:")[2], parameters["Payload"], False)
        answer = json.loads(body or b"null")
        if status != 200:
            raise _failure(env, f"Lambda.{error}", body.decode())
        if error:
            raise LambdaFunctionErrorException(error, json.dumps(answer, separators=(",", ":")))
        env.stack.append({"Payload": answer})

    lambda_eval_utils.execute_lambda_function_integration = run
    _name_executions()


@cache
def _name_executions() -> None:
    start = StepFunctionsParserBackend.start_execution

    def start_execution(self: Any, state_machine_arn: str, name: str | None = None, *rest: Any, **more: Any) -> Any:
        return start(self, state_machine_arn, name or str(uuid.uuid4()), *rest, **more)

    StepFunctionsParserBackend.start_execution = start_execution


def _failure(env: Any, error: str, cause: str) -> FailureEventException:
    """A task's failure under the name that Step Functions has for Lambda's own errors."""
    details = EventDetails(lambdaFunctionFailedEventDetails=LambdaFunctionFailedEventDetails(error=error, cause=cause))
    failed = HistoryEventType.LambdaFunctionFailed
    return FailureEventException(FailureEvent(env, CustomErrorName(error), failed, details))
