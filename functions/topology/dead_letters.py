"""Keeps what the receiver refuses for good: in the dead-letter bucket, with the answer, ready to be looked at."""

import base64
import hashlib
import logging
import re
from typing import Any

import orjson
from botocore.exceptions import BotoCoreError, ClientError

from topology.errors import AgentError, StorageFailed
from topology.records import KINDS, Record, id_of

# What a shell takes as it is, in the names that dead-letters.sh lists.
UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
NAME_CHARACTERS = 80

logger = logging.getLogger(__name__)


class DeadLetters:
    """The place for elements that the receiver refuses and for records that cannot be read.

    Args:
        client: boto3's S3 client.
        bucket: where they go, as `dead-letters/{installation}/{kind}/{name}`. Empty, in a minimal installation without
            a bucket: they go into the log, whole, since the next snapshot will bring them again.
        installation: the configuration id; put on another installation's stream, they would be sent as that one's.
    """

    def __init__(self, client: Any, bucket: str, installation: str) -> None:
        self._client = client
        self._bucket = bucket
        self._installation = installation

    def keep_refused(self, record: Record, error: AgentError) -> None:
        """Keep elements with the receiver's answer, and as a record that can go on the stream again.

        The same element refused again takes the place of the first. Raises StorageFailed.
        """
        lines = record.lines
        texts = [text for kind in KINDS for text in lines[kind]]
        body = {
            "reason": str(error),
            "instance": {"type": record.instance_type, "url": record.instance_url},
            "snapshot": record.snapshot,
            **{kind: [orjson.loads(text) for text in lines[kind]] for kind in KINDS},
            "record": base64.b64encode(Record(*record.instance, lines=lines).encode()).decode(),
        }
        named = [orjson.loads(id_of(text)) for text in lines.components + lines.relations]
        name = UNSAFE.sub("_", named[0] if named else "element")[-NAME_CHARACTERS:]
        digest = hashlib.sha256(b"\n".join(texts)).hexdigest()[:12]
        self._keep(f"refused/{name}-{digest}.json", orjson.dumps(body, option=orjson.OPT_INDENT_2), error)

    def keep_unreadable(self, name: str, data: bytes, error: AgentError) -> None:
        """Keep the bytes of a record that is none of ours, the reason beside them. Raises StorageFailed."""
        self._keep(f"unreadable/{name}", data, error)

    def _keep(self, name: str, body: bytes, error: AgentError) -> None:
        if not self._bucket:
            logger.error("dead letter %s: %s: %r", name, error, body)
            return
        key = f"dead-letters/{self._installation}/{name}"
        reason = str(error).encode("ascii", "replace").decode().replace("\n", " ")[:500]
        try:
            self._client.put_object(Bucket=self._bucket, Key=key, Body=body, Metadata={"reason": reason})
        except (ClientError, BotoCoreError) as failure:
            raise StorageFailed(f"dead letter s3://{self._bucket}/{key} cannot be written: {failure}") from failure
        logger.error("dead letter s3://%s/%s: %s", self._bucket, key, error)
