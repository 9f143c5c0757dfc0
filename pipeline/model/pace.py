"""Where a training stands that finds its own length, as every checkpoint holds it.

pace = Pace.from_json(Pace(stale=2).to_json())
"""

import dataclasses
import math
from typing import Any, Self

from pipeline.model.fields import Fields


@dataclasses.dataclass(frozen=True)
class Pace:
    """`anneal_step` and `last_step` are None as long as it runs at full rate."""

    least_wrong: float = math.inf
    least_loss: float = math.inf
    stale: int = 0  # validations since the last gain
    anneal_step: int | None = None
    last_step: int | None = None

    def to_json(self) -> dict[str, Any]:
        # JSON has no infinite numbers.
        return {name: None if value == math.inf else value for name, value in dataclasses.asdict(self).items()}

    @classmethod
    def from_json(cls, content: Any) -> Self:
        fields = Fields(content, "the training's pace")
        wrong, loss = (fields.optional(name, Fields.number) for name in ("least_wrong", "least_loss"))
        return cls(
            math.inf if wrong is None else wrong,
            math.inf if loss is None else loss,
            fields.whole("stale"),
            fields.optional("anneal_step", Fields.whole),
            fields.optional("last_step", Fields.whole),
        )
