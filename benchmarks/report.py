"""README.md's tables, made of results.json: no figure is copied by hand.

python -m benchmarks.report       writes the part of README.md between its two marks
"""

import json
from collections.abc import Iterable
from pathlib import Path

from benchmarks import floor
from benchmarks.goals import OURS, OURS_INT8, goals
from predict.limits import UNZIPPED_BYTES

BENCHMARKS = Path(__file__).resolve().parent
RESULTS, BULK, README = BENCHMARKS / "results.json", BENCHMARKS / "bulk.json", BENCHMARKS / "README.md"
SEVERAL = BENCHMARKS / "several.json"
MODEL = BENCHMARKS.parent / "models" / "practice" / "results.json"
BEGIN, END = "<!-- results: made by report.py, not by hand -->\n", "<!-- end of the results -->\n"

PACKAGES = {
    "artifact": "This function",
    "mxnet": "MXNet's Python package and OpenCV",
    "onnxruntime": "ONNX Runtime and Pillow",
}


def table(head: Iterable[str], rows: Iterable[Iterable]) -> str:
    head = list(head)
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines) + "\n"


def spread(found: dict) -> str:
    """A median with its quartiles."""
    return f"{short(found['median'])} ({short(found['q25'])} to {short(found['q75'])})"


def short(number: float) -> str:
    """Three digits, or all before the point."""
    return f"{number:,.0f}" if number >= 1000 else f"{number:.3g}"


def ratio(a: float, b: float) -> str:
    return f"{a / b:.2f}"


def page(results: dict) -> str:
    """The tables as Markdown."""
    parts = [_machine(results["machine"])]
    met = goals(results)
    if met:
        parts += ["## Goals\n\n", table(["", "measured", "goal", "met"], [
            (what, f"{value:.3g}", goal, "yes" if yes else "**no**") for what, value, goal, yes in met
        ])]  # fmt: skip
    for part, write in SECTIONS.items():
        if part in results:
            parts.append(write(results[part], results))
    rows = [
        (part, one["date"], one["python"], one["load_before"], one["seconds"]) for part, one in results["runs"].items()
    ]
    head = ("part", "day", "Python", "load of the machine before", "seconds")
    return "".join(parts) + "## When it was measured\n\nEach part is one run.\n\n" + table(head, rows)


def tables() -> str:
    """What stands between README.md's marks, from the result files."""
    results = json.loads(RESULTS.read_text())
    results.setdefault("accuracy", accuracy_of_the_model(json.loads(MODEL.read_text())))
    scored = json.loads(BULK.read_text())
    return page(results | {"bulk": scored}) + several(json.loads(SEVERAL.read_text())) + bulk(scored)


def accuracy_of_the_model(found: dict) -> dict:
    """What models/practice/results.json says of the function's own networks, in the form of the part `accuracy`."""
    result = {OURS: {"top1": found["top1"], "agreement": 1.0, "largest_difference": 0.0}}
    for instructions, one in found["int8"]["by_instructions"].items():
        kept = {"top1": one["top1"], "agreement": one["agreement"], "largest_difference": one["largest_shift"]}
        result[f"{OURS_INT8}, {instructions}"] = kept
    return {name: {"pictures": found["images"], **one} for name, one in result.items()}


def _machine(machine: dict) -> str:
    sets = ", ".join(machine["instruction_sets"])
    return (
        f"Machine: {machine['cores']} cores of {machine['cpu']} ({sets}), {machine['memory_gb']} GB, "
        f"{machine['system']}. The Python of each part stands at the end. A time is the median in milliseconds, its "
        "quartiles in brackets.\n\n"
    )


