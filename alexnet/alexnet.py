"""AlexNet's shape, sized for codes: five convolutions with max pools between, then columns in place of wide layers.

network = build((60, 160, 1), num_outputs=10, num_positions=4)
logits = network(images)  # [batch, 4, 10]
"""

import dataclasses

import keras

from alexnet.attention import CountingAttention
from alexnet.normalization import FusedBatchNormalization
from alexnet.parts import check_size
from alexnet.standardization import Standardization

SMALLEST = 16  # pixels each way, as the height is halved four times


@dataclasses.dataclass(frozen=True)
class Size:
    """How many features the five convolutions give, and the columns."""

    filters: tuple[int, int, int, int, int]
    column: int


# A multiple of 16 each: with others the kernels for bfloat16 fall back to slow ones.
BASE = Size((32, 48, 96, 96, 96), 128)
LARGE = Size((32, 96, 192, 192, 192), 256)


def build(
    image_shape: tuple[int, int, int],
    num_outputs: int,
    num_positions: int | None = None,
    dropout: float = 0.0,
    size: Size = BASE,
) -> keras.Model:
    """Images of 0..255 to logits [batch, num_positions, num_outputs]; without num_positions a logit vector a column."""
    name = "alexnet" if size == BASE else "alexnet_large"
    check_size(name, image_shape, SMALLEST)
    images = keras.Input(image_shape, name="images")
    x = Standardization(name="standardize")(images)
    if num_positions is None:
        features = _columns(x, size)  # each character and each blank between takes a column of its own
    else:
        features = CountingAttention(num_positions, name="positions")(_columns(x, size))
    features = keras.layers.Dropout(dropout, name="dropout")(features)
    # One classifier for all positions: a digit seen at one of them is learned for all.
    # In float32: a softmax in bfloat16 would be coarse.
    logits = keras.layers.Dense(num_outputs, dtype="float32", name="logits")(features)
    return keras.Model(images, logits, name=name)


def _columns(x: keras.KerasTensor, size: Size) -> keras.KerasTensor:
    """The image as a sequence from left to right: [batch, columns, size.column], a column for every 4 pixels."""
    # A stride of 2 at once: at full size the first convolution would take most of the time.
    x = _convolution(x, size.filters[0], 5, strides=2, name="conv1")
    x = _pool(x, (2, 2), name="pool1")
    x = _convolution(x, size.filters[1], 3, name="conv2")
    # From here on only the height is halved: characters overlap from left to right, so that is where detail tells.
    x = _pool(x, (2, 1), name="pool2")
    x = _convolution(x, size.filters[2], 3, name="conv3")
    # Earlier than in AlexNet: it halves what the next two convolutions cost, and columns twice as fine cost it again.
    x = _pool(x, (2, 1), name="pool3")
    # Added to their input, so that the deepest layers need not learn to pass on what they get.
    for number in (4, 5):
        x = keras.layers.Add(name=f"sum{number}")(
            [x, _convolution(x, size.filters[number - 1], 3, name=f"conv{number}")]
        )
    _, height, width, _ = x.shape
    # As high as what is left: one vector a column, whatever the height of the image.
    x = _convolution(x, size.column, (height, 1), padding="valid", name="columns")
    return keras.layers.Reshape((width, size.column), name="sequence")(x)


def _convolution(
    x: keras.KerasTensor,
    filters: int,
    size: int | tuple[int, int],
    strides: int = 1,
    padding: str = "same",
    *,
    name: str,
) -> keras.KerasTensor:
    # The norm adds one.
    x = keras.layers.Conv2D(filters, size, strides=strides, padding=padding, use_bias=False, name=name)(x)
    x = FusedBatchNormalization(name=f"{name}_norm")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)


def _pool(x: keras.KerasTensor, strides: tuple[int, int], name: str) -> keras.KerasTensor:
    return keras.layers.MaxPooling2D(strides, padding="same", name=name)(x)
