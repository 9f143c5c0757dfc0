"""Image.resize, bicubic: two passes, each rounded to 8 bits, with weights in fixed point (Resample.c)."""

import math

import numpy as np

from pipeline.drawing.compiled.jit import compiled

_BITS = 22  # of a weight
_HALF: int | np.int64 = 1 << (_BITS - 1)
_TAPS = 4  # of most pixels of a picture that is enlarged: adding them up at once is faster


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
    """Resample.c, the pass in x, over columns of bytes. The pass in y is the same over rows."""
    first, count, weights = weights_of(columns.shape[0], new)
    length = columns.shape[1]
    resized = np.empty((new, length), np.uint8)
    sums = np.empty(length, np.int32)
    for place in range(new):
        low, weight, target = first[place], weights[place], resized[place]
        if count[place] == _TAPS:
            one, two, three, four = columns[low], columns[low + 1], columns[low + 2], columns[low + 3]
            for i in range(length):
                total = np.int32(one[i]) * weight[0] + np.int32(two[i]) * weight[1]
                total += np.int32(three[i]) * weight[2] + np.int32(four[i]) * weight[3]
                target[i] = min(max(np.int32(total + _HALF) >> _BITS, 0), 255)
            continue
        sums[:] = _HALF
        for k in range(count[place]):
            column = columns[low + k]
            for i in range(length):
                sums[i] += np.int32(column[i]) * weight[k]
        for i in range(length):
            target[i] = min(max(sums[i] >> _BITS, 0), 255)
    return resized


@compiled
def _transposed(pixels):
    turned = np.empty((pixels.shape[1], pixels.shape[0]), np.uint32)
    for i in range(pixels.shape[0]):
        for k in range(pixels.shape[1]):
            turned[k, i] = pixels[i, k]
    return turned


@compiled
def _resized(pixels, new):
    """`pixels` are rows of a picture, or its columns: the pass that changes how many there are."""
    return pixels if len(pixels) == new else resized_in_x(pixels.view(np.uint8), new).view(np.uint32)


@compiled
def resized(columns: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The rows of a picture of `size`, from the columns of another one.

    The pass in y comes before that in x where the height shrinks more than twice as much as the width (Resample.c,
    horizontal_first).
    """
    width, height = columns.shape
    if height > size[1] and height - size[1] > (width - size[0]) * 2:
        columns = _transposed(_resized(_transposed(columns), size[1]))
    return _resized(_transposed(_resized(columns, size[0])), size[1])
