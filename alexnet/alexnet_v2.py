"""AlexNet v2 as this project's forerunner trained it: 224 x 224 grey, wide layers of 4096 units, a head a position."""

import keras

IMAGE_SIZE = (224, 224)
# The numbers of Krizhevsky, "One weird trick for parallelizing convolutional neural networks" (2014), as TF-Slim has
# them.
WIDE = 4096
FIRST_BIAS = 0.1


def build(
    image_shape: tuple[int, int, int], num_outputs: int, num_positions: int | None = None, dropout: float = 0.5
) -> keras.Model:
    """Images of 0..255 and of any size to logits [batch, num_positions, num_outputs]; it has no columns."""
    if num_positions is None:
        raise ValueError("alexnet_v2 has one head for each position and no columns to read; ctc needs alexnet or crnn.")
    images = keras.Input(image_shape, name="images")
    x = keras.layers.Resizing(*IMAGE_SIZE, name="resize")(images)
    if image_shape[-1] == 3:
        x = keras.ops.image.rgb_to_grayscale(x)
    x = keras.layers.Rescaling(1 / 127.5, offset=-1, name="rescale")(x)  # 0..255 to -1..1
    x = _features(x)
    x = _wide(x, 5, dropout, name="fc6")
    x = _wide(x, 1, dropout, name="fc7")
    x = keras.layers.Flatten(name="flat")(x)
    heads = keras.layers.Dense(
        num_positions * num_outputs, kernel_initializer=_narrow(), dtype="float32", name="heads"
    )(x)
    logits = keras.layers.Reshape((num_positions, num_outputs), dtype="float32", name="logits")(heads)
    return keras.Model(images, logits, name="alexnet_v2")


def _features(x: keras.KerasTensor) -> keras.KerasTensor:
    x = _convolution(x, 64, 11, strides=4, padding="valid", name="conv1")
    x = _pool(x, name="pool1")
    x = _convolution(x, 192, 5, name="conv2")
    x = _pool(x, name="pool2")
    x = _convolution(x, 384, 3, name="conv3")
    x = _convolution(x, 384, 3, name="conv4")
    x = _convolution(x, 256, 3, name="conv5")
    return _pool(x, name="pool5")


def _wide(x: keras.KerasTensor, size: int, dropout: float, name: str) -> keras.KerasTensor:
    """A dense layer, written as a convolution that sees the whole of its input."""
    x = _convolution(x, WIDE, size, padding="valid", kernel_initializer=_narrow(), name=name)
    return keras.layers.Dropout(dropout, name=f"{name}_dropout")(x)


def _narrow() -> keras.initializers.Initializer:
    return keras.initializers.TruncatedNormal(stddev=0.005)  # as in TF-Slim


def _convolution(
    x: keras.KerasTensor,
    filters: int,
    size: int,
    strides: int = 1,
    padding: str = "same",
    kernel_initializer: str | keras.initializers.Initializer = "glorot_uniform",
    *,
    name: str,
) -> keras.KerasTensor:
    return keras.layers.Conv2D(
        filters,
        size,
        strides=strides,
        padding=padding,
        activation="relu",
        kernel_initializer=kernel_initializer,
        bias_initializer=keras.initializers.Constant(FIRST_BIAS),
        name=name,
    )(x)


def _pool(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return keras.layers.MaxPooling2D(3, strides=2, name=name)(x)
