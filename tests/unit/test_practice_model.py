"""The shipped model is what its card and its results say, and passes nothing on that is not ours."""

import json
import re

import mxnet as mx
import nbformat
import numpy as np
import pytest

from predict import images
from predict.predictor import Predictor
from workshop import ROOT, models, samples
from workshop.inspection.network import Network
from workshop.models import preparation
from workshop.training import imagenette, loop, resnet

FOLDER = ROOT / "models" / "practice"
NOTEBOOK = ROOT / "notebooks" / "A1_train_the_practice_model.ipynb"


@pytest.fixture(scope="module")
def results():
    return json.loads((FOLDER / "results.json").read_text())


@pytest.fixture(scope="module")
def fetched(tmp_path_factory):
    return models.fetch("practice", tmp_path_factory.mktemp("store"), progress=False)


@pytest.fixture(scope="module")
def predictor(fetched):
    with Predictor(fetched.symbol.read_bytes(), fetched.params.read_bytes(), fetched.labels) as one:
        yield one


def test_it_is_the_published_network_with_ten_classes():
    text = (FOLDER / models.SYMBOL).read_text()
    assert resnet.fingerprint(text) == resnet.PUBLISHED_FINGERPRINT
    head = next(node for node in json.loads(text)["nodes"] if node["op"] == "FullyConnected")
    assert head["attrs"]["num_hidden"] == "10"


def test_its_classes_are_imagenets_own_lines():
    lines = (FOLDER / models.SYNSET).read_text().splitlines()
    assert tuple(lines) == imagenette.SYNSET
    assert lines[1] == "n02102040 English springer, English springer spaniel"


def test_its_parameters_are_finite_float16_of_23_megabytes():
    values = mx.nd.load(str(FOLDER / models.PARAMS))
    assert {value.dtype for value in values.values()} == {np.float16}
    assert all(np.isfinite(value.asnumpy()).all() for value in values.values())
    assert (FOLDER / models.PARAMS).stat().st_size < 23_000_000


@pytest.mark.slow
def test_mxnets_module_predicts_a_batch_as_the_functions_predictor_does_one_by_one(fetched, predictor):
    images = [preparation.prepared(fetched, samples.sample_path(name).read_bytes()) for name in ("church", "tench")]
    by_module = Network(fetched).predict(np.concatenate(images).astype(np.float32))
    assert by_module.shape == (2, 10) and by_module.dtype == np.float32
    np.testing.assert_allclose(by_module, [predictor.predict(image) for image in images], rtol=1e-3, atol=1e-6)


def test_its_input_normalisation_was_measured():
    """MXNet does not learn it (`bn_data` gets no gradient); mean 0 and variance 1 would mean that it was forgotten."""
    values = mx.nd.load(str(FOLDER / models.PARAMS))
    mean, variance = (values[f"aux:bn_data_moving_{what}"].asnumpy() for what in ("mean", "var"))
    assert ((mean > 90) & (mean < 140)).all() and ((variance > 3000) & (variance < 7000)).all()


def test_its_results_agree_with_each_other(results):
    matrix, bins = np.array(results["confusion_matrix"]), results["calibration"]
    assert matrix.shape == (10, 10) and matrix.sum() == results["images"] == 3925
    assert np.trace(matrix) == results["right"] and results["top1"] == round(results["right"] / 3925, 4)
    assert sum(one["count"] for one in bins) == 3925
    error = sum(one["count"] * abs(one["confidence"] - one["accuracy"]) for one in bins) / 3925
    assert results["expected_calibration_error"] == pytest.approx(error, abs=2e-4)


def test_its_results_reach_what_is_asked_of_it(results):
    assert results["top1"] >= 0.88
    assert results["top1_before_float16"] - results["top1"] < 0.001


def test_its_int8_results_reach_what_is_asked_of_them_and_the_card_quotes_them(results):
    card = (FOLDER / "README.md").read_text()
    assert len(results["int8"]["by_instructions"]) == 3
    for found in results["int8"]["by_instructions"].values():
        assert abs(found["top1"] - results["top1"]) <= 0.005 and found["agreement"] >= 0.985
        row = f"| {found['right']:,} ({found['top1']:.2%}) | {found['agreement']:.2%} | {found['largest_shift']:.3f} |"
        assert row in card
    between = results["int8"]["between_instructions"]
    assert f"{between['agreement']:.2%} of the\npictures" in card and f"up to {between['largest_shift']:.3f}" in card


def test_its_card_quotes_the_results(results):
    card = (FOLDER / "README.md").read_text()
    assert f"{results['top1']:.2%}" in card and f"{results['expected_calibration_error']:.3f}" in card
    table = [[int(cell) for cell in re.findall(r"\| +(\d+)", line)] for line in card.splitlines()]
    assert [row for row in table if len(row) == 10] == results["confusion_matrix"]
    for name, said in results["none_of_the_ten"].items():
        assert re.search(rf"\| {name} \| {re.escape(said['class'])} \| {said['probability']:.0%} \|", card), name
    for line in imagenette.SYNSET:
        assert line.split(" ", 1)[0] in card


@pytest.mark.slow
def test_it_says_today_what_its_results_say_of_our_own_pictures(predictor, results):
    for name, wnid in samples.SAMPLES.items():
        if wnid:
            continue
        said = np.asarray(predictor.predict(images.network_input(samples.sample_path(name).read_bytes())))
        noted = results["none_of_the_ten"][name.removeprefix("unknown_")]
        assert results["classes"][said.argmax()] == noted["class"]
        assert said.max() == pytest.approx(noted["probability"], abs=0.01)


@pytest.mark.slow
def test_module_and_function_agree_on_it(fetched, predictor):
    module = loop.make_module(resnet.resnet18(10), 1, loop.INPUT_SIZE)
    module.set_params(*mx.model.load_params(str(fetched.folder / models.STEM), 0))
    for name in list(samples.SAMPLES)[:4]:
        batch = np.asarray(images.network_input(samples.sample_path(name).read_bytes()))
        module.forward(mx.io.DataBatch([mx.nd.array(batch)]), is_train=False)
        expected = module.get_outputs()[0].asnumpy()[0]
        np.testing.assert_allclose(np.asarray(predictor.predict(batch)), expected, atol=1e-5)


# The notebook that made it, as committed


@pytest.fixture(scope="module")
def cells():
    return nbformat.read(NOTEBOOK, as_version=4).cells


def tagged(cells, tag):
    return [cell for cell in cells if tag in cell.metadata.get("tags", [])]


def test_photographs_of_the_data_set_are_not_in_the_notebook(cells):
    photographs = tagged(cells, "dataset-photographs")
    assert [cell.id for cell in photographs] == ["sheet", "views", "mistakes"]
    assert not any(cell.outputs for cell in photographs)
    plots = [cell.id for cell in cells if "image/png" in json.dumps(cell.get("outputs", []))]
    assert plots == ["network-plot", "plan", "curves", "confusion", "calibration", "unknown"]


def test_the_notebook_is_saved_after_one_clean_run(cells):
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert [cell.id for cell in tagged(cells, "parameters")] == ["parameters"]
    assert not tagged(cells, "injected-parameters")
    text = json.dumps([cell.get("outputs", []) for cell in cells])
    assert not re.search(r"/(home|work|root|tmp|Users)/", text) and '"error"' not in text
    assert f"{json.loads((FOLDER / 'results.json').read_text())['top1']:.2%}" in text
