"""Install the build's tools, at the lock's versions, into the Python that runs this.

    python scripts/tools.py NAME …

pip installs uv and uv the rest: in a new environment, 4 CPU seconds instead of 56 by pip alone. pip installs all where
it has an index of its own, which uv does not read. The exit status is the installer's. Nothing is started where all are
installed.
"""

import subprocess
import sys
from importlib import metadata
from pathlib import Path

LOCK = "requirements-{}.{}.txt".format(*sys.version_info)


def installed(names: list[str], lock: Path) -> bool:
    """Whether each of `names` is installed here, at the version of `lock`."""
    lines = lock.read_text(encoding="utf-8").splitlines()
    locked = dict(line.split(" ")[0].split("==") for line in lines if "==" in line and line[0] not in " #")
    try:
        return all(metadata.version(name) == locked.get(name.lower().replace("_", "-")) for name in names)
    except metadata.PackageNotFoundError:
        return False


def main(names: list[str]) -> int:
    if installed(names, Path(LOCK)):
        return 0
    pip = [sys.executable, "-m", "pip"]
    settings = subprocess.run([*pip, "config", "list"], capture_output=True, text=True).stdout
    if ".index-url=" in settings.replace("extra-index-url", ""):
        return subprocess.run([*pip, "install", "--quiet", "--constraint", LOCK, *names]).returncode
    if status := subprocess.run([*pip, "install", "--quiet", "--constraint", LOCK, "uv"]).returncode:
        return status
    uv = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", sys.executable]
    if subprocess.run([*uv, "--constraint", LOCK, *names]).returncode == 0:
        return 0
    print("tools: uv could not install them; pip tries", file=sys.stderr)
    return subprocess.run([*pip, "install", "--quiet", "--constraint", LOCK, *names]).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
