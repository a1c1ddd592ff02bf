"""The scenes of the lab's sample pictures, and how each is drawn and written."""

import zlib
from pathlib import Path

import numpy as np

from scripts.draw_samples.church import church
from scripts.draw_samples.drawing import WIDTH_UNITS, Canvas, finish
from scripts.draw_samples.golf_ball import golf_ball
from scripts.draw_samples.machines import chain_saw, garbage_truck, gas_pump
from scripts.draw_samples.music import cassette_player, french_horn
from scripts.draw_samples.parachute import parachute
from scripts.draw_samples.tench import tench
from scripts.draw_samples.unknown import unknown_checkerboard, unknown_oranges, unknown_page
from workshop.samples import FOLDER, encode

SIZE = (500, 375)
SCENES = {
    scene.__name__: scene
    for scene in (
        golf_ball,
        parachute,
        church,
        gas_pump,
        french_horn,
        garbage_truck,
        cassette_player,
        tench,
        chain_saw,
        unknown_oranges,
        unknown_checkerboard,
        unknown_page,
    )
}


def render(name: str, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Draw a sample at any size (width, height) in pixels; the scenes are composed for 4:3.

    Returns uint8 (height, width, 3) RGB, the same every time. Raises KeyError for an unknown name.
    """
    scene = SCENES[name]
    width, height = size
    oversampling = 2 if width <= 2 * SIZE[0] else 1
    canvas = Canvas(SIZE, width / WIDTH_UNITS * oversampling)
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    scene(canvas, rng)
    return finish(canvas, (width, height), rng)


def write_all(folder: Path = FOLDER) -> list[Path]:
    """Draw every sample and write it as a JPEG into `folder`; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name in SCENES:
        files.append(folder / f"{name}.jpg")
        files[-1].write_bytes(encode(render(name)))
    return files
