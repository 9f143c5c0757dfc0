"""The captcha package's generate_image, compiled: the same random numbers in the same order, the same rounding.

Two layouts: a turned character is stored column by column, and so is the canvas, as [x, y * 3 + channel]. Resizing in x
then adds up whole columns at once, which compilers turn into vector instructions.
"""

from typing import NamedTuple

import numpy as np

from pipeline.drawing.compiled.arc import draw_arc, set_pixel
from pipeline.drawing.compiled.colors import ITSELF, STRAIGHT, divided_by_255, inks_of, unpacked
from pipeline.drawing.compiled.jit import compiled, inlined
from pipeline.drawing.compiled.resizing import resized, resized_in_x
from pipeline.drawing.compiled.sampling import WORDS, below, start, unit
from pipeline.drawing.compiled.turning import matrix_of, transposed, turned


# numba's cache has Glyphs and Look by name in its index, and reads that before it compares the age of the source: under
# other names, a run beside the cache of an older version would end with an AttributeError.
class Glyphs(NamedTuple):
    """Characters of all fonts as Pillow renders them, the last of them the space.

    `picture[font, character, dx, dy]` is the number of the picture where the text is rendered at (dx, dy), -1 where
    nothing shows. Each picture has a border of one pixel that repeats its edge.
    """

    box_widths: np.ndarray  # [font, character]
    box_heights: np.ndarray
    picture: np.ndarray
    widths: np.ndarray  # [picture]
    heights: np.ndarray
    starts: np.ndarray
    pixels: np.ndarray


class Look(NamedTuple):
    """The settings of a drawing; a colour below 0 is sampled."""

    min_length: int
    max_length: int
    num_characters: int
    width: int
    height: int
    rotation: tuple[float, float]
    warp_x: tuple[float, float]
    warp_y: tuple[float, float]
    offsets: tuple[int, int]  # how many offsets in x and y a character may have
    overlap: float
    no_space: float  # a random number above it puts a space before a character
    num_dots: int
    num_curves: int
    is_old: bool  # distortion and curve of 0.7.0
    foreground: tuple[int, int, int]
    background: tuple[int, int, int]
    dot: np.ndarray  # [(dx, dy)]
    opaque: np.ndarray  # of a value 0 to 255 of brightness, how strongly it is pasted


@compiled
def _code(state, look, code):
    """Fills `code` with numbers of characters; the result is how many."""
    length = look.min_length + below(state, look.max_length - look.min_length + 1)
    for place in range(length):
        code[place] = below(state, look.num_characters)
    return length


@compiled
def _corners(state, look, width, height):
    """(x1, y1, x2, y2): how far the corners are bent."""
    low_x, high_x = look.warp_x
    low_y, high_y = look.warp_y
    if look.is_old:
        low_x, high_x = width * low_x, width * low_x + high_x - low_x
        low_y, high_y = height * low_y, height * low_y + high_y - low_y
    far_x = width * unit(state) * (high_x - low_x) + low_x
    far_y = height * unit(state) * (high_y - low_y) + low_y
    x1 = int(unit(state) * (far_x - (-far_x)) + (-far_x))
    y1 = int(unit(state) * (far_y - (-far_y)) + (-far_y))
    x2 = int(unit(state) * (far_x - (-far_x)) + (-far_x))
    y2 = int(unit(state) * (far_y - (-far_y)) + (-far_y))
    return x1, y1, x2, y2


@compiled
def _bend(corners, size, box):
    """The eight numbers of Transform.QUAD (Image.py, __transformer)."""
    x1, y1, x2, y2 = corners
    width, height = size
    across, down = 1.0 / box[0], 1.0 / box[1]
    north_west, south_west = (x1, y1), (-x1, height - y2)
    south_east, north_east = (width + x2, height + y2), (width - x2, -y1)
    return (
        float(north_west[0]),
        (north_east[0] - north_west[0]) * across,
        (south_west[0] - north_west[0]) * down,
        (south_east[0] - south_west[0] - north_east[0] + north_west[0]) * across * down,
        float(north_west[1]),
        (north_east[1] - north_west[1]) * across,
        (south_west[1] - north_west[1]) * down,
        (south_east[1] - south_west[1] - north_east[1] + north_west[1]) * across * down,
    )


