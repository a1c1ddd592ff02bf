"""Fuzz the Predict function with events and with damaged images: `make fuzz`.

Events are hypothesis's (events.py), images those of mutation.py; one seed makes the same run again.
Each goes to a function that lives on from the first to the last (worker.py), and each answer is held to
openapi.yml. A fault is: an answer that is not of the contract, a 500, a worker that dies or hangs, a connection to an
address that is not public, a secret in the log. The first ends the events, with the smallest event that shows it; those
of images are saved in runs/fuzz/.
"""

import argparse
import collections
import hashlib
import json
import os
import platform
import re
import sys
import time
from pathlib import Path
from random import Random
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase, given, settings

from benchmarks.machine import cpu
from tests import contract
from tests.fuzz import events, mutation
from tests.fuzz.worker import Outcome, Worker
from workshop import ROOT, models

CHUNK = 5000  # events that hypothesis makes in one go; it remembers all of a go
EXPECTED_5XX = frozenset((502, 504))  # of the address's host, and of time that was not left
LARGE_SHARE = 0.004  # of the images are damaged ones at the pixel cap, which take longest


class Tally:
    """Counts of answers by status and code, what was wrong, and the function's use of memory on the way."""

    def __init__(self, worker: Worker):
        self.worker = worker
        self.answers: collections.Counter[str] = collections.Counter()
        self.faults: list[str] = []
        self.usage: list[dict[str, int]] = []
        self.slowest = 0.0

    def count(self, outcome: Outcome) -> None:
        self.answers[f"{outcome.status} {outcome.code}"] += 1
        self.slowest = max(self.slowest, outcome.seconds)

    def look(self) -> None:
        """Note what the function uses."""
        self.usage.append(self.worker.usage())

    @property
    def growth(self) -> int:
        """Resident bytes, the decoder's too, from the first look to the last."""
        first, last = self.usage[0], self.usage[-1]
        return sum(last[name] - first[name] for name in ("resident", "decoder_resident"))

    def report(self) -> dict[str, Any]:
        return {
            "cases": self.answers.total(),
            "answers": dict(sorted(self.answers.items())),
            "faults": len(self.faults),
            "worker_crashes": self.worker.crashes,
            "slowest_seconds": round(self.slowest, 2),
            "first_usage": self.usage[0],
            "last_usage": self.usage[-1],
            "most_resident": max(usage["resident"] for usage in self.usage),
        }


def faults_of(event: Any, outcome: Outcome) -> list[str]:
    """Everything that is wrong with what an event came to."""
    if outcome.response is None:
        return outcome.faults
    wrong = outcome.faults + contract.proxy_violations("/predict", event, outcome.response)
    if outcome.status >= 500 and outcome.status not in EXPECTED_5XX:
        wrong.append(f"{outcome.status} {outcome.code}: {outcome.log.get('exception', '')[-1000:]}")
    if "Traceback" in outcome.response["body"] or str(ROOT) in outcome.response["body"]:
        wrong.append("the answer shows the function's inside")
    return wrong


def ask(worker: Worker, case: events.Case) -> tuple[Outcome, list[str]]:
    """Put a case to the function: what it came to, and what is wrong with that."""
    worker.answers |= {path: events.with_port(answer, worker.port) for path, answer in case.answers.items()}
    event = events.with_port(case.event, worker.port)
    outcome = worker.ask(event, case.seconds)
    return outcome, faults_of(event, outcome)


def fuzz_events(worker: Worker, seed: int, count: int, say=print) -> Tally:
    """`count` events. Raises AssertionError with the smallest event that shows a fault."""
    tally = Tally(worker)
    upload(worker, events.JPEG)  # the model and the decoder are there from now on
    tally.look()
    for chunk in range(0, count, CHUNK):

        @hypothesis.seed(seed * 1_000_003 + chunk)
        @settings(
            max_examples=min(CHUNK, count - chunk),
            database=None,
            deadline=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )
        @given(events.cases())
        def one(case: events.Case) -> None:
            outcome, faults = ask(worker, case)
            tally.count(outcome)
            assert not faults, faults

        one()
        tally.look()
        say(f"{tally.answers.total()} events, {tally.usage[-1]}")
    return tally


