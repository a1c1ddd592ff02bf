"""A village church."""

import numpy as np

from scripts.draw_samples.drawing import Camera, Canvas, blur, box_points, mix, noise
from scripts.draw_samples.nature import grass, ground, leaves, sky, tree


def church(canvas: Canvas, rng: np.random.Generator) -> None:
    """A stone village church with a tiled roof and a steeple, among trees, on a summer day."""
    sky(canvas, rng, (0.20, 0.42, 0.76), (0.70, 0.83, 0.95), 300, clouds=0.45, cells=(2.5, 2))
    for x, tall, wide in ((-5, 120, 70), (60, 95, 60), (430, 105, 70), (500, 150, 85), (365, 70, 55)):
        far = canvas.layer()
        tree(far, rng, x, 326, tall, wide, (0.25, 0.34, 0.13), 1100, 3.4)
        canvas.put(far.blurred(0.8))
    leaves(canvas, rng, (250, 318), (330, 22), (0.22, 0.31, 0.12), 2600, 3.0)
    ground(canvas, rng, 318, (0.36, 0.46, 0.17), (0.30, 0.42, 0.12), 0.12)

    scale = canvas.scale * 13
    stone, side_light = (0.80, 0.72, 0.58), 0.60
    camera = Camera((-20, 2.2, -33), (0.6, 12.5, 6), 55)

    def put(texture, corners, light=1.0, fade=0.25):
        height = np.linspace(0, 1, texture.pixels.shape[0], dtype=np.float32)[:, None, None]
        texture.pixels[..., :3] *= light * (1 - fade * height**6)
        canvas.put_quad(texture, camera.project(np.asarray(corners, float)))

    # x runs along the front, z along the nave. The tower stands before the nave; the sun comes from the left.
    wide, long, wall, ridge, tower, high = 5.0, 17.0, 5.6, 10.8, 2.5, 14.5
    shadow = camera.project([(-wide, 0, 2), (wide, 0, 2), (wide + 7, 0, 5), (wide + 7, 0, 20), (tower, 0, -3)])
    canvas.shadow(shadow, 4, 0.55, (0.03, 0.06, 0.02))

    front = _masonry(rng, (2 * wide, ridge), scale, stone)
    for x in (1.15, 2 * wide - 1.15):
        _lancet(front, x, ridge - 1.6, 0.8, 2.7)
    roof_line = np.array([(0, ridge - wall), (wide, 0), (2 * wide, ridge - wall), (2 * wide, ridge), (0, ridge)])
    front.pixels *= front.mask(roof_line)[..., None]
    put(front, [(-wide, ridge, 2), (wide, ridge, 2), (wide, 0, 2), (-wide, 0, 2)], side_light)

    side = _masonry(rng, (long, wall), scale, stone)
    for k in range(5):
        _lancet(side, 2.0 + 3.3 * k, wall - 1.3, 1.05, 3.0)
        left = 0.1 + 3.3 * k
        side.polygon(box_points(left, 1.1, left + 0.55, wall), np.asarray(stone) * 0.88)
        side.polygon(box_points(left + 0.55, 1.3, left + 0.85, wall), np.asarray(stone) * 0.45, 0.6)
    side.shadow(box_points(0, 0, long, 0.45), 0.12, 0.75)
    put(side, [(-wide, wall, 2 + long), (-wide, wall, 2), (-wide, 0, 2), (-wide, 0, 2 + long)], 1.0)
    roof = _tiles(rng, (long, 7), scale, (0.56, 0.26, 0.18))
    eaves = -wide - 0.5, wall - 0.5
    put(roof, [(0, ridge, 2 + long), (0, ridge, 1.8), (*eaves, 1.8), (*eaves, 2 + long)], 1.05, 0.1)

    for face in ("front", "left"):
        masonry = _masonry(rng, (2 * tower, high), scale, stone)
        _lancet(masonry, tower, 5.0, 1.7, 3.2)
        masonry.polygon(box_points(tower - 0.75, 3.0, tower + 0.75, 3.1), (0.3, 0.26, 0.2))
        for y in (6.1, 10.0):
            masonry.polygon(box_points(0, y, 2 * tower, y + 0.22), (0.84, 0.78, 0.68))
            masonry.polygon(box_points(0, y + 0.22, 2 * tower, y + 0.42), (0.2, 0.17, 0.13), 0.5)
        for x in (0.0, 2 * tower - 0.5):
            masonry.polygon(box_points(x, 0, x + 0.5, high), (0.86, 0.79, 0.67), 0.5)
        masonry.ellipse((tower, 7.9), 0.95, (0.86, 0.83, 0.74))
        masonry.ellipse((tower, 7.9), 0.8, (0.12, 0.13, 0.16))
        for hand in ((0.05, -0.65), (0.4, 0.2)):
            masonry.stroke([(tower, 7.9), (tower + hand[0], 7.9 + hand[1])], (0.9, 0.8, 0.4), 0.09)
        if face == "front":
            _lancet(masonry, tower, high, 1.9, 3.3, 0.3, (0.24, 0.12, 0.07))
            put(masonry, [(-tower, high, -3), (tower, high, -3), (tower, 0, -3), (-tower, 0, -3)], side_light)
        else:
            _lancet(masonry, tower, high - 1.4, 0.8, 2.2)
            put(masonry, [(-tower, high, 2), (-tower, high, -3), (-tower, 0, -3), (-tower, 0, 2)])
    apex, eave = np.array((0, 26.0, -0.5)), tower + 0.45
    for corners, light in (
        (((-eave, high - 0.5, -0.5 + eave), (-eave, high - 0.5, -0.5 - eave)), 1.0),
        (((-eave, high - 0.5, -0.5 - eave), (eave, high - 0.5, -0.5 - eave)), side_light),
    ):
        spire = _tiles(rng, (5, 11), scale, (0.40, 0.43, 0.47))
        spire.pixels *= spire.mask([(2.5, 0), (5, 11), (0, 11)])[..., None]
        half = (np.asarray(corners[1]) - corners[0]) / 2
        put(spire, [apex - half, apex + half, corners[1], corners[0]], light, 0.0)
    cross = camera.project([apex, *np.add(apex, [(0, 1.7, 0), (-0.5, 1.1, 0), (0.5, 1.1, 0)])])
    canvas.stroke(cross[:2], (0.75, 0.62, 0.25), 1.8)
    canvas.stroke(cross[2:], (0.75, 0.62, 0.25), 1.8)

    path = camera.project([(-1.2, 0, -3.2), (1.2, 0, -3.2), (0, 0, -24), (-4.5, 0, -24)])
    canvas.polygon(path, (0.66, 0.60, 0.50), 0.9)
    for x, y, size in ((352, 334, 22), (455, 338, 34), (60, 334, 22)):
        leaves(canvas, rng, (x, y - size * 0.3), (size, size * 0.6), (0.27, 0.38, 0.13), 900, 3.0)
    front_lawn = canvas.layer()
    greens = [(0.38, 0.50, 0.17), (0.30, 0.43, 0.12), (0.44, 0.52, 0.22)]
    grass(front_lawn, rng, 2600, 326, 392, (4, 15), greens, width=1.1)
    front_lawn.pixels *= 1 - 0.9 * blur(canvas.mask(path), 2 * canvas.scale)[..., None]
    canvas.put(front_lawn)


