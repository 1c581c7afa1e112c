"""Photographs of handwritten digits, made up: pen strokes on paper, under a lamp, through a camera.

A digit is a few strokes (arcs and lines) with tremor, slant and a place on the sheet that chance decides, or
an image of a data set whose strokes are thinned to those of a pen. Light falls from one side of the sheet to
the other, a shadow may lie over part of it, the sheet may be ruled or squared and lie aslant; then the
sensor's noise, blur and JPEG.
"""

import io
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

Stroke = list[tuple[float, float]]


@dataclass(frozen=True)
class Scene:
    """What a sheet is photographed in. Levels are grey levels of 255; shares are of the picture's side.

    fall: by how much the light falls across the sheet; shadow: how much a shadow takes away.
    paper: "plain", "ruled" or "squared".
    """

    fall: float = 0.0
    shadow: float = 0.0
    paper: str = "plain"
    size: tuple[int, int] = (640, 480)
    height: float = 0.45
    centre: tuple[float, float] = (0.5, 0.5)
    pen: float = 0.045
    ink: float = 0.3
    white: float = 215.0
    noise: float = 2.0
    tilt: float = 0.0
    quality: int = 85


def random_scene(rng: np.random.Generator) -> Scene:
    """Anything from an even light to a fall of 100 grey levels; shadows, lined paper, corners, thin pens."""
    height = rng.uniform(0.2, 0.6)
    least = height / 2 + 0.06
    return Scene(
        fall=rng.uniform(0, 100),
        shadow=rng.choice([0.0, rng.uniform(20, 70)]),
        paper=str(rng.choice(["plain", "ruled", "squared"], p=[0.4, 0.4, 0.2])),
        size=[(640, 480), (480, 640), (1200, 900), (900, 900)][rng.integers(4)],
        height=height,
        centre=(rng.uniform(least, 1 - least), rng.uniform(least, 1 - least)),
        pen=rng.uniform(0.025, 0.12),
        ink=rng.uniform(0.15, 0.5),
        white=rng.uniform(185, 240),
        noise=rng.uniform(0, 5),
        tilt=rng.uniform(-4, 4),
        quality=int(rng.integers(60, 96)),
    )


def photograph(strokes: list[Stroke] | np.ndarray, scene: Scene, rng: np.random.Generator) -> bytes:
    """The JPEG of a sheet with these strokes (see `strokes_of`), or this ink (H × W, 0..1), on it."""
    width, height = scene.size
    cover_HW = _pen(strokes, scene) if isinstance(strokes, list) else _print(strokes, scene)
    reflected_HW = 1 - cover_HW * (1 - scene.ink)
    reflected_HW *= _rules(scene, rng)
    light_HW = scene.white - _light(scene, rng)
    seen_HW = np.clip(light_HW, 20, 255) * reflected_HW
    seen_HW = ndimage.gaussian_filter(seen_HW, 0.0012 * max(width, height))
    seen_HW += rng.normal(0, scene.noise, seen_HW.shape) if scene.noise else 0
    file = io.BytesIO()
    Image.fromarray(np.rint(seen_HW).clip(0, 255).astype(np.uint8)).convert("RGB").save(
        file, "JPEG", quality=scene.quality
    )
    return file.getvalue()


def _place(scene: Scene) -> tuple[float, float, float]:
    """(left, top, side) in pixels of the square that the digit is written in."""
    width, height = scene.size
    side = scene.height * min(width, height)
    return scene.centre[0] * width - side / 2, scene.centre[1] * height - side / 2, side


def _pen(strokes: list[Stroke], scene: Scene) -> np.ndarray:
    left, top, side = _place(scene)
    times = 2
    sheet = Image.new("L", (scene.size[0] * times, scene.size[1] * times))
    draw, radius = ImageDraw.Draw(sheet), times * scene.pen * side / 2
    for stroke in strokes:
        points = [(times * (left + x * side), times * (top + y * side)) for x, y in stroke]
        draw.line(points, fill=255, width=max(1, round(2 * radius)), joint="curve")
        for x, y in points:
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    return np.asarray(sheet.resize(scene.size, Image.Resampling.BOX), dtype=np.float64) / 255


