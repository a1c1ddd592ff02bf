"""A golf ball in the grass."""

import numpy as np

from scripts.draw_samples.drawing import Canvas, blur, ellipse_points, mix, noise, smoothstep, unit, unit_rows
from scripts.draw_samples.nature import grass


def _geodesic_points(frequency: int) -> np.ndarray:
    """10 f^2 + 2 points spread evenly over the unit sphere, (N, 3): an icosahedron's faces cut into f^2 triangles each.

    The dimples of most golf balls lie in such a pattern.
    """
    golden = (1 + 5**0.5) / 2
    corners = np.array([[0, s, t * golden] for s in (-1, 1) for t in (-1, 1)])
    corners = np.concatenate([np.roll(corners, k, axis=1) for k in range(3)])
    found = {}
    for i in range(12):
        for j in range(i + 1, 12):
            for k in range(j + 1, 12):
                a, b, c = corners[[i, j, k]]
                if max(np.linalg.norm(a - b), np.linalg.norm(b - c), np.linalg.norm(c - a)) > 2.1:
                    continue
                for p in range(frequency + 1):
                    for q in range(frequency + 1 - p):
                        point = unit(*(a * p + b * q + c * (frequency - p - q)))
                        found[tuple(np.round(point, 6) + 0.0)] = point
    return np.array(list(found.values()))


def golf_ball(canvas: Canvas, rng: np.random.Generator) -> None:
    """A golf ball in the grass: a sphere traced with its 362 dimples, between blades near and far."""
    shape = canvas.pixels.shape[:2]
    x, y = canvas.grid()
    back = mix((0.10, 0.17, 0.07), (0.30, 0.42, 0.14), np.broadcast_to(smoothstep(0, 190, y), shape))
    canvas.fill(back * (1 + 0.25 * noise(rng, shape, (4, 6), 3)[..., None]))
    greens = [(0.33, 0.50, 0.13), (0.25, 0.42, 0.10), (0.42, 0.55, 0.18), (0.20, 0.34, 0.09), (0.50, 0.56, 0.24)]
    far = canvas.layer()
    grass(far, rng, 2200, 95, 200, (14, 34), greens, width=1.4)
    canvas.put(far.blurred(3.0))
    middle = canvas.layer()
    grass(middle, rng, 2600, 180, 300, (30, 60), greens, width=1.8)
    canvas.put(middle.blurred(0.9))

    centre, radius = (250.0, 196.0), 112.0
    shadow = canvas.mask(ellipse_points((centre[0] + 34, centre[1] + radius * 0.86), (radius * 1.1, 26)))
    canvas.paint(blur(shadow, 10 * canvas.scale), (0.02, 0.05, 0.01), 0.75)

    nx, ny = np.broadcast_arrays((x - centre[0]) / radius, (centre[1] - y) / radius)
    rows, columns = np.nonzero(nx**2 + ny**2 < 1)
    normal = np.stack([nx[rows, columns], ny[rows, columns]], -1)
    normal = np.concatenate([normal, -np.sqrt(1 - (normal**2).sum(-1, keepdims=True))], -1).astype(np.float32)
    dimples = (_geodesic_points(6) @ _turn(0.5, 0.35)).astype(np.float32)
    dimples = dimples[dimples[:, 2] < 0.2]
    nearest, closeness = np.empty(len(normal), int), np.empty(len(normal), np.float32)
    for start in range(0, len(normal), 100_000):
        cosines = normal[start : start + 100_000] @ dimples.T
        nearest[start : start + 100_000] = cosines.argmax(1)
        closeness[start : start + 100_000] = cosines.max(1)
    off = np.arccos(np.clip(closeness, -1, 1)) / 0.096
    inside = np.clip(1 - off**2, 0, 1)
    towards = dimples[nearest] - normal * closeness[:, None]
    bent = unit_rows(normal + towards * (6.5 * smoothstep(1.0, 0.75, off))[:, None])

    sun, view = unit(-0.55, 0.75, -0.55), np.array([0, 0, -1.0])
    diffuse = np.clip(bent @ sun, 0, 1) * smoothstep(-0.15, 0.25, normal @ sun)
    above = 0.5 + 0.5 * bent[:, 1]
    bounce = np.clip(-normal[:, 1], 0, 1)
    shine = np.clip(bent @ unit(*(sun + view)), 0, 1) ** 60
    light = 0.60 * diffuse[:, None] * np.array([1.0, 0.97, 0.90])
    light = light + (0.20 + 0.30 * above)[:, None] * np.array([0.93, 0.97, 1.0])
    light = light + 0.16 * bounce[:, None] * np.array([0.55, 0.85, 0.25])
    light *= (1 - 0.12 * inside * (1 - diffuse))[:, None]
    light *= (1 - 0.55 * smoothstep(0.2, 1.0, bounce))[:, None]
    ball = np.zeros((*shape, 3), np.float32)
    ball[rows, columns] = 0.94 * light + 0.30 * shine[:, None]
    cover = np.clip((1 - np.sqrt(nx**2 + ny**2)) * radius * canvas.scale + 0.5, 0, 1)
    canvas.paint(cover, ball)

    near = canvas.layer()
    grass(near, rng, 620, 285, 345, (48, 66), greens, width=2.0)
    canvas.put(near)
    front = canvas.layer()
    grass(front, rng, 420, 345, 420, (60, 90), greens, width=2.8)
    canvas.put(front.blurred(1.6))


def _turn(about_x: float, about_y: float) -> np.ndarray:
    """The rotation matrix (3, 3) about x, then y; angles in radians."""
    c, s = np.cos(about_x), np.sin(about_x)
    first = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    c, s = np.cos(about_y), np.sin(about_y)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]) @ first
