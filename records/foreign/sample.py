"""A sample of records: enough to tell what they are, in seconds, however large the files are.

Samples come from many files and, in plain files, from many places: a search for the next valid header finds a record
in the middle, so data sorted by label do not look like data with one label.
"""

import dataclasses
import os
from collections.abc import Iterator, Sequence

import numpy as np

from records.errors import DamagedRecords
from records.foreign.listing import Listing, RecordFile
from records.tfrecord import example
from records.tfrecord.framing import (
    OVERHEAD,
    next_record,
    read_open_records,
    read_record_at,
    read_records,
    record_offsets,
)

# The most bytes that a record may have: a sample of them, its numbers and its pictures stay below 512 MB together.
MAX_RECORD = 1 << 26
# An id that one label in a hundred has is missing from so many once in 170 samples (0.99^512).
_RECORDS = 512
_BYTES = 48 << 20  # of values that a sample holds, and one record more
_FILES = 32
_PLACES = 8
_COUNTED_HEADERS = 200_000  # a fraction of a second, if the disk has them
_UNPACKED = 64 << 20  # bytes of a compressed file, which can only be read from its start


@dataclasses.dataclass(frozen=True)
class Sampled:
    """One record of the sample. `number` is None where it was found in the middle of a file."""

    path: str
    number: int | None
    offset: int
    record: example.Record

    @property
    def where(self) -> str:
        number = "a record" if self.number is None else f"record {self.number}"
        return f"{self.path}: {number} at byte {self.offset}"


@dataclasses.dataclass(frozen=True)
class KeyFacts:
    """What the sample shows of one key."""

    kind: str
    present: int
    lengths: tuple[int, int]
    byte_lengths: tuple[int, int] | None
    example: str
    in_steps: bool


