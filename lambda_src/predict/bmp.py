"""BMP files, of Windows and OS/2, with colours of any bit fields.

Pillow's own reader takes some layouts of the bits, and needs every row.
https://learn.microsoft.com/en-us/windows/win32/gdi/bitmap-header-types
"""

import struct
from typing import NamedTuple

from PIL import Image, ImageMath

from .picture import Broken, Cap, Picture, Unsupported

_RAW, _RLE8, _RLE4, _FIELDS, _JPEG, _PNG, _ALPHA_FIELDS = range(7)
_OS2_RLE24 = 4  # with a header of 64 bytes
_FIELDS_OF = {16: (0x7C00, 0x3E0, 0x1F, 0), 32: (0xFF0000, 0xFF00, 0xFF, 0)}
_BANDS: dict[tuple[int, ...], str] = {
    (0xFF0000, 0xFF00, 0xFF): "BGRX",
    (0xFF, 0xFF00, 0xFF0000): "RGBX",
    (0xFF000000, 0xFF0000, 0xFF00): "XBGR",
}
_BAND_ROWS = 256  # that are taken apart at once, so that few of the large numbers exist


class _Header(NamedTuple):
    length: int
    width: int
    height: int
    downwards: bool
    bits: int
    compression: int
    fields: tuple[int, ...]  # bits of red, green, blue and alpha
    palette: bytes  # RGB
    pixels: int  # where they begin


def read(data: bytes, cap: Cap) -> Picture:
    """Decode a BMP, or the first of an array of them. Raises Unsupported, Broken or anything."""
    if data[:2] == b"BA":
        data = data[14:24] + struct.pack("<I", max(0, struct.unpack_from("<I", data, 24)[0] - 14)) + data[28:]
    header = _header(data)
    cap(header.width, header.height)
    if not header.width or not header.height:
        raise Broken("it has no pixels")
    if header.compression in (_RLE8, _RLE4, _OS2_RLE24):
        rows, came, stride = *_runs(data[header.pixels :], header), header.width * (3 if header.bits == 24 else 1)
    else:
        stride = (header.width * header.bits + 31) // 32 * 4
        rows = data[header.pixels : header.pixels + stride * header.height]
        came = len(rows) // stride
    rows += bytes(stride * header.height - len(rows))
    image = _image(rows, stride, header)
    if came >= header.height:
        return Picture(image)
    return Picture(image, came=came, missing=(came, header.height) if header.downwards else (0, header.height - came))


