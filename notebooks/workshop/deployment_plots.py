"""The plots of the notebooks that build, deploy and call: package, stack events, cold and warm."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np

from workshop.plots import BLUE, GREEN, GREY, INK, ORANGE, PINK, RED, SKY, headline


def package(sizes: Mapping[str, int], limit: int) -> None:
    """One bar of the artifact's parts, bytes each, against Lambda's limit in bytes."""
    figure, axes = plt.subplots(figsize=(11, 2.9))
    left, total = 0.0, sum(sizes.values())
    ordered = sorted(sizes.items(), key=lambda item: -item[1])
    for (part, size), colour in zip(ordered, (BLUE, ORANGE, GREEN, PINK, SKY, RED), strict=False):
        axes.barh(
            0, size / 1e6, left=left, height=0.5, color=colour, label=f"{part}, {size / 1e6:.0f} MB", edgecolor="white"
        )
        left += size / 1e6
    axes.axvline(limit / 1e6, color=RED, linewidth=2.5)
    axes.annotate(
        f"limit {limit / 1e6:.0f} MB", (limit / 1e6, 0.42), (-6, 0), textcoords="offset points", ha="right", color=RED
    )
    axes.set(xlim=(0, limit / 1e6 * 1.03), ylim=(-0.4, 0.6), yticks=[], xlabel="unzipped size, MB")
    axes.spines["left"].set_visible(False)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.42), ncols=3)
    part, size = ordered[0]
    headline(
        figure, f"The package fits: {(limit - total) / 1e6:.0f} MB to spare, and {size / total:.0%} of it is {part}"
    )


def _spans(events: Sequence[dict]) -> list[tuple[str, float, float, bool]]:
    """(resource, start s, end s, failed) of each resource in stack events, by start; all permissions are one row."""
    begin = min(event["Timestamp"] for event in events)
    permissions = {event["LogicalResourceId"] for event in events if event["ResourceType"] == "AWS::Lambda::Permission"}
    spans: dict[str, list] = {}
    for event in events:
        name = event["LogicalResourceId"]
        if name == event["StackName"]:
            continue
        name = f"{len(permissions)} permissions to call" if name in permissions else name
        at = (event["Timestamp"] - begin).total_seconds()
        span = spans.setdefault(name, [at, at, False])
        span[1] = max(span[1], at)
        span[2] |= event["ResourceStatus"].endswith("FAILED")
    return sorted(((name, *span) for name, span in spans.items()), key=lambda span: (span[1], span[2]))


def stack_events(events: Sequence[dict]) -> None:
    """When each resource of a stack was worked on, from its events as `describe_stack_events` has them."""
    spans = _spans(events)
    figure, axes = plt.subplots(figsize=(10, 0.34 * len(spans) + 1.6))
    total = max(end for _, _, end, _ in spans) or 1.0
    for row, (_, start, end, failed) in enumerate(spans):
        axes.barh(row, max(end - start, total / 150), left=start, height=0.62, color=RED if failed else BLUE)
    axes.set(
        yticks=range(len(spans)), yticklabels=[name for name, *_ in spans], xlabel="seconds", xlim=(0, total * 1.02)
    )
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0, labelcolor=INK, labelsize=11)
    times = [event["Timestamp"] for event in events]
    took = (max(times) - min(times)).total_seconds()
    longest = max(spans, key=lambda span: span[2] - span[1])[0]
    headline(figure, f"CloudFormation worked for {took:.1f} s, longest on {longest}")


def cold_and_warm(seconds: Sequence[float]) -> None:
    """Seconds of consecutive requests, the first of them cold."""
    figure, axes = plt.subplots(figsize=(10, 3.8))
    axes.bar(range(1, len(seconds) + 1), seconds, color=[ORANGE, *[BLUE] * (len(seconds) - 1)], width=0.7)
    warm = float(np.median(seconds[1:]))
    for index, value in enumerate(seconds, start=1):
        text = f"{value:.2f}" if value >= 0.095 else f"{value:.3f}"
        axes.annotate(text, (index, value), (0, 4), textcoords="offset points", ha="center", fontsize=11, color=INK)
    axes.set(xlabel="request", ylabel="seconds", xticks=range(1, len(seconds) + 1))
    axes.tick_params(axis="x", length=0, labelcolor=GREY)
    headline(figure, f"The first answer takes {seconds[0] / warm:.0f} times as long as the next ones")
