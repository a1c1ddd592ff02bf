"""What a killed worker left behind is ended, and nothing else."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests import leftovers
from workshop.emulator import free_port

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def sleeper():
    process = subprocess.Popen(SLEEP, start_new_session=True)
    yield process
    process.kill()
    process.wait()


def folder_of_a_worker(tmp_path):
    folder = tmp_path / "popen-gw0" / "jupyterlab0"
    folder.mkdir(parents=True)
    return folder


def test_a_noted_process_is_ended(tmp_path, sleeper):
    leftovers.note(folder_of_a_worker(tmp_path), sleeper.pid, free_port())
    assert leftovers.end(tmp_path) == [f"process {sleeper.pid}"]
    assert sleeper.wait(10) != 0
    assert leftovers.end(tmp_path) == []


def test_another_process_of_the_same_number_is_left_alone(tmp_path, sleeper):
    folder = folder_of_a_worker(tmp_path)
    leftovers.note(folder, sleeper.pid, free_port())
    record = json.loads((folder / leftovers.RECORD).read_text())
    (folder / leftovers.RECORD).write_text(json.dumps(record | {"since": record["since"] - 100}))
    assert leftovers.end(tmp_path) == []
    assert sleeper.poll() is None


def test_what_is_left_in_the_temporary_folder_is_named_and_removed(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", "")
    monkeypatch.setattr(tempfile, "tempdir", None)
    folder = leftovers.temporary_folder(tmp_path)
    with tempfile.NamedTemporaryFile() as file:
        assert Path(file.name).parent == folder
    (folder / ".lark_cache_1.tmp").touch()
    Path(tempfile.mkdtemp(prefix="model-"), "weights").touch()
    (left,) = leftovers.forget(folder)
    assert left.startswith("model-") and not folder.exists()
    assert leftovers.forget(leftovers.temporary_folder(tmp_path)) == []
