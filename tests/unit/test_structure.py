"""The shape of the code: which way imports run, and how long a module may be."""

import subprocess
import sys
from pathlib import Path

import pytest

from workshop import ROOT

PLACES = ("benchmarks", "compatibility", "lambda_src", "notebooks/workshop", "scripts")
LONGEST = 400  # lines


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("lint-imports")
    command = [program, "--no-cache", "--no-logo", "--config", ROOT / "pyproject.toml"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_imports_run_one_way_and_in_no_circle():
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


@pytest.mark.parametrize("place", PLACES)
def test_no_module_is_too_long(place):
    modules = sorted((ROOT / place).rglob("*.py"))
    assert modules
    long = {str(module.relative_to(ROOT)): len(module.read_text().splitlines()) for module in modules}
    assert {name: lines for name, lines in long.items() if lines > LONGEST} == {}


def test_who_makes_a_temporary_folder_removes_it():
    """`mkdtemp` leaves that to its caller, and a notebook once left 150 MB at each run."""
    sources = [
        *(ROOT / "notebooks").glob("*.ipynb"),
        *(file for place in PLACES for file in (ROOT / place).rglob("*.py")),
    ]
    assert [file.name for file in sources if "mkdtemp" in file.read_text(encoding="utf-8")] == []
