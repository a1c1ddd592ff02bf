"""The practice model in other formats, with the same weights: ONNX (float32, and int8 by ONNX Runtime's own tool).

Run by `make bench` before anything is timed:  python -m peers.convert <model folder> <output folder> [training images]
"""

import logging
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from .graph import Node, read_nodes, read_parameters

OPSET, IR_VERSION = 17, 8


def to_onnx(folder: Path) -> onnx.ModelProto:
    """The network of `folder` as an ONNX model: input `data` float32 (1, 3, 224, 224), output `probabilities`."""
    nodes, parameters = read_nodes(folder / "model-symbol.json"), read_parameters(folder / "model-0000.params")
    for node in nodes:
        if node.op == "BatchNorm" and node.attributes.get("fix_gamma", True):
            parameters[node.inputs[1]] = np.ones_like(parameters[node.inputs[1]])
    made = [_node(node) for node in nodes]
    made[-1].output[0] = "probabilities"
    used = {name for node in made for name in node.input}
    return helper.make_model(
        helper.make_graph(
            made,
            "resnet-18",
            [helper.make_tensor_value_info("data", TensorProto.FLOAT, [1, 3, 224, 224])],
            [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [1, None])],
            [numpy_helper.from_array(value, name) for name, value in parameters.items() if name in used],
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )


def _node(node: Node) -> onnx.NodeProto:
    a, made = node.attributes, lambda op, inputs, **rest: helper.make_node(op, inputs, [node.name], node.name, **rest)
    match node.op:
        case "Convolution":
            pads, strides = [*a["pad"], *a["pad"]], a.get("stride", (1, 1))
            return made("Conv", node.inputs, kernel_shape=a["kernel"], pads=pads, strides=strides)
        case "BatchNorm":
            return made("BatchNormalization", node.inputs, epsilon=float(a.get("eps", 1e-3)))
        case "Activation":
            return made({"relu": "Relu"}[a["act_type"]], node.inputs)
        case "elemwise_add":
            return made("Add", node.inputs)
        case "Pooling" if a.get("global_pool"):
            return made({"avg": "GlobalAveragePool"}[a["pool_type"]], node.inputs)
        case "Pooling":
            pads = [*a["pad"], *a["pad"]]
            return made({"max": "MaxPool"}[a["pool_type"]], node.inputs, kernel_shape=a["kernel"], pads=pads,
                        strides=a["stride"])  # fmt: skip
        case "Flatten":
            return made("Flatten", node.inputs)
        case "FullyConnected":
            return made("Gemm", node.inputs, transB=1)
        case "SoftmaxOutput":
            return made("Softmax", node.inputs[:1], axis=1)
    raise ValueError(f"the operator {node.op} of {node.name} is not converted")


def quantize(float32: Path, int8: Path, images: np.ndarray) -> None:
    """ONNX Runtime's static quantisation, as its documentation advises for x86-64: QDQ, int8, weights per channel.

    `images`: uint8 (N, 3, 224, 224), training pictures to calibrate on; with entropy, the best of its methods here.
    https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
    """
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(quantization.CalibrationDataReader):
        def __init__(self):
            self.images = iter(images)

        def get_next(self):
            image = next(self.images, None)
            return None if image is None else {"data": image[None].astype(np.float32)}

    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(float32, prepared, skip_symbolic_shape=True)
        quantization.quantize_static(
            prepared,
            int8,
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
            calibrate_method=quantization.CalibrationMethod.Entropy,
        )


def main(model: str, output: str, calibration: str = "") -> None:
    logging.disable(logging.WARNING)
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(to_onnx(Path(model)), folder / "resnet-18.onnx")
    if calibration:
        quantize(folder / "resnet-18.onnx", folder / "resnet-18-int8.onnx", np.load(calibration))


if __name__ == "__main__":
    main(*sys.argv[1:])
