"""Time the lab as a newcomer meets it: a fresh clone to the printed prediction, and once more with nothing changed.

    python benchmarks/run.py        writes benchmarks/lab_times.json

The clone holds what is committed. Packages come from wherever pip gets them, its cache included; the emulator runs on a
free port and is stopped at the end.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "notebooks"))

from workshop.emulator import free_port  # noqa: E402


def cpu() -> str:
    """The processor's name, as Linux has it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def timed(folder: Path, *command: str) -> float:
    """Seconds that a command takes in `folder`. Raises CalledProcessError when it fails."""
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL")}
    begin = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True, stdin=subprocess.DEVNULL)
    return round(time.perf_counter() - begin, 1)


def main() -> None:
    port = f"PORT={free_port()}"
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder, "lab")
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        try:
            fresh = timed(clone, "make", "deploy", port)
            again = timed(clone, "make", "deploy", port)
        finally:
            subprocess.run(["make", "down"], cwd=clone, check=False)
    result = {
        "machine": {
            "cpu": cpu(),
            "cores": os.cpu_count(),
            "system": platform.system(),
            "python": platform.python_version(),
        },
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "load_at_the_end": round(os.getloadavg()[1], 1),
        "make_deploy_fresh_clone_s": fresh,
        "make_deploy_nothing_changed_s": again,
    }
    (ROOT / "benchmarks" / "lab_times.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
