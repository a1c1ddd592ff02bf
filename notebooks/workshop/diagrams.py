"""Diagrams that notebooks draw with Matplotlib: boxes and arrows, no other tool."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from workshop.plots import BLUE, GREEN, INK, ORANGE, PINK, RED, SKY, SLATE, headline


def box(axes, x, y, title, detail="", color=BLUE, width=2.0, height=1.0):
    """Draw a rounded box centred at (x, y), in the axes' units, with a bold title and smaller detail below it."""
    axes.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - height / 2),
            width,
            height,
            boxstyle="round,pad=0.02,rounding_size=0.12",
            facecolor=color + "1a",
            edgecolor=color,
            linewidth=1.6,
        )
    )
    lift = 0.13 + 0.1 * detail.count("\n") if detail else 0
    axes.text(x, y + lift, title, ha="center", va="center", fontsize=13, weight="bold", color=INK)
    if detail:
        axes.text(x, y - 0.19, detail, ha="center", va="center", fontsize=11, color=INK, linespacing=1.2)


def arrow(axes, start, end, label="", color=INK, style="-|>", dashed=False, bend=0.0, offset=(0, 0.16)):
    """Draw an arrow from `start` to `end`, (x, y) each, with its label at the middle, moved by `offset`."""
    axes.add_patch(
        FancyArrowPatch(
            start,
            end,
            arrowstyle=style,
            mutation_scale=14,
            color=color,
            linewidth=1.5,
            linestyle="--" if dashed else "-",
            connectionstyle=f"arc3,rad={bend}",
            shrinkA=2,
            shrinkB=2,
        )
    )
    if label:
        axes.text(
            (start[0] + end[0]) / 2 + offset[0],
            (start[1] + end[1]) / 2 + offset[1],
            label,
            ha="center",
            va="center",
            fontsize=11,
            color=color,
        )


def canvas(width, height, title, shows="Diagram"):
    """Blank axes of `width` by `height` units, an inch each; `shows`: the parts of the diagram, as in `headline`."""
    figure, axes = plt.subplots(figsize=(width, height + 0.5))
    axes.set(xlim=(0, width), ylim=(0, height), aspect="equal")
    axes.axis("off")
    headline(figure, title, shows)
    return figure, axes


def architecture():
    """The lab's parts: what a request passes (solid) and what puts them there (dashed)."""
    figure, axes = canvas(
        12,
        4.6,
        "A request passes three services; one build puts everything in place",
        "Diagram: a request goes from you to API Gateway and to the Lambda function Predict, which reads the model "
        "store in S3 and the image by its URL; buildspec.yml puts a package into the artifact bucket, from which "
        "CloudFormation makes the API; IAM roles limit CloudFormation and Predict",
    )
    box(axes, 1.2, 3.5, "You", "GET /predict?url=…", SLATE, 1.9)
    box(axes, 4.3, 3.5, "API Gateway", "throttles, routes", BLUE)
    box(axes, 7.5, 3.5, "Lambda: Predict", "libmxnet, Pillow,\nno server to keep", RED, 2.3, 1.15)
    box(axes, 10.7, 3.5, "S3 model store", "symbol, params,\nsynset, SHA-256", GREEN, 2.1, 1.15)
    box(axes, 7.5, 1.95, "The image", "at a public URL", SLATE, 2.3, 0.85)
    box(axes, 1.2, 0.65, "buildspec.yml", "lint, build, verify", SLATE, 1.9, 0.95)
    box(axes, 4.3, 0.65, "S3 artifacts", "zip, template", GREEN, 2.2, 0.95)
    box(axes, 7.5, 0.65, "CloudFormation", "template.yml → stack", BLUE, 2.3, 0.95)
    box(axes, 10.7, 0.65, "IAM roles", "who may do what", RED, 2.1, 0.95)
    arrow(axes, (2.2, 3.5), (3.25, 3.5), "HTTPS")
    arrow(axes, (5.35, 3.5), (6.3, 3.5), "event")
    arrow(axes, (8.7, 3.5), (9.6, 3.5), "once per\ncold start", offset=(0, 0.3))
    arrow(axes, (7.5, 2.88), (7.5, 2.42), "at each request", offset=(0.85, 0))
    arrow(axes, (2.2, 0.65), (3.15, 0.65), "package", dashed=True)
    arrow(axes, (5.45, 0.65), (6.3, 0.65), "deploy", dashed=True)
    arrow(axes, (6.6, 1.18), (4.8, 2.95), "creates", dashed=True, offset=(-0.45, 0.05))
    arrow(axes, (9.6, 0.65), (8.7, 0.65), "limits", dashed=True)
    arrow(axes, (10.7, 1.18), (8.7, 3.1), "limits", dashed=True, offset=(0.45, 0))
    return figure


