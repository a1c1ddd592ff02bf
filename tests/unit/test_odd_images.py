"""What people really send: files without their end, with odd metadata, of odd kinds, and of formats not taken."""

import functools
import io
import resource
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from predict import images, jpeg, signatures
from predict.errors import PredictionError
from tests import made
from tests.cases import hostile
from tests.made import BLUE, GREEN, GREY, RED, WHITE, YELLOW, chunk, encoded, photo, quarters

SCENE = [RED, GREEN, BLUE, YELLOW]
NOISE = Image.fromarray(np.random.default_rng(3).integers(0, 256, (150, 200, 3), np.uint8))


def corners(image: Image.Image) -> list[tuple[int, ...]]:
    """The colours in the middle of the four quarters, in reading order."""
    width, height = image.size
    return [image.getpixel((width * x // 4, height * y // 4)) for y in (1, 3) for x in (1, 3)]


def shows(data: bytes, expected: list[tuple[int, ...]], tolerance: int = 12) -> bool:
    return np.abs(np.array(corners(images.decode(data))) - np.array(expected)).max() <= tolerance


def refusal(data: bytes) -> PredictionError:
    with pytest.raises(PredictionError) as caught:
        images.decode(data)
    return caught.value


# --- a missing end ---------------------------------------------------------------------------------

ROW_BY_ROW = {
    "JPEG": lambda: encoded(photo(), "JPEG", quality=90),
    "JPEG restarts": lambda: encoded(photo(), "JPEG", quality=90, restart_marker_rows=2),
    "JPEG grey": lambda: encoded(photo().convert("L"), "JPEG"),
    "JPEG CMYK": lambda: encoded(photo().convert("CMYK"), "JPEG"),
    "PNG": lambda: encoded(photo(), "PNG"),
    "PNG palette": lambda: encoded(photo().quantize(64), "PNG"),
    "PNG alpha": lambda: encoded(photo().convert("RGBA"), "PNG"),
    "PNG stored": lambda: encoded(photo(), "PNG", compress_level=0),
    "WEBP": lambda: encoded(photo(), "WEBP", quality=95),
    "WEBP lossless": lambda: encoded(photo(200, 150), "WEBP", lossless=True),
    "WEBP noise": lambda: encoded(NOISE, "WEBP", quality=95),
    "WEBP alpha": lambda: encoded(photo().convert("RGBA"), "WEBP"),
    "GIF": lambda: encoded(photo().quantize(64), "GIF", interlace=0),
    "GIF noise": lambda: encoded(NOISE.quantize(256), "GIF", interlace=0),
    "BMP": lambda: encoded(photo(), "BMP"),
    "BMP palette": lambda: encoded(photo().quantize(64), "BMP"),
    "TIFF": lambda: encoded(photo(), "TIFF"),
}


@functools.cache
def row_by_row(name: str) -> bytes:
    """An image of ROW_BY_ROW, made when a test needs it."""
    return ROW_BY_ROW[name]()


@pytest.mark.parametrize("share", [0.7, 0.95])
@pytest.mark.parametrize("name", ROW_BY_ROW)
def test_the_rows_that_came_are_right_and_the_others_white(name, share):
    data = row_by_row(name)
    whole = np.asarray(images.decode(data)).astype(int)
    picture, partial, notes = images.read(data[: int(len(data) * share)])
    found = np.asarray(picture).astype(int)
    assert partial and "rows came" in notes[0]
    assert found.shape == whole.shape
    missing = (found == 255).all((1, 2))
    assert abs((1 - missing.mean()) - share) < 0.25, "as many rows as bytes, more or less"
    different = np.abs(found - whole).mean((1, 2))[~missing]
    assert (different < 2).mean() > 0.98 and different.max() < 30, "the last one may lack what smooths it"
    if not name.startswith("BMP"):  # which begin with the last row
        assert not missing[: int(len(missing) * 0.5)].any() and missing[-1]


@pytest.mark.parametrize("name", ROW_BY_ROW)
def test_less_than_half_of_the_rows_is_refused_with_the_reason(name):
    problem = refusal(row_by_row(name)[: int(len(row_by_row(name)) * 0.3)])
    assert (problem.code, problem.status) == ("image_broken", 422)
    assert "truncated or damaged" in problem.message


@pytest.mark.parametrize("name", [name for name in ROW_BY_ROW if name[:4] in ("JPEG", "WEBP", "PNG", "PNG ", "GIF")])
def test_a_file_that_lacks_its_end_mark_alone_is_row_by_row(name):
    """JPEG's mark, PNG's last chunk and its checksum, GIF's last byte, the byte that makes WebP's length even."""
    data = row_by_row(name)
    lacking = {"JPEG": 2, "PNG": 12, "GIF": 2, "WEBP": 0}[name.split()[0]]
    picture, partial, notes = images.read(data[: len(data) - lacking])
    assert (partial, notes) == (False, ())
    assert (np.asarray(picture) == np.asarray(images.decode(data))).all()


@pytest.mark.parametrize("lacking", [1, 2])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 3}, {"subsampling": 0}])
def test_a_jpeg_without_its_end_mark_is_whole(options, lacking):
    data = encoded(photo(), "JPEG", **options)
    for enough in (None, images.ENOUGH):
        picture, partial, _ = images.read(data[:-lacking], enough=enough)
        assert not partial
        assert (np.asarray(picture) == np.asarray(images.decode(data, enough=enough))).all()


