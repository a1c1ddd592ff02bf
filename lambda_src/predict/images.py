"""From a stranger's bytes to the network's input: decode with Pillow, then resize (`resizing`).

A file's first bytes say which format's module reads it (jpeg.py, png.py, …), and the size is checked from the header
before any pixel is decoded. The judge of how a picture looks is what browsers show.
"""

import importlib
import math
import warnings
from typing import NamedTuple, cast

from PIL import Image, ImageMath

from . import fitting, jpeg, resizing, signatures
from .errors import NO_MEMORY, PredictionError, failure
from .fitting import Fitting
from .picture import WHITE, Picture, Unsupported, grey_of_16_bits

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "HEIC", "GIF", "BMP", "TIFF")
MAX_PIXELS = 8192 * 6144  # 50.3 million: the largest sensors that phones save at full size (8160 x 6120)
INPUT_SIZE = fitting.DEFAULT.size
ENOUGH = fitting.DEFAULT.enough  # pixels of a side that the usual input is made of without loss
_TURNS = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
          5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
          8: Image.Transpose.ROTATE_90}  # fmt: skip
_REDUCED_FROM = 16  # pixels for each of the input's from which averaging whole blocks first is quicker


class Decoded(NamedTuple):
    """A picture, and what is to be said of it.

    `image`: of mode RGB, upright. `partial`: whether the file lacks something of it. `notes`: sentences for the client.
    """

    image: Image.Image
    partial: bool = False
    notes: tuple[str, ...] = ()


def decode(data: bytes, max_pixels: int = MAX_PIXELS, enough: int | None = None) -> Image.Image:
    """Decode an image file: its first frame, upright, in colour. `read` says besides whether all of it came.

    `data`: a JPEG, PNG, WebP, AVIF, HEIC, GIF, BMP or TIFF file. Returns a Pillow image of mode RGB with at most
    `max_pixels` pixels; `numpy.asarray` makes uint8 (H, W, 3) of it. With `enough`, a JPEG may come at a half, a
    quarter or an eighth of its size as long as no side is shorter than `enough` pixels: libjpeg decodes such sizes far
    faster.

    - The orientation is applied as browsers do: EXIF's of JPEG, PNG and TIFF; AVIF's and HEIC's own; none of WebP, and
      none that XMP alone has.
    - Transparent pixels are laid over white, as on a web page or a sheet of paper: cut-out pictures are made for that,
      and what a file keeps under its transparent pixels is arbitrary. So is what lies around a frame that is smaller
      than its screen. A BMP all of whose alpha is 0 is opaque: programs that know no alpha leave it so.
    - A file whose end is missing or damaged is decoded as far as it goes when at least half of its rows came, as
      browsers do; the other rows are white. With less, what the picture shows is a guess, and it is refused. Every row
      counts that says something: a progressive JPEG or an interlaced PNG or GIF has all of them, coarsely, early on.
    - 16-bit grey is scaled to 8 bits (65535 becomes 255); 32-bit integers and floats, whose range no standard fixes,
      are stretched from their least to their greatest value, and NaN (no data) is as the least.
    - CMYK, palettes and YCbCr become RGB; embedded colour profiles are not applied, as OpenCV does not either.

    Raises PredictionError: 415 `not_an_image`, 413 `image_too_large` by its pixels, 422 `image_broken`.
    """
    return read(data, max_pixels, enough).image


def read(data: bytes, max_pixels: int = MAX_PIXELS, enough: int | None = None) -> Decoded:
    """`decode`, and whether all of the picture came. Raises what `decode` does."""
    kind = signatures.format_of(data)
    if kind is None:
        raise failure("not_an_image", _unknown(data))

    def cap(width: int, height: int) -> None:
        if width * height > max_pixels:
            raise failure(
                "image_too_large",
                f"the image has {width} x {height} pixels, and at most {max_pixels} are decoded: send a smaller image",
            )

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about odd metadata, and sizes that are checked
        try:
            if kind == "JPEG":
                return _finished(jpeg.read(data, cap, enough))
            # The others' modules, and Pillow's behind them, are imported when the first of their files comes: all of
            # them take as long as everything that a JPEG needs.
            return _finished(importlib.import_module(f".{kind.lower()}", __package__).read(data, cap))
        except PredictionError:
            raise
        except Image.DecompressionBombError:
            raise failure(
                "image_too_large", f"the image has far more than {MAX_PIXELS} pixels: send a smaller image"
            ) from None
        except MemoryError:
            raise failure("image_too_large", NO_MEMORY) from None
        except Unsupported as problem:
            raise failure("not_an_image", str(problem)) from None
        # Pillow's decoders raise almost any built-in exception on bytes that were damaged with care.
        except Exception as problem:
            raise failure(
                "image_broken",
                f"the file starts as {kind} and does not decode: it is truncated or damaged, so save it again",
                f"{type(problem).__name__}: {problem}",
            ) from None


