"""Batches of images and label_ids, for training and for evaluation.

    batches = training_batches(manifest, channels=1, batch_size=64, num_epochs=3, seed=0, start_step=500)
    for images, label_ids in batches:
        ...

The batches of a training are a pure function of (shards, batch_size, seed): step n sees the same examples in the same
order, each varied in the same way, whether the run came there in one go, after a stop, with pictures kept in memory,
or on another number of replicas.
"""

import dataclasses
import hashlib
import math
from collections.abc import Callable

import tensorflow as tf

from pipeline.machine.memory import available_memory
from pipeline.model.cleaning import CLEANINGS
from pipeline.model.shares import Part
from pipeline.training.augmentation import augment
from records.dataset.reader import batch_parser, numbers_mixed, read_in_order, read_mixed
from records.errors import DigitwiseError

_PARSED_AT_ONCE = 64
_USUAL_IMAGES = 64_500  # seen in training, each pass over them counted
_VARIED_TIMES = 3
_LEAST_EPOCHS = 3
_MEMORY_SHARE = 0.25
# How many bytes of serialized Examples may wait in the shuffle. It decides the order, so no machine may change it.
_SHUFFLE_BYTES = 1 << 29
_LEAST_SHUFFLED = 1 << 12


@dataclasses.dataclass(frozen=True)
class DecodedSplit:
    """A split in memory, decoded; the place of an example is its number."""

    images: tf.Tensor
    label_ids: tf.Tensor

    def take(self, numbers):
        return tf.gather(self.images, numbers), tf.gather(self.label_ids, numbers)


def steps_per_epoch(manifest, batch_size):
    """Whole batches only: an epoch leaves out a few examples, other ones each time."""
    count = manifest.count("train")
    if count < batch_size:
        raise DigitwiseError(
            f"--batch_size={batch_size} is more than the {count} training examples in {manifest.folder}: "
            f"take {max(1, count)} or less, or more images"
        )
    return count // batch_size


def usual_epochs(per_epoch, batch_size, varied=False):
    """How many passes make as many steps as these networks need: fewer images are seen more often, and more often still
    where they are `varied` each time."""
    images = _USUAL_IMAGES * (_VARIED_TIMES if varied else 1)
    return max(_LEAST_EPOCHS, math.ceil(images / (per_epoch * batch_size)))


@dataclasses.dataclass(frozen=True)
class Drawn:
    """The part of each batch that is drawn while training: how many images, and who yields them from a step on."""

    count: int
    batches_from: Callable


def training_batches(
    manifest,
    channels,
    batch_size,
    num_epochs,
    seed,
    start_step=0,
    part=Part(),
    *,
    decoded=None,
    augmentation=0.0,
    cleaning="none",
    drawn=None,
):
    """(images, label_ids) of the steps from `start_step` on, for each replica of `part`.

    They come from the records, up to the end of the last epoch and varied as strongly as `augmentation` says, or are
    drawn without end, or in each batch some of both; all are cleaned.
    """
    parts = []
    recorded = batch_size - (drawn.count if drawn else 0)
    if recorded:
        parts.append(
            _recorded_batches(manifest, channels, recorded, num_epochs, seed, start_step, decoded, part, augmentation)
        )
    if drawn:
        parts.append(_drawn_batches(manifest, channels, drawn, start_step, part))
    if len(parts) > 1:
        parts = [tf.data.Dataset.zip(*parts).map(lambda *both: tuple(tf.concat(pair, 0) for pair in zip(*both)))]
    if cleaning != "none":
        parts = [parts[0].map(lambda images, label_ids: (CLEANINGS[cleaning](images), label_ids), tf.data.AUTOTUNE)]
    return parts[0].prefetch(2 + part.last - part.first)


def _recorded_batches(manifest, channels, batch_size, num_epochs, seed, start_step, decoded, part, augmentation):
    per_epoch = steps_per_epoch(manifest, batch_size)
    first_epoch, done = divmod(start_step, per_epoch)
    seeds = [epoch_seed(seed, epoch) for epoch in range(first_epoch, num_epochs)]
    batches = tf.data.Dataset.from_tensor_slices(tf.constant(seeds, tf.int64)).flat_map(
        lambda seed_of_epoch: _epoch(manifest, batch_size, seed_of_epoch, decoded)
    )
    # What was done before is skipped, and other replicas' shares left out, before anything is decoded.
    shares = _share(batches.skip(done).enumerate(start_step), batch_size, part)
    load = batch_parser(manifest, channels) if decoded is None else decoded.take

    def prepare(numbers, batch):
        images, label_ids = load(batch)
        return augment(images, numbers, seed, augmentation), label_ids

    # To take images out of memory is too little work to be spread over threads.
    return shares.map(prepare, tf.data.AUTOTUNE if decoded is None or augmentation else None)


