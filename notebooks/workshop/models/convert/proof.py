"""The proof at the end of each conversion: the source network and the function's predictor, side by side.

Two things are held to each other. Each layer's numbers, on one sample, between ONNX Runtime and MXNet: a wrong layer is
found by its name, even where the probabilities would hardly show it. And the answers: what the source says to the lab's
samples beside what the function's own predictor says, in the process that `workshop.models.acceptance` starts.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mxnet as mx
import numpy as np
import onnxruntime
from PIL import Image

from workshop.models import acceptance
from workshop.models.convert.errors import ConversionError
from workshop.models.convert.graph import is_channels_last, session
from workshop.models.convert.importer import Importer, probabilities
from workshop.models.convert.preprocessing import Preprocessing
from workshop.models.files import SYMBOL
from workshop.samples import SAMPLES, sample_path

LIMIT = 1e-4  # largest difference of a probability
LAYER_LIMIT = 2e-3  # largest difference of a layer's number, as a part of the layer's largest


@dataclass(frozen=True)
class Proof:
    """`difference`: the largest of a probability over `pictures`; `agreed`: where both say the same class first."""

    reference: str
    pictures: int
    difference: float
    agreed: int
    layers: int
    layer_difference: float

    def __str__(self) -> str:
        return (
            f"{self.pictures} samples: the largest difference of a probability to {self.reference} is "
            f"{self.difference:.1e} (at most {LIMIT:.0e} is accepted), the same class first on {self.agreed}; "
            f"{self.layers} layers differ by at most {self.layer_difference:.1e} of their range"
        )


def pictures(size: int) -> np.ndarray:
    """The lab's samples as uint8 (N, 3, size, size), squashed: both sides are given the same."""
    squares = []
    for name in SAMPLES:
        with Image.open(sample_path(name)) as sample:
            squares.append(np.asarray(sample.convert("RGB").resize((size, size)), np.uint8).transpose(2, 0, 1))
    return np.stack(squares)


def normalised(picture: np.ndarray, wanted: Preprocessing, channels_last: bool) -> np.ndarray:
    """One picture, uint8 (3, size, size), as the source network takes it: float32, a batch of 1."""
    planes = picture[::-1] if wanted.channels == "BGR" else picture
    mean, deviation = (
        np.reshape(np.asarray(values, np.float64), (3, 1, 1)) for values in (wanted.mean, wanted.deviation)
    )
    planes = ((planes - mean) / deviation).astype(np.float32)
    return (planes.transpose(1, 2, 0) if channels_last else planes)[None]


@contextlib.contextmanager
def _unfused() -> Iterator[None]:
    """MXNet binds layer by layer: what it fuses has no outputs in between. The function's predictor fuses."""
    before, stderr = os.environ.get("MXNET_SUBGRAPH_BACKEND"), os.dup(2)
    os.environ["MXNET_SUBGRAPH_BACKEND"] = "NONE"
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 2)  # MXNet logs a line about it
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        del os.environ["MXNET_SUBGRAPH_BACKEND"]
        if before is not None:
            os.environ["MXNET_SUBGRAPH_BACKEND"] = before


def compare_layers(made: Importer, picture: np.ndarray) -> tuple[int, float]:
    """How many layers were compared, and the largest difference. Raises ConversionError with the first wrong one."""
    graph, network = made.graph, made.network
    names = [name for node in graph.nodes for name in node.outputs if name in made.symbols]
    names = [name for name in names if graph.values[name].dtype == np.float32]
    group = mx.sym.Group([made.symbols[name] for name in names])
    arguments = {name: mx.nd.array(network.arguments[name]) for name in group.list_arguments() if name != "data"}
    states = {name: mx.nd.array(network.auxiliary[name]) for name in group.list_auxiliary_states()}
    data = {"data": mx.nd.array(picture[None])}
    try:
        with _unfused():
            running = group.bind(mx.cpu(), arguments | data, aux_states=states, grad_req="null")
        found = [value.asnumpy() for value in running.forward(is_train=False)]
    except mx.MXNetError as error:
        raise ConversionError(f"MXNet does not run the network: {str(error).strip().splitlines()[-1]}") from error
    makers = {name: node for node in graph.nodes for name in node.outputs}
    worst = 0.0
    for name, value in zip(names, found, strict=True):
        expected = graph.values[name]
        same_shape = value.shape == expected.shape or value.size == expected.size == 1
        difference = np.abs(value.reshape(expected.shape) - expected).max() if same_shape else np.inf
        relative = float(difference / (np.abs(expected).max() + 1e-6))
        if not relative <= LAYER_LIMIT:
            came = f"differs by {relative:.1e} of its range" if same_shape else f"has the shape {value.shape}"
            raise ConversionError(
                f"{makers[name]}: MXNet's output {came}, expected {expected.shape} and at most "
                f"{LAYER_LIMIT:.0e}. The network is rejected; please report this node with its attributes: "
                f"{makers[name].attributes}."
            )
        worst = max(worst, relative)
    return len(names), worst


def verify(made: Importer, folder: Path) -> Proof:
    """Hold the files in `folder` to the source network.

    Raises ConversionError where they differ by more than the limits, CorruptedError where the function's
    predictor refuses the model or dies on it.
    """
    wanted, graph = made.preprocessing, made.graph
    samples = pictures(graph.picture.shape[2])
    layers, layer_difference = compare_layers(made, samples[0])
    source, channels_last = session(graph.model), is_channels_last(list(graph.picture.shape))
    found = [source.run([graph.output], {graph.input: normalised(one, wanted, channels_last)})[0] for one in samples]
    expected = probabilities(made.ending, np.stack([np.reshape(one, -1) for one in found]))
    answered = acceptance.answers(folder, samples, SYMBOL)
    difference = float(np.abs(answered - expected).max())
    if not difference <= LIMIT:
        raise ConversionError(
            f"the function's predictor and the source network differ by {difference:.1e} in a probability; at most "
            f"{LIMIT:.0e} is accepted. The network is rejected."
        )
    agreed = int((answered.argmax(axis=1) == expected.argmax(axis=1)).sum())
    reference = f"ONNX Runtime {onnxruntime.__version__}"
    return Proof(reference, len(samples), difference, agreed, layers, layer_difference)


def analysed_picture(wanted: Preprocessing, channels_last: bool) -> np.ndarray:
    """The sample that every layer is compared on, as the source network takes it."""
    return normalised(pictures(wanted.size or 0)[0], wanted, channels_last)
