"""Time the lab as a newcomer meets it: a fresh clone to the printed prediction, and once more with nothing changed.

The clone holds what is committed. Packages come from wherever pip gets them, its cache included; the emulator runs on a
free port and is stopped at the end. `make bench ARGS=lab` runs it.
"""

import os
import subprocess
import tempfile
import time
from pathlib import Path

from workshop.emulator import free_port

ROOT = Path(__file__).resolve().parents[1]


def timed(folder: Path, *command: str) -> float:
    """Seconds that a command takes in `folder`. Raises CalledProcessError when it fails."""
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL")}
    begin = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True, stdin=subprocess.DEVNULL)
    return round(time.perf_counter() - begin, 1)


def measure() -> dict[str, float]:
    """Seconds of `make deploy` in a fresh clone of what is committed, and again with nothing changed."""
    port = f"PORT={free_port()}"
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder, "lab")
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        try:
            return {"fresh_clone": timed(clone, "make", "deploy", port), "again": timed(clone, "make", "deploy", port)}
        finally:
            subprocess.run(["make", "down"], cwd=clone, check=False)
