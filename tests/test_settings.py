"""The environment is checked at the start, and what is wrong with it is said by name."""

import pytest

from topology.errors import SettingError
from topology.settings import VARIABLES, Settings

ENOUGH = {"AWS_REGION": "eu-west-1", "TOPOLOGY_STREAM": "stackstate-topo-kinesis"}
DIRECT = {
    "AWS_REGION": "eu-west-1",
    "STACKSTATE_BASE_URL": "https://stackstate.example/receiver",
    "STACKSTATE_API_KEY_SECRET": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:key",
}


def test_what_is_not_said_has_the_defaults_of_the_design() -> None:
    settings = Settings.from_environment(ENOUGH)

    assert settings.regions == ("eu-west-1",)
    assert (settings.instance_type, settings.instance_url) == ("aws", "")
    assert settings.mask_values
    assert (settings.encoding, settings.ca_bundle, settings.skip_tls_verify) == ("deflate", "", False)


@pytest.mark.parametrize(
    "base",
    [
        "https://stackstate.example/receiver",
        " https://stackstate.example/receiver/ ",
        "https://stackstate.example/receiver/stsAgent",
        "https://stackstate.example/receiver/stsAgent/",
        "https://stackstate.example/receiver/stsAgent/intake/",
    ],
)
def test_every_form_of_the_receivers_address_that_people_paste_is_taken(base: str) -> None:
    settings = Settings.from_environment({**DIRECT, "STACKSTATE_BASE_URL": base})

    assert settings.base_url == "https://stackstate.example/receiver"


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({}, "AWS_REGION"),
        ({"AWS_REGION": "eu-west-1"}, "STACKSTATE_BASE_URL"),
        ({**DIRECT, "STACKSTATE_API_KEY_SECRET": ""}, "STACKSTATE_API_KEY_SECRET"),
        ({**DIRECT, "STACKSTATE_BASE_URL": "stackstate.example"}, "STACKSTATE_BASE_URL"),
        ({**DIRECT, "STACKSTATE_BASE_URL": "ftp://stackstate.example"}, "STACKSTATE_BASE_URL"),
        ({**ENOUGH, "TOPOLOGY_REGIONS": "eu-west-1, Ireland"}, "TOPOLOGY_REGIONS"),
        ({**ENOUGH, "TOPOLOGY_MASK_VALUES": "maybe"}, "TOPOLOGY_MASK_VALUES"),
        ({**ENOUGH, "TOPOLOGY_API_SHARE": "0"}, "TOPOLOGY_API_SHARE"),
        ({**ENOUGH, "TOPOLOGY_API_SHARE": "half"}, "TOPOLOGY_API_SHARE"),
        ({**DIRECT, "STACKSTATE_ENCODING": "zstd"}, "STACKSTATE_ENCODING"),
        ({**DIRECT, "STACKSTATE_CA_BUNDLE": "/nowhere/ca.pem"}, "STACKSTATE_CA_BUNDLE"),
        ({**DIRECT, "STACKSTATE_CA_BUNDLE": "-----BEGIN CERTIFICATE----- AAAA"}, "STACKSTATE_CA_BUNDLE"),
        ({**DIRECT, "STACKSTATE_SKIP_TLS_VERIFY": "yes"}, "STACKSTATE_SKIP_TLS_VERIFY"),
    ],
)
def test_what_is_missing_or_malformed_is_named(environment: dict[str, str], named: str) -> None:
    with pytest.raises(SettingError, match=named):
        Settings.from_environment(environment)


def test_the_regions_are_a_list_without_repetitions() -> None:
    settings = Settings.from_environment({**ENOUGH, "TOPOLOGY_REGIONS": "eu-west-1, us-gov-west-1,eu-west-1"})

    assert settings.regions == ("eu-west-1", "us-gov-west-1")


def test_no_variable_is_read_that_is_not_listed() -> None:
    read = set()

    class Watched(dict[str, str]):
        def get(self, name: str, default: str = "") -> str:  # type: ignore[override]
            read.add(name)
            return super().get(name, default)

    Settings.from_environment(Watched(ENOUGH))

    unread = {"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"}
    assert read == set(VARIABLES) - unread | {"AWS_REGION"}
