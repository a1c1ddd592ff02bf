"""Models that are broken on purpose, in four ways that happen, to see that none of them gets to the requests.

Each is a copy of a good model, with a manifest of its own, so that its files are whole, and with the golden pictures of
the good one, so that it is held to its answers.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

from predict.params_file import layout as layout_of
from workshop.models import golden
from workshop.models.files import PARAMS, SYMBOL, SYNSET, ModelFiles, open_model, write_manifest

ROUNDS = 12  # of enlarging and shrinking each picture, in the slow model


def labels_shuffled(folder: Path) -> None:
    """Each class gets the next one's label, as after sorting a synset anew."""
    first, *rest = (folder / SYNSET).read_text(encoding="utf-8").splitlines()
    (folder / SYNSET).write_text("\n".join([*rest, first]) + "\n", encoding="utf-8")


def weights_of_another_training(folder: Path) -> None:
    """The last layer has its classes in another order than the labels, as of a training on other folders."""
    data = bytearray((folder / PARAMS).read_bytes())
    classes = len((folder / SYNSET).read_text(encoding="utf-8").splitlines())
    layers = [(shape, place) for _, shape, place in layout_of(memoryview(bytes(data))) or [] if len(shape) > 1]
    shape, place = [(shape, place) for shape, place in layers if shape[0] == classes][-1]  # a row for each class
    row = 4 * math.prod(shape[1:])  # bytes of float32
    first = data[place : place + row]
    data[place : place + row * (shape[0] - 1)] = data[place + row : place + row * shape[0]]
    data[place + row * (shape[0] - 1) : place + row * shape[0]] = first
    (folder / PARAMS).write_bytes(data)


def slow(folder: Path) -> None:
    """The network enlarges each picture and shrinks it again, over and over: the same answers, much later."""
    graph = json.loads((folder / SYMBOL).read_text(encoding="utf-8"))
    added = []
    for number in range(ROUNDS):
        enlarge = {"scale": "8", "sample_type": "nearest", "num_args": "1"}
        shrink = {"kernel": "(8, 8)", "stride": "(8, 8)", "pool_type": "avg"}
        at = 2 * number
        added.append({"op": "UpSampling", "name": f"enlarge{number}", "attrs": enlarge, "inputs": [[at, 0, 0]]})
        added.append({"op": "Pooling", "name": f"shrink{number}", "attrs": shrink, "inputs": [[at + 1, 0, 0]]})
    data, *rest = graph["nodes"]
    if data["op"] != "null":
        raise ValueError(f"{SYMBOL}: expected the input as the first node, found {data['op']}")
    for node in rest:
        node["inputs"] = [[index + len(added), *others] for index, *others in node["inputs"]]
    graph["nodes"] = [data, *added, *rest]
    graph["arg_nodes"] = [index + len(added) if index else 0 for index in graph["arg_nodes"]]
    graph["heads"] = [[index + len(added), *others] for index, *others in graph["heads"]]
    del graph["node_row_ptr"]  # MXNet counts anew
    (folder / SYMBOL).write_text(json.dumps(graph), encoding="utf-8")


def not_loadable(folder: Path) -> None:
    """Half of the parameters, as of an export that broke off."""
    data = (folder / PARAMS).read_bytes()
    (folder / PARAMS).write_bytes(data[: len(data) // 2])


WAYS: dict[str, Callable[[Path], None]] = {
    "labels shuffled": labels_shuffled,
    "weights of another training": weights_of_another_training,
    "slow": slow,
    "not loadable": not_loadable,
}


def copy(files: ModelFiles, way: str, place: Path) -> ModelFiles:
    """A copy of a good model below `place`, under the same name, broken in one of `WAYS`."""
    folder = place / way.replace(" ", "_") / files.name
    shutil.rmtree(folder, ignore_errors=True)  # of a run before
    folder.mkdir(parents=True)
    for file in files:
        shutil.copy(file, folder)
    (folder / golden.GOLDEN).write_text(json.dumps(golden.of(files)), encoding="utf-8")
    WAYS[way](folder)
    write_manifest(folder)
    return open_model(folder)
