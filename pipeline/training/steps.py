"""Training steps on all replicas, and what they came to.

steps = Steps(strategy, recognizer, optimizer, batch_size, averages)
steps.run(iterator, Call.of(step=0, slot=0, rates=[3e-3] * 10))
tally = steps.look(10)
tally.losses, tally.accuracies
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Self

import keras
import numpy as np
import tensorflow as tf

from alexnet.averages import Averages
from alexnet.labels import PADDING
from pipeline.machine.devices import is_multi_worker
from pipeline.model.recognizer import Recognizer
from pipeline.training.optimizer import rate_of
from pipeline.training.remembered import COUNTED, LOSS, RIGHT, Remembered, mean_loss
from pipeline.training.schedule import LOOK_STEPS

_COLUMNS = 5  # of the tally


class Tally(NamedTuple):
    """A row for each step since the last look."""

    losses: np.ndarray
    accuracies: np.ndarray  # position_accuracy, of the images as they were read at the step
    stops: np.ndarray  # not 0 where a worker was asked to stop
    waits: np.ndarray  # seconds that the step waited for its images


class Call(NamedTuple):
    """What one call of `Steps.run` does, as tensors. The rates are computed outside of TensorFlow, so that they are the
    same however many steps a call has."""

    step: tf.Tensor  # int32, how many steps there were before
    slot: tf.Tensor  # int32, the row of the tally to begin with
    count: tf.Tensor  # int32
    stop: tf.Tensor  # float32, not 0 where this worker was asked to stop
    remember_from: tf.Tensor  # int32, the step from which on it chooses by what is remembered
    rates: tf.Tensor  # float32 [LOOK_STEPS], the learning rate of each step

    @classmethod
    def of(cls, step: int, slot: int, rates: Sequence[float], stop: int = 0, remember_from: int | None = None) -> Self:
        """As many steps as there are `rates`."""
        filled = np.zeros(LOOK_STEPS, np.float32)
        filled[: len(rates)] = rates
        since = np.iinfo(np.int32).max if remember_from is None else remember_from
        return cls(*map(tf.constant, (step, slot, len(rates), float(stop), since, filled)))

    @classmethod
    def signature(cls) -> Self:
        """The shapes of all calls."""
        number, fraction = tf.TensorSpec([], tf.int32), tf.TensorSpec([], tf.float32)
        return cls(number, number, number, fraction, number, tf.TensorSpec([LOOK_STEPS], tf.float32))


class Choice(NamedTuple):
    """A step learns from the hardest one of so many images in a row: as it reads them, or as they are remembered."""

    one_of: int
    remembered: Remembered | None = None


class Steps:
    """Runs training steps on all replicas, and tells what they came to."""

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        recognizer: Recognizer,
        optimizer: keras.optimizers.Optimizer,
        batch_size: int,
        averages: Averages | None = None,
        xla: bool = False,
        choice: Choice | None = None,
    ) -> None:
        self.strategy = strategy
        self._averages = averages
        self._rate = rate_of(optimizer)
        self._network = recognizer.network
        self._readout = recognizer.readout
        self._optimizer = optimizer
        self._batch_size = batch_size
        self._choice = choice
        # Loss scaling leaves out a step whose gradients are not finite, and looks at those of one replica only.
        scales = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        self._must_agree = scales and strategy.num_replicas_in_sync > 1
        self._differentiate = (
            tf.function(self._gradients, jit_compile=True, autograph=False) if xla else self._gradients
        )
        # Per step: loss, right positions, counted positions, whether a worker was asked to stop, and seconds spent
        # waiting for images. Each replica keeps its own sums, so that nothing is exchanged before somebody looks.
        self._tally = tf.Variable(
            tf.zeros([LOOK_STEPS, _COLUMNS]),
            trainable=False,
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.SUM,
        )
        self.run: Any = tf.function(self._run, autograph=False)
        self._look = tf.function(self._take_tally, autograph=False)

    def look(self, count: int) -> Tally:
        """What the first `count` steps since the last look came to; the tally is emptied."""
        losses, right, counted, stops, waits = self._look().numpy()[:count].T
        return Tally(losses, right / np.maximum(counted, 1), stops, waits / self.strategy.num_replicas_in_sync)

    def steps_per_call(self, wanted: int) -> int:
        """How many steps `run` may be asked for. Workers exchange numbers within a step, and a loop around that has
        been seen to leave each of them waiting for the other."""
        return 1 if is_multi_worker(self.strategy) else wanted

    def trace(self, batches: Iterator[Any]) -> Any:
        """Builds the graph of the steps ahead of time, from batches of which only the shapes matter; returns it."""
        return self.run.get_concrete_function(batches, Call.signature()).graph

    def _run(self, iterator: Iterator[Any], call: Call) -> None:
        """The steps of a call, as a loop inside TensorFlow: a step is the same whatever their number."""

        def step(i: tf.Tensor) -> tf.Tensor:
            batch, waited = _timed_next(iterator)
            self._rate.assign(call.rates[i])
            self.strategy.run(self._step, args=(batch, call, i, waited))
            return i + 1

        if is_multi_worker(self.strategy):
            step(tf.constant(0))
        else:
            # Inside TensorFlow: a call from Python for each step takes time that a small network would feel.
            tf.while_loop(lambda i: i < call.count, step, [tf.constant(0)], parallel_iterations=1)

    def _step(self, batch: tuple[tf.Tensor, ...], call: Call, i: tf.Tensor, waited: tf.Tensor) -> None:
        images, label_ids, *numbers = batch
        if self._choice:
            reads = call.step + i < call.remember_from
            rows, learned, gradients = self._learn_from_hardest(self._choice, images, label_ids, numbers, reads)
            # What is shown is of all images, as they were read before the step or, where that is remembered, last.
            loss = mean_loss(rows) / self.strategy.num_replicas_in_sync
            loss = tf.where(tf.math.is_finite(learned), loss, learned)
            right, counted = tf.reduce_sum(rows[:, RIGHT]), tf.reduce_sum(rows[:, COUNTED])
        else:
            loss, logits, gradients = self._differentiate(images, label_ids)
            right, counted = map(tf.reduce_sum, self._position_counts(logits, label_ids))
        if self._must_agree:
            gradients = finite_together(gradients)
        self._optimizer.apply(gradients, self._network.trainable_variables)
        if self._averages:
            self._averages.update(call.step + i)
        row = tf.stack([loss, right, counted, call.stop, waited])
        rows = tf.tensor_scatter_nd_update(tf.zeros([LOOK_STEPS, _COLUMNS]), [[call.slot + i]], [row])
        self._tally.assign_add(rows)

    def _learn_from_hardest(
        self, choice: Choice, images: tf.Tensor, label_ids: tf.Tensor, numbers: list[tf.Tensor], reads: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        """(a row of `Remembered` for each image, loss of those that are learned from, gradients). If it `reads`, all
        images are read to choose from them, three of four in vain; if not, it chooses by what is remembered."""

        def read() -> tf.Tensor:
            return self._rows(self._network(images, training=False), label_ids)

        remembered = choice.remembered
        if remembered is None:
            rows = read()
        else:
            known = remembered.take(numbers[0])
            rows = tf.cond(reads, read, lambda: known)
        chosen = hardest(rows[:, LOSS], choice.one_of)
        label_ids = tf.gather(label_ids, chosen)
        learned, logits, gradients = self._differentiate(tf.gather(images, chosen), label_ids)
        if remembered is not None:
            with_learned = tf.tensor_scatter_nd_update(rows, chosen[:, None], self._rows(logits, label_ids))
            rows = tf.where(reads, rows, with_learned)
            remembered.put(numbers[0], rows)
        return rows, learned, gradients

    def _rows(self, logits: tf.Tensor, label_ids: tf.Tensor) -> tf.Tensor:
        return tf.stack([self._readout.loss(logits, label_ids), *self._position_counts(logits, label_ids)], axis=1)

    def _position_counts(self, logits: tf.Tensor, label_ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return position_counts(label_ids, self._readout.decode(logits).label_ids)

    def _gradients(self, images: tf.Tensor, label_ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        variables = self._network.trainable_variables
        with tf.GradientTape() as tape:
            logits = self._network(images, training=True)
            losses = self._readout.loss(logits, label_ids)
            # Over the global batch: the sum over the replicas is then the loss of one device.
            count = self._batch_size // (self._choice.one_of if self._choice else 1)
            loss = tf.nn.compute_average_loss(losses, global_batch_size=count)
            if self._network.losses:
                # A replica's share, as all of them add it.
                loss += tf.nn.scale_regularization_loss(tf.add_n(self._network.losses))
            scaled = self._optimizer.scale_loss(loss)
        return loss, logits, tape.gradient(scaled, [variable.value for variable in variables])

    def _take_tally(self) -> tf.Tensor:
        def take() -> tf.Tensor:
            taken = self._tally.read_value()
            self._tally.assign(tf.zeros_like(taken))
            return taken

        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, self.strategy.run(take), axis=None)


def finite_together(gradients: list[tf.Tensor]) -> list[tf.Tensor]:
    """The gradients of a replica, all of them infinite where any replica has one that is not finite."""
    broken = tf.add_n([tf.cast(~tf.reduce_all(tf.math.is_finite(gradient)), tf.float32) for gradient in gradients])
    broken = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, broken)
    return [tf.where(broken > 0, tf.constant(np.inf, gradient.dtype), gradient) for gradient in gradients]


def hardest(losses: tf.Tensor, of: int) -> tf.Tensor:
    """The places of the examples with the largest of each `of` losses in a row.

    In a row, and not the largest of all: what is chosen is then the same on any number of replicas, and the share of
    wrong labels, which are always among the hardest, grows no more than `of` times."""
    best = tf.argmax(tf.reshape(losses, [-1, of]), axis=1, output_type=tf.int32)
    return best + of * tf.range(tf.size(best))


def position_counts(label_ids: tf.Tensor, decoded_ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """(right, counted) of each image as metrics.position_counts, summed over positions, in TensorFlow."""
    more = decoded_ids.shape[1] - label_ids.shape[1]  # a place for what is too long
    label_ids = tf.pad(label_ids, [[0, 0], [0, more]], constant_values=PADDING)
    counted = (label_ids != PADDING) | (decoded_ids != PADDING)
    right = counted & (label_ids == decoded_ids)
    return tf.reduce_sum(tf.cast(right, tf.float32), axis=1), tf.reduce_sum(tf.cast(counted, tf.float32), axis=1)


def _timed_next(iterator: Iterator[Any]) -> tuple[Any, tf.Tensor]:
    """(the next batch, the seconds it took to come)."""
    began = tf.timestamp()
    # Or TensorFlow would take both times at once.
    with tf.control_dependencies([began]):
        batch = next(iterator)
    with tf.control_dependencies(tf.nest.flatten(batch, expand_composites=True)):
        return batch, tf.cast(tf.timestamp() - began, tf.float32)
