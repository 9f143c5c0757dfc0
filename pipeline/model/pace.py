"""Where a training stands that finds its own length, as every checkpoint holds it.

pace = Pace(stale=2)
read_value(Pace, pace.to_json()) == pace
"""

import dataclasses
import math
from typing import Any


@dataclasses.dataclass(frozen=True)
class Pace:
    """`anneal_step` and `last_step` are None as long as it runs at full rate."""

    least_wrong: float = math.inf
    least_loss: float = math.inf
    stale: int = 0  # validations since the last gain
    anneal_step: int | None = None
    last_step: int | None = None

    def is_stale(self, patience: int) -> bool:
        """Whether as many validations as that gained nothing; with a patience of 0 they never are enough."""
        return 0 < patience <= self.stale

    def to_json(self) -> dict[str, Any]:
        # JSON has no infinite numbers; what is missing has its default.
        return {name: value for name, value in dataclasses.asdict(self).items() if value != math.inf}
