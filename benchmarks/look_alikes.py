"""Images in the manner of two sites whose own are not at hand: python -m benchmarks.look_alikes nptu FOLDER

    python -m benchmarks.look_alikes nptu FOLDER --count=600 --seed=0         # 95x35, grey, 4 thin digits
    python -m benchmarks.look_alikes percent4 FOLDER --count=1000             # 50x22, colour, 4 small digits
    python main.py --images=FOLDER ...

They say how the program does on few small images that it did not draw itself. They are no images of those sites: what
was taken over is the size, the number of digits and the kind of noise, so a figure on them is no figure on the others.
Digits are strokes laid down by hand below, none comes from a font. Image i is a function of the seed and i alone,
written as FOLDER/<code>_<i>.png.
"""

import argparse
import json
import pathlib
import sys
import tempfile
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

Point = tuple[float, float]

_FINER = 4  # images are drawn so many times larger and made smaller, for smooth edges


def _arc(x: float, y: float, radius_x: float, radius_y: float, begin: float, end: float) -> list[Point]:
    """Points of a part of an ellipse; degrees, 0 to the right and 90 down."""
    angles = np.radians(np.linspace(begin, end, 12))
    return [(x + radius_x * np.cos(a), y + radius_y * np.sin(a)) for a in angles]


# Each digit may be written in several ways; a way is a list of strokes, in a box from (0, 0) to (1, 1), y down.
DIGITS = {
    "0": [[_arc(0.5, 0.5, 0.42, 0.5, -90, 270)]],
    "1": [
        [[(0.25, 0.2), (0.55, 0.0), (0.55, 1.0)]],
        [[(0.5, 0.0), (0.5, 1.0)]],
        [[(0.25, 0.2), (0.5, 0.0), (0.5, 1.0)], [(0.2, 1.0), (0.8, 1.0)]],
    ],
    "2": [
        [[*_arc(0.5, 0.28, 0.4, 0.28, -170, 30), (0.08, 1.0), (0.92, 1.0)]],
        [[*_arc(0.48, 0.3, 0.38, 0.3, -150, 60), (0.1, 0.97), (0.92, 0.97)]],
    ],
    "3": [
        [[*_arc(0.45, 0.25, 0.4, 0.25, -160, 90), *_arc(0.45, 0.74, 0.45, 0.26, -90, 160)]],
        [[(0.1, 0.0), (0.85, 0.0), (0.42, 0.42), *_arc(0.45, 0.7, 0.44, 0.29, -80, 160)]],
    ],
    "4": [
        [[(0.7, 1.0), (0.7, 0.0), (0.05, 0.68), (0.98, 0.68)]],
        [[(0.2, 0.0), (0.1, 0.58), (0.95, 0.58)], [(0.7, 0.25), (0.7, 1.0)]],
    ],
    "5": [
        [[(0.88, 0.0), (0.2, 0.0), (0.14, 0.45), *_arc(0.45, 0.68, 0.44, 0.31, -130, 150)]],
        [[(0.15, 0.0), (0.15, 0.42), *_arc(0.45, 0.69, 0.43, 0.3, -110, 160)], [(0.15, 0.0), (0.85, 0.02)]],
    ],
    "6": [
        [[(0.75, 0.0), (0.3, 0.35), *_arc(0.5, 0.7, 0.4, 0.3, 190, 550)]],
        [[*_arc(0.62, 0.5, 0.54, 0.5, -70, -180), *_arc(0.5, 0.7, 0.42, 0.3, -180, 180)]],
    ],
    "7": [
        [[(0.08, 0.0), (0.92, 0.0), (0.38, 1.0)]],
        [[(0.08, 0.14), (0.1, 0.0), (0.9, 0.0), (0.45, 0.55), (0.4, 1.0)]],
    ],
    "8": [[_arc(0.5, 0.25, 0.36, 0.25, 90, 450), _arc(0.5, 0.74, 0.43, 0.26, -90, 270)]],
    "9": [
        [[*_arc(0.48, 0.3, 0.4, 0.3, 0, 360), (0.88, 0.35), (0.72, 1.0)]],
        [[*_arc(0.5, 0.3, 0.4, 0.3, 0, 360), *_arc(0.4, 0.5, 0.5, 0.5, -10, 80)]],
    ],
}


def nptu(code: str, random: np.random.Generator) -> Image.Image:
    """95x35, grey: thin digits, jittered and turned, some on specks and under a line."""
    width, height = 95, 35
    ground = random.uniform(205, 250)
    canvas = Image.new("L", (width * _FINER, height * _FINER), round(ground))
    draw = ImageDraw.Draw(canvas)
    ink = random.uniform(20, 110)
    left = random.uniform(6, 14)
    for digit in code:
        size = random.uniform(8, 12), random.uniform(16, 22)
        top = random.uniform(3, height - 3 - size[1])
        strokes = _written(digit, (left, top), size, random, turn=14)
        _stroke(draw, strokes, random.uniform(1.0, 1.6), round(ink + random.uniform(-15, 15)))
        left += size[0] + random.uniform(4, 9.5)
    if random.random() < 0.5:
        ends = (random.uniform(0, 12), random.uniform(5, 30)), (random.uniform(83, 95), random.uniform(5, 30))
        middle = random.uniform(35, 60), random.uniform(5, 30)
        _stroke(draw, [[ends[0], middle, ends[1]]], random.uniform(0.7, 1.1), round(ink + random.uniform(0, 50)))
    image = np.asarray(canvas.resize((width, height), Image.Resampling.BOX), float)
    if random.random() < 0.6:
        specks = random.random(image.shape) < random.uniform(0.01, 0.06)
        image = np.where(specks, random.uniform(60, 200, image.shape), image)
    return _grained(image, random.uniform(0, 6), random)


