"""A template as CloudFormation sees it: the SAM transform done, conditions decided, parameters put in as strings."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from .finding import Finding

# The property that names a resource, which `Ref` then returns; without it CloudFormation makes the name up.
NAMES = {
    "AWS::CloudWatch::Alarm": "AlarmName",
    "AWS::CloudWatch::Dashboard": "DashboardName",
    "AWS::CodeBuild::Project": "Name",
    "AWS::CodeCommit::Repository": "RepositoryName",
    "AWS::CodeDeploy::Application": "ApplicationName",
    "AWS::CodeDeploy::DeploymentGroup": "DeploymentGroupName",
    "AWS::CodePipeline::Pipeline": "Name",
    "AWS::IAM::Role": "RoleName",
    "AWS::Lambda::Function": "FunctionName",
    "AWS::Events::Rule": "Name",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::S3::Bucket": "BucketName",
    "AWS::SNS::Topic": "TopicName",
    "AWS::SQS::Queue": "QueueName",
    "AWS::StepFunctions::StateMachine": "StateMachineName",
}
# {name} is the resource's own; a property's name in braces is that property's value.
ARNS = {
    "AWS::ApiGateway::Account": "arn:{partition}:apigateway:{region}::/account",
    "AWS::ApiGateway::Deployment": "arn:{partition}:apigateway:{region}::/restapis/{RestApiId}/deployments/{name}",
    "AWS::ApiGateway::RestApi": "arn:{partition}:apigateway:{region}::/restapis/{name}",
    "AWS::ApiGateway::Stage": "arn:{partition}:apigateway:{region}::/restapis/{RestApiId}/stages/{StageName}",
    "AWS::ApiGateway::UsagePlan": "arn:{partition}:apigateway:{region}::/usageplans/{name}",
    "AWS::Budgets::Budget": "arn:{partition}:budgets::{account}:budget/{name}",
    "AWS::CloudWatch::Alarm": "arn:{partition}:cloudwatch:{region}:{account}:alarm:{name}",
    "AWS::CloudWatch::Dashboard": "arn:{partition}:cloudwatch::{account}:dashboard/{name}",
    "AWS::CodeBuild::Project": "arn:{partition}:codebuild:{region}:{account}:project/{name}",
    "AWS::CodeCommit::Repository": "arn:{partition}:codecommit:{region}:{account}:{name}",
    "AWS::CodeDeploy::Application": "arn:{partition}:codedeploy:{region}:{account}:application:{name}",
    "AWS::CodeDeploy::DeploymentGroup": "arn:{partition}:codedeploy:{region}:{account}:deploymentgroup:{ApplicationName}/{name}",  # noqa: E501
    "AWS::CodePipeline::Pipeline": "arn:{partition}:codepipeline:{region}:{account}:{name}",
    "AWS::Events::Rule": "arn:{partition}:events:{region}:{account}:rule/{name}",
    "AWS::IAM::Role": "arn:{partition}:iam::{account}:role/{name}",
    "AWS::Lambda::Alias": "arn:{partition}:lambda:{region}:{account}:function:{FunctionName}:{Name}",
    "AWS::Lambda::EventSourceMapping": "arn:{partition}:lambda:{region}:{account}:event-source-mapping:{name}",
    "AWS::Lambda::Function": "arn:{partition}:lambda:{region}:{account}:function:{name}",
    "AWS::Lambda::Permission": "arn:{partition}:lambda:{region}:{account}:function:{FunctionName}",
    "AWS::Lambda::Version": "arn:{partition}:lambda:{region}:{account}:function:{FunctionName}",
    "AWS::Logs::LogGroup": "arn:{partition}:logs:{region}:{account}:log-group:{name}",
    "AWS::S3::Bucket": "arn:{partition}:s3:::{name}",
    "AWS::S3::BucketPolicy": "arn:{partition}:s3:::{Bucket}",
    "AWS::SNS::Topic": "arn:{partition}:sns:{region}:{account}:{name}",
    "AWS::SQS::Queue": "arn:{partition}:sqs:{region}:{account}:{name}",
    "AWS::SQS::QueuePolicy": "arn:{partition}:sqs:{region}:{account}:{Queues}",
    "AWS::StepFunctions::StateMachine": "arn:{partition}:states:{region}:{account}:stateMachine:{name}",
}
BY_ARN = {"AWS::Lambda::Alias", "AWS::SNS::Topic", "AWS::StepFunctions::StateMachine"}  # whose `Ref` is the ARN
_NOTHING = object()  # AWS::NoValue


@dataclass(frozen=True)
class World:
    """Where a template is resolved: the account, the region, the stack, and what other stacks export."""

    stack: str = "predictions-app"
    partition: str = "aws"
    region: str = "eu-central-1"
    account: str = "123456789012"
    exports: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Resolved:
    """A template with nothing left to decide. `resources`: those whose condition holds, with plain properties."""

    world: World
    parameters: Mapping[str, str]
    resources: dict[str, dict[str, Any]]
    outputs: dict[str, Any]
    exports: dict[str, str]
    findings: tuple[Finding, ...]

    def arn(self, name: str) -> str:
        """The ARN of a resource, "" for a type without one."""
        resource = self.resources[name]
        return arn_of(
            resource["Type"], physical_name(name, resource, self.world), resource.get("Properties", {}), self.world
        )


def load(path: Path) -> dict[str, Any]:
    """A template file with its short forms (`!Ref`) written out."""
    return parse(path.read_text(encoding="utf-8"))


def parse(text: str) -> dict[str, Any]:
    """A template's text with its short forms written out."""
    return deepcopy(_parsed(text))


