"""What a network may promise: a threshold certified on the calibration half, and what the watch compares with.

found = certification(validation, calibration, max_error=0.001)
found.promise       # None where nothing could be certified; found.certificate says what is missing
"""

import dataclasses

from digitwise.metadata import Promise
from digitwise.watch import MIN_REFERENCE, Reference
from pipeline.promise.certificate import Certificate, CodeOutcomes, Outcomes, certify, threshold_grid


@dataclasses.dataclass(frozen=True)
class Certification:
    certificate: Certificate
    reference: Reference | None  # None where images are too few to compare with

    @property
    def promise(self) -> Promise | None:
        made = self.certificate
        if made.threshold is None:
            return None
        return Promise(made.threshold, made.max_error, made.accepted, made.wrong)


def certification(validation: Outcomes, calibration: Outcomes, max_error: float) -> Certification:
    """`validation` chooses the thresholds that are tried, `calibration` certifies one of them."""
    codes = CodeOutcomes.of(calibration)
    grid = threshold_grid(CodeOutcomes.of(validation), len(codes), max_error)
    certificate = certify(codes, grid, max_error)
    reference = None
    if certificate.threshold is not None and len(calibration.confidences) >= MIN_REFERENCE:
        reference = Reference.of(calibration.confidences, certificate.threshold)
    return Certification(certificate, reference)
