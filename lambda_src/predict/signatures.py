"""What a file is, by how it begins."""

import contextlib
import re
import struct

from PIL import Image

# The formats that are decoded, and how a file of each begins. BMP and those of ISO base media are told by more.
_BEGINNINGS = {
    "JPEG": (b"\xff\xd8\xff",),
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "GIF": (b"GIF87a", b"GIF89a"),
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
}
_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)  # lengths of the second header of the versions that exist
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs")
_AVIF_BRANDS = (b"avif", b"avis")
# What else comes, and what to do about it
_SAVE = "save it as a JPEG or PNG"
_OTHERS = (
    (rb"\xff\x0a|\x00\x00\x00\x0cJXL \r\n\x87\n", f"a JPEG XL image: {_SAVE}"),
    (rb"\xff\x4f\xff\x51|\x00\x00\x00\x0cjP  \r\n\x87\n", f"a JPEG 2000 image: {_SAVE}"),
    (rb"\xff\xd8(?!\xff)", "a JPEG whose first bytes are damaged: send the file again"),
    (rb"%PDF-", "a PDF document: send one of its pages as a JPEG or PNG"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "a PostScript document: export it as a JPEG or PNG"),
    (rb"8BPS", f"a Photoshop document: {_SAVE}"),
    (rb"\x00\x00[\x01\x02]\x00.\x00", f"a Windows icon: {_SAVE}"),
    (rb"icns", f"an icon of macOS: {_SAVE}"),
    (rb"P[1-7fF][\s#]", f"a Netpbm image: {_SAVE}"),
    (rb"#\?RADIANCE|#\?RGBE|\x76\x2f\x31\x01", f"an image of high dynamic range (Radiance or OpenEXR): {_SAVE}"),
    (rb"DDS ", f"a DirectDraw texture: {_SAVE}"),
    (rb"qoif", f"a QOI image: {_SAVE}"),
    (rb"SIMPLE  =", f"a FITS image: {_SAVE}"),
    (rb"\x01\xda[\x00\x01][\x01\x02]", f"an SGI image: {_SAVE}"),
    (rb"\x0a[\x00\x02-\x05]\x01[\x01\x02\x04\x08]", f"a PCX image: {_SAVE}"),
    (rb"BPG\xfb", f"a BPG image: {_SAVE}"),
    (rb"FUJIFILMCCD-RAW|IIRO|IIRS|IIU\x00", "a camera's raw file: export it as a JPEG"),
    (rb"\xd7\xcd\xc6\x9a|\x01\x00\x00\x00.{36} EMF", "a Windows metafile: export it as a PNG"),
    (rb"RIFF....WAVE|ID3|\xff[\xfb\xf3\xf2]|OggS|fLaC", "a sound file: send an image"),
    (rb"RIFF....AVI |\x1a\x45\xdf\xa3|\x00\x00\x01\xba|FLV\x01", "a video: send one of its frames as a JPEG or PNG"),
    (rb"PK\x03\x04|PK\x05\x06", "a ZIP archive, or a document that is one: unpack it and send the image in it"),
    (rb"\x1f\x8b|BZh|\xfd7zXZ\x00|\x28\xb5\x2f\xfd", "a compressed file: unpack it and send the image in it"),
    (rb"7z\xbc\xaf\x27\x1c|Rar!\x1a\x07|.{257}ustar", "an archive: unpack it and send the image in it"),
    (rb"\xd0\xcf\x11\xe0", "an old Office document: save its image as a JPEG or PNG"),
    (rb"version https://git-lfs", "a pointer of Git LFS and not the file itself: fetch the file"),
)  # fmt: skip
_MEDIA = {b"crx ": "a camera's raw file: export it as a JPEG", b"jxl ": f"a JPEG XL image: {_SAVE}",
          b"mif1": f"a HEIF image of a kind that is not decoded: {_SAVE}",
          b"msf1": f"a HEIF sequence of a kind that is not decoded: {_SAVE}"}  # fmt: skip
_VIDEO = "a video (MP4 or QuickTime): send one of its frames as a JPEG or PNG"


def format_of(data: bytes) -> str | None:
    """Which of the formats that are decoded `data` begins as, if any."""
    for name, beginnings in _BEGINNINGS.items():
        if data.startswith(beginnings):
            return name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp":
        brands = _brands(data)
        if any(brand in _AVIF_BRANDS for brand in brands):
            return "AVIF"
        if any(brand in _HEIC_BRANDS for brand in brands):
            return "HEIC"
        return "AVIF" if brands[:1] in ([b"mif1"], [b"msf1"]) and b"av01" in data[:4096] else None
    # Two letters begin many a text; the length of the second header tells.
    start = {b"BM": 14, b"BA": 28}.get(data[:2])
    if start and len(data) >= start + 4 and struct.unpack_from("<I", data, start)[0] in _BMP_HEADERS:
        return "BMP"
    return None


def _brands(data: bytes) -> list[bytes]:
    length = min(max(16, int.from_bytes(data[:4], "big")), 512)
    brands = [data[place : place + 4] for place in range(8, length, 4)]
    return brands[:1] + brands[2:]  # without the minor version


def name_of(data: bytes) -> str:
    """What a file is that none of the formats begins as, with what to do about it; empty where it is not known."""
    if data[4:8] == b"ftyp":
        return _MEDIA.get(data[8:12], _VIDEO)
    for pattern, name in _OTHERS:
        if re.match(pattern, data, re.DOTALL):
            return name
    return _text_of(data)


def _text_of(data: bytes) -> str:
    """What a text is."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        data = data[:8192].decode("utf-16", "ignore").encode()
    head = data[:4096].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if re.match(rb"<svg|<(\?xml|!--|!doctype svg).*<svg", head, re.DOTALL):
        return "an SVG drawing: export it as a PNG"
    if re.match(rb"<!doctype html|<html|<head|<body|<script|<!--.*<html", head, re.DOTALL):
        return "a web page (HTML) and not the image on it: send the image's own bytes or URL"
    if head.startswith(b"<"):
        return "an XML or HTML text: send an image's bytes"
    if head.startswith(b"data:image/"):
        return "a data: URL as text: send the bytes in it"
    if re.match(rb"/9j/4|ivborw0kggo|r0lgodl|uklgr", head):
        return "an image in base64: send its bytes, decoded"
    if head.startswith((b"{", b"[")) and b"\0" not in head:
        return "a JSON text: send an image's bytes"
    return ""


def known_to_pillow(data: bytes) -> str:
    """The name of a format that Pillow would take the file for, by its own tests; empty where it knows none."""
    Image.init()  # imports all of Pillow's plugins: for files alone that nothing else tells
    for kind in Image.ID:
        factory, accept = Image.OPEN[kind]
        with_description = getattr(factory, "format_description", None)
        with contextlib.suppress(Exception):  # of tests that look further than the file goes
            if accept and with_description and accept(data[:16]) is True:
                return with_description
    return ""
