"""TIFF files: the page that is the picture, the rows that came, and what a file is that is not decoded."""

import struct

from PIL import Image, TiffImagePlugin

from .exif import ORIENTATION
from .picture import Broken, Cap, Picture, Unsupported, loaded_on, opened, rows_alike

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _COLOURS, _SAMPLES, _FORMAT = 256, 257, 258, 259, 262, 277, 339
_SUBFILE, _XMP = 254, 700
_REDUCED = 1  # bit of _SUBFILE: a smaller version of another page
_PAGES = 16  # that are looked at for the one that is not reduced
_MOST_TAGS = 512  # of a directory
_LENGTHS = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}  # bytes of each type, else 1
_KINDS = {1: "whole numbers", 2: "signed numbers", 3: "floats", 5: "complex numbers", 6: "complex floats"}


def read(data: bytes, cap: Cap) -> Picture:
    """Decode a TIFF's first page that is no reduced version of another. Raises Unsupported, Broken or anything."""
    if data.startswith(b"MM\0+"):
        data = _classic(data)
    try:
        image = _page(opened("TIFF", data, cap), cap)
    except Image.UnidentifiedImageError:
        data += bytes(8)  # the last number of a directory that is the end of the file; it is 0, but Pillow wants it
        try:
            image = _page(opened("TIFF", data, cap), cap)
        except Image.UnidentifiedImageError:
            raise _reason(data) from None
    orientation = _taken_out(image)
    stored = image.size[::-1] if orientation > 4 else image.size
    try:
        image.load()
    except MemoryError:
        raise
    except Exception as problem:
        image, other = (loaded_on(_again(data, cap), value, stored) for value in (0, 255))
        came = rows_alike(image, other)
        if not came:
            raise _reason(data) from problem
        missing = (came, image.height) if came < image.height else None
        return Picture(image, orientation, came if missing else None, missing)
    return Picture(image)  # Pillow has turned it


def _again(data: bytes, cap: Cap):
    image = _page(opened("TIFF", data, cap), cap)
    _taken_out(image)
    return image


def _page(image, cap: Cap):
    """The first page that is not reduced; the largest where all are said to be."""
    sizes = []
    for number in range(_PAGES):
        try:
            image.seek(number)
        except (EOFError, SyntaxError, ValueError, KeyError, OSError, TypeError):
            break
        sizes.append(image.width * image.height)
        if not _number(image.tag_v2.get(_SUBFILE, 0)) & _REDUCED:
            break
    else:
        number = _PAGES
    if number == len(sizes):  # none was found
        image.seek(sizes.index(max(sizes)))
    cap(*image.size)
    return image


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _taken_out(image) -> int:
    """The orientation, 1 to 8. XMP is taken away: Pillow looks for another one there."""
    image.info.pop("xmp", None)
    image.tag_v2.pop(_XMP, None)
    value = image.tag_v2.get(ORIENTATION)
    return value if value in range(1, 9) else 1


def _classic(data: bytes) -> bytes:
    """A big-endian BigTIFF, which Pillow does not read, with directories of a classic TIFF behind it."""
    made, link = bytearray(data), 4  # link: where the place of the next directory is written
    place = struct.unpack_from(">Q", data, 8)[0]
    for _ in range(_PAGES):
        if not place:
            break
        entries, count = [], min(struct.unpack_from(">Q", data, place)[0], _MOST_TAGS)
        for entry in range(place + 8, place + 8 + 20 * count, 20):
            tag, kind, number, content = struct.unpack_from(">HHQ8s", data, entry)
            length = number * _LENGTHS.get(kind, 1)
            if length > 8:
                start = int.from_bytes(content, "big")
                content = data[start : start + length]
            content = content[:length]
            if kind in (16, 18):  # of 64 bits
                content, kind = struct.pack(f">{number}I", *struct.unpack(f">{number}Q", content)), 4
            if len(content) > 4:
                made += bytes(len(made) % 2)
                content, made = struct.pack(">I", len(made)), made + content
            entries.append(struct.pack(">HHI", tag, kind, number) + content.ljust(4, b"\0"))
        made += bytes(len(made) % 2)
        struct.pack_into(">I", made, link, len(made))
        made += struct.pack(">H", len(entries)) + b"".join(entries)
        link = len(made)
        made += bytes(4)
        place = struct.unpack_from(">Q", data, place + 8 + 20 * count)[0]
    made[2:4] = b"\0*"
    return bytes(made)


def _reason(data: bytes) -> Exception:
    """Why a TIFF does not decode: what it is, if its first directory says so."""
    tags = _directory(data)
    if not {_WIDTH, _HEIGHT} <= tags.keys():
        return Broken("its first directory does not read")
    samples, bits, kind = tags.get(_SAMPLES, 1), tags.get(_BITS, 1), tags.get(_FORMAT, 1)
    usual = (bits in (1, 2, 4, 8) and kind == 1) or (bits in (16, 32) and samples == 1) or (bits == 16 and kind == 1)
    if usual and tags.get(_COMPRESSION, 1) in TiffImagePlugin.COMPRESSION_INFO:
        return Broken("its rows do not decode")
    compression = TiffImagePlugin.COMPRESSION_INFO.get(tags.get(_COMPRESSION, 1), f"number {tags.get(_COMPRESSION)}")
    return Unsupported(
        f"this TIFF has {samples} value{'s' * (samples != 1)} per pixel as {bits}-bit {_KINDS.get(kind, 'data')} "
        f"(compression: {compression}), which is not decoded: save it with 8 bits per value, or as a PNG"
    )


def _directory(data: bytes) -> dict[int, int]:
    """The tags of a classic TIFF's first directory that are whole numbers of 16 or 32 bits; the first of several."""
    order = "<" if data[:2] == b"II" else ">"
    tags: dict[int, int] = {}
    try:
        place = struct.unpack_from(order + "I", data, 4)[0]
        for entry in range(struct.unpack_from(order + "H", data, place)[0]):
            tag, kind, count = struct.unpack_from(order + "HHI", data, place + 2 + 12 * entry)
            where, letter = place + 2 + 12 * entry + 8, {3: "H", 4: "I"}.get(kind)
            if letter and count * struct.calcsize(letter) > 4:
                where = struct.unpack_from(order + "I", data, where)[0]
            if letter and count:
                tags[tag] = struct.unpack_from(order + letter, data, where)[0]
    except struct.error:
        pass
    return tags
