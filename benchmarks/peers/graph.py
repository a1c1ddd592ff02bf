"""The model's files as plain arrays and nodes, for the peers that need another format.

MXNet writes both formats: the symbol is JSON, the parameters a list of arrays
(https://github.com/apache/mxnet/blob/1.9.1/src/ndarray/ndarray.cc, NDArray::Load).
"""

import ast
import json
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_LIST, _V2, _V3 = 0x112, 0xF993FAC9, 0xF993FACA
_DTYPES = {0: np.float32, 2: np.float16, 5: np.int8}


@dataclass(frozen=True)
class Node:
    """One operator of the network: its inputs are names of nodes or of parameters."""

    op: str
    name: str
    inputs: list[str]
    attributes: dict


def read_parameters(path: Path) -> dict[str, np.ndarray]:
    """Every array of a `.params` file by its name, without `arg:` and `aux:`; float16 becomes float32."""
    data = Path(path).read_bytes()
    at = 0

    def take(form: str):
        nonlocal at
        values = struct.unpack_from("<" + form, data, at)
        at += struct.calcsize("<" + form)
        return values[0] if len(values) == 1 else values

    if take("QQ")[0] != _LIST:
        raise ValueError(f"{path} is not a file of MXNet's NDArray.save")
    arrays = []
    for _ in range(take("Q")):
        magic, storage = take("I"), take("i")
        if magic not in (_V2, _V3) or storage != 0:
            raise ValueError(f"{path}: only dense arrays of MXNet 1.x are read")
        dimensions = take("i")
        shape = np.atleast_1d(take(f"{dimensions}q"))
        _device, dtype = take("ii"), _DTYPES[take("i")]
        count = int(np.prod(shape))
        arrays.append(np.frombuffer(data, dtype, count, at).reshape(shape))
        at += count * np.dtype(dtype).itemsize
    names = []
    for _ in range(take("Q")):
        length = take("Q")
        names.append(data[at : at + length].decode().split(":", 1)[-1])
        at += length
    wide = [array.astype(np.float32) if array.dtype == np.float16 else array for array in arrays]
    return dict(zip(names, wide, strict=True))


def read_nodes(path: Path) -> list[Node]:
    """The operators of a symbol, in the order in which they run."""
    nodes = json.loads(Path(path).read_text())["nodes"]
    return [
        Node(
            node["op"],
            node["name"],
            [nodes[index]["name"] for index, *_ in node["inputs"]],
            {key: _value(text) for key, text in node.get("attrs", {}).items()},
        )
        for node in nodes
        if node["op"] != "null"
    ]


def _value(text: str):
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
