"""`import mxnet` on each Python: the names it misses are there meanwhile, and nothing stays behind."""

import subprocess
import sys
from pathlib import Path

import pytest

from workshop import ROOT

SOURCES = ("mxnet_names.py", "mxnet_names.pth")


def run(code: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *options, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")


@pytest.mark.slow
def test_mxnet_is_imported_from_anywhere_and_leaves_no_name_behind():
    done = run(
        """
import sys, numpy, numpy.testing, numpy.random, numpy.fft, numpy.typing
before, values = set(vars(numpy)), {name: id(value) for name, value in vars(numpy).items()}
had = "distutils" in sys.modules
import mxnet
import mxnet.contrib.quantization, mxnet.gluon.data
new = {name for name in set(vars(numpy)) - before if type(getattr(numpy, name)).__name__ != "module"}
assert not new, new
assert not [name for name, there in values.items() if id(vars(numpy)[name]) != there]
if sys.version_info >= (3, 12):
    assert had or not [name for name in sys.modules if name.partition(".")[0] == "distutils"]
print(mxnet.__version__, mxnet.nd.ones((2, 3)).sum().asscalar())
"""
    )
    assert done.stderr == ""
    assert done.stdout == "1.9.1 6.0\n"


@pytest.mark.slow
def test_without_them_mxnet_is_not_imported():
    """So the names are needed; where none is, the module and this test may go."""
    done = run("import sys; sys.meta_path.pop(0); import mxnet", "-W", "ignore")
    assert done.returncode
    assert "AttributeError: " in done.stderr or "No module named 'distutils'" in done.stderr


@pytest.mark.slow
def test_its_warnings_of_backslashes_are_not_shown():
    done = run("import sys; sys.dont_write_bytecode = True; sys.pycache_prefix = '/nonexistent'; import mxnet")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_failed_import_leaves_no_name_behind(tmp_path):
    (tmp_path / "mxnet").mkdir()
    (tmp_path / "mxnet" / "__init__.py").write_text(
        "import numpy, distutils.version\nassert numpy.alltrue([1]) and numpy.msort([2, 1]).tolist() == [1, 2]\n"
        "numpy.pv()\n"
    )
    done = run(
        f"""
import sys, numpy
sys.path.insert(0, {str(tmp_path)!r})
before = set(vars(numpy))
try:
    import mxnet
except RuntimeError as error:
    print("told:", error)
print(set(vars(numpy)) - before, "mxnet" in sys.modules)
""",
        "-W",
        "ignore",
    )
    assert done.stdout.startswith("told: ") and done.stdout.endswith("\nset() False\n"), done.stdout + done.stderr


def test_other_imports_are_not_touched():
    import mxnet_names

    assert mxnet_names.Finder().find_spec("numpy") is None
    assert mxnet_names.Finder().find_spec("mxnet_other") is None
    assert mxnet_names.Finder().find_spec("mxnet.nowhere", []) is None


@pytest.mark.parametrize("name", SOURCES)
def test_what_is_installed_is_what_is_here(name):
    import mxnet_names

    assert Path(mxnet_names.__file__).with_name(name).read_bytes() == (ROOT / "compatibility" / name).read_bytes()
