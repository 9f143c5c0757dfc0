"""A network in place of alexnet for tests of the training: all kinds of variables, few of them.

Most of a short training is TensorFlow building the graph, which takes time for each variable and its part of the
optimizer. This network has a convolution, normalization with moving statistics, dropout with its own seed, and a dense
layer, so a training with it is stopped, saved and continued as one with alexnet, in a quarter of the time.
"""

import keras

import alexnet.alexnet
from alexnet.normalization import FusedBatchNormalization
from pipeline.model import included

PARAMETERS: int = 16 * 8 + 4 * 8 + (4 * 8 * 8 + 1) * 8  # for images 32x16, two positions and four characters


def build(image_shape, num_outputs, num_positions=None, dropout=0.0, size="base"):
    images = keras.Input(image_shape, name="images")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="rescale")(images)
    x = keras.layers.Conv2D(8, 4, strides=4, padding="same", use_bias=False, name="conv1")(x)
    x = FusedBatchNormalization(name="conv1_norm")(x)
    x = keras.layers.ReLU(name="conv1_relu")(x)
    _, height, width, filters = x.shape
    if num_positions is None:
        x = keras.layers.Permute((2, 1, 3), name="columns_first")(x)
        x = keras.layers.Reshape((width, height * filters), name="sequence")(x)
    else:
        x = keras.layers.Flatten(name="flat")(x)
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    x = keras.layers.Dense(num_outputs * (num_positions or 1), dtype="float32", name="heads")(x)
    if num_positions is not None:
        x = keras.layers.Reshape((num_positions, num_outputs), dtype="float32", name="logits")(x)
    return keras.Model(images, x, name="alexnet")


def install(setattr=setattr):
    """From now on --network=alexnet is this one, in this process; the included weights are none of its."""
    setattr(alexnet.alexnet, "build", build)
    setattr(included, "MODULE", "another network")
