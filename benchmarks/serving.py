"""The function beside what people would use instead: cold start, warm prediction, package, memory, accuracy.

    make bench                                   everything but `lab` and `accuracy`
    make bench ARGS="cold warm"                  parts of it
    make bench ARGS="accuracy --data <folder>"   a sub-folder of pictures per class, named by its WordNet id

All variants answer the same event from the same model store on loopback, in new processes of the same Python, which
has boto3 and nothing else, as Lambda's has; each variant brings its own packages. Rounds take the variants in turn.
Results go to benchmarks/serving.json, and `benchmarks/report.py` makes README.md's tables of them.
"""

import argparse
import base64
import io
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import yaml

BENCHMARKS = Path(__file__).resolve().parent
ROOT = BENCHMARKS.parent
sys.path.insert(0, str(ROOT / "notebooks"))

from workshop import build, models  # noqa: E402

WORK = ROOT / ".build" / "bench"
ARTIFACT = ROOT / ".build" / "sam" / "Predict"
PYTHON = ROOT / ".venv-emulator" / "bin" / "python"
RESULTS = BENCHMARKS / "serving.json"
BUCKET, PREFIX = "store", "models/practice"
ENTROPY = 12  # standard deviation of the grain, of 255, that makes drawn pictures cost what photographs cost
SMALL, LARGE = (500, 375), (4000, 3000)
MEGABYTES_PER_VCPU = 1769


@dataclass(frozen=True)
class Variant:
    """One way to serve the model: a handler, its packages, and its environment."""

    handler: str
    package: str
    environment: dict[str, str] = field(default_factory=dict)
    cold: bool = True


def handler_of_the_function() -> str:
    class Loader(yaml.SafeLoader):
        pass

    Loader.add_multi_constructor("!", lambda loader, suffix, node: None)
    template = yaml.load((ROOT / "template.yml").read_text(), Loader)
    return template["Resources"]["Predict"]["Properties"]["Handler"]


OURS, OURS_INT8 = "this function, float32", "this function, int8"
VARIANTS = {
    OURS: Variant(handler_of_the_function(), "artifact"),
    OURS_INT8: Variant(handler_of_the_function(), "artifact", {"MODEL_SYMBOL_FILE_NAME": "resnet-18-int8-symbol.json"}),
    "MXNet, per request": Variant("peers.mxnet_per_request.handler", "mxnet"),
    "MXNet, Module bound once": Variant("peers.mxnet_module.handler", "mxnet"),
    "ONNX Runtime, float32": Variant("peers.onnx_runtime.handler", "onnxruntime"),
    "ONNX Runtime, int8": Variant("peers.onnx_runtime.handler", "onnxruntime", {"PEER_NETWORK": "resnet-18-int8.onnx"}),
    "OpenCV dnn": Variant("peers.opencv_dnn.handler", "mxnet", cold=False),
    "PyTorch": Variant("peers.pytorch.handler", "pytorch", cold=False),
}
PER_REQUEST = "MXNet, per request"


def spread(seconds: list[float]) -> dict[str, float]:
    """Milliseconds: median, quartiles, 95th and 99th percentile, and of how many."""
    q = np.percentile(np.array(seconds) * 1e3, [25, 50, 75, 95, 99])
    names = ("q25", "median", "q75", "p95", "p99")
    return {**{name: round(float(value), 2) for name, value in zip(names, q, strict=True)}, "n": len(seconds)}


# --- What is prepared ---


def prepare(names: list[str], calibration: Path | None) -> None:
    """The artifact, the peers' packages and the model store's folder, where they are missing."""
    WORK.mkdir(parents=True, exist_ok=True)
    if not ARTIFACT.is_dir():
        print("building the artifact", flush=True)
        build.run_phase("build", dict(os.environ))
    for package in sorted({VARIANTS[name].package for name in names} - {"artifact"} | {"convert"}):
        install(package)
    store = WORK / "store" / BUCKET / PREFIX
    if not (store / "resnet-18.onnx").exists():
        partial = WORK / "store.part"
        shutil.rmtree(partial, ignore_errors=True)
        fetched = models.fetch("practice", partial / "fetched")
        folder = partial / "made"
        folder.mkdir()
        for file in Path(fetched.folder).iterdir():
            shutil.copy(file, folder)
        arguments = [str(fetched.folder), str(folder), *([str(calibration)] if calibration else [])]
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{WORK / 'convert'}:{BENCHMARKS}"}
        subprocess.run([sys.executable, "-m", "peers.convert", *arguments], env=environment, check=True)
        sums = [
            f"{models.sha256(file)}  {file.name}\n" for file in sorted(folder.iterdir()) if file.name != "SHA256SUMS"
        ]
        (folder / "SHA256SUMS").write_text("".join(sums))
        store.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(store, ignore_errors=True)
        folder.rename(store)


