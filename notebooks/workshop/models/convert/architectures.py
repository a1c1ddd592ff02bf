"""Architectures that are known by their layers' names: weights in, the network as ONNX out.

A file of weights holds no network: the code that uses it does. These are written down here, once, in ONNX's operators,
so that weights and ONNX files go one way from there on. Their sources:
https://github.com/pytorch/vision/blob/main/torchvision/models/resnet.py (timm's have the same names),
https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite, in the names of its PyTorch port.
"""

import re
from dataclasses import dataclass, field
from math import ceil
from typing import Any

import numpy as np
import onnx

from workshop.models.convert.errors import ConversionError

OPSET = 13
IR = 8
_UNUSED = "num_batches_tracked"  # counts training steps
_RESNETS: dict[tuple[tuple[int, ...], bool], str] = {
    ((2, 2, 2, 2), False): "resnet18", ((3, 4, 6, 3), False): "resnet34", ((3, 4, 6, 3), True): "resnet50",
    ((3, 4, 23, 3), True): "resnet101", ((3, 8, 36, 3), True): "resnet152",
}  # fmt: skip
# Factor of depth, channels of the last block, and input size of each.
_LITES = {
    "efficientnet-lite0": (1.0, 320, 224), "efficientnet-lite1": (1.1, 320, 240),
    "efficientnet-lite2": (1.2, 352, 260), "efficientnet-lite3": (1.4, 384, 280),
    "efficientnet-lite4": (1.8, 448, 300),
}  # fmt: skip
_LITE_STAGES = ((1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (4, 2), (1, 1))  # blocks and first stride of each
KNOWN = (*_RESNETS.values(), *_LITES)
_SAME_NAMES = {"wide_resnet50_2", "wide_resnet101_2", "resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d"}
EXPORT = "Export the network to ONNX from its framework, and convert that file."


@dataclass
class Drawing:
    """An ONNX graph in the making. Tensors are taken out of `weights` by name; what is missing or left over is told."""

    weights: dict[str, np.ndarray]
    nodes: list[Any] = field(default_factory=list)
    held: list[Any] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)

    def take(self, name: str) -> str:
        if name not in self.weights:
            self.missing.append(name)
        elif name not in self.taken:
            self.held.append(onnx.numpy_helper.from_array(np.asarray(self.weights[name], np.float32), name))
        self.taken.add(name)
        return name

    def node(self, op: str, inputs: list[str], name: str, **attributes: Any) -> str:
        self.nodes.append(onnx.helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def conv(self, x: str, name: str, stride: int = 1, pad: int | None = None, groups: int = 1) -> str:
        """`pad` None: TensorFlow's SAME."""
        inputs = [x, self.take(f"{name}.weight")]
        padding = {"auto_pad": "SAME_UPPER"} if pad is None else {"pads": [pad] * 4}
        return self.node("Conv", inputs, name, strides=[stride] * 2, group=groups, **padding)

    def norm(self, x: str, name: str, epsilon: float) -> str:
        inputs = [self.take(f"{name}.{part}") for part in ("weight", "bias", "running_mean", "running_var")]
        return self.node("BatchNormalization", [x, *inputs], name, epsilon=epsilon)

    def relu(self, x: str, name: str, limit: float | None = None) -> str:
        if limit is None:
            return self.node("Relu", [x], name)
        if not any(entry.name == "limit" for entry in self.held):
            self.held += [
                onnx.numpy_helper.from_array(np.array(value, np.float32), kind)
                for value, kind in ((0, "zero"), (limit, "limit"))
            ]
        return self.node("Clip", [x, "zero", "limit"], name)

    def dense(self, x: str, name: str) -> str:
        pooled = self.node("GlobalAveragePool", [x], "pool")
        flat = self.node("Flatten", [pooled], "flat")
        return self.node("Gemm", [flat, self.take(f"{name}.weight"), self.take(f"{name}.bias")], name, transB=1)

    def model(self, output: str, size: int | str) -> onnx.ModelProto:
        float32 = onnx.TensorProto.FLOAT
        inputs = [onnx.helper.make_tensor_value_info("data", float32, ["batch", 3, size, size])]
        outputs = [onnx.helper.make_tensor_value_info(output, float32, None)]
        graph = onnx.helper.make_graph(self.nodes, "network", inputs, outputs, self.held)
        return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", OPSET)], ir_version=IR)


@dataclass(frozen=True)
class Drawn:
    """`model`: ONNX, any batch. `size`: of its pictures where the architecture fixes it, else None."""

    architecture: str
    model: onnx.ModelProto
    size: int | None


def _blocks(weights: dict[str, np.ndarray], stage: str) -> int:
    numbers = {int(found[1]) for name in weights if (found := re.match(rf"{re.escape(stage)}\.(\d+)\.", name))}
    return max(numbers, default=-1) + 1


def _resnet(weights: dict[str, np.ndarray]) -> Drawn:
    counts = tuple(_blocks(weights, f"layer{stage}") for stage in range(1, 5))
    is_bottleneck = "layer1.0.conv3.weight" in weights
    architecture = _RESNETS.get((counts, is_bottleneck))
    if architecture is None:
        kind = "bottleneck" if is_bottleneck else "basic"
        raise ConversionError(f"a ResNet of {counts} {kind} blocks is none of {', '.join(_RESNETS.values())}. {EXPORT}")
    drawing = Drawing(weights)
    x = drawing.conv("data", "conv1", 2, 3)
    x = drawing.relu(drawing.norm(x, "bn1", 1e-5), "relu")
    x = drawing.node("MaxPool", [x], "maxpool", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    for stage, count in enumerate(counts, start=1):
        for number in range(count):
            stride = 2 if stage > 1 and number == 0 else 1
            x = _residual(drawing, x, f"layer{stage}.{number}", stride, is_bottleneck)
    x = drawing.dense(x, "fc")
    return Drawn(architecture, _finished(drawing, architecture, x, "size"), None)


def _residual(drawing: Drawing, x: str, block: str, stride: int, is_bottleneck: bool) -> str:
    """The stride is on the 3 × 3 convolution, as in torchvision (ResNet "v1.5")."""
    y, last = x, 3 if is_bottleneck else 2
    for number in range(1, last + 1):
        name = f"{block}.conv{number}"
        its_stride = stride if number == last - 1 else 1
        pad = 0 if is_bottleneck and number != 2 else 1
        weight, before = drawing.weights.get(f"{name}.weight"), drawing.weights.get(f"{block}.conv{number - 1}.weight")
        groups = 1
        if is_bottleneck and number == 2 and weight is not None and before is not None:
            groups = max(1, before.shape[0] // weight.shape[1])  # more than one in ResNeXt
        y = drawing.norm(drawing.conv(y, name, its_stride, pad, groups), f"{block}.bn{number}", 1e-5)
        if number < last:
            y = drawing.relu(y, f"{block}.relu{number}")
    if f"{block}.downsample.0.weight" in drawing.weights:
        x = drawing.norm(drawing.conv(x, f"{block}.downsample.0", stride, 0), f"{block}.downsample.1", 1e-5)
    return drawing.relu(drawing.node("Add", [y, x], f"{block}.add"), f"{block}.relu")


def _lite(weights: dict[str, np.ndarray]) -> Drawn:
    total = _blocks(weights, "_blocks")
    last = weights.get(f"_blocks.{total - 1}._project_conv.weight", np.empty(0)).shape[0]
    plans = {
        name: [count if index in (0, len(_LITE_STAGES) - 1) else ceil(count * depth)
               for index, (count, _) in enumerate(_LITE_STAGES)]
        for name, (depth, *_) in _LITES.items()
    }  # fmt: skip
    fitting = [name for name, plan in plans.items() if (sum(plan), _LITES[name][1]) == (total, last)]
    if not fitting:
        raise ConversionError(
            f"an EfficientNet-Lite of {total} blocks, {last} channels at last, is none of {', '.join(_LITES)}. {EXPORT}"
        )
    architecture = fitting[0]
    drawing, number = Drawing(weights), 0
    x = drawing.relu(drawing.norm(drawing.conv("data", "_conv_stem", 2), "_bn0", 1e-3), "stem", 6)
    for count, (_, first) in zip(plans[architecture], _LITE_STAGES, strict=True):
        for repeat in range(count):
            x = _inverted(drawing, x, f"_blocks.{number}", first if repeat == 0 else 1)
            number += 1
    x = drawing.relu(drawing.norm(drawing.conv(x, "_conv_head"), "_bn1", 1e-3), "head", 6)
    x = drawing.dense(x, "_fc")
    size = _LITES[architecture][2]
    return Drawn(architecture, _finished(drawing, architecture, x, size), size)


def _inverted(drawing: Drawing, x: str, block: str, stride: int) -> str:
    """Widen, convolve each channel by itself, narrow; added to its input where the shapes allow it."""
    y = x
    if f"{block}._expand_conv.weight" in drawing.weights:
        y = drawing.norm(drawing.conv(y, f"{block}._expand_conv"), f"{block}._bn0", 1e-3)
        y = drawing.relu(y, f"{block}.relu0", 6)
    deep, narrow = (drawing.weights.get(f"{block}.{name}.weight") for name in ("_depthwise_conv", "_project_conv"))
    channels = 1 if deep is None else deep.shape[0]
    y = drawing.conv(y, f"{block}._depthwise_conv", stride, groups=channels)
    y = drawing.relu(drawing.norm(y, f"{block}._bn1", 1e-3), f"{block}.relu1", 6)
    y = drawing.norm(drawing.conv(y, f"{block}._project_conv"), f"{block}._bn2", 1e-3)
    wide = drawing.weights.get(f"{block}._expand_conv.weight", deep)
    enters = None if wide is None else (wide.shape[1] if wide is not deep else wide.shape[0])
    is_same = stride == 1 and narrow is not None and narrow.shape[0] == enters
    return drawing.node("Add", [y, x], f"{block}.add") if is_same else y


def _finished(drawing: Drawing, architecture: str, output: str, size: int | str) -> onnx.ModelProto:
    left = [name for name in drawing.weights if name not in drawing.taken and not name.endswith(_UNUSED)]
    for what, names in (("are missing for", drawing.missing), ("are left over from", left)):
        if names:
            shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
            raise ConversionError(
                f"tensors {what} {architecture}: {shown}. It is a variant that is not known. {EXPORT}"
            )
    return drawing.model(output, size)


def draw(weights: dict[str, np.ndarray], architecture: str | None = None) -> Drawn:
    """The network that these weights belong to. `architecture`: what it is said to be, as `resnet50` or timm's
    `resnet50.a1_in1k`; None: what the layers' names say alone.

    Raises ConversionError for an architecture that is not in `KNOWN`, and for tensors that are missing or left over.
    """
    said = (architecture or "").partition(".")[0].lower()
    if said and said not in KNOWN and said not in _SAME_NAMES:
        raise ConversionError(f"architecture {architecture!r} is none of {', '.join(KNOWN)}. {EXPORT}")
    if "_conv_stem.weight" in weights:
        drawn = _lite(weights)
    elif "conv1.weight" in weights and "layer1.0.conv1.weight" in weights:
        drawn = _resnet(weights)
    else:
        shown = ", ".join(list(weights)[:4])
        raise ConversionError(f"layers named {shown} … belong to none of {', '.join(KNOWN)}. {EXPORT}")
    if said in KNOWN and said != drawn.architecture:
        raise ConversionError(
            f"these are the weights of {drawn.architecture}, not of {architecture}. Name the right one."
        )
    return Drawn(said or drawn.architecture, drawn.model, drawn.size)
