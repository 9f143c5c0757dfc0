"""The framing of a TFRecord file, written and checked byte by byte.

TensorFlow's own reader misses some truncations, names no file, and can be crashed by a forged length; its writer costs
the import of TensorFlow in each worker process. A record is: length (u64), masked CRC-32C
of the length (u32), data, masked CRC-32C of the data (u32), all little-endian.
"""

import gzip
import os
import re
import struct
import zlib
from collections.abc import Iterator
from typing import IO, Protocol

import google_crc32c

from records.atomic import AnyPath
from records.errors import DamagedRecords

_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")
OVERHEAD = _HEADER.size + _FOOTER.size
GZIP_MAGIC = b"\x1f\x8b"
# A length below 4 GiB: the upper half of its eight bytes is zero.
_SMALL_LENGTH = re.compile(rb"(?=.{4}\0{4}.{4})", re.DOTALL)


class _Readable(Protocol):
    def read(self, length: int, /) -> bytes: ...


def masked_crc(data: bytes) -> int:
    """CRC-32C, turned by 15 bits and shifted by a constant: the format guards against checksums of checksums."""
    crc: int = google_crc32c.value(data)
    # The constant is LevelDB's kMaskDelta, which TensorFlow took over with the masking.
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def frame(data: bytes) -> bytes:
    """The bytes of one record."""
    length = len(data).to_bytes(8, "little")
    return b"".join((length, _FOOTER.pack(masked_crc(length)), data, _FOOTER.pack(masked_crc(data))))


def read_records(path: AnyPath, limit: int | None = None) -> Iterator[tuple[int, bytes]]:
    """Yields (offset, data) for each record of a plain, gzip or zlib file; raises DamagedRecords at the first bad byte.

    Offsets in a compressed file count the bytes after decompression. `limit` is the most bytes that a record may have.
    """
    with open(path, "rb") as file:
        yield from read_open_records(path, file, limit)


def read_open_records(path: AnyPath, file: IO[bytes], limit: int | None = None) -> Iterator[tuple[int, bytes]]:
    """The same of a file that is open, so that the caller can tell how far into it the reading is."""
    compression = compression_of(file)
    if not compression:
        yield from _read_frames(path, file, os.fstat(file.fileno()).st_size, limit)
    elif compression == "gzip":
        with gzip.GzipFile(fileobj=file) as plain:
            yield from _read_frames(path, plain, None, limit)
    else:
        yield from _read_frames(path, _ZlibFile(file), None, limit)


def read_record_at(
    path: AnyPath, file: IO[bytes], offset: int, limit: int | None = None, number: int | None = None
) -> bytes:
    """The data of the record that begins at `offset` of a plain file that is open; its number is for messages."""
    file.seek(offset)
    size = os.fstat(file.fileno()).st_size
    for _, data in _read_frames(path, file, size, limit, offset, number):
        return data
    raise DamagedRecords(f"{path}: at byte {offset}: the file has become shorter")


def compression_of(file: IO[bytes]) -> str:
    """ "", "gzip" or "zlib", by the content of an open file, which is left at its beginning.

    A length whose checksum is right comes first: a record of 35,615 bytes begins like a gzip file.
    """
    head = file.read(_HEADER.size)
    file.seek(0)
    if is_header(head):
        return ""
    if head[:2] == GZIP_MAGIC:
        return "gzip"
    # RFC 1950: method 8 (deflate), a window of up to 32 kB, and two bytes that divide by 31. 0x20 is the flag of a
    # preset dictionary, which nothing could be unpacked without.
    is_zlib = len(head) > 2 and head[0] & 0x8F == 8 and int.from_bytes(head[:2], "big") % 31 == 0
    return "zlib" if is_zlib and not head[1] & 0x20 else ""


def is_header(head: bytes) -> bool:
    """Whether these bytes begin a record."""
    return len(head) >= _HEADER.size and masked_crc(head[:8]) == _FOOTER.unpack_from(head, 8)[0]


def record_offsets(file: IO[bytes], size: int, start: int = 0) -> Iterator[tuple[int, int]]:
    """Yields (offset, length) of each record from `start` on, by the headers alone; ends where one is not right."""
    while start + OVERHEAD <= size:
        file.seek(start)
        head = file.read(_HEADER.size)
        # With `size` as the length of a wrong header, the next line ends the search.
        length = _HEADER.unpack(head)[0] if is_header(head) else size
        if start + OVERHEAD + length > size:
            return
        yield start, length
        start += OVERHEAD + length


