"""GIF files: the first frame on its screen, and its rows where the file is cut."""

import struct
from typing import NamedTuple

from PIL import GifImagePlugin, Image  # noqa: F401  importing a plugin registers it

from .picture import Broken, Cap, Picture, loaded_on, opened, rows_alike

_EXTENSION, _IMAGE = 0x21, 0x2C
_CONTROL = 0xF9  # the extension that says which colour is transparent
_INTERLACE, _PALETTE = 0x40, 0x80  # flags


class _Frame(NamedTuple):
    screen: tuple[int, int]
    box: tuple[int, int, int, int]  # left, top, width, height
    transparent: int | None
    interlaced: bool
    file: bytes  # the frame as a GIF of its own


def read(data: bytes, cap: Cap) -> Picture:
    """Decode a GIF's first frame; nothing is around one that is smaller than the screen. Raises Broken or anything."""
    frame = _first_frame(data)
    left, top, width, height = frame.box
    screen = max(frame.screen[0], left + width), max(frame.screen[1], top + height)
    cap(*screen)
    image, came, missing = opened("GIF", frame.file, cap), None, None
    try:
        image.load()
    except MemoryError:
        raise
    except Exception:
        image, other = (loaded_on(opened("GIF", frame.file, cap), value) for value in (0, 255))
        came = rows_alike(image, other, _order(height, frame.interlaced))
        if frame.interlaced:
            image, came = _filled(image, came)
        missing = (top + came, top + height) if came < height else None
        came += top
    if frame.transparent is not None:
        image.info["transparency"] = frame.transparent
    if (screen, (0, 0)) != ((width, height), (left, top)):
        page = Image.new("RGBA", screen)
        page.paste(image.convert("RGBA"), (left, top))
        image = page
        came = came and min(came + screen[1] - top - height, screen[1])  # nothing is missing below the frame
    return Picture(image, came=came, missing=missing)


def _first_frame(data: bytes) -> _Frame:
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    place = 13 + _palette_length(flags)
    common, transparent = data[:place], None
    while data[place] != _IMAGE:
        if data[place] == _EXTENSION:
            kind, place = data[place + 1], place + 2
            if kind == _CONTROL and data[place] >= 4:
                transparent = data[place + 4] if data[place + 1] & 1 else None
            while data[place]:
                place += 1 + data[place]
        elif data[place] == 0x3B:
            raise Broken("it ends before its first frame")
        place += 1
    box = struct.unpack_from("<4H", data, place + 1)
    own = data[place + 9]
    if 0 in box[2:]:
        raise Broken("its first frame has no pixels")
    if width * height == 0:
        width, height = box[2:]
    start = place + 10 + _palette_length(own)
    end = start + 1
    while end < len(data) and data[end]:
        end += 1 + data[end]
    alone = struct.pack("<HH4H", *box[2:], 0, 0, *box[2:])
    file = b"".join(
        (common[:6], alone[:4], common[10:], b",", alone[4:], data[place + 9 : start], data[start:end], b"\0;")
    )
    return _Frame((width, height), box, transparent, bool(own & _INTERLACE), file)


def _palette_length(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & _PALETTE else 0


def _order(height: int, interlaced: bool) -> list[int]:
    """The rows in the order of the file."""
    passes = ((0, 8), (4, 8), (2, 4), (1, 2)) if interlaced else ((0, 1),)
    return [row for first, step in passes for row in range(first, height, step)]


def _filled(image: Image.Image, decoded: int) -> tuple[Image.Image, int]:
    """An interlaced frame whose missing rows are as those above them that came, and how many rows now say something."""
    came = sorted(_order(image.height, True)[:decoded])
    for row, following in zip(came, [*came[1:], min(image.height, came[-1] + 8 if came else 0)], strict=True):
        strip = image.crop((0, row, image.width, row + 1))
        for missing in range(row + 1, following):
            image.paste(strip, (0, missing))
    return image, min(image.height, came[-1] + 8) if came else 0
