"""Reading the validation split while training.

validation = Validator(learner, manifest).run()
validation.result.sequence_accuracy, validation.sample.images
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from alexnet.labels import PADDING
from pipeline.model import metrics
from pipeline.model.reading import ReadBatch, evaluation_batches, predict_batches
from pipeline.model.state import ValidationResult
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
        kept: list[ReadBatch] = []
        learner = self._learner
        read = predict_batches(learner.strategy, learner.recognizer, self._batches, images=True, likelihoods=True)
        for batch in read:
            kept.append(batch._replace(images=None) if kept else batch)
        return kept


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