def _header(data: bytes) -> _Header:
    length = struct.unpack_from("<I", data, 14)[0]
    if length == 12:
        width, height, _planes, bits = struct.unpack_from("<HHHH", data, 18)
        compression = colours = 0
    else:
        width, height, _planes, bits = struct.unpack_from("<iiHH", data, 18)
        compression = struct.unpack_from("<I", data, 30)[0] if length > 16 else 0
        colours = struct.unpack_from("<I", data, 46)[0] if length >= 40 else 0
    masks = 0
    if compression in (_FIELDS, _ALPHA_FIELDS) and length == 40:
        masks = 16 if compression == _ALPHA_FIELDS else 12  # behind the header
    fields = struct.unpack_from("<4I", data.ljust(70, b"\0"), 54)
    if masks == 12 or length == 52:
        fields = (*fields[:3], 0)
    if compression == _RAW:  # of these fields alpha alone is looked at, and of the fourth version on
        fields = (*_FIELDS_OF.get(bits, ()), 0)[:3] + (fields[3] if length >= 108 and bits == 32 else 0,)
    pixels = struct.unpack_from("<I", data, 10)[0]
    start, entry = 14 + length + masks, 3 if length == 12 else 4
    palette = b""
    if bits <= 8:
        count = min(colours or 1 << bits, 1 << bits)
        if pixels > start:
            count = min(count, (pixels - start) // entry)
        table = data[start : start + entry * count]
        palette = b"".join(bytes(table[place : place + 3][::-1]) for place in range(0, len(table) - 2, entry))
        start += entry * count
    what = _not_decoded(length, bits, compression)
    if what:
        raise Unsupported(f"this BMP is {what}, which is not decoded: save it with 24 bits per pixel, or as a PNG")
    return _Header(length, width, abs(height), height < 0, bits, compression, fields, palette, pixels or start)


def _not_decoded(length: int, bits: int, compression: int) -> str:
    if (compression == _RLE8 and bits == 8) or (compression == _RLE4 and bits == 4):
        return ""
    if compression == _OS2_RLE24 and length == 64 and bits == 24:
        return ""
    if compression in (_JPEG, _PNG):
        return "a JPEG or a PNG for a printer"
    if compression in (_FIELDS, _ALPHA_FIELDS) and (bits not in (16, 32) or length in (12, 16, 64)):
        return "compressed in OS/2's way" if length == 64 else f"of {bits} bits in fields"
    if compression > _ALPHA_FIELDS or compression in (_RLE8, _RLE4):
        return f"of compression {compression} with {bits} bits"
    return "" if bits in (1, 2, 4, 8, 16, 24, 32) else f"of {bits} bits per pixel"


def _image(rows: bytes | bytearray, stride: int, header: _Header) -> Image.Image:
    size, upwards = (header.width, header.height), 1 if header.downwards else -1

    def raw(mode: str, layout: str) -> Image.Image:
        return Image.frombytes(mode, size, bytes(rows), "raw", layout, stride, upwards)

    if header.bits <= 8:
        layout = "P" if header.compression else {1: "P;1", 2: "P;2", 4: "P;4", 8: "P"}[header.bits]
        image = raw("P", layout)
        image.putpalette(header.palette.ljust(768, b"\0"), "RGB")
        return image
    if header.bits == 24:
        return raw("RGB", "BGR")
    *colours, alpha = header.fields
    known = _BANDS.get(tuple(colours)) if header.bits == 32 else None
    if known and (not alpha or ("X" in known and alpha == 0xFF << 8 * known.index("X"))):
        image = raw("RGBA", known.replace("X", "A")) if alpha else raw("RGB", known)
    elif (header.bits, *header.fields) == (16, 0x7C00, 0x3E0, 0x1F, 0):
        image = raw("RGB", "BGR;15")
    elif (header.bits, *header.fields) == (16, 0xF800, 0x7E0, 0x1F, 0):
        image = raw("RGB", "BGR;16")
    else:
        image = _taken_apart(rows, stride, header)
    # Programs that know no alpha leave it 0: a picture of which nothing could be seen is none.
    if image.mode == "RGBA" and image.getchannel("A").getextrema()[1] == 0:
        image = image.convert("RGB")
    return image


def _taken_apart(rows: bytes | bytearray, stride: int, header: _Header) -> Image.Image:
    """Pixels of 16 or 32 bits whose colours are any run of their bits."""
    image = Image.new("RGBA" if header.fields[3] else "RGB", (header.width, header.height))
    for first in range(0, header.height, _BAND_ROWS):
        count = min(_BAND_ROWS, header.height - first)
        part = bytes(rows[first * stride : (first + count) * stride])
        size, layout = (header.width, count), "I;16" if header.bits == 16 else "I;32"
        numbers = Image.frombytes("I", size, part, "raw", layout, stride, 1 if header.downwards else -1)
        bands = [_field(numbers, mask) for mask in header.fields[: len(image.getbands())]]
        image.paste(Image.merge(image.mode, bands), (0, first if header.downwards else header.height - first - count))
    return image


def _field(numbers: Image.Image, mask: int) -> Image.Image:
    """Some bits of 32-bit numbers as a band from 0 to 255."""
    if not mask:
        return Image.new("L", numbers.size)
    low, length = (mask & -mask).bit_length() - 1, mask.bit_length() - (mask & -mask).bit_length() + 1
    if length > 8:
        low, length = low + length - 8, 8
    most = (1 << length) - 1
    shifted = ImageMath.lambda_eval(lambda names: (names["numbers"] >> low) & most, numbers=numbers)
    return shifted.point([(value * 255 + most // 2) // most for value in range(most + 1)] + [255] * (65535 - most), "L")


def _runs(data: bytes, header: _Header) -> tuple[bytearray, int]:
    """Run-length encoded pixels as rows of bytes without padding, and how many rows came."""
    step, wide = (3, header.width * 3) if header.bits == 24 else (1, header.width)
    nibbles, rows = header.compression == _RLE4, bytearray()
    place = x = y = 0
    rows = bytearray(wide * header.height)

    def put(content: bytes) -> None:
        nonlocal x
        room = min(len(content), wide - x)
        if y < header.height and room > 0:
            rows[y * wide + x : y * wide + x + room] = content[:room]
        x += len(content)

    def pairs(content: bytes, count: int) -> bytes:
        return bytes(value for both in content for value in (both >> 4, both & 15))[:count]

    while place + 1 < len(data) and y < header.height:
        count, value = data[place], data[place + 1]
        place += 2
        if count:
            if step == 3:
                put(data[place - 1 : place + 2] * count)
                place += 2
            else:
                put(pairs(bytes((value,)) * ((count + 1) // 2), count) if nibbles else bytes((value,)) * count)
        elif value == 0:
            x, y = 0, y + 1
        elif value == 1:
            return rows, header.height
        elif value == 2:
            x, y = x + step * data[place], y + data[place + 1]
            place += 2
        else:
            length = (value + 1) // 2 if nibbles else value * step
            content = data[place : place + length]
            put(pairs(content, value) if nibbles else content)
            place += length + length % 2
    return rows, min(y + (x >= wide), header.height)
