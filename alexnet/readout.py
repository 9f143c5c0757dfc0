"""Readouts: from logits to a loss per example, and to the code with its confidence.

readout = READOUTS["ctc"](num_classes=10, min_length=3, max_length=6)
network = NETWORKS["alexnet"]((60, 160, 1), readout.num_outputs, readout.num_positions)
readout.check_fits(network.output_shape)
label_ids, probabilities, confidence = readout.decode(network(images))
"""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from alexnet.labels import PADDING


class Decoded(NamedTuple):
    """What was read. `places` is max_length; with ctc one more, which only a reading that is too long fills."""

    label_ids: tf.Tensor  # int32 [batch, places], padded with -1
    probabilities: tf.Tensor  # float32 [batch, places], of each character that was read; 0 where padded
    confidence: tf.Tensor  # float32 [batch], of the whole code; 0 where it is too long


class PositionReadout:
    """One logit vector a position. Where lengths differ, one more class, `end`, fills the positions after the code."""

    def __init__(self, num_classes: int, min_length: int, max_length: int) -> None:
        _check_lengths(min_length, max_length)
        self.num_classes = num_classes
        self.min_length = min_length
        self.max_length = max_length
        self.num_positions: int | None = max_length
        self.has_end = min_length < max_length
        self.num_outputs = num_classes + self.has_end

    def loss(self, logits: tf.Tensor, label_ids: tf.Tensor) -> tf.Tensor:
        """Cross-entropy, the mean over the positions: float32 [batch]."""
        self.check_fits(logits.shape)
        _check_places(label_ids, self.max_length)
        targets = tf.where(label_ids == PADDING, self.num_classes, label_ids) if self.has_end else label_ids
        # The mean, so that codes of 4 and of 8 characters take the same learning rate.
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits), axis=1)

    def log_probabilities(self, logits: tf.Tensor) -> tf.Tensor:
        """float32 [batch, positions, outputs]: what `decode` chooses from."""
        return tf.nn.log_softmax(self._without_early_end(logits))

    def decode(self, logits: tf.Tensor) -> Decoded:
        """The best class of each position up to the first `end`; the confidence multiplies their probabilities."""
        probabilities = tf.nn.softmax(self._without_early_end(logits))
        best_ids = tf.argmax(probabilities, axis=-1, output_type=tf.int32)
        best = tf.reduce_max(probabilities, axis=-1)
        ends = tf.cast(best_ids == self.num_classes, tf.int32)
        is_character = tf.cumsum(ends, axis=1) == 0
        counts = tf.cumsum(ends, axis=1, exclusive=True) == 0  # the characters and the first `end`
        return Decoded(
            label_ids=tf.where(is_character, best_ids, PADDING),
            probabilities=tf.where(is_character, best, 0.0),
            confidence=tf.reduce_prod(tf.where(counts, best, 1.0), axis=1),
        )

    def likelihood(self, logits: tf.Tensor, label_ids: tf.Tensor) -> tf.Tensor:
        """The probability of the codes that `label_ids` [batch, max_length] stand for: float32 [batch]."""
        return tf.exp(-self.loss(logits, label_ids) * self.max_length)

    def check_fits(self, logits_shape: Sequence[int | None]) -> None:
        """ValueError where a network's output cannot be read so."""
        _check_outputs(logits_shape, self.num_outputs)
        if logits_shape[1] not in (None, self.num_positions):
            raise ValueError(
                f"The network gives {logits_shape[1]} positions, but codes of up to {self.max_length} characters "
                f"take {self.num_positions}."
            )

    def _without_early_end(self, logits: tf.Tensor) -> tf.Tensor:
        if not self.has_end:
            return logits
        too_early = tf.range(self.max_length)[:, None] < self.min_length
        is_end = tf.range(self.num_outputs)[None, :] == self.num_classes
        # The smallest number rather than -inf, which makes NaN of a softmax's gradient.
        return tf.where(too_early & is_end, logits.dtype.min, logits)


