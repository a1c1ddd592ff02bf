"""Image files of every format that the function takes, and damage done to them with knowledge of how they are built."""

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from random import Random

import numpy as np
from PIL import Image

from tests import made as odd

Field = tuple[int, int, str]  # offset, length in bytes, byte order
Segment = tuple[int, int]  # start, end

# Lengths and sizes at which decoders' arithmetic goes wrong, and the function's own limits.
_NUMBERS = (
    *(0, 1, 2, 3, 4, 7, 8, 9, 15, 16, 31, 32, 63, 64, 127, 128, 224, 255, 256, 448, 4095, 4096, 6144, 7094, 8192),
    *(16384, 32767, 32768, 65500, 65535, 65536, 2**24, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1),
)
_HEAD = 40  # so many bytes of each segment are taken for fields


def picture(width: int = 72, height: int = 48, mode: str = "RGB") -> Image.Image:
    """A gradient with grain, the same each time."""
    rng = np.random.default_rng(1)
    slope = np.add.outer(np.arange(height) * 3, np.arange(width) * 2)[..., None] + np.array([0, 60, 120])
    image = Image.fromarray(((slope + rng.integers(0, 30, slope.shape)) % 256).astype(np.uint8))
    if mode == "I;16":
        return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    if mode == "RGBA":
        image.putalpha(image.getchannel("R"))
        return image
    return image.convert(mode)


def seeds() -> dict[str, bytes]:
    """Well-formed files by name; the name begins with the format."""
    metadata = Image.Exif()
    metadata[0x0112] = 6  # orientation
    metadata.get_ifd(0x8825)[1] = "N"  # a directory of its own, for the place
    exif = metadata.tobytes()
    several = {"save_all": True}
    wanted: list[tuple[str, str, str, dict]] = [
        ("baseline", "JPEG", "RGB", {}),
        ("progressive", "JPEG", "RGB", {"progressive": True}),
        ("grey", "JPEG", "L", {"quality": 30}),
        ("cmyk", "JPEG", "CMYK", {}),
        ("exif", "JPEG", "RGB", {"exif": exif, "subsampling": 0, "comment": b"comment"}),
        ("restarts", "JPEG", "RGB", {"restart_marker_blocks": 2}),
        ("several", "MPO", "RGB", several),
        ("rgb", "PNG", "RGB", {}),
        ("alpha", "PNG", "RGBA", {"exif": exif}),
        ("grey", "PNG", "L", {"compress_level": 0}),
        ("grey_alpha", "PNG", "LA", {}),
        ("palette", "PNG", "P", {"transparency": 3}),
        ("bits", "PNG", "1", {}),
        ("16_bit", "PNG", "I;16", {}),
        ("animated", "PNG", "RGB", several),
        ("lossy", "WEBP", "RGB", {}),
        ("lossless", "WEBP", "RGB", {"lossless": True}),
        ("alpha", "WEBP", "RGBA", {"exif": exif}),
        ("animated", "WEBP", "RGB", several),
        ("plain", "AVIF", "RGB", {"speed": 10}),
        ("alpha", "AVIF", "RGBA", {"speed": 10, "exif": exif}),
        ("grey", "AVIF", "L", {"speed": 10, "subsampling": "4:0:0"}),
        ("animated", "AVIF", "RGB", {"speed": 10, **several}),
        ("plain", "GIF", "P", {}),
        ("in_order", "GIF", "L", {"interlace": 0}),
        ("animated", "GIF", "RGB", {**several, "transparency": 2, "duration": 40}),
        ("rgb", "BMP", "RGB", {}),
        ("alpha", "BMP", "RGBA", {}),
        ("palette", "BMP", "P", {}),
        ("bits", "BMP", "1", {}),
        ("rgb", "TIFF", "RGB", {}),
        ("exif", "TIFF", "RGB", {"exif": exif}),
        ("lzw", "TIFF", "RGB", {"compression": "tiff_lzw"}),
        ("deflate", "TIFF", "RGBA", {"compression": "tiff_adobe_deflate"}),
        ("packbits", "TIFF", "L", {"compression": "packbits"}),
        ("jpeg", "TIFF", "RGB", {"compression": "jpeg"}),
        ("fax3", "TIFF", "1", {"compression": "group3"}),
        ("fax4", "TIFF", "1", {"compression": "group4"}),
        ("lzma", "TIFF", "L", {"compression": "lzma"}),
        ("zstd", "TIFF", "L", {"compression": "zstd"}),
        ("16_bit", "TIFF", "I;16", {}),
        ("floats", "TIFF", "F", {}),
        ("cmyk", "TIFF", "CMYK", {"compression": "tiff_lzw"}),
        ("lab", "TIFF", "LAB", {}),
        ("palette", "TIFF", "P", {}),
        ("big", "TIFF", "RGB", {"big_tiff": True}),
        ("several", "TIFF", "RGB", several),
    ]
    made = {f"{kind.replace('MPO', 'JPEG')} {name}": saved(picture(mode=mode), kind, **options)
            for name, kind, mode, options in wanted}  # fmt: skip
    return made | odd_seeds() | {"BMP runs": run_length_bmp(), "TIFF motorola": motorola_tiff()}


