"""Eleven convolutions and one dense layer a position: made for a few hundred real images, grey, 95 x 35.

The forerunner's 683,264 parameters (10 classes, 4 positions) are known, but not how its layers share them: these four
blocks come within one percent of that. Its "100 %" was one position's, and validation had only one class there; here
every position counts.
"""

import keras

from alexnet.parts import blocks, checked_positions, heads, scaled

FILTERS = ((16, 16), (32, 32), (64, 64, 64), (128, 128, 128, 128))
SMALLEST = 16  # pixels each way, halved four times


def build(
    image_shape: tuple[int, int, int], num_outputs: int, num_positions: int | None = None, dropout: float = 0.3
) -> keras.Model:
    """Images of 0..255 to logits [batch, num_positions, num_outputs]."""
    num_positions = checked_positions("nptu", image_shape, SMALLEST, num_positions)
    images, x = scaled(image_shape)
    x = blocks(x, FILTERS, norm="each", dropout=dropout)
    x = keras.layers.Flatten(name="flat")(x)
    return keras.Model(images, heads(x, num_positions, num_outputs), name="nptu")
