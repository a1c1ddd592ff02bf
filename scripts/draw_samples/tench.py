"""A tench in its angler's hands."""

import numpy as np

from scripts.draw_samples.drawing import Canvas, blur, box_points, curve, mix, noise, smoothstep
from scripts.draw_samples.nature import grass, leaves


def tench(canvas: Canvas, rng: np.random.Generator) -> None:
    """A tench, olive and bronze, that an angler holds out in both hands before a pond's green bank."""
    shape = canvas.pixels.shape[:2]
    _, y = canvas.grid()
    canvas.fill(mix((0.62, 0.70, 0.72), (0.30, 0.40, 0.20), np.broadcast_to(smoothstep(20, 150, y), shape)))
    bank = canvas.layer()
    for left in range(-20, 540, 70):
        leaves(bank, rng, (left, 70 + 30 * rng.random()), (70, 80), (0.24, 0.34, 0.13), 420, 5)
    canvas.put(bank.blurred(3.5))
    water = np.array((0.36, 0.43, 0.36), np.float32) * (1 + 0.12 * noise(rng, shape, (24, 3), 4, 0.7))[..., None]
    canvas.paint(blur(canvas.mask(box_points(-5, 140, 505, 215)), 2 * canvas.scale), water)
    meadow = canvas.layer()
    meadow.polygon(box_points(-9, 212, 510, 380), (0.24, 0.33, 0.11))
    grass(meadow, rng, 1500, 205, 400, (16, 40), [(0.33, 0.46, 0.15), (0.26, 0.38, 0.11), (0.42, 0.50, 0.20)], width=2)
    canvas.put(meadow.blurred(2.2))
    _angler(canvas, rng)
    _fish(canvas, rng)
    for centre, mirror in (((168, 262), 1), ((322, 258), -1)):
        _hand(canvas, centre, mirror)


def _angler(canvas: Canvas, rng) -> None:
    """The chest and arms of a person in a green jacket, slightly out of focus; the head is above the picture."""
    person = canvas.layer()
    x, _ = person.grid()
    shape = person.pixels.shape[:2]
    cloth, folds = np.array((0.20, 0.25, 0.20)), 1 + 0.13 * noise(rng, shape, (6, 7), 4)
    light = folds * (1.12 - 0.45 * smoothstep(180, 340, x))
    person.shaded(
        [(160, 380), (152, 90), (176, 20), (216, -8), (284, -8), (326, 20), (350, 92), (342, 380)], cloth, light
    )
    person.shaded([(214, -8), (286, -8), (262, 34), (250, 60), (238, 34)], (0.62, 0.45, 0.36), light * 0.9)
    person.shaded([(212, -8), (222, -8), (252, 62), (240, 74)], cloth * 1.35, light)
    person.shaded([(288, -8), (278, -8), (250, 62), (262, 74)], cloth * 0.8, light)
    person.stroke([(250, 62), (250, 240)], cloth * 0.45, 1.6)
    for points, shade in (
        ([(176, 24), (124, 70), (94, 150), (84, 230), (104, 280), (146, 298)], 1.15),
        ([(326, 24), (380, 72), (408, 150), (416, 228), (394, 278), (346, 294)], 0.8),
    ):
        arm = curve(points, 40)
        widths = np.linspace(29, 20, 40)[:, None]
        across = np.gradient(arm, axis=0)[:, ::-1] * (1, -1)
        across /= np.linalg.norm(across, axis=1, keepdims=True)
        outline = np.concatenate([arm - across * widths, (arm + across * widths)[::-1]])
        person.shadow(np.add(outline, (3, 4)), 6, 0.5)
        person.pixels[..., 3] = np.maximum(person.pixels[..., 3], person.mask(outline))
        person.shaded(outline, cloth * shade, folds)
        person.stroke(arm[6:34] - across[6:34] * 12, cloth * shade * 1.35, 5)
    canvas.put(person.blurred(1.5))


