"""Run the unit and the package tests and one deploy on each Python of this machine: `make test-pythons`.

    python3 scripts/test_pythons.py [VERSION …]

Each Python gets a copy of this folder, with environments of its own, in `.build/pythons`. What they predict for the
samples must be the same in ten digits. Standard library only.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PLACE = ROOT / ".build" / "pythons"
TESTS = ("tests/unit", "tests/package")

# What the function's own code predicts in this environment for each sample, in ten digits.
PREDICT = """
import json, tempfile
from pathlib import Path
from predict import images, predictor
from workshop import models
from workshop.samples import SAMPLES, sample_path
with tempfile.TemporaryDirectory() as folder:
    files = models.fetch("practice", Path(folder), progress=False)
    network = predictor.Predictor(files.symbol.read_bytes(), files.params.read_bytes(), files.labels)
pictures = {name: images.prepare(images.decode(sample_path(name).read_bytes())) for name in SAMPLES}
print(json.dumps({name: [f"{each:.10g}" for each in network.predict(picture)] for name, picture in pictures.items()}))
"""


def pythons() -> list[str]:
    """The Pythons of this machine, one of each version, newest first."""
    finder = ["sh", str(ROOT / "scripts" / "find_python.sh"), "--all"]
    return subprocess.run(finder, capture_output=True, text=True, check=True).stdout.split()


def version(python: str) -> str:
    """As in `3.13`."""
    ask = "import sys; print('{}.{}'.format(*sys.version_info))"
    return subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True).stdout.strip()


def copy(folder: Path) -> None:
    """Bring `folder` up to this folder's files, those that git keeps or would; what was made in it stays."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    names = [name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def check(python: str, folder: Path) -> dict[str, list[str]]:
    """Set up, test and deploy in `folder`. Returns the predictions; raises CalledProcessError where a step fails."""
    copy(folder)
    dropped = ("MAKEFLAGS", "MAKEOVERRIDES", "VIRTUAL_ENV", "AWS_ENDPOINT_URL")
    environment = {name: value for name, value in os.environ.items() if name not in dropped}
    given = [f"PYTHON={python}", f"PORT={free_port()}"]

    def run(*command: str) -> None:
        subprocess.run(command, cwd=folder, env=environment, check=True)

    run("make", "setup", given[0])
    run(".venv/bin/python", "-m", "pytest", "-q", *TESTS)
    try:
        run("make", "deploy", *given)
    finally:
        run("make", "down", given[0])
    predict = [".venv/bin/python", "-c", PREDICT]
    done = subprocess.run(predict, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def main(asked: list[str]) -> int:
    found = {version(python): python for python in pythons()}
    missing = [each for each in asked if each not in found]
    if missing or not found:
        print(f"test-pythons: no Python {', '.join(missing) or '3.11 to 3.14'} was found here", file=sys.stderr)
        return 1
    predictions, failed = {}, []
    for each in asked or found:
        print(f"Python {each}: {found[each]}", flush=True)
        try:
            predictions[each] = check(found[each], PLACE / each)
        except subprocess.CalledProcessError as error:
            failed.append(each)
            print(f"Python {each}: {error}", file=sys.stderr, flush=True)
    if len({json.dumps(each, sort_keys=True) for each in predictions.values()}) > 1:
        print(f"the predictions differ: {json.dumps(predictions)}", file=sys.stderr)
        failed.append("the same ten digits")
    for each in predictions:
        print(f"passed: Python {each}")
    for each in failed:
        print(f"failed: {each}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
