"""One build at a time: `.build/sam` and `template-export.yml` are one for all that build in this folder.

Tests on several cores deploy side by side: the notebooks under nbval and in JupyterLab, and the end-to-end tests.
"""

import contextlib
import fcntl
import json
from collections.abc import Iterator
from typing import IO

from workshop import ROOT
from workshop.lab import Lab

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


def template_of(lab: Lab) -> str:
    """The text of the template that the lab's application was deployed with, whatever was built since."""
    answer = lab.client("cloudformation").get_template(StackName=lab.app_stack, TemplateStage="Original")
    body = answer["TemplateBody"]
    return body if isinstance(body, str) else json.dumps(body)
