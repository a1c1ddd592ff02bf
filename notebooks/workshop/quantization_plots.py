"""Plots of what 8 bits do to numbers."""

import matplotlib.pyplot as plt
import numpy as np

from workshop.plots import BLUE, SKY, headline


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
    headline(figure, title)
