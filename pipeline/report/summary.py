"""What a test found, as values, and report.json, which keeps them.

    summary = load_summary("workdir/report/report.json")
    summary.figures.whole.value          # 0.9971, the share of whole codes read right
    summary.claim.holds                  # whether every check behind that figure passed

The keys of the JSON are spelled in this file only.
"""

import dataclasses
import json
import math
import pathlib
from typing import Any, Self

from pipeline.model.metrics import Accuracy
from pipeline.model.spec import ModelSpec
from pipeline.report.history import TrainingPoint
from pipeline.report.promise import PromiseFigures
from pipeline.report.readings import Speed
from records.errors import DigitwiseError
from records.jsonfile import check_kind, read_value, take

FORMAT = "digitwise-report"
FORMAT_VERSION = 1  # files of the same keys from before they were numbered have none
SUMMARY_FILE = "report.json"


@dataclasses.dataclass(frozen=True)
class Position:
    """One position of the codes: the share of characters read right there, with its 95 % interval.

    `most_frequent` is what guessing the most frequent character would reach. Both are None where no code is that long.
    """

    accuracy: float | None
    count: int
    low: float
    high: float
    most_frequent: float | None


@dataclasses.dataclass(frozen=True)
class Chance:
    """How often a guess is right: of one character, and of a whole code."""

    position: float
    sequence: float


@dataclasses.dataclass(frozen=True)
class ConfusedPair:
    """`code` was read as `read` in `count` of the `of` times that it stood in an image; None: no character."""

    code: str | None
    read: str | None
    count: int
    of: int


@dataclasses.dataclass(frozen=True)
class LookAlikePair:
    """Two characters that look alike; the first number of each pair is about the first of them."""

    characters: tuple[str, str]
    shown: tuple[int, int]
    taken_for_other: tuple[int, int]


@dataclasses.dataclass(frozen=True)
class LookAlikes:
    """What was confused because it looks alike; `sequence_accuracy` is that of whole codes if this counted as right."""

    pairs: tuple[LookAlikePair, ...]
    sequence_accuracy: Accuracy

    @property
    def confused(self) -> list[LookAlikePair]:
        """The pairs that were taken for each other, the most frequent first."""
        return sorted((pair for pair in self.pairs if any(pair.taken_for_other)), key=lambda p: -sum(p.taken_for_other))


@dataclasses.dataclass(frozen=True)
class CoveragePoint:
    """Reading only images with at least `threshold` confidence: the share that is read, and how many are wrong."""

    threshold: float
    share: float
    count: int
    wrong: int

    @property
    def error(self) -> float | None:
        """The share of what was read that is wrong."""
        return self.wrong / self.count if self.count else None


