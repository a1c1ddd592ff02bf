"""MXNet's C API through ctypes, held to what MXNet's Python API says."""

import array
import json
import math
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest

from predict import params_file, predictor
from predict.predictor import ModelError, Predictor, find_libmxnet, rank, thread_count
from workshop.training.resnet import resnet18


def pictures(count: int = 1) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [rng.integers(0, 256, (1, 3, 224, 224), np.uint8) for _ in range(count)]


def by_module(module: mx.mod.Module, batch: np.ndarray) -> np.ndarray:
    module.forward(mx.io.DataBatch([mx.nd.array(batch)]), is_train=False)
    return module.get_outputs()[0].asnumpy()[0]


@pytest.fixture
def tiny(tiny_model):
    with Predictor(tiny_model.symbol, tiny_model.params, tiny_model.labels) as loaded:
        yield loaded


def test_it_says_what_module_says(tiny, tiny_model):
    outputs = [np.asarray(tiny.predict(picture)) for picture in pictures(3)]
    for picture, output in zip(pictures(3), outputs, strict=True):
        assert output.dtype == np.float32
        np.testing.assert_allclose(output, by_module(tiny_model.module, picture), rtol=1e-5, atol=1e-7)
        assert math.isclose(output.sum(), 1, rel_tol=1e-5)
    assert not np.allclose(outputs[0], outputs[1], rtol=1e-6, atol=0)  # the input does matter


@pytest.mark.slow
def test_the_real_architecture_says_what_module_says(tmp_path):
    """The ResNet-18 of the lab, with random weights."""
    mx.random.seed(1)
    module = mx.mod.Module(resnet18(10))
    module.bind([("data", (1, 3, 224, 224))], [("softmax_label", (1,))], for_training=False)
    module.init_params(mx.init.Xavier(magnitude=2))
    module.save_params(str(tmp_path / "params"))
    params = (tmp_path / "params").read_bytes()
    (picture,) = pictures()
    with Predictor(resnet18(10).tojson().encode(), params, [str(index) for index in range(10)]) as loaded:
        found = np.asarray(loaded.predict(picture))
    np.testing.assert_allclose(found, by_module(module, picture), rtol=1e-4, atol=1e-6)


def test_any_buffer_of_the_right_shape_is_taken(tiny):
    (picture,) = pictures()
    view = memoryview(picture.tobytes()).cast("B", (1, 3, 224, 224))
    assert tiny.predict(view) == tiny.predict(picture)


@pytest.mark.parametrize(
    "batch",
    [
        np.zeros((1, 3, 224, 224), np.float32),
        np.zeros((1, 3, 224, 224), np.int8),
        np.zeros((3, 224, 224), np.uint8),
        np.zeros((2, 3, 224, 224), np.uint8),
        np.zeros((1, 224, 224, 3), np.uint8),
        np.zeros((1, 3, 224, 448), np.uint8)[..., ::2],
    ],
)
def test_another_shape_or_type_is_refused(tiny, batch):
    with pytest.raises(ValueError, match="expected C-contiguous uint8"):
        tiny.predict(batch)


def with_weight(name: str, values: dict[str, mx.nd.NDArray], folder: Path) -> Predictor:
    """A network of one depthwise convolution whose weight has that name, softmax over the mean of each channel."""
    weight = mx.sym.var(name, shape=(3, 1, 1, 1))
    scaled = mx.sym.Convolution(mx.sym.var("data"), weight, kernel=(1, 1), num_filter=3, num_group=3, no_bias=True)
    network = mx.sym.softmax(mx.sym.mean(scaled, axis=(2, 3)) / 100)
    mx.nd.save(str(folder / "params"), {f"arg:{name}": value for name, value in values.items()})
    return Predictor(network.tojson().encode(), (folder / "params").read_bytes(), ["a", "b", "c"])


