"""A batch of the stream's records: to the receiver, in order."""

import base64
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from topology.deliver import deliver_all
from topology.errors import DeliveryError
from topology.function import Context, Function

logger = Logger()
metrics = Metrics()
function = Function()


@logger.inject_lambda_context
@metrics.log_metrics
def lambda_handler(event: dict[str, Any], context: Context) -> dict[str, list[dict[str, str]]]:
    """Deliver the records; answers with the first that failed, from which the stream goes on."""
    function.remaining.context = context
    numbers = [record["kinesis"]["sequenceNumber"] for record in event["Records"]]
    records = [base64.b64decode(record["kinesis"]["data"]) for record in event["Records"]]
    receiver = function.receiver(context.function_name)
    failures = []
    try:
        posted = deliver_all(receiver.post, records, function.dead_letters(), numbers)
    except DeliveryError as error:
        logger.exception("delivery stopped", extra={"record": numbers[error.position]})
        metrics.add_metric("DeliveryFailures", MetricUnit.Count, 1)
        failures = [{"itemIdentifier": numbers[error.position]}]
    else:
        metrics.add_metric("Posts", MetricUnit.Count, posted)
    return {"batchItemFailures": failures}
