"""The int8 network says what the float32 one says, with the instructions of this CPU and of lesser ones."""

import json
import os
import subprocess
import sys

import mxnet as mx
import numpy as np
import pytest

from predict import images
from predict.predictor import Predictor
from workshop import models, samples
from workshop.models import quantization
from workshop.training import imagenette
from workshop.training.resnet import resnet18

CHILD = """
import json, sys
from predict import images
from pathlib import Path
from predict.predictor import Predictor
symbol, params, *pictures = map(Path, sys.argv[1:])
with Predictor(symbol.read_bytes(), params.read_bytes(), list("0123456789")) as one:
    print(json.dumps([list(one.predict(images.network_input(path.read_bytes()))) for path in pictures]))
"""


@pytest.fixture(scope="module")
def practice(tmp_path_factory):
    return models.fetch("practice", tmp_path_factory.mktemp("store"), progress=False)


@pytest.fixture
def tiny(tmp_path, tiny_model):
    """A folder with a small model's files, and no int8 symbol."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    for name, data in tiny_model.files.items():
        (folder / name).write_bytes(data)
    return folder


def answers(files: models.ModelFiles, precision: str, instructions: str) -> np.ndarray:
    """Probabilities (samples, 10) of a process that oneDNN lets use `instructions` at most."""
    pictures = [str(samples.sample_path(name)) for name in samples.SAMPLES]
    arguments = [str(files.symbol_of(precision)), str(files.params), *pictures]
    environment = os.environ | {"DNNL_MAX_CPU_ISA": instructions}
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *arguments], env=environment, check=True, capture_output=True, text=True
    )
    return np.array(json.loads(done.stdout))


@pytest.fixture(scope="module")
def float32(practice):
    return answers(practice, "float32", "ALL")


@pytest.mark.slow
# Their names; ALL leaves out AMX: https://oneapi-src.github.io/oneDNN/v2.5/dev_guide_cpu_dispatcher_control.html
@pytest.mark.parametrize("instructions", ["ALL", "AVX512_CORE", "AVX2"])
def test_the_shipped_int8_network_answers_as_the_float32_one(practice, float32, instructions):
    int8 = answers(practice, "int8", instructions)
    # Over the 3,925 test pictures the largest shift is in the model card; ours are fewer and plainer.
    assert np.abs(int8 - float32).max() < 0.05
    assert (int8 != float32).any(), "this is the float32 network"
    named = [index for index, wnid in enumerate(samples.SAMPLES.values()) if wnid]
    assert (int8.argmax(axis=1) == float32.argmax(axis=1))[named].all()


def test_the_shipped_int8_network_is_int8_throughout():
    nodes = json.loads((models.PRACTICE / models.INT8_SYMBOL).read_text())["nodes"]
    heavy = [node for node in nodes if node["op"] in ("_sg_mkldnn_conv", "_sg_mkldnn_fully_connected")]
    assert len(heavy) == 22 + 9  # its own, and an identity for each normalisation that follows no convolution
    assert all(node["attrs"]["quantized"].lower() == "true" for node in heavy)
    others = ("BatchNorm", "Activation", "_contrib_quantized_batch_norm", "_contrib_quantized_act")
    assert [node["name"] for node in nodes if node["op"] in others] == []


def norm_and_rounding(limit: float) -> tuple[mx.sym.Symbol, dict, dict]:
    """A network that normalises its input and rounds it to 8 bits, and its parameters."""
    norm = mx.sym.BatchNorm(mx.sym.var("data"), name="norm", fix_gamma=False)
    rounded = mx.sym.contrib.quantize_v2(norm, min_calib_range=-limit, max_calib_range=limit, name="rounded")
    weights = {"norm_gamma": mx.nd.array([1, 2, 0.5]), "norm_beta": mx.nd.array([0, 0.1, -0.1])}
    states = {"norm_moving_mean": mx.nd.array([120, 90, 130]), "norm_moving_var": mx.nd.array([3600, 3000, 4000])}
    return rounded[0], weights, states


def test_codes_are_what_the_network_itself_makes_of_each_pixel():
    network, weights, states = norm_and_rounding(2.0)  # a few pixels lie beyond it
    coded = quantization.with_lookup_table(network, weights, states)
    assert coded.list_arguments() == ["data"] and coded.list_auxiliary_states() == []
    codes = np.frombuffer(bytes.fromhex(coded.attr_dict()["data"]["__codes__"]), np.int8).reshape(3, 256)
    picture = np.random.default_rng(0).integers(0, 256, (1, 3, 20, 20), np.uint8)
    looked_up = np.stack([codes[channel][picture[0, channel]] for channel in range(3)])[None]
    by_network = network.bind(mx.cpu(), weights | {"data": mx.nd.array(picture)}, aux_states=states).forward()[0]
    assert (looked_up == by_network.asnumpy()).all()
    passed_on = coded.bind(mx.cpu(), {"data": mx.nd.array(looked_up, dtype="int8")}).forward()[0]
    assert (passed_on.asnumpy() == looked_up).all()
    assert (codes.min(), codes.max()) == (-128, 127) and len(np.unique(codes[0])) > 200


def test_a_network_that_reads_its_input_otherwise_keeps_taking_pixels():
    network, weights, states = norm_and_rounding(2.0)
    (data,) = (one for one in network.get_internals() if one.name == "data")
    twice = mx.sym.broadcast_add(mx.sym.cast(network, dtype="float32"), data)  # two readers of the pixels
    assert quantization.with_lookup_table(twice, weights, states).tojson() == twice.tojson()
    plain = mx.sym.Activation(mx.sym.var("data"), act_type="relu")
    assert quantization.with_lookup_table(plain, {}, {}).tojson() == plain.tojson()


@pytest.mark.slow
def test_identities_change_nothing_but_what_can_be_fused():
    mx.random.seed(3)
    network = resnet18(4)
    shapes = [("data", (1, 3, 224, 224))], [("softmax_label", (1,))]
    module = mx.mod.Module(network)
    module.bind(*shapes, for_training=False)
    module.init_params(mx.init.Xavier(magnitude=2))
    arguments, auxiliary = module.get_params()
    fusible = quantization.with_identities(network, arguments)
    added = sorted(set(fusible.list_inputs()) - set(network.list_inputs()))
    assert added == ["ones_128", "ones_256", "ones_512", "ones_64"]
    with_ones = mx.mod.Module(fusible)
    with_ones.bind(*shapes, for_training=False)
    # MXNet itself makes what is missing, by the initialiser that the variable names.
    with_ones.init_params(mx.init.Zero(), arg_params=arguments, aux_params=auxiliary, allow_missing=True)
    batch = mx.io.DataBatch([mx.nd.array(np.random.default_rng(0).uniform(0, 255, (1, 3, 224, 224)))])
    said = []
    for one in (module, with_ones):
        one.forward(batch, is_train=False)
        said.append(one.get_outputs()[0].asnumpy())
    np.testing.assert_allclose(said[1], said[0], rtol=1e-5)
    assert said[0].std() > 0.01


def test_a_model_without_an_int8_symbol_says_how_to_make_one(tiny):
    files = models.open_model(tiny)
    with pytest.raises(models.ModelError, match="has no model-int8-symbol.json.*workshop.models.quantization"):
        files.symbol_of("int8")
    with pytest.raises(models.ModelError, match="expected 'float32' or 'int8'"):
        files.symbol_of("float16")


@pytest.mark.slow
def test_an_int8_symbol_is_made_from_a_folder_of_pictures_and_fetched_with_the_rest(tmp_path, tiny):
    before = models.sha256(tiny / models.PARAMS)
    pictures = imagenette.generate(tmp_path / "pictures", train=2, val=0)
    quantization.add_int8(tiny, pictures, count=5)
    assert models.sha256(tiny / models.PARAMS) == before
    files = models.fetch(tiny, tmp_path / "store", progress=False)
    assert [path.name for path in files] == [*models.FILES, models.INT8_SYMBOL, models.MANIFEST]
    said = {}
    for precision in models.SYMBOLS:
        with Predictor(files.symbol_of(precision).read_bytes(), files.params.read_bytes(), files.labels) as one:
            batches = [images.network_input(path.read_bytes()) for path in quantization.choose(pictures)]
            said[precision] = np.array([one.predict(batch) for batch in batches])
    assert 0 < np.abs(said["int8"] - said["float32"]).max() < 0.02


@pytest.mark.slow
def test_another_models_int8_symbol_does_not_outlive_a_fetch(tmp_path, tiny):
    """Neither one that the model no longer has, nor one that an interrupted fetch left behind."""
    quantization.add_int8(tiny, imagenette.generate(tmp_path / "pictures", train=1, val=0), count=2)
    models.fetch(tiny, tmp_path / "store", progress=False)
    left = tmp_path / "store" / ".tiny.part" / models.INT8_SYMBOL
    left.parent.mkdir()
    (tiny / models.INT8_SYMBOL).rename(left)
    models.write_manifest(tiny)
    files = models.fetch(tiny, tmp_path / "store", progress=False)
    assert models.INT8_SYMBOL not in files.sums and not (files.folder / models.INT8_SYMBOL).exists()


def test_pictures_are_spread_over_the_classes(tmp_path):
    folder = imagenette.generate(tmp_path, train=3, val=0)
    chosen = quantization.choose(folder, 10)
    assert sorted(path.parent.name for path in chosen) == sorted(imagenette.WNIDS)
    assert len(quantization.choose(folder, 100)) == 30
    with pytest.raises(ValueError, match="holds no images"):
        quantization.choose(tmp_path / "none")


def test_the_limit_of_least_error_is_the_published_one_for_a_normal_distribution():
    """3.92 standard deviations for 8 bits: Banner et al. 2018, https://arxiv.org/abs/1810.05723, section 3."""
    magnitudes = np.abs(np.random.default_rng(0).standard_normal(2_000_000))
    counts, _ = np.histogram(magnitudes, quantization.BINS, (0, magnitudes.max()))
    assert quantization.least_error_limit(counts, magnitudes.max(), 127) == pytest.approx(3.92, abs=0.05)


