"""The scenes: one function each, `scene(canvas, rng)`, which paints 500 x 375 units."""

import numpy as np

from .drawing import (
    Camera,
    Canvas,
    blur,
    box_points,
    curve,
    draw_facets,
    ellipse_points,
    facets,
    mix,
    noise,
    smoothstep,
    unit,
)
from .nature import grass, ground, leaves, sky, tree


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


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """Each row (N, 3) made length 1."""
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _turn(about_x: float, about_y: float) -> np.ndarray:
    """The rotation matrix (3, 3) about x, then y; angles in radians."""
    c, s = np.cos(about_x), np.sin(about_x)
    first = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    c, s = np.cos(about_y), np.sin(about_y)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]) @ first


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
    camera = Camera((-20, 2.2, -33), (0.6, 12.2, 6), 54)

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
    for corners, light in ((((-eave, high - 0.5, -0.5 + eave), (-eave, high - 0.5, -0.5 - eave)), 1.0),
                           (((-eave, high - 0.5, -0.5 - eave), (eave, high - 0.5, -0.5 - eave)), side_light)):
        spire = _tiles(rng, (5, 11), scale, (0.40, 0.43, 0.47))
        spire.pixels *= spire.mask([(2.5, 0), (5, 11), (0, 11)])[..., None]
        half = (np.asarray(corners[1]) - corners[0]) / 2
        put(spire, [apex - half, apex + half, corners[1], corners[0]], light, 0.0)
    cross = camera.project([apex, apex + [0, 1.7, 0], apex + [-0.5, 1.1, 0], apex + [0.5, 1.1, 0]])
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