def _floor(found: dict, results: dict) -> str:
    rows = []
    bandwidths, rates = found["gigabytes_per_s"], found["giga_operations_per_s"]
    does = ", ".join(
        f"{rate['float32']:.0f} billion a second in float32 and {rate['int8']:.0f} in int8 with {threads} thread(s)"
        for threads, rate in rates.items()
    )
    for threads in rates:
        for kind, name in (("float32", OURS), ("int8", OURS_INT8)):
            least = floor.network_ms(found, threads, kind)
            taken = results.get("warm", {}).get(threads, {}).get("network", {}).get(name)
            reached = [f"{taken['median']:.3g}", ratio(taken["median"], least)] if taken else ["", ""]
            rows.append((f"the network, {kind}, threads: {threads}", f"{least:.3g}", *reached))
    cold = results.get("cold", {}).get("whole machine", {}).get(OURS)
    reached = [f"{cold['median']:.3g}", ratio(cold["median"], floor.cold_ms(found))] if cold else ["", ""]
    rows.append(("a cold start, float32", f"{floor.cold_ms(found):.3g}", *reached))
    return (
        "## The floor\n\n"
        f"The network has {found['operations'] / 1e9:.2f} billion multiply-adds and {found['weights'] / 1e6:.1f} MB of "
        f"float32 weights. The machine does {does}; it copies "
        f"{bandwidths['copy']:.1f} GB/s, reads a cached file at {bandwidths['file']:.1f}, fetches over loopback at "
        f"{bandwidths['loopback']:.1f} and computes SHA-256 at {bandwidths['sha256']:.1f}; a Python that does nothing "
        f"takes {found['interpreter_ms']:.0f} ms. The floor of a cold start adds up an interpreter, the weights "
        "fetched, checked and copied once, and the network once; reading libraries is not in it.\n\n"
        + table(["ms", "floor", "measured", "times the floor"], rows)
    )


def _same(found: dict, _results: dict) -> str:
    pictures = next(iter(found.values()))["pictures"]
    return (
        "## The same network\n\n"
        "Before anything is timed: the largest difference of any probability from the function's float32, on "
        f"{pictures} pictures prepared once.\n\n"
        + table(["", "largest difference"], [(name, one["largest_difference"]) for name, one in found.items()])
    )  # fmt: skip


def _cold(found: dict, _results: dict) -> str:
    text = "## Cold start\n\nFrom starting a process to its first answer, one thread, the store on loopback.\n\n"
    for place, times in found.items():
        reference = times[OURS]["median"]
        text += f"{place.capitalize()}, {next(iter(times.values()))['n']} starts each:\n\n" + table(
            ["", "ms", "times this function's", "peak MB"],
            [
                (name, spread(one), ratio(one["median"], reference), f"{one['peak_mb']:.0f}")
                for name, one in times.items()
            ],
        )
    stages = list(dict.fromkeys(stage for one in found["whole machine"].values() for stage in one["stages"]))
    rows = [
        (name, *(("–".join(f"{at:.0f}" for at in one["stages"][s]) if s in one["stages"] else "") for s in stages))
        for name, one in found["whole machine"].items()
    ]
    return (
        text
        + "When each stage begins and ends, ms from the start; stages may overlap:\n\n"
        + table(["", *stages], rows)
    )


def _warm(found: dict, _results: dict) -> str:
    text = "## Warm\n\nThe whole handler, from event to answer, and the network alone.\n\n"
    titles = {"500 x 375": "JPEG of 500 × 375", "4000 x 3000": "JPEG of 12 megapixels", "network": "the network alone"}
    for threads, measured in found.items():
        for key, times in measured.items():
            reference = times[OURS]["median"]
            text += f"**{titles[key]}, threads: {threads}**\n\n" + table(
                ["", "ms", "p95", "p99", "times this function's"],
                [
                    (name, spread(one), f"{one['p95']:.3g}", f"{one['p99']:.3g}", ratio(one["median"], reference))
                    for name, one in sorted(times.items(), key=lambda item: item[1]["median"])
                ],
            )
    return text


