"""The command line that the lab's small programs share: where the lab is, and failures in one sentence."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable

from botocore.exceptions import ClientError

from workshop import UserError, emulator
from workshop.lab import Lab, connect


def parser(program: str, about: str) -> argparse.ArgumentParser:
    """A parser of the options that say where the lab is, as make gives them."""
    made = argparse.ArgumentParser(prog=f"workshop.deployment.{program}", description=about)
    made.add_argument("--target", choices=["local", "aws"])
    made.add_argument("--region")
    made.add_argument("--project-id")
    made.add_argument("--port", type=int, default=emulator.DEFAULT_PORT, help="the emulator's port (4566)")
    return made


def run(program: str, chosen: argparse.Namespace, work: Callable[[Lab], object], start: bool = False) -> int:
    """Connect and do the work; the exit status: 0, or 1 after a sentence on stderr.

    `start`: whether the emulator is started where it does not run.
    """
    where = {name: getattr(chosen, name) for name in ("target", "region", "project_id") if getattr(chosen, name)}
    try:
        if chosen.target != "aws":
            own = emulator.Emulator(chosen.port)
            os.environ["AWS_ENDPOINT_URL"] = own.start() if start else own.endpoint
        work(connect(**where))
    except UserError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 1
    except ClientError as error:
        print(f"{program}: AWS rejected {error.operation_name}: {error.response['Error']['Message']}", file=sys.stderr)
        return 1
    return 0