def odd_seeds() -> dict[str, bytes]:
    """Files that Pillow's own readers refuse or see otherwise: what the function's readers are for."""
    small, masks = picture(), (0xF00, 0xF0, 0xF, 0xF000)
    alpha = np.asarray(small.convert("L"))
    return {
        "JPEG odd": odd.jpeg(small, odd.segment(0xE0, b"JFIF\0"), odd.segment(0xEE, b"Adobe"), progressive=True),
        "JPEG cut": saved(small, "JPEG")[:-200],
        "PNG interlaced": odd.interlaced_png(small),
        "PNG odd": odd.png(small, odd.chunk(b"pHYs", b"\0") + odd.chunk(b"zTXt", b"a\0\5x"), odd.chunk(b"tEXt")),
        "PNG cut": odd.png(small)[:-900],
        "PNG default_image": odd.apng(picture(48, 32), 24, 16),
        "PNG clear_grey": odd.grey_png(4, 7, 2, 7),
        "WEBP small_frame": odd.webp(96, 64, 2, odd.riff_chunk(b"ANIM", bytes(6)), odd.webp_frame(small, 24, 16)),
        "WEBP cut": saved(small, "WEBP")[:-100],
        "AVIF two_boxes": odd.with_two_associations(saved(picture(mode="RGBA"), "AVIF", speed=10)),
        "GIF small_frame": odd.gif((96, 64), small, 24, 16),
        "BMP fields": odd.bmp(small.size, 16, odd.fields(small, masks, 16, alpha), 3, masks, 108),
        "BMP array": odd.in_array(saved(small, "BMP")),
        "HEIC plain": odd.HEIC,
    }


def large_seeds() -> dict[str, bytes]:
    """Files at the pixel cap, small as files."""
    return {
        "PNG large": saved(Image.new("1", (7000, 7000)), "PNG"),
        "JPEG large": saved(Image.new("L", (7000, 7000)), "JPEG", quality=20),
        "GIF large": saved(Image.new("P", (5000, 5000)), "GIF"),
        "WEBP large": saved(Image.new("RGB", (5000, 5000)), "WEBP", lossless=True, quality=0, method=0),
        "TIFF large": saved(Image.new("L", (7000, 7000)), "TIFF", compression="tiff_lzw"),
    }


def saved(image: Image.Image, kind: str, **options) -> bytes:
    """An image as a file of a kind; with `save_all` two more frames follow."""
    file = io.BytesIO()
    if options.get("save_all"):
        options["append_images"] = [image.rotate(angle) for angle in (90, 180)]
    image.save(file, kind, **options)
    return file.getvalue()


