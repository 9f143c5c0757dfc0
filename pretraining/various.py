"""Codes in all sorts of fonts and styles, from which the included weights are learned.

    python -m pretraining.various FOLDER --count=40000 --seed=7 --fonts=/more/fonts

Each code has a digit, a lower-case and an upper-case letter, so none is a code of digits alone, nor of one case. Image
i is a function of the seed, i and the fonts of this machine. Three in ten are drawn by the captcha package, as are many
of the images that people have. The others are drawn with Pillow alone, in styles that are meant to be more varied than
those of any images that the weights will be used for; they share nothing with the benchmarks' images.
"""

import argparse
import dataclasses
import functools
import itertools
import multiprocessing
import os
import pathlib
import string
from collections.abc import Iterable
from typing import Any, Self

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from benchmarks.font_files import all_font_files
from pipeline.drawing.renderer import ImageSampler
from pretraining import captchas

Families = list[list[str]]  # fonts, those of a family together

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
LENGTHS = (3, 4, 5, 6, 7)  # of codes
HEIGHT = captchas.HEIGHT
WIDEST = 224  # pixels: wider ones would make each step of the training slower
_CAPTCHAS_OF_TEN = 3  # images that the captcha package draws
_FINER = 2  # drawn larger and made smaller, for smooth edges
_DIGIT_WEIGHT = 3.0  # a digit is as frequent as three letters: most codes that people have are of digits
_PITCH = 32  # pixels from one character to the next: what the network sees of any images
_PIECE = 200  # images that a worker process draws at a time
_WHITE = 255


@dataclasses.dataclass(frozen=True)
class Style:
    """What the characters of a code have in common."""

    is_outlined: bool
    stroke: int  # pixels that it is fatter
    is_thin: bool
    turn: float  # degrees, either way
    slant: float
    slant_each: float
    wide: float
    perspective: float

    @classmethod
    def of(cls, random: Generator) -> Self:
        return cls(
            is_outlined=random.random() < 0.08,
            stroke=int(random.choice([0, 0, 0, 1, 2, 3])),
            is_thin=random.random() < 0.12,
            turn=random.choice([0, 5, 15, 30, 40]),
            slant=random.normal(0, 0.12),
            slant_each=random.choice([0, 0, 0.1, 0.3]),
            wide=random.uniform(0.75, 1.3),
            perspective=random.choice([0, 0, 0.2, 0.5]),
        )


def families(fonts: Iterable[str]) -> Families:
    """Fonts by the folder that they are in."""
    folders = itertools.groupby(sorted(fonts, key=os.path.dirname), os.path.dirname)
    return [sorted(files) for _, files in folders]


def draw(seed: int, number: int, fonts: Families) -> tuple[str, Image.Image]:
    """(code, image) of one number."""
    random = np.random.default_rng([seed, number])
    code = _code(random)
    is_grey = random.random() < 0.5
    if number % 10 < _CAPTCHAS_OF_TEN:
        chosen = captchas.OWN_FONTS if random.random() < 0.5 else [_chosen(fonts, random)]
        return code, captchas.draw(code, chosen, ImageSampler(f"various {seed}", number), random, is_grey)
    style = Style.of(random)
    mask = _waved(_text(code, style, fonts, random), random)
    image = _colored(mask, len(code), is_grey, random)
    return code, _worn(image, is_grey, random)


def _code(random: Generator) -> str:
    characters = np.array(list(ALPHABET))
    weights = np.where(np.char.isdigit(characters), _DIGIT_WEIGHT, 1.0)
    length = int(random.choice(LENGTHS))
    while True:
        code = "".join(random.choice(characters, length, p=weights / weights.sum()))
        if any(map(str.isdigit, code)) and any(map(str.islower, code)) and any(map(str.isupper, code)):
            return code


