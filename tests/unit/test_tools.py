"""The build's tools: when nothing is left to install."""

import runpy
import subprocess
import sys

import pytest

from workshop import ROOT

TOOLS = runpy.run_path(str(ROOT / "scripts" / "tools.py"))
LOCK = ROOT / TOOLS["LOCK"]


@pytest.mark.parametrize(
    ("names", "whole"),
    [
        (["aws-sam-cli", "policy_sentry", "uv"], True),
        (["aws-sam-cli", "no-such-tool"], False),
        (["pip"], False),  # installed, and of no version of the lock
    ],
)
def test_all_are_there_at_the_locks_versions_or_not(names, whole):
    assert TOOLS["installed"](names, LOCK) is whole


def test_another_version_is_not_the_locks(tmp_path):
    lock = tmp_path / "lock.txt"
    lock.write_text(LOCK.read_text().replace("uv==", "uv==0."))
    assert not TOOLS["installed"](["uv"], lock)


def test_nothing_is_started_where_all_are_installed():
    run = subprocess.run(
        [sys.executable, "scripts/tools.py", "uv"], cwd=ROOT, capture_output=True, text=True, env={"PATH": ""}
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