@dataclasses.dataclass(frozen=True)
class Figures:
    """How well a split was read. `lengths` has the accuracy of whole codes of each length, `unseen` that of the images
    whose codes were in no training that is known; None where those are all, or none."""

    whole: Accuracy
    lengths: dict[int, Accuracy]
    positions: tuple[Position, ...]
    chance: Chance
    confused_pairs: tuple[ConfusedPair, ...]
    look_alikes: LookAlikes | None  # None: no two characters of the alphabet look alike
    coverage: tuple[CoveragePoint, ...]
    unseen: Accuracy | None = None

    @property
    def mistakes(self) -> int:
        return self.whole.count - self.whole.right

    def to_json(self) -> dict[str, Any]:
        return {
            "sequence_accuracy": dataclasses.asdict(self.whole),
            "unseen_accuracy": dataclasses.asdict(self.unseen) if self.unseen else None,
            "length_accuracy": {str(length): dataclasses.asdict(of) for length, of in self.lengths.items()},
            "position_accuracy": [position.accuracy for position in self.positions],
            "position_count": [position.count for position in self.positions],
            "position_interval": [[position.low, position.high] for position in self.positions],
            "chance": {
                **dataclasses.asdict(self.chance),
                "most_frequent": [position.most_frequent for position in self.positions],
            },
            "confused_pairs": [dataclasses.asdict(pair) for pair in self.confused_pairs],
            "look_alikes": dataclasses.asdict(self.look_alikes) if self.look_alikes else None,
            "coverage": [{**dataclasses.asdict(point), "error": point.error} for point in self.coverage],
            "mistakes": self.mistakes,
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        columns = (
            take(content, "position_accuracy", tuple[float | None, ...]),
            take(content, "position_count", tuple[int, ...]),
            take(content, "position_interval", tuple[tuple[float, float], ...]),
            take(take(content, "chance", dict), "most_frequent", tuple[float | None, ...], "chance"),
        )
        lengths = take(content, "length_accuracy", dict[str, Accuracy])  # JSON has only text as keys
        return cls(
            whole=take(content, "sequence_accuracy", Accuracy),
            lengths={int(length): accuracy for length, accuracy in lengths.items()},
            positions=tuple(
                Position(accuracy, count, low, high, most_frequent)
                for accuracy, count, (low, high), most_frequent in zip(*columns, strict=True)
            ),
            chance=take(content, "chance", Chance),
            confused_pairs=take(content, "confused_pairs", tuple[ConfusedPair, ...]),
            look_alikes=take(content, "look_alikes", LookAlikes | None),
            coverage=take(content, "coverage", tuple[CoveragePoint, ...]),
            # Reports of earlier versions have none.
            unseen=read_value(Accuracy | None, content.get("unseen_accuracy"), "unseen_accuracy"),
        )


@dataclasses.dataclass(frozen=True)
class Statement:
    """A check of what a figure rests on: whether it `holds`, None where that is not known, and `text` for people."""

    name: str
    holds: bool | None
    text: str


@dataclasses.dataclass(frozen=True)
class Claim:
    """All checks of what a figure rests on."""

    statements: tuple[Statement, ...]

    @property
    def holds(self) -> bool | None:
        """Whether all of them do; None where something is not known and nothing is wrong."""
        verdicts = [statement.holds for statement in self.statements]
        # One failure outweighs whatever is not known.
        return False if False in verdicts else None if None in verdicts else True

    def to_json(self) -> dict[str, Any]:
        return {"holds": self.holds, "statements": [dataclasses.asdict(statement) for statement in self.statements]}


@dataclasses.dataclass(frozen=True)
class RecordsUsed:
    """The records of which `split` was tested. Of the tested split and those of the training, by name: how many codes
    and pictures differ from each other."""

    folder: str
    fingerprint: str
    split: str
    counts: dict[str, int]
    classes: dict[str, tuple[dict[str, int], ...]]
    alphabet: str
    lengths: tuple[int, int]
    image_shape: tuple[int | None, int | None, int]
    versions: dict[str, Any]
    different_codes: dict[str, int] = dataclasses.field(default_factory=dict)
    different_pictures: dict[str, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class CheckpointUsed:
    """The checkpoint that read."""

    folder: str
    step: int


@dataclasses.dataclass(frozen=True)
class Settings:
    """All settings behind a figure, as JSON: for a person to look up, nothing else is computed from them."""

    test: dict[str, Any]
    training: dict[str, Any]
    records: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class CleaningResult:
    """How well a network trained on images cleaned in one way reads the validation split; `flags` ask for that way."""

    cleaning: str
    flags: str
    accuracy: Accuracy

    def to_json(self) -> dict[str, Any]:
        return {"cleaning": self.cleaning, "flags": self.flags, **dataclasses.asdict(self.accuracy)}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        return cls(
            cleaning=take(content, "cleaning", str),
            flags=take(content, "flags", str),
            accuracy=read_value(Accuracy, content, "cleaning"),
        )


@dataclasses.dataclass(frozen=True)
class Summary:
    """All that a test found, and all that it takes to judge it; `seconds` are those of the stages behind it."""

    figures: Figures
    speed: Speed
    claim: Claim
    records: RecordsUsed
    checkpoint: CheckpointUsed
    model: ModelSpec
    settings: Settings
    seeds: dict[str, int]
    versions: dict[str, str]
    history: tuple[TrainingPoint, ...] = ()
    cleanings: tuple[CleaningResult, ...] = ()
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)
    promise: PromiseFigures | None = None  # None where none was asked for; else the figures are of the tested half

    def repeats(self, other: Self | None) -> bool:
        """Whether the same checkpoint read the same split as well as in `other`, so that only the clock may differ."""

        def outcome(summary: Summary) -> tuple[Any, ...]:
            # Without their texts, which may be worded differently in another version.
            verdicts = tuple((statement.name, statement.holds) for statement in summary.claim.statements)
            # Not speed, seconds and versions: they change from run to run, or with an upgrade, while the result is the
            # same.
            return summary.figures, verdicts, summary.records, summary.checkpoint, summary.settings, summary.promise

        return other is not None and outcome(self) == outcome(other)

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            **self.figures.to_json(),
            "images_per_second": dataclasses.asdict(self.speed),
            "claim": self.claim.to_json(),
            "records": dataclasses.asdict(self.records),
            "checkpoint": dataclasses.asdict(self.checkpoint),
            "seeds": self.seeds,
            "settings": dataclasses.asdict(self.settings),
            "versions": self.versions,
            "history": [point.to_json() for point in self.history],
            "cleanings": [cleaning.to_json() for cleaning in self.cleanings],
            "seconds": self.seconds,
            "promise": dataclasses.asdict(self.promise) if self.promise else None,
        }

    @classmethod
    def from_json(cls, content: Any) -> Self:
        """WrongValue or ValueError where it is not what `to_json` makes."""
        check_kind(content, dict)
        found = content.get("format", FORMAT), content.get("format_version", FORMAT_VERSION)
        if found != (FORMAT, FORMAT_VERSION):
            raise ValueError(f"it is {found[0]} {found[1]}, this program reads {FORMAT} {FORMAT_VERSION}")

        settings = take(content, "settings", Settings)
        return cls(
            figures=Figures.from_json(content),
            speed=take(content, "images_per_second", Speed),
            claim=take(content, "claim", Claim),
            records=take(content, "records", RecordsUsed),
            checkpoint=take(content, "checkpoint", CheckpointUsed),
            model=ModelSpec.from_json(take(settings.training, "network", dict, "settings.training")),
            settings=settings,
            seeds=take(content, "seeds", dict[str, int]),
            versions=take(content, "versions", dict[str, str]),
            history=tuple(map(TrainingPoint.from_json, take(content, "history", list))),
            cleanings=tuple(map(CleaningResult.from_json, take(content, "cleanings", list))),
            seconds=take(content, "seconds", dict[str, float]),
            promise=read_value(PromiseFigures | None, content.get("promise"), "promise"),
        )


def load_summary(path: pathlib.Path) -> Summary:
    """The Summary in a report.json; DigitwiseError in one line where it cannot be read."""
    try:
        return Summary.from_json(json.loads(pathlib.Path(path).read_bytes()))
    except OSError as error:
        raise DigitwiseError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError, DigitwiseError) as error:
        raise DigitwiseError(f"{path} is not a digitwise report: {error}") from None


def summary_text(summary: Summary) -> str:
    """The text of report.json."""
    return json.dumps(finite(summary.to_json()), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def finite(value: Any) -> Any:
    """The same without nan and infinity, which JSON does not have."""
    if isinstance(value, dict):
        return {name: finite(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    # Browsers and most other readers refuse the NaN that Python's json module would write.
    return None if isinstance(value, float) and not math.isfinite(value) else value
