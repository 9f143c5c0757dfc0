"""Images with notes of a camera that Pillow stumbles over when it reads or changes them."""

import struct
import zlib

_ONE, _TWO = b"MM\0*\0\0\0\x08\0\x01", b"MM\0*\0\0\0\x08\0\x02"  # so many entries follow
_END = b"\0\0\0\0"


def _entry(tag: int, kind: int, count: int, value: bytes) -> bytes:
    return struct.pack(">HHI", tag, kind, count) + value.ljust(4, b"\0")


_TURNED = _entry(0x0112, 3, 1, b"\0\6")  # a quarter turn
NOTES = {
    "no header": b"garbage-garbage",
    "a text": _ONE + _entry(0x0112, 2, 2, b"6") + _END,
    "unknown": _ONE + _entry(0x0112, 3, 1, b"\0c") + _END,
    "turned, with a width that is a text": _TWO + _entry(0x0100, 2, 2, b"x") + _TURNED + _END,
    "turned": _ONE + _TURNED + _END,
    "cut short": _ONE,
}


def with_note(png: bytes, note: bytes) -> bytes:
    """The PNG with this EXIF note."""
    start = 8 + 25  # after the signature and the first chunk
    chunk = b"eXIf" + note
    return png[:start] + struct.pack(">I", len(note)) + chunk + struct.pack(">I", zlib.crc32(chunk)) + png[start:]
