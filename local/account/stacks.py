"""What CloudFormation does with a stack: resources made, changed and removed in order, rollback, status and events.

Why not moto's CloudFormation: it makes nothing of a SAM template, drops a third of the properties and several types
that the project needs, ignores conditions at update, and has neither rollback nor a failure path. Patched from
outside, each of these breaks another. So stacks are ours, and their resources are made through moto's normal API, by
calls that CloudTrail sees as CloudFormation's.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError, ParamValidationError

from local.account.handlers import needed
from local.account.kinds import kind_of
from local.account.plans import NESTED, WAIT_HANDLE, Plan, Resource, Stack, now
from local.account.provision import Place, Properties, ProvisionError
from local.account.template import Lookup, Scope, TemplateError, parameter_values, parse, transformed

# Each gives the name of the resource that could not be taken back to what it was, or nothing.
_Undo = list[Callable[[], str]]


class _FailedError(Exception):
    """A resource could not be made or changed."""

    def __init__(self, logical_id: str, verb: str) -> None:
        super().__init__(f"The following resource(s) failed to {verb}: [{logical_id}]. ")


class Engine:
    """Runs stacks of one account."""

    def __init__(
        self,
        account_id: str,
        clients: Callable[[str, str, str], Any],
        put_event: Callable[[Mapping[str, Any]], None],
        permit: Callable[[str], None] = lambda action: None,
    ) -> None:
        self.account_id = account_id
        self.stacks: dict[str, Stack] = {}
        self._clients = clients
        self._put_event = put_event
        self._permit = permit
        self._open_clients: dict[tuple[str, str], Any] = {}

    # -- what is asked for

    def new_stack(self, name: str, region: str, **settings: Any) -> Stack:
        """A stack that has nothing yet."""
        identity = f"arn:aws:cloudformation:{region}:{self.account_id}:stack/{name}/{uuid.uuid4()}"
        stack = Stack(name, identity, region, **settings)
        self.stacks[identity] = stack
        return stack

    def plan(self, stack: Stack, text: str, given: dict[str, str], tags: dict[str, str]) -> Plan:
        """Process a template for a stack.

        Raises:
            TemplateError: the template or a parameter is refused.
        """
        source = parse(text)
        values = parameter_values(source, given)
        pseudo: dict[str, Any] = {
            "AccountId": self.account_id,
            "Region": stack.region,
            "Partition": "aws",
            "StackName": stack.name,
        }
        pseudo |= {"StackId": stack.id, "URLSuffix": "amazonaws.com", "NotificationARNs": []}
        names = {f"AWS::{name}": value for name, value in pseudo.items()}
        Scope(source, values, names).check_rules()
        template = transformed(source, values | {"AWS::Region": stack.region})
        scope = Scope(template, values, names, self.exports(stack.region, stack))
        for resource in scope.resources().values():
            if resource["Type"] not in {NESTED, WAIT_HANDLE}:
                try:
                    kind_of(resource["Type"])
                except ProvisionError as error:
                    raise TemplateError(str(error)) from error
        return Plan(text, template, given, scope, tags, template is not source)

    def exports(self, region: str, but: Stack | None = None) -> dict[str, str]:
        """Exported outputs of a region's stacks."""
        return {
            output["ExportName"]: output["OutputValue"]
            for stack in self.stacks.values()
            if stack.region == region and stack is not but and stack.deleted is None
            for output in stack.outputs.values()
            if "ExportName" in output
        }

    # -- what is done

    def review(self, stack: Stack) -> None:
        """Note that a stack exists, and waits for its first change set to be executed."""
        self._status(stack, "REVIEW_IN_PROGRESS", "User Initiated")

    def create(self, stack: Stack, plan: Plan, on_failure: str = "ROLLBACK") -> None:
        """Make a stack's resources; undo that when one fails (on_failure ROLLBACK, DELETE or DO_NOTHING)."""
        stack.plan = plan
        self._status(stack, "CREATE_IN_PROGRESS", "User Initiated")
        try:
            self._apply(stack, plan, [], [])
        except _FailedError as failure:
            if on_failure == "DO_NOTHING" or stack.disable_rollback:
                self._status(stack, "CREATE_FAILED", str(failure))
            elif on_failure == "DELETE":
                self.delete(stack)
            else:
                self._status(stack, "ROLLBACK_IN_PROGRESS", f"{failure}Rollback requested by user.")
                failed = self._remove_all(stack, ())
                self._status(stack, "ROLLBACK_FAILED" if failed else "ROLLBACK_COMPLETE", failed)
        else:
            self._status(stack, "CREATE_COMPLETE")

    def update(self, stack: Stack, plan: Plan) -> None:
        """Bring a stack to `plan`; back to what it was when a resource fails."""
        before, resources = stack.plan, {name: Resource(**vars(r)) for name, r in stack.resources.items()}
        stack.plan, stack.updated = plan, now()
        undo: _Undo = []
        obsolete: list[Resource] = []
        self._status(stack, "UPDATE_IN_PROGRESS", "User Initiated")
        try:
            self._apply(stack, plan, undo, obsolete)
        except _FailedError as failure:
            self._status(stack, "UPDATE_ROLLBACK_IN_PROGRESS", str(failure))
            kept = [taken_back for step in reversed(undo) if (taken_back := step())]
            stack.plan, stack.resources = before, resources
            if kept:
                reason = f"The following resource(s) failed to update: [{', '.join(kept)}]. "
                self._status(stack, "UPDATE_ROLLBACK_FAILED", reason)
                return
            self._status(stack, "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS")
            self._status(stack, "UPDATE_ROLLBACK_COMPLETE")
            return
        self._status(stack, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
        wanted = plan.scope.resources()
        obsolete += [r for r in _last_first(stack, before) if r.logical_id not in wanted]
        for resource in obsolete:
            self._remove(stack, resource)
            if stack.resources.get(resource.logical_id) is resource:
                del stack.resources[resource.logical_id]
        self._status(stack, "UPDATE_COMPLETE")

    def delete(self, stack: Stack, retain: tuple[str, ...] = ()) -> None:
        """Remove a stack's resources, last first."""
        self._status(stack, "DELETE_IN_PROGRESS", "User Initiated")
        if failed := self._remove_all(stack, retain):
            self._status(stack, "DELETE_FAILED", failed)
            return
        stack.deleted = now()
        stack.outputs = {}
        self._status(stack, "DELETE_COMPLETE")

    # -- how it is done

    def _apply(self, stack: Stack, plan: Plan, undo: _Undo, obsolete: list[Resource]) -> None:
        verb = "update" if stack.updated else "create"
        for logical_id, definition in plan.scope.resources().items():
            try:
                self._apply_resource(stack, plan, logical_id, definition, undo, obsolete)
            except (ClientError, ParamValidationError, ProvisionError, TemplateError) as error:
                resource = stack.resources[logical_id]
                self._resource_status(stack, resource, f"{verb.upper()}_FAILED", _why(error))
                raise _FailedError(logical_id, verb) from error
        try:
            stack.outputs = self._outputs(stack, plan)
        except (ClientError, ProvisionError, TemplateError) as error:
            raise _FailedError(f"Outputs: {error}", verb) from error

    def _apply_resource(
        self, stack: Stack, plan: Plan, logical_id: str, definition: dict[str, Any],
        undo: _Undo, obsolete: list[Resource],
    ) -> None:  # fmt: skip
        old = stack.resources.get(logical_id)
        type_name, policy = definition["Type"], definition.get("DeletionPolicy", "Delete")
        new = Resource(logical_id, type_name, plan.intent(definition), policy)
        stack.resources.setdefault(logical_id, new)
        lookup = self._lookup(stack)
        properties = plan.with_tags(type_name, plan.scope.evaluate(definition.get("Properties", {}), lookup))
        if old is None or old.replaced_by(type_name, properties):
            self._make(stack, new, properties, undo)
            if old is not None:
                obsolete.insert(0, old)
            stack.resources[logical_id] = new
        elif (properties := old.named(properties)) != old.properties or (type_name == NESTED):
            self._change(stack, old, properties, undo)
            old.intent, old.policy = new.intent, policy

    def _make(self, stack: Stack, resource: Resource, properties: Properties, undo: _Undo) -> None:
        verb = "UPDATE" if stack.updated and resource.logical_id in stack.resources else "CREATE"
        self._resource_status(stack, resource, f"{verb}_IN_PROGRESS")
        place = self._place(stack)
        if resource.type == NESTED:
            resource.physical_id, resource.properties = self._make_nested(stack, resource, properties), properties
        elif resource.type == WAIT_HANDLE:
            resource.physical_id, resource.properties = f"{stack.name}-{resource.logical_id}", properties
        else:
            self._ask_for(resource.type, "create", properties)
            made = kind_of(resource.type).make(place, resource.logical_id, properties)
            resource.physical_id, resource.properties = made
        undo.append(lambda: self._unmake(stack, resource))
        self._resource_status(stack, resource, f"{verb}_COMPLETE")

    def _change(self, stack: Stack, resource: Resource, properties: Properties, undo: _Undo) -> None:
        old, place = resource.properties, self._place(stack)
        self._resource_status(stack, resource, "UPDATE_IN_PROGRESS")
        if resource.type == NESTED:
            self._update_nested(stack, resource, properties)
        elif resource.type != WAIT_HANDLE:
            kind = kind_of(resource.type)
            self._ask_for(resource.type, "update", properties)
            # Before the change: one that fails halfway is to be undone as well.
            undo.append(lambda: self._change_back(stack, resource, old, properties))
            kind.change(place, resource.physical_id, properties, old)
        resource.properties = properties
        self._resource_status(stack, resource, "UPDATE_COMPLETE")

    def _unmake(self, stack: Stack, resource: Resource) -> str:
        self._remove(stack, resource)
        return ""  # AWS leaves what it cannot remove behind, and calls the stack rolled back

    def _change_back(self, stack: Stack, resource: Resource, old: Properties, properties: Properties) -> str:
        try:
            kind_of(resource.type).change(self._place(stack), resource.physical_id, old, properties)
        except (ClientError, ProvisionError) as error:
            self._resource_status(stack, resource, "UPDATE_FAILED", _why(error))
            return resource.logical_id
        return ""

    def _remove_all(self, stack: Stack, retain: tuple[str, ...]) -> str:
        """Remove everything, last first; what could not be removed, in AWS's words, or nothing."""
        failed = []
        for resource in _last_first(stack, stack.plan):
            if resource.logical_id in retain:
                self._resource_status(stack, resource, "DELETE_SKIPPED")
            elif not self._remove(stack, resource):
                failed.append(resource.logical_id)
                continue
            del stack.resources[resource.logical_id]
        return f"The following resource(s) failed to delete: [{', '.join(failed)}]. " if failed else ""

    def _remove(self, stack: Stack, resource: Resource) -> bool:
        if resource.policy.startswith("Retain"):
            self._resource_status(stack, resource, "DELETE_SKIPPED")
            return True
        if not resource.physical_id:
            return True
        self._resource_status(stack, resource, "DELETE_IN_PROGRESS")
        try:
            if resource.type == NESTED:
                self._delete_nested(self.stacks[resource.physical_id])
            elif resource.type != WAIT_HANDLE:
                self._ask_for(resource.type, "delete", resource.properties)
                kind_of(resource.type).remove(self._place(stack), resource.physical_id, resource.properties)
        except (ClientError, ProvisionError) as error:
            self._resource_status(stack, resource, "DELETE_FAILED", _why(error))
            return False
        self._resource_status(stack, resource, "DELETE_COMPLETE")
        return True

    def _ask_for(self, type_name: str, verb: str, properties: Properties) -> None:
        """Pass the rights that AWS's handler needs beyond the calls that are made here."""
        for action in needed(type_name, verb, properties):
            self._permit(action)

    def _make_nested(self, stack: Stack, resource: Resource, properties: Properties) -> str:
        name = f"{stack.name}-{resource.logical_id}-{uuid.uuid4().hex[:12].upper()}"
        settings = {"parent": stack.id, "root": stack.root or stack.id, "capabilities": stack.capabilities}
        child = self.new_stack(name, stack.region, **settings)
        resource.physical_id = child.id
        self.create(child, self._nested_plan(stack, child, properties))
        if child.status != "CREATE_COMPLETE":
            raise ProvisionError(f"Embedded stack {child.id} was not successfully created: {child.reason}")
        return child.id

    def _update_nested(self, stack: Stack, resource: Resource, properties: Properties) -> None:
        child = self.stacks[resource.physical_id]
        plan = self._nested_plan(stack, child, properties)
        if not child.is_already(plan):
            self.update(child, plan)
        if "ROLLBACK" in child.status:
            raise ProvisionError(f"Embedded stack {child.id} was not successfully updated: {child.reason}")

    def _delete_nested(self, child: Stack) -> None:
        self.delete(child)
        if child.status == "DELETE_FAILED":
            raise ProvisionError(child.reason or "")

    def _nested_plan(self, stack: Stack, child: Stack, properties: Properties) -> Plan:
        given = {k: ",".join(v) if isinstance(v, list) else str(v) for k, v in properties.get("Parameters", {}).items()}
        tags = {tag["Key"]: tag["Value"] for tag in properties.get("Tags", [])}
        return self.plan(child, self.fetch(properties["TemplateURL"], stack.region), given, tags)

    def fetch(self, url: str, region: str) -> str:
        """The template at an S3 URL, in path or virtual-host style.

        Raises:
            TemplateError: it is not there.
        """
        hosted = re.match(r"https?://([^./]+)\.s3[.-][^/]*/([^?]+)", url)
        found = hosted or re.match(r"https?://[^/]+/([^/]+)/([^?]+)", url)
        if found is None:
            raise TemplateError("TemplateURL must be a supported URL.")
        try:
            answer = self._client("s3", region).get_object(Bucket=found.group(1), Key=found.group(2))
        except ClientError as error:
            raise TemplateError(f"S3 error: {error.response['Error'].get('Message')}") from error
        return str(answer["Body"].read().decode())

    def _lookup(self, stack: Stack) -> Lookup:
        def look(logical_id: str, attribute: str) -> Any:
            resource = stack.resources[logical_id]
            if resource.type == NESTED and attribute.startswith("Outputs."):
                outputs = self.stacks[resource.physical_id].outputs
                return outputs[attribute.removeprefix("Outputs.")]["OutputValue"]
            if resource.type in {NESTED, WAIT_HANDLE}:
                return resource.physical_id
            kind = kind_of(resource.type)
            return kind.attribute(self._place(stack), resource.physical_id, resource.properties, attribute)

        return look

    def _outputs(self, stack: Stack, plan: Plan) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        lookup = self._lookup(stack)
        for key, output in plan.template.get("Outputs", {}).items():
            if "Condition" in output and not plan.scope.condition(output["Condition"]):
                continue
            value = plan.scope.evaluate(output["Value"], lookup)
            found[key] = {"OutputKey": key, "OutputValue": str(value)}
            if "Description" in output:
                found[key]["Description"] = output["Description"]
            if "Export" in output:
                found[key]["ExportName"] = plan.scope.evaluate(output["Export"]["Name"], lookup)
        return found

    def _place(self, stack: Stack) -> Place:
        return Place(self.account_id, stack.region, stack.name, lambda service: self._client(service, stack.region))

    def _client(self, service: str, region: str) -> Any:
        if (service, region) not in self._open_clients:
            self._open_clients[service, region] = self._clients("cloudformation.amazonaws.com", service, region)
        return self._open_clients[service, region]

    def _status(self, stack: Stack, status: str, reason: str | None = None) -> None:
        stack.status, stack.reason = status, reason or None
        self._log(stack, stack.name, stack.id, NESTED, status, reason)
        detail = {"status": status, "status-reason": reason or ""}
        self._put_event(
            {
                "source": "aws.cloudformation",
                "detail-type": "CloudFormation Stack Status Change",
                "region": stack.region,
                "resources": [stack.id],
                "detail": {"stack-id": stack.id, "status-details": detail, "client-request-token": ""},
            }
        )

    def _resource_status(self, stack: Stack, resource: Resource, status: str, reason: str | None = None) -> None:
        resource.status, resource.reason, resource.time = status, reason, now()
        self._log(stack, resource.logical_id, resource.physical_id, resource.type, status, reason)

    def _log(
        self, stack: Stack, logical_id: str, physical_id: str, type_name: str, status: str, reason: str | None
    ) -> None:
        event = {"StackId": stack.id, "EventId": str(uuid.uuid4()), "StackName": stack.name, "Timestamp": now()}
        event |= {"LogicalResourceId": logical_id, "PhysicalResourceId": physical_id, "ResourceType": type_name}
        event |= {"ResourceStatus": status} | ({"ResourceStatusReason": reason} if reason else {})
        stack.events.append(event)


def _why(error: Exception) -> str:
    """The reason of a failure, as CloudFormation writes it."""
    if not isinstance(error, ClientError):
        return str(error)
    answer = error.response
    facts = answer.get("ResponseMetadata", {})
    status, request = facts.get("HTTPStatusCode"), facts.get("RequestId", uuid.uuid4())
    message = answer["Error"].get("Message") or answer["Error"]["Code"]
    return f"{message} (Operation: {error.operation_name}, Status Code: {status}, Request ID: {request})"


def _last_first(stack: Stack, plan: Plan | None) -> list[Resource]:
    """The stack's resources, each before those that it refers to (after updates, their order does not tell)."""
    order = {name: number for number, name in enumerate(plan.scope.resources())} if plan else {}
    return sorted(stack.resources.values(), key=lambda resource: order.get(resource.logical_id, -1), reverse=True)