@compiled
def _asked_for(bend, size, x, ys, places):
    """Which pixel of a picture of `size` the bend asks for at x and each of `ys`: fills `places`, with -1 where that is
    outside."""
    a0, a1, a2, a3, a4, a5, a6, a7 = bend
    width, height = np.int32(size[0]), np.int32(size[1])
    x_in = x + 0.5
    # In the order of Geometry.c, in which each sum is rounded.
    x_start, x_twist, y_start, y_twist = a0 + a1 * x_in, a3 * x_in, a4 + a5 * x_in, a7 * x_in
    # No branch, so that compilers turn it into vector instructions.
    for i in range(len(ys)):
        x_from = x_start + a2 * ys[i] + x_twist * ys[i]
        y_from = y_start + a6 * ys[i] + y_twist * ys[i]
        is_inside = (x_from >= 0.0) & (x_from < width) & (y_from >= 0.0) & (y_from < height)
        places[i] = np.int32(y_from) * width + np.int32(x_from) if is_inside else np.int32(-1)


@compiled
def _paste_bent(canvas, pixels, is_straight, size, bend, box, at, opaque):
    """Takes the nearest of `pixels` for each that the bend asks for, and pastes it by brightness."""
    known = ITSELF if is_straight else STRAIGHT
    red, green, blue, strength, last = 0, 0, 0, np.int64(0), np.uint32(0)
    top = max(0, -at[1])
    ys = np.arange(top, max(top, min(box[1], canvas.shape[1] // 3 - at[1]))) + 0.5
    places = np.empty(len(ys), np.int32)
    for x in range(max(0, -at[0]), min(box[0], canvas.shape[0] - at[0])):
        _asked_for(bend, size, x, ys, places)
        for i in range(len(places)):
            if places[i] < 0:
                continue
            value = pixels[places[i]]
            if value == 0:
                continue
            if value != last:
                red, green, blue = unpacked(known, value)
                # A pixel is as opaque as it is bright: the package pastes it through convert("L").
                strength = opaque[(red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16]
                last = value
            place = (at[1] + top + i) * 3
            _blend(canvas, at[0] + x, place, red, strength)
            _blend(canvas, at[0] + x, place + 1, green, strength)
            _blend(canvas, at[0] + x, place + 2, blue, strength)


@inlined
def _blend(canvas, x, place, value, strength):
    canvas[x, place] = divided_by_255(np.int64(canvas[x, place]) * (255 - strength) + value * strength)


@compiled
def _sample_character(state, glyphs, look, character, sampled):
    """All random numbers of one character, in the package's order: what _paste_character needs, as numbers."""
    fonts = glyphs.box_widths.shape[0]
    font = below(state, fonts)
    if look.is_old:
        below(state, 1)  # the package chooses again, among the one font that is left to it
    dx, dy = below(state, look.offsets[0]), below(state, look.offsets[1])
    width, height = glyphs.box_widths[font, character], glyphs.box_heights[font, character]
    angle = look.rotation[0] + unit(state) * (look.rotation[1] - look.rotation[0])
    corners = _corners(state, look, width, height)
    sampled[0], sampled[1], sampled[2] = glyphs.picture[font, character, dx, dy], width, height
    sampled[3] = angle % 360.0  # as Image.rotate does first
    for place in range(4):
        sampled[4 + place] = corners[place]


@compiled
def _paste_character(canvas, glyphs, look, sampled, left, color, inks):
    picture = int(sampled[0])
    if picture < 0:
        return
    box = int(sampled[1]), int(sampled[2])
    corners = int(sampled[4]), int(sampled[5]), int(sampled[6]), int(sampled[7])
    size = box[0] + abs(corners[0]) + abs(corners[2]), box[1] + abs(corners[1]) + abs(corners[3])
    glyph_width, glyph_height = glyphs.widths[picture], glyphs.heights[picture]
    angle = sampled[3]
    # Image.rotate transposes for these, without any filter.
    if angle == 0.0 or angle == 90.0 or angle == 180.0 or angle == 270.0:
        quarters = int(angle) // 90
        turned_size = (glyph_width, glyph_height) if quarters % 2 == 0 else (glyph_height, glyph_width)
        is_straight = turned_size == size
        columns = transposed(glyphs, picture, quarters, inks, color, is_straight)
    else:
        matrix, width, height = matrix_of(angle, glyph_width, glyph_height)
        is_straight = (width, height) == size
        columns = turned(glyphs, picture, matrix, (width, height), inks, is_straight)
    pixels = resized(columns, size).ravel()
    at = left, int((look.height - box[1]) / 2)
    _paste_bent(canvas, pixels, is_straight, size, _bend(corners, size, box), box, at, look.opaque)


@compiled
def _draw_text(state, glyphs, look, code, color, background):
    """create_captcha_image: the characters side by side, squeezed where they are wider than the image."""
    sampled = np.empty((2 * len(code), 8))
    number = 0
    for character in code:
        if unit(state) > look.no_space:
            _sample_character(state, glyphs, look, glyphs.box_widths.shape[1] - 1, sampled[number])
            number += 1
        _sample_character(state, glyphs, look, character, sampled[number])
        number += 1
    text_width = 0
    for item in range(number):
        text_width += int(sampled[item, 1])
    canvas = np.empty((max(text_width, look.width), look.height * 3), np.uint8)
    for channel in range(3):
        canvas[:, channel::3] = background[channel]
    average = int(text_width / len(code))
    most_back = int(look.overlap * average)
    left = int(average * 0.1)
    inks = inks_of(color)
    for item in range(number):
        _paste_character(canvas, glyphs, look, sampled[item], left, color, inks)
        left += int(sampled[item, 1]) - below(state, most_back + 1)
    return canvas if text_width <= look.width else resized_in_x(canvas, look.width)


@compiled
def _draw_dots(state, look, canvas, color):
    for _ in range(look.num_dots):
        x, y = below(state, look.width + 1), below(state, look.height + 1)
        for place in range(look.dot.shape[0]):
            set_pixel(canvas, x + look.dot[place, 0], y + look.dot[place, 1], color)


@compiled
def _draw_curve(state, look, canvas, color):
    width, height = look.width, look.height
    if look.is_old:
        x1 = below(state, width // 5 + 1)
        x2 = width - width // 5 + below(state, width // 5 + 1)
    else:
        x1 = below(state, int(width / 5) + 1)
        x2 = below(state, width - int(width / 5) + 1) + int(width / 5)
    y1 = below(state, height - 2 * (height // 5) + 1) + height // 5
    y2 = below(state, height - y1 - height // 5 + 1) + y1
    end = below(state, 41) + 160
    begin = below(state, 21)
    if x2 >= x1 and y2 >= y1:
        draw_arc(canvas, (x1, y1, x2, y2), begin, end, color)


@compiled
def _smooth(canvas, image):
    """ImageFilter.SMOOTH, which leaves the edge as it is; `image` is [y, x, channel]."""
    width, length = canvas.shape
    sums = np.empty(length, np.uint16)
    smooth = np.empty((width, length), np.uint8)
    smooth[0], smooth[width - 1] = canvas[0], canvas[width - 1]
    for x in range(1, width - 1):
        before, middle, after, target = canvas[x - 1], canvas[x], canvas[x + 1], smooth[x]
        for i in range(length):
            sums[i] = np.uint16(before[i]) + np.uint16(middle[i]) + np.uint16(after[i])
        target[:3], target[length - 3 :] = middle[:3], middle[length - 3 :]
        for i in range(3, length - 3):
            total = np.int32(sums[i - 3]) + np.int32(sums[i]) + np.int32(sums[i + 3]) + np.int32(4 * middle[i])
            # Divided by 13 and rounded: 20165 / 2**18 is near enough to 1 / 13 for sums up to 3,321.
            target[i] = np.uint8(np.int32((total + 6) * 20165) >> 18)
    for y in range(length // 3):
        for x in range(width):
            image[y, x, 0] = smooth[x, y * 3]
            image[y, x, 1] = smooth[x, y * 3 + 1]
            image[y, x, 2] = smooth[x, y * 3 + 2]


@compiled
def render_images(digests: np.ndarray, tries: np.ndarray, glyphs: Glyphs, look: Look, images: np.ndarray) -> None:
    """generate_image: fills `images` [n, height, width, 3] from the digests [n, 16] that seed them.

    `tries` is how many codes each samples, of which the last is shown.
    """
    state = np.empty(WORDS + 1, np.int64)
    code = np.empty(look.max_length, np.int64)
    background, color = np.empty(3, np.int64), np.empty(4, np.int64)
    for number in range(len(digests)):
        start(digests[number], state)
        length = 0
        for _ in range(tries[number]):
            length = _code(state, look, code)
        for channel in range(3):
            is_given = look.background[0] >= 0
            background[channel] = look.background[channel] if is_given else below(state, 18) + 238
        color[3] = below(state, 36) + 220
        for channel in range(3):
            color[channel] = below(state, 191) + 10
        if look.foreground[0] >= 0:
            color[3] = 255
            for channel in range(3):
                color[channel] = look.foreground[channel]
        canvas = _draw_text(state, glyphs, look, code[:length], color, background)
        _draw_dots(state, look, canvas, color)
        for _ in range(look.num_curves):
            _draw_curve(state, look, canvas, color)
        _smooth(canvas, images[number])
