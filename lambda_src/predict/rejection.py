"""Whether a picture shows one of the classes at all: a score of several layers' outputs, and which scores are known.

Every picture gets probabilities that add up to 1, whatever it shows. The layers before them say more: the last one
differs for pictures of other things, and earlier ones for drawings and patterns. `benchmarks/unknown.py` compares ways
to tell, and calibrates the one that is used here.
"""

import json
import math
from collections.abc import Mapping, Sequence
from operator import mul
from typing import Any, NamedTuple

LINEAR = "linear"
_ADDED = "known_features"  # begins the names of the nodes that are added to a network


class Rejection(NamedTuple):
    """A calibration: the score is `bias` and the sum of `weights` times the features; a picture is known from the score
    `threshold` on. The features are the means of the channels of each of `layers`, in their order.
    """

    layers: tuple[str, ...]
    weights: tuple[float, ...]
    bias: float
    threshold: float

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> "Rejection":
        """The calibration that `rejection` of a model.json has. Raises ValueError, which says what was expected."""
        if not isinstance(said, Mapping) or said.get("method") != LINEAR:
            raise ValueError(f"its rejection is not of the method {LINEAR!r}, the one that there is")
        layers, weights = said.get("layers"), said.get("weights")
        if not isinstance(layers, list) or not layers or not all(isinstance(layer, str) for layer in layers):
            raise ValueError("its rejection lacks a list of layers' names")
        if not isinstance(weights, list) or not weights:
            raise ValueError("its rejection lacks a list of weights")
        numbers = [*weights, said.get("bias"), said.get("threshold")]
        if not all(type(number) in (int, float) and math.isfinite(number) for number in numbers):
            raise ValueError("its rejection has weights, a bias or a threshold that are no numbers")
        return cls(tuple(layers), tuple(map(float, weights)), float(numbers[-2]), float(numbers[-1]))

    def shown_by(self, symbol_json: bytes) -> bytes:
        """The same network with the features as one more output. Raises ValueError where it lacks a layer.

        In an int8 network (`workshop.models.quantization`) a layer is `quantized_<layer>`: 8 bits, and what range
        they stand for. They are made float32 again.
        """
        try:
            graph = json.loads(symbol_json)
            places = {node["name"]: index for index, node in enumerate(graph["nodes"])}
            heads = list(graph["heads"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError("the symbol is not a network as MXNet saves it") from error
        graph.pop("node_row_ptr", None)  # MXNet counts anew

        def add(operator: str, inputs: list[list[int]], **attributes: str) -> list[list[int]]:
            name = f"{_ADDED}_{len(graph['nodes'])}"
            graph["nodes"].append({"op": operator, "name": name, "attrs": attributes, "inputs": inputs})
            return [[len(graph["nodes"]) - 1, 0, 0]]

        means = []
        for layer in self.layers:
            if layer in places:
                maps = [[places[layer], 0, 0]]
            elif place := places.get(f"quantized_{layer}"):
                maps = add("_contrib_dequantize", [[place, output, 0] for output in range(3)], out_type="float32")
            else:
                raise ValueError(f"the network has no layer {layer}, which its rejection reads")
            pooled = add("Pooling", maps, global_pool="True", kernel="(1, 1)", pool_type="avg")
            means += add("Flatten", pooled)
        heads += add("Concat", means, num_args=str(len(means)), dim="1")
        return json.dumps(graph | {"heads": heads}).encode()

    def check(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Raise ValueError unless the network's second output has as many numbers as there are weights."""
        if math.prod(shapes[1]) != len(self.weights):
            channels = math.prod(shapes[1])
            raise ValueError(
                f"the layers of its rejection have {channels} channels, and it has {len(self.weights)} weights"
            )

    def verdict(self, outputs: Sequence[Sequence[float]]) -> dict[str, Any]:
        """Members of an answer: `known`, and `known_score`, which is more the more the picture is like known ones.

        `outputs`: of the network that `shown_by` made, for one picture.
        """
        score = round(self.bias + sum(map(mul, self.weights, outputs[1])), 4)
        return {"known": score >= self.threshold, "known_score": score}
