"""Machines: a gas pump, a garbage truck, a chain saw."""

import numpy as np

from scripts.draw_samples.drawing import Camera, Canvas, blur, box_points, curve, ellipse_points, mix, noise, smoothstep
from scripts.draw_samples.nature import ground, sky, tree


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
    ground(canvas, rng, 322, (0.60, 0.58, 0.55), (0.66, 0.64, 0.60))
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
    canvas.shadow(np.concatenate([np.add(hose, (10, 5)), np.add(hose[::-1], (14, 6))]), 3, 0.45)
    for width, shade in ((9, 0.05), (6, 0.11), (2.2, 0.26)):
        canvas.stroke(hose - ((9 - width) * 0.12, 0), (shade, shade, shade), width)
    canvas.shaded(box_points(330, 128, 352, 188, 4), (0.25, 0.25, 0.27), 0.7 + 0.5 * light)
    canvas.stroke(curve([(347, 176), (350, 150), (345, 128), (330, 118)], 20), (0.55, 0.57, 0.60), 9)
    canvas.stroke(curve([(346, 174), (348, 150), (343, 130), (330, 119)], 20), (0.85, 0.87, 0.9), 3)
    canvas.stroke(curve([(352, 166), (362, 150), (354, 132)], 14), (0.30, 0.30, 0.32), 3.2)