def install(package: str) -> None:
    """What `requirements/<package>.txt` names, into a folder of its own."""
    folder = WORK / package
    if folder.is_dir():
        return
    print(f"installing {package}", flush=True)
    partial = folder.with_suffix(".part")
    shutil.rmtree(partial, ignore_errors=True)
    requirements = BENCHMARKS / "requirements" / f"{package}.txt"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(partial), "-r", str(requirements)]
    subprocess.run(command, check=True)
    partial.rename(folder)


def event(size: tuple[int, int]) -> Path:
    """An API Gateway event that posts a JPEG of that size: a drawn sample with the grain of a photograph."""
    from PIL import Image

    file = WORK / f"event-{size[0]}x{size[1]}.json"
    if not file.exists():
        image = Image.open(ROOT / "notebooks" / "samples" / "church.jpg").convert("RGB").resize(size)
        grain = np.random.default_rng(1).normal(0, ENTROPY, (size[1], size[0], 1))
        noisy = Image.fromarray(np.clip(np.asarray(image, np.float32) + grain, 0, 255).astype(np.uint8))
        jpeg = io.BytesIO()
        noisy.save(jpeg, "JPEG", quality=75)
        posted = {
            "httpMethod": "POST",
            "path": "/predict",
            "headers": {"Content-Type": "image/jpeg"},
            "queryStringParameters": None,
            "multiValueQueryStringParameters": None,
            "requestContext": {"requestId": "00000000-0000-0000-0000-000000000000"},
            "body": base64.b64encode(jpeg.getvalue()).decode(),
            "isBase64Encoded": True,
        }
        file.write_text(json.dumps(posted))
    return file


# --- Processes