@cache
def _parsed(text: str) -> dict[str, Any]:
    """It is not to be changed: it is kept, as to parse a template takes a second."""
    from samtranslator.yaml_helper import yaml_parse

    return yaml_parse(text)


def expand(template: dict[str, Any], parameters: Mapping[str, str], region: str = World.region) -> dict[str, Any]:
    """What CloudFormation's SAM transform makes of a template after `sam package`; a plain one is returned as it is.

    Raises samtranslator's InvalidDocumentException for what the transform refuses.
    """
    if "Transform" not in template:
        return deepcopy(template)
    from samtranslator.parser.parser import Parser
    from samtranslator.translator.arn_generator import ArnGenerator
    from samtranslator.translator.translator import Translator

    packaged = deepcopy(template)
    for resource in packaged["Resources"].values():
        if resource.get("Type") == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = "s3://bucket/artifacts/0123456789abcdef"
    before, ArnGenerator.BOTO_SESSION_REGION_NAME = ArnGenerator.BOTO_SESSION_REGION_NAME, region
    try:
        translator = Translator({}, Parser(), boto_session=_Session(region))
        expanded = translator.translate(packaged, dict(parameters))
        translator.metrics.publish()  # to nobody; it complains on stderr otherwise
        return expanded
    finally:
        ArnGenerator.BOTO_SESSION_REGION_NAME = before


@dataclass(frozen=True)
class _Session:
    """As much of a boto3 session as the transform asks: the region, so that nobody's settings decide."""

    region_name: str


@cache
def naming(kind: str) -> frozenset[str]:
    """The properties that a type's physical name and ARN are made of."""
    return frozenset({NAMES.get(kind, ""), *re.findall(r"\{([A-Z]\w+)\}", ARNS.get(kind, ""))})


def physical_name(name: str, resource: dict[str, Any], world: World) -> str:
    """What a resource is called in its service."""
    named = resource.get("Properties", {}).get(NAMES.get(resource["Type"], ""))
    if resource["Type"] == "AWS::ApiGateway::RestApi":
        return "a1b2c3d4e5"
    return named if isinstance(named, str) else f"{world.stack}-{name}-A1B2C3D4E5F6"


