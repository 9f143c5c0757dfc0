"""Where a network looks for each position of the code.

look = attention_of(network)          # None where the network has no such thing
look(images)                          # float32 [batch, positions, columns], the columns from left to right
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from alexnet.attention import CountingAttention

Look: TypeAlias = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]


def attention_of(network: keras.Model, clean: Callable[[Any], Any] = lambda images: images) -> Look | None:
    """`clean` is applied to the pixels first, as for reading."""
    layers = [layer for layer in network.layers if isinstance(layer, CountingAttention)]
    if not layers:
        return None
    to_columns = keras.Model(network.input, layers[0].input)

    @tf.function(autograph=False)
    def shares(images: tf.Tensor) -> tf.Tensor:
        return tf.transpose(layers[0].shares(to_columns(clean(images), training=False)), [0, 2, 1])

    return lambda images: shares(tf.constant(images)).numpy()
