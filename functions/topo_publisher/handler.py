"""A batch of the stream's records: to the receiver, in order."""

import base64
from typing import Any

from aws_lambda_powertools import Logger, Metrics

from topology import VERSION
from topology.errors import DeliveryError
from topology.function import Context, Function

logger = Logger(version=VERSION)
metrics = Metrics()
function = Function()


@logger.inject_lambda_context
@metrics.log_metrics
def lambda_handler(event: dict[str, Any], context: Context) -> dict[str, list[dict[str, str]]]:
    """Deliver the records; answers with the first that failed, from which the stream goes on."""
    function.remaining.context = context
    if event.get("step") == "probe":  # doctor.sh asks
        function.probe(context, metrics)
        return {"batchItemFailures": []}
    numbers = [record["kinesis"]["sequenceNumber"] for record in event["Records"]]
    arrived = [record["kinesis"]["approximateArrivalTimestamp"] for record in event["Records"]]
    records = [base64.b64decode(record["kinesis"]["data"]) for record in event["Records"]]
    try:
        with function.delivery(context.function_name, metrics) as delivery:
            delivery.batch(records, numbers, arrived)
    except DeliveryError as error:
        number = numbers[error.position]
        logger.error("delivery stopped", extra={"record": number, "error": str(error)})  # noqa: TRY400  it says it all
        return {"batchItemFailures": [{"itemIdentifier": number}]}
    return {"batchItemFailures": []}
