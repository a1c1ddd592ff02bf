"""Pictures as a browser shows them: the judge of what `images.decode` makes of a file."""

import struct

import numpy as np
import pytest
from PIL import Image

from tests import corpus, made
from tests.made import RED, chunk, encoded, photo, quarters
from tests.unit import test_odd_images as odd
from tests.unit.test_odd_images import APP1


@pytest.fixture(scope="module")
def page(chromium):
    context = chromium.new_context()
    yield context.new_page()
    context.close()


HALF = np.repeat(np.uint8([[255, 0]]), 48, 1).repeat(64, 0)


def _alpha(alpha: Image.Image | None = None) -> Image.Image:
    image = quarters().convert("RGBA")
    image.putalpha(alpha or Image.linear_gradient("L").resize(image.size))
    return image


# Clear or not and nothing between: Chromium takes the alpha that libavif writes for one of a limited range.
_AVIF = encoded(_alpha(Image.fromarray(HALF)), "AVIF", quality=95)
_WHOLE = {
    "JPEG": encoded(photo(), "JPEG"),
    "JPEG progressive": encoded(photo(), "JPEG", progressive=True),
    "JPEG grey": encoded(photo().convert("L"), "JPEG"),
    "JPEG CMYK": encoded(quarters().convert("CMYK"), "JPEG", quality=95),
    "JPEG of several": encoded(quarters(), "MPO", save_all=True, append_images=[quarters(48, 32)], quality=95),
    "PNG": encoded(photo(), "PNG"),
    "PNG alpha": encoded(_alpha(), "PNG"),
    "PNG 16-bit grey": encoded(Image.fromarray(np.asarray(photo().convert("L")).astype(np.uint16) * 257), "PNG"),
    "PNG interlaced": made.interlaced_png(photo()),
    "PNG clear colour": made.png(quarters(), chunk(b"tRNS", struct.pack(">3H", *RED))),
    "PNG animated": made.apng(quarters()),
    "PNG animated, small": made.apng(Image.new("RGB", (48, 32), RED), 48, 32),
    "WebP": encoded(photo(), "WEBP"),
    "WebP lossless": encoded(photo(), "WEBP", lossless=True),
    "WebP alpha": encoded(_alpha(), "WEBP", lossless=True, exact=True),
    "WebP animated, small": made.webp(
        96, 64, 2, made.riff_chunk(b"ANIM", b"\xff\0\0\xff\0\0"),
        made.webp_frame(Image.new("RGB", (48, 32), RED), 48, 32), made.webp_frame(quarters(), 0, 0)),
    "AVIF": encoded(photo(), "AVIF", quality=90),
    "AVIF alpha": _AVIF,
    "AVIF in two boxes": made.with_two_associations(_AVIF),
    "GIF": encoded(photo().quantize(64), "GIF"),
    "GIF smaller than its screen": made.gif((192, 128), quarters(), 48, 32),
    "GIF larger than its screen": made.gif((50, 40), quarters()),
    "GIF beyond its screen": made.gif((96, 64), quarters(), 48, 32),
    "BMP": encoded(photo(), "BMP"),
    "BMP palette": encoded(photo().quantize(64), "BMP"),
    "BMP runs": made.bmp((96, 64), 8, odd._runs(8), 1, palette=odd._PALETTE),
    "BMP 4-4-4": made.bmp((96, 64), 16, made.fields(quarters(), odd._444, 16), 3, odd._444),
    "BMP 10-10-10": made.bmp((96, 64), 32, made.fields(quarters(), odd._TEN, 32), 3, odd._TEN),
    "BMP alpha": made.bmp((96, 64), 32, made.fields(quarters(), (*odd._BGR, 0xFF000000), 32, HALF), 3,
                          (*odd._BGR, 0xFF000000), 124),
    "BMP alpha, no fields": made.bmp((96, 64), 32, made.fields(quarters(), (*odd._BGR, 0xFF000000), 32, HALF), 0,
                                     (*odd._BGR, 0xFF000000), 124),
}  # fmt: skip
_TURNED = {
    **{f"JPEG, EXIF {name}": made.jpeg(quarters(), made.segment(0xE1, content))
       for name, (content, _turned) in odd.JPEG_ORIENTATIONS.items()},
    **{f"JPEG {number}": made.jpeg(quarters(), made.segment(0xE1, APP1 + made.exif(number))) for number in range(1, 9)},
    "PNG before": made.png(quarters(), chunk(b"eXIf", made.exif(6))),
    "PNG after": made.png(quarters(), b"", chunk(b"eXIf", made.exif(6))),
    "PNG wrong": made.png(quarters(), chunk(b"eXIf", made.exif(6), checksum=3)),
    "WebP": made.webp(96, 64, 8, encoded(quarters(), "WEBP", lossless=True)[12:],
                      made.riff_chunk(b"EXIF", made.exif(6))),
    **{f"AVIF {number}": encoded(quarters(), "AVIF", quality=95, exif=made.exif(number))
       for number in range(1, 9)},
}  # fmt: skip
# Chromium shows nothing of a WebP or an AVIF that is cut.
_CUT = [name for name in odd.ROW_BY_ROW if name[:4] not in ("TIFF", "WEBP")]


