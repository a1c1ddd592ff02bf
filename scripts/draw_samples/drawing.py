"""A small painter and renderer: canvases in picture units, noise, cameras, meshes, and a finish like a camera's.

Every length is in units of 1/500 of the picture's width, and random numbers never depend on the resolution, so a scene
looks the same at any size. Colours are RGB from 0 to 1.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw, ImageFont

WIDTH_UNITS = 500
_SUBPIXEL_BITS = 4


class Canvas:
    """A picture to paint on: `pixels` is float32 (H, W, 4), RGB multiplied by alpha, then alpha.

    `units` is the size in units (width, height), `scale` the pixels per unit. `origin` is where the pixels start, in
    pixels from the left and the top: not (0, 0) for a part of another canvas.
    """

    def __init__(self, units: tuple[float, float], scale: float):
        self.units, self.scale = units, scale
        width, height = (max(1, round(side * scale)) for side in units)
        self.pixels = np.zeros((height, width, 4), np.float32)
        self.origin = (0, 0)

    def part(self, points, margin: float = 0.0) -> "Canvas | None":
        """The part of this canvas around points (N, 2), `margin` units wider: what is painted there shows here.

        None when that lies outside.
        """
        low = np.floor((np.min(points, axis=0) - margin) * self.scale).astype(int) - 1 - self.origin
        high = np.ceil((np.max(points, axis=0) + margin) * self.scale).astype(int) + 2 - self.origin
        low, high = np.maximum(low, 0), np.minimum(high, self.pixels.shape[1::-1])
        if (low >= high).any():
            return None
        view = object.__new__(Canvas)
        view.units, view.scale = self.units, self.scale
        view.pixels = self.pixels[low[1] : high[1], low[0] : high[0]]
        view.origin = (self.origin[0] + int(low[0]), self.origin[1] + int(low[1]))
        return view

    def inside(self, points) -> "Canvas":
        """As `part`, of points that are known to lie within this canvas."""
        part = self.part(points)
        assert part is not None
        return part

    def layer(self) -> "Canvas":
        """An empty canvas of the same size."""
        return Canvas(self.units, self.scale)

    def fill(self, colours: ArrayLike) -> None:
        """Cover everything with one colour (3,) or a picture (H, W, 3)."""
        self.pixels[..., :3] = colours
        self.pixels[..., 3] = 1

    def grid(self) -> tuple[np.ndarray, np.ndarray]:
        """The x and y of every pixel's centre, in units: float32 (1, W) and (H, 1)."""
        height, width = self.pixels.shape[:2]
        x = (np.arange(width, dtype=np.float32) + (self.origin[0] + 0.5)) / self.scale
        y = (np.arange(height, dtype=np.float32) + (self.origin[1] + 0.5)) / self.scale
        return x[None], y[:, None]

    def _fixed(self, points) -> np.ndarray:
        pixels = np.asarray(points, np.float64) * self.scale - (self.origin[0] + 0.5, self.origin[1] + 0.5)
        pixels = np.minimum(np.maximum(pixels, -30000), 30000)
        return np.rint(pixels * (1 << _SUBPIXEL_BITS)).astype(np.int32)

    def polygon(self, points, colour, alpha: float = 1.0) -> None:
        """Fill a polygon, points (N, 2)."""
        if alpha < 1:
            self.shaded(points, colour, 1.0, alpha)
        elif self.pixels.flags.c_contiguous:
            cv2.fillPoly(self.pixels, [self._fixed(points)], (*map(float, colour), 1.0), cv2.LINE_8, _SUBPIXEL_BITS)
        else:
            self.paint(self.mask(points), colour)

    def polygons(self, shapes, colours) -> None:
        """Fill many polygons, shapes (M, N, 2) with colours (M, 3), in their order."""
        fixed = self._fixed(shapes)
        for shape, colour in zip(fixed, np.asarray(colours, np.float64), strict=True):
            cv2.fillConvexPoly(self.pixels, shape, (*colour.tolist(), 1.0), cv2.LINE_8, _SUBPIXEL_BITS)

    def mask(self, points) -> np.ndarray:
        """The coverage of a polygon: float32 (H, W), 0 or 1."""
        covered = np.zeros(self.pixels.shape[:2], np.float32)
        cv2.fillPoly(covered, [self._fixed(points)], (1.0,), cv2.LINE_8, _SUBPIXEL_BITS)
        return covered

    def paint(self, mask: np.ndarray, colour, alpha: float = 1.0) -> None:
        """Lay a colour (3,) or a picture (H, W, 3) over the canvas where `mask` (H, W), 0 to 1, says."""
        rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        if len(rows):
            self._mix(np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], mask, colour, alpha)

    def _mix(self, region, mask, colour, alpha) -> None:
        pixels, colour = self.pixels[region], np.asarray(colour, np.float32)
        colour = colour if colour.ndim == 1 else np.broadcast_to(colour, (*self.pixels.shape[:2], 3))[region]
        cover = mask[region][..., None] * np.float32(alpha)
        pixels[..., :3] += (colour - pixels[..., :3]) * cover
        pixels[..., 3:] += (1 - pixels[..., 3:]) * cover

    def stroke(self, points, colour, width: float) -> None:
        """Draw a line of round ends through points (N, 2); `width` in units."""
        thickness = max(1, round(width * self.scale))
        cv2.polylines(
            self.pixels, [self._fixed(points)], False, (*map(float, colour), 1.0), thickness, cv2.LINE_8, _SUBPIXEL_BITS
        )

    def ellipse(self, centre, radii, colour, alpha: float = 1.0, turn: float = 0.0) -> None:
        """Fill an ellipse; `turn` in degrees, clockwise."""
        self.polygon(ellipse_points(centre, radii, turn), colour, alpha)

    def shaded(self, points, colour, light, alpha: float = 1.0) -> None:
        """Fill a polygon with a colour (3,) or a picture (H, W, 3) times `light`, which broadcasts to (H, W)."""
        part = self.part(points)
        if part is None:
            return
        left, top = np.subtract(part.origin, self.origin)
        height, width = part.pixels.shape[:2]
        region = np.s_[top : top + height, left : left + width]
        colour, light = np.asarray(colour, np.float32), np.asarray(light, np.float32)
        if colour.ndim > 1:
            colour = np.broadcast_to(colour, (*self.pixels.shape[:2], 3))[region]
        light = np.broadcast_to(light, self.pixels.shape[:2])[region]
        part.paint(part.mask(points), colour * light[..., None], alpha)

    def shadow(self, points, radius: float, alpha: float, colour=(0.0, 0.0, 0.0)) -> None:
        """Darken under a polygon, its edge softened by `radius` units."""
        part = self.part(points, 3 * radius)
        if part is not None:
            part.paint(blur(part.mask(points), radius * self.scale), colour, alpha)

    def text(self, centre, words: str, height: float, colour, alpha: float = 1.0) -> None:
        """Write words, centred; `height` is the font's size in units."""
        font = ImageFont.load_default(max(1.0, height * self.scale))
        half = np.array([font.getlength(words) / 2 / self.scale, height])
        part = self.part([centre - half, centre + half])
        if part is None:
            return
        rows, columns = part.pixels.shape[:2]
        image = Image.new("L", (columns, rows))
        x, y = np.asarray(centre) * self.scale - part.origin
        ImageDraw.Draw(image).text((x, y), words, 255, font, anchor="mm")
        part.paint(np.asarray(image, np.float32) / 255, colour, alpha)

    def blurred(self, radius: float) -> "Canvas":
        """This canvas out of focus; `radius` in units is the Gaussian's standard deviation."""
        self.pixels[...] = blur(self.pixels, radius * self.scale)
        return self

    def put(self, layer: "Canvas", alpha: float = 1.0) -> None:
        """Lay another canvas of the same size over this one."""
        self.pixels *= 1 - layer.pixels[..., 3:] * np.float32(alpha)
        self.pixels += layer.pixels * np.float32(alpha)

    def put_quad(self, texture: "Canvas", corners) -> None:
        """Lay a canvas onto the quadrilateral `corners` (4, 2): top left, top right, bottom right, bottom left."""
        part = self.part(corners)
        if part is None:
            return
        height, width = texture.pixels.shape[:2]
        source = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32) - 0.5
        target = (np.asarray(corners) * self.scale - 0.5 - part.origin).astype(np.float32)
        transform = cv2.getPerspectiveTransform(source, target)
        warped = cv2.warpPerspective(texture.pixels, transform, part.pixels.shape[1::-1], flags=cv2.INTER_LINEAR)
        part.pixels *= 1 - warped[..., 3:]
        part.pixels += warped


