"""How a resource of a stack is made, changed and removed: through the service's own API, with what `kinds` declares.

Types that `kinds` does not know are left to moto's CloudFormation models, where moto has one. Those write into moto
without an API call, so no CloudTrail event tells of them.
"""

from __future__ import annotations

import json
import re
import secrets
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jmespath
from botocore import xform_name
from botocore.exceptions import ClientError
from botocore.model import Shape
from moto.cloudformation.parsing import generate_resource_name, get_model_map

Properties = dict[str, Any]
_GONE = re.compile("NotFound|NoSuch|NonExistent|DoesNotExist")


class ProvisionError(Exception):
    """A resource cannot be made as the template wants it."""


@dataclass
class Place:
    """Where a resource is made: account, region, stack, and clients that act for CloudFormation."""

    account: str
    region: str
    stack: str
    client: Callable[[str], Any]

    def call(self, service: str, operation: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """Call `operation` with those of `given` that it knows, brought to the types it wants."""
        client = self.client(service)
        shape = client.meta.service_model.operation_model(operation).input_shape
        answer: dict[str, Any] = getattr(client, xform_name(operation))(**fit(shape, given))
        return answer


@dataclass(frozen=True)
class Step:
    """A call that takes properties of its own: made when one of `properties` is there or has changed."""

    properties: tuple[str, ...]
    run: Callable[[Place, str, Properties, Properties], None]


@dataclass(frozen=True)
class Tagging:
    """The calls that set and remove tags of one kind of resource."""

    add: str
    remove: str
    parameter: str  # names the resource
    by: str = "{arn}"
    tags: str = "Tags"
    form: str = "list"  # list of Key and Value, map, or kms
    keys: str = "TagKeys"


@dataclass(frozen=True)
class Kind:
    """A resource type in terms of its service's API."""

    service: str
    create: str
    delete: str
    parameter: str  # names the resource in the delete and update calls
    created: str = ""  # where the create call's answer has the id; none: the name is the id
    name: str = ""  # the property that names it; a name is made up where the template gives none
    length: int = 64  # of that name
    update: str | None = None  # the call that changes it; none: every change replaces it
    fixed: tuple[str, ...] = ()  # properties whose change replaces it, beside `name`
    arn: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    also: tuple[str, ...] = ()  # properties of steps that the create call takes as well
    renamed: Mapping[str, str] = field(default_factory=dict)  # property to parameter
    steps: tuple[Step, ...] = ()
    tagging: Tagging | None = None
    prepare: Callable[[Place, Properties], Properties] | None = None
    before_delete: Callable[[Place, str, Properties], None] | None = None
    delete_with: Callable[[Properties], Properties] | None = None

    def attribute(self, place: Place, identity: str, properties: Properties, name: str) -> Any:
        """Ref (name "") or an attribute of the resource."""
        known = {"": "{id}", "Arn": self.arn} | dict(self.attributes)
        if name not in known:
            raise ProvisionError(f"Requested attribute {name} does not exist in schema")
        pattern = known[name]
        if pattern.startswith("="):  # read from AWS: service operation parameter path
            operation, parameter, path = pattern[1:].split()
            return jmespath.search(path, place.call(self.service, operation, {parameter: identity}))
        names = {"id": identity, "region": place.region, "account": place.account}
        names["name"] = str(properties.get(self.name) or identity)
        return pattern.format(arn=self.arn.format(**names), **names)

    def make(self, place: Place, logical_id: str, properties: Properties) -> tuple[str, Properties]:
        """Create a resource; its physical id, and the properties with the name that was made up."""
        if self.name and not properties.get(self.name):
            name = made_up_name(place.stack, logical_id, self.length)
            properties = {**properties, self.name: name.lower() if self.service == "s3" else name}
        answer = place.call(self.service, self.create, self._parameters(place, properties))
        identity = str(jmespath.search(self.created, answer)) if self.created else str(properties[self.name])
        try:
            self._run_steps(place, identity, properties, {})
        except (ClientError, ProvisionError):
            self.remove(place, identity, properties)  # the stack never learns its id, so no rollback would
            raise
        return identity, properties

    def replaces(self, new: Properties, old: Properties) -> bool:
        """Whether the change from `old` to `new` needs another resource."""
        changed = _changed(new, old)
        if self.name and not new.get(self.name):
            changed.discard(self.name)  # the made-up name stays
        return bool(changed & {*self.fixed, self.name}) or (self.update is None and bool(changed - self._stepped))

    def change(self, place: Place, identity: str, new: Properties, old: Properties) -> None:
        """Bring an existing resource from `old` to `new`."""
        if self.update and _changed(new, old) - self._stepped:
            place.call(self.service, self.update, self._parameters(place, new) | {self.parameter: identity})
        self._run_steps(place, identity, new, old)

    def remove(self, place: Place, identity: str, properties: Properties) -> None:
        """Delete a resource; one that is gone already is fine."""
        more = self.delete_with(properties) if self.delete_with else {}
        try:
            if self.before_delete:
                self.before_delete(place, identity, properties)
            place.call(self.service, self.delete, {self.parameter: identity} | more)
        except ClientError as error:
            if not _GONE.search(error.response["Error"]["Code"]):
                raise

    @property
    def takes_tags(self) -> bool:
        """Whether resources of this type can be tagged."""
        return self.tagging is not None or any("Tags" in step.properties for step in self.steps)

    @property
    def _stepped(self) -> set[str]:
        return {name for step in self.steps for name in step.properties} | {"Tags"}

    def _parameters(self, place: Place, properties: Properties) -> Properties:
        wanted = {name: value for name, value in properties.items() if name not in self._stepped - {*self.also}}
        if self.prepare:
            wanted = self.prepare(place, wanted)
        return {self.renamed.get(name, name): value for name, value in wanted.items()}

    def _run_steps(self, place: Place, identity: str, new: Properties, old: Properties) -> None:
        changed = _changed(new, old)
        for step in self.steps:
            if changed & set(step.properties):
                step.run(place, identity, new, old)
        if self.tagging and "Tags" in changed:
            arn = self.attribute(place, identity, new, "Arn") if "{arn}" in self.tagging.by else ""
            name = self.tagging.by.format(arn=arn, id=identity)
            _tag(place, self.service, self.tagging, name, _tags(new), _tags(old))


def made_up_name(stack: str, logical_id: str, length: int) -> str:
    """A name as CloudFormation makes them up, at most `length` characters long."""
    suffix = "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(12))
    return f"{f'{stack}-{logical_id}'[: length - 13]}-{suffix}"


def _changed(new: Properties, old: Properties) -> set[str]:
    return {name for name in new.keys() | old.keys() if new.get(name) != old.get(name)}


def _tags(properties: Properties) -> dict[str, str]:
    tags = properties.get("Tags") or {}
    return dict(tags) if isinstance(tags, dict) else {tag["Key"]: str(tag["Value"]) for tag in tags}


def _tag(place: Place, service: str, how: Tagging, name: str, new: dict[str, str], old: dict[str, str]) -> None:
    if gone := sorted(old.keys() - new.keys()):
        keys: Any = [{"Key": key} for key in gone] if how.remove == "RemoveTags" else gone
        place.call(service, how.remove, {how.parameter: name, how.keys: keys})
    if new:
        prefix = "Tag" if how.form == "kms" else ""
        tags: Any = [{f"{prefix}Key": key, f"{prefix}Value": value} for key, value in new.items()]
        place.call(service, how.add, {how.parameter: name, how.tags: new if how.form == "map" else tags})


def fit(shape: Shape | None, value: Any) -> Any:
    """`value` in the types of `shape`: templates know little but text, and have names that the API lacks."""
    kind = shape.type_name if shape is not None else "string"
    if kind == "structure" and isinstance(value, Mapping):
        members = {name.lower(): (name, member) for name, member in shape.members.items()}  # type: ignore[union-attr]
        known = [(*members[name.lower()], entry) for name, entry in value.items() if name.lower() in members]
        return {name: fit(member, entry) for name, member, entry in known}
    if kind == "map" and isinstance(value, Mapping):
        return {name: fit(shape.value, entry) for name, entry in value.items()}  # type: ignore[union-attr]
    if kind == "list":
        return [fit(shape.member, e) for e in (value if isinstance(value, list) else [value])]  # type: ignore[union-attr]
    if kind == "boolean":
        return str(value).lower() == "true"
    if kind in {"integer", "long"}:
        return int(value)
    if kind in {"float", "double"}:
        return float(value)
    if kind == "string" and not isinstance(value, str):
        return json.dumps(value)
    return value


class MotoKind:
    """A resource type that only moto's own CloudFormation knows. A change of it is a replacement."""

    def __init__(self, type_name: str) -> None:
        self.type_name = type_name
        self._model = get_model_map()[type_name]
        self._name = self._model.cloudformation_name_type() or ""
        self._made: dict[str, Any] = {}

    def make(self, place: Place, logical_id: str, properties: Properties) -> tuple[str, Properties]:
        """Create it; the physical id and the properties with the name that was made up."""
        name = properties.get(self._name) or generate_resource_name(self.type_name, place.stack, logical_id)
        properties = {**properties, self._name: name} if self._name else properties
        definition = {"Type": self.type_name, "Properties": properties}
        more = {"LogicalId": logical_id, "StackId": place.stack, "ResourceType": self.type_name}
        made = self._model.create_from_cloudformation_json(name, definition, place.account, place.region, **more)
        self._made[str(made.physical_resource_id)] = made
        return str(made.physical_resource_id), properties

    def replaces(self, new: Properties, old: Properties) -> bool:
        """Always: moto's own updates do too little to rely on."""
        return new != old

    def change(self, place: Place, identity: str, new: Properties, old: Properties) -> None:
        """Never needed, see `replaces`."""

    def remove(self, place: Place, identity: str, properties: Properties) -> None:
        """Delete it."""
        made = self._made.pop(identity, None)
        if hasattr(made, "delete"):
            made.delete(place.account, place.region)
        else:
            definition = {"Type": self.type_name, "Properties": properties}
            self._model.delete_from_cloudformation_json(identity, definition, place.account, place.region)

    def attribute(self, place: Place, identity: str, properties: Properties, name: str) -> Any:
        """Ref (name "") or an attribute."""
        return self._made[identity].get_cfn_attribute(name) if name else identity


def moto_knows(type_name: str) -> bool:
    """Whether moto's CloudFormation can make this type."""
    return type_name in get_model_map()
