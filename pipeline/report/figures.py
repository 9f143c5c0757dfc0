"""How well a split was read, in figures.

measure(readings, manifest).whole.value      # 0.9971
"""

import numpy as np
import numpy.typing as npt

from pipeline.model import metrics
from pipeline.model.metrics import Accuracy
from pipeline.report import lookalikes
from pipeline.report.readings import Readings
from pipeline.report.summary import Chance, ConfusedPair, CoveragePoint, Figures, Position
from records.dataset.manifest import Manifest

THRESHOLDS: tuple[float, ...] = (0.5, 0.9, 0.99, 0.999, 0.9999)


def measure(readings: Readings, manifest: Manifest, is_unseen: npt.NDArray[np.bool_] | None = None) -> Figures:
    """The figures of what was read of a split of these records; `is_unseen` says of each image whether its code was in
    no training."""
    labels, decoded, right = readings.label_ids, readings.decoded_ids, readings.right
    confusion = metrics.confusion_counts(labels, decoded)
    names: dict[int | None, str] = dict(enumerate(manifest.alphabet))
    return Figures(
        whole=Accuracy.of(int(right.sum()), len(right)),
        lengths=metrics.length_accuracy(labels, decoded),
        positions=_positions(labels, decoded),
        chance=Chance(*metrics.chance(len(manifest.alphabet), manifest.min_length, manifest.max_length)),
        confused_pairs=tuple(
            ConfusedPair(names.get(pair.label), names.get(pair.decoded), pair.count, pair.total)
            for pair in metrics.confused_pairs(confusion)
        ),
        look_alikes=lookalikes.compare(labels, decoded, confusion, manifest.alphabet),
        coverage=tuple(_coverage(readings, threshold) for threshold in THRESHOLDS),
        unseen=_unseen(right, is_unseen),
    )


def _unseen(right: np.ndarray, is_unseen: npt.NDArray[np.bool_] | None) -> Accuracy | None:
    if is_unseen is None or is_unseen.all() or not is_unseen.any():
        return None
    return Accuracy.of(int(right[is_unseen].sum()), int(is_unseen.sum()))


def _coverage(readings: Readings, threshold: float) -> CoveragePoint:
    point = metrics.coverage_at(readings.confidence, readings.right, threshold)
    return CoveragePoint(point.threshold, point.share, point.count, point.wrong)


def _positions(labels: np.ndarray, decoded: np.ndarray) -> tuple[Position, ...]:
    # What is read beyond the longest code makes the whole code wrong, but belongs to no position.
    right, counts = (column.tolist() for column in metrics.position_counts(labels, decoded[:, : labels.shape[1]]))
    found = []
    for r, count, most_frequent in zip(right, counts, metrics.most_frequent_share(labels)):
        low, high = metrics.wilson_interval(r, count)
        share = None if np.isnan(most_frequent) else most_frequent
        found.append(Position(r / count if count else None, count, low, high, share))
    return tuple(found)
