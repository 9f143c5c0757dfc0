"""Does an exported file read as the checkpoint does? Every reading and every decision is compared.

expected = answers(GraphNetwork(graph), images)
difference(expected, answers(OnnxNetwork(path), images)).changed_readings
"""

import dataclasses
import statistics
import time
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from digitwise.images import Pixels
from digitwise.reader import BATCH_SIZE, Network, Reader

_REPEATS = 20  # of which the median: a machine that is busy for a moment does not count


@dataclasses.dataclass(frozen=True)
class Answers:
    texts: tuple[str, ...]
    confidences: npt.NDArray[np.float64]
    accepted: tuple[bool | None, ...]


@dataclasses.dataclass(frozen=True)
class Difference:
    """The numbers are the places of images in the set."""

    num_images: int
    changed_readings: tuple[int, ...]
    changed_decisions: tuple[int, ...]
    largest_confidence_difference: float

    @property
    def changed_share(self) -> float:
        return len(self.changed_readings) / self.num_images


@dataclasses.dataclass(frozen=True)
class Speed:
    milliseconds_of_one: float  # the median of several calls with one image
    images_per_second: float  # in batches


class _Unwatched:
    """A network without the reference of a watch: an alarm would hide which decisions differ."""

    def __init__(self, network: Network) -> None:
        self.metadata = dataclasses.replace(network.metadata, reference=None)
        self.run = network.run


def answers(network: Network, images: Iterable[Pixels]) -> Answers:
    """Of images as the network takes them, one by one."""
    readings = list(Reader(_Unwatched(network)).read_each(images))
    return Answers(
        tuple(reading.code or "" for reading in readings),
        np.array([reading.confidence for reading in readings]),
        tuple(reading.accepted for reading in readings),
    )


def difference(expected: Answers, got: Answers) -> Difference:
    if len(expected.texts) != len(got.texts):
        raise ValueError(f"{len(expected.texts)} and {len(got.texts)} readings cannot be compared")
    return Difference(
        num_images=len(expected.texts),
        changed_readings=_places(expected.texts, got.texts),
        changed_decisions=_places(expected.accepted, got.accepted),
        largest_confidence_difference=float(np.abs(expected.confidences - got.confidences).max(initial=0.0)),
    )


def speed(network: Network, images: Sequence[Pixels]) -> Speed:
    """Measured warm, on the pixels alone."""
    one, batch = np.stack(images[:1]), np.stack([images[n % len(images)] for n in range(BATCH_SIZE)])
    return Speed(
        milliseconds_of_one=1000 * _seconds(network, one),
        images_per_second=BATCH_SIZE / _seconds(network, batch),
    )


def _seconds(network: Network, batch: Pixels) -> float:
    # Once unmeasured: the first call prepares memory and, in TensorFlow, the graph.
    network.run(batch)
    seconds = []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        network.run(batch)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def _places(expected: Sequence[object], got: Sequence[object]) -> tuple[int, ...]:
    return tuple(n for n, (one, other) in enumerate(zip(expected, got, strict=True)) if one != other)
