"""The pipeline's deploy against what the deploy notebook does: the same parameters, one as good as the other."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Iterator
from typing import Any

from . import permissions
from .finding import Finding
from .resolving import Resolved

# The notebook gives these to the local target alone.
LOCAL = {"AllowedPrivateHosts": "the emulator's own host", "Emulator": "whether it is one"}
# What the pipeline does not know yet. An entry that is no longer true is a finding, too.
OPEN = {"ModelName": "the pipeline serves the default model", "Precision": "the pipeline serves float32"}


# What CodePipeline's role is to have on the bucket of its artifacts, and on what lies in it:
# https://docs.aws.amazon.com/codepipeline/latest/userguide/how-to-custom-role.html
ON_BUCKET = ("s3:GetBucketAcl", "s3:GetBucketLocation", "s3:GetBucketVersioning")
ON_OBJECTS = ("s3:GetObject", "s3:GetObjectVersion", "s3:PutObject", "s3:PutObjectAcl")


def judge_role(resolved: Resolved, place: str) -> Iterator[Finding]:
    """Whether each pipeline's role may hand artifacts on."""
    roles = {resolved.arn(name): name for name, each in resolved.resources.items() if each["Type"] == "AWS::IAM::Role"}
    for name, resource in resolved.resources.items():
        if resource["Type"] == "AWS::CodePipeline::Pipeline":
            role = roles.get(resource["Properties"]["RoleArn"], "")
            statements = permissions.statements_of(resolved.resources.get(role, {}))
            bucket = f"arn:{resolved.world.partition}:s3:::{resource['Properties']['ArtifactStore']['Location']}"
            needs = [permissions.Need(action, bucket, name) for action in ON_BUCKET]
            needs += [permissions.Need(action, f"{bucket}/{name}/Source/any", name) for action in ON_OBJECTS]
            for need in needs:
                if not permissions.is_granted(need, statements):
                    yield Finding("pipeline", f"{place}/{role}", f"{name} takes {need.action} on {need.resource}")


def judge(resolved: Resolved, template: dict[str, Any], passed: Iterable[str], place: str) -> Iterator[Finding]:
    """The parameters that each CloudFormation action of a resolved toolchain's pipelines gives to `template`.

    `passed`: the names that the deploy notebook passes.
    """
    declared = template.get("Parameters", {})
    needed = {name for name, rule in declared.items() if "Default" not in rule} | (set(passed) & set(declared))
    for name, action in deploys(resolved):
        where = f"{place}/{name}/{action['Name']}"
        try:
            given = json.loads(action["Configuration"].get("ParameterOverrides", "{}"))
        except ValueError as error:
            yield Finding("pipeline", where, f"ParameterOverrides is no JSON: {error}")
            continue
        for missing in sorted(needed - set(given) - set(LOCAL) - set(OPEN)):
            yield Finding("pipeline", where, f"the notebook passes {missing}, and the pipeline forgets it")
        for unknown in sorted(set(given) - set(declared)):
            yield Finding("pipeline", where, f"template.yml has no parameter {unknown}")
        for stale in sorted(set(given) & set(OPEN)):
            yield Finding("pipeline", where, f"{stale} is passed by now: take it out of judge/pipeline.py, OPEN")


def deploys(resolved: Resolved) -> Iterator[tuple[str, dict[str, Any]]]:
    """(pipeline's logical name, action) of each action that makes or changes a stack from a template."""
    for name, resource in resolved.resources.items():
        if resource["Type"] == "AWS::CodePipeline::Pipeline":
            actions = [action for stage in resource["Properties"]["Stages"] for action in stage["Actions"]]
            for action in actions:
                is_cloudformation = action["ActionTypeId"]["Provider"] == "CloudFormation"
                if is_cloudformation and "TemplatePath" in action["Configuration"]:
                    yield name, action


def passed_by(sources: Iterable[str], names: Iterable[str]) -> set[str]:
    """Which of the template's parameters a notebook's cells name as keys of a dict, or as keyword arguments."""
    found: set[object] = set()
    for source in sources:
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Dict):
                found |= {key.value for key in node.keys if isinstance(key, ast.Constant)}
            elif isinstance(node, ast.Call):
                found |= {keyword.arg for keyword in node.keywords}
    return {name for name in names if name in found}
