"""The plots of notebook 08. Each takes plain numbers or a result of `load`, `cost` or `simulation`."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np

from predict.limits import MEGABYTES_PER_VCPU
from workshop.plots import BLUE, GREEN, GREY, INK, LIGHT, ORANGE, PINK, RED, SKY, headline
from workshop.scale.load import Load, Try
from workshop.scale.run import Run

COLOURS = (BLUE, ORANGE, GREEN, RED, SKY, PINK)


def sweep(loads: Sequence[Load], ideal: float) -> None:
    """Throughput and latency by number of clients; `ideal`: requests per second of one client alone."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4))
    clients = [load.clients for load in loads]
    left.plot(clients, [ideal * count for count in clients], color=GREY, linestyle="--", label="each as fast as one")
    left.plot(clients, [load.throughput for load in loads], "o-", color=BLUE, label="measured")
    left.set(xlabel="clients at once", ylabel="predictions per second", xticks=clients, ylim=0)
    left.legend()
    for percent, colour in ((50, SKY), (95, BLUE), (99, ORANGE)):
        values = [load.percentile(percent) * 1000 for load in loads]
        right.plot(clients, values, "o-", color=colour, label=f"p{percent}")
    right.set(xlabel="clients at once", ylabel="milliseconds", xticks=clients, ylim=0)
    right.legend()
    headline(
        figure,
        f"{clients[-1]} clients get {loads[-1].throughput / ideal:.1f} times the throughput of one",
        "Two line plots over the clients at once: predictions per second, beside the line of clients each as fast as "
        "one; p50, p95 and p99 in milliseconds",
    )


def cold_and_warm(cold: Sequence[Try], warm: Sequence[Try]) -> None:
    """Each request's seconds, cold ones apart, on a logarithmic axis."""
    figure, axes = plt.subplots(figsize=(10, 2.8))
    rng = np.random.default_rng(0)
    for row, (tries, colour) in enumerate(((warm, BLUE), (cold, RED))):
        seconds = [one.seconds for one in tries]
        axes.scatter(seconds, row + rng.uniform(-0.18, 0.18, len(seconds)), s=34, color=colour, alpha=0.7)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set(xlabel="seconds", yticks=[0, 1], yticklabels=["warm", "cold"], ylim=(-0.5, 1.5))
    ratio = np.median([one.seconds for one in cold]) / np.median([one.seconds for one in warm])
    headline(
        figure,
        f"A cold start takes {ratio:.0f} times as long as a warm request",
        "Points of warm and cold requests over seconds, logarithmic",
    )


def tries(load: Load, limit: int) -> None:
    """Every HTTP request over time: answered or throttled, one row for each image."""
    figure, axes = plt.subplots(figsize=(10, 4.6))
    refused, answered = [one for one in load.tries if one.refused], [one for one in load.tries if one.status == 200]
    for chosen, colour, marker, label in ((answered, BLUE, "o", "answered"), (refused, ORANGE, "|", "throttled")):
        axes.scatter(
            [one.began for one in chosen],
            [one.picture for one in chosen],
            s=26,
            marker=marker,
            color=colour,
            linewidths=2 if marker == "|" else 0,
            label=f"{label}: {len(chosen)}",
        )
    axes.set(xlabel="seconds", ylabel="image, in the order of sending", xlim=(0, load.elapsed * 1.02))
    axes.invert_yaxis()
    axes.legend(loc="lower left")
    headline(
        figure,
        f"{load.clients} clients, {limit} executions at once: "
        f"{len(answered)} of {len(load.answers)} images answered, {len(refused)} throttled",
        "Points of requests over seconds, one row for each image, answered and throttled ones in two colours",
    )


def mosaic(groups: Mapping[str, Sequence[np.ndarray]], title: str, columns: int = 12) -> None:
    """Images by predicted class: one row for each class, `columns` images (uint8, H, W, 3) at most."""
    figure, axes = plt.subplots(len(groups), columns, figsize=(12, 1.05 * len(groups) + 0.6), squeeze=False)
    for row, (name, pictures) in enumerate(groups.items()):
        for column in range(columns):
            axes[row, column].axis("off")
            if column < len(pictures):
                axes[row, column].imshow(pictures[column])
        axes[row, 0].text(-0.1, 0.5, name, transform=axes[row, 0].transAxes, ha="right", va="center", color=INK)
    headline(figure, title, f"Rows of small images by predicted class: {', '.join(groups)}")


