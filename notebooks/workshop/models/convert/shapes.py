"""ONNX's operators that move numbers without changing them."""

import mxnet as mx
import numpy as np

from workshop.models.convert.operators import At, operator


@operator("Identity", "Dropout")
def identity(at: At) -> mx.sym.Symbol:
    return at.symbol()


@operator("Cast")
def cast(at: At) -> mx.sym.Symbol:
    if at.attribute("to") != 1:
        raise at.refuse("it leaves float32", "Export the network in float32.")
    return at.symbol()


@operator("Flatten")
def flatten(at: At) -> mx.sym.Symbol:
    if at.attribute("axis", 1) % max(1, len(at.shape())) != 1:
        return at.like_output(at.symbol())
    return mx.sym.Flatten(at.symbol(), name=at.name)


@operator("Reshape", "Squeeze", "Unsqueeze")
def reshape(at: At) -> mx.sym.Symbol:
    return at.like_output(at.symbol())


@operator("Transpose")
def transpose(at: At) -> mx.sym.Symbol:
    """Two that undo each other, as a network of colours last begins with, are left out."""
    rank = len(at.shape())
    axes = tuple(int(axis) for axis in at.attribute("perm", range(rank)[::-1]))
    if axes[0] != 0:
        raise at.refuse(f"it moves the batch ({axes})")
    source = at.node.inputs[0]
    if source == at.graph.input and axes == (0, 3, 1, 2):
        return at.walk.colours_first
    if source in at.walk.transposed:
        before, first = at.walk.transposed[source]
        if tuple(first[axis] for axis in axes) == tuple(range(rank)):
            return at.walk.symbols[before]
    at.walk.transposed[at.node.outputs[0]] = (source, axes)
    return mx.sym.transpose(at.symbol(), axes=axes, name=at.name)


@operator("Concat")
def concat(at: At) -> mx.sym.Symbol:
    axis = int(at.attribute("axis")) % len(at.out_shape)
    if axis == 0 or any(at.is_constant(index) for index in range(len(at))):
        raise at.refuse("it joins images, or an image's numbers with constants")
    return mx.sym.concat(*(at.symbol(index) for index in range(len(at))), dim=axis, name=at.name)


def _part(at: At, axis: int, start: int, stop: int, name: str) -> mx.sym.Symbol:
    return mx.sym.slice_axis(at.symbol(), axis=axis, begin=start, end=stop, name=name)


@operator("Split")
def split(at: At) -> list[mx.sym.Symbol]:
    axis = int(at.attribute("axis", 0)) % len(at.shape())
    if axis == 0:
        raise at.refuse("it takes images of a batch apart")
    parts, start = [], 0
    for index, output in enumerate(at.node.outputs):
        stop = start + at.graph.shape(output)[axis]
        parts.append(_part(at, axis, start, stop, at.network.name(f"{at.name}_{index}")))
        start = stop
    return parts


@operator("Slice")
def slice_(at: At) -> mx.sym.Symbol:
    rank, shape = len(at.shape()), at.shape()
    starts, ends, axes, steps = (
        at.integers(name, index) for name, index in (("starts", 1), ("ends", 2), ("axes", 3), ("steps", 4))
    )
    symbol = at.symbol()
    for number, (start, end) in enumerate(zip(starts or [], ends or [], strict=True)):
        axis = (axes[number] if axes else number) % rank
        step = steps[number] if steps else 1
        first, last, _ = slice(start, end, step).indices(shape[axis])
        if step == 1 and (first, last) == (0, shape[axis]):
            continue
        if axis == 0 or step < 0:
            raise at.refuse(f"it takes every {step}th of axis {axis}")
        begin: list[int | None] = [None] * rank
        stop, stride = list(begin), list(begin)
        begin[axis], stop[axis], stride[axis] = first, last, step
        name = at.network.name(f"{at.name}_{axis}")
        symbol = mx.sym.slice(symbol, begin=tuple(begin), end=tuple(stop), step=tuple(stride), name=name)
    return symbol


@operator("Gather")
def gather(at: At) -> mx.sym.Symbol:
    """Of constant places: one place, which drops the axis, or some, as a channel shuffle may be written."""
    axis, places = int(at.attribute("axis", 0)) % len(at.shape()), np.asarray(at.constant(1))
    if axis == 0 or places.ndim > 1:
        raise at.refuse(f"it picks places of the shape {places.shape} along axis {axis}")
    places = places % at.shape()[axis]
    if places.ndim == 0:
        part = _part(at, axis, int(places), int(places) + 1, at.network.name(f"{at.name}_part"))
        return at.like_output(part)
    return mx.sym.take(at.symbol(), at.weight("places", places), axis=axis, name=at.name)


@operator("DepthToSpace", "SpaceToDepth")
def blocks(at: At) -> mx.sym.Symbol:
    if at.attribute("mode", "DCR") != "DCR":
        raise at.refuse("its mode is not DCR")
    kind = mx.sym.depth_to_space if at.node.op == "DepthToSpace" else mx.sym.space_to_depth
    return kind(at.symbol(), block_size=int(at.attribute("blocksize")), name=at.name)
