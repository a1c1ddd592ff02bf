"""WebP files: the first picture in them, and its rows where the file is cut."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from PIL import Image, WebPImagePlugin  # noqa: F401  importing a plugin registers it

from .picture import Broken, Cap, Picture, continued, opened

_LENGTHS = (1 << 14, 1 << 18, 1 << 22, 1 << 25)  # of ends that are tried: noise takes more bytes than a picture


class _Part(NamedTuple):
    name: bytes
    content: bytes  # as far as the file has it
    length: int  # as the file says


class _Still(NamedTuple):
    canvas: tuple[int, int] | None  # None: as large as the picture
    place: tuple[int, int]
    alpha: _Part | None
    pixels: _Part


def read(data: bytes, cap: Cap) -> Picture:
    """Decode a WebP's first picture. EXIF's orientation is not applied: browsers do not either.

    Raises Broken or anything.
    """
    still = _still(data)
    if still.canvas:
        cap(*still.canvas)
    came, missing = None, None
    if len(still.pixels.content) >= still.pixels.length:
        image = _decoded(still, b"", cap)
    else:
        image, came = continued(lambda end: _decoded(still, end, cap), _LENGTHS)
        missing = None if came is None else (came, image.height)
    if still.canvas and (image.size, still.place) != (still.canvas, (0, 0)):
        page = Image.new("RGBA", still.canvas)
        page.paste(image.convert("RGBA"), still.place)
        image, below = page, still.canvas[1] - still.place[1] - image.height
        if came is not None and missing:
            top = still.place[1]
            missing, came = (top + missing[0], top + missing[1]), top + came + below
    return Picture(image, came=came, missing=missing)


def _parts(data: bytes, place: int, end: int) -> Iterator[_Part]:
    while place + 8 <= end:
        name, length = struct.unpack_from("<4sI", data, place)
        yield _Part(name, data[place + 8 : min(place + 8 + length, end)], length)
        place += 8 + length + length % 2


def _still(data: bytes) -> _Still:
    canvas, alpha = None, None
    for part in _parts(data, 12, len(data)):
        if part.name == b"VP8X" and len(part.content) >= 10:
            canvas = _size(part.content, 4)
        elif part.name == b"ANMF" and len(part.content) > 16:
            place = 2 * _number(part.content, 0), 2 * _number(part.content, 3)
            inner = None
            for one in _parts(part.content, 16, len(part.content)):
                if one.name == b"ALPH":
                    inner = one
                elif one.name in (b"VP8 ", b"VP8L"):
                    return _Still(canvas, place, inner, one)
            raise Broken("its first frame has no picture")
        elif part.name == b"ALPH":
            alpha = part
        elif part.name in (b"VP8 ", b"VP8L"):
            return _Still(None, (0, 0), alpha, part)
    raise Broken("it has no picture")


def _number(content: bytes, place: int) -> int:
    return int.from_bytes(content[place : place + 3], "little")


def _size(content: bytes, place: int) -> tuple[int, int]:
    return _number(content, place) + 1, _number(content, place + 3) + 1


def _decoded(still: _Still, end: bytes, cap: Cap) -> Image.Image:
    """The picture, its pixels' data continued by `end`."""
    pixels = still.pixels.content + end
    body = _chunk(still.pixels.name, pixels)
    if still.alpha and still.pixels.name == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", pixels, 6))
        sides = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
        body = _chunk(b"VP8X", b"\x10\0\0\0" + sides) + _chunk(b"ALPH", still.alpha.content) + body
    image = opened("WEBP", b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body, cap)
    image.load()
    return image


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)
