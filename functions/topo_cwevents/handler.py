"""A batch of change events: look again at what they touched, and write that to the stream."""

from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from topology.changes import Batch
from topology.function import Context, Function

logger = Logger()
metrics = Metrics()
function = Function()


@logger.inject_lambda_context
@metrics.log_metrics
def lambda_handler(event: dict[str, Any], context: Context) -> dict[str, list[dict[str, str]]]:
    """Publish one delta for the batch; answers with the messages that have to come again."""
    function.remaining.context = context
    account = function.account(context.invoked_function_arn)
    batch = Batch.parse(account, event["Records"])
    delta = batch.look_again(account, function.record(account.id))
    function.stream(account.id).write(delta.records)

    metrics.add_metric("Events", MetricUnit.Count, len(event["Records"]))
    metrics.add_metric("EventsUnresolved", MetricUnit.Count, batch.unresolved)
    metrics.add_metric("ResourcesTouched", MetricUnit.Count, len(batch.touched))
    metrics.add_metric("EventsRetried", MetricUnit.Count, len(delta.later))
    logger.info("delta", extra=batch.as_log() | delta.as_log())
    return {"batchItemFailures": [{"itemIdentifier": message} for message in delta.later]}
