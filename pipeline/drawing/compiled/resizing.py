"""Image.resize, bicubic: two passes, each rounded to 8 bits, with weights in fixed point (Resample.c)."""

import math

import numpy as np

from pipeline.drawing.compiled.colors import packed
from pipeline.drawing.compiled.jit import compiled, inlined

_BITS = 22  # of a weight
_HALF: int | np.int64 = 1 << (_BITS - 1)


@compiled
def _cubic(x):
    x = abs(x)
    # The cubic of Keys with a = -0.5, in the two forms that Resample.c has: their rounding differs from that of others.
    if x < 1.0:
        return (1.5 * x - 2.5) * x * x + 1
    if x < 2.0:
        return (((x - 5) * x + 8) * x - 4) * -0.5
    return 0.0


@compiled
def weights_of(old: int, new: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(first, count, weights) of each new pixel in terms of old ones: Resample.c, precompute_coeffs, bicubic."""
    scale = old / new
    filter_scale = max(scale, 1.0)
    support = 2.0 * filter_scale
    first, count = np.empty(new, np.int64), np.empty(new, np.int64)
    weights = np.zeros((new, math.ceil(support) * 2 + 1), np.int32)
    exact = np.empty(weights.shape[1])
    inverse = 1.0 / filter_scale
    for place in range(new):
        center = (place + 0.5) * scale
        low = max(0, int(center - support + 0.5))
        number = min(old, int(center + support + 0.5)) - low
        total = 0.0
        for k in range(number):
            exact[k] = _cubic((k + low - center + 0.5) * inverse)
            total += exact[k]
        for k in range(number):
            share = exact[k] / total if total != 0.0 else exact[k]
            # Rounded half away from zero, then cut off by int().
            weights[place, k] = int((-0.5 if share < 0 else 0.5) + share * (1 << _BITS))
        first[place], count[place] = low, number
    return first, count, weights


@compiled
def resized_in_x(columns: np.ndarray, new: int) -> np.ndarray:
    """Resample.c, the pass in x, over columns of bytes."""
    first, count, weights = weights_of(columns.shape[0], new)
    length = columns.shape[1]
    resized = np.empty((new, length), np.uint8)
    sums = np.empty(length, np.int32)
    for place in range(new):
        sums[:] = _HALF
        for k in range(count[place]):
            weight = weights[place, k]
            column = columns[first[place] + k]
            for i in range(length):
                sums[i] += np.int32(column[i]) * weight
        target = resized[place]
        for i in range(length):
            target[i] = min(max(sums[i] >> _BITS, 0), 255)
    return resized


@inlined
def added_up(
    columns: np.ndarray, x: int, low: int, count: int, weights: np.ndarray, y: int
) -> tuple[int, int, int, int]:
    """The weighted sum of `count` pixels of a column, as (red, green, blue, alpha)."""
    red, green, blue, alpha = _HALF, _HALF, _HALF, _HALF
    for k in range(count):
        pixel, weight = np.int64(columns[x, low + k]), np.int64(weights[y, k])
        red += (pixel & 255) * weight
        green += (pixel >> 8 & 255) * weight
        blue += (pixel >> 16 & 255) * weight
        alpha += (pixel >> 24) * weight
    return _clipped(red), _clipped(green), _clipped(blue), _clipped(alpha)


@inlined
def _clipped(total):
    return min(max(total >> _BITS, 0), 255)


@compiled
def _resized_in_y(columns, new):
    """The pass in y, over columns of pixels."""
    first, count, weights = weights_of(columns.shape[1], new)
    resized = np.empty((columns.shape[0], new), np.uint32)
    for x in range(columns.shape[0]):
        for y in range(new):
            red, green, blue, alpha = added_up(columns, x, first[y], count[y], weights, y)
            resized[x, y] = packed(red, green, blue, alpha)
    return resized


@compiled
def resized_first(columns: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The pass or passes that Pillow makes before the last one in y, which is only made where its pixels are used.

    In y before x where the height shrinks more than twice as much as the width (Resample.c, horizontal_first).
    """
    width, height = columns.shape
    if height > size[1] and height - size[1] > (width - size[0]) * 2:
        columns = _resized_in_y(columns, size[1])
    return columns if width == size[0] else resized_in_x(columns.view(np.uint8), size[0]).view(np.uint32)
