"""Names and numbers of shards, and the order of the examples in them: pure arithmetic."""

import re

from records.split import fraction_of

# The way TensorFlow and tensorflow-datasets name shards; more than 99,999 of them get more digits.
_SHARD_NAME = re.compile(r"(?P<name>.+)-(?P<split>[a-z]+)\.tfrecord-(?P<index>\d{5,})-of-(?P<count>\d{5,})")


def shard_name(name: str, split: str, index: int, count: int) -> str:
    return f"{name}-{split}.tfrecord-{index:05d}-of-{count:05d}"


def is_shard_name(file_name: str) -> bool:
    return _SHARD_NAME.fullmatch(file_name) is not None


def shard_count(num_examples: int, images_per_shard: int) -> int:
    """How many shards hold `num_examples`; no example takes no shard."""
    return -(-num_examples // images_per_shard)  # rounded up, in whole numbers


def order_of(key: str) -> float:
    """A number to sort the examples of a shard by, so that a sorted folder becomes a mixed shard."""
    return fraction_of(key, salt="order")
