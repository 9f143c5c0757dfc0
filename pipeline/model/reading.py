"""Reading a split with a recognizer, each example once.

for batch in predict_batches(strategy, recognizer, evaluation_batches(manifest, "test", 250, channels=1)):
    batch.indices, batch.label_ids, batch.decoded_ids, batch.confidence
"""

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from pipeline.machine.datasets import distributed
from pipeline.machine.shares import Part
from pipeline.model.intake import records_parser
from pipeline.model.recognizer import Recognizer
from records.dataset.manifest import Manifest
from records.dataset.reader import read_in_order
from records.errors import DigitwiseError


class ReadBatch(NamedTuple):
    """What was read of some examples, as numpy arrays; `images` is None unless they were asked for."""

    indices: np.ndarray  # of the examples in their split
    label_ids: np.ndarray
    decoded_ids: np.ndarray
    probabilities: np.ndarray
    confidence: np.ndarray
    images: np.ndarray | None = None
    likelihood: np.ndarray | None = None  # the probability of the code that is there


def evaluation_batches(
    manifest: Manifest,
    split: str,
    batch_size: int,
    channels: int,
    fitted: tuple[int, int] | None = None,
    most: int | None = None,
) -> tf.data.Dataset:
    """(indices, images, label_ids, mask) of a split in order, the images `fitted` to that (height, width).

    The last batch is filled up to the size of all others with examples that `mask` takes out again, so every example
    counts once. Of more than `most` examples only every second is read, or every third, and so on."""
    count = manifest.count(split)
    if not count:
        raise DigitwiseError(f"{manifest.folder} has no examples in its split {split!r}")
    parse = records_parser(manifest, channels, fitted)

    def filled(indices: tf.Tensor, serialized: tf.Tensor) -> tuple[tf.Tensor, ...]:
        images, label_ids = parse(serialized)
        mask = tf.ones_like(indices, tf.bool)
        return tuple(_filled_up(values, batch_size) for values in (indices, images, label_ids, mask))

    numbered = tf.data.Dataset.zip((tf.data.Dataset.range(count), read_in_order(manifest, split)))
    if most is not None:
        numbered = numbered.shard(-(-count // most), 0)
    return numbered.batch(batch_size).map(filled, tf.data.AUTOTUNE).prefetch(2)


def shares_of_batches(batches: tf.data.Dataset, part: Part) -> tf.data.Dataset:
    """Batches as `evaluation_batches` gives them, cut into one for each replica of `part`."""
    replicas = part.num_replicas

    def cut(*batch: tf.Tensor) -> tuple[tf.Tensor, ...]:
        size = -(-batch[0].shape[0] // replicas)  # rounded up: the mask takes out what is too many
        cut_up = []
        for values in batch:
            values = _filled_up(values, size * replicas)
            cut_up.append(tf.reshape(values, [replicas, size, *values.shape[1:]])[part.first : part.last])
        return tuple(cut_up)

    return batches.map(cut).unbatch().prefetch(2)


def predict_batches(
    strategy: tf.distribute.Strategy,
    recognizer: Recognizer,
    batches: tf.data.Dataset,
    images: bool = False,
    likelihoods: bool = False,
) -> Iterator[ReadBatch]:
    """What is read of each example of `evaluation_batches`, whatever the number of replicas and workers."""
    for batch in distributed_batches(strategy, batches):
        yield predict_batch(strategy, recognizer, batch, images, likelihoods)


def distributed_batches(strategy: tf.distribute.Strategy, batches: tf.data.Dataset) -> Iterator[Any]:
    """Those of `evaluation_batches`, each as the strategy distributes it."""
    iterator = distributed(strategy, lambda part: shares_of_batches(batches, part))
    # The number of batches is known, so no worker is ever alone in asking for one more.
    for _ in itertools.repeat(None, int(batches.cardinality())):
        yield next(iterator)


def predict_batch(
    strategy: tf.distribute.Strategy,
    recognizer: Recognizer,
    batch: Any,
    images: bool = False,
    likelihoods: bool = False,
) -> ReadBatch:
    """What is read of one of `distributed_batches`."""
    predict = recognizer.share_predictor(strategy)
    mask, *results = (values.numpy() for values in predict(batch, images, likelihoods))
    results = [values[mask] for values in results]
    likelihood = results.pop() if likelihoods else None
    return ReadBatch(*results)._replace(likelihood=likelihood)


def _filled_up(values: tf.Tensor, size: int) -> tf.Tensor:
    missing = size - tf.shape(values)[0]
    filled = tf.pad(values, [[0, missing]] + [[0, 0]] * (values.shape.rank - 1))
    return tf.ensure_shape(filled, [size, *values.shape[1:]])
