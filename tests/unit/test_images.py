"""Decoding strangers' images and preparing them as the network expects."""

import struct
import zlib
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from predict import images
from predict.errors import PredictionError
from tests.made import BLUE, GREEN, RED, YELLOW, chunk, encoded, header, photo, quarters
from workshop import ROOT

SAMPLES = sorted((ROOT / "notebooks" / "samples").glob("*.jpg"))


def corners(image: Image.Image) -> list[tuple[int, ...]]:
    """The colours in the middle of the four quarters, in reading order."""
    width, height = image.size
    return [image.getpixel((width * x // 4, height * y // 4)) for y in (1, 3) for x in (1, 3)]


def close(found: list[tuple[int, ...]], expected: list[tuple[int, ...]], tolerance: int = 12) -> bool:
    return np.abs(np.array(found) - np.array(expected)).max() <= tolerance


def refusal(data: bytes, **options) -> PredictionError:
    with pytest.raises(PredictionError) as caught:
        images.decode(data, **options)
    return caught.value


# --- formats ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {"quality": 95}),
        ("JPEG", {"quality": 95, "progressive": True}),
        ("JPEG", {"quality": 95, "subsampling": 0, "optimize": True}),
        ("PNG", {}),
        ("PNG", {"compress_level": 0}),
        ("WEBP", {"quality": 95}),
        ("WEBP", {"lossless": True}),
        ("AVIF", {"quality": 95}),
        ("GIF", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "jpeg"}),
        ("TIFF", {"compression": "tiff_adobe_deflate"}),
    ],
)
def test_every_format_decodes_to_the_same_picture(kind, options):
    picture = images.decode(encoded(quarters(), kind, **options))
    assert (picture.mode, picture.size) == ("RGB", (96, 64))
    assert close(corners(picture), [RED, GREEN, BLUE, YELLOW])
    assert np.asarray(picture).dtype == np.uint8


@pytest.mark.parametrize(
    ("kind", "mode"),
    [(kind, mode) for kind in ("PNG", "TIFF") for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")]
    + [("TIFF", mode) for mode in ("I", "F", "CMYK", "LAB")],
)
def test_every_mode_becomes_rgb(kind, mode):
    grey = Image.fromarray(np.tile(np.linspace(0, 255, 64, dtype=np.uint8), (48, 1)))
    image = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257) if mode == "I;16" else grey.convert(mode)
    picture = images.decode(encoded(image, kind))
    assert picture.mode == "RGB"
    left, right = picture.getpixel((2, 24)), picture.getpixel((61, 24))
    assert max(left) < 40
    assert min(right) > 215


@pytest.mark.parametrize("kind", [kind for kind in images.FORMATS if kind != "HEIC"])
def test_one_pixel_is_a_picture(kind):
    batch = np.asarray(images.network_input(encoded(Image.new("RGB", (1, 1), (200, 200, 200)), kind)))
    assert batch.shape == (1, 3, 224, 224)
    assert np.abs(batch - 200).max() < 10


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_comes_out_in_its_colours(kind):
    picture = images.decode(encoded(quarters().convert("CMYK"), kind, **({"quality": 95} if kind == "JPEG" else {})))
    assert close(corners(picture), [RED, GREEN, BLUE, YELLOW])


def test_a_palette_comes_out_in_its_colours():
    assert close(corners(images.decode(encoded(quarters().quantize(8), "PNG"))), [RED, GREEN, BLUE, YELLOW])


