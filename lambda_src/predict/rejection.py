"""Whether a picture shows one of the classes at all: a score of the network's last layer, and which scores are known.

Every picture gets probabilities that add up to 1, whatever it shows. The last layer says more than they do: what it
makes of pictures of other things differs from what it makes of the classes'. `benchmarks/unknown.py` compares ways to
tell, and calibrates the one that is used here.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import mul
from typing import Any

LINEAR = "linear"
_HEAD = "known_features"  # names what is added to an int8 network


@dataclass(frozen=True)
class Rejection:
    """A calibration: the score is `bias` and the sum of `weights` times the outputs of `layer`, in their order; a
    picture is known from the score `threshold` on.
    """

    layer: str
    weights: tuple[float, ...]
    bias: float
    threshold: float

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> "Rejection":
        """The calibration that `rejection` of a model.json has. Raises ValueError, which says what was expected."""
        if not isinstance(said, Mapping) or said.get("method") != LINEAR:
            raise ValueError(f"its rejection is not of the method {LINEAR!r}, the one that there is")
        layer, weights = said.get("layer"), said.get("weights")
        if not isinstance(layer, str) or not isinstance(weights, list) or not weights:
            raise ValueError("its rejection lacks the name of a layer, or a list of weights")
        numbers = [*weights, said.get("bias"), said.get("threshold")]
        if not all(type(number) in (int, float) and math.isfinite(number) for number in numbers):
            raise ValueError("its rejection has weights, a bias or a threshold that are no numbers")
        return cls(layer, tuple(map(float, weights)), float(numbers[-2]), float(numbers[-1]))

    def shown_by(self, symbol_json: bytes) -> bytes:
        """The same network with the layer's outputs as one more output. Raises ValueError without it.

        In an int8 network (`workshop.models.quantization`) the layer is `quantized_<layer>`: 8 bits, and what range
        they stand for. They are made float32 again.
        """
        graph = json.loads(symbol_json)
        nodes = graph["nodes"]
        places = {node["name"]: index for index, node in enumerate(nodes)}
        if self.layer in places:
            graph["heads"].append([places[self.layer], 0, 0])
        elif f"quantized_{self.layer}" in places:
            inputs = [[places[f"quantized_{self.layer}"], output, 0] for output in range(3)]
            nodes.append(
                {"op": "_contrib_dequantize", "name": _HEAD, "attrs": {"out_type": "float32"}, "inputs": inputs}
            )
            graph["node_row_ptr"].append(graph["node_row_ptr"][-1] + 1)
            graph["heads"].append([len(nodes) - 1, 0, 0])
        else:
            raise ValueError(f"the network has no layer {self.layer}, which its rejection reads")
        return json.dumps(graph).encode()

    def check(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Raise ValueError unless the network's second output has as many numbers as there are weights."""
        if math.prod(shapes[1]) != len(self.weights):
            raise ValueError(f"{self.layer} has the shape {shapes[1]}, its rejection {len(self.weights)} weights")

    def verdict(self, outputs: Sequence[Sequence[float]]) -> dict[str, Any]:
        """Members of an answer: `known`, and `known_score`, which is more the more the picture is like known ones.

        `outputs`: of the network that `shown_by` made, for one picture.
        """
        score = round(self.bias + sum(map(mul, self.weights, outputs[1])), 4)
        return {"known": score >= self.threshold, "known_score": score}
