"""The build's tools: when nothing is left to install."""

import os
import subprocess
import sys

import pytest

from tests.scripts import load
from workshop import ROOT

tools = load("tools")
LOCK = ROOT / tools.LOCK


@pytest.mark.parametrize(
    ("names", "whole"),
    [
        (["aws-sam-cli", "policy_sentry", "uv"], True),
        (["aws-sam-cli", "no-such-tool"], False),
        (["pip"], False),  # installed, and of no version of the lock
    ],
)
def test_all_are_there_at_the_locks_versions_or_not(names, whole):
    assert tools.installed(names, LOCK) is whole


def test_another_version_is_not_the_locks(tmp_path):
    lock = tmp_path / "lock.txt"
    lock.write_text(LOCK.read_text().replace("uv==", "uv==0."))
    assert not tools.installed(["uv"], lock)


@pytest.mark.parametrize(("name", "status"), [("uv", 0), ("no-such-tool", 3)])
def test_pip_is_not_started_where_all_are_installed(tmp_path, name, status):
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip" / "__init__.py").touch()
    (tmp_path / "pip" / "__main__.py").write_text("raise SystemExit(3)")
    command = [sys.executable, "scripts/tools.py", name]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    assert subprocess.run(command, cwd=ROOT, env=environment).returncode == status
