"""Keeps what the receiver refuses for good: in the dead-letter bucket, with the answer, ready to be looked at."""

import logging
from typing import Any

import orjson

from topology.errors import AgentError
from topology.records import KINDS, Record

PREFIX = "dead-letters"
logger = logging.getLogger(__name__)


class DeadLetters:
    """The place for elements that the receiver refuses and for records that cannot be read.

    Args:
        client: boto3's S3 client.
        bucket: where they go, as `dead-letters/{kind}/{name}`. Empty, in a minimal installation without a bucket: they
            go into the log, whole, since the next snapshot will bring them again.
    """

    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self._bucket = bucket
        self.count = 0

    def keep_refused(self, name: str, record: Record, error: AgentError) -> None:
        """Keep the element of a record of one, with the receiver's answer."""
        elements = {kind: [orjson.loads(line) for line in getattr(record.lines, kind)] for kind in KINDS}
        instance = {"type": record.instance_type, "url": record.instance_url}
        body = orjson.dumps({"reason": str(error), "instance": instance, **elements})
        self._keep(f"refused/{name}-{self.count}.json", body, error)

    def keep_unreadable(self, name: str, data: bytes, error: AgentError) -> None:
        """Keep the bytes of a record that is none of ours."""
        self._keep(f"unreadable/{name}", data, error)

    def _keep(self, name: str, body: bytes, error: AgentError) -> None:
        self.count += 1
        if not self._bucket:
            logger.error("dead letter %s: %s: %r", name, error, body)
            return
        key = f"{PREFIX}/{name}"
        self._client.put_object(Bucket=self._bucket, Key=key, Body=body)
        logger.error("dead letter s3://%s/%s: %s", self._bucket, key, error)