class Camera:
    """A pinhole camera; x right, y up, z away from the viewer when it looks along z.

    `field_of_view` is the horizontal one, in degrees.
    """

    def __init__(self, eye, target, field_of_view: float, units=(500, 375), roll: float = 0.0):
        self.eye = np.asarray(eye, float)
        forward = _unit(np.asarray(target, float) - self.eye)
        right = _unit(np.cross([0, 1, 0], forward))
        up = np.cross(forward, right)
        turn = np.radians(roll)
        self.axes = np.stack(
            [right * np.cos(turn) + up * np.sin(turn), up * np.cos(turn) - right * np.sin(turn), forward]
        )
        self.focal = units[0] / 2 / np.tan(np.radians(field_of_view) / 2)
        self.centre = np.asarray(units) / 2

    def project(self, points) -> np.ndarray:
        """Points (..., 3) to the picture (..., 2), in units."""
        local = (np.asarray(points, float) - self.eye) @ self.axes.T
        return self.centre + local[..., :2] / local[..., 2:] * [self.focal, -self.focal]

    def distance(self, points) -> np.ndarray:
        """How far points (..., 3) are from the eye: (...)."""
        return np.linalg.norm(np.asarray(points, float) - self.eye, axis=-1)


class Facets(NamedTuple):
    """Quadrilaterals of a surface: corners (M, 4, 3), unit normals (M, 3), and the parameters of each middle (M, 2)."""

    corners: np.ndarray
    normals: np.ndarray
    parameters: np.ndarray


