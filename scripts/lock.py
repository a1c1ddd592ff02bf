"""Resolve the direct pins into the full locks: `make lock`.

environment.yml (its pip section) becomes requirements.txt; requirements-emulator.in and requirements-linter.in become
the .txt of their names. All are resolved for Linux x86-64 and any Python 3.11, whatever runs this.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
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


def lock(source: str, requirements: list[str], target: Path) -> None:
    """Resolve `requirements` and write all the pins to `target`. Raises SystemExit when there is no solution."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--python-version", "3.11.0"]
    # An existing lock is kept where it still fits; without it, all would move to the newest.
    command += ["--python-platform", "x86_64-manylinux_2_28", "--no-header", "--output-file", str(target), "-"]
    result = subprocess.run(command, input="\n".join(requirements), capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"make lock: {target.name}: {result.stderr.strip()}")
    lines = [
        line.replace("# via -r -", f"# via {source}").replace("#   -r -", f"#   {source}")
        for line in target.read_text(encoding="utf-8").splitlines()
    ]
    target.write_text(HEADER.format(source=source) + "\n".join(lines) + "\n", encoding="utf-8")
    print(f"{target.name}: {sum('==' in line for line in lines)} packages")


def main() -> None:
    lock("environment.yml", direct_pins(), ROOT / "requirements.txt")
    for which in ("emulator", "linter"):
        source = ROOT / f"requirements-{which}.in"
        lock(source.name, source.read_text(encoding="utf-8").splitlines(), source.with_suffix(".txt"))


if __name__ == "__main__":
    main()
