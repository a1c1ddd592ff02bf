"""Plots of a network, of its answers and of the reasons for them."""

import itertools
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import FancyArrowPatch, Patch, Polygon
from matplotlib.ticker import PercentFormatter

from workshop.inspection.evaluation import Bin
from workshop.plots import BLUE, GREEN, GREY, INK, ORANGE, PALE_BLUE, SKY, headline, millions, photo, room


def steps(counts: np.ndarray, middle: int, title: str) -> None:
    """How many weights fall on each of the 255 steps from -127 to 127; those within `middle` of 0 stand out.

    `counts`: int (255,).
    """
    positions = np.arange(-127, 128)
    inside = np.abs(positions) <= middle
    figure, axes = plt.subplots(figsize=(10, 3.6))
    axes.bar(positions, counts, width=1.0, color=np.where(inside, BLUE, SKY))
    axes.set(xlabel="step (127 is the largest weight of the channel)", ylabel="weights", xlim=(-128, 128))
    axes.set_xticks([-127, -64, 0, 64, 127])
    axes.yaxis.set_major_formatter("{x:,.0f}")
    headline(figure, title, "Histogram of a layer's weights over the steps of 8 bits")


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


def network(stages, title: str, size: int = 224) -> None:
    """The network as a row of blocks, from `explain.stages`, for pictures of `size`.

    A block is as high and deep as its output is in pixels and as wide as it has channels (both not to scale); below
    it stand the output's shape, the parameters and the layers with weights.
    """
    blocks = [("input", (3, size, size), None, None)] + [(s.name, s.shape, s.parameters, s.layers) for s in stages]
    pitch, floor, edges = 1.9, -1.55, []
    figure, axes = plt.subplots(figsize=(max(12, 1.72 * len(blocks)), 4.6))
    widest = max(shape[0] for _, shape, *_ in blocks if len(shape) > 2)
    for index, (name, shape, parameters, layers) in enumerate(blocks):
        flat = len(shape) < 3
        height = 1.3 if flat else 0.16 + 2.2 * (shape[1] / size) ** 0.55
        width = 0.2 if flat else 0.1 + 0.85 * (shape[0] / widest) ** 0.8
        depth = 0.1 if flat else height * 0.5
        left = index * pitch - (width + depth * 0.62) / 2
        _cuboid(axes, left, width, height, depth, GREY if parameters is None else ORANGE if flat else BLUE)
        edges.append((left, left + width + depth * 0.62))
        lines = [f"{shape[0]:,} classes" if flat else " × ".join(map(str, shape))]
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
    headline(figure, title, "The network's stages as blocks from left to right, with shape and parameters of each")


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
    room(figure, w_pad=0.02, h_pad=0.02, wspace=0.01, hspace=0.01)
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
    headline(figure, title, "The image, and below it rows of feature maps, one row for each stage")


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
    headline(figure, title, f"{len(rows)} images, each beside two heat maps: occlusion and Grad-CAM")


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
    room(figure, w_pad=0.03, h_pad=0.03, wspace=0.01, hspace=0.01)
    grid = figure.add_gridspec(len(rows), 2 * count + 3, width_ratios=[1, 0.25, *[1] * count, 0.25, *[1] * count])
    for row, ((picture, *found), marks) in enumerate(zip(rows, right, strict=True)):
        photo(figure.add_subplot(grid[row, 0]), picture, "asked" if row == 0 else "", 13)
        for start, heading, views, same in zip((2, count + 3), titles, found, marks, strict=True):
            for column, (view, mark) in enumerate(zip(views, same, strict=True)):
                axes = figure.add_subplot(grid[row, start + column])
                photo(axes, view)
                if row == 0 and column == 0:
                    # Not as the axes' title: that would take the room of the whole text from this one column.
                    above = axes.annotate(heading, (0, 1), (0, 7), "axes fraction", "offset points", fontsize=13)
                    above.set_in_layout(False)
                axes.spines[:].set(visible=True, color=GREEN if mark else GREY, linewidth=4.5 if mark else 1)
    headline(figure, title, "Images, each beside its nearest neighbours in the last layer")