def test_ones_that_no_file_holds_are_set(tmp_path):
    (picture,) = pictures()
    expected = np.exp(picture.mean(axis=(2, 3)) / 100)[0]
    with with_weight("ones_3", {"unused": mx.nd.ones(1)}, tmp_path) as loaded:
        for _ in range(2):  # they stay
            np.testing.assert_allclose(loaded.predict(picture), expected / expected.sum(), rtol=1e-5)


def test_a_parameter_of_such_a_name_comes_from_its_file(tmp_path):
    (picture,) = pictures()
    with with_weight("ones_3", {"ones_3": mx.nd.zeros((3, 1, 1, 1))}, tmp_path) as loaded:
        np.testing.assert_allclose(loaded.predict(picture), 1 / 3, rtol=1e-5)


def with_lookup_table(codes: str, folder: Path) -> Predictor:
    """A network of int8 input: the softmax over the mean of each channel's codes."""
    coded = mx.sym.var("data", dtype="int8", attr={"__codes__": codes})
    network = mx.sym.softmax(mx.sym.mean(mx.sym.cast(coded, dtype="float32"), axis=(2, 3)) / 100)
    mx.nd.save(str(folder / "params"), {"arg:unused": mx.nd.ones(1)})
    return Predictor(network.tojson().encode(), (folder / "params").read_bytes(), ["a", "b", "c"])


def test_pixels_are_looked_up_where_the_network_takes_codes(tmp_path):
    (picture,) = pictures()
    codes = np.random.default_rng(0).integers(-128, 128, (3, 256), np.int8)
    codes[:, 7] += 100  # no two channels alike
    expected = np.exp([codes[channel][picture[0, channel]].mean() / 100 for channel in range(3)])
    with with_lookup_table(codes.tobytes().hex(), tmp_path) as loaded:
        np.testing.assert_allclose(loaded.predict(picture), expected / expected.sum(), rtol=1e-5)
        with pytest.raises(ValueError, match="expected C-contiguous uint8"):
            loaded.predict(picture.view(np.int8))


@pytest.mark.parametrize("codes", ["", "00" * 767, "00" * 769, "zz" * 768])
def test_other_codes_are_refused(tmp_path, codes):
    with pytest.raises(ModelError, match="256 bytes for each of 3 channels"):
        with_lookup_table(codes, tmp_path)


def test_a_missing_parameter_is_named(tmp_path):
    with pytest.raises(ModelError, match="lacks scale"):
        with_weight("scale", {"unused": mx.nd.ones(1)}, tmp_path)


def test_other_input_sizes(tiny_model):
    with Predictor(tiny_model.symbol, tiny_model.params, tiny_model.labels, size=64) as small:
        assert len(small.predict(np.zeros((1, 3, 64, 64), np.uint8))) == 4


@pytest.mark.parametrize(
    ("symbol", "params", "labels"),
    [
        (b"", None, None),
        (b"not json", None, None),
        (b"{}", None, None),
        (None, b"", None),
        (None, b"\0" * 100, None),
        (None, "truncated", None),
        (None, None, ["one", "two"]),
        (None, None, []),
    ],
)
def test_files_that_do_not_fit_together_are_refused(tiny_model, symbol, params, labels):
    if params == "truncated":
        params = tiny_model.params[:-1000]
    with pytest.raises(ModelError) as caught:
        Predictor(
            tiny_model.symbol if symbol is None else symbol,
            tiny_model.params if params is None else params,
            tiny_model.labels if labels is None else labels,
        )
    assert "\n" not in str(caught.value)


def test_a_weight_of_another_shape_is_refused(tiny_model):
    symbol = json.loads(tiny_model.symbol)
    (node,) = [node for node in symbol["nodes"] if node["name"] == "conv0"]
    node["attrs"]["num_filter"] = "8"
    with pytest.raises(ModelError):
        Predictor(json.dumps(symbol).encode(), tiny_model.params, tiny_model.labels)


