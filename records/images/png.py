"""PNG files of plain 8-bit grey or RGB, written quickly, and checked whole without making an image of them.

Checksums of all chunks, one zlib stream of just the right length, known filters: such a file decodes, and to find that
out takes half the time of decoding it.
"""

import struct
import zlib
from collections.abc import Iterator, Sequence

import numpy as np

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHUNK = struct.Struct(">I4s")
_HEADER = struct.Struct(">IIBBBBB")
_HEADER_START = len(_SIGNATURE) + _CHUNK.size
_HEADER_CHUNK = _SIGNATURE + _CHUNK.pack(_HEADER.size, b"IHDR")
_PIXELS_START = _HEADER_START + _HEADER.size + 4 + _CHUNK.size  # where they come first after the header's checksum
_CHANNELS = {0: 1, 2: 3}  # by the colour types of the PNG standard: 0 is grey, 2 is RGB
_LAST_FILTER = 4  # Paeth
_NOTES = (b"tRNS", b"eXIf")


def _chunk(kind: bytes, content: bytes) -> tuple[bytes, bytes, bytes]:
    # Over kind and content, but not the length.
    checksum = zlib.crc32(content, zlib.crc32(kind))
    return _CHUNK.pack(len(content), kind), content, checksum.to_bytes(4, "big")


_END = b"".join(_chunk(b"IEND", b""))


def encode(pixels: np.ndarray) -> bytes:
    """A PNG of uint8 [height, width] or [height, width, 3], its rows stored as they are.

    Rows of rendered codes are mostly one colour: the filters that PNG has for photographs make such files 3 % larger,
    and trying all of them for each row takes longer than the compression.
    """
    height, width = pixels.shape[:2]
    rows = np.zeros((height, 1 + pixels[0].size), np.uint8)
    rows[:, 1:] = pixels.reshape(height, -1)
    header = _HEADER.pack(width, height, 8, 0 if pixels.ndim == 2 else 2, 0, 0, 0)
    return b"".join((_SIGNATURE, *_chunk(b"IHDR", header), *_chunk(b"IDAT", zlib.compress(rows.data, 1)), _END))


def plain_shape(data: bytes) -> tuple[int, int, int] | None:
    """(height, width, channels) of a plain PNG; None of anything else, palettes and interlaced PNGs too."""
    if not data.startswith(_SIGNATURE) or len(data) < _HEADER_START + _HEADER.size or data[12:16] != b"IHDR":
        return None
    width, height, depth, color, _, _, interlaced = _HEADER.unpack_from(data, _HEADER_START)
    if depth != 8 or interlaced or color not in _CHANNELS:
        return None
    return height, width, _CHANNELS[color]


def has_notes(data: bytes) -> bool:
    """Whether a chunk says that colours are transparent or the picture is turned, or may, as the end is missing."""
    if _is_minimal(data):
        return False
    try:
        return any(kind in _NOTES for kind, _, _ in _chunks(data))
    except ValueError:
        return True


def _is_minimal(data: bytes) -> bool:
    """Whether there is nothing but a header, one chunk of pixels, and the end, as in most small files: known without
    walking through them."""
    if len(data) < _PIXELS_START or not data.startswith(_HEADER_CHUNK):
        return False
    length, kind = _CHUNK.unpack_from(data, _PIXELS_START - _CHUNK.size)
    return kind == b"IDAT" and _PIXELS_START + length + 4 + len(_END) == len(data) and data.endswith(_END)


def check(data: bytes) -> None:
    """Raises ValueError unless the pixels of the plain PNG are all there and undamaged."""
    view = memoryview(data)
    pixels = []
    for kind, start, end in _chunks(data):
        # From the kind on, four bytes before the content.
        if zlib.crc32(view[start - 4 : end]) != int.from_bytes(view[end : end + 4], "big"):
            raise ValueError(f"the checksum of its part {kind.decode('latin-1')!r} is wrong")
        if kind == b"IDAT":
            pixels.append(view[start:end])
    shape = plain_shape(data)
    if shape is None:
        raise ValueError("it is not a plain PNG")
    if _rows(shape, pixels)[:, 0].max() > _LAST_FILTER:
        raise ValueError("a row has an unknown filter")


def unfiltered_pixels(data: bytes) -> bytes | None:
    """The pixels of a plain PNG whose rows are stored as they are, as `encode` does it, in half the time that Pillow
    takes; None of any other PNG, and of a damaged one."""
    shape = plain_shape(data)
    if shape is None:
        return None
    view = memoryview(data)
    try:
        rows = _rows(shape, [view[start:end] for kind, start, end in _chunks(data) if kind == b"IDAT"])
    except ValueError:
        return None
    return None if rows[:, 0].any() else rows[:, 1:].tobytes()


def _rows(shape: tuple[int, int, int], packed: Sequence[memoryview]) -> np.ndarray:
    """[height, 1 + width * channels]: each row begins with the number of its filter."""
    height, width, channels = shape
    row = 1 + width * channels
    stream = zlib.decompressobj()
    try:
        # One byte more than belongs there shows that there is more, without unpacking all of it.
        rows = stream.decompress(b"".join(packed), height * row + 1)
    except zlib.error as error:
        raise ValueError(f"its pixels cannot be unpacked: {error}") from None
    if len(rows) != height * row or not stream.eof:
        raise ValueError(f"it has {len(rows)} bytes of pixels, expected {height * row}")
    return np.frombuffer(rows, np.uint8).reshape(height, row)


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(kind, start, end) of the content of each chunk up to the last."""
    position = len(_SIGNATURE)
    while position + _CHUNK.size + 4 <= len(data):
        length, kind = _CHUNK.unpack_from(data, position)
        start = position + _CHUNK.size
        if start + length + 4 > len(data):
            break
        yield kind, start, start + length
        if kind == b"IEND":
            return
        position = start + length + 4
    raise ValueError("it is cut short")