def test_a_jpeg_whose_end_is_zeros_lacks_what_is_zero():
    """So do transfers leave it that make a file at its full length first."""
    data = encoded(photo(), "JPEG", quality=90)
    cut = int(len(data) * 0.8)
    zeros, short = (images.read(data[:cut] + end) for end in (bytes(len(data) - cut), b""))
    assert zeros.partial and short.partial
    assert (np.asarray(zeros.image) == np.asarray(short.image)).all()


@pytest.mark.parametrize("share", [0.15, 0.3, 0.6, 0.9, 0.99])
def test_a_progressive_jpeg_is_shown_as_fine_as_it_came(share):
    data = encoded(photo(), "JPEG", quality=90, progressive=True)
    picture, partial, notes = images.read(data[: int(len(data) * share)])
    assert partial and ("not all of its detail" in notes[0] or share < 0.2)  # within the first scan
    different = np.abs(np.asarray(picture).astype(int) - np.asarray(images.decode(data))).mean()
    assert different < 12 or share < 0.2


def test_a_progressive_jpeg_that_ends_between_two_scans_is_partial():
    data = encoded(photo(), "JPEG", progressive=True)
    last = max(place for mark, place, _ in jpeg._segments(data, 2) if mark in (0xDA, 0xC4))
    assert images.read(data[:last]).partial
    assert not images.read(data[:-2]).partial


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6, 0.9])
def test_an_interlaced_png_is_shown_as_fine_as_it_came(share):
    data = made.interlaced_png(photo())
    picture, partial, notes = images.read(data[: int(len(data) * share)])
    assert partial and notes
    assert np.abs(np.asarray(picture).astype(int) - np.asarray(photo())).mean() < 12


