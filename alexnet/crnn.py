"""Convolutions, then a recurrent layer that reads the columns both ways: for codes of any length, with ctc.

network = build((60, 160, 1), num_outputs=11)
logits = network(images)  # [batch, 40, 11]
"""

import keras

from alexnet.normalization import FusedBatchNormalization
from alexnet.parts import check_size, scaled

FILTERS = (16, 48, 96, 96)
POOLS = ((2, 2), (2, 2), (2, 1), (2, 1))  # the width is halved twice: a column for every 4 pixels
COLUMN_SIZE = 96
RECURRENT_SIZE = 64
MOMENTUM = 0.9  # the recurrence feels it where the moving statistics lag behind, as they do for long at Keras' 0.99
SMALLEST = 16  # pixels each way, as the height is halved four times


def build(
    image_shape: tuple[int, int, int], num_outputs: int, num_positions: int | None = None, dropout: float = 0.0
) -> keras.Model:
    """Images of 0..255 to logits [batch, columns, num_outputs]."""
    check_size("crnn", image_shape, SMALLEST)
    if num_positions is not None:
        raise ValueError("crnn gives a logit vector for each column and has no positions; it needs ctc.")
    images, x = scaled(image_shape)
    for number, (filters, pool) in enumerate(zip(FILTERS, POOLS), 1):
        x = _convolution(x, filters, 3, "same", name=f"conv{number}")
        x = keras.layers.MaxPooling2D(pool, name=f"pool{number}")(x)
    _, height, width, _ = x.shape
    x = _convolution(x, COLUMN_SIZE, (height, 1), "valid", name="columns")
    x = keras.layers.Reshape((width, COLUMN_SIZE), name="sequence")(x)
    # use_cudnn=False: one implementation on all devices, so the same weights read alike everywhere, in exports too.
    recurrent = keras.layers.GRU(RECURRENT_SIZE, return_sequences=True, use_cudnn=False, name="gru")
    x = keras.layers.Bidirectional(recurrent, name="both_ways")(x)
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    logits = keras.layers.Dense(num_outputs, dtype="float32", name="logits")(x)
    return keras.Model(images, logits, name="crnn")


def _convolution(
    x: keras.KerasTensor, filters: int, size: int | tuple[int, int], padding: str, name: str
) -> keras.KerasTensor:
    x = keras.layers.Conv2D(filters, size, padding=padding, use_bias=False, name=name)(x)
    x = FusedBatchNormalization(momentum=MOMENTUM, name=f"{name}_norm")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)
