"""ONNX's operators that compute: convolution, pooling, normalisation, activation, arithmetic."""

from typing import Any

import mxnet as mx
import numpy as np

from workshop.models.convert.operators import ATTENTION, At, operator

_EXPORT_2D = "The converter is for classifiers of images: two dimensions in space."


def _pads(at: At, kernel: list[int], strides: list[int], dilations: list[int], added: list[int]) -> list[int]:
    """Rows and columns to add: top, left, bottom, right. `added`: by a Pad before. ONNX's `auto_pad` is worked out."""
    auto = at.attribute("auto_pad", "NOTSET")
    if auto in ("NOTSET", ""):
        pads = [int(pad) for pad in at.attribute("pads", [0, 0, 0, 0])]
    elif auto == "VALID":
        pads = [0, 0, 0, 0]
    else:
        pads = [0, 0, 0, 0]
        for axis, side in enumerate(at.shape()[2:]):
            reach = (kernel[axis] - 1) * dilations[axis] + 1
            total = max(0, (-(-side // strides[axis]) - 1) * strides[axis] + reach - side)
            before, after = total // 2, total - total // 2
            pads[axis], pads[axis + 2] = (before, after) if auto == "SAME_UPPER" else (after, before)
    return [pad + more for pad, more in zip(pads, added, strict=True)]


@operator("Conv")
def convolution(at: At) -> mx.sym.Symbol:
    """MXNet pads both ends alike. Where ONNX does not, rows and columns of zeros before or behind the kernel's make up
    for it: exact, and it still fuses with what follows.
    """
    weight, bias = at.constant(1), at.constant(2)
    if weight.ndim != 4:
        raise at.refuse(f"its kernel has {weight.ndim - 2} dimensions", _EXPORT_2D)
    symbol, added = at.unpadded()
    kernel = list(weight.shape[2:])
    strides, dilations = list(at.attribute("strides", [1, 1])), list(at.attribute("dilations", [1, 1]))
    pads = _pads(at, kernel, strides, dilations, added)
    widened, pad = [(0, 0), (0, 0)], [0, 0]
    for axis in (0, 1):
        before, after = pads[axis], pads[axis + 2]
        rows, left = divmod(abs(after - before), dilations[axis])
        if left or min(before, after) < 0:
            raise at.refuse(f"it pads {before} before and {after} behind, with a dilation of {dilations[axis]}")
        widened.append((rows, 0) if after > before else (0, rows))
        pad[axis] = max(before, after)
    weight = np.pad(weight, widened)
    arguments = [symbol, at.weight("weight", weight)] + ([] if bias is None else [at.weight("bias", bias)])
    return mx.sym.Convolution(
        *arguments, name=at.name, kernel=weight.shape[2:], stride=strides, dilate=dilations, pad=pad,
        num_filter=weight.shape[0], num_group=int(at.attribute("group", 1)), no_bias=bias is None,
    )  # fmt: skip


@operator("MaxPool", "AveragePool")
def pooling(at: At) -> mx.sym.Symbol:
    kernel = [int(side) for side in at.attribute("kernel_shape")]
    if len(kernel) != 2:
        raise at.refuse(f"its kernel has {len(kernel)} dimensions", _EXPORT_2D)
    kind = "max" if at.node.op == "MaxPool" else "avg"
    strides = [int(stride) for stride in at.attribute("strides", [1, 1])]
    if any(dilation != 1 for dilation in at.attribute("dilations", [1, 1])):
        raise at.refuse("it is dilated")
    pads = _pads(at, kernel, strides, [1, 1], [0, 0, 0, 0])
    counts_pads = bool(at.attribute("count_include_pad", 0))
    symbol, sides = at.symbol(), at.shape()[2:]
    if kind == "avg" and tuple(kernel) == tuple(sides) and not any(pads):
        return _global(at, "avg")
    is_rounded_up = bool(at.attribute("ceil_mode", 0))
    if pads[:2] != pads[2:] and not (kind == "max" and _reaches_by_rounding(at, kernel, strides, pads)):
        if kind == "avg" and not counts_pads:
            raise at.refuse(f"it averages with unlike pads {pads} and does not count them")
        value = -3e38 if kind == "max" else 0.0
        symbol = _padded(symbol, at.network.name(f"{at.name}_pad"), pads, "constant", value)
        pads = [0, 0, 0, 0]
    elif pads[:2] != pads[2:]:
        is_rounded_up = True
    return mx.sym.Pooling(
        symbol, name=at.name, kernel=kernel, stride=strides, pad=pads[:2], pool_type=kind,
        pooling_convention="full" if is_rounded_up else "valid", count_include_pad=counts_pads,
    )  # fmt: skip


def _reaches_by_rounding(at: At, kernel: list[int], strides: list[int], pads: list[int]) -> bool:
    """Whether windows that may stand over the lower and right edge give the output of these unlike pads."""
    reached = [
        -(-(side + 2 * pad - size) // stride) + 1
        for side, pad, size, stride in zip(at.shape()[2:], pads[:2], kernel, strides, strict=True)
    ]
    return tuple(reached) == at.out_shape[2:] and pads[0] <= pads[2] and pads[1] <= pads[3]


def _padded(symbol: mx.sym.Symbol, name: str, pads: list[int], mode: str, value: float) -> mx.sym.Symbol:
    top, left, bottom, right = pads
    return mx.sym.Pad(
        symbol, name=name, mode=mode, pad_width=(0, 0, 0, 0, top, bottom, left, right), constant_value=value
    )


@operator("Pad")
def padding(at: At) -> mx.sym.Symbol:
    """Zeros before convolutions become the convolutions' own padding; any other is MXNet's Pad."""
    pads, mode, axes = at.integers("pads", 1) or [], at.attribute("mode", "constant"), at.constant(3)
    value = float(np.asarray(at.constant(2, at.attribute("value", 0.0))).reshape(-1)[0])
    rank = len(at.shape())
    listed = list(range(rank)) if axes is None else [int(axis) % rank for axis in axes]
    begin, end = dict(zip(listed, pads, strict=False)), dict(zip(listed, pads[len(listed) :], strict=True))
    if not any(pads):
        return at.symbol()
    outside = [begin.get(axis, 0) or end.get(axis, 0) for axis in range(rank) if axis not in (2, 3)]
    spatial = [begin.get(2, 0), begin.get(3, 0), end.get(2, 0), end.get(3, 0)]
    if rank != 4 or any(outside) or min(spatial) < 0 or mode not in ("constant", "edge", "reflect"):
        raise at.refuse(f"pads {pads} of mode {mode} on the shape {at.shape()}")
    readers = at.graph.readers.get(at.node.outputs[0], [])
    if mode == "constant" and value == 0 and readers and all(node.op == "Conv" for node in readers):
        at.walk.padded[at.node.outputs[0]] = (at.node.inputs[0], spatial)
    return _padded(at.symbol(), at.name, spatial, mode, value)


def _global(at: At, kind: str) -> mx.sym.Symbol:
    return mx.sym.Pooling(at.symbol(), name=at.name, kernel=(1, 1), global_pool=True, pool_type=kind)


@operator("GlobalAveragePool")
def global_average(at: At) -> mx.sym.Symbol:
    return _global(at, "avg")


@operator("GlobalMaxPool")
def global_maximum(at: At) -> mx.sym.Symbol:
    return _global(at, "max")


@operator("ReduceMean", "ReduceMax", "ReduceSum")
def reduction(at: At) -> mx.sym.Symbol:
    rank, axes = len(at.shape()), at.integers("axes", 1)
    axes = sorted(axis % rank for axis in (axes if axes is not None else range(rank)))
    keeps = bool(at.attribute("keepdims", 1))
    if 0 in axes:
        raise at.refuse("it reduces over the batch")
    if rank == 4 and axes == [2, 3] and at.node.op != "ReduceSum":
        pooled = _global(at, "avg" if at.node.op == "ReduceMean" else "max")
        return pooled if keeps else mx.sym.Flatten(pooled, name=at.network.name(f"{at.name}_flat"))
    kind = {"ReduceMean": mx.sym.mean, "ReduceMax": mx.sym.max, "ReduceSum": mx.sym.sum}[at.node.op]
    return kind(at.symbol(), axis=tuple(axes), keepdims=keeps, name=at.name)


@operator("BatchNormalization")
def batch_normalisation(at: At) -> mx.sym.Symbol:
    gamma, beta, mean, variance = (at.constant(index) for index in range(1, 5))
    if at.attribute("training_mode", 0):
        raise at.refuse("it is in training mode", "Export the network in evaluation mode: model.eval().")
    # MXNet forces gamma to 1 with fix_gamma, which Gluon's normalisations without scale have.
    return at.network.batch_norm(
        at.symbol(), at.name, None if (gamma == 1).all() else gamma, beta, mean, variance,
        float(at.attribute("epsilon", 1e-5)),
    )  # fmt: skip


@operator("LayerNormalization")
def layer_normalisation(at: At) -> mx.sym.Symbol:
    rank = len(at.shape())
    if int(at.attribute("axis", -1)) % rank != rank - 1:
        raise at.refuse("it normalises over more than the last axis")
    gamma = at.constant(1)
    beta = at.constant(2, np.zeros_like(gamma))
    return mx.sym.LayerNorm(
        at.symbol(), at.weight("gamma", gamma), at.weight("beta", beta), name=at.name, axis=-1,
        eps=float(at.attribute("epsilon", 1e-5)),
    )  # fmt: skip


@operator("LRN")
def local_response(at: At) -> mx.sym.Symbol:
    return mx.sym.LRN(
        at.symbol(), name=at.name, nsize=int(at.attribute("size")), alpha=float(at.attribute("alpha", 1e-4)),
        beta=float(at.attribute("beta", 0.75)), knorm=float(at.attribute("bias", 1.0)),
    )  # fmt: skip


@operator("Gemm")
def dense(at: At) -> mx.sym.Symbol:
    if at.attribute("transA", 0) or at.is_constant(0) or len(at.shape()) != 2:
        raise at.refuse("its first input is not one row per image")
    weight = at.constant(1) if at.attribute("transB", 0) else at.constant(1).T
    bias = at.constant(2)
    weight = weight * at.attribute("alpha", 1.0)
    arguments = [at.symbol(), at.weight("weight", weight)]
    if bias is not None:
        bias = np.broadcast_to(np.asarray(bias).reshape(-1), (weight.shape[0],)) * at.attribute("beta", 1.0)
        arguments.append(at.weight("bias", bias))
    return mx.sym.FullyConnected(*arguments, name=at.name, num_hidden=weight.shape[0], no_bias=bias is None)


@operator("MatMul")
def product(at: At) -> mx.sym.Symbol:
    if at.is_constant(0) or not at.is_constant(1):
        raise at.refuse(*ATTENTION)
    weight = at.constant(1)
    if weight.ndim != 2:
        raise at.refuse(f"it multiplies by a constant of {weight.ndim} dimensions")
    return mx.sym.FullyConnected(
        at.symbol(), at.weight("weight", weight.T), name=at.name, num_hidden=weight.shape[1], no_bias=True,
        flatten=len(at.shape()) == 2,
    )  # fmt: skip


_SIMPLE: dict[str, Any] = {
    "Relu": lambda x, name: mx.sym.Activation(x, act_type="relu", name=name),
    "Sigmoid": lambda x, name: mx.sym.Activation(x, act_type="sigmoid", name=name),
    "Tanh": lambda x, name: mx.sym.Activation(x, act_type="tanh", name=name),
    "Softplus": lambda x, name: mx.sym.Activation(x, act_type="softrelu", name=name),
    "Softsign": lambda x, name: mx.sym.Activation(x, act_type="softsign", name=name),
    "Selu": lambda x, name: mx.sym.LeakyReLU(x, act_type="selu", name=name),
    "Erf": lambda x, name: mx.sym.erf(x, name=name),
    "Exp": lambda x, name: mx.sym.exp(x, name=name),
    "Log": lambda x, name: mx.sym.log(x, name=name),
    "Sqrt": lambda x, name: mx.sym.sqrt(x, name=name),
    "Abs": lambda x, name: mx.sym.abs(x, name=name),
    "Neg": lambda x, name: mx.sym.negative(x, name=name),
    "Reciprocal": lambda x, name: mx.sym.reciprocal(x, name=name),
}


@operator(*_SIMPLE)
def simple(at: At) -> mx.sym.Symbol:
    return _SIMPLE[at.node.op](at.symbol(), at.name)


@operator("LeakyRelu", "Elu", "ThresholdedRelu")
def leaky(at: At) -> mx.sym.Symbol:
    if at.node.op == "ThresholdedRelu":
        limit = float(at.attribute("alpha", 1.0))
        return mx.sym.elemwise_mul(at.symbol(), mx.sym.cast(at.symbol() > limit, dtype="float32"), name=at.name)
    default = 0.01 if at.node.op == "LeakyRelu" else 1.0
    kind = "leaky" if at.node.op == "LeakyRelu" else "elu"
    return mx.sym.LeakyReLU(at.symbol(), act_type=kind, slope=float(at.attribute("alpha", default)), name=at.name)


@operator("PRelu")
def learnt_leak(at: At) -> mx.sym.Symbol:
    slope = np.asarray(at.constant(1)).reshape(-1)
    if slope.size not in (1, at.shape()[1]):
        raise at.refuse(f"it has {slope.size} slopes for {at.shape()[1]} channels")
    return mx.sym.LeakyReLU(at.symbol(), at.weight("gamma", slope), act_type="prelu", name=at.name)


@operator("Gelu")
def gelu(at: At) -> mx.sym.Symbol:
    if at.attribute("approximate", "none") != "none":
        raise at.refuse("its approximation by tanh is not known", "Export it with approximate='none'.")
    return mx.sym.LeakyReLU(at.symbol(), act_type="gelu", name=at.name)


@operator("HardSigmoid")
def hard_sigmoid(at: At) -> mx.sym.Symbol:
    alpha, beta = float(at.attribute("alpha", 0.2)), float(at.attribute("beta", 0.5))
    return mx.sym.hard_sigmoid(at.symbol(), alpha=alpha, beta=beta, name=at.name)


@operator("HardSwish")
def hard_swish(at: At) -> mx.sym.Symbol:
    gate = mx.sym.hard_sigmoid(at.symbol(), alpha=1 / 6, beta=0.5, name=at.network.name(f"{at.name}_gate"))
    return mx.sym.elemwise_mul(at.symbol(), gate, name=at.name)


@operator("Clip")
def clip(at: At) -> mx.sym.Symbol:
    low, high = (at.attribute(name, at.constant(index)) for name, index in (("min", 1), ("max", 2)))
    low = -3.4028235e38 if low is None else float(np.asarray(low).reshape(-1)[0])
    high = 3.4028235e38 if high is None else float(np.asarray(high).reshape(-1)[0])
    if low == 0 and high > 3e38:
        return mx.sym.Activation(at.symbol(), act_type="relu", name=at.name)
    return mx.sym.clip(at.symbol(), a_min=low, a_max=high, name=at.name)


@operator("Softmax")
def softmax(at: At) -> mx.sym.Symbol:
    """In the middle of a network; the one at the end is Importer's. Before opset 13 it ran over all axes from one."""
    rank = len(at.shape())
    axis = int(at.attribute("axis", 1 if at.opset < 13 else -1)) % rank
    if at.opset < 13 and int(np.prod(at.shape()[axis + 1 :])) != 1:
        raise at.refuse(
            f"it runs over several axes of the shape {at.shape()}", "Export the network with opset 13 or later."
        )
    return mx.sym.softmax(at.symbol(), axis=axis, name=at.name)


@operator("LogSoftmax")
def log_softmax(at: At) -> mx.sym.Symbol:
    return mx.sym.log(softmax(at), name=at.network.name(f"{at.name}_log"))


_ARITHMETIC: dict[str, tuple[Any, Any]] = {  # of two alike, and of two that are stretched to fit
    "Add": (mx.sym.elemwise_add, mx.sym.broadcast_add),
    "Sum": (mx.sym.elemwise_add, mx.sym.broadcast_add),
    "Sub": (mx.sym.elemwise_sub, mx.sym.broadcast_sub),
    "Mul": (mx.sym.elemwise_mul, mx.sym.broadcast_mul),
    "Div": (mx.sym.elemwise_div, mx.sym.broadcast_div),
    "Max": (mx.sym.broadcast_maximum, mx.sym.broadcast_maximum),
    "Min": (mx.sym.broadcast_minimum, mx.sym.broadcast_minimum),
    "Pow": (mx.sym.broadcast_power, mx.sym.broadcast_power),
}
_SCALAR = {
    "Add": lambda a, b: a + b, "Sum": lambda a, b: a + b, "Sub": lambda a, b: a - b, "Mul": lambda a, b: a * b,
    "Div": lambda a, b: a / b, "Pow": lambda a, b: a**b, "Max": mx.sym.maximum, "Min": mx.sym.minimum,
}  # fmt: skip


@operator(*_ARITHMETIC)
def arithmetic(at: At) -> mx.sym.Symbol:
    result: Any = None
    shape: tuple[int, ...] = ()
    for index in range(len(at)):
        operand: Any = at.graph.constants.get(at.node.inputs[index])
        its_shape = at.shape(index)
        is_number = operand is not None and operand.size == 1
        if is_number:
            operand = float(operand.reshape(-1)[0])
        elif operand is not None:
            its_shape = (1,) * (len(at.out_shape) - operand.ndim) + operand.shape
            operand = at.weight(f"constant{index}", operand.reshape(its_shape))
        else:
            operand = at.symbol(index)
        if result is None:
            result, shape, scalars = operand, its_shape, is_number
            continue
        alike, stretched = _ARITHMETIC[at.node.op]
        if is_number or scalars:
            result = _SCALAR[at.node.op](result, operand)
            shape, scalars = (shape if is_number else its_shape), False
            continue
        if len(shape) != len(its_shape):
            raise at.refuse(f"it joins the shapes {shape} and {its_shape}")
        is_alike = shape == its_shape and not any(at.is_constant(i) for i in range(index + 1))
        last = {"name": at.name} if index == len(at) - 1 else {}
        result = (alike if is_alike else stretched)(result, operand, **last)
        shape = tuple(map(max, shape, its_shape))
    return result
