"""Names and numbers of shards, and the split that a code belongs to: pure arithmetic."""

import hashlib
import re

SPLITS = ("train", "validation", "test")

_SHARD_NAME = re.compile(r"(?P<name>.+)-(?P<split>[a-z]+)\.tfrecord-(?P<index>\d{5,})-of-(?P<count>\d{5,})")


def shard_name(name, split, index, count):
    return f"{name}-{split}.tfrecord-{index:05d}-of-{count:05d}"


def is_shard_name(file_name):
    return _SHARD_NAME.fullmatch(file_name) is not None


def shard_count(num_examples, images_per_shard):
    """How many shards hold `num_examples`; nothing at all takes no shard."""
    return -(-num_examples // images_per_shard)


def fraction_of(text, salt):
    """A number in [0, 1) that depends on `text` and `salt` alone, the same on every machine."""
    digest = hashlib.blake2b(text.encode("utf-8"), digest_size=8, salt=salt.encode("ascii")).digest()
    return int.from_bytes(digest, "big") / 2**64


def split_of(text, validation_fraction, test_fraction, rotation=0.0):
    """The split of a code. It looks at the code alone, so that no code is ever in two splits.

    `rotation` says from where in the order of all codes the test split is taken: with a test_fraction of 1/5, the
    rotations 0, 1/5 ... 4/5 test every code once.
    """
    fraction = (fraction_of(text, salt="split") - rotation) % 1.0
    if fraction < test_fraction:
        return "test"
    if fraction < test_fraction + validation_fraction:
        return "validation"
    return "train"


def order_of(key):
    """A number to sort the examples of a shard by, so that a sorted folder becomes a mixed shard."""
    return fraction_of(key, salt="order")
