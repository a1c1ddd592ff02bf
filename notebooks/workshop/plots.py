"""The plots that several cells or notebooks share. Each takes plain arrays and numbers, and draws with the lab's
style.
"""

import itertools
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import FancyArrowPatch, Patch, Polygon

BLUE, ORANGE, GREEN, RED, SKY, PINK = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7"
# Dark text can stand on these.
PALE_BLUE, PALE_ORANGE = "#8EC6EA", "#F5C76B"
GREY, LIGHT, INK = "#999999", "#E8E8E8", "#222222"


def use_style() -> None:
    """Draw with the lab's style from here on."""
    plt.style.use(Path(__file__).with_name("lab.mplstyle"))


def short(label: str) -> str:
    """The first name of a class: `English springer` of `n02102040 English springer, English springer spaniel`."""
    return label.split(" ", 1)[-1].split(",")[0]


def millions(count: int) -> str:
    """A count in three digits: 9.4 k, 8.39 M."""
    return f"{count / 1e6:.2f} M" if count >= 1e6 else f"{count / 1e3:.1f} k"


def headline(figure, text: str) -> None:
    """The figure's title, which states the finding, at its left edge."""
    figure.suptitle(text, x=0.01, ha="left")


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
    headline(figure, title)


def _cuboid(axes, x: float, width: float, height: float, depth: float, colour: str) -> None:
    """A box in oblique view: its front face's lower left corner at (x, -height / 2)."""
    y, dx, dy = -height / 2, depth * 0.62, depth * 0.42
    faces = {
        1.0: [(x, y), (x + width, y), (x + width, y + height), (x, y + height)],
        0.75: [(x, y + height), (x + width, y + height), (x + width + dx, y + height + dy), (x + dx, y + height + dy)],
        0.5: [(x + width, y), (x + width + dx, y + dy), (x + width + dx, y + height + dy), (x + width, y + height)],
    }
    for alpha, corners in faces.items():
        axes.add_patch(Polygon(corners, facecolor="white", edgecolor="none"))
        axes.add_patch(Polygon(corners, facecolor=colour, alpha=alpha, edgecolor="white", linewidth=1.2))


def network(stages, title: str) -> None:
    """The network as a row of blocks, from `explain.stages`.

    A block is as high and deep as its output is in pixels and as wide as it has channels (both not to scale); below
    it stand the output's shape, the parameters and the layers with weights.
    """
    figure, axes = plt.subplots(figsize=(12, 4.6))
    blocks = [("input", (3, 224, 224), None, None)] + [(s.name, s.shape, s.parameters, s.layers) for s in stages]
    pitch, floor, edges = 1.9, -1.55, []
    for index, (name, shape, parameters, layers) in enumerate(blocks):
        flat = len(shape) < 3
        height = 1.3 if flat else 0.16 + 2.2 * (shape[1] / 224) ** 0.55
        width = 0.2 if flat else 0.1 + 0.85 * (shape[0] / 512) ** 0.8
        depth = 0.1 if flat else height * 0.5
        left = index * pitch - (width + depth * 0.62) / 2
        _cuboid(axes, left, width, height, depth, GREY if parameters is None else ORANGE if flat else BLUE)
        edges.append((left, left + width + depth * 0.62))
        lines = [f"{shape[0]} classes" if flat else " × ".join(map(str, shape))]
        if parameters is not None:
            lines += [f"{millions(parameters)} params", f"{layers} layer" + "s" * (layers != 1)]
        axes.text(index * pitch, floor, name, ha="center", va="top", weight="bold", fontsize=14)
        axes.text(
            index * pitch,
            floor - 0.3,
            "\n".join(lines),
            ha="center",
            va="top",
            fontsize=12,
            color="#444444",
            linespacing=1.4,
        )
    for (_, end), (start, _) in itertools.pairwise(edges):
        axes.add_patch(
            FancyArrowPatch(
                (end + 0.1, 0),
                (start - 0.1, 0),
                arrowstyle="-|>",
                mutation_scale=16,
                color="#555555",
                shrinkA=0,
                shrinkB=0,
            )
        )
    axes.set(xlim=(-1, (len(blocks) - 1) * pitch + 0.9), ylim=(floor - 1.25, 1.9), aspect="equal")
    axes.axis("off")
    headline(figure, title)


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
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08)
    grid = figure.add_gridspec(rows, 2 * columns, width_ratios=[1, 1.35] * columns)
    for index, (picture, ranked) in enumerate(zip(pictures, rankings, strict=True)):
        row, column = divmod(index, columns)
        photo(figure.add_subplot(grid[row, 2 * column]), picture, names[index] if names else "")
        ranking(figure.add_subplot(grid[row, 2 * column + 1]), ranked, colour)
    headline(figure, title)


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
    figure.get_layout_engine().set(h_pad=0.06)
    headline(figure, title)


