"""Read or refuse: the threshold of confidence above which at most `max_error` of the readings are wrong.

grid = threshold_grid(CodeOutcomes.of(validation), len(calibration_codes), max_error=0.001)
certificate = certify(CodeOutcomes.of(calibration), grid, max_error=0.001)
certificate.threshold         # None where it cannot be certified; then `missing` and `offer` say what can be

The grid comes from the validation split: it begins where that split promises the best chance to pass. The
calibration split has chosen nothing, and each threshold is one hypothesis: "more than max_error of what is accepted
is wrong". They are tested in a fixed order, from the strictest down, by the exact binomial test at 95 %, until one is
not rejected (learn then test, fixed sequence). So the chance that the certified threshold breaks the promise is at
most 5 %, however many thresholds are tried.

Several images of one code are not independent. Codes are counted: a code is accepted where any of its images is, and
wrong where any accepted image of it is. The promise is about accepted codes chosen at random, and for each of them one
of its accepted images: the error of these is never more than the share of codes that is counted as wrong.
"""

import bisect
import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from digitwise.statistics import CONFIDENCE, binomial_cdf, least_trials, upper_bound

GRID_SIZE = 60  # any number keeps the 95 %; steps finer than a sixtieth of the images gain little coverage
_OFFERS = 5  # thresholds of the grid that an offer is chosen from
_STEPS = 1e6  # thresholds are whole millionths
_SPARE = 1.04  # the strictest threshold is to accept so many times what a certificate without errors takes


@dataclasses.dataclass(frozen=True)
class Outcomes:
    """What came of reading a split: an entry for each image."""

    confidences: npt.NDArray[np.float64]
    is_right: npt.NDArray[np.bool_]
    codes: Sequence[str]  # what each image shows

    def __post_init__(self) -> None:
        if not len(self.confidences) == len(self.is_right) == len(self.codes) > 0:
            raise ValueError(
                f"{len(self.confidences)} confidences, {len(self.is_right)} outcomes and {len(self.codes)} codes: "
                "need as many of each, and at least one"
            )
        if not np.isfinite(self.confidences).all():
            raise ValueError("a confidence is not a finite number")


@dataclasses.dataclass(frozen=True)
class CodeOutcomes:
    """An entry for each code: the strictest thresholds at which it still counts as accepted, and as wrong."""

    accepted_up_to: npt.NDArray[np.float64]
    wrong_up_to: npt.NDArray[np.float64]  # -inf where every reading was right
    num_images: int

    @classmethod
    def of(cls, outcomes: Outcomes) -> "CodeOutcomes":
        _, numbers = np.unique(np.asarray(outcomes.codes, dtype=np.str_), return_inverse=True)
        accepted_up_to = np.full(int(numbers.max()) + 1, -np.inf)
        wrong_up_to = accepted_up_to.copy()
        # .at, because a code occurs more than once, and plain indexing would keep only its last image.
        np.maximum.at(accepted_up_to, numbers, outcomes.confidences)
        np.maximum.at(wrong_up_to, numbers[~outcomes.is_right], outcomes.confidences[~outcomes.is_right])
        return cls(accepted_up_to, wrong_up_to, len(outcomes.confidences))

    def __len__(self) -> int:
        return len(self.accepted_up_to)

    def accepted(self, threshold: float) -> int:
        return int((self.accepted_up_to >= threshold).sum())

    def wrong(self, threshold: float) -> int:
        return int((self.wrong_up_to >= threshold).sum())


@dataclasses.dataclass(frozen=True)
class Offer:
    """The smallest error that these images can certify."""

    max_error: float
    threshold: float


@dataclasses.dataclass(frozen=True)
class Certificate:
    max_error: float
    confidence: float  # of the statement itself: 0.95
    threshold: float | None  # None where nothing could be certified
    num_codes: int  # of the calibration split
    num_images: int
    accepted: int  # codes, at the threshold; without one, at the strictest that was tried
    wrong: int
    missing: int  # how many more codes the calibration split would need, at this rate of errors; 0 if certified
    offer: Offer

    @property
    def is_certified(self) -> bool:
        return self.threshold is not None

    @property
    def coverage(self) -> float:
        return self.accepted / self.num_codes


