"""JPEG files: without the metadata that decides nothing, and with the rows that came where the end is missing.

libjpeg decides by the frame, its tables, JFIF's and Adobe's marks. Pillow reads the other segments too and gives up
where one of them is malformed, so it is not shown them.
"""

from collections.abc import Iterator
from typing import NamedTuple

from PIL import ImageChops, JpegImagePlugin  # noqa: F401  importing a plugin registers it

from .exif import orientation
from .picture import Broken, Cap, Picture, Unsupported, noise, opened

_SOI, _EOI, _SOS, _DHT, _DAC, _JPG = 0xD8, 0xD9, 0xDA, 0xC4, 0xCC, 0xC8
_BASELINE, _EXTENDED, _PROGRESSIVE = 0xC0, 0xC1, 0xC2
_ARITHMETIC = (0xC9, 0xCA)
_END = bytes((0xFF, _EOI))


class _Head(NamedTuple):
    """What of a file stands before its first scan."""

    kept: bytes  # with the mark that begins it
    scan: int  # where the first scan's segment begins
    orientation: int
    frame: bytes  # the frame's segment from its precision on


def read(data: bytes, cap: Cap, enough: int | None) -> Picture:
    """Decode a JPEG, with `enough` at a size that libjpeg makes cheaply. Raises Unsupported, Broken or anything."""
    head = _head(data)
    stream = head.kept + data[head.scan :]
    image = opened("JPEG", stream, cap)
    if enough:
        image.draft(None, (enough, enough))
    try:
        image.load()
    except MemoryError:
        raise
    except Exception:
        return _salvaged(stream, head, cap, enough)
    return Picture(image, head.orientation)


def _segments(data: bytes, place: int) -> Iterator[tuple[int, int, int]]:
    """The mark of each segment from `place` on, its start, and its end as it says; between them may be anything."""
    while True:
        place = data.find(b"\xff", place)
        while place >= 0 and data[place + 1 : place + 2] == b"\xff":
            place += 1
        if place < 0 or place + 2 > len(data):
            return
        marker = data[place + 1]
        if marker in (0x00, 0x01, _SOI, _EOI) or 0xD0 <= marker <= 0xD7:  # alone, without a segment, or no mark at all
            place += 2
            continue
        end = place + 2 + max(2, int.from_bytes(data[place + 2 : place + 4], "big"))
        yield marker, place, end
        place = end


def _head(data: bytes) -> _Head:
    kept, turned, frame = [data[:2]], None, b""
    for marker, place, end in _segments(data, 2):
        if marker == _SOS:
            return _Head(b"".join(kept), place, turned or 1, frame)
        content = data[place + 4 : end]
        if marker == 0xE1 and content.startswith(b"Exif\0") and turned is None:
            turned = orientation(content[6:])
        if 0xC0 <= marker <= 0xCF and marker not in (_DHT, _DAC, _JPG):
            frame = content
            _check_frame(marker, frame)
        if _is_needed(marker, content):
            kept.append(data[place:end])
    raise Broken("it ends before its first scan")


def _is_needed(marker: int, content: bytes) -> bool:
    if marker == 0xE0:
        return content.startswith(b"JFIF\0") and len(content) >= 14
    if marker == 0xEE:
        return content.startswith(b"Adobe") and len(content) >= 12
    return not 0xE0 <= marker <= 0xEF and marker != 0xFE


def _check_frame(marker: int, frame: bytes) -> None:
    if len(frame) < 6:
        raise Broken("its frame is too short")
    what = ""
    if marker not in (_BASELINE, _EXTENDED, _PROGRESSIVE, *_ARITHMETIC):
        what = "lossless or hierarchical"
    elif frame[0] != 8:
        what = f"of {frame[0]} bits per sample"
    elif frame[5] not in (1, 3, 4):
        what = f"of {frame[5]} colour components"
    if what:
        raise Unsupported(f"this JPEG is {what}, which browsers do not show either: save it as a usual JPEG or a PNG")


# --- a missing end ---------------------------------------------------------------------------------


def _salvaged(stream: bytes, head: _Head, cap: Cap, enough: int | None) -> Picture:
    """What came of a file whose end is missing.

    It is given two ends: with one that says "here it ends" libjpeg fills up what is missing, with noise before that it
    goes on decoding. Where both pictures are alike the file itself was decoded.
    """
    stream = stream.rstrip(b"\0")  # of a transfer that made the file at its full length first
    scans = _scans(stream, len(head.kept), head.frame[5])
    if not scans.begun:
        raise Broken("not every colour has come")
    stream = stream[: scans.end]
    image, other = (_decoded(stream + end, cap, enough) for end in (_END, noise(4096) + _END))
    differing = ImageChops.difference(image, other).getbbox(alpha_only=False)
    if differing is None and scans.complete:
        return Picture(image, head.orientation)
    if scans.refining or differing is None:  # every row has come, if not as fine as it was
        return Picture(image, head.orientation, image.height)
    came = differing[1]
    return Picture(image, head.orientation, came, (came, image.height))


def _decoded(stream: bytes, cap: Cap, enough: int | None):
    image = opened("JPEG", stream, cap)
    if enough:
        image.draft(None, (enough, enough))
    image.load()
    return image


class _Scans(NamedTuple):
    begun: bool  # one scan of every component at least
    refining: bool  # the last scan adds to rows that an earlier one had made
    complete: bool  # scans for every coefficient of every component to its last bit
    end: int  # of the last segment that came as a whole and what follows it


def _scans(stream: bytes, start: int, components: int) -> _Scans:
    """What the headers of the scans say has come.

    A scan of a progressive JPEG has some coefficients (first, last) of some components, but for a number of low bits.
    """
    left: dict[int, list[int]] = {}  # of each component: low bits that each of its 64 coefficients lacks
    refining = False
    for marker, place, end in _segments(stream, start):
        if end > len(stream):
            return _Scans(len(left) == components, refining, False, place)
        if marker != _SOS or end < place + 10:
            continue
        names = stream[place + 5 : end - 3 : 2]
        first, last, low = stream[end - 3], min(stream[end - 2], 63), stream[end - 1] & 15
        refining = all(name in left for name in names)
        for name in names:
            bits = left.setdefault(name, [16] * 64)
            bits[first : last + 1] = [low] * (last + 1 - first)
    return _Scans(len(left) == components, refining, all(not any(bits) for bits in left.values()), len(stream))