def test_the_limit_is_the_largest_value_where_nothing_lies_out():
    assert quantization.least_error_limit(np.ones(quantization.BINS), 3.0, 127) == pytest.approx(3, rel=0.01)


def test_ranges_are_signed_where_the_outputs_are():
    data = mx.sym.Variable("data")
    norm = mx.sym.BatchNorm(data, name="norm", fix_gamma=False)
    graph = mx.sym.SoftmaxOutput(mx.sym.Activation(norm, act_type="relu", name="relu"), name="softmax")
    arguments = {"norm_gamma": mx.nd.ones(3), "norm_beta": mx.nd.zeros(3)}
    auxiliary = {"norm_moving_mean": mx.nd.full(3, 200), "norm_moving_var": mx.nd.ones(3)}
    picture = np.linspace(0, 205, 3 * 8 * 8, dtype=np.float32).reshape(1, 3, 8, 8)  # -200 to 5 after `norm`
    found = quantization.ranges(graph, arguments, auxiliary, picture)
    assert found["norm_output"] == pytest.approx((-200, 200), rel=0.02)
    assert found["relu_output"] == pytest.approx((0, 5), rel=0.02)


def test_a_layer_has_one_name_in_both_networks():
    folder = models.files.PRACTICE
    float32, int8 = (
        json.loads((folder / name).read_text())["nodes"] for name in (models.files.SYMBOL, models.files.INT8_SYMBOL)
    )
    layers = {f"quantized_{node['name']}" for node in float32 if node["op"] == "Activation"}
    assert layers and layers <= {node["name"] for node in int8 if node["op"] == "_sg_mkldnn_conv"}
