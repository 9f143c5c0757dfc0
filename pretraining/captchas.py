"""Codes as the captcha package draws them, in any font and at several sizes.

image = draw("x7Kq", ["DroidSansMono.ttf"], ImageSampler("seed", 3), np.random.default_rng(3), is_grey=True)
"""

import captcha.image
import numpy as np
from numpy.random import Generator
from PIL import Image

from pipeline.config import DrawingConfig
from pipeline.drawing.renderer import Drawing, ImageSampler, PackageWay
from pipeline.values import brightness

OWN_FONTS = list(captcha.image.DEFAULT_FONTS)
HEIGHT = 48
_DRAWN_HEIGHTS = (48, 60, 60, 60, 72, 90)
_PITCH = 2 / 3  # from one character to the next, in heights of the image: the package's own images have four in 160x60
_FONT_SIZES = (0.7, 0.83, 0.93)  # the same: its fonts have 42, 50 and 56 pixels
_SMALLEST_FONT = 8
_DARKEST = 40  # the package makes what is darker transparent
_CONTRAST = 60  # between ink and ground, where both are of any color


def draw(code: str, fonts: list[str], sampler: ImageSampler, random: Generator, is_grey: bool) -> Image.Image:
    """An image in RGB, all of its colors grey if so asked."""
    height = int(random.choice(_DRAWN_HEIGHTS))
    width = round(height * _PITCH * len(code) * random.uniform(0.9, 1.25))
    larger = random.uniform(0.8, 1.15)
    ink, ground = _color(random.integers(_DARKEST, 256, 3)), _color(random.integers(0, 256, 3))
    is_of_any_color = random.random() < 0.25 and abs(brightness(ink) - brightness(ground)) > _CONTRAST
    config = DrawingConfig(
        distortion=random.choice(["0.7.0", "0.7.1"]),
        font_sizes=tuple(max(_SMALLEST_FONT, round(size * height * larger)) for size in _FONT_SIZES),
        overlap=float(random.choice([0.1, 0.25, 0.25, 0.4])),
        noise_dots=int(random.choice([0, 15, 30, 30, 30, 60])),
        noise_curves=int(random.choice([0, 1, 1, 1, 2])),
        foreground=ink if is_of_any_color else None,
        background=ground if is_of_any_color else None,
        renderer="captcha",
    )
    drawing = Drawing(config, code, (len(code), len(code)), (width, height), tuple(fonts))
    image = Image.fromarray(PackageWay(drawing).render(sampler, code))
    if is_grey:
        image = image.convert("L").convert("RGB")
    return image.resize((round(width * HEIGHT / height), HEIGHT), Image.Resampling.BILINEAR)


def _color(levels: np.ndarray) -> tuple[int, int, int]:
    red, green, blue = (int(level) for level in levels)
    return red, green, blue
