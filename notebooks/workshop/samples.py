"""The sample pictures of the lab; `python -m scripts.draw_samples` draws them again."""

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

FOLDER = Path(__file__).resolve().parents[1] / "samples"
QUALITY = 90

SAMPLES: dict[str, str | None] = {
    "golf_ball": "n03445777",
    "parachute": "n03888257",
    "church": "n03028079",
    "gas_pump": "n03425413",
    "french_horn": "n03394916",
    "garbage_truck": "n03417042",
    "cassette_player": "n02979186",
    "tench": "n01440764",
    "chain_saw": "n03000684",
    "unknown_oranges": None,
    "unknown_checkerboard": None,
    "unknown_page": None,
}
"""Each sample's name, and the wnid of what it shows; None where that is none of the practice model's classes."""

_BEYOND = {"unknown_oranges": "n07747607"}  # of ImageNet's 1,000 classes and none of the practice model's
TRIED = ("practice", "efficientnet-lite0")
"""The models that the samples were tried on: each sample of a class that the model has comes out as that class."""


def truths(labels: Iterable[str]) -> dict[str, str | None]:
    """Each sample's name, and the wnid of what it shows where a model with these labels has that class, else None."""
    known = {label.split()[0] for label in labels}
    shown = SAMPLES | _BEYOND
    return {name: wnid if wnid in known else None for name, wnid in shown.items()}


def sample_path(name: str) -> Path:
    """The JPEG file of a sample. Raises KeyError for a name that is not in `SAMPLES`."""
    if name not in SAMPLES:
        raise KeyError(f"no sample {name!r}: choose one of {', '.join(SAMPLES)}")
    return FOLDER / f"{name}.jpg"


def encode(pixels: np.ndarray, quality: int = QUALITY) -> bytes:
    """uint8 (H, W, 3) RGB to the bytes of a JPEG."""
    bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
