"""A model is accepted by the code that serves it, `predict.predictor`, in a process of its own.

Other checks can be of another mind: MXNet's Python package reads networks that the function cannot run, and some end
the process that tries. So the function's predictor is asked itself, and where it dies the model is refused in words.
"""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from workshop.models import served
from workshop.models.files import PARAMS, SYMBOL, SYNSET, CorruptedError, ModelError

TIME_LIMIT = 300  # seconds for one model, on a busy machine
LIKE_ONE = 1e-3  # how far the probabilities of one picture may be from adding up to 1


def answers(folder: Path, pictures: np.ndarray, symbol: str = SYMBOL) -> np.ndarray:
    """What the function says to each of `pictures`, uint8 (N, 3, size, size): float32 (N, classes).

    `folder`: a model's files; `symbol`: the name of the one to run. Raises CorruptedError where the predictor refuses
    the model, dies on it, or takes longer than `TIME_LIMIT`.
    """
    folder = Path(folder)
    with tempfile.TemporaryDirectory() as scratch:
        asked, answered = Path(scratch, "pictures.npy"), Path(scratch, "answers.npy")
        np.save(asked, pictures)
        files = [folder / symbol, folder / PARAMS, folder / SYNSET]
        command = [sys.executable, "-P", served.__file__]
        command += [str(argument) for argument in (*files, pictures.shape[-1], asked, answered)]
        # One thread: on a busy machine several wait for each other.
        quiet = os.environ | {"MXNET_SUBGRAPH_VERBOSE": "0", "OMP_NUM_THREADS": "1"}
        try:
            ended = subprocess.run(command, capture_output=True, text=True, timeout=TIME_LIMIT, env=quiet)
        except subprocess.TimeoutExpired:
            raise CorruptedError(
                f"{symbol}: the function's predictor gave no answer in {TIME_LIMIT} s. Take a smaller "
                "network, or try again when this machine is less busy."
            ) from None
        if ended.returncode == served.REFUSED:
            raise CorruptedError(f"{symbol}: the function's predictor refuses it: {ended.stderr.strip()}")
        if ended.returncode:
            raise CorruptedError(
                f"{symbol}: the function's predictor dies on this network ({_cause(ended)}), so it would take the "
                "endpoint down. Make the network of other operators."
            )
        return np.load(answered)


def _cause(ended: subprocess.CompletedProcess) -> str:
    """How a process ended, in a few words."""
    if ended.returncode < 0:
        return signal.Signals(-ended.returncode).name
    told = [line for line in (ended.stdout + ended.stderr).splitlines() if line.strip()]
    fatal = [line.partition(":")[0].strip() for line in told if line.startswith(("Segmentation fault", "Fatal"))]
    return fatal[0] if fatal else f"exit status {ended.returncode}{': ' + told[-1] if told else ''}"


def accept(folder: Path, size: int, symbol: str = SYMBOL) -> None:
    """Raise CorruptedError, or ModelError, unless the function's predictor gives probabilities for a black, a white and
    a noisy picture.
    """
    pictures = np.zeros((3, 3, size, size), np.uint8)
    pictures[1] = 255
    pictures[2] = np.random.default_rng(1).integers(0, 256, pictures.shape[1:], np.uint8)
    found = answers(folder, pictures, symbol)
    if not np.isfinite(found).all():
        raise CorruptedError(
            f"{symbol}: its answers are not finite numbers: the weights are damaged. Check the source."
        )
    if found.min() < 0 or np.abs(found.sum(axis=1) - 1).max() > LIKE_ONE:
        raise ModelError(
            f"{symbol}: its answers are not probabilities (they run from {found.min():.3g} to {found.max():.3g}). "
            "Let the network end in a softmax."
        )
