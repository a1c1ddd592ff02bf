"""PyTorch's `.pth` files, read as data: nothing that they name is imported, and nothing in them runs.

A pickle is a program: it may name any function of any module and call it. This reader knows the few names that a state
dict needs, stands in for each with a function of its own, and refuses every other one. Both of PyTorch's forms are
read: the zip (since 1.6), one pickle and a file per storage; and the older one, five pickles and the storages' bytes.
https://github.com/pytorch/pytorch/blob/main/torch/serialization.py
"""

import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from workshop.models.convert.errors import ConversionError

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
# PyTorch's names of storages and NumPy's types of them; bfloat16, which NumPy lacks, is read as 16 bits and widened.
_TYPES = {
    "DoubleStorage": "<f8", "FloatStorage": "<f4", "HalfStorage": "<f2", "BFloat16Storage": "bfloat16",
    "LongStorage": "<i8", "IntStorage": "<i4", "ShortStorage": "<i2", "CharStorage": "i1", "ByteStorage": "u1",
    "BoolStorage": "?",
}  # fmt: skip
REMEDY = "Save the weights alone, `torch.save(model.state_dict(), path)`, or export the network to ONNX."


class _Storage(NamedTuple):
    kind: str
    key: str
    length: int  # in numbers


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _tensor(storage, offset, shape, strides, *_rest) -> _Tensor:
    """In the place of torch._utils._rebuild_tensor_v2."""
    if not isinstance(storage, _Storage):
        raise ConversionError("a tensor of the file lies in no storage: the file is damaged.")
    return _Tensor(storage, int(offset), tuple(map(int, shape)), tuple(map(int, strides)))


def _parameter(data, *_rest):
    """In the place of torch._utils._rebuild_parameter."""
    return data


_KNOWN: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch", "Size"): tuple,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in _TYPES:
            return name
        if (module, name) in _KNOWN:
            return _KNOWN[module, name]
        raise ConversionError(f"the file names {module}.{name}, which is more than weights: it was not run. {REMEDY}")

    def persistent_load(self, pid: Any) -> _Storage:
        match pid:
            case ("storage", str(kind), str(key), str(), int(count), *rest) if kind in _TYPES and rest in ([], [None]):
                return _Storage(kind, key, count)
        raise ConversionError(f"a storage of the file has a form that is not known: {str(pid)[:80]}. {REMEDY}")


def _load(file: IO[bytes]) -> Any:
    try:
        return _Unpickler(file, encoding="utf-8").load()
    except ConversionError:
        raise
    except Exception as error:  # damaged pickles raise almost anything
        raise ConversionError(
            f"the pickle in the file is damaged ({type(error).__name__}: {error}). Fetch the file again."
        ) from error


def read_pickle(path: Path) -> Any:
    """What `torch.save` wrote to `path`, with NumPy arrays for its tensors: floats float32, others as they are.

    Raises ConversionError for what is no such file, for one that names anything but weights, and for a damaged one.
    """
    if zipfile.is_zipfile(path):
        return _read_zip(path)
    with Path(path).open("rb") as file:
        return _read_legacy(file)


