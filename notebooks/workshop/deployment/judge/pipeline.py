"""The pipeline's deploy against what the deploy notebook does: the same parameters, one as good as the other."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from typing import Any

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


def judge(resolved: Resolved, template: dict[str, Any], artifacts: Collection[str], place: str) -> Iterator[Finding]:
    """The parameters that each CloudFormation action of a resolved toolchain's pipelines gives to `template`.

    What an action does not name gets the template's default, whatever the stack has. `artifacts`: the files that the
    build hands on; a template configuration among them names every parameter (`workshop.deployment.parameters`).
    """
    declared = template.get("Parameters", {})
    for name, action in deploys(resolved):
        where, configuration = f"{place}/{name}/{action['Name']}", action["Configuration"]
        try:
            given = set(json.loads(configuration.get("ParameterOverrides", "{}")))
        except ValueError as error:
            yield Finding("pipeline", where, f"ParameterOverrides is no JSON: {error}")
            continue
        for unknown in sorted(given - set(declared)):
            yield Finding("pipeline", where, f"template.yml has no parameter {unknown}")
        file = configuration.get("TemplateConfiguration", "").partition("::")[2]
        if file and file not in artifacts:
            yield Finding("pipeline", where, f"buildspec.yml does not hand on {file}")
        for missing in sorted(set(declared) - given) if file not in artifacts else ():
            yield Finding("pipeline", where, f"the pipeline forgets {missing}")


def deploys(resolved: Resolved) -> Iterator[tuple[str, dict[str, Any]]]:
    """(pipeline's logical name, action) of each action that makes or changes a stack from a template."""
    for name, resource in resolved.resources.items():
        if resource["Type"] == "AWS::CodePipeline::Pipeline":
            actions = [action for stage in resource["Properties"]["Stages"] for action in stage["Actions"]]
            for action in actions:
                is_cloudformation = action["ActionTypeId"]["Provider"] == "CloudFormation"
                if is_cloudformation and "TemplatePath" in action["Configuration"]:
                    yield name, action
