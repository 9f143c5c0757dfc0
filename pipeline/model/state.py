"""The state of a training, as every checkpoint holds it beside the arrays.

state = TrainingState.from_json(content)
state.spec, state.best.step, state.finished
"""

import dataclasses
from typing import Any, Self

from pipeline.model.pace import Pace
from pipeline.model.provenance import Provenance
from pipeline.model.spec import ModelSpec
from records.jsonfile import check_version, read_value, take

VERSION: int = 2


@dataclasses.dataclass(frozen=True)
class ValidationResult:
    """How well the validation split was read."""

    sequence_accuracy: float
    position_accuracy: float
    count: int
    loss: float | None = None  # minus the logarithm of the probability of the right code, for each of its characters

    @property
    def right(self) -> int:
        """How many whole codes were read right."""
        return round(self.sequence_accuracy * self.count)

    def is_as_good_as(self, before: "ValidationResult") -> bool:
        """Whether as many codes are read right as before, but for a difference that chance could explain.

        So of two results that cannot be told apart the later counts as the better one: it has learned from more, at a
        lower rate. Which of a few hundred codes happen to be right, or how likely each was thought, tells less."""
        difference = self.right - before.right
        # The standard deviation of a difference of counts is at most the root of their sum, here of wrong codes. Twice
        # that, as `before` is the highest of several.
        return difference >= 0 or difference**2 <= 4 * ((self.count - self.right) + (before.count - before.right))

    @property
    def rank(self) -> tuple[float, float]:
        """The larger, the better: whole codes first, characters where those are equal."""
        # While no whole code is read right yet, the characters already tell which step is better.
        return self.sequence_accuracy, self.position_accuracy


@dataclasses.dataclass(frozen=True)
class Best:
    """The best step so far; without a validation split it is the last one, and has no result."""

    step: int
    result: ValidationResult | None = None

    def to_json(self) -> dict[str, Any]:
        return {"step": self.step, **(dataclasses.asdict(self.result) if self.result else {})}

    @classmethod
    def from_json(cls, content: Any) -> Self:
        best = cls(take(content, "step", int, "best"))
        if "count" not in content:  # written without a validation split
            return best
        return dataclasses.replace(best, result=read_value(ValidationResult, content, "best"))


@dataclasses.dataclass(frozen=True)
class Environment:
    """What else decides the last bits of a result."""

    replicas: int
    threads: int
    tensorflow: str
    keras: str

    def changes_since(self, before: "Environment") -> list[tuple[str, Any, Any]]:
        """[(name, before, now)] of what is no longer the same."""
        names = (field.name for field in dataclasses.fields(self))
        pairs = ((name, getattr(before, name), getattr(self, name)) for name in names)
        return [(name, old, new) for name, old, new in pairs if old != new]


@dataclasses.dataclass(frozen=True)
class TrainingState:
    """`finished` says why the training ended, None as long as it has not; `seconds` are those of all its runs.

    `pace` is None where the number of steps was given; else `num_steps` is the most there can be until it is known."""

    spec: ModelSpec
    provenance: Provenance
    environment: Environment
    num_steps: int
    validated_step: int = 0
    best: Best | None = None
    highest: ValidationResult | None = None  # of all validations; that of `best` may be a little lower, and later
    stale_validations: int = 0  # since the highest
    finished: str | None = None
    seconds: float = 0.0
    pace: Pace | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "spec": self.spec.to_json(),
            "provenance": self.provenance.to_json(),
            "environment": dataclasses.asdict(self.environment),
            "num_steps": self.num_steps,
            "validated_step": self.validated_step,
            "best": self.best and self.best.to_json(),
            "highest": self.highest and dataclasses.asdict(self.highest),
            "stale_validations": self.stale_validations,
            "finished": self.finished,
            "seconds": self.seconds,
            "pace": self.pace and self.pace.to_json(),
        }

    @classmethod
    def from_json(cls, content: Any) -> Self:
        """Of this version, or of version 1, which held spec and provenance together under `settings`."""
        if check_version(content, VERSION, "state") == 1:
            settings = take(content, "settings", dict, "state")
            content = {**content, "spec": take(settings, "network", dict, "state.settings"), "provenance": settings}
        best = Best.from_json(content["best"]) if content.get("best") else None
        highest = read_value(ValidationResult | None, content.get("highest"), "state.highest")
        return cls(
            spec=ModelSpec.from_json(take(content, "spec", dict, "state")),
            provenance=Provenance.from_json(take(content, "provenance", dict, "state")),
            environment=take(content, "environment", Environment, "state"),
            num_steps=take(content, "num_steps", int, "state"),
            validated_step=take(content, "validated_step", int, "state"),
            best=best,
            highest=highest or (best.result if best else None),  # earlier versions kept the highest as the best
            stale_validations=take(content, "stale_validations", int, "state"),
            finished=read_value(str | None, content.get("finished"), "state.finished"),
            seconds=take(content, "seconds", float, "state"),
            pace=read_value(Pace | None, content.get("pace"), "state.pace"),
        )