def _isa(found: dict, _results: dict) -> str:
    names = list(next(iter(found.values())))
    rows = [(level, *(spread(times[name]) for name in names)) for level, times in found.items()]
    return (
        "## Older processors\n\nThe network alone, one thread, with oneDNN held to an instruction set "
        "(`DNNL_MAX_CPU_ISA`); `AVX512_CORE` has no VNNI.\n\n" + table(["ms", *names], rows)
    )


def _sizes(found: dict, _results: dict) -> str:
    return "## Warm time against the picture's size\n\n" + table(
        ["JPEG", "ms"], [(size.replace("x", "×"), spread(one)) for size, one in found.items()]
    )


def _threads(found: dict, _results: dict) -> str:
    return "## Threads follow the function's memory\n\nFloat32, the network alone.\n\n" + table(
        ["memory setting, MB", "threads", "ms"], [(size, one["threads"], spread(one)) for size, one in found.items()]
    )


def _accuracy(found: dict, _results: dict) -> str:
    pictures = next(iter(found.values()))["pictures"]
    return f"## Accuracy\n\nOn the {pictures:,} validation pictures.\n\n" + table(
        ["", "top-1, %", "agrees with float32, %", "largest difference of a probability"],
        [
            (name, f"{100 * one['top1']:.2f}", f"{100 * one['agreement']:.2f}", f"{one['largest_difference']:.2g}")
            for name, one in found.items()
        ],
    )


def _large(found: dict, _results: dict) -> str:
    return (
        f"A 12-megapixel JPEG is decoded at a part of its size. Of {found['pictures']} validation pictures enlarged to "
        f"that size, {found['same_class']} got the class that decoding them whole gets; the largest difference of a "
        f"probability is {found['largest_difference']:.2g}.\n\n"
    )


def _package(found: dict, _results: dict) -> str:
    rows = [
        (
            PACKAGES[name],
            f"{one['unzipped'] / 1e6:.1f}",
            f"{(UNZIPPED_BYTES - one['unzipped']) / 1e6:+.1f}",
            f"{one['zipped'] / 1e6:.1f}",
        )
        for name, one in found.items()
    ]
    return "## Package\n\nWhat is uploaded, without the model, which is in the store.\n\n" + table(
        ["", "unzipped, MB", f"room below {UNZIPPED_BYTES / 1e6:.1f} MB", "zipped, MB"], rows
    )


def _memory(found: dict, _results: dict) -> str:
    requests = [str(count) for count, _ in next(iter(found.values()))]
    return "## Memory over many requests\n\nResident, MB, the decoder's process included.\n\n" + table(
        ["requests", *requests], [(name, *(f"{size:.0f}" for _, size in series)) for name, series in found.items()]
    )


def _lab(found: dict, _results: dict) -> str:
    return "## The lab itself\n\n" + table(
        ["", "seconds", "asked for"],
        [
            ("`make deploy` in a fresh clone, to the printed prediction", f"{found['fresh_clone']:.0f}", 300),
            ("`make deploy` again, nothing changed", f"{found['again']:.0f}", 90),
        ],
    )


def several(found: dict) -> str:
    """The table of several.json, which benchmarks/several_run.py writes."""
    names = {
        "one_after_another": "16 requests, one after another",
        "two_at_once": "16 requests, two at once",
        "one_request": "one request with 16 URLs",
    }
    head = ("", "milliseconds", "of one after another")
    ratios = found["of_one_after_another"]
    rows = [(title, found["milliseconds"][name], ratios[name]) for name, title in names.items()]
    return (
        "## Several images in one request\n\n"
        f"{found['images']} samples by URL over HTTP on the emulator (`python -m benchmarks.several_run`), warm, the "
        f"median of {found['rounds']} rounds; each ratio is of the same round. Two environments share "
        f"{found['machine']['cores']} cores with the emulator and the client; the load at the end was "
        f"{found['load_at_end']}.\n\n" + table(head, rows)
    )