def bills(named: Mapping[str, Mapping[str, float]], title: str) -> None:
    """Bills as stacked bars, item by item, the total beside each."""
    figure, axes = plt.subplots(figsize=(11, 0.75 * len(named) + 1.9))
    items = list(dict.fromkeys(item for bill in named.values() for item in bill if bill[item] > 0))
    left = np.zeros(len(named))
    palette = (*COLOURS, GREY, INK, LIGHT)
    for index, item in enumerate(items):
        widths = np.array([bill.get(item, 0.0) for bill in named.values()])
        axes.barh(list(named), widths, left=left, color=palette[index % len(palette)], label=item, height=0.62)
        left += widths
    for row, total in enumerate(left):
        axes.annotate(f"${total:,.2f}", (total, row), (6, 0), textcoords="offset points", va="center", color=INK)
    axes.set(xlabel="US dollars for a million predictions", xlim=(0, max(left) * 1.15))
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    figure.legend(loc="outside lower center", ncols=min(len(items), 5))
    totals = ", ".join(f"{name} ${total:,.2f}" for name, total in zip(named, left, strict=True))
    headline(figure, title, f"Stacked bars of US dollars for a million predictions: {totals}")


def lines_cross(
    requests: np.ndarray, costs: Mapping[str, np.ndarray], crossings: Mapping[str, float | None], title: str
) -> None:
    """Monthly cost by monthly requests on logarithmic axes; `crossings`: where a line meets the instances'."""
    figure, axes = plt.subplots(figsize=(10, 5))
    # The last line is dashed: SageMaker's lies nearly on that of Lambda with an HTTP API.
    for (name, amounts), colour in zip(costs.items(), COLOURS, strict=False):
        axes.plot(requests, amounts, color=colour, linestyle="--" if name == list(costs)[-1] else "-")
    axes.set(xscale="log", yscale="log", xlabel="predictions a month", ylabel="US dollars a month")
    for name, at in crossings.items():
        if at is not None:
            axes.axvline(at, color=GREY, linewidth=1, linestyle=":")
            axes.annotate(
                f"{name}: {at / 1e6:.0f} million",
                (at, axes.get_ylim()[0]),
                (-4, 8),
                rotation=90,
                textcoords="offset points",
                ha="right",
                color=INK,
                fontsize=11,
            )
    # The lines' names at their right ends, in order of height and at least a line of text apart.
    ends, last = sorted((amounts[-1], name) for name, amounts in costs.items()), 0.0
    colours = dict(zip(costs, COLOURS, strict=False))
    for amount, name in ends:
        height = last = max(amount, last * 1.75)
        axes.annotate(
            name,
            (requests[-1], height),
            (6, 0),
            textcoords="offset points",
            va="center",
            color=colours[name],
            annotation_clip=False,
            fontsize=12,
        )
    headline(figure, title, f"Lines of US dollars a month over predictions a month, logarithmic: {', '.join(costs)}")


def snapshots(cold_starts: np.ndarray, costs: Mapping[str, np.ndarray], meets: float | None, title: str) -> None:
    """Monthly cost by cold starts a month on logarithmic axes; `meets`: from where SnapStart costs less, if ever."""
    figure, axes = plt.subplots(figsize=(10, 4.4))
    for (name, amounts), colour in zip(costs.items(), COLOURS, strict=False):
        axes.plot(cold_starts, amounts, color=colour, label=name)
    if meets is not None:
        axes.axvline(meets, color=GREY, linewidth=1, linestyle=":")
    axes.set(xscale="log", yscale="log", xlabel="cold starts a month", ylabel="US dollars a month")
    axes.legend(loc="upper left")
    headline(figure, title, f"Lines of US dollars a month over cold starts a month, logarithmic: {', '.join(costs)}")


def memory(sizes: np.ndarray, milliseconds: np.ndarray, dollars: np.ndarray, measured: Mapping[int, float]) -> None:
    """Duration and cost of a million predictions by memory setting (MB): lines of a fit, and points.

    `measured`: the durations (ms) by memory setting. The title compares the smallest setting with the largest.
    """
    figure, axes = plt.subplots(figsize=(10, 4.4))
    axes.plot(sizes, milliseconds, color=BLUE, label="fitted")
    axes.plot(list(measured), list(measured.values()), "o", color=BLUE, label="measured")
    axes.legend(loc="center right")
    axes.set(xlabel="memory (MB)", ylim=0)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_ylabel("milliseconds", color=BLUE)
    other = axes.twinx()
    other.spines["right"].set_visible(True)
    other.plot(sizes, dollars, color=ORANGE)
    other.set_ylabel("dollars of compute for a million", color="#9A6A00")
    other.set_ylim(0)
    axes.axvline(MEGABYTES_PER_VCPU, color=GREY, linewidth=1, linestyle=":")
    axes.annotate("one vCPU", (MEGABYTES_PER_VCPU, 0), (6, 14), textcoords="offset points", color=INK)
    small, large = min(measured), max(measured)
    times = measured[large] / measured[small]
    headline(
        figure,
        f"{large:,} MB instead of {small:,}: {times:.2f} times the duration, "
        f"{times * large / small:.2f} times the price",
        "Two lines over the memory in MB: milliseconds, with measured points, and dollars of compute for a million",
    )


