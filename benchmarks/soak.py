"""Good and bad requests at the concurrency limit while workers are killed at random: does every one get its answer?

    make soak                          ten minutes; writes benchmarks/soak.json and soak.png
    make soak ARGS="--seconds 60"      a shorter one, which writes nothing

An emulator and a stack of its own; the good requests are the lab's samples, the bad ones those of the end-to-end tests,
each with what it must be answered. Ends with 1 when a request was not answered as the contract says, or wrongly.
"""

import argparse
import json
import os
import platform
import random
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import psutil
import requests

from benchmarks import machine
from predict.errors import GATEWAY_STATUS, STATUS
from tests.cases import hostile
from workshop import access, client, emulator, models
from workshop.deployment import all_at_once
from workshop.lab import connect
from workshop.samples import SAMPLES, sample_path
from workshop.scale import load

ROOT = Path(__file__).resolve().parents[1]

CONCURRENCY = 4  # reserved for the function, and as many clients
GOOD, SLOW = 0.6, 0.02  # shares of the requests; the rest are bad ones that are answered at once
SECONDS_BETWEEN_KILLS = 10.0  # on average
SECONDS_BETWEEN_SAMPLES = 5.0
TRIES = 6
SETTLED, LONG_LIVED = 20.0, 60.0  # seconds: a worker's warming up, and what a trend is worth fitting to
KNOWN = {name: wnid for name, wnid in SAMPLES.items() if wnid}


@dataclass(frozen=True)
class Case:
    """A request and what it must be answered: an error's `code`, or the class that begins with `wnid`."""

    name: str
    ask: dict
    code: str | None = None
    wnid: str = ""


@dataclass(frozen=True)
class Outcome:
    """One request's tries: "200", or status and code, of each; whether the last is what it must be."""

    at: float
    case: Case
    tries: tuple[str, ...]
    right: bool
    seconds: float


def cases(port: int) -> tuple[list[Case], list[Case], list[Case]]:
    """Good ones, bad ones that are answered at once, and bad ones that take until a time limit."""
    image, here = {"Content-Type": "image/jpeg"}, f"http://{hostile.HOST}:{port}/"
    good = []
    for name, wnid in KNOWN.items():
        picture = sample_path(name).read_bytes()
        hostile.HOSTS[name] = hostile.sends(picture), None
        good.append(Case(f"POST {name}", {"method": "POST", "data": picture, "headers": image}, wnid=wnid))
        good.append(Case(f"GET {name}", {"method": "GET", "params": {"url": here + name}}, wnid=wnid))
    bad = [Case(name, {"method": "GET", "params": {"url": here + name}}, code)
           for name, (_, code) in hostile.HOSTS.items() if name not in KNOWN]  # fmt: skip
    slow = [case for case in bad if case.code == "fetch_timeout"]
    bad = [case for case in bad if case not in slow]
    for address, code in hostile.ADDRESSES.items():
        bad.append(Case(address[:60], {"method": "GET", "params": {"url": address.replace("{port}", str(port))}}, code))
    as_json = {"Content-Type": "application/json"}
    for body, code in hostile.BODIES.items():
        bad.append(Case(repr(body[:60]), {"method": "POST", "data": body, "headers": as_json}, code))
    return good, bad, slow


def judge(case: Case, response: requests.Response) -> tuple[str, bool]:
    """What an answer is called, and whether it is the one that the case must get."""
    if hostile.violations(response):
        return f"{response.status_code} not of the contract: {response.text[:100]}", False
    body = response.json()
    if response.status_code == 200:
        return "200", case.code is None and body["predictions"][0]["class"].startswith(case.wnid)
    code = body["error"]["code"]
    return f"{response.status_code} {code}", code == case.code and response.status_code == STATUS[code]


def worth_a_retry(tried: str) -> bool:
    """Throttled, or never answered by the function: API Gateway's own answers, and the emulator's."""
    return "not of the contract" in tried or tried.split()[-1] in GATEWAY_STATUS


def send(session: requests.Session, url: str, case: Case, rng: random.Random, begun: float) -> Outcome:
    """Ask until there is an answer of the function's, at most `TRIES` times."""
    at, tries, right = time.monotonic(), [], False
    for number in range(1, TRIES + 1):
        try:
            tried, right = judge(case, session.request(url=url, timeout=60, **case.ask))
        except requests.RequestException as problem:
            tried = f"0 not of the contract: {type(problem).__name__}"
        tries.append(tried)
        if not worth_a_retry(tried):
            break
        time.sleep(load.backoff(number, rng))
    return Outcome(at - begun, case, tuple(tries), right, time.monotonic() - at)


# --- The emulator's processes ----------------------------------------------------------------------------------------


def children(pid: int) -> list[int]:
    """The processes that `pid` started and that live."""
    try:
        return [child.pid for child in psutil.Process(pid).children() if child.status() != psutil.STATUS_ZOMBIE]
    except psutil.Error:
        return []


