"""Looks at a resource again after a while: through the queue that the events come from, so that nothing has to wait."""

import logging
from collections.abc import Sequence
from typing import Any

import orjson
from botocore.exceptions import BotoCoreError, ClientError

from topology.collect import Touched
from topology.events import look_again

# Seconds until the next look, by how many there were. SQS delays a message for at most 15 minutes.
DELAYS = (5, 15, 30, 60, 120, 240, 480, 900)
# After so many looks, what AWS does not know counts as gone, however new it was.
LAST_LOOK = 5
# SendMessageBatch takes so many.
AT_A_TIME = 10

logger = logging.getLogger(__name__)


class Later:
    """The queue of change events, with delay.

    Args:
        client: boto3's SQS client.
        url: of the queue; empty: there is none, and messages have to come again as they are.
    """

    def __init__(self, client: Any, url: str) -> None:
        self._client = client
        self._url = url

    def look(self, touched: Sequence[Touched]) -> list[Touched]:
        """Have these looked at again, unless they were often enough; answers with those that could not be queued."""
        waiting = [one for one in touched if one.attempt < len(DELAYS)]
        if not self._url:
            return waiting
        batches = [waiting[start : start + AT_A_TIME] for start in range(0, len(waiting), AT_A_TIME)]
        return [one for batch in batches for one in self._send(batch)]

    def _send(self, batch: Sequence[Touched]) -> list[Touched]:
        entries = [
            {
                "Id": str(number),
                "MessageBody": orjson.dumps(look_again(one)).decode(),
                "DelaySeconds": DELAYS[one.attempt],
            }
            for number, one in enumerate(batch)
        ]
        try:
            answer = self._client.send_message_batch(QueueUrl=self._url, Entries=entries)
        except (ClientError, BotoCoreError) as error:
            logger.warning("%d resources cannot be looked at later: %s", len(batch), error)
            return list(batch)
        failed = answer.get("Failed", ())
        for entry in failed:
            logger.warning("a resource cannot be looked at later: %s", entry.get("Message"))
        return [batch[int(entry["Id"])] for entry in failed]
