"""The measured process: imports one handler, as Lambda would, and answers events on command.

    python benchmarks/child.py <module>.<handler> <seconds since boot when the process was started>

Each line of standard input is a JSON command, each answered by one JSON line on the descriptor that standard output
was: {"event": file, "times": n} runs the handler, {"network": n} the network alone, {"memory": true} reads memory.
Times are seconds. Only the standard library is used here, so that it adds nothing to what is measured.
"""

import time

ENTERED = time.monotonic()

import contextlib  # noqa: E402
import functools  # noqa: E402
import importlib  # noqa: E402
import importlib.abc  # noqa: E402
import importlib.machinery  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import re  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402

# The stages of a cold start: what a function's first call takes. One stage may lie within another, or beside it.
STAGES = {
    "load": ["model_store:ModelStore.load", "peers.mxnet_module:_model", "peers.onnx_runtime:_model"],
    "transfer": ["model_store:get_from_s3", "model_store:ModelStore.files", "peers.common:download"],
    "libraries": ["predictor:_library"],
    "predictor": ["predictor:Predictor.__init__"],
    "picture": ["decoder:DecoderProcess.prepare", "peers.common:pillow_input", "peers.common:opencv_input"],
    "first prediction": ["predictor:Predictor.predict", "peers.mxnet_module:predict", "peers.onnx_runtime:predict"],
}
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
    """Times the functions of STAGES from the moment that their module is imported, whoever calls them first."""

    def find_spec(self, name, path, target=None):
        places = [
            (stage, place) for stage, places in STAGES.items() for place in places if place.startswith(name + ":")
        ]
        if not places:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        run = spec.loader.exec_module

        def exec_module(module):
            run(module)
            for stage, place in places:
                self.trace(module, place.partition(":")[2].split("."), stage)

        spec.loader.exec_module = exec_module
        return spec

    @staticmethod
    def trace(owner, path: list[str], stage: str) -> None:
        for part in path[:-1]:
            owner = getattr(owner, part, None)
        whole = getattr(owner, path[-1], None)
        if whole is None:
            return

        @functools.wraps(whole)
        def timed(*args, **kwargs):
            begun = time.monotonic()
            try:
                return whole(*args, **kwargs)
            finally:
                spans.setdefault(stage, [begun, time.monotonic()])

        setattr(owner, path[-1], timed)


def memory() -> dict[str, int]:
    """Bytes: the most that was resident in this process, and what its children have for themselves now."""
    own = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    resident = re.search(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())
    children = 0
    for task in Path("/proc/self/task").iterdir():
        for child in (task / "children").read_text().split():
            rollup = Path(f"/proc/{child}/smaps_rollup").read_text()
            children += sum(int(size) for size in re.findall(r"Private_\w+:\s+(\d+)", rollup))
    return {"peak": int(own[1]) * 1024, "resident": int(resident[1]) * 1024, "children": children * 1024}


def main() -> None:
    name, handler_name = sys.argv[1].rsplit(".", 1)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # the handler's log
    begun = time.monotonic()
    sys.meta_path.insert(0, Tracer())
    module = importlib.import_module(name)
    handler = getattr(module, handler_name)
    imported = time.monotonic()
    started = float(sys.argv[2])
    cold = {"interpreter": [started, ENTERED], "imports": [begun, imported]}
    events = {}
    for line in sys.stdin:
        command = json.loads(line)
        if "event" in command:
            event = events.setdefault(command["event"], json.loads(Path(command["event"]).read_text()))
            times, answer = [], None
            for _ in range(command["times"]):
                begun = time.perf_counter()
                answer = handler(event, Context)
                times.append(time.perf_counter() - begun)
            ended = time.monotonic()
            result = {"times": times, "answer": answer, "since_start": ended - started}
            result["stages"] = {
                stage: [since - started, until - started] for stage, (since, until) in (cold | spans).items()
            }
        elif "network" in command:
            result = {"times": network(module, command["network"])}
        else:
            result = memory()
        print(json.dumps(result), file=answers, flush=True)


def network(module, times: int) -> list[float]:
    """Run the network alone, on a picture that is prepared before."""
    if hasattr(module, "_model") and callable(module._model):
        import numpy as np

        batch = np.full((1, 3, 224, 224), 127, np.float32)
        model = module._model()[0]
        run = module.predict
    else:
        import array

        batch = memoryview(array.array("f", [127.0]) * (3 * 224 * 224)).cast("B").cast("f", (1, 3, 224, 224))
        model = sys.modules["lambda_function"]._model.predictor

        def run(model, batch):
            return model.predict(batch)

    took = []
    for _ in range(times):
        begun = time.perf_counter()
        run(model, batch)
        took.append(time.perf_counter() - begun)
    return took


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        main()
