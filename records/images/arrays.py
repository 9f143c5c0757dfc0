"""Bare numbers as pictures: item types, shapes, axes, channel orders and ranges of values.

shape = Layout((3, 60, 160), "CHW")
picture(values, shape, "bgr", (0.0, 1.0))
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from PIL import Image

from records.images.files import MAX_PIXELS, MODES

# NumPy's name of each item type; all are read as little-endian.
TYPES: dict[str, str] = {
    "uint8": "u1", "int8": "i1", "int16": "<i2", "uint16": "<u2", "int32": "<i4", "uint32": "<u4", "int64": "<i8",
    "uint64": "<u8", "float16": "<f2", "float32": "<f4", "float64": "<f8", "bool": "?",
}  # fmt: skip
AXES = ("HW", "HWC", "CHW")
CHANNEL_ORDERS = ("rgb", "bgr")
CHANNEL_COUNTS: tuple[int, ...] = tuple(MODES)
MIN_SIDE, MAX_SIDE = 8, 4096
# Width to height. Codes are lines of text; four times as high as wide is more than any.
_WIDEST, _NARROWEST = 16, 1 / 4
_BYTES, _WORDS = (0.0, 255.0), (0.0, 65535.0)
# How many numbers of an image, and how many of its rows and columns, tell what it looks like: a larger one would take
# several times its size as floats. A multiple of every item size.
_HEAD, _SIDE = 1 << 20, 1 << 10
# In images of codes a row two further on differs 1.25 times as much as the next row; in noise it differs as much.
_CLEAR = 1.12
# Correlations of colour planes: above the first they are planes of one picture, below the second they are not.
_ALIKE, _UNLIKE = 0.8, 0.5
# How much the number one pixel on differs, compared with the next number.
_NEARER, _FARTHER = 0.8, 1.2
Array = npt.NDArray[Any]
Range = tuple[float, ...]  # the number that black has, the number that white has


@dataclasses.dataclass(frozen=True)
class Layout:
    """The sizes of an image as they lie in memory, and what each of them is."""

    sizes: tuple[int, ...]
    axes: str

    @classmethod
    def of(cls, sizes: Iterable[int]) -> Self:
        """By where the channels stand; ValueError where three sizes have no channels, or two places for them."""
        sizes = tuple(sizes)
        while len(sizes) > 3 and sizes[0] == 1:  # an axis for the batch, of one image
            sizes = sizes[1:]
        if len(sizes) == 2:
            return cls(sizes, "HW").checked()
        if len(sizes) == 3 and sizes[2] in CHANNEL_COUNTS and min(sizes[:2]) >= MIN_SIDE:
            return cls(sizes, "HWC").checked()
        if len(sizes) == 3 and sizes[0] in CHANNEL_COUNTS and min(sizes[1:]) >= MIN_SIDE:
            return cls(sizes, "CHW").checked()
        raise ValueError(f"{shown(sizes)} is not the shape of an image")

    def checked(self) -> Self:
        if not (min(self.sizes) >= 1 and self.height * self.width <= MAX_PIXELS):
            raise ValueError(f"{shown(self.sizes)} is not the shape of an image that is read")
        return self

    @property
    def count(self) -> int:
        return int(np.prod(self.sizes, dtype=np.int64))

    @property
    def height(self) -> int:
        return self.sizes[self.axes.index("H")]

    @property
    def width(self) -> int:
        return self.sizes[self.axes.index("W")]

    @property
    def channels(self) -> int:
        return self.sizes[self.axes.index("C")] if "C" in self.axes else 1

    def rows_first(self, values: Array) -> Array:
        """The values as an array [height, width, channels]."""
        values = values.reshape(self.sizes)
        if self.axes == "CHW":
            return values.transpose(1, 2, 0)
        return values if self.axes == "HWC" else values[:, :, None]

    def __str__(self) -> str:
        return shown(self.sizes)


def shown(sizes: Iterable[int]) -> str:
    return "x".join(map(str, sizes))


def picture(values: Array, layout: Layout, channel_order: str, value_range: Range) -> Image.Image:
    """A Pillow image; ValueError where a value is beyond the range."""
    pixels = layout.rows_first(as_bytes(values, value_range))
    if channel_order == "bgr" and layout.channels >= 3:
        # The first three channels reversed; a fourth is transparency in either order.
        pixels = np.concatenate([pixels[:, :, 2::-1], pixels[:, :, 3:]], axis=2)
    if layout.channels == 1:
        return Image.fromarray(np.ascontiguousarray(pixels[:, :, 0]))
    return Image.fromarray(np.ascontiguousarray(pixels), MODES[layout.channels])


def as_bytes(values: Array, value_range: Range) -> Array:
    """Numbers as uint8: the range's lower end becomes 0, its upper end 255."""
    low, high = value_range
    if values.dtype == np.uint8 and (low, high) == _BYTES:
        return values
    minimum, maximum = values.min(), values.max()
    if not (minimum >= low and maximum <= high):  # so that NaN is refused too
        raise ValueError(f"its values run from {minimum:g} to {maximum:g}, expected {low:g} to {high:g}")
    if (low, high) == _WORDS:
        # The upper byte, as image viewers show 16 bits: 65535 becomes 255, and no value is rounded up out of its range.
        return (values.astype(np.uint16) >> 8).astype(np.uint8)
    if (low, high) == _BYTES and values.dtype.kind in "iu":
        return values.astype(np.uint8)
    return np.rint((values.astype(np.float64) - low) * (255 / (high - low))).astype(np.uint8)


