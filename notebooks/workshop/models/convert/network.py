"""A network of MXNet's in the making, and the two files that it becomes."""

import re
from pathlib import Path

import mxnet as mx
import numpy as np

from workshop.models.files import PARAMS, SYMBOL

INPUT = "data"
EPSILON = 1e-5  # of the batch normalisations made here


class Network:
    """Symbols with the values of their inputs: `arguments` are weights, `auxiliary` normalisations' statistics."""

    def __init__(self) -> None:
        self.arguments: dict[str, np.ndarray] = {}
        self.auxiliary: dict[str, np.ndarray] = {}
        self.data = mx.sym.Variable(INPUT)
        self._names = {INPUT, "softmax"}

    def name(self, wanted: str) -> str:
        """A name for a layer that no other has and that nothing takes for an input or a label."""
        plain = re.sub(r"[^A-Za-z0-9_.]+", "_", wanted).strip("_") or "layer"
        name, count = plain, 1
        while name in self._names:
            count += 1
            name = f"{plain}_{count}"
        self._names.add(name)
        return name

    def weight(self, name: str, value: np.ndarray) -> mx.sym.Symbol:
        """An input of that name with a value, kept as float32."""
        self.arguments[name] = np.ascontiguousarray(value, np.float32)
        return mx.sym.Variable(name, shape=self.arguments[name].shape)

    def batch_norm(
        self, symbol: mx.sym.Symbol, name: str, gamma: np.ndarray | None, beta: np.ndarray, mean: np.ndarray,
        variance: np.ndarray, epsilon: float = EPSILON,
    ) -> mx.sym.Symbol:  # fmt: skip
        """gamma · (x − mean) / √(variance + epsilon) + beta, per channel; `gamma` None: 1."""
        self.auxiliary |= {
            f"{name}_moving_mean": np.asarray(mean, np.float32),
            f"{name}_moving_var": np.asarray(variance, np.float32),
        }
        ones = np.ones_like(np.asarray(mean, np.float32))
        return mx.sym.BatchNorm(
            symbol, self.weight(f"{name}_gamma", ones if gamma is None else gamma), self.weight(f"{name}_beta", beta),
            name=name, eps=epsilon, fix_gamma=gamma is None, use_global_stats=True,
        )  # fmt: skip

    def save(self, logits: mx.sym.Symbol, folder: Path) -> mx.sym.Symbol:
        """End the network in a softmax over `logits`, write symbol and params into `folder`, and return the symbol."""
        ended = mx.sym.SoftmaxOutput(mx.sym.Flatten(logits, name=self.name("logits")), name="softmax")
        used = set(ended.list_inputs())
        values = {f"arg:{name}": mx.nd.array(value) for name, value in self.arguments.items() if name in used}
        values |= {f"aux:{name}": mx.nd.array(value) for name, value in self.auxiliary.items() if name in used}
        (folder / SYMBOL).write_text(ended.tojson() + "\n", encoding="utf-8")
        mx.nd.save(str(folder / PARAMS), values)
        return ended
