"""The account that is previewed: credentials, role and regions, checked with clear words before anything is read."""

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

import boto3
from botocore import exceptions

from preview.errors import CannotPreview
from topology.aws import assumed
from topology.collect import Account
from topology.resources import ALL
from topology.settings import API_SHARE_PERCENT

EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"})
UNKNOWN = frozenset(
    {
        "AuthFailure",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)


class Calls:
    """The requests that were made to AWS, repeated ones included, by region and boto3's name of the service."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._lock = Lock()

    def watch_session(self, session: boto3.Session) -> None:
        """Count the requests to STS of clients that the session makes from now on."""
        self._watch(session.events, "before-send.sts", (session.region_name or "", "sts"))

    def watch_account(self, account: Account) -> None:
        """Count the requests of the account's clients."""
        for region, aws in account.clients.items():
            for service, client in aws.clients.items():
                self._watch(client.meta.events, "before-send", (region, service))

    def _watch(self, events: Any, event: str, place: tuple[str, str]) -> None:
        def count(**_: Any) -> None:
            with self._lock:
                self._counts[place] += 1

        # The first to be asked: a handler that answers in place of AWS ends the round.
        events.register_first(event, count)

    @property
    def total(self) -> int:
        """How many there were."""
        return self._counts.total()

    def by_service(self) -> dict[str, int]:
        """How many there were, by service."""
        found = Counter[str]()
        for (_, service), count in self._counts.items():
            found[service] += count
        return dict(sorted(found.items()))

    def by_region(self) -> dict[str, dict[str, int]]:
        """How many there were, by region and service."""
        found: dict[str, dict[str, int]] = {}
        for (region, service), count in sorted(self._counts.items()):
            found.setdefault(region, {})[service] = count
        return found


@dataclass(frozen=True)
class Wanted:
    """What the command line says of the account."""

    profile: str = ""
    role_arn: str = ""
    external_id: str = ""
    regions: Sequence[str] = ()


@dataclass(frozen=True)
class Opened:
    """An account that can be read."""

    account: Account
    identity: str
    """ARN of whom AWS takes us for."""
    calls: Calls


def opened(wanted: Wanted, environment: Mapping[str, str]) -> Opened:
    """The account, with its clients made. Raises CannotPreview."""
    calls = Calls()
    session = _session(wanted, environment)
    regions = _regions(session, wanted)
    calls.watch_session(session)
    try:
        account_id, identity = _identity(session)
        if wanted.role_arn:
            session = assumed(session, wanted.role_arn, wanted.external_id)
            calls.watch_session(session)
            account_id, identity = _identity(session)
    except (exceptions.BotoCoreError, exceptions.ClientError) as error:
        raise CannotPreview(reason(error, wanted)) from error
    account = Account.open(session, account_id, regions, ALL, api_share=API_SHARE_PERCENT / 100)
    calls.watch_account(account)
    return Opened(account, identity, calls)


def _session(wanted: Wanted, environment: Mapping[str, str]) -> boto3.Session:
    # boto3 does not look at AWS_REGION, which the AWS CLI prefers.
    region = wanted.regions[0] if wanted.regions else environment.get("AWS_REGION")
    try:
        return boto3.Session(profile_name=wanted.profile or None, region_name=region or None)
    except exceptions.ProfileNotFound as error:
        raise CannotPreview(f"{error}: 'aws configure list-profiles' lists those that there are") from error
    except exceptions.BotoCoreError as error:
        raise CannotPreview(f"the AWS configuration cannot be read: {error}") from error


def _regions(session: boto3.Session, wanted: Wanted) -> tuple[str, ...]:
    """The regions to read, all of which boto3 knows, in one partition. Raises CannotPreview."""
    regions = tuple(wanted.regions) or ((session.region_name,) if session.region_name else ())
    if not regions:
        raise CannotPreview("no region: give --regions eu-west-1,us-east-1, or set AWS_REGION")
    partition_of = {
        region: partition
        for partition in session.get_available_partitions()
        for region in session.get_available_regions("ec2", partition)
    }
    for region in regions:
        if region not in partition_of:
            near = difflib.get_close_matches(region, partition_of, 1)
            hint = f"did you mean {near[0]}?" if near else "give names such as eu-west-1"
            raise CannotPreview(f"unknown region {region!r}: {hint}")
        if partition_of[region] != partition_of[regions[0]]:
            raise CannotPreview(
                f"{regions[0]} is in partition {partition_of[regions[0]]}, and {region} in {partition_of[region]}: "
                "no account has both; make a preview of each"
            )
    return regions


def _identity(session: boto3.Session) -> tuple[str, str]:
    """Account and ARN of whom the credentials belong to. Raises BotoCoreError, ClientError."""
    answer = session.client("sts").get_caller_identity()
    return answer["Account"], answer["Arn"]


def reason(error: exceptions.BotoCoreError | exceptions.ClientError, wanted: Wanted) -> str:
    """Why AWS does not let us in, and what to do about it."""
    profile = f" --profile {wanted.profile}" if wanted.profile else ""
    match error:
        case exceptions.NoCredentialsError():
            return "no credentials: give --profile NAME, set AWS_PROFILE, or log in with 'aws sso login'"
        case exceptions.ClientError():
            return _refusal(error, wanted, profile)
        case exceptions.SSOError() | exceptions.TokenRetrievalError():
            return f"not logged in: run 'aws sso login{profile}' ({error})"
        case exceptions.LoginError():
            return f"not logged in: run 'aws login{profile}' ({error})"
        case exceptions.HTTPClientError() | exceptions.ConnectionError():
            return f"AWS cannot be reached: check network, proxy and the region's name ({error})"
    return f"the credentials cannot be used: {error}"


def _refusal(error: exceptions.ClientError, wanted: Wanted, profile: str) -> str:
    code = error.response.get("Error", {}).get("Code", "")
    if code in EXPIRED:
        return f"the credentials have expired: get new ones, for example with 'aws sso login{profile}'"
    if code in UNKNOWN:
        return f"AWS does not accept the credentials ({code}): check the access key, its secret and the token"
    if error.operation_name == "AssumeRole":
        return (
            f"{wanted.role_arn} cannot be assumed: its trust policy has to name you, "
            f"{'with this external id' if wanted.external_id else 'without an external id (--external-id)'}, "
            f"and you need sts:AssumeRole on it ({error})"
        )
    return f"AWS refuses the credentials: {error}"
