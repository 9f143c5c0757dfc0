"""Read or refuse, as a report has it: what is promised, and how the half that did not certify it was read.

PromiseFigures.to_lines() for a terminal, and the same for the page
"""

import dataclasses
from collections.abc import Iterator

from digitwise.watch import MIN_REFERENCE, NO_WATCH

_LABEL = 12  # as wide as the first column of the test's other lines


@dataclasses.dataclass(frozen=True)
class PromiseFigures:
    """`threshold` is None where `max_error` could not be certified; then `missing_codes` are the least that it takes,
    and `offered_error` is the smallest that can be certified. The figures of the tested half are of images."""

    max_error: float
    threshold: float | None
    codes: int  # of the calibration half
    images: int
    accepted_codes: int
    wrong_codes: int
    missing_codes: int
    offered_error: float
    tested_images: int
    tested_accepted: int
    tested_wrong: int  # of those accepted
    temperature: float
    calibration_error: float  # expected calibration error of the tested half
    calibration_error_before: float  # the same with a temperature of 1
    alarm: str | None = None  # why the watch suspends the promise

    @property
    def coverage(self) -> float:
        """The share of the tested images that is accepted."""
        return self.tested_accepted / self.tested_images

    def lines(self) -> Iterator[str]:
        """Sentences, the promise first."""
        if self.threshold is None:
            yield (
                f"NOT CERTIFIED: {self.missing_codes:,} more codes are needed, if none of them is read wrong, to "
                f"certify that at most {self.max_error:g} of accepted codes are wrong; there are {self.codes:,}"
            )
            offer = _rounded_up(self.offered_error)
            if offer < 1:
                yield f"the smallest error that these codes can certify is about {offer:g}: --max_error={offer:g}"
            else:
                yield "these codes can certify no error at all: they are too few, or too many are read wrong"
        else:
            yield (
                f"of codes read with a confidence of {self.threshold:.6g} or more at most {self.max_error:g} are "
                f"wrong, at 95 %: certified on {self.codes:,} codes ({self.images:,} images), of which "
                f"{self.accepted_codes:,} were accepted and {self.wrong_codes:,} wrong"
            )
            yield (
                f"coverage {self.coverage:.4f}: of the {self.tested_images:,} images of other codes "
                f"{self.tested_accepted:,} were accepted, {self.tested_wrong:,} of them wrong"
            )
            if self.images < MIN_REFERENCE:
                yield f"no watch: {NO_WATCH}"
        yield (
            f"expected calibration error {self.calibration_error:.4f} at temperature {self.temperature:.3g}"
            + (f" ({self.calibration_error_before:.4f} without)" if self.temperature != 1 else "")
        )
        if self.alarm:
            yield f"SUSPENDED: {self.alarm}"

    def terminal_lines(self) -> Iterator[str]:
        for number, line in enumerate(self.lines()):
            yield f"{'promise' if not number else '':<{_LABEL}}{line}"


def _rounded_up(error: float) -> float:
    """Two digits, never less than what can be certified."""
    shown = float(f"{error:.2g}")
    # 5 % more than a number of two digits is always the next one or above.
    return shown if shown >= error else float(f"{error * 1.05:.2g}")
