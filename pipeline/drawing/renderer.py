"""Synthetic images of codes, as the captcha package draws them; image i is a function of the settings and i alone.

source = SyntheticSource(Drawing.of(DrawingConfig()), num_images=100)
for key, text in source.rows(): png = source.load(key)
"""

import contextlib
import dataclasses
import functools
import hashlib
import importlib.metadata
import os
import pathlib
import random
import zlib

import captcha.image
import numpy as np
import PIL.features
from captcha.image import ImageCaptcha
from PIL import Image, ImageDraw, ImageFont

from pipeline.config import DrawingConfig
from pipeline.drawing.fast import way_of
from pipeline.values import parse_color, parse_degrees
from records.alphabet import Alphabet
from records.errors import DigitwiseError
from records.images import png
from records.images.files import encode, in_mode

IMAGES_PER_FOLDER = 500
_DRAWS_OF_A_BEND = 7  # one for the angle, two for how far, four for the corners


class Draws:
    """The random draws of one image, in the form in which the captcha package asks the module `secrets` for them.

    The key is hashed, and only getrandbits is used, which gives the same bits on every version of Python.
    """

    def __init__(self, seed, index):
        self.digest = hashlib.blake2b(f"{seed}:{index}".encode(), digest_size=16).digest()
        self.randbits = random.Random(int.from_bytes(self.digest, "big")).getrandbits

    def randbelow(self, limit):
        bits = limit.bit_length()
        value = self.randbits(bits)
        while value >= limit:
            value = self.randbits(bits)
        return value

    def choice(self, sequence):
        return sequence[self.randbelow(len(sequence))]


@dataclasses.dataclass(frozen=True)
class Drawing:
    """How codes are drawn: the settings, and the fonts as found on this machine."""

    config: DrawingConfig
    alphabet: str
    fonts: tuple

    @classmethod
    def of(cls, config):
        """Checks what the settings alone cannot tell: that the fonts are there and have every character."""
        alphabet = Alphabet.parse(config.characters).characters
        fonts = tuple(os.path.abspath(font) for font in config.fonts) or tuple(captcha.image.DEFAULT_FONTS)
        for font in fonts:
            check_font(font, alphabet)
        return cls(config, alphabet, fonts)

    @property
    def settings(self):
        """Everything that decides the bytes of an image, but its number."""
        settings = dataclasses.asdict(self.config)
        if self.config.renderer == "captcha":
            del settings["renderer"]  # images that are older than this setting were all drawn so
        settings |= {
            "alphabet": self.alphabet,
            "code_length": list(self.config.lengths),
            "image_size": list(self.config.size),
            "fonts": [[name, digest] for name, digest in self.font_hashes.items()],
        }
        return settings

    @property
    def font_hashes(self):
        """{file name: sha256}: a font is known by its bytes, wherever it lies."""
        return {os.path.basename(font): file_hash(font) for font in self.fonts}

    @property
    def versions(self):
        """The versions that the bytes of image files depend on."""
        if self.config.renderer == "captcha":  # Pillow brings its own zlib
            return versions()
        return versions() | {"zlib": zlib.ZLIB_RUNTIME_VERSION}

    def text(self, index):
        """The code of image `index`."""
        return self._text(Draws(self.config.seed, index))

    def image(self, index):
        """The image of number `index`, in RGB."""
        return self.draw(Draws(self.config.seed, index))[1]

    def encoded(self, image):
        """The bytes of the image's file."""
        return encode(image) if self.config.renderer == "captcha" else png.encode(np.asarray(image))

    def draw(self, draws, wanted=None):
        """(text, image in RGB) from `draws`: the first code that is `wanted`, or simply the first."""
        text, tries = self._text(draws), 1
        while wanted and not wanted(text):
            text, tries = self._text(draws), tries + 1
        if self.config.renderer == "fast":
            return text, _fast_way_of(self).draw(draws, text, tries)
        with _drawing_from(draws):
            image = _captcha_of(self).generate_image(
                text,
                bg_color=parse_color("--background", self.config.background),
                fg_color=parse_color("--foreground", self.config.foreground),
            )
        return text, in_mode(image, 3)

    def start(self, index):
        """(code, the draws that come after it) of image `index`."""
        draws = Draws(self.config.seed, index)
        return self._text(draws), draws

    def _text(self, draws):
        least, most = self.config.lengths
        length = least + draws.randbelow(most - least + 1)
        return "".join(draws.choice(self.alphabet) for _ in range(length))