def next_record(file: IO[bytes], size: int, start: int, span: int = 1 << 20) -> int | None:
    """Where the first record at or after `start` of a plain file begins; None where none does within `span` bytes."""
    file.seek(start)
    window = file.read(span)
    # The expression leaves few places to the checksum, which takes far longer in Python than the search.
    for place in re.finditer(_SMALL_LENGTH, window):
        offset = place.start()
        length = int.from_bytes(window[offset : offset + 8], "little")
        if start + offset + OVERHEAD + length <= size and is_header(window[offset : offset + _HEADER.size]):
            return start + offset
    return None


def _read_frames(
    path: AnyPath,
    file: _Readable,
    size: int | None,
    limit: int | None = None,
    offset: int = 0,
    number: int | None = 0,
) -> Iterator[tuple[int, bytes]]:
    """`size` is the number of bytes in `file` where that is known: no more is ever asked for than there can be."""
    while True:
        where = f"{path}: {'a record' if number is None else f'record {number}'} at byte {offset}"
        header = _read(where, file, _HEADER.size)
        if not header:
            return
        if len(header) < _HEADER.size:
            raise DamagedRecords(f"{where}: the file ends inside the record's header (truncated)")
        length, length_crc = _HEADER.unpack(header)
        if masked_crc(header[:8]) != length_crc:
            raise DamagedRecords(f"{where}: the checksum of the record's length is wrong")
        # A header with a valid checksum may still claim 2^40 bytes, at which TensorFlow's own reader crashes. In packed
        # files, whose size is not known here, _read_exactly stops at the end of what is really there.
        if size is not None and offset + OVERHEAD + length > size:
            raise DamagedRecords(
                f"{where}: the record claims {length} bytes and {max(0, size - offset - OVERHEAD)} are left (truncated)"
            )
        if limit is not None and length > limit:
            raise DamagedRecords(f"{where}: the record claims {length:,} bytes; more than {limit:,} are not read")
        data = _read_exactly(where, file, length)
        footer = _read(where, file, _FOOTER.size)
        if len(footer) < _FOOTER.size:
            raise DamagedRecords(f"{where}: the file ends inside the record (truncated)")
        if masked_crc(data) != _FOOTER.unpack(footer)[0]:
            raise DamagedRecords(f"{where}: the checksum of the record's data is wrong")
        yield offset, data
        offset += OVERHEAD + length
        number = None if number is None else number + 1


def _read_exactly(where: str, file: _Readable, length: int, chunk: int = 1 << 24) -> bytes:
    """In chunks, so that a forged length cannot claim more memory than the file can fill."""
    if length <= chunk:
        data = _read(where, file, length)
    else:
        collected = bytearray()
        while len(collected) < length:
            part = _read(where, file, min(chunk, length - len(collected)))
            if not part:
                break
            collected += part
        data = bytes(collected)
    if len(data) < length:
        raise DamagedRecords(f"{where}: the record claims {length} bytes and {len(data)} are left (truncated)")
    return data


def _read(where: str, file: _Readable, length: int) -> bytes:
    try:
        return file.read(length)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        kind = "zlib" if isinstance(file, _ZlibFile) else "gzip"
        raise DamagedRecords(f"{where}: the {kind} stream is damaged ({error})") from error


class _ZlibFile:
    """A zlib stream to read from: never more of it is unpacked than was asked for."""

    def __init__(self, file: IO[bytes], chunk: int = 1 << 16) -> None:
        self._file = file
        self._chunk = chunk
        self._stream = zlib.decompressobj()

    def read(self, length: int, /) -> bytes:
        data = bytearray()
        while len(data) < length and not self._stream.eof:
            packed = self._stream.unconsumed_tail or self._file.read(self._chunk)
            data += self._stream.decompress(packed, length - len(data))
            if not packed and not self._stream.eof:
                raise EOFError("it ends before its end was marked")
        # TensorFlow writes one stream. Whatever follows it would be lost without a word.
        if self._stream.eof and (self._stream.unused_data or self._file.read(1)):
            raise zlib.error("other bytes follow its end")
        return bytes(data)
