"""The batch watch: do the images that come look like those on which the threshold was certified?

reference = Reference.of(confidences, threshold)     # of the calibration images
watch = Watch(reference)
watch.add(confidences)                               # of what is read, as it comes
watch.alarm                                          # None, or why the promise is suspended

Two tests look at each window of 50 and of 500 images, five times while it fills: the distribution of the confidences
(Kolmogorov-Smirnov) and the share accepted (exact binomial). They share out one false alarm in 50,000 images, which
holds for images that come independently of each other. An alarm stays until `reset`.
"""

import dataclasses
import itertools
import math
import threading
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from digitwise.errors import ReaderError
from digitwise.statistics import MAX_COUNT, kolmogorov_smirnov, lower_bound, two_sided, upper_bound

IMAGES_PER_FALSE_ALARM = 50_000
WINDOWS = (50, 500)
LOOKS = 5
MAX_POINTS = 100  # kept in the model's file; the distance can only be smaller than with all of them
MIN_REFERENCE = 50  # fewer would tell only of great differences
NO_WATCH = f"fewer than {MIN_REFERENCE} images certified the threshold: nothing tells when other images come in"
_TESTS = 2
_SURE = 0.999  # of the bounds on the share that calibration images were accepted


@dataclasses.dataclass(frozen=True)
class Reference:
    """The confidences of the calibration images, at a number of points."""

    count: int
    threshold: float
    accepted: int
    points: tuple[float, ...]  # rising
    below: tuple[float, ...]  # the share of confidences below each point ...
    up_to: tuple[float, ...]  # ... and up to it; they differ where many are equal

    def __post_init__(self) -> None:
        if self.count < MIN_REFERENCE:
            raise ReaderError(f"the watch compares with {self.count} images; it takes {MIN_REFERENCE} or more")
        if self.count > MAX_COUNT:
            raise ReaderError(f"the watch compares with {self.count:,} images; it takes {MAX_COUNT:,} or fewer")
        if not len(self.points) == len(self.below) == len(self.up_to) > 0:
            raise ReaderError("the watch needs as many shares as points")
        if not 0 <= self.accepted <= self.count:
            raise ReaderError(f"{self.accepted} of {self.count} images cannot have been accepted")
        if not all(map(math.isfinite, (self.threshold, *self.points))):
            raise ReaderError("the watch compares with confidences that are no finite numbers")
        if not all(low < high for low, high in itertools.pairwise(self.points)):
            raise ReaderError("the points of the watch do not rise")
        if not all(0 <= low <= high <= 1 for low, high in zip(self.below, self.up_to, strict=True)):
            raise ReaderError("the shares of the watch are not between 0 and 1, the lower one first")

    @classmethod
    def of(cls, confidences: npt.ArrayLike, threshold: float) -> "Reference":
        values = np.sort(np.asarray(confidences, np.float64))
        if len(values) < MIN_REFERENCE:
            raise ReaderError(f"the watch compares with {len(values)} images; it takes {MIN_REFERENCE} or more")
        points = np.unique(values[np.linspace(0, len(values) - 1, MAX_POINTS).astype(int)])
        return cls(
            count=len(values),
            threshold=float(threshold),
            accepted=int((values >= threshold).sum()),
            points=tuple(points.tolist()),
            below=tuple((np.searchsorted(values, points, "left") / len(values)).tolist()),
            up_to=tuple((np.searchsorted(values, points, "right") / len(values)).tolist()),
        )

    def distance(self, confidences: npt.NDArray[np.float64]) -> float:
        """The largest difference between the two distributions, at the points."""
        values, size = np.sort(confidences), len(confidences)
        # From both sides of each point: where many confidences are equal, such as 1.0, the distributions jump.
        below = np.searchsorted(values, self.points, "left") / size - self.below
        up_to = np.searchsorted(values, self.points, "right") / size - self.up_to
        return float(max(np.abs(below).max(), np.abs(up_to).max()))


@dataclasses.dataclass(frozen=True)
class Alarm:
    """What told, and after how many images."""

    test: str  # "confidences" or "accepted"
    images: int  # since the watch began
    window: int  # how many of the last of them were compared
    accepted: int  # of the window
    expected_accepted: float
    p_value: float

    def __str__(self) -> str:
        if self.test == "accepted":
            seen = f"{self.accepted} of the last {self.window} were accepted; {self.expected_accepted:.1f} are usual"
        else:
            seen = f"the confidences of the last {self.window} are unlike those of the calibration images"
        return f"the promise is suspended after {self.images} images: {seen} (p = {self.p_value:.1g})"


class Watch:
    """Thread safe. What comes in one call counts one after the other."""

    def __init__(self, reference: Reference) -> None:
        self.reference = reference
        self._minimum = lower_bound(reference.accepted, reference.count, _SURE)
        self._maximum = upper_bound(reference.accepted, reference.count, _SURE)
        self._lock = threading.Lock()
        self._seen: list[float] = []  # the last images, as many as the longest window holds
        self._images = 0
        self._alarm: Alarm | None = None

    @property
    def alarm(self) -> Alarm | None:
        return self._alarm

    @property
    def images(self) -> int:
        return self._images

    def reset(self) -> None:
        with self._lock:
            self._seen, self._images, self._alarm = [], 0, None

    def add(self, confidences: Iterable[float]) -> Alarm | None:
        with self._lock:
            for confidence in confidences:
                self._seen.append(float(confidence))
                self._images += 1
                for size in WINDOWS:
                    self._look(size)
                # Every window size divides the largest, so all of them begin again here.
                if self._images % max(WINDOWS) == 0:
                    self._seen = []
            return self._alarm

    def _look(self, size: int) -> None:
        filled = (self._images - 1) % size + 1
        if self._alarm is not None or filled % (size // LOOKS):
            return
        window = np.array(self._seen[-filled:])
        accepted = int((window >= self.reference.threshold).sum())
        p_values = {
            "accepted": two_sided(accepted, filled, self._minimum, self._maximum),
            "confidences": kolmogorov_smirnov(self.reference.distance(window), filled, self.reference.count),
        }
        test = min(p_values, key=p_values.__getitem__)
        # Bonferroni: each window size gets an equal part of the false alarms, and each of its looks and tests too.
        allowed = size / IMAGES_PER_FALSE_ALARM / len(WINDOWS) / LOOKS / _TESTS
        if p_values[test] <= allowed:
            expected = filled * self.reference.accepted / self.reference.count
            self._alarm = Alarm(test, self._images, filled, accepted, expected, p_values[test])
