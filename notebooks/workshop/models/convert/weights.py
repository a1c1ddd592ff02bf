"""Weights by name out of `.safetensors` and `.pth` files, without running anything that is in them."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from workshop.models.convert.errors import ConversionError
from workshop.models.convert.pickles import REMEDY, numbers, read_pickle

SAFETENSORS = ".safetensors"
PICKLES = (".pth", ".pt", ".bin")
_TYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "bfloat16", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U8": "u1", "BOOL": "?",
}  # fmt: skip
_LONGEST_HEADER = 100_000_000  # bytes; the format's own limit
_WRAPPERS = ("state_dict", "model_state_dict", "model")  # keys under which training scripts keep the weights
_PREFIXES = ("module.", "_orig_mod.", "model.")  # put before each name by DataParallel, torch.compile and Lightning


@dataclass
class Weights:
    """The tensors of a file by name, float32 (integers stay), and what the file says of itself in text."""

    tensors: dict[str, np.ndarray]
    metadata: dict[str, str] = field(default_factory=dict)


def read_weights(path: Path) -> Weights:
    """The weights in a `.safetensors`, `.pth`, `.pt` or `.bin` file, as `torch.save(model.state_dict())` has them.

    A state dict inside a training checkpoint is found, and a prefix that all names share is dropped. Raises
    ConversionError.
    """
    path = Path(path)
    if path.suffix == SAFETENSORS:
        return _read_safetensors(path)
    if path.suffix not in PICKLES:
        raise ConversionError(f"{path.name}: expected a file that ends with {', '.join((SAFETENSORS, *PICKLES))}.")
    saved = read_pickle(path)
    for key in _WRAPPERS:
        if isinstance(saved, dict) and isinstance(saved.get(key), dict):
            saved = saved[key]
    if not isinstance(saved, dict) or not saved:
        raise ConversionError(f"{path.name} holds a {type(saved).__name__}, expected weights by name. {REMEDY}")
    strange = [name for name, value in saved.items() if not isinstance(value, np.ndarray) or not isinstance(name, str)]
    if strange:
        raise ConversionError(
            f"{path.name} holds other things beside weights ({', '.join(map(str, strange[:3]))}). {REMEDY}"
        )
    return Weights(_without_prefix(saved))


def _without_prefix(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return tensors


def _read_safetensors(path: Path) -> Weights:
    """https://huggingface.co/docs/safetensors: the length of a header, the header in JSON, the numbers."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    if not 2 <= length <= min(_LONGEST_HEADER, len(data) - 8):
        raise ConversionError(f"{path.name} is no safetensors file, or is cut off. Fetch it again.")
    try:
        header = json.loads(data[8 : 8 + length])
        metadata = header.pop("__metadata__", {})
        tensors = {name: _tensor(memoryview(data)[8 + length :], entry) for name, entry in header.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConversionError(
            f"{path.name}: its header does not fit the data after it ({error}). Fetch it again."
        ) from error
    return Weights(_without_prefix(tensors), {str(key): str(value) for key, value in metadata.items()})


def _tensor(data: memoryview, entry: dict) -> np.ndarray:
    start, end = entry["data_offsets"]
    if not 0 <= start <= end <= len(data):
        raise ValueError(f"a tensor from byte {start} to {end} of {len(data)}")
    return numbers(bytes(data[start:end]), _TYPES[entry["dtype"]]).reshape(entry["shape"])
