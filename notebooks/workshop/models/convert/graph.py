"""An ONNX classifier as a list of nodes whose every shape is known, with what is constant worked out beforehand.

ONNX Runtime runs the network once, on one picture, with every tensor between the layers among the outputs. That gives
all shapes, the value of whatever does not depend on the picture (an exporter's arithmetic on shapes), and later the
numbers that the converted layers are held to.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from workshop.models.convert.errors import ConversionError

OPSETS = range(7, 21)
MAKES_CONSTANTS = ("Shape", "Size", "Constant")  # whatever they read: at this point every shape is fixed
_FREE = (0, 1)  # a batch dimension that may become 1


@dataclass
class Node:
    """One operation: names of its inputs ('' where left out) and outputs, and its attributes as Python values."""

    op: str
    name: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.op} (node {self.name or self.outputs[0]!r})"


@dataclass
class Graph:
    """`nodes`: those that depend on the picture, in order. `constants`, `values`, `shapes`: by tensor name."""

    nodes: list[Node]
    constants: dict[str, np.ndarray]
    values: dict[str, np.ndarray]  # of the one picture of `picture`
    picture: np.ndarray
    input: str
    output: str
    opset: int
    model: onnx.ModelProto
    metadata: dict[str, str]
    readers: dict[str, list[Node]] = field(default_factory=dict)

    def shape(self, name: str) -> tuple[int, ...]:
        return (self.constants[name] if name in self.constants else self.values[name]).shape


def load(path: Path) -> onnx.ModelProto:
    """An ONNX file. Raises ConversionError for what is none, or of an opset that is not in `OPSETS`."""
    try:
        model = onnx.load(str(path))
    except Exception as error:  # protobuf's, or of weights in a file beside it
        raise ConversionError(f"{Path(path).name} does not load as ONNX: {str(error).splitlines()[0]}") from error
    if not model.graph.node:
        raise ConversionError(f"{Path(path).name} holds no network in ONNX's form. Check the file.")
    return model


def opset_of(model: onnx.ModelProto) -> int:
    """The version of ONNX's operators. Raises ConversionError for one not in `OPSETS`, and for others' operators."""
    versions = {entry.domain or "ai.onnx": entry.version for entry in model.opset_import}
    strange = Counter(node.domain for node in model.graph.node if node.domain not in ("", "ai.onnx"))
    if strange:
        raise ConversionError(
            f"operators of {', '.join(strange)} are not ONNX's own: expected the network as its framework exports it, "
            "before any tool optimised it for one runtime."
        )
    version = versions.get("ai.onnx", 0)
    if version not in OPSETS:
        raise ConversionError(
            f"opset {version}: expected {OPSETS[0]} to {OPSETS[-1]}. Export with opset_version=17, or convert the file "
            "with onnx.version_converter."
        )
    return version


def image_input(model: onnx.ModelProto) -> tuple[str, list[int]]:
    """The name of the network's one input, and its shape with 0 for what is not fixed.

    Raises ConversionError unless it is one float32 tensor of four dimensions, three of them a picture's.
    """
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [entry for entry in model.graph.input if entry.name not in weights]
    if len(inputs) != 1:
        raise ConversionError(f"{len(inputs)} inputs ({', '.join(i.name for i in inputs)}): expected one, an image.")
    tensor = inputs[0].type.tensor_type
    shape = [side.dim_value for side in tensor.shape.dim]
    if tensor.elem_type != onnx.TensorProto.FLOAT:
        kind = onnx.TensorProto.DataType.Name(tensor.elem_type)
        raise ConversionError(f"the input {inputs[0].name} is {kind}: expected FLOAT. Export the network in float32.")
    if len(shape) != 4 or 3 not in (shape[1], shape[3]):
        raise ConversionError(
            f"the input {inputs[0].name} has the shape {shape} (0: not fixed): expected (1, 3, height, width) or "
            "(1, height, width, 3). Export the network with an example of that shape."
        )
    return inputs[0].name, shape


def is_channels_last(shape: list[int]) -> bool:
    """Whether an input has its colours last, `shape` as `image_input` gives it."""
    return shape[3] == 3 and shape[1] != 3


def fixed_size(shape: list[int]) -> int:
    """Height and width of an input where its shape fixes them, else 0. Raises ConversionError where they differ."""
    height, width = shape[1:3] if is_channels_last(shape) else shape[2:4]
    if height != width:
        raise ConversionError(f"the input is {height} × {width}: expected a square.")
    return height


def fix_shape(model: onnx.ModelProto, size: int) -> onnx.ModelProto:
    """The same network for one picture of `size` × `size`, and with no other claims about shapes."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    name, shape = image_input(model)
    shape = [1, size, size, 3] if is_channels_last(shape) else [1, 3, size, size]
    (entry,) = (entry for entry in fixed.graph.input if entry.name == name)
    entry.CopyFrom(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape))
    del fixed.graph.value_info[:]
    for output in fixed.graph.output:
        output.type.tensor_type.ClearField("shape")
    return fixed


