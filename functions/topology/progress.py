"""How far the snapshot that is open at the receiver has come: known to every process, and after any of them dies.

Only a snapshot of which every record was delivered may be closed, since its end removes what was not among them. A
process cannot know that by itself: records of one snapshot come in several batches, to several processes.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson
from botocore.exceptions import BotoCoreError, ClientError

from topology.errors import StorageFailed
from topology.records import Record, id_of

# Instance by instance, what is open there.
Open = dict[tuple[str, str], "Progress"]
NAME = "delivery.json"
# Beside it topo-cron tells of its last run, once all of its records are on the stream.
LEDGER = "ledger.json"
# So many snapshots that are over are remembered, for records of theirs that come once more.
REMEMBERED = 4
# A snapshot of which the receiver refused more elements than this is not closed: that is no poison, but a disagreement.
MOST_REFUSED = 10
# With more changes than this since its start, a snapshot is given up: one that waits for its end for so long, since
# topo-cron died, will not see it, and what is kept must not grow for ever.
MOST_TOUCHED = 20_000

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Progress:
    """The snapshot that is open at an instance, and what of it was delivered."""

    snapshot: str = ""
    """Its id; empty: none is open."""
    next: int = 0
    """Place of the first record that was not delivered yet."""
    last: int = 0
    """Place of its last record."""
    sent: int = 0
    """Elements that were delivered."""
    refused: int = 0
    """Elements that the receiver refused."""
    touched: frozenset[bytes] = frozenset()
    """Ids of what deltas told since the start: they are newer than what the snapshot has to say."""
    over: tuple[str, ...] = ()
    """Ids of the snapshots before it. What comes of them, but for a start, is older than what was sent since."""

    @property
    def may_be_closed(self) -> bool:
        """Whether few enough elements were refused for the rest to count as all that there is."""
        return self.sent > 0 and self.refused <= min(MOST_REFUSED, self.sent)

    def after(self, record: Record) -> "Progress":
        """The progress once the record is delivered."""
        if not record.snapshot:
            return self._with(ids(record)) if self.snapshot else self
        if record.start:
            # Whenever it comes. topo-cron puts a start again where deltas came before it that the slices then know of;
            # Lambda repeats it together with the deltas before it.
            over = tuple(one for one in self.ended().over if one != record.snapshot)
            begun = Progress(record.snapshot, next=1, last=record.last, over=over)
            return begun if record.last else begun.ended()
        if record.snapshot != self.snapshot or record.part > self.next:
            return self
        following = max(self.next, record.part + 1)
        return self.ended() if following > self.last else replace(self, next=following)

    def _with(self, touched: frozenset[bytes]) -> "Progress":
        touched = self.touched | touched
        if len(touched) <= MOST_TOUCHED:
            return replace(self, touched=touched)
        logger.warning(
            "snapshot %s is given up: more than %d changes came since its start", self.snapshot, MOST_TOUCHED
        )
        return self.ended()

    def ended(self) -> "Progress":
        """The progress once no more of the open snapshot is to come."""
        return Progress(over=(*self.over, self.snapshot)[-REMEMBERED:]) if self.snapshot else self


NOTHING = Progress()


def ids(record: Record) -> frozenset[bytes]:
    """Ids of all elements that the record upserts or deletes, as JSON texts."""
    lines = record.lines
    return frozenset([*map(id_of, lines.components), *map(id_of, lines.relations), *lines.deletes])


@dataclass(frozen=True, slots=True)
class Newest:
    """The last snapshot of topo-cron, all of which is on the stream, its end included."""

    snapshot: str
    began: float
    """Seconds since 1970: nothing of it was read from AWS, let alone written to the stream, before."""


class ProgressStore:
    """Keeps the progress as one small object in the state bucket.

    Args:
        client: boto3's S3 client.
        bucket: where it is kept; empty: nowhere, for a process that delivers a snapshot from start to end.
        prefix: of its key.
    """

    def __init__(self, client: Any, bucket: str, prefix: str) -> None:
        self._client = client
        self._bucket = bucket
        self._key = f"{prefix}{NAME}"
        self._ledger = f"{prefix}{LEDGER}"

    def load(self) -> Open:
        """What was saved last. Raises StorageFailed."""
        if not self._bucket:
            return {}
        body = self._read(self._key)
        try:
            return {(one["type"], one["url"]): _progress(one) for one in orjson.loads(body or b"[]")}
        except (KeyError, TypeError, ValueError) as error:
            # Without it no open snapshot is closed, which is safe; the next one begins anew.
            logger.warning("s3://%s/%s is not what was saved: %r", self._bucket, self._key, error)
            return {}

    def newest(self) -> Newest | None:
        """The last snapshot, if all of it is on the stream, and if that is known: nobody depends on it."""
        if not self._bucket:
            return None
        try:
            ledger = orjson.loads(self._read(self._ledger) or b"{}")
            return Newest(ledger["snapshot"], float(ledger["began"])) if ledger.get("closed") else None
        except StorageFailed as error:
            logger.warning("no snapshot is skipped: %s", error)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            logger.warning("no snapshot is skipped: s3://%s/%s is no ledger: %r", self._bucket, self._ledger, error)
        return None

    def _read(self, key: str) -> bytes | None:
        """The object, or None if there is none. Raises StorageFailed."""
        try:
            body: bytes = self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") == "NoSuchKey":
                return None
            raise StorageFailed(f"s3://{self._bucket}/{key} cannot be read: {error}") from error
        except BotoCoreError as error:
            raise StorageFailed(f"s3://{self._bucket}/{key} cannot be read: {error}") from error
        return body

    def save(self, open_: Mapping[tuple[str, str], Progress]) -> None:
        """Save it in place of what was there. Raises StorageFailed."""
        if not self._bucket:
            return
        body = orjson.dumps([_entry(instance, one) for instance, one in open_.items()])
        try:
            self._client.put_object(Bucket=self._bucket, Key=self._key, Body=body)
        except (ClientError, BotoCoreError) as error:
            raise StorageFailed(f"s3://{self._bucket}/{self._key} cannot be written: {error}") from error


def _entry(instance: tuple[str, str], one: Progress) -> dict[str, Any]:
    return {
        "type": instance[0],
        "url": instance[1],
        "snapshot": one.snapshot,
        "next": one.next,
        "last": one.last,
        "sent": one.sent,
        "refused": one.refused,
        "over": one.over,
        "touched": [orjson.loads(id_) for id_ in sorted(one.touched)],
    }


def _progress(entry: Mapping[str, Any]) -> Progress:
    return Progress(
        entry["snapshot"],
        next=entry["next"],
        last=entry["last"],
        sent=entry["sent"],
        refused=entry["refused"],
        over=tuple(entry["over"]),
        touched=frozenset(orjson.dumps(id_) for id_ in entry["touched"]),
    )
