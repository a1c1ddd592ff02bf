"""Weights out of `.pth` and `.safetensors` files: every form, nothing run, damage told; and networks by their names."""

import io
import json
import pickle
import struct
import sys
import types
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from tests.cases import pytorch
from workshop.models.convert import ConversionError, architectures, graph
from workshop.models.convert.weights import read_weights

KINDS = {"f4": "FloatStorage", "f2": "HalfStorage", "f8": "DoubleStorage", "i8": "LongStorage", "u2": "BFloat16Storage"}


class Storage:
    """Stands for a storage of PyTorch's while its pickle is written."""

    def __init__(self, array: np.ndarray, key: str):
        self.array, self.key = np.ascontiguousarray(array), key

    @property
    def kind(self) -> str:
        return KINDS[self.array.dtype.str[1:]]


class Tensor:
    """Stands for a tensor: an array of its own, or a view of a storage."""

    def __init__(self, storage: Storage, shape, strides, offset=0):
        self.form = (storage, offset, tuple(shape), tuple(strides), False, OrderedDict())

    def __reduce__(self):
        return sys.modules["torch._utils"]._rebuild_tensor_v2, self.form


def tensor(array: np.ndarray, key: str) -> Tensor:
    steps = tuple(step // array.itemsize for step in array.strides)
    return Tensor(Storage(array, key), array.shape, steps)


@pytest.fixture
def torch_names(monkeypatch):
    """Modules of PyTorch's names, for the writer alone: pickle refers to functions and classes by them."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")

    def _rebuild_tensor_v2():
        raise AssertionError("run")

    _rebuild_tensor_v2.__module__, utils._rebuild_tensor_v2 = "torch._utils", _rebuild_tensor_v2
    _rebuild_tensor_v2.__qualname__ = "_rebuild_tensor_v2"
    for kind in KINDS.values():
        setattr(torch, kind, type(kind, (), {"__module__": "torch"}))
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)
    return torch


def dumped(saved, torch, storages: dict[str, Storage], *, has_view: bool) -> bytes:
    class Pickler(pickle.Pickler):
        def persistent_id(self, item):
            if not isinstance(item, Storage):
                return None
            storages[item.key] = item
            kept = ("storage", getattr(torch, item.kind), item.key, "cpu", item.array.size)
            return (*kept, None) if has_view else kept

    file = io.BytesIO()
    Pickler(file, protocol=2).dump(saved)
    return file.getvalue()


def write_zip(path: Path, saved, torch, order: bytes = b"little", compression=zipfile.ZIP_STORED) -> Path:
    storages: dict[str, Storage] = {}
    data = dumped(saved, torch, storages, has_view=False)
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/byteorder", order)
        for key, storage in storages.items():
            archive.writestr(f"archive/data/{key}", storage.array.tobytes())
    return path


def write_legacy(path: Path, saved, torch) -> Path:
    storages: dict[str, Storage] = {}
    data = dumped(saved, torch, storages, has_view=True)
    with path.open("wb") as file:
        for item in (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True}):
            pickle.dump(item, file, protocol=2)
        file.write(data)
        pickle.dump(sorted(storages), file, protocol=2)
        for key in sorted(storages):
            file.write(struct.pack("<q", storages[key].array.size) + storages[key].array.tobytes())
    return path


WRITERS = {"zip": write_zip, "legacy": write_legacy}
ARRAYS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.array([1.5, -2], np.float16),
    "n": np.array(7, np.int64),
    "d": np.array([0.25], np.float64),
}


@pytest.mark.parametrize("form", WRITERS)
def test_both_forms_of_pth_are_read(tmp_path, torch_names, form):
    saved = OrderedDict((name, tensor(value, f"{index}")) for index, (name, value) in enumerate(ARRAYS.items()))
    read = read_weights(WRITERS[form](tmp_path / "w.pth", saved, torch_names)).tensors
    assert list(read) == list(ARRAYS)
    for name, value in ARRAYS.items():
        np.testing.assert_array_equal(read[name], value)
        assert read[name].dtype == (np.int64 if name == "n" else np.float32)


@pytest.mark.parametrize("form", WRITERS)
def test_views_share_a_storage(tmp_path, torch_names, form):
    storage = Storage(np.arange(12, dtype=np.float32), "0")
    saved = {"turned": Tensor(storage, (4, 3), (1, 4)), "tail": Tensor(storage, (2,), (1,), 10)}
    read = read_weights(WRITERS[form](tmp_path / "w.pt", saved, torch_names)).tensors
    np.testing.assert_array_equal(read["turned"], np.arange(12).reshape(3, 4).T)
    np.testing.assert_array_equal(read["tail"], [10, 11])


def test_bfloat16_is_widened(tmp_path, torch_names):
    exact = np.array([1.0, -0.5, 3.0], np.float32)
    halves = (exact.view(np.uint32) >> 16).astype(np.uint16)
    read = read_weights(write_zip(tmp_path / "w.bin", {"x": tensor(halves, "0")}, torch_names)).tensors
    np.testing.assert_array_equal(read["x"], exact)


def test_a_state_dict_in_a_checkpoint_is_found_and_its_prefix_dropped(tmp_path, torch_names):
    inner = {f"module.{name}": tensor(value, name) for name, value in ARRAYS.items()}
    path = write_zip(tmp_path / "w.pth", {"epoch": 3, "state_dict": inner, "optimizer": {"lr": 0.1}}, torch_names)
    assert list(read_weights(path).tensors) == list(ARRAYS)


class Evil:
    def __reduce__(self):
        return exec, ("import pathlib; pathlib.Path('ran').write_text('')",)


@pytest.mark.parametrize("form", WRITERS)
def test_nothing_in_a_file_is_run(tmp_path, torch_names, form, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = WRITERS[form](tmp_path / "w.pth", {"a": tensor(ARRAYS["a"], "0"), "b": Evil()}, torch_names)
    with pytest.raises(ConversionError, match=r"names __builtin__.exec, which is more than weights: it was not run"):
        read_weights(path)
    assert not (tmp_path / "ran").exists()


def test_a_pickle_that_is_no_file_of_pytorch_runs_nothing_either(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("w.pth").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(ConversionError, match="not a file that torch.save wrote"):
        read_weights(Path("w.pth"))
    assert not Path("ran").exists()


@pytest.mark.parametrize("form", WRITERS)
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.95])
def test_a_file_that_is_cut_off_is_refused(tmp_path, torch_names, form, kept):
    big = {"a": tensor(np.zeros(1000, np.float32), "0")}
    path = WRITERS[form](tmp_path / "w.pth", big, torch_names)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    with pytest.raises(ConversionError):
        read_weights(path)


@pytest.mark.parametrize(
    ("shape", "strides", "offset"),
    [
        ((4, 4), (4, 1), 0),
        ((3,), (1,), 10),
        ((3,), (9,), 0),
        ((1 << 40,), (0,), 0),
        ((2,), (-1,), 5),
        ((2, 2), (1,), 0),
    ],
)
def test_a_tensor_beyond_its_storage_is_refused(tmp_path, torch_names, shape, strides, offset):
    saved = {"x": Tensor(Storage(np.zeros(12, np.float32), "0"), shape, strides, offset)}
    with pytest.raises(ConversionError, match="storage"):
        read_weights(write_zip(tmp_path / "w.pth", saved, torch_names))


def test_what_is_more_than_weights_is_refused_in_words(tmp_path, torch_names):
    for saved, said in (({"a": tensor(ARRAYS["a"], "0"), "epoch": 3}, r"other things beside weights \(epoch\)"),
                        ([1, 2], "holds a list"), ({}, "holds a dict")):  # fmt: skip
        with pytest.raises(ConversionError, match=said):
            read_weights(write_zip(tmp_path / "w.pth", saved, torch_names))
    with pytest.raises(ConversionError, match="other byte order"):
        read_weights(write_zip(tmp_path / "w.pth", {"a": tensor(ARRAYS["a"], "0")}, torch_names, b"big"))
    with pytest.raises(ConversionError, match="compressed"):
        write_zip(tmp_path / "w.pth", {"a": tensor(ARRAYS["a"], "0")}, torch_names, compression=zipfile.ZIP_DEFLATED)
        read_weights(tmp_path / "w.pth")
    with zipfile.ZipFile(tmp_path / "script.pt", "w") as archive:
        archive.writestr("m/code/__torch__.py", "x")
    with pytest.raises(ConversionError, match="TorchScript"):
        read_weights(tmp_path / "script.pt")


def write_safetensors(path: Path, arrays: dict[str, np.ndarray], metadata: dict[str, str] | None = None) -> Path:
    kinds = {"f4": "F32", "f2": "F16", "f8": "F64", "i8": "I64"}
    header: dict = {"__metadata__": metadata} if metadata else {}
    data = b""
    for name, value in arrays.items():
        start, data = len(data), data + np.ascontiguousarray(value).tobytes()
        header[name] = {
            "dtype": kinds[value.dtype.str[1:]],
            "shape": list(value.shape),
            "data_offsets": [start, len(data)],
        }
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def test_safetensors_are_read(tmp_path):
    read = read_weights(write_safetensors(tmp_path / "w.safetensors", ARRAYS, {"format": "pt"}))
    assert read.metadata == {"format": "pt"}
    for name, value in ARRAYS.items():
        np.testing.assert_array_equal(read.tensors[name], value)


@pytest.mark.parametrize("damage", ["cut", "header", "offsets", "empty"])
def test_damaged_safetensors_are_refused(tmp_path, damage):
    path = write_safetensors(tmp_path / "w.safetensors", ARRAYS)
    data = path.read_bytes()
    changed = {"cut": data[:-3], "header": data[:8] + b"\xff" + data[9:], "empty": b"",
               "offsets": data.replace(b"[0, 24]", b"[0, 99]", 1)}  # fmt: skip
    path.write_bytes(changed[damage])
    with pytest.raises(ConversionError, match="w.safetensors"):
        read_weights(path)


# Networks by their layers' names.


@pytest.mark.slow
@pytest.mark.parametrize("kind", pytorch.BLOCKS)
def test_a_resnet_answers_as_pytorch_does(kind):
    drawn = architectures.draw(pytorch.resnet(kind))
    assert drawn.architecture == kind
    running = graph.session(graph.fix_shape(drawn.model, 64))
    (scores,) = running.run(None, {"data": pytorch.picture()})
    np.testing.assert_allclose(scores[0], json.loads(pytorch.ANSWERS.read_text())[kind], atol=1e-5)


@pytest.mark.slow
def test_missing_and_left_over_tensors_are_named():
    weights = pytorch.resnet("resnet18")
    weights["layer2.0.se.fc1.weight"] = np.zeros(1, np.float32)
    with pytest.raises(ConversionError, match=r"left over from resnet18: layer2\.0\.se\.fc1\.weight\. .*ONNX"):
        architectures.draw(weights)
    weights = pytorch.resnet("resnet18")
    del weights["layer3.1.bn2.running_var"]
    with pytest.raises(ConversionError, match=r"missing for resnet18: layer3\.1\.bn2\.running_var"):
        architectures.draw(weights)


@pytest.mark.slow
def test_a_name_that_does_not_fit_is_refused():
    weights = pytorch.resnet("resnet18")
    assert architectures.draw(weights, "resnet18.a1_in1k").architecture == "resnet18"
    for name, said in (("resnetblur18", "none of resnet18"), ("resnet34", "weights of resnet18, not of resnet34")):
        with pytest.raises(ConversionError, match=said):
            architectures.draw(weights, name)
    with pytest.raises(ConversionError, match="layers named blocks.0.w … belong to none of"):
        architectures.draw({"blocks.0.w": np.zeros(1)})
