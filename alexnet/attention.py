"""Which columns of an image show which character of its code: they are counted from left to right.

positions = CountingAttention(num_positions=8)(columns)      # [batch, columns, size] to [batch, 8, size]
"""

import math
from typing import Any

import keras
from keras import ops

_FULLEST = 0.9  # of a character in one column, to begin with
_SHARPNESS = 6.6  # to begin with: half a character away counts for a fifth


@keras.saving.register_keras_serializable(package="digitwise")
class CountingAttention(keras.layers.Layer):
    """For each position of the code a weighted mean of the columns.

    Each column says how much of a character it holds, and the sums of that from left to right say how many characters
    have passed. Position p looks where the count is about p + 1/2. At first all columns hold the same, so each position
    looks at its part of the width: the order of the characters need not be learned.
    """

    def __init__(self, num_positions: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.num_positions = num_positions
        # In float32: with bfloat16 a count of 8 columns more would be 1/32 off.
        self.measure = keras.layers.Dense(
            2,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.02),
            use_bias=False,
            dtype="float32",
            name="measure",
        )

    def build(self, shape: tuple[Any, ...]) -> None:
        num_columns = shape[1]
        # Together the columns then hold num_positions characters. Below 1, as no sigmoid reaches that.
        share = min(_FULLEST, self.num_positions / num_columns)
        self.measure.build(shape)
        self.held = self._number(math.log(share / (1.0 - share)), "held")  # the inverse of the sigmoid
        self.sharpness = self._number(math.log(_SHARPNESS), "sharpness")
        self.built = True

    def call(self, columns: keras.KerasTensor) -> keras.KerasTensor:
        return ops.einsum("bcp,bcs->bps", ops.cast(self.shares(columns), columns.dtype), columns)

    def shares(self, columns: keras.KerasTensor) -> keras.KerasTensor:
        """How much each position looks at each column: float32 [batch, columns, positions], 1 for each position."""
        held, fitness = ops.split(self.measure(columns), 2, axis=-1)  # [batch, columns, 1] each
        held = ops.sigmoid(held + self.held)
        # At the middle of each column: half of what it holds itself is still to come.
        count = ops.cumsum(held, axis=1) - held / 2
        middles = ops.arange(self.num_positions, dtype="float32") + 0.5
        # exp keeps the sharpness above 0, whatever is learned. `fitness` lets a column between two characters stand
        # back.
        scores = fitness - ops.exp(self.sharpness) * ops.square(count - middles)
        return ops.softmax(scores, axis=1)

    def compute_output_shape(self, shape: tuple[Any, ...]) -> tuple[Any, ...]:
        return shape[0], self.num_positions, shape[2]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_positions": self.num_positions}

    def _number(self, value: float, name: str) -> keras.Variable:
        initializer = keras.initializers.Constant(value)
        return self.add_weight(shape=(), initializer=initializer, dtype="float32", autocast=False, name=name)
