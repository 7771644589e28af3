"""Writes records to the Kinesis stream, all under one partition key, since the stream's order is the order of truth."""

import random
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from topology.errors import StreamRefused

# Kinesis takes 500 records or 5 MB in one request; half of that leaves room for the partition keys.
BATCH_RECORDS = 500
BATCH_BYTES = 2_500_000
ATTEMPTS = 12
LONGEST_PAUSE_SECONDS = 10.0


class Stream:
    """The stream of one installation.

    Args:
        client: boto3's Kinesis client.
        name: of the stream.
        partition_key: one per instance, so that all its records share a shard.
        sleep: waits seconds.
    """

    def __init__(self, client: Any, name: str, partition_key: str, sleep: Callable[[float], None] = time.sleep) -> None:
        self._client = client
        self._name = name
        self._key = partition_key
        self._sleep = sleep

    def write(self, records: Iterable[bytes]) -> int:
        """Write the records in order; answers with how many there were.

        Raises StreamRefused if Kinesis keeps refusing: what was written until then stays, which is harmless, since
        elements without their snapshot's end remove nothing.
        """
        count = 0
        batch: list[bytes] = []
        size = 0
        for record in records:
            if batch and (len(batch) == BATCH_RECORDS or size + len(record) > BATCH_BYTES):
                self._put(batch)
                batch, size = [], 0
            batch.append(record)
            size += len(record)
            count += 1
        if batch:
            self._put(batch)
        return count

    def _put(self, batch: Sequence[bytes]) -> None:
        """Put a batch; from the first refused record on it is put again, so that none overtakes another."""
        reason = ""
        for attempt in range(ATTEMPTS):
            answer = self._client.put_records(
                StreamName=self._name, Records=[{"Data": record, "PartitionKey": self._key} for record in batch]
            )
            refused = [index for index, entry in enumerate(answer["Records"]) if entry.get("ErrorCode")]
            if not refused:
                return
            first = answer["Records"][refused[0]]
            reason = f"{first['ErrorCode']}: {first.get('ErrorMessage', '')}"
            batch = batch[refused[0] :]
            self._sleep(min(LONGEST_PAUSE_SECONDS, 0.1 * 2**attempt) * random.uniform(0.5, 1))  # noqa: S311
        raise StreamRefused(f"stream {self._name} refused {len(batch)} records {ATTEMPTS} times: {reason}")