def arn_of(kind: str, name: str, properties: dict[str, Any], world: World) -> str:
    """The ARN of a resource of type `kind`, "" for a type that has none here."""
    ones = {
        key: value[0] if isinstance(value, list) and len(value) == 1 else value for key, value in properties.items()
    }
    flat = {key: value for key, value in ones.items() if isinstance(value, str)}
    if "FunctionName" in flat:  # a function's name, or the ARN of one of its aliases
        flat["FunctionName"] = flat["FunctionName"].rpartition(":function:")[2]
    flat |= {"partition": world.partition, "region": world.region, "account": world.account, "name": name}
    return ARNS[kind].format_map(flat) if kind in ARNS else ""


def resolve(template: dict[str, Any], parameters: Mapping[str, str], world: World) -> Resolved:
    """Resolve a template (after `expand`) with these parameters, beside its defaults."""
    return _Resolver(template, parameters, world).resolved()


class _Resolver:
    def __init__(self, template: dict[str, Any], parameters: Mapping[str, str], world: World) -> None:
        self.template, self.world = template, world
        defaults = {n: rule["Default"] for n, rule in template.get("Parameters", {}).items() if "Default" in rule}
        # Strings, whatever the parameter's type says: that is how CloudFormation puts them in.
        self.parameters = {name: str(value) for name, value in (defaults | dict(parameters)).items()}
        self.pseudo = {
            "AWS::AccountId": world.account, "AWS::Partition": world.partition, "AWS::Region": world.region,
            "AWS::StackName": world.stack, "AWS::URLSuffix": "amazonaws.com" + ".cn" * (world.partition == "aws-cn"),
            "AWS::StackId": f"arn:{world.partition}:cloudformation:{world.region}:{world.account}:stack/{world.stack}",
        }  # fmt: skip
        self.findings: list[Finding] = []
        self._attributes: dict[tuple[str, str], str] = {}  # that were found without a finding

    def resolved(self) -> Resolved:
        resources = {}
        for name, resource in self.present.items():
            plain = {key: value for key, value in resource.items() if key != "Properties"}
            resources[name] = plain | {"Properties": self.value(resource.get("Properties", {}), f"Resources/{name}")}
        outputs, exports = {}, {}
        for name, output in self.template.get("Outputs", {}).items():
            if self.holds(output.get("Condition")):
                outputs[name] = self.value(output["Value"], f"Outputs/{name}")
                if "Export" in output:
                    exports[self.value(output["Export"]["Name"], f"Outputs/{name}/Export")] = outputs[name]
        return Resolved(self.world, self.parameters, resources, outputs, exports, tuple(dict.fromkeys(self.findings)))

    @cached_property
    def conditions(self) -> dict[str, bool]:
        decided: dict[str, bool] = {}
        for name in self.template.get("Conditions", {}):
            decided[name] = self.decide({"Condition": name})
        return decided

    @cached_property
    def present(self) -> dict[str, dict[str, Any]]:
        resources = self.template.get("Resources", {}).items()
        return {name: resource for name, resource in resources if self.holds(resource.get("Condition"))}

    def holds(self, condition: str | None) -> bool:
        if condition is not None and condition not in self.template.get("Conditions", {}):
            self.dangling(condition, f"condition {condition} is not declared")
            return False
        return condition is None or self.conditions[condition]

    def decide(self, value: Any) -> bool:
        ((key, operand),) = value.items()
        if key == "Condition":
            return self.decide(self.template["Conditions"][operand])
        if key == "Fn::Equals":
            left, right = (self.value(each, "Conditions") for each in operand)
            return str(left) == str(right)
        parts = [self.decide(each) for each in operand]
        return {"Fn::Not": not parts[0], "Fn::And": all(parts), "Fn::Or": any(parts)}[key]

    def value(self, value: Any, place: str) -> Any:
        if isinstance(value, list):
            kept = [self.value(each, f"{place}/{index}") for index, each in enumerate(value)]
            return [each for each in kept if each is not _NOTHING]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((key, operand),) = value.items()
            function = getattr(self, "fn_" + key.removeprefix("Fn::").lower(), None)
            if function and (key.startswith("Fn::") or key == "Ref"):
                return function(operand, place)
            if key.startswith("Fn::"):
                return self.dangling(place, f"{key} is no function that the judge knows")
        plain = {key: self.value(each, f"{place}/{key}") for key, each in value.items()}
        return {key: each for key, each in plain.items() if each is not _NOTHING}

    def dangling(self, place: str, message: str) -> str:
        self.findings.append(Finding("reference", place, message))
        return "dangling"

    def fn_ref(self, name: str, place: str) -> Any:
        if name == "AWS::NoValue":
            return _NOTHING
        if name in self.pseudo:
            return self.pseudo[name]
        if name in self.parameters:
            return self.parameters[name]
        return self.attribute(name, "Ref", place)

    def attribute(self, name: str, attribute: str, place: str) -> str:
        if (name, attribute) in self._attributes:
            return self._attributes[name, attribute]
        before = len(self.findings)
        found = self._attribute(name, attribute, place)
        if len(self.findings) == before:
            self._attributes[name, attribute] = found
        return found

    def _attribute(self, name: str, attribute: str, place: str) -> str:
        resource = self.present.get(name)
        if resource is None:
            known = name in self.template.get("Resources", {})
            return self.dangling(place, f"{name} is {'left out by its condition' if known else 'not in the template'}")
        # Of its properties only those that name it: two resources may refer to each other in their policies.
        own_names = naming(resource["Type"])
        properties = {
            key: self.value(each, place) for key, each in resource.get("Properties", {}).items() if key in own_names
        }
        own = physical_name(name, {"Type": resource["Type"], "Properties": properties}, self.world)
        if attribute == "Arn" or (attribute == "Ref" and resource["Type"] in BY_ARN):
            return arn_of(resource["Type"], own, properties, self.world) or f"{own}.Arn"
        return own if attribute in ("Ref", "Name") else f"{own}.{attribute}"

    def fn_getatt(self, operand: Any, place: str) -> str:
        name, attribute = operand.split(".", 1) if isinstance(operand, str) else operand
        return self.attribute(name, attribute, place)

    def fn_sub(self, operand: Any, place: str) -> str:
        text, own = (operand[0], self.value(operand[1], place)) if isinstance(operand, list) else (operand, {})

        def put(match: re.Match) -> str:
            name = match[1].strip()
            if name.startswith("!"):
                return "${" + name[1:] + "}"
            if name in own:
                return str(own[name])
            return str(self.fn_getatt(name, place) if "." in name else self.fn_ref(name, place))

        return re.sub(r"\$\{([^}]+)\}", put, text)

    def fn_if(self, operand: Any, place: str) -> Any:
        condition, then, otherwise = operand
        return self.value(then if self.holds(condition) else otherwise, place)

    def fn_findinmap(self, operand: Any, place: str) -> Any:
        found: Any = self.template.get("Mappings", {})
        for key in self.value(operand, place):
            if key not in found:
                return self.dangling(place, f"the mapping has no {key!r}")
            found = found[key]
        return found

    def fn_join(self, operand: Any, place: str) -> str:
        return operand[0].join(str(self.value(each, place)) for each in operand[1])

    def fn_select(self, operand: Any, place: str) -> Any:
        return self.value(operand[1], place)[int(operand[0])]

    def fn_split(self, operand: Any, place: str) -> list[str]:
        return str(self.value(operand[1], place)).split(operand[0])

    def fn_importvalue(self, operand: Any, place: str) -> str:
        name = self.value(operand, place)
        if name not in self.world.exports:
            return self.dangling(place, f"no stack exports {name!r}")
        return self.world.exports[name]


def text_of(value: Any) -> str:
    """A template or a part of one as the shortest JSON."""
    return json.dumps(value, separators=(",", ":"))
