"""One execution environment of a function: a process that takes events, line by line, and answers with what came of it.

    python -m bench.invoked topo_cwevents

An answer is a line of JSON: the handler's result, or its failure, the seconds that it took, and the memory after it.
"""

import importlib
import json
import os
import sys
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "functions"))

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Context:
    """Lambda's context object, as far as it is used."""

    function_name: str
    invoked_function_arn: str
    seconds: float
    memory_limit_in_mb: int = 512
    aws_request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    began: float = field(default_factory=time.monotonic)

    def get_remaining_time_in_millis(self) -> int:
        """What is left of the invocation's time."""
        return int(1000 * (self.began + self.seconds - time.monotonic()))


def memory_mb() -> float:
    """What the process has in memory now."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE_BYTES / 1e6


def main() -> None:
    """Answer every line of the input until it ends."""
    name = sys.argv[1]
    # The handlers log to the standard output.
    answers, sys.stdout = sys.stdout, sys.stderr
    handler = importlib.import_module(f"{name}.handler").lambda_handler
    function = f"stackstate-{name.replace('_', '-')}"
    arn = f"arn:aws:lambda:{os.environ['AWS_REGION']}:123456789012:function:{function}"
    for line in sys.stdin:
        began = time.monotonic()
        result, failure = None, ""
        try:
            result = handler(json.loads(line), Context(function, arn, float(os.environ["BENCH_TIMEOUT_SECONDS"])))
        except Exception as error:  # noqa: BLE001  as Lambda does: the process goes on, and what it was given comes again
            failure = f"{type(error).__name__}: {error}"
        took = time.monotonic() - began
        answer = {"result": result, "failure": failure, "seconds": took, "memory_mb": memory_mb()}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
