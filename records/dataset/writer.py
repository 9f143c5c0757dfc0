"""Writes one shard of a source: a pure function of the source, the plan and the shard's number to the bytes of a file.

A plan file holds a line of JSON, [key, text], for each example of the shard. Local processes and cluster workers call
the same `write_shard`; a shard that has its name has been read back and found right.
"""

import dataclasses
import gzip
import hashlib
import json
import os
import pathlib
from collections.abc import Iterator

from records.atomic import AnyPath, atomic_file, write_text
from records.dataset import schema
from records.dataset.manifest import GZIP, PLAIN, Shard
from records.dataset.shards import order_of
from records.dataset.verify import Promise, verify_shard
from records.digest import sha256_of
from records.errors import DamagedRecords, DigitwiseError, UnusableImages
from records.images.files import StoredForm, check_named, stored_bytes
from records.source import Source
from records.tfrecord.framing import frame, read_records


@dataclasses.dataclass(frozen=True)
class ShardSpec:
    """All that it takes to write one shard."""

    split: str
    source: Source
    plan: str
    target: str
    form: StoredForm
    promise: Promise
    compression: str = PLAIN
    is_rendered: bool = False  # the source renders its images and encodes them itself


def write_shard(spec: ShardSpec) -> Shard:
    """Writes the shard, reads it back, and returns its entry for the manifest."""
    rows = list(read_plan(spec.plan))
    # Mixed once and for all, so that reading shards in sequence does not bring codes in alphabetical order.
    rows.sort(key=lambda row: order_of(row[0]))
    target = pathlib.Path(spec.target)
    with atomic_file(target) as file:
        digest = hashlib.sha256()
        if spec.compression == GZIP:
            # No time and no name in the header, so that equal records make equal files. Level 1, because the images in
            # the records are compressed already.
            with gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=file, mtime=0) as packed:
                for data in _framed(rows, spec, digest):
                    packed.write(data)
        else:
            file.writelines(_framed(rows, spec, digest))
        file.flush()
        # While the file still has its temporary name: a shard with its own name is known to be right.
        written = _read_back(file.name, rows, spec, digest.hexdigest())
    shard = dataclasses.replace(written, file=target.name)
    # After the shard itself: an entry without its shard would be believed.
    write_text(entry_path(target), json.dumps(dataclasses.asdict(shard)))
    return shard


def standing_shard(target: AnyPath) -> Shard | None:
    """The entry of a shard that an earlier run finished, or None; its bytes are checked against the entry."""
    try:
        shard = Shard(**json.loads(entry_path(target).read_text()))
        stands = sha256_of(target) == shard.sha256
    except (OSError, ValueError, TypeError):
        return None
    return shard if stands else None


def entry_path(target: AnyPath) -> pathlib.Path:
    """Where a shard's entry waits until the manifest is written."""
    target = pathlib.Path(target)
    return target.with_name(f".{target.name}.json")


def read_plan(path: AnyPath) -> Iterator[tuple[str, str]]:
    """Yields (key, text)."""
    with open(path, encoding="utf-8") as file:
        for line in file:
            key, text = json.loads(line)
            yield key, text


def _framed(rows: list[tuple[str, str]], spec: ShardSpec, digest: "hashlib._Hash") -> Iterator[bytes]:
    """The records before they are compressed, all of which go into `digest`."""
    for key, text in rows:
        name = spec.source.name(key)
        try:
            image = stored_bytes(spec.source.load(key), name, spec.form)
        except DigitwiseError as error:
            raise UnusableImages([(name, str(error))]) from None
        data = frame(schema.encode(key, image, text))
        digest.update(data)
        yield data


def _read_back(path: str, rows: list[tuple[str, str]], spec: ShardSpec, digest: str) -> Shard:
    """Verifies what was written; an image that does not decode is blamed on its file.

    Rendered images are whole when they are written, so it is enough that the file has these very bytes."""
    expected = None
    if spec.compression == PLAIN:
        expected = Shard(pathlib.Path(path).name, len(rows), os.path.getsize(path), digest)
        if spec.is_rendered and sha256_of(path) == digest:
            return expected
    try:
        return verify_shard(path, spec.promise, expected)
    except DamagedRecords:
        _blame_image(path, rows, spec)
        raise


def _blame_image(path: str, rows: list[tuple[str, str]], spec: ShardSpec) -> None:
    for (_, data), (key, _) in zip(read_records(path), rows, strict=False):  # reading may stop before the rows end
        _, image, _ = schema.decode(data)
        name = spec.source.name(key)
        try:
            check_named(image, name, spec.promise.image_shape, spec.promise.encoding)
        except DigitwiseError as error:
            raise UnusableImages([(name, str(error))]) from None