def bulk(found: dict) -> str:
    """The table of bulk.json, which benchmarks/bulk_run.py writes."""
    names = {"undisturbed": "undisturbed", "workers_killed": "all workers killed at 25, 50 and 75 %"}
    head = ("run", "seconds", "images per second", "workers killed", "not scored", "without exactly one line")
    keys = ("seconds", "images_per_second", "workers_killed", "failed", "missing")
    rows = [(title, *(found[name][key] for key in keys)) for name, title in names.items()]
    low, middle, high = found["of_network_alone"]
    return (
        "## Bulk scoring\n\n"
        f"{found['undisturbed']['images']:,} images, two of which cannot be scored, through the state machine on the "
        f"emulator (`python -m benchmarks.bulk_run`), {found['workers_at_once']} workers at once, "
        f"{found['images_in_a_batch']} images in a batch ({found['machine']['cores']} cores of an "
        f"{found['machine']['cpu']}, {found['date']}). Undisturbed, the job takes {middle} times as long as the "
        "network alone takes for as many images, in a process for each core, just before and after it: the median of "
        f"{found['rounds']} rounds, quartiles {low} and {high}. Each job begins without a worker. The network alone "
        f"took {found['network_alone']} s in the median.\n\n" + table(head, rows)
    )


SECTIONS = {
    "floor": _floor, "same": _same, "cold": _cold, "warm": _warm, "large": _large, "isa": _isa, "accuracy": _accuracy,
    "package": _package, "sizes": _sizes, "threads": _threads, "memory": _memory, "lab": _lab,
}  # fmt: skip


def merged(readme: str, tables: str) -> str:
    """`readme` with `tables` between the marks. Raises ValueError where it has no marks."""
    before, found, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not found or not end:
        raise ValueError(f"{README.name} lacks {BEGIN.strip()} or {END.strip()}")
    return f"{before}{BEGIN}\n{tables}{END}{after}"


def draw(found: dict, file: Path) -> None:
    """Draw the stages of every variant's cold start."""
    import matplotlib.pyplot as plt
    from matplotlib.patches import Patch

    from workshop import plots

    plots.use_style()
    stages = [("interpreter", plots.GREY), ("imports", plots.ORANGE), ("picture", plots.PINK),
              ("transfer", plots.GREEN), ("libraries", plots.PALE_ORANGE), ("predictor", plots.SKY),
              ("prediction", plots.BLUE)]  # fmt: skip
    figure, axes = plt.subplots(figsize=(11, 0.75 * len(found) + 1.6))
    for row, one in enumerate(found.values()):
        axes.barh(row, one["median"], height=0.72, color=plots.LIGHT)
        lanes: list[float] = []  # stages beside each other in time lie one above the other
        for stage, colour in sorted(stages, key=lambda item: one["stages"].get(item[0], [0])[0]):
            begin, end = one["stages"].get(stage, (0, 0))
            lane = next((index for index, until in enumerate(lanes) if until <= begin + 1), len(lanes))
            lanes[lane : lane + 1] = [end]
            axes.barh(row - 0.24 + 0.24 * lane, end - begin, left=begin, height=0.22, color=colour)
        text = f"{one['median']:.0f} ms"
        axes.annotate(text, (one["median"], row), (6, 0), textcoords="offset points", va="center")
    axes.set_yticks(range(len(found)), list(found))
    axes.invert_yaxis()
    axes.set(xlabel="milliseconds from the start of the process", xlim=(0, None))
    axes.legend(handles=[Patch(color=colour, label=stage) for stage, colour in stages], ncols=4,
                loc="upper center", bbox_to_anchor=(0.4, -0.18))  # fmt: skip
    plots.headline(figure, "Cold start to first answer, by stage")
    figure.savefig(file, metadata={"Software": None})
    plt.close(figure)


def write() -> None:
    results = json.loads(RESULTS.read_text())
    if "cold" in results:
        draw(results["cold"]["whole machine"], BENCHMARKS / "cold.png")
    README.write_text(merged(README.read_text(), tables()))


if __name__ == "__main__":
    write()
