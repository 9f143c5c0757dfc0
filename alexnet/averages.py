"""Running means of a network's weights: they read better than the weights of any one step.

averages = Averages(network, decay=0.98)     # in the scope of the strategy
averages.update(step)                        # after each step, in the replica context
with averages.in_place():                    # validate, save
    ...
"""

import contextlib
from collections.abc import Iterable, Iterator

import keras
import numpy as np
import tensorflow as tf


class Averages:
    """Of all variables of floats, moving statistics among them. `variables` belong into the checkpoint.

    They are in the order of the network's variables; `numbers` says which of those they are means of.
    """

    def __init__(self, network: keras.Model, decay: float) -> None:
        self._decay = decay
        floats = {
            number: variable
            for number, variable in enumerate(network.variables)
            if keras.backend.is_float_dtype(variable.dtype)  # not the seeds of dropout, which are whole numbers
        }
        self.numbers: list[int] = list(floats)
        self._averaged = [variable.value for variable in floats.values()]
        # All replicas have the same weights, so each keeps means of its own, and nothing is exchanged at a step.
        self.variables: list[tf.Variable] = [
            tf.Variable(
                value,
                trainable=False,
                name=f"average{number}",
                synchronization=tf.VariableSynchronization.ON_READ,
                aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
            )
            for number, value in enumerate(self._averaged)
        ]

    def update(self, step: tf.Tensor) -> None:
        """`step` counts from 0. The first ones count for less the more come after, until `decay` is reached."""
        step = tf.cast(step, tf.float32)
        # As TensorFlow's ExponentialMovingAverage does with num_updates: otherwise the initial weights would stay in
        # the average for 1 / (1 - decay) steps.
        share = 1.0 - tf.minimum(self._decay, (1.0 + step) / (10.0 + step))
        for average, value in zip(self.variables, self._averaged):
            average.assign_add(share * (value - average))

    def start_again(self) -> None:
        """From the weights as they are now."""
        for average, value in zip(self.variables, self._averaged):
            average.assign(value.numpy())

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Within it the network has the averages for weights; afterwards its own again."""
        # Copies: the variables themselves are assigned to.
        own = [value.numpy() for value in self._averaged]
        self._assign([average.numpy() for average in self.variables])
        try:
            yield
        finally:
            self._assign(own)

    def _assign(self, arrays: Iterable[np.ndarray]) -> None:
        for value, array in zip(self._averaged, arrays):
            value.assign(array)
