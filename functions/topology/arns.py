"""ARNs in events: the names in them, and where CloudTrail tells one besides the parameters of a call."""

from topology.declare import Path
from topology.elements import Scope


def recorded(type_: str) -> Path:
    """Where an event of some services has the ARN of what the call was about, even if its parameters are left out."""
    return f"(resources[?type == '{type_}'].ARN | [0])"


def own_name(scope: Scope, key: str, service: str, before: str) -> str:
    """The name of a resource of the scope's account and region, from its ARN or from itself.

    Args:
        scope: where the resource would have to be.
        key: an ARN, or what is a name already.
        service: the service as ARNs of the resource have it.
        before: what stands before the name in them, such as `cluster:`.

    Returns:
        The name; empty for ARNs of other kinds, accounts and regions.
    """
    own = scope.arn(service, before)
    return "" if key.startswith("arn:") and not key.startswith(own) else key.removeprefix(own)
