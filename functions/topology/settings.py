"""What the environment of a function says, checked once at its start."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
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
    "STACKSTATE_ENCODING",
    "STACKSTATE_CA_BUNDLE",
    "STACKSTATE_SKIP_TLS_VERIFY",
    "TOPOLOGY_STREAM",
    "TOPOLOGY_STATE_BUCKET",
    "TOPOLOGY_STATE_PREFIX",
    "TOPOLOGY_DEAD_LETTER_BUCKET",
    "TOPOLOGY_CHANGE_QUEUE",
    "TOPOLOGY_REGIONS",
    "TOPOLOGY_ACCOUNTS",
    "TOPOLOGY_EXTERNAL_ID",
    "TOPOLOGY_REPLAY_MAX_AGE_HOURS",
    "TOPOLOGY_BRAKE_PERCENT",
    "TOPOLOGY_MASK_VALUES",
    "TOPOLOGY_API_SHARE",
    # Read by requests and boto3, not here.
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
)
# Of the rates that AWS documents. With less, 100,000 components would not fit into 15 minutes (python -m bench paper).
API_SHARE_PERCENT = 80
ENCODINGS = ("deflate", "gzip", "none")

ROLE_ARN = re.compile(r"arn:[a-z-]+:iam::\d{12}:role/\S+")
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
    configuration_id: str
    """Of the StackPack instance; installations that share a bucket differ in it."""
    stream: str
    """Name of the Kinesis stream; empty: records go straight to the receiver."""
    base_url: str
    """Of the receiver, without `/stsAgent`; empty in functions that only write to the stream."""
    api_key_secret: str
    api_key: str
    encoding: str
    """Of what is sent to the receiver: one of ENCODINGS."""
    ca_bundle: str
    """Path or PEM text of the certificates that the receiver is checked against; empty: the public ones."""
    skip_tls_verify: bool
    state_bucket: str
    """Empty: nothing is kept."""
    state_prefix: str
    dead_letter_bucket: str
    change_queue: str
    """URL of the queue that change events come from; empty: nothing can be put there."""
    role_arns: tuple[str, ...]
    """Roles of further accounts that are read."""
    external_id: str
    """That these roles ask for."""
    replay_max_age: float
    """Seconds that the last reading of a scope may stand for one that cannot be read."""
    brake_share: float
    """A snapshot that would remove a larger part of the last one's components is held back."""
    mask_values: bool
    api_share: float
    """What part of the rates that AWS documents for the account's calls may be used."""

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
            configuration_id=environment.get("STACKSTATE_CONFIGURATION_ID", "").strip(),
            stream=stream,
            base_url=base_url,
            api_key_secret=secret,
            api_key=key,
            encoding=_encoding(environment.get("STACKSTATE_ENCODING", "")),
            ca_bundle=_ca_bundle(environment.get("STACKSTATE_CA_BUNDLE", "")),
            skip_tls_verify=_flag(environment, "STACKSTATE_SKIP_TLS_VERIFY", default=False),
            state_bucket=environment.get("TOPOLOGY_STATE_BUCKET", "").strip(),
            state_prefix=environment.get("TOPOLOGY_STATE_PREFIX", "").strip(),
            dead_letter_bucket=environment.get("TOPOLOGY_DEAD_LETTER_BUCKET", "").strip(),
            change_queue=environment.get("TOPOLOGY_CHANGE_QUEUE", "").strip(),
            role_arns=_role_arns(environment.get("TOPOLOGY_ACCOUNTS", "")),
            external_id=environment.get("TOPOLOGY_EXTERNAL_ID", "").strip(),
            replay_max_age=_number(environment, "TOPOLOGY_REPLAY_MAX_AGE_HOURS", default=24, most=8760) * 3600.0,
            brake_share=_number(environment, "TOPOLOGY_BRAKE_PERCENT", default=50, most=100) / 100,
            mask_values=_flag(environment, "TOPOLOGY_MASK_VALUES", default=True),
            api_share=_number(environment, "TOPOLOGY_API_SHARE", default=API_SHARE_PERCENT, most=100) / 100,
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


def _encoding(text: str) -> str:
    encoding = text.strip().lower() or ENCODINGS[0]
    if encoding not in ENCODINGS:
        raise SettingError(f"STACKSTATE_ENCODING is {text!r}: it must be one of {', '.join(ENCODINGS)}")
    return encoding


def _ca_bundle(text: str) -> str:
    bundle = text.strip()
    begins, ends = (bundle.count(f"-----{mark} CERTIFICATE-----") for mark in ("BEGIN", "END"))
    if begins != ends or (bundle and not begins and not Path(bundle).is_file()):
        raise SettingError(
            f"STACKSTATE_CA_BUNDLE is {bundle[:80]!r}: it must be certificates as PEM text, or the path of a file with "
            "them that the function can read, such as /opt/ca.pem of a layer"
        )
    return bundle


def _regions(text: str, default: str) -> tuple[str, ...]:
    regions = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip())) or (default,)
    for name in regions:
        if not REGION.fullmatch(name):
            raise SettingError(f"TOPOLOGY_REGIONS has {name!r}: give region names such as eu-west-1, with commas")
    return regions


def _role_arns(text: str) -> tuple[str, ...]:
    arns = tuple(dict.fromkeys(arn.strip() for arn in text.split(",") if arn.strip()))
    for arn in arns:
        if not ROLE_ARN.fullmatch(arn):
            raise SettingError(
                f"TOPOLOGY_ACCOUNTS has {arn!r}: give ARNs of roles in the further accounts, with commas"
            )
    return arns


def _number(environment: Mapping[str, str], name: str, *, default: int, most: int) -> int:
    text = environment.get(name, "").strip()
    if text and not (text.isdecimal() and 1 <= int(text) <= most):
        raise SettingError(f"{name} is {text!r}: it must be a whole number from 1 to {most}")
    return int(text) if text else default


def _flag(environment: Mapping[str, str], name: str, *, default: bool) -> bool:
    text = environment.get(name, "").strip().lower()
    if text not in {"", "true", "false"}:
        raise SettingError(f"{name} is {text!r}: it must be true or false")
    return default if not text else text == "true"
