"""Why a network answers as it does: its stages, what it sees in them, and which part of a picture decides."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:  # to import it takes two seconds, and who covers images for an endpoint needs no network
    import mxnet as mx

Predict = Callable[[np.ndarray], np.ndarray]

HEAD = "head"
FULL = 3.0  # log-odds that are drawn hottest in every heat map of an occlusion: the odds fall to a twentieth
_MULTIPLIES = ("Convolution", "FullyConnected", "Deconvolution", "dot", "batch_dot")
_RECTIFIES = ("relu", "clip", "LeakyReLU")


@dataclass
class Stage:
    """A stretch of the network whose outputs have one height and width, or, the head, none.

    `parameters`: how many numbers it learned. `layers`: how many layers multiply by weights. `shape`: of its last
    output, (C, H, W), or (classes,) for the head. `seen`: the output that shows best where the stage found something:
    its last rectified one, and for the last stage before the head its very last one, which all that follows reads.
    """

    name: str
    parameters: int = 0
    layers: int = 0
    shape: tuple[int, ...] = ()
    seen: str = ""


@dataclass(frozen=True)
class Node:
    """One operator or variable of a symbol. `kind`: the operator, or of an Activation its function. `inputs`: indices
    of nodes. `shape`: of its first output, `output`. `area`: that one's height times width, 0 for at most one place.
    """

    name: str
    op: str
    kind: str
    inputs: tuple[int, ...]
    output: str
    shape: tuple[int, ...]
    area: int


def nodes(symbol: mx.sym.Symbol, size: int = 224) -> list[Node]:
    """The symbol's nodes in its own order, inputs before what reads them, for an input of (1, 3, size, size)."""
    graph = json.loads(symbol.tojson())["nodes"]
    internals = symbol.get_internals()
    inferred = dict(zip(internals.list_outputs(), internals.infer_shape(data=(1, 3, size, size))[1], strict=True))
    found = []
    for node in graph:
        attributes = node.get("attrs", {})
        names = (node["name"], f"{node['name']}_output", f"{node['name']}_output0")
        output = next(name for name in names if name in inferred)
        shape = tuple(inferred[output])
        area = shape[-2] * shape[-1] if len(shape) > 3 and node["op"] != "null" else 0
        kind = attributes.get("act_type", node["op"])
        inputs = tuple(index for index, *_ in node["inputs"])
        found.append(Node(node["name"], node["op"], kind, inputs, output, shape, area if area > 1 else 0))
    return found


def _areas(found: Sequence[Node]) -> list[int]:
    """The area that each node works for: its own, or, where it has none, the largest of those that read it.

    So a weight belongs to its layer, and a branch that squeezes all places into one to the layer that it returns to.
    """
    areas = [node.area for node in found]
    for index in range(len(found) - 1, -1, -1):
        for source in found[index].inputs:
            if not found[source].area:
                areas[source] = max(areas[source], areas[index])
    return areas


def stages(symbol: mx.sym.Symbol, parameters: Mapping[str, mx.nd.NDArray], size: int = 224) -> list[Stage]:
    """The network's stages in order, for an input of (1, 3, size, size); the last one is the head.

    A stage begins where the outputs have at most half of the places that the stage before began with. One without
    weights is part of the next. `parameters`: everything learned, by plain name, as `arguments | auxiliary` of
    `load_checkpoint`.
    """
    found = nodes(symbol, size)
    areas = _areas(found)
    begins: list[int] = []
    for area in sorted({areas[index] for index, node in enumerate(found) if node.op in _MULTIPLIES}, reverse=True):
        if area and (not begins or 2 * area <= begins[-1]):
            begins.append(area)
    made = [Stage(f"stage {number}") for number in range(1, len(begins) + 1)] + [Stage(HEAD)]
    rectified = [""] * len(made)
    for node, area in zip(found, areas, strict=True):
        # A larger area than that of any weights comes before them all.
        place = next((at for at in range(len(begins) - 1, -1, -1) if 0 < area <= begins[at]), 0 if area else -1)
        stage = made[place]
        if node.op == "null":
            stage.parameters += parameters[node.name].size if node.name in parameters else 0
            continue
        stage.layers += node.op in _MULTIPLIES
        if node.area or stage.name == HEAD:
            stage.shape, stage.seen = node.shape[1:], node.output
            if node.kind in _RECTIFIES:
                rectified[place] = stage.seen
    for stage, seen in zip(made[:-2], rectified, strict=False):
        stage.seen = seen or stage.seen
    return made


def kernels(symbol: mx.sym.Symbol) -> dict[str, tuple[int, ...]]:
    """The weights of all convolutions in order: their names and shapes, (filters, channels, height, width)."""
    found = nodes(symbol)
    weights = [found[node.inputs[1]] for node in found if node.op == "Convolution"]
    return {node.name: node.shape for node in weights}


def last_features(symbol: mx.sym.Symbol) -> str:
    """The output that the last layer with weights weighs into classes: the network's features of a picture."""
    found = nodes(symbol)
    last = [node for node in found if node.op in _MULTIPLIES][-1]
    return found[last.inputs[0]].output


