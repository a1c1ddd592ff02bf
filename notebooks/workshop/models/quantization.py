"""The same network in 8-bit arithmetic: a second symbol over the same parameters.

MXNet's oneDNN backend fuses convolution, batch normalisation and ReLU into one operator, and has an int8 version of it.
That operator rounds the float32 weights itself, with one scale per output channel, when the network is bound; so the
parameters stay as they are. What it cannot know is how large the numbers between the layers become. This is measured
here, on pictures that the network was trained with, and written into the symbol.

A network with pre-activation also has batch normalisations that follow no convolution. Left alone, such a one and its
ReLU are two operators, and what they give is signed: half of the 256 steps, and a slower product in the convolution
that reads it. So each is given a convolution of its own, one weight of 1 per channel, and fuses like the others.

A pixel has 256 values, and so has what the first convolution reads. What lies between, normalising and rounding, is
worked out beforehand for each value and each channel, and the int8 network takes these codes instead of pixels.
benchmarks/README.md has what both save.

    cd notebooks && python -m workshop.models.quantization ../models/practice <folder of training pictures>

How the choices below were made, with what else was tried, is in models/practice/README.md.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import mxnet as mx
import numpy as np
from mxnet.contrib import quantization as mxnet_quantization

from workshop import models
from workshop.models import about, preparation
from workshop.progress import progress

PICTURES = 200
BINS = 2048
BACKEND = "MKLDNN_QUANTIZE"
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
ONES = "ones_"  # names the weights that are all 1: no file holds them, predictor.Predictor sets them
CODES = "__codes__"  # names the attribute of the input that has its codes: predictor.Predictor looks pixels up there
Values = Mapping[str, mx.nd.NDArray]


def load_values(params: Path) -> tuple[dict[str, mx.nd.NDArray], dict[str, mx.nd.NDArray]]:
    """Arguments and auxiliary states of a params file by name, as float32."""
    values = {name: value.astype("float32") for name, value in mx.nd.load(str(params)).items()}
    arguments, auxiliary = (
        {name[4:]: value for name, value in values.items() if name[:4] == kind} for kind in ("arg:", "aux:")
    )
    return arguments, auxiliary


def with_identities(symbol: mx.sym.Symbol, arguments: Values) -> mx.sym.Symbol:
    """The same function of the same input, with a convolution by 1 before each batch normalisation that MXNet would not
    fuse and that a ReLU follows.

    `arguments`: the network's. The convolutions' weights are new inputs `ones_<channels>` of shape (channels, 1, 1, 1),
    marked with MXNet's initialiser for ones.
    """
    nodes, made, ones = json.loads(symbol.tojson())["nodes"], [], {}
    before_relu = {
        node["inputs"][0][0] for node in nodes if node["op"] == "Activation" and node["attrs"]["act_type"] == "relu"
    }
    for index, node in enumerate(nodes):
        name, attributes = node["name"], node.get("attrs", {})
        if node["op"] == "null":
            made.append(mx.sym.var(name))
            continue
        inputs = [made[source][output] for source, output, *_ in node["inputs"]]
        if node["op"] == "BatchNorm" and index in before_relu and nodes[node["inputs"][0][0]]["op"] != "Convolution":
            count = arguments[nodes[node["inputs"][1][0]]["name"]].size  # gamma's
            if count not in ones:
                ones[count] = mx.sym.var(f"{ONES}{count}", shape=(count, 1, 1, 1), init=mx.init.One())
            inputs[0] = mx.sym.Convolution(
                inputs[0], ones[count], name=f"{name}_one",
                kernel=(1, 1), num_filter=count, num_group=count, no_bias=True,
            )  # fmt: skip
        made.append(getattr(mx.sym, node["op"])(*inputs, name=name, **attributes))
    return made[-1]


def with_lookup_table(symbol: mx.sym.Symbol, arguments: Values, auxiliary: Values) -> mx.sym.Symbol:
    """The same int8 network, whose input `data` is int8: instead of a pixel what the network makes of it first.

    `symbol`: an int8 network that normalises its input by one batch normalisation and rounds that to 8 bits. For each
    of the 256 values of a pixel, the attribute CODES of its input holds the 8 bits instead, one channel after the
    other, in hexadecimal digits. Any other network comes back as it is.
    """
    graph = json.loads(symbol.tojson())
    nodes = graph["nodes"]
    (data,) = (index for index, node in enumerate(nodes) if node["name"] == "data")

    def only_reader(index: int) -> int | None:
        readers = [at for at, node in enumerate(nodes) if index in [source for source, *_ in node["inputs"]]]
        return readers[0] if len(readers) == 1 else None

    norm = only_reader(data)
    rounding = None if norm is None or nodes[norm]["op"] != "BatchNorm" else only_reader(norm)
    if rounding is None or nodes[rounding]["op"] != "_contrib_quantize_v2":
        return symbol
    first = symbol.get_internals()[f"{nodes[rounding]['name']}_output0"]
    every_pixel = mx.nd.array(np.tile(np.arange(256).reshape(1, 1, 16, 16), (1, 3, 1, 1)))
    inputs = {name: value for name, value in arguments.items() if name in first.list_arguments()}
    states = {name: auxiliary[name] for name in first.list_auxiliary_states()}
    (codes,) = first.bind(mx.cpu(), inputs | {"data": every_pixel}, aux_states=states).forward(is_train=False)
    if codes.dtype != np.int8:
        return symbol
    nodes[data]["attrs"] = {"__dtype__": "5", CODES: codes.asnumpy().tobytes().hex()}  # MXNet's number of int8
    nodes[rounding]["inputs"] = [[data, 0, 0]]  # given 8 bits it passes them on
    gone = {norm} | {source for source, *_ in nodes[norm]["inputs"]} - {data}
    left = {old: new for new, old in enumerate(index for index in range(len(nodes)) if index not in gone)}
    for node in nodes:
        node["inputs"] = [[left.get(source), *rest] for source, *rest in node["inputs"]]
    return mx.sym.load_json(
        json.dumps(
            {
                **graph,
                "nodes": [nodes[index] for index in left],
                "arg_nodes": [left[index] for index in graph["arg_nodes"] if index in left],
                "node_row_ptr": list(range(len(left) + 1)),
                "heads": [[left[source], *rest] for source, *rest in graph["heads"]],
            }
        )
    )


def least_error_limit(counts: np.ndarray, largest: float, levels: int) -> float:
    """Where to cut off a layer's outputs so that the mean squared error of 8 bits is least.

    `counts`: the histogram of their magnitudes over 0 to `largest`, in equal bins. `levels`: steps from 0 to the limit,
    127 for signed numbers, 255 for others. A value beyond the limit is off by its distance to it, one below by
    step²/12 in the mean square (Bennett 1948, https://doi.org/10.1002/j.1538-7305.1948.tb01340.x).
    """
    centres = (np.arange(len(counts)) + 0.5) * largest / len(counts)

    def error(limit: float) -> float:
        beyond = centres > limit
        cut = (counts[beyond] * (centres[beyond] - limit) ** 2).sum()
        return cut + counts[~beyond].sum() * (limit / levels) ** 2 / 12

    return float(min(largest * np.arange(1, 201) / 200, key=error))


def ranges(graph: mx.sym.Symbol, arguments: Values, auxiliary: Values, pictures: np.ndarray) -> dict[str, tuple]:
    """The range to quantise each layer's outputs over, `(low, high)` by the output's name.

    `graph`: a fused float32 network. `pictures`: (N, 3, H, W), 0 to 255.
    """
    internals, nodes = graph.get_internals(), json.loads(graph.tojson())["nodes"]
    operators = {f"{node['name']}_output" for node in nodes if node["op"] not in ("null", "SoftmaxOutput")}
    names = [name for name in internals.list_outputs() if name in operators]
    observer = mx.sym.Group([internals[name] for name in names])
    executor = observer.simple_bind(mx.cpu(), grad_req="null", data=(1, *pictures.shape[1:]))
    executor.copy_params_from(dict(arguments), dict(auxiliary), allow_extra_params=True)

    def outputs(description: str):
        for picture in progress(pictures, desc=description, unit="image"):
            executor.forward(False, data=mx.nd.array(picture[None]))
            for name, value in zip(names, executor.outputs, strict=True):
                yield name, value.asnumpy()

    low, high = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0)
    for name, value in outputs("ranges"):
        low[name], high[name] = min(low[name], float(value.min())), max(high[name], float(value.max()))
    largest = {name: max(high[name], -low[name]) for name in names}
    counts = {name: np.zeros(BINS) for name in names}
    for name, value in outputs("histograms"):
        magnitudes = np.abs(value[value != 0])
        counts[name] += np.histogram(magnitudes, BINS, (0, largest[name] or 1))[0]
    found = {}
    for name in names:
        is_signed = low[name] < 0
        limit = least_error_limit(counts[name], largest[name], 127 if is_signed else 255)
        found[name] = (-limit if is_signed else 0.0, limit)
    return found


def quantize(symbol: mx.sym.Symbol, arguments: Values, auxiliary: Values, pictures: np.ndarray) -> mx.sym.Symbol:
    """The network in int8, over the same parameters.

    `symbol`: the float32 network, with an input `data`. `pictures`: (N, 3, H, W), 0 to 255, as the function prepares
    them; pictures that the network was trained with. The int8 network takes codes, see `with_lookup_table`, where it
    can. The weights of `with_identities` are inputs of it besides the parameters.

    Raises ValueError where the int8 network would need parameters of its own.
    """
    fusible = with_identities(symbol, arguments)
    added = set(fusible.list_inputs()) - set(symbol.list_inputs())
    ones = {name: mx.nd.ones((int(name.removeprefix(ONES)), 1, 1, 1)) for name in added}
    values = {**arguments, **ones}, dict(auxiliary)
    graph = fusible.get_backend_symbol(BACKEND)
    measured = ranges(graph, *values, pictures)
    int8, *_ = mxnet_quantization.quantize_graph(
        graph, *values, calib_mode="none", quantized_dtype="auto", quantize_mode="smart",
        quantize_granularity="channel-wise",
    )  # fmt: skip
    collector = SimpleNamespace(min_max_dict=measured)
    int8, *_ = mxnet_quantization.calib_graph(int8, *values, collector, calib_mode="customize", logger=None)
    int8 = int8.get_backend_symbol(BACKEND)
    if set(int8.list_inputs()) != set(fusible.list_inputs()):
        raise ValueError(f"the int8 network has other inputs: {set(int8.list_inputs()) ^ set(fusible.list_inputs())}")
    return named_by_layer(with_lookup_table(int8, *values), symbol)


def named_by_layer(int8: mx.sym.Symbol, symbol: mx.sym.Symbol) -> mx.sym.Symbol:
    """The same int8 network, in which the operator of a batch normalisation and its ReLU has the ReLU's name.

    MXNet numbers what it fuses; here it is `quantized_<ReLU>`. `symbol`: the float32 network. A layer is found by name
    in either.
    """
    nodes = json.loads(symbol.tojson())["nodes"]
    by_gamma = {
        nodes[nodes[node["inputs"][0][0]]["inputs"][1][0]]["name"]: node["name"]
        for node in nodes
        if node["op"] == "Activation" and nodes[node["inputs"][0][0]]["op"] == "BatchNorm"
    }
    graph = json.loads(int8.tojson())
    for node in graph["nodes"]:
        read = [by_gamma.get(graph["nodes"][source]["name"]) for source, *_ in node["inputs"]]
        if node["op"] == "_sg_mkldnn_conv" and (layer := next(filter(None, read), None)):
            node["name"] = f"quantized_{layer}"
    return mx.sym.load_json(json.dumps(graph))


def choose(folder: Path, count: int = PICTURES) -> list[Path]:
    """At most `count` picture files below `folder`, evenly spread over the sorted list, so over the classes' folders.

    Raises ValueError when there is none.
    """
    files = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in SUFFIXES)
    if not files:
        raise ValueError(f"{folder} holds no images: give the folder of the training images")
    return [files[index * len(files) // count] for index in range(count)] if len(files) > count else files


def add_int8(folder: Path, pictures: Path, count: int = PICTURES) -> Path:
    """Write `model-int8-symbol.json` into a model's folder and list it in its `SHA256SUMS`.

    `folder`: a model's files, checked against their manifest first (models.ModelError). `pictures`: a folder; its
    files are prepared as the function prepares what it is sent. Returns the symbol's path.
    """
    files = models.open_model(folder)
    chosen = choose(pictures, count)
    batch = np.concatenate([preparation.prepared(files, path.read_bytes()) for path in chosen])
    int8 = quantize(mx.sym.load(str(files.symbol)), *load_values(files.params), batch)
    target = files.folder / models.INT8_SYMBOL
    target.write_text(int8.tojson() + "\n")
    if said := about.read(files.folder):
        about.write(files.folder, said | {"precisions": ["float32", "int8"]})
    models.write_manifest(files.folder)
    return target


def main() -> int:
    about = "Add an int8 symbol to a model's files."
    parser = argparse.ArgumentParser(prog="workshop.models.quantization", description=about)
    parser.add_argument("folder", type=Path, help="the model's files with their SHA256SUMS")
    parser.add_argument("pictures", type=Path, help="a folder of images that the model was trained with")
    parser.add_argument("--count", type=int, default=PICTURES, help=f"how many of them to look at ({PICTURES})")
    chosen = parser.parse_args()
    try:
        print(f"wrote {add_int8(chosen.folder, chosen.pictures, chosen.count)}")
    except (models.ModelError, ValueError) as error:
        print(f"quantization: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
