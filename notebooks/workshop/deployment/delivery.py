"""Change sets of the application, and the pipeline of toolchain.yml: its stages, its change set, and its last run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workshop import ROOT
from workshop.deployment import stacks
from workshop.deployment.judge import APP, TOOLCHAIN, World, resolving
from workshop.lab import Lab


def changes(change_set: dict[str, Any], parameters: Mapping[str, str], folder: Path = ROOT) -> list[dict[str, Any]]:
    """The changes of template.yml's resources that AWS lists; `change_set`: as `describe_change_set` returns it.

    The emulator also lists resources whose condition is false with these values of the `parameters`.
    """
    template = resolving.load(folder / APP)
    bare = {key: template[key] for key in ("Parameters", "Conditions")}
    bare["Resources"] = {
        name: {key: resource[key] for key in ("Type", "Condition") if key in resource}
        for name, resource in template["Resources"].items()
    }
    off = template["Resources"].keys() - resolving.resolve(bare, parameters, World()).resources.keys()
    # SAM makes a resource of each event of a function, which is off with it.
    off |= {
        name + event for name in off for event in template["Resources"][name].get("Properties", {}).get("Events", {})
    }
    listed = [each["ResourceChange"] for each in change_set["Changes"]]
    return [each for each in listed if each["Action"] == "Remove" or each["LogicalResourceId"] not in off]


@dataclass(frozen=True)
class Action:
    """One action of the pipeline. `configuration` is the one that CodePipeline gets; values may be empty."""

    stage: str
    name: str
    provider: str
    configuration: dict[str, Any]

    @property
    def detail(self) -> str:
        """The one entry of the configuration that says what the action works on; "" for an unknown provider."""
        keys = {
            "CodeCommit": "RepositoryName",
            "CodeStarSourceConnection": "FullRepositoryId",
            "CodeBuild": "ProjectName",
            "CloudFormation": "StackName",
        }
        return str(self.configuration.get(keys.get(self.provider, ""), ""))


def stages(lab: Lab, folder: Path = ROOT) -> list[Action]:
    """The actions in the order in which the pipeline runs them, as toolchain.yml of a checkout in `folder` has them.

    The toolchain stack's parameters count where it is deployed, so that a connection to a repository's host shows.
    """
    world = World(lab.toolchain_stack, lab.partition, lab.region, lab.account)
    deployed = stacks.parameters(lab.client("cloudformation"), lab.toolchain_stack)
    chosen = deployed | {"ProjectId": lab.project_id, "WithPipeline": "true"}
    resolved = resolving.resolve(resolving.load(folder / TOOLCHAIN), chosen, world)
    (pipeline,) = [each for each in resolved.resources.values() if each["Type"] == "AWS::CodePipeline::Pipeline"]
    return [
        Action(stage["Name"], each["Name"], each["ActionTypeId"]["Provider"], each["Configuration"])
        for stage in pipeline["Properties"]["Stages"]
        for each in sorted(stage["Actions"], key=lambda action: action.get("RunOrder", 1))
    ]


def change_set(actions: list[Action]) -> dict[str, Any]:
    """The configuration of the one action that makes a change set from a template."""
    (found,) = [each.configuration for each in actions if "TemplatePath" in each.configuration]
    return found


def last_run(lab: Lab) -> list[tuple[str, str]]:
    """(stage, status) of the pipeline's last run, as ("Build", "Succeeded"); empty where no pipeline is deployed.

    A stage that never ran has the status "not run yet".
    """
    name = lab.outputs(lab.toolchain_stack).get("Pipeline")
    if not name:
        return []
    state = lab.client("codepipeline").get_pipeline_state(name=name)
    return [
        (stage["stageName"], stage.get("latestExecution", {}).get("status", "not run yet"))
        for stage in state["stageStates"]
    ]