def same_numbers(first: np.ndarray, second: np.ndarray, title: str, *, xlabel: str, ylabel: str) -> None:
    """Two ways to the same probabilities, one point for each number, on logarithmic axes from 1e-12 up."""
    figure, axes = plt.subplots(figsize=(6.4, 5.2))
    first, second = np.maximum(first, 1e-12), np.maximum(second, 1e-12)  # a softmax that is sure gives zeros, too
    low = min(first.min(), second.min()) / 2
    axes.plot([low, 1], [low, 1], color=GREY, linewidth=1.2, zorder=0)
    axes.scatter(first, second, s=46, color=BLUE, alpha=0.75, edgecolor="white", linewidth=0.6)
    axes.set(xscale="log", yscale="log", xlim=(low, 1.6), ylim=(low, 1.6), aspect="equal")
    axes.set(xlabel=f"probability, {xlabel}", ylabel=f"probability, {ylabel}")
    shows = f"Scatter plot of probabilities on logarithmic axes, {ylabel} over {xlabel}, and the diagonal"
    headline(figure, title, shows)


def difference(first: np.ndarray, second: np.ndarray, gain: int = 4) -> np.ndarray:
    """Where two pictures differ, uint8 (H, W, 3): grey where they agree, `gain` times the difference around it."""
    return np.clip(128 + gain * (first.astype(np.int16) - second.astype(np.int16)), 0, 255).astype(np.uint8)


def confusion(matrix: np.ndarray, names: Sequence[str], title: str) -> None:
    """A confusion matrix with its counts; colour is the share of each row."""
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    figure, axes = plt.subplots(figsize=(9.6, 7.6))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(matrix.shape):
        if matrix[row, column]:
            axes.text(
                column, row, str(matrix[row, column]), ha="center", va="center",
                color="white" if shares[row, column] > 0.5 else INK, weight="bold" if row == column else "normal",
            )  # fmt: skip
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right", color=INK)
    axes.set_yticks(range(len(names)), names, color=INK)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set(xlabel="the network predicts", ylabel="the image shows")
    headline(figure, title, f"Confusion matrix of {len(names)} classes, rows the true and columns the predicted class")


def reliability(bins: Sequence[Bin], title: str) -> None:
    """A reliability diagram, https://arxiv.org/abs/1706.04599: how often right against how sure, with counts."""
    figure, (axes, counts) = plt.subplots(2, 1, figsize=(7, 6.6), sharex=True, gridspec_kw={"height_ratios": [3, 1]})
    middles = [(one.low + one.high) / 2 for one in bins]
    widths = [one.high - one.low for one in bins]
    axes.bar(
        middles, [one.accuracy for one in bins], widths, color=PALE_BLUE, edgecolor="white", label="how often right"
    )
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1.5, label="sure and right equally often")
    axes.plot([one.confidence for one in bins], [one.accuracy for one in bins], color=BLUE, marker="o", markersize=6)
    axes.set(ylabel="accuracy", ylim=(0, 1.02), xlim=(0, 1))
    axes.legend(loc="upper left")
    counts.bar(middles, [one.count for one in bins], widths, color=ORANGE, edgecolor="white")
    for middle, one in zip(middles, bins, strict=True):
        counts.annotate(
            f"{one.count:,}", (middle, one.count), (0, 2), textcoords="offset points", ha="center", fontsize=10
        )
    counts.set(xlabel="confidence: the probability of the predicted class", ylabel="images")
    counts.set_ylim(0, max(one.count for one in bins) * 1.25)
    counts.yaxis.set_major_formatter("{x:,.0f}")
    for one in (axes, counts):
        one.xaxis.set_major_formatter(PercentFormatter(1))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    headline(figure, title, "Bars of the share that is right by probability, with the diagonal, above a count")


def known_beside_unknown(scores: Mapping[str, float], known: Sequence[str], threshold: float, title: str) -> None:
    """A bar for each picture's score, from the least up, and the bound between known and unknown.

    `scores`: by the pictures' names, as `known.scored` has them. `known`: the names of pictures that show a class of
    the model; the others show none. A bar on the wrong side of the bound is a mistake.
    """
    names = sorted(scores, key=scores.__getitem__)
    figure, axes = plt.subplots(figsize=(10, 0.6 + 0.34 * len(names)))
    bars = axes.barh(
        [name.removeprefix("unknown_").replace("_", " ") for name in names],
        [scores[name] - threshold for name in names],
        left=threshold,
        color=[BLUE if name in known else ORANGE for name in names],
    )
    axes.bar_label(bars, labels=[f"{scores[name]:z.2f}" for name in names], padding=4)
    axes.axvline(threshold, color=INK, linewidth=1.2)
    axes.margins(x=0.15)
    axes.set_xlabel(f"score; known from {threshold:.2f} on")
    patches = [Patch(color=BLUE, label="shows one of the classes"), Patch(color=ORANGE, label="shows none of them")]
    axes.legend(handles=patches, loc="lower right", frameon=False)
    headline(
        figure, title, "A bar for each image's score, coloured by whether it shows one of the classes, and the bound"
    )
