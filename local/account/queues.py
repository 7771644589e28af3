"""The call of SQS that moto lacks and dead-letters.sh makes: the messages of a dead-letter queue go elsewhere."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from local.account.wire import Answer, Call


def start_message_move_task(call: Call, client: Callable[[str], Any]) -> Answer:
    """Move all messages at once; AWS does so in the background. Without a destination AWS knows where each was."""
    parameters = call.parameters
    if "DestinationArn" not in parameters:
        return call.refuse("UnsupportedOperation", "only with a destination here")
    sqs = client("sqs")
    source, destination = (
        sqs.get_queue_url(QueueName=parameters[name].rsplit(":", 1)[-1])["QueueUrl"]
        for name in ("SourceArn", "DestinationArn")
    )
    while messages := sqs.receive_message(QueueUrl=source, MaxNumberOfMessages=10).get("Messages"):
        for message in messages:
            sqs.send_message(QueueUrl=destination, MessageBody=message["Body"])
            sqs.delete_message(QueueUrl=source, ReceiptHandle=message["ReceiptHandle"])
    return call.answer({"TaskHandle": str(uuid.uuid4())})
