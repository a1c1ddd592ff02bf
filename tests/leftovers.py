"""Ends what a test worker left running when it was killed itself, and removes what tests left in the temporary folder.

Running things are emulators, and a JupyterLab.

A worker that is interrupted has some seconds for its fixtures' ends. Where they do not suffice, the process that
started the workers comes after them. What ended in good order left no record behind.
"""

import contextlib
import json
import os
import shutil
import signal
import tempfile
from pathlib import Path

import psutil

from workshop.emulator import Emulator

RECORD = "started.json"
# A cache of Checkov's parser, a few bytes of a tool's session, and what an inner run of pytest keeps of a failed test.
KNOWN = (".lark_cache_", ".ses", "pytest-of-")


def note(folder: Path, process: int, emulator: int) -> None:
    """Record a process, which leads a group of its own, and the port of the emulator that it may start."""
    record = {"process": process, "since": psutil.Process(process).create_time(), "emulator": emulator}
    (folder / RECORD).write_text(json.dumps(record), encoding="utf-8")


def end(folder: Path) -> list[str]:
    """End what is still there of what the workers below `folder` started; returns what it was."""
    ended = []
    for file in folder.glob("popen-gw*/*/emulator.json"):
        port = json.loads(file.read_text(encoding="utf-8"))["port"]
        if Emulator(port, file.parent).stop():
            ended.append(f"emulator {port}")
    for file in folder.glob(f"popen-gw*/*/{RECORD}"):
        record = json.loads(file.read_text(encoding="utf-8"))
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            process = psutil.Process(record["process"])
            if process.create_time() == record["since"]:
                os.killpg(process.pid, signal.SIGTERM)  # Jupyter ends its kernels
                ended.append(f"process {process.pid}")
        if Emulator(record["emulator"]).stop():
            ended.append(f"emulator {record['emulator']}")
        file.unlink()
    return ended


def temporary_folder(base: Path) -> Path:
    """The folder for temporary files of all that this process starts, and of itself: one of its own below `base`."""
    folder = base / "temporary"
    folder.mkdir()
    os.environ["TMPDIR"] = str(folder)
    tempfile.tempdir = None  # asks again
    return folder


def forget(folder: Path) -> list[str]:
    """Remove such a folder; returns what was left in it. A process that was killed may leave something."""
    left = sorted(path.name for path in folder.glob("*") if not path.name.startswith(KNOWN))
    shutil.rmtree(folder, ignore_errors=True)
    return left
