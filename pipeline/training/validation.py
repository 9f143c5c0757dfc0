"""Reading the validation split while training.

validation = Validator(learner, manifest).run()
validation.result.sequence_accuracy, validation.sample.images
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from alexnet.labels import PADDING
from pipeline.machine.devices import is_multi_worker
from pipeline.model import metrics
from pipeline.model.reading import ReadBatch, distributed_batches, evaluation_batches, predict_batch
from pipeline.model.state import ValidationResult
from pipeline.training.feed import fits_in_memory
from pipeline.training.learner import Learner
from pipeline.training.schedule import MOST_VALIDATED
from records.dataset.manifest import Manifest

_BATCH_SIZE = 64  # larger ones are read more slowly
_SAMPLE_IMAGES = 16
_LEAST_LIKELIHOOD = 1e-37  # so that the loss of a code that is thought impossible stays finite


class Sample(NamedTuple):
    """Some images of the split and what they were read as, to be shown."""

    images: np.ndarray
    label_ids: np.ndarray
    decoded_ids: np.ndarray


class Validation(NamedTuple):
    """What one reading of the split came to."""

    result: ValidationResult
    sample: Sample
    calibrated: Mapping[str, np.ndarray] = MappingProxyType({})  # the statistics that it was read with, by name


class Validator:
    """Reads the validation split with the weights that a checkpoint of this step would be read with."""

    def __init__(self, learner: Learner, manifest: Manifest) -> None:
        self._learner = learner
        spec = learner.recognizer.spec
        self._batches = evaluation_batches(
            manifest, "validation", _BATCH_SIZE, spec.image_shape[2], spec.fitted, MOST_VALIDATED
        )
        # Workers read together: were memory to let one of them keep the batches and another not, both would wait.
        self._may_keep = not is_multi_worker(learner.strategy) and fits_in_memory(
            manifest, "validation", spec.image_shape[2], fitted=spec.fitted
        )
        self._kept: list[Any] = []  # the batches, once they were decoded

    def run(self) -> Validation:
        with self._learner.reading() as calibrated:
            batches = self._read()
        label_ids = np.concatenate([batch.label_ids for batch in batches])
        decoded_ids = np.concatenate([batch.decoded_ids for batch in batches])
        first = batches[0]
        shown = slice(_SAMPLE_IMAGES)
        assert first.images is not None
        likelihood = np.concatenate([batch.likelihood for batch in batches if batch.likelihood is not None])
        return Validation(
            measured(label_ids, decoded_ids, likelihood),
            Sample(first.images[shown], first.label_ids[shown], first.decoded_ids[shown]),
            calibrated,
        )

    def _read(self) -> list[ReadBatch]:
        """The images of the first batch only are kept."""
        learner = self._learner
        batches: Iterable[Any] = self._kept or distributed_batches(learner.strategy, self._batches)
        if self._may_keep:
            batches = self._kept = list(batches)
        read: list[ReadBatch] = []
        for batch in batches:
            result = predict_batch(learner.strategy, learner.recognizer, batch, images=True, likelihoods=True)
            read.append(result._replace(images=None) if read else result)
        return read


def measured(label_ids: np.ndarray, decoded_ids: np.ndarray, likelihood: np.ndarray) -> ValidationResult:
    """`likelihood` is the probability of each right code."""
    right, counted = metrics.position_counts(label_ids, decoded_ids)
    lengths = np.maximum((label_ids != PADDING).sum(axis=1), 1)
    losses = -np.log(np.maximum(likelihood.astype(np.float64), _LEAST_LIKELIHOOD)) / lengths
    return ValidationResult(
        sequence_accuracy=int(metrics.sequence_right(label_ids, decoded_ids).sum()) / len(label_ids),
        position_accuracy=float(right.sum() / counted.sum()),
        count=len(label_ids),
        loss=float(losses.mean()),
    )
