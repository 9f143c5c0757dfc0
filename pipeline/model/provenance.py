"""What a training was made from: its settings, its records, its synthetic images, and the trainings before it.

provenance.records.fingerprint          # which records it learned from
[training.split for training in provenance.earlier]
"""

import dataclasses
from typing import Any, Self

from records.dataset.manifest import Manifest
from records.jsonfile import check_kind, read_value, take
from records.split import SplitRule


@dataclasses.dataclass(frozen=True)
class TrainedRecords:
    """The records of a training; `split` is None where they do not say how codes were split. With `fold_case` it is
    that of codes which tell no case."""

    name: str
    fingerprint: str
    train: int  # images
    validation: int
    split: SplitRule | None
    fold_case: bool = False

    @classmethod
    def of(cls, manifest: Manifest, split: SplitRule | None) -> Self:
        counts = manifest.count("train"), manifest.count("validation")
        return cls(manifest.name, manifest.fingerprint, *counts, split, bool(manifest.settings.get("fold_case")))

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "split": self.split and self.split.to_json()}

    @classmethod
    def from_json(cls, content: Any) -> Self:
        return cls(
            take(content, "name", str, "records"),
            take(content, "fingerprint", str, "records"),
            take(content, "train", int, "records"),
            take(content, "validation", int, "records"),
            _split(content.get("split")),
            content.get("fold_case") is True,
        )


@dataclasses.dataclass(frozen=True)
class EarlierTraining:
    """A training whose weights another one began with: its records, and how they kept codes for validation and test."""

    fingerprint: str
    split: SplitRule | None
    fold_case: bool = False

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "split": self.split and self.split.to_json()}

    @classmethod
    def from_json(cls, content: Any) -> Self:
        check_kind(content, dict, "earlier")
        # Version 1 of the state called the fingerprint "records".
        name = "fingerprint" if "fingerprint" in content else "records"
        return cls(take(content, name, str, "earlier"), _split(content.get("split")), content.get("fold_case") is True)


@dataclasses.dataclass(frozen=True)
class Provenance:
    """`settings` are those of the train flags that decide the result, by name, as JSON has them; `synthetic` are those
    of the synthetic images, None where all came from records. Both are kept to be compared and shown."""

    settings: dict[str, Any]
    records: TrainedRecords
    synthetic: dict[str, Any] | None = None
    earlier: tuple[EarlierTraining, ...] = ()

    @property
    def augmentation(self) -> float:
        """How strongly images were varied."""
        return float(self.settings.get("augmentation") or 0.0)

    @property
    def learn_from(self) -> str:
        """Which images a step learned from; the first versions knew no other way than all."""
        return str(self.settings.get("learn_from", "all"))

    @property
    def lineage(self) -> tuple[EarlierTraining, ...]:
        """What a training that begins with these weights has before it: this training, and those before this one."""
        own = self.records
        return EarlierTraining(own.fingerprint, own.split, own.fold_case), *self.earlier

    @property
    def compared(self) -> dict[str, Any]:
        """What must be the same for a training to continue."""
        # "drawn" is what the first checkpoints called synthetic images; the key stays, so that they still load.
        return {
            **self.settings,
            "learn_from": self.learn_from,
            "records": self.records.fingerprint,
            "drawn": self.synthetic,
        }

    def to_json(self) -> dict[str, Any]:
        return {
            "train": self.settings,
            "records": self.records.to_json(),
            "drawn": self.synthetic,
            "earlier": [training.to_json() for training in self.earlier],
        }

    @classmethod
    def from_json(cls, content: Any) -> Self:
        """Also of the first checkpoints, which name no synthetic images and no earlier trainings."""
        check_kind(content, dict, "provenance")
        return cls(
            take(content, "train", dict, "provenance"),
            TrainedRecords.from_json(take(content, "records", dict, "provenance")),
            read_value(dict | None, content.get("drawn"), "provenance.drawn"),
            tuple(map(EarlierTraining.from_json, read_value(list, content.get("earlier") or [], "provenance.earlier"))),
        )


def _split(content: Any) -> SplitRule | None:
    """A rule as SplitRule writes it, or as version 1 of the state had it: [validation, test, rotation]."""
    if content is None:
        return None
    if isinstance(content, list):
        names = ("validation_fraction", "test_fraction", "rotation")
        content = dict(zip(names, content))
    for name in ("validation_fraction", "test_fraction"):
        take(content, name, float, "split")
    return SplitRule.from_json(content)
