"""The plots that several cells or notebooks share. Each takes plain arrays and numbers, and draws with the lab's
style.
"""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

BLUE, ORANGE, GREEN, RED, SKY, PINK = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7"
# Dark text can stand on these.
PALE_BLUE, PALE_ORANGE = "#8EC6EA", "#F5C76B"
GREY, LIGHT, INK = "#999999", "#E8E8E8", "#222222"
SLATE = "#6B7280"  # a grey that is dark enough for text


def use_style() -> None:
    """Draw with the lab's style from here on."""
    plt.style.use(Path(__file__).with_name("lab.mplstyle"))


def short(label: str) -> str:
    """The first name of a class: `English springer` of `n02102040 English springer, English springer spaniel`."""
    return label.split(" ", 1)[-1].split(",")[0]


def millions(count: int) -> str:
    """A count in three digits: 9.4 k, 8.39 M."""
    return f"{count / 1e6:.2f} M" if count >= 1e6 else f"{count / 1e3:.1f} k"


def describe(figure: Figure, text: str) -> None:
    """Give a figure its alternative text, for those who hear a page. It is saved beside the PNG in the notebook.

    IPython asks an object for its forms by this method; the form itself is left to matplotlib's.
    """
    metadata = {"image/png": {"alt": " ".join(text.split())}}
    figure._repr_mimebundle_ = lambda **_: ({}, metadata)  # type: ignore[attr-defined]


def headline(figure: Figure, text: str, shows: str = "Figure") -> None:
    """The figure's title, which states the finding, at its left edge; with `shows`, its alternative text.

    `shows`: the kind of plot, its axes and parts, without a full stop.
    """
    figure.suptitle(text, x=0.01, ha="left")
    describe(figure, f"{shows}. {text}.")


def room(
    figure: Figure,
    *,
    w_pad: float | None = None,
    h_pad: float | None = None,
    wspace: float | None = None,
    hspace: float | None = None,
) -> None:
    """Set the room around and between the axes of a figure with the constrained layout; None leaves what is set."""
    layout = figure.get_layout_engine()
    assert isinstance(layout, ConstrainedLayoutEngine), "expected a figure with layout='constrained'"
    layout.set(w_pad=w_pad, h_pad=h_pad, wspace=wspace, hspace=hspace)


def bars(
    names: Sequence[str], values: Sequence[float], title: str, *, texts: Sequence[str], xlabel: str, highlight=None
):
    """Horizontal bars with their value written beside each, from top to bottom; `highlight`: the index of the one to
    see.
    """
    figure, axes = plt.subplots(figsize=(10, 0.5 * len(names) + 1.4))
    colours = [BLUE if highlight is None or index == highlight else SKY for index in range(len(names))]
    axes.barh(names, values, color=colours, height=0.7)
    for index, (value, text) in enumerate(zip(values, texts, strict=True)):
        axes.annotate(text, (value, index), (6, 0), textcoords="offset points", va="center", color=INK)
    axes.set(xlabel=xlabel, xlim=(0, max(values) * 1.22))
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0, labelcolor=INK, labelsize=13)
    axes.spines["left"].set_visible(False)
    values_named = ", ".join(f"{name} {text}" for name, text in zip(names, texts, strict=True))
    headline(figure, title, f"Horizontal bars, {xlabel}: {values_named}")


def photo(axes, picture: np.ndarray, title: str = "", fontsize: float | None = None) -> None:
    """A picture, (H, W[, 3]), without axes, and a title above it."""
    axes.imshow(picture)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    if title:
        axes.set_title(title, fontsize=fontsize, pad=6)


