"""Image files of odd kinds, made here: the inputs of the tests of decoding, of the browser's and of the fuzzer."""

import base64
import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw

from predict import avif

RED, GREEN, BLUE, YELLOW = (220, 30, 30), (30, 200, 30), (30, 30, 220), (220, 220, 30)
WHITE = (255, 255, 255)
GREY = (120, 120, 120)
SIGNATURE = b"\x89PNG\r\n\x1a\n"
# `quarters(64, 48)` as heif-enc (libheif's own program) made it: no library here encodes HEVC
HEIC = base64.b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAa1tZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAAA5waXRtAAAAAAACAAAA"
    "EGlkYXQAAAAAAEAAMAAAADhpbG9jAQAAAERAAAIAAQAAAAAAAAHRAAEAAAAAAAAAxQACAAEAAAAAAAAAAQAAAAAAAAAIAAAAOGlpbmYAAAAAAAIAAAAVaW5m"
    "ZQIAAAEAAQAAaHZjMQAAAAAVaW5mZQIAAAAAAgAAZ3JpZAAAAADYaXBycAAAALZpcGNvAAAAdmh2Y0MBA3AAAAAAAAAAAAAe8AD8/fj4AAAPAyAAAQAYQAEM"
    "Af//A3AAAAMAkAAAAwAAAwAeugJAIQABACpCAQEDcAAAAwCQAAADAAADAB6gIIEFlurkprm4EBAwIAAAAwAgAAADACEiAAEABkQBwXPAiQAAABRpc3BlAAAA"
    "AAAAAEAAAABAAAAAFGlzcGUAAAAAAAAAQAAAADAAAAAQcGl4aQAAAAADCAgIAAAAGmlwbWEAAAAAAAAAAgABAoECAAICA4QAAAAaaXJlZgAAAAAAAAAOZGlt"
    "ZwACAAEAAQAAAM1tZGF0AAAAwSgBrwngITip//It3/8THZe5lyeVp79Y//0Qb70Nb/4im3R+ja83/wcjvzB+/42uxMLJ+Uf/qqy+PMFn4mewMsBzvxvEyEFV"
    "2u3Tb5EHxdaBoAIAwU0a+i0jvCmyBe1WcY+BwRzbdZl4tp/XR/mXOJXI10EqUMTaAX77W26BauDG3h2PuPcVqX99kPRL9LSBGuUo1Ge5DviP1HIP26bFSz19"
    "b1UQ6ZFxh3PuVlbOfJIWQnOf1r23xnYMYLf3ETh+I1I="
)


def quarters(width: int = 96, height: int = 64) -> Image.Image:
    """Red, green / blue, yellow: shows where each corner of a picture went."""
    image = Image.new("RGB", (width, height))
    draw = ImageDraw.Draw(image)
    for index, colour in enumerate((RED, GREEN, BLUE, YELLOW)):
        x, y = index % 2 * width // 2, index // 2 * height // 2
        draw.rectangle((x, y, x + width // 2, y + height // 2), fill=colour)
    return image


def photo(width: int = 640, height: int = 480) -> Image.Image:
    """Smooth, with detail here and there, like a photograph."""
    grain = np.random.default_rng(7).integers(0, 256, (12, 16, 3), np.uint8)
    return Image.fromarray(grain).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    """An image as a file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def exif(orientation: int, order: str = "<", kind: int = 3, count: int = 1) -> bytes:
    """EXIF, from the byte order on, with an orientation alone: a number of 16 bits (`kind` 3), or of another kind."""
    value = orientation.to_bytes(4 if kind == 4 else 2, "little" if order == "<" else "big").ljust(4, b"\0")
    start = struct.pack(order + "2sHIHHHI", b"II" if order == "<" else b"MM", 42, 8, 1, 0x0112, kind, count)
    return start + value + bytes(4)


XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'


# --- PNG -------------------------------------------------------------------------------------------


def chunk(name: bytes, content: bytes = b"", checksum: int | None = None) -> bytes:
    """A PNG's chunk, with a checksum that need not be right."""
    right = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", right if checksum is None else checksum)


def header(width: int, height: int, bits: int = 8, colour: int = 2, interlaced: bool = False) -> bytes:
    """A PNG's signature and header."""
    return SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlaced))


