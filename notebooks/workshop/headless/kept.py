"""Notebooks that only look need not run again while nothing that they read has changed.

`runs/.kept/` has the last executed notebook of each, its page, and a digest of all that it was made from.
Delete the folder, and they run.
"""

import contextlib
import hashlib
import json
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from workshop import ROOT

LOOK = ("02_", "03_")  # they change nothing, neither here nor in AWS
READ = ("compatibility", "notebooks/workshop", "notebooks/samples", "lambda_src/predict", "models")
LOCK = "requirements-{}.{}.txt".format(*sys.version_info)
DIGEST = "digest"


def files(root: Path = ROOT) -> Iterator[Path]:
    """All that such a notebook may read, besides itself; no locks, which name a process."""
    yield root / LOCK
    for folder in READ:
        found = sorted((root / folder).rglob("*"))
        yield from (file for file in found if file.is_file() and file.suffix != ".pyc" and file.name[0] != ".")


def digest_of(notebook: Path, parameters: dict[str, Any], read: Iterable[Path] | None = None) -> str:
    """A digest of all that decides what a notebook shows."""
    digest = hashlib.sha256(json.dumps([sys.version, parameters], sort_keys=True, default=str).encode())
    for file in [notebook, *(files() if read is None else read)]:
        with file.open("rb") as stream:
            digest.update(f"\0{file}\0".encode() + hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def holds(notebook: Path, digest: str, kept: Path) -> bool:
    """Whether there is an executed notebook that was made from the same."""
    with contextlib.suppress(OSError):
        return (kept / notebook.stem / DIGEST).read_text(encoding="utf-8") == digest
    return False


def take(notebook: Path, digest: str, folder: Path, kept: Path) -> bool:
    """Put what is kept of a notebook into `folder`, if it was made from the same. Returns whether it was."""
    if not holds(notebook, digest, kept):
        return False
    try:
        for name in (notebook.name, f"{notebook.stem}.html"):
            shutil.copy(kept / notebook.stem / name, folder / name)
    except OSError:  # not all of it is kept
        return False
    return True


def keep(notebook: Path, digest: str, folder: Path, kept: Path) -> None:
    """Keep the executed notebook of `folder`, and its page; nothing where there is no room for them."""
    here = kept / notebook.stem
    shutil.rmtree(here, ignore_errors=True)
    with contextlib.suppress(OSError):
        here.mkdir(parents=True)
        for name in (notebook.name, f"{notebook.stem}.html"):
            shutil.copy(folder / name, here / name)
        (here / DIGEST).write_text(digest, encoding="utf-8")  # last: half a copy is none
