"""All that is needed to build a network and to feed it: what travels with every checkpoint and every export.

spec = ModelSpec.from_json(content)
spec.image_shape, spec.alphabet
"""

import dataclasses
from collections.abc import Iterable
from typing import Any, Self

from alexnet import catalogue
from pipeline.choices import CLEANINGS, PRECISIONS
from pipeline.config import TrainConfig
from pipeline.model.input_channels import input_channels
from pipeline.model.input_size import AS_IS, FIT, RESIZINGS, input_size
from pipeline.values import MAX_IMAGE_SIDE
from records.alphabet import Alphabet
from records.dataset.manifest import Manifest
from records.errors import DigitwiseError
from records.jsonfile import check_version, read_value

VERSION: int = 3  # 1 had no `resizing`, 2 no `revision`
_WHAT = "the model's spec"
_MOST_CHARACTERS = 1000  # of a code; a stranger's spec must not ask for a network that no memory holds


@dataclasses.dataclass(frozen=True)
class ModelSpec:
    """`precision` is the one in use, never `auto`; `dropout` is None where the network's own is used.

    `resizing` says how images come in at `image_shape`: `none`, they have it already; `fit`, those of any size are
    enlarged or reduced in proportion, and padded. `revision` is that of the network's layers, by default today's.
    """

    network: str
    readout: str
    alphabet: str
    min_length: int
    max_length: int
    image_shape: tuple[int, int, int]  # height, width, channels
    dropout: float | None
    precision: str
    cleaning: str = "none"
    resizing: str = AS_IS
    revision: int = 0

    def __post_init__(self) -> None:
        self._check_names()
        if not self.revision:
            object.__setattr__(self, "revision", catalogue.CATALOGUE[self.network].revision)
        Alphabet(self.alphabet)  # raises where characters are missing, repeated or cannot be shown
        if not 1 <= self.min_length <= self.max_length <= _MOST_CHARACTERS:
            raise DigitwiseError(f"{_WHAT} has codes of {self.min_length} to {self.max_length} characters")
        height, width, channels = self.image_shape
        if min(height, width) < 1 or max(height, width) > MAX_IMAGE_SIDE or channels not in (1, 3):
            raise DigitwiseError(
                f"{_WHAT} has images of {width}x{height} with {channels} channels: sides are 1 to {MAX_IMAGE_SIDE} "
                "pixels, channels 1 or 3"
            )
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise DigitwiseError(f"{_WHAT} has the dropout {self.dropout}, which must be from 0 up to 1")
        # Known from the catalogue, before TensorFlow is imported and the network built.
        problem = catalogue.problem(self.network, self.readout, height, width)
        if problem:
            raise DigitwiseError(f"--network={self.network} on images of {self.described_size}: {problem}")

    def _check_names(self) -> None:
        allowed = {
            "network": tuple(catalogue.CATALOGUE),
            "readout": catalogue.READOUTS,
            "precision": tuple(name for name in PRECISIONS if name != "auto"),
            "cleaning": CLEANINGS,
            "resizing": RESIZINGS,
        }
        for name, values in allowed.items():
            value = getattr(self, name)
            if value not in values:
                raise DigitwiseError(f"{_WHAT} has the {name} {value!r}, which must be one of {', '.join(values)}")

    @property
    def described_size(self) -> str:
        """`160x60 (grey)`, for people."""
        height, width, channels = self.image_shape
        return f"{width}x{height} ({'grey' if channels == 1 else 'colour'})"

    @property
    def fitted(self) -> tuple[int, int] | None:
        """(height, width) at which images of any size come in; None where they must have that of `image_shape`."""
        return self.image_shape[:2] if self.resizing == FIT else None

    def check_revision(self) -> None:
        """Raises where the network's layers have changed since: the weights would be read in another way."""
        if self.revision != catalogue.CATALOGUE[self.network].revision:
            raise DigitwiseError(
                f"the checkpoint is of {self.network} as another version of digitwise builds it: train again "
                "(--overwrite), begin with its weights (--initialize_from), or use its export"
            )

    def text(self, label_ids: Iterable[int]) -> str:
        """The code that `label_ids` stand for."""
        return Alphabet(self.alphabet).text(int(i) for i in label_ids)

    @classmethod
    def of(cls, asked: TrainConfig, manifest: Manifest, precision: str) -> Self:
        """What a training on these records builds."""
        channels = input_channels(manifest) if asked.channels is None else asked.channels
        size = input_size(asked.network, manifest)
        return cls(
            network=asked.network,
            readout=asked.readout,
            alphabet=manifest.alphabet,
            min_length=manifest.min_length,
            max_length=manifest.max_length,
            image_shape=(size.height, size.width, channels),
            dropout=asked.dropout,
            precision=precision,
            cleaning=asked.cleaning,
            resizing=size.resizing,
        )

    def to_json(self) -> dict[str, Any]:
        return {"version": VERSION, **dataclasses.asdict(self), "image_shape": list(self.image_shape)}

    @classmethod
    def from_json(cls, content: Any) -> Self:
        """Of this version or an earlier one: checkpoints from before there was any cleaning do not name it."""
        if check_version(content, VERSION, "spec") < 3:
            content = {**content, "revision": 1}
        spec: Self = read_value(cls, content, "spec")
        return spec
