"""Peer 4: PyTorch, the graph traced, frozen and optimised for inference, on the weights of the ONNX file's source."""

import functools
import os
import tempfile
from pathlib import Path
from typing import Any, cast

import torch
from torch.nn import functional

from . import common
from .graph import read_nodes, read_parameters

SYMBOL, PARAMS, SYNSET = "model-symbol.json", "model-0000.params", "model-synset.txt"


class Network(torch.nn.Module):
    """MXNet's ResNet-18, node by node."""

    def __init__(self, symbol: Path, parameters: Path):
        super().__init__()
        self.nodes = read_nodes(symbol)
        self.values = {name: torch.tensor(value) for name, value in read_parameters(parameters).items()}

    def forward(self, data):
        values = {**self.values, "data": data}
        for node in self.nodes:
            # Any: the softmax's label has no value, and nothing asks for it.
            a, given = node.attributes, [cast(Any, values.get(name)) for name in node.inputs]
            match node.op:
                case "Convolution":
                    out = functional.conv2d(given[0], given[1], stride=a.get("stride", (1, 1)), padding=a["pad"])
                case "BatchNorm":
                    scale = torch.ones_like(given[1]) if a.get("fix_gamma", True) else given[1]
                    out = functional.batch_norm(
                        given[0], given[3], given[4], scale, given[2], False, 0, float(a["eps"])
                    )
                case "Activation":
                    out = functional.relu(given[0])
                case "elemwise_add":
                    out = given[0] + given[1]
                case "Pooling" if a.get("global_pool"):
                    out = given[0].mean((2, 3), keepdim=True)
                case "Pooling":
                    out = functional.max_pool2d(given[0], a["kernel"], a["stride"], a["pad"])
                case "Flatten":
                    out = given[0].flatten(1)
                case "FullyConnected":
                    out = functional.linear(given[0], given[1], given[2])
                case "SoftmaxOutput":
                    out = functional.softmax(given[0], 1)
                case _:
                    raise ValueError(f"the operator {node.op} of {node.name} is not converted")
            values[node.name] = out
        return out


@functools.cache
def _model():
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    with tempfile.TemporaryDirectory() as folder:
        files = common.download(SYMBOL, PARAMS, SYNSET)
        for name, data in files.items():
            (Path(folder) / name).write_bytes(data)
        network = Network(Path(folder) / SYMBOL, Path(folder) / PARAMS).eval()
    with torch.inference_mode():
        traced = torch.jit.trace(network, torch.zeros(1, 3, 224, 224))
        return torch.jit.optimize_for_inference(torch.jit.freeze(traced)), common.labels(files[SYNSET])


def handler(event, context):
    image = common.pillow_input(common.picture(event))
    network, names = _model()
    return common.answer(predict(network, image), names)


def predict(network, image):
    with torch.inference_mode():
        return network(torch.from_numpy(image))[0].numpy()
