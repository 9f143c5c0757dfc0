"""What several trainings beside each other came to: by folds, and by cleaning; their report.json and their tables.

save(workdir.folds_report, FoldsReport(folds))
read_cleanings(workdir.cleanings_report, manifest.fingerprint)
"""

import dataclasses
import json
import pathlib
from collections.abc import Iterator
from typing import Any, Self

from pipeline.model.metrics import Accuracy
from pipeline.report.phrases import interval, ratio, right_of
from pipeline.report.summary import CleaningResult
from records.atomic import write_text
from records.errors import DigitwiseError
from records.jsonfile import take

_FEW = 200  # images of validation, by which not even .90 and .97 can be told apart


@dataclasses.dataclass(frozen=True)
class TrialResult:
    """How well one training reads: whole codes, and the characters at each position; whether it began with the weights
    of an earlier one."""

    whole: Accuracy
    position_accuracy: tuple[float | None, ...]
    has_earlier: bool = False


@dataclasses.dataclass(frozen=True)
class FoldsReport:
    """What each fold came to, by name; together they tested every image once."""

    folds: dict[str, TrialResult]

    @property
    def whole(self) -> Accuracy:
        """Of all folds together."""
        results = self.folds.values()
        return Accuracy.of(sum(r.whole.right for r in results), sum(r.whole.count for r in results))

    def to_json(self) -> dict[str, Any]:
        rows = [
            {"fold": name, **dataclasses.asdict(result.whole), "position_accuracy": result.position_accuracy}
            for name, result in self.folds.items()
        ]
        return {"folds": rows, "sequence_accuracy": dataclasses.asdict(self.whole)}

    def lines(self) -> Iterator[str]:
        """For a terminal."""
        yield "fold        whole code  images"
        for name, result in self.folds.items():
            yield f"{name:<10}  {ratio(result.whole.value):<10}  {right_of(result.whole)}"
        whole = self.whole
        yield f"together    {ratio(whole.value):<10}  {right_of(whole)}; 95 % interval {interval(whole)}"


@dataclasses.dataclass(frozen=True)
class CleaningsReport:
    """What each cleaning came to on the validation split of the records of this fingerprint; the first is none."""

    records: str
    cleanings: tuple[CleaningResult, ...]

    @property
    def best(self) -> CleaningResult:
        return max(self.cleanings, key=lambda row: row.accuracy.right)

    def to_json(self) -> dict[str, Any]:
        return {"records": self.records, "cleanings": [row.to_json() for row in self.cleanings]}

    @classmethod
    def from_json(cls, content: Any) -> Self:
        rows = take(content, "cleanings", list)
        return cls(take(content, "records", str), tuple(map(CleaningResult.from_json, rows)))

    def lines(self) -> Iterator[str]:
        """For a terminal, and what follows from it."""
        yield "cleaning               whole code of validation"
        for row in self.cleanings:
            accuracy = row.accuracy
            yield (
                f"{row.cleaning:<21}  {ratio(accuracy.value)}   {right_of(accuracy)}; "
                f"95 % interval {interval(accuracy)}"
            )
        yield self._verdict()

    def _verdict(self) -> str:
        # Intervals that do not overlap: a stricter test than two shares need, but one that a reader can see.
        plain, best = self.cleanings[0], self.best
        if best.accuracy.low > plain.accuracy.high:
            return f"{best.cleaning} is better than {plain.cleaning}, by more than chance explains: {best.flags}"
        none = f"nothing is better than {plain.cleaning} by more than chance explains"
        if plain.accuracy.count < _FEW:
            return f"{none}, but {plain.accuracy.count} images are too few to tell: raise --validation_fraction"
        return f"{none}: {plain.flags} is enough"


def save(path: pathlib.Path, report: FoldsReport | CleaningsReport) -> None:
    write_text(path, json.dumps(report.to_json(), indent=1) + "\n")


def read_cleanings(path: pathlib.Path, fingerprint: str) -> tuple[CleaningResult, ...]:
    """What the cleanings stage found on the records of this fingerprint; nothing where it did not run on them."""
    try:
        report = CleaningsReport.from_json(json.loads(path.read_bytes()))
    except (OSError, ValueError, DigitwiseError):
        return ()  # the report of a test does not depend on it
    return report.cleanings if report.records == fingerprint else ()
