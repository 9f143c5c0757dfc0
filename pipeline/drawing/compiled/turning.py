"""Turning a character: Image.rotate with bilinear filter and expand=True."""

import math
from typing import Any, TypeAlias

import numpy as np

from pipeline.drawing.compiled.colors import AGAIN, STRAIGHT, looked_up, packed
from pipeline.drawing.compiled.jit import compiled, inlined

Matrix: TypeAlias = tuple[float, float, float, float, float, float]


@compiled
def _rounded_to_15_places(value):
    """Python's round(value, 15): the product with 1e15 is taken exactly, in two parts."""
    power = 1e15
    product = value * power
    split = 134217729.0  # 2**27 + 1: Dekker's product, which also gives the rounding error of a multiplication
    high = value * split
    high = high - (high - value)
    power_high = power * split
    power_high = power_high - (power_high - power)
    low, power_low = value - high, power - power_high
    error = ((high * power_high - product) + high * power_low + low * power_high) + low * power_low
    whole = np.rint(product)
    rest = (product - whole) + error
    if rest > 0.5:
        whole += 1
    elif rest < -0.5:
        whole -= 1
    return whole / power


@compiled
def matrix_of(angle: float, width: int, height: int) -> tuple[Matrix, int, int]:
    """(the six numbers of the matrix, new width, new height): Image.rotate with expand=True."""
    radians = -(angle * (math.pi / 180))
    a, b = _rounded_to_15_places(math.cos(radians)), _rounded_to_15_places(math.sin(radians))
    d, e = _rounded_to_15_places(-math.sin(radians)), _rounded_to_15_places(math.cos(radians))
    x, y = -width / 2, -height / 2
    # In the order of Pillow's Python code, + 0.0 included: sums of floats depend on it.
    c = (a * x + b * y + 0.0) + width / 2
    f = (d * x + e * y + 0.0) + height / 2
    min_x, max_x = min(c, a * width + b * 0 + c), max(c, a * width + b * 0 + c)
    min_y, max_y = min(f, d * width + e * 0 + f), max(f, d * width + e * 0 + f)
    for far in (a * width + b * height + c, a * 0 + b * height + c):
        min_x, max_x = min(min_x, far), max(max_x, far)
    for far in (d * width + e * height + f, d * 0 + e * height + f):
        min_y, max_y = min(min_y, far), max(max_y, far)
    new_width = math.ceil(max_x) - math.floor(min_x)
    new_height = math.ceil(max_y) - math.floor(min_y)
    x, y = -(new_width - width) / 2.0, -(new_height - height) / 2.0
    return (a, b, a * x + b * y + c, d, e, d * x + e * y + f), new_width, new_height


@inlined
def _mixed(upper_left, upper_right, lower_left, lower_right, dx, dy):
    """Geometry.c, bilinear: cut off, not rounded."""
    upper = upper_left + (upper_right - upper_left) * dx
    lower = lower_left + (lower_right - lower_left) * dx
    return int(upper + (lower - upper) * dy)


@compiled
def _even_pixels(inks, known):
    """What becomes of a pixel among pixels covered as it is, which most are: mixing changes nothing."""
    even = np.empty(256, np.uint32)
    for m in range(256):
        red, green, blue = looked_up(known, inks[m, 0], inks[m, 1], inks[m, 2], inks[m, 3])
        even[m] = packed(red, green, blue, inks[m, 3])
    return even


@compiled
def _asked_for(matrix, size, x, ys, x_from, y_from, corners):
    """Where in a glyph of `size` the turn looks for the pixels at x and each of `ys`, less half a pixel, and the number
    of the pixel above and to the left of that in the glyph with its border; -1 where it looks outside."""
    a, b, c, d, e, f = matrix
    width, height = np.int32(size[0]), np.int32(size[1])
    x_start, y_start = a * (x + 0.5), d * (x + 0.5)
    # No branch, so that compilers turn it into vector instructions.
    for i in range(len(ys)):
        x_in, y_in = x_start + b * ys[i] + c, y_start + e * ys[i] + f
        is_inside = (x_in >= 0.0) & (x_in < width) & (y_in >= 0.0) & (y_in < height)
        x_in, y_in = x_in - 0.5, y_in - 0.5
        # Pillow's floor of both, and one more for the border.
        left = np.int32(x_in) + np.int32(1) if x_in >= 0.0 else np.int32(0)
        top = np.int32(y_in) + np.int32(1) if y_in >= 0.0 else np.int32(0)
        x_from[i], y_from[i] = x_in, y_in
        corners[i] = top * (width + 2) + left if is_inside else -1


