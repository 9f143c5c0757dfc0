"""The batches of a training: images and label_ids, from records, synthetic, or some of both.

    feed = Feed(manifest, channels=1, batch_size=64, num_epochs=3, seed=0)
    for images, label_ids in feed.batches(start_step=500):
        ...

They are a pure function of (shards, batch_size, seed): step n sees the same examples in the same order, each varied in
the same way, whether the run came there in one go, after a stop, with pictures kept in memory, or on another number of
replicas.
"""

import concurrent.futures
import contextlib
import dataclasses
import hashlib
import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any, Self

import numpy as np
import tensorflow as tf

from pipeline.drawing.stream import SyntheticImages, synthetic_batches
from pipeline.machine.datasets import distributed, untuned
from pipeline.machine.memory import available_memory
from pipeline.machine.shares import Part
from pipeline.model.cleaning import CLEANINGS
from pipeline.model.intake import fit_each, records_parser
from pipeline.training.augmentation import augment
from pipeline.training.plan import Plan, steps_per_epoch
from pipeline.training.schedule import MOST_CALIBRATED
from records.dataset.manifest import Manifest
from records.dataset.reader import numbers_mixed, read_in_order, read_mixed

_PARSED_AT_ONCE = 64
# Of a split that is kept in memory, decoded: a larger one is decoded as it is read, so that memory stays level.
_MEMORY_SHARE = 0.25
_MOST_KEPT = 1 << 30
_ALIGNMENT = 64  # bytes
# How many bytes of serialized Examples may wait in the shuffle. It decides the order, so no machine may change it.
_SHUFFLE_BYTES = 1 << 29
_MIN_SHUFFLED = 1 << 12