def take_sample(listing: Listing, num_records: int = _RECORDS) -> list[Sampled]:
    """Records from all over the files."""
    chosen = _spread(listing.files, _FILES)
    each = max(1, -(-num_records // len(chosen)))
    sample: list[Sampled] = []
    size = 0
    for file in chosen:
        reader = _from_start(file, each) if file.compression else _from_places(file, each)
        for number, offset, data in reader:
            sample.append(Sampled(file.path, number, offset, decode_record(file.path, number, offset, data)))
            size += memory_of(sample[-1].record)
            # What earlier files left over is for the later ones, but none may use up the share of those after it.
            if size > _BYTES * (1 + chosen.index(file)) / len(chosen) and len(sample) > 1:
                break
        if len(sample) >= num_records:
            break
    if not sample:
        raise DamagedRecords(f"{listing.files[0].path}: it holds no record")
    return sample


def count_records(listing: Listing) -> tuple[int, bool]:
    """(how many records, whether that is exact): counted by headers where they are few, else by their mean size."""
    counted, counted_bytes, left = 0, 0, _COUNTED_HEADERS
    files = _spread(listing.files, len(listing.files))
    for file in _evenly(files):
        if left <= 0:
            break
        count, size = _count_file(file, left)
        counted, counted_bytes, left = counted + count, counted_bytes + size, left - count
    total = listing.total_bytes
    if counted_bytes >= total or not counted_bytes:
        return counted, True
    return round(counted * total / counted_bytes), False


def key_facts(sample: Sequence[Sampled]) -> dict[str, KeyFacts]:
    """{key: KeyFacts}, in the order of names."""
    facts: dict[str, KeyFacts] = {}
    for key in sorted({key for sampled in sample for key in sampled.record.values}):
        values = [value for s in sample if (value := s.record.values.get(key)) is not None]
        strings = [len(item) for value in values if isinstance(value, list) for item in value]
        lengths = [len(value) for value in values] or [0]
        facts[key] = KeyFacts(
            kind=" or ".join(sorted({kind_of(value) for value in values})) or "empty",
            present=len(values),
            lengths=(min(lengths), max(lengths)),
            byte_lengths=(min(strings), max(strings)) if strings else None,
            example=shown(values[0]) if values else "",
            in_steps=any(key in sampled.record.steps for sampled in sample),
        )
    return facts


def kind_of(value: example.Value) -> str:
    return "bytes" if isinstance(value, list) else "int64" if value.dtype.kind == "i" else "float"


def shown(value: example.Value, limit: int = 40) -> str:
    """A value in a few printable characters."""
    if isinstance(value, np.ndarray):
        numbers = ", ".join(f"{number:g}" for number in value.ravel()[:6].tolist())
        return numbers + (", ..." if value.size > 6 else "")
    items = []
    for item in value[:6]:
        try:
            text = item[:limit].decode("utf-8")
        except UnicodeDecodeError:
            text = ""
        if text.isprintable() and (text or not item):
            items.append(repr(text) + ("..." if len(item) > limit else ""))
        else:
            items.append(f"{item[:8].hex(' ')}" + (" ..." if len(item) > 8 else ""))
    return ", ".join(items) + (", ..." if len(value) > 6 else "")


def memory_of(record: example.Record) -> int:
    """About how many bytes the values of a record take."""
    size = 0
    for value in record.values.values():
        if isinstance(value, list):
            # About what Python needs for a bytes object and its place in the list.
            size += sum(map(len, value)) + 60 * len(value)
        elif value is not None:
            size += value.nbytes
    return size


def decode_record(path: str, number: int | None, offset: int, data: bytes) -> example.Record:
    """The Record of these bytes; DamagedRecords where they are not an Example."""
    try:
        return example.read(data)
    except ValueError as error:
        which = "a record" if number is None else f"record {number}"
        raise DamagedRecords(
            f"{path}: {which} at byte {offset}: it is neither an Example nor a SequenceExample ({error})"
        ) from None


def _spread(files: Sequence[RecordFile], limit: int) -> list[RecordFile]:
    """Files from all over the list, the first and the last among them."""
    if len(files) <= limit:
        return list(files)
    return [files[number * (len(files) - 1) // (limit - 1)] for number in range(limit)]


def _evenly(files: Sequence[RecordFile]) -> Iterator[RecordFile]:
    """The first, the last, the middle ...: a count that is broken off has seen all parts of the list."""
    done: set[int] = set()
    step = len(files)
    while step:
        for number in range(0, len(files), step):
            if number not in done:
                done.add(number)
                yield files[number]
        step //= 2  # 0 after 1, which ends the loop: all numbers have been given by then


def _from_start(file: RecordFile, count: int) -> Iterator[tuple[int | None, int, bytes]]:
    unpacked = 0
    for number, (offset, data) in enumerate(read_records(file.path, MAX_RECORD)):
        yield number, offset, data
        unpacked += len(data)
        if number + 1 >= count or unpacked > _UNPACKED:
            return


def _from_places(file: RecordFile, count: int) -> Iterator[tuple[int | None, int, bytes]]:
    """Records in a row from several places of a plain file."""
    with open(file.path, "rb") as opened:
        size = os.fstat(opened.fileno()).st_size
        each = -(-count // _PLACES)
        end = given = 0
        number: int | None = 0
        for place in range(_PLACES):
            start = max(end, size * place // _PLACES)
            if place and start > end:
                found = next_record(opened, size, start)
                if found is None:
                    continue
                start, number = found, None
            for _ in range(each):
                if start >= size or given >= count:
                    return
                data = read_record_at(file.path, opened, start, MAX_RECORD, number)
                yield number, start, data
                given += 1
                start += OVERHEAD + len(data)
                number = None if number is None else number + 1
            end = start


def _count_file(file: RecordFile, limit: int) -> tuple[int, int]:
    """(records, bytes of the file that they took); DamagedRecords where a file that is counted whole ends wrongly."""
    count = end = 0
    with open(file.path, "rb") as opened:
        if file.compression:
            for offset, _ in read_open_records(file.path, opened, MAX_RECORD):
                count += 1
                if offset > _UNPACKED or count >= limit:
                    # How far into the packed file, which gunzip has read a little ahead: enough for an estimate.
                    return count, opened.tell()
            return count, file.size
        for offset, length in record_offsets(opened, file.size):
            count += 1
            end = offset + OVERHEAD + length
            if count >= limit:
                return count, end
        # Read only to raise the error of what stands there instead of a record.
        if end < file.size:
            read_record_at(file.path, opened, end, MAX_RECORD, count)
    return count, file.size
