"""Run a command, unless it succeeded before with the same inputs and its output is still as it was left.

    python scripts/once.py --inputs FILE_OR_FOLDER … [--output FOLDER] -- COMMAND …

Then the last lines that the command printed are printed again. The inputs are compared by their content, with the
command and the Python version; the output by the names, sizes and times of its files. One process at a time runs a
command. The exit status is the command's own. Delete `.build/once` to forget every run.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path

FOLDER = Path(".build", "once")
PASSED_OVER = {"__pycache__", ".ipynb_checkpoints"}
LINES = 25  # of the command's output, as many as a failed build shows


def files(paths: Iterable[Path]) -> Iterator[Path]:
    """The files that `paths` name, and those in the folders that they name, sorted. Raises FileNotFoundError."""
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(path)
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        yield from (file for file in inside if file.is_file() and not PASSED_OVER & set(file.parts))


def digest_of(command: list[str], inputs: Iterable[Path]) -> str:
    """A digest of all that decides what the command does."""
    digest = hashlib.sha256(json.dumps([sys.version, command]).encode())
    for file in files(inputs):
        digest.update(f"\0{file}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def state_of(output: Path | None) -> str:
    """A digest of the names, sizes, times and modes below `output`; "" where there is none."""
    if output is None or not output.exists():
        return ""
    digest = hashlib.sha256()
    for file in files([output]):
        status = file.stat()
        digest.update(f"{file}\0{status.st_size}\0{status.st_mtime_ns}\0{status.st_mode}\n".encode())
    return digest.hexdigest()


def run(command: list[str], inputs: list[Path], output: Path | None = None, folder: Path = FOLDER) -> int:
    """Run the command, or print again what its last run with the same inputs printed. Returns the exit status."""
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / f"{hashlib.sha256(json.dumps(command).encode()).hexdigest()[:16]}.json"
    with record.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = digest_of(command, inputs)
        last = _read(record)
        if (
            last.get("inputs") == wanted
            and last.get("output") == state_of(output)
            and (output is None or output.exists())
        ):
            print("".join(last["said"]), end="", flush=True)
            return 0
        record.unlink(missing_ok=True)
        tail: deque[str] = deque(maxlen=LINES)
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                print(line, end="", flush=True)
                tail.append(line)
        if process.returncode == 0:
            partial = record.with_suffix(f".{os.getpid()}")
            partial.write_text(json.dumps({"inputs": wanted, "output": state_of(output), "said": list(tail)}))
            partial.replace(record)
        return process.returncode


def _read(record: Path) -> dict:
    try:
        return json.loads(record.read_text())
    except (OSError, ValueError):
        return {}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=Path, nargs="+", required=True, help="the files that the command depends on")
    parser.add_argument("--output", type=Path, help="the folder that the command makes")
    parser.add_argument("command", nargs="+", help="after --")
    if "--" not in sys.argv:
        parser.error("the command comes after --")
    divided = sys.argv.index("--")
    chosen = parser.parse_args([*sys.argv[1:divided], "--", sys.argv[divided + 1]])
    try:
        return run(sys.argv[divided + 1 :], chosen.inputs, chosen.output)
    except FileNotFoundError as error:
        print(f"once: {error.filename or error} was not found", file=sys.stderr)
        return 127


if __name__ == "__main__":
    sys.exit(main())
