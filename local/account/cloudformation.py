"""CloudFormation's API, as the AWS CLI, SAM and boto3 call it; `stacks` does the work."""

from __future__ import annotations

import contextvars
import json
import threading
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from local.account.plans import Plan, Stack, now
from local.account.stacks import Engine
from local.account.template import TemplateError, parse, transformed, uses_sam
from local.account.wire import Answer, Call, acting_for

# AWS answers at once and works on. Clients ask for the outcome right away and then every 30 seconds, so on a machine
# where most stacks take a few seconds, a little patience here saves theirs.
_PATIENCE = 20.0
_NAMED = {"RoleName", "ManagedPolicyName", "PolicyName", "UserName", "GroupName", "InstanceProfileName"}
_NO_CHANGES = "The submitted information didn't contain changes. Submit different information to create a change set."
_Parameters = dict[str, Any]


class _RefusalError(Exception):
    """A call that CloudFormation refuses."""

    def __init__(self, message: str, code: str = "ValidationError") -> None:
        super().__init__(message)
        self.code = code


class CloudFormation:
    """The stacks of an account, behind CloudFormation's API."""

    def __init__(
        self,
        account_id: str,
        clients: Callable[[str, str, str], Any],
        put_event: Callable[[Mapping[str, Any]], None],
        permit: Callable[[str], None] = lambda action: None,
    ) -> None:
        self.engine = Engine(account_id, clients, put_event, permit)
        self.handlers: dict[str, Callable[[Call], Answer]] = {
            "".join(word.capitalize() for word in method.__name__.split("_")): _answering(method)
            for method in (
                self.create_stack, self.update_stack, self.delete_stack, self.describe_stacks, self.list_stacks,
                self.describe_stack_events, self.describe_stack_resources, self.describe_stack_resource,
                self.list_stack_resources, self.get_template, self.get_template_summary, self.create_change_set,
                self.describe_change_set, self.execute_change_set, self.delete_change_set, self.list_change_sets,
                self.list_exports, self.update_termination_protection,
            )
        }  # fmt: skip

    # -- stacks

    def create_stack(self, p: _Parameters, region: str) -> _Parameters:
        """CreateStack."""
        if self._find(p["StackName"], region):
            raise _RefusalError(f"Stack [{p['StackName']}] already exists", "AlreadyExistsException")
        stack, plan = self._new(p, region)
        if plan.sam and "CAPABILITY_AUTO_EXPAND" not in p.get("Capabilities", []):
            del self.engine.stacks[stack.id]
            raise _RefusalError("Requires capabilities : [CAPABILITY_AUTO_EXPAND]", "InsufficientCapabilitiesException")
        on_failure = p.get("OnFailure", "ROLLBACK")
        self._run(stack, lambda: self.engine.create(stack, plan, on_failure))
        return {"StackId": stack.id}

    def update_stack(self, p: _Parameters, region: str) -> _Parameters:
        """UpdateStack."""
        stack = self._updatable(p["StackName"], region)
        plan = self._plan(stack, p)
        if stack.is_already(plan):
            raise _RefusalError("No updates are to be performed.")
        self._run(stack, lambda: self.engine.update(stack, plan))
        return {"StackId": stack.id}

    def delete_stack(self, p: _Parameters, region: str) -> _Parameters:
        """DeleteStack; succeeds for a stack that does not exist, as in AWS."""
        stack = self._find(p["StackName"], region)
        if stack is None:
            return {}
        if stack.protected:
            raise _RefusalError(f"Stack [{stack.name}] cannot be deleted while TerminationProtection is enabled")
        if users := [s.name for s in self.engine.stacks.values() if s.plan and not s.deleted and _imports(stack, s)]:
            raise _RefusalError(f"Export cannot be deleted as it is in use by {', '.join(users)}")
        retain = tuple(p.get("RetainResources", ()))
        self._run(stack, lambda: self.engine.delete(stack, retain))
        return {}

    def describe_stacks(self, p: _Parameters, region: str) -> _Parameters:
        """DescribeStacks: all live ones, one by name, or one by id, which also finds a deleted one."""
        if name := p.get("StackName"):
            return {"Stacks": [_description(self._get(name, region, with_deleted=True))]}
        live = [stack for stack in self._stacks(region) if stack.deleted is None]
        return {"Stacks": [_description(stack) for stack in live]}

    def list_stacks(self, p: _Parameters, region: str) -> _Parameters:
        """ListStacks."""
        wanted = p.get("StackStatusFilter")
        found = [s for s in self._stacks(region) if not wanted or s.status in wanted]
        return {"StackSummaries": [_description(stack) for stack in found]}

    def describe_stack_events(self, p: _Parameters, region: str) -> _Parameters:
        """DescribeStackEvents, the newest first."""
        return {"StackEvents": list(reversed(self._get(p["StackName"], region, with_deleted=True).events))}

    def describe_stack_resources(self, p: _Parameters, region: str) -> _Parameters:
        """DescribeStackResources, by stack or by the physical id of one resource."""
        if name := p.get("StackName"):
            stack = self._get(name, region, with_deleted=True)
        else:
            owners = [s for s in self._stacks(region) if p["PhysicalResourceId"] in _physical_ids(s)]
            if not owners:
                raise _RefusalError(f"Stack for {p['PhysicalResourceId']} does not exist")
            stack = owners[0]
        wanted = p.get("LogicalResourceId")
        return {"StackResources": [r for r in _resources(stack) if wanted in {None, r["LogicalResourceId"]}]}

    def describe_stack_resource(self, p: _Parameters, region: str) -> _Parameters:
        """DescribeStackResource."""
        stack = self._get(p["StackName"], region)
        for resource in _resources(stack):
            if resource["LogicalResourceId"] == p["LogicalResourceId"]:
                return {"StackResourceDetail": resource}
        raise _RefusalError(f"Resource {p['LogicalResourceId']} does not exist for stack {stack.name}")

    def list_stack_resources(self, p: _Parameters, region: str) -> _Parameters:
        """ListStackResources."""
        return {"StackResourceSummaries": _resources(self._get(p["StackName"], region, with_deleted=True))}

    def update_termination_protection(self, p: _Parameters, region: str) -> _Parameters:
        """UpdateTerminationProtection."""
        stack = self._get(p["StackName"], region)
        stack.protected = p["EnableTerminationProtection"]
        return {"StackId": stack.id}

    def list_exports(self, p: _Parameters, region: str) -> _Parameters:
        """ListExports."""
        return {
            "Exports": [
                {"ExportingStackId": stack.id, "Name": output["ExportName"], "Value": output["OutputValue"]}
                for stack in self._stacks(region)
                for output in stack.outputs.values()
                if "ExportName" in output
            ]
        }

    # -- templates

    def get_template(self, p: _Parameters, region: str) -> _Parameters:
        """GetTemplate: as it was given, or processed."""
        stack = self._get(p["StackName"], region, with_deleted=True)
        plan = stack.change_sets[p["ChangeSetName"]]["Plan"] if p.get("ChangeSetName") else stack.plan
        processed = p.get("TemplateStage") == "Processed"
        body = json.dumps(plan.template) if processed and plan else plan.text if plan else ""
        return {"TemplateBody": body, "StagesAvailable": ["Original", "Processed"]}

    def get_template_summary(self, p: _Parameters, region: str) -> _Parameters:
        """GetTemplateSummary."""
        if name := p.get("StackName"):
            plan = self._get(name, region).plan
            template = parse(plan.text) if plan else {}
        else:
            template = parse(self._template_text(p, region))
        parameters = [
            {
                "ParameterKey": name,
                "ParameterType": parameter.get("Type", "String"),
                "NoEcho": str(parameter.get("NoEcho", False)).lower() == "true",
                "ParameterConstraints": {"AllowedValues": list(map(str, parameter.get("AllowedValues", [])))},
            }
            | ({"DefaultValue": str(parameter["Default"])} if "Default" in parameter else {})
            | ({"Description": parameter["Description"]} if "Description" in parameter else {})
            for name, parameter in template.get("Parameters", {}).items()
        ]
        defaults = {name: str(p.get("Default", "x")) for name, p in template.get("Parameters", {}).items()}
        types = sorted({resource["Type"] for resource in template["Resources"].values()})
        return {
            "Parameters": parameters,
            "ResourceTypes": types,
            "Description": template.get("Description"),
            "Version": template.get("AWSTemplateFormatVersion"),
            "Capabilities": _capabilities(transformed(template, defaults)),
            "DeclaredTransforms": [template["Transform"]] if uses_sam(template) else [],
            "Metadata": json.dumps(template.get("Metadata", {})),
        }

    # -- change sets

    def create_change_set(self, p: _Parameters, region: str) -> _Parameters:
        """CreateChangeSet."""
        stack = self._find(p["StackName"], region)
        if p.get("ChangeSetType") == "CREATE":
            if stack is not None and stack.status != "REVIEW_IN_PROGRESS":
                raise _RefusalError(f"Stack [{stack.name}] already exists and cannot be created again with the "
                                    f"changeSet [{p['ChangeSetName']}].")  # fmt: skip
            is_new = stack is None
            stack, plan = self._new(p, region, stack)
            if is_new:
                self.engine.review(stack)
        else:
            stack = self._updatable(p["StackName"], region)
            plan = self._plan(stack, p)
        empty = stack.status != "REVIEW_IN_PROGRESS" and stack.is_already(plan)
        account_id = self.engine.account_id
        identity = f"arn:aws:cloudformation:{region}:{account_id}:changeSet/{p['ChangeSetName']}/{uuid.uuid4()}"
        stack.change_sets[p["ChangeSetName"]] = {
            "ChangeSetName": p["ChangeSetName"],
            "ChangeSetId": identity,
            "StackId": stack.id,
            "StackName": stack.name,
            "Description": p.get("Description"),
            "Parameters": _parameters(plan),
            "Tags": _pairs(plan.tags),
            "Capabilities": p.get("Capabilities", []),
            "CreationTime": now(),
            "ExecutionStatus": "UNAVAILABLE" if empty else "AVAILABLE",
            "Status": "FAILED" if empty else "CREATE_COMPLETE",
            "StatusReason": _NO_CHANGES if empty else None,
            "Changes": stack.changes(plan),
            "Plan": plan,
        }
        return {"Id": identity, "StackId": stack.id}

    def describe_change_set(self, p: _Parameters, region: str) -> _Parameters:
        """DescribeChangeSet."""
        return {name: value for name, value in self._change_set(p, region)[1].items() if value is not None}

    def list_change_sets(self, p: _Parameters, region: str) -> _Parameters:
        """ListChangeSets."""
        return {"Summaries": list(self._get(p["StackName"], region).change_sets.values())}

    def delete_change_set(self, p: _Parameters, region: str) -> _Parameters:
        """DeleteChangeSet."""
        stack, change_set = self._change_set(p, region)
        del stack.change_sets[change_set["ChangeSetName"]]
        return {}

    def execute_change_set(self, p: _Parameters, region: str) -> _Parameters:
        """ExecuteChangeSet."""
        stack, change_set = self._change_set(p, region)
        if change_set["ExecutionStatus"] != "AVAILABLE":
            message = f"ChangeSet [{change_set['ChangeSetId']}] cannot be executed in its current status of [FAILED]"
            raise _RefusalError(message, "InvalidChangeSetStatus")
        plan, is_new = change_set["Plan"], stack.status == "REVIEW_IN_PROGRESS"
        stack.change_sets.clear()
        stack.disable_rollback = bool(p.get("DisableRollback"))
        self._run(stack, lambda: (self.engine.create if is_new else self.engine.update)(stack, plan))
        return {}

    # -- what they share

    def _stacks(self, region: str) -> list[Stack]:
        return [stack for stack in reversed(self.engine.stacks.values()) if stack.region == region]

    def _find(self, name: str, region: str) -> Stack | None:
        if name in self.engine.stacks:
            return self.engine.stacks[name]
        return next((s for s in self._stacks(region) if s.name == name and s.deleted is None), None)

    def _get(self, name: str, region: str, with_deleted: bool = False) -> Stack:
        stack = self._find(name, region)
        if stack is None or (stack.deleted and not with_deleted):
            raise _RefusalError(f"Stack with id {name} does not exist")
        return stack

    def _updatable(self, name: str, region: str) -> Stack:
        stack = self._find(name, region)
        if stack is None or stack.deleted:
            raise _RefusalError(f"Stack [{name}] does not exist")
        if not stack.status.endswith("_COMPLETE") or stack.status == "ROLLBACK_COMPLETE":
            raise _RefusalError(f"Stack:{stack.id} is in {stack.status} state and can not be updated.")
        return stack

    def _change_set(self, p: _Parameters, region: str) -> tuple[Stack, dict[str, Any]]:
        wanted = p["ChangeSetName"]
        for stack in [self._get(p["StackName"], region)] if p.get("StackName") else self._stacks(region):
            for change_set in stack.change_sets.values():
                if wanted in {change_set["ChangeSetName"], change_set["ChangeSetId"]}:
                    return stack, change_set
        raise _RefusalError(f"ChangeSet [{wanted}] does not exist", "ChangeSetNotFound")

    def _new(self, p: _Parameters, region: str, stack: Stack | None = None) -> tuple[Stack, Plan]:
        """A stack that is about to be created, and its plan; no stack stays behind if the plan is refused."""
        fresh = stack or self.engine.new_stack(p["StackName"], region)
        fresh.capabilities = p.get("Capabilities", [])
        fresh.disable_rollback = bool(p.get("DisableRollback"))
        fresh.protected = bool(p.get("EnableTerminationProtection"))
        try:
            return fresh, self._plan(fresh, p)
        except (TemplateError, _RefusalError):
            if stack is None:
                del self.engine.stacks[fresh.id]
            raise

    def _plan(self, stack: Stack, p: _Parameters) -> Plan:
        previous = stack.plan
        text = previous.text if p.get("UsePreviousTemplate") and previous else self._template_text(p, stack.region)
        given = {}
        for parameter in p.get("Parameters", []):
            name = parameter["ParameterKey"]
            if not parameter.get("UsePreviousValue"):
                given[name] = parameter["ParameterValue"]
            elif previous and name in previous.given:
                given[name] = previous.given[name]
        tags = {tag["Key"]: tag["Value"] for tag in p.get("Tags", [])}
        if "Tags" not in p and previous:
            tags = previous.tags
        plan = self.engine.plan(stack, text, given, tags)
        needed = _capabilities(plan.template)
        if needed and not {*needed, "CAPABILITY_NAMED_IAM"} & set(p.get("Capabilities", [])):
            raise _RefusalError(f"Requires capabilities : [{needed[0]}]", "InsufficientCapabilitiesException")
        return plan

    def _template_text(self, p: _Parameters, region: str) -> str:
        if p.get("TemplateBody"):
            return str(p["TemplateBody"])
        if not p.get("TemplateURL"):
            raise _RefusalError("Either Template URL or Template Body must be specified.")
        return self.engine.fetch(p["TemplateURL"], region)

    def _run(self, stack: Stack, work: Callable[[], None]) -> None:
        if stack.status.endswith("_IN_PROGRESS") and stack.status != "REVIEW_IN_PROGRESS":
            raise _RefusalError(f"Stack:{stack.id} is in {stack.status} state and can not be updated.")
        here = contextvars.copy_context()  # which knows whose rights the work is done with
        thread = threading.Thread(target=here.run, args=(work,), name=f"stack {stack.name}", daemon=True)
        thread.start()
        thread.join(_PATIENCE)