def mosaic(tiles: np.ndarray, columns: int, gap: int = 1, value: float = 1.0) -> np.ndarray:
    """Small pictures (N, H, W[, 3]) set in rows of `columns`, `gap` pixels of `value` between them."""
    count, height, width = tiles.shape[:3]
    rows = -(-count // columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, *tiles.shape[3:]), value, tiles.dtype)
    for index, tile in enumerate(tiles):
        top, left = (index // columns) * (height + gap), (index % columns) * (width + gap)
        sheet[top : top + height, left : left + width] = tile
    return sheet


def feature_rows(picture: np.ndarray, rows: Sequence[tuple[str, np.ndarray]], title: str) -> None:
    """What each stage sees: one row per stage with its strongest feature maps, each from 0 to its own maximum.

    `rows`: a caption and maps float (N, H, W), the same N in every row.
    """
    count = len(rows[0][1])
    figure = plt.figure(layout="constrained", figsize=(12, 1.08 * len(rows) + 0.6))
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.01, hspace=0.01)
    grid = figure.add_gridspec(len(rows), count + 4, width_ratios=[1, 1, 0.15, 0.9] + [1] * count)
    big = figure.add_subplot(grid[:2, :2])
    photo(big, picture)
    for row, (caption, maps) in enumerate(rows):
        text = figure.add_subplot(grid[row, 3])
        text.axis("off")
        text.text(0.95, 0.5, caption, ha="right", va="center", transform=text.transAxes, fontsize=12, linespacing=1.4)
        for column, one in enumerate(maps):
            axes = figure.add_subplot(grid[row, 4 + column])
            axes.imshow(one, cmap="magma", vmin=0, vmax=max(float(np.percentile(one, 99.5)), 1e-6))
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_visible(False)
    headline(figure, title)


def two_explanations(
    rows: Sequence[tuple[str, np.ndarray, np.ndarray, np.ndarray]],
    masks: Sequence[tuple[np.ndarray, np.ndarray]],
    title: str,
) -> None:
    """Two explanations of each answer beside the picture, and where their hottest parts agree.

    `rows`: (name, picture, first and second overlay), each uint8 (H, W, 3). `masks`: the hottest parts of both, bool
    (n, n), as `explain.hottest` returns them.
    """
    figure, grid = plt.subplots(len(rows), 4, figsize=(11.5, 2.85 * len(rows) + 0.9), squeeze=False)
    kinds = {"both": GREEN, "occlusion alone": ORANGE, "Grad-CAM alone": BLUE}
    for axes, (name, picture, *overlays), (first, second) in zip(grid, rows, masks, strict=True):
        for one, what, view in zip(axes, (name, "occlusion", "Grad-CAM"), (picture, *overlays), strict=False):
            photo(one, view, what, 13)
        photo(axes[3], picture.mean(axis=2), f"{(first & second).sum()} of {first.sum()} parts in both", 13)
        places = zip((first & second, first & ~second, second & ~first), kinds.values(), strict=True)
        side = picture.shape[0] / len(first)
        for mask, colour in places:
            for row, column in np.argwhere(mask):
                corner = (column * side - 0.5, row * side - 0.5)
                axes[3].add_patch(plt.Rectangle(corner, side, side, facecolor=colour, alpha=0.6, edgecolor="white"))
    handles = [Patch(facecolor=colour, alpha=0.6, label=name) for name, colour in kinds.items()]
    figure.legend(handles=handles, loc="outside lower right", ncols=3, fontsize=13)
    headline(figure, title)


def neighbours(
    rows: Sequence[tuple[np.ndarray, Sequence[np.ndarray], Sequence[np.ndarray]]],
    right: Sequence[tuple[Sequence[bool], Sequence[bool]]],
    titles: tuple[str, str],
    title: str,
) -> None:
    """For each picture its nearest ones by two measures, the nearest first, framed green and thick where `right`.

    `rows`: (picture, nearest by the first, nearest by the second), each uint8 (H, W, 3), as many by both in every row.
    `titles`: what the two measures are called.
    """
    count = len(rows[0][1])
    figure = plt.figure(figsize=(12, 1.15 * len(rows) + 0.9))
    figure.get_layout_engine().set(w_pad=0.03, h_pad=0.03, wspace=0.01, hspace=0.01)
    grid = figure.add_gridspec(len(rows), 2 * count + 3, width_ratios=[1, 0.25, *[1] * count, 0.25, *[1] * count])
    for row, ((picture, *found), marks) in enumerate(zip(rows, right, strict=True)):
        photo(figure.add_subplot(grid[row, 0]), picture, "asked" if row == 0 else "", 13)
        for start, heading, views, same in zip((2, count + 3), titles, found, marks, strict=True):
            for column, (view, mark) in enumerate(zip(views, same, strict=True)):
                axes = figure.add_subplot(grid[row, start + column])
                photo(axes, view)
                if row == 0 and column == 0:
                    # Not as the axes' title: that would take the room of the whole text from this one column.
                    offset = {"xycoords": "axes fraction", "textcoords": "offset points", "fontsize": 13}
                    axes.annotate(heading, (0, 1), (0, 7), **offset).set_in_layout(False)
                axes.spines[:].set(visible=True, color=GREEN if mark else GREY, linewidth=4.5 if mark else 1)
    headline(figure, title)


def same_numbers(first: np.ndarray, second: np.ndarray, title: str, *, xlabel: str, ylabel: str) -> None:
    """Two ways to the same probabilities, one point for each number, on logarithmic axes."""
    figure, axes = plt.subplots(figsize=(6.4, 5.2))
    low = min(first.min(), second.min()) / 2
    axes.plot([low, 1], [low, 1], color=GREY, linewidth=1.2, zorder=0)
    axes.scatter(first, second, s=46, color=BLUE, alpha=0.75, edgecolor="white", linewidth=0.6)
    axes.set(xscale="log", yscale="log", xlabel=xlabel, ylabel=ylabel, xlim=(low, 1.6), ylim=(low, 1.6), aspect="equal")
    headline(figure, title)


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
    headline(figure, title)


def difference(first: np.ndarray, second: np.ndarray, gain: int = 4) -> np.ndarray:
    """Where two pictures differ, uint8 (H, W, 3): grey where they agree, `gain` times the difference around it."""
    return np.clip(128 + gain * (first.astype(np.int16) - second.astype(np.int16)), 0, 255).astype(np.uint8)
