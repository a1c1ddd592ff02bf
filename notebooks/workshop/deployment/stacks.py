"""CloudFormation through change sets: what would change, then the change, then what happened."""

import functools
import json
import time
from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any

import yaml
from botocore.exceptions import ClientError, WaiterError

from workshop import UserError, choices
from workshop.lab import patience

BODY_BYTES = 51_200  # of a template within a request: AWS's limit


class StackError(UserError, RuntimeError):
    """A stack could not be made or changed; the message names the resource that failed and why."""


def status(cloudformation, stack: str) -> str:
    """The stack's status, or "" where there is no such stack."""
    try:
        return cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"]
    except ClientError as error:
        if "does not exist" in str(error):
            return ""
        raise


def parameters(cloudformation, stack: str) -> dict[str, str]:
    """The values of a stack's parameters by name; empty where there is no such stack, or none that was ever made."""
    if status(cloudformation, stack) in ("", "REVIEW_IN_PROGRESS", "ROLLBACK_COMPLETE"):
        return {}
    described = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
    return {each["ParameterKey"]: each["ParameterValue"] for each in described.get("Parameters", [])}


@functools.lru_cache(8)
def request_body(text: str) -> str:
    """A template's text as a request can hold it: as it is, or as the shortest JSON where it is too long.

    Comments and indentation are a fifth of it. Raises StackError where the JSON is too long, too.
    """
    if len(text.encode()) <= BODY_BYTES:
        return text
    from samtranslator.yaml_helper import yaml_parse

    short = json.dumps(yaml_parse(text), separators=(",", ":"), ensure_ascii=False)
    if len(short.encode()) > BODY_BYTES:
        raise StackError(f"the template has {len(short.encode())} bytes, and a request takes {BODY_BYTES}")
    return short


@functools.lru_cache(8)
def parsed(body: str) -> dict[str, Any]:
    """A template (YAML or JSON), with all values as text and short forms as their arguments. It is not to be changed.

    A deploy reads the same one several times. PyYAML's own parser takes 300 ms for it, and libyaml a tenth of that.
    """
    return yaml.load(body, getattr(yaml, "CBaseLoader", yaml.BaseLoader))


def declared(body: str) -> list[str]:
    """The names of the parameters that a template (YAML or JSON) has."""
    return list(parsed(body).get("Parameters") or {})


def create_change_set(
    cloudformation,
    stack: str,
    template: Path | str | None,
    named: Mapping[str, object],
    role_arn: str | None = None,
    capabilities: tuple[str, ...] = (),
) -> dict | None:
    """Ask what `template` would change in `stack` and wait for the answer.

    `template`: its file; None for the one that the stack has. `named`: values of the template's parameters; those of an
    existing stack that are not named stay as they are.

    Returns the change set as `describe_change_set` has it, or None when nothing would change. Where the value of a
    parameter would change and no resource, it holds no changes, and `execute` makes an update of it: the emulator's
    change sets leave out what a condition alone adds or removes. A stack whose creation was rolled back is deleted
    first: CloudFormation cannot update it. Raises StackError when the template is refused.
    """
    body = None if template is None else request_body(Path(template).read_text())
    state = status(cloudformation, stack)
    if state == "ROLLBACK_COMPLETE":
        cloudformation.delete_stack(StackName=stack)
        cloudformation.get_waiter("stack_delete_complete").wait(StackName=stack, WaiterConfig=patience(cloudformation))
        state = ""
    previous = parameters(cloudformation, stack)
    request = {
        "StackName": stack,
        **({"UsePreviousTemplate": True} if body is None else {"TemplateBody": body}),
        "Parameters": choices.parameter_list(named, previous if body is None else declared(body), previous),
        "Capabilities": list(capabilities),
    }
    if role_arn:
        request["RoleARN"] = role_arn
    change_set = cloudformation.create_change_set(
        **request,
        ChangeSetName=f"lab-{time.time_ns()}",
        ChangeSetType="CREATE" if state in ("", "REVIEW_IN_PROGRESS") else "UPDATE",
    )["Id"]
    try:
        cloudformation.get_waiter("change_set_create_complete").wait(
            StackName=stack, ChangeSetName=change_set, WaiterConfig=patience(cloudformation)
        )
    except WaiterError as error:
        refused = cloudformation.describe_change_set(StackName=stack, ChangeSetName=change_set)
        reason = refused.get("StatusReason", "")
        cloudformation.delete_change_set(StackName=stack, ChangeSetName=change_set)
        if "didn't contain changes" in reason or "No updates" in reason:
            other = {name: str(value) for name, value in named.items() if str(value) != previous.get(name)}
            return {"StackName": stack, "Changes": [], "Update": request, "Other": other} if other else None
        raise StackError(f"{stack}: the change set was rejected: {reason or error}") from error
    return cloudformation.describe_change_set(StackName=stack, ChangeSetName=change_set)


