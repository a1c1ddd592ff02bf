"""PNG files: their pixels without the other chunks, the first frame of an animation, and rows of a file that is cut.

Pillow reads every chunk, checks it and inflates texts and profiles; it is shown those alone that make the picture.
"""

import contextlib
import functools
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from PIL import Image, ImageChops, PngImagePlugin  # noqa: F401  importing a plugin registers it

from .exif import orientation
from .picture import Broken, Cap, Picture, Unsupported, grey_of_16_bits, opened

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of each colour type
_GREY, _RGB, _PALETTE = 0, 2, 3
# Adam7's passes: the first column and row, and the steps to the next
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_PIECE = 4096  # bytes that are inflated at once


class _Header(NamedTuple):
    width: int
    height: int
    bits: int
    colour: int
    compression: int
    filters: int
    interlace: int


class _Parts(NamedTuple):
    """What of a file makes its picture."""

    header: _Header
    head: bytes  # the signature, IHDR and PLTE as they are in the file
    pixels: bytes  # the contents of the IDAT or fdAT chunks
    transparency: bytes  # tRNS's content where it is well-formed
    orientation: int
    frame: tuple[int, int, int, int] | None  # width, height, x, y of an animation's first frame that is not in IDAT


def read(data: bytes, cap: Cap) -> Picture:
    """Decode a PNG, or the first frame of an animated one. Raises Unsupported, Broken or anything."""
    parts = _parts(data)
    cap(parts.header.width, parts.header.height)
    header, frame = parts.header, parts.frame
    if frame:
        header = header._replace(width=frame[0], height=frame[1])
    head = SIGNATURE + _chunk(b"IHDR", struct.pack(">IIBBBBB", *header)) + parts.head[33:] if frame else parts.head
    pixels, came, lattice = parts.pixels, None, None
    try:
        image = _opened(head, pixels, cap)
        image.load()
    except MemoryError:
        raise
    except Exception:
        pixels, came, lattice = _salvaged(header, pixels)
        image = _opened(head, pixels, cap)
        image.load()
    if parts.transparency:
        image = _with_alpha(image, header, parts.transparency, lambda: _opened(head, pixels, cap))
    if lattice:
        image = _filled(image, lattice)
    missing = None if came is None or came == header.height else (came, header.height)
    if frame:
        page = Image.new("RGBA", (parts.header.width, parts.header.height))
        page.paste(image.convert("RGBA"), frame[2:])
        image = page
        if missing:
            came, end = missing[0] + frame[3], missing[1] + frame[3]
            missing = came, end
    return Picture(image, parts.orientation, came, missing)


def _opened(head: bytes, pixels: bytes, cap: Cap):
    # Pillow does not look at the checksums of pixels, nor do browsers.
    return opened("PNG", b"".join((head, struct.pack(">I4s", len(pixels), b"IDAT"), pixels, bytes(4), _END)), cap)


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


_END = _chunk(b"IEND", b"")


# --- chunks ----------------------------------------------------------------------------------------


def _chunks(data: bytes) -> Iterator[tuple[bytes, memoryview, bytes]]:
    """The name of each chunk, its content as far as the file has it, and its checksum."""
    place, view = len(SIGNATURE), memoryview(data)
    while place + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, place)
        yield name, view[place + 8 : place + 8 + length], data[place + 8 + length : place + 12 + length]
        place += 12 + length


