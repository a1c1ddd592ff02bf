"""IAM statements that can do what they say: actions that exist, on resources and under conditions that they know."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from . import reference
from .finding import Finding
from .resolving import Resolved


def judge(resolved: Resolved, place: str) -> Iterator[Finding]:
    """Every statement of the permission policies and resource policies of a resolved template."""
    for name, resource in resolved.resources.items():
        properties = resource.get("Properties", {})
        documents = [policy["PolicyDocument"] for policy in properties.get("Policies", []) if isinstance(policy, dict)]
        documents += [properties["PolicyDocument"]] if isinstance(properties.get("PolicyDocument"), dict) else []
        for document in documents:
            for statement in listed(document["Statement"]):
                yield from judge_statement(statement, f"{place}/{name}/{statement.get('Sid', 'a statement')}")


def judge_statement(statement: dict[str, Any], place: str) -> Iterator[Finding]:
    """One statement, with plain strings."""
    resources = [str(each) for each in listed(statement.get("Resource", "*"))]
    useful: set[str] = set()
    for pattern in listed(statement.get("Action", [])):
        actions = reference.matching(pattern) if pattern != "*" else ("*",)
        if not actions:
            yield Finding("action", place, f"{pattern} is no action of AWS's service authorization reference")
            continue
        met = {resource for resource in resources for action in actions if can_match(action, resource)}
        useful |= met
        if not met:
            known = sorted({form for action in actions for form in reference.forms(action)}) or ["*"]
            yield Finding("resource", place, f"{pattern} knows {', '.join(known[:3])}, and not {', '.join(resources)}")
        if "*" not in pattern:
            yield from _judge_conditions(pattern, statement, place)
    for resource in resources:
        if resource not in useful and useful:
            yield Finding("resource", place, f"{resource} is of no form that one of the actions knows")
    yield from _judge_passing(statement, resources, place)


def can_match(action: str, resource: str) -> bool:
    """Whether an action can be allowed on a resource of a statement. An action without resources knows `*` alone."""
    if resource == "*" or action == "*":
        return True
    return any(reference.fits(resource, form) for form in reference.forms(action))


def _judge_conditions(action: str, statement: dict[str, Any], place: str) -> Iterator[Finding]:
    for keys in statement.get("Condition", {}).values():
        for key in keys:
            known = reference.condition_keys(action)
            lowered = key.lower()
            if not lowered.startswith("aws:") and not any(lowered.startswith(each) for each in known):
                yield Finding("condition", place, f"{action} knows no condition key {key}")


def _judge_passing(statement: dict[str, Any], resources: list[str], place: str) -> Iterator[Finding]:
    actions = listed(statement.get("Action", []))
    passes = any(reference.covers(pattern.lower(), "iam:passrole") for pattern in actions)
    if statement["Effect"] != "Allow" or not passes:
        return
    if "*" in resources:
        yield Finding("pass-role", place, "iam:PassRole on * passes every role of the account")
    if not passed_to(statement):
        yield Finding("pass-role", place, "iam:PassRole without iam:PassedToService passes the role to any service")


def passed_to(statement: dict[str, Any]) -> list[str]:
    """The services that a statement lets a role be passed to; none where it names no service."""
    condition = statement.get("Condition", {})
    named = [condition.get(operator, {}).get("iam:PassedToService", []) for operator in ("StringEquals", "StringLike")]
    return [service for each in named for service in listed(each)]


def listed(value: Any) -> list:
    """IAM lets a single one of anything stand without its list."""
    return value if isinstance(value, list) else [value]