def _fish(canvas: Canvas, rng) -> None:
    """The fish itself, its head to the left: a lofted body with small scales, five fins and a red eye."""
    shape = canvas.pixels.shape[:2]
    x, y = canvas.grid()
    outline = np.array(
        [  # x, back, belly
            (46, 200, 206),
            (54, 186, 216),
            (72, 170, 228),
            (100, 152, 241),
            (140, 132, 256),
            (190, 118, 266),
            (240, 116, 266),
            (290, 126, 256),
            (335, 146, 240),
            (372, 162, 226),
            (400, 168, 220),
            (422, 166, 222),
        ],
        float,
    )
    across = np.linspace(46, 422, 300)
    smooth = curve(outline, 900)
    back, belly = (np.interp(across, smooth[:, 0], smooth[:, k]) for k in (1, 2))
    body = np.concatenate([np.stack([across, back], -1), np.stack([across, belly], -1)[::-1]])
    canvas.shadow(np.add(body, (6, 16)), 9, 0.5)

    fin = np.array((0.20, 0.18, 0.11))
    tail = [(408, 168), (440, 146), (474, 126), (484, 150), (480, 192), (488, 238), (474, 256), (440, 238), (408, 222)]
    dorsal = [(200, 122), (222, 84), (240, 66), (262, 70), (284, 92), (296, 130)]
    anal = [(318, 244), (334, 274), (352, 286), (366, 270), (364, 228)]
    pelvic = [(216, 262), (226, 292), (246, 304), (262, 288), (252, 260)]
    for points, root, spread in (
        (tail, (396, 195), 11),
        (dorsal, (246, 132), 9),
        (anal, (340, 236), 8),
        (pelvic, (234, 256), 8),
    ):
        _fin(canvas, rng, points, root, fin, spread)

    column = np.broadcast_to(x, shape)
    top, bottom = (np.interp(column, across, edge).astype(np.float32) for edge in (back, belly))
    t = np.clip((y - top) / np.maximum(bottom - top, 1) * 2 - 1, -1, 1)
    facing = np.sqrt(np.clip(1 - t * t, 0, 1))
    mottle = noise(rng, shape, (10, 14), 5, 0.6)
    colour = mix((0.17, 0.17, 0.07), (0.42, 0.36, 0.12), smoothstep(-0.9, 0.1, t + 0.10 * mottle))
    colour = mix(colour, (0.66, 0.52, 0.20), smoothstep(0.15, 0.85, t + 0.10 * mottle))
    light = 0.42 + 0.62 * np.clip(facing * 0.55 - t * 0.65, 0, 1) + 0.18 * facing
    pitch = 4.6
    row = np.floor(y / (pitch * 0.6))
    scale_x, scale_y = (x / pitch + 0.5 * (row % 2)) % 1 - 0.3, (y / (pitch * 0.6)) % 1 - 0.5
    scales = smoothstep(0.40, 0.62, np.hypot(scale_x, scale_y)) * smoothstep(118, 140, x)
    light = light * (1 - 0.20 * scales) * (1 + 0.05 * mottle)
    wet = smoothstep(0.16, 0.0, np.abs(t + 0.52 + 0.05 * mottle)) * smoothstep(
        0.1, 1.1, noise(rng, shape, (30, 18), 4) + 0.5
    )
    wet = wet * smoothstep(60, 120, x) * smoothstep(420, 330, x)
    surface = colour * light[..., None] + 0.42 * wet[..., None] * np.array((1.0, 1.0, 0.95), np.float32)
    canvas.paint(canvas.mask(body), surface)

    line = np.stack([across[60:], (back + 0.47 * (belly - back))[60:] + 6 * np.sin(np.linspace(0, 2.5, 240))], -1)
    canvas.stroke(line, (0.16, 0.14, 0.06), 0.9)
    gill = curve([(120, 148), (136, 176), (136, 210), (118, 246)], 40)
    canvas.shadow(np.concatenate([gill - (1, 0), np.add(gill, (6, 0))[::-1]]), 1.8, 0.75, (0.07, 0.06, 0.02))
    canvas.stroke(gill - (3, 0), (0.58, 0.48, 0.20), 1.6)
    canvas.stroke(curve([(96, 168), (106, 190), (100, 226)], 30), (0.22, 0.18, 0.07), 1.2)
    mouth = curve([(47, 207), (56, 209), (64, 216)], 20)
    canvas.stroke(mouth, (0.10, 0.07, 0.04), 2.4)
    canvas.stroke(mouth - (0, 3.4), (0.66, 0.50, 0.30), 2.6)
    canvas.stroke(np.add(mouth, (0, 3.2)), (0.62, 0.46, 0.28), 2.2)
    canvas.stroke(curve([(64, 217), (66, 223), (63, 228)], 10), (0.45, 0.34, 0.18), 1.5)
    canvas.ellipse((60, 190), 1.6, (0.08, 0.06, 0.03))
    canvas.ellipse((80, 184), 7.2, (0.14, 0.11, 0.05))
    canvas.ellipse((80, 184), 6.0, (0.80, 0.26, 0.08))
    canvas.ellipse((80, 184), 3.4, (0.02, 0.02, 0.02))
    canvas.ellipse((78, 181.6), 1.4, (1, 1, 1), 0.9)
    _fin(
        canvas, rng, [(138, 224), (164, 218), (188, 230), (192, 248), (176, 258), (150, 246)], (134, 232), fin * 1.25, 8
    )


