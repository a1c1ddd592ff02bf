"""How a picture becomes a network's input: which part of it is looked at, and at how many pixels.

It is a property of the model. A model that says nothing of itself takes the whole picture, squashed to 224 × 224.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

MIN_SIDE, MAX_SIDE = (
    32,
    512,
)  # pixels of a side: the decoder hands over at most a megabyte, and 3 × 512 × 512 bytes fit in
SQUASH, CENTRE_CROP = "squash", "centre-crop"  # the words of model.json
# The network's input is made without loss of this many pixels for each of its own.
_ENOUGH = 2


class Fitting(NamedTuple):
    """`size`: height and width of the network's input, in pixels. `fraction`: the side of the middle square that is
    looked at, as a part of the picture's shorter side, above 0 to 1; None: the whole picture, whatever its proportions.
    """

    size: int = 224
    fraction: float | None = None

    @property
    def enough(self) -> int:
        """Pixels of a picture's shorter side that the input is made of without loss."""
        return _ENOUGH * self.size if self.fraction is None else math.ceil(_ENOUGH * self.size / self.fraction)

    def box(self, width: int, height: int) -> tuple[float, float, float, float]:
        """The part of a picture that is looked at: left, top, width and height in pixels.

        A centre crop is torchvision's `Resize(round(size / fraction))` and `CenterCrop(size)`, with its rounding, told
        in pixels of the picture itself, so that what lies outside is never resized.
        https://pytorch.org/vision/stable/generated/torchvision.transforms.functional.center_crop.html
        """
        if self.fraction is None:
            return 0.0, 0.0, float(width), float(height)
        shorter, short = min(width, height), round(self.size / self.fraction)
        across, down = short * width // shorter, short * height // shorter  # the resized picture's
        left, top = round((across - self.size) / 2), round((down - self.size) / 2)
        x, y = width / across, height / down
        return left * x, top * y, self.size * x, self.size * y

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> "Fitting":
        """The fitting that `input` of a model.json names. Raises ValueError, which says what was expected."""
        size, fit, fraction = said.get("size"), said.get("fit"), said.get("fraction")
        if not isinstance(size, int) or isinstance(size, bool) or not MIN_SIDE <= size <= MAX_SIDE:
            raise ValueError(f"its input has the size {size!r}: expected a whole number from {MIN_SIDE} to {MAX_SIDE}")
        if fit == SQUASH:
            return cls(size)
        if fit != CENTRE_CROP:
            raise ValueError(f"its images are fitted by {fit!r}: expected {SQUASH!r} or {CENTRE_CROP!r}")
        if not isinstance(fraction, int | float) or isinstance(fraction, bool) or not 0 < fraction <= 1:
            raise ValueError(f"its centre crop has the fraction {fraction!r}: expected a number above 0, at most 1")
        return cls(size, float(fraction))


DEFAULT = Fitting()
