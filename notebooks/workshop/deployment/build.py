"""Run the phases of `buildspec.yml` on this machine, in the order and with the variables that CodeBuild would use.

python -m workshop.deployment.build        the commands that need nothing of AWS (`ahead`)
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from workshop import ROOT, UserError

PHASES = ("install", "pre_build", "build", "post_build")
LOG = ROOT / ".build" / "build.log"
LOG_AHEAD = LOG.with_name("build-ahead.log")
OFFLINE = ("scripts/once.py", "artifact.pack")  # commands of these need no AWS, and their results are kept


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


def commands_ahead(spec: dict | None = None) -> list[str]:
    """The commands that need nothing of AWS, and that a build need not run again after them."""
    return [each for phase in PHASES for each in commands(phase, spec) if any(name in each for name in OFFLINE)]


@contextlib.contextmanager
def ahead(environment: Mapping[str, str], folder: Path = ROOT) -> Iterator[None]:
    """Run those commands in `folder` at a low priority while the block runs; what is left of them then is stopped.

    The build that comes later waits for a command that is at work, and shows what failed.
    `environment`: as of `run_phase`. All output goes to `.build/build-ahead.log`.
    """
    file = folder / LOG_AHEAD.relative_to(ROOT)
    file.parent.mkdir(exist_ok=True)
    with file.open("w") as log:
        process = subprocess.Popen(
            ["nice", "-n", "10", sys.executable, "-m", "workshop.deployment.build"],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def main() -> int:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    spec = read_buildspec(Path("buildspec.yml"))
    for command in commands_ahead(spec):
        print(f"\n{command}", flush=True)
        variables = os.environ | spec.get("env", {}).get("variables", {}) | {"PATH": path}
        if status := subprocess.run(["bash", "-c", command], env=variables).returncode:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