def run_length_bmp() -> bytes:
    """A BMP with run-length encoding, which Pillow reads and does not write: 32 rows of 64 pixels in two runs."""
    pixels = b"".join(bytes((40, row, 24, 255 - row, 0, 0)) for row in range(32)) + b"\0\1"
    palette = bytes(value for index in range(256) for value in (index, 255 - index, 99, 0))
    info = struct.pack("<IiiHHIIiiII", 40, 64, 32, 1, 8, 1, len(pixels), 2835, 2835, 256, 0)
    start = 14 + len(info) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + info + palette + pixels


def motorola_tiff() -> bytes:
    """A TIFF in big-endian order, which Pillow reads and does not write: 16 x 8 pixels of 16-bit grey."""
    pixels = struct.pack(">128H", *range(0, 65536, 512))
    tags = ((256, 3, 16), (257, 3, 8), (258, 3, 16), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1), (278, 3, 8),
            (279, 4, len(pixels)))  # fmt: skip
    entries = b"".join(
        struct.pack(">HHI", tag, kind, 1) + (struct.pack(">HH", value, 0) if kind == 3 else struct.pack(">I", value))
        for tag, kind, value in tags
    )
    return struct.pack(">2sHI", b"MM", 42, 8 + len(pixels)) + pixels + struct.pack(">H", len(tags)) + entries + bytes(4)


# --- how files are built ---------------------------------------------------------------------------


def parts(data: bytes) -> tuple[list[Field], list[Segment]]:
    """The fields and the segments of a file, as far as its structure can be followed."""
    fields: list[Field] = []
    segments: list[Segment] = []
    try:
        for start, end, head in _walk(data):
            segments.append((start, end))
            fields += head
    except (struct.error, IndexError, OverflowError):
        pass  # what was damaged before ends the walk
    return [field for field in fields if field[0] + field[1] <= len(data)], segments


def _walk(data: bytes) -> Iterator[tuple[int, int, list[Field]]]:
    if data[:2] == b"\xff\xd8":
        return _jpeg(data)
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return _chunks(data, 8, "big", 4)
    if data[:4] == b"RIFF":
        return _chunks(data, 12, "little", 0)
    if data[4:8] == b"ftyp":
        return _boxes(data, 0, len(data))
    if data[:3] == b"GIF":
        return _gif(data)
    if data[:2] in (b"II", b"MM"):
        return _tiff(data)
    if data[:2] == b"BM":
        return iter([(0, 14, _numbers(2, 12, "little")), (14, 54, _numbers(14, 40, "little"))])
    return iter([(0, min(len(data), 64), _numbers(0, 64, "little"))])


def _numbers(start: int, length: int, order: str) -> list[Field]:
    """Every aligned byte, pair and four bytes from `start` on."""
    return [(start + place, size, order) for size in (1, 2, 4) for place in range(0, length - size + 1, size)]


def _jpeg(data: bytes) -> Iterator[tuple[int, int, list[Field]]]:
    place = 2
    while place + 4 <= len(data):
        marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        end = place + 2 + length
        fields: list[Field] = [(place + 1, 1, "big"), (place + 2, 2, "big")]
        if 0xC0 <= marker <= 0xC3:  # precision, height, width, components
            fields += [(place + 4, 1, "big"), (place + 5, 2, "big"), (place + 7, 2, "big"), (place + 9, 1, "big")] * 3
        fields += _numbers(place + 4, min(length - 2, _HEAD), "big")
        yield place, end, fields
        if marker == 0xDA:
            yield end, len(data), _numbers(end, 16, "big")
            return
        place = end


def _chunks(data: bytes, place: int, order: str, trailer: int) -> Iterator[tuple[int, int, list[Field]]]:
    """PNG's chunks (length, type, content, CRC) or RIFF's (type, length, content, padded to pairs)."""
    while place + 8 <= len(data):
        at = place if trailer else place + 4
        length = int.from_bytes(data[at : at + 4], order)
        end = place + 8 + length + (trailer or length % 2)
        fields = [(at, 4, order)] * 2 + _numbers(place + 8, min(length, _HEAD), order)
        if data[place : place + 8].endswith(b"IHDR"):
            fields += [(place + 8, 4, order), (place + 12, 4, order)] * 8
        if data[place : place + 4] == b"ANMF":  # a frame: its own chunks follow its position, size and duration
            yield from _chunks(data[: place + 8 + length], place + 24, order, trailer)
        yield place, end, fields
        place = end