def ranking(axes, ranked: Sequence[dict], colour: str = PALE_BLUE) -> None:
    """Classes as bars with their probabilities, the first in `colour`; `ranked`: as `predictor.rank` returns it."""
    names = [short(entry["class"]) for entry in ranked]
    values = [entry["probability"] for entry in ranked]
    axes.barh(range(len(names)), [1] * len(names), color="#F4F4F4", height=0.8)
    axes.barh(range(len(names)), values, color=[colour] + ["#CFCFCF"] * (len(names) - 1), height=0.8)
    axes.set(xlim=(0, 1.3), ylim=(len(names) - 0.5, -0.5), xticks=[], yticks=[])
    axes.spines[["left", "bottom"]].set_visible(False)
    for index, (name, value) in enumerate(zip(names, values, strict=True)):
        weight = "bold" if index == 0 else "normal"
        axes.text(0.03, index, name, va="center", color=INK, weight=weight, fontsize=12, clip_on=True)
        text = f"{value:.0%}" if value >= 0.005 else "<1%"
        axes.text(1.3, index, text, va="center", ha="right", color=INK, weight=weight, fontsize=12)


def predictions(
    pictures: Sequence[np.ndarray],
    rankings: Sequence[Sequence[dict]],
    title: str,
    *,
    names: Sequence[str] = (),
    columns: int = 3,
    colour: str = PALE_BLUE,
) -> None:
    """Each picture beside its top classes as bars.

    `pictures`: uint8 (H, W, 3) RGB. `rankings`: as `predictor.rank` returns them. `names`: a title for each picture.
    """
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    figure = plt.figure(layout="constrained", figsize=(4.4 * columns, 1.9 * rows + 0.6))
    room(figure, w_pad=0.08, h_pad=0.08)
    grid = figure.add_gridspec(rows, 2 * columns, width_ratios=[1, 1.35] * columns)
    for index, (picture, ranked) in enumerate(zip(pictures, rankings, strict=True)):
        row, column = divmod(index, columns)
        photo(figure.add_subplot(grid[row, 2 * column]), picture, names[index] if names else "")
        ranking(figure.add_subplot(grid[row, 2 * column + 1]), ranked, colour)
    first = ", ".join(f"{short(ranked[0]['class'])} {ranked[0]['probability']:.0%}" for ranked in rankings)
    headline(figure, title, f"{len(pictures)} images, each beside bars of its most probable classes: {first}")


def picture_row(
    pictures: Sequence[np.ndarray], names: Sequence[str], title: str, *, width: float = 10, rows: int = 1
) -> None:
    """Pictures of one shape side by side in `rows`, each with a name above it; `width` of all of them in inches."""
    columns = -(-len(pictures) // rows)
    high, wide = pictures[0].shape[:2]
    row_height = width / columns * high / wide + (0.4 if any(names) else 0.05)
    figure, axes = plt.subplots(
        rows, columns, figsize=(width, row_height * rows + 0.5), squeeze=False, layout="constrained"
    )
    for index, one in enumerate(axes.flat):
        if index < len(pictures):
            photo(one, pictures[index], names[index], 12)
        else:
            one.axis("off")
    room(figure, h_pad=0.06)
    shown = ", ".join(" ".join(name.split()) for name in names if name)
    count = "One image" if len(pictures) == 1 else f"{len(pictures)} images side by side"
    headline(figure, title, count + (f": {shown}" if shown else ""))


def transfer(pieces: Sequence[tuple[str, int, int]], total: int, title: str) -> None:
    """Which bytes of a file each request brought: one row per request, `(caption, first byte, byte after the last)`."""
    figure, axes = plt.subplots(figsize=(10, 0.62 * len(pieces) + 1.5))
    for row, (_, start, end) in enumerate(pieces):
        axes.barh(row, total / 1e6, color=LIGHT, height=0.62)
        axes.barh(row, (end - start) / 1e6, left=start / 1e6, color=[PALE_BLUE, PALE_ORANGE][row % 2], height=0.62)
        axes.text(
            (start + end) / 2e6,
            row,
            f"{(end - start) / 1e6:.1f} MB",
            ha="center",
            va="center",
            color=INK,
            weight="bold",
        )
    axes.set(xlabel="position in the file (MB)", yticks=range(len(pieces)), xlim=(0, total / 1e6))
    axes.set_yticklabels([caption for caption, _, _ in pieces], color=INK)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.invert_yaxis()
    brought = ", ".join(f"{caption} {(end - start) / 1e6:.1f} MB" for caption, start, end in pieces)
    headline(figure, title, f"One bar for each request over the position in the file: {brought}")
