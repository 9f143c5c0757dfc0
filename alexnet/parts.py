"""What the simple networks have in common: scaled images, blocks of convolutions, and a head for each position."""

import keras

from alexnet.normalization import FusedBatchNormalization


def scaled(image_shape):
    """(images, x): the network's input of 0..255, and the same in -1..1."""
    images = keras.Input(image_shape, name="images")
    return images, keras.layers.Rescaling(1 / 127.5, offset=-1, name="rescale")(images)


def convolution(x, filters, padding="same", norm=False, name=None):
    x = keras.layers.Conv2D(filters, 3, padding=padding, activation="relu", name=name)(x)
    return FusedBatchNormalization(name=f"{name}_norm")(x) if norm else x


def heads(features, num_positions, num_outputs, hidden=0, dropout=0.0):
    """Logits [batch, num_positions, num_outputs]; each position has weights of its own, and `hidden` units if asked."""
    logits = []
    for place in range(1, num_positions + 1):
        x = features
        if hidden:
            x = keras.layers.Dense(hidden, activation="relu", name=f"hidden{place}")(x)
            x = keras.layers.Dropout(dropout, name=f"hidden{place}_dropout")(x)
        logits.append(keras.layers.Dense(num_outputs, dtype="float32", name=f"head{place}")(x))
    joined = keras.layers.Concatenate(dtype="float32", name="heads")(logits)
    return keras.layers.Reshape((num_positions, num_outputs), dtype="float32", name="logits")(joined)


def check_fits(name, image_shape, smallest, num_positions):
    """ValueError where a network of heads cannot be built."""
    check_size(name, image_shape, smallest)
    if num_positions is None:
        raise ValueError(f"{name} has one head for each position and no columns to read; ctc needs alexnet or crnn.")


def check_size(name, image_shape, smallest):
    height, width, _ = image_shape
    if min(height, width) < smallest:
        raise ValueError(f"The image is {width}x{height}, but {name} needs at least {smallest}x{smallest} pixels.")