@contextmanager
def running_store() -> Iterator[str]:
    with subprocess.Popen(
        [sys.executable, str(BENCHMARKS / "store.py"), str(WORK / "store")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as process:  # fmt: skip
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.stdin.close()


class Child:
    """A process of one variant; `ask` sends it one command."""

    def __init__(self, name: str, endpoint: str, threads: int = 1, more: dict[str, str] | None = None):
        variant = VARIANTS[name]
        package = ARTIFACT if variant.package == "artifact" else WORK / variant.package
        paths = [package] if variant.package == "artifact" else [package, BENCHMARKS]
        environment = {
            "PATH": os.defpath,
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_LAMBDA_FUNCTION_NAME": "predict",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(MEGABYTES_PER_VCPU * threads),
            "MODEL_STORE_BUCKET_NAME": BUCKET,
            "MODEL_STORE_PREFIX": PREFIX,
            "MODEL_PARAMS_FILE_NAME": models.PARAMS,
            "MODEL_SYMBOL_FILE_NAME": models.SYMBOL,
            "MODEL_SYNSET_FILE_NAME": models.SYNSET,
            **({} if variant.package == "artifact" else {"OMP_NUM_THREADS": str(threads)}),
            **variant.environment,
            **(more or {}),
        }
        self.name = name
        command = [str(PYTHON), "-W", "ignore", str(BENCHMARKS / "child.py"), variant.handler]
        self.log = tempfile.TemporaryFile("w+", dir=WORK)  # noqa: SIM115 - closed by close; a pipe would fill
        self.process = subprocess.Popen(
            [*command, repr(time.monotonic())], env=environment, text=True, cwd=WORK,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log,
        )  # fmt: skip

    def ask(self, **command) -> dict:
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            self.log.seek(0)
            raise RuntimeError(f"{self.name} ended: {self.log.read()[-3000:]}")
        result = json.loads(line)
        if result.get("answer", {"statusCode": 200})["statusCode"] != 200:
            raise RuntimeError(f"{self.name} answered {result['answer']}")
        return result

    def close(self) -> None:
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(30)
        self.log.close()

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self.close()


# --- What is measured ---


def cold(names: list[str], endpoint: str, rounds: int) -> dict:
    """New process to first answer, the model in the store, one thread: total, stages, and the most memory it took."""
    names = [name for name in names if VARIANTS[name].cold]
    taken: dict[str, list[dict]] = {name: [] for name in names}
    small = str(event(SMALL))
    for round_number in range(-1, rounds):  # one that is not counted, for the page cache and the bytecode
        for name in random.sample(names, len(names)):
            with Child(name, endpoint) as child:
                first = child.ask(event=small, times=1)
                if round_number >= 0:
                    taken[name].append({**first, **child.ask(memory=True)})
    result = {}
    for name, runs in taken.items():
        stages = {
            stage: [round(statistics.median(run["stages"][stage][end] for run in runs) * 1e3, 1) for end in (0, 1)]
            for stage in runs[0]["stages"]
        }
        peaks = [(run["peak"] + run["children"]) / 1e6 for run in runs]
        result[name] = {
            **spread([run["since_start"] for run in runs]),
            "stages": stages,
            "peak_mb": round(statistics.median(peaks), 1),
        }
    return result


def warm(names: list[str], endpoint: str, rounds: int, threads: int, size: tuple[int, int], times: int = 10) -> dict:
    """Repeated events through the whole handler."""
    return _in_turn(names, endpoint, rounds, threads, {"event": str(event(size)), "times": times})


def network(names: list[str], endpoint: str, rounds: int, threads: int, more: dict[str, str] | None = None) -> dict:
    """The network alone. MXNet per request is left out: it has no network of its own between requests."""
    names = [name for name in names if name != PER_REQUEST]
    return _in_turn(names, endpoint, rounds, threads, {"network": 20}, more)


def _in_turn(names, endpoint, rounds, threads, command, more=None) -> dict:
    with ExitStack() as stack:
        children = {name: stack.enter_context(Child(name, endpoint, threads, more)) for name in names}
        small = str(event(SMALL))
        for name, child in children.items():
            child.ask(event=small, times=2 if name == PER_REQUEST else 5)
        times: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(rounds):
            for name in random.sample(names, len(names)):
                few = {**command, "times": 2} if name == PER_REQUEST else command
                times[name] += children[name].ask(**few)["times"]
    return {name: spread(taken) for name, taken in times.items()}


def isa(names: list[str], endpoint: str, rounds: int) -> dict:
    """Our network alone with oneDNN held to older instruction sets, as on older hosts."""
    ours = [name for name in names if name in (OURS, OURS_INT8)]
    return {
        level: network(ours, endpoint, rounds, 1, {"DNNL_MAX_CPU_ISA": level})
        for level in ("ALL", "AVX512_CORE_VNNI", "AVX512_CORE", "AVX2")
    }


def sizes(endpoint: str, rounds: int) -> dict:
    """Warm time of this function against the picture's size."""
    areas = [(250, 188), (500, 375), (1000, 750), (2000, 1500), (4000, 3000)]
    return {f"{w} x {h}": warm([OURS], endpoint, rounds, 1, (w, h))[OURS] for w, h in areas}


def memory(names: list[str], endpoint: str, requests: int) -> dict:
    """Resident memory of this function, MB, over many requests."""
    result = {}
    for name in [name for name in names if name in (OURS, OURS_INT8)]:
        with Child(name, endpoint) as child:
            series = []
            for done in range(0, requests + 1, requests // 10):
                child.ask(event=str(event(SMALL)), times=requests // 10 if done else 1)
                now = child.ask(memory=True)
                series.append([done or 1, round((now["resident"] + now["children"]) / 1e6, 1)])
            result[name] = series
    return result


def package(names: list[str]) -> dict:
    """Bytes of what each variant would upload, the model not counted: on disk, and as a zip."""
    result = {}
    for folder in sorted({VARIANTS[name].package for name in names}):
        path = ARTIFACT if folder == "artifact" else WORK / folder
        files = [file for file in sorted(path.rglob("*")) if file.is_file()]
        with tempfile.TemporaryFile(dir=WORK) as target:
            with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
                for file in files:
                    archive.write(file, file.relative_to(path))
            zipped = target.tell()
        result[folder] = {"unzipped": sum(file.stat().st_size for file in files), "zipped": zipped}
    return result


def accuracy(names: list[str], endpoint: str, data: Path, most: int | None) -> dict:
    """Top-1 of every variant on labelled pictures, and how often it agrees with this function in float32."""
    synset = [line.split()[0] for line in (ROOT / "models" / "practice" / models.SYNSET).read_text().splitlines()]
    files = [file for wnid in synset for file in sorted((data / wnid).iterdir())]
    if most:
        files = random.Random(1).sample(files, most)
    truth = [file.parent.name for file in files]
    answers = {}
    posted = json.loads(event(SMALL).read_text())
    with tempfile.TemporaryDirectory(dir=WORK) as folder:
        events = []
        for index, file in enumerate(files):
            place = Path(folder) / f"{index}.json"
            body = base64.b64encode(file.read_bytes()).decode()
            place.write_text(json.dumps({**posted, "body": body, "queryStringParameters": None}))
            events.append(str(place))
        for name in [name for name in names if name != PER_REQUEST]:
            with Child(name, endpoint, threads=2) as child:
                found = [json.loads(child.ask(event=place, times=1)["answer"]["body"]) for place in events]
            answers[name] = [{p["class"].split()[0]: p["probability"] for p in one["predictions"]} for one in found]
    best = {name: [max(one, key=one.get) for one in found] for name, found in answers.items()}
    reference = names[0]
    return {
        name: {
            "pictures": len(files),
            "top1": round(statistics.mean(a == b for a, b in zip(best[name], truth, strict=True)), 4),
            "agreement": round(statistics.mean(a == b for a, b in zip(best[name], best[reference], strict=True)), 4),
            "largest_difference": max(
                abs(a.get(k, 0) - p)
                for a, b in zip(answers[name], answers[reference], strict=True)
                for k, p in b.items()
                if k in a
            ),
        }
        for name in answers
    }


def machine() -> dict:
    info = Path("/proc/cpuinfo").read_text()

    def line(key: str) -> str:
        return next((text.partition(":")[2].strip() for text in info.splitlines() if text.startswith(key)), "unknown")

    flags = [
        flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8") if flag in line("flags").split()
    ]
    memory_kb = int(Path("/proc/meminfo").read_text().split()[1])
    return {
        "cpu": line("model name"),
        "cores": os.cpu_count(),
        "instruction_sets": flags,
        "memory_gb": round(memory_kb / 1e6),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


PARTS = ("package", "cold", "warm", "network", "isa", "sizes", "memory", "accuracy")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="default: all but accuracy")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--requests", type=int, default=10_000, help="of `memory`")
    parser.add_argument("--data", type=Path, help="labelled pictures, for `accuracy`")
    parser.add_argument("--most", type=int, help="so many pictures for `accuracy`, chosen at random")
    parser.add_argument("--calibration", type=Path, help="training pictures (.npy, uint8) for ONNX Runtime's int8")
    parser.add_argument("--only", help="variants whose name holds this")
    options = parser.parse_args()
    parts = options.parts or [part for part in PARTS if part != "accuracy"]
    prepare(list(VARIANTS), options.calibration)
    stored = {file.name for file in (WORK / "store" / BUCKET / PREFIX).iterdir()}
    names = [
        name
        for name, variant in VARIANTS.items()
        if (options.only or "") in name
        and all(value in stored for key, value in variant.environment.items() if key != "X")
    ]
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results["machine"] = machine()
    random.seed(1)
    with running_store() as endpoint:
        measures = {
            "package": lambda: package(names),
            "cold": lambda: cold(names, endpoint, options.rounds),
            "warm": lambda: {
                f"{w} x {h}, {threads} thread{'s' * (threads > 1)}": warm(
                    names, endpoint, options.rounds, threads, (w, h)
                )
                for w, h in (SMALL, LARGE)
                for threads in (1, 2)
            },
            "network": lambda: {
                f"{threads} thread{'s' * (threads > 1)}": network(names, endpoint, options.rounds, threads)
                for threads in (1, 2)
            },
            "isa": lambda: isa(names, endpoint, options.rounds),
            "sizes": lambda: sizes(endpoint, options.rounds),
            "memory": lambda: memory(names, endpoint, options.requests),
            "accuracy": lambda: accuracy(names, endpoint, options.data, options.most),
        }
        for part in parts:
            begun = time.monotonic()
            load = os.getloadavg()[0]
            results[part] = measures[part]()
            seconds = round(time.monotonic() - begun, 1)
            results.setdefault("runs", {})[part] = {
                "date": time.strftime("%Y-%m-%d"),
                "load_before": round(load, 1),
                "seconds": seconds,
            }
            RESULTS.write_text(json.dumps(results, indent=1) + "\n")
            print(f"{part}: {seconds} s", flush=True)


if __name__ == "__main__":
    main()