@pytest.mark.slow
def test_an_interlaced_gif_is_shown_as_fine_as_it_came():
    image = photo().quantize(64)
    data = encoded(image, "GIF", interlace=1)
    picture, partial, _ = images.read(data[: len(data) // 2])
    assert partial
    assert np.abs(np.asarray(picture).astype(int) - np.asarray(image.convert("RGB"))).mean() < 12


@pytest.mark.slow
def test_the_first_frame_of_a_file_cut_later_is_whole():
    frames = [photo(), photo().rotate(90), photo().rotate(180)]
    for kind, options in (("WEBP", {}), ("GIF", {}), ("PNG", {})):
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        picture, partial, _ = images.read(data[: int(len(data) * 0.8)])
        assert not partial, kind
        assert (np.asarray(picture) == np.asarray(images.decode(data))).all()


def test_a_tiff_whose_directory_is_its_last_bytes_may_lack_the_last():
    data = encoded(NOISE, "TIFF", compression="tiff_lzw")
    picture, partial, _ = images.read(data[:-1])
    assert not partial
    assert (np.asarray(picture) == np.asarray(NOISE)).all()


def test_a_png_damaged_in_the_middle_is_shown_to_there():
    content = bytearray(made.deflated(photo()))
    content[len(content) * 3 // 4 :][:40] = bytes(40)
    content[len(content) * 3 // 4 : len(content) * 3 // 4 + 64] = b"\xff" * 64
    data = made.header(640, 480) + chunk(b"IDAT", bytes(content)) + chunk(b"IEND")
    picture, partial, _ = images.read(data)
    assert partial
    assert (np.asarray(picture)[:300] == np.asarray(photo())[:300]).all()


def test_a_drafted_jpeg_says_the_same():
    data = encoded(photo(2000, 1500), "JPEG", quality=90)
    for share, partial in ((1, False), (0.8, True)):
        drafted = images.read(data[: int(len(data) * share)], enough=images.ENOUGH)
        assert (drafted.image.size, drafted.partial) == ((1000, 750), partial)
    with pytest.raises(PredictionError, match="less than half"):
        images.read(data[: len(data) // 3], enough=images.ENOUGH)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF"])
def test_a_cut_file_of_too_many_pixels_is_413(kind):
    data = encoded(photo(200, 150), kind)
    with pytest.raises(PredictionError) as caught:
        images.decode(data[: int(len(data) * 0.8)], max_pixels=1000)
    assert caught.value.code == "image_too_large"


# --- metadata that the network never sees ----------------------------------------------------------

ODD_CHUNKS = {
    "text of a wrong checksum": chunk(b"tEXt", b"Title\0x", checksum=1),
    "size of a wrong checksum": chunk(b"pHYs", bytes(9), checksum=1),
    "pHYs short": chunk(b"pHYs", b"\0"),
    "pHYs empty": chunk(b"pHYs"),
    "gAMA short": chunk(b"gAMA", b"\0"),
    "gAMA long": chunk(b"gAMA", bytes(99)),
    "sRGB empty": chunk(b"sRGB"),
    "cHRM short": chunk(b"cHRM", bytes(5)),
    "iCCP empty": chunk(b"iCCP"),
    "iCCP without a profile": chunk(b"iCCP", b"name\0\0"),
    "iCCP of an unknown method": chunk(b"iCCP", b"name\0\x07" + zlib.compress(b"x")),
    "zTXt of an unknown method": chunk(b"zTXt", b"a\0\x05" + zlib.compress(b"x")),
    "zTXt empty": chunk(b"zTXt"),
    "zTXt not deflated": chunk(b"zTXt", b"a\0\0not deflated"),
    "zTXt swelling": chunk(b"zTXt", b"a\0\0" + hostile.ZLIB_BOMB),
    "iTXt swelling": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + hostile.ZLIB_BOMB),
    "iCCP swelling": chunk(b"iCCP", b"name\0\0" + hostile.ZLIB_BOMB),
    "iTXt short": chunk(b"iTXt", b"a"),
    "tEXt without a keyword": chunk(b"tEXt"),
    "tEXt of two megabytes": chunk(b"tEXt", b"a\0" + bytes(2_000_000)),
    "tRNS short": chunk(b"tRNS", b"\0"),
    "tRNS long": chunk(b"tRNS", bytes(8)),
    "tRNS of a wrong checksum": chunk(b"tRNS", struct.pack(">3H", *RED), checksum=1),
    "eXIf of nonsense": chunk(b"eXIf", b"\xff" * 30),
    "acTL short": chunk(b"acTL", b"\0"),
    "fcTL short": chunk(b"acTL", struct.pack(">II", 1, 0)) + chunk(b"fcTL", b"\0"),
    "bKGD long": chunk(b"bKGD", bytes(40)),
    "hIST without a palette": chunk(b"hIST", bytes(3)),
    "time of month 99": chunk(b"tIME", b"\x07\xe0\x63\x63\x63\x63\x63"),
    "a name that is none": chunk(b"te\0t", b"x"),
    "of its own": chunk(b"prIv", bytes(100)),
}


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("name", ODD_CHUNKS)
def test_a_chunk_beside_the_picture_is_no_reason_to_refuse_it(name, place):
    data = made.png(quarters(), **{place: ODD_CHUNKS[name]})
    assert images.read(data) == (images.decode(data), False, ())
    assert shows(data, SCENE)


def test_texts_and_profiles_are_not_inflated():
    data = made.png(quarters(), b"".join(ODD_CHUNKS[f"{name} swelling"] for name in ("zTXt", "iTXt", "iCCP")) * 20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert shows(data, SCENE)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000, "kilobytes"


@pytest.mark.parametrize("change", ["adler", "no adler", "more data", "wrong window", "checksum"])
def test_pixels_whose_sums_are_wrong_are_shown(change):
    content = made.deflated(photo())
    content = {
        "adler": content[:-4] + b"oops",
        "no adler": content[:-4],
        "more data": content + b"garbage",
        "wrong window": b"\x18\x19" + content[2:],
        "checksum": content,
    }[change]
    pixels = chunk(b"IDAT", content, checksum=7 if change == "checksum" else None)
    picture, partial, _ = images.read(made.header(640, 480) + pixels + chunk(b"IEND"))
    assert not partial
    assert (np.asarray(picture) == np.asarray(photo())).all()


def test_pixels_in_many_chunks_with_others_between_are_shown():
    content = made.deflated(quarters())
    pieces = [content[place : place + 7] for place in range(0, len(content), 7)]
    pixels = chunk(b"tEXt", b"a\0b").join(chunk(b"IDAT", piece) for piece in pieces)
    assert shows(made.header(96, 64) + pixels + chunk(b"IEND"), SCENE)


def test_a_header_or_palette_of_a_wrong_checksum_is_refused():
    """Browsers show neither: what they say decides how the pixels look."""
    palette = quarters().quantize(4)
    data = encoded(palette, "PNG")
    for name in (b"IHDR", b"PLTE"):
        place = data.index(name)
        end = place + 4 + int.from_bytes(data[place - 4 : place], "big")
        assert refusal(data[:end] + b"oops" + data[end + 4 :]).code == "image_broken"


@pytest.mark.parametrize(("name", "word"), [(b"CgBI", "Xcode"), (b"ABCD", "ABCD")])
def test_a_png_of_another_kind_is_refused_by_what_it_is(name, word):
    problem = refusal(made.png(quarters(), chunk(name, b"\x50\0\x20\x02")))
    assert problem.code == "not_an_image" and word in problem.message


ODD_SEGMENTS = {
    "JFIF short": made.segment(0xE0, b"JFIF\0"),
    "JFIF of one byte": made.segment(0xE0, b"J"),
    "APP0 empty": made.segment(0xE0, b""),
    "Adobe short": made.segment(0xEE, b"Adobe"),
    "Adobe of six bytes": made.segment(0xEE, b"Adobe\0"),
    "ICC short": made.segment(0xE2, b"ICC_PROFILE\0"),
    "ICC of thirteen bytes": made.segment(0xE2, b"ICC_PROFILE\0\1"),
    "ICC of many that do not come": made.segment(0xE2, b"ICC_PROFILE\0\1\xff" + bytes(99)),
    "EXIF short": made.segment(0xE1, b"Exif\0\0"),
    "EXIF of nonsense": made.segment(0xE1, b"Exif\0\0MM\0*\xff\xff\xff\xf0" + b"\xff" * 20),
    "XMP of nonsense": made.segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<<<\xff"),
    "Photoshop cut": made.segment(0xED, b"Photoshop 3.0\0008BIM\x03\xed\0\0\0\0\xff\xff"),
    "Photoshop resolution short": made.segment(0xED, b"Photoshop 3.0\0008BIM\x03\xed\0\0\0\0\0\2xx"),
    "pictures that are not there": made.segment(0xE2, b"MPF\0II*\0\x08\0\0\0\3\0" + b"\xff" * 36 + bytes(4)),
    "an index cut": made.segment(0xE2, b"MPF\0II*\0\x08\0\0\0"),
    "an index empty": made.segment(0xE2, b"MPF\0"),
    "FlashPix": made.segment(0xE2, b"FPXR\0"),
    "a comment": made.segment(0xFE, b"\xff\xd8\xff\xd9" * 50),
    "a comment empty": made.segment(0xFE, b""),
    "a length of 0": b"\xff\xe5\0\0",
    "a length of 1": b"\xff\xe5\0\1",
    "fill bytes": b"\xff" * 20,
}  # fmt: skip


@pytest.mark.parametrize("name", ODD_SEGMENTS)
@pytest.mark.parametrize("times", [1, 3])
def test_a_segment_beside_the_picture_is_no_reason_to_refuse_it(name, times):
    data = made.jpeg(quarters(), *[ODD_SEGMENTS[name]] * times)
    assert not images.read(data).partial
    assert shows(data, SCENE)


def test_an_index_of_pictures_counts_more_than_there_are():
    data = bytearray(encoded(quarters(), "MPO", save_all=True, append_images=[quarters(48, 32)], quality=95))
    index = data.index(b"MPF\0")
    count = data.index(struct.pack("<HHII", 0xB001, 4, 1, 2), index) + 8
    data[count] = 200
    assert shows(bytes(data), SCENE)


@pytest.mark.parametrize("transform", [0, 1])
@pytest.mark.parametrize("jfif", [True, False])
def test_adobes_mark_says_what_the_colours_are_where_jfifs_does_not(transform, jfif):
    """A picture whose three components are RGB, not YCbCr, shows its colours with Adobe's transform 0 alone."""
    adobe = made.segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes((transform,)))
    stored = quarters() if transform == 0 and not jfif else quarters().convert("YCbCr")
    planes = Image.merge("RGB", stored.split())
    data = encoded(planes, "JPEG", quality=95, keep_rgb=True)
    data = data[:2] + (encoded(quarters(), "JPEG")[2:20] if jfif else b"") + adobe + data[2:]
    place = data.index(b"\xff\xee", 2)
    second = data.find(b"\xff\xee", place + 2)
    data = data if second < 0 else data[:second] + data[second + 16 :]
    frame = data.index(b"\xff\xc0")
    for number in range(3):  # Pillow names them R, G, B, which libjpeg would look at
        old = data[frame + 10 + 3 * number]
        data = data[: frame + 10 + 3 * number] + bytes((number + 1,)) + data[frame + 11 + 3 * number :]
        scan = data.index(b"\xff\xda")
        place = data.index(bytes((old,)), scan + 4)
        data = data[:place] + bytes((number + 1,)) + data[place + 1 :]
    assert shows(data, SCENE, 20)


@pytest.mark.parametrize(
    ("change", "word"), [((0xC3, 8, 3), "lossless"), ((0xC1, 12, 3), "12 bits"), ((0xC0, 8, 2), "2 colour components")]
)
def test_a_jpeg_that_browsers_do_not_show_is_refused_by_what_it_is(change, word):
    data = bytearray(encoded(quarters(), "JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 1], data[frame + 4], data[frame + 9] = change
    problem = refusal(bytes(data))
    assert problem.code == "not_an_image" and word in problem.message


# --- orientation -----------------------------------------------------------------------------------

TURNED = [BLUE, RED, YELLOW, GREEN]
APP1 = b"Exif\0\0"
JPEG_ORIENTATIONS = {
    "little-endian": (APP1 + made.exif(6), True),
    "big-endian": (APP1 + made.exif(6, ">"), True),
    "no zero behind its name": (b"Exif\0\xff" + made.exif(6), True),
    "without an end": (APP1 + made.exif(6)[:-4], True),
    "a number of 32 bits": (APP1 + made.exif(6, kind=4), False),
    "a byte": (APP1 + made.exif(6, kind=1), False),
    "two numbers": (APP1 + made.exif(6, count=2), False),
    "none": (APP1 + made.exif(6, count=0), False),
    "9": (APP1 + made.exif(9), False),
    "0": (APP1 + made.exif(0), False),
    "XMP": (b"http://ns.adobe.com/xap/1.0/\0" + made.XMP, False),
}


@pytest.mark.parametrize("name", JPEG_ORIENTATIONS)
def test_a_jpegs_orientation_is_what_browsers_take_for_one(name):
    content, turned = JPEG_ORIENTATIONS[name]
    assert shows(made.jpeg(quarters(), made.segment(0xE1, content)), TURNED if turned else SCENE, 20)


def test_the_first_exif_of_a_jpeg_counts():
    both = [made.segment(0xE1, APP1 + made.exif(orientation)) for orientation in (6, 1)]
    assert shows(made.jpeg(quarters(), *both), TURNED, 20)
    assert shows(made.jpeg(quarters(), *both[::-1]), SCENE, 20)
    after = made.jpeg(quarters())
    place = after.index(b"\xff\xc4")
    assert shows(after[:place] + both[0] + after[place:], TURNED, 20)


def test_a_pngs_orientation_is_its_first_sound_exif_before_the_pixels():
    exif = chunk(b"eXIf", made.exif(6))
    other = chunk(b"eXIf", made.exif(3))
    assert shows(made.png(quarters(), exif), TURNED)
    assert shows(made.png(quarters(), exif + other), TURNED)
    assert shows(made.png(quarters(), b"", exif), SCENE)
    assert shows(made.png(quarters(), chunk(b"eXIf", made.exif(6), checksum=3)), SCENE)
    assert shows(made.png(quarters(), chunk(b"eXIf", APP1 + made.exif(6))), SCENE)
    assert shows(made.png(quarters(), chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + made.XMP)), SCENE)


def test_a_webp_is_not_turned():
    """Browsers apply neither its EXIF nor its XMP."""
    pixels = encoded(quarters(), "WEBP", lossless=True)[12:]
    for name, content, flags in ((b"EXIF", made.exif(6), 8), (b"XMP ", made.XMP, 4)):
        assert shows(made.webp(96, 64, flags, pixels, made.riff_chunk(name, content)), SCENE)


@pytest.mark.parametrize("kind", ["AVIF", "TIFF"])
def test_xmp_alone_turns_nothing(kind):
    options = {"tiffinfo": {700: made.XMP}} if kind == "TIFF" else {"xmp": made.XMP, "quality": 95}
    assert shows(encoded(quarters(), kind, **options), SCENE, 20)


# --- transparency, the first frame -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("bits", "left", "right", "transparent", "expected"),
    [
        (1, 0, 1, 0, (255, 255)), (1, 0, 1, 1, (0, 255)), (2, 1, 2, 1, (255, 170)), (4, 7, 2, 7, (255, 34)),
        (8, 7, 2, 7, (255, 2)), (8, 7, 2, 7 + 256, (255, 2)), (16, 300, 301, 300, (255, 1)),
        (16, 300, 301, 299, (1, 1)),
    ],
)  # fmt: skip
def test_the_transparent_grey_is_compared_as_it_is_stored(bits, left, right, transparent, expected):
    picture = images.decode(made.grey_png(bits, left, right, transparent))
    assert (picture.getpixel((10, 30))[0], picture.getpixel((80, 30))[0]) == expected


@pytest.mark.parametrize(("transparent", "expected"), [((1000, 2000, 3000), 255), ((1000, 2000, 3001), 3)])
def test_the_transparent_colour_of_16_bits_is_compared_in_all_of_them(transparent, expected):
    rows = made.filtered(np.full((8, 8, 3), (1000, 2000, 3000), ">u2"))
    clear = chunk(b"tRNS", struct.pack(">3H", *transparent))
    data = made.header(8, 8, 16) + clear + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND")
    assert images.decode(data).getpixel((4, 4))[0] == expected


def test_the_transparent_colour_of_8_bits_is_white():
    assert shows(made.png(quarters(), chunk(b"tRNS", struct.pack(">3H", *BLUE))), [RED, GREEN, WHITE, YELLOW])


def test_transparency_that_comes_before_the_palette_or_is_longer_is_none():
    palette = quarters().quantize(4)
    data = encoded(palette, "PNG")
    place = data.index(b"PLTE") - 4
    end = place + 12 + int.from_bytes(data[place : place + 4], "big")
    assert shows(data[:place] + chunk(b"tRNS", bytes(4)) + data[place:], SCENE)
    assert shows(data[:end] + chunk(b"tRNS", bytes(256)) + data[end:], SCENE)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (made.apng(quarters()), SCENE),
        (made.apng(Image.new("RGB", (48, 32), RED), 48, 32), [WHITE, WHITE, WHITE, RED]),
        (made.apng(quarters(200, 64)), [GREY] * 4),  # it does not fit: there is the default image
        (made.apng(quarters()).replace(b"acTL", b"acTl"), [GREY] * 4),  # not an animation
    ],
)
def test_an_animated_png_shows_its_first_frame(data, expected):
    assert shows(data, expected)


def test_an_animated_png_whose_default_image_is_its_first_frame():
    frames = [quarters(), Image.new("RGB", (96, 64), GREY)]
    assert shows(encoded(frames[0], "PNG", save_all=True, append_images=frames[1:]), SCENE)


def test_a_png_whose_pixels_end_early_is_partial_whatever_stands_behind_them():
    """At the stream's end zlib names the same bytes again and again: decoding went on until the time limit."""
    rows = bytes(600 * (1 + 3 * 1000))  # more than is inflated at once, from one piece of the stream
    stream = bytearray(zlib.compress(rows))
    stream[-1] ^= 1  # the sum over all: Pillow refuses it
    picture, partial, _ = images.read(made.header(1000, 1000) + chunk(b"IDAT", bytes(stream)) + chunk(b"IEND"))
    assert picture.size == (1000, 1000) and partial


def test_the_first_frame_of_an_animated_png_may_be_cut_too():
    picture, partial, _ = images.read(made.apng(photo(96, 64), part=0.8))
    assert partial
    assert (np.asarray(picture)[:40] == np.asarray(photo(96, 64))[:40]).all()


@pytest.mark.parametrize(
    ("screen", "place", "size", "expected"),
    [
        ((96, 64), (0, 0), (96, 64), SCENE),
        ((192, 128), (0, 0), (96, 64), [YELLOW, WHITE, WHITE, WHITE]),
        ((96, 64), (48, 32), (48, 32), [WHITE, WHITE, WHITE, YELLOW]),
        ((50, 40), (0, 0), (96, 64), SCENE),
        ((0, 0), (0, 0), (96, 64), SCENE),
        ((96, 64), (48, 32), (96, 64), [WHITE, WHITE, WHITE, YELLOW]),
    ],
)
def test_nothing_is_around_a_gifs_frame(screen, place, size, expected):
    frame = quarters() if size == (96, 64) else Image.new("RGB", size, YELLOW)
    data = made.gif(screen, frame, *place)
    picture = images.decode(data)
    assert picture.size == (max(screen[0], place[0] + size[0]), max(screen[1], place[1] + size[1]))
    assert shows(data, expected)


@pytest.mark.parametrize("more", [b"!\x42\3abc\0", b"!\xfe\0", b"!\xff\x0bNETSCAPE2.0\0", b"!\xf9\3\0\0\0\0"])
def test_odd_extensions_of_a_gif_are_passed_over(more):
    assert shows(made.gif((96, 64), quarters(), more=more), SCENE)


def test_the_last_word_on_a_gifs_transparency_counts():
    clear, none = (b"!\xf9\4" + bytes((flag, 0, 0, 0)) + b"\0" for flag in (1, 0))
    index = quarters().quantize(8).getpixel((1, 1))
    clear = clear[:6] + bytes((index,)) + clear[7:]
    assert shows(made.gif((96, 64), quarters(), more=none + clear), [WHITE, GREEN, BLUE, YELLOW])
    assert shows(made.gif((96, 64), quarters(), more=clear + none), SCENE)


def test_nothing_is_around_a_webps_first_frame():
    data = made.webp(96, 64, 2, made.riff_chunk(b"ANIM", b"\xff\0\0\xff\0\0"),
                     made.webp_frame(Image.new("RGB", (48, 32), RED), 48, 32))  # fmt: skip
    assert shows(data, [WHITE, WHITE, WHITE, RED])


# --- BMP -------------------------------------------------------------------------------------------

_565, _555, _444, _332 = (0xF800, 0x7E0, 0x1F), (0x7C00, 0x3E0, 0x1F), (0xF00, 0xF0, 0xF), (0xE0, 0x1C, 3)
_BGR, _RGB, _TEN = (0xFF0000, 0xFF00, 0xFF), (0xFF, 0xFF00, 0xFF0000), (0x3FF00000, 0xFFC00, 0x3FF)


@pytest.mark.parametrize("upside", [1, -1])
@pytest.mark.parametrize(
    ("masks", "bits"),
    [(_565, 16), (_555, 16), (_444, 16), (_332, 16), ((0xF000, 0xF00, 0xF0), 16), (_BGR, 32), (_RGB, 32), (_TEN, 32),
     ((0xFF000000, 0xFF0000, 0xFF00), 32), ((0xFF000000, 0xFF00, 0xFF), 32), ((0x1F, 0x3E0, 0x7C00), 32)],
)  # fmt: skip
@pytest.mark.parametrize("length", [40, 52, 108])
def test_a_bmp_of_any_bit_fields(masks, bits, length, upside):
    image = quarters() if upside > 0 else quarters().transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    data = made.bmp((96, 64), bits, made.fields(image, masks, bits), 3, masks, length, upside=upside)
    assert shows(data, SCENE, 40 if masks in (_332,) else 20)


@pytest.mark.parametrize(
    ("masks", "bits"),
    [((*_BGR, 0xFF000000), 32), ((*_RGB, 0xFF000000), 32), ((*_444, 0xF000), 16), ((*_TEN, 0xC0000000), 32)],
)
@pytest.mark.parametrize("length", [56, 108, 124])
def test_a_bmps_alpha_counts_unless_all_of_it_is_0(masks, bits, length):
    half = np.repeat(np.uint8([[255, 0]]), 48, 1).repeat(64, 0)
    for alpha, expected in ((half, [RED, WHITE, BLUE, WHITE]), (half * 0, SCENE), (half * 0 + 255, SCENE)):
        data = made.bmp((96, 64), bits, made.fields(quarters(), masks, bits, alpha), 3, masks, length)
        assert shows(data, expected, 20)


@pytest.mark.parametrize(
    ("length", "masks", "clear"), [(40, (), False), (108, (*_BGR, 0), False), (124, (*_BGR, 0xFF000000), True)]
)
def test_the_fourth_byte_of_a_bmp_is_alpha_where_the_header_says_so(length, masks, clear):
    half = np.repeat(np.uint8([[255, 0]]), 48, 1).repeat(64, 0)
    data = made.bmp((96, 64), 32, made.fields(quarters(), (*_BGR, 0xFF000000), 32, half), 0, masks, length)
    assert shows(data, [RED, WHITE, BLUE, WHITE] if clear else SCENE)


@pytest.mark.parametrize("data", [encoded(quarters(), "BMP"), encoded(quarters().quantize(8), "BMP")])
def test_a_bmp_in_an_array(data):
    assert shows(made.in_array(data), SCENE)


def _runs(bits: int, skip: bool = False) -> bytes:
    rows = b""
    for row in range(64):
        for place, value in enumerate((2, 3) if row < 32 else (0, 1)):
            if skip and place == 0:
                rows += bytes((0, 2, 48, 0))
            else:
                rows += bytes((48, value | value << 4 if bits == 4 else value))
        rows += b"\0\0"
    return rows + b"\0\1"


_PALETTE = b"".join(bytes((*colour[::-1], 0)) for colour in (RED, GREEN, BLUE, YELLOW))


@pytest.mark.parametrize(("bits", "compression"), [(8, 1), (4, 2)])
def test_a_bmp_of_runs(bits, compression):
    def file(pixels: bytes) -> bytes:
        return made.bmp((96, 64), bits, pixels, compression, palette=_PALETTE)

    assert shows(file(_runs(bits)), SCENE)
    assert shows(file(_runs(bits)[:-2]), SCENE)
    assert images.decode(file(_runs(bits, skip=True))).getpixel((80, 10)) == GREEN
    cut = images.read(file(_runs(bits)[:260]))
    assert cut.partial and cut.image.getpixel((10, 60)) == BLUE and cut.image.getpixel((10, 2)) == WHITE
    absolute = b"\0\6" + (bytes((0, 1, 2, 3, 0, 1)) if bits == 8 else b"\x01\x23\x01\0")
    assert [images.decode(made.bmp((6, 1), bits, absolute, compression, palette=_PALETTE)).getpixel((x, 0))
            for x in range(6)] == [RED, GREEN, BLUE, YELLOW, RED, GREEN]  # fmt: skip


def test_bmps_of_two_bits_and_of_os2():
    index = np.uint8([[2, 3], [0, 1]]).repeat(32, 0).repeat(48, 1)
    two = index[:, ::4] << 6 | index[:, 1::4] << 4 | index[:, 2::4] << 2 | index[:, 3::4]
    assert shows(made.bmp((96, 64), 2, two.tobytes(), palette=_PALETTE), SCENE)
    palette = b"".join(_PALETTE[place : place + 3] for place in range(0, 16, 4))
    os2 = b"BM" + struct.pack("<IHHI", 0, 0, 0, 38) + struct.pack("<IHHHH", 12, 96, 64, 1, 8) + palette
    assert shows(os2 + index.tobytes(), SCENE)


@pytest.mark.parametrize(
    ("bits", "compression", "word"), [(24, 4, "JPEG"), (32, 5, "PNG"), (8, 9, "compression 9"), (64, 0, "64 bits")]
)
def test_a_bmp_that_is_not_decoded_is_refused_by_what_it_is(bits, compression, word):
    problem = refusal(made.bmp((8, 8), bits, bytes(999), compression))
    assert problem.code == "not_an_image" and word in problem.message


# --- AVIF, HEIC, TIFF ------------------------------------------------------------------------------


def test_an_avif_whose_associations_are_in_two_boxes():
    image = quarters().convert("RGBA")
    image.putalpha(Image.fromarray(np.repeat(np.uint8([[0, 255]]), 48, 1).repeat(64, 0)))
    data = encoded(image, "AVIF", quality=95)
    with pytest.raises(OSError):
        Image.open(io.BytesIO(made.with_two_associations(data)))
    divided = images.decode(made.with_two_associations(data))
    assert (np.asarray(divided) == np.asarray(images.decode(data))).all()


@pytest.mark.parametrize(("transfer", "noted"), [(13, False), (1, False), (16, True), (18, True)])
def test_a_picture_of_a_high_range_is_noted(transfer, noted):
    _, partial, notes = images.read(made.with_transfer(encoded(quarters(), "AVIF"), transfer))
    assert not partial
    assert bool(notes) is noted and all("high dynamic range" in note for note in notes)


@pytest.mark.slow
def test_an_avif_that_lacks_its_last_byte():
    data = encoded(photo(), "AVIF", quality=90)
    picture, _partial, _notes = images.read(data[:-1])
    assert (np.asarray(picture)[:300] == np.asarray(images.decode(data))[:300]).all()


def test_a_heic_is_a_picture():
    picture = images.decode(made.HEIC)
    assert picture.size == (64, 48)
    assert shows(made.HEIC, SCENE)
    assert np.asarray(images.network_input(made.HEIC)).shape == (1, 3, 224, 224)


@pytest.mark.parametrize("length", [40, 300, 640])
def test_a_damaged_heic_is_422(length):
    problem = refusal(made.HEIC[:length])
    assert problem.code == "image_broken" and "HEIC" in problem.message


def test_a_tiffs_reduced_first_page_is_not_the_picture():
    small, large = quarters(48, 32), quarters()
    for flags, expected in (((1, 0), (96, 64)), ((0, 0), (48, 32)), ((1, 1), (96, 64))):
        pages = [page.copy() for page in (small, large)]
        for page, flag in zip(pages, flags, strict=True):
            page.encoderinfo = {"tiffinfo": {254: flag}}
        data = encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:], tiffinfo={254: flags[0]})
        data = _with_subfile(data, flags)
        assert images.decode(data).size == expected
        assert shows(data, SCENE)


def _with_subfile(data: bytes, flags: tuple[int, ...]) -> bytes:
    """A TIFF of several pages, each with its own NewSubfileType."""
    changed, place = bytearray(data), struct.unpack_from("<I", data, 4)[0]
    for flag in flags:
        count = struct.unpack_from("<H", data, place)[0]
        for entry in range(place + 2, place + 2 + 12 * count, 12):
            if struct.unpack_from("<H", data, entry)[0] == 254:
                struct.pack_into("<I", changed, entry + 8, flag)
        place = struct.unpack_from("<I", data, place + 2 + 12 * count)[0]
    return bytes(changed)


def _tiff(samples: int, bits: int, kind: int, compression: int = 1) -> bytes:
    pixels = bytes(8 * 8 * samples * bits // 8)
    tags = [(256, 8), (257, 8), (258, bits), (259, compression), (262, 2 if samples == 3 else 1), (273, 8),
            (277, samples), (278, 8), (279, len(pixels)), (339, kind)]  # fmt: skip
    entries = b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in tags)
    return struct.pack("<2sHI", b"II", 42, 8 + len(pixels)) + pixels + struct.pack("<H", len(tags)) + entries + bytes(4)


def _big_tiff(image: Image.Image, rows: int = 16) -> bytes:
    """A BigTIFF in big-endian order, in strips, which Pillow does not write."""
    pixels, strip = np.asarray(image).tobytes(), rows * image.width * 3
    strips = range(0, len(pixels), strip)
    places = b"".join(struct.pack(">Q", 16 + place) for place in strips)
    counts = b"".join(struct.pack(">Q", min(strip, len(pixels) - place)) for place in strips)
    behind = 16 + len(pixels)
    tags = [(256, 3, 1, struct.pack(">H", image.width)), (257, 3, 1, struct.pack(">H", image.height)),
            (258, 3, 3, struct.pack(">3H", 8, 8, 8)), (259, 3, 1, b"\0\1"), (262, 3, 1, b"\0\2"),
            (273, 16, len(strips), struct.pack(">Q", behind)), (277, 3, 1, b"\0\3"),
            (278, 3, 1, struct.pack(">H", rows)),
            (279, 16, len(strips), struct.pack(">Q", behind + len(places)))]  # fmt: skip
    entries = b"".join(struct.pack(">HHQ", *tag) + value.ljust(8, b"\0") for *tag, value in tags)
    directory = struct.pack(">Q", len(tags)) + entries + bytes(8)
    start = struct.pack(">2sHHHQ", b"MM", 43, 8, 0, behind + len(places) + len(counts))
    return start + pixels + places + counts + directory


def test_a_bigtiff_in_big_endian_order():
    assert (np.asarray(images.decode(_big_tiff(photo(64, 50)))) == np.asarray(photo(64, 50))).all()
    for damaged in (b"MM\0+\0\x08\0\0" + bytes(99), _big_tiff(quarters())[:-60]):
        assert refusal(damaged).code == "image_broken"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (_tiff(3, 32, 3), ("3 values", "32-bit floats")),
        (_tiff(1, 64, 3), ("64-bit floats",)),
        (_tiff(1, 64, 6), ("complex floats",)),
        (_tiff(3, 64, 1), ("64-bit whole numbers",)),
        (_tiff(3, 8, 1, 34712), ("number 34712",)),
    ],
)
def test_a_tiff_that_is_not_decoded_is_refused_by_what_it_is(data, words):
    problem = refusal(data)
    assert (problem.code, problem.status) == ("not_an_image", 415)
    assert all(word in problem.message for word in words) and "damaged" not in problem.message
    assert "save it" in problem.message


