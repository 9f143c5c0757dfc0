"""Colours and their alpha, rounded as Pillow rounds them. A pixel is red, green, blue and alpha in 32 bits."""

import numpy as np

from pipeline.drawing.compiled.jit import compiled, inlined


def _alpha_tables() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """By [alpha, colour multiplied by it]: the colour as RGBA has it, that multiplied again, and what was given."""
    alpha, value = np.arange(256)[:, None], np.arange(256)[None, :]
    itself = np.broadcast_to(value, (256, 256)).copy()
    straight = np.minimum(255, 255 * value // np.maximum(alpha, 1))
    straight[0], straight[255] = value, value  # Convert.c, rgba2rgbA
    again = straight * alpha + 128
    again = ((again >> 8) + again) >> 8
    return straight.astype(np.uint8), again.astype(np.uint8), itself.astype(np.uint8)


STRAIGHT, AGAIN, ITSELF = _alpha_tables()


@inlined
def divided_by_255(value: int) -> int:
    # Pillow's MULDIV255: value / 255, rounded, without a division. Exact up to 255 * 255.
    value += 128
    return ((value >> 8) + value) >> 8


@inlined
def looked_up(table: np.ndarray, red: int, green: int, blue: int, alpha: int) -> tuple[np.int64, np.int64, np.int64]:
    return np.int64(table[alpha, red]), np.int64(table[alpha, green]), np.int64(table[alpha, blue])


@inlined
def unpacked(table: np.ndarray, pixel: np.uint32) -> tuple[np.int64, np.int64, np.int64]:
    """The (red, green, blue) of a pixel, looked up."""
    value = np.int64(pixel)
    return looked_up(table, value & 255, value >> 8 & 255, value >> 16 & 255, value >> 24)


@inlined
def packed(red: int, green: int, blue: int, alpha: int) -> np.uint32:
    return np.uint32(red | green << 8 | blue << 16 | alpha << 24)


@compiled
def inks_of(color: np.ndarray) -> np.ndarray:
    """What a pixel covered to 0 ... 255 has, multiplied by its alpha."""
    inks = np.empty((256, 4), np.int64)
    for m in range(256):
        alpha = divided_by_255(color[3] * m)
        for channel in range(3):
            inks[m, channel] = divided_by_255(color[channel] * alpha)
        inks[m, 3] = alpha
    return inks
