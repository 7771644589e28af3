"""Every hour: everything that AWS has, as one snapshot; at once, or step by step where Step Functions leads it."""

import time
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from topology import VERSION
from topology.errors import AnotherRun
from topology.function import Context, Function
from topology.gather import Gathered
from topology.snapshot import Run
from topology.spread import PORTIONS, plan, read_portion, resumed

logger = Logger(version=VERSION)
metrics = Metrics()
function = Function()


@logger.inject_lambda_context
@metrics.log_metrics
def lambda_handler(event: dict[str, Any], context: Context) -> dict[str, Any]:
    """Take a step of a run: `plan`, `read` or `publish`; without a step all of them, as far as there is time.

    `{"confirmed": true}` in the event says that a person has looked: a snapshot that was held back is closed.
    """
    function.remaining.context = context
    planned = event.get("run") or {"snapshot": event.get("snapshot", context.aws_request_id)}
    run = function.run(context.invoked_function_arn, planned["snapshot"], confirmed=event.get("confirmed") is True)
    match event.get("step"):
        case "probe":  # doctor.sh asks, where topo-cron itself sends
            function.probe(context, metrics)
            return {}
        case "plan":
            return plan(run, function.state())
        case "read":
            return read_portion(run, function.state(), event, function.remaining)
        case "publish":
            ledger = publish(run, resumed(run, planned, function.state()), context)
            function.state().remove_all(PORTIONS)
            return ledger
    try:
        function.state().begin(planned["snapshot"], time.time() + function.remaining())
    except AnotherRun as error:
        logger.warning("skipped", extra={"because": str(error)})
        return {"skipped": str(error)}
    return publish(run, run.read(), context)


def publish(run: Run, found: Gathered, context: Context) -> dict[str, Any]:
    """Settle what was read, publish it in one burst, and answer with what came of it."""
    run.settle(found)
    if function.settings.stream:
        run.publish(found)
    else:
        with function.delivery(context.function_name, metrics) as delivery:
            delivery.snapshot(run.records(found))
    run.end()
    for name, value in run.ledger.metrics().items():
        metrics.add_metric(name, MetricUnit.Seconds if name.endswith("Seconds") else MetricUnit.Count, value)
    (logger.info if run.ledger.closed else logger.warning)("snapshot", extra=run.ledger.as_log())
    return run.ledger.as_log()
