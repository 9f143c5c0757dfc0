"""The renderer `fast`: the same pictures as the captcha package, rendered by numba if it is installed, else by Pillow.

    way = way_of(code, config, fonts, package, start)
    pixels = way.render(sampler, text, tries=1)

Both ways give the same pixels, so a set of images may be started with one and continued with the other.
"""

import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from PIL import Image, ImageDraw

from pipeline.config import CodeConfig, DrawingConfig
from pipeline.drawing.glyphs import OFFSETS_X, OFFSETS_Y, Character, Characters
from pipeline.drawing.plain import BRIGHT_TO_OPAQUE, PlainWay, Sampler

_MAX_CHARACTERS = 5_000  # times fonts: all of them are kept in memory
_COMPARED_IMAGES = 2  # each takes a few milliseconds; a way that differs does so in nearly every image


class SeededSampler(Sampler, Protocol):
    """A sampler whose numbers can be repeated from the 16 bytes that seeded it."""

    digest: bytes


class Way(Protocol):
    """How pictures are rendered."""

    def render(self, sampler: SeededSampler, text: str, tries: int, /) -> np.ndarray:
        """The picture of `text`, the last of `tries` codes from `sampler`: [height, width, 3]."""


Start = tuple[str, SeededSampler]  # a code, and the sampler of all that comes after it


def way_of(
    code: CodeConfig, config: DrawingConfig, fonts: Sequence[str], package: Way, start: Callable[[int], Start]
) -> Way:
    """The fastest way there is that renders what the captcha package renders; the package itself where none does.

    Other versions of Pillow may round in another way than the compiled code, and later versions of the package may
    render something else. `start(index)` gives a code and its sampler, for a few images to compare.
    """
    for way in _fast_ways(code, config, fonts):
        if _render_alike(way, package, start):
            return way
    return package


def _fast_ways(code: CodeConfig, config: DrawingConfig, fonts: Sequence[str]) -> Iterator[Way]:
    characters = Characters(fonts, config.font_sizes)
    is_small = (len(code.characters) + 1) * characters.num_fonts <= _MAX_CHARACTERS
    # The compiled code packs four bytes into a number, as Pillow lays them out on little-endian machines.
    if is_small and sys.byteorder == "little" and has_numba() and _resizes_as_expected():
        yield CompiledWay(code, config, characters)
    yield PlainWay(code, config, characters)


@functools.cache
def has_numba() -> bool:
    try:
        import numba  # noqa: F401
    except ImportError:  # also raised where numba is installed but too old for this numpy
        return False
    return True


class CompiledWay:
    """Renders with one compiled function, from the sampler's seed alone."""

    def __init__(self, code: CodeConfig, config: DrawingConfig, characters: Characters) -> None:
        from pipeline.drawing.compiled import picture

        self._render_images = picture.render_images
        self._size = code.size
        self._look = _look(code, config)
        self._glyphs = _glyphs(code.characters, characters)

    def render(self, sampler: SeededSampler, text: str, tries: int) -> np.ndarray:
        digests = np.frombuffer(sampler.digest, np.uint8)[None]
        return self.render_batch(digests, np.array([tries]))[0]

    def render_batch(self, digests: np.ndarray, tries: np.ndarray) -> np.ndarray:
        """[n, height, width, 3] from digests [n, 16]."""
        width, height = self._size
        images = np.empty((len(digests), height, width, 3), np.uint8)
        self._render_images(digests, tries, self._glyphs, self._look, images)
        return images


def _render_alike(way: Way, package: Way, start: Callable[[int], Start]) -> bool:
    for index in range(_COMPARED_IMAGES):
        one, other = (each.render(sampler, text, 1) for each in (way, package) for text, sampler in [start(index)])
        if not np.array_equal(one, other):
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


def _look(code: CodeConfig, config: DrawingConfig) -> Any:
    from pipeline.drawing.compiled.picture import Look

    none = (-1, -1, -1)
    rotation, warp_x, warp_y = (
        (float(low), float(high)) for low, high in (config.rotation, config.warp_x, config.warp_y)
    )
    (minimum, maximum), (width, height) = code.lengths, code.size
    return Look(
        minimum,
        maximum,
        len(code.characters),
        width,
        height,
        rotation,
        warp_x,
        warp_y,
        (OFFSETS_X, OFFSETS_Y),
        float(config.overlap),
        float(1 - config.space_probability),
        config.noise_dots,
        config.noise_curves,
        config.distortion == "0.7.0",
        config.foreground or none,
        config.background or none,
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