def gas_pump(canvas: Canvas, rng: np.random.Generator) -> None:
    """An old red petrol pump with its globe, dial and hose, before the boards of a station."""
    shape = canvas.pixels.shape[:2]
    x, y = canvas.grid()
    boards = 1 + 0.05 * rng.standard_normal(40).astype(np.float32)[np.floor(y / 17).astype(int)]
    lap = 1 + 0.06 * ((y / 17) % 1) - 0.45 * smoothstep(0.90, 0.97, (y / 17) % 1)
    grain = noise(rng, shape, (120, 6), 4, 0.7)
    wall = np.array((0.80, 0.79, 0.72), np.float32) * (boards * lap * (1 + 0.035 * grain))[..., None]
    canvas.fill(wall)
    window = box_points(18, 62, 128, 190)
    canvas.polygon(box_points(10, 54, 136, 198), (0.88, 0.86, 0.80))
    canvas.shaded(window, (0.24, 0.30, 0.34), 0.8 + 0.5 * noise(rng, shape, (2, 3), 3) * 0.5)
    canvas.stroke([(73, 62), (73, 190)], (0.88, 0.86, 0.80), 5)
    canvas.stroke([(18, 126), (128, 126)], (0.88, 0.86, 0.80), 5)
    canvas.blurred(0.8)
    ground(canvas, rng, 322, (0.60, 0.58, 0.55), (0.66, 0.64, 0.60), 0.06, (90, 120))
    canvas.shadow(box_points(250, 40, 420, 322), 12, 0.40)
    canvas.shadow([(170, 352), (330, 352), (470, 326), (340, 322)], 6, 0.60)

    across = (x - 250) / 82
    round_light = 0.52 + 0.62 * np.exp(-(((across + 0.42) / 0.42) ** 2)) - 0.22 * smoothstep(0.3, 1.0, across)
    wear = 1 - 0.07 * np.clip(noise(rng, shape, (6, 8), 5, 0.6), 0, 3)
    light = round_light * wear
    red, cream, chrome = (0.78, 0.09, 0.07), (0.93, 0.89, 0.78), (0.80, 0.82, 0.84)
    canvas.shaded(box_points(160, 336, 340, 358, 4), (0.62, 0.60, 0.56), 0.75 + 0.25 * round_light)
    canvas.shaded(box_points(168, 84, 332, 340, 26), red, light)
    canvas.shaded(box_points(168, 318, 332, 340, 3), (0.10, 0.10, 0.10), light)
    glint = blur(canvas.mask(box_points(210, 96, 216, 310, 3)), 2.2 * canvas.scale)
    canvas.paint(glint, (1, 0.93, 0.9), 0.5)

    canvas.shaded(box_points(184, 106, 316, 226, 16), chrome, 0.4 + 0.6 * light)
    canvas.polygon(box_points(190, 112, 310, 220, 12), cream)
    canvas.shaded(box_points(190, 112, 310, 220, 12), cream, 0.70 + 0.35 * light)
    canvas.shadow(box_points(190, 112, 310, 119, 3), 2.5, 0.5)
    canvas.text((250, 126), "THIS SALE", 11, (0.15, 0.13, 0.12))
    for row, (figures, word) in enumerate((("$ 02.47", "TOTAL"), ("09.5", "GALLONS"), ("26.0", "PRICE PER GALLON"))):
        top, half = 134 + 27 * row, (46, 36, 28)[row]
        canvas.polygon(box_points(250 - half, top, 250 + half, top + 17, 2), (0.06, 0.06, 0.07))
        canvas.shaded(box_points(250 - half, top, 250 + half, top + 5, 2), (0.3, 0.3, 0.3), 0.6, 0.5)
        canvas.text((250, top + 8.5), figures, 16, (0.93, 0.92, 0.86))
        canvas.text((250, top + 22), word, 6.5, (0.25, 0.2, 0.18))
    canvas.paint(canvas.mask([(190, 190), (262, 112), (290, 112), (190, 220)]), (1, 1, 1), 0.10)
    for y_band in (236, 243, 250):
        canvas.shaded(box_points(168, y_band, 332, y_band + 3), chrome, 0.35 + 0.75 * light)
    canvas.ellipse((250, 286), (40, 25), cream)
    canvas.ellipse((250, 286), (36, 21.5), (0.10, 0.18, 0.45))
    canvas.text((250, 286), "REGULAR", 14, (0.95, 0.93, 0.86))

    canvas.shaded(box_points(232, 66, 268, 88, 3), chrome, 0.3 + 0.7 * light)
    globe = np.sqrt(((x - 250) / 38) ** 2 + ((y - 40) / 34) ** 2)
    glow = np.clip(1.05 - 0.35 * globe**3 - 0.15 * (x - 236) / 40, 0, 1.1)
    canvas.shaded(ellipse_points((250, 40), (38, 34)), (0.97, 0.95, 0.88), glow)
    canvas.shaded(ellipse_points((250, 40), (33, 29)), red, glow)
    canvas.shaded(box_points(217, 31, 283, 50), (0.97, 0.95, 0.88), glow)
    canvas.text((250, 40.5), "GAS", 19, (0.12, 0.16, 0.42))
    canvas.ellipse((238, 24), (9, 5), (1, 1, 1), 0.55, -25)

    hose = curve([(332, 250), (372, 262), (392, 310), (376, 338), (356, 300), (352, 220), (347, 172)], 80)
    canvas.shadow(np.concatenate([hose + (10, 5), hose[::-1] + (14, 6)]), 3, 0.45)
    for width, shade in ((9, 0.05), (6, 0.11), (2.2, 0.26)):
        canvas.stroke(hose - ((9 - width) * 0.12, 0), (shade, shade, shade), width)
    canvas.shaded(box_points(330, 128, 352, 188, 4), (0.25, 0.25, 0.27), 0.7 + 0.5 * light)
    canvas.stroke(curve([(347, 176), (350, 150), (345, 128), (330, 118)], 20), (0.55, 0.57, 0.60), 9)
    canvas.stroke(curve([(346, 174), (348, 150), (343, 130), (330, 119)], 20), (0.85, 0.87, 0.9), 3)
    canvas.stroke(curve([(352, 166), (362, 150), (354, 132)], 14), (0.30, 0.30, 0.32), 3.2)
