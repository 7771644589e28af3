"""What went wrong on the way to the receiver, in words that a person can act on and that hold no key.

The texts of requests' errors have the address with its query, and so the key, in them: they are never repeated.
"""

import re
import socket
import ssl
from collections.abc import Iterator

import requests
from urllib3.exceptions import NameResolutionError

from topology.errors import Misconfigured, ReceiverError, ReceiverUnavailable

# What OpenSSL calls an answer that is no TLS at all.
NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG")
# How http.client says that a proxy is there, but refuses.
TUNNEL_REFUSED = re.compile(r"Tunnel connection failed: (4\d\d)")
CLOSED = (ConnectionResetError, BrokenPipeError, requests.exceptions.ChunkedEncodingError)
MALFORMED = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidProxyURL,
    requests.exceptions.InvalidHeader,
)


def explained(url: str, error: Exception) -> ReceiverError:
    """The failure to get an answer, as one of ours; `url` is the address without its query."""
    causes = list(_causes(error))
    words = _misconfigured(error, causes)
    if words:
        return Misconfigured(f"{url}: {words}")
    return ReceiverUnavailable(f"{url}: {_unavailable(error, causes)}")


def _misconfigured(error: Exception, causes: list[BaseException]) -> str:
    """What a person has to mend, or nothing."""
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            reason = getattr(cause, "verify_message", "the check failed")
            return (
                f"TLS: the certificate is not trusted: {reason}. If it comes from a "
                "certification authority of your own, give its certificate in STACKSTATE_CA_BUNDLE"
            )
        if isinstance(cause, ssl.SSLError) and getattr(cause, "reason", "") in NO_TLS:
            return "TLS: what answers there does not speak TLS. Should the address begin with http://, or name a port?"
    refusals = [found[1] for cause in causes if (found := TUNNEL_REFUSED.search(str(cause)))]
    if refusals:
        return f"proxy: it does not let us through: it answered {refusals[0]}"
    if isinstance(error, MALFORMED):
        return f"the address, the proxy or the API key is malformed ({type(error).__name__})"
    return ""


def _unavailable(error: Exception, causes: list[BaseException]) -> str:
    """What may pass by itself."""
    where = "proxy: " if isinstance(error, requests.exceptions.ProxyError) else ""
    for cause in causes:
        match cause:
            case ssl.SSLError():
                return f"{where}TLS: the handshake failed: {getattr(cause, 'reason', '') or type(cause).__name__}"
            case socket.gaierror():
                return f"{where}DNS: the name of the host has no address here: {cause.strerror}"
            case NameResolutionError():
                return f"{where}DNS: the name of the host has no address here"
            case ConnectionRefusedError():
                return f"{where}connection refused: nothing listens there"
            case OSError() if isinstance(cause, CLOSED):
                return f"{where}connection reset: it was closed before the answer was there"
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return f"{where}no connection in time. Is there a route, and do the security groups and firewalls let it out?"
    if isinstance(error, requests.exceptions.Timeout) or any(isinstance(cause, TimeoutError) for cause in causes):
        return f"{where}connected, but there was no answer in time"
    if any(type(cause).__name__ in {"RemoteDisconnected", "IncompleteRead", "ProtocolError"} for cause in causes):
        return f"{where}connection reset: it was closed before the answer was there"
    return f"{where}{type(error).__name__}"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what led to it; urllib3 keeps that in `reason` and in the arguments, too."""
    seen: list[BaseException] = []
    waiting = [error]
    while waiting:
        one = waiting.pop(0)
        if not isinstance(one, BaseException) or one in seen:
            continue
        seen.append(one)
        yield one
        waiting += [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
