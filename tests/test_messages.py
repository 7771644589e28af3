"""docs/messages.md explains all that the software can print."""

import re

from tests.test_status import kinds
from tools.messages import EXPLAINED, messages, of_python, of_shell, unexplained
from topology.errors import AwsError, Gone


def test_every_message_is_explained() -> None:
    assert unexplained(EXPLAINED.read_text()) == []


def test_messages_of_functions_and_scripts_are_found() -> None:
    places = {where.split(":")[0] for where, _ in messages()}

    assert {"functions/topology/settings.py", "functions/topology/network.py", "install.sh", "doctor.sh"} <= places


def test_what_is_raised_logged_or_noted_in_python_is_a_message() -> None:
    source = """
raise SettingError(f"{name} is missing: give it")
raise TypeError("for programmers")
logger.warning("snapshot %s is open", name)
ledger.not_closed_because.append("nothing was found")
others.append("not a message")
"""

    assert [text for _, text in of_python(source)] == [
        "… is missing: give it", "snapshot … is open", "nothing was found",
    ]  # fmt: skip


def test_what_a_script_tells_is_a_message_whatever_is_filled_in() -> None:
    source = r"""
  fail "no \"$one\" in ${two:-$(three "x)")},
  nor $*"
  say "Note: $(four '(' "five") is odd"
  # fail "only said"
  say "nothing wrong"
"""

    assert [text for _, text in of_shell(source)] == ['no "…" in …, nor …', "Note: … is odd"]


def test_a_message_that_is_not_explained_is_found() -> None:
    document = EXPLAINED.read_text().replace("no component was found at all", "")

    assert [re.sub(r":\d+", "", line) for line in unexplained(document)] == [
        "functions/topology/snapshot.py: no component was found at all"
    ]


def test_every_cause_of_an_unread_scope_is_explained() -> None:
    document = EXPLAINED.read_text()

    assert not [kind for kind in kinds() if kind is not Gone and f"`{kind.cause}`" not in document]
    assert AwsError in kinds()
