"""The function beside what people would use instead: cold start, warm prediction, package, memory, accuracy.

    make bench                                    everything but `lab`; what needs pictures only where they are given
    make bench ARGS="cold warm"                   parts of it
    make bench ARGS="accuracy --data <folder>"    Imagenette: train/ and val/, in each a folder per class, named by wnid

All variants answer the same event from the same model store on loopback, in new processes of the same Python, which
has boto3 and nothing else, as Lambda's has; each variant brings its own packages. Rounds take the variants in an order
drawn anew. Results go to benchmarks/results.json, and from there into README.md's tables (benchmarks/report.py).
"""

import argparse
import base64
import compileall
import hashlib
import io
import json
import os
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

from benchmarks import floor, lab, machine, report
from predict import images
from predict.limits import MEGABYTES_PER_VCPU
from predict.predictor import Predictor
from workshop import models
from workshop.deployment import build

BENCHMARKS = Path(__file__).resolve().parent

ROOT = BENCHMARKS.parent

WORK = ROOT / ".build" / "bench"
ARTIFACT = ROOT / ".build" / "sam" / "Predict"
PYTHON = ROOT / ".venv-emulator" / "bin" / "python"
BUCKET, PREFIX = "store", "models/practice"
STORE = WORK / "store" / BUCKET / PREFIX
GRAIN = 12  # standard deviation, of 255: it makes the bytes of a drawn picture as many as a photograph's
SMALL, LARGE = (500, 375), (4000, 3000)
CHECKED = 300  # pictures on which converted networks are held to the original before anything is timed
CALIBRATION = 256  # training pictures for ONNX Runtime's int8
TOLERANCE = 1e-4  # of a probability, between float32 networks


@dataclass(frozen=True)
class Variant:
    """One way to serve the model: a handler, its packages, its environment; `cold`: whether it is started cold, too."""

    handler: str
    package: str
    environment: dict[str, str] = field(default_factory=dict)
    cold: bool = True


class _Template(yaml.SafeLoader):
    """YAML with CloudFormation's short functions, which are not read."""


_Template.add_multi_constructor("!", lambda loader, suffix, node: None)


def our_handler() -> str:
    """The handler that template.yml gives to Lambda."""
    template = yaml.load((ROOT / "template.yml").read_text(), _Template)
    return template["Resources"]["Predict"]["Properties"]["Handler"]


OURS, OURS_INT8, PER_REQUEST, MODULE = report.OURS, report.OURS_INT8, report.PER_REQUEST, report.MODULE
VARIANTS = {
    OURS: Variant(our_handler(), "artifact"),
    OURS_INT8: Variant(our_handler(), "artifact", {"MODEL_SYMBOL_FILE_NAME": "resnet-18-int8-symbol.json"}),
    PER_REQUEST: Variant("peers.mxnet_per_request.handler", "mxnet"),
    MODULE: Variant("peers.mxnet_module.handler", "mxnet"),
    report.ORT: Variant("peers.onnx_runtime.handler", "onnxruntime", {"PEER_NETWORK": "resnet-18.onnx"}),
    report.ORT_INT8: Variant("peers.onnx_runtime.handler", "onnxruntime", {"PEER_NETWORK": "resnet-18-int8.onnx"}),
    report.OPENCV: Variant("peers.opencv_dnn.handler", "mxnet", cold=False),
    report.PYTORCH: Variant("peers.pytorch.handler", "pytorch", cold=False),
}
LEVELS = ("ALL", "AVX512_CORE", "AVX2")  # of DNNL_MAX_CPU_ISA: all there is; AVX-512 without VNNI; AVX2


def spread(seconds: list[float]) -> dict[str, float]:
    """Milliseconds: median, quartiles, 95th and 99th percentile, and of how many."""
    q = np.percentile(np.array(seconds) * 1e3, [25, 50, 75, 95, 99])
    names = ("q25", "median", "q75", "p95", "p99")
    return {**{name: round(float(value), 2) for name, value in zip(names, q, strict=True)}, "n": len(seconds)}


