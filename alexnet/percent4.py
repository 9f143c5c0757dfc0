"""Eight convolutions and a small perceptron a position: made for real colour images of 50 x 22.

The forerunner took the softmax twice, once in the network and once in the loss, so that its loss could not fall below
ln(1 + 9/e) = 1.4612 for ten classes; here the network ends in logits. It had no dropout, and neither has this by
default.
"""

import keras

from alexnet.parts import blocks, checked_positions, heads, scaled

FILTERS = ((32, 32), (64, 64), (128, 128), (256, 256))
HIDDEN = 100
SMALLEST = 16  # pixels each way, halved four times


def build(
    image_shape: tuple[int, int, int], num_outputs: int, num_positions: int | None = None, dropout: float = 0.0
) -> keras.Model:
    """Images of 0..255 to logits [batch, num_positions, num_outputs]."""
    num_positions = checked_positions("percent4", image_shape, SMALLEST, num_positions)
    images, x = scaled(image_shape)
    x = blocks(x, FILTERS)
    x = keras.layers.Flatten(name="flat")(x)
    return keras.Model(images, heads(x, num_positions, num_outputs, HIDDEN, dropout), name="percent4")
