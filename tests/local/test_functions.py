import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from local.functions import Answer, Functions, function_name

ECHO = """
import json, os, sys
calls = 0
def handler(event, context):
    global calls
    calls += 1
    print("got", json.dumps(event))
    print("to stderr", file=sys.stderr)
    return {"event": event, "calls": calls, "pid": os.getpid(), "environment": dict(os.environ),
            "arn": context.invoked_function_arn, "remaining": context.get_remaining_time_in_millis()}
"""


def body(answer: Answer) -> Any:
    return json.loads(answer.payload)


def report(functions: Functions, name: str) -> str:
    return next(line for line in reversed(functions.logs(name)) if line.startswith("REPORT"))


@pytest.mark.parametrize(
    "reference",
    ["echo", "echo:live", "123456789012:function:echo", "arn:aws:lambda:eu-west-1:123456789012:function:echo:1"],
)
def test_a_function_is_known_by_name_and_by_arn(reference: str) -> None:
    assert function_name(reference) == "echo"


def test_a_function_answers_and_stays_warm(account: Any, functions: Functions) -> None:
    arn = account.deploy("echo", ECHO)

    first, second = functions.invoke("echo", b'{"a": 1}'), functions.invoke(arn, b'{"a": 2}')

    assert (first.status, first.error) == (200, None)
    assert body(first)["event"] == {"a": 1}
    assert body(first)["arn"] == arn
    assert 0 < body(first)["remaining"] <= 10_000
    assert body(second)["pid"] == body(first)["pid"]
    assert body(second)["calls"] == 2


def test_a_function_sees_the_environment_of_its_deployment_and_nothing_of_this_machine(
    account: Any, functions: Functions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OF_THIS_MACHINE", "1")
    account.deploy("echo", ECHO, Environment={"Variables": {"TOPOLOGY_STREAM": "stream"}})

    environment = body(functions.invoke("echo", b"{}"))["environment"]

    assert environment["TOPOLOGY_STREAM"] == "stream"
    assert environment["AWS_ENDPOINT_URL"] == account.endpoint
    assert environment["AWS_LAMBDA_FUNCTION_NAME"] == "echo"
    assert "OF_THIS_MACHINE" not in environment
    assert environment["AWS_SESSION_TOKEN"]


def test_a_function_acts_as_its_role(account: Any, functions: Functions) -> None:
    code = """
import json, os, urllib.request
def handler(event, context):
    return {"key": os.environ["AWS_ACCESS_KEY_ID"]}
"""
    account.deploy("whoami", code)

    key = body(functions.invoke("whoami", b"{}"))["key"]

    assert key.startswith("ASIA")


def test_packages_that_the_artifact_lacks_are_missing(account: Any, functions: Functions) -> None:
    account.deploy("imports", "import requests\ndef handler(event, context): pass\n")

    answer = functions.invoke("imports", b"{}")

    assert answer.error == "Unhandled"
    assert body(answer)["errorType"] == "Runtime.ImportModuleError"
    assert "No module named 'requests'" in body(answer)["errorMessage"]


def test_a_failing_handler_gives_its_stack_trace_and_stays_warm(account: Any, functions: Functions) -> None:
    code = "import os\ndef handler(event, context):\n    if event: raise KeyError('boom')\n    return os.getpid()\n"
    account.deploy("fails", code)
    warm = body(functions.invoke("fails", b"{}"))

    answer = functions.invoke("fails", b'{"fail": true}')

    assert (answer.status, answer.error) == (200, "Unhandled")
    assert body(answer)["errorType"] == "KeyError"
    assert "app.py" in "".join(body(answer)["stackTrace"])
    assert body(functions.invoke("fails", b"{}")) == warm


def test_a_function_is_killed_when_its_time_is_over(account: Any, functions: Functions) -> None:
    account.deploy("slow", "import time\ndef handler(event, context): time.sleep(30)\n", Timeout=1)

    answer = functions.invoke("slow", b"{}")

    assert body(answer)["errorType"] == "Sandbox.Timedout"
    assert body(answer)["errorMessage"].endswith("Task timed out after 1.00 seconds")
    assert "Status: timeout" in report(functions, "slow")


def test_a_process_that_exits_is_an_error_and_the_next_invocation_starts_afresh(
    account: Any, functions: Functions
) -> None:
    account.deploy("exits", "import os\ndef handler(event, context):\n    if event: os._exit(3)\n    return 1\n")

    answer = functions.invoke("exits", b'{"exit": 1}')

    assert body(answer)["errorType"] == "Runtime.ExitError"
    assert "exit status 3" in body(answer)["errorMessage"]
    assert body(functions.invoke("exits", b"{}")) == 1


def test_a_function_that_outgrows_its_memory_is_killed(account: Any, functions: Functions) -> None:
    account.deploy(
        "grows", "import time\ndef handler(event, context):\n    x = bytearray(300_000_000)\n    time.sleep(5)\n"
    )

    assert body(functions.invoke("grows", b"{}"))["errorType"] == "Runtime.OutOfMemory"


def test_the_log_has_the_lines_of_platform_and_function_in_order(
    account: Any, functions: Functions, eventually: Any
) -> None:
    account.deploy("echo", ECHO)
    functions.invoke("echo", b"{}")

    eventually(lambda: functions.logs("echo"))

    start, got, stderr, end, report = functions.logs("echo")
    assert start.startswith("START RequestId: ")
    assert (got, stderr) == ("got {}", "to stderr")
    assert end.startswith("END RequestId: ")
    assert re.search(
        r"Duration: [\d.]+ ms\tBilled Duration: \d+ ms\tMemory Size: 256 MB\tMax Memory Used: [1-9]\d* MB", report
    )
    assert "Init Duration" in report
    events = account.client("logs").filter_log_events(logGroupName="/aws/lambda/echo")["events"]
    assert [event["message"] for event in events] == functions.logs("echo")


def test_reserved_concurrency_is_a_limit(account: Any, functions: Functions) -> None:
    account.deploy("one", "import time\ndef handler(event, context): time.sleep(1)\n")
    account.client("lambda").put_function_concurrency(FunctionName="one", ReservedConcurrentExecutions=1)

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: functions.invoke("one", b"{}"), range(2)))

    assert sorted(answer.status for answer in answers) == [200, 429]
    assert next(answer for answer in answers if answer.throttled).error == "TooManyRequestsException"


