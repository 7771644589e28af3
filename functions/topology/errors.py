"""Everything that can go wrong and that somebody handles.

AgentError
├── SettingError            an environment variable is missing or malformed
├── AwsError                a call to AWS failed
│   ├── Gone                what it asked about does not exist (any more)
│   ├── Denied              the role may not make it
│   │   └── DeniedByOrganization    and no policy of the account can change that
│   ├── Throttled           AWS refused it for its rate, again and again
│   ├── RegionDisabled      the account has not enabled the region, or there is none of this name
│   ├── ServiceNotInRegion  AWS does not offer the service there
│   ├── Unreachable         no answer, or the service is down
│   ├── TimeRanOut          the run had no time left to make it
│   └── UnexpectedAnswer    AWS answered something else than its model says
├── RecordError             a record on the stream is not one of ours
├── StreamRefused           Kinesis went on refusing records
├── StreamUnreadable        what others wrote to the stream is not known
├── StateCorrupt            an object of the state bucket is not what was written
├── AnotherRun              another run of topo-cron is under way
├── StorageFailed           the bucket could not be read or written
├── DeliveryError           a record could not be delivered now: it and what follows have to be tried again
└── ReceiverError           StackState's receiver did not take a POST
    ├── ReceiverUnavailable     down, throttling or unreachable: the same POST works later
    ├── Misconfigured           wrong address or key: works once a person has mended it
    ├── TooLarge                works in smaller pieces
    └── Rejected                something in the body is wrong
"""

from collections.abc import Mapping


class AgentError(Exception):
    """Base of all errors of this project."""


class SettingError(AgentError):
    """An environment variable is missing or malformed; the message names it."""


class AwsError(AgentError):
    """A call to AWS failed: `action` is the IAM name of the call, `cause` a word for ledgers and metrics."""

    cause = "unknown"

    def __init__(self, action: str, message: str) -> None:
        super().__init__(f"{action}: {message}")
        self.action = action

    @staticmethod
    def again(said: Mapping[str, str]) -> "AwsError":
        """The error that was written down as its cause, its action and its text."""
        kinds: list[type[AwsError]] = [AwsError]
        for kind in kinds:
            kinds += kind.__subclasses__()
        kind = next((kind for kind in kinds if kind.cause == said["cause"]), AwsError)
        return kind(said["action"], said["error"].removeprefix(f"{said['action']}: "))


class Gone(AwsError):
    """What the call asked about does not exist."""

    cause = "gone"


class Denied(AwsError):
    """A policy does not allow the call."""

    cause = "denied"


class DeniedByOrganization(Denied):
    """A service control policy of the organization forbids the call; no policy of the account can allow it."""

    cause = "denied by the organization"


class Throttled(AwsError):
    """AWS went on refusing the call for its rate."""

    cause = "throttled"


class RegionDisabled(AwsError):
    """The region is not enabled for the account, or AWS has none of this name."""

    cause = "region not enabled"


class ServiceNotInRegion(AwsError):
    """AWS does not offer the service in the region, as far as boto3 knows, and no endpoint answered."""

    cause = "service not in region"


class Unreachable(AwsError):
    """The endpoint did not answer, or answered that it is down."""

    cause = "endpoint unreachable"


class TimeRanOut(AwsError):
    """The run ended before the call could be made."""

    cause = "time ran out"


class UnexpectedAnswer(AwsError):
    """An error code that we do not know, or an answer that does not fit the service's model."""

    cause = "unexpected answer"


class RecordError(AgentError):
    """A record on the stream cannot be read."""


class StreamRefused(AgentError):
    """Kinesis went on refusing records; the message holds its last reason."""


class StreamUnreadable(AgentError):
    """The stream could not be read, or no longer holds what was asked for."""


class StateCorrupt(AgentError):
    """An object of the state bucket is not what was written, or of another version's format."""


class AnotherRun(AgentError):
    """Another run of topo-cron has begun and not ended."""


class StorageFailed(AgentError):
    """The bucket of states and dead letters could not be read or written."""


class DeliveryError(AgentError):
    """The record at `position`, and so those that follow it, could not be delivered for now."""

    def __init__(self, position: int, error: AgentError) -> None:
        super().__init__(str(error))
        self.position = position


class ReceiverError(AgentError):
    """The receiver did not take a POST; the message holds its status and the first words of its answer."""


class ReceiverUnavailable(ReceiverError):
    """The receiver is down, throttling or out of reach."""

    retry_after = 0.0
    """Seconds that the receiver asked to wait."""


class Misconfigured(ReceiverError):
    """The receiver's address or the API key is wrong."""


class TooLarge(ReceiverError):
    """The body is larger than the receiver, or a proxy before it, takes."""


class Rejected(ReceiverError):
    """The receiver found the body wrong."""
