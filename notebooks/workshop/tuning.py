"""How long a prediction takes with more or less CPU: Lambda's memory setting, or the thread count on one machine."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence

import numpy as np

from workshop import ROOT, load
from workshop.lab import Lab
from workshop.models import ModelFiles

_PROGRAM = """
import array, json, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import predictor
symbol, params, labels = (Path(name) for name in sys.argv[2:5])
network = predictor.Predictor(symbol.read_bytes(), params.read_bytes(), labels.read_text().splitlines())
batch = memoryview(array.array("f", bytes(4 * 3 * 224 * 224))).cast("B").cast("f", (1, 3, 224, 224))
seconds = []
for _ in range(int(sys.argv[5])):
    begun = time.perf_counter()
    network.predict(batch)
    seconds.append(time.perf_counter() - begun)
print(json.dumps(seconds))
"""


def by_threads(files: ModelFiles, threads: Sequence[int], repeats: int = 60) -> dict[int, float]:
    """Median milliseconds of the function's predictor by number of OpenMP threads, each in a fresh process."""
    result = {}
    for count in threads:
        command = [sys.executable, "-c", _PROGRAM, ROOT / "lambda_src" / "predict", files.symbol, files.params,
                   files.synset, str(repeats + 10)]
        environment = os.environ | {"OMP_NUM_THREADS": str(count)}
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        result[count] = float(np.median(json.loads(run.stdout)[10:]) * 1000)
    return result


def by_memory(
    lab: Lab, url: str, pictures: Sequence[bytes], sizes: Sequence[int], repeats: int = 40
) -> dict[int, float]:
    """Median milliseconds of decoding and predicting by memory setting (MB), as AWS Lambda Power Tuning does it.

    https://github.com/alexcasalboni/aws-lambda-power-tuning. The function's own setting is put back at the end.
    """
    functions, name = lab.client("lambda"), lab.outputs(lab.app_stack)["PredictFunction"]
    before = functions.get_function_configuration(FunctionName=name)["MemorySize"]

    def choose(size: int) -> None:
        functions.update_function_configuration(FunctionName=name, MemorySize=size)
        functions.get_waiter("function_updated_v2").wait(FunctionName=name)

    result = {}
    try:
        for size in sizes:
            choose(size)
            load.run(url, pictures, count=3)
            answers = [answer.body for answer in load.run(url, pictures, count=repeats).answers if answer.ok]
            timings = [answer["timings_ms"] for answer in answers]
            result[size] = float(np.median([timing["decode"] + timing["predict"] for timing in timings]))
    finally:
        choose(before)
    return result