def item_types(data: Sequence[bytes], size: int | None = None) -> list[str]:
    """The item types that sampled strings of bytes can be made of; more than one where the bytes do not tell.

    `size` is the size of an item where that is known.
    """
    # Zeros fit every type alike, and every type shows the same black.
    if all(not any(item) for item in data):
        return ["uint8"] if size in (None, 1) else []
    sizes = [len(item) for item in data]
    data = [item[:_HEAD] for item in data]
    # The widest first: bytes that make sensible numbers of eight bytes seldom do so by chance, while any bytes are
    # uint8.
    for width, names in ((8, ("int64", "float64")), (4, ("int32", "float32"))):
        if size in (None, width) and not any(count % width for count in sizes):
            fitting = [name for name in names if _looks_like(name, data)]
            if fitting:
                return fitting[:1]
    if size in (None, 2) and not any(count % 2 for count in sizes):
        words = _words(data, size)
        if words:
            return words
    return _single_bytes(data) if size in (None, 1) else []


def _single_bytes(data: Sequence[bytes]) -> list[str]:
    """Bytes with a sign, read as bytes without, jump from one end of the range to the other."""
    plain = np.mean(
        [np.abs(np.diff(np.frombuffer(item, "u1").astype(np.int16))).mean() for item in data if len(item) > 1]
    )
    signed = np.mean(
        [np.abs(np.diff(np.frombuffer(item, "i1").astype(np.int16))).mean() for item in data if len(item) > 1]
    )
    # A picture around zero read without the sign alternates between about 0 and about 255.
    return ["int8", "uint8"] if plain > 1.3 * signed else ["uint8"]


def _looks_like(name: str, data: Sequence[bytes]) -> bool:
    for item in data:
        values = np.frombuffer(item, TYPES[name])
        if name.startswith("int"):
            if values.min() < 0 or values.max() > _WORDS[1]:
                return False
        elif not _sane(values):
            return False
    if name == "float64":
        # Two floats of four bytes make a sane float of eight; in a true one the first four bytes are noise or nothing.
        halves = [np.frombuffer(item, "<f4") for item in data]
        return not all(_sane(half) for half in halves) or all(not half[::2].any() for half in halves)
    return True


def _sane(values: Array) -> bool:
    """Whether floats are what pixels are made into: finite, neither huge nor next to nothing."""
    if not np.isfinite(values).all():
        return False
    sizes = np.abs(values[values != 0])
    # 65535 and a margin above. Bytes of another type read as floats have exponents all over the range.
    return not len(sizes) or (sizes.max() <= 70000 and float(np.quantile(sizes, 0.02)) >= 1e-6)


