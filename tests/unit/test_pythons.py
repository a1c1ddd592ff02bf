"""`make test-pythons`: which Pythons it takes, what it copies, and that other digits fail it."""

import subprocess

import pytest

from tests.scripts import load

script = load("test_pythons")

FOUND = {"/a/python3.13": "3.13", "/a/python3.12": "3.12"}


@pytest.fixture
def two(monkeypatch):
    monkeypatch.setattr(script, "pythons", lambda: list(FOUND))
    monkeypatch.setattr(script, "version", FOUND.get)


def test_a_python_that_is_not_found_is_told(two, capsys):
    assert script.main(["3.12", "3.14"]) == 1
    assert capsys.readouterr().err == "test-pythons: no Python 3.14 was found here\n"


@pytest.mark.parametrize(("digit", "failed"), [("0.1234567890", []), ("0.1234567891", ["failed: the same ten digits"])])
def test_each_python_is_checked_in_a_folder_of_its_own_and_must_predict_the_same(
    two, monkeypatch, capsys, digit, failed
):
    folders = {}

    def check(python, folder):
        folders[python] = folder.name
        return {"tench": [digit if python.endswith("12") else "0.1234567890"]}

    monkeypatch.setattr(script, "check", check)
    assert script.main([]) == bool(failed)
    assert folders == FOUND
    said = capsys.readouterr().out.splitlines()
    assert said[2:] == ["passed: Python 3.13", "passed: Python 3.12", *failed]


def test_a_step_that_fails_does_not_keep_the_other_python_from_its_own(two, monkeypatch, capsys):
    def check(python, folder):
        if python.endswith("13"):
            raise subprocess.CalledProcessError(2, ["make", "setup"])
        return {}

    monkeypatch.setattr(script, "check", check)
    assert script.main([]) == 1
    assert capsys.readouterr().out.splitlines()[2:] == ["passed: Python 3.12", "failed: 3.13"]


def test_a_copy_has_what_git_keeps_or_would_and_keeps_what_was_made_in_it(tmp_path, monkeypatch):
    here, there = tmp_path / "here", tmp_path / "there"
    for name in ("kept.py", "folder/new.py", "ignored.pyc"):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text(name)
    (here / ".gitignore").write_text("*.pyc\n")
    subprocess.run(["git", "init", "-q"], cwd=here, check=True)
    subprocess.run(["git", "add", "kept.py"], cwd=here, check=True)
    (there / ".venv").mkdir(parents=True)
    monkeypatch.setattr(script, "ROOT", here)
    script.copy(there)
    names = {str(path.relative_to(there)) for path in there.rglob("*")}
    assert names == {".gitignore", ".venv", "kept.py", "folder", "folder/new.py"}
