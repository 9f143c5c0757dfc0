"""Records of other projects as a source: (key, text) of each image, and its bytes.

source = ForeignSource((Entry(listing.files, mapping),), unpacked="somewhere")
for key, text in source.rows(): data = source.load(key)
"""

import collections
import dataclasses
import functools
import hashlib
import os
from collections.abc import Iterator
from typing import Any, BinaryIO

from records.atomic import atomic_file
from records.errors import DamagedRecords, DigitwiseError, quoted
from records.foreign.listing import RecordFile
from records.foreign.mapping import SchemaMapping
from records.foreign.readings import TextReading
from records.foreign.sample import MAX_RECORD, decode_record
from records.tfrecord.example import Record
from records.tfrecord.framing import frame, read_record_at, read_records

# A compressed file may unpack to so many times its size, or to the second number of bytes: zeros are packed as well as
# that. Deflate cannot reach more than 1,032 times, so the first limit stops only what is nearly all zeros.
MAX_UNPACKING = 1000
_UNPACKED_AT_LEAST = 1 << 30
_OPEN_FILES = 16


@dataclasses.dataclass(frozen=True)
class Entry:
    """Files that one mapping reads."""

    files: tuple[RecordFile, ...]
    mapping: SchemaMapping
    prefix: str = ""

    @property
    def folder(self) -> str:
        return os.path.dirname(self.files[0].path) or "."

    @property
    def text(self) -> TextReading:
        """Raises where the records have no text: they can be read, not learned from."""
        if self.mapping.text is None:
            raise DigitwiseError(
                f"{self.folder}: no text was found in these records; without it they can be neither trained on nor "
                "tested (--text_key names the key of a text)"
            )
        return self.mapping.text


@dataclasses.dataclass(frozen=True)
class _Place:
    """Where a record is."""

    entry: Entry
    file: RecordFile
    number: int
    offset: int

    def __str__(self) -> str:
        return f"{self.file.path}: record {self.number} at byte {self.offset}"


@dataclasses.dataclass(frozen=True)
class ForeignSource:
    """Images in records of other projects. A key is `file:number@offset`, by which any process finds the record.

    Compressed files, in which no record can be found by its offset, are unpacked into the folder `unpacked` at the
    first pass over them.
    """

    entries: tuple[Entry, ...]
    unpacked: str

    def rows(self) -> Iterator[tuple[str, str]]:
        """Yields (key, text) for each record, without decoding its image."""
        for place, record in self._records():
            try:
                text = place.entry.text.read(record, place.file.path)
            except ValueError as error:
                raise DigitwiseError(f"{place}: {error}") from None
            yield f"{place.entry.prefix}{place.file.name}:{place.number}@{place.offset}", text

    def load(self, key: str) -> bytes:
        """The bytes of an image file."""
        place = self._find(key)
        plain = self._plain(place.file)
        if place.file.compression and not os.path.exists(plain):
            collections.deque(self._read(place.file), maxlen=0)  # reads to the end, for the plain copy that this leaves
        data = read_record_at(place.file.path, _opened(plain), place.offset, MAX_RECORD, place.number)
        record = decode_record(place.file.path, place.number, place.offset, data)
        try:
            return place.entry.mapping.image.file(record)
        except ValueError as error:
            raise DigitwiseError(f"{place}: {error}") from None

    def check(self) -> Iterator[str | None]:
        """Yields the text of each record, or None without one, once its pixels have been decoded too."""
        for place, record in self._records():
            mapping = place.entry.mapping
            try:
                mapping.image.picture(record).load()
                yield mapping.text.read(record, place.file.path) if mapping.text else None
            except (ValueError, OSError, SyntaxError) as error:
                raise DigitwiseError(f"{place}: {error}") from None

    def name(self, key: str) -> str:
        """Where the image is, and under which keys."""
        place = self._find(key)
        mapping = place.entry.mapping
        keys = [mapping.image.key, *(mapping.text.keys if mapping.text else ())]
        return f"{place} ({', '.join(map(quoted, keys))})"

    def identity(self) -> list[dict[str, Any]]:
        """What tells these files, read so, from others: names, sizes, times and mappings."""
        described = []
        for entry in self.entries:
            digest = hashlib.sha256()
            for file in entry.files:
                status = os.stat(file.path)
                # Size and time stand for the content, which may be terabytes.
                digest.update(f"{file.name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
            described.append({"files": len(entry.files), "sha256": digest.hexdigest(), **entry.mapping.as_json()})
        return described

    def _records(self) -> Iterator[tuple[_Place, Record]]:
        for entry in self.entries:
            for file in entry.files:
                for number, (offset, data) in enumerate(self._read(file)):
                    yield _Place(entry, file, number, offset), decode_record(file.path, number, offset, data)

    def _read(self, file: RecordFile) -> Iterator[tuple[int, bytes]]:
        """The records of a file; of a compressed one this leaves a plain copy."""
        plain = self._plain(file)
        if not file.compression or not self.unpacked or os.path.exists(plain):
            yield from read_records(file.path, MAX_RECORD)
            return
        os.makedirs(self.unpacked, exist_ok=True)
        with atomic_file(plain) as copy:
            for offset, data in read_records(file.path, MAX_RECORD):
                if offset + len(data) > max(_UNPACKED_AT_LEAST, MAX_UNPACKING * file.size):
                    raise DamagedRecords(
                        f"{file.path}: at byte {offset} it has unpacked to more than {MAX_UNPACKING:,} times its size"
                    )
                # Framed as before, so offsets in the copy are those in the unpacked stream, which the keys have.
                copy.write(frame(data))
                yield offset, data

    def _plain(self, file: RecordFile) -> str:
        if not file.compression:
            return file.path
        # With the time, as a file that was replaced since must be unpacked again.
        digest = hashlib.sha256(f"{file.path}\0{file.size}\0{os.stat(file.path).st_mtime_ns}".encode()).hexdigest()
        return os.path.join(self.unpacked, f"{digest[:32]}.tfrecord")

    def _find(self, key: str) -> _Place:
        name, place = key.rsplit(":", 1)  # from the right: a file's name may have a colon
        number, offset = map(int, place.split("@"))
        entry, file = self._by_name[name]
        return _Place(entry, file, number, offset)

    @functools.cached_property
    def _by_name(self) -> dict[str, tuple[Entry, RecordFile]]:
        return {f"{entry.prefix}{file.name}": (entry, file) for entry in self.entries for file in entry.files}


@functools.lru_cache(maxsize=_OPEN_FILES)
def _opened(path: str) -> BinaryIO:
    """Kept open: records of a shard come from all over the files."""
    return open(path, "rb")
