"""What the headless run is asked for: its command line, checked, as the parameters of the notebooks."""

from __future__ import annotations

import argparse
import ast
from typing import Any

from workshop import choices, emulator, models
from workshop.deployment import stacks
from workshop.lab import Lab, LabError
from workshop.models.files import read_record

# The lab's own choices, by the option and by make's variable.
OPTIONS = {name: name.upper() for name in ("target", "region", "project_id", "model", "precision")}


def parse(arguments: list[str] | None) -> argparse.Namespace:
    about = "Run the notebooks in order: the deploy."
    parser = argparse.ArgumentParser(prog="workshop.headless.runner", description=about)
    parser.add_argument("--target", help="local: the emulator (default); or aws: your account")
    parser.add_argument("--region", help="AWS region")
    parser.add_argument("--project-id", help="name that every resource starts with")
    parser.add_argument("--model", help="practice, imagenet, or a path or prefix of your own model's files")
    parser.add_argument("--precision", help="float32 (default), or int8 for a model that has it: practice does")
    parser.add_argument("--port", type=int, default=emulator.DEFAULT_PORT, help="the emulator's port (4566)")
    parser.add_argument(
        "-p", "--parameter", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"),
        help="any other parameter of a notebook",
    )  # fmt: skip
    parser.add_argument("--ship", action="store_true", help="run the notebook that ships versions, alone")
    parser.add_argument("--scale", action="store_true", help="run the notebooks that measure the deployed stack, alone")
    parser.add_argument("--endpoint", action="store_true", help="run nothing: print the endpoint's URL alone")
    parser.add_argument(
        "stack_parameters", nargs="*", metavar="NAME=VALUE",
        help="parameters of template.yml and toolchain.yml (python -m workshop.choices lists them)",
    )  # fmt: skip
    return parser.parse_args(arguments)


def parameters_of(chosen: argparse.Namespace) -> dict[str, Any]:
    """The notebooks' parameters that the user named; `chosen` holds those of the stacks. Raises ChoiceError.

    A path of a model is made absolute: it is relative to the repository, and notebooks run in their own folder.
    """
    options = {variable: getattr(chosen, name) or "" for name, variable in OPTIONS.items()}
    stack_parameters = choices.given(chosen.stack_parameters)
    used = choices.check(options | stack_parameters)
    parameters: dict[str, Any] = {name: used[variable] for name, variable in OPTIONS.items() if variable in used}
    for name, value in chosen.parameter:
        try:
            parameters[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            parameters[name] = value
    if stack_parameters:
        parameters["chosen"] = stack_parameters
    return parameters


def with_the_deployed_model(parameters: dict[str, Any], lab: Lab) -> dict[str, Any]:
    """The parameters, with the model and the precision that are deployed where the user named none.

    A stack keeps what an update does not name, and so its model stays, too. Raises LabError when it is one whose source
    this machine does not know.
    """
    deployed = stacks.parameters(lab.client("cloudformation"), lab.app_stack)
    if not deployed:
        return parameters
    kept = {"precision": deployed["Precision"]}
    if "model" not in parameters:
        name = deployed["ModelName"]
        source = read_record(models.FETCHED / name).get("source") or (name if name in choices.MODELS else None)
        if source is None:
            raise LabError(
                f"{lab.app_stack} serves the model {name!r}, which was not fetched on this machine: name its source, "
                "MODEL=<folder or prefix>, or another model, MODEL=practice"
            )
        kept["model"] = source
    return kept | parameters
