"""Do here what the pipeline does on AWS: from a commit to an endpoint that answers.

    python -m workshop.deployment.rehearsal [--target …] [--region …] [--project-id …] [--commit HEAD]

A clean checkout of the commit, `buildspec.yml`'s phases in a new environment, then the change set that the pipeline's
action in toolchain.yml would make: the same files, parameters and role. The application must be deployed already, since
the pipeline keeps its parameters. Exit status 1 where a step fails.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workshop import ROOT, UserError, client
from workshop.deployment import build, commands, delivery, stacks
from workshop.lab import Lab

# Of the caller's environment, what an installer needs to reach its packages; nothing else of it reaches the build.
KEPT = ("HOME", "LANG", "TMPDIR", "PROJECT_ID")
KEPT_PREFIXES = ("AWS_", "SAM_", "PIP_", "UV_", "SSL_", "http_", "https_", "HTTP_", "HTTPS_", "no_proxy", "NO_PROXY")


class RehearsalError(UserError):
    """A step of the rehearsal failed; the message says which and what to do."""


def check_out(commit: str, folder: Path) -> str:
    """Put the files of a commit into `folder`; returns the commit's id. Raises RehearsalError for an unknown one."""
    command = ["git", "rev-parse", "--verify", f"{commit}^{{commit}}"]
    named = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if named.returncode:
        raise RehearsalError(f"there is no commit {commit!r} here: name one of this repository")
    archive = subprocess.run(["git", "archive", named.stdout.strip()], cwd=ROOT, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    return named.stdout.strip()


def environment_of(lab: Lab) -> dict[str, str]:
    """What the build sees: the lab's place in AWS, and of the caller's own environment no more than it must."""
    every = lab.environment() | {"ARTIFACT_BUCKET": lab.artifact_bucket, "PATH": os.defpath}
    kept = {name: value for name, value in every.items() if name in KEPT or name.startswith(KEPT_PREFIXES)}
    return kept | {name: every[name] for name in ("PATH", "ARTIFACT_BUCKET")}


def rehearse(lab: Lab, commit: str = "HEAD", say: Callable[[str], Any] = print) -> dict[str, Any]:
    """Build a commit as the pipeline does, deploy it by the pipeline's change set, and ask for one prediction.

    Returns the commit, the change set's changes, the parameters that it named, and the prediction. Raises
    RehearsalError, BuildError or StackError.
    """
    cloudformation = lab.client("cloudformation")
    if not stacks.parameters(cloudformation, lab.app_stack):
        raise RehearsalError(f"{lab.app_stack} is not deployed: run `make deploy` first, as before a pipeline is made")
    with tempfile.TemporaryDirectory(prefix="rehearsal-") as place:
        folder = Path(place, "source")
        folder.mkdir()
        built = check_out(commit, folder)
        say(f"source        commit {built[:12]}")
        configuration = delivery.change_set(delivery.stages(lab, folder))
        subprocess.run([sys.executable, "-m", "venv", Path(place, "python")], check=True)
        python, spec = Path(place, "python", "bin", "python"), build.read_buildspec(folder / "buildspec.yml")
        for phase in build.PHASES:
            began = time.monotonic()
            (*_, last) = build.run_phase(phase, environment_of(lab), spec, folder, python)
            say(f"{phase:<13} {time.monotonic() - began:.0f} s  {last}".rstrip())
        named = json.loads((folder / _file(configuration, "TemplateConfiguration", spec)).read_text())["Parameters"]
        named |= json.loads(configuration["ParameterOverrides"])
        change_set = stacks.create_change_set(
            cloudformation,
            configuration["StackName"],
            folder / _file(configuration, "TemplatePath", spec),
            named,
            configuration["RoleArn"],
            tuple(configuration["Capabilities"].split(",")),
        )
        changes = change_set["Changes"] if change_set else []
        say(f"change set    {len(changes)} resources, {len(named)} parameters")
        if change_set:
            stacks.execute(cloudformation, change_set)
    prediction, seconds = client.timed_sample(lab, "golf_ball")
    say(f"smoke test    {prediction['predictions'][0]['class']}, {seconds:.1f} s")
    return {"commit": built, "changes": changes, "parameters": named, "prediction": prediction}


def _file(configuration: dict[str, Any], key: str, spec: dict[str, Any]) -> str:
    """The file of an action's input artifact (`Package::name`), which the build must hand on."""
    name = configuration[key].partition("::")[2]
    if name not in spec["artifacts"]["files"]:
        raise RehearsalError(f"the pipeline reads {name}, and buildspec.yml does not hand it on: add it to artifacts")
    return name


def main(arguments: list[str] | None = None) -> int:
    parser = commands.parser("rehearsal", str(__doc__).splitlines()[0])
    parser.add_argument("--commit", default="HEAD", help="the commit to build (HEAD)")
    chosen = parser.parse_args(arguments)
    return commands.run("rehearse", chosen, lambda lab: rehearse(lab, chosen.commit))


if __name__ == "__main__":
    sys.exit(main())
