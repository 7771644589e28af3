"""What the handlers have in common: made once per process, and kept for the invocations that follow."""

import os
from functools import cache
from typing import Protocol

import boto3

from topology.collect import Account
from topology.dead_letters import DeadLetters
from topology.receiver import Receiver
from topology.records import Record
from topology.resources import ALL
from topology.settings import Settings
from topology.stream import Stream


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
    """

    def __init__(self) -> None:
        self.settings = Settings.from_environment(os.environ)
        self.remaining = Remaining()
        self.session = boto3.Session(region_name=self.settings.region)

    @cache  # noqa: B019  one object per process
    def account(self, function_arn: str) -> Account:
        """The account that the function runs in, with its clients."""
        settings = self.settings
        return Account.open(
            self.session,
            function_arn.split(":")[4],
            settings.regions,
            ALL,
            mask_values=settings.mask_values,
            remaining=self.remaining,
        )

    @cache  # noqa: B019
    def stream(self, account_id: str) -> Stream:
        """The stream that all functions share."""
        key = f"{self.settings.instance_type}/{self.instance_url(account_id)}"
        return Stream(self.session.client("kinesis"), self.settings.stream, key)

    @cache  # noqa: B019
    def receiver(self, function_name: str) -> Receiver:
        """StackState's receiver."""
        return Receiver(self.settings.base_url, self._api_key(), function_name, self.remaining)

    @cache  # noqa: B019
    def dead_letters(self) -> DeadLetters:
        """Where refused elements go."""
        return DeadLetters(self.session.client("s3"), self.settings.dead_letter_bucket)

    def instance_url(self, account_id: str) -> str:
        """The url of the receiver's instance: as set, else the account's id."""
        return self.settings.instance_url or account_id

    def record(self, account_id: str, snapshot: str = "") -> Record:
        """An empty record of this installation's instance."""
        return Record(self.settings.instance_type, self.instance_url(account_id), snapshot)

    def _api_key(self) -> str:
        if self.settings.api_key:
            return self.settings.api_key
        secrets = self.session.client("secretsmanager")
        key: str = secrets.get_secret_value(SecretId=self.settings.api_key_secret)["SecretString"]
        return key.strip()