def execute(cloudformation, change_set: dict) -> list[dict]:
    """Carry out a change set, wait until it is done, and return its stack events, oldest first.

    Raises StackError with the resource that failed and CloudFormation's reason, or with the parameters that no resource
    makes use of: CloudFormation does not keep their values.
    """
    stack, creates = change_set["StackName"], status(cloudformation, change_set["StackName"]) == "REVIEW_IN_PROGRESS"
    before = last_event(cloudformation, stack)
    if "Update" in change_set:
        try:
            cloudformation.update_stack(**change_set["Update"])
        except ClientError as error:
            if "No updates are to be performed" not in str(error):
                raise
            idle = ", ".join(f"{name}={value}" for name, value in change_set["Other"].items())
            raise StackError(
                f"{stack}: {idle} would change no resource as things are, and CloudFormation keeps no such value: give "
                "it together with the parameter that switches its feature on"
            ) from None
    else:
        cloudformation.execute_change_set(StackName=stack, ChangeSetName=change_set["ChangeSetId"])
    waiter = cloudformation.get_waiter("stack_create_complete" if creates else "stack_update_complete")
    try:
        waiter.wait(StackName=stack, WaiterConfig=patience(cloudformation))
    except WaiterError as error:
        failed = [
            event for event in events(cloudformation, stack, before) if event["ResourceStatus"].endswith("FAILED")
        ]
        first = failed[0] if failed else {}
        raise StackError(
            f"{stack}: {status(cloudformation, stack)}; first to fail: {first.get('LogicalResourceId', 'unknown')}: "
            f"{first.get('ResourceStatusReason', error)}"
        ) from error
    return events(cloudformation, stack, before)


def last_event(cloudformation, stack: str) -> str:
    """The id of a stack's newest event; "" where there is no such stack."""
    try:
        newest = cloudformation.describe_stack_events(StackName=stack)["StackEvents"][:1]
    except ClientError as error:
        if "does not exist" in str(error):
            return ""
        raise
    return newest[0]["EventId"] if newest else ""


def events(cloudformation, stack: str, since: str = "") -> list[dict]:
    """The events of a stack after that of the id `since`, or all, oldest first; empty where there is no such stack.

    They come newest first, in pages. A stack that is often updated has many, and what is known is not read again.
    """
    try:
        pages = cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack)
        each = (event for page in pages for event in page["StackEvents"])
        return list(takewhile(lambda event: event["EventId"] != since, each))[::-1]
    except ClientError as error:
        if "does not exist" in str(error):
            return []
        raise


def last_operation(cloudformation, stack: str) -> list[dict]:
    """The events of the last thing that was done to a stack, oldest first."""
    found = events(cloudformation, stack)
    begins = [
        index
        for index, event in enumerate(found)
        if event["LogicalResourceId"] == stack
        and event["ResourceStatus"] in ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS")
    ]
    return found[begins[-1] :] if begins else found


def deploy(cloudformation, stack, template, named, role_arn=None, capabilities=()) -> list[dict]:
    """Create or update `stack` in one step; returns the events, none when nothing changed.

    `template`, `named`: as in `create_change_set`.
    """
    change_set = create_change_set(cloudformation, stack, template, named, role_arn, capabilities)
    return execute(cloudformation, change_set) if change_set else []
