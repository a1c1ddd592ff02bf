"""Small ONNX classifiers, made with onnx's helper: a body of some operators between a picture and its class scores."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

SIZE = 32
CLASSES = 5


def random(*shape: int, seed: int = 0, scale: float = 0.5) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=shape) * scale).astype(np.float32)


def model(
    nodes: Sequence[onnx.NodeProto], weights: dict[str, np.ndarray], opset: int = 13,
    shape: Sequence = (1, 3, SIZE, SIZE), output: str = "output", kind: int = onnx.TensorProto.FLOAT,
) -> onnx.ModelProto:  # fmt: skip
    """A graph from `data` to `output`."""
    graph = helper.make_graph(
        list(nodes), "body", [helper.make_tensor_value_info("data", kind, list(shape))],
        [helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7 if opset < 15 else 8)
    made.producer_name = "tests"
    return made


def head(
    channels: int, classes: int = CLASSES, source: str = "y"
) -> tuple[list[onnx.NodeProto], dict[str, np.ndarray]]:
    """From (1, channels, h, w) named `source` to class scores named `output`."""
    nodes = [
        helper.make_node("GlobalAveragePool", [source], ["pooled"], name="pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], name="flat"),
        helper.make_node("Gemm", ["flat", "fc.weight", "fc.bias"], ["output"], name="fc", transB=1),
    ]
    return nodes, {"fc.weight": random(classes, channels, seed=91, scale=3), "fc.bias": random(classes, seed=92)}


def classifier(
    nodes: Sequence[onnx.NodeProto], weights: dict[str, np.ndarray], channels: int, opset: int = 13, **options
) -> onnx.ModelProto:
    """`nodes` lead from `data` to `y` of (1, channels, h, w)."""
    after, more = head(channels)
    return model([*nodes, *after], weights | more, opset, **options)


def tiny(size: int | str = SIZE, batch: int | str = 1, classes: int = CLASSES) -> onnx.ModelProto:
    """Convolution, normalisation, activation, head."""
    nodes = [
        helper.make_node("Conv", ["data", "conv1.weight"], ["a"], name="conv1", strides=[2, 2], pads=[1] * 4),
        helper.make_node("BatchNormalization", ["a", "s", "b", "m", "v"], ["n"], name="bn1"),
        helper.make_node("Relu", ["n"], ["y"], name="relu1"),
    ]
    weights = {
        "conv1.weight": random(8, 3, 3, 3, seed=1), "s": random(8, seed=2) + 1, "b": random(8, seed=3),
        "m": random(8, seed=4), "v": np.abs(random(8, seed=5)) + 0.5,
    }  # fmt: skip
    after, more = head(8, classes)
    return model([*nodes, *after], weights | more, shape=(batch, 3, size, size))


def gluon_resnet18(classes: int = 1000, seed: int = 0) -> onnx.ModelProto:
    """The structure of the ONNX Model Zoo's resnet18-v2-7.onnx, as MXNet's Gluon exported it at opset 7: its names, its
    order, every weight also an input, a first normalisation of the picture with a fixed scale. The weights are random.
    """
    rng = np.random.default_rng(seed)
    nodes: list[onnx.NodeProto] = []
    weights: dict[str, np.ndarray] = {}

    def node(op: str, inputs: list[str], name: str, **attributes) -> str:
        nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def norm(x: str, name: str, width: int, *, is_fixed: bool = False) -> str:
        plain = np.ones(width, np.float32), np.zeros(width, np.float32)
        scale, shift = plain if is_fixed else (rng.uniform(0.5, 1, width), rng.normal(size=width) * 0.1)
        parts = {"gamma": scale, "beta": shift, "running_mean": rng.normal(size=width) * 0.1,
                 "running_var": rng.uniform(0.5, 1.5, width)}  # fmt: skip
        weights.update({f"{name}_{part}": np.asarray(value, np.float32) for part, value in parts.items()})
        inputs = [x, *(f"{name}_{part}" for part in parts)]
        return node("BatchNormalization", inputs, f"{name}_fwd", epsilon=1e-5, momentum=0.9)

    def conv(x: str, name: str, out: int, into: int, side: int, stride: int, pad: int) -> str:
        values = rng.normal(size=(out, into, side, side)) * np.sqrt(2 / (into * side * side))
        weights[f"{name}_weight"] = values.astype(np.float32)
        return node(
            "Conv", [x, f"{name}_weight"], f"{name}_fwd", dilations=[1, 1], group=1, kernel_shape=[side, side],
            pads=[pad] * 4, strides=[stride, stride],
        )  # fmt: skip

    x = norm("data", "resnetv22_batchnorm0", 3, is_fixed=True)
    x = conv(x, "resnetv22_conv0", 64, 3, 7, 2, 3)
    x = node("Relu", [norm(x, "resnetv22_batchnorm1", 64)], "resnetv22_relu0_fwd")
    x = node("MaxPool", [x], "resnetv22_pool0_fwd", kernel_shape=[3, 3], pads=[1] * 4, strides=[2, 2])
    width = 64
    for stage in range(1, 5):
        out, convs = 32 << stage, 0
        for block in range(2):
            prefix, stride = f"resnetv22_stage{stage}", 2 if stage > 1 and block == 0 else 1
            name = f"{prefix}_activation{2 * block}"
            before = node("Relu", [norm(x, f"{prefix}_batchnorm{2 * block}", width)], name)
            y = conv(before, f"{prefix}_conv{convs}", out, width, 3, stride, 1)
            y = node(
                "Relu", [norm(y, f"{prefix}_batchnorm{2 * block + 1}", out)], f"{prefix}_activation{2 * block + 1}"
            )
            y = conv(y, f"{prefix}_conv{convs + 1}", out, out, 3, 1, 1)
            convs += 2
            if width != out:
                x = conv(before, f"{prefix}_conv{convs}", out, width, 1, stride, 0)
                convs += 1
            x, width = node("Add", [y, x], f"{prefix}__plus{block}"), out
    x = node("Relu", [norm(x, "resnetv22_batchnorm2", 512)], "resnetv22_relu1_fwd")
    x = node("GlobalAveragePool", [x], "resnetv22_pool1_fwd")
    weights["reshape_attr_tensor164"] = np.array([0, -1], np.int64)
    x = node("Reshape", [x, "reshape_attr_tensor164"], "resnetv22_flatten0_reshape0")
    weights["resnetv22_dense0_weight"] = (rng.normal(size=(classes, 512)) * 0.05).astype(np.float32)
    weights["resnetv22_dense0_bias"] = np.zeros(classes, np.float32)
    inputs = [x, "resnetv22_dense0_weight", "resnetv22_dense0_bias"]
    x = node("Gemm", inputs, "resnetv22_dense0_fwd", alpha=1.0, beta=1.0, transA=0, transB=1)
    made = model(nodes, weights, 7, ("N", 3, 224, 224), x)
    made.ir_version = 3  # weights are inputs too
    kinds = {np.dtype(np.float32): onnx.TensorProto.FLOAT, np.dtype(np.int64): onnx.TensorProto.INT64}
    made.graph.input.extend(
        helper.make_tensor_value_info(name, kinds[value.dtype], value.shape) for name, value in weights.items()
    )
    made.producer_name = "mxnet"
    return made


def mobilenet_v2(classes: int = 1000, seed: int = 0) -> onnx.ModelProto:
    """The structure of torchvision's MobileNetV2 as PyTorch exports it at opset 13, normalisations folded into the
    convolutions, ReLU6 as Clip. The weights are random.
    """
    rng = np.random.default_rng(seed)
    nodes: list[onnx.NodeProto] = []
    weights: dict[str, np.ndarray] = {"low": np.array(0, np.float32), "high": np.array(6, np.float32)}

    def conv(x: str, out: int, into: int, side: int, stride: int = 1, *, group: int = 1, clip: bool = True) -> str:
        name = f"/features/conv{sum(node.op_type == 'Conv' for node in nodes)}"
        shape = (out, into // group, side, side)
        weights[f"{name}.weight"] = (rng.normal(size=shape) * np.sqrt(2 / np.prod(shape[1:]))).astype(np.float32)
        weights[f"{name}.bias"] = (rng.normal(size=out) * 0.1).astype(np.float32)
        nodes.append(helper.make_node(
            "Conv", [x, f"{name}.weight", f"{name}.bias"], [name], name=name, group=group,
            kernel_shape=[side, side], pads=[side // 2] * 4, strides=[stride, stride],
        ))  # fmt: skip
        if clip:
            nodes.append(helper.make_node("Clip", [name, "low", "high"], [f"{name}/clip"], name=f"{name}/clip"))
        return f"{name}/clip" if clip else name

    x, width = conv("data", 32, 3, 3, 2), 32
    rows = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
    for wider, out, count, first in rows:
        for block in range(count):
            stride, inner = first if block == 0 else 1, width * wider
            y = conv(x, inner, width, 1) if wider > 1 else x
            y = conv(conv(y, inner, inner, 3, stride, group=inner), out, inner, 1, clip=False)
            if stride == 1 and width == out:
                nodes.append(helper.make_node("Add", [x, y], [f"{y}/add"], name=f"{y}/add"))
                y = f"{y}/add"
            x, width = y, out
    after, more = head(1280, classes, conv(x, 1280, 320, 1))
    more["fc.weight"] *= np.float32(0.01)  # else the softmax is sure of one class, whatever the picture
    return model([*nodes, *after], weights | more, shape=("batch", 3, 224, 224))


def write(made: onnx.ModelProto, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(made, str(path))
    return path