@compiled
def turned(
    glyphs: Any, picture: int, matrix: Matrix, size: tuple[int, int], inks: np.ndarray, is_straight: bool
) -> np.ndarray:
    """A character in colour, turned (Image.rotate, bilinear) and, unless `is_straight`, multiplied by its alpha again.

    `inks[m]` is the colour, multiplied by its alpha, of a pixel that the character covers to m of 255.
    """
    width, height = size
    glyph_width, glyph_height = glyphs.widths[picture], glyphs.heights[picture]
    stride = glyph_width + 2
    start = glyphs.starts[picture]
    pixels = glyphs.pixels[start : start + stride * (glyph_height + 2)]
    known = STRAIGHT if is_straight else AGAIN
    even = _even_pixels(inks, known)
    turned = np.zeros((width, height), np.uint32)
    ys = np.arange(height) + 0.5
    x_from, y_from, corners = np.empty(height), np.empty(height), np.empty(height, np.int32)
    for x in range(width):
        _asked_for(matrix, (glyph_width, glyph_height), x, ys, x_from, y_from, corners)
        for y in range(height):
            corner = corners[y]
            if corner < 0:
                continue
            m0, m1 = pixels[corner], pixels[corner + 1]
            m2, m3 = pixels[corner + stride], pixels[corner + stride + 1]
            if m0 == m1 and m0 == m2 and m0 == m3:
                turned[x, y] = even[m0]
                continue
            dx, dy = x_from[y] - (corner % stride - 1), y_from[y] - (corner // stride - 1)
            red = _mixed(inks[m0, 0], inks[m1, 0], inks[m2, 0], inks[m3, 0], dx, dy)
            green = _mixed(inks[m0, 1], inks[m1, 1], inks[m2, 1], inks[m3, 1], dx, dy)
            blue = _mixed(inks[m0, 2], inks[m1, 2], inks[m2, 2], inks[m3, 2], dx, dy)
            alpha = _mixed(inks[m0, 3], inks[m1, 3], inks[m2, 3], inks[m3, 3], dx, dy)
            red, green, blue = looked_up(known, red, green, blue, alpha)
            turned[x, y] = packed(red, green, blue, alpha)
    return turned


@compiled
def transposed(
    glyphs: Any, picture: int, quarters: int, inks: np.ndarray, color: np.ndarray, is_straight: bool
) -> np.ndarray:
    """The same for a turn by a multiple of 90 degrees, where Image.rotate mixes nothing."""
    glyph_width, glyph_height = glyphs.widths[picture], glyphs.heights[picture]
    stride, start = glyph_width + 2, glyphs.starts[picture]
    width, height = (glyph_width, glyph_height) if quarters % 2 == 0 else (glyph_height, glyph_width)
    turned = np.zeros((width, height), np.uint32)
    for x in range(width):
        for y in range(height):
            if quarters == 0:
                left, top = x, y
            elif quarters == 1:
                left, top = glyph_width - 1 - y, x
            elif quarters == 2:
                left, top = glyph_width - 1 - x, glyph_height - 1 - y
            else:
                left, top = y, glyph_height - 1 - x
            m = glyphs.pixels[start + (top + 1) * stride + left + 1]
            if m and is_straight:
                turned[x, y] = packed(color[0], color[1], color[2], inks[m, 3])
            elif m:
                turned[x, y] = packed(inks[m, 0], inks[m, 1], inks[m, 2], inks[m, 3])
    return turned
