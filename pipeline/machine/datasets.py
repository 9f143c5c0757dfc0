"""How tf.data datasets are read: by all replicas of a strategy, and without tuning.

for images, label_ids in distributed(strategy, lambda part: batches.shard(part.num_replicas, part.first)):
    ...

tf.data tunes how many threads a dataset takes, in a thread that sleeps up to as long as the dataset was read already.
An iterator ends only when that thread wakes, which is up to 13 s after the last step of a training of 30 s. Here every
dataset says how much it does at once, and where it does not, it takes as many threads as there are cores.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from pipeline.machine.shares import Part

if TYPE_CHECKING:
    import tensorflow as tf


def untuned(dataset: "tf.data.Dataset") -> "tf.data.Dataset":
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    # To rewrite a dataset, TensorFlow copies the tensors that its functions hold, such as all images of a split.
    options.experimental_optimization.apply_default_optimizations = False
    return dataset.with_options(options)


def distributed(strategy: "tf.distribute.Strategy", dataset_of: "Callable[[Part], tf.data.Dataset]") -> Iterator[Any]:
    """What `dataset_of` gives for each input pipeline, dealt out to its replicas."""
    import tensorflow as tf

    # Batches are copied to GPUs ahead of time by a dataset that is always tuned; a CPU has them already.
    has_gpu = bool(tf.config.list_logical_devices("GPU"))
    options = tf.distribute.InputOptions(experimental_fetch_to_device=has_gpu)
    return iter(
        strategy.distribute_datasets_from_function(lambda context: untuned(dataset_of(Part.of(context))), options)
    )
