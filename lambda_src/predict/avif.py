"""AVIF files: with boxes put right that browsers take and libavif does not, and a word on pictures of a high range."""

import struct
from collections.abc import Iterator

from PIL import AvifImagePlugin, Image  # noqa: F401  importing a plugin registers it

from .picture import Cap, Picture, opened

_CONTAINERS = {b"meta": 12, b"iprp": 8, b"ipco": 8}  # and where in them the boxes begin
_PQ, _HLG = 16, 18  # of ITU-T H.273, transfer characteristics
_HIGH_RANGE = (
    "the picture has a high dynamic range and was not tone-mapped: it may look washed out to the model; "
    "a copy in standard range predicts better"
)


def read(data: bytes, cap: Cap) -> Picture:
    """Decode an AVIF, its own rotation and mirroring applied. Raises anything."""
    image = opened("AVIF", _one_association(data), cap)
    turned = image.getexif().get(0x0112, 1) if "exif" in image.info else 1  # as irot and imir say, whatever EXIF says
    image.load()
    notes = (_HIGH_RANGE,) if _transfer(data) in (_PQ, _HLG) else ()
    return Picture(image, turned if 1 <= turned <= 8 else 1, notes=notes)


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

    As many bytes as the headers took that are gone become a `free` box, so that nothing moves.
    """
    around = _box(data, b"meta", b"iprp")
    if around is None:
        return data
    boxes = [(name, data[start:end]) for name, start, end in _boxes(data, around[0] + 8, around[1])]
    several = [box for name, box in boxes if name == b"ipma"]
    if len(several) < 2 or sum(len(box) for _, box in boxes) != around[1] - around[0] - 8:
        return data
    if len({box[8:12] for box in several}) > 1:  # of several versions there may be one each
        return data
    entries = {}
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
    others = b"".join(box for name, box in boxes if name != b"ipma")
    left = around[1] - around[0] - 8 - len(others) - len(merged)
    return b"".join(
        (data[: around[0] + 8], others, merged, struct.pack(">I4s", left, b"free"), bytes(left - 8), data[around[1] :])
    )


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
