"""How a picture is to be turned, as its EXIF says."""

import struct

ORIENTATION = 0x0112


def orientation(tiff: bytes) -> int:
    """EXIF's orientation, 1 to 8; 1 where there is none, or none that browsers follow.

    `tiff`: from the byte order on. As Chromium reads it: of the first directory alone, one number of 16 bits.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None or len(tiff) < 8:
        return 1
    place = struct.unpack_from(order + "I", tiff, 4)[0]
    if place + 2 > len(tiff):
        return 1
    count = struct.unpack_from(order + "H", tiff, place)[0]
    for entry in range(place + 2, min(place + 2 + 12 * count, len(tiff) - 11), 12):
        tag, kind, values, value = struct.unpack_from(order + "HHIH", tiff, entry)
        if tag == ORIENTATION:
            return value if (kind, values) == (3, 1) and 1 <= value <= 8 else 1
    return 1