@pytest.mark.parametrize(("value", "expected"), [(0, 0), (128, 0), (129, 1), (257, 1), (32896, 128), (65535, 255)])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_grey_is_scaled_and_not_clipped(kind, value, expected):
    image = Image.fromarray(np.full((4, 4), value, np.uint16))
    assert images.decode(encoded(image, kind)).getpixel((1, 1)) == (expected,) * 3


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([-1.5, 0.0, 1.5], [0, 127, 255]),
        ([0.0, 0.25, 1.0], [0, 64, 255]),
        ([1e6, 1.5e6, 2e6], [0, 127, 255]),
        ([7, 7, 7], [0, 0, 0]),
    ],
)
def test_floats_are_stretched(values, expected):
    image = Image.fromarray(np.array([values], np.float32))
    row = np.asarray(images.decode(encoded(image, "TIFF")))[0, :, 0].astype(int)
    assert np.abs(row - expected).max() <= 1


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinite_values_are_refused_by_what_they_are(value):
    image = Image.fromarray(np.array([[0, value, 1]], np.float32))
    problem = refusal(encoded(image, "TIFF"))
    assert problem.code == "not_an_image" and "infinite" in problem.message


@pytest.mark.parametrize(
    ("values", "expected"), [([np.nan, 1, 2], [0, 0, 255]), ([1, 2, np.nan], [0, 255, 0]), ([np.nan] * 3, [0, 0, 0])]
)
def test_what_is_not_a_number_is_as_the_least(values, expected):
    image = Image.fromarray(np.array([values], np.float32))
    assert np.asarray(images.decode(encoded(image, "TIFF")))[0, :, 0].tolist() == expected


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "AVIF", "TIFF"])
def test_what_is_transparent_is_white_whatever_lies_beneath(kind):
    image = quarters().convert("RGBA")
    image.putalpha(Image.fromarray(np.repeat(np.uint8([[0, 255]]), 48, 1).repeat(64, 0)))
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {"quality": 95} if kind == "AVIF" else {}
    picture = images.decode(encoded(image, kind, **options))
    assert close(corners(picture), [(255,) * 3, GREEN, (255,) * 3, YELLOW])


def test_half_transparent_is_half_white():
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 128))
    assert close([images.decode(encoded(image, "PNG")).getpixel((4, 4))], [(127, 127, 127)], 1)


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_transparent_colour_of_a_palette_is_white(kind):
    image = quarters().quantize(8)
    picture = images.decode(encoded(image, kind, transparency=image.getpixel((1, 1))))
    assert close(corners(picture), [(255,) * 3, GREEN, BLUE, YELLOW])


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "AVIF", "TIFF"])
def test_the_first_frame_counts(kind):
    frames = [Image.new("RGB", (32, 32), colour) for colour in (RED, BLUE, GREEN)]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    assert close([images.decode(data).getpixel((16, 16))], [RED])


def test_a_file_of_several_photographs_is_a_jpeg():
    """Phones write MPO: a JPEG with further JPEGs behind it."""
    data = encoded(quarters(), "MPO", save_all=True, append_images=[quarters(48, 32)], quality=95)
    assert close(corners(images.decode(data)), [RED, GREEN, BLUE, YELLOW])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "AVIF"])
@pytest.mark.parametrize(
    ("orientation", "stored"),
    [
        (1, None),
        (2, Image.Transpose.FLIP_LEFT_RIGHT),
        (3, Image.Transpose.ROTATE_180),
        (4, Image.Transpose.FLIP_TOP_BOTTOM),
        (5, Image.Transpose.TRANSPOSE),
        (6, Image.Transpose.ROTATE_90),
        (7, Image.Transpose.TRANSVERSE),
        (8, Image.Transpose.ROTATE_270),
    ],
)
def test_the_exif_orientation_is_applied(kind, orientation, stored):
    image = quarters() if stored is None else quarters().transpose(stored)
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = images.decode(encoded(image, kind, exif=exif))
    assert picture.size == (96, 64)
    assert close(corners(picture), [RED, GREEN, BLUE, YELLOW], 20)


def test_damaged_exif_is_no_reason_to_refuse_a_picture():
    data = encoded(quarters(), "JPEG", quality=95)
    exif = b"Exif\0\0MM\0*\xff\xff\xff\xf0" + b"\xff" * 20
    data = data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:]
    assert close(corners(images.decode(data)), [RED, GREEN, BLUE, YELLOW])


