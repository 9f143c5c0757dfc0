"""What decided the bytes of a set of records: typed here, and as JSON in the manifest.

settings = RecordSettings.from_json(manifest.settings)
settings.rule.split("4071"), settings.source
"""

import dataclasses
from typing import Any, Self

from records.split import SplitRule

UNLABELLED = "unlabelled"  # the kind of images whose codes a network read
_FIELDS = ("name", "images_per_shard", "image_format", "colors", "compression", "resize", "fold_case")


@dataclasses.dataclass(frozen=True)
class RecordSettings:
    """Equal settings make equal records. `source` says which images: {kind: identity, ...}; `alphabet` is None where it
    was found in the codes; `compression` is that of the flag, "none" or "gzip"."""

    source: dict[str, Any]
    alphabet: str | None
    rule: SplitRule
    name: str
    images_per_shard: int
    image_format: str
    colors: str
    compression: str
    resize: bool
    fold_case: bool

    def to_json(self) -> dict[str, Any]:
        """In the order in which a person compares two of them."""
        rule = self.rule.to_json()
        content = {"source": self.source, "alphabet": self.alphabet, "name": self.name}
        # Here only for their place in the order: `rule` below has them again.
        content |= {name: rule[name] for name in ("validation_fraction", "test_fraction")}
        return content | {name: getattr(self, name) for name in _FIELDS} | rule

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """KeyError where a setting is missing. Records from before there was --fold_case kept every case."""
        given = {name: content[name] for name in _FIELDS if name != "fold_case"}
        return cls(
            source=content["source"],
            alphabet=content["alphabet"],
            rule=SplitRule.from_json(content),
            fold_case=content.get("fold_case", False),
            **given,
        )


def num_read(settings: dict[str, Any]) -> int:
    """Of how many images of a manifest with these settings a network read the codes; all are in the train split."""
    return int(settings.get("source", {}).get(UNLABELLED, {}).get("count", 0))