def _unknown(data: bytes) -> str:
    """The message about bytes that are of none of the formats."""
    name = signatures.name_of(data)
    if not name and (description := signatures.known_to_pillow(data)):
        name = f"of another format ({description}): save it as a JPEG or PNG"
    if name:
        return f"the {len(data)} bytes are {name}. Supported formats: {', '.join(FORMATS)}"
    if not data:
        return f"the image is empty: check that its file or its URL holds one. Supported formats: {', '.join(FORMATS)}"
    return f"the {len(data)} bytes are not an image of a supported format: send one of {', '.join(FORMATS)}"


def _finished(picture: Picture) -> Decoded:
    """Whether enough came, and the picture in RGB and upright. Raises PredictionError 422."""
    notes, height = picture.notes, picture.image.height
    if picture.came is not None:
        if 2 * picture.came < height:
            raise failure(
                "image_broken",
                "the file is truncated or damaged, and less than half of the image's rows came: send the whole file",
                f"{picture.came} of {height} rows came",
            )
        share = min(99, 100 * picture.came // height)
        notes += (
            f"the file is truncated or damaged: {share} % of the image's rows came, and the others are white"
            if picture.missing
            else "the file is truncated or damaged: the image came, but not all of its detail",
        )
    image = _to_rgb(picture.image)
    if picture.missing:
        image.paste(WHITE, (0, picture.missing[0], image.width, picture.missing[1]))
    if picture.orientation in _TURNS:
        image = image.transpose(_TURNS[picture.orientation])
    return Decoded(image, picture.came is not None, notes)


def _to_rgb(image: Image.Image) -> Image.Image:
    """Any mode of Pillow's to RGB."""
    mode = image.mode
    if mode.startswith("I;16"):
        return grey_of_16_bits(image).convert("RGB")
    if mode in ("I", "F"):
        return _stretched(image.convert("F")).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        page = Image.new("RGB", image.size, WHITE)
        page.paste(image, mask=image.getchannel("A"))
        return page
    return image if mode == "RGB" else image.convert("RGB")


def _stretched(image: Image.Image) -> Image.Image:
    """Floats to mode L: the least value 0, the greatest 255, all equal 0; what is not a number 0, too."""
    numbers = ImageMath.lambda_eval(lambda names: names["image"] == names["image"], image=image)
    if numbers.getextrema()[0] == 0:
        image = _without_nan(image)
    low, high = cast(tuple[float, float], image.getextrema())  # of one band
    if abs(low) == float("inf") or abs(high) == float("inf"):
        raise Unsupported("the image has values that are infinite: save it with 8 bits per value, or as a PNG")
    scale = 255 / ((high - low) or 1.0)
    return image.point(lambda value: value * scale + (0.5 - low * scale)).convert("L")


def _without_nan(image: Image.Image) -> Image.Image:
    """Floats with their least value for what is not a number."""
    most = float.fromhex("0x1.fffffep127")  # a comparison with NaN is false: min and max take the other
    low = ImageMath.lambda_eval(lambda names: names["min"](names["image"], most), image=image).getextrema()[0]
    return ImageMath.lambda_eval(lambda names: names["max"](names["image"], low), image=image)


def network_input(data: bytes, fitting: Fitting = fitting.DEFAULT) -> memoryview:
    """An image file as the network's input, as the endpoint makes it: `decode`, at least `fitting.enough` pixels a
    side, and `prepare`. Returns uint8 (1, 3, size, size); raises what `decode` does.
    """
    return prepare(decode(data, enough=fitting.enough), fitting)


def prepare(picture: Image.Image, fitting: Fitting = fitting.DEFAULT) -> memoryview:
    """Make the network's input of a picture.

    `picture`: a Pillow image of mode RGB, any size from 1 x 1. Returns uint8 (1, 3, size, size), RGB, as a memoryview
    (`numpy.asarray` takes it as it is). By default the picture is squashed to the square without regard to its
    proportions, as the original lab's cv2.resize(image, (224, 224)) did; with a fraction, its middle square is taken.
    Raises ValueError for another mode.
    """
    if picture.mode != "RGB":
        raise ValueError(f"expected an image of mode RGB, got {picture.mode}")
    size = fitting.size
    left, top, width, height = fitting.box(*picture.size)
    across, down = (max(1, 2 * int(side) // (_REDUCED_FROM * size)) for side in (width, height))
    if (across, down) != (1, 1):
        first, above = int(left), int(top)
        picture = picture.reduce((across, down), (first, above, math.ceil(left + width), math.ceil(top + height)))
        left, top = left - first, top - above
    square = resizing.square(picture, size, (left / across, top / down, width / across, height / down))
    planes = b"".join(square.tobytes("raw", channel) for channel in "RGB")
    return memoryview(planes).cast("B", (1, 3, size, size))
