"""What is in a folder of records: written last, so a folder that has one is whole.

manifest = Manifest.load("workdir/records")
manifest.image_shape, manifest.count("train"), manifest.paths("train")
"""

import dataclasses
import hashlib
import json
import pathlib
import typing
from typing import Any, Self

from records.atomic import AnyPath, write_text
from records.dataset.sizes import Sizes, lengths_of
from records.errors import DamagedRecords, DigitwiseError
from records.images.files import ImageShape
from records.jsonfile import WrongValue, take
from records.split import SplitRule

FILE_NAME = "manifest.json"
FORMAT = "digitwise-records"
# Programs that know only the first version read records of one size, so those are still written as that.
ONE_SIZE, ANY_SIZE = 1, 2
FORMAT_VERSIONS = (ONE_SIZE, ANY_SIZE)
PLAIN, GZIP = "", "gzip"  # compression; manifests of old versions may say "none" for the first


@dataclasses.dataclass(frozen=True)
class Shard:
    """One file of records."""

    file: str
    count: int
    bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class Manifest:
    """A folder of records. `classes[split][position]` counts the characters at that position.

    `height` and `width` are those of all images or, where they vary, the largest. `sizes` is None in records from
    before it was counted, which have one size. `settings` are what decided the records, as JSON; RecordSettings is
    their typed form.
    """

    name: str
    alphabet: str
    min_length: int
    max_length: int
    height: int
    width: int
    channels: int
    encoding: str
    compression: str
    splits: dict[str, tuple[Shard, ...]]
    classes: dict[str, list[dict[str, int]]]
    settings: dict[str, Any]
    versions: dict[str, str]
    fonts: dict[str, str]
    sizes: Sizes | None = None
    folder: pathlib.Path = pathlib.Path()

    @property
    def varies(self) -> bool:
        """Whether the images have several sizes."""
        return self.sizes is not None and self.sizes.vary

    @property
    def image_shape(self) -> ImageShape:
        return (None, None, self.channels) if self.varies else (self.height, self.width, self.channels)

    @property
    def image_sizes(self) -> Sizes:
        """`sizes`, worked out from the characters at each position where they were not counted."""
        if self.sizes is not None:
            return self.sizes
        lengths = lengths_of(self.classes.values()) or dict.fromkeys((self.min_length, self.max_length), 1)
        return Sizes.alike((self.width, self.height), lengths)

    @property
    def shards(self) -> list[Shard]:
        """Those of all splits."""
        return [shard for shards in self.splits.values() for shard in shards]

    def count(self, split: str) -> int:
        return sum(shard.count for shard in self.splits.get(split, ()))

    def paths(self, split: str) -> list[pathlib.Path]:
        return [self.folder / shard.file for shard in self.splits.get(split, ())]

    @property
    def split_rule(self) -> SplitRule | None:
        """The rule that tells the split of any code; None where the records do not say, or ignored the codes."""
        try:
            rule = SplitRule.from_json(self.settings)
        except KeyError:
            return None
        # Forced splits say nothing about codes: a later training cannot be kept off them by a rule.
        return rule if rule.separates_codes else None

    @property
    def fingerprint(self) -> str:
        """A digest of every byte of every shard, by which a later stage recognises the data."""
        digest = hashlib.sha256()
        # The bytes of shards, not of the manifest: writing it again must not make records look different.
        for split, shards in sorted(self.splits.items()):
            for shard in shards:
                digest.update(f"{split} {shard.file} {shard.sha256}\n".encode())
        return digest.hexdigest()

    @classmethod
    def load(cls, folder: AnyPath) -> Self:
        path = pathlib.Path(folder) / FILE_NAME
        try:
            data = path.read_bytes()
        # Also where the folder is a file: a user may name a single shard.
        except (FileNotFoundError, NotADirectoryError):
            raise DigitwiseError(
                f"{path} is missing: {folder} holds no records of digitwise; --stage=records writes them"
            ) from None
        return cls.parse(data, str(path), folder)

    @classmethod
    def parse(cls, data: bytes, path: str, folder: AnyPath) -> Self:
        """The manifest of the records in `folder`; `path` is where it came from, for errors."""
        try:
            content = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise DamagedRecords(f"{path} is not readable JSON ({error}); write the records again") from None
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise DamagedRecords(f"{path} is not a manifest of digitwise")
        if content.get("format_version") not in FORMAT_VERSIONS:
            raise DigitwiseError(
                f"{path} has format version {content.get('format_version')}, this program reads "
                f"{' and '.join(map(str, FORMAT_VERSIONS))}"
            )
        try:
            return cls._from_json(content, pathlib.Path(folder))
        except WrongValue as error:
            raise DamagedRecords(f"{path} is damaged: {error}; write the records again") from None
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise DamagedRecords(f"{path} is damaged ({error!r}); write the records again") from None

    @classmethod
    def _from_json(cls, content: dict[str, Any], folder: pathlib.Path) -> Self:
        kinds = {**typing.get_type_hints(cls), "classes": dict[str, tuple[dict[str, int], ...]]}
        parsed = ("folder", "sizes")
        given = {f.name: take(content, f.name, kinds[f.name]) for f in dataclasses.fields(cls) if f.name not in parsed}
        given["classes"] = {split: list(places) for split, places in given["classes"].items()}
        if given["compression"] == "none":  # as earlier versions wrote it
            given["compression"] = PLAIN
        sizes = Sizes.from_json(content["sizes"]) if content.get("sizes") else None
        return cls(**given, sizes=sizes, folder=folder)

    def save(self, folder: AnyPath) -> None:
        content = dataclasses.asdict(self)
        del content["folder"]
        content["sizes"] = self.sizes.to_json() if self.sizes else None
        # In front, where a person who opens the file sees it first.
        content = {"format": FORMAT, "format_version": ANY_SIZE if self.varies else ONE_SIZE, **content}
        write_text(pathlib.Path(folder) / FILE_NAME, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