def last_places(symbol: mx.sym.Symbol) -> str:
    """The last output that knows of places, (N, C, h, w): all that follows reads it."""
    return [node for node in nodes(symbol) if node.area][-1].output


def as_picture(batch: np.ndarray) -> np.ndarray:
    """The first picture of a prepared batch, float32 (N, 3, H, W) of 0 to 255, as uint8 (H, W, 3)."""
    return batch[0].transpose(1, 2, 0).round().clip(0, 255).astype(np.uint8)


@dataclass
class Occlusion:
    """What covering parts of a picture does to one class.

    `heat`: float32 (H, W), the log-odds that the class loses when a pixel is covered, as the mean over all squares
    that cover it; negative where covering helps. `whole`: its probability for the whole picture. `lowest`: its
    probability when the square `box` (left, top, right, bottom, in pixels) is covered, the one that costs it most.
    """

    heat: np.ndarray
    whole: float
    lowest: float
    box: tuple[int, int, int, int]

    @property
    def half_area(self) -> float:
        """The smallest share of the picture, 0 to 1, that holds half of all the log-odds that covering costs."""
        hottest = np.sort(np.maximum(self.heat, 0), axis=None)[::-1].cumsum(dtype=np.float64)
        return float(np.searchsorted(hottest, hottest[-1] / 2) + 1) / hottest.size


def _squares(height: int, width: int, patch: int, stride: int) -> Iterator[tuple[int, int, int, int]]:
    """Boxes of `patch` pixels, `stride` apart, cut off at the borders so that these are covered as often as the
    middle.
    """
    for top in range(stride - patch, height, stride):
        for left in range(stride - patch, width, stride):
            yield max(left, 0), max(top, 0), min(left + patch, width), min(top + patch, height)


def cover(batch: np.ndarray, box: tuple[int, int, int, int], cloth: np.ndarray | None = None) -> np.ndarray:
    """A copy of a prepared picture, float32 (1, 3, H, W), with the box covered by the same part of `cloth`, a picture
    of the same shape; by default, by the picture's mean colour.
    """
    left, top, right, bottom = box
    copy = batch.copy()
    cloth = np.broadcast_to(batch.mean(axis=(2, 3), keepdims=True) if cloth is None else cloth, batch.shape)
    copy[:, :, top:bottom, left:right] = cloth[:, :, top:bottom, left:right]
    return copy


def log_odds(probability: np.ndarray | float) -> np.ndarray:
    """ln(p / (1 - p)): evidence on a scale that does not flatten where the network is sure."""
    probability = np.clip(np.asarray(probability, np.float64), 1e-7, 1 - 1e-7)
    return np.log(probability / (1 - probability))