_CONTAINERS = {b"meta": 4, b"iprp": 0, b"ipco": 0, b"moov": 0, b"trak": 0, b"mdia": 0, b"minf": 0, b"stbl": 0}


def _boxes(data: bytes, place: int, end: int) -> Iterator[tuple[int, int, list[Field]]]:
    while place + 8 <= end:
        length, kind = struct.unpack_from(">I4s", data, place)
        after = place + max(8, length)
        yield place, after, [(place, 4, "big")] + _numbers(place + 8, min(max(length - 8, 0), _HEAD), "big")
        if kind in _CONTAINERS:
            yield from _boxes(data, place + 8 + _CONTAINERS[kind], min(after, end))
        place = after


def _gif(data: bytes) -> Iterator[tuple[int, int, list[Field]]]:
    place = 13 + (3 << ((data[10] & 7) + 1) if data[10] & 0x80 else 0)
    yield 6, place, [(6, 2, "little"), (8, 2, "little"), (10, 1, "little"), (11, 1, "little")] * 2
    while place < len(data):
        start, fields = place, _numbers(place, 12, "little")
        if data[place] == 0x2C:
            fields += [(place + offset, 2, "little") for offset in (1, 3, 5, 7)] * 2
            place += 10 + (3 << ((data[place + 9] & 7) + 1) if data[place + 9] & 0x80 else 0) + 1
        elif data[place] == 0x21:
            place += 2
        else:
            return
        while data[place]:  # sub-blocks
            fields.append((place, 1, "little"))
            place += 1 + data[place]
        place += 1
        yield start, place, fields


def _tiff(data: bytes) -> Iterator[tuple[int, int, list[Field]]]:
    order = "little" if data[:2] == b"II" else "big"
    mark = "<" if order == "little" else ">"
    big = struct.unpack_from(mark + "H", data, 2)[0] == 43
    counted, length, word = (8, 20, "Q") if big else (2, 12, "I")
    place = struct.unpack_from(mark + word, data, 8 if big else 4)[0]
    for _directory in range(4):
        if not place:
            return
        count = struct.unpack_from(mark + ("Q" if big else "H"), data, place)[0]
        yield place, place + counted, [(place, counted, order)]
        for entry in range(place + counted, place + counted + min(count, 64) * length, length):
            value = (entry + length - counted * 2 if big else entry + 8, 4, order)
            yield entry, entry + length, [(entry, 2, order), (entry + 2, 2, order), (entry + 4, 4, order), value, value]
        place = struct.unpack_from(mark + word, data, place + counted + count * length)[0]


# --- damage ----------------------------------------------------------------------------------------


def mutate(rng: Random, data: bytes, other: bytes) -> bytes:
    """One to several kinds of damage; `other` is a file to splice with."""
    damaged = bytearray(data)
    while damaged == data:
        _damage(rng, damaged, other)
    return bytes(damaged)


def _damage(rng: Random, damaged: bytearray, other: bytes) -> None:
    for _ in range(1 + int(min(rng.expovariate(1.2), 6))):
        rng.choices(_MUTATORS, _WEIGHTS)[0](rng, damaged, other)
    if rng.random() < 0.75:  # else checksums and lengths give the damage away before a decoder sees it
        mend(damaged)


def mend(data: bytearray) -> None:
    """Make a PNG's checksums and a RIFF file's length true again."""
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        for start, end in parts(bytes(data))[1]:
            if end <= len(data):
                data[end - 4 : end] = struct.pack(">I", zlib.crc32(data[start + 4 : end - 4]))
    elif data[:4] == b"RIFF":
        data[4:8] = struct.pack("<I", max(len(data) - 8, 0) & 0xFFFFFFFF)


