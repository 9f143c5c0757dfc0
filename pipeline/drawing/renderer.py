"""Synthetic images of codes, as the captcha package renders them; image i is a function of the settings and i alone.

source = SyntheticSource(Drawing.of(CodeConfig(), DrawingConfig()), num_images=100)
for key, text in source.rows(): png = source.load(key)
"""

import contextlib
import dataclasses
import functools
import hashlib
import importlib.metadata
import os
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self, TypeVar

import captcha.image
import numpy as np
import PIL.features
from captcha.image import ImageCaptcha
from PIL import Image, ImageDraw, ImageFont

from pipeline.config import CodeConfig, DrawingConfig
from pipeline.drawing.fast import SeededSampler, Way, way_of
from records.digest import sha256_of
from records.errors import DigitwiseError
from records.images import png
from records.images.files import COLOUR, Header, encode, in_mode

IMAGES_PER_FOLDER = 500  # file managers stay quick, and a piece of work takes a worker about a second
T = TypeVar("T")
_NUMBERS_OF_A_BEND = 7  # one for the angle, two for how far, four for the corners


class ImageSampler:
    """The random numbers of one image, in the form in which the captcha package asks the module `secrets` for them.

    The key is hashed, and only getrandbits is used, which gives the same bits on every version of Python.
    """

    def __init__(self, seed: int | str, index: int) -> None:
        self.digest = hashlib.blake2b(f"{seed}:{index}".encode(), digest_size=16).digest()
        self.randbits = random.Random(int.from_bytes(self.digest, "big")).getrandbits

    def randbelow(self, limit: int) -> int:
        # As Python's own randbelow, which may change: numbers above the limit are thrown away, or some would be
        # likelier.
        bits = limit.bit_length()
        value = self.randbits(bits)
        while value >= limit:
            value = self.randbits(bits)
        return value

    def choice(self, sequence: Sequence[T]) -> T:
        return sequence[self.randbelow(len(sequence))]


