"""What outlives a run, in the state bucket.

scopes/{account}/{region}/{service}.state   the last reading of a scope (`readings.py`)
links.state                                 relations between scopes, as the last snapshot had them
ledger.json                                 what the last run did, and why (`ledger.py`)
status.txt                                  the same in words (`status.py`)
held.json                                   components whose removal was held back, and waits for the next run
run.json                                    the run that is under way
set-aside/…                                 what was there and could not be understood
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import orjson
from botocore.exceptions import BotoCoreError, ClientError

from topology.elements import Scope
from topology.errors import AnotherRun, StateCorrupt, StorageFailed
from topology.readings import Reading

ABSENT = frozenset({"NoSuchKey", "404"})
LEDGER = "ledger.json"
HELD = "held.json"
RUN = "run.json"
LINKS = "links.state"

# Stands for all scopes, in the object of the relations between them.
BETWEEN = Scope("", "", "", "links")

logger = logging.getLogger(__name__)


class StateStore:
    """Objects of one installation in the state bucket.

    Args:
        client: boto3's S3 client.
        bucket: where they are; empty: nothing is kept, and nothing is found.
        prefix: of their keys.
        clock: seconds since 1970.
        writes: False: what cannot be understood stays where it is, for those to set aside who may.
    """

    def __init__(
        self, client: Any, bucket: str, prefix: str, clock: Callable[[], float] = time.time, *, writes: bool = True
    ) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = prefix
        self._clock = clock
        self._writes = writes

    @property
    def keeps(self) -> bool:
        """Whether there is a bucket."""
        return bool(self._bucket)

    def reading(self, scope: Scope) -> Reading | None:
        """The scope's last reading; None if there is none that can be understood. Raises StorageFailed."""
        return self._reading(_name(scope), scope)

    def _reading(self, name: str, scope: Scope) -> Reading | None:
        data = self.get(name)
        if data is None:
            return None
        try:
            return Reading.decode(data, scope)
        except StateCorrupt as error:
            self._set_aside(name, data, error)
            return None

    def keep(self, reading: Reading) -> None:
        """Keep the reading in place of the scope's last. Raises StorageFailed."""
        self.put(_name(reading.scope), reading.encode())

    def links(self) -> Sequence[bytes]:
        """Records of the relations between scopes, as the last snapshot had them. Raises StorageFailed."""
        reading = self._reading(LINKS, BETWEEN)
        return reading.records if reading else ()

    def keep_links(self, records: Sequence[bytes]) -> None:
        """Keep the records of the relations between scopes. Raises StorageFailed."""
        self.put(LINKS, Reading(BETWEEN, records, None).encode())

    def scopes(self) -> Iterator[Scope]:
        """The scopes of which there is a reading; their partition is not known. Raises StorageFailed."""
        for key in self._names("scopes/"):
            account, region, name = key.removeprefix("scopes/").split("/")
            yield Scope(account, region, "", name.removesuffix(".state"))

    def forget(self, scope: Scope) -> None:
        """Remove the scope's reading. Raises StorageFailed."""
        self.remove(_name(scope))

    def document(self, name: str) -> dict[str, Any]:
        """A document such as LEDGER; empty if there is none that can be understood. Raises StorageFailed."""
        return self._document(name)[0]

    def keep_document(self, name: str, document: dict[str, Any]) -> None:
        """Keep the document. Raises StorageFailed."""
        self.put(name, orjson.dumps(document, option=orjson.OPT_INDENT_2))

    def begin(self, run: str, until: float) -> None:
        """Note that a run has begun that ends before `until`, seconds since 1970.

        Raises AnotherRun while a run that began before may go on: two at once would mix what they see. Concurrency of
        one would do, but not every account can afford to reserve it.
        """
        if not self._bucket:
            return
        body = orjson.dumps({"run": run, "until": until})
        current, etag = self._document(RUN)
        if current and current.get("run") != run and current.get("until", 0) > self._clock():
            seconds = current["until"] - self._clock()
            raise AnotherRun(f"run {current['run']} began before and may go on for another {seconds:.0f} s")
        # One that died, or the same run again, is replaced; of two that begin now, one fails.
        condition = {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}
        try:
            self._client.put_object(Bucket=self._bucket, Key=f"{self._prefix}{RUN}", Body=body, **condition)
        except ClientError as error:
            if error.response["ResponseMetadata"].get("HTTPStatusCode") in {409, 412}:
                raise AnotherRun("another run began at the same moment") from error
            raise StorageFailed(f"s3://{self._bucket}/{self._prefix}{RUN} cannot be written: {error}") from error
        except BotoCoreError as error:
            raise StorageFailed(f"s3://{self._bucket}/{self._prefix}{RUN} cannot be written: {error}") from error

    def end(self) -> None:
        """Note that the run is over. Raises StorageFailed."""
        self.remove(RUN)

    def get(self, name: str) -> bytes | None:
        """The object; None if there is none. Raises StorageFailed."""
        return self._get(name)[0]

    def put(self, name: str, body: bytes) -> None:
        """Write the object as a whole. Raises StorageFailed."""
        if not self._bucket:
            return
        try:
            self._client.put_object(Bucket=self._bucket, Key=f"{self._prefix}{name}", Body=body)
        except (ClientError, BotoCoreError) as error:
            raise StorageFailed(f"s3://{self._bucket}/{self._prefix}{name} cannot be written: {error}") from error

    def remove(self, name: str) -> None:
        """Remove the object, if there is one. Raises StorageFailed."""
        if not self._bucket:
            return
        try:
            self._client.delete_object(Bucket=self._bucket, Key=f"{self._prefix}{name}")
        except (ClientError, BotoCoreError) as error:
            raise StorageFailed(f"s3://{self._bucket}/{self._prefix}{name} cannot be removed: {error}") from error

    def remove_all(self, start: str) -> None:
        """Remove all objects whose names begin like this. Raises StorageFailed."""
        for name in list(self._names(start)):
            self.remove(name)

    def _names(self, start: str) -> Iterator[str]:
        if not self._bucket:
            return
        prefix = f"{self._prefix}{start}"
        try:
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix):
                yield from (entry["Key"].removeprefix(self._prefix) for entry in page.get("Contents", ()))
        except (ClientError, BotoCoreError) as error:
            raise StorageFailed(f"s3://{self._bucket}/{prefix} cannot be listed: {error}") from error

    def _get(self, name: str) -> tuple[bytes | None, str]:
        """The object and its entity tag; None and nothing if there is none. Raises StorageFailed."""
        if not self._bucket:
            return None, ""
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=f"{self._prefix}{name}")
            return answer["Body"].read(), answer["ETag"]
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in ABSENT:
                return None, ""
            raise StorageFailed(f"s3://{self._bucket}/{self._prefix}{name} cannot be read: {error}") from error
        except BotoCoreError as error:
            raise StorageFailed(f"s3://{self._bucket}/{self._prefix}{name} cannot be read: {error}") from error

    def _document(self, name: str) -> tuple[dict[str, Any], str]:
        data, etag = self._get(name)
        if data is None:
            return {}, ""
        try:
            found = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            self._set_aside(name, data, error)
            return {}, ""
        return (found, etag) if isinstance(found, dict) else ({}, etag)

    def _set_aside(self, name: str, data: bytes, error: Exception) -> None:
        """Keep what cannot be understood for a person to look at, out of the way."""
        aside = f"set-aside/{name}"
        if not self._writes:
            logger.warning("s3://%s/%s%s is %s", self._bucket, self._prefix, name, error)
            return
        logger.error("s3://%s/%s%s is %s: set aside as %s", self._bucket, self._prefix, name, error, aside)
        self.put(aside, data)
        self.remove(name)


def _name(scope: Scope) -> str:
    return f"scopes/{scope.account}/{scope.region}/{scope.service}.state"