def percent4(code: str, random: np.random.Generator) -> Image.Image:
    """50x22, colour: small digits, each of its own colour, among lines and dots of other colours."""
    width, height = 50, 22
    canvas = Image.new("RGB", (width * _FINER, height * _FINER), _color(random, 215, 255))
    draw = ImageDraw.Draw(canvas)
    for _ in range(random.integers(1, 4)):
        ends = [(random.uniform(0, width), random.uniform(0, height)) for _ in range(2)]
        _stroke(draw, [ends], random.uniform(0.6, 1.0), _color(random, 110, 220))
    left = random.uniform(3, 6)
    for digit in code:
        size = random.uniform(6, 7.5), random.uniform(10.5, 13.5)
        top = random.uniform(2, height - 2 - size[1])
        strokes = _written(digit, (left, top), size, random, turn=8)
        _stroke(draw, strokes, random.uniform(1.2, 1.7), _color(random, 0, 150))
        left += size[0] + random.uniform(2.5, 4.5)
    image = np.array(canvas.resize((width, height), Image.Resampling.BOX), float)
    for _ in range(random.integers(10, 40)):
        image[random.integers(height), random.integers(width)] = _color(random, 60, 230)
    return _grained(image, random.uniform(0, 5), random)


STYLES = {"nptu": nptu, "percent4": percent4}


def draw(style: str, seed: int, number: int) -> tuple[str, Image.Image]:
    """(code, image) of one number; the code too is drawn by it."""
    random = np.random.default_rng([seed, list(STYLES).index(style), number])
    code = "".join(str(digit) for digit in random.integers(0, 10, 4))
    return code, STYLES[style](code, random)


def write(style: str, folder: pathlib.Path, count: int, seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise SystemExit(f"{folder} is not empty: images of two sets would mix; give a new folder")
    for number in range(count):
        code, image = draw(style, seed, number)
        image.save(folder / f"{code}_{number:05d}.png")


def _written(digit: str, corner: Point, size: Point, random: np.random.Generator, turn: float) -> list[list[Point]]:
    """Strokes of a digit in pixels: one of the ways to write it, bent, slanted, and turned around its centre."""
    ways = DIGITS[digit]
    way = ways[random.integers(len(ways))]
    slant = random.uniform(-0.15, 0.2)
    angle = np.radians(random.uniform(-turn, turn))
    turned = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    bend = random.uniform(-0.05, 0.05, 4)
    strokes = []
    for stroke in way:
        points = np.array(stroke) - 0.5
        points = points + bend[:2] * np.sin(3 * points[:, ::-1]) + bend[2:] * points[:, ::-1] ** 2
        points[:, 0] -= slant * points[:, 1]
        points = (points * size) @ turned.T + np.array(size) / 2 + corner
        strokes.append([(float(x), float(y)) for x, y in points])
    return strokes


def _stroke(
    draw: ImageDraw.ImageDraw, strokes: Sequence[Sequence[Point]], width: float, color: int | tuple[int, ...]
) -> None:
    for points in strokes:
        fine = [(x * _FINER, y * _FINER) for x, y in points]
        thick = max(1, round(width * _FINER))
        draw.line(fine, color, thick, joint="curve")
        for x, y in (fine[0], fine[-1]):
            draw.ellipse((x - thick / 2, y - thick / 2, x + thick / 2, y + thick / 2), color)


def _color(random: np.random.Generator, low: int, high: int) -> tuple[int, ...]:
    return tuple(int(level) for level in random.integers(low, high, 3))


def _grained(image: np.ndarray, deviation: float, random: np.random.Generator) -> Image.Image:
    return Image.fromarray(np.clip(np.rint(image + random.normal(0, deviation, image.shape)), 0, 255).astype(np.uint8))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("style", nargs="?", choices=STYLES)
    parser.add_argument("folder", nargs="?")
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--toy", action="store_true", help="a few images of each style, in a folder that is removed")
    asked = parser.parse_args(arguments)
    if asked.toy:
        with tempfile.TemporaryDirectory() as folder:
            for style in STYLES:
                write(style, pathlib.Path(folder) / style, 5, asked.seed)
    elif asked.folder:
        write(asked.style, pathlib.Path(asked.folder), asked.count, asked.seed)
    else:
        parser.error("give a style and a folder")
    result = {"benchmark": "look_alikes", "style": asked.style, "images": 5 if asked.toy else asked.count}
    print(json.dumps({**result, "seed": asked.seed}))


if __name__ == "__main__":
    sys.exit(main())