def _print(ink_HW: np.ndarray, scene: Scene) -> np.ndarray:
    left, top, side = (round(value) for value in _place(scene))
    large = Image.fromarray(np.uint8(255 * ink_HW)).resize((side, side), Image.Resampling.BICUBIC)
    sheet = Image.new("L", scene.size)
    sheet.paste(large, (left, top))
    return np.asarray(sheet, dtype=np.float64) / 255


def _light(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Grey levels that are missing, H × W."""
    width, height = scene.size
    y_HW, x_HW = np.mgrid[0:height, 0:width] / (max(width, height) - 1)
    angle = rng.uniform(0, 2 * np.pi)
    along_HW = np.cos(angle) * x_HW + np.sin(angle) * y_HW
    along_HW = (along_HW - along_HW.min()) / np.ptp(along_HW)
    lost_HW = scene.fall * along_HW ** rng.uniform(0.7, 1.6)
    if scene.shadow:
        edge = rng.uniform(0, 2 * np.pi)
        across_HW = np.cos(edge) * (x_HW - rng.uniform(0.3, 0.7)) + np.sin(edge) * (
            y_HW - rng.uniform(0.2, 0.5)
        )
        lost_HW += scene.shadow / (1 + np.exp(-np.clip(across_HW / rng.uniform(0.004, 0.03), -30, 30)))
    return lost_HW


def _rules(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """What ruled lines leave of the light, H × W."""
    width, height = scene.size
    if scene.paper == "plain":
        return np.ones((height, width))
    sheet = Image.new("L", (2 * width, 2 * height), 255)
    draw, reach = ImageDraw.Draw(sheet), 2 * (width + height)
    step = rng.uniform(0.06, 0.14) * 2 * min(width, height)
    thick = max(1, round(rng.uniform(0.002, 0.005) * 2 * min(width, height)))
    level = int(rng.uniform(140, 215))
    for turned in (0, 90) if scene.paper == "squared" else (0,):
        angle = np.deg2rad(scene.tilt + turned)
        along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
        for k in range(-round(reach / step), round(reach / step)):
            middle = np.array([width, height]) + across * (k + 0.5) * step
            draw.line([tuple(middle - along * reach), tuple(middle + along * reach)], fill=level, width=thick)
    return np.asarray(sheet.resize(scene.size, Image.Resampling.BOX), dtype=np.float64) / 255


# Strokes


def strokes_of(digit: int, rng: np.random.Generator) -> list[Stroke]:
    """One way of writing it, in a square of side 1 (x to the right, y down), shaken and slanted."""
    ways = WAYS[digit]
    shapes = ways[int(rng.integers(len(ways)))]
    slant, wide = rng.uniform(-0.1, 0.25), rng.uniform(0.85, 1.1)
    turn = np.deg2rad(rng.uniform(-6, 6))
    written = []
    for shape in shapes:
        points = np.array(shape, dtype=np.float64)
        tremor = ndimage.gaussian_filter1d(rng.normal(0, 1, points.shape), max(len(points) / 6, 0.5), axis=0)
        points += 0.02 * tremor / max(np.abs(tremor).max(), 1e-9)
        x, y = (points - 0.5).T
        x = wide * x - slant * y
        x, y = np.cos(turn) * x - np.sin(turn) * y, np.sin(turn) * x + np.cos(turn) * y
        written.append([(float(a) + 0.5, float(b) + 0.5) for a, b in zip(x, y, strict=True)])
    return written


def _arc(x: float, y: float, across: float, down: float, start: float, end: float) -> Stroke:
    """Part of an ellipse about (x, y); degrees run clockwise from the right."""
    turns = np.deg2rad(np.linspace(start, end, 40))
    return [(x + across * float(np.cos(t)), y + down * float(np.sin(t))) for t in turns]


def _line(*points: tuple[float, float]) -> Stroke:
    path: Stroke = []
    for (x0, y0), (x1, y1) in pairwise(points):
        path += [(x0 + (x1 - x0) * t, y0 + (y1 - y0) * t) for t in np.linspace(0, 1, 12)]
    return path


WAYS: dict[int, list[list[Stroke]]] = {
    0: [[_arc(0.5, 0.5, 0.3, 0.46, -90, 275)], [_arc(0.5, 0.5, 0.24, 0.46, -70, 300)]],
    1: [[_line((0.5, 0.04), (0.5, 0.96))], [_line((0.36, 0.2), (0.52, 0.04), (0.52, 0.96))]],
    2: [[_arc(0.5, 0.3, 0.27, 0.26, -170, 30) + _line((0.73, 0.44), (0.22, 0.95), (0.8, 0.95))]],
    3: [[_arc(0.48, 0.28, 0.26, 0.24, -150, 90) + _arc(0.46, 0.73, 0.3, 0.23, -90, 150)]],
    4: [
        [_line((0.3, 0.05), (0.24, 0.55), (0.8, 0.55)), _line((0.68, 0.08), (0.66, 0.97))],
        [_line((0.66, 0.97), (0.66, 0.04), (0.2, 0.64), (0.84, 0.64))],
    ],
    5: [[_line((0.74, 0.05), (0.32, 0.05), (0.29, 0.45)) + _arc(0.46, 0.68, 0.28, 0.27, -125, 140)]],
    6: [[_line((0.66, 0.04), (0.42, 0.3)) + _arc(0.5, 0.7, 0.26, 0.26, -160, 220)]],
    7: [
        [_line((0.22, 0.08), (0.78, 0.08), (0.42, 0.96))],
        [_line((0.22, 0.08), (0.78, 0.08), (0.42, 0.96)), _line((0.38, 0.5), (0.74, 0.5))],
    ],
    8: [[_arc(0.5, 0.27, 0.21, 0.22, 90, 450) + _arc(0.5, 0.73, 0.27, 0.24, -90, 270)]],
    9: [[_arc(0.5, 0.3, 0.24, 0.25, 10, 370) + _line((0.74, 0.32), (0.7, 0.65), (0.6, 0.97))]],
}


def thinned(pixels_HW: np.ndarray, width: float, side: int = 224) -> np.ndarray:
    """A data set's digit (uint8, light on dark), its strokes `width` of its side wide: ink side², 0..1."""
    large = Image.fromarray(pixels_HW).resize((side // 2, side // 2), Image.Resampling.BICUBIC)
    skeleton = _skeleton(ndimage.gaussian_filter(np.asarray(large, np.float64), 1) > 100)
    away = np.asarray(ndimage.distance_transform_edt(~np.kron(skeleton, np.ones((2, 2), bool))))
    return np.clip(0.5 + width * side / 2 - away, 0, 1)


def _skeleton(ink_HW: np.ndarray) -> np.ndarray:
    """The middle line, one pixel wide (Zhang and Suen 1984, doi:10.1145/357994.358023)."""
    ink = np.pad(ink_HW, 1)
    while True:
        before = ink.sum()
        for first in (True, False):
            n, e, s, w = (ink[:-2, 1:-1], ink[1:-1, 2:], ink[2:, 1:-1], ink[1:-1, :-2])
            around = [n, ink[:-2, 2:], e, ink[2:, 2:], s, ink[2:, :-2], w, ink[:-2, :-2]]
            number = sum(part.astype(int) for part in around)
            turns = sum((~a & b).astype(int) for a, b in zip(around, [*around[1:], n], strict=True))
            free = ~(n & e & s) & ~(e & s & w) if first else ~(n & e & w) & ~(n & s & w)
            gone = ink[1:-1, 1:-1] & (number >= 2) & (number <= 6) & (turns == 1) & free
            ink[1:-1, 1:-1] &= ~gone
        if ink.sum() == before:
            return ink[1:-1, 1:-1]
