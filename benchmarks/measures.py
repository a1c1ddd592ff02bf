"""What the benchmarks of serving measure: each part is a method of `Bench`."""

import argparse
import io
import json
import os
import random
import statistics
import tempfile
import zipfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import floor, goals, lab
from benchmarks.preparation import (
    ARTIFACT,
    BUCKET,
    LARGE,
    OURS,
    OURS_INT8,
    PER_REQUEST,
    PREFIX,
    ROOT,
    SMALL,
    STORE,
    VARIANTS,
    WORK,
    event,
    event_file,
    pictures,
    pixels,
)
from benchmarks.processes import Child
from predict import images
from predict.predictor import Predictor
from workshop import models

CHECKED = 300  # pictures on which converted networks are held to the original before anything is timed
TOLERANCE = 1e-4  # of a probability, between float32 networks
LEVELS = ("ALL", "AVX512_CORE", "AVX2")  # of DNNL_MAX_CPU_ISA: all there is; AVX-512 without VNNI; AVX2


def spread(seconds: list[float]) -> dict[str, float]:
    """Milliseconds: median, quartiles, 95th and 99th percentile, and of how many."""
    q = np.percentile(np.array(seconds) * 1e3, [25, 50, 75, 95, 99])
    names = ("q25", "median", "q75", "p95", "p99")
    return {**{name: round(float(value), 2) for name, value in zip(names, q, strict=True)}, "n": len(seconds)}


def shuffled(names: list[str]) -> list[str]:
    return random.sample(names, len(names))


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
            runs: dict[str, tuple[str, dict[str, str]]]
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
                    if first["answer"]["statusCode"] != 200:
                        raise RuntimeError(f"{name} answered {first['answer']} at its first request")
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
        commands: dict[str, dict[str, Any]] = {
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
        result: dict[str, list[list[float]]] = {}
        requests = self.options.requests
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
            runs: dict[str, tuple[str, dict[str, str]]]
            runs = {name: (name, {}) for name in self.names if name in (*self.ours, goals.ORT, goals.ORT_INT8)}
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
            same += int(np.argmax(whole) == np.argmax(scaled))
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
