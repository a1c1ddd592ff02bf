"""ONNX's operators in MXNet, each layer held to ONNX Runtime's numbers; and what is refused, in which words."""

import mxnet as mx
import numpy as np
import onnx
import pytest
from onnx.helper import make_node as op

from tests.cases.networks import CLASSES, SIZE, classifier, gluon_resnet18, model, random, tiny
from workshop.models.convert import ConversionError, Preprocessing, graph, layers, operators, proof
from workshop.models.convert.importer import Importer

WANTED = Preprocessing(SIZE, (120.0, 110.0, 100.0), (60.0, 58.0, 57.0), fit="squash")


def imported(network: onnx.ModelProto, wanted: Preprocessing = WANTED) -> Importer:
    fixed = graph.fix_shape(network, wanted.size)
    is_last = graph.is_channels_last(graph.image_input(network)[1])
    return Importer(graph.analyse(fixed, proof.analysed_picture(wanted, is_last)), wanted)


def compared(network: onnx.ModelProto, wanted: Preprocessing = WANTED) -> Importer:
    """Import it, and hold every layer to ONNX Runtime."""
    made = imported(network, wanted)
    count, _ = proof.compare_layers(made, proof.pictures(wanted.size)[0])
    assert count >= len(made.graph.nodes) - 1
    return made


def operations(made: Importer) -> list[str]:
    import json

    return [node["op"] for node in json.loads(made.logits.tojson())["nodes"] if node["op"] != "null"]


def conv(side: int = 3, **attributes) -> tuple:
    return [op("Conv", ["data", "w"], ["y"], name="conv", **attributes)], {"w": random(4, 3, side, side)}, 4


def after_conv(*nodes, channels: int = 4, **weights) -> tuple:
    """Nodes from `c`, of (1, 4, 16, 16), to `y`."""
    first = op("Conv", ["data", "w"], ["c"], name="conv", strides=[2, 2], pads=[1] * 4)
    return [first, *nodes], {"w": random(4, 3, 3, 3)} | weights, channels


def constant(*numbers, kind=np.int64) -> np.ndarray:
    return np.array(numbers, kind)


def scalar(number: float) -> np.ndarray:
    return np.array(number, np.float32)