def upload(worker: Worker, data: bytes) -> Outcome:
    """Post an image."""
    return worker.ask(
        events.event("POST", {"content-type": "image/jpeg"}, {}, events.base64.b64encode(data).decode(), True)
    )


def wording(detail: str) -> str:
    """A decoder's words without the numbers, addresses and bytes in them, which differ from run to run."""
    return re.sub(r"0x\w+|[0-9]+|'.*?'|b\".*?\"", "#", detail)


def fuzz_images(worker: Worker, seed: int, count: int, keep: Path, say=print) -> tuple[Tally, dict[str, Any]]:
    """`count` damaged images; also what came of each format, and the images that crashed the decoder.

    An image that comes to something new (a code and a decoder's words not seen before) is damaged further, so that
    damage adds up in the places where it tells.
    """
    small, large = mutation.seeds(), mutation.large_seeds()
    tally, formats = Tally(worker), collections.defaultdict(collections.Counter)
    for name, data in small.items():
        outcome = upload(worker, data)
        assert outcome.status == 200, f"{name}: {outcome.response}"
    tally.look()
    originals, pool, met, crashes = list(small.items()), list(small.items()), set(), []
    for index in range(count):
        rng = Random(f"{seed}/{index}")
        draw = rng.random()
        name, data = rng.choice(list(large.items()) if draw < LARGE_SHARE else pool if draw < 0.3 else originals)
        data = mutation.mutate(rng, data, rng.choice(pool)[1])
        outcome = upload(worker, data)
        faults = faults_of({"httpMethod": "POST"}, outcome)
        tally.count(outcome)
        kind = name.partition(" ")[0]
        formats[kind][str(outcome.status)] += 1
        detail = outcome.log.get("detail", "")
        came_to = kind, outcome.code, wording(detail)
        if came_to not in met and len(data) < 50_000:
            met.add(came_to)
            pool.append((name, data))
        if "decoder exited" in detail:
            crashes.append({"image": index, "seed_file": name, "detail": detail})
        if faults or "decoder exited" in detail:
            keep.mkdir(parents=True, exist_ok=True)
            (keep / f"{hashlib.sha256(data).hexdigest()[:16]}.{kind.lower()}").write_bytes(data)
            tally.faults += [f"image {index} ({name}): {fault}" for fault in faults]
        if (index + 1) % CHUNK == 0 or index + 1 == count:
            tally.look()
            say(f"{index + 1} images, {len(pool) - len(small)} that came to something new, {tally.usage[-1]}")
    more = {"by_format": {kind: dict(sorted(counts.items())) for kind, counts in sorted(formats.items())},
            "came_to_something_new": len(met), "decoder_crashes": crashes}  # fmt: skip
    return tally, more


def machine() -> str:
    """What this runs on."""
    return f"{os.cpu_count()} cores of {cpu()}, Python {platform.python_version()}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Fuzz the Predict function.")
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    folder = ROOT / "runs" / "fuzz"
    begun, figures = time.monotonic(), {}
    worker = Worker(models.fetch("practice", folder / "models", progress=False).folder)
    try:
        events_tally = fuzz_events(worker, options.seed, options.events)
        figures["events"] = events_tally.report()
        images_tally, more = fuzz_images(worker, options.seed, options.images, folder / "images")
        figures["images"] = images_tally.report() | more
    finally:
        worker.close()
    figures |= {"seed": options.seed, "seconds": round(time.monotonic() - begun), "machine": machine()}
    print(json.dumps(figures, indent=1))
    if options.out:
        options.out.write_text(json.dumps(figures, indent=1) + "\n")
    faults = events_tally.faults + images_tally.faults
    sys.exit("\n".join(faults) if faults else None)


if __name__ == "__main__":
    main()
