"""What a training was made from: its settings, its records, its synthetic images, and the trainings before it.

provenance.records.fingerprint          # which records it learned from
[training.split for training in provenance.earlier]
"""

import dataclasses
from typing import Any, Self

from pipeline.model.fields import Fields
from records.dataset.manifest import Manifest
from records.split import SplitRule

_WHAT = "the training's origin"


@dataclasses.dataclass(frozen=True)
class TrainedRecords:
    """The records of a training; `split` is None where they do not say how codes were split."""

    name: str
    fingerprint: str
    train: int  # images
    validation: int
    split: SplitRule | None

    @classmethod
    def of(cls, manifest: Manifest, split: SplitRule | None) -> Self:
        counts = manifest.count("train"), manifest.count("validation")
        return cls(manifest.name, manifest.fingerprint, *counts, split)

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "split": self.split and self.split.to_json()}

    @classmethod
    def from_json(cls, content: Any) -> Self:
        fields = Fields(content, "the training's records")
        return cls(
            fields.text("name"),
            fields.text("fingerprint"),
            fields.whole("train"),
            fields.whole("validation"),
            _split(content.get("split")),
        )


@dataclasses.dataclass(frozen=True)
class EarlierTraining:
    """A training whose weights another one began with: its records, and how they kept codes for validation and test."""

    fingerprint: str
    split: SplitRule | None

    def to_json(self) -> dict[str, Any]:
        return {"fingerprint": self.fingerprint, "split": self.split and self.split.to_json()}

    @classmethod
    def from_json(cls, content: Any) -> Self:
        fields = Fields(content, "an earlier training")
        # Version 1 of the state called the fingerprint "records".
        name = "fingerprint" if fields.has("fingerprint") else "records"
        return cls(fields.text(name), _split(content.get("split")))


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
    def lineage(self) -> tuple[EarlierTraining, ...]:
        """What a training that begins with these weights has before it: this training, and those before this one."""
        return EarlierTraining(self.records.fingerprint, self.records.split), *self.earlier

    @property
    def compared(self) -> dict[str, Any]:
        """What must be the same for a training to continue."""
        return {**self.settings, "records": self.records.fingerprint, "drawn": self.synthetic}

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
        fields = Fields(content, _WHAT)
        return cls(
            fields.mapping("train"),
            TrainedRecords.from_json(fields.mapping("records")),
            fields.optional("drawn", Fields.mapping),
            tuple(EarlierTraining.from_json(one) for one in fields.optional("earlier", Fields.items) or ()),
        )


def _split(content: Any) -> SplitRule | None:
    """A rule as SplitRule writes it, or as version 1 of the state had it: [validation, test, rotation]."""
    if content is None:
        return None
    if isinstance(content, list):
        names = ("validation_fraction", "test_fraction", "rotation")
        content = dict(zip(names, content))
    fields = Fields(content, "the rule that split the codes")
    for name in ("validation_fraction", "test_fraction"):
        fields.number(name)
    return SplitRule.from_json(content)
