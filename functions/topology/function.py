"""What the handlers have in common: made once per process, and kept for the invocations that follow."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, cached_property
from typing import Any, Protocol

import boto3
from aws_lambda_powertools import Metrics
from aws_lambda_powertools.metrics import MetricUnit
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from topology.aws import assumed
from topology.collect import Account
from topology.dead_letters import DeadLetters
from topology.deliver import Delivery
from topology.errors import DeliveryError, Misconfigured, ReceiverError, ReceiverUnavailable
from topology.known import Known
from topology.later import Later
from topology.progress import ProgressStore
from topology.receiver import Connection, Receiver
from topology.records import Record
from topology.resources import ALL
from topology.settings import Settings
from topology.snapshot import Rules, Run
from topology.state import StateStore
from topology.stream import Stream
from topology.tail import Tail

# For bucket, queue and secret of the installation: what they refuse for half a minute is an outage.
PATIENT = Config(retries={"mode": "standard", "total_max_attempts": 8})
# What writes and reads the stream tries again by itself, for as long as there is time.
ONCE = Config(retries={"mode": "standard", "total_max_attempts": 1})

logger = logging.getLogger(__name__)


@contextmanager
def _at_the_first_record() -> Iterator[None]:
    """Raise DeliveryError in place of what keeps us from delivering anything."""
    try:
        yield
    except ReceiverError as error:
        raise DeliveryError(0, error) from error


class Context(Protocol):
    """What is used of Lambda's context object."""

    function_name: str
    invoked_function_arn: str
    aws_request_id: str

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until Lambda ends the invocation."""


class Remaining:
    """Seconds that the invocation in progress has left; clients and connections outlive it and ask again."""

    def __init__(self) -> None:
        self.context: Context | None = None

    def __call__(self) -> float:
        """The seconds; infinite outside of an invocation."""
        return self.context.get_remaining_time_in_millis() / 1000 if self.context else float("inf")


class Function:
    """One of the functions: its settings, and what it works with.

    Raises SettingError at the start, not at the first event, if the environment is not as it should be.

    Args:
        share: what part of the installation's API calls is this function's, where several make them at a time.
    """

    def __init__(self, share: float = 1.0) -> None:
        self.share = share
        self.settings = Settings.from_environment(os.environ)
        self.remaining = Remaining()

    @cached_property
    def session(self) -> boto3.Session:
        """The session that all clients come from; made when the first is needed, not while the function starts."""
        return boto3.Session(region_name=self.settings.region)

    @cache  # noqa: B019  one object per process
    def accounts(self, function_arn: str) -> dict[str, Account]:
        """The account that the function runs in, and those whose roles it may assume, by id, with their clients."""
        sessions = {function_arn.split(":")[4]: self.session}
        for role in self.settings.role_arns:
            sessions[role.split(":")[4]] = assumed(self.session, role, self.settings.external_id)
        return {
            account_id: Account.open(
                session,
                account_id,
                self.settings.regions,
                ALL,
                mask_values=self.settings.mask_values,
                remaining=self.remaining,
                api_share=self.settings.api_share * self.share,
            )
            for account_id, session in sessions.items()
        }

    @cache  # noqa: B019
    def stream(self, account_id: str) -> Stream:
        """The stream that all functions share."""
        return Stream(self.kinesis, self.settings.stream, self._partition_key(account_id), self.remaining)

    @cache  # noqa: B019
    def tail(self, account_id: str) -> Tail:
        """What was lately written to the stream."""
        return Tail(self.kinesis, self.settings.stream, self._partition_key(account_id), self.remaining)

    @cache  # noqa: B019
    def known(self, account_id: str) -> Known:
        """What StackState has; as much of it as was needed is kept for the invocations that follow."""
        blank = self.record(account_id).encode()
        store = StateStore(self.s3, self.settings.state_bucket, self.settings.state_prefix, writes=False)
        return Known(store, self.stream(account_id), self.tail(account_id), blank)

    def run(self, function_arn: str, snapshot: str, *, confirmed: bool) -> Run:
        """A run of topo-cron, which has not begun."""
        accounts = self.accounts(function_arn)
        own = next(iter(accounts))
        return Run(
            list(accounts.values()),
            self.record(own, snapshot),
            self.state(),
            self.stream(own) if self.settings.stream else None,
            self.tail(own) if self.settings.stream else None,
            Rules(self.settings.replay_max_age, self.settings.brake_share, confirmed),
            self.remaining,
        )

    @cache  # noqa: B019
    def later(self) -> Later:
        """The queue of change events, for those that have to come again later."""
        return Later(self._client("sqs"), self.settings.change_queue)

    @cache  # noqa: B019
    def state(self) -> StateStore:
        """What outlives the runs."""
        return StateStore(self.s3, self.settings.state_bucket, self.settings.state_prefix)

    @cached_property
    def kinesis(self) -> Any:
        """A client of the stream."""
        return self.session.client("kinesis", config=ONCE)

    def _client(self, service: str) -> Any:
        return self.session.client(service, config=PATIENT)

    def _partition_key(self, account_id: str) -> str:
        return f"{self.settings.instance_type}/{self.instance_url(account_id)}"

    @contextmanager
    def delivery(self, function_name: str, metrics: Metrics) -> Iterator[Delivery]:
        """What delivers to the receiver in this invocation, and what it did as metrics.

        Raises DeliveryError at the start, too: without the API key nothing can be delivered.
        """
        if self.settings.skip_tls_verify:
            logger.warning("the receiver's certificate is not verified: STACKSTATE_SKIP_TLS_VERIFY is true")
        misconfigured = failed = False
        try:
            with _at_the_first_record():
                receiver = self.receiver(function_name)
            delivery = Delivery(receiver.post, self.dead_letters(), self.progress(), self.remaining)
            try:
                yield delivery
            finally:
                for name, count in delivery.counts.items():
                    metrics.add_metric(name, MetricUnit.Count, count)
        except DeliveryError as error:
            failed, misconfigured = True, isinstance(error.__cause__, Misconfigured)
            raise
        finally:
            metrics.add_metric("DeliveryFailures", MetricUnit.Count, failed)
            metrics.add_metric("ReceiverMisconfigured", MetricUnit.Count, misconfigured)
            if misconfigured:
                # A person may mend the key while this process lives.
                Function.receiver.cache_clear()

    def probe(self, context: Context, metrics: Metrics) -> None:
        """Send the receiver a message without elements, the way that all go. Raises DeliveryError: what is wrong."""
        with self.delivery(context.function_name, metrics) as delivery:
            delivery.probe(self.record(context.invoked_function_arn.split(":")[4]))

    @cache  # noqa: B019
    def receiver(self, function_name: str) -> Receiver:
        """StackState's receiver, over a connection that outlives the invocation."""
        settings = self.settings
        connection = Connection(
            settings.base_url, settings.encoding, settings.ca_bundle, verify=not settings.skip_tls_verify
        )
        return Receiver(connection, self._api_key(), function_name, self.remaining)

    @cache  # noqa: B019
    def dead_letters(self) -> DeadLetters:
        """Where refused elements go."""
        return DeadLetters(self.s3, self.settings.dead_letter_bucket, self.settings.configuration_id)

    @cache  # noqa: B019
    def progress(self) -> ProgressStore:
        """Where it is kept which snapshot is open at the receiver."""
        return ProgressStore(self.s3, self.settings.state_bucket, self.settings.state_prefix)

    @cached_property
    def s3(self) -> Any:
        """A client of the bucket."""
        return self._client("s3")

    def instance_url(self, account_id: str) -> str:
        """The url of the receiver's instance: as set, else the account's id."""
        return self.settings.instance_url or account_id

    def record(self, account_id: str, snapshot: str = "") -> Record:
        """An empty record of this installation's instance."""
        return Record(self.settings.instance_type, self.instance_url(account_id), snapshot)

    def _api_key(self) -> str:
        key = self.settings.api_key or self._secret()
        if not (key.isascii() and key.isprintable() and key and " " not in key):
            raise Misconfigured("the API key is malformed: the secret must hold the key alone, without spaces")
        return key

    def _secret(self) -> str:
        try:
            secrets = self._client("secretsmanager")
            answer = secrets.get_secret_value(SecretId=self.settings.api_key_secret)
        except ClientError as error:
            raise Misconfigured(f"the API key cannot be read: {error}") from error
        except BotoCoreError as error:
            raise ReceiverUnavailable(f"the API key cannot be read: {error}") from error
        key: str = answer.get("SecretString", "").strip()
        return key