def is_predict(pid: int) -> bool:
    """Whether a process runs Predict's artifact."""
    try:
        return Path(psutil.Process(pid).cwd(), "lib", "libmxnet.so").exists()
    except (psutil.Error, OSError):
        return False


def megabytes(pid: int) -> float:
    """Resident memory of a process; 0 where it is gone."""
    try:
        return psutil.Process(pid).memory_info().rss / 1e6
    except psutil.Error:
        return 0.0


def kill_at_random(root: int, rng: random.Random, begun: float, over: threading.Event, kills: list) -> None:
    """End a worker, or the decoder of one, now and then."""
    while not over.wait(rng.expovariate(1 / SECONDS_BETWEEN_KILLS)):
        workers = [pid for pid in children(root) if is_predict(pid)]
        decoders = [pid for worker in workers for pid in children(worker)]
        kind, chosen = rng.choice([("worker", workers), ("decoder", decoders)])
        if chosen:
            pid = rng.choice(chosen)
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            kills.append((round(time.monotonic() - begun, 1), kind, pid))


def sample_memory(root: int, begun: float, over: threading.Event, memory: dict) -> None:
    """Note the emulator's, its workers' and their decoders' memory: {pid: (kind, [(seconds, MB)])}."""
    while not over.is_set():
        at = time.monotonic() - begun
        workers = [pid for pid in children(root) if is_predict(pid)]
        kinds = {root: "emulator"} | dict.fromkeys(workers, "worker")
        kinds |= {pid: "decoder" for worker in workers for pid in children(worker)}
        for pid, kind in kinds.items():
            if size := megabytes(pid):
                memory.setdefault(pid, (kind, []))[1].append((round(at, 1), round(size, 1)))
        over.wait(SECONDS_BETWEEN_SAMPLES)


# --- The run ---------------------------------------------------------------------------------------------------------


def soak(endpoint: access.Endpoint, root: int, seconds: float, seed: int) -> tuple[list[Outcome], list, dict]:
    """Keep `CONCURRENCY` clients asking for `seconds`; returns the outcomes, the kills and the memory."""
    outcomes: list[Outcome] = []
    kills: list[tuple[float, str, int]] = []
    memory: dict[int, tuple[str, list[tuple[float, float]]]] = {}
    over = threading.Event()
    with hostile.Server() as server:
        good, bad, slow = cases(server.port)
        begun = time.monotonic()

        def ask(number: int) -> None:
            rng, session = random.Random(seed * 1000 + number), requests.Session()
            session.auth = endpoint.auth
            session.trust_env = False  # no proxy of the environment's
            while time.monotonic() - begun < seconds:
                share = rng.random()
                kind = good if share < GOOD else slow if share > 1 - SLOW else bad
                outcomes.append(send(session, endpoint.url, rng.choice(kind), rng, begun))

        beside = [
            threading.Thread(target=kill_at_random, args=(root, random.Random(seed), begun, over, kills)),
            threading.Thread(target=sample_memory, args=(root, begun, over, memory)),
        ]
        clients = [threading.Thread(target=ask, args=(number,)) for number in range(CONCURRENCY)]
        for thread in (*beside, *clients):
            thread.start()
        for thread in clients:
            thread.join()
        over.set()
        for thread in beside:
            thread.join()
        server.shutdown()
    return outcomes, kills, memory


def trend(points: list[tuple[float, float]]) -> float:
    """MB per minute, by least squares, once a process has settled."""
    at, size = np.array([point for point in points if point[0] >= points[0][0] + SETTLED]).T
    return float(np.polyfit(at / 60, size, 1)[0])


