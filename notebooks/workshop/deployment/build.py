"""Run the phases of `buildspec.yml` on this machine, in the order and with the variables that CodeBuild would use."""

import os
import subprocess
import sys
from collections import deque
from pathlib import Path

import yaml

from workshop import ROOT, UserError

PHASES = ("install", "pre_build", "build", "post_build")
LOG = ROOT / ".build" / "build.log"


class BuildError(UserError, RuntimeError):
    """A command of the build failed; the message holds the command and the end of what it printed."""


def read_buildspec(file: Path = ROOT / "buildspec.yml") -> dict:
    """Parse the file. Raises BuildError when it is not a buildspec of version 0.2 with the four phases."""
    spec = yaml.safe_load(file.read_text())
    missing = [phase for phase in PHASES if phase not in spec.get("phases", {})]
    if spec.get("version") != 0.2 or missing:
        raise BuildError(f"{file.name}: expected version 0.2 with {', '.join(PHASES)}; missing: {missing or 'version'}")
    return spec


def commands(phase: str, spec: dict | None = None) -> list[str]:
    """The shell commands of one phase."""
    return list((spec or read_buildspec())["phases"][phase]["commands"])


def run_phase(
    phase: str,
    environment: dict[str, str],
    spec: dict | None = None,
    folder: Path = ROOT,
    python: Path = Path(sys.executable),
) -> list[str]:
    """Run one phase's commands in `folder`, a checkout, and return the last line of each one's output.

    `environment`: everything the commands see: `Lab.environment()`, and what the buildspec expects (`ARTIFACT_BUCKET`,
    `AWS_REGION`); the scripts beside `python` come first on the PATH. All output goes to `.build/build.log`.
    Raises BuildError at the first command that fails.
    """
    spec = spec or read_buildspec(folder / "buildspec.yml")
    path = os.pathsep.join([str(python.parent), environment.get("PATH", os.defpath)])
    variables = environment | spec.get("env", {}).get("variables", {}) | {"PATH": path}
    file = folder / LOG.relative_to(ROOT)
    file.parent.mkdir(parents=True, exist_ok=True)
    ends = []
    for command in commands(phase, spec):
        tail: deque[str] = deque(maxlen=25)
        with file.open("w" if phase == PHASES[0] else "a") as log:
            log.write(f"\n[{phase}] {command}\n")
            process = subprocess.Popen(
                ["bash", "-c", command],
                cwd=folder,
                env=variables,
                text=True,
                errors="replace",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            assert process.stdout is not None
            for line in process.stdout:
                log.write(line)
                if line.strip():
                    tail.append(line.rstrip())
        if process.wait():
            raise BuildError(f"{phase}: `{command}` ended with {process.returncode}:\n" + "\n".join(tail))
        ends.append(tail[-1] if tail else "")
    return ends
