"""What can only be checked once the devices are known, and damage that TensorFlow comes across."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from pipeline.config import TrainConfig
from pipeline.machine.devices import check_batch_size
from pipeline.train_config import READ_TIMES
from records.dataset.manifest import Manifest
from records.dataset.verify import shard_problem
from records.errors import DamagedRecords, DigitwiseError


def check_replicas(asked: TrainConfig, num_synthetic: int, strategy: tf.distribute.Strategy) -> None:
    """Raises where the replicas cannot share the batches, or not as asked."""
    replicas = strategy.num_replicas_in_sync
    check_batch_size(asked.batch_size, strategy)
    if asked.images_per_step % (asked.hardest_of * replicas):
        raise DigitwiseError(
            f"--learn_from=hardest chooses one image in {asked.hardest_of} of the {asked.images_per_step} of a step, "
            f"which {replicas} replicas cannot share equally: use a --batch_size that is a multiple of "
            f"{asked.hardest_of * replicas // READ_TIMES}, or --learn_from=all"
        )
    # Rows of which one image is chosen must not be cut differently on each replica.
    if replicas > 1 and num_synthetic % (asked.hardest_of * replicas):
        raise DigitwiseError(
            f"--synthetic_share draws {num_synthetic} of the {asked.images_per_step} images of a batch, which "
            f"{replicas} replicas cannot share equally: use another share"
        )
    if asked.xla and replicas > 1:
        raise DigitwiseError(
            f"--xla compiles a step as one piece, and {replicas} replicas exchange numbers within a step: leave it "
            "out, or give --strategy=one"
        )


@contextlib.contextmanager
def told_of_damage(manifest: Manifest) -> Iterator[None]:
    """One line that names the damaged record, where TensorFlow stumbled over it."""
    try:
        yield
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError):
        shards = (shard for split in ("train", "validation") for shard in manifest.splits[split])
        # TensorFlow's message names no file; only now is it worth reading every shard again to find out which it was.
        problem = next(filter(None, (shard_problem(manifest, shard) for shard in shards)), None)
        if problem is None:
            raise
        remedy = "write the records again with --stage=records --overwrite"
        raise DamagedRecords(f"{problem}; {remedy}") from None
