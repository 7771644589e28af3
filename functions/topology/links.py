"""What CloudFormation calls the elements: the small index that links stacks to what they made in other scopes."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import orjson

from topology.declare import Resource
from topology.elements import Relation, Scope
from topology.read import unique
from topology.readings import Texts, type_of
from topology.records import Entry, id_of

Link = tuple[str, str, str, str]
"""Source, relation type, CloudFormation type and physical id."""


@dataclass
class Names:
    """Ids of components under the physical ids that stacks have for them.

    Args:
        resources: everything that may be in a stack.
    """

    resources: Sequence[Resource]
    ids: dict[tuple[str, str, str, str], list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, resource: Resource, scope: Scope, key: str, type_: str, id_: str) -> None:
        """Remember a component of the item with this key under the physical id that a stack would have for it."""
        for cloudformation_type, types in resource.cloudformation.items():
            if type_ in types:
                name = _common_name(resource, scope, key)
                self.ids[scope.account, scope.region, cloudformation_type, name].append(id_)

    def add_items(self, scope: Scope, items: Iterable[tuple[Entry, Texts]]) -> None:
        """Remember the components of items of a scope, those that an item shares with an earlier one included."""
        kinds = {resource.kind: resource for resource in self.resources if resource.cloudformation}
        types: dict[str, str] = {}
        for entry, texts in items:
            own = {orjson.loads(id_of(text)): type_of(text).decode() for kind, text in texts if kind == "components"}
            types |= own
            if resource := kinds.get(entry.kind):
                for id_ in [*own, *entry.shared]:
                    if id_ in types:
                        self.add(resource, scope, entry.key, types[id_], id_)

    def relations(self, scope: Scope, link: Link, *, known_only: bool) -> Iterator[Relation]:
        """The relations that a link of a stack stands for; what the index does not have may be believed by its name."""
        source, type_, cloudformation_type, physical_id = link
        resource = next((one for one in self.resources if cloudformation_type in one.cloudformation), None)
        if resource is None:
            return
        name = _common_name(resource, scope, physical_id)
        targets = self.ids.get((scope.account, scope.region, cloudformation_type, name), [])
        if not targets and not known_only and resource.component_id:
            targets = [resource.component_id(scope, physical_id)]
        yield from (Relation(source, type_, target) for target in unique(targets))


def _common_name(resource: Resource, scope: Scope, key: str) -> str:
    # Stacks name queues by URL, tests and older stacks by name; the component's id is the same for all of these.
    return resource.component_id(scope, key) if resource.component_id else resource.lookup_key(scope, key)
