"""What is in a folder of records: written last, so a folder that has one is whole.

manifest = Manifest.load("workdir/records")
manifest.image_shape, manifest.count("train"), manifest.paths("train")
"""

import dataclasses
import hashlib
import json
import pathlib

from records.atomic import write_text
from records.errors import DamagedRecords, DigitwiseError

FILE_NAME = "manifest.json"
FORMAT = "digitwise-records"
FORMAT_VERSION = 1


@dataclasses.dataclass(frozen=True)
class Shard:
    """One file of records."""

    file: str
    count: int
    bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class Manifest:
    """A folder of records. `classes[split][position]` counts the characters at that position."""

    name: str
    alphabet: str
    min_length: int
    max_length: int
    height: int
    width: int
    channels: int
    encoding: str
    compression: str
    splits: dict
    classes: dict
    settings: dict
    versions: dict
    fonts: dict
    folder: pathlib.Path = None

    @property
    def image_shape(self):
        return self.height, self.width, self.channels

    def count(self, split):
        return sum(shard.count for shard in self.splits.get(split, ()))

    def paths(self, split):
        return [self.folder / shard.file for shard in self.splits.get(split, ())]

    @property
    def fingerprint(self):
        """A digest of every byte of every shard, by which a later stage knows the data again."""
        digest = hashlib.sha256()
        for split, shards in sorted(self.splits.items()):
            for shard in shards:
                digest.update(f"{split} {shard.file} {shard.sha256}\n".encode())
        return digest.hexdigest()

    @classmethod
    def load(cls, folder):
        path = pathlib.Path(folder) / FILE_NAME
        try:
            content = json.loads(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            raise DigitwiseError(
                f"{path} is missing: {folder} holds no records of digitwise; --stage=records writes them"
            ) from None
        except ValueError as error:
            raise DamagedRecords(f"{path} is not readable JSON ({error}); write the records anew") from None
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise DamagedRecords(f"{path} is not a manifest of digitwise")
        if content.get("format_version") != FORMAT_VERSION:
            raise DigitwiseError(
                f"{path} has format version {content.get('format_version')}, this program reads {FORMAT_VERSION}"
            )
        try:
            return cls._from_json(content, pathlib.Path(folder))
        except (KeyError, TypeError, AttributeError) as error:
            raise DamagedRecords(f"{path} is damaged ({error!r}); write the records anew") from None

    @classmethod
    def _from_json(cls, content, folder):
        names = [f.name for f in dataclasses.fields(cls) if f.name not in ("folder", "splits")]
        splits = {split: tuple(Shard(**shard) for shard in shards) for split, shards in content["splits"].items()}
        return cls(**{name: content[name] for name in names}, splits=splits, folder=folder)

    def save(self, folder):
        content = dataclasses.asdict(self)
        del content["folder"]
        content = {"format": FORMAT, "format_version": FORMAT_VERSION, **content}
        write_text(pathlib.Path(folder) / FILE_NAME, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
