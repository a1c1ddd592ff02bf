"""The sample pictures of the lab, all made by this package; `python -m workshop.samples` writes them again."""

import zlib
from pathlib import Path

import cv2
import numpy as np

from .church import church
from .drawing import WIDTH_UNITS, Canvas, finish
from .golf_ball import golf_ball
from .machines import chain_saw, garbage_truck, gas_pump
from .music import cassette_player, french_horn
from .parachute import parachute
from .tench import tench
from .unknown import unknown_checkerboard, unknown_oranges, unknown_page

SIZE = (500, 375)
FOLDER = Path(__file__).resolve().parents[2] / "samples"
QUALITY = 90

_SCENES = {
    golf_ball: "n03445777",
    parachute: "n03888257",
    church: "n03028079",
    gas_pump: "n03425413",
    french_horn: "n03394916",
    garbage_truck: "n03417042",
    cassette_player: "n02979186",
    tench: "n01440764",
    chain_saw: "n03000684",
    unknown_oranges: None,
    unknown_checkerboard: None,
    unknown_page: None,
}

SAMPLES: dict[str, str | None] = {scene.__name__: wnid for scene, wnid in _SCENES.items()}
"""Each sample's name, and the wnid of what it shows; None where that is none of the practice model's classes."""


def sample_path(name: str) -> Path:
    """The JPEG file of a sample. Raises KeyError for a name that is not in `SAMPLES`."""
    if name not in SAMPLES:
        raise KeyError(f"no sample {name!r}: choose one of {', '.join(SAMPLES)}")
    return FOLDER / f"{name}.jpg"


def render(name: str, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Draw a sample at any size (width, height) in pixels; the scenes are composed for 4:3.

    Returns uint8 (height, width, 3) RGB, the same every time. Raises KeyError for an unknown name.
    """
    sample_path(name)
    width, height = size
    oversampling = 2 if width <= 2 * SIZE[0] else 1
    canvas = Canvas(SIZE, width / WIDTH_UNITS * oversampling)
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    next(scene for scene in _SCENES if scene.__name__ == name)(canvas, rng)
    return finish(canvas, (width, height), rng)


def encode(pixels: np.ndarray, quality: int = QUALITY) -> bytes:
    """uint8 (H, W, 3) RGB to the bytes of a JPEG."""
    bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def write_all(folder: Path = FOLDER) -> list[Path]:
    """Draw every sample and write it as a JPEG into `folder`; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name in SAMPLES:
        files.append(folder / f"{name}.jpg")
        files[-1].write_bytes(encode(render(name)))
    return files
