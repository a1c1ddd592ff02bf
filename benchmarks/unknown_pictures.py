"""Pictures that show none of the classes: drawn here by kinds, or taken from folders, one folder for each kind."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIDE = 224
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
_LETTERS = list("abcdefghijklmnoprstuvw")


def _noise(rng: np.random.Generator, number: int) -> Image.Image:
    side = SIDE // 2 ** (number % 6) + 1
    values = rng.integers(0, 256, (side, side, 3), np.uint8)
    filters = (Image.Resampling.NEAREST, Image.Resampling.BICUBIC)
    return Image.fromarray(values).resize((SIDE, SIDE), filters[number % 2])


def _clouds(rng: np.random.Generator, number: int) -> Image.Image:
    """Noise whose spectrum falls as that of photographs does, in colours that go together."""
    frequencies = np.fft.fftfreq(SIDE, 1.0)
    distance = np.hypot(frequencies[:, None], frequencies)
    distance[0, 0] = 1
    falling = distance ** (0.6, 1.0, 1.4, 1.8)[number % 4]
    planes = [np.fft.ifft2(np.fft.fft2(rng.normal(size=(SIDE, SIDE))) / falling).real for _ in range(3)]
    mixed = np.stack([plane / plane.std() for plane in planes], -1) @ (np.eye(3) / 2 + 0.5)
    return Image.fromarray(np.clip(128 + 50 * mixed / mixed.std(), 0, 255).astype(np.uint8))


def _stripes(rng: np.random.Generator, number: int) -> Image.Image:
    angle, period = rng.uniform(0, np.pi), rng.uniform(4, 60)
    y, x = np.mgrid[:SIDE, :SIDE] * 2 * np.pi / period
    value = np.sin(x * np.cos(angle) + y * np.sin(angle))
    if number % 2:
        value = value * np.sin(y * np.cos(angle) - x * np.sin(angle))
    return _between(rng, (np.sign(value) if number % 3 else value) / 2 + 0.5)


def _plain(rng: np.random.Generator, number: int) -> Image.Image:
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    return _between(rng, (0 * x, x, y, (x + y) / 2, np.hypot(x - 0.5, y - 0.5))[number % 5])


def _between(rng: np.random.Generator, share: np.ndarray) -> Image.Image:
    """Two colours, mixed by share (0 to 1)."""
    one, other = rng.integers(0, 256, (2, 3))
    return Image.fromarray((one + (other - one) * share[..., None]).astype(np.uint8))


def _shapes(rng: np.random.Generator, number: int) -> Image.Image:
    def colour() -> tuple[int, ...]:
        return tuple(map(int, rng.integers(0, 256, 3)))

    picture = Image.new("RGB", (SIDE, SIDE), colour())
    draw = ImageDraw.Draw(picture)
    for _ in range(1 + number % 24):
        left, top, width, height = (int(value) for value in rng.integers((-20, -20, 10, 10), (SIDE, SIDE, 120, 120)))
        corners = [tuple(map(int, point)) for point in rng.integers(0, SIDE, (5, 2))]
        box = (left, top, left + width, top + height)
        (
            lambda box=box: draw.ellipse(box, fill=colour()),
            lambda box=box: draw.rectangle(box, fill=colour()),
            lambda corners=corners: draw.polygon(corners[:3], fill=colour()),
            lambda corners=corners: draw.line(corners, fill=colour(), width=3),
        )[rng.integers(4)]()
    return picture


def _page(rng: np.random.Generator, number: int) -> Image.Image:
    is_dark, size = number % 4 == 0, int(rng.integers(9, 30))
    picture = Image.new("RGB", (2 * SIDE, 2 * SIDE), "black" if is_dark else "white")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(size)
    for top in range(10, 2 * SIDE, int(1.4 * size)):
        words = ["".join(rng.choice(_LETTERS, int(rng.integers(2, 10)))) for _ in range(12)]
        draw.text((12, top), " ".join(words), fill="white" if is_dark else "black", font=font)
    return picture


def _plot(rng: np.random.Generator, number: int) -> Image.Image:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3, 3), dpi=80)
    axes = figure.subplots()
    (
        lambda: axes.plot(np.cumsum(rng.normal(size=(60, 4)), axis=0)),
        lambda: axes.bar(range(8), rng.uniform(size=8)),
        lambda: axes.scatter(rng.normal(size=200), rng.normal(size=200), c=rng.uniform(size=200)),
        lambda: axes.imshow(rng.normal(size=(12, 12))),
        lambda: axes.pie(rng.uniform(0.1, 1, 5)),
        lambda: axes.hist(rng.normal(size=500), 30),
    )[number % 6]()
    axes.set_title(f"figure {number}")
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return Image.open(file).convert("RGB")


DRAWN: dict[str, Callable[[np.random.Generator, int], Image.Image]] = {
    "drawn noise": _noise, "drawn clouds": _clouds, "drawn stripes": _stripes, "drawn shapes": _shapes,
    "drawn pages": _page, "drawn plots": _plot, "drawn plain": _plain,
}  # fmt: skip


def drawn(count: int, seed: int = 7) -> dict[str, list[bytes]]:
    """PNG files by kind, `count` of each; the same each time."""
    return {
        kind: [_png(make(np.random.default_rng((seed, index, number)), number)) for number in range(count)]
        for index, (kind, make) in enumerate(DRAWN.items())
    }


def _png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def taken(folder: Path, about: int) -> dict[str, list[bytes]]:
    """Files of pictures by the subfolders' names: of one that holds many, every so-manieth, so that `about` remain."""
    found = {}
    for kind in sorted(path for path in folder.iterdir() if path.is_dir()):
        files = sorted(path for path in kind.iterdir() if path.suffix.lower() in SUFFIXES)
        step = len(files) // about if 2 * len(files) > 3 * about else 1
        found[kind.name] = [path.read_bytes() for path in files[::step]]
    return found