def _drawn_batches(manifest, channels, drawn, start_step, part):
    replicas = part.last - part.first
    size = drawn.count // part.num_replicas
    image_shape = (manifest.height, manifest.width, channels)
    batches = tf.data.Dataset.from_generator(
        lambda: drawn.batches_from(start_step, part),
        output_signature=(
            tf.TensorSpec([replicas * size, *image_shape], tf.uint8),
            tf.TensorSpec([replicas * size, manifest.max_length], tf.int32),
        ),
    )
    if replicas == 1:
        return batches
    shares = batches.map(
        lambda images, label_ids: (
            tf.reshape(images, [replicas, size, *image_shape]),
            tf.reshape(label_ids, [replicas, size, manifest.max_length]),
        )
    )
    return shares.unbatch()


def evaluation_batches(manifest, split, batch_size, channels):
    """(indices, images, label_ids, mask) of a split in order. The last batch is filled up to the size of all others
    with examples that `mask` takes out again, so every example counts once."""
    count = manifest.count(split)
    if not count:
        raise DigitwiseError(f"{manifest.folder} has no examples in its split {split!r}")
    parse = batch_parser(manifest, channels)

    def filled(indices, serialized):
        images, label_ids = parse(serialized)
        mask = tf.ones_like(indices, tf.bool)
        return tuple(_filled_up(values, batch_size) for values in (indices, images, label_ids, mask))

    numbered = tf.data.Dataset.zip((tf.data.Dataset.range(count), read_in_order(manifest, split)))
    return numbered.batch(batch_size).map(filled, tf.data.AUTOTUNE).prefetch(2)


def shares_of_batches(batches, part):
    """Batches as `evaluation_batches` gives them, cut into one for each replica of `part`."""
    replicas = part.num_replicas

    def cut(*batch):
        size = -(-batch[0].shape[0] // replicas)
        cut_up = []
        for values in batch:
            values = _filled_up(values, size * replicas)
            cut_up.append(tf.reshape(values, [replicas, size, *values.shape[1:]])[part.first : part.last])
        return tuple(cut_up)

    return batches.map(cut).unbatch().prefetch(2)


def decode_split(manifest, split, channels):
    """The whole split in memory."""
    height, width, _ = manifest.image_shape
    count = manifest.count(split)
    parsed = read_in_order(manifest, split).batch(_PARSED_AT_ONCE)
    parsed = parsed.map(batch_parser(manifest, channels), tf.data.AUTOTUNE).prefetch(2)
    images, label_ids = parsed.rebatch(count).get_single_element()
    return DecodedSplit(tf.ensure_shape(images, [count, height, width, channels]), label_ids)


def fits_in_memory(manifest, split, channels, available=None):
    """Whether the decoded split takes a quarter of the free memory or less, so that it need be decoded only once."""
    available = available_memory() if available is None else available
    return manifest.count(split) * manifest.height * manifest.width * channels <= _MEMORY_SHARE * available


def epoch_seed(seed, epoch):
    """Random numbers have a key and no position: the order of epoch 7 needs nothing of the six before."""
    digest = hashlib.blake2b(f"{seed} {epoch}".encode("ascii"), digest_size=8, salt=b"epoch").digest()
    return int.from_bytes(digest, "big") >> 1


def _epoch(manifest, batch_size, seed, decoded):
    """Called inside the graph of a dataset, whose own seed is taken away: it is the global seed of the moment when the
    graph was built, and the order must not depend on that."""
    tf.compat.v1.set_random_seed(None)
    mixed = read_mixed if decoded is None else numbers_mixed
    dataset = mixed(manifest, "train", seed).shuffle(_shuffled(manifest), seed=seed, reshuffle_each_iteration=False)
    return dataset.batch(batch_size, drop_remainder=True)


def _shuffled(manifest):
    """How many Examples wait in the shuffle: all of them, unless they are too big for that."""
    count = manifest.count("train")
    size = sum(shard.bytes for shard in manifest.splits["train"]) / count
    return min(count, max(_LEAST_SHUFFLED, int(_SHUFFLE_BYTES / size)))


def _share(steps, batch_size, part):
    """Of (step, batch), for each replica of `part`: (the numbers of its examples in the whole training, its batch)."""

    def numbered(step, batch):
        return step * batch_size + tf.range(batch_size, dtype=tf.int64), batch

    def cut(values):
        return tf.reshape(values, [part.num_replicas, batch_size // part.num_replicas])[part.first : part.last]

    batches = steps.map(numbered)
    if part.num_replicas == 1:
        return batches
    return batches.map(lambda *batch: tuple(cut(values) for values in batch)).unbatch()


def _filled_up(values, size):
    missing = size - tf.shape(values)[0]
    filled = tf.pad(values, [[0, missing]] + [[0, 0]] * (values.shape.rank - 1))
    return tf.ensure_shape(filled, [size, *values.shape[1:]])
