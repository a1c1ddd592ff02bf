"""The appendix runs whole on generated pictures, ships nothing then, and goes on after a kill as if never stopped."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import mxnet as mx
import nbformat
import numpy as np
import papermill
import pytest

from tests.solutions import solutions
from workshop import ROOT, models
from workshop.training import imagenette, loop

NOTEBOOK = ROOT / "notebooks" / "A1_train_the_practice_model.ipynb"
PRACTICE = ROOT / "models" / "practice"


def sums(folder: Path) -> dict[str, str]:
    return {path.name: models.sha256(path) for path in sorted(folder.iterdir())}


def test_the_notebook_and_its_solutions_run_whole_and_leave_the_shipped_model_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    before = sums(PRACTICE)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    notebook.cells += [nbformat.v4.new_code_cell(source) for source in solutions(notebook)]
    nbformat.write(notebook, tmp_path / NOTEBOOK.name)
    run = papermill.execute_notebook(
        tmp_path / NOTEBOOK.name,
        tmp_path / "run.ipynb",
        {"smoke": True},
        cwd=NOTEBOOK.parent,
        progress_bar=False,
        kernel_name="python3",
    )
    outputs = {cell.id: cell.outputs for cell in run.cells if cell.cell_type == "code"}
    # The photographs' cells are saved without output; a run draws them.
    assert all(
        any("image/png" in one.get("data", {}) for one in outputs[name]) for name in ("sheet", "views", "mistakes")
    )
    assert "shipped: 10 classes" in outputs["check-model"][-1]["text"]
    assert sums(PRACTICE) == before


def script(folder: Path) -> str:
    """The notebook's code up to the end of the training, for the smoke run, as a script."""
    # No notebook, no display: figures are drawn and dropped.
    lines = [
        "import matplotlib",
        "matplotlib.use('Agg')",
        "import IPython.display, unittest.mock",
        "IPython.display.display = unittest.mock.MagicMock()",
    ]
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        if cell.cell_type == "code":
            lines.append(cell.source)
            if cell.id == "parameters":
                lines.append(
                    f"data_folder, state_folder, smoke = {str(folder / 'data')!r}, {str(folder / 'state')!r}, True"
                )
            if cell.id == "train":
                return "\n".join(lines)
    raise AssertionError("the notebook has no cell 'train'")


def start(folder: Path, pictures: Path) -> subprocess.Popen:
    folder.mkdir(exist_ok=True)
    if not (folder / "data").exists():
        (folder / "data").symlink_to(pictures)
    (folder / "train.py").write_text(script(folder))
    # One thread: how many there are is the only thing that could change the last digits from run to run.
    environment = os.environ | {"PYTHONPATH": str(NOTEBOOK.parent), "OMP_NUM_THREADS": "1", "TMPDIR": str(folder)}
    return subprocess.Popen(
        [sys.executable, "train.py"], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def finish(process: subprocess.Popen) -> None:
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output.decode()[-3000:]


def test_killed_after_its_first_epoch_it_resumes_to_the_same_weights(tmp_path):
    pictures = imagenette.generate(tmp_path / "pictures", train=4, val=1)
    whole, killed = start(tmp_path / "whole", pictures), start(tmp_path / "killed", pictures)
    history = tmp_path / "killed" / "state" / "history.json"
    deadline = time.monotonic() + 200
    while not history.exists():
        assert killed.poll() is None and time.monotonic() < deadline, "the training did not reach its first epoch"
        time.sleep(0.02)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert loop.Checkpoint(history.parent).epoch < 3, "killed too late to prove anything"
    finish(start(tmp_path / "killed", pictures))
    finish(whole)
    resumed, uninterrupted = (loop.Checkpoint(tmp_path / name / "state") for name in ("killed", "whole"))
    assert resumed.epoch == uninterrupted.epoch == 3
    losses = [[record["train_loss"] for record in one.history] for one in (resumed, uninterrupted)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    values = [mx.nd.load(str(one.params_file())) for one in (resumed, uninterrupted)]
    # Weights alone: MXNet reads the running averages without waiting for the pass that updates them, and the notebook
    # measures them anew after the training (settle_batch_norm).
    for name, expected in ((name, value) for name, value in values[1].items() if name.startswith("arg:")):
        np.testing.assert_allclose(values[0][name].asnumpy(), expected.asnumpy(), rtol=1e-3, atol=1e-5, err_msg=name)
