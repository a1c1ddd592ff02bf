"""The pipeline's deploy: whether it gives every parameter of the application, and may hand its artifacts on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from workshop.deployment.parameters import CONFIGURATION

from . import permissions
from .finding import Finding
from .resolving import Resolved

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


def judge(resolved: Resolved, template: dict[str, Any], handed_on: Iterable[str], place: str) -> Iterator[Finding]:
    """The parameters that each CloudFormation action of a resolved toolchain's pipelines gives to `template`.

    CodePipeline sets what an action does not give to the default, so each must be given: by ParameterOverrides, or by
    the configuration that the build writes of the deployed stack, which holds all of them. `handed_on`: the files that
    the build hands on.
    """
    declared = template.get("Parameters", {})
    for name, action in deploys(resolved):
        where = f"{place}/{name}/{action['Name']}"
        try:
            given = set(json.loads(action["Configuration"].get("ParameterOverrides", "{}")))
        except ValueError as error:
            yield Finding("pipeline", where, f"ParameterOverrides is no JSON: {error}")
            continue
        for unknown in sorted(given - set(declared)):
            yield Finding("pipeline", where, f"template.yml has no parameter {unknown}")
        file = action["Configuration"].get("TemplateConfiguration", "").partition("::")[2]
        if file and file not in handed_on:
            yield Finding("pipeline", where, f"the build does not hand on {file}")
        if file != CONFIGURATION.name:
            for missing in sorted(set(declared) - given):
                yield Finding("pipeline", where, f"the pipeline forgets {missing}, which falls back to its default")


def deploys(resolved: Resolved) -> Iterator[tuple[str, dict[str, Any]]]:
    """(pipeline's logical name, action) of each action that makes or changes a stack from a template."""
    for name, resource in resolved.resources.items():
        if resource["Type"] == "AWS::CodePipeline::Pipeline":
            actions = [action for stage in resource["Properties"]["Stages"] for action in stage["Actions"]]
            for action in actions:
                is_cloudformation = action["ActionTypeId"]["Provider"] == "CloudFormation"
                if is_cloudformation and "TemplatePath" in action["Configuration"]:
                    yield name, action