def facets(surface, rows: int, columns: int, u=(0.0, 1.0), v=(0.0, 1.0)) -> Facets:
    """Cut a parametric surface, `surface(u, v) -> (..., 3)`, into rows x columns facets."""
    along, across = np.linspace(u[0], u[1], rows + 1), np.linspace(v[0], v[1], columns + 1)
    us, vs = np.meshgrid(along, across, indexing="ij")
    points = surface(us, vs)
    corners = np.stack([points[:-1, :-1], points[:-1, 1:], points[1:, 1:], points[1:, :-1]], axis=2).reshape(-1, 4, 3)
    normals = _unit(np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1]))
    middles = np.stack([(us[:-1, :-1] + us[1:, 1:]) / 2, (vs[:-1, :-1] + vs[1:, 1:]) / 2], axis=-1).reshape(-1, 2)
    return Facets(corners, normals, middles)


def draw_facets(canvas: Canvas, camera: Camera, corners: np.ndarray, colours: np.ndarray) -> None:
    """Paint facets (M, 4, 3) of colours (M, 3), the farthest first (the painter's algorithm)."""
    order = np.argsort(-camera.distance(corners.mean(axis=1)), kind="stable")
    canvas.polygons(camera.project(corners[order]), np.clip(colours[order], 0, 1))


def _unit(vectors):
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def unit(*components) -> np.ndarray:
    """The vector of length 1 in this direction."""
    return _unit(np.asarray(components, float))


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """Each vector of an array (..., N) made length 1."""
    return _unit(np.asarray(vectors))


def smoothstep(low: float, high: float, value):
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def mix(first, second, share):
    """`first` where share is 0, `second` where it is 1; a share (H, W) mixes colours into (H, W, 3)."""
    share = np.asarray(share, np.float32)
    if share.ndim == 2:
        share = share[..., None]
    first, second = np.asarray(first, np.float32), np.asarray(second, np.float32)
    return first + (second - first) * share


