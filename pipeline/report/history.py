"""The course of a training, as its log tells it: one JSON object a line.

points = read_history("workdir/logs/history.jsonl")
points[-1].step, points[-1].loss
"""

import dataclasses
import json
import math
import pathlib
from typing import Any, Self


@dataclasses.dataclass(frozen=True)
class TrainingPoint:
    """What was measured at a step: on training batches, or on the validation split. None is what was not."""

    step: int
    loss: float | None = None
    position_accuracy: float | None = None
    learning_rate: float | None = None
    validation_position_accuracy: float | None = None
    validation_sequence_accuracy: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Without what was not measured."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value is not None}

    @classmethod
    def from_json(cls, content: Any) -> Self:
        """ValueError where it has no step. A loss that is not a number (training diverged) counts as none."""
        step = content.get("step") if isinstance(content, dict) else None
        if type(step) is not int:  # not isinstance: true is not a step
            raise ValueError("a row of a training's history needs a step")
        return cls(step, **{field.name: _finite(content.get(field.name)) for field in dataclasses.fields(cls)[1:]})


def read_history(path: pathlib.Path) -> tuple[TrainingPoint, ...]:
    """The points that a training left, for its curve; none where it left no log."""
    try:
        lines = pathlib.Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return ()
    points = []
    for line in lines:
        try:
            points.append(TrainingPoint.from_json(json.loads(line)))
        except ValueError:
            continue  # a training that was killed may have written half a line
    return tuple(points)


def _finite(value: Any) -> float | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if is_number else None
