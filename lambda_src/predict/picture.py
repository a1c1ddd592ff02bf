"""What the readers of the formats share: a picture on its way from a file to RGB, and how it opens and is refused."""

import contextlib
import io
from collections.abc import Callable, Iterable
from typing import NamedTuple

from PIL import Image, ImageChops, ImageFile

from .errors import PredictionError

WHITE = (255, 255, 255)
Cap = Callable[[int, int], None]  # of width and height; raises PredictionError 413


class Picture(NamedTuple):
    """A decoded picture before it is turned upright and made RGB.

    `image`: of any mode; its alpha, or `info["transparency"]`, says what is transparent. `orientation`: EXIF's, 1 to 8.
    `came`: how many of its rows the file had, None where nothing is missing. `missing`: the first and the end of the
    rows that are to be white because they did not come; None where what came says something of every row.
    """

    image: Image.Image
    orientation: int = 1
    came: int | None = None
    missing: tuple[int, int] | None = None
    notes: tuple[str, ...] = ()


class Unsupported(Exception):
    """A file that is well-formed and of a kind that is not decoded. The message says of which, and what to do."""


class Broken(Exception):
    """A file that does not decode. The message is for the log."""


def opened(kind: str, data: bytes, cap: Cap) -> ImageFile.ImageFile:
    """Pillow's image of a file of that format, its header read and its size held to the cap. Raises anything."""
    image = Image.open(io.BytesIO(data), formats=(kind,))
    cap(*image.size)
    return image


def grey_of_16_bits(image: Image.Image) -> Image.Image:
    """16-bit grey as mode L: 65535 becomes 255."""
    # Pillow looks 32-bit integers up in a table of 65,536 entries: no other way of its own rounds as it should.
    return image.convert("I").point([(value * 255 + 32767) // 65535 for value in range(65536)], "L")


def loaded_on(image: ImageFile.ImageFile, value: int, size: tuple[int, int] | None = None) -> Image.Image:
    """What an image's decoder makes of the file before it fails, on a ground whose every byte is `value`.

    Two of these differ in the rows that were not decoded, and in no other. `size`: as stored, where that differs.
    """
    colour = value if len(image.getbands()) == 1 else (value,) * len(image.getbands())
    ground = Image.new(image.mode, size or image.size, colour)
    if image.palette:
        ground.palette = image.palette.copy()
    image.im = ground.im  # the decoder writes where it finds memory of its size
    with contextlib.suppress(Exception):
        image.load()
    return ground


def rows_alike(one: Image.Image, other: Image.Image, order: Iterable[int] | None = None) -> int:
    """How many rows are alike, in an order of rows (else from the top) in which all after a differing one differ."""
    rows = list(order if order is not None else range(one.height))
    low, high = 0, len(rows)
    while low < high:
        middle = (low + high) // 2
        box = (0, rows[middle], one.width, rows[middle] + 1)
        if one.crop(box).tobytes() == other.crop(box).tobytes():
            low = middle + 1
        else:
            high = middle
    return low


def continued(decode: Callable[[bytes], Image.Image], lengths: Iterable[int]) -> tuple[Image.Image, int | None]:
    """What `decode` makes of a file whose end is missing, and how many rows it had; None when it lacks nothing.

    `decode` is given what to put in the place of the end, of one of these lengths. Where two different ends lead to the
    same rows, the file had them. An end may mean something that cannot be: then another is tried. Raises Broken.
    """
    first = None
    for length in lengths:
        ends = bytes(length), noise(length), b"\xff" * length, noise(length, 97), b"U" * length
        for number, end in enumerate(ends):
            if first and first[1] == number:
                continue
            try:
                image = decode(end)
            except (MemoryError, PredictionError, Image.DecompressionBombError):
                raise
            except Exception:
                continue
            if first is None:
                first = image, number
                continue
            box = ImageChops.difference(first[0], image).getbbox(alpha_only=False)
            return first[0], box and box[1]
    raise Broken("its end cannot be told from the rest")


def noise(length: int, step: int = 167) -> bytes:
    """Bytes that mean nothing: the same each time, the first 0, none of them 0xFF."""
    pattern = bytes(place * step % 255 for place in range(255))
    return (pattern * (length // 255 + 1))[:length]