_SHUFFLE = [
    op("Reshape", ["c", "apart"], ["r"]), op("Transpose", ["r"], ["t"], perm=[0, 2, 1, 3, 4]),
    op("Reshape", ["t", "together"], ["y"]),
]  # fmt: skip
_SQUEEZE_EXCITE = [
    op("GlobalAveragePool", ["c"], ["p"]), op("Conv", ["p", "se"], ["q"]), op("Sigmoid", ["q"], ["g"]),
    op("Mul", ["c", "g"], ["y"]),
]  # fmt: skip
CASES = {
    "same padding, stride 2": (conv(auto_pad="SAME_UPPER", strides=[2, 2]), 13),
    "same padding, more before": (conv(auto_pad="SAME_LOWER", strides=[2, 2]), 13),
    "same padding, 5 × 5": (conv(5, auto_pad="SAME_UPPER", strides=[2, 2]), 7),
    "valid padding": (conv(auto_pad="VALID"), 13),
    "unlike pads": (conv(pads=[0, 2, 1, 0]), 13),
    "unlike pads, dilated": (conv(pads=[1, 1, 3, 3], dilations=[2, 2]), 13),
    "groups": (
        after_conv(op("Conv", ["c", "d"], ["y"], group=4, pads=[1] * 4), d=random(4, 1, 3, 3)), 13,
    ),
    "Pad before a convolution, opset 7": (
        after_conv(op("Pad", ["c"], ["p"], pads=[0, 0, 0, 0, 0, 0, 1, 1]), op("Conv", ["p", "d"], ["y"]),
                   d=random(4, 4, 3, 3)), 7,
    ),
    "Pad before a convolution, opset 13": (
        after_conv(op("Pad", ["c", "pads"], ["p"]), op("Conv", ["p", "d"], ["y"], pads=[1, 0, 0, 1]),
                   d=random(4, 4, 3, 3), pads=constant(0, 0, 1, 0, 0, 0, 2, 1)), 13,
    ),
    "Pad of other values": (after_conv(op("Pad", ["c", "p", "v"], ["y"]), p=constant(0, 0, 1, 1, 0, 0, 2, 0),
                                       v=scalar(0.5)), 13),
    "Pad by reflection": (after_conv(op("Pad", ["c"], ["y"], mode="reflect", pads=[0, 0, 1, 1, 0, 0, 1, 1]), ), 7),
    "MaxPool rounded up": (after_conv(op("MaxPool", ["c"], ["y"], kernel_shape=[3, 3], strides=[2, 2],
                                                ceil_mode=1)), 13),
    "MaxPool, same padding": (after_conv(op("MaxPool", ["c"], ["y"], kernel_shape=[3, 3], strides=[2, 2],
                                                   auto_pad="SAME_UPPER")), 13),
    "MaxPool, more before": (after_conv(op("MaxPool", ["c"], ["y"], kernel_shape=[3, 3], strides=[2, 2],
                                                  pads=[1, 1, 0, 0])), 13),
    "AveragePool that counts pads": (after_conv(op("AveragePool", ["c"], ["y"], kernel_shape=[3, 3], pads=[1] * 4,
                                                          strides=[2, 2], count_include_pad=1)), 13),
    "AveragePool that does not": (after_conv(op("AveragePool", ["c"], ["y"], kernel_shape=[3, 3], pads=[1] * 4)), 7),
    "AveragePool over all": (after_conv(op("AveragePool", ["c"], ["y"], kernel_shape=[16, 16])), 7),
    "Clip, opset 7": (after_conv(op("Clip", ["c"], ["y"], min=0.0, max=1.0)), 7),
    "Clip, opset 13": (after_conv(op("Clip", ["c", "", "high"], ["y"]), high=scalar(0.3)), 13),
    "Clip, one end": (after_conv(op("Clip", ["c", "low"], ["y"]), low=scalar(0)), 13),
    "swish": (after_conv(op("Sigmoid", ["c"], ["s"]), op("Mul", ["c", "s"], ["y"])), 13),
    "hard swish": (after_conv(op("HardSwish", ["c"], ["y"])), 14),
    "hard sigmoid": (after_conv(op("HardSigmoid", ["c"], ["y"], alpha=0.1666667, beta=0.5)), 13),
    "leaky": (after_conv(op("LeakyRelu", ["c"], ["y"], alpha=0.2)), 13),
    "elu": (after_conv(op("Elu", ["c"], ["y"], alpha=0.7)), 13),
    "prelu": (after_conv(op("PRelu", ["c", "a"], ["y"]), a=random(4, 1, 1)), 13),
    "gelu": (after_conv(op("Gelu", ["c"], ["y"])), 20),
    "gelu by erf": (after_conv(op("Div", ["c", "r"], ["d"]), op("Erf", ["d"], ["e"]),
                               op("Add", ["e", "i"], ["f"]), op("Mul", ["c", "f"], ["y"]),
                               r=scalar(1.4142135), i=scalar(1)), 13),
    "number − tensor": (after_conv(op("Sub", ["one", "c"], ["y"]), one=scalar(1)), 13),
    "tensor / constant per channel": (after_conv(op("Div", ["c", "k"], ["y"]), k=random(4, 1, 1) + 2), 13),
    "sum of three": (after_conv(op("Relu", ["c"], ["r"]), op("Sum", ["c", "r", "c"], ["y"])), 13),
    "squeeze and excite": (after_conv(*_SQUEEZE_EXCITE, se=random(4, 4, 1, 1)), 13),
    "channel shuffle": (after_conv(*_SHUFFLE, apart=constant(1, 2, 2, 16, 16), together=constant(-1, 4, 16, 16)), 13),
    "Split, opset 11": (after_conv(op("Split", ["c"], ["a", "b"], axis=1, split=[1, 3]),
                                   op("Concat", ["b", "a"], ["y"], axis=1)), 11),
    "Split, opset 18": (after_conv(op("Split", ["c"], ["a", "b"], axis=1, num_outputs=2),
                                   op("Concat", ["b", "a"], ["y"], axis=1)), 18),
    "Slice, opset 7": (after_conv(op("Slice", ["c"], ["y"], axes=[1, 2], starts=[1, 0], ends=[4, 8]), channels=3), 7),
    "Slice, opset 13": (after_conv(op("Slice", ["c", "s", "e", "a", "t"], ["y"], ), s=constant(0), e=constant(99),
                                   a=constant(1), t=constant(2), channels=2), 13),
    "Gather of channels": (after_conv(op("Gather", ["c", "i"], ["y"], axis=1), i=constant(3, 1, 0), channels=3), 13),
    "LayerNormalization": (after_conv(op("Transpose", ["c"], ["t"], perm=[0, 2, 3, 1]),
                                      op("LayerNormalization", ["t", "g", "b"], ["n"]),
                                      op("Transpose", ["n"], ["y"], perm=[0, 3, 1, 2]), g=random(4) + 1,
                                      b=random(4)), 17),
    "LRN": (after_conv(op("LRN", ["c"], ["y"], size=3, alpha=0.1)), 13),
    "ReduceMean": (after_conv(op("ReduceMean", ["c"], ["y"], axes=[2, 3])), 13),
    "ReduceMean, opset 18": (after_conv(op("ReduceMean", ["c", "a"], ["y"]), a=constant(2, 3)), 18),
    "BatchNormalization": (after_conv(op("BatchNormalization", ["c", "g", "b", "m", "v"], ["y"], epsilon=1e-3),
                                      g=random(4), b=random(4), m=random(4), v=np.abs(random(4)) + 0.1), 9),
    "Dropout, Identity, Cast": (after_conv(op("Dropout", ["c"], ["d"]), op("Identity", ["d"], ["i"]),
                                           op("Cast", ["i"], ["y"], to=1)), 13),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@pytest.mark.slow
def test_an_operator_computes_what_onnx_says(name):
    (nodes, weights, channels), opset = CASES[name]
    compared(classifier(nodes, weights, channels, opset))


def test_unlike_padding_needs_no_pad_operator():
    for name in ("same padding, stride 2", "Pad before a convolution, opset 13", "unlike pads, dilated"):
        (nodes, weights, channels), opset = CASES[name]
        made = compared(classifier(nodes, weights, channels, opset))
        assert "Pad" not in operations(made) and "Convolution" in operations(made)


def test_an_exporters_arithmetic_on_shapes_is_worked_out():
    nodes = [
        op("Conv", ["data", "w"], ["c"], name="conv"), op("GlobalAveragePool", ["c"], ["p"]),
        op("Shape", ["p"], ["s"]), op("Gather", ["s", "zero"], ["n"], axis=0),
        op("Unsqueeze", ["n"], ["u"], axes=[0]), op("Concat", ["u", "rest"], ["to"], axis=0),
        op("Reshape", ["p", "to"], ["r"]), op("MatMul", ["r", "m"], ["q"]),
        op("Add", ["q", "b"], ["output"]),
    ]  # fmt: skip
    weights = {
        "w": random(4, 3, 3, 3),
        "zero": np.array(0),
        "rest": constant(-1),
        "m": random(4, CLASSES),
        "b": random(CLASSES),
    }
    made = compared(model(nodes, weights, 11, ("batch", 3, SIZE, SIZE)))
    assert [node.op for node in made.graph.nodes] == ["Conv", "GlobalAveragePool", "Reshape", "MatMul", "Add"]


@pytest.mark.parametrize("batch", [1, 4, "batch"])
def test_any_batch_of_the_export_becomes_any_batch_of_mxnet(batch):
    made = compared(tiny(batch=batch))
    pictures = proof.pictures(SIZE)[:3]
    arguments = {name: mx.nd.array(value) for name, value in made.network.arguments.items()}
    states = {name: mx.nd.array(value) for name, value in made.network.auxiliary.items()}

    def answer(some):
        data = {"data": mx.nd.array(some)}
        return made.logits.bind(mx.cpu(), arguments | data, aux_states=states).forward()[0].asnumpy()

    np.testing.assert_allclose(answer(pictures), np.concatenate([answer(one[None]) for one in pictures]), rtol=1e-4)


def test_colours_last_and_blue_first():
    nodes = [
        op("Transpose", ["data"], ["first"], perm=[0, 3, 1, 2]),
        op("Conv", ["first", "w"], ["y"], auto_pad="SAME_UPPER", strides=[2, 2]),
    ]
    network = classifier(nodes, {"w": random(4, 3, 3, 3)}, 4, shape=("batch", SIZE, SIZE, 3))
    made = compared(network, Preprocessing(SIZE, (103.0, 116.0, 123.0), (1.0, 1.0, 1.0), "BGR", "squash"))
    assert "transpose" not in operations(made)


@pytest.mark.slow
def test_a_first_normalisation_takes_the_preprocessing_over():
    made = compared(
        gluon_resnet18(classes=CLASSES), Preprocessing(224, (123.7, 116.3, 103.5), (58.4, 57.1, 57.4), fit="squash")
    )
    assert operations(made)[:2] == ["BatchNorm", "Convolution"]
    assert "resnetv22_stage1_conv0_weight" in made.logits.list_arguments()


@pytest.mark.parametrize("ending", ["Softmax", "LogSoftmax"])
def test_a_softmax_at_the_end_is_not_doubled(ending):
    network = tiny()
    network.graph.node[-1].output[0] = "scores"
    network.graph.node.append(op(ending, ["scores"], ["output"], name="end"))
    made = imported(network)
    assert made.ending == ending and "softmax" not in operations(made)


# What is refused.


def refused(network: onnx.ModelProto) -> str:
    with pytest.raises(ConversionError) as caught:
        imported(network)
    return str(caught.value)


def with_node(*nodes, **weights) -> onnx.ModelProto:
    made, values, channels = after_conv(*nodes, **weights)
    return classifier(made, values, channels)


def test_an_unknown_operator_is_named_with_its_node_and_what_would_help():
    said = refused(with_node(op("Asinh", ["c"], ["y"], name="layer7")))
    assert "Asinh (node 'layer7'), opset 13: this operator is not known" in said and "Export" in said
    quantised = with_node(op("QuantizeLinear", ["c", "s"], ["q"], name="q1"), op("DequantizeLinear", ["q", "s"], ["y"]),
                          s=scalar(0.1))  # fmt: skip
    assert "QuantizeLinear (node 'q1')" in refused(quantised) and "before it was quantised" in refused(quantised)


def test_attention_is_refused_in_words():
    said = refused(with_node(op("MatMul", ["c", "c"], ["y"], name="attend")))
    assert "MatMul (node 'attend')" in said and "as attention does" in said and "convolutional" in said


def test_shapes_that_mix_pictures_are_refused():
    back = op("Transpose", ["t"], ["y"], perm=[1, 0, 2, 3])
    said = refused(with_node(op("Transpose", ["c"], ["t"], name="turn", perm=[1, 0, 2, 3]), back))
    assert "Transpose (node 'turn')" in said and "moves the batch" in said


def test_what_is_no_classifier_of_pictures_is_refused():
    network = tiny()
    network.graph.node[-1].output[0] = "scores"
    network.graph.node.append(op("Sigmoid", ["scores"], ["output"], name="end"))
    assert "ends in a sigmoid" in refused(network)
    assert "expected (1, classes)" in refused(model([op("Relu", ["data"], ["output"])], {}))
    assert "expected (1, 3, height, width)" in refused(model([op("Relu", ["data"], ["output"])], {}, shape=(1, 16)))
    half = model([op("Relu", ["data"], ["output"])], {}, kind=onnx.TensorProto.FLOAT16)
    assert "FLOAT16: expected FLOAT" in refused(half)


def test_other_opsets_and_other_domains_are_refused():
    network = tiny()
    network.opset_import[0].version = 6
    assert "opset 6: expected 7 to 20" in refused(network)
    network = tiny()
    network.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    network.graph.node[0].domain = "com.microsoft"
    assert "operators of com.microsoft" in refused(network)


def test_a_wrong_layer_is_found_by_its_name(monkeypatch):
    monkeypatch.setitem(operators.OPERATORS, "Relu", lambda at: at.symbol() * 1.01)
    with pytest.raises(ConversionError, match=r"Relu \(node 'relu1'\): MXNet's output differs by"):
        compared(tiny())
    assert layers.simple is not operators.OPERATORS["Relu"]