def shuffled(names: list[str]) -> list[str]:
    return random.sample(names, len(names))


# --- What is prepared ------------------------------------------------------------------------------------------------


def prepare(data: Path | None) -> None:
    """The artifact, the peers' packages and the model store's folder, where they are missing or out of date."""
    WORK.mkdir(parents=True, exist_ok=True)
    sources = hashlib.sha256()
    for file in [ROOT / "template.yml", ROOT / "buildspec.yml", *sorted((ROOT / "lambda_src").rglob("*"))]:
        if file.is_file() and "__pycache__" not in file.parts:
            sources.update(file.read_bytes())
    built_from = WORK / "artifact.sha256"
    if not ARTIFACT.is_dir() or not built_from.exists() or built_from.read_text() != sources.hexdigest():
        print("building the artifact", flush=True)
        build.run_phase("build", dict(os.environ))
        built_from.write_text(sources.hexdigest())
    for package in sorted({variant.package for variant in VARIANTS.values()} - {"artifact"} | {"convert"}):
        install(package)
    compileall.compile_dir(BENCHMARKS / "peers", quiet=2)
    fill_store(data)


def install(package: str) -> None:
    """What `requirements/<package>.txt` names, into a folder of its own."""
    requirements, folder = BENCHMARKS / "requirements" / f"{package}.txt", WORK / package
    stamp = folder / "made-from.txt"
    if stamp.exists() and stamp.read_text() == requirements.read_text():
        return
    print(f"installing {package}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder), "-r", str(requirements)]
    subprocess.run(command, check=True)
    stamp.write_text(requirements.read_text())


def fill_store(data: Path | None) -> None:
    """The practice model as the lab stores it, and the same weights as ONNX; int8 by ONNX Runtime given data."""
    shutil.rmtree(WORK / "store", ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=WORK) as folder:
        shutil.copytree(models.fetch("practice", Path(folder)).folder, STORE)
    for file in converted(data).glob("*.onnx"):
        shutil.copy(file, STORE)
    files = [file for file in sorted(STORE.iterdir()) if file.name != models.MANIFEST]
    (STORE / models.MANIFEST).write_text("".join(f"{models.sha256(file)}  {file.name}\n" for file in files))


def converted(data: Path | None) -> Path:
    """The folder of the ONNX files, made where they are missing or out of date."""
    folder = WORK / "onnx"
    stamp = folder / "made-from.txt"
    found = stamp.read_text() if stamp.exists() else ""
    sources = models.sha256(STORE / models.PARAMS) + models.sha256(BENCHMARKS / "peers" / "convert.py")
    if found == f"{sources} int8" or (found == sources and not data):
        return folder
    print("converting the model", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    arguments = [str(STORE), str(folder)]
    if data:
        arguments.append(str(folder / "calibration.npy"))
        np.save(arguments[-1], np.concatenate([pixels(file) for file, _ in pictures(data / "train", CALIBRATION)]))
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{WORK / 'convert'}:{BENCHMARKS}"}
    subprocess.run([sys.executable, "-m", "peers.convert", *arguments], env=environment, check=True)
    stamp.write_text(sources + (" int8" if data else ""))
    return folder


def pictures(folder: Path, most: int | None = None) -> list[tuple[Path, str]]:
    """The labelled pictures of `folder` (a sub-folder per class, named by wnid), or `most` of them drawn at random."""
    wnids = {line.split()[0] for line in (models.PRACTICE / models.SYNSET).read_text().splitlines()}
    found = [(file, file.parent.name) for file in sorted(folder.glob("*/*")) if file.parent.name in wnids]
    if not found:
        raise SystemExit(f"{folder} has no folders of pictures named {', '.join(sorted(wnids))[:30]}…")
    return random.Random(1).sample(found, most) if most else found


def pixels(file: Path) -> np.ndarray:
    """A picture as the function prepares it, uint8 (1, 3, 224, 224)."""
    return np.asarray(images.network_input(file.read_bytes()))


def drawn(size: tuple[int, int]) -> bytes:
    """A JPEG of that size: a sample of the lab's with the grain of a photograph."""
    from PIL import Image

    image = Image.open(ROOT / "notebooks" / "samples" / "church.jpg").convert("RGB").resize(size)
    grain = np.random.default_rng(1).normal(0, GRAIN, (size[1], size[0], 1))
    noisy = Image.fromarray(np.clip(np.asarray(image, np.float32) + grain, 0, 255).astype(np.uint8))
    jpeg = io.BytesIO()
    noisy.save(jpeg, "JPEG", quality=75)
    return jpeg.getvalue()


def event(image: bytes) -> dict:
    """An API Gateway event that posts an image."""
    return {
        "httpMethod": "POST",
        "path": "/predict",
        "headers": {"Content-Type": "image/jpeg"},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "requestContext": {"requestId": "00000000-0000-0000-0000-000000000000"},
        "body": base64.b64encode(image).decode(),
        "isBase64Encoded": True,
    }


def event_file(size: tuple[int, int]) -> str:
    file = WORK / f"event-{size[0]}x{size[1]}.json"
    if not file.exists():
        file.write_text(json.dumps(event(drawn(size))))
    return str(file)


# --- Processes -------------------------------------------------------------------------------------------------------


@contextmanager
def running_store() -> Iterator[tuple[str, int]]:
    """The model store's address and process id."""
    with subprocess.Popen(
        [sys.executable, str(BENCHMARKS / "store.py"), str(WORK / "store")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as process:  # fmt: skip
        yield f"http://127.0.0.1:{int(process.stdout.readline())}", process.pid
        process.stdin.close()


class Child:
    """A process of one variant; `ask` sends it one command. `core`: the only one it may use."""

    def __init__(
        self,
        name: str,
        endpoint: str,
        threads: int = 1,
        more: dict[str, str] | None = None,
        core: int | None = None,
        python: Path = PYTHON,
    ):
        variant = VARIANTS[name]
        ours = variant.package == "artifact"
        environment = {
            "PATH": os.defpath,
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(ARTIFACT) if ours else f"{WORK / variant.package}:{BENCHMARKS}",
            "PYTHONDONTWRITEBYTECODE": "1",  # Lambda's /var/task cannot be written
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
            # The function derives its threads from its memory; the peers are told.
            **({} if ours else {"OMP_NUM_THREADS": str(threads), "OPENCV_FOR_THREADS_NUM": str(threads)}),
            **variant.environment,
            **(more or {}),
        }
        self.name = name
        self.log = tempfile.TemporaryFile("w+", dir=WORK)  # noqa: SIM115  a pipe would fill
        command = [str(python), "-P", "-W", "ignore", str(BENCHMARKS / "child.py"), variant.handler]
        self.process = subprocess.Popen(
            [*command, repr(time.monotonic()), *([] if core is None else [str(core)])],
            env=environment, text=True, cwd=WORK, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log,
        )  # fmt: skip

    def ask(self, **command) -> dict:
        """The answer to one command. Raises RuntimeError where the process ended or the handler's status is not 200."""
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

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        self.log.close()


# --- What is measured ------------------------------------------------------------------------------------------------


class Bench:
    """The parts, each a method that returns what goes into the results under its name."""

    def __init__(self, names: list[str], endpoint: str, store_pid: int, options: argparse.Namespace):
        self.names, self.endpoint, self.store_pid, self.options = names, endpoint, store_pid, options
        self.ours = [name for name in names if VARIANTS[name].package == "artifact"]

    def same(self) -> dict:
        """The largest difference of a probability from the function's float32, on the same prepared pictures."""
        with tempfile.NamedTemporaryFile(dir=WORK) as file:
            if self.options.data:
                prepared = [pixels(file) for file, _ in pictures(self.options.data / "val", CHECKED)]
            else:
                prepared = [pixels(file) for file in sorted((ROOT / "notebooks" / "samples").glob("*.jpg"))]
            batch = np.concatenate(prepared)
            file.write(batch.tobytes())
            file.flush()
            runs = {name: (name, {}) for name in [OURS, *self.names] if name != PER_REQUEST}
            runs |= {
                f"{name}, {level}": (name, {"DNNL_MAX_CPU_ISA": level}) for name in self.ours for level in LEVELS[1:]
            }
            found = {}
            for title, (name, more) in runs.items():
                with Child(name, self.endpoint, more=more) as child:
                    child.ask(event=event_file(SMALL), times=1)
                    found[title] = np.array(child.ask(probabilities=file.name)["probabilities"])
        result = {}
        for name, probabilities in found.items():
            difference = float(np.abs(probabilities - found[OURS]).max())
            if "int8" not in name and difference > TOLERANCE:
                raise SystemExit(f"{name} is another network: a probability differs by {difference:.1e}")
            result[name] = {"pictures": len(batch), "largest_difference": float(f"{difference:.2g}")}
        return result

    def floor(self) -> dict:
        """What the machine could do at best."""
        return floor.measure(STORE, WORK, self.endpoint + f"/{BUCKET}/{PREFIX}")

    def cold(self) -> dict:
        """New process to first answer, the model in the store, one thread: total, stages, and the most memory it took.

        On the whole machine, and with one core for the function and another for the store.
        """
        names = [name for name in self.names if VARIANTS[name].cold]
        result = {"whole machine": self._cold(names, None)}
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) > 1:
            for task in Path(f"/proc/{self.store_pid}/task").iterdir():
                os.sched_setaffinity(int(task.name), {cores[1]})
            result["one core"] = self._cold(names, cores[0])
            for task in Path(f"/proc/{self.store_pid}/task").iterdir():
                os.sched_setaffinity(int(task.name), cores)
        return result

    def _cold(self, names: list[str], core: int | None) -> dict:
        taken: dict[str, list[dict]] = {name: [] for name in names}
        for round_number in range(-1, self.options.rounds):  # the first is not counted: it fills the page cache
            for name in shuffled(names):
                with Child(name, self.endpoint, core=core) as child:
                    first = child.ask(event=event_file(SMALL), times=1)
                    if round_number >= 0:
                        taken[name].append({**first, **child.ask(memory=True)})
        result = {}
        for name, runs in taken.items():
            stages = {
                stage: [round(statistics.median(run["stages"][stage][end] for run in runs) * 1e3, 1) for end in (0, 1)]
                for stage in runs[0]["stages"]
            }
            result[name] = {
                **spread([run["since_start"] for run in runs]),
                "stages": stages,
                "peak_mb": round(statistics.median((run["peak"] + run["children"]) / 1e6 for run in runs), 1),
            }
        return result

    def warm(self) -> dict:
        """The whole handler on a small and a large picture, and the network alone, on one thread and on two."""
        commands = {
            "500 x 375": {"event": event_file(SMALL), "times": 25},
            "4000 x 3000": {"event": event_file(LARGE), "times": 4},
            "network": {"network": 15},
        }
        return {str(threads): self._in_turn(self.names, commands, threads) for threads in (1, 2)}

    def _in_turn(self, names, commands: dict[str, dict], threads: int = 1, more: dict[str, str] | None = None) -> dict:
        """Each command in turn with each variant, in processes that stay: spreads by command and variant."""
        with ExitStack() as stack:
            children = {name: stack.enter_context(Child(name, self.endpoint, threads, more)) for name in names}
            for name, child in children.items():
                child.ask(event=event_file(SMALL), times=2 if name == PER_REQUEST else 10)
            times: dict[str, dict[str, list[float]]] = {command: {} for command in commands}
            for _ in range(self.options.rounds):
                for title, command in commands.items():
                    for name in shuffled(names):
                        if name == PER_REQUEST and "network" in command:
                            continue  # it has none of its own between requests
                        fewer = {"times": 2} if name == PER_REQUEST else {}
                        times[title].setdefault(name, []).extend(children[name].ask(**command | fewer)["times"])
        return {title: {name: spread(taken) for name, taken in found.items()} for title, found in times.items()}

    def isa(self) -> dict:
        """The function's network alone with oneDNN held to older instruction sets, as on older hosts."""
        command = {"network": {"network": 10}}
        return {level: self._in_turn(self.ours, command, 1, {"DNNL_MAX_CPU_ISA": level})["network"] for level in LEVELS}

    def sizes(self) -> dict:
        """Warm time of the function against the picture's size."""
        areas = [(250, 188), (500, 375), (1000, 750), (2000, 1500), (4000, 3000)]
        commands = {f"{w} x {h}": {"event": event_file((w, h)), "times": 3} for w, h in areas}
        return {title: found[OURS] for title, found in self._in_turn([OURS], commands).items()}

    def threads(self) -> dict:
        """The function's threads and its network's time by its memory setting, MB."""
        result = {}
        for megabytes in (512, 1024, 1769, 2700, 3538, 5307):
            with Child(OURS, self.endpoint, more={"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(megabytes)}) as child:
                child.ask(event=event_file(SMALL), times=10)
                times = child.ask(network=10 * self.options.rounds)["times"]
                result[str(megabytes)] = {**child.ask(threads=True), **spread(times)}
        return result

    def memory(self) -> dict:
        """Resident memory of the function, MB, its decoder's own included, over many requests."""
        result, requests = {}, self.options.requests
        for name in self.ours:
            with Child(name, self.endpoint) as child:
                result[name] = []
                for done in range(0, requests + 1, requests // 10):
                    child.ask(event=event_file(SMALL), times=requests // 10 if done else 1)
                    now = child.ask(memory=True)
                    result[name].append([done or 1, round((now["resident"] + now["children"]) / 1e6, 1)])
        return result

    def package(self) -> dict:
        """Bytes of what each variant uploads, the model not counted: on disk, and as a zip."""
        result = {}
        for folder in sorted({VARIANTS[name].package for name in self.names if VARIANTS[name].cold}):
            path = ARTIFACT if folder == "artifact" else WORK / folder
            files = [file for file in sorted(path.rglob("*")) if file.is_file() and file.name != "made-from.txt"]
            with tempfile.TemporaryFile(dir=WORK) as target:
                with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
                    for file in files:
                        archive.write(file, file.relative_to(path))
                zipped = target.tell()
            for file in files:  # read whole, a file is cached in larger pieces, of which a process then maps more
                with file.open("rb") as read:
                    os.posix_fadvise(read.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            result[folder] = {"unzipped": sum(file.stat().st_size for file in files), "zipped": zipped}
        return result

    def accuracy(self) -> dict:
        """Top-1 of each variant's whole handler on labelled pictures, and how often it agrees with our float32."""
        files = pictures(self.options.data / "val", self.options.most)
        answers = {}
        with tempfile.TemporaryDirectory(dir=WORK) as folder:
            events = [Path(folder) / f"{index}.json" for index in range(len(files))]
            for place, (file, _) in zip(events, files, strict=True):
                place.write_text(json.dumps(event(file.read_bytes())))
            # The other float32 networks are this one to the last digits: part `same`.
            runs = {name: (name, {}) for name in self.names if name in (*self.ours, report.ORT, report.ORT_INT8)}
            if OURS_INT8 in self.names:
                runs |= {f"{OURS_INT8}, {level}": (OURS_INT8, {"DNNL_MAX_CPU_ISA": level}) for level in LEVELS[1:]}
            for title, (name, more) in runs.items():
                with Child(name, self.endpoint, more=more) as child:
                    found = [json.loads(child.ask(event=str(place), times=1)["answer"]["body"]) for place in events]
                answers[title] = [one["predictions"] for one in found]
                print(f"  {title}", flush=True)
        return compare(answers, [wnid for _, wnid in files])

    def large(self) -> dict:
        """What decoding at a part of a large picture's size changes: enlarged pictures, decoded both ways."""
        from PIL import Image

        labels = models.PRACTICE.joinpath(models.SYNSET).read_text().splitlines()
        predictor = Predictor((STORE / models.SYMBOL).read_bytes(), (STORE / models.PARAMS).read_bytes(), labels)
        chosen = pictures(self.options.data / "val", 100)
        same, shift = 0, 0.0
        for file, _ in chosen:
            jpeg = io.BytesIO()
            Image.open(file).convert("RGB").resize(LARGE, Image.Resampling.BICUBIC).save(jpeg, "JPEG", quality=90)
            whole = np.array(predictor.predict(images.prepare(images.decode(jpeg.getvalue()))))
            scaled = np.array(predictor.predict(images.network_input(jpeg.getvalue())))
            same += int(whole.argmax() == scaled.argmax())
            shift = max(shift, float(np.abs(whole - scaled).max()))
        return {"pictures": len(chosen), "same_class": same, "largest_difference": round(shift, 4)}

    def lab(self) -> dict:
        """A newcomer's times: a fresh clone to the first prediction, and `make deploy` again."""
        return lab.measure()


def compare(answers: dict[str, list[list[dict]]], truth: list[str]) -> dict:
    """Top-1 and agreement with the first, from each variant's lists of predictions, best first."""
    best = {name: [found[0]["class"].split()[0] for found in lists] for name, lists in answers.items()}
    reference = next(iter(answers))
    tables = {
        name: [{p["class"]: p["probability"] for p in found} for found in lists] for name, lists in answers.items()
    }
    result = {}
    for name in answers:
        pairs = zip(tables[name], tables[reference], strict=True)
        shift = max(abs(a[label] - b[label]) for a, b in pairs for label in a.keys() & b.keys())
        result[name] = {
            "pictures": len(truth),
            "top1": round(statistics.mean(a == b for a, b in zip(best[name], truth, strict=True)), 4),
            "agreement": round(statistics.mean(a == b for a, b in zip(best[name], best[reference], strict=True)), 4),
            "largest_difference": round(shift, 4),
        }
    return result


TIMED = ("same", "floor", "cold", "warm", "isa", "sizes", "threads")
COUNTED = ("package", "memory")
NEED_PICTURES = ("accuracy", "large")
PARTS = (*TIMED, *COUNTED, *NEED_PICTURES, "lab")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; default: all but lab")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--requests", type=int, default=10_000, help="of `memory`")
    parser.add_argument("--data", type=Path, default=os.environ.get("BENCH_DATA"), help="Imagenette; also BENCH_DATA")
    parser.add_argument("--most", type=int, help="so many pictures for `accuracy`, drawn at random; default: all")
    parser.add_argument("--only", default="", help="variants whose name holds this")
    parser.add_argument("--results", type=Path, default=report.RESULTS)
    options = parser.parse_args()
    options.data = Path(options.data) if options.data else None
    parts = options.parts or [part for part in PARTS if part != "lab" and (options.data or part not in NEED_PICTURES)]
    if unknown := set(parts) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}: choose from {', '.join(PARTS)}")
    if not options.data and set(parts) & set(NEED_PICTURES):
        parser.error(f"{' and '.join(NEED_PICTURES)} need --data")
    if parts != ["lab"]:
        prepare(options.data)
    stored = {file.name for file in STORE.iterdir()} if STORE.exists() else set()
    names = []
    for name, variant in VARIANTS.items():
        if not set(variant.environment.values()) <= stored:
            print(f"left out: {name} (the store has no {', '.join(variant.environment.values())})", flush=True)
        elif options.only in name:
            names.append(name)
    results = json.loads(options.results.read_text()) if options.results.exists() else {}
    results["machine"] = machine.describe()
    random.seed(1)
    with running_store() as (endpoint, pid):
        bench = Bench(names, endpoint, pid, options)
        for part in parts:
            begun, load = time.monotonic(), os.getloadavg()[0]
            results[part] = getattr(bench, part)()
            results.setdefault("runs", {})[part] = {
                "date": time.strftime("%Y-%m-%d", time.gmtime()),
                "load_before": round(load, 1),
                "seconds": round(time.monotonic() - begun),
            }
            options.results.write_text(json.dumps(results, indent=1) + "\n")
            print(f"{part}: {results['runs'][part]['seconds']} s", flush=True)
    if options.results == report.RESULTS:
        report.write()


if __name__ == "__main__":
    main()
