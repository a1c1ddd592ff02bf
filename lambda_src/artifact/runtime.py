"""The Lambda runtime and architecture that an artifact is for: its wheels, its bytecode and its proof follow them.

They are `Runtime` and `Architecture` of the parameters that the build writes before it builds (buildspec.yml), and
deploys with.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONFIGURATION = ROOT / "template-configuration.json"
THIS = "python{}.{}".format(*sys.version_info)  # the runtime whose Python runs this
MACHINES = {"x86_64": "x86_64", "aarch64": "arm64"}  # what Linux calls a processor -> what Lambda calls it
HERE = MACHINES.get(platform.machine(), platform.machine())  # this machine's architecture


def chosen(file: Path = CONFIGURATION) -> str:
    """The runtime of the build, as in `python3.13`; where nothing says it, this Python's."""
    if not file.exists():
        return THIS
    return json.loads(file.read_text(encoding="utf-8"))["Parameters"]["Runtime"]


def architecture(file: Path = CONFIGURATION) -> str:
    """The architecture of the build, `x86_64` or `arm64`; where nothing says it, this machine's."""
    if not file.exists():
        return HERE
    return json.loads(file.read_text(encoding="utf-8"))["Parameters"]["Architecture"]


def version(runtime: str) -> str:
    """The Python of a runtime, as in `3.13`."""
    return runtime.removeprefix("python")


def interpreter(runtime: str) -> str:
    """A Python of the runtime's version: this one, another of this machine, or one that uv fetches.

    Raises SystemExit with what to do where there is none.
    """
    if runtime == THIS:
        return sys.executable
    finder = ["sh", str(ROOT / "scripts" / "find_python.sh"), version(runtime)]
    fetch = [sys.executable, "-m", "uv", "python", "install", "--quiet", version(runtime)]
    found = _first_line(finder)
    if not found:
        _first_line(fetch)
        found = _first_line(finder)
    if not found:
        raise SystemExit(
            f"the function's runtime is {runtime}, whose bytecode its own Python writes, and this is "
            f"Python {version(THIS)}: install Python {version(runtime)}, or choose Runtime={THIS}"
        )
    return found


def _first_line(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True).stdout.partition("\n")[0]