@dataclasses.dataclass(frozen=True)
class Drawing:
    """How codes are rendered: the settings, and the fonts as found on this machine."""

    config: DrawingConfig
    alphabet: str
    lengths: tuple[int, int]
    size: tuple[int, int]
    fonts: tuple[str, ...]

    @classmethod
    def of(cls, code: CodeConfig, config: DrawingConfig) -> Self:
        """Checks what the settings alone cannot tell: that the fonts exist and have every character."""
        fonts = tuple(os.path.abspath(font) for font in config.fonts) or tuple(captcha.image.DEFAULT_FONTS)
        for font in fonts:
            check_font(font, code.characters)
        return cls(config, code.characters, code.lengths, code.size, fonts)

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that decides the pixels of an image except its number; stored beside images and records."""
        return {
            "alphabet": self.alphabet,
            "code_length": list(self.lengths),
            "image_size": list(self.size),
            **self.config.to_json(),
            "fonts": [list(font) for font in self.font_hashes],
        }

    @property
    def font_hashes(self) -> list[tuple[str, str]]:
        """[(file name, sha256)] in order: two fonts may share a name, and a font given twice is used twice as often."""
        return [(os.path.basename(font), sha256_of(font)) for font in self.fonts]

    @property
    def code(self) -> CodeConfig:
        return CodeConfig(self.alphabet, self.lengths, self.size)

    def text(self, index: int) -> str:
        """The code of image `index`."""
        return self.start(index)[0]

    def image(self, index: int) -> Image.Image:
        """The image of number `index`, in RGB."""
        return Image.fromarray(self.render(ImageSampler(self.config.seed, index))[1])

    def file(self, index: int) -> tuple[str, bytes]:
        """(code, bytes of the file) of image `index`."""
        text, pixels = self.render(ImageSampler(self.config.seed, index))
        is_package = self.config.renderer == "captcha"
        return text, encode(Image.fromarray(pixels)) if is_package else png.encode(pixels)

    def render(self, sampler: ImageSampler, wanted: Callable[[str], bool] | None = None) -> tuple[str, np.ndarray]:
        """(text, pixels [height, width, 3]) from `sampler`: the first code that is `wanted`, or simply the first."""
        text, tries = self._text(sampler), 1
        while wanted and not wanted(text):
            text, tries = self._text(sampler), tries + 1
        return text, _way_of(self).render(sampler, text, tries)

    def start(self, index: int) -> tuple[str, ImageSampler]:
        """(code, the sampler of all that comes after it) of image `index`."""
        sampler = ImageSampler(self.config.seed, index)
        return self._text(sampler), sampler

    def _text(self, sampler: ImageSampler) -> str:
        minimum, maximum = self.lengths
        length = minimum + sampler.randbelow(maximum - minimum + 1)
        return "".join(sampler.choice(self.alphabet) for _ in range(length))


class Captcha(ImageCaptcha):
    """The captcha package's own code, with its constants as settings."""

    def __init__(self, drawing: Drawing) -> None:
        config = drawing.config
        width, height = drawing.size
        super().__init__(width, height, fonts=list(drawing.fonts), font_sizes=config.font_sizes)
        self.character_rotate = config.rotation  # type: ignore[assignment]
        self.character_warp_dx, self.character_warp_dy = self._warp = config.warp_x, config.warp_y
        self.word_offset_dx = config.overlap
        # The package leaves out a space where a random number is above its figure: the probability of no space.
        self.word_space_probability = 1 - config.space_probability
        self._all_fonts = self.truefonts
        self._as_of_old = config.distortion == "0.7.0"
        self._dots, self._curves = config.noise_dots, config.noise_curves

    def _draw_character(self, c: str, draw: Any, color: Any) -> Image.Image:
        if self._as_of_old:
            self._widen_warp(c, draw)
        return self._gap(draw) if c == " " else super()._draw_character(c, draw, color)

    def _gap(self, draw: Any) -> Image.Image:
        """What the package makes of a space: nothing to be seen, of a size that the font decides.

        It turns and bends that nothing too, which took a quarter of the time of an image; here only the same random
        numbers are sampled, so that all others stay what they are.
        """
        sampler = captcha.image.secrets
        _, _, width, height = draw.multiline_textbbox((1, 1), " ", font=sampler.choice(self.truefonts))
        for minimum, maximum in (self.character_offset_dx, self.character_offset_dy):
            sampler.randbelow(maximum - minimum + 1)
        for _ in range(_NUMBERS_OF_A_BEND):
            sampler.randbits(32)
        return Image.new("RGBA", (int(width), int(height)))

    def _widen_warp(self, character: str, draw: Any) -> None:
        """Makes 0.7.1's formula, size * u * (b - a) + a, give what 0.7.0 had: size * (u * (b - a) + a).

        The size depends on the font, so the font is sampled here, and is the only one that the package then finds.
        """
        font = captcha.image.secrets.choice(self._all_fonts)
        _, _, width, height = draw.multiline_textbbox((1, 1), character, font=font)
        self._truefonts = [font]
        (low_x, high_x), (low_y, high_y) = self._warp
        self.character_warp_dx = (width * low_x, width * low_x + high_x - low_x)
        self.character_warp_dy = (height * low_y, height * low_y + high_y - low_y)

    def create_noise_dots(  # type: ignore[override]  # the package calls it on the class and on the object
        self, image: Image.Image, color: Any, width: int = 3, number: int | None = None
    ) -> Image.Image:
        return ImageCaptcha.create_noise_dots(image, color, width, self._dots if number is None else number)

    def create_noise_curve(self, image: Image.Image, color: Any) -> Image.Image:  # type: ignore[override]
        for _ in range(self._curves):
            if self._as_of_old:
                _draw_long_curve(image, color)
            else:
                ImageCaptcha.create_noise_curve(image, color)
        return image