def test_without_a_reservation_invocations_run_side_by_side(account: Any, functions: Functions) -> None:
    account.deploy("echo", ECHO.replace("calls += 1", "calls += 1; import time; time.sleep(.5)"))

    with ThreadPoolExecutor(2) as pool:
        pids = {body(answer)["pid"] for answer in pool.map(lambda _: functions.invoke("echo", b"{}"), range(2))}

    assert len(pids) == 2


def test_a_changed_configuration_takes_effect_with_the_next_invocation(account: Any, functions: Functions) -> None:
    account.deploy("echo", ECHO)
    functions.invoke("echo", b"{}")

    account.client("lambda").update_function_configuration(FunctionName="echo", Environment={"Variables": {"NEW": "1"}})

    answer = body(functions.invoke("echo", b"{}"))
    assert answer["environment"]["NEW"] == "1"
    assert answer["calls"] == 1


def test_a_function_that_does_not_exist_is_refused(functions: Functions) -> None:
    assert functions.invoke("nobody", b"{}").error == "ResourceNotFoundException"


def test_a_payload_above_the_limit_is_refused(account: Any, functions: Functions) -> None:
    account.deploy("echo", ECHO)

    assert functions.invoke("echo", b'"' + b"x" * 6 * 1024 * 1024 + b'"').status == 413


def test_a_handler_in_the_given_folder_runs_from_there_and_others_from_their_zip(account: Any, tmp_path: Path) -> None:
    (tmp_path / "built").mkdir()
    (tmp_path / "built" / "handler.py").write_text("def run(event, context): return 'from the folder'\n")
    account.deploy("ours", "def handler(event, context): return 'from the zip'\n", Handler="built.handler.run")
    account.deploy("theirs", "def handler(event, context): return 'from the zip'\n")
    functions = Functions(account, code=tmp_path)

    try:
        assert body(functions.invoke("ours", b"{}")) == "from the folder"
        assert body(functions.invoke("theirs", b"{}")) == "from the zip"
    finally:
        functions.close()


def test_a_package_that_is_no_zip_is_refused(account: Any, functions: Functions) -> None:
    account.deploy("broken", "")
    account.client("lambda").update_function_code(FunctionName="broken", ZipFile=b"not a zip")

    assert functions.invoke("broken", b"{}").error == "InvalidZipFileException"


def test_closing_ends_the_processes_also_in_the_middle_of_an_invocation(account: Any, eventually: Any) -> None:
    account.deploy("slow", "import time\ndef handler(event, context): time.sleep(60)\n", Timeout=60)
    functions = Functions(account)
    answers: list[Answer] = []
    thread = threading.Thread(target=lambda: answers.append(functions.invoke("slow", b"{}")))
    thread.start()
    eventually(lambda: functions._busy["slow"])

    functions.close()
    thread.join(timeout=5)

    assert not thread.is_alive()
    assert answers[0].error == "Unhandled"
