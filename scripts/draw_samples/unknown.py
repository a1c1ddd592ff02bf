"""Pictures of none of the ten classes."""

import numpy as np
from PIL import ImageFont

from scripts.draw_samples.drawing import Canvas, blur, curve, ellipse_points, mix, noise, smoothstep, unit


def unknown_oranges(canvas: Canvas, rng: np.random.Generator) -> None:
    """Oranges in a blue bowl on a table: traced spheres with a pitted peel. None of the ten classes."""
    shape = canvas.pixels.shape[:2]
    x, y = canvas.grid()
    canvas.fill(mix((0.60, 0.62, 0.58), (0.74, 0.73, 0.68), np.broadcast_to(y / 220, shape)))
    fibres = noise(rng, shape, (90, 3), 5, 0.75)
    table = mix((0.72, 0.56, 0.38), (0.58, 0.42, 0.26), np.clip(0.5 + 0.3 * fibres, 0, 1))
    canvas.paint(np.broadcast_to(smoothstep(205, 212, y), shape), table * (0.75 + 0.0016 * (y - 205))[..., None])
    canvas.shadow(ellipse_points((285, 330), (175, 26)), 12, 0.65, (0.10, 0.06, 0.03))
    canvas.polygon(ellipse_points((250, 205), (160, 36)), (0.10, 0.18, 0.30))
    for centre, radius in (
        ((190, 168), 50),
        ((308, 164), 52),
        ((252, 124), 50),
        ((140, 190), 46),
        ((358, 190), 46),
        ((246, 190), 54),
    ):
        _orange(canvas, rng, centre, radius)
    across = (x - 250) / 162
    rim = 203 + 34 * np.sqrt(np.clip(1 - across**2, 0, 1))
    wall = np.concatenate(
        [
            ellipse_points((250, 203), (162, 34), 0, 180, 0, 60),
            curve([(412, 203), (396, 262), (352, 312), (300, 332), (200, 332), (148, 312), (104, 262), (88, 203)], 80),
        ]
    )
    light = 0.45 + 0.75 * np.exp(-(((across + 0.45) / 0.35) ** 2)) + 0.10 * (1 - np.abs(across))
    glaze = mix((0.12, 0.28, 0.52), (0.88, 0.87, 0.83), smoothstep(4, 3, np.abs(y - rim - 26)) + 0 * x)
    canvas.shaded(wall, glaze, light * (1 - 0.0028 * (y - 203)))
    canvas.stroke(ellipse_points((250, 203), (162, 34), 0, 180, 0, 60), (0.78, 0.82, 0.88), 3.2)


def _orange(canvas: Canvas, rng, centre, radius: float) -> None:
    """One orange."""
    canvas.shadow(ellipse_points((centre[0] + 5, centre[1] + 9), radius), 8, 0.45, (0.10, 0.03, 0.0))
    outline = ellipse_points(centre, radius)
    canvas = canvas.inside(outline)
    x, y = canvas.grid()
    nx, ny = np.broadcast_arrays((x - centre[0]) / radius, (centre[1] - y) / radius)
    nz = np.sqrt(np.clip(1 - nx**2 - ny**2, 0, 1))
    pits = blur(noise(rng, canvas.pixels.shape, (30, 30), 2, 0.8), 0.5 * canvas.scale)
    slope_y, slope_x = np.gradient(pits, 1 / canvas.scale)
    normal = np.stack([nx - 0.10 * slope_x, ny + 0.10 * slope_y, -nz], -1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    sun, half = unit(-0.5, 0.75, -0.6), unit(-0.5, 0.75, -1.6)
    light = 0.30 + 0.22 * normal[..., 1] + 0.75 * np.clip(normal @ sun, 0, 1)
    shine = 0.45 * np.clip(normal @ half, 0, 1) ** 40
    canvas.paint(canvas.mask(outline), np.array((0.95, 0.50, 0.06)) * light[..., None] + shine[..., None])


def unknown_checkerboard(canvas: Canvas, rng: np.random.Generator) -> None:
    """A checkerboard, as one prints it to calibrate cameras, on a grey desk. None of the ten classes."""
    shape = canvas.pixels.shape[:2]
    x, y = canvas.grid()
    light = 1.05 - 0.25 * np.hypot((x - 180) / 500, (y - 100) / 375)
    canvas.fill(
        np.array((0.50, 0.51, 0.53), np.float32) * (light * (1 + 0.02 * noise(rng, shape, (90, 120), 4)))[..., None]
    )
    board = Canvas((10, 7), canvas.scale * 45)
    u, v = board.grid()
    ink = (np.floor(u - 0.5) + np.floor(v - 0.5)) % 2 * (u > 0.5) * (u < 9.5) * (v > 0.5) * (v < 6.5)
    board.fill(mix((0.93, 0.93, 0.91), (0.06, 0.06, 0.07), ink))
    corners = np.array([(78, 62), (430, 40), (462, 318), (52, 336)], float)
    canvas.shadow(np.add(corners, (7, 9)), 6, 0.55)
    canvas.put_quad(board, corners)
    canvas.pixels[..., :3] *= light[..., None]


_PAGE = (
    "On the limits of a small model",
    "A classifier divides all it is ever shown among the classes",
    "it was taught. Show it one of them, and the largest of its",
    "numbers is usually the right one. Show it anything else, and",
    "the numbers still add up to one: there is no place among",
    "them for a page of text, or for a bowl of fruit.",
    "",
    "So a probability is not a measure of knowledge. It says",
    "which of the known classes a picture resembles most, and by",
    "how much more than the others. Whether the picture shows",
    "any of them is another question, which has to be asked in",
    "another way: by looking at the scores before they are",
    "normalised, by comparing with the pictures of the training,",
    "or by teaching the model a class of everything else.",
    "",
    "None of these is perfect. The first step is to know that the",
    "question exists, and to look at what the model says when",
    "there is nothing right for it to say.",
)


def unknown_page(canvas: Canvas, rng: np.random.Generator) -> None:
    """A printed page on a desk, under a lamp. None of the ten classes."""
    shape = canvas.pixels.shape[:2]
    x, y = canvas.grid()
    fibres = noise(rng, shape, (70, 3), 5, 0.75)
    canvas.fill(mix((0.34, 0.22, 0.14), (0.24, 0.14, 0.08), np.clip(0.5 + 0.35 * fibres, 0, 1)))
    page = Canvas((400, 380), canvas.scale)
    page.fill((0.94, 0.93, 0.90))
    for k, words in enumerate(_PAGE):
        if words:
            width = ImageFont.load_default(100).getlength(words) / 100 * (18 if k == 0 else 12.2)
            page.text((34 + width / 2, 42 + 19 * k - 8 * (k == 0)), words, 18 if k == 0 else 12.2, (0.12, 0.12, 0.13))
    corners = np.array([(70, 22), (412, 8), (452, 372), (38, 384)], float)
    canvas.shadow(np.add(corners, (5, 8)), 7, 0.6)
    canvas.put_quad(page, corners)
    canvas.pixels[..., :3] *= (1.10 - 0.42 * np.hypot((x - 190) / 400, (y - 120) / 300))[..., None] * (1.0, 0.98, 0.93)