class Captcha(ImageCaptcha):
    """The captcha package's own drawing, with its constants as settings."""

    def __init__(self, drawing):
        config = drawing.config
        width, height = config.size
        super().__init__(width, height, fonts=list(drawing.fonts), font_sizes=config.sizes_of_font)
        self.character_rotate = parse_degrees("--rotation", config.rotation)
        self.character_warp_dx, self.character_warp_dy = self._warp = config.warp_ranges
        self.word_offset_dx = config.overlap
        # The package leaves out a space where a draw is above its figure, which is so the chance of no space.
        self.word_space_probability = 1 - config.space_probability
        self._all_fonts = self.truefonts
        self._as_of_old = config.distortion == "0.7.0"
        self._dots, self._curves = config.noise_dots, config.noise_curves

    def _draw_character(self, c, draw, color):
        if self._as_of_old:
            self._widen_warp(c, draw)
        return self._draw_gap(draw) if c == " " else super()._draw_character(c, draw, color)

    def _draw_gap(self, draw):
        """What the package makes of a space: nothing to be seen, of a size that the font decides.

        It turns and bends that nothing too, which took a quarter of the time of an image; here only the same draws are
        made, so that all others stay what they are.
        """
        draws = captcha.image.secrets
        _, _, width, height = draw.multiline_textbbox((1, 1), " ", font=draws.choice(self.truefonts))
        for least, most in (self.character_offset_dx, self.character_offset_dy):
            draws.randbelow(most - least + 1)
        for _ in range(_DRAWS_OF_A_BEND):
            draws.randbits(32)
        return Image.new("RGBA", (int(width), int(height)))

    def _widen_warp(self, character, draw):
        """Makes 0.7.1's formula, size * u * (b - a) + a, give what 0.7.0 had: size * (u * (b - a) + a).

        The size depends on the font, so that is drawn here and is the only one which the package then finds.
        """
        font = captcha.image.secrets.choice(self._all_fonts)
        _, _, width, height = draw.multiline_textbbox((1, 1), character, font=font)
        self._truefonts = [font]
        (low_x, high_x), (low_y, high_y) = self._warp
        self.character_warp_dx = (width * low_x, width * low_x + high_x - low_x)
        self.character_warp_dy = (height * low_y, height * low_y + high_y - low_y)

    def create_noise_dots(self, image, color, width=3, number=None):
        return ImageCaptcha.create_noise_dots(image, color, width, self._dots if number is None else number)

    def create_noise_curve(self, image, color):
        for _ in range(self._curves):
            if self._as_of_old:
                _draw_long_curve(image, color)
            else:
                ImageCaptcha.create_noise_curve(image, color)
        return image


def _draw_long_curve(image, color):
    """The curve of 0.7.0, which begins in the first fifth of the width and ends in the last; 0.7.1's may end early."""
    draws = captcha.image.secrets
    width, height = image.size
    left = draws.randbelow(width // 5 + 1)
    right = width - width // 5 + draws.randbelow(width // 5 + 1)
    top = height // 5 + draws.randbelow(height - 2 * (height // 5) + 1)
    bottom = top + draws.randbelow(height - height // 5 - top + 1)
    end = 160 + draws.randbelow(41)
    ImageDraw.Draw(image).arc((left, top, right, bottom), draws.randbelow(21), end, fill=color)


@dataclasses.dataclass(frozen=True)
class SyntheticSource:
    """Images drawn when they are asked for, under the names that the files of the generate stage have."""

    drawing: Drawing
    num_images: int

    def rows(self):
        for index in range(self.num_images):
            text = self.drawing.text(index)
            yield image_key(index, text, self.named_by_code), text

    def load(self, key):
        return self.drawing.encoded(self.drawing.image(key_index(key)))

    def file(self, index):
        """(key, bytes) of the file of image `index`."""
        text, image = self.drawing.draw(Draws(self.drawing.config.seed, index))
        return image_key(index, text, self.named_by_code), self.drawing.encoded(image)

    def name(self, key):
        return f"synthetic image {key_index(key)}"

    @functools.cached_property
    def named_by_code(self):
        return is_safe_in_names(self.drawing.alphabet)


def image_key(index, text, named_by_code):
    """`00003/4071_0001742.png`: the folder, the code where its characters allow it, and the number."""
    code = f"{text}_" if named_by_code else ""
    return f"{folder_name(index // IMAGES_PER_FOLDER)}/{code}{index:07d}.png"


def key_index(key):
    return int(pathlib.PurePosixPath(key).stem.rsplit("_", 1)[-1])


def folder_name(number):
    return f"{number:05d}"


def is_safe_in_names(alphabet):
    """Whether codes may stand in file names everywhere: a code must never become a path."""
    return alphabet.isascii() and alphabet.isalnum()


def check_font(path, alphabet):
    """Raises where a font cannot draw a character: it would show the same empty box for each that is missing."""
    try:
        font = ImageFont.truetype(path, 32)
    except OSError as error:
        reason = "there is no such file" if not os.path.exists(path) else str(error)
        raise DigitwiseError(f"--fonts={path}: the font cannot be used ({reason})") from None
    nothing = _glyph(font, "\uffff")
    missing = [c for c in alphabet if _glyph(font, c) == nothing]
    if missing:
        shown = "".join(missing[:20])
        raise DigitwiseError(f"--fonts={path}: the font has no glyph for {len(missing)} of the alphabet: {shown}")


def file_hash(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def versions():
    """The versions that drawn pixels depend on."""
    return {
        "captcha": importlib.metadata.version("captcha"),
        "pillow": importlib.metadata.version("pillow"),
        "freetype": PIL.features.version("freetype2"),
        "numpy": np.__version__,
    }


def _glyph(font, character):
    mask = font.getmask(character)
    return mask.size, bytes(mask)


@functools.lru_cache(maxsize=4)
def _captcha_of(drawing):
    return Captcha(drawing)


@functools.lru_cache(maxsize=4)
def _fast_way_of(drawing):
    return way_of(drawing.config, drawing.alphabet, drawing.fonts, drawing.start)


@contextlib.contextmanager
def _drawing_from(draws):
    """Every draw of the captcha package comes from its name `secrets`: for one thread of a process at a time."""
    original = captcha.image.secrets
    captcha.image.secrets = draws
    try:
        yield
    finally:
        captcha.image.secrets = original
