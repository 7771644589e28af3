"""A batch of change events: look again at what they touched, and write that to the stream."""

from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from topology import VERSION
from topology.changes import Batch, published
from topology.function import Context, Function

logger = Logger(version=VERSION)
metrics = Metrics()
# Two of these may run beside a snapshot, which goes on for minutes: a storm of changes must not starve it.
function = Function(share=0.25)


@logger.inject_lambda_context
@metrics.log_metrics
def lambda_handler(event: dict[str, Any], context: Context) -> dict[str, list[dict[str, str]]]:
    """Publish a delta for the batch; answers with the messages that have to come again."""
    function.remaining.context = context
    accounts = function.accounts(context.invoked_function_arn)
    own = next(iter(accounts))
    batch = Batch.parse(accounts, event["Records"])
    done = published(accounts, batch.touched, function.known(own), function.stream(own), function.record(own))
    not_queued = function.later().look(done.unsettled)
    again = batch.malformed + batch.messages_of(done.failed + [one.name for one in not_queued])

    metrics.add_metric("Events", MetricUnit.Count, len(event["Records"]))
    metrics.add_metric("EventsUnresolved", MetricUnit.Count, batch.unresolved.total())
    metrics.add_metric("ResourcesTouched", MetricUnit.Count, len(batch.touched))
    metrics.add_metric("EventsRetried", MetricUnit.Count, len(again))
    logger.info("delta", extra=batch.as_log() | done.as_log())
    return {"batchItemFailures": [{"itemIdentifier": message} for message in again]}