def _answering(method: Callable[[_Parameters, str], _Parameters]) -> Callable[[Call], Answer]:
    def answer(call: Call) -> Answer:
        acting_for.set(call.access_key)
        try:
            return call.answer(method(call.parameters, call.region))
        except _RefusalError as refusal:
            return call.refuse(refusal.code, str(refusal))
        except TemplateError as error:
            return call.refuse("ValidationError", str(error))

    return answer


def _capabilities(template: Mapping[str, Any]) -> list[str]:
    """The capabilities that a processed template demands."""
    iam = [r for r in template["Resources"].values() if r["Type"].startswith("AWS::IAM::")]
    if any(_NAMED & r.get("Properties", {}).keys() for r in iam if r["Type"] != "AWS::IAM::Policy"):
        return ["CAPABILITY_NAMED_IAM"]
    return ["CAPABILITY_IAM"] if iam else []


def _parameters(plan: Plan) -> list[dict[str, str]]:
    declared = plan.template.get("Parameters", {})
    values = plan.scope.parameters
    return [
        {"ParameterKey": name, "ParameterValue": "****" if str(declared[name].get("NoEcho")).lower() == "true"
         else ",".join(value) if isinstance(value, list) else str(value)}
        for name, value in values.items()
        if name in declared
    ]  # fmt: skip


