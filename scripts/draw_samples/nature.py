"""What several scenes have around their subject: skies, grass, trees, ground."""

import cv2
import numpy as np

from scripts.draw_samples.drawing import Canvas, curve, mix, noise, smoothstep


def sky(
    canvas: Canvas,
    rng,
    top,
    bottom,
    horizon: float,
    clouds=0.5,
    cells=(3, 2.5),
    cloud_colour=(0.97, 0.97, 0.98),
    shade_colour=(0.66, 0.71, 0.78),
) -> None:
    """Fill the canvas with a sky from `top` to `bottom` (at y = `horizon`), and clouds (0 none to 1 overcast)."""
    _, y = canvas.grid()
    shape = canvas.pixels.shape[:2]
    down = np.broadcast_to(np.clip(y / horizon, 0, 1) ** 0.8, shape)
    colours = mix(top, bottom, down)
    form = noise(rng, shape, cells, 7, 0.55)
    threshold = 1.2 - 2.4 * clouds
    cover = smoothstep(threshold, threshold + 1.6, form) if clouds > 0 else np.zeros(shape, np.float32)
    shift = max(1, round(6 * canvas.scale))
    lit = np.concatenate([form[shift:], np.repeat(form[-1:], shift, axis=0)]) - form
    body = mix(shade_colour, cloud_colour, np.clip(0.65 - 0.8 * lit - 0.12 * (form - threshold - 1), 0, 1))
    canvas.fill(mix(colours, body, cover))


def grass(
    canvas: Canvas,
    rng,
    count: int,
    top: float,
    bottom: float,
    height,
    colours,
    lean=0.35,
    width=1.6,
    left=-20.0,
    right=520.0,
) -> None:
    """Draw blades of grass whose roots lie between y = `top` and `bottom`, the farther first.

    `height` (near top, near bottom) in units; `colours` (K, 3) to choose from.
    """
    roots = np.sort(rng.uniform(top, bottom, count))
    share = (roots - top) / max(bottom - top, 1e-6)
    x = rng.uniform(left, right, count)
    tall = (height[0] + (height[1] - height[0]) * share) * rng.uniform(0.5, 1.2, count)
    bend = rng.normal(0, lean, count) * tall
    half = width * (0.35 + 0.65 * share) * rng.uniform(0.6, 1.3, count)
    tint = np.asarray(colours, float)[rng.integers(len(colours), size=count)] * rng.uniform(0.6, 1.25, (count, 1))
    along = np.linspace(0, 1, 6)
    for i in range(count):
        middle = np.stack([x[i] + bend[i] * along**2, roots[i] - tall[i] * along], -1)
        side = np.stack([half[i] * (1 - along) + 0.15, np.zeros(6)], -1)
        # The lower half is in the shade of its neighbours.
        canvas.polygon(np.concatenate([middle - side, (middle + side)[::-1]]), np.clip(tint[i] * 0.72, 0, 1))
        upper = slice(2, None)
        canvas.polygon(np.concatenate([(middle - side)[upper], (middle + side)[upper][::-1]]), np.clip(tint[i], 0, 1))


def leaves(canvas: Canvas, rng, centre, radii, colour, count=1500, size=3.0, light=(-0.5, -0.8)) -> None:
    """Draw a crown of leaves: clumps of dabs, the side towards `light` (in the picture) brighter, the depths dark."""
    clumps = rng.normal(0, 0.5, (28, 2))
    clumps /= np.maximum(1, np.linalg.norm(clumps, axis=1, keepdims=True) / 0.85)
    which = rng.integers(len(clumps), size=count)
    offset = rng.normal(0, 0.17, (count, 2))
    where = clumps[which] + offset
    lit = 0.55 + 1.5 * offset @ light + 0.28 * where @ light + rng.normal(0, 0.16, count)
    order = np.argsort(lit + rng.normal(0, 0.25, count))
    angle = rng.uniform(0, np.pi, count)
    for i in order:
        x, y = np.asarray(centre) + where[i] * radii
        a, b = size * rng.uniform(0.6, 1.4), size * rng.uniform(0.3, 0.8)
        c, s = np.cos(angle[i]), np.sin(angle[i])
        shape = np.add([[a * c, a * s], [-b * s, b * c], [-a * c, -a * s], [b * s, -b * c]], (x, y))
        canvas.polygon(shape, np.clip(np.asarray(colour) * np.clip(lit[i], 0.15, 1.5), 0, 1))


def tree(canvas: Canvas, rng, x, foot, height, spread, colour, count=1800, size=3.0) -> None:
    """Draw a broad-leaved tree that stands at (x, foot)."""
    trunk = np.array([[x, foot], [x + 1, foot - 0.3 * height], [x - 2, foot - 0.6 * height]])
    for share, points in zip((1.0, 0.6), (trunk, np.add(trunk, [[0, 0], [2, 0], [spread * 0.25, 0]])), strict=True):
        canvas.stroke(curve(points, 12), (0.2, 0.16, 0.12), 0.06 * height * share)
    leaves(canvas, rng, (x, foot - 0.62 * height), (spread, 0.42 * height), colour, count, size)


def ground(canvas: Canvas, rng, horizon: float, far, near, roughness=0.10, patches=0.04, eye=60.0) -> None:
    """Cover what lies below y = `horizon` with a level plane in perspective, seen from `eye` units above it.

    `roughness` is the contrast of its grain (about a unit wide near the viewer), `patches` that of its large stains.
    """
    x, y = canvas.grid()
    shape = canvas.pixels.shape[:2]
    depth = np.clip((y - horizon) / (canvas.units[1] - horizon), 1e-3, 1)
    tile = noise(rng, (512, 512), (256, 256), 2, 0.5)
    stains = noise(rng, (512, 512), (32, 32), 4, 0.6)
    away = np.broadcast_to((eye / depth).astype(np.float32), shape)
    aside = ((x - canvas.units[0] / 2) / depth).astype(np.float32)

    def sample(texture, step):
        return cv2.remap(texture, aside / step % 511, away * 3 / step % 511, cv2.INTER_LINEAR)

    fine = (sample(tile, 0.7) + sample(tile, 1.9)) * 0.7 * np.broadcast_to(smoothstep(0.0, 0.5, depth), shape)
    light = 1 + roughness * fine + patches * sample(stains, 5.0)
    colour = mix(far, near, np.broadcast_to(depth**0.7, shape)) * light[..., None]
    canvas.paint(np.broadcast_to((y >= horizon).astype(np.float32), shape), colour)
