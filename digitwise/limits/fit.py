"""What reading within limits gives, and the order in which codes are tried."""

import dataclasses
from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from digitwise.errors import ReaderError

FloatArray: TypeAlias = npt.NDArray[np.float64]
IMPOSSIBLE = -1e30  # log-probabilities below this are those of classes that a readout ruled out


@dataclasses.dataclass(frozen=True)
class Fit:
    """The most probable code within the limits."""

    label_ids: tuple[int, ...]
    probability: float  # among all codes
    among_fitting: float  # among the codes within the limits; with a function this is the least it can be
    is_exact: bool  # False where the search was cut off: another code may be more probable


@dataclasses.dataclass(frozen=True)
class Candidate:
    label_ids: tuple[int, ...]
    log_probability: float
    is_exact: bool = True  # False for what a search that ran out of its budget had found so far


@dataclasses.dataclass(frozen=True)
class Search:
    """The codes of an automaton, the most probable first, and the logarithm of the probability of all of them."""

    log_total: float
    candidates: Iterator[Candidate]


class OutOfBudget(ReaderError):
    """The search ended before it found a code that fits."""


def out_of_budget(budget: int) -> OutOfBudget:
    return OutOfBudget(f"no code within the limits was found in {budget:,} steps of the search")


def finite(log_probabilities: npt.ArrayLike) -> FloatArray:
    """As float64, with -inf for the classes that a readout ruled out."""
    values = np.asarray(log_probabilities, np.float64)
    return np.where(values < IMPOSSIBLE, -np.inf, values)


def log_sum(values: FloatArray) -> float:
    most = values.max(initial=-np.inf)
    # Less the largest value: the exponential of any of them alone may be too small for a float.
    return float(most + np.log(np.exp(values - most).sum())) if np.isfinite(most) else -np.inf