def _pairs(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _description(stack: Stack) -> dict[str, Any]:
    plan = stack.plan
    facts = {
        "StackId": stack.id,
        "StackName": stack.name,
        "Description": plan.template.get("Description") if plan else None,
        "TemplateDescription": plan.template.get("Description") if plan else None,
        "Parameters": _parameters(plan) if plan else [],
        "Tags": _pairs(plan.tags) if plan else [],
        "CreationTime": stack.created,
        "LastUpdatedTime": stack.updated,
        "DeletionTime": stack.deleted,
        "StackStatus": stack.status,
        "StackStatusReason": stack.reason,
        "DisableRollback": stack.disable_rollback,
        "EnableTerminationProtection": stack.protected,
        "NotificationARNs": [],
        "Capabilities": stack.capabilities,
        "Outputs": list(stack.outputs.values()),
        "ParentId": stack.parent,
        "RootId": stack.root,
        "DriftInformation": {"StackDriftStatus": "NOT_CHECKED"},
    }
    return {name: value for name, value in facts.items() if value is not None}


def _resources(stack: Stack) -> list[dict[str, Any]]:
    return [
        {
            "StackId": stack.id,
            "StackName": stack.name,
            "LogicalResourceId": resource.logical_id,
            "PhysicalResourceId": resource.physical_id,
            "ResourceType": resource.type,
            "ResourceStatus": resource.status,
            "Timestamp": resource.time,
            "LastUpdatedTimestamp": resource.time,
            "DriftInformation": {"StackResourceDriftStatus": "NOT_CHECKED"},
        }
        | ({"ResourceStatusReason": resource.reason} if resource.reason else {})
        for resource in stack.resources.values()
    ]


def _physical_ids(stack: Stack) -> set[str]:
    return {resource.physical_id for resource in stack.resources.values()}


def _imports(exporter: Stack, importer: Stack) -> bool:
    names = {output["ExportName"] for output in exporter.outputs.values() if "ExportName" in output}
    text = json.dumps(importer.plan.template) if importer.plan and importer is not exporter else ""
    return any(f'"Fn::ImportValue": "{name}"' in text for name in names)
