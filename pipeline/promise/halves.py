"""Which held-out codes certify the threshold, and which are left to test it.

The test split is divided by a second hash of the code, and only where a promise is asked for: so records, and what is
tested without a promise, stay as they are. No code is in both halves, and the half that certifies chose nothing: not
the weights, not the checkpoint, not the temperature, not the grid of thresholds.
"""

import numpy as np
import numpy.typing as npt

from records.split import fraction_of

CALIBRATION_SHARE = 0.5


def is_for_calibration(code: str) -> bool:
    return fraction_of(code, salt="calibration") < CALIBRATION_SHARE


def calibration_rows(codes: list[str]) -> npt.NDArray[np.bool_]:
    """For each image whether its code certifies; the others are tested."""
    return np.array([is_for_calibration(code) for code in codes], np.bool_)
