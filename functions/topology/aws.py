"""The only caller of AWS for the topology: pages, retries, refusals and remaining time, for any declared call."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from typing import Any

import boto3
import jmespath
import orjson
from botocore import exceptions
from botocore.config import Config
from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials
from botocore.session import get_session

from topology import VERSION, errors
from topology.declare import Call
from topology.pace import THROTTLED, paces

DENIED = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "AuthorizationError",
        "AuthorizationErrorException",
        "NotAuthorized",
        "UnauthorizedAccess",
        "UnauthorizedOperation",
    }
)
# What a region that the account has not enabled answers, depending on the service's protocol.
REGION_DISABLED = frozenset(
    {
        "AuthFailure",
        "InvalidClientTokenId",
        "OptInRequired",
        "SubscriptionRequiredException",
        "UnrecognizedClientException",
    }
)
SERVICE_CONTROL_POLICY = "service control policy"

# botocore's standard retries wait up to 20 s each; ten of them ride out a throttling storm of a minute.
ATTEMPTS = 10
# Where botocore says that there is no such service, an endpoint that does not answer is soon believed.
ATTEMPTS_UNLISTED = 2
WORKERS = 32
CONNECT_TIMEOUT_SECONDS = 5
READ_TIMEOUT_SECONDS = 30
# No call is begun when less than this is left of the run.
RESERVE_SECONDS = 15.0

path = cache(jmespath.compile)


def search(expression: str, value: Any) -> Any:
    """What a JMESPath expression finds in a value; None if nothing."""
    return path(expression).search(value)


class Aws:
    """Clients of one region, and the calls that are made with them.

    Args:
        session: credentials of the account.
        region: where the clients call.
        services: names of the clients that will be needed; they are made here, once, since making them is neither
            cheap nor thread-safe.
        remaining: seconds that the run has left.
        api_share: what part of the account's documented rates the calls may use; 0: no limit of our own.
    """

    def __init__(
        self,
        session: boto3.Session,
        region: str,
        services: Sequence[str],
        remaining: Callable[[], float] = lambda: float("inf"),
        api_share: float = 0.0,
    ) -> None:
        self.region = region
        self._remaining = remaining
        self._unlisted = {name for name in services if not _is_listed(session, name, region)}
        config = Config(
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
            max_pool_connections=WORKERS,
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            read_timeout=READ_TIMEOUT_SECONDS,
            parameter_validation=False,  # a test checks every declaration against the models, once
            user_agent_extra=f"stackstate-aws-agent/{VERSION}",
        )
        briefly = config.merge(Config(retries={"mode": "standard", "total_max_attempts": ATTEMPTS_UNLISTED}))
        self.clients = {
            name: session.client(name, region_name=region, config=briefly if name in self._unlisted else config)
            for name in services
        }
        for name, pace in paces(list(services), api_share).items():
            pace.watch(self.clients[name])

    def ask(self, call: Call, parameters: Mapping[str, Any]) -> Any:
        """The result of one request. Raises a kind of AwsError."""
        return search(call.result, self._request(call, parameters))

    def pages(self, call: Call, parameters: Mapping[str, Any]) -> Iterator[Any]:
        """Every element of the result, page after page to the true end. Raises a kind of AwsError."""
        client = self.clients[call.service]
        if call.pages:
            yield from (one for page, _ in self._own_pages(call, parameters, {}) for one in page)
        elif client.can_paginate(call.operation):
            pages = iter(client.get_paginator(call.operation).paginate(**call.parameters, **parameters))
            while (page := self._guarded(call, lambda: next(pages, None))) is not None:
                yield from search(call.result, page) or ()
        else:
            yield from self.ask(call, parameters) or ()

    def stint(self, call: Call, token: str | None, size: int) -> tuple[list[Any], str | None]:
        """Whole pages of the result from a token on, until there are `size` elements, and the token to go on with.

        No token: the end. Never a part of a page: asked for again, it may hold its elements at other places, and one
        that slipped through would count as deleted. Raises a kind of AwsError.
        """
        found: list[Any] = []
        for page, following in self._pages_from(call, orjson.loads(token) if token else {}):
            found += page
            if following and len(found) >= size:
                return found, orjson.dumps(following).decode()
        return found, None

    def _pages_from(self, call: Call, position: dict[str, Any]) -> Iterator[tuple[list[Any], dict[str, Any]]]:
        """Pages from a position on, each with the position after it; empty after the last."""
        client = self.clients[call.service]
        if call.pages:
            yield from self._own_pages(call, {}, position)
        elif client.can_paginate(call.operation):
            result = client.get_paginator(call.operation).paginate(**call.parameters, **position)
            pages = iter(result)
            while (page := self._guarded(call, lambda: next(pages, None))) is not None:
                # botocore knows where the next page begins, but says so in public only for parts of pages.
                following = {name: value for name, value in result._get_next_token(page).items() if value is not None}
                yield list(search(call.result, page) or ()), following
        else:
            yield list(self.ask(call, {}) or ()), {}

    def about(self, call: Call, ids: Sequence[str], parameters: Mapping[str, Any] | None = None) -> Iterator[Any]:
        """The elements of the result about ids that fit into one request. Raises a kind of AwsError.

        Ids that AWS does not know are left out; where one of them fails the whole request, the rest is asked again.
        """
        if call.ids is None:
            raise TypeError(f"{call.service} {call.operation} takes no ids")
        parameters = {**(parameters or {}), **call.ids.parameters(ids)}
        try:
            if call.result.endswith("[]"):
                # The whole answer first: an error on a later page must not repeat the elements of an earlier one.
                found = list(self.pages(call, parameters))
                exact = call.ids.exact
                yield from (one for one in found if not exact or search(exact, one) in ids)
            elif (answer := self.ask(call, parameters)) is not None:
                yield answer
        except errors.Gone:
            half = len(ids) // 2
            if half:
                yield from self.about(call, ids[:half], parameters)
                yield from self.about(call, ids[half:], parameters)

    def _own_pages(
        self, call: Call, parameters: Mapping[str, Any], position: dict[str, Any]
    ) -> Iterator[tuple[list[Any], dict[str, Any]]]:
        """Pages from a position on, each with the position after it; empty after the last."""
        pages = call.pages
        assert pages  # noqa: S101  the caller has looked
        while True:
            answer = self._request(call, {**parameters, **position})
            found = search(call.result, answer) or []
            if not search(pages.more, answer):
                yield found, {}
                return
            following = search(pages.token, answer)
            if not following or following == position.get(pages.parameter):
                raise errors.UnexpectedAnswer(self.action(call), "says that there is more, but not where")
            position = {pages.parameter: following}
            yield found, position

    def _request(self, call: Call, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        operation = getattr(self.clients[call.service], call.operation)
        answer: Mapping[str, Any] = self._guarded(call, lambda: operation(**call.parameters, **parameters))
        return answer

    def _guarded(self, call: Call, request: Callable[[], Any]) -> Any:
        if self._remaining() < RESERVE_SECONDS:
            raise errors.TimeRanOut(self.action(call), "the run ended before it could be called")
        try:
            return request()
        except exceptions.ClientError as error:
            raise translated(self.action(call), call.gone, error) from error
        except (exceptions.HTTPClientError, exceptions.ConnectionError) as error:
            if call.service in self._unlisted:
                raise errors.ServiceNotInRegion(self.action(call), f"{error} ({self.region})") from error
            raise errors.Unreachable(self.action(call), f"{error} ({self.region})") from error
        except exceptions.BotoCoreError as error:
            raise errors.UnexpectedAnswer(self.action(call), str(error)) from error

    def action(self, call: Call) -> str:
        """The IAM action that the call needs, such as `sqs:ListQueues`."""
        meta = self.clients[call.service].meta
        return iam_action(call, meta.service_model.signing_name, meta.method_to_api_mapping[call.operation])


def assumed(session: boto3.Session, role_arn: str, external_id: str) -> boto3.Session:
    """A session of the role, which renews its credentials by itself; the role is assumed when it is first used."""
    source = session.get_credentials()
    fetcher = AssumeRoleCredentialFetcher(
        partial(session.client, region_name=session.region_name),
        source,
        role_arn,
        extra_args={"RoleSessionName": "stackstate-topo"} | ({"ExternalId": external_id} if external_id else {}),
    )
    core = get_session()
    # botocore has no public way to hand a session credentials that renew themselves.
    core._credentials = DeferredRefreshableCredentials(fetcher.fetch_credentials, "assume-role")  # type: ignore[attr-defined]
    return boto3.Session(botocore_session=core, region_name=session.region_name)


def _is_listed(session: boto3.Session, service: str, region: str) -> bool:
    """Whether botocore knows the service in the region; services without regions count as everywhere."""
    regions = session.get_available_regions(service, session.get_partition_for_region(region))
    return not regions or region in regions


def iam_action(call: Call, signing_name: str, operation: str) -> str:
    """The IAM action that the call needs: declared, or after the names that botocore has for it."""
    return call.action or f"{signing_name}:{operation}"


def translated(action: str, gone: Sequence[str], error: exceptions.ClientError) -> errors.AwsError:
    """AWS's error as one of ours."""
    code = error.response.get("Error", {}).get("Code", "")
    message = error.response.get("Error", {}).get("Message", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    text = f"{code}: {message}"
    if code in gone:
        return errors.Gone(action, text)
    if code in DENIED:
        return (errors.DeniedByOrganization if SERVICE_CONTROL_POLICY in message else errors.Denied)(action, text)
    if code in THROTTLED:
        return errors.Throttled(action, text)
    if code in REGION_DISABLED:
        return errors.RegionDisabled(action, text)
    if status >= 500:
        return errors.Unreachable(action, text)
    return errors.UnexpectedAnswer(action, text)
