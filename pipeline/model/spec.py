"""All that is needed to build a network and to feed it: what travels with every checkpoint and every export.

spec = ModelSpec.from_json(content)
spec.image_shape, spec.alphabet
"""

import dataclasses
from typing import Any, Self


@dataclasses.dataclass(frozen=True)
class ModelSpec:
    """`precision` is the one in use, never `auto`; `dropout` is None where the network's own is used."""

    network: str
    readout: str
    alphabet: str
    min_length: int
    max_length: int
    image_shape: tuple[int, int, int]  # height, width, channels
    dropout: float | None
    precision: str
    cleaning: str = "none"

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self) | {"image_shape": list(self.image_shape)}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """Of this version or an earlier one: checkpoints from before there was any cleaning do not name it."""
        return cls(**{**content, "image_shape": tuple(content["image_shape"])})