def occlusion(
    predict: Predict,
    batch: np.ndarray,
    class_index: int,
    *,
    patch: int = 96,
    stride: int = 48,
    batch_size: int = 20,
    cloth: np.ndarray | None = None,
) -> Occlusion:
    """Cover one square of the picture after the other, and see what it costs the class.

    `predict`: float32 (N, 3, H, W), N up to `batch_size`, to probabilities float32 (N, classes). `batch`: one prepared
    picture, float32 (1, 3, H, W). `cloth`: what to cover with, as `cover` takes it. Method: Zeiler and Fergus,
    https://arxiv.org/abs/1311.2901, section 4.2.
    """
    height, width = batch.shape[2:]
    boxes = list(_squares(height, width, patch, stride))
    batches = -(-(1 + len(boxes)) // batch_size)
    # The whole picture fills the batches up to one size: MXNet would bind the network again for each other size.
    fill = batches * -(-(1 + len(boxes)) // batches) - len(boxes)
    pictures = np.concatenate([batch] * fill + [cover(batch, box, cloth) for box in boxes])
    given = np.concatenate([predict(part)[:, class_index] for part in np.split(pictures, batches)])
    whole, left = float(given[0]), given[fill:]
    lost = log_odds(whole) - log_odds(left)
    heat, times = np.zeros((2, height, width), np.float32)
    for (x, y, right, bottom), loss in zip(boxes, lost, strict=True):
        heat[y:bottom, x:right] += loss
        times[y:bottom, x:right] += 1
    worst = int(np.argmin(left))
    return Occlusion(heat / times, whole, float(left[worst]), boxes[worst])


def _block(symbol: mx.sym.Symbol, takes: str, parameters: Mapping[str, mx.nd.NDArray]) -> mx.gluon.SymbolBlock:
    """A part of the network that autograd can differentiate; `takes`: the name of its input."""
    import mxnet as mx

    block = mx.gluon.SymbolBlock(symbol, mx.sym.var(takes, dtype="float32"))
    for name, parameter in block.collect_params().items():
        parameter.shape = parameters[name].shape
        parameter.initialize()
        parameter.set_data(parameters[name])
    return block


def _from(symbol: mx.sym.Symbol, output: str) -> mx.sym.Symbol:
    """What follows an inner output (`relu1_output`) of a network, as a network that takes this output, named `seen`."""
    import mxnet as mx

    graph = json.loads(symbol.tojson())
    index = [node["name"] for node in graph["nodes"]].index(output.removesuffix("_output"))
    graph["nodes"][index] = {"op": "null", "name": "seen", "inputs": []}
    graph["arg_nodes"] = [number for number, node in enumerate(graph["nodes"]) if node["op"] == "null"]
    for node in graph["nodes"]:
        if node["op"] == "BatchNorm":  # else its gradient is that of training, even outside of it
            node.setdefault("attrs", {})["use_global_stats"] = "True"
    return mx.sym.load_json(json.dumps(graph))


def grad_cam(
    symbol: mx.sym.Symbol,
    parameters: Mapping[str, mx.nd.NDArray],
    pictures: np.ndarray,
    classes: Sequence[int],
    output: str | None = None,
) -> np.ndarray:
    """Where the feature maps of a layer speak for a class, float32 (N, h, w) of the layer's size, 0 where they do not.

    Each map counts with the mean of the gradient of the class's score (what the softmax takes in) with respect to it:
    Selvaraju et al., https://arxiv.org/abs/1610.02391, equations 1 and 2. `symbol`: a network that ends in a softmax.
    `parameters`: as `stages` takes them. `pictures`: prepared ones, float32 (N, 3, H, W). `classes`: an index for each.
    `output`: the layer's; by default the last one that knows of places.
    """
    import mxnet as mx

    scores = symbol.get_children()[0]
    output = output or last_places(symbol)
    seen = _block(scores.get_internals()[output], "data", parameters)(mx.nd.array(pictures))
    head = _block(_from(scores, output), "seen", parameters)
    seen.attach_grad()
    with mx.autograd.record(train_mode=False):
        score = mx.nd.pick(head(seen), mx.nd.array(classes))
    score.backward()
    weights = seen.grad.mean(axis=(2, 3), keepdims=True)
    return mx.nd.relu((weights * seen).sum(axis=1)).asnumpy()


def around(heat: np.ndarray, size: int = 224) -> tuple[int, int, int, int]:
    """A box (left, top, right, bottom, in pixels of a picture of `size`) around all of a heat map (h, w) that has at
    least half of its largest value, with one place of the map as a margin.
    """
    rows, columns = np.nonzero(heat >= heat.max() / 2)
    down, across = size / heat.shape[0], size / heat.shape[1]
    left, top = (columns.min() - 1) * across, (rows.min() - 1) * down
    right, bottom = (columns.max() + 2) * across, (rows.max() + 2) * down
    return max(round(left), 0), max(round(top), 0), min(round(right), size), min(round(bottom), size)


def background(batch: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """The coldest place of a heat map (h, w), in a prepared picture, float32 (1, 3, H, W), repeated all over it."""
    row, column = np.unravel_index(np.argmin(heat), heat.shape)
    high, wide = batch.shape[2] // heat.shape[0], batch.shape[3] // heat.shape[1]
    tile = batch[:, :, row * high : (row + 1) * high, column * wide : (column + 1) * wide]
    repeats = -(-batch.shape[2] // high), -(-batch.shape[3] // wide)
    return np.tile(tile, (1, 1, *repeats))[:, :, : batch.shape[2], : batch.shape[3]]


def hottest(heat: np.ndarray, count: int = 10, cells: int = 7) -> np.ndarray:
    """The `count` hottest of `cells` × `cells` equal parts of a heat map (h, w), as bool (cells, cells)."""
    means = cv2.resize(heat.astype(np.float32), (cells, cells), interpolation=cv2.INTER_AREA).ravel()
    chosen = np.zeros(means.size, bool)
    chosen[np.argsort(-means, kind="stable")[:count]] = True
    return chosen.reshape(cells, cells)


def overlay(picture: np.ndarray, heat: np.ndarray, strength: float = 0.75, full: float = FULL) -> np.ndarray:
    """Lay a heat map over a picture with OpenCV.

    `picture`: uint8 (H, W, 3) RGB. `heat`: float (h, w), any range; below 0 counts as 0; `full` and above is drawn
    hottest, by default the log-odds that every occlusion's map has as its hottest, so that colours can be compared.
    Returns uint8 (H, W, 3) RGB: the picture in grey where nothing is hot, tinted where it is.
    """
    height, width = picture.shape[:2]
    heat = cv2.resize(np.maximum(heat, 0).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    heat = cv2.GaussianBlur(heat, (0, 0), width / 28)
    heat = np.clip(heat / max(full, 1e-9), 0, 1)
    # The dark end of the colours is left out: it would look like shadow.
    scale = (64 + 191 * heat).astype(np.uint8)
    colours = cv2.cvtColor(cv2.applyColorMap(scale, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    grey = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    weight = np.float32(strength) * np.stack([heat] * 3, axis=-1)
    return cv2.convertScaleAbs(grey * (1 - weight) + colours * weight)


def outline(picture: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    """A copy of a picture, uint8 (H, W, 3) RGB, with a white frame around the box, dark at its edges."""
    left, top, right, bottom = box
    copy = np.ascontiguousarray(picture.copy())
    for colour, thickness in (((30, 30, 30), 5), ((255, 255, 255), 2)):
        cv2.rectangle(copy, (left, top), (right - 1, bottom - 1), colour, thickness)
    return copy