def filtered(rows: np.ndarray) -> bytes:
    """Rows of bytes (or of big-endian numbers) as PNG's unfiltered rows."""
    return b"".join(b"\0" + row.tobytes() for row in rows)


def deflated(image: Image.Image) -> bytes:
    """A picture as the content of IDAT."""
    return zlib.compress(filtered(np.asarray(image)))


def png(image: Image.Image, before: bytes = b"", after: bytes = b"") -> bytes:
    """An RGB picture as a PNG with more chunks before and after the pixels."""
    pixels = chunk(b"IDAT", deflated(image))
    return header(*image.size) + before + pixels + after + chunk(b"IEND")


def interlaced_png(image: Image.Image) -> bytes:
    """An RGB picture as an interlaced PNG, which Pillow does not write."""
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    pixels = np.asarray(image)
    rows = b"".join(filtered(pixels[y::down, x::across]) for x, y, across, down in passes)
    return header(*image.size, interlaced=True) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND")


def frame_control(number: int, width: int, height: int, x: int = 0, y: int = 0) -> bytes:
    """A frame's chunk of an animated PNG."""
    return chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, width, height, x, y, 1, 10, 0, 0))


def apng(first: Image.Image, x: int = 0, y: int = 0, part: float = 1.0) -> bytes:
    """An animated PNG of 96 x 64 whose default image, all grey, is not part of the animation; its first frame."""
    content = deflated(first)
    data = chunk(b"fdAT", struct.pack(">I", 1) + content[: int(len(content) * part)])
    frames = frame_control(0, *first.size, x, y) + data
    return (
        header(96, 64)
        + chunk(b"acTL", struct.pack(">II", 1, 0))
        + chunk(b"IDAT", deflated(Image.new("RGB", (96, 64), GREY)))
        + frames
        + chunk(b"IEND")
    )


def grey_png(bits: int, left: int, right: int, transparent: int) -> bytes:
    """A grey PNG of 96 x 64, its left half of one value, its right half of another; one value is transparent."""
    values = np.full((64, 96), left, ">u2")
    values[:, 48:] = right
    if bits < 8:
        per = 8 // bits
        rows = sum(values[:, place::per].astype(int) << bits * (per - 1 - place) for place in range(per))
        values = np.asarray(rows, np.uint8)
    rows = filtered(values if bits == 16 else values.astype(np.uint8))
    transparency = chunk(b"tRNS", struct.pack(">H", transparent))
    return header(96, 64, bits, 0) + transparency + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND")


# --- JPEG ------------------------------------------------------------------------------------------


def segment(marker: int, content: bytes) -> bytes:
    """A JPEG's segment."""
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def jpeg(image: Image.Image, *segments: bytes, jfif: bool = True, **options) -> bytes:
    """A picture as a JPEG with more segments at its beginning."""
    data = encoded(image, "JPEG", quality=95, **options)
    return data[:2] + b"".join(segments) + data[2 if jfif else 20 :]


# --- WebP ------------------------------------------------------------------------------------------


def riff_chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


