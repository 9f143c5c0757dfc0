"""Batch normalization through TensorFlow's fused kernel: half the time of a training step in bfloat16 on a CPU.

Keras 3 spells it out in single operations and always in float32.

    calibration = Calibration(network, strategy)       # once
    calibration(batches)                               # before a validation and a save: the statistics fit the weights
"""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import tensorflow as tf

# Of the moving statistics. Keras' 0.99 remembers a hundred steps, in which the weights go too far. 0.9 lags less, but
# at high learning rates it may still mislead: calibrate before what is read counts.
MOMENTUM = 0.9


@keras.saving.register_keras_serializable(package="digitwise")
class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Keras' layer and weights, for images [batch, height, width, channels].

    On several devices all normalize by the statistics of the whole batch, so that the loss is that of one device;
    there is no fused kernel for that.
    """

    def __init__(self, momentum: float = MOMENTUM, **settings: Any) -> None:
        super().__init__(momentum=momentum, **settings)
        self._calibration_share = None

    @contextlib.contextmanager
    def calibrating(self, share: tf.Tensor) -> Iterator[None]:
        """Within it a batch is normalized by its own statistics, and the moving ones go `share` of the way there."""
        self._calibration_share = share
        try:
            yield
        finally:
            self._calibration_share = None

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        if self._calibration_share is not None:
            # The kernel takes no tensor for a momentum.
            return self._normalize_together(inputs, 1.0 - self._calibration_share)
        training = bool(training and self.trainable)
        if training and _num_replicas() > 1:
            return self._normalize_together(inputs, self.momentum)
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs,
            scale=tf.convert_to_tensor(self.gamma),
            offset=tf.convert_to_tensor(self.beta),
            mean=tf.convert_to_tensor(self.moving_mean),
            variance=tf.convert_to_tensor(self.moving_variance),
            epsilon=self.epsilon,
            is_training=training,
            # How far the moving statistics move; 1 where nothing moves.
            exponential_avg_factor=1.0 - self.momentum if training else 1.0,
        )
        if training:
            self.moving_mean.assign(mean)
            self.moving_variance.assign(variance)
        return outputs

    def _normalize_together(self, inputs: tf.Tensor, momentum: float | tf.Tensor) -> tf.Tensor:
        pixels = tf.cast(inputs, tf.float32)
        means = [tf.reduce_mean(pixels, [0, 1, 2]), tf.reduce_mean(tf.square(pixels), [0, 1, 2])]
        replicas = _num_replicas()
        if replicas > 1:
            means = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, means)
        mean, mean_of_squares = means
        # By the means of squares, as these can be averaged over replicas in one exchange; in float32, as the difference
        # is small.
        variance = mean_of_squares - tf.square(mean)
        # All replicas have equal parts of a batch; check_batch_size sees to that.
        count = tf.cast(tf.size(inputs) // inputs.shape[-1] * replicas, tf.float32)
        _move(self.moving_mean, mean, momentum)
        _move(self.moving_variance, variance * count / (count - 1), momentum)  # without bias, as the kernel has it
        outputs = tf.nn.batch_normalization(pixels, mean, variance, self.beta.value, self.gamma.value, self.epsilon)
        return tf.cast(outputs, inputs.dtype)


class Calibration:
    """Makes the moving statistics of a network the mean over given batches, with the weights as they are now.

    Nothing else changes, dropout's seeds neither: with the same batches, a training goes the same way with and without.
    """

    def __init__(self, network: keras.Model, strategy: tf.distribute.Strategy) -> None:
        self._network = network
        self._strategy = strategy
        self._layers = [layer for layer in network.layers if isinstance(layer, FusedBatchNormalization)]
        self._take = tf.function(self._take_batch, autograph=False)

    @property
    def variables(self) -> list[keras.Variable]:
        """The moving statistics, in the order of the network's variables."""
        ids = {id(value) for layer in self._layers for value in (layer.moving_mean, layer.moving_variance)}
        return [variable for variable in self._network.variables if id(variable) in ids]

    def __call__(self, batches: Iterable[tf.Tensor]) -> None:
        """`batches` of images, each as the strategy distributes them."""
        if not self._layers:
            return
        for number, images in enumerate(batches):
            # The n-th batch moves the mean 1/n of the way: then all batches count alike.
            self._take(images, tf.constant(1.0 / (number + 1)))

    def _take_batch(self, images: tf.Tensor, share: tf.Tensor) -> None:
        self._strategy.run(self._on_replica, args=(images, share))

    def _on_replica(self, images: tf.Tensor, share: tf.Tensor) -> None:
        with contextlib.ExitStack() as stack:
            for layer in self._layers:
                stack.enter_context(layer.calibrating(share))
            # Not as in training: dropout would change the statistics of the layers behind it.
            self._network(images, training=False)


def _move(moving: keras.Variable, value: tf.Tensor, momentum: float | tf.Tensor) -> None:
    moving.assign(moving * momentum + value * (1.0 - momentum))


def _num_replicas() -> int:
    replica = tf.distribute.get_replica_context()  # None while Keras builds the network
    return 1 if replica is None else replica.num_replicas_in_sync