def garbage_truck(canvas: Canvas, rng: np.random.Generator) -> None:
    """A rear-loading garbage truck on a street: white cab, green body, hopper behind; textured boxes in perspective."""
    sky(canvas, rng, (0.42, 0.60, 0.84), (0.82, 0.89, 0.95), 240, clouds=0.5, cells=(3, 3))
    houses = canvas.layer()
    left = -10.0
    for wide, tall, colour in (
        (95, 95, (0.62, 0.42, 0.34)),
        (120, 70, (0.74, 0.70, 0.62)),
        (90, 105, (0.55, 0.50, 0.47)),
        (130, 80, (0.66, 0.50, 0.40)),
        (120, 96, (0.72, 0.69, 0.66)),
    ):
        houses.polygon(box_points(left, 232 - tall, left + wide, 236), colour)
        houses.polygon(
            [
                (left - 3, 233 - tall),
                (left + wide + 3, 233 - tall),
                (left + wide - 12, 212 - tall),
                (left + 12, 212 - tall),
            ],
            np.asarray(colour) * (0.62, 0.5, 0.5),
        )
        for wx in np.arange(left + 12, left + wide - 16, 24):
            for wy in np.arange(232 - tall + 12, 214, 30):
                houses.polygon(box_points(wx, wy, wx + 11, wy + 17), (0.88, 0.87, 0.84))
                houses.polygon(box_points(wx + 1.5, wy + 1.5, wx + 9.5, wy + 15.5), (0.22, 0.26, 0.31))
        left += wide
    canvas.put(houses.blurred(1.5))
    trees = canvas.layer()
    for x, tall, wide in ((40, 110, 50), (150, 80, 40), (455, 135, 62), (380, 80, 40)):
        tree(trees, rng, x, 242, tall, wide, (0.30, 0.40, 0.16), 900, 3.6)
    canvas.put(trees.blurred(1.3))
    ground(canvas, rng, 236, (0.60, 0.59, 0.57), (0.47, 0.47, 0.47))
    canvas.polygon([(0, 236), (500, 236), (500, 243), (0, 247)], (0.36, 0.46, 0.20))
    canvas.polygon([(0, 247), (500, 243), (500, 247), (0, 253)], (0.76, 0.75, 0.72))
    canvas.polygon([(0, 253), (500, 247), (500, 249), (0, 256)], (0.33, 0.33, 0.33))
    canvas.polygon([(0, 362), (500, 322), (500, 328), (0, 372)], (0.86, 0.85, 0.80), 0.85)

    camera = Camera((-8.6, 2.3, -10.6), (-0.1, 1.75, 0), 39)
    scale, near, far = canvas.scale * 45, -1.25, 1.25
    green, white = (0.10, 0.42, 0.20), (0.90, 0.90, 0.88)

    def put(panel, corners, light=1.0):
        panel.pixels[..., :3] *= light
        canvas.put_quad(panel, camera.project(np.asarray(corners, float)))

    def side(panel, x0, y0, z=near, light=1.0):
        x1, y1 = x0 + panel.units[0], y0 + panel.units[1]
        put(panel, [(x0, y1, z), (x1, y1, z), (x1, y0, z), (x0, y0, z)], light)

    def across(panel, x, y0, light):
        y1 = y0 + panel.units[1]
        put(panel, [(x, y1, far), (x, y1, near), (x, y0, near), (x, y0, far)], light)

    def plate(width, height, colour, dirt=0.35):
        panel = Canvas((width, height), scale)
        _, y = panel.grid()
        stain = 1 + 0.035 * noise(rng, panel.pixels.shape, (3, 4), 5, 0.6)
        low = 1 - dirt * np.clip(noise(rng, panel.pixels.shape, (2, 8), 4) * 0.2 + (y / height) ** 3 * 0.8, 0, 1)
        panel.fill(np.asarray(colour, np.float32) * (stain * low)[..., None])
        return panel

    canvas.shadow(
        camera.project([(-4.7, 0, near - 0.25), (4.8, 0, near - 0.25), (5.4, 0, 2.4), (-4.2, 0, 2.4)]), 2.5, 0.80
    )
    for x in (-3.5, 1.5, 2.7):
        side(_wheel(0.52, scale), x - 0.52, 0.0, far - 0.2, 0.5)
    dark = Canvas((8.2, 0.75), scale)
    dark.fill((0.055, 0.055, 0.06))
    side(dark, -4.1, 0.38, near + 0.35)
    across(_solid((2.5, 0.7), scale, (0.04, 0.04, 0.045)), -4.3, 0.30, 1.0)

    # The body and its front wall above the cab.
    across(plate(2.5, 2.6, green), -2.55, 0.95, 0.55)
    body = plate(5.8, 2.45, green)
    for k in range(9):
        x = 0.15 + 0.685 * k
        body.polygon(box_points(x, 0.12, x + 0.12, 2.35), np.asarray(green) * 1.45)
        body.polygon(box_points(x + 0.12, 0.12, x + 0.20, 2.35), np.asarray(green) * 0.45, 0.8)
    body.polygon(box_points(0, 0, 5.8, 0.13), np.asarray(green) * 1.5)
    body.polygon(box_points(0, 2.30, 5.8, 2.45), np.asarray(green) * 0.5)
    body.polygon(box_points(1.35, 0.62, 4.35, 1.72, 0.1), (0.93, 0.93, 0.90))
    body.text((2.85, 1.02), "CITY WASTE", 0.42, (0.08, 0.34, 0.16))
    body.text((2.85, 1.45), "KEEP IT CLEAN", 0.24, (0.25, 0.30, 0.26))
    side(body, -2.55, 0.95)

    tail = plate(2.0, 2.7, green)
    outline = np.array([(0, 0.05), (0.75, 0.10), (1.75, 1.35), (1.95, 2.0), (1.8, 2.45), (0.2, 2.6), (0, 2.45)])
    tail.polygon(np.array([(0.25, 0.5), (0.7, 0.5), (1.35, 1.4), (0.25, 1.7)]), np.asarray(green) * 0.7)
    tail.stroke([(0.12, 0.1), (0.12, 2.5)], np.asarray(green) * 1.5, 0.1)
    tail.stroke([(0.8, 0.15), (1.78, 1.38), (1.9, 2.0)], np.asarray(green) * 1.5, 0.12)
    tail.stroke([(0.35, 2.0), (1.15, 0.75)], (0.75, 0.75, 0.73), 0.09)
    tail.stroke([(0.25, 2.15), (0.7, 1.45)], (0.20, 0.20, 0.20), 0.15)
    _stripes(tail, 0.35, 2.2, 1.75, 2.4, 0.18)
    tail.pixels *= tail.mask(outline)[..., None]
    side(tail, 3.25, 0.75, light=0.92)

    # The cab: the side with its door, then the front.
    cab = plate(1.75, 2.25, white, 0.3)
    cab.polygon(box_points(0.12, 0.30, 1.18, 1.12, 0.1), (0.06, 0.07, 0.08))
    cab.polygon([(0.16, 0.8), (0.7, 0.34), (1.1, 0.34), (0.5, 1.08), (0.16, 1.08)], (0.35, 0.42, 0.48), 0.7)
    cab.stroke(box_points(0.07, 0.22, 1.24, 2.0, 0.1), (0.45, 0.45, 0.44), 0.025)
    cab.polygon(box_points(1.0, 1.28, 1.18, 1.34), (0.1, 0.1, 0.1))
    cab.polygon(box_points(0, 1.50, 1.75, 1.66), green)
    cab.ellipse((0.80, 2.33), 0.66, (0.03, 0.03, 0.03))
    cab.polygon(box_points(1.42, 0.3, 1.56, 2.2), (0.30, 0.30, 0.30))
    side(cab, -4.3, 0.62)
    face = plate(2.5, 2.25, white, 0.3)
    _, y = face.grid()
    pane = box_points(0.14, 0.28, 2.36, 1.18, 0.12)
    face.shaded(pane, (0.10, 0.12, 0.14), 1.5 - 0.7 * y)
    face.polygon([(0.5, 1.16), (1.1, 0.3), (1.7, 0.3), (1.1, 1.16)], (0.40, 0.47, 0.54), 0.6)
    for x in (0.6, 1.5):
        face.stroke([(x, 1.18), (x + 0.55, 0.75)], (0.02, 0.02, 0.02), 0.035)
    face.polygon(box_points(0, 0, 2.5, 0.2), np.asarray(green) * 1.3)
    face.text((1.25, 0.105), "CITY WASTE", 0.17, (0.95, 0.95, 0.92))
    for y0 in (1.34, 1.46, 1.58):
        face.polygon(box_points(0.55, y0, 1.95, y0 + 0.07, 0.03), (0.10, 0.10, 0.11))
    face.polygon(box_points(0, 1.76, 2.5, 2.25), (0.22, 0.22, 0.23))
    for x in (0.32, 2.18):
        face.polygon(box_points(x - 0.24, 1.82, x + 0.24, 2.06, 0.06), (0.88, 0.90, 0.92))
        face.ellipse((x, 1.94), 0.09, (1.0, 1.0, 0.97))
        face.polygon(box_points(x - 0.22, 1.36, x + 0.05, 1.50, 0.04), (0.95, 0.55, 0.10))
    face.polygon(box_points(0.95, 1.86, 1.55, 2.04), (0.93, 0.86, 0.45))
    _stripes(face, 0.6, 2.12, 1.9, 2.24, 0.12)
    across(face, -4.3, 0.62, 0.86)
    edge = camera.project([(-4.3, 0.65, near), (-4.3, 2.85, near)])
    canvas.stroke(edge, (0.97, 0.97, 0.96), 1.4)
    roof = camera.project([(-4.3, 2.87, far), (-4.3, 2.87, near), (-2.57, 2.87, near)])
    canvas.stroke(roof, (0.97, 0.97, 0.96), 1.6)
    for z in (near + 0.35, far - 0.35):
        canvas.ellipse(camera.project((-4.0, 2.98, z)), (5.0, 4.0), (0.98, 0.58, 0.08))
        canvas.ellipse(camera.project((-4.03, 3.0, z)), (2.0, 1.6), (1.0, 0.85, 0.5))
    for z in (near - 0.28, far + 0.28):
        arm = camera.project([(-4.25, 2.5, z * 0.85), (-4.45, 2.5, z), (-4.45, 1.7, z)])
        canvas.stroke(arm, (0.08, 0.08, 0.08), 1.3)
        canvas.stroke(camera.project([(-4.45, 2.35, z), (-4.45, 1.85, z)]), (0.06, 0.06, 0.07), 6.0)

    for x in (-3.5, 1.5, 2.7):
        for z, shade in ((near + 0.25, 0.25), (near + 0.12, 0.35)):
            side(_solid_disc(0.52, scale, shade * 0.16), x - 0.52, 0.0, z)
        side(_wheel(0.52, scale), x - 0.52, 0.0, near - 0.02)
    guard = _solid((2.9, 0.42), scale, (0.26, 0.26, 0.27))
    guard.polygon(box_points(0.1, 0.05, 1.1, 0.40, 0.05), (0.62, 0.62, 0.62))
    guard.polygon(box_points(1.3, 0.02, 2.0, 0.40, 0.05), (0.16, 0.16, 0.17))
    side(guard, -2.35, 0.42)


