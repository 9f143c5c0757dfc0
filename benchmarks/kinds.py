"""Kinds of code images that have little in common: python -m benchmarks.kinds NAME FOLDER

    python -m benchmarks.kinds serials FOLDER --count=2500 --seed=1
    python -m benchmarks.kinds serials FOLDER --fonts=/more/fonts      # beside those of this machine
    python main.py --images=FOLDER ...

They say how the program does on images that it did not draw. They differ in size, fonts, colours, file format, length
and alphabet; nothing here is shared with the program's own drawing. Image i is a function of the kind, the seed, i and
the fonts found on this machine. It is written as FOLDER/<code>_<i>.png, or with FOLDER/labels.csv where the kind says.
"""

import argparse
import csv
import dataclasses
import json
import pathlib
import string
import tempfile
import zlib

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from benchmarks.font_files import font_files
from benchmarks.look_alikes import DIGITS as STROKES

Points = list[tuple[float, float]]

UPPER_AND_DIGITS = string.digits + string.ascii_uppercase
LETTERS_AND_DIGITS = string.ascii_letters + string.digits
# The 200 most common characters of Chinese.
HANZI = (
    "的一是不了在人有我他这中大来上国个到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可她里后小么心多天而能好都然没"
    "日于起还发成事只作当想看文无开手十用主行方又如前所本见经头面公同三已老从动两长知民样现分将外但身些与高意进把法此实回二理美点"
    "月明其种声全工己话儿者向情部正名定女问力机给等几很业最间新什打便位因重被走电四第门相次东政海口使教西再平真听世气信北少关并内"
    "加化由却代军产入先山五太水万市眼体别处总才场师书比住员九笑性通目华报立马命张活难神数件安"
)[:200]

# The bars of a seven-segment digit, from (0, 0) to (1, 1), and which of them each digit lights.
_BARS: list[Points] = [
    [(0.1, 0), (0.9, 0)],
    [(1, 0.06), (1, 0.44)],
    [(1, 0.56), (1, 0.94)],
    [(0.1, 1), (0.9, 1)],
    [(0, 0.56), (0, 0.94)],
    [(0, 0.06), (0, 0.44)],
    [(0.1, 0.5), (0.9, 0.5)],
]
_LIT = ["012345", "12", "01346", "01236", "1256", "02356", "023456", "012", "0123456", "012356"]
_SEGMENTS: dict[str, list[list[Points]]] = {
    str(digit): [[_BARS[int(bar)] for bar in lit]] for digit, lit in enumerate(_LIT)
}
PENS: dict[str, dict[str, list[list[Points]]]] = {"strokes": STROKES, "segments": _SEGMENTS}


@dataclasses.dataclass(frozen=True)
class Kind:
    """What the images of a kind have in common. Lengths are in pixels, or in parts of the height where small."""

    count: int  # of images, unless another number is asked for
    widths: tuple[int, int]
    height: int
    lengths: tuple[int, int]
    alphabet: str
    mode: str  # as Pillow names colour models
    file_format: str
    fonts: int = 0  # how many are drawn from; without any, a pen draws the characters
    pen: str = ""
    glyph: tuple[float, float] = (0.6, 0.8)  # height of a character
    gap: tuple[float, float] = (0.02, 0.15)  # between characters
    turn: float = 5.0  # degrees, either way
    slant: float = 0.1
    wave: float = 0.0
    lines: int = 0  # at most
    dots: float = 0.0  # share of the pixels
    noise: float = 4.0  # standard deviation, in grey levels
    styles: bool = False  # outlines, shadows, grounds of two colours, light on dark
    labels_file: bool = False


