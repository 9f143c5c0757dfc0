"""How each image of the train split was read last, from which a step tells without reading them which are hardest.

remembered = Remembered(count=25_000)       # in the scope of the strategy
rows = remembered.take(numbers)             # in the replica context: one for each image
remembered.put(numbers, rows)
"""

import numpy as np
import tensorflow as tf

LOSS, RIGHT, COUNTED = range(3)  # columns; counted are the characters of the code and those read too many
# Never read yet: harder than any that was. A checkpoint holds no infinite numbers.
_UNREAD = (np.finfo(np.float32).max, 0.0, 0.0)


class Remembered:
    """`variable` belongs into the checkpoint."""

    def __init__(self, count: int) -> None:
        # Each replica knows of all images, as another one may get them next time.
        self.variable = tf.Variable(
            tf.tile([_UNREAD], [count, 1]),
            trainable=False,
            name="remembered",
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )

    def take(self, numbers: tf.Tensor) -> tf.Tensor:
        """float32 [images, 3] of the images with these numbers."""
        return tf.gather(self.variable, numbers)

    def put(self, numbers: tf.Tensor, rows: tf.Tensor) -> None:
        """On all replicas what each of them has read."""
        replica = tf.distribute.get_replica_context()
        if replica.num_replicas_in_sync > 1:
            numbers, rows = replica.all_gather([numbers, rows], axis=0)
        # Only these rows: an assignment would copy those of all images at each step.
        tf.raw_ops.ResourceScatterNdUpdate(ref=self.variable.handle, indices=numbers[:, None], updates=rows)


def mean_loss(rows: tf.Tensor) -> tf.Tensor:
    """Of those that were read."""
    was_read = rows[:, COUNTED] > 0
    return tf.reduce_sum(tf.where(was_read, rows[:, LOSS], 0.0)) / tf.maximum(
        tf.reduce_sum(tf.cast(was_read, tf.float32)), 1.0
    )