def summary(outcomes: list[Outcome], kills: list, memory: dict, seconds: float) -> dict:
    """The figures that are published."""
    good = [one for one in outcomes if one.case.wnid]
    lost = [tried for one in outcomes for tried in one.tries if "not of the contract" in tried]
    after = [one for one in outcomes if any("not of the contract" in tried for tried in one.tries)]
    lived = {kind: [points for what, points in memory.values() if what == kind and
                    points[-1][0] - points[0][0] >= LONG_LIVED]
             for kind in ("emulator", "worker", "decoder")}  # fmt: skip
    return {
        "seconds": round(seconds),
        "clients": CONCURRENCY,
        "reserved_concurrency": CONCURRENCY,
        "requests": len(outcomes),
        "good": len(good),
        "good_with_the_right_class": sum(one.right for one in good),
        "bad": len(outcomes) - len(good),
        "bad_with_the_right_error": sum(one.right for one in outcomes) - sum(one.right for one in good),
        "wrong_in_the_end": sorted({f"{one.case.name}: {one.tries[-1]}" for one in outcomes if not one.right}),
        "killed_workers": sum(kind == "worker" for _, kind, _ in kills),
        "killed_decoders": sum(kind == "decoder" for _, kind, _ in kills),
        "tries": dict(Counter(tried for one in outcomes for tried in one.tries).most_common()),
        "tries_that_the_emulator_answered": len(lost),
        "requests_that_met_one": len(after),
        "of_those_right_in_the_end": sum(one.right for one in after),
        "most_tries_of_a_request": max(len(one.tries) for one in outcomes),
        "seconds_of_good_ones": {
            str(percent): round(float(np.percentile([one.seconds for one in good], percent)), 3)
            for percent in (50, 95, 99, 100)
        },
        "memory_mb_after_settling": {
            kind: {
                "processes": len(series),
                "least": min(size for points in series for at, size in points if at >= points[0][0] + SETTLED),
                "most": max(size for points in series for at, size in points if at >= points[0][0] + SETTLED),
                "mb_per_minute_median": round(statistics.median(map(trend, series)), 2),
                "mb_per_minute_most": round(max(map(trend, series)), 2),
            }
            for kind, series in lived.items()
            if series
        },
    }


def draw(outcomes: list[Outcome], kills: list, memory: dict, file: Path) -> None:
    """Requests per second by what came of them, and memory by process, with the kills."""
    import matplotlib.pyplot as plt

    from workshop import plots

    plots.use_style()
    figure, (above, below) = plt.subplots(2, 1, figsize=(10, 7), sharex=True, layout="constrained")
    width = 10.0
    edges = np.arange(0, max(one.at for one in outcomes) + width, width)
    parts = {
        "good ones, the right class": (plots.BLUE, [one.at for one in outcomes if one.right and one.case.wnid]),
        "bad ones, the right error": (plots.ORANGE, [one.at for one in outcomes if one.right and not one.case.wnid]),
        "answered wrongly": (plots.RED, [one.at for one in outcomes if not one.right]),
    }
    bottom = np.zeros(len(edges) - 1)
    for label, (colour, at) in parts.items():
        heights = np.histogram(at, edges)[0] / width
        above.bar(edges[:-1], heights, width * 0.9, bottom, align="edge", color=colour)
        above.plot([], [], "s", color=colour, label=f"{label}: {len(at)}")
        bottom += heights
    above.set(ylabel="requests per second")
    above.legend(ncols=3, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0)
    colours = {"emulator": plots.RED, "worker": plots.BLUE, "decoder": plots.ORANGE}
    for kind, points in memory.values():
        below.plot(*np.array(points).T, color=colours[kind], linewidth=1.2)
    for kind, colour in colours.items():
        below.plot([], [], color=colour, label=f"each {kind}" if kind != "emulator" else "the emulator")
    for at, kind, pid in kills:
        if pid in memory:
            below.plot(at, memory[pid][1][-1][1], "x", color=colours[kind], markersize=7, markeredgewidth=2)
    below.plot([], [], "x", color="black", markeredgewidth=2, label="killed")
    below.set(xlabel="seconds", ylabel="resident memory (MB)", ylim=(0, None))
    below.legend(ncols=4, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0)
    figure.savefig(file, dpi=110)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="default: benchmarks/, where it ran for ten minutes")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the emulator is stopped then, too
    with tempfile.TemporaryDirectory() as folder:
        own = emulator.Emulator(emulator.free_port(), Path(folder, "emulator"))
        os.environ["AWS_ENDPOINT_URL"] = own.start()
        try:
            lab = connect("local", "us-east-1", "soak")
            files = models.fetch("practice", Path(folder, "models"), progress=False)
            allowed = f"{urlsplit(own.endpoint).netloc},{hostile.HOST}"
            all_at_once.deploy(lab, files, AllowedPrivateHosts=allowed, ReservedConcurrency=str(CONCURRENCY))
            root = json.loads((own.folder / "emulator.json").read_text())["pid"]
            outcomes, kills, memory = soak(client.endpoint(lab), root, chosen.seconds, chosen.seed)
        finally:
            own.stop()
    result = summary(outcomes, kills, memory, chosen.seconds)
    print(json.dumps(result, indent=1))
    out = chosen.out or (ROOT / "benchmarks" if chosen.seconds >= 600 else None)
    if out:
        here = {"cpu": machine.cpu(), "cores": os.cpu_count(), "python": platform.python_version()}
        dated: dict[str, Any] = {"machine": here, "date": time.strftime("%Y-%m-%d", time.gmtime())}
        dated["load_average_at_the_end"] = round(os.getloadavg()[1], 1)
        (out / "soak.json").write_text(json.dumps(dated | result, indent=1) + "\n")
        draw(outcomes, kills, memory, out / "soak.png")
    return 1 if result["wrong_in_the_end"] else 0


if __name__ == "__main__":
    sys.exit(main())
