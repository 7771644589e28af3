"""Examples of what AWS answers, made from botocore's models, and what the declarations make of them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from botocore.model import Shape

from tools import models
from topology.aws import search
from topology.collect import Account, spoken
from topology.declare import Call, Resource
from topology.elements import Element, Incomplete, LeftOut, Scope
from topology.read import Reader
from topology.resources import ALL

# Gives the text for a member of an answer, from its name and shape.
Text = Callable[[str, Shape], str]
DEEPEST = 9
# Texts that a resource takes apart or compares, by member, so that it finds in the example what it looks for.
TELLING: Mapping[str, Any] = {
    "State": "Enabled",
    "StackStatus": "CREATE_COMPLETE",
    "Type": "application",
    "type": "AWS",
    "status": "ACTIVE",
    "Protocol": "sqs",
    "group": "service:shop",
    "path": "/orders",
    "Key": "name",
    "key": "name",
}


def answer(shape: Shape, text: Text, name: str = "", depth: int = 0) -> Any:
    """An answer of this shape with every member present, lists and mappings with one entry.

    `name` is that of the member; elements of a list are called by its singular, which is what looks them up again.
    """
    if depth > DEEPEST:
        return None
    match shape.type_name:
        case "structure":
            members: Mapping[str, Shape] = shape.members  # type: ignore[attr-defined]
            return {key: answer(member, text, key, depth + 1) for key, member in members.items()}
        case "list":
            return [answer(shape.member, text, name.removesuffix("s"), depth + 1)]  # type: ignore[attr-defined]
        case "map":
            entry = {"entry": answer(shape.value, text, name, depth + 1)}  # type: ignore[attr-defined]
            # The attributes of a queue are a mapping, of which this one is needed.
            return entry | {"QueueArn": text("QueueArn", shape)} if name == "Attributes" else entry
        case "boolean":
            return True
        case "integer" | "long" | "double" | "float":
            return 1
    return TELLING.get(name) or text(name, shape)


class Answering:
    """Stands in for `Aws`, and answers every call with an example of what its model says."""

    def __init__(self, text: Text) -> None:
        self._text = text

    def ask(self, call: Call, _parameters: Mapping[str, Any]) -> Any:
        """The result of an example of the operation's answer."""
        shape = models.of(call.service).operation_model(models.operation_name(call)).output_shape
        return search(call.result, answer(shape, self._text)) if shape else None

    def pages(self, call: Call, parameters: Mapping[str, Any]) -> Iterator[Any]:
        """The elements of the one page that there is."""
        yield from self.ask(call, parameters) or ()

    def about(self, call: Call, _ids: Sequence[str], parameters: Mapping[str, Any] | None = None) -> Iterator[Any]:
        """The same, whatever it is asked about."""
        found = self.ask(call, parameters or {})
        yield from found if isinstance(found, list) else [found]


def emitted(resource: Resource, scope: Scope, text: Text, *, masked: bool = True) -> list[Element]:
    """The elements that the resource makes of an example of each of its calls."""
    account = Account(scope.account, scope.partition, (scope.region,), ALL, {}, masked)
    failures: list[Incomplete | LeftOut] = []
    with ThreadPoolExecutor(1) as pool:
        reader = Reader(Answering(text), scope, pool, failures.append)  # type: ignore[arg-type]
        items = list(reader.items(resource))
    if failures:
        raise AssertionError(f"{resource.kind}: the example was not read: {failures}")
    return [element for item in items for element in spoken(account, resource, scope, item).elements]