# --- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"GIF",
        b"BM",
        b"BMX is a bicycle, and this is a text about it",
        b"<!DOCTYPE html><html><body>404</body></html>",
        b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b'{"error": "not found"}',
        b"RIFF\x24\0\0\0WAVEfmt ",
        b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom",
        b"P6 1 1 255 abc",
        b"\x00\x00\x01\x00\x01\x00",
        bytes(range(256)) * 10,
    ],
    ids=lambda data: repr(data[:12]),
)
def test_what_is_not_an_image_is_415(data):
    problem = refusal(data)
    assert (problem.code, problem.status) == ("not_an_image", 415)
    assert "JPEG" in problem.message


@pytest.mark.parametrize("kind", ["PPM", "ICO", "TGA", "PCX", "JPEG2000", "DDS", "SGI", "EPS", "PDF", "ICNS", "QOI"])
def test_formats_that_pillow_knows_and_the_contract_does_not_are_415(kind):
    assert refusal(encoded(quarters(64, 64), kind)).code == "not_an_image"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("part", [0.05, 0.1, 0.4])
def test_an_image_of_which_less_than_half_came_is_422(kind, part):
    data = encoded(photo(200, 150), kind, **({"interlace": 0} if kind == "GIF" else {}))
    problem = refusal(data[: int(len(data) * part)])
    assert (problem.code, problem.status) == ("image_broken", 422)
    assert "truncated or damaged" in problem.message


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8\xff\xe0",
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a",
        b"II*\0\x08\0\0\0",
        b"RIFF\x24\0\0\0WEBPVP8 ",
        b"\0\0\0\x1cftypavif",
        b"BM\xff\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0",
    ],
)
def test_a_signature_alone_is_422(data):
    assert refusal(data).code == "image_broken"


def png(width: int, height: int, data: bytes = b"") -> bytes:
    """A PNG whose header claims a size."""
    return header(width, height) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND")


@pytest.mark.parametrize(
    ("width", "height"),
    [(8192, 6145), (7100, 7100), (14000, 14000), (65535, 65535), (2**31 - 1, 2**31 - 1), (2**31 - 1, 1)],
)
def test_too_many_pixels_are_413_before_any_is_decoded(width, height):
    problem = refusal(png(width, height))
    assert (problem.code, problem.status) == ("image_too_large", 413)


def test_a_decompression_bomb_in_pixels_is_413():
    assert refusal(encoded(Image.new("1", (9000, 9000)), "PNG")).code == "image_too_large"


def test_as_many_pixels_as_the_cap_are_decoded():
    data = encoded(quarters(20, 10), "PNG")
    assert images.decode(data, max_pixels=200).size == (20, 10)
    assert refusal(data, max_pixels=199).code == "image_too_large"


@pytest.mark.parametrize("place", ["open", "load"])
def test_a_lack_of_memory_is_413(monkeypatch, place):
    def lacking(*_arguments, **_options):
        raise MemoryError

    data = encoded(quarters(), "PNG")
    monkeypatch.setattr(images.Image if place == "open" else PngImagePlugin.PngImageFile, place, lacking)
    problem = refusal(data)
    assert (problem.code, problem.status) == ("image_too_large", 413)


SEEDS = [
    encoded(quarters(24, 16), kind, **options)
    for kind, options in [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("AVIF", {}),
        ("GIF", {}),
        ("BMP", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
    ]
]


@pytest.mark.slow
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(SEEDS), st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=8)), max_size=6))
def test_damaged_bytes_decode_or_are_refused_by_the_contract(data, damages):
    damaged = bytearray(data)
    for place, content in damages:
        start = int(place * len(damaged))
        damaged[start : start + len(content)] = content
    try:
        picture = images.decode(bytes(damaged), max_pixels=1_000_000)
    except PredictionError as problem:
        assert problem.status in (413, 415, 422)
    else:
        assert picture.mode == "RGB"


