"""A French horn and a cassette player."""

import numpy as np

from scripts.draw_samples.drawing import (
    Camera,
    Canvas,
    blur,
    box_points,
    curve,
    draw_facets,
    ellipse_points,
    mix,
    noise,
    smoothstep,
    tube,
    unit,
    unit_rows,
)


def french_horn(canvas: Canvas, rng: np.random.Generator) -> None:
    """A brass French horn before a pale wall: coiled tubes, valves, slides and a flared bell, all swept surfaces."""
    shape = canvas.pixels.shape[:2]
    x, y = canvas.grid()
    light = 1.02 - 0.17 * np.hypot((x - 190) / 400, (y - 130) / 300)
    wall = np.array((0.91, 0.90, 0.88), np.float32)
    canvas.fill(wall * (light * (1 + 0.004 * noise(rng, shape, (60, 80), 4)))[..., None])
    camera = Camera((0.35, 0.2, -9), (0.24, -0.13, 0), 31.5)

    def arc(start, end, radius, thick, depth, count=140):
        angle, share = np.radians(np.linspace(start, end, count)), np.linspace(0, 1, count)
        around = [0.35 + radius * np.cos(angle), 0.3 + radius * np.sin(angle)]
        ramps = [low + (high - low) * share for low, high in (depth, thick)]
        return np.stack(around + ramps, -1)

    gold, silver, red_brass = (1.0, 0.80, 0.40), (0.93, 0.94, 0.95), (1.0, 0.72, 0.36)
    body = arc(-190, 178, 1.12, (0.06, 0.125), (0.10, 0.0), 220)
    flare = curve(
        [
            body[-1],
            (-0.785, 0.05, 0.0, 0.135),
            (-0.80, -0.35, -0.03, 0.155),
            (-0.86, -0.75, -0.09, 0.20),
            (-0.95, -1.05, -0.20, 0.31),
            (-1.04, -1.22, -0.31, 0.48),
            (-1.11, -1.32, -0.39, 0.68),
            (-1.15, -1.37, -0.43, 0.82),
        ],
        170,
    )
    centre, axis = flare[-1, :3], unit(*(flare[-1, :3] - flare[-4, :3]))
    first = unit(*np.cross(axis, (0, 0, 1)))
    round_rim = np.radians(np.linspace(0, 360, 120))[:, None]
    rim = centre + 0.82 * (first * np.cos(round_rim) + np.cross(axis, first) * np.sin(round_rim))
    bell = np.concatenate([body[:-1], flare])
    parts = [
        (bell, gold, 48),
        (np.concatenate([rim, np.full((120, 1), 0.022)], 1), gold, 10),
        (arc(-230, 140, 0.985, (0.055, 0.055), (0.12, 0.16)), red_brass, 16),
        (arc(60, 435, 0.855, (0.05, 0.05), (-0.02, -0.08)), gold, 16),
        (
            curve(
                [
                    (1.85, 1.35, -0.2, 0.040),
                    (1.62, 1.12, -0.2, 0.040),
                    (1.38, 0.75, -0.2, 0.045),
                    (1.24, 0.2, -0.19, 0.05),
                    (0.98, -0.30, -0.17, 0.052),
                    (0.52, -0.58, -0.15, 0.055),
                    (0.2, -0.60, -0.1, 0.055),
                    (-0.2, -0.4, 0.0, 0.055),
                    (-0.42, -0.05, 0.1, 0.055),
                ],
                120,
            ),
            gold,
            16,
        ),
        (
            curve(
                [
                    (2.02, 1.56, -0.2, 0.10),
                    (1.98, 1.50, -0.2, 0.085),
                    (1.93, 1.44, -0.2, 0.045),
                    (1.84, 1.34, -0.2, 0.040),
                ],
                24,
            ),
            silver,
            16,
        ),
        (curve([(-0.40, 0.08, 0.0, 0.055), (0.3, -0.16, 0.0, 0.055), (1.15, -0.40, 0.0, 0.055)], 60), red_brass, 16),
    ]
    for k in range(3):
        at = np.array((0.02 + 0.36 * k, -0.02 - 0.13 * k, 0, 0))
        valve = [(0.15, 0.155), (-0.22, 0.155), (-0.23, 0.13), (-0.25, 0.13), (-0.27, 0.11), (-0.272, 0.001)]
        parts.append((np.add(at, [(0, 0, *each) for each in valve]), gold, 28))
        parts.append((np.add(at, [(0, 0, -0.27, 0.05), (0, 0, -0.33, 0.05), (0, 0, -0.332, 0.001)]), silver, 16))
        for length, half, depth in ((0.80 + 0.14 * (k == 1), 0.075, -0.14), (-0.34, 0.06, 0.05)):
            slide = [
                (-half, 0.1),
                (-half + 0.05, 0.55 * length),
                (-half + 0.1, length - 0.05),
                (0.1, length + 0.05),
                (half + 0.1, length - 0.05),
                (half + 0.05, 0.55 * length),
                (half, 0.1),
            ]
            parts.append((at + curve([(*point, depth, 0.042) for point in slide], 90), red_brass, 14))
        lever = [(0, -0.1, -0.3, 0.022), (0.10, -0.36, -0.34, 0.022), (0.16, -0.62, -0.36, 0.022)]
        parts.append((at + curve(lever, 24), silver, 10))
        parts.append((at + curve([(0.16, -0.60, -0.36, 0.055), (0.20, -0.80, -0.38, 0.06)], 12), silver, 12))
    for start, end in (((-0.78, 0.45), (-0.48, 0.42)), ((0.72, 1.38), (0.60, 1.10)), ((1.42, 0.75), (1.12, 0.66))):
        parts.append((np.array([(*start, -0.02, 0.028), (*end, -0.02, 0.028)]), silver, 10))

    corners, colours = [], []
    for path, tint, sides in parts:
        surface = tube(path, sides)
        views = unit_rows(surface.corners.mean(1) - camera.eye)
        away = np.sign((surface.normals * views).sum(1, keepdims=True))
        colour = _brass(-away * surface.normals, views, tint)
        corners.append(surface.corners)
        colours.append(colour)
    corners, colours = np.concatenate(corners), np.concatenate(colours)
    cast = canvas.layer()
    cast.polygons(np.add(camera.project(corners), (16, 20)), np.zeros((len(corners), 3)))
    canvas.paint(blur(cast.pixels[..., 3], 9 * canvas.scale), (0.16, 0.13, 0.10), 0.40)
    draw_facets(canvas, camera, corners, colours)