def _parts(data: bytes) -> _Parts:
    head, pixels, frames = [data[:8]], [], []
    header, transparency, turned, palette = None, b"", None, 0
    animated, control, frame = False, None, None  # control: the fcTL that comes before IDAT
    for name, content, checksum in _chunks(data):
        if name == b"IEND":
            break
        if name == b"IDAT":
            pixels.append(content)
        elif name == b"IHDR" and header is None and len(content) == 13:
            header = _Header(*struct.unpack(">IIBBBBB", content))
            head.append(struct.pack(">I4s", 13, name) + bytes(content) + checksum)
        elif name == b"PLTE" and not pixels:
            palette = len(content) // 3
            head.append(struct.pack(">I4s", len(content), name) + bytes(content) + checksum)
        elif name == b"fdAT":
            if frame and not control:
                frames.append(content[4:])
        elif name == b"fcTL" and len(content) == 26 and animated:
            if frame:
                if frames or control:
                    break  # the second frame: no more of the first one's pixels
                continue
            if _is_sound(name, content, checksum):
                frame = struct.unpack_from(">IIII", content, 4)
                control = not pixels
        elif pixels or not _is_sound(name, content, checksum):
            pass  # browsers, too, look for the following before the pixels alone
        elif name == b"acTL" and len(content) == 8:
            animated = content[:4] != bytes(4)
        elif name == b"tRNS" and not transparency and header:
            transparency = _well_formed(bytes(content), header.colour, palette)
        elif name == b"eXIf" and turned is None:
            turned = orientation(bytes(content))
        elif not name[0] & 0x20 and name.isalpha():
            what = "made for iOS apps by Xcode" if name == b"CgBI" else f"of its own kind (chunk {ascii(name)[1:]})"
            raise Unsupported(f"this PNG is {what}, which browsers do not show either: save it as a usual PNG")
    if header is None:
        raise Broken("it does not begin with its header")
    turned = turned or 1
    if frame and not control and frames and _fits(frame, header):
        return _Parts(header, b"".join(head), b"".join(frames), transparency, turned, frame)
    return _Parts(header, b"".join(head), b"".join(pixels), transparency, turned, None)


def _is_sound(name: bytes, content: memoryview, checksum: bytes) -> bool:
    if len(content) > 1 << 20:  # a text or a profile; nothing that is looked at is as long
        return False
    return zlib.crc32(content, zlib.crc32(name)).to_bytes(4, "big") == checksum


def _fits(frame: tuple[int, int, int, int], header: _Header) -> bool:
    width, height, x, y = frame
    return 0 < width <= header.width - x and 0 < height <= header.height - y


# --- transparency ----------------------------------------------------------------------------------


def _well_formed(content: bytes, colour: int, palette: int) -> bytes:
    fits = {_GREY: len(content) == 2, _RGB: len(content) == 6, _PALETTE: 0 < len(content) <= palette}
    return content if fits.get(colour) else b""


def _with_alpha(image: Image.Image, header: _Header, content: bytes, again) -> Image.Image:
    """An image with what its tRNS chunk says is transparent.

    Pillow compares grey of few bits after it is scaled, and colours of 16 bits by their upper eight alone.
    """
    if header.colour == _PALETTE:
        image.info["transparency"] = content
        return image
    wanted = struct.unpack(f">{len(content) // 2}H", content)
    if header.bits < 16:
        scale = 255 // ((1 << header.bits) - 1)
        bands = [band.convert("L") for band in image.split()]
        mask = _equal(bands, [value % (1 << header.bits) * scale for value in wanted])
    elif header.colour == _GREY:
        table = [0 if value == wanted[0] else 255 for value in range(65536)]
        mask = image.convert("I").point(table, "L")
    else:
        lower = again()
        lower.tile = [tile._replace(args="RGB;16L") for tile in lower.tile]  # the second byte of each value
        lower.load()
        bands = [*image.split(), *lower.split()]
        mask = _equal(bands, [value >> 8 for value in wanted] + [value & 255 for value in wanted])
    if image.mode.startswith("I"):
        image = grey_of_16_bits(image)
    image = image.convert("RGB")
    image.putalpha(mask)
    return image


def _equal(bands: list[Image.Image], values: list[int]) -> Image.Image:
    """0 where all bands have these values, 255 elsewhere."""
    unlike = (
        band.point([255 * (level != value) for level in range(256)]) for band, value in zip(bands, values, strict=True)
    )
    return functools.reduce(ImageChops.lighter, unlike)


# --- a missing end ---------------------------------------------------------------------------------


