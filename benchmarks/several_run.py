"""16 images in one request beside 16 requests, over HTTP on the emulator; writes benchmarks/several.json.

    python -m benchmarks.several_run [--rounds 10] [--port 4566]        after `make deploy`

Each round takes the ways in an order drawn anew. All of them ask for the same images, by presigned URLs of the lab's
own bucket, and the classes that they give must be the same.
"""

import argparse
import json
import os
import random
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import requests

from benchmarks.machine import cpu
from predict.limits import URLS_MAX
from workshop import client
from workshop.emulator import endpoint
from workshop.lab import connect
from workshop.samples import SAMPLES

RESULTS = Path(__file__).parent / "several.json"
AT_ONCE = 2  # requests, and so environments: as many as this machine has cores


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--port", type=int, default=4566)
    chosen = parser.parse_args()
    os.environ["AWS_ENDPOINT_URL"] = endpoint(chosen.port)
    lab = connect("local", "us-east-1", "predictions")
    url = client.predict_url(lab)
    known = [name for name, wnid in SAMPLES.items() if wnid]
    with ExitStack() as lent, requests.Session() as session:
        samples = [lent.enter_context(client.lent_sample(lab, name)) for name in known]
        session.auth = client.auth(lab)
        pictures = (samples * URLS_MAX)[:URLS_MAX]

        def one(picture: str) -> str:
            return best(session.post(url, json={"url": picture}, timeout=60).json())

        def one_after_another() -> list[str]:
            return [one(picture) for picture in pictures]

        def at_once() -> list[str]:
            with ThreadPoolExecutor(AT_ONCE) as pool:
                return list(pool.map(one, pictures))

        def together() -> list[str]:
            return [best(result) for result in session.post(url, json={"urls": pictures}, timeout=60).json()["results"]]

        ways: dict[str, Callable[[], list[str]]]
        ways = {"one_after_another": one_after_another, "two_at_once": at_once, "one_request": together}
        expected = one_after_another()
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for number in range(-1, chosen.rounds):  # the first is not counted: it starts the environments
            for way in random.sample(list(ways), len(ways)):
                begun = time.perf_counter()
                if ways[way]() != expected:
                    raise AssertionError(f"{way} gives other classes")
                if number >= 0:
                    seconds[way].append(time.perf_counter() - begun)
    medians = {way: statistics.median(taken) for way, taken in seconds.items()}
    result = {
        "machine": {"cpu": cpu(), "cores": os.cpu_count()},
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "images": len(pictures),
        "rounds": chosen.rounds,
        "load_at_end": round(os.getloadavg()[0], 1),
        "milliseconds": {way: round(median * 1000) for way, median in medians.items()},
        "of_one_after_another": {
            way: round(statistics.median(a / b for a, b in zip(taken, seconds["one_after_another"], strict=True)), 2)
            for way, taken in seconds.items()
        },
    }
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def best(answer: dict) -> str:
    return answer["predictions"][0]["class"]


if __name__ == "__main__":
    main()
