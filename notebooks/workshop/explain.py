"""Why a network answers as it does: its stages, what it sees in them, and which part of a picture decides."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import cv2
import mxnet as mx
import numpy as np

Predict = Callable[[np.ndarray], np.ndarray]

HEAD = "head"
STEM = "stem"


@dataclass
class Stage:
    """A stretch of the network: its name, parameters, layers with weights, and its output's node and shape (C, H, W)."""

    name: str
    parameters: int = 0
    layers: int = 0
    output: str = ""
    shape: tuple[int, ...] = ()


def stage_of(node: str, current: str = STEM) -> str:
    """Which stage a node of MXNet's ResNet belongs to, by its name; `current` for a node whose name does not say.

    `stage3_unit1_conv2` is in `stage3`; what comes after the last of the four stages (`bn1`, `relu1`, `pool1`, `fc1`) is the
    head; what comes before the first (`bn_data`, `conv0`, `bn0`, `pooling0`) is the stem.
    """
    if node.startswith("stage"):
        return node.split("_", 1)[0]
    if node.startswith(("bn1", "relu1", "pool1", "flatten", "fc", "softmax")):
        return HEAD
    if node.startswith(("bn_data", "conv0", "bn0", "relu0", "pooling0", "data")):
        return STEM
    return current


def stages(symbol: mx.sym.Symbol, parameters: Mapping[str, mx.nd.NDArray]) -> list[Stage]:
    """The network's stages in order, for an input of (1, 3, 224, 224).

    `parameters`: everything learned, by plain name (`conv0_weight`), as `arguments | auxiliary` of `load_checkpoint`.
    """
    internals = symbol.get_internals()
    names = internals.list_outputs()
    shapes = dict(zip(names, internals.infer_shape(data=(1, 3, 224, 224))[1], strict=True))
    found: dict[str, Stage] = {}
    current = STEM
    for output in names:
        current = stage_of(output, current)
        stage = found.setdefault(current, Stage(current))
        if output in parameters:
            stage.parameters += parameters[output].size
            stage.layers += output.endswith("_weight")
        elif output.endswith("_output"):
            stage.output, stage.shape = output, shapes[output][1:]
    return list(found.values())


def as_picture(batch: np.ndarray) -> np.ndarray:
    """The first picture of a prepared batch, float32 (N, 3, H, W) of 0 to 255, as uint8 (H, W, 3)."""
    return batch[0].transpose(1, 2, 0).round().clip(0, 255).astype(np.uint8)


def covered(batch: np.ndarray, patch: int, stride: int) -> Iterator[tuple[np.ndarray, slice, slice]]:
    """Copies of the picture `batch`, float32 (1, 3, H, W), each with one square of `patch` pixels painted over.

    The paint is the picture's mean colour; the squares are `stride` apart and reach the borders. Yields the copy
    (3, H, W) and the rows and columns that it covers.
    """
    _, _, height, width = batch.shape
    paint = batch[0].mean(axis=(1, 2), keepdims=True)
    for top in range(stride - patch, height, stride):
        for left in range(stride - patch, width, stride):
            rows = slice(max(top, 0), min(top + patch, height))
            columns = slice(max(left, 0), min(left + patch, width))
            copy = batch[0].copy()
            copy[:, rows, columns] = paint
            yield copy, rows, columns


def occlusion_map(
    predict: Predict, batch: np.ndarray, class_index: int, *, patch: int = 64, stride: int = 32, batch_size: int = 16
) -> np.ndarray:
    """How much probability the class loses when a part of the picture is covered.

    `predict`: float32 (batch_size, 3, H, W) to probabilities float32 (batch_size, classes). `batch`: float32 (1, 3, H, W).
    Returns float32 (H, W), in probability: at each pixel the mean loss over all squares that cover it; negative where
    covering helps. Method: Zeiler and Fergus, https://arxiv.org/abs/1311.2901, section 4.2.
    """
    lost = np.zeros(batch.shape[2:], np.float32)
    times = np.zeros_like(lost)
    whole = predict(np.repeat(batch, batch_size, axis=0))[0, class_index]
    squares = list(covered(batch, patch, stride))
    for start in range(0, len(squares), batch_size):
        some = squares[start : start + batch_size]
        copies = np.zeros((batch_size, *batch.shape[1:]), np.float32)
        copies[: len(some)] = [copy for copy, _, _ in some]
        for (_, rows, columns), probabilities in zip(some, predict(copies), strict=False):
            lost[rows, columns] += whole - probabilities[class_index]
            times[rows, columns] += 1
    return lost / times


def overlay(picture: np.ndarray, heat: np.ndarray, strength: float = 0.6) -> np.ndarray:
    """Lay a heat map over a picture with OpenCV.

    `picture`: uint8 (H, W, 3) RGB. `heat`: float (h, w), any range; below 0 counts as 0, the largest value is the
    hottest. Returns uint8 (H, W, 3) RGB: the picture in grey where nothing is hot, tinted where it is.
    """
    height, width = picture.shape[:2]
    heat = cv2.resize(np.maximum(heat, 0).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    heat = cv2.GaussianBlur(heat, (0, 0), width / 28)
    heat = np.clip(heat / max(float(heat.max()), 1e-9), 0, 1)
    colours = cv2.cvtColor(cv2.applyColorMap((heat * 255).astype(np.uint8), cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    grey = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    weight = strength * heat[:, :, None] ** 0.7
    return (grey * (1 - weight) + colours * weight).round().astype(np.uint8)


def hottest_box(heat: np.ndarray, share: float = 0.5) -> tuple[int, int, int, int]:
    """The box (left, top, right, bottom) in pixels around all that is hotter than `share` of the maximum."""
    rows, columns = np.nonzero(heat >= share * heat.max())
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1
