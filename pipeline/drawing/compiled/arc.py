"""ImageDraw.arc, one pixel wide."""

import math

import numpy as np

from pipeline.drawing.compiled.jit import compiled


@compiled
def set_pixel(canvas: np.ndarray, x: int, y: int, color: np.ndarray) -> None:
    if 0 <= x < canvas.shape[0] and 0 <= y < canvas.shape[1] // 3:
        for channel in range(3):
            canvas[x, y * 3 + channel] = color[channel]


@compiled
def draw_arc(canvas: np.ndarray, box: tuple[int, int, int, int], begin: float, end: float, color: np.ndarray) -> None:
    """Draw.c, clipEllipseNew with arc_init, of width 1: the ellipse on a grid of half pixels, cut by half planes."""
    a, b = box[2] - box[0], box[3] - box[1]
    halves, kind = _arc_halves(a, b, begin, end)
    # In half pixels, so that an ellipse of even size has its centre between two pixels.
    x, y, right = a, b % 2, a
    while True:
        # One row of the ellipse after the other, from the middle up and down: `x` to `right`.
        row, right = y, x
        left = x
        is_last = False
        while y == row:
            left = x
            if x == a % 2 and y == b:
                is_last = True
                break
            x, y = _next_of_quarter(a, b, x, y)
        inner = max(0, left)
        _cut_row(canvas, box, halves, kind, (-right, row, -inner), color)
        # 2 instead of 0: the middle column belongs to the left half, and must not be filled twice.
        _cut_row(canvas, box, halves, kind, (inner if inner > 0 else 2, row, right), color)
        if row > 0:
            _cut_row(canvas, box, halves, kind, (-right, -row, -inner), color)
            _cut_row(canvas, box, halves, kind, (inner if inner > 0 else 2, -row, right), color)
        if is_last:
            break


@compiled
def _deviation(a, b, x, y):
    return abs(a * a * y * y + b * b * x * x - a * a * b * b)


@compiled
def _next_of_quarter(a, b, x, y):
    next_x, next_y = x, y + 2
    least = _deviation(a, b, next_x, next_y)
    if next_x > 1:
        other = _deviation(a, b, x - 2, y + 2)
        if least > other:
            next_x, next_y, least = x - 2, y + 2, other
        if least > _deviation(a, b, x - 2, y):
            next_x, next_y = x - 2, y
    return next_x, next_y


@compiled
def _arc_halves(a, b, begin, end):
    """(half planes, how they combine): each is a*x + b*y + c >= 0.

    Kinds: 0 all of the first three, 1 any of them, 2 the first with the third, or the second with the fourth.
    """
    is_high = a < b
    if is_high:
        a, b = b, a
        # Mirrored at the diagonal, as Pillow does; undone below by exchanging the factors of x and y.
        begin, end = 90 - end, 90 - begin
    span = end - begin
    begin = begin % 360
    end = begin + span
    halves = np.zeros((4, 3))
    halves[0, 0] = -a * math.sin(begin * math.pi / 180.0)
    halves[0, 1] = b * math.cos(begin * math.pi / 180.0)
    halves[0, 2] = (a * a - b * b) * math.sin(begin * math.pi / 90.0) / 2.0
    halves[1, 0] = a * math.sin(end * math.pi / 180.0)
    halves[1, 1] = -b * math.cos(end * math.pi / 180.0)
    halves[1, 2] = (b * b - a * a) * math.sin(end * math.pi / 90.0) / 2.0
    kind = 0 if span < 180 else 1
    if begin % 180 == 0 or end % 180 == 0:
        halves[2] = halves[0]
    elif (begin // 180 + end // 180) % 2 == 1:
        kind = 2
        halves[2, 1] = 1 if begin // 180 % 2 == 0 else -1
        halves[3, 1] = 1 if end // 180 % 2 == 0 else -1
    else:
        halves[2, 1] = 1 if end < 180 or end > 540 else -1
    if is_high:
        for half in halves:
            half[0], half[1] = half[1], half[0]
    return halves, kind


@compiled
def _cut(half, left, y, right):
    """Draw.c, clip_tree_do_clip of one half plane."""
    a, b, c = half[0], half[1], half[2]
    if abs(a) < 1e-9:
        return (1, 0) if b * y + c < -1e-9 else (left, right)
    at = -(b * y + c) / a
    new_left, new_right = left, right
    if a * left + b * y + c < 1e-9:
        new_left = _to_nearest(max(float(left), at))
    if a * right + b * y + c < 1e-9:
        new_right = _to_nearest(min(float(right), at))
    return new_left, new_right


@compiled
def _to_nearest(value):
    """C's lround: halves away from zero."""
    return math.floor(value + 0.5) if value >= 0 else -math.floor(-value + 0.5)


@compiled
def _cut_row(canvas, box, halves, kind, row, color):
    left, y, right = row
    if left > right:
        return
    l0, r0 = _cut(halves[0], left, y, right)
    l1, r1 = _cut(halves[1], left, y, right)
    l2, r2 = _cut(halves[2], left, y, right)
    if kind == 0:
        _draw_row(canvas, box, max(l0, l1, l2), y, min(r0, r1, r2), color)
    elif kind == 1:
        _draw_row(canvas, box, l0, y, r0, color)
        _draw_row(canvas, box, l1, y, r1, color)
        _draw_row(canvas, box, l2, y, r2, color)
    else:
        l3, r3 = _cut(halves[3], left, y, right)
        _draw_row(canvas, box, max(l0, l2), y, min(r0, r2), color)
        _draw_row(canvas, box, max(l1, l3), y, min(r1, r3), color)


@compiled
def _draw_row(canvas, box, left, y, right, color):
    if left > right:
        return
    a, b = box[2] - box[0], box[3] - box[1]
    for x in range(box[0] + (left + a) // 2, box[0] + (right + a) // 2 + 1):
        set_pixel(canvas, x, box[1] + (y + b) // 2, color)
