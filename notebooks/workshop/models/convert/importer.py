"""From an analysed ONNX graph to a network of MXNet's: the walk over its nodes, and what comes before and behind."""

import mxnet as mx
import numpy as np

from workshop.models.convert import layers, shapes  # noqa: F401  they register the operators
from workshop.models.convert.errors import ConversionError
from workshop.models.convert.graph import Graph, Node, is_channels_last
from workshop.models.convert.network import EPSILON, Network
from workshop.models.convert.operators import ATTENTION, GENERAL, OPERATORS, REMEDIES, At
from workshop.models.convert.preprocessing import Preprocessing

_PASSING = ("Identity", "Dropout", "Flatten", "Reshape", "Squeeze")


class Importer:
    """`graph` with `preprocessing` in front of it, as a Network: `logits` is its end, before any softmax.

    Raises ConversionError with the operator or the shape that stands in the way.
    """

    def __init__(self, graph: Graph, preprocessing: Preprocessing):
        self.graph, self.preprocessing, self.network = graph, preprocessing, Network()
        self.symbols: dict[str, mx.sym.Symbol] = {}
        self.transposed: dict[str, tuple[str, tuple[int, ...]]] = {}
        self.padded: dict[str, tuple[str, list[int]]] = {}
        self.folded: Node | None = None
        self.ending = "none"
        self.colours_first = self.network.data
        self._refuse_unknown()
        self.symbols[graph.input] = self._first_layer()
        for node in graph.nodes:
            if node is not self.folded:
                self._make(node)
        self.logits = self._logits()

    def _refuse_unknown(self) -> None:
        unknown: dict[str, Node] = {}
        for node in self.graph.nodes:
            if node.op == "MatMul" and not any(name in self.graph.constants for name in node.inputs):
                why, remedy = ATTENTION  # told before the smaller things that a transformer also has
                raise ConversionError(f"{node}: {why}. {remedy}")
            if node.op not in OPERATORS:
                unknown.setdefault(node.op, node)
        if unknown:
            first = next(iter(unknown.values()))
            others = f" Nor are {', '.join(list(unknown)[1:])}." if len(unknown) > 1 else ""
            raise ConversionError(
                f"{first}, opset {self.graph.opset}: this operator is not known.{others} "
                f"{REMEDIES.get(first.op, GENERAL)}"
            )

    def _make(self, node: Node) -> None:
        at = At(self, node)
        try:
            made = OPERATORS[node.op](at)
        except (ConversionError, KeyboardInterrupt):
            raise
        except Exception as error:  # an attribute of another type, a shape that MXNet does not take
            raise at.refuse(
                f"it cannot be built: {str(error).strip().splitlines()[0] or type(error).__name__}"
            ) from error
        for name, symbol in zip(node.outputs, made if isinstance(made, list) else [made], strict=False):
            self.symbols[name] = symbol

    def _first_layer(self) -> mx.sym.Symbol:
        """What makes of pixels from 0 to 255, RGB, colours first, what the network takes."""
        symbol, wanted = self.network.data, self.preprocessing
        mean, scale = np.asarray(wanted.mean, np.float64), np.asarray(wanted.deviation, np.float64)
        if wanted.channels == "BGR":
            symbol = mx.sym.reverse(symbol, axis=1, name=self.network.name("bgr"))
        channels_last = is_channels_last(list(self.graph.picture.shape))
        readers = self.graph.readers[self.graph.input]
        if not channels_last and len(readers) == 1 and readers[0].op == "BatchNormalization":
            self.folded = readers[0]
            symbol = self._folded(At(self, readers[0]), symbol, mean, scale)
            self.symbols[readers[0].outputs[0]] = symbol
        elif mean.any() or (scale != 1).any():
            symbol = self.network.batch_norm(
                symbol, self.network.name("bn_data"), None, np.zeros(3), mean, scale**2 - EPSILON
            )
        self.colours_first = symbol
        if channels_last:
            symbol = mx.sym.transpose(symbol, axes=(0, 2, 3, 1), name=self.network.name("colours_last"))
        return symbol

    def _folded(self, at: At, symbol: mx.sym.Symbol, mean: np.ndarray, scale: np.ndarray) -> mx.sym.Symbol:
        """The network's own first batch normalisation, which takes the preprocessing's over: with x = (p − µ) / s,
        (x − m) / √(v + ε) is (p − (m·s + µ)) / √((v + ε)·s²).
        """
        gamma, beta, m, v = (np.asarray(at.constant(index), np.float64) for index in range(1, 5))
        variance = (v + at.attribute("epsilon", 1e-5)) * scale**2 - EPSILON
        return self.network.batch_norm(
            symbol, at.name, None if (gamma == 1).all() else gamma, beta, m * scale + mean, variance
        )

    def _logits(self) -> mx.sym.Symbol:
        """The class scores: the output, or what the softmax at the end reads."""
        makers = {name: node for node in self.graph.nodes for name in node.outputs}
        node = makers[self.graph.output]
        while node.op in _PASSING and node.inputs[0] in makers:
            node = makers[node.inputs[0]]
        if node.op in ("Softmax", "LogSoftmax"):
            self.ending = node.op
            return self.symbols[node.inputs[0]]
        if node.op in ("Sigmoid", "HardSigmoid"):
            raise ConversionError(
                f"{node}: the network ends in a sigmoid, so each class has a probability of its own. Expected one "
                "whose classes exclude each other."
            )
        return self.symbols[self.graph.output]


def probabilities(ending: str, output: np.ndarray) -> np.ndarray:
    """A network's output (N, classes) as probabilities, `ending` as Importer found it."""
    if ending == "Softmax":
        return output
    scores = output.astype(np.float64)
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