def test_float16_weights_are_refused(tiny_model, tmp_path):
    file = str(tmp_path / "half.params")
    (tmp_path / "whole.params").write_bytes(tiny_model.params)
    weights = mx.nd.load(str(tmp_path / "whole.params"))
    mx.nd.save(file, {name: value.astype("float16") for name, value in weights.items()})
    with pytest.raises(ModelError), Predictor(tiny_model.symbol, Path(file).read_bytes(), tiny_model.labels) as loaded:
        loaded.predict(pictures()[0])


def test_the_layout_of_a_params_file_is_where_mxnet_finds_its_arrays(tiny_model, tmp_path):
    (tmp_path / "params").write_bytes(tiny_model.params)
    expected = {name[4:]: value.asnumpy() for name, value in mx.nd.load(str(tmp_path / "params")).items()}
    layout = params_file.layout(memoryview(tiny_model.params))
    assert [name for name, _, _ in layout] == list(expected) and len(layout) > 5
    for name, shape, at in layout:
        found = np.frombuffer(tiny_model.params, np.float32, math.prod(shape), at).reshape(shape)
        np.testing.assert_array_equal(found, expected[name])


def test_weights_of_the_usual_form_are_not_copied(tiny_model, monkeypatch):
    copied = []
    monkeypatch.setattr(Predictor, "_copied_parameters", lambda *_: copied.append(True))
    params = bytearray(tiny_model.params)
    with Predictor(tiny_model.symbol, params, tiny_model.labels), pytest.raises(BufferError):
        params.clear()  # in use
    params.clear()
    assert copied == []


@pytest.mark.parametrize("form", ["a list", "float64"])
def test_params_of_a_form_that_does_not_do_are_refused_by_mxnets_words(tiny_model, tmp_path, form):
    file = str(tmp_path / "params")
    Path(file).write_bytes(tiny_model.params)
    values = mx.nd.load(file)
    wide = {name: value.astype("float64") for name, value in values.items()}
    mx.nd.save(file, list(values.values()) if form == "a list" else wide)
    params = Path(file).read_bytes()
    assert params_file.layout(memoryview(params)) is None
    with pytest.raises(ModelError):
        Predictor(tiny_model.symbol, params, tiny_model.labels)


def test_params_that_an_older_mxnet_saved_are_read_by_mxnet(tiny_model):
    """Before it knew sparse arrays: no storage type, and another number for the version."""
    arrays, names = [], []
    for name, shape, at in params_file.layout(memoryview(tiny_model.params)):
        header = struct.pack(f"<II{len(shape)}qiii", 0xF993FAC8, len(shape), *shape, 1, 0, 0)
        arrays.append(header + tiny_model.params[at : at + 4 * math.prod(shape)])
        names.append(struct.pack("<Q", len(name) + 4) + f"arg:{name}".encode())
    count = struct.pack("<Q", len(arrays))
    older = bytearray(struct.pack("<QQ", 0x112, 0) + count + b"".join(arrays) + count + b"".join(names))
    assert params_file.layout(memoryview(older)) is None
    (picture,) = pictures()
    with Predictor(tiny_model.symbol, older, tiny_model.labels) as loaded:
        older.clear()  # not in use: it was copied
        np.testing.assert_allclose(loaded.predict(picture), by_module(tiny_model.module, picture), rtol=1e-5)


@pytest.mark.slow
def test_a_damaged_params_file_has_no_layout_or_one_within_it(tiny_model):
    rng = np.random.default_rng(0)
    headers = [0, *(at - 40 for _, _, at in params_file.layout(memoryview(tiny_model.params)))]
    for _ in range(3000):
        damaged = bytearray(tiny_model.params)
        for _ in range(rng.integers(1, 4)):
            in_a_header, in_the_names = max(0, rng.choice(headers) + rng.integers(40)), -rng.integers(1, 300)
            damaged[in_a_header if rng.random() < 0.8 else in_the_names] = rng.choice([0, 1, 127, 128, 255])
        if rng.random() < 0.2:
            del damaged[rng.integers(len(damaged)) :]
        for _, shape, at in params_file.layout(memoryview(damaged)) or []:
            assert at + 4 * math.prod(shape) <= len(damaged)
    for size in range(200):
        assert params_file.layout(memoryview(tiny_model.params[:size])) is None


