"""Install the build's tools, at the lock's versions, into the Python that runs this.

    python scripts/tools.py NAME …

pip installs uv and uv the rest: in a new environment, 4 CPU seconds instead of 56 by pip alone. pip installs all where
it has an index of its own, which uv does not read. The exit status is the installer's.
"""

import subprocess
import sys

LOCK = "requirements-{}.{}.txt".format(*sys.version_info)


def main(names: list[str]) -> int:
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