# --- what else comes -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"\xff\x0a\xfa\x7f\x01", "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl ", "JPEG XL"),
        (encoded(quarters(), "JPEG2000"), "JPEG 2000"),
        (b"\xff\x4f\xff\x51\0\x2f\0\0", "JPEG 2000"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        (b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- made -->\n<svg/>', "SVG"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "PDF"),
        (b"\n  <!DOCTYPE html><html><body>404</body></html>", "web page"),
        (b"<HTML><head>", "web page"),
        ("<!doctype html><html>".encode("utf-16"), "web page"),
        (b'{"error": "not found"}', "JSON"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "XML"),
        (b"8BPS\0\1" + bytes(30), "Photoshop"),
        (encoded(quarters(64, 64), "ICO"), "Windows icon"),
        (encoded(quarters(), "PPM"), "Netpbm"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "video"),
        (b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", "video"),
        (b"\x1a\x45\xdf\xa3\x01\0\0\0", "video"),
        (b"RIFF\x24\0\0\0AVI LIST", "video"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "sound"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "raw"),
        (b"PK\3\4\x14\0\0\0", "ZIP"),
        (b"\x1f\x8b\x08\0\0\0\0\0", "compressed"),
        (b"7z\xbc\xaf\x27\x1c\0\4", "archive"),
        (b"data:image/png;base64,iVBORw0KGgo=", "data: URL"),
        (b"/9j/4AAQSkZJRgABAQAAAQABAAD", "base64"),
        (b"\xff\xd8\0\0\0\0", "damaged"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (encoded(quarters(64, 64), "SGI"), "SGI"),
        (encoded(quarters(64, 64), "DDS"), "DirectDraw"),
        (encoded(quarters(64, 64), "ICNS"), "icon"),
        (b"gimp xcf v011\0" + bytes(40), ""),
        (b"/* XPM */\nstatic char *x[] = {" + bytes(30), "X11 Pixel Map"),
    ],
    ids=lambda data: repr(data[:12]) if isinstance(data, bytes) else data,
)
def test_the_message_names_what_came(data, word):
    problem = refusal(data)
    assert (problem.code, problem.status) == ("not_an_image", 415)
    assert word in problem.message and "truncated or damaged" not in problem.message
    assert "JPEG, PNG" in problem.message


@pytest.mark.parametrize("brand", [b"heic", b"mif1", b"heix", b"hevc"])
def test_a_heic_is_known_by_any_of_its_brands(brand):
    data = made.HEIC[:8] + brand + made.HEIC[12:]
    assert signatures.format_of(data) == "HEIC"


@pytest.mark.parametrize("text", [b"BMX is a bicycle, and this is text", b"BACON" * 10, b"P3 is short", b"II.", b"MM"])
def test_a_text_is_no_picture(text):
    assert refusal(text).code == "not_an_image"
