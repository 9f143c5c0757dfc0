"""Which part of each batch a process has to make, where several replicas share it."""

import dataclasses
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Part:
    """Which replicas' share of each batch an input pipeline gives: those from `first` up to `last`."""

    num_replicas: int = 1
    first: int = 0
    last: int = 1

    @classmethod
    def of(cls, context: "tf.distribute.InputContext") -> Self:
        """Of a tf.distribute.InputContext."""
        # One pipeline for each worker, and every worker has the same number of replicas.
        count = context.num_replicas_in_sync // context.num_input_pipelines
        first = context.input_pipeline_id * count
        return cls(context.num_replicas_in_sync, first, first + count)
