"""Score a thousand images in bulk on the emulator, and once more with the workers killed; writes benchmarks/bulk.json.

    python -m benchmarks.bulk_run [--images 1000] [--rounds 5] [--port 4566]        after `make deploy`, on Linux

It ends with an error unless each image has exactly one line. Before and after each job, the network alone predicts as
many prepared images, in a process for each core: the job's time is held to the mean of these two, since the machine is
not equally fast from minute to minute. Each job begins without a worker. The images and everything else of bulk scoring
are deleted afterwards.
"""

import argparse
import itertools
import json
import math
import multiprocessing
import os
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from benchmarks.machine import cpu
from predict import images
from predict.predictor import Predictor
from workshop import models
from workshop.emulator import endpoint
from workshop.lab import Lab, connect
from workshop.samples import sample_path
from workshop.scale import bulk

ROOT = Path(__file__).resolve().parents[1]

KILLED_AT = (0.25, 0.5, 0.75)  # of the images
WORKERS, BATCH = 2, 50


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--port", type=int, default=4566)
    chosen = parser.parse_args()
    if chosen.rounds < 2:
        parser.error("quartiles need two rounds and more")
    os.environ["AWS_ENDPOINT_URL"] = endpoint(chosen.port)
    lab = connect("local", "us-east-1", "predictions")
    files = bulk.variants(["golf_ball", "parachute", "church", "gas_pump"], chosen.images)
    files |= {"damaged.jpg": files["00000-golf_ball.jpg"][:60], "notes.txt": b"not a picture"}
    bulk.switch(lab, on=True, concurrency=WORKERS, batch=BATCH)
    try:
        alone, jobs = [network_alone(len(files))], []
        for number in range(chosen.rounds):
            job = f"plain-{number}"
            bulk.put(lab, f"images/{job}/", files)
            bulk.kill_workers(lab)
            jobs.append(timed(lab, job, files))
            bulk.empty(lab, job)
            alone.append(network_alone(len(files)))
        bulk.put(lab, "images/killed/", files)
        killed = timed(lab, "killed", files, KILLED_AT)
    finally:
        bulk.switch(lab, on=False)
    ratios = [2 * job["seconds"] / sum(beside) for job, beside in zip(jobs, itertools.pairwise(alone), strict=True)]
    result = {
        "machine": {"cpu": cpu(), "cores": os.cpu_count()},
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "images": len(files),
        "workers_at_once": WORKERS,
        "images_in_a_batch": BATCH,
        "rounds": chosen.rounds,
        "network_alone": round(statistics.median(alone), 1),
        "of_network_alone": [round(each, 2) for each in statistics.quantiles(ratios, n=4, method="inclusive")],
        "undisturbed": sorted(jobs, key=lambda job: job["seconds"])[len(jobs) // 2],
        "workers_killed": killed,
    }
    (ROOT / "benchmarks" / "bulk.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def predict(count: int) -> float:
    """Seconds for so many predictions of one prepared image by the practice model, on one thread."""
    with tempfile.TemporaryDirectory() as folder:
        files = models.fetch("practice", Path(folder), progress=False)
        network = Predictor(files.symbol.read_bytes(), files.params.read_bytes(), files.labels)
    picture = images.network_input(sample_path("church").read_bytes())
    for _ in range(10):
        network.predict(picture)
    begun = time.perf_counter()
    for _ in range(count):
        network.predict(picture)
    return time.perf_counter() - begun


def network_alone(count: int) -> float:
    """Seconds for so many predictions, shared by a process for each core."""
    cores = len(os.sched_getaffinity(0))
    os.environ["OMP_NUM_THREADS"] = "1"  # as for a function with the default memory
    with ProcessPoolExecutor(cores, multiprocessing.get_context("spawn")) as pool:
        return max(pool.map(predict, [math.ceil(count / cores)] * cores))


def has_scored(lab: Lab, job: str, least: float) -> bool:
    return bulk.scored_so_far(lab, job) >= least


def timed(lab: Lab, job: str, files: dict[str, bytes], killed_at: tuple[float, ...] = ()) -> dict:
    """Run a job to its end, killing all workers each time such a share of the images has its line."""
    begun, killed, executions = time.perf_counter(), 0, 1
    execution = bulk.start(lab, job)
    for share in killed_at:
        bulk.wait(lab, execution, until=partial(has_scored, lab, job, share * len(files)))
        killed += bulk.kill_workers(lab)
    described = bulk.wait(lab, execution)
    while described["status"] != "SUCCEEDED" and executions < 5:
        executions += 1
        described = bulk.wait(lab, bulk.start(lab, job))
    counts, seconds = bulk.counts(described), time.perf_counter() - begun
    results, failures = bulk.lines(lab, job, "results.jsonl"), bulk.lines(lab, job, "failures.jsonl")
    keys = sorted(line["key"] for line in results + failures)
    if keys != sorted(f"images/{job}/{name}" for name in files):
        raise AssertionError("not exactly one line for each image")
    return counts | {
        "seconds": round(seconds, 1),
        "images_per_second": round(len(files) / seconds, 1),
        "workers_killed": killed,
        "executions": executions,
    }


if __name__ == "__main__":
    main()