def _salvaged(header: _Header, pixels: bytes) -> tuple[bytes, int | None, list[tuple[int, int]] | None]:
    """The rows that came as a sound stream, the others zeros; how many came; and of interlaced ones which.

    The count is None when no row is missing. The last is the number of whole rows and of all rows of each pass.
    """
    line = _CHANNELS[header.colour] * header.bits
    passes = _PASSES if header.interlace else ((0, 0, 1, 1),)
    sizes = [((header.width - x + across - 1) // across, (header.height - y + down - 1) // down)
             for x, y, across, down in passes]  # fmt: skip
    sizes = [(1 + (width * line + 7) // 8, rows if width > 0 else 0) for width, rows in sizes]
    needed = sum(length * rows for length, rows in sizes)
    raw = _inflated(pixels, needed)
    whole, place, sound = [], 0, True
    for length, rows in sizes:
        filters = bytes(raw[place : place + length * rows : length]) if rows else b""
        count = min(len(filters), max(0, len(raw) - place) // length)
        good = next((row for row in range(count) if filters[row] > 4), count) if sound else 0
        sound = sound and good == rows
        whole.append((good, rows))
        place += length * rows
    intact = 0
    for (length, rows), (good, _) in zip(sizes, whole, strict=True):
        intact += length * good
        if good < rows:
            break
    del raw[intact:]
    raw += bytes(needed - intact)
    stream = zlib.compress(raw, 1)
    if intact == needed:
        return stream, None, None
    if header.interlace:  # the first pass has a pixel for every eight rows, and browsers show it so
        return stream, min(header.height, 8 * whole[0][0]), whole
    return stream, whole[0][0], None


def _inflated(pixels: bytes, needed: int) -> bytearray:
    """As many bytes as can be inflated, at most `needed`. Neither zlib's header nor its sum over all is looked at."""
    raw, inflater, place = bytearray(), zlib.decompressobj(-15), 2
    while place < len(pixels) and len(raw) < needed and not inflater.eof:
        before, start = inflater.copy(), len(raw)
        piece = pixels[place : place + _PIECE]
        place += _PIECE
        try:
            while piece and len(raw) < needed and not inflater.eof:  # at the end zlib may go on to name the same tail
                raw += inflater.decompress(piece, min(1 << 20, needed - len(raw)))
                piece = inflater.unconsumed_tail
        except zlib.error:
            del raw[start:]
            with contextlib.suppress(zlib.error):  # once more byte by byte, up to the one that is wrong
                for value in pixels[place - _PIECE : place]:
                    raw += before.decompress(bytes((value,)), needed - len(raw) or 1)
            break
    del raw[needed:]
    return raw


def _filled(image: Image.Image, whole: list[tuple[int, int]]) -> Image.Image:
    """An interlaced picture whose missing pixels have the colour of the ones that came left of and above them."""
    steps = ((8, 8), (4, 8), (4, 4), (2, 4), (2, 2), (1, 2), (1, 1))  # between the pixels that each pass completes
    reached = next(index for index, (good, rows) in enumerate(whole) if good < rows)
    split = 0
    if reached:
        _, y, _, down = _PASSES[reached]
        split = min(image.height, (y + down * whole[reached][0]) // down * down)
    image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    coarse = _spread(image, *steps[max(0, reached - 1)])
    fine = _spread(image, *steps[reached]).crop((0, 0, image.width, split))
    coarse.paste(fine)
    return coarse


def _spread(image: Image.Image, across: int, down: int) -> Image.Image:
    """Every pixel as the one at the upper left of its block."""
    nearest, affine = Image.Resampling.NEAREST, Image.Transform.AFFINE
    size = (image.width + across - 1) // across, (image.height + down - 1) // down
    # Pillow maps the middle of each pixel: half a pixel more than its corner
    few = image.transform(size, affine, (across, 0, 0.5 - across / 2, 0, down, 0.5 - down / 2), nearest)
    return few.transform(image.size, affine, (1 / across, 0, 0, 0, 1 / down, 0), nearest)
