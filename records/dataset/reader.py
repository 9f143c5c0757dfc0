"""Records as tf.data datasets: the order is a pure function of the shards and the seed.

parse = batch_parser(manifest, channels=1)
for images, label_ids in read_in_order(manifest, "test").batch(64).map(parse):
    ...
"""

import pathlib
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from records.alphabet import PADDING, Alphabet
from records.dataset import schema
from records.dataset.manifest import Manifest
from records.errors import DamagedRecords
from records.images.files import RAW

# The order of what is read in parallel depends on these two, so they are constants, whatever the number of cores.
_CYCLE_LENGTH = 4
_BLOCK_LENGTH = 16
_BUFFER_BYTES = 1 << 20
# Pillow's weights of red, green and blue for grey, in 65536ths: 0.299, 0.587, 0.114.
_RED, _GREEN, _BLUE = 19595, 38470, 7471
# TensorFlow has no type hints that mypy reads.
Tensor = Any
Dataset = Any
Resize = Callable[[Tensor], Tensor]  # uint8 [any height, any width, channels] to [height, width, channels]


def read_in_order(manifest: Manifest, split: str) -> Dataset:
    """Serialized Examples of a split, shard after shard: the i-th of them has the number i."""
    paths = [str(path) for path in _whole_files(manifest, split)]
    dataset = tf.data.TFRecordDataset(tf.constant(paths, tf.string), _compression(manifest), _BUFFER_BYTES)
    # A TFRecordDataset does not know its length; and this raises where it ends elsewhere than the manifest says.
    return dataset.apply(tf.data.experimental.assert_cardinality(manifest.count(split)))


def read_mixed(manifest: Manifest, split: str, seed: int) -> Dataset:
    """Serialized Examples, the shards in an order that `seed` decides and interleaved."""
    paths = [str(path) for path in _whole_files(manifest, split)]
    compression = _compression(manifest)
    shards = tf.data.Dataset.from_tensor_slices(tf.constant(paths, tf.string))
    return _mix(manifest, split, seed, shards, lambda path: tf.data.TFRecordDataset(path, compression, _BUFFER_BYTES))


def numbers_mixed(manifest: Manifest, split: str, seed: int) -> Dataset:
    """The numbers of the Examples, in the order in which `read_mixed` gives the Examples themselves."""
    ends = tf.cumsum(tf.constant([shard.count for shard in manifest.splits.get(split, ())], tf.int64))
    starts = tf.concat([[0], ends[:-1]], axis=0)
    return _mix(manifest, split, seed, tf.data.Dataset.from_tensor_slices((starts, ends)), tf.data.Dataset.range)


def _mix(manifest: Manifest, split: str, seed: int, shards: Dataset, open_shard: Callable[..., Dataset]) -> Dataset:
    """One function for both: images kept in memory and images read must come in the same order."""
    # shuffle refuses a buffer of 0
    shards = shards.shuffle(max(1, len(manifest.paths(split))), seed=seed, reshuffle_each_iteration=False)
    dataset = shards.interleave(
        open_shard,
        cycle_length=_CYCLE_LENGTH,
        block_length=_BLOCK_LENGTH,
        num_parallel_calls=_CYCLE_LENGTH,
        deterministic=True,  # still parallel: only the order of the results is kept
    )
    return dataset.apply(tf.data.experimental.assert_cardinality(manifest.count(split)))


def batch_parser(
    manifest: Manifest, channels: int, resize: Resize | None = None
) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """A function from serialized Examples [batch] to (images uint8 [batch, height, width, channels], label_ids)."""
    label_ids = label_lookup(manifest.alphabet, manifest.max_length)

    def parse(serialized: Tensor) -> tuple[Tensor, Tensor]:
        features = schema.parse_batch(serialized)
        return decode_images(features[schema.IMAGE], manifest, channels, resize), label_ids(features[schema.TEXT])

    return parse


def decode_images(encoded: Tensor, manifest: Manifest, channels: int, resize: Resize | None = None) -> Tensor:
    """Image bytes [batch] -> uint8 [batch, height, width, channels].

    `resize` is called with one image after another, once it has these channels; images of several sizes need it."""
    height, width, stored = manifest.image_shape
    if manifest.encoding == RAW:
        images = tf.reshape(tf.io.decode_raw(encoded, tf.uint8), [-1, height, width, stored])
        images = match_channels(images, channels)
        return images if resize is None else tf.map_fn(resize, images)

    def decode(data: Tensor) -> Tensor:
        # This operation reads PNG as well. With the exact transform the pixels are Pillow's; by default they are up to
        # a dozen levels off, so a test would read other images than predict does.
        pixels = tf.io.decode_jpeg(data, channels=stored, dct_method="INTEGER_ACCURATE")
        return tf.ensure_shape(pixels, [height, width, stored])

    if resize is None:
        images = tf.map_fn(decode, encoded, fn_output_signature=tf.TensorSpec([height, width, stored], tf.uint8))
        return match_channels(images, channels)
    return tf.map_fn(lambda data: resize(match_channels(decode(data), channels)), encoded, fn_output_signature=tf.uint8)


def match_channels(images: Tensor, channels: int) -> Tensor:
    """uint8 images of 1 or 3 channels as `channels`; grey is computed exactly as by Pillow's mode L."""
    if images.shape[-1] == channels:
        return images
    if channels == 3:
        return tf.repeat(images, 3, axis=-1)
    # Channel by channel: a sum over the last axis, which has three values, takes two and a half times as long.
    red, green, blue = tf.split(tf.cast(images, tf.int32), 3, axis=-1)
    weighted = red * _RED + green * _GREEN + blue * _BLUE
    # 0x8000 is one half, for rounding; the same integers as in Pillow's Convert.c.
    return tf.cast((weighted + 0x8000) // 0x10000, tf.uint8)


def label_lookup(alphabet: str, max_length: int) -> Callable[[Tensor], Tensor]:
    """A function from texts [batch] to label_ids int32 [batch, max_length], padded with -1 (PADDING)."""
    codepoints = [ord(character) for character in Alphabet(alphabet).characters]
    # A table by code point: of the highest, 0x10FFFF, it takes 4 MB.
    ids = [PADDING] * (max(codepoints) + 2)
    for number, codepoint in enumerate(codepoints):
        ids[codepoint] = number
    table = tf.constant(ids, tf.int32)

    def lookup(texts: Tensor) -> Tensor:
        # A character beyond the table is looked up at its last place, which holds PADDING.
        padded = tf.strings.unicode_decode(texts, "UTF-8").to_tensor(len(ids) - 1, shape=[None, max_length])
        return tf.gather(table, tf.minimum(padded, len(ids) - 1))

    return lookup


def _whole_files(manifest: Manifest, split: str) -> list[pathlib.Path]:
    """The paths of a split. TensorFlow reads a cut file as a shorter one, so sizes are compared first."""
    paths = manifest.paths(split)
    for shard, path in zip(manifest.splits.get(split, ()), paths, strict=True):
        try:
            size = path.stat().st_size
        except OSError:
            raise DamagedRecords(f"{path} is missing, and {shard.count} examples with it") from None
        if size != shard.bytes:
            raise DamagedRecords(
                f"{path} has {size} bytes and the manifest says {shard.bytes}; write the records again"
            )
    return paths


def _compression(manifest: Manifest) -> str:
    return manifest.compression.upper()  # as TensorFlow spells it
