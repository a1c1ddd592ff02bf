"""A picture as a model's input: the function's preparation, by the fitting that the model's `model.json` names."""

import numpy as np
from PIL import Image

from predict import images  # the function's
from predict.fitting import Fitting
from workshop.models.checks import description
from workshop.models.files import ModelFiles


def fitting(model: ModelFiles) -> Fitting:
    """How a model's pictures are fitted to its input. Raises ModelError for a fitting that the function does not know.

    A model that says nothing of itself takes the whole picture, squashed to 224 × 224 pixels.
    """
    return description(model.folder).fitting


def prepared(model: ModelFiles, picture: bytes | Image.Image) -> np.ndarray:
    """A picture as the function prepares it for this model: uint8 (1, 3, size, size), RGB, read-only.

    `picture`: an image file's bytes, or a Pillow image of mode RGB. Raises what `fitting` does, PredictionError for
    bytes that do not decode, and ValueError for an image of another mode.
    """
    chosen = fitting(model)
    if isinstance(picture, bytes):
        return np.asarray(images.network_input(picture, chosen))
    return np.asarray(images.prepare(picture, chosen))


def framed(square: Image.Image, chosen: Fitting) -> Image.Image:
    """A picture that `chosen` makes exactly this square of.

    `square`: of mode RGB, `chosen.size` pixels a side. For a centre crop it gets a grey frame, which is cut off again.
    """
    if chosen.fraction is None:
        return square
    side = round(chosen.size / chosen.fraction)
    left, top, *_ = chosen.box(side, side)
    whole = Image.new("RGB", (side, side), "grey")
    whole.paste(square, (round(left), round(top)))
    return whole
