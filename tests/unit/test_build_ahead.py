"""The build that starts before its notebook: which commands it runs, and that it leaves no process behind."""

import json
import os
import time
from pathlib import Path

import psutil
import pytest

from workshop import ROOT
from workshop.deployment import build, parameters

SPEC = """version: 0.2
phases:
  install: {{commands: [touch installed]}}
  pre_build: {{commands: ["{once} first -- touch first", touch needs-aws]}}
  build: {{commands: ["{once} second -- {second}"]}}
  post_build: {{commands: [touch packaged]}}
"""


def place(folder: Path, second: str) -> Path:
    (folder / "scripts").mkdir()
    (folder / "scripts" / "once.py").write_text((ROOT / "scripts" / "once.py").read_text())
    (folder / "buildspec.yml").write_text(
        SPEC.format(once="python scripts/once.py --inputs buildspec.yml --output", second=second)
    )
    return folder


def wait_for(file: Path) -> None:
    until = time.monotonic() + 60
    while not file.exists():
        assert time.monotonic() < until, f"no {file.name}"
        time.sleep(0.05)


def test_it_runs_what_needs_nothing_of_aws():
    commands = build.commands_ahead()
    text = "\n".join(commands)
    assert all(
        part in text for part in ("cfn-lint", "deployment.judge", "sam build", "artifact.verify", "artifact.pack")
    )
    assert not any(part in text for part in ("ARTIFACT_BUCKET", "sam package", "deployment.parameters", "tools.py"))
    assert commands == [each for phase in build.PHASES for each in build.commands(phase) if each in commands]


def at_work_in(folder: Path) -> list[psutil.Process]:
    """The processes of a folder that have not ended; one that nobody has waited for yet has."""
    every = psutil.process_iter(["cwd", "status"])
    return [each for each in every if each.info["cwd"] == str(folder) and each.info["status"] != psutil.STATUS_ZOMBIE]


@pytest.mark.slow
def test_what_is_left_of_it_is_stopped(tmp_path):
    folder = place(tmp_path, second="bash -c 'touch begun; exec sleep 99'")
    with build.ahead(os.environ, folder):
        wait_for(folder / "begun")
        at_work = at_work_in(folder)
        assert len(at_work) > 1
    psutil.wait_procs(at_work, timeout=20)
    assert not at_work_in(folder)
    assert (folder / "first").exists()
    assert not any((folder / name).exists() for name in ("installed", "needs-aws", "packaged"))


@pytest.mark.slow
def test_a_failure_is_left_to_the_build(tmp_path):
    folder = place(tmp_path, second="false")
    with build.ahead(os.environ, folder):
        wait_for(folder / "first")
    with pytest.raises(build.BuildError, match="build: .*second -- false"):
        for phase in build.PHASES:
            build.run_phase(phase, dict(os.environ), folder=folder)


def test_what_the_artifact_is_for_is_written_when_it_changes(tmp_path):
    (tmp_path / ".build").mkdir()
    values = {"Runtime": "python3.13", "Architecture": "x86_64", "MemorySize": "1769"}
    parameters.write_built_for(values, tmp_path)
    file = tmp_path / parameters.BUILT_FOR_FILE
    assert json.loads(file.read_text()) == {"Runtime": "python3.13", "Architecture": "x86_64"}
    before = file.stat()
    parameters.write_built_for(values, tmp_path)
    assert file.stat().st_mtime_ns == before.st_mtime_ns
    parameters.write_built_for(values | {"Architecture": "arm64"}, tmp_path)
    assert json.loads(file.read_text())["Architecture"] == "arm64"
    assert [each.name for each in file.parent.iterdir()] == [file.name]