def webp(width: int, height: int, flags: int, *chunks: bytes) -> bytes:
    """A WebP of the extended kind."""
    sides = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    body = b"WEBP" + riff_chunk(b"VP8X", bytes((flags, 0, 0, 0)) + sides) + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def webp_frame(image: Image.Image, x: int, y: int) -> bytes:
    """A frame of an animated WebP at an even place."""
    numbers = (x // 2, y // 2, image.width - 1, image.height - 1, 100)
    place = b"".join(struct.pack("<I", number)[:3] for number in numbers)
    return riff_chunk(b"ANMF", place + b"\0" + encoded(image, "WEBP", lossless=True)[12:])


# --- GIF -------------------------------------------------------------------------------------------


def gif(screen: tuple[int, int], image: Image.Image, x: int = 0, y: int = 0, more: bytes = b"", **options) -> bytes:
    """A GIF whose frame has a place on its screen; `more` comes before the frame."""
    data = encoded(image.quantize(8), "GIF", **options)
    start = 13 + (3 << (data[10] & 7) + 1)
    frame = data.index(b",", start)
    place = struct.pack("<4H", x, y, *image.size)
    return b"GIF89a" + struct.pack("<HH", *screen) + data[10:start] + more + b"," + place + data[frame + 9 :]


# --- BMP -------------------------------------------------------------------------------------------


def bmp(
    size: tuple[int, int],
    bits: int,
    pixels: bytes,
    compression: int = 0,
    masks: tuple[int, ...] = (),
    length: int = 40,
    palette: bytes = b"",
    upside: int = 1,
) -> bytes:
    """A BMP of any header of Windows, from the last row to the first (`upside` -1: from the first)."""
    width, height = size
    info = struct.pack(
        "<IiiHHIIiiII", length, width, height * upside, 1, bits, compression, len(pixels), 0, 0, len(palette) // 4, 0
    )
    info = (info + struct.pack(f"<{len(masks)}I", *masks)).ljust(length, b"\0")
    start = 14 + len(info) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + info + palette + pixels


def fields(image: Image.Image, masks: tuple[int, ...], bits: int, alpha: np.ndarray | None = None) -> bytes:
    """A picture's pixels, last row first, with colours (and alpha, 0 to 255) in these bits."""
    planes = list(np.moveaxis(np.asarray(image.convert("RGB"))[::-1], 2, 0))
    if alpha is not None:
        planes.append(alpha[::-1])
    numbers = np.zeros(planes[0].shape, np.uint64)
    for plane, mask in zip(planes, masks, strict=False):
        if mask:
            low = (mask & -mask).bit_length() - 1
            levels = (plane.astype(np.uint64) * np.uint64(mask >> low) + np.uint64(127)) // np.uint64(255)
            numbers |= levels << np.uint64(low)
    return numbers.astype("<u2" if bits == 16 else "<u4").tobytes()


def in_array(data: bytes) -> bytes:
    """A BMP as the only one of an OS/2 array: all places in it count from the start of the file."""
    start = struct.unpack_from("<I", data, 10)[0] + 14
    return b"BA" + struct.pack("<IIHH", len(data) + 14, 0, 0, 0) + data[:10] + struct.pack("<I", start) + data[14:]


# --- AVIF ------------------------------------------------------------------------------------------


def with_two_associations(data: bytes) -> bytes:
    """An AVIF with alpha, its box of associations divided into one for each item."""
    meta, properties = avif._box(data, b"meta"), avif._box(data, b"meta", b"iprp")
    start, end = avif._box(data, b"meta", b"iprp", b"ipma")
    boxes = b""
    for item, content in avif._entries(data[start:end]):
        body = struct.pack(">H", item) + content
        version = data[start + 8 : start + 12]
        boxes += struct.pack(">I4s", 16 + len(body), b"ipma") + version + struct.pack(">I", 1) + body
    made, longer = bytearray(data[:start] + boxes + data[end:]), len(boxes) - (end - start)
    for box in (meta[0], properties[0]):
        struct.pack_into(">I", made, box, struct.unpack_from(">I", made, box)[0] + longer)
    for place in _extents(data):
        struct.pack_into(">I", made, place, struct.unpack_from(">I", made, place)[0] + longer)
    return bytes(made)


def _extents(data: bytes) -> Iterator[int]:
    """Where the places of the items' data stand (in files that Pillow writes)."""
    start = avif._box(data, b"meta", b"iloc")[0]
    assert data[start + 8] == 0 and data[start + 12] == 0x44 and data[start + 13] >> 4 == 0
    place = start + 16
    for _ in range(struct.unpack_from(">H", data, start + 14)[0]):
        extents = struct.unpack_from(">H", data, place + 4)[0]
        for extent in range(extents):
            yield place + 6 + 8 * extent
        place += 6 + 8 * extents


def with_transfer(data: bytes, transfer: int) -> bytes:
    """An AVIF that says that its values follow another curve (16: PQ, 18: HLG)."""
    place = data.index(b"colrnclx")
    return data[: place + 10] + struct.pack(">H", transfer) + data[place + 12 :]