def _wheel(radius: float, scale: float) -> Canvas:
    """A lorry's wheel seen along its axle: tyre, rim, hub and nuts. Units are metres."""
    wheel = Canvas((2 * radius, 2 * radius), scale)
    c = (radius, radius)
    _, y = wheel.grid()
    light = 1.0 - 0.5 * (y - radius) / radius
    wheel.shaded(ellipse_points(c, radius), (0.075, 0.075, 0.08), light)
    wheel.shaded(ellipse_points(c, 0.93 * radius), (0.12, 0.12, 0.125), light)
    wheel.ellipse(c, 0.64 * radius, (0.03, 0.03, 0.03))
    wheel.shaded(ellipse_points(c, 0.60 * radius), (0.72, 0.72, 0.70), 0.75 + 0.25 * light)
    wheel.shaded(ellipse_points(c, 0.50 * radius), (0.42, 0.42, 0.42), 1.3 - 0.6 * light)
    wheel.shaded(ellipse_points(c, 0.34 * radius), (0.70, 0.70, 0.68), 0.6 + 0.4 * light)
    for angle in map(float, range(0, 360, 45)):
        wheel.ellipse(ellipse_points(c, 0.43 * radius, 0, angle, angle, 1)[0], 0.055 * radius, (0.05, 0.05, 0.05))
        wheel.ellipse(ellipse_points(c, 0.27 * radius, 0, angle, angle, 1)[0], 0.035 * radius, (0.30, 0.30, 0.30))
    wheel.shaded(ellipse_points(c, 0.17 * radius), (0.55, 0.55, 0.54), light)
    return wheel