def _fin(canvas: Canvas, rng, outline, root, colour, spread: float) -> None:
    """A rounded fin with rays that fan out from `root`."""
    outline = curve([*outline, outline[0]], 80)
    canvas = canvas.inside(outline)
    mask = canvas.mask(outline)
    x, y = canvas.grid()
    angle = np.arctan2(y - root[1], x - root[0])
    far = np.hypot(x - root[0], y - root[1])
    rays = 0.5 + 0.5 * np.cos(angle * 10 * spread * 0.6)
    light = (0.75 + 0.55 * rays) * (1.30 - 0.006 * far)
    canvas.paint(mask, np.asarray(colour, np.float32) * light[..., None], 0.96)


def _hand(canvas: Canvas, centre, mirror: int) -> None:
    """A hand that holds the belly from below: the fingers curl over it, the palm is behind."""
    skin = np.array((0.80, 0.57, 0.45))
    centre = np.asarray(centre, float)

    def at(*points):
        return np.asarray(points, float) * (mirror, 1) + centre

    hand = Canvas(canvas.units, canvas.scale)
    for root, knuckle, tip, width in (
        ((-30, 26), (-27, 6), (-19, -8), 12.5),
        ((-17, 30), (-13, 4), (-4, -15), 13.5),
        ((-3, 31), (2, 6), (12, -14), 13.5),
        ((12, 28), (17, 8), (26, -7), 12.5),
    ):
        finger = curve(at(root, knuckle, tip), 30)
        hand.stroke(np.add(finger, (1.5, 1.5)), skin * 0.42, width + 1.5)
        for share, shade in ((1.0, 0.66), (0.84, 0.78), (0.64, 0.89), (0.42, 0.98), (0.2, 1.05)):
            hand.stroke(
                finger - (0.16 * width * (1 - share), 0.10 * width * (1 - share)),
                np.clip(skin * shade, 0, 1),
                width * share,
            )
        nail = finger[-1] - 0.1 * width
        hand.ellipse(nail, (3.3, 4.2), (0.88, 0.68, 0.60), 0.8, 25 * mirror)
        hand.stroke([finger[14] - (3.4, 0.6), finger[14] + (2.6, 0.6)], skin * 0.80, 0.7)
    heel = curve(at((-42, 20), (-30, 26), (-5, 32), (18, 28), (30, 24), (26, 42), (-8, 50), (-44, 44), (-42, 20)), 60)
    _, y = hand.grid()
    hand.shaded(heel, skin, 0.86 - 0.010 * (y - centre[1] - 20))
    shade = hand.pixels[..., 3].copy()
    canvas.paint(blur(shade, 4 * canvas.scale), (0.04, 0.03, 0.01), 0.55)
    canvas.put(hand.blurred(0.7))
