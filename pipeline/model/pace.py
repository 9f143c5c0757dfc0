"""Where a training stands that finds its own length, as every checkpoint holds it.

pace = Pace(stale=2)
read_value(Pace, pace.to_json()) == pace
"""

import dataclasses
import math
from collections.abc import Iterable
from typing import Any, Literal, Self

# Why the rate comes down: validations gained nothing or show that nearly all is learned, or the time or the steps are
# nearly used up.
Reason = Literal["patience", "learned", "time", "steps"]


@dataclasses.dataclass(frozen=True)
class Batches:
    """What the training batches since the last validation came to, as sums over their steps."""

    steps: int = 0
    loss: float = 0.0
    accuracy: float = 0.0  # of positions

    def plus(self, losses: Iterable[float], accuracies: Iterable[float]) -> Self:
        """One step after the other, so that the sums are the same wherever a training was stopped between."""
        steps, loss, accuracy = self.steps, self.loss, self.accuracy
        for one_loss, one_accuracy in zip(losses, accuracies, strict=True):
            steps, loss, accuracy = steps + 1, loss + float(one_loss), accuracy + float(one_accuracy)
        return dataclasses.replace(self, steps=steps, loss=loss, accuracy=accuracy)


@dataclasses.dataclass(frozen=True)
class Pace:
    """`anneal_step` and `last_step` are None as long as it runs at full rate."""

    least_wrong: float = math.inf
    least_loss: float = math.inf
    stale: int = 0  # validations since the last gain
    anneal_step: int | None = None
    last_step: int | None = None
    reason: str = ""  # a Reason, once the rate comes down
    batches: Batches = Batches()
    least_learned: float = math.inf  # of the losses of training batches, each the mean from a validation to the next

    def is_stale(self, patience: int) -> bool:
        """Whether as many validations as that gained nothing; with a patience of 0 they never are enough."""
        return 0 < patience <= self.stale

    def to_json(self) -> dict[str, Any]:
        # JSON has no infinite numbers; what is missing has its default.
        return {name: value for name, value in dataclasses.asdict(self).items() if value != math.inf}
