"""The goals, beside the figures that were measured."""

from benchmarks import floor
from predict.limits import UNZIPPED_BYTES

OURS, OURS_INT8 = "This function, float32", "This function, int8"
PER_REQUEST, MODULE = "MXNet, loaded per request", "MXNet, bound once"
ORT, ORT_INT8 = "ONNX Runtime, float32", "ONNX Runtime, int8"
OPENCV, PYTORCH = "OpenCV dnn", "PyTorch"
# Of a peer's cold start; the second goal of two is the later one.
COLD = ((PER_REQUEST, 0.30), (PER_REQUEST, 0.18), (MODULE, 0.5), (ORT, 1), (ORT, 0.4), (ORT_INT8, 1))


def goals(results: dict) -> list[tuple[str, float, str, bool]]:
    """Each goal of a figure that was measured: its name, the figure, the goal, and whether it is met."""
    found = []

    def at_most(what: str, value: float, goal: float) -> None:
        found.append((what, value, f"≤ {goal:g}", value <= goal))

    def at_least(what: str, value: float, goal: float) -> None:
        found.append((what, value, f"≥ {goal:g}", value >= goal))

    def of(part: str, times: dict, ours: str, peer: str, most: float) -> None:
        if {ours, peer} <= times.keys():
            at_most(f"{part}, {ours[15:]}: of {peer}'s", times[ours]["median"] / times[peer]["median"], most)

    def faster(part: str, times: dict, ours: str, peer: str, least: float) -> None:
        if {ours, peer} <= times.keys():
            value = times[peer]["median"] / times[ours]["median"]
            at_least(f"{part}, {ours[15:]}: times faster than {peer}", value, least)

    if "cold" in results:
        cold = results["cold"]["whole machine"]
        for peer, goal in COLD:
            for ours in (OURS, OURS_INT8):
                if (ours, peer) != (OURS, ORT_INT8):
                    of("cold start", cold, ours, peer, goal)
        if "floor" in results and OURS in cold:
            at_most("cold start, float32: times its floor", cold[OURS]["median"] / floor.cold_ms(results["floor"]), 3)
        single = results["cold"].get("one core", {})
        for ours, peer in ((OURS, ORT), (OURS_INT8, ORT_INT8)):
            of("cold start on one core", single, ours, peer, 1)
        if MODULE in cold:
            for ours in [name for name in (OURS, OURS_INT8) if name in cold]:
                at_most(
                    f"peak memory, {ours[15:]}: of {MODULE}'s", cold[ours]["peak_mb"] / cold[MODULE]["peak_mb"], 0.65
                )
    if "warm" in results:
        for part, name in (("warm, 500 × 375", "500 x 375"), ("the network alone", "network")):
            times = results["warm"]["1"][name]
            if part.startswith("warm"):
                for ours in (OURS, OURS_INT8):
                    faster(part, times, ours, PER_REQUEST, 10)
            of(part, times, OURS, ORT, 1)
            faster(part, times, OURS_INT8, ORT, 2.5)
            of(part, times, OURS_INT8, ORT_INT8, 1)
    for level, times in results.get("isa", {}).items():
        if OURS_INT8 in times:
            at_most(f"the network, int8 of float32, {level}", times[OURS_INT8]["median"] / times[OURS]["median"], 1)
    if bulk := results.get("bulk"):
        at_most("bulk scoring: times the network alone on all cores", bulk["of_network_alone"][1], 1.3)
    accuracy = results.get("accuracy", {})
    for name, one in accuracy.items():
        if name.startswith(OURS_INT8):
            at_most(f"{name[15:]}: points of top-1 lost", 100 * (accuracy[OURS]["top1"] - one["top1"]), 0.5)
            at_least(f"{name[15:]}: agreement with float32, %", 100 * one["agreement"], 98.5)
    if "artifact" in results.get("package", {}):
        at_least("package: MB under the limit", (UNZIPPED_BYTES - results["package"]["artifact"]["unzipped"]) / 1e6, 5)
    return found
