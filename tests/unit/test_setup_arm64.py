"""The set-up on Linux for arm64: the same locks, no Python 3.11, and the libraries that MXNet lacks."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import pytest

from artifact import assemble, workbook
from tests.scripts import load
from workshop import ROOT, together

setup, lock = load("setup"), load("lock")
MARKED = re.compile(r"(?m)^(\S+)==\S+ ?; (.+?)(?:  #.*)?$")


# --- the locks


def test_a_lock_for_both_marks_what_arm64_does_without():
    both = "# made\na==1\n    # via b\nb==2\nc==3\n"
    assert lock.for_both(both, both) == both
    without = lock.for_both(both, "a==1\nc==3\n    # via a\n")
    assert without == both.replace("b==2", 'b==2 ; platform_machine == "x86_64"')
    for other in ("a==1\nb==9\nc==3\n", both + "d==4\n"):
        with pytest.raises(ValueError, match="other versions"):
            lock.for_both(both, other)


@pytest.mark.parametrize("name", sorted(path.name for path in ROOT.glob("requirements*.txt")))
def test_arm64_does_without_the_resizer_alone(name):
    workbooks = re.match(r"requirements-3", name)
    marked = [("cykooz-resizer", 'platform_machine == "x86_64"')]
    assert MARKED.findall((ROOT / name).read_text()) == (marked if workbooks else [])


def test_the_function_does_without_the_same():
    requirements = (ROOT / "lambda_src" / "predict" / "requirements.txt").read_text()
    marked = MARKED.findall(requirements.replace(" ;", ";"))
    assert [each for each in marked if "platform_machine" in each[1]] == [
        ("cykooz-resizer", 'platform_machine == "x86_64"')
    ]


# --- the Pythons


@pytest.mark.parametrize(("machine", "found"), [("x86_64", "3.11"), ("aarch64", "")])
def test_python_3_11_is_not_taken_on_arm64(tmp_path, machine, found):
    for name in ("sh", "dirname", "sed"):
        (tmp_path / name).symlink_to(shutil.which(name))
    stand_ins = {"uname": f"echo {machine}", "python3": 'case " $3 " in *" 3.11 "*) echo 3.11;; *) exit 1;; esac'}
    for name, line in stand_ins.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "find_python.sh", tmp_path / "scripts")
    command = ["/bin/sh", tmp_path / "scripts" / "find_python.sh"]
    environment = {"PATH": str(tmp_path), "HOME": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == (found, "")
    if not found:
        refused = subprocess.run([*command, "--fetch"], env=environment, capture_output=True, text=True)
        assert "set-up: Python 3.12 to 3.14 with venv was not found" in refused.stderr


def test_the_pythons_left_out_are_those_that_the_function_cannot_have():
    for python in setup.PYTHONS:
        problem = together.problem_of_stack({"Architecture": "arm64", "Runtime": f"python{python}"})
        assert (problem is not None) == (python in setup.NOT_ON_ARM64)


# --- MXNet's libraries


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A set-up of a workbook without a package, on a machine to be named."""
    (tmp_path / "lock.txt").write_text("# nothing\n")
    for name in (*setup.PROJECT, *setup.CHANGED_ON_ARM64):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    monkeypatch.setattr(setup, "ROOT", tmp_path)
    monkeypatch.setattr(setup, "LOCKS", {"workbook": ("lock.txt", ".venv")})
    monkeypatch.setattr(setup, "ROOM", {"workbook": 1})
    for name in ("install", "install_project"):
        monkeypatch.setattr(setup, name, lambda *_: None)
    return tmp_path


@pytest.mark.slow
def test_mxnet_gets_its_libraries_on_arm64_alone(tiny, monkeypatch):
    lent = []
    monkeypatch.setattr(setup, "lend_libraries", lent.append)
    monkeypatch.setattr(setup.platform, "machine", lambda: "x86_64")
    assert setup.make("workbook") and not lent
    for name in setup.CHANGED_ON_ARM64:  # they are of no concern here
        (tiny / name).write_text("changed\n")
    assert not setup.make("workbook")
    monkeypatch.setattr(setup.platform, "machine", lambda: "aarch64")
    assert setup.make("workbook") and lent == [tiny / ".venv"]
    assert not setup.make("workbook")
    (tiny / setup.CHANGED_ON_ARM64[-1]).write_text("other wheels\n")
    assert setup.make("workbook") and len(lent) == 2


@pytest.mark.slow
def test_libraries_that_cannot_be_had_are_one_line(tiny, monkeypatch):
    monkeypatch.setattr(setup.platform, "machine", lambda: "aarch64")
    with pytest.raises(setup.SetupError, match="MXNet's libraries for arm64 could not be installed: .+") as refused:
        setup.make("workbook")
    assert "\n" not in str(refused.value)
    assert not setup.is_complete(tiny / "lock.txt", tiny / ".venv")


def test_the_libraries_are_new_files_beside_libmxnet(tmp_path, monkeypatch):
    """uv links what it installs to its cache: a file changed in place would change in each environment."""

    def extracted(target, architecture):
        assert architecture == "arm64"
        target.mkdir()
        for name in assemble.NATIVE_LIBRARIES["arm64"].values():
            (target / name).write_text("changed")

    package, cache = tmp_path / "mxnet", tmp_path / "cache"
    package.mkdir()
    cache.mkdir()
    (cache / "libmxnet.so").write_text("as it came")
    os.link(cache / "libmxnet.so", package / "libmxnet.so")
    loaded = []
    monkeypatch.setattr(assemble, "extract_native_libraries", extracted)
    monkeypatch.setattr(workbook.ctypes, "CDLL", loaded.append)
    workbook.lend(package)
    assert {path.name for path in package.iterdir()} == set(assemble.NATIVE_LIBRARIES["arm64"].values())
    assert (package / "libmxnet.so").read_text() == "changed"
    assert (cache / "libmxnet.so").read_text() == "as it came"
    assert loaded == [str(package / "libmxnet.so")]


def test_what_goes_wrong_with_the_libraries_is_said(monkeypatch, capsys):
    def unreadable(package):
        raise OSError("libopenblas.so.0: cannot open shared object file")

    monkeypatch.setattr(workbook, "lend", unreadable)
    assert workbook.main() == 1
    assert capsys.readouterr().err == "libopenblas.so.0: cannot open shared object file\n"
    monkeypatch.setattr(sys.modules["importlib.util"], "find_spec", lambda name: None)
    assert workbook.main() == 1
    assert "not installed" in capsys.readouterr().err
