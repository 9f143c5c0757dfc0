"""The rule that decides which split a code belongs to: a pure function of the code.

rule = SplitRule(validation_fraction=0.04, test_fraction=0.1)
rule.split("4071")      # "train"
"""

import dataclasses
import hashlib
import itertools
from collections.abc import Iterable
from typing import Any, Self

TRAIN, VALIDATION, TEST = "train", "validation", "test"
SPLITS: tuple[str, ...] = (TRAIN, VALIDATION, TEST)
_MOST_WAYS = 4096  # to write a code of 12 letters


def fraction_of(text: str, salt: str) -> float:
    """A number in [0, 1) that depends on `text` and `salt` alone, the same on every machine."""
    # Not hash(): that is salted differently in each process. The salt keeps the split independent of the order in a
    # shard.
    digest = hashlib.blake2b(text.encode("utf-8"), digest_size=8, salt=salt.encode("ascii")).digest()
    return int.from_bytes(digest, "big") / 2**64


@dataclasses.dataclass(frozen=True)
class SplitRule:
    """It depends on the code alone, so no code is ever in two splits.

    `rotation` says from where in the order of all codes the test split is taken: with a test_fraction of 1/5, the
    rotations 0, 1/5 ... 4/5 test every code once. With `only` every code goes to that split. With `held_out_only` codes
    for training belong to no split: a training that renders its own images needs none stored.
    """

    validation_fraction: float
    test_fraction: float
    rotation: float = 0.0
    only: str = ""
    held_out_only: bool = False

    def split(self, code: str) -> str | None:
        """The split of a code, or None where it is left out."""
        found = self.only or self.by_hash(code)
        return None if found == TRAIN and self.held_out_only else found

    def by_hash(self, code: str) -> str:
        """The split of a code where none is left out and none is forced."""
        # Rotating instead of another salt: the test splits of the folds never overlap, and together hold every code.
        fraction = (fraction_of(code, salt="split") - self.rotation) % 1.0
        # The test split comes first, so another validation_fraction does not move a code into or out of it.
        if fraction < self.test_fraction:
            return TEST
        if fraction < self.test_fraction + self.validation_fraction:
            return VALIDATION
        return TRAIN

    @property
    def separates_codes(self) -> bool:
        """Whether the code decides, so that another program can tell which codes were held out."""
        return not self.only

    @property
    def fractions(self) -> tuple[float, float, float]:
        """What decides the split of a code, as a checkpoint keeps it; `SplitRule(*fractions)` is the way back."""
        return self.validation_fraction, self.test_fraction, self.rotation

    def to_json(self) -> dict[str, Any]:
        """The keys of a manifest's settings; those at their defaults are left out, as manifests always had it."""
        content: dict[str, Any] = {
            "validation_fraction": self.validation_fraction,
            "test_fraction": self.test_fraction,
        }
        if self.only:
            content["only_split"] = self.only
        if self.held_out_only:
            content["held_out_only"] = True
        if self.rotation:
            content["rotation"] = self.rotation
        return content

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """From a manifest's settings; KeyError where they do not say how codes were split."""
        return cls(
            validation_fraction=content["validation_fraction"],
            test_fraction=content["test_fraction"],
            rotation=content.get("rotation", 0.0),
            only=content.get("only_split", ""),
            held_out_only=content.get("held_out_only", False),
        )


@dataclasses.dataclass(frozen=True)
class AnyCase:
    """A rule of codes that told no case, asked about codes that do, or the other way round: a code belongs to the train
    split where one way to write it does."""

    rule: SplitRule

    def by_hash(self, code: str) -> str:
        found = set()
        for written in itertools.islice(ways_to_write(code), _MOST_WAYS):
            found.add(self.rule.by_hash(written))
            if TRAIN in found:
                break
        return next(split for split in SPLITS if split in found)


def ways_to_write(code: str) -> Iterable[str]:
    """The code with its letters in all combinations of cases."""
    return map("".join, itertools.product(*({c.lower(), c.upper()} for c in code)))
