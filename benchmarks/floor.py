"""What the machine could do at best: the network's operations over its rate, bytes over its bandwidths.

operations   multiply-adds of the network, counted from its symbol
rates        multiply-adds a second of a large float32 convolution and a large int8 matrix product, by PyTorch's
             oneDNN: the best of several, on as many threads as are named
bandwidths   bytes a second: copying in memory, reading a cached file, GET over loopback, SHA-256
"""

import hashlib
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import numpy as np

SHAPE = (1, 3, 224, 224)
TIMES = 15
_RATES = """
import json, sys, time, torch
threads, times = int(sys.argv[1]), int(sys.argv[2])
torch.set_num_threads(threads)
image, filters = torch.ones(1, 256, 56, 56), torch.ones(256, 256, 3, 3)
matrix = torch.ones(2048, 2048, dtype=torch.int8)
def best(work):
    seconds = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begun)
    return min(seconds)
with torch.inference_mode():
    float32 = 256 * 256 * 9 * 56 * 56 / best(lambda: torch.conv2d(image, filters, padding=1))
    int8 = 2048**3 / best(lambda: torch._int_mm(matrix, matrix))
print(json.dumps({"float32": float32, "int8": int8}))
"""


def operations(symbol: Path) -> int:
    """Multiply-adds of one image through the convolutions and the fully connected layers of a network."""
    import mxnet as mx

    network = mx.sym.load(str(symbol)).get_internals()
    _, shapes, _ = network.infer_shape(data=SHAPE)
    shape_of = dict(zip(network.list_outputs(), shapes, strict=True))
    total = 0
    for node in json.loads(symbol.read_text())["nodes"]:
        if node["op"] in ("Convolution", "FullyConnected"):
            weight, output = shape_of[f"{node['name']}_weight"], shape_of[f"{node['name']}_output"]
            total += int(np.prod(output)) * int(np.prod(weight[1:]))  # one product with each filter per output
    return total


def best(work: Callable[[], object]) -> float:
    """Seconds of the quickest of some runs."""
    seconds = []
    for _ in range(TIMES):
        begun = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begun)
    return min(seconds)


def measure(store: Path, work: Path, url: str) -> dict:
    """The floor's parts, for the model in `store` that `url` serves; PyTorch is in `work`."""
    weights = store / "model-0000.params"
    size = weights.stat().st_size
    rates = {}
    for threads in (1, 2):
        environment = {"PATH": os.defpath, "PYTHONPATH": str(work / "pytorch"), "OMP_NUM_THREADS": str(threads)}
        command = [sys.executable, "-P", "-c", _RATES, str(threads), str(TIMES)]
        answer = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
        rates[str(threads)] = {kind: round(rate / 1e9, 1) for kind, rate in json.loads(answer).items()}
    block, buffer = np.ones(1 << 28, np.uint8), np.empty(1 << 28, np.uint8)
    data = bytearray(size)

    def read() -> None:
        with weights.open("rb", buffering=0) as file:
            file.readinto(data)

    def get() -> None:
        with urllib.request.urlopen(f"{url}/{weights.name}") as answer:
            answer.readinto(data)

    return {
        "operations": operations(store / "model-symbol.json"),
        "weights": size,
        "giga_operations_per_s": rates,
        "gigabytes_per_s": {
            "copy": round(block.nbytes / best(lambda: np.copyto(buffer, block)) / 1e9, 1),
            "file": round(size / best(read) / 1e9, 1),
            "loopback": round(size / best(get) / 1e9, 2),
            "sha256": round(size / best(lambda: hashlib.sha256(data).digest()) / 1e9, 2),
        },
        "interpreter_ms": round(best(lambda: subprocess.run([sys.executable, "-c", ""], check=True)) * 1e3, 1),
    }


def network_ms(found: dict, threads: str = "1", kind: str = "float32") -> float:
    """The least time of one run of the network: its operations or its weights through memory, the longer of the two."""
    size = found["weights"] / (4 if kind == "int8" else 1)
    arithmetic = found["operations"] / (found["giga_operations_per_s"][threads][kind] * 1e9)
    return 1e3 * max(arithmetic, size / (found["gigabytes_per_s"]["copy"] * 1e9))


def cold_ms(found: dict) -> float:
    """The least time of a cold start: an interpreter; the weights fetched, checked, laid out once; the network once."""
    seconds = sum(found["weights"] / (found["gigabytes_per_s"][way] * 1e9) for way in ("loopback", "sha256", "copy"))
    return found["interpreter_ms"] + 1e3 * seconds + network_ms(found)