@pytest.mark.parametrize("name", _WHOLE)
def test_a_file_looks_as_in_a_browser(page, name):
    seen = corpus.look(page, _WHOLE[name])
    assert seen.shown and seen.difference is not None, seen
    assert seen.difference < 3 and not seen.differs


@pytest.mark.parametrize("name", _TURNED)
def test_a_picture_is_turned_as_in_a_browser(page, name):
    seen = corpus.look(page, _TURNED[name])
    assert seen.difference is not None and seen.difference < 5, seen


@pytest.mark.parametrize("name", [name for name in odd.ODD_CHUNKS if name != "fcTL short"])  # which Chromium refuses
def test_odd_chunks_are_no_reason_to_refuse_a_picture_in_a_browser_either(page, name):
    seen = corpus.look(page, made.png(quarters(), odd.ODD_CHUNKS[name]))
    assert seen.difference == 0, seen


@pytest.mark.parametrize("name", odd.ODD_SEGMENTS)
def test_odd_segments_are_no_reason_to_refuse_a_picture_in_a_browser_either(page, name):
    seen = corpus.look(page, made.jpeg(quarters(), odd.ODD_SEGMENTS[name]))
    assert seen.difference is not None and seen.difference < 2, seen


@pytest.mark.parametrize("name", _CUT)
def test_a_cut_file_looks_as_in_a_browser(page, name):
    data = odd.row_by_row(name)
    seen = corpus.look(page, data[: int(len(data) * 0.8)])
    assert seen.difference is not None and seen.difference < 8, seen  # a row of blocks more or less


@pytest.mark.parametrize("share", [0.3, 0.7])
@pytest.mark.parametrize("name", ["JPEG progressive", "PNG interlaced", "GIF"])
def test_a_cut_file_that_comes_coarsely_first_looks_as_in_a_browser(page, name, share):
    seen = corpus.look(page, _WHOLE[name][: int(len(_WHOLE[name]) * share)])
    assert seen.difference is not None and seen.difference < 4, seen


def test_the_corpus_says_where_the_two_differ(page, tmp_path, capsys, monkeypatch):
    (tmp_path / "sub").mkdir()
    files = {"good.png": encoded(quarters(), "PNG"), "text.jpg": b"no picture",
             "page.tiff": encoded(quarters(), "TIFF"), "sub/cut.webp": odd.row_by_row("WEBP")[:-1]}  # fmt: skip
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    monkeypatch.setattr(corpus, "browser", lambda: _given(page))
    corpus.main([str(tmp_path)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("page.tiff: here 96 x 64; the browser shows nothing")
    assert lines[-1].startswith("4 files: ") and not any("good.png" in line or "text.jpg" in line for line in lines)
    with pytest.raises(SystemExit, match="no files"):
        corpus.main([str(tmp_path / "none")])


class _given:
    def __init__(self, page):
        self._page = page

    def __enter__(self):
        return self._page

    def __exit__(self, *_):
        pass
