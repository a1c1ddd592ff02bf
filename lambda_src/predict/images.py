"""From a stranger's bytes to the network's input: decode with Pillow, then resize with a library of SIMD code.

Pillow is given an explicit list of formats, and the size is checked from the header before any pixel is decoded.
"""

import contextlib
import io
import math
import struct
import warnings

from cykooz_resizer import CropBox, FilterType, ResizeAlg, ResizeOptions, Resizer
from PIL import Image, ImageOps

# Importing a plugin registers it. Image.open would otherwise import all of Pillow's plugins to look for AVIF.
from PIL import (  # noqa: F401  isort: skip
    AvifImagePlugin, BmpImagePlugin, GifImagePlugin, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin,
)

from .errors import error

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF")
MAX_PIXELS = 8192 * 6144  # 50.3 million: the largest sensors that phones save at full size (8160 x 6120)
INPUT_SIZE = 224
_BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)  # lengths of the second header of the versions that exist
_WHITE = (255, 255, 255)
# The filter that Pillow calls bicubic, widened as Pillow does to the area that an output pixel covers. With it the
# predictions differ least from those after cv2.resize's bilinear default, and from those of the undisturbed picture;
# bilinear blurs. Pillow's own resize takes five times as long (benchmarks/README.md).
_FILTER = ResizeAlg.convolution(FilterType.catmull_rom)
_REDUCED_FROM = 16 * INPUT_SIZE  # pixels of a side from which averaging whole blocks first is quicker


def decode(data: bytes, max_pixels: int = MAX_PIXELS, enough: int | None = None) -> Image.Image:
    """Decode an image file: its first frame, upright, in colour.

    `data`: a JPEG, PNG, WebP, AVIF, GIF, BMP or TIFF file. Returns a Pillow image of mode RGB with at most `max_pixels`
    pixels; `numpy.asarray` makes uint8 (H, W, 3) of it. With `enough`, a JPEG may come at a half, a quarter or an
    eighth of its size as long as no side is shorter than `enough` pixels: libjpeg decodes such sizes far faster.

    - The EXIF orientation is applied.
    - Transparent pixels are laid over white, as on a web page or a sheet of paper: cut-out pictures are made for that,
      and what a file keeps under its transparent pixels is arbitrary.
    - 16-bit grey is scaled to 8 bits (65535 becomes 255); 32-bit integers and floats, whose range no standard fixes,
      are stretched from their least to their greatest value.
    - CMYK, palettes and YCbCr become RGB; embedded colour profiles are not applied, as OpenCV does not either.

    Raises PredictionError: 415 `not_an_image`, 413 `image_too_large` by its pixels, 422 `image_broken`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about odd metadata, and sizes that are checked below
        image = _open(data)
        with image:
            width, height = image.size
            if width * height > max_pixels:
                raise error(
                    "image_too_large", f"the image has {width} x {height} pixels; at most {max_pixels} are decoded"
                )
            try:
                if enough:
                    image.draft(None, (enough, enough))
                image.load()
                return _to_rgb(_upright(image))
            except MemoryError:
                raise error("image_too_large", "the image needs more memory to decode than there is") from None
            # Pillow's decoders raise almost any built-in exception on bytes that were damaged with care.
            except Exception as problem:
                raise error(
                    "image_broken",
                    f"the file starts as {image.format or 'an image'} but does not decode: it is truncated or damaged",
                    f"{type(problem).__name__}: {problem}",
                ) from None


def _open(data: bytes) -> Image.Image:
    """Read the header. Raises PredictionError 415, 413 or 422."""
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError:
        raise error("image_too_large", f"the image has far more than {MAX_PIXELS} pixels") from None
    except MemoryError:
        raise error("image_too_large", "the image needs more memory to decode than there is") from None
    except Exception as problem:
        found = _signature(data)
        if found:
            raise error(
                "image_broken",
                f"the file starts as {found} but its header does not decode: it is truncated or damaged",
                f"{type(problem).__name__}: {problem}",
            ) from None
        raise error(
            "not_an_image", f"the {len(data)} bytes are not an image of a supported format ({', '.join(FORMATS)})"
        ) from None


def _signature(data: bytes) -> str | None:
    """The supported format whose signature `data` starts with, if any."""
    head = data[:18]
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "TIFF"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:12] in (b"ftypavif", b"ftypavis"):
        return "AVIF"
    # "BM" alone begins many a text; the length of the second header tells.
    if head.startswith(b"BM") and len(head) == 18 and struct.unpack_from("<I", head, 14)[0] in _BMP_HEADERS:
        return "BMP"
    return None


def _upright(image: Image.Image) -> Image.Image:
    with contextlib.suppress(Exception):  # damaged metadata is no reason to refuse a picture that decodes
        ImageOps.exif_transpose(image, in_place=True)
    return image


def _to_rgb(image: Image.Image) -> Image.Image:
    """Any mode of Pillow's to RGB."""
    mode = image.mode
    if mode.startswith("I;16"):
        # Pillow looks 32-bit integers up in a table of 65,536 entries: no other way of its own rounds as it should.
        return image.convert("I").point([(value * 255 + 32767) // 65535 for value in range(65536)], "L").convert("RGB")
    if mode in ("I", "F"):
        return _stretched(image).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        page = Image.new("RGB", image.size, _WHITE)
        page.paste(image, mask=image.getchannel("A"))
        return page
    return image if mode == "RGB" else image.convert("RGB")


def _stretched(image: Image.Image) -> Image.Image:
    """32-bit integers or floats to mode L: the least value 0, the greatest 255, all equal 0."""
    low, high = image.convert("F").getextrema()
    if not math.isfinite(low) or not math.isfinite(high):
        raise ValueError("the image has values that are not finite")
    scale = 255 / ((high - low) or 1.0)
    return image.convert("F").point(lambda value: value * scale + (0.5 - low * scale)).convert("L")


def network_input(data: bytes) -> memoryview:
    """An image file as the network's input, as the endpoint makes it: `decode`, at least twice `prepare`'s size, and
    `prepare`. Returns uint8 (1, 3, 224, 224); raises what `decode` does.
    """
    return prepare(decode(data, enough=2 * INPUT_SIZE))


def prepare(picture: Image.Image) -> memoryview:
    """Make the network's input of a picture.

    `picture`: a Pillow image of mode RGB, any size from 1 x 1. Returns uint8 (1, 3, 224, 224), RGB, as a
    memoryview (`numpy.asarray` takes it as it is): squashed to the square without regard to the picture's proportions,
    as the original lab's cv2.resize(image, (224, 224)) did. Raises ValueError for another mode.
    """
    if picture.mode != "RGB":
        raise ValueError(f"expected a picture of mode RGB, got {picture.mode}")
    factors = tuple(max(1, 2 * side // _REDUCED_FROM) for side in picture.size)
    box = CropBox(0, 0, *(side / factor for side, factor in zip(picture.size, factors, strict=True)))
    if factors != (1, 1):
        picture = picture.reduce(factors)
    square = Image.new("RGB", (INPUT_SIZE, INPUT_SIZE))
    Resizer().resize_pil(picture, square, ResizeOptions(_FILTER, crop_box=box))
    planes = b"".join(square.tobytes("raw", channel) for channel in "RGB")
    return memoryview(planes).cast("B", (1, 3, INPUT_SIZE, INPUT_SIZE))