def _brass(normals: np.ndarray, views: np.ndarray, tint) -> np.ndarray:
    """What polished metal of colour `tint` reflects of a bright room: colours (M, 3) for unit normals and views (M, 3).

    `views` points from the eye to the surface. The room: a dim floor, pale walls, two tall windows, a bright ceiling.
    """
    cosine = (normals * views).sum(1, keepdims=True)
    mirrored = views - 2 * cosine * normals
    up, right, back = mirrored[:, 1], mirrored[:, 0], -mirrored[:, 2]
    light = 0.42 + 0.34 * smoothstep(-0.3, 0.5, up) + 0.30 * smoothstep(0.55, 0.9, up)
    light -= 0.20 * smoothstep(-0.15, -0.5, up)
    light -= 0.22 * smoothstep(0.16, 0.05, np.abs(up - 0.12 - 0.1 * right))
    for side, width, strength in ((-0.50, 0.26, 0.9), (0.40, 0.12, 0.5)):
        window = smoothstep(width, width * 0.7, np.abs(right - side)) * smoothstep(-0.25, 0.0, up)
        light += strength * window * smoothstep(-0.2, 0.2, back) * smoothstep(0.95, 0.7, up)
    light += 0.07 * np.sin(9 * right + 5 * up) * smoothstep(0.3, -0.3, up)
    tint = np.asarray(tint)
    # Where little light comes from, what is seen has been reflected by brass more than once, and is redder.
    colour = light[:, None] * tint ** (1 + 0.6 * smoothstep(0.6, 0.2, light))[:, None]
    rim = 0.35 * (1 - np.abs(cosine)) ** 4 * light[:, None]
    return colour + np.clip(light - 0.80, 0, 1)[:, None] * (0.65, 0.62, 0.55) + rim


