"""One build at a time: `.build/sam` and `template-export.yml` are one for all that build in this folder.

Tests on several cores deploy side by side: the notebooks under nbval and in JupyterLab, and the end-to-end tests.
"""

import contextlib
import fcntl
from collections.abc import Iterator
from typing import IO

from workshop import ROOT

LOCK = ROOT / ".build" / "tests.lock"
_held: list[IO[str]] = []


def _take() -> IO[str]:
    LOCK.parent.mkdir(exist_ok=True)
    handle = LOCK.open("w")
    fcntl.flock(handle, fcntl.LOCK_EX)
    return handle


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """From the build to the end of the deploy, or while something reads what was built."""
    with _take():
        yield


def hold_while(needed: bool) -> None:
    """The same for a notebook, whose cells are a test each: taken before the first, given back after the last."""
    if needed and not _held:
        _held.append(_take())
    elif not needed:
        while _held:
            _held.pop().close()
