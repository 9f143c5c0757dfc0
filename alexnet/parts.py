"""What the simple networks have in common: scaled images, blocks of convolutions, and a head for each position."""

from collections.abc import Sequence

import keras

from alexnet.normalization import FusedBatchNormalization


def scaled(
    image_shape: tuple[int, int, int], scale: float = 1 / 127.5, offset: float = -1.0
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """(images, x): the network's input of 0..255, and the same in -1..1 or as given."""
    images = keras.Input(image_shape, name="images")
    return images, keras.layers.Rescaling(scale, offset=offset, name="rescale")(images)


def blocks(
    x: keras.KerasTensor,
    filters: Sequence[Sequence[int]],
    padding: str = "same",
    norm: str | None = None,
    dropout: float = 0.0,
) -> keras.KerasTensor:
    """Blocks of 3x3 convolutions, one for each tuple of `filters`, and after each block a pool that halves. `norm`
    follows the `last` convolution of a block, or `each`."""
    for number, block in enumerate(filters, 1):
        for place, size in enumerate(block, 1):
            name = f"conv{number}_{place}"
            x = keras.layers.Conv2D(size, 3, padding=padding, activation="relu", name=name)(x)
            if norm == "each" or (norm == "last" and place == len(block)):
                x = FusedBatchNormalization(name=f"{name}_norm")(x)
        x = keras.layers.MaxPooling2D(2, name=f"pool{number}")(x)
        if dropout:
            x = keras.layers.Dropout(dropout, name=f"pool{number}_dropout")(x)
    return x


def heads(
    features: keras.KerasTensor, num_positions: int, num_outputs: int, hidden: int = 0, dropout: float = 0.0
) -> keras.KerasTensor:
    """Logits [batch, num_positions, num_outputs]; each position has weights of its own, and `hidden` units if asked."""
    logits = []
    for place in range(1, num_positions + 1):
        x = features
        if hidden:
            x = keras.layers.Dense(hidden, activation="relu", name=f"hidden{place}")(x)
            x = keras.layers.Dropout(dropout, name=f"hidden{place}_dropout")(x)
        logits.append(keras.layers.Dense(num_outputs, dtype="float32", name=f"head{place}")(x))
    # Joined and reshaped instead of stacked: one operation that every export format has.
    joined = keras.layers.Concatenate(dtype="float32", name="heads")(logits)
    return keras.layers.Reshape((num_positions, num_outputs), dtype="float32", name="logits")(joined)


def checked_positions(name: str, image_shape: tuple[int, int, int], smallest: int, num_positions: int | None) -> int:
    """`num_positions`; ValueError where a network of heads cannot be built."""
    check_size(name, image_shape, smallest)
    if num_positions is None:
        raise ValueError(f"{name} has one head for each position and no columns to read; ctc needs alexnet or crnn.")
    return num_positions


def check_size(name: str, image_shape: tuple[int, int, int], smallest: int) -> None:
    height, width, _ = image_shape
    if min(height, width) < smallest:
        raise ValueError(f"The image is {width}x{height}, but {name} needs at least {smallest}x{smallest} pixels.")