def _span(rng: Random, data: bytearray, most: int = 4096) -> slice:
    start = rng.randrange(len(data) + 1)
    return slice(start, start + rng.randint(1, min(most, max(1, len(data) // 4))))


def _set_field(rng: Random, data: bytearray, _other: bytes) -> None:
    fields = parts(bytes(data))[0]
    if fields:
        place, size, order = rng.choice(fields)
        before = int.from_bytes(data[place : place + size], order)
        value = rng.choice(
            [rng.choice(_NUMBERS), before + rng.choice((-1, 1)), before * 2, before ^ 1 << rng.randrange(8)]
        )
        data[place : place + size] = (value % (1 << 8 * size)).to_bytes(size, order)


def _flip_bits(rng: Random, data: bytearray, _other: bytes) -> None:
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        if data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _random_bytes(rng: Random, data: bytearray, _other: bytes) -> None:
    span = _span(rng, data, 64)
    data[span] = rng.randbytes(len(data[span]))


def _truncate(rng: Random, data: bytearray, _other: bytes) -> None:
    del data[rng.randrange(len(data) + 1) :]


def _shorten(rng: Random, data: bytearray, _other: bytes) -> None:
    """Take the last bytes, as broken transfers do, and sometimes put zeros in their place."""
    lost = min(len(data), rng.choice((1, 2, 4, 12, rng.randrange(1, 200), rng.randrange(len(data) // 2 + 1))))
    del data[len(data) - lost :]
    data += bytes(lost) if rng.random() < 0.2 else b""


def _cut(rng: Random, data: bytearray, _other: bytes) -> None:
    del data[_span(rng, data)]


def _double(rng: Random, data: bytearray, _other: bytes) -> None:
    span = _span(rng, data)
    data[span.stop : span.stop] = data[span] * rng.choice((1, 1, 2, 50))


def _fill(rng: Random, data: bytearray, _other: bytes) -> None:
    span = _span(rng, data)
    data[span] = rng.choice((b"\0", b"\xff")) * len(data[span])


def _splice(rng: Random, data: bytearray, other: bytes) -> None:
    data[rng.randrange(len(data) + 1) :] = other[rng.randrange(len(other) + 1) :]


def _segment(rng: Random, data: bytearray, other: bytes) -> None:
    """Drop, repeat, move, shorten or scramble a segment, or take one of the other file's."""
    segments, others = parts(bytes(data))[1], parts(other)[1]
    if not segments:
        return
    start, end = rng.choice(segments)
    content = data[start:end]
    what = rng.randrange(6)
    if what in (0, 2):
        del data[start:end]
    if what in (1, 2):
        place = rng.choice(segments)[0]
        data[place:place] = content
    elif what == 3 and others:
        first, last = rng.choice(others)
        data[start:start] = other[first:last]
    elif what == 4:
        del data[start + rng.randrange(len(content) + 1) : end]
    elif what == 5 and len(content) > 12:
        place = rng.randrange(8, len(content))
        content[place : place + 32] = rng.randbytes(len(content[place : place + 32]))
        data[start:end] = content


def _deflated(rng: Random, data: bytearray, _other: bytes) -> None:
    """Damage below a PNG's compression; anything else gets its bits flipped."""
    for start, end in parts(bytes(data))[1]:
        if data[start + 4 : start + 8] == b"IDAT":
            try:
                rows = bytearray(zlib.decompress(data[start + 8 : end - 4]))
            except zlib.error:
                break
            rng.choice((_flip_bits, _cut, _double, _fill))(rng, rows, b"")
            content = zlib.compress(rows, 1)
            data[start:end] = struct.pack(">I4s", len(content), b"IDAT") + content + bytes(4)
            return
    _flip_bits(rng, data, b"")


_MUTATORS: tuple[Callable[[Random, bytearray, bytes], None], ...] = (
    _set_field, _segment, _flip_bits, _random_bytes, _truncate, _cut, _double, _fill, _splice, _deflated, _shorten,
)  # fmt: skip
_WEIGHTS = (10, 4, 3, 2, 1, 1, 1, 1, 1, 1, 2)
