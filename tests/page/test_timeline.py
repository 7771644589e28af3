"""What the entries of the timeline say, without a browser."""

from page.timeline import MOST_CHANGES, Entry, changed_fields, comparison
from tests.page.scene import SHOP, component, relation, topology


def test_a_comparison_tells_what_appeared_changed_and_vanished() -> None:
    before = topology(component("a", Name="first"), component("b", Size=1), relation("a", "b"))
    after = topology(component("b", Size=2), component("c"))

    entry = comparison(before, after)

    assert entry.components == {"created": 1, "updated": 1, "deleted": 1}
    assert entry.relations == {"created": 0, "updated": 0, "deleted": 1}
    assert [(each["what"], each["externalId"], each["name"]) for each in entry.changes] == [
        ("deleted", "a", "first"),
        ("updated", "b", "b"),
        ("created", "c", "c"),
    ]
    assert entry.changes[1]["fields"] == [{"name": "Size", "old": "1", "new": "2"}]


def test_a_comparison_with_itself_is_empty() -> None:
    assert comparison(topology(*SHOP), topology(*SHOP)).changes == []


def test_changed_fields_are_named_by_their_path_with_what_is_new_and_gone() -> None:
    before = {"Tags": {"team": "shop", "old": "x"}, "Same": [1], "List": [1]}
    after = {"Tags": {"team": "sales", "new": "y"}, "Same": [1], "List": [1, 2]}

    assert changed_fields(before, after) == [
        {"name": "List", "old": "[1]", "new": "[1, 2]"},
        {"name": "Tags.new", "old": None, "new": "y"},
        {"name": "Tags.old", "old": "x", "new": None},
        {"name": "Tags.team", "old": "shop", "new": "sales"},
    ]


def test_long_values_are_cut() -> None:
    [field] = changed_fields({"Policy": "x" * 5000}, {"Policy": "short"})

    assert field["old"] is not None
    assert len(field["old"]) < 200


def test_the_changes_of_a_large_snapshot_are_counted_and_the_first_ones_told() -> None:
    entry = Entry("snapshot", "aws/1")

    for number in range(MOST_CHANGES + 5):
        entry.component(None, component(f"q{number}"))

    assert entry.components["created"] == MOST_CHANGES + 5
    assert len(entry.changes) == MOST_CHANGES