def _words(data: Sequence[bytes], size: int | None) -> list[str]:
    """Types of two bytes, which only the values themselves can tell apart."""
    words = [np.frombuffer(item, "<u2") for item in data]
    if max(int(values.max()) for values in words) <= 255:
        return ["uint16"]
    halves = [np.frombuffer(item, "<f2").astype(np.float32) for item in data]
    floats = ["float16"] if all(_sane(half) for half in halves) else []
    signed = ["int16"] if any((values >= 1 << 15).any() for values in words) else []
    if size == 2:
        return ["uint16", *signed, *floats]
    # In true words the lower bytes of neighbouring pixels differ like noise, and the upper bytes hardly at all.
    low, high = (
        np.mean([np.abs(np.diff(np.frombuffer(item, "u1")[first::2].astype(np.int16))).mean() for item in data])
        for first in (0, 1)
    )
    return ["uint16", *signed, *floats, "uint8"] if low > 2 * high else []


def value_ranges(values: Sequence[Array], is_byte: bool) -> list[Range]:
    """The ranges that sampled numbers can be meant to have, the likeliest first; one where it is clear."""
    minimum = min(float(item.min()) for item in values)
    maximum = max(float(item.max()) for item in values)
    if not np.isfinite((minimum, maximum)).all():
        return []
    whole = all(item.dtype.kind in "iub" for item in values)
    seen = (minimum, maximum) if maximum > minimum else (minimum, minimum + 1)
    # Not clear where all is dark: bytes of 0 and 1 alone, or a float picture in which nothing is bright.
    if minimum >= 0 and maximum <= 1:
        return [(0.0, 1.0)] if maximum > 0.5 else [(0.0, 1.0), _BYTES]
    if minimum >= 0 and maximum <= 255:
        return [_BYTES] if is_byte or maximum > 64 else [_BYTES, (0.0, maximum)]
    if minimum >= 0 and maximum <= 65535 and whole:
        # Cameras with 10, 12 or 14 bits leave the upper bits of each word at 0.
        return [_WORDS] if maximum >= 1 << 15 else [(0.0, 2.0 ** int(maximum).bit_length() - 1), _WORDS]
    if minimum >= -1 and maximum <= 1:
        return [(-1.0, 1.0)] if minimum < -0.9 and maximum > 0.9 else [(-1.0, 1.0), seen]
    other = (-128.0, 127.0) if minimum >= -128 and maximum <= 127 else (-max(maximum, -minimum), max(maximum, -minimum))
    return list(dict.fromkeys([seen, other]))


