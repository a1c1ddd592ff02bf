"""The measured process: imports one handler, as Lambda would, and answers events on command.

    python -P benchmarks/child.py <module>.<handler> <seconds since boot when the process was started> [core]

Each line of standard input is a JSON command, each answered by one JSON line on the descriptor that standard output
was: {"event": file, "times": n} runs the handler, {"network": n} the network alone, {"probabilities": file} the network
on the uint8 (N, 3, 224, 224) of a file, {"memory": true} reads memory, {"threads": true} OpenMP's threads. Times are
seconds. Only the standard library is used here, so that it adds little to what is measured.
"""

import time

ENTERED = time.monotonic()

import contextlib  # noqa: E402
import ctypes  # noqa: E402
import functools  # noqa: E402
import importlib  # noqa: E402
import importlib.abc  # noqa: E402
import importlib.machinery  # noqa: E402
import json  # noqa: E402
import math  # noqa: E402
import os  # noqa: E402
import re  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

# The stages of a cold start, of each the longest call. One may lie within another, or beside it. A function that is
# gone is not traced: tests/unit/test_benchmarks.py holds our names to the code. With (): what the function returns.
STAGES = {
    "transfer": ["predict.model_store:get_from_s3()", "peers.common:download"],
    "libraries": ["predict.predictor:load_library"],
    "predictor": ["predict.predictor:Predictor.__init__", "peers.mxnet_module:bind", "peers.onnx_runtime:bind"],
    "load": ["predict.model_store:ModelStore.bind", "peers.mxnet_module:_model", "peers.onnx_runtime:_model"],
    "picture": ["predict.decoder:DecoderProcess.prepare", "peers.common:pillow_input", "peers.common:opencv_input"],
    "prediction": ["predict.predictor:Predictor.run", "peers.mxnet_module:predict", "peers.onnx_runtime:predict"],
}
SHAPE = (1, 3, 224, 224)
spans: dict[str, list[float]] = {}


class Context:
    """What Lambda gives a handler."""

    function_name = "predict"
    function_version = "$LATEST"
    memory_limit_in_mb = int(os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1769"))
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:predict"
    aws_request_id = "00000000-0000-0000-0000-000000000000"

    @staticmethod
    def get_remaining_time_in_millis() -> int:
        return 29_000


class Tracer(importlib.abc.MetaPathFinder):
    """Times the functions of STAGES from the moment that their module is imported, whoever calls them."""

    def find_spec(self, name, path, target=None):
        places = [
            (stage, place) for stage, places in STAGES.items() for place in places if place.startswith(name + ":")
        ]
        if not places:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is None or spec.loader is None:
            return None
        run = spec.loader.exec_module

        def exec_module(module):
            run(module)
            for stage, place in places:
                self.trace(module, place.partition(":")[2].split("."), stage)

        setattr(spec.loader, "exec_module", exec_module)  # noqa: B010  a method of this one loader
        return spec

    @staticmethod
    def trace(owner, path: list[str], stage: str) -> None:
        for part in path[:-1]:
            owner = getattr(owner, part, None)
        name = path[-1].removesuffix("()")
        whole = getattr(owner, name, None)
        if whole is not None:
            made = (lambda *a, **k: timed(whole(*a, **k), stage)) if path[-1].endswith("()") else timed(whole, stage)
            setattr(owner, name, functools.wraps(whole)(made))


def timed(work, stage: str):
    """`work`, with its longest call kept as the stage's."""

    def call(*args, **kwargs):
        begun = time.monotonic()
        try:
            return work(*args, **kwargs)
        finally:
            span = [begun, time.monotonic()]
            spans[stage] = max(spans.get(stage, [0, 0]), span, key=lambda span: span[1] - span[0])

    return call


def memory() -> dict[str, int]:
    """Bytes: the most that was resident in this process, what is now, and what its children have for themselves."""
    status = Path("/proc/self/status").read_text()
    sizes = {name: int(size) * 1024 for name, size in re.findall(r"(\w+):\s+(\d+) kB", status)}
    children = 0
    for task in Path("/proc/self/task").iterdir():
        for child in (task / "children").read_text().split():
            rollup = Path(f"/proc/{child}/smaps_rollup").read_text()
            children += sum(int(size) * 1024 for size in re.findall(r"Private_\w+:\s+(\d+)", rollup))
    return {"peak": sizes["VmHWM"], "resident": sizes["VmRSS"], "children": children}


def threads() -> int:
    """How many threads OpenMP would use here, of the libgomp that is loaded."""
    maps = Path("/proc/self/maps").read_text()
    library = next(line.split()[-1] for line in maps.splitlines() if "libgomp" in line)
    return ctypes.CDLL(library).omp_get_max_threads()


def network(module):
    """Two functions: what runs the module's network alone, and what makes its input of uint8 (1, 3, 224, 224).

    The peers' networks take float32; the function's, which takes pixels, converts them while it is timed. The first
    answer made the model.
    """
    if hasattr(module, "_model") and callable(module._model):
        import numpy as np

        model = module._model()[0]
        return lambda batch: module.predict(model, batch), lambda pixels: np.asarray(pixels, np.float32)
    return sys.modules["predict.model_store"]._model.predictor.predict, lambda pixels: pixels


def main() -> None:
    if len(sys.argv) > 3:
        os.sched_setaffinity(0, {int(sys.argv[3])})
    name, handler_name = sys.argv[1].rsplit(".", 1)
    started = float(sys.argv[2])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # the handler's log
    sys.meta_path.insert(0, Tracer())
    begun = time.monotonic()
    module = importlib.import_module(name)
    handler = getattr(module, handler_name)
    cold = {"interpreter": [started, ENTERED], "imports": [begun, time.monotonic()]}
    stages: dict[str, list[float]] | None = None
    events: dict[str, dict] = {}
    result: dict[str, Any]
    for line in sys.stdin:
        command = json.loads(line)
        if "event" in command:
            event = events.get(command["event"]) or json.loads(Path(command["event"]).read_text())
            if command["times"] > 1:
                events[command["event"]] = event
            times, answer = [], None
            for _ in range(command["times"]):
                begun = time.perf_counter()
                answer = handler(event, Context)
                times.append(time.perf_counter() - begun)
            ended = time.monotonic()
            if stages is None:
                stages = {stage: [since - started, until - started] for stage, (since, until) in (cold | spans).items()}
            result = {"times": times, "answer": answer, "since_start": ended - started, "stages": stages}
        elif "network" in command:
            (run, made), times = network(module), []
            batch = made(memoryview(bytes([127]) * math.prod(SHAPE)).cast("B", SHAPE))
            for _ in range(command["network"]):
                begun = time.perf_counter()
                run(batch)
                times.append(time.perf_counter() - begun)
            result = {"times": times}
        elif "probabilities" in command:
            (run, made), data = network(module), Path(command["probabilities"]).read_bytes()
            size = math.prod(SHAPE)
            batches = (made(memoryview(data[at : at + size]).cast("B", SHAPE)) for at in range(0, len(data), size))
            result = {"probabilities": [[float(value) for value in run(batch)] for batch in batches]}
        elif "threads" in command:
            result = {"threads": threads()}
        else:
            result = memory()
        print(json.dumps(result), file=answers, flush=True)


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        main()
