"""What serves a model is what accepts it: the function's predictor, in a process of its own."""

import json
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest

from workshop import models
from workshop.models import acceptance
from workshop.training.resnet import resnet18

LABELS = ["a", "b", "c"]
# Operators that MXNet registers late (MXListAllOpNames). Of 458 operators that a network could be made of, the
# predictor died on the first of these and refused the second while `check_structure` took them; listing mended all.
DIED = {
    "Pad": {"mode": "constant", "pad_width": (0, 0, 0, 0, 1, 1, 1, 1)}, "SwapAxis": {"dim1": 2, "dim2": 3},
    "SliceChannel": {"num_outputs": 3}, "SequenceMask": {}, "BatchNorm_v1": {}, "IdentityAttachKLSparseReg": {},
}  # fmt: skip
REFUSED = {
    "InstanceNorm": {}, "L2Normalization": {}, "Crop": {"num_args": 1, "h_w": (100, 100)}, "SequenceLast": {},
    "SequenceReverse": {}, "MakeLoss": {}, "SVMOutput": {}, "Pooling_v1": {"kernel": (2, 2), "pool_type": "max"},
    "Convolution_v1": {"kernel": (3, 3), "num_filter": 2},
}  # fmt: skip


def write(folder: Path, body: mx.sym.Symbol, ending=mx.sym.SoftmaxOutput) -> Path:
    """A model whose last layer reads `body`; its weights are small and positive."""
    network = mx.sym.FullyConnected(mx.sym.reshape(body, shape=(1, -1)), num_hidden=len(LABELS), name="fc1")
    network = ending(network, name="softmax")
    arguments, _, auxiliary = network.infer_shape(data=models.INPUT_SHAPE)
    values = {
        f"arg:{name}": mx.nd.array(np.full(shape, 1e-6))
        for name, shape in zip(network.list_arguments(), arguments, strict=True)
        if name not in ("data", "softmax_label")
    }
    states = zip(network.list_auxiliary_states(), auxiliary, strict=True)
    values |= {f"aux:{name}": mx.nd.ones(shape) for name, shape in states}
    folder.mkdir()
    network.save(str(folder / models.SYMBOL))
    mx.nd.save(str(folder / models.PARAMS), values)
    (folder / models.SYNSET).write_text("".join(f"{label}\n" for label in LABELS))
    models.write_manifest(folder)
    return folder


@pytest.mark.parametrize("operator", DIED | REFUSED)
@pytest.mark.slow
def test_operators_that_mxnet_registers_late_are_served(tmp_path, operator):
    body = getattr(mx.sym, operator)(mx.sym.Variable("data"), **(DIED | REFUSED)[operator])
    body = body[0] if len(body.list_outputs()) > 1 else body
    assert models.check_structure(write(tmp_path / "model", body)) == LABELS


@pytest.mark.slow
def test_a_network_that_kills_the_process_is_refused_in_words(tmp_path):
    folder = write(tmp_path / "model", mx.sym.unravel_index(mx.sym.Variable("data"), shape=(1, -1)))
    with pytest.raises(
        models.CorruptedError, match=r"predictor dies on this network \(.+\), so it would take the endpoint"
    ):
        models.check_structure(folder)


@pytest.mark.slow
def test_a_network_that_cannot_run_is_refused_in_words(tmp_path):
    folder = write(tmp_path / "model", mx.sym.contrib.fft(mx.sym.Variable("data")))
    with pytest.raises(models.CorruptedError, match="predictor refuses it: .*fft is only available for GPU"):
        models.check_structure(folder)


@pytest.mark.slow
def test_answers_that_are_no_probabilities_are_refused(tmp_path):
    def none(network, name):
        return network + 3

    folder = write(tmp_path / "model", mx.sym.mean(mx.sym.Variable("data"), axis=1), none)
    with pytest.raises(models.ModelError, match=r"not probabilities .*Let the network end in a softmax"):
        models.check_structure(folder)


@pytest.mark.slow
def test_damaged_weights_are_refused(tmp_path):
    folder = write(tmp_path / "model", mx.sym.mean(mx.sym.Variable("data"), axis=1))
    values = mx.nd.load(str(folder / models.PARAMS))
    values["arg:fc1_bias"][:] = np.nan
    mx.nd.save(str(folder / models.PARAMS), values)
    with pytest.raises(models.CorruptedError, match="not finite"):
        models.check_structure(folder)


@pytest.mark.slow
def test_a_second_symbol_is_held_to_the_same(tmp_path):
    folder = write(tmp_path / "model", mx.sym.mean(mx.sym.Variable("data"), axis=1))
    (folder / models.INT8_SYMBOL).write_text(resnet18(3).tojson())
    with pytest.raises(
        models.CorruptedError, match=rf"{models.INT8_SYMBOL}: the function's predictor refuses it: .* lacks"
    ):
        models.check_structure(folder)


def test_a_network_that_never_ends_is_given_up(tmp_path, monkeypatch):
    folder = write(tmp_path / "model", mx.sym.mean(mx.sym.Variable("data"), axis=1))
    monkeypatch.setattr(acceptance, "TIME_LIMIT", 0.01)
    with pytest.raises(models.CorruptedError, match=r"gave no answer in 0\.01 s"):
        models.check_structure(folder)


def test_pictures_of_another_size_are_refused(tmp_path):
    folder = write(tmp_path / "model", mx.sym.mean(mx.sym.Variable("data"), axis=1))
    (folder / models.ABOUT).write_text(json.dumps({"schema": 1, "input": {"size": 600}}))
    with pytest.raises(
        models.ModelError, match="takes images of 600 × 600 pixels, the function prepares 32 to 512 a side"
    ):
        models.check_structure(folder)


def test_a_fitting_that_the_function_does_not_know_is_refused(tmp_path):
    folder = write(tmp_path / "model", mx.sym.mean(mx.sym.Variable("data"), axis=1))
    (folder / models.ABOUT).write_text(json.dumps({"schema": 1, "input": {"size": 224, "fit": "letterbox"}}))
    with pytest.raises(models.ModelError, match="fitted by 'letterbox'"):
        models.check_structure(folder)
