"""Values that are valid one by one and not together. It takes the standard library alone (workshop/choices.py)."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping

THIS = "python{}.{}".format(*sys.version_info)  # the emulator's Python is that of the set-up
HERE = {"aarch64": "arm64"}.get(platform.machine(), "x86_64")  # this machine's architecture, as Lambda calls it

# The template's own default of Auth is for an endpoint that the Internet reaches.
LOCAL_DEFAULTS = {"Auth": "none"}
LOCAL_NOTES = {
    **{name: f"on the emulator the default is {value}" for name, value in LOCAL_DEFAULTS.items()},
    "Runtime": "with TARGET=aws alone: the emulator runs functions by the workbook's Python",
    "Architecture": "the emulator takes only that of this machine",
}


def problem(values: Mapping[str, str]) -> str | None:
    """The first thing that is wrong with choices, by their names on make's command line; None where nothing is.

    What is not named may be deployed with another value: `problem_of_stack` sees all of them.
    """
    local = values.get("TARGET", "local") == "local"
    if local and "Runtime" in values:
        return "Runtime needs TARGET=aws: the emulator runs functions by the Python that PYTHON= names"
    if local and values.get("Architecture", HERE) != HERE:
        return f"Architecture={values['Architecture']} needs TARGET=aws: the emulator's functions run on this {HERE}"
    if local and values.get("WithPipeline") == "true":
        return "WithPipeline=true needs TARGET=aws: the emulator has no CodePipeline"
    named = {"Precision": values["PRECISION"]} if "PRECISION" in values else {}
    here = {"Runtime": THIS, "Architecture": HERE} if local else {}
    return problem_of_stack(here | dict(values) | named)


def problem_of_stack(values: Mapping[str, str]) -> str | None:
    """The first thing that is wrong with values of template.yml's parameters; what is missing is not looked at."""
    if values.get("SnapStart") == "true" and values.get("Runtime") == "python3.11":
        return "SnapStart=true needs Python 3.12 or later, and the function's is 3.11: Lambda has no snapshots of it"
    if values.get("Architecture") == "arm64" and values.get("Runtime") == "python3.11":
        return "Architecture=arm64 needs Python 3.12 or later: obstore's wheel needs a newer glibc than python3.11 has"
    if values.get("Architecture") == "arm64" and values.get("Precision") == "int8":
        return "Architecture=arm64 needs float32: int8 gives other probabilities there than on x86_64"
    return None
