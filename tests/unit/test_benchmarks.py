"""The benchmarks: the peers answer the function's event, the floor counts right, the tables follow. No timing."""

import importlib
import io
import json
import shutil
import sys

import mxnet as mx
import numpy as np
import pytest
from PIL import Image

from benchmarks import child, floor, goals, measures, preparation, processes, report
from benchmarks.peers import graph
from predict import images
from predict.predictor import Predictor
from workshop import ROOT, models

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """The benchmarks' model store with the practice model, on loopback: address and process id."""
    work = tmp_path_factory.mktemp("bench")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preparation, "WORK", work)
        patch.setattr(preparation, "STORE", work / "store" / preparation.BUCKET / preparation.PREFIX)
        shutil.copytree(models.fetch("practice", work / "fetched").folder, preparation.STORE)
        with processes.running_store() as running:
            yield running


@pytest.mark.parametrize("name", [preparation.PER_REQUEST, preparation.MODULE])
def test_a_peer_answers_the_event_as_the_function_predicts(store, name):
    endpoint, _ = store
    # Of the network's size, and nothing lost: no two decoders differ, and nothing is resized.
    file = io.BytesIO()
    sample = Image.open(ROOT / "notebooks" / "samples" / "unknown_oranges.jpg").convert("RGB")
    sample.resize((224, 224)).save(file, "PNG")
    picture = file.getvalue()
    event = preparation.WORK / "event.json"
    event.write_text(json.dumps(preparation.event(picture)))
    with processes.Child(name, endpoint, python=sys.executable) as peer:
        first = peer.ask(event=str(event), times=1)
        again = peer.ask(event=str(event), times=2)
        memory = peer.ask(memory=True)
    labels = (preparation.STORE / models.SYNSET).read_text().splitlines()
    with Predictor(
        (preparation.STORE / models.SYMBOL).read_bytes(), (preparation.STORE / models.PARAMS).read_bytes(), labels
    ) as own:
        expected = np.array(own.predict(images.network_input(picture)))
    best, *_ = json.loads(first["answer"]["body"])["predictions"]
    assert best["class"] == labels[expected.argmax()]
    assert best["probability"] == pytest.approx(expected.max(), abs=1e-5)
    assert again["answer"] == first["answer"]
    assert {"interpreter", "imports", "transfer", "picture"} <= first["stages"].keys()
    assert len(again["times"]) == 2
    assert memory["peak"] >= memory["resident"] > 100e6


def test_the_traced_functions_exist():
    ours = [place for places in child.STAGES.values() for place in places if not place.startswith("peers.")]
    for place in ours:
        module, _, path = place.partition(":")
        found = importlib.import_module(module)
        for part in path.removesuffix("()").split("."):
            found = getattr(found, part)
        assert callable(found), place


def test_the_peers_read_mxnets_files_as_mxnet_does(store):
    read = graph.read_parameters(preparation.STORE / models.PARAMS)
    loaded = mx.nd.load(str(preparation.STORE / models.PARAMS))
    expected = {name.partition(":")[2]: value for name, value in loaded.items()}
    assert read.keys() == expected.keys()
    assert all((read[name] == value.asnumpy()).all() for name, value in expected.items())
    nodes = graph.read_nodes(preparation.STORE / models.SYMBOL)
    assert [node.name for node in nodes][:2] == ["bn_data", "conv0"]
    assert next(node for node in nodes if node.name == "conv0").attributes["stride"] == (2, 2)


def test_the_floor_counts_multiply_adds(tmp_path):
    data = mx.sym.Variable("data")
    convolution = mx.sym.Convolution(data, kernel=(3, 3), stride=(2, 2), pad=(1, 1), num_filter=8, name="conv")
    dense = mx.sym.FullyConnected(convolution, num_hidden=10, no_bias=True, name="fc")
    dense.save(str(tmp_path / "symbol.json"))
    assert floor.operations(tmp_path / "symbol.json") == 112 * 112 * 8 * 3 * 9 + 8 * 112 * 112 * 10


def test_top1_and_agreement():
    def answer(*pairs):
        return [{"class": f"{wnid} name", "probability": p} for wnid, p in pairs]

    reference = [answer(("a", 0.9), ("b", 0.1)), answer(("b", 0.6), ("a", 0.4))]
    other = [answer(("a", 0.7), ("b", 0.3)), answer(("a", 0.55), ("b", 0.45))]
    found = measures.compare({"reference": reference, "other": other}, ["a", "b"])
    assert found["reference"] == {"pictures": 2, "top1": 1.0, "agreement": 1.0, "largest_difference": 0.0}
    assert found["other"] == {"pictures": 2, "top1": 0.5, "agreement": 0.5, "largest_difference": 0.2}


def test_a_goal_is_met_or_not():
    times = {name: {"median": median, "peak_mb": 100} for name, median in (
        (goals.OURS, 310), (goals.PER_REQUEST, 1000), (goals.MODULE, 1000), (goals.ORT, 400)
    )}  # fmt: skip
    found = {(name, goal): (value, met) for name, value, goal, met in goals.goals({"cold": {"whole machine": times}})}
    assert found[f"cold start, float32: of {goals.PER_REQUEST}'s", "≤ 0.3"] == (0.31, False)
    assert found[f"cold start, float32: of {goals.MODULE}'s", "≤ 0.5"] == (0.31, True)
    assert found[f"cold start, float32: of {goals.ORT}'s", "≤ 1"] == (0.775, True)
    assert found[f"cold start, float32: of {goals.ORT}'s", "≤ 0.4"] == (0.775, False)
    assert found[f"peak memory, float32: of {goals.MODULE}'s", "≤ 0.65"] == (1, False)


def test_readmes_tables_are_the_results():
    readme = report.README.read_text()
    assert readme == report.merged(readme, report.tables())