STEPS = {
    "way": ("Way", "network,\nAPI Gateway", SLATE),
    "start": ("Start", "process,\nlibraries", RED),
    "fetch": ("Fetch", "the image by\nits URL", SKY),
    "decode": ("Decode", "JPEG to\n224 × 224", GREEN),
    "load": ("Load", "wait for\nthe model", ORANGE),
    "predict": ("Predict", "libmxnet,\nranking", BLUE),
    "rest": ("Rest", "routing,\nJSON, log", PINK),
}


def request_path(cold: Mapping[str, float], warm: Mapping[str, float]):
    """The steps of a request in their order with the milliseconds of each, in a cold start and warm, and both as bars
    of one scale.

    `cold`, `warm`: as `client.Trace.path`. What the cold request's way took longer is the start of its environment.
    """
    rows = {"cold": dict(cold) | {"way": warm["way"], "start": cold["way"] - warm["way"]}, "warm": dict(warm)}
    totals = {name: sum(row.values()) for name, row in rows.items()}
    dearest = max(STEPS, key=lambda step: rows["cold"].get(step, 0) - rows["warm"].get(step, 0))
    share = (rows["cold"][dearest] - rows["warm"].get(dearest, 0)) / (totals["cold"] - totals["warm"])
    title = f"{totals['cold'] / 1000:.1f} s cold, {totals['warm']:.0f} ms warm"
    steps = "; ".join(
        f"{name}: " + ", ".join(f"{STEPS[step][0]} {ms:.0f} ms" for step, ms in row.items() if step in STEPS)
        for name, row in rows.items()
    )
    figure, axes = canvas(
        13,
        4.2,
        f"{title}: “{STEPS[dearest][0]}” is {share:.0%} of the difference",
        f"Diagram of a request's steps with their times, and both requests as bars. {steps}",
    )
    places, pitch = {"cold": (2.35, 1.05), "warm": (2.0, 0.45)}, 1.71
    for index, (step, (name, detail, color)) in enumerate(STEPS.items()):
        x = 1.75 + pitch * index
        box(axes, x, 3.35, name, detail, color, 1.42, 1.15)
        if index:
            arrow(axes, (x - pitch + 0.72, 3.35), (x - 0.72, 3.35))
        for row, (y, _) in places.items():
            ms = rows[row].get(step)
            text = "–" if ms is None else f"{ms:,.0f} ms" if ms >= 10 else f"{ms:.1f} ms"
            axes.text(x, y, text, ha="center", va="center", fontsize=13, color=INK)
    for row, (y, bar) in places.items():
        axes.text(0.85, y, row, ha="right", va="center", fontsize=13, weight="bold", color=INK)
        axes.text(0.85, bar, row, ha="right", va="center", fontsize=13, weight="bold", color=INK)
        left = 1.05
        for step, (_, _, color) in STEPS.items():
            width = rows[row].get(step, 0) / max(totals.values()) * 11.7
            axes.add_patch(Rectangle((left, bar - 0.22), width, 0.44, facecolor=color, edgecolor="none"))
            left += width
    return figure
