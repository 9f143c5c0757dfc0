"""What the captcha package does with Pillow, without what it does more than once: the same bytes, faster.

Random numbers are sampled in the package's order, and every rounding to 8 bits is the same.
"""

from typing import Protocol

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from pipeline.config import CodeConfig, DrawingConfig
from pipeline.drawing.glyphs import OFFSETS_X, OFFSETS_Y, Characters

Color = tuple[int, ...]
_TO_UNIT = 1 / 2**32
_MORE_OPAQUE = 1.97  # a character is pasted through its brightness, nearly doubled
BRIGHT_TO_OPAQUE = [min(255, int(value * _MORE_OPAQUE)) for value in range(256)]


class Sampler(Protocol):
    """Where random numbers come from."""

    def randbits(self, bits: int, /) -> int: ...

    def randbelow(self, limit: int, /) -> int: ...


class PlainWay:
    """Renders one image at a time."""

    def __init__(self, code: CodeConfig, config: DrawingConfig, characters: Characters) -> None:
        self._config = config
        self._characters = characters
        self._size = code.size
        self._rotation = config.rotation
        self._warps = config.warp_x, config.warp_y
        self._is_old = config.distortion == "0.7.0"
        self._no_space = 1 - config.space_probability
        self._foreground = config.foreground
        self._background = config.background

    def render(self, sampler: Sampler, text: str, tries: int = 1) -> np.ndarray:
        """The pixels of a code, [height, width, 3], from the random numbers that come after those of the code."""
        # The ranges are those of the package's random_color.
        background = self._background or tuple(238 + sampler.randbelow(18) for _ in range(3))
        alpha = 220 + sampler.randbelow(36)
        color = (*(10 + sampler.randbelow(191) for _ in range(3)), alpha)
        if self._foreground:
            color = (
                *self._foreground,
                255,
            )  # sampled all the same, as the package does: later random numbers must not move
        image = self._with_text(sampler, text, color, background)
        draw = ImageDraw.Draw(image)
        for _ in range(self._config.noise_dots):
            x, y = sampler.randbelow(self._size[0] + 1), sampler.randbelow(self._size[1] + 1)
            draw.line((x, y, x - 1, y - 1), fill=color, width=3)
        for _ in range(self._config.noise_curves):
            self._draw_curve(sampler, draw, color)
        return np.asarray(image.filter(ImageFilter.SMOOTH))

    def _with_text(self, sampler: Sampler, text: str, color: Color, background: Color) -> Image.Image:
        images: list[tuple[tuple[int, int], Image.Image | None]] = []
        for character in text:
            if sampler.randbits(32) * _TO_UNIT > self._no_space:
                images.append(self._bent(sampler, " ", color))
            images.append(self._bent(sampler, character, color))
        width, height = self._size
        text_width = sum(box[0] for box, _ in images)
        canvas = Image.new("RGB", (max(text_width, width), height), background)
        average = int(text_width / len(text))
        most_back = int(self._config.overlap * average)
        left = int(average * 0.1)
        for box, image in images:
            if image:
                canvas.paste(image, (left, int((height - box[1]) / 2)), opaque(image.convert("L")))
            left += box[0] - sampler.randbelow(most_back + 1)
        return canvas.resize(self._size) if text_width > width else canvas

    def _bent(self, sampler: Sampler, character: str, color: Color) -> tuple[tuple[int, int], Image.Image | None]:
        """(size, picture) of a character in colour, turned and bent; no picture where nothing shows."""
        font = sampler.randbelow(self._characters.num_fonts)
        if self._is_old:
            sampler.randbelow(1)  # the package chooses again, among the one font that is left to it
        known = self._characters.of(font, character)
        picture = known.picture(sampler.randbelow(OFFSETS_X), sampler.randbelow(OFFSETS_Y))
        low, high = self._rotation
        angle = low + sampler.randbits(32) * _TO_UNIT * (high - low)
        box = known.width, known.height
        x1, y1, x2, y2 = self._corners(sampler, box)
        if picture is None:
            return box, None
        image = Image.new("RGBA", picture.size)
        # The package renders the text in colour; pasting the colour through the white glyph gives the same bytes.
        image.paste(color, (0, 0, *picture.size), picture)
        image = image.rotate(angle, Image.Resampling.BILINEAR, expand=True)
        width, height = box[0] + abs(x1) + abs(x2), box[1] + abs(y1) + abs(y2)
        image = image.resize((width, height))
        corners = (x1, y1, -x1, height - y2, width + x2, height + y2, width - x2, -y1)
        return box, image.transform(box, Image.Transform.QUAD, corners)

    def _corners(self, sampler: Sampler, box: tuple[int, int]) -> list[int]:
        """x1, y1, x2, y2: how far the corners are bent."""
        far = []
        for size, (low, high) in zip(box, self._warps):
            if self._is_old:  # what makes the formula of 0.7.1 give that of 0.7.0
                low, high = size * low, size * low + high - low
            far.append(size * (sampler.randbits(32) * _TO_UNIT) * (high - low) + low)
        return [int(sampler.randbits(32) * _TO_UNIT * (most + most) - most) for most in (*far, *far)]

    def _draw_curve(self, sampler: Sampler, draw: ImageDraw.ImageDraw, color: Color) -> None:
        width, height = self._size
        if self._is_old:  # from the first fifth of the width to the last; 0.7.1's may end early
            x1 = sampler.randbelow(width // 5 + 1)
            x2 = width - width // 5 + sampler.randbelow(width // 5 + 1)
        else:
            x1 = sampler.randbelow(width // 5 + 1)
            x2 = width // 5 + sampler.randbelow(width - width // 5 + 1)
        y1 = height // 5 + sampler.randbelow(height - 2 * (height // 5) + 1)
        y2 = y1 + sampler.randbelow(height - height // 5 - y1 + 1)
        end = 160 + sampler.randbelow(41)
        draw.arc((x1, y1, x2, y2), sampler.randbelow(21), end, fill=color)


def opaque(bright: Image.Image) -> Image.Image:
    """BRIGHT_TO_OPAQUE of each pixel; Image.point would round the whole table for every character."""
    return ImageChops.add(bright, bright, scale=2 / _MORE_OPAQUE)