def _read_zip(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        entries = {name.partition("/")[2]: info for name, info in archive.NameToInfo.items()}
        if "constants.pkl" in entries or any(name.startswith("code/") for name in entries):
            raise ConversionError(f"{path.name} is TorchScript, which is a program. Export the network to ONNX.")
        if "data.pkl" not in entries:
            raise ConversionError(f"{path.name} is a zip file, and not one of PyTorch's (no data.pkl in it). {REMEDY}")

        def read(name: str) -> bytes:
            info = entries.get(name)
            if info is None or info.compress_type != zipfile.ZIP_STORED:
                raise ConversionError(f"{path.name} has no {name}, or it is compressed. Fetch the file again.")
            try:
                return archive.read(info)
            except (zipfile.BadZipFile, OSError, EOFError) as error:
                raise ConversionError(f"{path.name} is damaged: {error}. Fetch the file again.") from error

        if "byteorder" in entries and read("byteorder").strip() != b"little":
            raise ConversionError(f"{path.name} was written on a machine of the other byte order. {REMEDY}")
        import io

        saved = _load(io.BytesIO(read("data.pkl")))
        return _with_arrays(saved, lambda storage: read(f"data/{storage.key}"))


def _read_legacy(file: IO[bytes]) -> Any:
    try:
        is_torch = _load(file) == _MAGIC and _load(file) == _PROTOCOL
    except ConversionError:
        is_torch = False
    if not is_torch:
        raise ConversionError(f"{Path(file.name).name} is not a file that torch.save wrote. {REMEDY}")
    system = _load(file)
    if not isinstance(system, dict) or not system.get("little_endian", True):
        raise ConversionError(f"{Path(file.name).name} was written on a machine of the other byte order. {REMEDY}")
    saved, keys = _load(file), _load(file)
    places = {}
    for key in keys if isinstance(keys, list) else ():
        head = file.read(8)
        places[key] = (file.tell(), struct.unpack("<q", head)[0] if len(head) == 8 else -1)
        sizes = {storage.key: _size(storage) for storage in _storages(saved)}
        file.seek(places[key][1] * sizes.get(key, 0), 1)

    def read(storage: _Storage) -> bytes:
        start, count = places.get(storage.key, (0, -1))
        if count != storage.length:
            raise ConversionError(f"{Path(file.name).name} is damaged: a storage is missing. Fetch the file again.")
        file.seek(start)
        return file.read(count * _size(storage))

    return _with_arrays(saved, read)


def _size(storage: _Storage) -> int:
    """Bytes of one number."""
    return 2 if storage.kind == "BFloat16Storage" else np.dtype(_TYPES[storage.kind]).itemsize


def _storages(saved: Any) -> list[_Storage]:
    if isinstance(saved, _Tensor):
        return [saved.storage]
    if isinstance(saved, dict):
        saved = list(saved.values())
    return [storage for item in saved for storage in _storages(item)] if isinstance(saved, list | tuple) else []


def _with_arrays(saved: Any, read) -> Any:
    """The same dicts, lists and numbers, with an array in the place of each tensor."""
    held: dict[str, np.ndarray] = {}

    def array(tensor: _Tensor) -> np.ndarray:
        storage, shape, strides = tensor.storage, tensor.shape, tensor.strides
        if storage.key not in held:
            data = read(storage)
            if len(data) != storage.length * _size(storage):
                raise ConversionError("the file ends within its weights. Fetch it again.")
            held[storage.key] = numbers(data, _TYPES[storage.kind])
        values = held[storage.key]
        last = tensor.offset + sum((side - 1) * stride for side, stride in zip(shape, strides, strict=False))
        count = int(np.prod(shape, dtype=object)) if shape else 1
        if len(shape) != len(strides) or min((tensor.offset, *shape, *strides)) < 0 or count > values.size:
            raise ConversionError("a tensor of the file has a shape that its storage cannot have. Fetch it again.")
        if count == 0:
            return np.zeros(shape, values.dtype)
        if last >= values.size:
            raise ConversionError("a tensor of the file reaches beyond its storage. Fetch it again.")
        steps = tuple(stride * values.itemsize for stride in strides)
        return np.lib.stride_tricks.as_strided(values[tensor.offset :], shape, steps).copy()

    def replaced(item: Any) -> Any:
        if isinstance(item, _Tensor):
            return array(item)
        if isinstance(item, dict):
            return {key: replaced(value) for key, value in item.items()}
        if isinstance(item, list | tuple) and not isinstance(item, _Storage):
            return [replaced(value) for value in item]
        return item

    return replaced(saved)


def numbers(data: bytes, kind: str) -> np.ndarray:
    """An array of `data`, `kind` a NumPy type or `bfloat16`: floats as float32, others as they are."""
    if kind == "bfloat16":  # the upper half of a float32
        return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
    values = np.frombuffer(data, kind)
    return values.astype(np.float32) if values.dtype.kind == "f" else values
