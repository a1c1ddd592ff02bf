"""A change of version under load, a rollback, and the price of the alias: `python -m benchmarks.shipping`.

An emulator and a stack of its own. The practice model's int8 version takes over from its float32 version while requests
come at a fixed rate. Prints the figures as JSON; `--out FILE` writes them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import requests

from benchmarks import machine
from benchmarks.soak import children, is_predict
from workshop import client, emulator, models
from workshop.deployment import all_at_once, canary, versions
from workshop.deployment.traffic import Traffic
from workshop.lab import Lab, connect
from workshop.models import ModelFiles
from workshop.samples import sample_path

RATE = 20.0  # requests a second
WATCHED = 30.0  # seconds with a share of the requests


def change_over(lab: Lab, files: ModelFiles) -> dict[str, Any]:
    """Ship the int8 version under load; how many requests each version answered, and how."""
    with Traffic(lab, RATE, at_once=8) as traffic:
        traffic.wait_for(100)
        began = traffic.seconds
        shipped = canary.ship(lab, files, "int8", seconds=WATCHED)
        traffic.wait_for(100)
        lasted = traffic.seconds
    statuses: dict[str, int] = {}
    for one in traffic.answered:
        statuses[str(one.status)] = statuses.get(str(one.status), 0) + 1
    assert not shipped.taken_back, shipped.reasons
    return {
        "requests": len(traffic.answered),
        "requests_per_second": round(len(traffic.answered) / lasted, 1),
        "statuses": statuses,
        "versions": len({one.version for one in traffic.answered}),
        "seconds_from_the_deploy_to_all_requests": round(traffic.seconds - began, 1),
    }


def rollback(lab: Lab, processes: list[int]) -> float:
    """Seconds from the command to the first answer of the version before; `processes` are ended first."""
    for process in processes:
        psutil.Process(process).kill()
    begin = time.monotonic()
    _, back = versions.rollback(lab)
    while True:
        answer = requests.post(
            client.predict_url(lab),
            sample_path("church").read_bytes(),
            headers={"Content-Type": "image/jpeg"},
            timeout=60,
        )
        if answer.status_code == 200 and answer.headers["X-Version"] == str(back):
            return round(time.monotonic() - begin, 2)
        if time.monotonic() - begin > 120:
            raise TimeoutError(f"version {back} did not answer within two minutes: {answer.status_code}")


def alias(lab: Lab, pairs: int) -> dict[str, Any]:
    """The time of an invocation by the alias as a multiple of one by the number of its version, in pairs."""
    functions, name = lab.client("lambda"), client.predict_function(lab)
    event = json.dumps({"warmup": True}).encode()
    times: dict[str, list[float]] = {"live": [], str(versions.live(lab)): []}
    for _ in range(pairs + 5):
        for qualifier, seen in times.items():
            begin = time.perf_counter()
            functions.invoke(FunctionName=name, Qualifier=qualifier, Payload=event)["Payload"].read()
            seen.append(1000 * (time.perf_counter() - begin))
    by_alias, by_number = (seen[5:] for seen in times.values())
    ratios = sorted(one / other for one, other in zip(by_alias, by_number, strict=True))
    quartiles = statistics.quantiles(ratios, n=4)
    return {"pairs": pairs, "ratio": [round(each, 3) for each in quartiles]}


def measure(lab: Lab, files: ModelFiles, root: int, pairs: int) -> dict[str, Any]:
    """All figures, of a stack that serves the practice model in float32. `root`: the emulator's process id."""
    client.predict_sample(lab)
    found: dict[str, Any] = {"change_over": change_over(lab, files)}
    found["rollback_warm_s"] = rollback(lab, [])
    canary.ship(lab, files, "int8", seconds=0)
    client.predict_sample(lab)
    found["rollback_cold_s"] = rollback(lab, [process for process in children(root) if is_predict(process)])
    return found | {"alias": alias(lab, pairs)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        own = emulator.Emulator(emulator.free_port(), Path(folder, "emulator"))
        os.environ["AWS_ENDPOINT_URL"] = own.start()
        try:
            lab = connect("local", "us-east-1", "shipping")
            files = models.fetch("practice", Path(folder, "models"), progress=False)
            all_at_once.deploy(lab, files)
            root = json.loads((own.folder / "emulator.json").read_text())["pid"]
            found = machine.describe() | measure(lab, files, root, chosen.pairs)
        finally:
            own.stop()
    found["load_average_at_the_end"] = round(os.getloadavg()[0], 1)
    text = json.dumps(found, indent=1)
    print(text)
    if chosen.out:
        chosen.out.write_text(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
