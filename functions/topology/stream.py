"""Writes records to the Kinesis stream, all under one partition key, since the stream's order is the order of truth."""

import random
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from topology.errors import StreamRefused
from topology.tail import SEPARATOR, passes

# Kinesis takes 500 records or 5 MB in one request; half of that leaves room for the partition keys.
BATCH_RECORDS = 500
BATCH_BYTES = 2_500_000
# In a row, without Kinesis taking anything. A shard takes 1 MB a second, so a large snapshot is slowed down for long.
ATTEMPTS = 12
LONGEST_PAUSE_SECONDS = 10.0
# Of the remaining time, what is left for everything but waiting and writing.
RESERVE_SECONDS = 5.0


class Stream:
    """The stream of one installation.

    Args:
        client: boto3's Kinesis client.
        name: of the stream.
        partition_key: one per instance, so that all its records share a shard.
        remaining: seconds left to this invocation.
        sleep: waits seconds.
    """

    def __init__(
        self,
        client: Any,
        name: str,
        partition_key: str,
        remaining: Callable[[], float] = lambda: float("inf"),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._name = name
        self._key = partition_key
        self._remaining = remaining
        self._sleep = sleep
        self._position = ""

    def write(self, records: Iterable[bytes]) -> str:
        """Write the records in order; answers with the position of the last, `{shard}/{sequence number}`.

        Raises StreamRefused if Kinesis keeps refusing: what was written until then stays, which is harmless, since
        elements without their snapshot's end remove nothing.
        """
        batch: list[bytes] = []
        size = 0
        for record in records:
            if batch and (len(batch) == BATCH_RECORDS or size + len(record) > BATCH_BYTES):
                self._put(batch)
                batch, size = [], 0
            batch.append(record)
            size += len(record)
        if batch:
            self._put(batch)
        return self._position

    def _put(self, batch: Sequence[bytes]) -> None:
        """Put a batch; from the first refused record on it is put again, so that none overtakes another."""
        attempt = 0
        while True:
            taken, reason = self._put_once(batch)
            batch = batch[taken:]
            if not batch:
                return
            attempt = 1 if taken else attempt + 1
            pause = min(LONGEST_PAUSE_SECONDS, 0.1 * 2**attempt) * random.uniform(0.5, 1)  # noqa: S311
            if attempt == ATTEMPTS or pause + RESERVE_SECONDS > self._remaining():
                raise StreamRefused(f"stream {self._name} does not take {len(batch)} records: {reason}")
            self._sleep(pause)

    def _put_once(self, batch: Sequence[bytes]) -> tuple[int, str]:
        """How many of the first records Kinesis took, and why not the next. Raises StreamRefused for good reasons."""
        try:
            answer = self._client.put_records(
                StreamName=self._name, Records=[{"Data": record, "PartitionKey": self._key} for record in batch]
            )
        except ClientError as error:
            if not passes(error):
                raise StreamRefused(f"stream {self._name}: {error}") from error
            return 0, str(error)
        except BotoCoreError as error:
            # No answer. What was taken all the same comes twice, which is harmless.
            return 0, str(error)
        for index, entry in enumerate(answer["Records"]):
            if entry.get("ErrorCode"):
                return index, f"{entry['ErrorCode']}: {entry.get('ErrorMessage', '')}"
            self._position = f"{entry['ShardId']}{SEPARATOR}{entry['SequenceNumber']}"
        return len(batch), ""
