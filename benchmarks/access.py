"""What a key and a signature cost a warm request on the emulator, beside the same request without.

    python -m benchmarks.access --port 4566        asks the endpoint that `make deploy Auth=key` left running

One API, function and client: between blocks of requests the method's own setting changes, in an order drawn anew for
each round. The ratio of a round is that of its medians.
"""

import argparse
import json
import os
import platform
import random
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import requests

from benchmarks import machine
from workshop import ROOT, access, client, emulator
from workshop.lab import Lab, connect
from workshop.samples import sample_path

GUARDS = {"none": ("NONE", ""), "key": ("NONE", "true"), "iam": ("AWS_IAM", "")}


def guard(lab: Lab, resource: str, mode: str) -> None:
    """Change who may POST to `/predict`. The emulator takes any text for true and the empty one for false."""
    authorization, key = GUARDS[mode]
    lab.client("apigateway").update_method(
        restApiId=lab.outputs(lab.app_stack)["Api"],
        resourceId=resource,
        httpMethod="POST",
        patchOperations=[
            {"op": "replace", "path": "/authorizationType", "value": authorization},
            {"op": "replace", "path": "/apiKeyRequired", "value": key},
        ],
    )


def measure(lab: Lab, rounds: int, block: int, seed: int = 1) -> dict[str, list[list[float]]]:
    """Milliseconds of `block` requests by mode and round; the first two of a block are not counted."""
    items = lab.client("apigateway").get_resources(restApiId=lab.outputs(lab.app_stack)["Api"], limit=500)["items"]
    (resource,) = [each["id"] for each in items if each["path"] == "/predict"]
    url, picture, rng = client.predict_url(lab), sample_path("church").read_bytes(), random.Random(seed)
    auths: dict[str, access.Auth | None] = {"none": None, "key": client.auth(lab), "iam": access.signed(lab)}
    found: dict[str, list[list[float]]] = {mode: [] for mode in GUARDS}
    session = requests.Session()
    session.trust_env = False  # no proxy of the environment's
    try:
        for _ in range(rounds):
            for mode in rng.sample(list(GUARDS), len(GUARDS)):
                guard(lab, resource, mode)
                if mode != "none":
                    refused = session.post(url, picture, headers={"Content-Type": "image/jpeg"}, timeout=60)
                    assert refused.status_code != 200, f"{mode}: {refused.text}"
                times = []
                for _ in range(block + 2):
                    begin = time.perf_counter()
                    headers = {"Content-Type": "image/jpeg"}
                    answer = session.post(url, picture, headers=headers, auth=auths[mode], timeout=60)
                    times.append((time.perf_counter() - begin) * 1000)
                    assert answer.status_code == 200, f"{mode}: {answer.text}"
                found[mode].append(times[2:])
    finally:
        guard(lab, resource, "key")
    return found


def ratios(found: dict[str, list[list[float]]], mode: str) -> list[float]:
    """The ratio of each round's medians to those without a guard."""
    pairs = zip(found[mode], found["none"], strict=True)
    return [statistics.median(one) / statistics.median(open_) for one, open_ in pairs]


def summary(found: dict[str, list[list[float]]]) -> dict:
    """Medians in milliseconds, and each mode's ratio to none: the median over rounds with its 95 % interval."""
    rng = np.random.default_rng(0)
    result: dict[str, dict] = {}
    for mode, blocks in found.items():
        result[mode] = {"ms_median": round(statistics.median(ms for block in blocks for ms in block), 2)}
        if mode != "none":
            each = np.array(ratios(found, mode))
            drawn = np.median(rng.choice(each, (10_000, len(each))), axis=1)
            result[mode] |= {"ratio": round(float(np.median(each)), 4)}
            result[mode] |= {"interval": [round(float(np.percentile(drawn, at)), 4) for at in (2.5, 97.5)]}
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--port", type=int, default=emulator.DEFAULT_PORT)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--block", type=int, default=15)
    parser.add_argument("--out", type=Path, help="a file; benchmarks/access.json is the committed one")
    chosen = parser.parse_args()
    os.environ["AWS_ENDPOINT_URL"] = emulator.endpoint(chosen.port)
    found = measure(connect(), chosen.rounds, chosen.block)
    result = {
        "machine": {"cpu": machine.cpu(), "cores": os.cpu_count(), "python": platform.python_version()},
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "load_average": round(os.getloadavg()[1], 1),
        "rounds": chosen.rounds,
        "requests_in_a_block": chosen.block,
        **summary(found),
    }
    print(json.dumps(result, indent=1))
    if chosen.out:
        (ROOT / chosen.out).write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