def possible_layouts(counts: Sequence[int]) -> list[Layout]:
    """Every layout that an image of so many numbers could have, likelier sizes first."""
    if len(set(counts)) != 1:
        return []
    (count,) = set(counts)
    found = []
    for channels in CHANNEL_COUNTS:
        pixels = count // channels
        if count % channels or pixels > MAX_PIXELS:
            continue
        for height in range(MIN_SIDE, min(MAX_SIDE, pixels // MIN_SIDE) + 1):
            width = pixels // height
            if pixels % height or width > MAX_SIDE or not _NARROWEST <= width / height <= _WIDEST:
                continue
            if channels == 1:
                found.append(Layout((height, width), "HW"))
            else:
                found.append(Layout((height, width, channels), "HWC"))
            # Planes of three channels only: RGBA is hardly ever stored so, and every further layout may fit by chance.
            if channels == 3:
                found.append(Layout((channels, height, width), "CHW"))
    return sorted(found, key=_rarity)


def _rarity(layout: Layout) -> tuple[int, float, str]:
    """Sizes that people choose come first: squares, round numbers, about twice as wide as high."""
    height, width = layout.height, layout.width
    round_sizes = sum(
        side in (28, 32, 48, 50, 60, 64, 80, 100, 128, 160, 200, 224, 256, 299) for side in (height, width)
    )
    # np.log(2): codes are about twice as wide as high, such as 60x28 or 100x50.
    return (width != height) - round_sizes, abs(np.log(max(width, 1) / height) - np.log(2)), layout.axes


def roughness(images: Sequence[Array], layout: Layout) -> float:
    """How much neighbouring pixels differ in such a reading: least where rows and channels are where they were."""
    total = 0.0
    for values in images:
        pixels = layout.rows_first(values)[:_SIDE, :_SIDE].astype(np.float32)
        total += float(np.abs(np.diff(pixels, axis=0)).mean() + np.abs(np.diff(pixels, axis=1)).mean())
    return total / len(images)


def likely_layouts(images: Sequence[Array], layouts: Sequence[Layout]) -> list[Layout]:
    """The layouts that fit how the pictures look: rows that continue each other, then channels side by side or plane
    after plane. Pictures of noise leave several."""
    heads = [values.ravel()[:_HEAD].astype(np.float32) for values in images]
    strides: dict[int, list[Layout]] = {}
    for layout in layouts:
        strides.setdefault(layout.width * (layout.channels if layout.axes == "HWC" else 1), []).append(layout)
    steps = {stride: np.mean([np.abs(head[stride:] - head[:-stride]).mean() for head in heads]) for stride in strides}
    minimum = min(steps.values(), default=0)
    near = [stride for stride, step in steps.items() if step <= _CLEAR * minimum]
    if not minimum > 0 or len(near) > 1:
        kept = near if minimum > 0 else list(strides)
        return [layout for layout in layouts if any(layout in strides[stride] for stride in kept)]
    return _by_channels(images, strides[near[0]])


def _by_channels(images: Sequence[Array], layouts: list[Layout]) -> list[Layout]:
    """Of layouts with rows of one length."""
    marks = {layout: _marks(images, layout) for layout in layouts if layout.axes != "HW"}
    clear = [layout for layout, mark in marks.items() if mark == "yes"]
    flat = [layout for layout in layouts if layout.axes == "HW"]
    # Several are clear where what repeats every third number also repeats every twelfth.
    if clear:
        return clear
    return flat + [layout for layout, mark in marks.items() if mark == "perhaps"] if flat else layouts


def _marks(images: Sequence[Array], layout: Layout) -> str:
    """Whether the numbers have the marks of channels: an uneven beat, or planes that are alike."""
    if layout.axes == "HWC":
        return _beat(images, layout.channels)
    correlations = []
    for image in images:
        planes = image.reshape(layout.channels, -1)[:3, :_HEAD].astype(np.float32)
        with np.errstate(all="ignore"):  # a plane of one colour has no correlation
            matrix: Array = np.asarray(np.corrcoef(planes))
            correlations.append(np.abs(matrix[np.triu_indices(len(planes), 1)]).mean())
    alike = float(np.nan_to_num(np.mean(correlations), nan=_ALIKE - 0.01))
    return "yes" if alike > _ALIKE else "no" if alike < _UNLIKE else "perhaps"


def _beat(images: Sequence[Array], channels: int) -> str:
    """Whether the number `channels` places on is nearer than the next one, or grey is written as equal colours."""
    beats, next_steps, far_steps = np.zeros(channels), 0.0, 0.0
    for image in images:
        pixels = image.ravel()[: min(image.size, _HEAD) // channels * channels].astype(np.float32)
        steps = np.abs(np.diff(np.append(pixels, pixels[-1:])))
        beats += steps.reshape(-1, channels).mean(axis=0)
        next_steps += float(steps.mean())
        far_steps += float(np.abs(pixels[channels:] - pixels[:-channels]).mean())
    # A place in the beat after which the number hardly changes. In grey stored as RGB those are red to green and green
    # to blue, but not blue to the red of the next pixel.
    still = beats < 0.05 * beats.max()
    grey = still[:2].all() and not still[2:].any()
    if grey or far_steps < _NEARER * next_steps:
        return "yes"
    return "no" if far_steps > _FARTHER * next_steps and not still.any() else "perhaps"
