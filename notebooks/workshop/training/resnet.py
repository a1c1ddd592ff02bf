"""The ResNet-18 of MXNet's model zoo (ImageNet, 2016), node for node, for any number of classes.

Architecture: He et al., "Identity Mappings in Deep Residual Networks", https://arxiv.org/abs/1603.05027 (batch
normalisation and ReLU before each convolution). Names, attributes and order of the nodes follow the symbol file that
MXNet published, so weights for one load into the other wherever the shapes agree.
"""

import hashlib
import json

import mxnet as mx

STAGE_FILTERS = (64, 128, 256, 512)

# `fingerprint` of the symbol file that MXNet 1.3 saved for its ImageNet ResNet-18.
PUBLISHED_FINGERPRINT = "3aab3c7bedfdeba2c6e1de2f838d7122eb45efa4615359960a028f0401b785da"


def fingerprint(symbol_json: str) -> str:
    """The SHA-256 of what a symbol file says: each node's operator, name, attributes and inputs, in order.

    Two things are left out: the number of classes, so that networks for different classes compare equal, and the
    counter of in-place changes that newer MXNet releases write with each input, which is no part of the network.
    """
    graph = json.loads(symbol_json)
    nodes = []
    for node in graph["nodes"]:
        attributes = {**node.get("attrs", {})}
        if node["op"] == "FullyConnected":
            attributes["num_hidden"] = "classes"
        nodes.append([node["op"], node["name"], attributes, [source[:2] for source in node["inputs"]]])
    facts = {"nodes": nodes, "arguments": graph["arg_nodes"], "outputs": [head[:2] for head in graph["heads"]]}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _tuple(*numbers):
    # MXNet 1.3 wrote shapes without a space; given as text they are kept as they are.
    return f"({','.join(map(str, numbers))})"


def _batch_norm(data, name, fix_gamma=False):
    # Named by hand, gamma and beta stay plain variables as in the published file; left to MXNet 1.9 they would carry a
    # copy of the operator's attributes. Mean and variance carry one there too.
    gamma, beta = mx.sym.Variable(f"{name}_gamma"), mx.sym.Variable(f"{name}_beta")
    return mx.sym.BatchNorm(
        data, gamma, beta, name=name, eps=2e-5, momentum=0.9, fix_gamma=fix_gamma, use_global_stats=False
    )


def _convolution(data, name, filters, kernel, stride, pad):
    return mx.sym.Convolution(
        data,
        mx.sym.Variable(f"{name}_weight"),
        name=name,
        num_filter=filters,
        kernel=_tuple(kernel, kernel),
        stride=_tuple(stride, stride),
        pad=_tuple(pad, pad),
        dilate=_tuple(1, 1),
        num_group=1,
        no_bias=True,
        workspace=512,
        cudnn_tune="limited_workspace",
        cudnn_off=False,
    )


def _relu(data, name):
    return mx.sym.Activation(data, act_type="relu", name=name)


def _residual_unit(data, name, filters, stride, same_shape):
    first = _relu(_batch_norm(data, f"{name}_bn1"), f"{name}_relu1")
    body = _convolution(first, f"{name}_conv1", filters, 3, stride, 1)
    body = _relu(_batch_norm(body, f"{name}_bn2"), f"{name}_relu2")
    body = _convolution(body, f"{name}_conv2", filters, 3, 1, 1)
    shortcut = data if same_shape else _convolution(first, f"{name}_sc", filters, 1, stride, 0)
    return body + shortcut


def resnet18(classes: int, smooth_alpha: float = 0.0) -> mx.sym.Symbol:
    """Build the symbol.

    Input `data`: float32 (N, 3, H, W), RGB, 0 to 255; the node `bn_data` normalises it. Output `softmax_output`:
    float32 (N, classes), each row a probability distribution.

    `smooth_alpha` (0 to 1) is the label smoothing of the loss, https://arxiv.org/abs/1512.00567; it changes only the
    gradient, so a symbol meant for inference leaves it at 0.
    """
    with mx.name.NameManager():
        x = _batch_norm(mx.sym.Variable("data"), "bn_data", fix_gamma=True)
        x = _convolution(x, "conv0", STAGE_FILTERS[0], 7, 2, 3)
        x = _relu(_batch_norm(x, "bn0"), "relu0")
        x = mx.sym.Pooling(
            x, name="pooling0", kernel=_tuple(3, 3), stride=_tuple(2, 2), pad=_tuple(1, 1), pool_type="max",
            pooling_convention="valid", global_pool=False,
        )  # fmt: skip
        for stage, filters in enumerate(STAGE_FILTERS, start=1):
            x = _residual_unit(x, f"stage{stage}_unit1", filters, 1 if stage == 1 else 2, same_shape=False)
            x = _residual_unit(x, f"stage{stage}_unit2", filters, 1, same_shape=True)
        x = _relu(_batch_norm(x, "bn1"), "relu1")
        x = mx.sym.Pooling(
            x, name="pool1", kernel=_tuple(7, 7), stride=_tuple(1, 1), pad=_tuple(0, 0), pool_type="avg",
            pooling_convention="valid", global_pool=True,
        )  # fmt: skip
        weight, bias = mx.sym.Variable("fc1_weight"), mx.sym.Variable("fc1_bias")
        x = mx.sym.Flatten(x, name="flatten0")
        x = mx.sym.FullyConnected(x, weight, bias, name="fc1", num_hidden=classes, no_bias=False)
        loss = {"smooth_alpha": smooth_alpha} if smooth_alpha else {}
        return mx.sym.SoftmaxOutput(
            x, mx.sym.Variable("softmax_label"), name="softmax", grad_scale=1, ignore_label=-1, multi_output=False,
            normalization="null", out_grad=False, preserve_shape=False, use_ignore=False, **loss,
        )  # fmt: skip