def _draw_long_curve(image: Image.Image, color: Any) -> None:
    """The curve of 0.7.0, which begins in the first fifth of the width and ends in the last; 0.7.1's may end early."""
    sampler = captcha.image.secrets
    width, height = image.size
    left = sampler.randbelow(width // 5 + 1)
    right = width - width // 5 + sampler.randbelow(width // 5 + 1)
    top = height // 5 + sampler.randbelow(height - 2 * (height // 5) + 1)
    bottom = top + sampler.randbelow(height - height // 5 - top + 1)
    end = 160 + sampler.randbelow(41)
    ImageDraw.Draw(image).arc((left, top, right, bottom), sampler.randbelow(21), end, fill=color)


@dataclasses.dataclass(frozen=True)
class SyntheticSource:
    """Images rendered when they are asked for, under the names that the files of the generate stage have."""

    drawing: Drawing
    num_images: int

    def rows(self) -> Iterator[tuple[str, str]]:
        for index in range(self.num_images):
            text = self.drawing.text(index)
            yield image_key(index, text, self.named_by_code), text

    def load(self, key: str) -> bytes:
        return self.drawing.file(key_index(key))[1]

    def file(self, index: int) -> tuple[str, bytes]:
        """(key, bytes) of the file of image `index`."""
        text, data = self.drawing.file(index)
        return image_key(index, text, self.named_by_code), data

    def name(self, key: str) -> str:
        return f"synthetic image {key_index(key)}"

    @property
    def header(self) -> Header:
        """That of each image."""
        return Header(*self.drawing.size, COLOUR)

    def identity(self) -> dict[str, Any]:
        """What decides the images: two sources with equal identities render equal pixels.

        Files of the same pixels differ between renderers, as PNG can be compressed in several ways.
        """
        return {"num_images": self.num_images, "drawing": self.drawing.settings, "versions": versions()}

    @functools.cached_property
    def named_by_code(self) -> bool:
        return is_safe_in_names(self.drawing.alphabet)


def image_key(index: int, text: str, named_by_code: bool) -> str:
    """`00003/4071_0001742.png`: the folder, the code where its characters allow it, and the number."""
    code = f"{text}_" if named_by_code else ""
    return f"{folder_name(index // IMAGES_PER_FOLDER)}/{code}{index:07d}.png"


def key_index(key: str) -> int:
    return int(key.rpartition("/")[2].rpartition("_")[2].removesuffix(".png"))


def folder_name(number: int) -> str:
    return f"{number:05d}"


def is_safe_in_names(alphabet: str) -> bool:
    """Whether codes may stand in file names everywhere: a code must never become a path."""
    return alphabet.isascii() and alphabet.isalnum()


def check_font(path: str, alphabet: str) -> None:
    """Raises where a font lacks a character: it would show the same empty box for each that is missing."""
    try:
        font = ImageFont.truetype(path, 32)
    except OSError as error:
        reason = "there is no such file" if not os.path.exists(path) else str(error)
        raise DigitwiseError(f"--fonts={path}: the font cannot be used ({reason})") from None
    nothing = _glyph(font, "\uffff")  # no character, so fonts show for it what they show for a missing one
    missing = [c for c in alphabet if _glyph(font, c) == nothing]
    if missing:
        shown = "".join(missing[:20])
        raise DigitwiseError(f"--fonts={path}: the font has no glyph for {len(missing)} of the alphabet: {shown}")


def versions() -> dict[str, str]:
    """The versions that rendered pixels depend on."""
    return {
        "captcha": importlib.metadata.version("captcha"),
        "pillow": importlib.metadata.version("pillow"),
        "freetype": PIL.features.version("freetype2") or "",
        "numpy": np.__version__,
    }


def _glyph(font: ImageFont.FreeTypeFont, character: str) -> tuple[tuple[int, int], bytes]:
    mask = font.getmask(character)
    return mask.size, bytes(mask)


class PackageWay:
    """Renders with the captcha package's own code."""

    def __init__(self, drawing: Drawing) -> None:
        self._captcha = Captcha(drawing)
        self._colors = {"bg_color": drawing.config.background, "fg_color": drawing.config.foreground}

    def render(self, sampler: SeededSampler, text: str, _tries: int = 1) -> np.ndarray:
        with _sampling_from(sampler):
            image = self._captcha.generate_image(text, **self._colors)
        return np.asarray(in_mode(image, 3))


@functools.lru_cache(maxsize=4)
def _way_of(drawing: Drawing) -> Way:
    package = PackageWay(drawing)
    if drawing.config.renderer == "captcha":
        return package
    return way_of(drawing.code, drawing.config, drawing.fonts, package, drawing.start)


@contextlib.contextmanager
def _sampling_from(sampler: SeededSampler) -> Iterator[None]:
    """The captcha package takes all random numbers from its name `secrets`: for one thread of a process at a time."""
    original = captcha.image.secrets
    captcha.image.secrets = sampler  # type: ignore[assignment]
    try:
        yield
    finally:
        captcha.image.secrets = original
