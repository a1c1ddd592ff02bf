"""A parachute against the sky."""

import numpy as np

from scripts.draw_samples.drawing import Camera, Canvas, curve, draw_facets, ellipse_points, facets, unit
from scripts.draw_samples.nature import sky


def parachute(canvas: Canvas, rng: np.random.Generator) -> None:
    """A round parachute of coloured gores and its jumper, seen from below against a blue sky."""
    sky(canvas, rng, (0.16, 0.36, 0.70), (0.52, 0.72, 0.92), 420, clouds=0.36, cells=(2, 2.5))
    camera = Camera((0, -2.6, -15), (0.35, -0.95, 0), 52, roll=-9)
    gores = 20

    def canopy(u, v):
        angle = 2 * np.pi * v
        seam = np.abs(np.sin(gores * angle / 2))
        radius = 3.3 * np.sin(0.10 + 1.55 * u) ** 0.9 * (1 + 0.035 * u * seam)
        height = 2.35 * np.cos(0.10 + 1.62 * u) + 0.16 * seam * np.clip(u - 0.7, 0, 1)
        return np.stack([radius * np.cos(angle), 1.6 + height, radius * np.sin(angle)], -1)

    cloth = facets(canopy, 36, gores * 10)
    which = np.floor(cloth.parameters[:, 1] * gores).astype(int)
    palette = np.array([(0.86, 0.10, 0.10), (0.95, 0.94, 0.90), (0.10, 0.22, 0.62), (0.97, 0.78, 0.10)])
    colour = palette[which % 4]
    colour = np.where((cloth.parameters[:, :1] > 0.84) & (cloth.parameters[:, :1] < 0.90), palette[1], colour)
    middle = cloth.corners.mean(1)
    outward = cloth.normals * np.sign((cloth.normals * (middle - [0, 1.0, 0])).sum(1, keepdims=True))
    seen_inside = (outward * (camera.eye - middle)).sum(1) < 0
    sun = unit(-0.5, 0.75, -0.6)
    lit = np.clip(outward @ sun, 0, 1)
    light = np.where(seen_inside, 0.34 + 0.42 * lit, 0.36 + 0.66 * lit + 0.10 * outward[:, 1])
    fold = np.abs(np.sin(np.pi * cloth.parameters[:, 1] * gores))
    light *= 0.80 + 0.20 * fold**0.5
    light *= 1 - 0.22 * (np.abs((cloth.parameters[:, 0] * 6) % 1 - 0.5) > 0.45)
    colours = colour * light[:, None]
    keep = cloth.parameters[:, 0] > 0.03

    risers = np.array([(0.0, -4.3, 0.0)])
    rim = canopy(np.ones(gores), np.arange(gores) / gores)
    for far_side in (True, False):
        for point in rim[(rim[:, 2] > 0) == far_side]:
            canvas.stroke(camera.project(np.stack([point, risers[0]])), (0.82, 0.84, 0.86), 0.7)
        if far_side:
            draw_facets(canvas, camera, cloth.corners[keep], colours[keep])
    _jumper(canvas, camera.project(risers)[0])


def _jumper(canvas, hook) -> None:
    """A person in a harness who hangs from `hook`, about 55 units tall."""

    def at(*points):
        return np.asarray(points, float) * 1.1 + hook

    suit, dark, skin = (0.16, 0.17, 0.22), (0.07, 0.07, 0.09), (0.72, 0.52, 0.42)
    for side in (-1, 1):
        canvas.stroke(at((0, 0), (side * 4, 13)), dark, 1.2)
        canvas.stroke(curve(at((side * 4, 14), (side * 9, 8), (side * 6, -2)), 12), suit, 3.4)
        canvas.ellipse(at((side * 6, -3))[0], 2.0, skin)
        canvas.stroke(curve(at((side * 2.5, 30), (side * 4.5 + 2, 40), (side * 3.5 - 1, 53)), 12), suit, 4.6)
        canvas.stroke(at((side * 3.5 - 1, 53), (side * 3.5 + 3, 55)), dark, 3.6)
    canvas.polygon(at((-5, 11), (5, 11), (4.4, 31), (-4.4, 31)), (0.55, 0.12, 0.12))
    canvas.polygon(at((-5, 11), (-1, 11), (-1.2, 31), (-4.4, 31)), (0.36, 0.08, 0.09))
    canvas.stroke(at((-4, 12), (3.4, 30)), dark, 1.4)
    canvas.stroke(at((4, 12), (-3.4, 30)), dark, 1.4)
    canvas.ellipse(at((0, 6))[0], (3.8, 4.6), skin)
    canvas.polygon(ellipse_points(at((0, 5))[0], (4.4, 4.6), 0, 175, 365, 24), (0.88, 0.88, 0.86))
