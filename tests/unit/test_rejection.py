"""Whether a picture shows one of the classes: the calibration, and the network that shows its last layer."""

import json

import mxnet as mx
import numpy as np
import pytest

from predict import images
from predict.predictor import Predictor
from predict.rejection import Rejection
from workshop import models
from workshop.inspection import known
from workshop.models.checks import description
from workshop.samples import sample_path

SAID = {"method": "linear", "layers": ["relu0"], "weights": [1.0, -2, 0.5, 0.25], "bias": 0.5, "threshold": 1.0}


def test_the_score_is_the_weighted_sum_of_a_layers_means(tiny_model):
    rejection = Rejection.of(SAID)
    batch = np.random.default_rng(3).integers(0, 256, (1, 3, 224, 224), np.uint8)
    with Predictor(rejection.shown_by(tiny_model.symbol), tiny_model.params, tiny_model.labels) as shown:
        rejection.check(shown.shapes)
        probabilities, layer = shown.run(batch)
    with Predictor(tiny_model.symbol, tiny_model.params, tiny_model.labels) as plain:
        assert plain.predict(batch) == probabilities  # unchanged, bit for bit
    assert len(layer) == 4 and max(layer) > 0
    score = rejection.verdict([probabilities, layer])["known_score"]
    assert score == pytest.approx(0.5 + np.dot(SAID["weights"], layer), abs=1e-4)


def test_layers_are_read_in_their_order(tiny_model):
    batch = np.random.default_rng(4).integers(0, 256, (1, 3, 224, 224), np.uint8)
    both = Rejection.of(SAID | {"layers": ["relu0", "conv0"], "weights": [1.0] * 8})
    with Predictor(both.shown_by(tiny_model.symbol), tiny_model.params, tiny_model.labels) as shown:
        both.check(shown.shapes)
        _, means = shown.run(batch)
    expected = []
    for layer in ("relu0", "conv0"):  # one at a time: MXNet's own executor fuses what lies between
        part = tiny_model.module.symbol.get_internals()[f"{layer}_output"]
        executor = part.simple_bind(mx.cpu(), grad_req="null", data=batch.shape)
        executor.copy_params_from(*tiny_model.module.get_params(), allow_extra_params=True)
        expected += executor.forward(False, data=mx.nd.array(batch))[0].asnumpy().mean((0, 2, 3)).tolist()
    assert means == pytest.approx(expected, rel=1e-4, abs=1e-3)


@pytest.mark.parametrize(("feature", "known"), [(0.5, True), (0.4999, False), (0.0, False), (9.0, True)])
def test_a_picture_is_known_from_the_threshold_on(feature, known):
    verdict = Rejection.of(SAID).verdict([[], [feature, 0, 0, 0]])
    assert verdict == {"known": known, "known_score": 0.5 + feature}


@pytest.mark.parametrize(
    ("other", "word"),
    [
        ({"method": "oracle"}, "method"),
        ({"layers": None}, "layers"),
        ({"layers": []}, "layers"),
        ({"layers": [7]}, "layers"),
        ({"weights": []}, "weights"),
        ({"weights": ["1"]}, "numbers"),
        ({"bias": float("nan")}, "numbers"),
        ({"threshold": None}, "numbers"),
        ({"threshold": True}, "numbers"),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else value,
)
def test_a_calibration_that_is_none_is_refused(other, word):
    with pytest.raises(ValueError, match=word):
        Rejection.of(SAID | other)


def test_a_calibration_of_another_network_is_refused(tiny_model):
    with pytest.raises(ValueError, match="no layer pool9"):
        Rejection.of(SAID | {"layers": ["relu0", "pool9"]}).shown_by(tiny_model.symbol)
    with pytest.raises(ValueError, match="3 weights"):
        Rejection.of(SAID | {"weights": [1, 2, 3]}).check([(1, 4), (1, 4)])


@pytest.mark.parametrize("symbol", [b"{", b"[]", b"7", b'{"nodes": []}', b'{"nodes": [{}], "heads": []}', b"\xff"])
def test_a_symbol_that_is_none_is_refused(symbol):
    with pytest.raises(ValueError, match="not a network"):
        Rejection.of(SAID).shown_by(symbol)


def test_a_symbol_without_its_count_of_outputs_is_taken(tiny_model):
    graph = json.loads(tiny_model.symbol)
    del graph["node_row_ptr"]
    batch = np.zeros((1, 3, 224, 224), np.uint8)
    shown = [Rejection.of(SAID).shown_by(symbol) for symbol in (tiny_model.symbol, json.dumps(graph).encode())]
    with (
        Predictor(shown[0], tiny_model.params, tiny_model.labels) as one,
        Predictor(shown[1], tiny_model.params, tiny_model.labels) as other,
    ):
        assert one.run(batch) == other.run(batch)


@pytest.fixture(scope="module")
def practice(tmp_path_factory) -> models.ModelFiles:
    return models.fetch("practice", tmp_path_factory.mktemp("store"))


@pytest.mark.slow
def test_the_practice_models_int8_knows_what_its_float32_knows(practice):
    rejection = description(practice.folder).rejection
    assert rejection is not None
    scores = []
    for precision in ("float32", "int8"):
        symbol = rejection.shown_by(practice.symbol_of(precision).read_bytes())
        with Predictor(symbol, practice.params.read_bytes(), practice.labels) as predictor:
            rejection.check(predictor.shapes)
            batches = [images.network_input(sample_path(name).read_bytes()) for name in ("church", "unknown_page")]
            scores.append([rejection.verdict(predictor.run(batch))["known_score"] for batch in batches])
    assert np.abs(np.subtract(*scores)).max() < 0.3


def test_a_model_without_a_calibration_says_so(practice, tmp_path):
    for file in practice:
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / models.ABOUT).unlink()
    models.write_manifest(tmp_path)
    model = models.open_model(tmp_path)
    assert known.is_calibrated(practice) and not known.is_calibrated(model)
    with pytest.raises(models.ModelError, match="not calibrated"):
        known.scored(model, [])
