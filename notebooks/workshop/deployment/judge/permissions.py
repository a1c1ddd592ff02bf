"""What deploying a template takes, by the handlers in the registry's schemas, and whether a role is granted it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from . import reference
from .finding import Finding
from .resolving import ARNS, Resolved, World, arn_of
from .statements import listed, passed_to
from .unused import LEFT_OUT, UNPUBLISHED, UNUSED

STEPS = ("create", "read", "update", "delete")
# Which service gets the role that a resource of a type names.
PASSED = {
    "AWS::ApiGateway::Account": ("CloudWatchRoleArn", "apigateway.amazonaws.com"),
    "AWS::CodeBuild::Project": ("ServiceRole", "codebuild.amazonaws.com"),
    "AWS::CodeDeploy::DeploymentGroup": ("ServiceRoleArn", "codedeploy.amazonaws.com"),
    "AWS::CodePipeline::Pipeline": ("RoleArn", "codepipeline.amazonaws.com"),
    "AWS::Lambda::Function": ("Role", "lambda.amazonaws.com"),
    "AWS::StepFunctions::StateMachine": ("RoleArn", "states.amazonaws.com"),
}


@dataclass(frozen=True, order=True)
class Need:
    """One thing that somebody must be allowed: an action on a resource. `why`: what needs it.

    `passed_to`: of `iam:PassRole` the service that gets the role, else "". `function`: the ARN of the function that an
    event source is mapped to, else "".
    """

    action: str
    resource: str
    why: str
    passed_to: str = ""
    function: str = ""


def needs(resolved: Resolved, artifacts: str = "") -> Iterator[Need]:
    """What creating, reading, updating and deleting a resolved template's resources takes, without what is unused.

    `artifacts`: the ARN of the bucket that packages are read from.
    """
    for name, resource in resolved.resources.items():
        arn, properties = resolved.arn(name), resource.get("Properties", {})
        for action in sorted(actions_of(resource["Type"], properties)):
            yield from _needs_of(action, name, resource, arn, artifacts, resolved.world)


def actions_of(kind: str, properties: dict[str, Any]) -> set[str]:
    """The actions that a resource of type `kind` with these properties takes over its life.

    A handler may name what AWS's service authorization reference does not have: nobody can grant that.
    """
    asked = set(UNPUBLISHED.get(kind, ())) or set(handlers(kind) or ())
    for unless, actions in UNUSED.get(kind, {}).items():
        if unless not in properties:
            asked -= set(actions)
    return {action for action in asked if reference.row(action)}


@cache
def handlers(kind: str) -> frozenset[str] | None:
    """Every permission that the registry's schema names for a type's create, read, update and delete; None for none."""
    from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

    named = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema.get("handlers")
    if named is None:
        return None
    return frozenset(action for step in STEPS for action in named.get(step, {}).get("permissions", []))


def _needs_of(
    action: str, name: str, resource: dict[str, Any], arn: str, artifacts: str, world: World
) -> Iterator[Need]:
    kind, properties = resource["Type"], resource.get("Properties", {})
    forms = reference.forms(action)
    if action == "iam:PassRole":
        where, service = PASSED.get(kind, ("", ""))
        if where in properties:
            yield Need(action, str(properties[where]), name, service)
    elif action in ("s3:GetObject", "s3:GetObjectVersion") and kind == "AWS::Lambda::Function":
        if artifacts:
            yield Need(action, f"{artifacts}/artifacts/0123456789abcdef", name)
    elif action == "iam:GetRole" and kind in PASSED:
        yield Need(action, str(properties.get(PASSED[kind][0], "*")), name)
    elif action.endswith((":PassConnection", ":UseConnection")):
        yield Need(
            action,
            f"arn:{world.partition}:{action.partition(':')[0]}:{world.region}:{world.account}:connection/any",
            name,
        )
    elif kind == "AWS::Lambda::EventSourceMapping":
        yield Need(action, arn if forms else "*", name, function=function_of(properties, world))
    elif not forms:
        yield Need(action, "*", name)
    elif any(reference.fits(arn, form) for form in forms):
        yield Need(action, arn, name)
    else:
        # An action on something beside the resource, such as API Gateway's tags: any of its kind.
        yield Need(action, "", name)


def function_of(properties: dict[str, Any], world: World) -> str:
    """The ARN of the function that an event source is mapped to."""
    return arn_of("AWS::Lambda::Function", str(properties["FunctionName"]), {}, world)


def is_granted(need: Need, statements: Iterable[dict[str, Any]]) -> bool:
    """Whether a role's statements, with plain strings, allow a need.

    A statement under a condition counts only where the condition is the one that `iam:PassRole` is to have, or names
    the function of an event source.
    """
    allowed = False
    for statement in statements:
        if not _names(tuple(listed(statement.get("Action", []))), need.action):
            continue
        resources = listed(statement.get("Resource", "*"))
        if need.resource and not any(reference.covers(resource, need.resource) for resource in resources):
            continue
        if statement["Effect"] == "Deny":
            return False
        condition = statement.get("Condition")
        if condition is None or (need.passed_to and set(passed_to(statement)) == {need.passed_to}):
            allowed = True
        if need.function and condition and set(condition) == {"ArnLike"}:
            functions = listed(condition["ArnLike"].get("lambda:FunctionArn", []))
            allowed = allowed or any(reference.covers(function, need.function) for function in functions)
    return allowed


@cache
def _names(patterns: tuple[str, ...], action: str) -> bool:
    """Whether a statement's actions cover one. The same few are asked for in every case of parameters."""
    return any(reference.covers(pattern.lower(), action.lower()) for pattern in patterns)


