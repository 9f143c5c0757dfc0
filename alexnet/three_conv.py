"""Three blocks of convolutions, and for each position a hidden layer: made for colour images of 160 x 60 or 180 x 50.

The forerunner gave each class a sigmoid and trained that with categorical cross-entropy, which takes probabilities
that sum to one; here the readout's softmax makes them so. What each block's norm and pool follow is a reading of its
description: 16 filters, 32 and 32, 64 and 64.
"""

import keras

from alexnet.parts import blocks, checked_positions, heads, scaled

FILTERS = ((16,), (32, 32), (64, 64))
HIDDEN = 64
SMALLEST = 8  # pixels each way, halved three times


def build(
    image_shape: tuple[int, int, int], num_outputs: int, num_positions: int | None = None, dropout: float = 0.4
) -> keras.Model:
    """Images of 0..255 to logits [batch, num_positions, num_outputs]."""
    num_positions = checked_positions("three_conv", image_shape, SMALLEST, num_positions)
    images, x = scaled(image_shape)
    x = blocks(x, FILTERS, norm="last")
    x = keras.layers.Flatten(name="flat")(x)
    return keras.Model(images, heads(x, num_positions, num_outputs, HIDDEN, dropout), name="three_conv")
