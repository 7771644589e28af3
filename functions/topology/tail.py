"""Reads back what was lately written to the stream: the deltas that are newer than what was read before them."""

import hashlib
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from topology.errors import StreamUnreadable

# What passes by itself: a shard takes 1 MB a second, and answers five reads a second, topo-publisher's included.
PASSING = frozenset(
    {
        "ExpiredTokenException",
        "InternalFailure",
        "InternalFailureException",
        "KMSThrottlingException",
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestTimeout",
        "ResourceInUseException",
        "ServiceUnavailable",
        "ThrottlingException",
    }
)
ATTEMPTS = 12
PAUSE_SECONDS = 0.25
# How long a record that was written may not be shown.
PATIENCE_SECONDS = 20.0
# Of the remaining time, what is left for everything but reading.
RESERVE_SECONDS = 5.0
# A position is the shard and the sequence number of a record.
SEPARATOR = "/"


def passes(error: ClientError) -> bool:
    """Whether what Kinesis answered will pass by itself; a server's own errors do."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status >= 500 or error.response.get("Error", {}).get("Code") in PASSING


class Tail:
    """The end of the stream of one installation, from a record on that one has written.

    Args:
        client: boto3's Kinesis client.
        name: of the stream.
        partition_key: of all records, so that one shard has them at any time.
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
        self._hash = int.from_bytes(hashlib.md5(partition_key.encode(), usedforsecurity=False).digest(), "big")
        self._remaining = remaining
        self._sleep = sleep

    def after(self, position: str, end: str = "") -> Iterator[tuple[str, bytes]]:
        """Positions and data of the records after this position, in order, up to the one at `end`.

        That is one's own, just written: Kinesis takes a moment until it shows what it took. Without it, the records are
        those that Kinesis shows now, which may lack the very last. Raises StreamUnreadable: what was written is not
        known, all of it or from some record on.
        """
        if position == end:
            return
        shard, _, number = position.partition(SEPARATOR)
        start = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": number}
        if (yield from self._records(shard, start, end)):
            for child in self._descendants(shard):
                if not (yield from self._records(child, {"ShardIteratorType": "TRIM_HORIZON"}, end)):
                    return
            raise StreamUnreadable(f"stream {self._name} does not show what was written to it at {end}")

    def _records(self, shard: str, start: dict[str, str], end: str) -> Generator[tuple[str, bytes], None, bool]:
        """The shard's records up to `end`; answers with whether it is in another, since this shard is over."""
        answer = self._ask("get_shard_iterator", StreamName=self._name, ShardId=shard, **start)
        iterator = answer["ShardIterator"]
        waited = 0.0
        while iterator:
            answer = self._ask("get_records", ShardIterator=iterator)
            for record in answer["Records"]:
                position = f"{shard}{SEPARATOR}{record['SequenceNumber']}"
                yield position, record["Data"]
                if position == end:
                    return False
            iterator = answer.get("NextShardIterator")
            if iterator and answer["MillisBehindLatest"] == 0 and not answer["Records"]:
                if not end:
                    return False
                if waited > PATIENCE_SECONDS or self._remaining() < RESERVE_SECONDS:
                    raise StreamUnreadable(f"stream {self._name} does not show what was written to it at {end}")
                self._sleep(PAUSE_SECONDS)
                waited += PAUSE_SECONDS
        return True

    def _descendants(self, shard: str) -> list[str]:
        """The shards that took over from this one, the elder first: a stream on demand splits them as it grows."""
        shards: list[dict[str, Any]] = []
        request = {"StreamName": self._name}
        while True:
            answer = self._ask("list_shards", **request)
            shards += answer["Shards"]
            if not answer.get("NextToken"):
                break
            request = {"NextToken": answer["NextToken"]}
        found, parents = [], {shard}
        for one in sorted(shards, key=lambda one: int(one["SequenceNumberRange"]["StartingSequenceNumber"])):
            hashes = one["HashKeyRange"]
            ours = int(hashes["StartingHashKey"]) <= self._hash <= int(hashes["EndingHashKey"])
            if ours and parents & {one.get("ParentShardId"), one.get("AdjacentParentShardId")}:
                parents.add(one["ShardId"])
                found.append(one["ShardId"])
        return found

    def _ask(self, operation: str, **request: Any) -> dict[str, Any]:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                answer: dict[str, Any] = getattr(self._client, operation)(**request)
            except ClientError as error:
                if not passes(error):
                    raise StreamUnreadable(f"stream {self._name} cannot be read: {error}") from error
                reason: Exception = error
            except BotoCoreError as error:
                reason = error
            else:
                return answer
            if attempt == ATTEMPTS or self._remaining() < RESERVE_SECONDS + PAUSE_SECONDS * attempt:
                break
            self._sleep(PAUSE_SECONDS * attempt)
        raise StreamUnreadable(f"stream {self._name} cannot be read: {reason}") from reason
