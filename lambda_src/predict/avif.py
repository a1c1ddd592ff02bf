"""AVIF files: with boxes put right that browsers take and libavif does not, and a word on pictures of a high range."""

import struct
from collections.abc import Iterator

from PIL import AvifImagePlugin, Image  # noqa: F401  importing a plugin registers it

from .errors import PredictionError
from .exif import ORIENTATION
from .picture import Cap, Picture, continued, opened

_CONTAINERS = {b"meta": 12, b"iprp": 8, b"ipco": 8}  # and where in them the boxes begin
_PQ, _HLG = 16, 18  # of ITU-T H.273, transfer characteristics
_HIGH_RANGE = (
    "the image has a high dynamic range and was not tone-mapped: it may look washed out to the model; "
    "a copy in standard range predicts better"
)


def read(data: bytes, cap: Cap) -> Picture:
    """Decode an AVIF, its own rotation and mirroring applied. Raises anything."""
    data = _one_association(data)
    came = None
    try:
        image = _decoded(data, cap)
    except (MemoryError, PredictionError):
        raise
    except Exception:
        # Of what is missing nothing is known; rarely is it more than there is.
        image, came = continued(lambda end: _decoded(data + end, cap), (max(len(data), 1024),))
    turned = image.info.get("turned", 1)
    notes = (_HIGH_RANGE,) if _transfer(data) in (_PQ, _HLG) else ()
    if turned not in range(2, 9):
        turned = 1
    return Picture(image, turned, came, None if came is None else (came, image.height), notes)


def _decoded(data: bytes, cap: Cap) -> Image.Image:
    image = opened("AVIF", data, cap)
    if "exif" in image.info:
        image.info["turned"] = image.getexif().get(ORIENTATION, 1)  # as irot and imir say, whatever EXIF says
    image.load()
    return image


def _boxes(data: bytes, place: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and end of each box between two places."""
    while place + 8 <= end:
        length, name = struct.unpack_from(">I4s", data, place)
        if length == 0:
            length = end - place
        if length == 1:
            length = struct.unpack_from(">Q", data, place + 8)[0]
        if length < 8 or place + length > end:
            return
        yield name, place, place + length
        place += length


def _box(data: bytes, *path: bytes) -> tuple[int, int] | None:
    """Start and end of the first box of a path."""
    place, end = 0, len(data)
    for name in path:
        found = next(((start, stop) for known, start, stop in _boxes(data, place, end) if known == name), None)
        if found is None:
            return None
        place, end = found[0] + _CONTAINERS.get(name, 8), found[1]
    return found


def _transfer(data: bytes) -> int | None:
    """The transfer characteristics of the first item that names them."""
    properties = _box(data, b"meta", b"iprp", b"ipco")
    if properties:
        for name, start, _end in _boxes(data, properties[0] + 8, properties[1]):
            if name == b"colr" and data[start + 8 : start + 12] == b"nclx":
                return struct.unpack_from(">H", data, start + 14)[0]
    return None


# --- two boxes of associations ---------------------------------------------------------------------


def _one_association(data: bytes) -> bytes:
    """The file with one `ipma` box for several of the same kind: the standard allows one, and some encoders write two.

    As many bytes as the headers took that are gone become a `free` box behind the properties, so that nothing moves.
    """
    around = _box(data, b"meta", b"iprp")
    if around is None:
        return data
    boxes = [(name, data[start:end]) for name, start, end in _boxes(data, around[0] + 8, around[1])]
    several = [box for name, box in boxes if name == b"ipma"]
    if len(several) < 2 or [name for name, _ in boxes] != [b"ipco"] + [b"ipma"] * len(several):
        return data
    if len({box[8:12] for box in several}) > 1:  # of several versions there may be one each
        return data
    entries: dict[int, tuple[int, bytes]] = {}
    for box in several:
        for item, content in _entries(box):
            count, associations = entries.get(item, (0, b""))
            entries[item] = count + content[0], associations + content[1:]
    wide = several[0][8]  # the version: numbers of items have 16 or 32 bits
    body = b"".join(
        struct.pack(">IB" if wide else ">HB", item, count) + associations
        for item, (count, associations) in sorted(entries.items())
    )
    merged = struct.pack(">I4s", 16 + len(body), b"ipma") + several[0][8:12] + struct.pack(">I", len(entries)) + body
    free = sum(map(len, several)) - len(merged)
    properties = boxes[0][1][8:] + struct.pack(">I4s", free, b"free") + bytes(free - 8)
    properties = struct.pack(">I4s", 8 + len(properties), b"ipco") + properties
    return b"".join((data[: around[0] + 8], properties, merged, data[around[1] :]))


def _entries(box: bytes) -> Iterator[tuple[int, bytes]]:
    """Each item's number, and its count of associations with them."""
    wide, pairs = box[8] > 0, box[11] & 1
    place = 16
    for _ in range(struct.unpack_from(">I", box, 12)[0]):
        item = struct.unpack_from(">I" if wide else ">H", box, place)[0]
        place += 4 if wide else 2
        end = place + 1 + box[place] * (2 if pairs else 1)
        yield item, box[place:end]
        place = end
