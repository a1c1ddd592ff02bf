"""The function beside what people would use instead: cold start, warm prediction, package, memory, accuracy.

    make bench                                    everything but `lab`; what needs pictures only where they are given
    make bench ARGS="cold warm"                   parts of it
    make bench ARGS="accuracy --data <folder>"    Imagenette: train/ and val/, in each a folder per class, named by wnid

All variants answer the same event from the same model store on loopback, in new processes of the same Python, which
has boto3 and nothing else, as Lambda's has; each variant brings its own packages. Rounds take the variants in an order
drawn anew. Results go to benchmarks/results.json, and from there into README.md's tables (benchmarks/report.py).
"""

import argparse
import json
import os
import platform
import random
import time
from pathlib import Path

from benchmarks import machine, report
from benchmarks.measures import Bench
from benchmarks.preparation import STORE, VARIANTS, prepare
from benchmarks.processes import running_store

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
        prepare(options.data, only_cold=set(parts) <= {"cold", "lab"})
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
                "python": platform.python_version(),
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