KINDS: dict[str, Kind] = {
    "meters": Kind(500, (40, 40), 16, (4, 4), string.digits, "L", "PNG", pen="segments", turn=3, noise=9),
    "notes": Kind(300, (60, 220), 28, (1, 6), string.digits, "RGB", "PNG", pen="strokes", turn=15, lines=1),
    "tickets": Kind(1000, (120, 120), 40, (5, 5), "ACDEFHKMNPRTUXY3479", "P", "GIF", fonts=1, turn=20, lines=2),
    "badges": Kind(3000, (180, 180), 64, (4, 4), UPPER_AND_DIGITS, "RGB", "JPEG", fonts=4, turn=25, wave=0.1, dots=0.1),
    "plates": Kind(4000, (240, 240), 50, (5, 8), UPPER_AND_DIGITS, "RGB", "PNG", fonts=6, wave=0.05, lines=4),
    "serials": Kind(2500, (800, 800), 100, (10, 10), LETTERS_AND_DIGITS, "L", "BMP", fonts=1, noise=20),
    "hanzi": Kind(6000, (150, 150), 48, (4, 4), HANZI, "RGB", "PNG", fonts=1, turn=15, lines=3, labels_file=True),
    "posters": Kind(
        10_000, (370, 780), 80, (4, 8), UPPER_AND_DIGITS, "RGBA", "PNG", fonts=36, turn=12, slant=0.3, wave=0.06,
        lines=3, dots=0.02, noise=8, styles=True, labels_file=True,
    ),
    "counts": Kind(2000, (260, 260), 36, (1, 10), string.digits, "L", "JPEG", fonts=3, turn=8, gap=(0, 0.4), lines=1),
}  # fmt: skip