def test_a_closed_predictor_says_so(tiny):
    tiny.close()
    tiny.close()
    with pytest.raises(ValueError, match="closed"):
        tiny.predict(pictures()[0])


def test_two_predictors_do_not_disturb_each_other(tiny_model):
    first, second = pictures(2)
    with (
        Predictor(tiny_model.symbol, tiny_model.params, tiny_model.labels) as one,
        Predictor(tiny_model.symbol, tiny_model.params, tiny_model.labels) as other,
    ):
        expected = one.predict(first), one.predict(second)
        assert (other.predict(first), other.predict(second)) == expected


def test_threads_may_share_a_predictor(tiny):
    batches = pictures(4)
    expected = [tiny.predict(batch) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(tiny.predict, batches * 10)) == expected * 10


def test_loading_and_closing_again_and_again_keeps_memory_flat(tiny_model):
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    def once():
        with Predictor(tiny_model.symbol, tiny_model.params, tiny_model.labels) as loaded:
            loaded.predict(pictures()[0])

    for _ in range(5):
        once()
    before = resident()
    for _ in range(30):
        once()
    assert resident() - before < 20_000_000


def test_importing_loads_no_library():
    code = (
        "import sys; from predict import predictor; "
        "assert 'libmxnet' not in open('/proc/self/maps').read() and 'mxnet' not in sys.modules; "
        "print(predictor.find_libmxnet()); assert 'mxnet' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).name == "libmxnet.so"


def test_the_artifacts_own_library_comes_first(tmp_path, monkeypatch):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "libmxnet.so").touch()
    monkeypatch.setattr(predictor, "__file__", str(tmp_path / "predict" / "predictor.py"))
    assert find_libmxnet() == tmp_path / "lib" / "libmxnet.so"


def test_a_missing_library_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(predictor, "__file__", str(tmp_path / "predict" / "predictor.py"))
    monkeypatch.setattr(predictor.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match="mxnet 1.9.1"):
        find_libmxnet()


@pytest.mark.parametrize(
    ("environ", "threads"),
    [
        ({}, None),
        ({"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128"}, 1),
        ({"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769"}, 1),
        ({"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "3008"}, 2),
        ({"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "10240"}, 6),
        ({"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "many"}, None),
        ({"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "3538", "OMP_NUM_THREADS": "1"}, None),
    ],
)
def test_one_thread_per_vcpu(environ, threads):
    assert thread_count(environ) == threads


LABELS = ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("probabilities", "top", "expected"),
    [
        ([0.1, 0.2, 0.3, 0.4], 2, ["d", "c"]),
        ([0.4, 0.1, 0.1, 0.4], 4, ["a", "d", "b", "c"]),
        ([0.1, 0.2, 0.3, 0.4], 20, ["d", "c", "b", "a"]),
        (np.float32([1, 0, 0, 0]), 1, ["a"]),
        (array.array("f", [0, 1, 0, 0]), 1, ["b"]),
    ],
)
def test_the_most_probable_come_first(probabilities, top, expected):
    ranked = rank(probabilities, LABELS, top)
    assert [entry["class"] for entry in ranked] == expected
    assert all(type(entry["probability"]) is float for entry in ranked)
    json.dumps(ranked)


@pytest.mark.parametrize("probabilities", [[], [1.0], [0.5, math.nan, 0.2, 0.3], [math.inf, 0, 0, 0]])
def test_what_are_no_probabilities_is_refused(probabilities):
    with pytest.raises(ValueError, match="probabilit"):
        rank(probabilities, LABELS, 1)
