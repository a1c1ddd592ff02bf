"""A judge at least as strict as AWS: what it would refuse of the templates, the roles and the pipeline.

    python -m workshop.deployment.judge

CloudFormation's SAM transform, the registry's resource schemas, the Amazon States Language and the service
authorization reference come from packages of the lock; nothing is asked over the network.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from workshop import ROOT

from . import caller, limits, machines, permissions, pipeline, snapshots, statements, upkeep
from .finding import Finding
from .parameters import cases
from .permissions import Need
from .resolving import Resolved, World, expand, load, resolve, text_of

__all__ = ["Finding", "Need", "World", "caller_needs", "judge", "judge_files", "role_needs", "sources"]

APP, TOOLCHAIN = "template.yml", "toolchain.yml"
BUILD = "buildspec.yml"


def judge_files(root: Path = ROOT) -> list[Finding]:
    """Judge the two templates of a checkout, and the build and the code that deploy them."""
    found = [each for name in (APP, TOOLCHAIN) for each in limits.judge_text((root / name).read_text(), name)]
    texts = sources(root)
    found += judge(load(root / APP), load(root / TOOLCHAIN), load(root / BUILD)["artifacts"]["files"])
    written = texts | {name: (root / name).read_text() for name in (APP, TOOLCHAIN, BUILD)}
    return sorted({*found, *upkeep.partitions(written)})


def judge(app: dict[str, Any], toolchain: dict[str, Any], handed_on: Iterable[str] | None = None) -> list[Finding]:
    """Judge two parsed templates, in every combination of parameters that matters.

    `handed_on`: the files that the build hands on to the pipeline's deploy; those of this repository, when not given.
    """
    expanded = {APP: expand(app, next(cases(app))), TOOLCHAIN: expand(toolchain, {})}
    found: list[Finding] = []
    for place, template in expanded.items():
        found += [*limits.judge_template(template, place), *limits.untyped_numbers(template, place)]
    files = load(ROOT / BUILD)["artifacts"]["files"] if handed_on is None else list(handed_on)
    tools = [resolve(expanded[TOOLCHAIN], each, World("predictions-toolchain")) for each in cases(toolchain)]
    for tool in tools:
        found += [*pipeline.judge(tool, app, files, TOOLCHAIN), *pipeline.judge_role(tool, TOOLCHAIN)]
    for tool in _once(tools):
        found += [*_judge_resources(tool, TOOLCHAIN)]
    beside: dict[str, Resolved] = {}  # the toolchain of each project's name
    stacks: list[Resolved] = []
    for parameters in cases(expanded[APP]):
        project = parameters["ProjectId"]
        if project not in beside:
            beside[project] = resolve(expanded[TOOLCHAIN], {"ProjectId": project}, World(f"{project}-toolchain"))
        exports = beside[project].exports
        stacks.append(resolve(expanded[APP], parameters, World(f"{project}-app", exports=exports)))
    stacks = list(_once(stacks))
    for stack in stacks:
        tool = beside[stack.parameters["ProjectId"]]
        role, artifacts = tool.resources["CloudFormationRole"], tool.arn("ArtifactBucket")
        found += [*_judge_resources(stack, APP), *permissions.judge(stack, role, artifacts, APP)]
    first = beside[stacks[0].parameters["ProjectId"]]
    found += permissions.judge_reasons(stacks, first.resources["CloudFormationRole"], APP)
    return sorted(set(found))


def _judge_resources(resolved: Resolved, place: str) -> Iterator[Finding]:
    yield from resolved.findings
    for check in (statements.judge, machines.judge, upkeep.judge, snapshots.judge, permissions.judge_types):
        yield from check(resolved, place)


def _once(cases: list[Resolved]) -> Iterator[Resolved]:
    """The cases, each without the resources that an earlier one had just so: most are the same in every case."""
    seen: set[str] = set()
    for case in cases:
        texts = {name: f"{case.world.stack} {name} {text_of(resource)}" for name, resource in case.resources.items()}
        yield replace(case, resources={name: case.resources[name] for name, text in texts.items() if text not in seen})
        seen.update(texts.values())


def role_needs(
    project: str = "predictions",
    world: World | None = None,
    parameters: Mapping[str, str] | None = None,
    root: Path = ROOT,
) -> list[Need]:
    """What the role that deploys template.yml must be allowed, with these parameters beside the defaults."""
    world, project_id = world or World(), {"ProjectId": project}
    tool = resolve(load(root / TOOLCHAIN), project_id, World(f"{project}-toolchain", *_place(world)))
    placed = World(f"{project}-app", *_place(world), exports=tool.exports)
    app = resolve(expand(load(root / APP), project_id), {**project_id, **(parameters or {})}, placed)
    return sorted(set(permissions.needs(app, tool.arn("ArtifactBucket"))))


def caller_needs(
    project: str = "predictions",
    world: World | None = None,
    parameters: Mapping[str, str] | None = None,
    root: Path = ROOT,
) -> list[Need]:
    """What the caller of the lab must be allowed: for toolchain.yml, with these parameters, and for the code's calls.

    Each `Need` has an action and a resource as SimulatePrincipalPolicy takes them (`*` within a resource stands for
    names that are not known yet); of `iam:PassRole`, `passed_to` is the value of iam:PassedToService.
    """
    world = world or World()
    placed = World(f"{project}-toolchain", *_place(world))
    tool = resolve(load(root / TOOLCHAIN), {"ProjectId": project, **(parameters or {})}, placed)
    return caller.needs_of_caller(tool, sources(root), project)


def _place(world: World) -> tuple[str, str, str]:
    return world.partition, world.region, world.account


def sources(root: Path = ROOT) -> dict[str, str]:
    """The Python that runs with the caller's credentials, by file: the notebooks' code cells and their library."""
    texts = {}
    for file in sorted((root / "notebooks").glob("[0-9]*.ipynb")):
        cells = [cell for cell in json.loads(file.read_text())["cells"] if cell["cell_type"] == "code"]
        lines = "\n".join("".join(cell["source"]) for cell in cells).splitlines()
        plain = ["" if line.lstrip().startswith(("%", "!")) else line for line in lines]
        texts[file.relative_to(root).as_posix()] = "\n".join(plain)
    for file in sorted((root / "notebooks" / "workshop").rglob("*.py")):
        place = file.relative_to(root).as_posix()
        if "/deployment/judge/" not in place:  # which asks nothing of AWS
            texts[place] = file.read_text()
    return texts