def session(model: onnx.ModelProto, *, plain: bool = False) -> onnxruntime.InferenceSession:
    """The network in ONNX Runtime; `plain`: node by node, as written. Raises ConversionError."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    if plain:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no common base
        raise ConversionError(f"ONNX Runtime does not take this network: {_line(error)}") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {entry.name: onnx.helper.get_attribute_value(entry) for entry in node.attribute}


def _parsed(model: onnx.ModelProto) -> Iterator[Node]:
    for node in model.graph.node:
        yield Node(node.op_type, node.name, list(node.input), list(node.output), _attributes(node))


def analyse(model: onnx.ModelProto, picture: np.ndarray) -> Graph:
    """Run `model`, of fixed shape, on `picture` (as it takes it, batch of 1), and sort its nodes.

    Raises ConversionError where ONNX Runtime cannot, or the output has not one row of numbers per picture.
    """
    opset, nodes, (input_name, _) = opset_of(model), list(_parsed(model)), image_input(model)
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    if len(model.graph.output) != 1:
        names = ", ".join(output.name for output in model.graph.output)
        raise ConversionError(
            f"outputs {names}: expected one, a number per class. Export the network without the others."
        )
    open_model = onnx.ModelProto()
    open_model.CopyFrom(model)
    between = [name for node in nodes for name in node.outputs if name and name != model.graph.output[0].name]
    open_model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in between)
    running = session(open_model, plain=True)
    try:
        found = running.run(None, {input_name: picture})
    except Exception as error:
        raise ConversionError(
            f"ONNX Runtime cannot run this network on one image of {picture.shape}: {_line(error)} Where its "
            "graph is made for a larger batch, export it with a batch of 1 or a symbolic one."
        ) from error
    values = dict(zip((output.name for output in running.get_outputs()), found, strict=True)) | {input_name: picture}
    live = []
    for node in nodes:
        known = all(name in constants for name in node.inputs if name)
        if node.op in MAKES_CONSTANTS or (known and not node.op.startswith(("Random", "Multinomial"))):
            constants |= {name: values[name] for name in node.outputs if name}
        else:
            live.append(node)
    graph = Graph(
        live, constants, values, picture, input_name, model.graph.output[0].name, opset, model,
        {entry.key: entry.value for entry in model.metadata_props},
    )  # fmt: skip
    needed, kept = {graph.output}, []
    for node in reversed(live):
        if needed & set(node.outputs):
            needed |= set(node.inputs)
            kept.append(node)
    graph.nodes = kept[::-1]
    for node in graph.nodes:
        for name in node.inputs:
            graph.readers.setdefault(name, []).append(node)
    if graph.output in constants or input_name not in graph.readers:
        raise ConversionError("the output does not depend on the image: this is no classifier of images.")
    rows = graph.shape(graph.output)
    if max(rows, default=0) != int(np.prod(rows)) or (len(rows) > 1 and rows[0] != 1):
        raise ConversionError(f"the output {graph.output} has the shape {rows}: expected (1, classes).")
    return graph
