"""make as a person calls it, up to the program that it would run."""

import os
import shutil
import subprocess

from workshop import ROOT, choices


def make(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run make; in place of the last program of a recipe runs one that prints its arguments, a line each."""
    program = shutil.which("make")
    assert program, "make is needed"
    dropped = {"MAKEFLAGS", "MAKEOVERRIDES", "MAKELEVEL", *choices.VARIABLES}  # of the make that runs the tests
    environment = {name: value for name, value in os.environ.items() if name not in dropped}
    return subprocess.run(
        [program, "--environment-overrides", *arguments],
        cwd=ROOT,
        env=environment | {"RUN": "printf '%s\\n'"} | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
