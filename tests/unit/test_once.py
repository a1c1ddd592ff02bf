"""A command of the build is left out only when nothing changed since its last success."""

import subprocess
import sys
from pathlib import Path

import pytest

from workshop import ROOT

COUNT = "import pathlib; print('made'); p = pathlib.Path('runs.txt'); p.open('a').write('x')"


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("input.txt").write_text("one")
    return tmp_path


def once(*arguments: str, code: str = COUNT, inputs: tuple[str, ...] = ("input.txt",)) -> subprocess.CompletedProcess:
    command = [sys.executable, ROOT / "scripts" / "once.py", "--inputs", *inputs, *arguments, "--"]
    return subprocess.run([*command, sys.executable, "-c", code], capture_output=True, text=True)


def runs() -> int:
    return len(Path("runs.txt").read_text())


@pytest.mark.slow
def test_it_runs_once_and_prints_the_same_again(place):
    assert once().stdout == once().stdout == "made\n"
    assert runs() == 1


@pytest.mark.slow
def test_a_changed_input_runs_it_again(place):
    once()
    Path("input.txt").write_text("two")
    once()
    assert runs() == 2


@pytest.mark.slow
def test_a_file_more_in_a_folder_runs_it_again_and_bytecode_does_not(place):
    Path("folder/__pycache__").mkdir(parents=True)
    once(inputs=("folder",))
    Path("folder/__pycache__/a.pyc").write_text("x")
    once(inputs=("folder",))
    assert runs() == 1
    Path("folder/a.py").write_text("x")
    once(inputs=("folder",))
    assert runs() == 2


@pytest.mark.slow
def test_an_output_that_was_changed_or_removed_is_made_again(place):
    makes = COUNT + "; p = pathlib.Path('out'); p.mkdir(exist_ok=True); (p / 'a').write_text('made')"
    once("--output", "out", code=makes)
    once("--output", "out", code=makes)
    assert runs() == 1
    Path("out/a").write_text("other")
    once("--output", "out", code=makes)
    assert runs() == 2 and Path("out/a").read_text() == "made"
    Path("out/a").unlink()
    once("--output", "out", code=makes)
    assert runs() == 3


@pytest.mark.slow
def test_a_failure_is_no_success(place):
    fails = COUNT + "; raise SystemExit(3)"
    assert [once(code=fails).returncode for _ in range(2)] == [3, 3]
    assert runs() == 2


@pytest.mark.slow
def test_a_change_that_fails_forgets_the_success_of_before(place):
    depends = COUNT + "; raise SystemExit(pathlib.Path('input.txt').read_text() == 'bad')"
    once(code=depends)
    Path("input.txt").write_text("bad")
    assert once(code=depends).returncode == 1
    Path("input.txt").write_text("one")
    once(code=depends)
    assert runs() == 3


@pytest.mark.slow
def test_a_damaged_record_counts_for_nothing(place):
    once()
    (record,) = Path(".build/once").glob("*.json")
    record.write_text("{")
    once()
    assert runs() == 2


def test_a_missing_input_is_named(place):
    done = once(inputs=("nowhere.txt",))
    assert done.returncode == 127 and "nowhere.txt was not found" in done.stderr
    assert not Path("runs.txt").exists()


@pytest.mark.slow
def test_two_at_once_run_it_once(place):
    slow = "import time; time.sleep(0.5); " + COUNT
    command = [
        sys.executable,
        str(ROOT / "scripts" / "once.py"),
        "--inputs",
        "input.txt",
        "--",
        sys.executable,
        "-c",
        slow,
    ]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [each.communicate()[0] for each in both] == ["made\n", "made\n"]
    assert runs() == 1
