"""What CloudFormation does for whoever installs or uninstalls: each action of their documents, taken away alone.

A stack is created, upgraded and deleted by somebody with a document, as the scripts would have it, and the gate notes
what each of these takes. Then each is done again without one of the actions: it must fail, and the events of the stack,
which the scripts show, must name action and resource.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.installers.gated import gated
from tests.installers.rights import INSTALLING, UNINSTALLING, of_stacks
from tests.installers.stacks_by_rights import Stacks, stacks_of

pytestmark = pytest.mark.timeout(600)

# The kind of installation that takes most of each document.
LARGEST = {"Uninstall": "Spread", "TopoCronUninstall": "TopoCronSpread"}
# What a right is taken away from, the first that takes it: an upgrade that may not remove what is obsolete succeeds.
TRIED = ("create", "delete", "uninstall", "upgrade", "unbind")
CASES = [(document, action) for document in (*INSTALLING, *UNINSTALLING) for action in of_stacks(document)]


@pytest.fixture(scope="module")
def stacks(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stacks]:
    """A stack behind the gate."""
    with gated(release, tmp_path_factory.mktemp("former") / "release") as behind:
        yield stacks_of(behind)


@pytest.mark.parametrize(("document", "action"), CASES, ids=[" ".join(case) for case in CASES])
def test_without_a_right_the_stack_fails_and_names_it(stacks: Stacks, document: str, action: str) -> None:
    kind = LARGEST.get(document, document)
    steps = {name: takes for name, takes in stacks.live(kind).items() if (name == "uninstall") == (document in LARGEST)}
    takers = [name for name in TRIED if action in steps.get(name, ())]
    assert takers, f"nothing that is done with {document} takes {action}"

    outcome = stacks.take_without(kind, takers[0], action)

    assert outcome.status not in {"CREATE_COMPLETE", "UPDATE_COMPLETE", "DELETE_COMPLETE"}, outcome
    assert any(f"not authorized to perform: {action} " in reason for reason in outcome.reasons.values()), outcome
