"""VGG's shape in small: two convolutions and a pool, four times, then a head a position; made for images of 170 x 80.

The forerunner's convolutions cut off the border, and so do these: 1.39 million parameters for 36 classes and 4
positions. An image too small to lose that much keeps its border. The forerunner's heads ended in a softmax each; here
that is the readout's, so none is taken twice. It took pixels as they are, 0 to 255, and so does this.
"""

import keras

from alexnet.parts import blocks, checked_positions, heads, scaled

FILTERS = ((32, 32), (64, 64), (128, 128), (256, 256))
SMALLEST_CUT = 76  # pixels each way, from which one is left after eight cuts and four halvings
SMALLEST = 16


def build(
    image_shape: tuple[int, int, int], num_outputs: int, num_positions: int | None = None, dropout: float = 0.25
) -> keras.Model:
    """Images of 0..255 to logits [batch, num_positions, num_outputs]."""
    num_positions = checked_positions("vgg", image_shape, SMALLEST, num_positions)
    padding = "valid" if min(image_shape[:2]) >= SMALLEST_CUT else "same"
    images, x = scaled(image_shape, scale=1.0, offset=0.0)
    x = blocks(x, FILTERS, padding)
    x = keras.layers.Flatten(name="flat")(x)
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    return keras.Model(images, heads(x, num_positions, num_outputs), name="vgg")