def _text(code: str, style: Style, fonts: Families, random: Generator) -> np.ndarray:
    """How much ink lies on each pixel, 0 to 1."""
    height = HEIGHT * _FINER
    is_one_font, is_one_size = random.random() < 0.6, random.random() < 0.6
    base = random.uniform(0.5, 0.95) * height * (0.8 if random.random() < 0.2 else 1)
    font = _chosen(fonts, random)
    glyphs = []
    for character in code:
        if not is_one_font:
            font = _chosen(fonts, random)
        size = base if is_one_size else base * random.uniform(0.75, 1.1)
        glyphs.append(_glyph(character, font, max(8, int(size * 1.1) // 4 * 4), style, random))
    gap = random.choice([-0.12, -0.04, 0.04, 0.12, 0.25, 0.4]) * base
    jitter = random.choice([0, 0.05, 0.12]) * base
    lefts, left = [], random.uniform(0.02, 0.5) * height
    for glyph in glyphs:
        lefts.append(left)
        left += max(0.25 * base, glyph.width + gap + random.normal(0, 1) * jitter * 0.5)
    width = int(left - gap + random.uniform(0.02, 0.5) * height)
    pitch = (lefts[-1] - lefts[0] + glyphs[-1].width) / len(code)
    squeeze = np.clip(_PITCH * _FINER * random.uniform(0.75, 1.3) / pitch, 0.45, 1.6)
    canvas = Image.new("L", (width, height))
    for left, glyph in zip(lefts, glyphs):
        if glyph.height > height:
            glyph = glyph.resize((max(2, glyph.width * height // glyph.height), height), Image.Resampling.BILINEAR)
        room = height - glyph.height
        top = np.clip(room * (0.5 + random.uniform(-1, 1) * random.choice([0.1, 0.5])), 0, max(0, room))
        canvas.paste(_WHITE, (int(left), int(top)), glyph)
    width = int(np.clip(width * squeeze, 40 * _FINER, 340 * _FINER))
    return np.asarray(canvas.resize((width, height), Image.Resampling.BILINEAR), np.float32) / _WHITE


def _chosen(fonts: Families, random: Generator) -> str:
    """A family first: the dozens of weights that some have would be most of what is seen."""
    family = fonts[random.integers(len(fonts))]
    return family[random.integers(len(family))]


@functools.lru_cache(512)
def _font(path: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size)


def _glyph(character: str, font: str, size: int, style: Style, random: Generator) -> Image.Image:
    """A character turned, slanted, stretched and tilted, as large as its ink."""
    loaded = _font(font, size)
    left, top, right, bottom = (int(side) for side in loaded.getbbox(character))
    margin = size // 4
    glyph = Image.new("L", (right - left + 2 * margin, bottom - top + 2 * margin))
    drawing = ImageDraw.Draw(glyph)
    place = margin - left, margin - top
    if style.is_outlined:
        drawing.text(place, character, 0, loaded, stroke_width=style.stroke + 1, stroke_fill=_WHITE)
    else:
        drawing.text(place, character, _WHITE, loaded, stroke_width=style.stroke)
    if style.is_thin:
        glyph = glyph.filter(ImageFilter.MinFilter(3))
    angle = np.radians(random.uniform(-1, 1) * style.turn)
    slant = style.slant + random.uniform(-1, 1) * style.slant_each
    wide, high = style.wide * random.uniform(0.9, 1.1), random.uniform(0.9, 1.1)
    # Pillow wants the way from places in the result to places in the glyph.
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    way = np.diag([1 / wide, 1 / high]) @ (turn @ np.array([[1, slant], [0, 1]]))
    size_now = int(glyph.width * wide * 1.4) + 2, int(glyph.height * high * 1.4) + 2
    offset = np.array([glyph.width / 2, glyph.height / 2]) - way @ np.array([size_now[0] / 2, size_now[1] / 2])
    tilt = random.uniform(-1, 1, 2) * style.perspective / max(glyph.size)
    numbers = (way[0, 0], way[0, 1], offset[0], way[1, 0], way[1, 1], offset[1], tilt[0], tilt[1])
    glyph = glyph.transform(size_now, Image.Transform.PERSPECTIVE, numbers, Image.Resampling.BILINEAR)
    return glyph.crop(glyph.getbbox())


def _waved(mask: np.ndarray, random: Generator) -> np.ndarray:
    """Columns moved up and down, rows to and fro, along a sine; or not."""
    height, width = mask.shape
    if random.random() < 0.3:
        depth = random.uniform(0.01, 0.08) * height
        swing = depth * np.sin(np.arange(width) / (height * random.uniform(0.15, 0.6)) + random.uniform(0, 6.3))
        rows = np.clip(np.arange(height)[:, None] + np.rint(swing).astype(int), 0, height - 1)
        mask = mask[rows, np.arange(width)]
    if random.random() < 0.2:
        depth = random.uniform(0.01, 0.05) * height
        swing = depth * np.sin(np.arange(height) / (height * random.uniform(0.1, 0.4)) + random.uniform(0, 6.3))
        columns = np.clip(np.arange(width)[None] + np.rint(swing).astype(int)[:, None], 0, width - 1)
        mask = np.take_along_axis(mask, columns, 1)
    return mask


def _colored(mask: np.ndarray, length: int, is_grey: bool, random: Generator) -> Image.Image:
    """Ink on a ground, with lines behind and across."""
    first, second, ink = _colors(is_grey, random)
    ground = first + (second - first) * _texture(mask.shape, random)[..., None]
    inks = ink
    if random.random() < 0.3 and not is_grey:  # each character has a color of its own
        own = np.stack([np.clip(ink + random.uniform(-1, 1, 3) * 60, 0, _WHITE) for _ in range(length)])
        inks = own[np.minimum(np.arange(mask.shape[1]) * length // mask.shape[1], length - 1)][None]
    behind = int(random.choice([0, 0, 2, 6, 12]))
    if behind:
        image = _image(ground)
        _scratch(image, behind, 1.5, random)
        ground = np.asarray(image, np.float32)
    if random.random() < 0.1:  # a shadow
        step = int(random.uniform(1, 3) * _FINER)
        shadow = np.roll(mask, (step, step), (0, 1))[..., None]
        ground = ground * (1 - shadow * random.uniform(0.3, 0.8))
    image = _image(ground + (inks - ground) * (mask * random.uniform(0.7, 1.0))[..., None])
    _scratch(image, int(random.choice([0, 0, 0, 1, 2, 3])), 1.6, random)
    return image


def _colors(is_grey: bool, random: Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(two colors of the ground, ink), most of them far enough apart to be read."""
    for _ in range(100):
        first, second, ink = (_color(is_grey, random) for _ in range(3))
        least = random.choice([35, 60, 90])
        if abs(first.mean() - ink.mean()) > least and abs(second.mean() - ink.mean()) > least:
            break
    if random.random() < 0.6:
        second = first
    if random.random() < 0.4:  # dark on light
        first, second = np.full(3, random.uniform(200, 255)), np.full(3, random.uniform(200, 255))
        ink = np.full(3, random.uniform(0, 120)) if is_grey else random.uniform(0, 160, 3)
    return first, second, ink


def _color(is_grey: bool, random: Generator) -> np.ndarray:
    return np.full(3, random.uniform(0, 255)) if is_grey else random.uniform(0, 255, 3)


def _texture(shape: tuple[int, ...], random: Generator) -> np.ndarray:
    """How much of the second color each pixel of the ground has: none, a gradient, clouds, or stripes."""
    height, width = shape
    kind = random.random()
    if kind < 0.4:
        return np.zeros(shape, np.float32)
    if kind < 0.55:
        return np.linspace(0, 1, width, dtype=np.float32)[None] * np.ones((height, 1), np.float32)
    if kind < 0.65:
        return np.linspace(0, 1, height, dtype=np.float32)[:, None] * np.ones((1, width), np.float32)
    if kind < 0.85:
        cells = random.choice([1, 3, 8, 20])
        size = (max(2, int(cells * side / HEIGHT / _FINER) + 2) for side in shape)
        clouds = Image.fromarray((random.random(tuple(size)).astype(np.float32) * _WHITE).astype(np.uint8))
        return np.asarray(clouds.resize((width, height), Image.Resampling.BICUBIC), np.float32) / _WHITE
    period, angle = random.uniform(3, 20) * _FINER, random.uniform(0, 3.14)
    along = np.arange(width)[None] * np.cos(angle) + np.arange(height)[:, None] * np.sin(angle)
    return np.asarray((along // period) % 2 * random.uniform(0.1, 0.7), np.float32)


def _scratch(image: Image.Image, count: int, thickest: float, random: Generator) -> None:
    """Lines, strokes and arcs, in place."""
    drawing = ImageDraw.Draw(image)
    for _ in range(count):
        kind = random.random()
        color = tuple(int(level) for level in random.integers(0, 256, 3))
        thick = max(1, int(random.uniform(0.6, thickest) * _FINER))
        if kind < 0.5:
            corners = int(random.integers(2, 6))
            ys = random.uniform(0, image.height, corners)
            drawing.line(
                [(x * image.width, y) for x, y in zip(np.linspace(-0.05, 1.05, corners), ys)], color, thick, "curve"
            )
        elif kind < 0.8:
            x, y = random.uniform(0, image.width), random.uniform(0, image.height)
            end = x + random.normal(0, 40) * _FINER, y + random.normal(0, 15) * _FINER
            drawing.line([(x, y), end], color, thick)
        else:
            left, top = random.uniform(-0.3, 1) * image.width, random.uniform(-0.5, 1) * image.height
            right, bottom = left + random.uniform(0.2, 1) * image.width, top + random.uniform(0.3, 1.5) * image.height
            drawing.arc([left, top, right, bottom], random.uniform(0, 180), random.uniform(180, 360), color, thick)


def _worn(image: Image.Image, is_grey: bool, random: Generator) -> Image.Image:
    """Reduced to its size, or to less and enlarged; dots, blur, noise."""
    scale = random.choice([1, 1, 1, 0.75, 0.5, 0.35])
    size = image.width // _FINER, HEIGHT
    if scale < 1:
        how = Image.Resampling.BOX if random.random() < 0.7 else Image.Resampling.BILINEAR
        image = image.resize((max(8, int(size[0] * scale)), int(HEIGHT * scale)), how)
    dots = random.choice([0, 0, 0, 0.02, 0.06, 0.12])
    if dots:
        image = _dotted(image.resize(size, Image.Resampling.BOX) if scale == 1 else image, dots, is_grey, random)
    image = image.resize(size, Image.Resampling.BICUBIC if scale < 1 else Image.Resampling.BOX)
    if random.random() < 0.3:
        image = image.filter(ImageFilter.GaussianBlur(random.uniform(0.2, 1.1)))
    pixels = np.asarray(image, float)
    if random.random() < 0.5:
        deviation = random.uniform(1, 22)
        channels = 1 if is_grey or random.random() < 0.5 else 3
        pixels = pixels + random.normal(0, deviation, (*pixels.shape[:2], channels))
    image = _image(pixels)
    return _image(np.repeat(np.asarray(image).mean(axis=2, keepdims=True), 3, 2)) if is_grey else image


def _dotted(image: Image.Image, share: float, is_grey: bool, random: Generator) -> Image.Image:
    pixels = np.asarray(image, np.float32)
    hit = random.random(pixels.shape[:2]) < share * random.random()
    are_colored = random.random() < 0.5 and not is_grey
    color: Any = random.uniform(0, 255, pixels.shape) if are_colored else random.uniform(0, 255)
    return _image(np.where(hit[..., None], color, pixels))


def _image(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(pixels, 0, _WHITE).astype(np.uint8))


def _draw_piece(folder: pathlib.Path, seed: int, fonts: Families, numbers: range) -> list[str]:
    rows = []
    for number in numbers:
        code, image = draw(seed, number, fonts)
        if image.width <= WIDEST:
            image.save(folder / f"{number:06d}.jpg", "JPEG", quality=60 + number * 7919 % 38)
            rows.append(f"{number:06d}.jpg,{code}")
    return rows


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument(
        "--count", type=int, default=40_000, help="how many are drawn; those that are too wide are left out"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fonts", default="", help="a folder of fonts, beside those that are installed")
    asked = parser.parse_args(arguments)
    files = all_font_files(ALPHABET, asked.fonts)
    fonts = families(files)
    asked.folder.mkdir(parents=True)
    pieces = [range(first, min(asked.count, first + _PIECE)) for first in range(0, asked.count, _PIECE)]
    with multiprocessing.Pool() as pool:
        drawn = pool.imap(functools.partial(_draw_piece, asked.folder, asked.seed, fonts), pieces)
        rows = [row for piece in drawn for row in piece]
    (asked.folder / "labels.csv").write_text("\n".join(["file,text", *rows]) + "\n", encoding="ascii")
    print(f"{len(rows):,} images in {len(files):,} fonts of {len(fonts)} families: {asked.folder}")


if __name__ == "__main__":
    main()
