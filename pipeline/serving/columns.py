"""Where a ctc readout found each character: the probability that a column shows it, over all ways to spread the code.

column_shares(log_probabilities, label_ids)      # float64 [characters, columns]
"""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.float64]
_LEAST = -1e4  # finite, so that no infinity is taken from another


def column_shares(log_probabilities: npt.ArrayLike, label_ids: Sequence[int]) -> FloatArray:
    """Of log-probabilities [columns, classes + 1], the blank last (forward and backward, Graves 2006)."""
    columns = np.maximum(np.asarray(log_probabilities, np.float64), _LEAST)
    blank = columns.shape[1] - 1
    states = np.array([blank] + [state for label_id in label_ids for state in (label_id, blank)])
    may_skip = np.zeros(len(states), np.bool_)
    may_skip[2:] = (states[2:] != blank) & (states[2:] != states[:-2])
    shown = columns[:, states]
    forward = _ways(shown, may_skip)
    # The same from right to left: from a state one may skip to where one could have skipped to it from.
    backward = _ways(shown[::-1, ::-1], _reversed(may_skip))[::-1, ::-1]
    both = forward + backward - shown  # a column counts in both
    # [1::2]: the odd states are the characters, the even ones the blanks between them.
    shares: FloatArray = np.exp(both - np.logaddexp.reduce(both, axis=1, keepdims=True))[:, 1::2].T
    return shares


def _ways(shown: FloatArray, may_skip: npt.NDArray[np.bool_]) -> FloatArray:
    """The log-probability of all ways that are in a state at a column, from the first column on."""
    ways = np.full(shown.shape, -np.inf)
    ways[0, :2] = shown[0, :2]
    for column in range(1, len(shown)):
        before = ways[column - 1]
        came = before.copy()
        came[1:] = np.logaddexp(came[1:], before[:-1])
        came[2:] = np.logaddexp(came[2:], np.where(may_skip[2:], before[:-2], -np.inf))
        ways[column] = came + shown[column]
    return ways


def _reversed(may_skip: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    moved = np.zeros_like(may_skip)
    moved[:-2] = may_skip[2:]
    return moved[::-1]