def cassette_player(canvas: Canvas, rng: np.random.Generator) -> None:
    """A portable cassette player with two loudspeakers, on a wooden table, drawn from the front."""
    shape = canvas.pixels.shape[:2]
    x, y = canvas.grid()
    wall = (
        np.array((0.78, 0.74, 0.66), np.float32) * (1.08 - 0.28 * np.hypot((x - 160) / 500, (y - 60) / 375))[..., None]
    )
    canvas.fill(wall * (1 + 0.012 * noise(rng, shape, (30, 40), 5, 0.7))[..., None])
    fibres = noise(rng, shape, (60, 3), 5, 0.75)
    wood = mix((0.50, 0.31, 0.17), (0.36, 0.20, 0.10), np.clip(0.5 + 0.35 * fibres, 0, 1))
    canvas.paint(np.broadcast_to(y > 292, shape).astype(np.float32), wood * (0.78 + 0.004 * (y - 292))[..., None])
    canvas.blurred(0.8)
    canvas.shadow(box_points(48, 150, 482, 318, 16), 12, 0.45)
    canvas.shadow(box_points(36, 306, 470, 328, 6), 5, 0.75)

    handle = curve([(110, 118), (112, 62), (124, 48), (250, 46), (376, 48), (388, 62), (390, 118)], 90)
    for width, shade in ((13, 0.10), (9, 0.20), (3, 0.45)):
        canvas.stroke(handle - (0, (13 - width) * 0.25), (shade, shade, shade * 1.02), width)
    canvas.stroke([(430, 110), (492, -6)], (0.45, 0.45, 0.46), 3.0)
    canvas.stroke([(429, 110), (491, -6)], (0.90, 0.90, 0.92), 1.2)

    silver, black = np.array((0.74, 0.75, 0.77)), (0.09, 0.09, 0.10)
    brushed = 1 + 0.022 * noise(rng, shape, (200, 4), 3, 0.8)
    case = box_points(30, 104, 470, 316, 14)
    canvas.polygon(np.add(case, (0, 3)), (0.20, 0.20, 0.21))
    canvas.shaded(case, silver, brushed * (1.12 - 0.42 * np.clip((y - 104) / 212, 0, 1)))
    canvas.shaded(box_points(34, 106, 466, 112, 5), (1, 1, 1), 0.95 + 0 * y, 0.65)
    canvas.shaded(box_points(30, 296, 470, 316, 12), black, brushed, 0.9)

    for left, width in ((60, 26), (96, 26), (132, 26), (330, 26), (366, 26), (402, 26)):
        canvas.shaded(box_points(left, 94, left + width, 106, 3), (0.20, 0.20, 0.21), 1.7 - (y - 94) / 12)
    for middle in (104, 396):
        _speaker(canvas, rng, (middle, 222), 66)
    _tuner(canvas, (182, 118, 318, 164))
    _deck(canvas, (180, 172, 320, 262))

    for k in range(6):
        left = 180 + 23.5 * k
        key = box_points(left, 270, left + 21.5, 290, 2)
        canvas.polygon(np.add(key, (0, 2)), (0.03, 0.03, 0.03))
        canvas.shaded(key, (0.80, 0.12, 0.10) if k == 0 else (0.86, 0.86, 0.87), 1.10 - 0.35 * (y - 270) / 20)
        cx, cy, ink = left + 10.7, 280, (0.95, 0.95, 0.95) if k == 0 else (0.12, 0.12, 0.13)
        for shape_points in _key_signs(k):
            canvas.polygon(np.add(shape_points, (cx, cy)), ink)
    canvas.text((104, 134), "STEREO", 13, (0.20, 0.20, 0.22))
    canvas.text((396, 134), "CASSETTE", 13, (0.20, 0.20, 0.22))
    canvas.text((250, 306), "RADIO CASSETTE RECORDER", 8.5, (0.80, 0.80, 0.82))
    sheen = blur(canvas.mask([(30, 200), (210, 104), (290, 104), (30, 250)]) * canvas.mask(case), 10 * canvas.scale)
    canvas.paint(sheen, (1, 1, 1), 0.07)


def _speaker(canvas: Canvas, rng, centre, radius: float) -> None:
    """A loudspeaker behind a perforated grille."""
    canvas = canvas.inside(ellipse_points(centre, radius + 6))
    x, y = canvas.grid()
    far = np.hypot(x - centre[0], y - centre[1]) / radius
    slope = ((x - centre[0]) + (y - centre[1])) / radius
    canvas.shaded(ellipse_points(centre, radius + 5), (0.88, 0.88, 0.90), 0.75 + 0.25 * slope)
    canvas.shaded(ellipse_points(centre, radius + 1.5), (0.30, 0.30, 0.31), 1 - 0.35 * slope)
    cone = 0.62 + 0.38 * np.cos(far * 9) * smoothstep(1.0, 0.8, far) - 0.30 * slope * smoothstep(0.9, 0.4, far)
    canvas.shaded(ellipse_points(centre, radius - 2), (0.16, 0.16, 0.17), np.clip(cone, 0.15, 2))
    canvas.shaded(ellipse_points(centre, radius * 0.30), (0.24, 0.24, 0.25), np.clip(1.0 - 1.6 * slope, 0.3, 1.9))
    pitch = 4.2
    row = np.floor(y / (pitch * 0.87))
    hole = np.hypot((x / pitch + 0.5 * (row % 2)) % 1 - 0.5, (y / (pitch * 0.87)) % 1 - 0.5)
    mesh = smoothstep(0.26, 0.36, hole) * (far < 0.965)
    canvas.paint(mesh.astype(np.float32), (0.42, 0.42, 0.44), 0.42)