def blur(pixels: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur, `sigma` in pixels; nothing below 0.1. A wide one is made at a lower resolution."""
    if sigma < 0.1:
        return pixels
    height, width = pixels.shape[:2]
    step = int(min(sigma / 3, height / 4, width / 4))
    if step >= 2:
        small = cv2.resize(pixels, (width // step, height // step), interpolation=cv2.INTER_AREA)
        return cv2.resize(blur(small, sigma / step), (width, height), interpolation=cv2.INTER_LINEAR)
    return cv2.GaussianBlur(pixels, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)


def noise(rng: np.random.Generator, shape, cells, octaves: int = 5, gain: float = 0.5) -> np.ndarray:
    """Fractal value noise: float32 of `shape` (H, W), mean about 0, standard deviation about 1.

    `cells` (rows, columns) is the coarsest grid over the picture; each octave doubles it and weighs `gain` as much.
    """
    height, width = shape[:2]
    total, power = np.zeros((height, width), np.float32), 0.0
    for octave in range(octaves):
        rows, columns = (round(count * 2**octave) + 3 for count in cells)
        grid = rng.standard_normal((rows, columns)).astype(np.float32)
        shrinking = rows > height or columns > width
        total += gain**octave * cv2.resize(
            grid, (width, height), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_CUBIC
        )
        power += gain ** (2 * octave)
    return total / np.float32(np.sqrt(power) * 0.7)


def ellipse_points(centre, radii, turn: float = 0.0, start: float = 0.0, end: float = 360.0, count: int = 64):
    """Points (count, 2) on an ellipse's arc; angles in degrees, clockwise from the right, as the picture is seen."""
    angles = np.radians(np.linspace(start, end, count))
    rx, ry = np.broadcast_to(radii, 2)
    x, y = rx * np.cos(angles), ry * np.sin(angles)
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    return np.stack([centre[0] + c * x - s * y, centre[1] + s * x + c * y], axis=-1)


def box_points(left, top, right, bottom, radius: float = 0.0):
    """The outline of a box, its corners rounded."""
    if radius <= 0:
        return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], float)
    corners = [
        (right - radius, top + radius, -90),
        (right - radius, bottom - radius, 0),
        (left + radius, bottom - radius, 90),
        (left + radius, top + radius, 180),
    ]
    return np.concatenate([ellipse_points((x, y), radius, 0, a, a + 90, 10) for x, y, a in corners])


def curve(points, count: int = 60) -> np.ndarray:
    """A smooth line (count, D) through points (N, D): a Catmull-Rom spline."""
    points = np.asarray(points, float)
    padded = np.concatenate([[2 * points[0] - points[1]], points, [2 * points[-1] - points[-2]]])
    where = np.linspace(0, len(points) - 1, count)
    index = np.minimum(where.astype(int), len(points) - 2)
    t = (where - index)[:, None]
    a, b, c, d = (padded[index + k] for k in range(4))
    return 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)


def finish(
    canvas: Canvas,
    size: tuple[int, int],
    rng: np.random.Generator,
    *,
    softness=0.3,
    grain=0.012,
    vignette=0.10,
    glow=0.06,
    contrast=0.08,
) -> np.ndarray:
    """Turn a canvas into a photograph: slight blur, glow of the lights, vignette, tone curve and film grain.

    `size` (width, height) in pixels. Returns uint8 (height, width, 3) RGB.
    """
    width, height = size
    rgb = np.clip(canvas.pixels[..., :3], 0, 1)
    rgb = blur(rgb, softness * canvas.scale)
    rgb = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)
    scale = width / WIDTH_UNITS
    rgb = rgb + glow * (blur(np.maximum(rgb - 0.6, 0), 8 * scale) * 2)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    radius2 = ((x / width - 0.5) ** 2 + (y / height - 0.5) ** 2) * 2
    rgb = rgb * (1 - vignette * radius2[..., None])
    rgb = np.clip(rgb, 0, 1)
    rgb = mix(rgb, rgb * rgb * (3 - 2 * rgb), contrast)
    # Grain has a size on the film, so a larger picture shows larger grains; half of it is common to the three colours.
    film = rng.standard_normal((375, 500, 4)).astype(np.float32)
    film = film[..., :1] * 0.7 + film[..., 1:] * 0.7
    film = cv2.resize(film, (width, height), interpolation=cv2.INTER_AREA if width < 500 else cv2.INTER_LINEAR)
    rgb = rgb + grain * film * (0.5 + 2 * rgb * (1 - rgb))
    return np.round(np.clip(rgb, 0, 1) * 255).astype(np.uint8)


def tube(path: np.ndarray, sides: int = 20, turn: tuple[float, float] = (0.0, 1.0)) -> Facets:
    """The surface of a tube along `path` (N, 4): x, y, z and radius of each cross-section."""
    centres, radii = np.asarray(path)[:, :3], np.asarray(path)[:, 3]
    forward = _unit(np.gradient(centres, axis=0))
    across = np.empty_like(forward)
    across[0] = _unit(np.cross(forward[0], [0.31, 0.53, 0.79]))
    for i in range(1, len(across)):
        across[i] = _unit(across[i - 1] - forward[i] * (across[i - 1] @ forward[i]))
    other = np.cross(forward, across)

    def surface(u, v):
        index = np.round(u * (len(centres) - 1)).astype(int)
        angle = 2 * np.pi * v[..., None]
        return centres[index] + radii[index][..., None] * (across[index] * np.cos(angle) + other[index] * np.sin(angle))

    return facets(surface, len(centres) - 1, sides, v=turn)