def statements_of(role: dict[str, Any]) -> list[dict[str, Any]]:
    """The statements of a resolved role's inline policies."""
    policies = role.get("Properties", {}).get("Policies", [])
    return [statement for policy in policies for statement in listed(policy["PolicyDocument"]["Statement"])]


def judge(resolved: Resolved, role: dict[str, Any], artifacts: str, place: str) -> Iterator[Finding]:
    """What a role lacks that deploys a resolved template."""
    statements = statements_of(role)
    for need in needs(resolved, artifacts):
        if (need.why, need.action) not in LEFT_OUT and not is_granted(need, statements):
            kind = resolved.resources[need.why]["Type"]
            yield Finding("permission", f"{place}/{need.why}", f"{kind} takes {need.action} on {need.resource or 'it'}")


def judge_types(resolved: Resolved, place: str) -> Iterator[Finding]:
    """Resource types of which nobody can say what they take."""
    for kind in sorted({resource["Type"] for resource in resolved.resources.values()}):
        if kind not in UNPUBLISHED and handlers(kind) is None:
            yield Finding("permission", f"{place}/{kind}", "the registry names no handlers: list it in judge/unused.py")
        if kind not in ARNS:
            yield Finding("permission", f"{place}/{kind}", "no ARN is known: write it into judge/resolving.py, ARNS")


def judge_reasons(resolved: Iterable[Resolved], role: dict[str, Any], place: str) -> Iterator[Finding]:
    """Reasons that hold no longer: what is left out on purpose and granted by now, or a permission no handler names."""
    resolved = list(resolved)
    statements = statements_of(role)
    asked = [need for each in resolved for need in needs(each)]
    for (name, action), why in LEFT_OUT.items():
        left = [need for need in asked if (need.why, need.action) == (name, action)]
        if not left or any(is_granted(need, statements) for need in left):
            yield Finding("reason", f"{place}/{name}", f"{action} is left out ({why}), but not needed or granted")
    for kind in sorted({resource["Type"] for each in resolved for resource in each.resources.values()} & set(UNUSED)):
        for unless, actions in UNUSED[kind].items():
            for action in sorted(set(actions) - (handlers(kind) or set())):
                yield Finding(
                    "reason", f"{place}/{kind}", f"{action} is unused without {unless}, but no handler names it"
                )
