"""The framing of a TFRecord file, written and checked byte by byte.

TensorFlow's own reader passes over some truncations without a word, names no file, and can be crashed by a forged
length; its writer costs the import of TensorFlow in each worker process. A record is: length (u64), masked CRC-32C
of the length (u32), data, masked CRC-32C of the data (u32), all little-endian.
"""

import gzip
import os
import struct
import zlib

import google_crc32c

from records.errors import DamagedRecords

_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")
OVERHEAD = _HEADER.size + _FOOTER.size
GZIP_MAGIC = b"\x1f\x8b"


def masked_crc(data):
    crc = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def frame(data):
    """The bytes of one record."""
    length = len(data).to_bytes(8, "little")
    return b"".join((length, _FOOTER.pack(masked_crc(length)), data, _FOOTER.pack(masked_crc(data))))


def read_records(path):
    """Yields (offset, data) for each record of a plain or gzip file; raises DamagedRecords at the first bad byte.

    Offsets in a gzip file count the bytes after decompression.
    """
    with open(path, "rb") as file:
        compressed = file.read(2) == GZIP_MAGIC
        file.seek(0)
        if not compressed:
            yield from _read_frames(path, file, os.fstat(file.fileno()).st_size)
            return
        with gzip.GzipFile(fileobj=file) as plain:
            yield from _read_frames(path, plain, None)


def _read_frames(path, file, size):
    """`size` is the number of bytes in `file` where that is known: no more is ever asked for than there can be."""
    offset = number = 0
    while True:
        where = f"{path}: record {number} at byte {offset}"
        header = _read(where, file, _HEADER.size)
        if not header:
            return
        if len(header) < _HEADER.size:
            raise DamagedRecords(f"{where}: the file ends inside the record's header (truncated)")
        length, length_crc = _HEADER.unpack(header)
        if masked_crc(header[:8]) != length_crc:
            raise DamagedRecords(f"{where}: the checksum of the record's length is wrong")
        if size is not None and offset + OVERHEAD + length > size:
            raise DamagedRecords(
                f"{where}: the record claims {length} bytes and {max(0, size - offset - OVERHEAD)} are left (truncated)"
            )
        data = _read_exactly(where, file, length)
        footer = _read(where, file, _FOOTER.size)
        if len(footer) < _FOOTER.size:
            raise DamagedRecords(f"{where}: the file ends inside the record (truncated)")
        if masked_crc(data) != _FOOTER.unpack(footer)[0]:
            raise DamagedRecords(f"{where}: the checksum of the record's data is wrong")
        yield offset, data
        offset += OVERHEAD + length
        number += 1


def _read_exactly(where, file, length, chunk=1 << 24):
    """In chunks, so that a forged length cannot claim more memory than the file can fill."""
    if length <= chunk:
        data = _read(where, file, length)
    else:
        parts = []
        while length > sum(map(len, parts)):
            part = _read(where, file, min(chunk, length - sum(map(len, parts))))
            if not part:
                break
            parts.append(part)
        data = b"".join(parts)
    if len(data) < length:
        raise DamagedRecords(f"{where}: the record claims {length} bytes and {len(data)} are left (truncated)")
    return data


def _read(where, file, length):
    try:
        return file.read(length)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DamagedRecords(f"{where}: the gzip stream is damaged ({error})") from error