def _stripes(panel: Canvas, left, top, right, bottom, width: float) -> None:
    """Red and white warning stripes over a box of a panel."""
    x, y = panel.grid()
    red = ((x + y) / width % 2 < 1).astype(np.float32)[..., None]
    panel.paint(panel.mask(box_points(left, top, right, bottom)), mix((0.92, 0.91, 0.88), (0.80, 0.10, 0.08), red))


def _solid(units, scale, colour) -> Canvas:
    """A panel of one colour."""
    panel = Canvas(units, scale)
    panel.fill(np.asarray(colour, np.float32))
    return panel


def _solid_disc(radius, scale, shade) -> Canvas:
    """A grey disc, the depth of a tyre's tread."""
    panel = Canvas((2 * radius, 2 * radius), scale)
    panel.ellipse((radius, radius), radius, (shade, shade, shade))
    return panel


def chain_saw(canvas: Canvas, rng: np.random.Generator) -> None:
    """An orange chain saw on the concrete floor of a workshop, seen from above, with some sawdust."""
    shape = canvas.pixels.shape[:2]
    x, y = canvas.grid()
    light = 1.06 - 0.22 * np.hypot((x - 150) / 500, (y - 90) / 375)
    texture = 1 + 0.05 * noise(rng, shape, (90, 120), 4, 0.7) + 0.03 * noise(rng, shape, (3, 4), 4)
    canvas.fill(np.array((0.63, 0.61, 0.58), np.float32) * (light * texture)[..., None])
    chips = rng.normal((330, 250), (110, 70), (260, 2))
    for middle, angle, tone in zip(chips, rng.uniform(0, np.pi, 260), rng.uniform(0.6, 1.1, 260), strict=True):
        c, s = 2.4 * np.cos(angle), 2.4 * np.sin(angle)
        chip = np.add([(c, s), (-0.4 * s, 0.4 * c), (-c, -s), (0.4 * s, -0.4 * c)], middle)
        canvas.polygon(chip + 1.0, (0.30, 0.28, 0.25), 0.6)
        canvas.polygon(chip, np.clip(np.array((0.84, 0.70, 0.48)) * tone, 0, 1))
    _saw(canvas, rng)


