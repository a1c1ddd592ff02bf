"""Resolve the direct pins into the full locks: `make lock`.

environment.yml (its pip section) becomes one lock for each Python, requirements-3.11.txt to requirements-3.14.txt.
requirements-emulator.in, requirements-linter.in and requirements-site.in become the .txt of their names, one for all
Pythons. Each is resolved for Linux on x86-64 and on arm64, whatever runs this, and is one lock for both: a package that
arm64 does without has a marker.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PLATFORMS = ("x86_64-manylinux_2_28", "aarch64-manylinux_2_28")
NOT_ON_ARM64 = ' ; platform_machine == "x86_64"'
# Not installed, whatever asks for it. rfc3987-syntax compiles a grammar when jsonschema is imported: 2 s of CPU at the
# start of sam, cfn-lint, papermill and JupyterLab, for a format of strings ("iri") that none of their schemas has.
LEFT_OUT = ("rfc3987-syntax",)
HEADER = "# Made by `make lock` from {source}: edit that file, not this one.\n"


def direct_pins(environment: Path = ROOT / "environment.yml") -> list[str]:
    """The requirements (`name==version`) of environment.yml's pip section, without options and comments.

    The project itself (`-e .`) is no requirement: the set-up installs it after the lock.

    Read line by line: this runs before anything is installed, so there is no YAML parser to lean on.
    """
    lines = environment.read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.strip() == "- pip:")
    pins = []
    for line in lines[start + 1 :]:
        item = line.split("  #")[0].strip()
        if item.startswith("- ") and not item.startswith("- -"):
            pins.append(item[2:].strip())
    return pins


def compiled(requirements: list[str], python: str, platform: str, target: Path) -> str:
    """The lock of `requirements` for one Python and platform, with the pins of `target` where they still fit.

    Without them, all would move to the newest. MXNet's metadata asks for a NumPy below 2, which our own pin overrides.
    Only versions with a wheel for this Python count, as a lab's machine may have no compiler.
    Raises SystemExit when there is no solution.
    """
    with tempfile.TemporaryDirectory() as folder:
        output, override = Path(folder, target.name), Path(folder, "override")
        if target.exists():
            shutil.copy(target, output)
        never = [f"{name}; python_version < '3'" for name in LEFT_OUT]
        override.write_text("\n".join([line for line in requirements if line.startswith("numpy==")] + never))
        command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--python-version", f"{python}.0"]
        command += ["--python-platform", platform, "--override", str(override)]
        command += ["--no-build", "--no-header", "--output-file", str(output), "-"]
        result = subprocess.run(command, input="\n".join(requirements), capture_output=True, text=True)
        if result.returncode:
            sys.exit(f"make lock: {target.name}: {result.stderr.strip()}")
        return re.sub(rf"(?m)^    #.* {re.escape(str(override))}\n", "", output.read_text(encoding="utf-8"))


def for_both(x86_64: str, arm64: str) -> str:
    """The lock for x86-64, with a marker at what arm64 does without. Raises ValueError where arm64 needs more."""
    without = set(pins(x86_64)) - set(pins(arm64))
    if set(pins(arm64)) - set(pins(x86_64)):
        raise ValueError("x86-64 and arm64 need other versions")
    return "".join(
        line.replace("\n", NOT_ON_ARM64 + "\n") if line.rstrip() in without else line
        for line in x86_64.splitlines(keepends=True)
    )


def lock(source: str, requirements: list[str], pythons: Sequence[str], target: Path) -> None:
    """Resolve `requirements` for each of `pythons`, which must give the same, and write all the pins to `target`."""
    try:
        first, *others = [
            for_both(*(compiled(requirements, python, platform, target) for platform in PLATFORMS))
            for python in pythons
        ]
    except ValueError as error:
        sys.exit(f"make lock: {target.name}: {error}: make two locks")
    if any(pins(each) != pins(first) for each in others):
        sys.exit(f"make lock: {target.name}: Python {pythons[0]} and {pythons[-1]} need other versions: make two locks")
    text = first.replace("# via -r -", f"# via {source}").replace("#   -r -", f"#   {source}")
    target.write_text(HEADER.format(source=source) + text, encoding="utf-8")
    print(f"{target.name}: {len(pins(text))} packages")


def pins(text: str) -> list[str]:
    """The lines of a lock that name a version."""
    return [line for line in text.splitlines() if "==" in line and not line.lstrip().startswith("#")]


def main() -> None:
    for python in PYTHONS:
        lock("environment.yml", direct_pins(), [python], ROOT / f"requirements-{python}.txt")
    for which in ("emulator", "linter", "site"):
        source = ROOT / f"requirements-{which}.in"
        requirements = source.read_text(encoding="utf-8").splitlines()
        lock(source.name, requirements, (PYTHONS[0], PYTHONS[-1]), source.with_suffix(".txt"))


if __name__ == "__main__":
    main()
