"""Whether records are what they were when they were written: framing, checksums, counts, images, labels.

for problem in file_problems(manifest): print(problem)
shard = verify_shard(path, Promise.of(manifest))
"""

import dataclasses
import os
import pathlib

from records.alphabet import Alphabet
from records.atomic import AnyPath
from records.dataset import schema
from records.dataset.manifest import Manifest, Shard
from records.dataset.shards import is_shard_name
from records.digest import sha256_of
from records.errors import DamagedRecords, quoted
from records.images.files import ImageShape, check_stored
from records.tfrecord.framing import OVERHEAD, read_records


@dataclasses.dataclass(frozen=True)
class Promise:
    """What every record of a set must be."""

    alphabet: str
    min_length: int
    max_length: int
    image_shape: ImageShape
    encoding: str

    @classmethod
    def of(cls, manifest: Manifest) -> "Promise":
        return cls(manifest.alphabet, manifest.min_length, manifest.max_length, manifest.image_shape, manifest.encoding)


@dataclasses.dataclass(frozen=True, order=True)
class Problem:
    """What is wrong with one file of a set; `text` names the file too."""

    file: str
    text: str

    def __str__(self) -> str:
        return self.text


def verify_shard(path: AnyPath, promise: Promise, expected: Shard | None = None) -> Shard:
    """The Shard that `path` is, after reading every byte of it; DamagedRecords names file, offset, record and fault."""
    path = pathlib.Path(path)
    alphabet = Alphabet(promise.alphabet)
    count = end = 0
    for offset, data in read_records(path):
        try:
            _check_record(data, promise, alphabet)
        except DamagedRecords as error:
            raise DamagedRecords(f"{path}: record {count} at byte {offset}: {error}") from None
        count += 1
        end = offset + OVERHEAD + len(data)
    # Before the digest: a file cut at the end of a record is intact as far as it goes, and this message says what is
    # missing.
    if expected and count != expected.count:
        raise DamagedRecords(
            f"{path}: record {count} at byte {end}: the file ends after {count} records, "
            f"the manifest says {expected.count}"
        )
    # Read a second time, now from the page cache: the digest is of the bytes on disk, which of a compressed shard are
    # others than those of its records.
    digest = sha256_of(path)
    if expected and digest != expected.sha256:
        raise DamagedRecords(
            f"{path}: record 0 at byte 0: every record is whole, but these are not the records that were "
            f"written (sha256 {digest[:12]}..., the manifest says {expected.sha256[:12]}...)"
        )
    return Shard(path.name, count, os.path.getsize(path), digest)


def is_as_written(folder: AnyPath, shard: Shard) -> bool:
    """Whether the file of a shard has the bytes that were written, by its digest alone; False where it is gone."""
    try:
        return sha256_of(pathlib.Path(folder) / shard.file) == shard.sha256
    except (FileNotFoundError, IsADirectoryError):
        return False


def _check_record(data: bytes, promise: Promise, alphabet: Alphabet) -> None:
    try:
        _, image, text = schema.decode(data)
    except ValueError as error:
        raise DamagedRecords(f"it is not an Example of digitwise ({error})") from None
    # Every check here is one on which training would fail later, in TensorFlow, without the name of the record.
    unknown = alphabet.unknown(text)
    if unknown is not None:
        raise DamagedRecords(
            f"its text {quoted(text)} has {unknown!r}, which is not in the alphabet {promise.alphabet!r}"
        )
    if not promise.min_length <= len(text) <= promise.max_length:
        raise DamagedRecords(
            f"its text {quoted(text)} has {len(text)} characters, expected {promise.min_length} to {promise.max_length}"
        )
    check_stored(image, promise.image_shape, promise.encoding)


def file_problems(manifest: Manifest) -> list[Problem]:
    """What the names and sizes of the files alone tell: shards that are missing, empty, or not of this set."""
    problems = []
    listed = {shard.file: shard for shard in manifest.shards}
    for shard in listed.values():
        path = manifest.folder / shard.file
        if not path.exists():
            text = f"{path}: the shard is missing; the manifest says {shard.count} records"
            problems.append(Problem(shard.file, text))
        elif path.stat().st_size == 0:
            text = f"{path}: record 0 at byte 0: the file is empty; the manifest says {shard.count} records"
            problems.append(Problem(shard.file, text))
    for path in sorted(manifest.folder.iterdir()):
        # Other programs, such as the README's example, take all files that match a pattern.
        if is_shard_name(path.name) and path.name not in listed:
            text = f"{path}: the file is not in the manifest; it would be read as part of the set"
            problems.append(Problem(path.name, text))
    return problems


def shard_problem(manifest: Manifest, shard: Shard) -> Problem | None:
    """What is wrong with one shard of a folder, after reading every byte of it."""
    try:
        verify_shard(manifest.folder / shard.file, Promise.of(manifest), shard)
    except DamagedRecords as error:
        return Problem(shard.file, str(error))
    return None