def _masonry(rng, units, scale, colour, stone=(0.5, 0.25), variety=0.10, joint=0.72) -> Canvas:
    """A wall of stones in courses, `units` (width, height) in metres, `scale` pixels per metre."""
    wall = Canvas(units, scale)
    shape = wall.pixels.shape[:2]
    x, y = wall.grid()
    course = np.floor(y / stone[1]).astype(int)
    column = np.floor(x / stone[0] + 0.5 * (course % 2)).astype(int)
    tints = 1 + variety * rng.standard_normal((64, 64)).astype(np.float32)
    tint = tints[course % 64, column % 64]
    edge_x = np.abs((x / stone[0] + 0.5 * (course % 2)) % 1 - 0.5) * stone[0]
    edge_y = np.abs((y / stone[1]) % 1 - 0.5) * stone[1]
    gap = np.maximum(edge_x - stone[0] / 2, edge_y - stone[1] / 2) > -0.018
    light = tint * np.where(gap, joint, 1) * (1 + 0.07 * noise(rng, shape, (8, 8), 5, 0.7))
    weather = 1 - 0.10 * np.clip(noise(rng, shape, (2, 3), 4), 0, 2)
    wall.fill(np.asarray(colour, np.float32) * (light * weather)[..., None])
    return wall


def _tiles(rng, units, scale, colour) -> Canvas:
    """A tiled roof, in metres like `_masonry`."""
    roof = Canvas(units, scale)
    x, y = roof.grid()
    row = y / 0.32
    column = x / 0.28 + 0.5 * (np.floor(row) % 2)
    tints = 1 + 0.13 * rng.standard_normal((64, 64)).astype(np.float32)
    light = tints[np.floor(row).astype(int) % 64, np.floor(column).astype(int) % 64] * (1.08 - 0.30 * (row % 1) ** 3)
    moss = np.clip(noise(rng, roof.pixels.shape, (3, 4), 5) - 0.6, 0, 1)
    roof.fill(mix(np.asarray(colour, np.float32) * light[..., None], (0.24, 0.24, 0.14), 0.5 * moss))
    return roof


def _lancet(wall: Canvas, x: float, sill: float, width: float, height: float, frame=0.16, glass=(0.07, 0.08, 0.11)):
    """A pointed window (or door) in a wall, its sill at y = `sill`; all in the wall's units."""

    def outline(grow):
        half, spring = width / 2 + grow, sill - height + 0.9 * width
        arc = np.linspace(0, 1, 12)
        left = np.stack([x - half * (1 - arc**1.8), spring - (spring - sill + height + grow * 1.4) * arc**0.8], -1)
        right = left[::-1] * [-1, 1] + [2 * x, 0]
        return np.concatenate([[[x - half, sill + grow]], left, right, [[x + half, sill + grow]]])

    wall.polygon(outline(frame), (0.80, 0.76, 0.68))
    wall.polygon(outline(0), glass)
    wall.polygon(outline(0) * [1, 1] + [0.35 * frame, 0.5 * frame], np.asarray(glass) * 1.5, 0.6)
    if height > 1.2 * width:
        wall.stroke([(x, sill), (x, sill - height)], (0.45, 0.43, 0.40), 0.07)