def _tuner(canvas: Canvas, box) -> None:
    """The scale of a radio, with its needle."""
    left, top, right, bottom = box
    _, y = canvas.grid()
    canvas.polygon(box_points(left - 2, top - 2, right + 2, bottom + 2, 4), (0.35, 0.35, 0.36))
    canvas.shaded(box_points(left, top, right, bottom, 3), (0.07, 0.08, 0.09), 1.9 - 1.4 * (y - top) / (bottom - top))
    for k in range(29):
        mark = left + 10 + k * (right - left - 20) / 28
        canvas.stroke([(mark, top + 24), (mark, top + (30 if k % 4 == 0 else 27))], (0.90, 0.88, 0.78), 0.7)
    for k, word in enumerate(("88", "92", "96", "100", "104", "108")):
        canvas.text((left + 14 + k * 21.5, top + 14), word, 9, (0.93, 0.90, 0.76))
    canvas.text((left + 16, bottom - 7), "FM", 8, (0.60, 0.85, 0.65))
    canvas.stroke([(left + 82, top + 4), (left + 82, bottom - 4)], (0.95, 0.25, 0.12), 1.4)


def _deck(canvas: Canvas, box) -> None:
    """The cassette's door: a cassette with its label and two spools behind a window."""
    left, top, right, bottom = box
    _, y = canvas.grid()
    middle = (left + right) / 2
    canvas.polygon(box_points(left - 2, top - 2, right + 2, bottom + 2, 6), (0.50, 0.50, 0.52))
    canvas.shaded(box_points(left, top, right, bottom, 5), (0.10, 0.10, 0.11), 1.5 - 0.8 * (y - top) / (bottom - top))
    tape = box_points(left + 12, top + 9, right - 12, bottom - 8, 4)
    canvas.shaded(tape, (0.20, 0.19, 0.19), 1.2 - 0.4 * (y - top) / (bottom - top))
    canvas.polygon(box_points(left + 18, top + 14, right - 18, bottom - 26, 3), (0.93, 0.90, 0.80))
    canvas.polygon(box_points(left + 18, top + 30, right - 18, top + 36), (0.86, 0.36, 0.12))
    canvas.polygon(box_points(left + 18, top + 38, right - 18, top + 42), (0.20, 0.36, 0.58))
    canvas.text((middle, top + 22), "MIX TAPE   SIDE A", 9, (0.20, 0.22, 0.42))
    canvas.polygon(box_points(middle - 40, top + 38, middle + 40, top + 62, 11), (0.10, 0.10, 0.10))
    canvas.polygon(box_points(middle - 13, top + 42, middle + 13, top + 58, 2), (0.30, 0.22, 0.18))
    for side, spool in ((-1, 15), (1, 9)):
        centre = (middle + side * 27, top + 50)
        canvas.ellipse(centre, min(spool, 11.5), (0.22, 0.14, 0.10))
        canvas.ellipse(centre, 8.5, (0.95, 0.94, 0.92))
        canvas.ellipse(centre, 5.5, (0.12, 0.12, 0.12))
        for angle in range(15, 375, 60):
            canvas.stroke(
                np.stack([ellipse_points(centre, r, 0, angle, angle, 1)[0] for r in (3.4, 6.2)]),
                (0.95, 0.94, 0.92),
                1.6,
            )
    trapezium = [
        (middle - 44, bottom - 8),
        (middle - 38, bottom - 22),
        (middle + 38, bottom - 22),
        (middle + 44, bottom - 8),
    ]
    canvas.polygon(trapezium, (0.26, 0.25, 0.25))
    for offset in (-24, 24):
        canvas.ellipse((middle + offset, bottom - 14), 2.6, (0.05, 0.05, 0.05))
    canvas.paint(
        canvas.mask([(left + 6, bottom - 6), (left + 62, top + 4), (left + 96, top + 4), (left + 40, bottom - 6)]),
        (1, 1, 1),
        0.09,
    )


def _key_signs(key: int) -> list:
    """What is printed on the keys: record, play, rewind, forward, stop, pause; polygons about (0, 0)."""
    right = np.array([(-3, -4), (4, 0), (-3, 4)], float)
    return [
        [ellipse_points((0, 0), 4)],
        [right],
        [right * [-0.8, 1] - (3.5, 0), right * [-0.8, 1] + (3.5, 0)],
        [right * [0.8, 1] - (3.5, 0), right * [0.8, 1] + (3.5, 0)],
        [box_points(-3.6, -3.6, 3.6, 3.6)],
        [box_points(-4, -4, -1.2, 4), box_points(1.2, -4, 4, 4)],
    ][key]
