"""How datasets are read by the replicas of a strategy."""

import types

import tensorflow as tf

from pipeline.machine.datasets import distributed, untuned
from pipeline.machine.shares import Part


class OneInput:
    """Stands for a strategy: hands over what it was given."""

    def __init__(self, *devices):
        self.extended = types.SimpleNamespace(worker_devices=devices)

    def distribute_datasets_from_function(self, dataset_of, options):
        self.options = options
        self.dataset = dataset_of(
            types.SimpleNamespace(num_replicas_in_sync=4, num_input_pipelines=2, input_pipeline_id=1)
        )
        return self.dataset


def test_no_iterator_waits_for_a_thread_that_tunes():
    assert untuned(tf.data.Dataset.range(3)).options().autotune.enabled is False
    strategy = OneInput("/replica:0/device:CPU:0")
    batches = distributed(strategy, lambda part: tf.data.Dataset.range(part.first, part.last))
    assert [int(value) for value in batches] == [2, 3]  # of the second of two pipelines with two replicas each
    assert strategy.dataset.options().autotune.enabled is False
    assert not strategy.options.experimental_fetch_to_device


def test_no_dataset_is_rewritten_with_a_copy_of_its_images():
    assert untuned(tf.data.Dataset.range(3)).options().experimental_optimization.apply_default_optimizations is False


def test_batches_are_copied_to_gpus_ahead_of_time(monkeypatch):
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: ["GPU:0"])
    strategy = OneInput("/replica:0/device:GPU:0")
    distributed(strategy, lambda part: tf.data.Dataset.from_tensors(part == Part(4, 2, 4)))
    assert strategy.options.experimental_fetch_to_device