@dataclasses.dataclass(frozen=True)
class DecodedSplit:
    """A split in memory, decoded; the place of an example is its number."""

    images: tf.Tensor
    label_ids: tf.Tensor

    def take(self, numbers: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.gather(self.images, numbers), tf.gather(self.label_ids, numbers)


@dataclasses.dataclass(frozen=True)
class SyntheticShare:
    """The synthetic part of each batch: how many images, who yields them from a step on, and their (width, height)
    where it is not that of the records."""

    count: int
    batches_from: Callable[[int, Part], Iterator[tuple[np.ndarray, np.ndarray]]]
    size: tuple[int, int] | None = None


@dataclasses.dataclass(frozen=True)
class Feed:
    """What the batches of a training are made of. Those from records end with the last epoch and are varied as strongly
    as `augmentation` says; synthetic ones have no end. All are `fitted` to that (height, width), and cleaned."""

    manifest: Manifest
    channels: int
    batch_size: int
    num_epochs: int
    seed: int
    augmentation: float = 0.0
    cleaning: str = "none"
    decoded: DecodedSplit | None = None  # the train split, where it is kept in memory
    synthetic: SyntheticShare | None = None
    fitted: tuple[int, int] | None = None
    numbered: bool = False  # a third value is the number of each example in its split

    @classmethod
    def of(cls, plan: Plan, manifest: Manifest, decoded: DecodedSplit | None, synthetic: SyntheticShare | None) -> Self:
        asked = plan.asked
        return cls(
            manifest,
            plan.spec.image_shape[2],
            asked.images_per_step,
            plan.length.epochs,
            asked.train_seed,
            plan.provenance.augmentation,
            asked.cleaning,
            decoded,
            synthetic,
            plan.spec.fitted,
            plan.remembers,
        )

    def batches(self, start_step: int = 0, part: Part = Part()) -> tf.data.Dataset:
        """(images, label_ids), and numbers if asked, of the steps from `start_step` on, for each replica of `part`."""
        recorded = self.batch_size - (self.synthetic.count if self.synthetic else 0)
        sources = []
        if recorded:
            sources.append(self._recorded(recorded, start_step, part))
        if self.synthetic:
            sources.append(self._synthetic(self.synthetic, start_step, part))
        batches = sources[0]
        if len(sources) > 1:
            batches = tf.data.Dataset.zip(*sources).map(_joined)
        if self.cleaning != "none":
            clean = CLEANINGS[self.cleaning]
            batches = batches.map(lambda images, *others: (clean(images), *others), tf.data.AUTOTUNE)
        return batches.prefetch(2 + part.last - part.first)

    def distributed(self, strategy: tf.distribute.Strategy, start_step: int) -> Iterator[Any]:
        """The batches as `Steps` takes them, each replica's share of them at each step."""
        return distributed(strategy, lambda part: self.batches(start_step, part))

    def calibration_batches(self, strategy: tf.distribute.Strategy) -> list[Any]:
        """Images as they are read, not varied, each replica's share of them: the same at any step of a training."""
        most = max(1, MOST_CALIBRATED // self.batch_size)
        if not self.synthetic:
            most = min(most, steps_per_epoch(self.manifest, self.batch_size))
        plain = dataclasses.replace(self, augmentation=0.0)
        batches = distributed(strategy, lambda part: plain.batches(0, part).take(most))
        return [images for images, *_ in itertools.islice(batches, most)]

    def _recorded(self, batch_size: int, start_step: int, part: Part) -> tf.data.Dataset:
        per_epoch = steps_per_epoch(self.manifest, batch_size)
        first_epoch, done = divmod(start_step, per_epoch)
        seeds = [epoch_seed(self.seed, epoch) for epoch in range(first_epoch, self.num_epochs)]
        batches = tf.data.Dataset.from_tensor_slices(tf.constant(seeds, tf.int64)).flat_map(
            lambda seed_of_epoch: self._epoch(batch_size, seed_of_epoch)
        )
        # What was done before is skipped, and other replicas' shares left out, before anything is decoded.
        shares = _share(batches.skip(done).enumerate(start_step), batch_size, part)
        load = self.decoded.take if self.decoded else records_parser(self.manifest, self.channels, self.fitted)

        def prepare(places: tf.Tensor, batch: tf.Tensor | tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, ...]:
            examples, numbers = batch if isinstance(batch, tuple) else (batch, batch)
            images, label_ids = load(examples)
            images = augment(images, places, self.seed, self.augmentation)
            return (images, label_ids, numbers) if self.numbered else (images, label_ids)

        # To take images out of memory is too little work to be spread over threads.
        return shares.map(prepare, None if self.decoded and not self.augmentation else tf.data.AUTOTUNE)

    def _epoch(self, batch_size: int, seed: tf.Tensor) -> tf.data.Dataset:
        """Called inside the graph of a dataset, whose own seed is taken away: it is the global seed of the moment when
        the graph was built, and the order must not depend on that."""
        tf.compat.v1.set_random_seed(None)
        mixed = (numbers_mixed if self.decoded else read_mixed)(self.manifest, "train", seed)
        if self.numbered and not self.decoded:
            mixed = tf.data.Dataset.zip(mixed, numbers_mixed(self.manifest, "train", seed))
        dataset = mixed.shuffle(_shuffled(self.manifest), seed=seed, reshuffle_each_iteration=False)
        count = self.manifest.count("train")
        if count < batch_size:
            dataset = dataset.repeat(math.ceil(batch_size / count))
        return dataset.batch(batch_size, drop_remainder=True)

    def _synthetic(self, synthetic: SyntheticShare, start_step: int, part: Part) -> tf.data.Dataset:
        replicas = part.last - part.first
        size = synthetic.count // part.num_replicas
        width, height = synthetic.size or (self.manifest.width, self.manifest.height)
        image_shape = (height, width, self.channels)
        max_length = self.manifest.max_length
        batches = tf.data.Dataset.from_generator(
            lambda: synthetic.batches_from(start_step, part),
            output_signature=(
                tf.TensorSpec([replicas * size, *image_shape], tf.uint8),
                tf.TensorSpec([replicas * size, max_length], tf.int32),
            ),
        )
        if self.fitted and self.fitted != (height, width):
            fitted = self.fitted
            image_shape = (*fitted, self.channels)
            batches = batches.map(lambda images, label_ids: (fit_each(images, *fitted), label_ids), tf.data.AUTOTUNE)
        if replicas == 1:
            return batches
        shares = batches.map(
            lambda images, label_ids: (
                tf.reshape(images, [replicas, size, *image_shape]),
                tf.reshape(label_ids, [replicas, size, max_length]),
            )
        )
        return shares.unbatch()


def empty_batches(plan: Plan, strategy: tf.distribute.Strategy) -> Iterator[Any]:
    """Batches of the right shapes and nothing in them: enough to build a graph while the pictures are being decoded."""
    size = plan.asked.images_per_step // strategy.num_replicas_in_sync
    nothing = [tf.zeros([size, *plan.spec.image_shape], tf.uint8), tf.zeros([size, plan.spec.max_length], tf.int32)]
    if plan.remembers:
        nothing.append(tf.zeros([size], tf.int64))
    return distributed(strategy, lambda _: tf.data.Dataset.from_tensors(tuple(nothing)).repeat())


@contextlib.contextmanager
def opened(
    plan: Plan, manifest: Manifest, images: SyntheticImages | None, processes: int
) -> Iterator[Callable[[], Feed]]:
    """A function that gives the Feed once the split is decoded, where it is kept in memory; worker processes draw as
    long as the block lasts."""
    if images:
        images = dataclasses.replace(images, channels=plan.spec.image_shape[2])
    with _rendering(images, plan.num_synthetic, processes) as synthetic, _decoding(plan, manifest) as decoded:
        yield lambda: Feed.of(plan, manifest, decoded(), synthetic)


def decode_split(manifest: Manifest, split: str, channels: int, fitted: tuple[int, int] | None = None) -> DecodedSplit:
    """The whole split in memory, filled batch by batch: joining the batches would hold all images twice."""
    height, width = fitted or (manifest.height, manifest.width)
    count = manifest.count(split)
    parsed = read_in_order(manifest, split).batch(_PARSED_AT_ONCE)
    parsed = parsed.map(records_parser(manifest, channels, fitted), tf.data.AUTOTUNE).prefetch(2)
    images = _aligned_pixels((count, height, width, channels))
    label_ids = []
    first = 0
    for some, some_ids in untuned(parsed):
        # There are `count` of them: read_in_order sees to that.
        images[first : first + len(some)] = some
        label_ids.append(some_ids)
        first += len(some)
    # The same bytes as a tensor: all other ways to make one copy them.
    return DecodedSplit(tf.experimental.dlpack.from_dlpack(images.__dlpack__()), tf.concat(label_ids, 0))


def _aligned_pixels(shape: tuple[int, ...]) -> np.ndarray:
    """Not filled yet; it begins where TensorFlow's kernels may assume that a tensor does."""
    size = math.prod(shape)
    room = np.empty(size + _ALIGNMENT, np.uint8)
    first = -room.ctypes.data % _ALIGNMENT
    return room[first : first + size].reshape(shape)


def fits_in_memory(
    manifest: Manifest,
    split: str,
    channels: int,
    available: int | None = None,
    fitted: tuple[int, int] | None = None,
) -> bool:
    """Whether the decoded split takes a quarter of the free memory or less, and no more than a gigabyte, so that it is
    decoded only once."""
    available = available_memory() if available is None else available
    height, width = fitted or (manifest.height, manifest.width)
    return manifest.count(split) * height * width * channels <= min(_MEMORY_SHARE * available, _MOST_KEPT)


def epoch_seed(seed: int, epoch: int) -> int:
    """Random numbers have a key and no position: the order of epoch 7 needs nothing of the six before."""
    digest = hashlib.blake2b(f"{seed} {epoch}".encode("ascii"), digest_size=8, salt=b"epoch").digest()
    return int.from_bytes(digest, "big") >> 1  # 63 bits, as TensorFlow's int64 has no more


@contextlib.contextmanager
def _rendering(images: SyntheticImages | None, count: int, processes: int) -> Iterator[SyntheticShare | None]:
    """The synthetic part of each batch, if it has one."""
    if images is None:
        yield None
        return
    with synthetic_batches(images, count, processes) as batches_from:
        yield SyntheticShare(count, batches_from, images.size)


@contextlib.contextmanager
def _decoding(plan: Plan, manifest: Manifest) -> Iterator[Callable[[], DecodedSplit | None]]:
    """A function that gives the training split decoded, or None where it is too big for that, or not needed. A thread
    decodes it while the network is being built."""
    channels, fitted = plan.spec.image_shape[2], plan.spec.fitted
    if plan.num_synthetic == plan.asked.images_per_step or not fits_in_memory(
        manifest, "train", channels, fitted=fitted
    ):
        yield lambda: None
        return

    def decode() -> DecodedSplit:
        with tf.device("CPU:0"):
            return decode_split(manifest, "train", channels, fitted)

    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        yield executor.submit(decode).result


def _shuffled(manifest: Manifest) -> int:
    """How many Examples wait in the shuffle: all of them, unless they are too big for that."""
    count = manifest.count("train")
    size = sum(shard.bytes for shard in manifest.splits["train"]) / count
    return min(count, max(_MIN_SHUFFLED, int(_SHUFFLE_BYTES / size)))


def _share(steps: tf.data.Dataset, batch_size: int, part: Part) -> tf.data.Dataset:
    """Of (step, batch), for each replica of `part`: (the places of its examples in the whole training, its batch)."""

    def placed(step: tf.Tensor, batch: Any) -> tuple[tf.Tensor, Any]:
        return step * batch_size + tf.range(batch_size, dtype=tf.int64), batch

    def cut(values: tf.Tensor) -> tf.Tensor:
        return tf.reshape(values, [part.num_replicas, batch_size // part.num_replicas])[part.first : part.last]

    batches = steps.map(placed)
    if part.num_replicas == 1:
        return batches
    return batches.map(lambda *batch: tf.nest.map_structure(cut, batch)).unbatch()


def _joined(recorded: tuple[tf.Tensor, ...], synthetic: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, ...]:
    return tuple(tf.concat(pair, 0) for pair in zip(recorded, synthetic))
