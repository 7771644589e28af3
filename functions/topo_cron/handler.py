"""Every hour: everything that AWS has, as one snapshot."""

import time
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from topology.collect import snapshot
from topology.function import Context, Function
from topology.records import Packer
from topology.snapshot import packed, snapshot_records

logger = Logger()
metrics = Metrics()
function = Function()


@logger.inject_lambda_context
@metrics.log_metrics
def lambda_handler(_event: dict[str, Any], context: Context) -> dict[str, Any]:
    """Read all scopes, then publish in one burst; answers with what was found, in numbers."""
    function.remaining.context = context
    began = time.time()
    account = function.account(context.invoked_function_arn)
    mark = function.record(account.id, snapshot=context.aws_request_id)
    packer = Packer(mark.instance_type, mark.instance_url, int(began), mark.snapshot)

    summary = packed(snapshot(account), packer)
    records = snapshot_records(packer, summary, mark)
    if function.settings.stream:
        function.stream(account.id).write(records)
    else:
        with function.delivery(context.function_name, metrics) as delivery:
            delivery.snapshot(records)

    metrics.add_metric("Components", MetricUnit.Count, summary.components.total())
    metrics.add_metric("Relations", MetricUnit.Count, summary.relations.total())
    metrics.add_metric("IncompleteScopes", MetricUnit.Count, len(summary.incomplete))
    metrics.add_metric("SnapshotSeconds", MetricUnit.Seconds, time.time() - began)
    (logger.info if summary.complete else logger.warning)("snapshot", extra=summary.as_log())
    return summary.as_log()
