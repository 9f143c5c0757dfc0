"""`alexnet` with twice as many features in each layer: for many characters in many fonts.

network = build((40, 320, 3), num_outputs=37, num_positions=8)
"""

import keras

from alexnet import alexnet

SMALLEST = alexnet.SMALLEST


def build(
    image_shape: tuple[int, int, int], num_outputs: int, num_positions: int | None = None, dropout: float = 0.0
) -> keras.Model:
    """Images of 0..255 to logits, as `alexnet` gives them."""
    return alexnet.build(image_shape, num_outputs, num_positions, dropout, alexnet.LARGE)
