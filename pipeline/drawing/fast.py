"""The renderer `fast`: the very pictures of the captcha package, drawn by numba where that is installed, else by Pillow.

    way = way_of(config, alphabet, fonts)
    image = way.draw(draws, text, tries=1)

Both ways give the same bytes, so a set of images may be begun with one and continued with the other.
"""

import functools
import importlib.util
import sys
from typing import Any, Protocol

import numpy as np
from PIL import Image, ImageDraw

from pipeline.config import DrawingConfig
from pipeline.drawing.glyphs import OFFSETS_X, OFFSETS_Y, Character, Characters
from pipeline.drawing.plain import BRIGHT_TO_OPAQUE, Drawn, PlainWay
from pipeline.values import parse_color, parse_degrees

_MAX_CHARACTERS = 5_000  # times fonts: all of them are kept in memory
_COMPARED_IMAGES = 2


class SeededDraws(Drawn, Protocol):
    """Draws that can be repeated from the 16 bytes that seeded them."""

    digest: bytes


class Way(Protocol):
    """How pictures are drawn."""

    def draw(self, draws: SeededDraws, text: str, tries: int) -> Image.Image:
        """The picture of `text`, the code after `tries` codes from `draws`, in RGB."""


def way_of(config: DrawingConfig, alphabet: str, fonts: tuple[str, ...], draws_of: Any) -> Way:
    """numba's way where it is there and draws what Pillow draws; `draws_of(index)` are draws to compare them with."""
    characters = Characters(fonts, config.sizes_of_font)
    plain = PlainWay(config, characters)
    too_many = (len(alphabet) + 1) * characters.num_fonts > _MAX_CHARACTERS
    if too_many or sys.byteorder != "little" or not has_numba():
        return plain
    compiled = CompiledWay(config, alphabet, characters)
    return compiled if _resizes_as_expected() and _draw_alike(compiled, plain, draws_of) else plain


@functools.cache
def has_numba() -> bool:
    return importlib.util.find_spec("numba") is not None


class CompiledWay:
    """Draws with one compiled function, from the seed of the draws alone."""

    def __init__(self, config: DrawingConfig, alphabet: str, characters: Characters) -> None:
        from pipeline.drawing.compiled import picture

        self._draw_images = picture.draw_images
        self._size = config.size
        self._look = _look(config, alphabet)
        self._glyphs = _glyphs(alphabet, characters)

    def draw(self, draws: SeededDraws, text: str, tries: int) -> Image.Image:
        digests = np.frombuffer(draws.digest, np.uint8)[None]
        return Image.fromarray(self.draw_batch(digests, np.array([tries]))[0])

    def draw_batch(self, digests: np.ndarray, tries: np.ndarray) -> np.ndarray:
        """[n, height, width, 3] from digests [n, 16]."""
        width, height = self._size
        images = np.empty((len(digests), height, width, 3), np.uint8)
        self._draw_images(digests, tries, self._glyphs, self._look, images)
        return images


def _draw_alike(compiled: CompiledWay, plain: PlainWay, draws_of: Any) -> bool:
    """Whether both ways draw the same: another version of Pillow may round in another way than the compiled code."""
    for index in range(_COMPARED_IMAGES):
        text, draws = draws_of(index)
        expected = plain.draw(draws, text)
        if compiled.draw(draws, text, tries=1).tobytes() != expected.tobytes():
            return False
    return True


@functools.cache
def _resizes_as_expected() -> bool:
    """Whether Pillow makes the two passes of a resize in the order that the compiled code knows; few sizes tell."""
    pixels = np.random.default_rng(0).integers(0, 256, (61, 70, 3), np.uint8)
    image = Image.fromarray(pixels)
    x_first = image.resize((80, 61)).resize((80, 62)), image.resize((80, 62))
    y_first = image.resize((70, 59)).resize((80, 59)), image.resize((80, 59))
    return all(one.tobytes() == other.tobytes() for one, other in (x_first, y_first))


def _look(config: DrawingConfig, alphabet: str) -> Any:
    from pipeline.drawing.compiled.picture import Look

    none = (-1, -1, -1)
    low, high = parse_degrees("--rotation", config.rotation)
    warp_x, warp_y = ((float(low), float(high)) for low, high in config.warp_ranges)
    (least, most), (width, height) = config.lengths, config.size
    return Look(
        least,
        most,
        len(alphabet),
        width,
        height,
        (float(low), float(high)),
        warp_x,
        warp_y,
        (OFFSETS_X, OFFSETS_Y),
        float(config.overlap),
        float(1 - config.space_probability),
        config.noise_dots,
        config.noise_curves,
        config.distortion == "0.7.0",
        parse_color("--foreground", config.foreground) or none,
        parse_color("--background", config.background) or none,
        _dot(),
        np.array(BRIGHT_TO_OPAQUE, np.int64),
    )


def _dot() -> np.ndarray:
    """[(dx, dy)] of the pixels that a line from (x, y) to (x - 1, y - 1), three wide, covers."""
    image = Image.new("L", (21, 21))
    ImageDraw.Draw(image).line((10, 10, 9, 9), fill=1, width=3)
    return np.argwhere(np.asarray(image).T).astype(np.int64) - 10


def _glyphs(alphabet: str, characters: Characters) -> Any:
    """All characters, and the space last, as the compiled code wants them."""
    from pipeline.drawing.compiled.picture import Glyphs

    table = [[characters.of(font, c) for c in alphabet + " "] for font in range(characters.num_fonts)]
    pictures: list[np.ndarray] = []
    numbers = np.array([[_numbered(character, pictures) for character in row] for row in table])
    sizes = np.array([picture.shape for picture in pictures], np.int64).reshape(-1, 2)
    lengths = [picture.size for picture in pictures]
    return Glyphs(
        np.array([[character.width for character in row] for row in table], np.int64),
        np.array([[character.height for character in row] for row in table], np.int64),
        numbers.reshape(characters.num_fonts, len(alphabet) + 1, OFFSETS_X, OFFSETS_Y),
        sizes[:, 1] - 2,
        sizes[:, 0] - 2,
        np.cumsum([0, *lengths[:-1]]),
        np.concatenate([picture.ravel() for picture in pictures]),
    )


def _numbered(character: Character, pictures: list[np.ndarray]) -> list[int]:
    """The numbers of a character's pictures by dx and dy; those that are not in `pictures` yet are appended."""
    known: dict[int, int] = {}
    numbers = []
    for dx in range(OFFSETS_X):
        for dy in range(OFFSETS_Y):
            picture = character.picture(dx, dy)
            if picture is not None and id(picture) not in known:
                known[id(picture)] = len(pictures)
                pictures.append(np.pad(np.asarray(picture), 1, mode="edge"))
            numbers.append(-1 if picture is None else known[id(picture)])
    return numbers
