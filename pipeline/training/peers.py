"""Several workers in one training: that they agree where they stand, and one line where one of them is lost."""

import contextlib
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from pipeline.machine.devices import Cluster, LostPeers, gather, is_multi_worker
from pipeline.model.checkpoints import Checkpoints
from records.errors import DigitwiseError


@contextlib.contextmanager
def told_of_lost_peers(cluster: Cluster | None, checkpoints: Checkpoints) -> Iterator[None]:
    """One line where another worker has gone, whatever TensorFlow makes of it."""
    try:
        yield
    except tf.errors.OpError as error:
        if cluster is None:
            raise
        # Asked now, as TensorFlow's error does not say reliably which worker has gone.
        lost = cluster.silent_peers()
        steps = checkpoints.steps()
        raise LostPeers(
            f"{cluster.name(cluster.index)} lost {', '.join(lost) or 'a peer'} ({type(error).__name__}): start all "
            f"workers again to continue from {f'step {steps[-1]}' if steps else 'the beginning'}"
        ) from None


def check_same_step(strategy: tf.distribute.Strategy, step: int) -> None:
    """All workers must continue from one step; they do not where their checkpoints are not in one folder. It also
    keeps a worker from leaving before the others are here."""
    if not is_multi_worker(strategy):
        return

    steps = _of_all_workers(strategy, tf.constant([step])).tolist()
    if set(steps) != {step}:
        raise DigitwiseError(
            f"the workers are at steps {', '.join(map(str, sorted(set(steps))))}: --workdir must be one folder that "
            "all of them share"
        )


def longest(strategy: tf.distribute.Strategy, seconds: float) -> float:
    """The most that any worker says: what they decide by the clock they must decide alike."""
    if not is_multi_worker(strategy):
        return seconds
    return float(_of_all_workers(strategy, tf.constant([seconds])).max())


def _of_all_workers(strategy: tf.distribute.Strategy, value: tf.Tensor) -> np.ndarray:
    @tf.function(autograph=False)
    def gathered() -> tf.Tensor:
        return gather(strategy, strategy.run(lambda: tf.identity(value)))

    return gathered().numpy()