# --- prepare ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(224, 224), (1, 1), (1, 3000), (3000, 1), (223, 225), (500, 375), (2048, 1536)])
def test_the_network_gets_planes_of_one_size(size):
    batch = np.asarray(images.prepare(Image.new("RGB", size, (255, 128, 0))))
    assert (batch.shape, batch.dtype) == ((1, 3, 224, 224), np.uint8)
    assert [batch[0, plane].min() for plane in range(3)] == [255, 128, 0]
    assert [batch[0, plane].max() for plane in range(3)] == [255, 128, 0]


def test_a_picture_of_the_networks_size_is_left_as_it_is():
    picture = photo(224, 224)
    batch = np.asarray(images.prepare(picture))
    assert (batch[0].transpose(1, 2, 0) == np.asarray(picture)).all()


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK"])
def test_a_picture_that_is_not_rgb_is_refused(mode):
    with pytest.raises(ValueError, match=mode):
        images.prepare(Image.new(mode, (8, 8)))


@pytest.mark.parametrize("size", [(300, 280), (640, 480), (1920, 1080), (96, 64)])
def test_preparing_agrees_with_opencv_on_smooth_pictures(size):
    """The original lab prepared with cv2.resize; where that does not alias, both see the same."""
    picture = photo(*size)
    ours = np.asarray(images.prepare(picture), np.float32)[0].transpose(1, 2, 0)
    theirs = cv2.resize(np.asarray(picture), (224, 224)).astype(np.float32)
    assert np.abs(ours - theirs).mean() < 1.0


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_preparing_agrees_with_opencv_on_the_samples(sample):
    picture = images.decode(sample.read_bytes())
    ours = np.asarray(images.prepare(picture), np.float32)[0].transpose(1, 2, 0)
    theirs = cv2.cvtColor(cv2.resize(cv2.imread(str(sample)), (224, 224)), cv2.COLOR_BGR2RGB).astype(np.float32)
    assert np.abs(ours - theirs).mean() < 8


@pytest.mark.parametrize("size", [(1, 1), (3, 700), (300, 200), (500, 375), (3583, 50), (4001, 1499), (8000, 224)])
def test_preparing_is_pillows_bicubic_but_for_rounding(size):
    """Also where whole blocks are averaged first, whose last one is not full."""
    picture = Image.open(ROOT / "notebooks" / "samples" / "church.jpg").convert("RGB").resize(size)
    ours = np.asarray(images.prepare(picture), np.float32)[0].transpose(1, 2, 0)
    theirs = np.asarray(picture.resize((224, 224), Image.Resampling.BICUBIC)).astype(np.float32)
    assert np.abs(ours - theirs).mean() < 0.5
    assert np.abs(ours - theirs).max() < 10


@pytest.mark.parametrize(
    ("size", "drafted"), [((1800, 900), (900, 450)), ((890, 890), (890, 890)), ((3600, 3600), (450, 450))]
)
@pytest.mark.slow
def test_enough_lets_a_jpeg_come_smaller(size, drafted):
    data = encoded(photo(*size), "JPEG", quality=90)
    assert images.decode(data).size == size
    assert images.decode(data, enough=448).size == drafted
    batches = images.network_input(data), images.prepare(images.decode(data))
    ours, whole = (np.asarray(batch, np.float32) for batch in batches)
    assert np.abs(ours - whole).mean() < 1.5


def test_enough_keeps_the_orientation():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(quarters(2000, 1000).transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif, quality=95)
    picture = images.decode(data, enough=448)
    assert picture.size == (1000, 500)
    assert close(corners(picture), [RED, GREEN, BLUE, YELLOW])


@pytest.mark.parametrize("make", [images.decode, images.network_input])
def test_decoding_says_nothing(make: Callable, recwarn, capfd):
    """Pillow warns of odd metadata and of large pictures; the log has one line per request, and these are not it."""
    make(encoded(quarters(), "TIFF", tiffinfo={270: "x" * 70000}))
    with pytest.raises(PredictionError):
        make(png(12000, 12000))
    assert not recwarn.list
    assert capfd.readouterr() == ("", "")
