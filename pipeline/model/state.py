"""The state of a training, as every checkpoint holds it beside the arrays.

state = TrainingState.from_json(content)
state.spec, state.best.step, state.finished
"""

import dataclasses
from typing import Any, Self

from pipeline.model.fields import Fields
from pipeline.model.pace import Pace
from pipeline.model.provenance import Provenance
from pipeline.model.spec import ModelSpec

VERSION: int = 2
_WHAT = "the training's state"


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

    @property
    def rank(self) -> tuple[float, float]:
        """The larger, the better: whole codes first, characters where those are equal."""
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
        fields = Fields(content, "the best step")
        if not fields.has("count"):
            return cls(fields.whole("step"))
        result = ValidationResult(
            fields.number("sequence_accuracy"),
            fields.number("position_accuracy"),
            fields.whole("count"),
            fields.optional("loss", Fields.number),
        )
        return cls(fields.whole("step"), result)


@dataclasses.dataclass(frozen=True)
class Environment:
    """What else decides the last bits of a result."""

    replicas: int
    threads: int
    tensorflow: str
    keras: str

    @classmethod
    def from_json(cls, content: Any) -> Self:
        fields = Fields(content, "the training's environment")
        return cls(fields.whole("replicas"), fields.whole("threads"), fields.text("tensorflow"), fields.text("keras"))

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
    stale_validations: int = 0  # since the last improvement
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
            "stale_validations": self.stale_validations,
            "finished": self.finished,
            "seconds": self.seconds,
            "pace": self.pace and self.pace.to_json(),
        }

    @classmethod
    def from_json(cls, content: Any) -> Self:
        """Of this version, or of version 1, which held spec and provenance together under `settings`."""
        fields = Fields(content, _WHAT)
        if fields.check_version(VERSION) == 1:
            settings = fields.mapping("settings")
            spec, provenance = Fields(settings, "the training's settings").mapping("network"), settings
        else:
            spec, provenance = fields.mapping("spec"), fields.mapping("provenance")
        best = fields.optional("best", Fields.mapping)
        return cls(
            spec=ModelSpec.from_json(spec),
            provenance=Provenance.from_json(provenance),
            environment=Environment.from_json(fields.mapping("environment")),
            num_steps=fields.whole("num_steps"),
            validated_step=fields.whole("validated_step"),
            best=Best.from_json(best) if best else None,
            stale_validations=fields.whole("stale_validations"),
            finished=fields.optional("finished", Fields.text),
            seconds=fields.number("seconds"),
            pace=fields.optional("pace", lambda f, name: Pace.from_json(f.mapping(name))),
        )