class CtcReadout:
    """Connectionist temporal classification: one logit vector a column of the image, the blank is the last class."""

    def __init__(self, num_classes: int, min_length: int, max_length: int) -> None:
        _check_lengths(min_length, max_length)
        self.num_classes = num_classes
        self.min_length = min_length
        self.max_length = max_length
        self.num_positions: int | None = None  # it reads columns
        self.num_outputs = num_classes + 1
        self.blank = num_classes

    def loss(self, logits: tf.Tensor, label_ids: tf.Tensor) -> tf.Tensor:
        """Negative log likelihood of the code for each of its characters: float32 [batch]."""
        self.check_fits(logits.shape)
        _check_places(label_ids, self.max_length)
        lengths = _lengths(label_ids)
        batch_size, num_columns = tf.shape(logits)[0], tf.shape(logits)[1]
        losses = tf.nn.ctc_loss(
            labels=tf.maximum(label_ids, 0),  # what is behind the length is ignored, but must be a class
            logits=logits,
            label_length=lengths,
            logit_length=tf.fill([batch_size], num_columns),
            logits_time_major=False,
            blank_index=self.blank,
        )
        # For each character, so that long codes do not decide alone where a step goes.
        return losses / tf.cast(tf.maximum(lengths, 1), tf.float32)

    def log_probabilities(self, logits: tf.Tensor) -> tf.Tensor:
        """float32 [batch, columns, outputs]: what `decode` chooses from."""
        return tf.nn.log_softmax(logits)

    def decode(self, logits: tf.Tensor) -> Decoded:
        """The best class of each column, repeats merged and blanks dropped.

        A character's probability is that of its best column; the confidence is the likelihood of the whole code, which
        sums over all ways to spread it over the columns.
        """
        probabilities = tf.nn.softmax(logits)
        best_ids = tf.argmax(probabilities, axis=-1, output_type=tf.int32)
        best = tf.reduce_max(probabilities, axis=-1)
        before = tf.pad(best_ids[:, :-1], [[0, 0], [1, 0]], constant_values=self.blank)
        is_character = best_ids != self.blank
        starts = is_character & (best_ids != before)
        # Which character of the code a column belongs to, counted from 0.
        ordinals = tf.cumsum(tf.cast(starts, tf.int32), axis=1)[..., None] - 1
        # [batch, columns, places]: does this column show this character? One place more than a code has, so that a
        # reading that is too long is not taken for its beginning.
        shows = is_character[..., None] & (ordinals == tf.range(self.max_length + 1))
        label_ids = tf.reduce_max(tf.where(shows, best_ids[..., None], PADDING), axis=1)
        is_too_long = label_ids[:, -1] != PADDING
        return Decoded(
            label_ids=label_ids,
            probabilities=tf.reduce_max(tf.where(shows, best[..., None], 0.0), axis=1),
            confidence=tf.where(is_too_long, 0.0, self._likelihood(probabilities, label_ids[:, :-1])),
        )

    def likelihood(self, logits: tf.Tensor, label_ids: tf.Tensor) -> tf.Tensor:
        """The probability of the codes that `label_ids` [batch, max_length] stand for: float32 [batch]."""
        return self._likelihood(tf.nn.softmax(logits), label_ids)

    def check_fits(self, logits_shape: Sequence[int | None]) -> None:
        """ValueError where a network's output cannot be read so."""
        _check_outputs(logits_shape, self.num_outputs)
        needed = 2 * self.max_length - 1  # equal neighbours need a blank between them
        if logits_shape[1] is not None and logits_shape[1] < needed:
            raise ValueError(
                f"The network gives {logits_shape[1]} columns, but ctc takes {needed} for codes of {self.max_length} "
                "characters: take wider images or the readout positions."
            )

    def _likelihood(self, probabilities: tf.Tensor, label_ids: tf.Tensor) -> tf.Tensor:
        """The probability of all ways to spread the code over the columns: float32 [batch].

        It is not taken from tf.nn.ctc_loss, whose loops have one name for all shapes: a second batch size, that of
        validation, made TensorFlow complain on stderr. Products need no logarithms here: what is too small for a float
        on its way would end too small for one.
        """
        # The states of a path: the characters with a blank before, between and after them. None counts after the end.
        characters = tf.where(label_ids == PADDING, self.blank, label_ids)
        pairs = tf.stack([tf.fill(tf.shape(characters), self.blank), characters], axis=2)
        states = tf.pad(tf.reshape(pairs, [-1, 2 * self.max_length]), [[0, 0], [0, 1]], constant_values=self.blank)
        may_skip_blank = (states != self.blank) & (states != _moved(states, 2))
        by_state = tf.gather(tf.transpose(probabilities, [0, 2, 1]), states, axis=1, batch_dims=1)
        shown = tf.transpose(by_state, [2, 0, 1])

        def step(column: tf.Tensor, paths: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            skipping = tf.where(may_skip_blank, _moved(paths, 2), 0.0)
            return column + 1, shown[column] * (paths + _moved(paths, 1) + skipping)

        begin = tf.one_hot(tf.zeros_like(states[:, 0]), 2 * self.max_length + 1)  # before the first column
        num_columns = tf.shape(shown)[0]
        _, paths = tf.while_loop(lambda column, _: column < num_columns, step, [0, begin])
        behind = tf.range(2 * self.max_length + 1) - 2 * _lengths(label_ids)[:, None]
        is_end = (behind == 0) | (behind == -1)  # the last blank, or the last character
        return tf.reduce_sum(tf.where(is_end, paths, 0.0), axis=1)


READOUTS: dict[str, type[PositionReadout] | type[CtcReadout]] = {
    "positions": PositionReadout,
    "ctc": CtcReadout,
}


def _lengths(label_ids: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.cast(label_ids != PADDING, tf.int32), axis=1)


def _moved(values: tf.Tensor, places: int) -> tf.Tensor:
    """Each row moved to the right, with zeros at its beginning."""
    return tf.pad(values[:, :-places], [[0, 0], [places, 0]])


def _check_lengths(min_length: int, max_length: int) -> None:
    if not 1 <= min_length <= max_length:
        raise ValueError(f"Codes of {min_length} to {max_length} characters: need 1 <= min_length <= max_length.")


def _check_outputs(logits_shape: Sequence[int | None], num_outputs: int) -> None:
    if logits_shape[-1] != num_outputs:
        raise ValueError(f"The network gives {logits_shape[-1]} outputs, but the readout takes {num_outputs}.")


def _check_places(label_ids: tf.Tensor, max_length: int) -> None:
    places = label_ids.shape[1]
    if places is not None and places > max_length:
        raise ValueError(
            f"The labels have {places} places, but the readout takes codes of up to {max_length} characters."
        )