def validation(rows: Sequence[tuple[str, Sequence[Load], Load, Run]]) -> None:
    """Simulated beside measured: rows of a name, the runs measured, these together, and the simulated run.

    A whisker spans what the single runs measured.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.8))
    places, errors = np.arange(len(rows)), []
    for axes, value, label in (
        (left, lambda run: run.throughput, "predictions per second"),
        (right, lambda run: run.percentile(95) * 1000, "p95 (ms)"),
    ):
        measured = np.array([value(together) for _, _, together, _ in rows])
        each = np.array([[function([value(run) for run in runs]) for _, runs, _, _ in rows] for function in (min, max)])
        simulated = np.array([value(run) for _, _, _, run in rows])
        errors += list(abs(simulated / measured - 1))
        whiskers = np.maximum([measured - each[0], each[1] - measured], 0)
        axes.bar(places - 0.2, measured, 0.38, color=BLUE, label="measured", yerr=whiskers, ecolor=INK, capsize=4)
        axes.bar(places + 0.2, simulated, 0.38, color=ORANGE, label="predicted")
        axes.set(xticks=places, xticklabels=[name for name, *_ in rows], xlabel="clients at once", ylabel=label)
    left.legend(loc="upper left", bbox_to_anchor=(0, 1.18), ncols=2)
    headline(
        figure,
        f"Predicted for rounds that it has not seen: at most {max(errors):.0%} off",
        "Pairs of bars, measured and predicted, by clients at once: predictions per second, and p95 in milliseconds",
    )


def bursts(runs: Mapping[str, Run], title: str, width: float = 1.0) -> None:
    """Environments, throttled requests and p99 over time, one colour for each run."""
    figure, axes = plt.subplots(3, 1, figsize=(10, 8.4), sharex=True)
    for (name, run), colour in zip(runs.items(), COLOURS, strict=False):
        seconds = run.over_time(width)
        refused = seconds["throttled_api"] + seconds["throttled_lambda"]
        axes[0].plot(run.at, run.environments, color=colour, label=name)
        axes[1].plot(seconds["at"], refused, color=colour)
        axes[2].plot(seconds["at"], seconds["p99"], color=colour)
    axes[0].set(ylabel="environments", ylim=0)
    axes[1].set(ylabel="throttled per second", ylim=0)
    for one in axes[:2]:
        one.yaxis.set_major_formatter("{x:,.0f}")
    axes[2].set(ylabel="p99 (s)", yscale="log", xlabel="seconds")
    axes[2].yaxis.set_major_formatter("{x:g}")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(runs))
    headline(
        figure, title, f"Three line plots over seconds, environments, throttled per second and p99: {', '.join(runs)}"
    )


def tide(run: Run, title: str, width: float = 900.0) -> None:
    """A day: requests per second, environments, and the share of cold starts."""
    figure, axes = plt.subplots(3, 1, figsize=(10, 7.4), sharex=True)
    seconds = run.over_time(width)
    hours = seconds["at"] / 3600
    axes[0].fill_between(hours, seconds["asked"], color=SKY)
    axes[0].set(ylabel="requests per second", ylim=0)
    axes[1].plot(run.at / 3600, run.environments, color=BLUE, linewidth=1.2)
    axes[1].set(ylabel="environments", ylim=0)
    edges = np.append(seconds["at"], seconds["at"][-1] + width)
    cold = np.histogram(run.arrived[run.cold], edges)[0] / np.maximum(seconds["answered"] * width, 1)
    axes[2].bar(hours, cold * 100, width=width / 3600 * 0.9, align="edge", color=RED)
    axes[2].set(ylabel="cold starts (%)", xlabel="hour of the day", xlim=(0, 24), xticks=range(0, 25, 3))
    headline(
        figure, title, "Three plots over the hours of a day: requests per second, environments, cold starts in percent"
    )
