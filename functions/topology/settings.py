"""What the environment of a function says, checked once at its start."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from topology.errors import SettingError

# Every variable that the functions read; the template gives these and no other.
VARIABLES = (
    "STACKSTATE_BASE_URL",
    "STACKSTATE_API_KEY_SECRET",
    "STACKSTATE_API_KEY",
    "STACKSTATE_CONFIGURATION_ID",
    "STACKSTATE_INSTANCE_TYPE",
    "STACKSTATE_INSTANCE_URL",
    "TOPOLOGY_STREAM",
    "TOPOLOGY_STATE_BUCKET",
    "TOPOLOGY_STATE_PREFIX",
    "TOPOLOGY_DEAD_LETTER_BUCKET",
    "TOPOLOGY_REGIONS",
    "TOPOLOGY_MASK_VALUES",
)

REGION = re.compile(r"[a-z]{2,}(-[a-z]+)+-\d+")
RECEIVER_PATHS = ("/stsAgent/intake", "/stsAgent")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The environment of one function, in the terms of the code."""

    region: str
    """Where the function runs."""
    regions: tuple[str, ...]
    """Where topology is read."""
    instance_type: str
    instance_url: str
    """Empty: the account id."""
    stream: str
    """Name of the Kinesis stream; empty: records go straight to the receiver."""
    base_url: str
    """Of the receiver, without `/stsAgent`; empty in functions that only write to the stream."""
    api_key_secret: str
    api_key: str
    dead_letter_bucket: str
    mask_values: bool

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Read the variables. Raises SettingError, with the variable's name, for what is missing or malformed."""
        region = _needed(environment, "AWS_REGION", "Lambda sets it; elsewhere name the region to work in")
        stream = environment.get("TOPOLOGY_STREAM", "").strip()
        base_url = _base_url(environment.get("STACKSTATE_BASE_URL", ""))
        secret = environment.get("STACKSTATE_API_KEY_SECRET", "").strip()
        key = environment.get("STACKSTATE_API_KEY", "").strip()
        if not stream and not base_url:
            raise SettingError("STACKSTATE_BASE_URL is missing: give the receiver's address, or TOPOLOGY_STREAM")
        if base_url and not (secret or key):
            raise SettingError("STACKSTATE_API_KEY_SECRET is missing: give the ARN of the secret with the API key")
        return cls(
            region=region,
            regions=_regions(environment.get("TOPOLOGY_REGIONS", ""), region),
            instance_type=environment.get("STACKSTATE_INSTANCE_TYPE", "").strip() or "aws",
            instance_url=environment.get("STACKSTATE_INSTANCE_URL", "").strip(),
            stream=stream,
            base_url=base_url,
            api_key_secret=secret,
            api_key=key,
            dead_letter_bucket=environment.get("TOPOLOGY_DEAD_LETTER_BUCKET", "").strip(),
            mask_values=_flag(environment, "TOPOLOGY_MASK_VALUES", default=True),
        )


def _needed(environment: Mapping[str, str], name: str, remedy: str) -> str:
    value = environment.get(name, "").strip()
    if not value:
        raise SettingError(f"{name} is missing: {remedy}")
    return value


def _base_url(text: str) -> str:
    url = text.strip().rstrip("/")
    for path in RECEIVER_PATHS:
        url = url.removesuffix(path)
    if url and (urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).netloc):
        raise SettingError(
            f"STACKSTATE_BASE_URL is {text!r}: it must be an address such as https://HOST/receiver, with its scheme"
        )
    return url


def _regions(text: str, default: str) -> tuple[str, ...]:
    regions = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip())) or (default,)
    for name in regions:
        if not REGION.fullmatch(name):
            raise SettingError(f"TOPOLOGY_REGIONS has {name!r}: give region names such as eu-west-1, with commas")
    return regions


def _flag(environment: Mapping[str, str], name: str, *, default: bool) -> bool:
    text = environment.get(name, "").strip().lower()
    if text not in {"", "true", "false"}:
        raise SettingError(f"{name} is {text!r}: it must be true or false")
    return default if not text else text == "true"
