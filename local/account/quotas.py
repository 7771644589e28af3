"""Lambda's account settings, which moto lacks: how much may run at once."""

from __future__ import annotations

from moto.awslambda.utils import get_backend

from local.account.wire import Answer, Call

CONCURRENT_EXECUTIONS = 1000


def account_settings(call: Call) -> Answer:
    """Answer lambda:GetAccountSettings: the quota, and what functions have reserved of it."""
    functions = get_backend(call.account, call.region).list_functions()
    reserved = sum(int(function.reserved_concurrency or 0) for function in functions)
    return call.answer(
        {
            "AccountLimit": {
                "TotalCodeSize": 80530636800,
                "CodeSizeUnzipped": 262144000,
                "CodeSizeZipped": 52428800,
                "ConcurrentExecutions": CONCURRENT_EXECUTIONS,
                "UnreservedConcurrentExecutions": CONCURRENT_EXECUTIONS - reserved,
            },
            "AccountUsage": {"TotalCodeSize": 0, "FunctionCount": len(functions)},
        }
    )
