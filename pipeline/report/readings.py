"""A split read by a network: what stood in each image, what was read, and how fast.

readings, speed = read_split(strategy, recognizer, batches, manifest, "test")
readings.right.mean()
"""

import dataclasses
import time
from typing import Any

import numpy as np

from pipeline.machine.progress import progress
from pipeline.model import metrics
from records.dataset.manifest import Manifest
from records.errors import DigitwiseError

FEW_BATCHES = 4
_INCLUDED = "reading, decoding, network and readout"
# The graph is built either in a first reading of everything, or in the first batch.
_WITHOUT_GRAPH = f"{_INCLUDED}; without building the graph"
_WITHOUT_BATCH = f"{_INCLUDED}; without the first batch, which also builds the graph"


@dataclasses.dataclass(frozen=True)
class Readings:
    """What a split was read as; row i is the i-th record of the split."""

    label_ids: np.ndarray
    decoded_ids: np.ndarray
    probabilities: np.ndarray
    confidence: np.ndarray

    def __len__(self) -> int:
        return len(self.label_ids)

    def of_rows(self, rows: np.ndarray) -> "Readings":
        return Readings(*(column[rows] for column in vars(self).values()))

    @property
    def right(self) -> np.ndarray:
        """For each image whether its whole code was read right: bool [count]."""
        return metrics.sequence_right(self.label_ids, self.decoded_ids)


@dataclasses.dataclass(frozen=True)
class Speed:
    """Images a second, None where too few were timed; `includes` says what was timed."""

    value: float | None
    images: int
    seconds: float
    includes: str = _WITHOUT_GRAPH

    @classmethod
    def of(cls, clock: list[tuple[float, int]]) -> "Speed":
        """From [(time when a batch was done, its images)]; the first, which builds the graph, starts the clock."""
        images = sum(count for _, count in clock[1:])
        seconds = clock[-1][0] - clock[0][0]
        value = round(images / seconds, 1) if images and seconds > 0 else None
        return cls(value, images, round(seconds, 3), _WITHOUT_BATCH if clock[0][1] else _WITHOUT_GRAPH)


def read_split(strategy: Any, recognizer: Any, batches: Any, manifest: Manifest, split: str) -> tuple[Readings, Speed]:
    """Every record of the split once, in the order of the records; `batches` are those of `evaluation_batches`."""
    from pipeline.model.reading import predict_batches

    count = manifest.count(split)
    parts, clock = [], []
    with progress("test", count) as advance:
        for indices, *columns in predict_batches(strategy, recognizer, batches):
            clock.append((time.perf_counter(), len(indices)))
            parts.append((indices, *columns[:4]))
            advance(len(indices))
    if len(parts) <= FEW_BATCHES:  # most of that time built the graph: only a second reading tells the speed
        began = time.perf_counter()
        for _ in predict_batches(strategy, recognizer, batches):
            clock = [(began, 0), (time.perf_counter(), count)]
    return _in_order(parts, count, f"the {split} split of {manifest.folder}"), Speed.of(clock)


def _in_order(parts: list[tuple], count: int, what: str) -> Readings:
    """Replicas and workers may hand back batches in any order; each image must be there once."""
    indices, *columns = (np.concatenate(column) for column in zip(*parts))
    read = len(np.unique(indices))
    if len(indices) != count or read != count:
        raise DigitwiseError(
            f"{read} of the {count} images in {what} were read: the shards are not those of the manifest; "
            "run --stage=check to see which"
        )
    order = np.argsort(indices)
    return Readings(*(column[order] for column in columns))