class Painter:
    """Draws the images of one kind."""

    def __init__(self, name: str, kind: Kind, more_fonts: str = "") -> None:
        self.kind = kind
        self._id = zlib.crc32(name.encode())
        self._fonts = font_files(kind.alphabet, kind.fonts, more_fonts) if kind.fonts else []

    def draw(self, seed: int, number: int) -> tuple[str, Image.Image]:
        """(code, image) of one number; the code too is drawn by it."""
        random = np.random.default_rng([self._id, seed, number])
        kind = self.kind
        length = int(random.integers(kind.lengths[0], kind.lengths[1], endpoint=True))
        code = "".join(kind.alphabet[i] for i in random.integers(0, len(kind.alphabet), length))
        finer = max(1, 100 // kind.height)  # drawn larger and made smaller, for smooth edges
        mask, shade = self._text(code, kind.height * finer, finer, random)
        ground, ink = _colors(mask.shape, random, kind)
        pixels = ground + (ink - ground) * _soft(mask, finer, random)[..., None]
        if kind.styles and random.random() < 0.3:
            pixels = np.where(shade[..., None] > mask[..., None], pixels * random.uniform(0.5, 0.8), pixels)
        image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
        _scratch(image, int(random.integers(0, kind.lines, endpoint=True)), finer, random)
        image = image.resize((image.width // finer, kind.height), Image.Resampling.BOX)
        return code, _finish(image, kind, random)

    def _text(self, code: str, height: int, finer: int, random: Generator) -> tuple[np.ndarray, np.ndarray]:
        """(how much ink lies on each pixel, the same moved aside as a shadow), 0 to 1."""
        kind = self.kind
        size = random.uniform(*kind.glyph) * height
        font = self._fonts[int(random.integers(len(self._fonts)))] if self._fonts else ""
        glyphs = [_turned(self._glyph(c, size, font, random), kind, random) for c in code]
        gaps: np.ndarray = np.append(0, random.uniform(*kind.gap, len(code) - 1) * height)
        margins = random.uniform(0.05, 0.4, 2) * height
        natural = sum(g.width for g in glyphs) + gaps.sum() + margins.sum()
        width = int(np.clip(natural / finer, *kind.widths)) * finer
        squeeze = min(1.0, width / natural)
        left = margins[0] * squeeze + max(0.0, width - natural) * random.uniform(0, 0.8)
        canvas = Image.new("L", (width, height))
        for glyph, gap in zip(glyphs, gaps):
            left += gap * squeeze
            shape = max(2, round(glyph.width * squeeze)), min(glyph.height, height)
            top = (height - shape[1]) / 2 + random.uniform(-0.4, 0.4) * max(0, height - shape[1])
            fitted = glyph.resize(shape, Image.Resampling.BILINEAR)
            canvas.paste(255, (round(left), round(top)), fitted)
            left += shape[0]
        mask = _waved(np.asarray(canvas, np.float32) / 255, kind.wave * height, random)
        if kind.styles and random.random() < 0.2:
            mask = _outlined(mask, finer)
        step = max(1, height // 30)
        return mask, np.roll(mask, (step, step), (0, 1))

    def _glyph(self, character: str, size: float, font: str, random: Generator) -> Image.Image:
        if not font:
            return _penned(PENS[self.kind.pen][character], size, random)
        loaded = ImageFont.truetype(font, max(6, round(size * 1.3)))
        left, top, right, bottom = loaded.getbbox(character)
        glyph = Image.new("L", (round(right - left) + 4, round(bottom - top) + 4))
        ImageDraw.Draw(glyph).text((2 - left, 2 - top), character, 255, loaded)
        return glyph


def _penned(ways: list[list[Points]], size: float, random: Generator) -> Image.Image:
    """A character as strokes of one of the ways to write it."""
    way = ways[int(random.integers(len(ways)))]
    thick = max(2, round(size * random.uniform(0.08, 0.16)))
    width, height = size * random.uniform(0.5, 0.65), size
    glyph = Image.new("L", (round(width) + 2 * thick, round(height) + 2 * thick))
    draw = ImageDraw.Draw(glyph)
    for stroke in way:
        points = [(thick + x * width + random.normal(0, size / 60), thick + y * height) for x, y in stroke]
        draw.line(points, 255, thick, joint="curve")
    return glyph


def _turned(glyph: Image.Image, kind: Kind, random: Generator) -> Image.Image:
    """Slanted and turned, on a picture that has room for it."""
    slant = random.uniform(-kind.slant, kind.slant)
    room = round(abs(slant) * glyph.height / 2) + 1
    wide = Image.new("L", (glyph.width + 2 * room, glyph.height))
    wide.paste(glyph, (room, 0))
    slanted = wide.transform(
        wide.size, Image.Transform.AFFINE, (1, slant, -slant * glyph.height / 2, 0, 1, 0), Image.Resampling.BILINEAR
    )
    return slanted.rotate(random.uniform(-kind.turn, kind.turn), Image.Resampling.BILINEAR, expand=True)


def _waved(mask: np.ndarray, depth: float, random: Generator) -> np.ndarray:
    """Each column moved up or down along a sine."""
    height, width = mask.shape
    swing = depth * np.sin(np.arange(width) / (height * random.uniform(0.3, 0.8)) + random.uniform(0, 6.3))
    rows = np.clip(np.arange(height)[:, None] + np.rint(swing).astype(int), 0, height - 1)
    return mask[rows, np.arange(width)]


def _outlined(mask: np.ndarray, finer: int) -> np.ndarray:
    """The edges of the characters alone."""
    picture = Image.fromarray((mask * 255).astype(np.uint8))
    inside = picture.filter(ImageFilter.MinFilter(2 * finer + 3))
    return np.asarray(mask - np.asarray(inside, np.float32) / 255)


def _soft(mask: np.ndarray, finer: int, random: Generator) -> np.ndarray:
    blurred = Image.fromarray((mask * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(random.uniform(0, finer)))
    return np.asarray(blurred, np.float32) / 255


def _colors(shape: tuple[int, ...], random: Generator, kind: Kind) -> tuple[np.ndarray, np.ndarray]:
    """(ground of each pixel, ink) as RGB, far enough apart to be read."""
    while True:
        ground, other, ink = random.uniform(0, 255, (3, 3))
        if kind.mode == "L":
            ground, other, ink = (np.full(3, color.mean()) for color in (ground, other, ink))
        dark_ground = kind.styles and random.random() < 0.4
        light, dark = (ink, ground) if dark_ground else (ground, ink)
        if light.mean() - dark.mean() > 70 and abs(other.mean() - ink.mean()) > 60:
            break
    share = np.linspace(0, 1, shape[1])[None, :, None] * np.ones((shape[0], 1, 1))
    if not kind.styles:
        share = share * random.uniform(0, 0.3)
    elif random.random() < 0.3:
        share = (np.floor(share * random.uniform(2, 12)) % 2) * 0.5
    return ground + (other - ground) * share, ink


def _scratch(image: Image.Image, count: int, finer: int, random: Generator) -> None:
    """Lines from one side to the other, in place."""
    draw = ImageDraw.Draw(image)
    for _ in range(count):
        points = [(x * image.width, random.uniform(0, image.height)) for x in (0.0, 0.33, 0.67, 1.0)]
        color = tuple(int(level) for level in random.integers(0, 256, 3))
        if image.height >= 2 * finer:
            draw.line(points, color, max(1, round(finer * random.uniform(0.7, 1.6))), joint="curve")


def _finish(image: Image.Image, kind: Kind, random: Generator) -> Image.Image:
    """Dots and noise, then the colour model of the kind."""
    pixels = np.asarray(image, np.float32)
    dotted = random.random(pixels.shape[:2]) < random.uniform(0, kind.dots)
    pixels = np.where(dotted[..., None], random.uniform(0, 255, (*pixels.shape[:2], 3)), pixels)
    grain = random.normal(0, random.uniform(0, kind.noise), (*pixels.shape[:2], 1 if kind.mode == "L" else 3))
    image = Image.fromarray(np.clip(pixels + grain, 0, 255).astype(np.uint8))
    if kind.mode == "P":
        return image.quantize(32)
    if kind.mode == "RGBA":
        image = image.convert("RGBA")
        image.putalpha(int(random.integers(200, 256)))
        return image
    return image.convert(kind.mode)


def write(name: str, folder: pathlib.Path, count: int, seed: int, fonts: str = "") -> None:
    """Draws the images of a kind into an empty folder."""
    kind = KINDS[name]
    painter = Painter(name, kind, fonts)
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise SystemExit(f"{folder} is not empty: images of two sets would mix; give a new folder")
    suffix = {"PNG": "png", "GIF": "gif", "JPEG": "jpg", "BMP": "bmp"}[kind.file_format]
    rows = []
    for number in range(count):
        code, image = painter.draw(seed, number)
        file = f"{number:05d}.{suffix}" if kind.labels_file else f"{code}_{number:05d}.{suffix}"
        image.save(folder / file, kind.file_format)
        rows.append((file, code))
    if kind.labels_file:
        with open(folder / "labels.csv", "w", newline="", encoding="utf-8") as table:
            csv.writer(table, lineterminator="\n").writerows([("file", "text"), *rows])


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("name", nargs="?", choices=KINDS)
    parser.add_argument("folder", nargs="?")
    parser.add_argument("--count", type=int, default=0, help="of images; 0: as many as the kind has")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fonts", default="", help="a folder of fonts, beside those that are installed")
    parser.add_argument("--toy", action="store_true", help="a few images of two kinds, in a folder that is removed")
    asked = parser.parse_args(arguments)
    if asked.toy:
        with tempfile.TemporaryDirectory() as folder:
            for name in ("meters", "notes"):
                write(name, pathlib.Path(folder) / name, 3, asked.seed)
        print(json.dumps({"benchmark": "kinds", "images": 6}))
        return
    if not asked.folder:
        parser.error("give a kind and a folder")
    count = asked.count or KINDS[asked.name].count
    write(asked.name, pathlib.Path(asked.folder), count, asked.seed, asked.fonts)
    print(json.dumps({"benchmark": "kinds", "kind": asked.name, "images": count, "seed": asked.seed}))


if __name__ == "__main__":
    main()
