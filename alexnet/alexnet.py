"""AlexNet's shape, sized for codes: five convolutions, overlapping max pools, then columns in place of wide layers.

network = build((60, 160, 1), num_outputs=10, num_positions=4)
logits = network(images)  # [batch, 4, 10]
"""

import keras

from alexnet.normalization import FusedBatchNormalization

FILTERS = (16, 48, 96, 96, 64)
COLUMN_SIZE = 128
VIEW_SIZE = 16  # of each column, where the attention takes in all of them
GLANCE_SIZE = 64
SMALLEST = 16  # pixels each way, as the height is halved four times


def build(image_shape, num_outputs, num_positions=None, dropout=0.0):
    """Images of 0..255 to logits [batch, num_positions, num_outputs]; without num_positions a logit vector a column."""
    height, width, _ = image_shape
    if min(height, width) < SMALLEST:
        raise ValueError(f"The image is {width}x{height}, but alexnet needs at least {SMALLEST}x{SMALLEST} pixels.")
    images = keras.Input(image_shape, name="images")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1, name="rescale")(images)
    if num_positions is None:
        features = _columns(x, pixels=4)  # finer, as each character and each blank between takes a column of its own
    else:
        features = _attend(_columns(x, pixels=8), num_positions)
    features = keras.layers.Dropout(dropout, name="dropout")(features)
    # One classifier for all positions: a digit seen at one of them is learned for all.
    logits = keras.layers.Dense(num_outputs, dtype="float32", name="logits")(features)
    return keras.Model(images, logits, name="alexnet")


def _columns(x, pixels):
    """The image as a sequence from left to right: [batch, columns, COLUMN_SIZE], a column for every 4 or 8 pixels."""
    x = _convolution(x, FILTERS[0], 5, strides=2, name="conv1")
    x = _pool(x, (2, 2), name="pool1")
    x = _convolution(x, FILTERS[1], 3, name="conv2")
    x = _pool(x, (2, pixels // 4), name="pool2")
    x = _convolution(x, FILTERS[2], 3, name="conv3")
    x = _convolution(x, FILTERS[3], 3, name="conv4")
    x = _convolution(x, FILTERS[4], 3, name="conv5")
    x = _pool(x, (2, 1), name="pool5")
    _, height, width, _ = x.shape
    x = _convolution(x, COLUMN_SIZE, (height, 1), padding="valid", name="columns")
    return keras.layers.Reshape((width, COLUMN_SIZE), name="sequence")(x)


def _attend(columns, num_positions):
    """For each position of the code a weighted mean of the columns.

    The weights come from a glance at all columns: where a character stands depends on the widths of those before it.
    """
    num_columns = columns.shape[1]
    view = keras.layers.Dense(VIEW_SIZE, activation="relu", name="view")(columns)
    glance = keras.layers.Reshape((1, 1, num_columns * VIEW_SIZE), name="flat_view")(view)
    glance = _convolution(glance, GLANCE_SIZE, 1, name="glance")
    scores = keras.layers.Dense(num_columns * num_positions, name="scores")(glance)
    scores = keras.layers.Reshape((num_columns, num_positions), name="scores_of_columns")(scores)
    weights = keras.layers.Softmax(axis=1, name="attention")(scores)
    return keras.layers.Dot(axes=(1, 1), name="positions")([weights, columns])


def _convolution(x, filters, size, strides=1, padding="same", name=None):
    x = keras.layers.Conv2D(filters, size, strides=strides, padding=padding, use_bias=False, name=name)(x)
    x = FusedBatchNormalization(name=f"{name}_norm")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)


def _pool(x, strides, name):
    return keras.layers.MaxPooling2D(3, strides=strides, padding="same", name=name)(x)
