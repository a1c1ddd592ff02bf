"""What ONNX's operators are made with: the register of them, and one node's view of the graph."""

from collections.abc import Callable
from typing import Any, Protocol

import mxnet as mx
import numpy as np

from workshop.models.convert.errors import ConversionError
from workshop.models.convert.graph import Graph, Node
from workshop.models.convert.network import Network

Operator = Callable[["At"], Any]
OPERATORS: dict[str, Operator] = {}
REMEDIES = {
    **dict.fromkeys(
        ("QuantizeLinear", "DequantizeLinear", "QLinearConv", "ConvInteger", "MatMulInteger", "DynamicQuantizeLinear"),
        "Give the float32 network, from before it was quantised.",
    ),
    **dict.fromkeys(
        ("If", "Loop", "Scan"),
        "Export the network in evaluation mode, with an example of fixed shape, without control flow.",
    ),
    **dict.fromkeys(("LSTM", "GRU", "RNN", "Einsum", "Attention"), "The converter is for convolutional classifiers."),
    **dict.fromkeys(
        ("ArgMax", "TopK"), "End the network in its class scores: cut off the node that picks the best class."
    ),
}
ATTENTION = (
    "it multiplies two things that both depend on the image, as attention does",
    "Transformers are not converted: take a convolutional network.",
)
GENERAL = "Export the network from its framework in float32 and evaluation mode, or write the layer of other operators."


class Walk(Protocol):
    """What an operator's function may ask of the walk over the nodes."""

    graph: Graph
    network: Network
    symbols: dict[str, mx.sym.Symbol]
    transposed: dict[str, tuple[str, tuple[int, ...]]]  # output of a transposition: its input and axes
    padded: dict[str, tuple[str, list[int]]]  # output of a Pad that convolutions take over: its input and pads
    colours_first: mx.sym.Symbol  # the network's input before it was turned to colours last


def operator(*names: str) -> Callable[[Operator], Operator]:
    """Register a function that makes ONNX operators of these names."""

    def register(function: Operator) -> Operator:
        OPERATORS.update(dict.fromkeys(names, function))
        return function

    return register


class At:
    """One node on the walk: what an operator's function reads, and what it builds with."""

    def __init__(self, walk: Walk, node: Node):
        self.walk, self.node, self.graph, self.network = walk, node, walk.graph, walk.network
        self.opset = walk.graph.opset
        self.name = walk.network.name(self._name())

    def _name(self) -> str:
        """After the layer's weights, where they have a layer's name, else after the node."""
        inputs = self.node.inputs
        for ending in (".weight", "_weight", "_gamma"):
            if len(inputs) > 1 and inputs[1].endswith(ending) and ":" not in inputs[1]:
                return inputs[1].removesuffix(ending)
        return self.node.name or self.node.outputs[0]

    def __len__(self) -> int:
        return len(self.node.inputs)

    def has(self, index: int) -> bool:
        return index < len(self.node.inputs) and bool(self.node.inputs[index])

    def attribute(self, name: str, default: Any = None) -> Any:
        value = self.node.attributes.get(name, default)
        return value.decode() if isinstance(value, bytes) else value

    def refuse(self, why: str, remedy: str = GENERAL) -> ConversionError:
        return ConversionError(f"{self.node}: {why}. {remedy}")

    def is_constant(self, index: int) -> bool:
        return self.node.inputs[index] in self.graph.constants

    def constant(self, index: int, default: Any = None) -> Any:
        """The value of a constant input. Raises ConversionError where it depends on the picture."""
        if not self.has(index):
            return default
        if not self.is_constant(index):
            raise self.refuse(f"its input {self.node.inputs[index]!r} depends on the image", GENERAL)
        return self.graph.constants[self.node.inputs[index]]

    def integers(self, name: str, index: int) -> list[int] | None:
        """A list that older opsets have as attribute `name`, newer ones as input `index`."""
        if name in self.node.attributes:
            return [int(value) for value in self.attribute(name)]
        found = self.constant(index)
        return None if found is None else [int(value) for value in np.atleast_1d(found)]

    def shape(self, index: int = 0) -> tuple[int, ...]:
        return self.graph.shape(self.node.inputs[index])

    @property
    def out_shape(self) -> tuple[int, ...]:
        return self.graph.shape(self.node.outputs[0])

    def symbol(self, index: int = 0) -> mx.sym.Symbol:
        """The symbol of an input; a constant becomes a weight, with a batch dimension of 1."""
        name = self.node.inputs[index]
        if name in self.graph.constants:
            return self.weight(f"constant{index}", self.graph.constants[name])
        return self.walk.symbols[name]

    def unpadded(self) -> tuple[mx.sym.Symbol, list[int]]:
        """A convolution's input as it is before a Pad whose zeros the convolution adds itself, and how many it adds."""
        source, pads = self.walk.padded.get(self.node.inputs[0], (self.node.inputs[0], [0, 0, 0, 0]))
        return self.walk.symbols[source], pads

    def weight(self, kind: str, value: np.ndarray) -> mx.sym.Symbol:
        """A weight of this layer."""
        if np.ndim(value) == 0:
            value = np.reshape(value, (1,))
        return self.network.weight(f"{self.name}_{kind}", value)

    def like_output(self, symbol: mx.sym.Symbol, name: str | None = None) -> mx.sym.Symbol:
        """`symbol` reshaped to this node's output; the batch dimension stays free."""
        shape, inputs = self.out_shape, self.shape()
        if not shape or not inputs or shape[0] != 1 or inputs[0] != 1 or 0 in shape:
            raise self.refuse(f"it turns the shape {inputs} into {shape}, which mixes images of a batch")
        rest = shape[1:] or (1,)
        return mx.sym.reshape(symbol, shape=(0, *rest), name=name or self.name)
