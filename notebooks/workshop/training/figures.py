"""The plots of a training and of what came of it: learning rate and curves, confusion matrix, reliability diagram."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import DisplayHandle, display
from matplotlib.ticker import MaxNLocator, PercentFormatter

from workshop.plots import BLUE, LIGHT, ORANGE, headline
from workshop.training.loop import Epoch


def _phases(axes, epochs: Sequence[Epoch], label: bool = True) -> None:
    """Mark where the size of the views changes."""
    starts = [index for index, one in enumerate(epochs) if index == 0 or one.size != epochs[index - 1].size]
    for number, (start, end) in enumerate(zip(starts, [*starts[1:], len(epochs)], strict=True)):
        if number % 2 == 0:
            axes.axvspan(start, end, color=LIGHT, alpha=0.55, linewidth=0, zorder=0)
        if label:
            axes.annotate(
                f"{epochs[start].size} px", ((start + end) / 2, 1), (0, -5), xycoords=("data", "axes fraction"),
                textcoords="offset points", ha="center", va="top", color="#555555",
            )  # fmt: skip
    axes.set_xlim(0, len(epochs))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def learning_rate(epochs: Sequence[Epoch], rates: np.ndarray, title: str) -> None:
    """The learning rate over the whole training; `rates`: float, one for each update."""
    figure, axes = plt.subplots(figsize=(10, 3.2))
    _phases(axes, epochs)
    axes.plot(np.arange(1, len(rates) + 1) / len(rates) * len(epochs), rates, color=BLUE)
    axes.set(xlabel="epoch", ylabel="learning rate", ylim=(0, max(rates) * 1.25))
    headline(figure, title, "Line of the learning rate over the epochs, with the size of the views")


class LearningCurves:
    """The learning curves, drawn again in the same place after each epoch.

    `history`: records with `train_loss`, `train_accuracy` (0 to 1) and, for some epochs, `validation_accuracy`.
    """

    def __init__(self, epochs: Sequence[Epoch]):
        self.epochs = epochs
        self.handle: DisplayHandle | None = None

    def draw(self, history: Sequence[dict], title: str = "Learning curves") -> None:
        """Show the curves so far, in place of those shown before."""
        figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2))
        done = np.arange(1, len(history) + 1)
        _phases(left, self.epochs)
        left.plot(done, [one["train_loss"] for one in history], color=BLUE, marker="o", markersize=4)
        left.set(xlabel="epoch", ylabel="loss (cross-entropy)", title="Loss on training views")
        left.set_ylim(0, None)
        _phases(right, self.epochs)
        right.plot(
            done,
            [one["train_accuracy"] for one in history],
            color=BLUE,
            marker="o",
            markersize=4,
            label="training views",
        )
        checked = [
            (epoch, one["validation_accuracy"])
            for epoch, one in zip(done, history, strict=True)
            if one.get("validation_accuracy") is not None
        ]
        if checked:
            right.plot(*zip(*checked, strict=True), color=ORANGE, marker="s", markersize=6, label="validation, 224 px")
        right.set(xlabel="epoch", ylabel="top-1 accuracy", title="Accuracy", ylim=(0, 1.08))
        right.yaxis.set_major_formatter(PercentFormatter(1))
        right.legend(loc="lower right")
        headline(figure, title, "Two lines over the epochs: loss and accuracy of the training views")
        plt.close(figure)
        if self.handle:
            self.handle.update(figure)
        else:
            self.handle = display(figure, display_id=True)
