"""The model card: what a file reads, how well, how sure, and how like the checkpoint. For people and for programs.

card.to_markdown()
card.to_json()
"""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from digitwise.metadata import ModelMetadata, Promise
from digitwise.watch import NO_WATCH
from pipeline.export.parity import Difference, Speed


@dataclasses.dataclass(frozen=True)
class Fact:
    """A line of the claim card: what was trained and tested on what, with which result."""

    name: str
    value: str


@dataclasses.dataclass(frozen=True)
class ExportedFile:
    format: str
    path: str
    note: str
    bytes: int
    sha256: str  # of the file; of a folder, of its files one after the other
    difference: Difference
    speed: Speed
    allowed_changes: float
    promise: Promise | None
    is_watched: bool = False  # whether the promise is suspended where other images come in


@dataclasses.dataclass(frozen=True)
class ModelCard:
    name: str
    metadata: ModelMetadata
    facts: tuple[Fact, ...]
    files: tuple[ExportedFile, ...]
    versions: tuple[Fact, ...]
    left_out: tuple[tuple[str, str], ...] = ()  # (path, why): smaller files that read too differently

    def to_json(self) -> str:
        values: dict[str, Any] = dataclasses.asdict(self)
        values["metadata"] = json.loads(self.metadata.to_json())  # with its version, which asdict does not know
        return json.dumps(values, ensure_ascii=False, indent=2) + "\n"

    def to_markdown(self) -> str:
        parts = [f"# {self.name}", self._reads()]
        if self.facts:
            parts.append("## What is claimed\n\n" + _table(("what", "figure"), [(f.name, f.value) for f in self.facts]))
        parts.append("## Files\n\n" + self._files())
        parts.append("## Read or refuse\n\n" + self._promises())
        parts.append("## Limits\n\n" + _LIMITS)
        parts.append("## Made with\n\n" + _table(("what", "version"), [(f.name, f.value) for f in self.versions]))
        return "\n\n".join(parts) + "\n"

    def _reads(self) -> str:
        minimum, maximum = self.metadata.min_length, self.metadata.max_length
        lengths = f"{minimum}" if minimum == maximum else f"{minimum} to {maximum}"
        shape = self.metadata.shape
        colors = "grey" if shape.channels == 1 else "colour"
        return (
            f"Reads codes of {lengths} characters out of `{self.metadata.alphabet}` in {colors} images; other sizes "
            f"are resized to {shape.width}x{shape.height}."
        )

    def _files(self) -> str:
        rows = [
            (
                f"`{file.path}`",
                file.note,
                f"{file.bytes / 1e6:.2f} MB",
                f"{file.speed.milliseconds_of_one:.2f} ms",
                f"{file.speed.images_per_second:,.0f}",
                f"{len(file.difference.changed_readings)} of {file.difference.num_images:,}",
                f"{len(file.difference.changed_decisions)}",
                f"{file.difference.largest_confidence_difference:.1g}",
            )
            for file in self.files
        ]
        heads = (
            "file", "for", "size", "one image", "images/s", "readings that differ", "decisions that differ",
            "largest difference of a confidence",
        )  # fmt: skip
        sums = "\n".join(f"- `{file.path}`: sha256 `{file.sha256}`" for file in self.files)
        left_out = "".join(f"\n\n`{path}` was left out: {reason}." for path, reason in self.left_out)
        return f"{_table(heads, rows)}\n\n{sums}{left_out}"

    def _promises(self) -> str:
        lines = []
        for file in self.files:
            if file.promise is None:
                lines.append(f"- `{file.path}`: no threshold is certified; check every reading")
            else:
                promise = file.promise
                lines.append(
                    f"- `{file.path}`: of readings with a confidence of {promise.threshold:.6g} or more at most "
                    f"{promise.max_error:.4g} are wrong, at 95 %: {promise.wrong} of {promise.codes:,} codes were"
                    + ("" if file.is_watched else f" ({NO_WATCH})")
                )
        return "\n".join(lines)


_LIMITS = """- A promise holds for images like those it was certified on. The reader's watch tells when they are not.
- Codes of other lengths, or with other characters, than those trained on are misread, often with confidence.
- The SavedModel decodes PNG and JPEG files itself. It ignores the orientation that cameras note in
  photos, and cannot read white on transparent; digitwise.Reader handles both as in training."""


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [heads, tuple("---" for _ in heads), *rows]
    # An alphabet may have a |, which would begin another cell.
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
