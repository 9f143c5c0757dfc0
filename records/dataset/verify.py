"""Whether records are what they were when they were written: framing, checksums, counts, images, labels.

for problem in folder_problems(manifest): ...
shard = verify_shard(path, expectation)
"""

import dataclasses
import hashlib
import os
import pathlib

from records.alphabet import Alphabet
from records.dataset import schema
from records.dataset.manifest import Shard
from records.dataset.shards import is_shard_name
from records.errors import DamagedRecords
from records.images.files import check_stored
from records.tfrecord.framing import OVERHEAD, read_records


@dataclasses.dataclass(frozen=True)
class Promise:
    """What every record of a set must be."""

    alphabet: str
    min_length: int
    max_length: int
    image_shape: tuple
    encoding: str

    @classmethod
    def of(cls, manifest):
        return cls(manifest.alphabet, manifest.min_length, manifest.max_length, manifest.image_shape, manifest.encoding)


def verify_shard(path, promise, expected=None):
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
    if expected and count != expected.count:
        raise DamagedRecords(
            f"{path}: record {count} at byte {end}: the file ends after {count} records, "
            f"the manifest says {expected.count}"
        )
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if expected and digest != expected.sha256:
        raise DamagedRecords(
            f"{path}: record 0 at byte 0: every record is whole, but these are not the records that were "
            f"written (sha256 {digest[:12]}..., the manifest says {expected.sha256[:12]}...)"
        )
    return Shard(path.name, count, os.path.getsize(path), digest)


def _check_record(data, promise, alphabet):
    try:
        _, image, text = schema.decode(data)
    except ValueError as error:
        raise DamagedRecords(f"it is not an Example of digitwise ({error})") from None
    unknown = alphabet.unknown(text)
    if unknown is not None:
        raise DamagedRecords(f"its text {text!r} has {unknown!r}, which is not in the alphabet {promise.alphabet!r}")
    if not promise.min_length <= len(text) <= promise.max_length:
        raise DamagedRecords(
            f"its text {text!r} has {len(text)} characters, {promise.min_length} to {promise.max_length} were promised"
        )
    check_stored(image, promise.image_shape, promise.encoding)


def file_problems(manifest):
    """What a look at the folder alone tells: shards that are missing, empty, of another size, or not of this set."""
    problems = []
    listed = {shard.file: shard for shards in manifest.splits.values() for shard in shards}
    for shard in listed.values():
        path = manifest.folder / shard.file
        if not path.exists():
            problems.append(f"{path}: the shard is missing; the manifest says {shard.count} records")
        elif path.stat().st_size == 0:
            problems.append(f"{path}: record 0 at byte 0: the file is empty; the manifest says {shard.count} records")
    for path in sorted(manifest.folder.iterdir()):
        if is_shard_name(path.name) and path.name not in listed:
            problems.append(f"{path}: the file is not in the manifest; it would be read as part of the set")
    return problems


def shard_problem(manifest, shard):
    """What is wrong with one shard of a folder, as one line, or None."""
    try:
        verify_shard(manifest.folder / shard.file, Promise.of(manifest), shard)
    except DamagedRecords as error:
        return str(error)
    return None
