"""Are confidences what they say? The expected calibration error, and one temperature that makes it small.

bins = confidence_bins(confidences, is_right)
expected_calibration_error(bins)
temperature = fit_temperature(lambda temperature: position_loss(log_probabilities, label_ids, temperature))
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

NUM_BINS = 15  # as Guo et al. (2017) use; figures with other numbers of bins cannot be compared
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.2, 10.0
_GOLDEN = (5**0.5 - 1) / 2
_STEPS = 40  # of the golden section: the range shrinks by 1e-8


@dataclasses.dataclass(frozen=True)
class ConfidenceBin:
    """The readings with a confidence in one fifteenth of 0..1."""

    least: float
    most: float
    count: int
    mean_confidence: float
    accuracy: float


def confidence_bins(confidences: npt.ArrayLike, is_right: npt.ArrayLike) -> tuple[ConfidenceBin, ...]:
    """Bins of equal width; those without a reading are left out."""
    values, right = np.asarray(confidences, np.float64), np.asarray(is_right, np.bool_)
    if values.shape != right.shape or values.ndim != 1:
        raise ValueError(f"{values.shape} confidences and {right.shape} outcomes: need one of each for every reading")
    numbers = np.clip((values * NUM_BINS).astype(int), 0, NUM_BINS - 1)
    return tuple(
        ConfidenceBin(
            least=number / NUM_BINS,
            most=(number + 1) / NUM_BINS,
            count=int(inside.sum()),
            mean_confidence=float(values[inside].mean()),
            accuracy=float(right[inside].mean()),
        )
        for number in range(NUM_BINS)
        if (inside := numbers == number).any()
    )


def expected_calibration_error(bins: tuple[ConfidenceBin, ...]) -> float:
    """The mean distance of confidence and accuracy, each bin weighed by its readings."""
    total = sum(each.count for each in bins)
    return sum(each.count * abs(each.mean_confidence - each.accuracy) for each in bins) / total


def fit_temperature(loss: Callable[[float], float]) -> float:
    """The temperature with the least loss, by golden section on a logarithmic scale; the loss has one minimum."""
    low, high = np.log(MIN_TEMPERATURE), np.log(MAX_TEMPERATURE)
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = loss(float(np.exp(left))), loss(float(np.exp(right)))
    for _ in range(_STEPS):
        # One new value a step: by the golden ratio one of the two old points is where the next step needs one.
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - _GOLDEN * (high - low)
            at_left = loss(float(np.exp(left)))
        else:
            low, left, at_left = left, right, at_right
            right = low + _GOLDEN * (high - low)
            at_right = loss(float(np.exp(right)))
    return float(np.exp((low + high) / 2))


def position_loss(log_probabilities: npt.ArrayLike, targets: npt.ArrayLike, temperature: float) -> float:
    """The mean cross-entropy of log-probabilities [..., classes] at a temperature; targets below 0 do not count."""
    # -inf, of a class that was ruled out, would make the whole mean infinite where it is the target.
    scaled = np.maximum(np.asarray(log_probabilities, np.float64), -1e30) / temperature
    labels = np.asarray(targets)
    highest = scaled.max(axis=-1, keepdims=True)
    normal = scaled - highest - np.log(np.exp(scaled - highest).sum(axis=-1, keepdims=True))
    shown = np.take_along_axis(normal, np.maximum(labels, 0)[..., None], axis=-1)[..., 0]
    return float(-shown[labels >= 0].mean())