def threshold_grid(validation: CodeOutcomes, num_calibration_codes: int, max_error: float) -> tuple[float, ...]:
    """Thresholds, the strictest first, evenly spaced in the share of validation codes that they accept.

    The strictest one has the best chance to pass, by the validation split, of those that accept codes enough.
    """
    _check_error(max_error)
    falling = np.sort(validation.accepted_up_to)[::-1]
    smallest_share = _SPARE * least_trials(0, max_error, CONFIDENCE) / max(1, num_calibration_codes)
    shares = np.linspace(min(1.0, smallest_share), 1.0, GRID_SIZE)
    thresholds = falling[np.ceil(shares * len(falling)).astype(int) - 1]
    # Rounded down: confidences that pile up at 1 must not fall to either side by the last bit of a float.
    thresholds = list(dict.fromkeys((np.floor(thresholds * _STEPS) / _STEPS).tolist()))
    chances = [_chance_to_pass(validation, threshold, num_calibration_codes, max_error) for threshold in thresholds]
    return tuple(thresholds[chances.index(max(chances)) :])


def _chance_to_pass(validation: CodeOutcomes, threshold: float, num_calibration_codes: int, max_error: float) -> float:
    """How likely the threshold is to be certified if the calibration split is like the validation split."""
    accepted = validation.accepted(threshold)
    # No error may be good luck, so what the confidences let expect is added to what was seen.
    doubts = 1 - validation.accepted_up_to[validation.accepted_up_to >= threshold]
    error = min(1.0, (validation.wrong(threshold) + float(doubts.sum())) / max(1, accepted))
    expected = _accepted_at_least(accepted / len(validation), len(validation), num_calibration_codes)
    max_errors = int(expected * max_error) + 1  # with as many errors as promised no test passes
    failing = bisect.bisect_right(  # the fewest errors that are too many
        range(max_errors + 1), 1 - CONFIDENCE, key=lambda errors: binomial_cdf(errors, expected, max_error)
    )
    return binomial_cdf(failing - 1, expected, error)


def _accepted_at_least(share: float, num_validation_codes: int, num_calibration_codes: int) -> int:
    """Of the calibration codes, where this share of the validation codes was accepted: as few as chance makes likely,
    which is two standard deviations below what is to be expected. Too few accepted codes certify nothing, even if none
    is wrong."""
    variance = share * (1 - share) * (1 / num_calibration_codes + 1 / num_validation_codes)
    return int(num_calibration_codes * max(0.0, share - 2 * math.sqrt(variance)))


def certify(calibration: CodeOutcomes, grid: Sequence[float], max_error: float) -> Certificate:
    """The loosest threshold of the grid that passes, with all stricter ones, at 95 %."""
    _check_error(max_error)
    if not grid or list(grid) != sorted(grid, reverse=True):
        raise ValueError("the grid needs thresholds, the strictest first")
    certified: float | None = None
    for threshold in grid:
        # The probability of so few errors if the true rate were max_error: small enough, and that rate is rejected.
        if binomial_cdf(calibration.wrong(threshold), calibration.accepted(threshold), max_error) > 1 - CONFIDENCE:
            break  # a fixed sequence ends at the first that fails, even if a later one would pass
        certified = threshold
    at = grid[0] if certified is None else certified
    return Certificate(
        max_error=max_error,
        confidence=CONFIDENCE,
        threshold=certified,
        num_codes=len(calibration),
        num_images=calibration.num_images,
        accepted=calibration.accepted(at),
        wrong=calibration.wrong(at),
        missing=0 if certified is not None else _missing(calibration, grid[0], max_error),
        offer=_offer(calibration, grid),
    )


def _missing(calibration: CodeOutcomes, threshold: float, max_error: float) -> int:
    """How many more codes it takes if no further one is wrong: the least that can be hoped for."""
    accepted = calibration.accepted(threshold)
    needed = least_trials(calibration.wrong(threshold), max_error, CONFIDENCE)
    # Of further codes only this share will be accepted, and only accepted ones count.
    share = max(accepted, 1) / len(calibration)
    return math.ceil((needed - accepted) / share)


def _offer(calibration: CodeOutcomes, grid: Sequence[float]) -> Offer:
    """The best of a few thresholds; its bound is as much stricter as there are thresholds to choose from."""
    places = sorted({round(place) for place in np.linspace(0, len(grid) - 1, _OFFERS)})
    confidence = 1 - (1 - CONFIDENCE) / len(places)  # Bonferroni: one of them is chosen after all are seen

    offers = (Offer(_bound(calibration, grid[place], confidence), grid[place]) for place in places)
    return min(offers, key=lambda offer: offer.max_error)


def _bound(outcomes: CodeOutcomes, threshold: float, confidence: float) -> float:
    """The smallest error that can be certified at a threshold that was fixed beforehand."""
    accepted = outcomes.accepted(threshold)
    return upper_bound(outcomes.wrong(threshold), accepted, confidence) if accepted else 1.0


def _check_error(max_error: float) -> None:
    if not 0 < max_error < 1:
        raise ValueError(f"max_error={max_error}: it takes a share between 0 and 1, such as 0.001")