def _saw(canvas: Canvas, rng) -> None:
    """The saw, drawn upright and then turned by a few degrees."""
    shape = canvas.pixels.shape[:2]
    tilt, pivot = np.radians(-27), np.array((176, 258))
    c, s = np.cos(tilt), np.sin(tilt)

    def at(points):
        return (np.asarray(points, float) - (170, 240)) @ np.array([[c, s], [-s, c]]) + pivot

    x, y = canvas.grid()
    u = c * (x - pivot[0]) + s * (y - pivot[1]) + 170
    v = -s * (x - pivot[0]) + c * (y - pivot[1]) + 240
    wear = 1 + 0.03 * noise(rng, shape, (30, 40), 4, 0.7)
    orange, black, steel = (0.93, 0.36, 0.06), (0.12, 0.12, 0.13), (0.74, 0.75, 0.76)

    nose = ellipse_points((462, 205), (19, 19), 0, -90, 90, 24)
    bar = np.concatenate([[(232, 184), (340, 183)], nose, [(340, 226), (232, 226)]])
    canvas.shadow(np.add(at(bar), (6, 34)), 7, 0.55)
    canvas.shadow(np.add(at(box_points(60, 200, 260, 258, 16)), (6, 20)), 8, 0.65)
    chain = np.concatenate(
        [
            [(232, 181), (340, 179.5)],
            ellipse_points((462, 205), (22.5, 22.5), 0, -90, 90, 24),
            [(340, 229.5), (232, 229)],
        ]
    )
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(chain, axis=0), axis=1))])
    steps = np.arange(0, length[-1], 6.5)
    links = np.stack([np.interp(steps, length, chain[:, k]) for k in (0, 1)], -1)
    along = np.gradient(links, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    out = np.stack([along[:, 1], -along[:, 0]], -1)
    for k, (link, a, o) in enumerate(zip(links, along, out, strict=True)):
        if k % 2 == 0:
            tooth = [
                link - 3.4 * a,
                link + 3.4 * a,
                link + 3.0 * a + 6.2 * o,
                link - 0.6 * a + 4.6 * o,
                link - 3 * a + 2 * o,
            ]
            canvas.polygon(at(tooth), (0.36, 0.36, 0.38) if k % 4 else (0.58, 0.58, 0.60))
    canvas.stroke(at(chain), (0.10, 0.10, 0.11), 6.5)
    for link, a in zip(links, along, strict=True):
        canvas.stroke(at([link - 1.8 * a, link + 1.8 * a]), (0.46, 0.46, 0.48), 3.0)
    canvas.shaded(at(bar), steel, wear * (1.10 - 0.30 * (v - 183) / 40 + 0.25 * np.exp(-(((u - 380) / 34) ** 2))))
    canvas.stroke(at([(250, 205), (440, 205)]), (0.55, 0.56, 0.57), 1.2)
    canvas.ellipse(at([(462, 205)])[0], 4.0, (0.34, 0.34, 0.35))
    _turned_text(canvas, at, (268, 190, 420, 220), "TIMBER", 26, (0.85, 0.20, 0.08))

    # Handles: the rear one is a loop, the front one a tube over the engine.
    rear = curve([(108, 176), (70, 164), (36, 172), (22, 200), (26, 232), (52, 246), (110, 246)], 60)
    front = curve([(150, 250), (138, 200), (142, 132), (168, 104), (214, 104), (232, 128), (236, 160)], 70)
    for path, width in ((rear, 19), (front, 14)):
        for share, shade in ((1.0, 0.05), (0.78, 0.10), (0.5, 0.15), (0.18, 0.34)):
            canvas.stroke(
                at(path) - (0.10 * width * (1 - share), 0.16 * width * (1 - share)),
                (shade, shade, shade),
                width * share,
            )
        if path is rear:
            _engine(canvas, at, v, wear, orange, black)
    guard = curve([(240, 178), (252, 140), (250, 100), (240, 82), (232, 84), (238, 106), (236, 140), (226, 178)], 50)
    canvas.shaded(at(guard), black, 1.4 - 0.5 * (u - 226) / 26)
    canvas.stroke(at(curve([(246, 150), (247, 104), (238, 88)], 20)), (0.36, 0.36, 0.37), 1.6)


def _engine(canvas: Canvas, at, v, wear, orange, black) -> None:
    """The housing: orange shells, cooling slots, the starter, the caps, the cover over the chain's sprocket."""
    shell = curve(
        [
            (88, 172),
            (112, 152),
            (160, 146),
            (214, 152),
            (244, 172),
            (252, 200),
            (250, 246),
            (238, 258),
            (100, 258),
            (84, 246),
            (82, 196),
            (88, 172),
        ],
        90,
    )
    light = wear * (1.14 - 0.55 * np.clip((v - 146) / 112, 0, 1))
    canvas.shaded(at(shell), orange, light)
    canvas.shaded(at(box_points(84, 232, 252, 259, 9)), (0.24, 0.24, 0.25), light * 1.1)
    canvas.shaded(
        at(curve([(98, 168), (118, 156), (164, 150), (208, 155), (232, 168), (190, 166), (130, 166), (98, 168)], 60)),
        (1.0, 0.66, 0.38),
        1.0,
        0.75,
    )
    cover = box_points(186, 180, 262, 236, 14)
    canvas.shadow(np.add(at(cover), (1, 3)), 3, 0.5)
    canvas.shaded(at(cover), (0.90, 0.90, 0.88), light * 1.05)
    for nut in (232, 250):
        canvas.ellipse(at([(nut, 205)])[0], 5.2, (0.28, 0.28, 0.29))
        canvas.ellipse(at([(nut - 0.8, 204)])[0], 3.2, (0.70, 0.70, 0.71))
    for k in range(7):
        canvas.stroke(at([(104 + 10 * k, 184), (98 + 10 * k, 214)]), (0.16, 0.10, 0.07), 4.2)
        canvas.stroke(at([(105.6 + 10 * k, 184), (99.6 + 10 * k, 214)]), (1.0, 0.60, 0.30), 0.9)
    for cap in (112, 152):
        canvas.shaded(ellipse_points(at([(cap, 240)])[0], 11), (0.10, 0.10, 0.11), 1.0)
        canvas.shaded(ellipse_points(at([(cap, 239)])[0], 8.5), (0.30, 0.30, 0.31), light * 1.2)
        canvas.stroke(at([(cap - 6, 239), (cap + 6, 239)]), (0.08, 0.08, 0.08), 2.2)
    canvas.stroke(at([(120, 150), (132, 136), (150, 138)]), (0.12, 0.12, 0.12), 6)
    _turned_text(canvas, at, (192, 215, 232, 232), "45 cc", 13, (0.15, 0.15, 0.16))


def _turned_text(canvas: Canvas, at, box, words: str, height: float, colour) -> None:
    """Write words into a box that `at` moves into place."""
    left, top, right, bottom = box
    label = Canvas((right - left, bottom - top), canvas.scale)
    label.text(((right - left) / 2, (bottom - top) / 2), words, height, colour)
    canvas.put_quad(label, at([(left, top), (right, top), (right, bottom), (left, bottom)]))
