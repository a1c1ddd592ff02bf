"""The network is the published one: the same graph, and the same numbers by MXNet's Module and by the function."""

import json

import mxnet as mx
import numpy as np
import pytest

from benchmarks.models import random_parameters, save_parameters
from predict.predictor import Predictor
from workshop.training import resnet

CLASSES = 1000


@pytest.mark.parametrize("classes", [10, CLASSES])
def test_the_graph_is_that_of_the_published_symbol_file(classes):
    assert resnet.fingerprint(resnet.resnet18(classes).tojson()) == resnet.PUBLISHED_FINGERPRINT


def test_label_smoothing_changes_the_loss_and_nothing_else():
    plain, smooth = (json.loads(resnet.resnet18(10, alpha).tojson())["nodes"] for alpha in (0.0, 0.1))
    assert plain[:-1] == smooth[:-1]
    assert smooth[-1]["attrs"].pop("smooth_alpha") == "0.1" and plain[-1] == smooth[-1]


def renamed(node):
    node["name"] += "x"


def repadded(node):
    node["attrs"]["pad"] = "(1,1)"


def rewired(node):
    node["inputs"][0][0] -= 1


@pytest.mark.parametrize("change", [renamed, repadded, rewired])
def test_the_fingerprint_sees_another_name_attribute_or_input(change):
    graph = json.loads(resnet.resnet18(10).tojson())
    change(next(node for node in graph["nodes"] if node["name"] == "conv0"))
    assert resnet.fingerprint(json.dumps(graph)) != resnet.PUBLISHED_FINGERPRINT


def test_the_fingerprint_sees_another_order():
    graph = json.loads(resnet.resnet18(10).tojson())
    graph["nodes"].reverse()
    assert resnet.fingerprint(json.dumps(graph)) != resnet.PUBLISHED_FINGERPRINT


def test_shapes_are_those_of_resnet_18():
    arguments, outputs, auxiliary = resnet.resnet18(CLASSES).infer_shape(data=(1, 3, 224, 224))
    assert outputs == [(1, CLASSES)]
    # data and label aside: 11.69 million parameters, as every ResNet-18 for 1,000 classes.
    assert 11_680_000 < sum(int(np.prod(shape)) for shape in arguments[1:-1]) < 11_700_000
    assert len(arguments) == 63 and len(auxiliary) == 38


@pytest.mark.slow
def test_with_1000_classes_it_predicts_alike_by_module_and_by_the_function(tmp_path):
    symbol = resnet.resnet18(CLASSES)
    arguments, auxiliary = random_parameters(symbol)
    module = mx.mod.Module(symbol, context=mx.cpu())
    module.bind([("data", (1, 3, 224, 224))], [("softmax_label", (1,))], for_training=False)
    module.set_params(arguments, auxiliary)
    save_parameters(tmp_path / "params", arguments, auxiliary)
    labels = [str(number) for number in range(CLASSES)]
    with Predictor(symbol.tojson().encode(), (tmp_path / "params").read_bytes(), labels) as predictor:
        for seed in range(2):
            batch = np.random.default_rng(seed).integers(0, 256, (1, 3, 224, 224), np.uint8)
            module.forward(mx.io.DataBatch([mx.nd.array(batch)]), is_train=False)
            expected = module.get_outputs()[0].asnumpy()[0]
            assert expected.max() < 0.999  # else every answer would look alike
            np.testing.assert_allclose(np.asarray(predictor.predict(batch)), expected, atol=1e-6)
