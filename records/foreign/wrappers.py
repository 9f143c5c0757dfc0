"""How other projects wrap pixels and labels before they put them into a feature, and the way back.

    unwrap([b"iVBORw0KGgo..."], ("base64",))    # [b"\\x89PNG..."]
    unwrap([serialized], ("tensor",))           # an array with its shape, or a list of strings

A value is a list of bytes or an array of numbers. A wrapper counts only where every sample fits it whole.
"""

import base64
import binascii
import re
import zlib
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from records.tfrecord import example
from records.tfrecord.example import Array, Value

MAX_BYTES = 1 << 25  # that one value may unwrap to
MAX_WRAPPERS = 3  # such as base64 of zlib of numpy.save
_MAX_PARTS = 1 << 19  # numbers or strings of a tensor that are not packed: each takes a hundred bytes of memory
_MIN_BYTES = 64  # shorter strings of letters are words, which may be base64 by accident

_BASE64 = re.compile(rb"[A-Za-z0-9+/_\-\r\n]+={0,2}\s*")
_HEX = re.compile(rb"[0-9a-fA-F]+")
_DATA_URL = re.compile(rb"data:[\w/+.\-]{1,64};base64,")
# The header is a Python literal. A strict pattern takes the place of evaluating it.
_NPY = re.compile(
    rb"\s*\{'descr': '([<>|=]?[a-zA-Z]\d{1,2})', 'fortran_order': (True|False), 'shape': \(([\d, ]*)\),? ?\}\s*"
)
_NPY_MAGIC = b"\x93NUMPY"
_PICKLE = "a pickle, which is never opened"
# A file of numpy.save that was not unwrapped has objects in it, or a header that is not one of plain numbers.
_UNREAD = {
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"P4": "a portable bitmap",
    b"P5": "a portable graymap",
    b"P6": "a portable pixmap",
    b"%PDF": "PDF",
    b"PK\x03\x04": "a zip file",
    b"qoif": "QOI",
    b"\0\0\0\x0cjP": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\x80\x02": _PICKLE,
    b"\x80\x03": _PICKLE,
    b"\x80\x04": _PICKLE,
    b"\x80\x05": _PICKLE,
    _NPY_MAGIC: "a file of numpy.save that is not one of plain numbers, which is never opened",
}
# By the number of the DataType enum of TensorFlow.
_TENSOR_TYPES = {
    1: "<f4", 2: "<f8", 3: "<i4", 4: "u1", 5: "<i2", 6: "i1", 9: "<i8", 10: "?", 17: "<u2", 19: "<f2", 22: "<u4",
    23: "<u8",
}  # fmt: skip
_STRING = 7  # DT_STRING; its values are in field 8, string_val
# The fields of a TensorProto that list values one by one, beside tensor_content.
_VALUE_FIELDS = {5: "<f4", 6: "<f8", 7: "int", 10: "int", 11: "int", 16: "int", 17: "int"}


class Budget:
    """How many bytes may still be unwrapped: one for all keys of a probe, as small records can hold gigabytes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.left = limit

    def take(self, value: Value) -> None:
        self.left -= value.nbytes if isinstance(value, np.ndarray) else sum(map(len, value)) + 60 * len(value)
        if self.left < 0:
            raise OverBudget


class OverBudget(Exception):
    """More was to be unwrapped than a probe may."""


def unwrap(value: Value, wrappers: Sequence[str]) -> Value:
    """The value inside; ValueError where it is not wrapped so."""
    for name in wrappers:
        value = WRAPPERS[name](value)
    return value


def unwrapped(values: Sequence[Value], budget: Budget) -> tuple[tuple[str, ...], list[Value]]:
    """(the wrappers that every one of the sampled values has on, outermost first; the values inside)."""
    found: list[str] = []
    inside = list(values)
    while len(found) < MAX_WRAPPERS:
        for name in WRAPPERS:
            if _suspected(name, inside):
                try:
                    inside = _all_unwrapped(inside, name, budget)
                except ValueError:
                    continue
                found.append(name)
                break
        else:
            break
    return tuple(found), inside


def _all_unwrapped(values: Sequence[Value], name: str, budget: Budget) -> list[Value]:
    found = []
    for value in values:
        found.append(WRAPPERS[name](value))
        budget.take(found[-1])
    return found


def unread_format(data: Sequence[bytes]) -> str | None:
    """What all these strings are, where that is a format that holds pixels or labels and is not read, or None."""
    for start, name in _UNREAD.items():
        if all(item.startswith(start) for item in data):
            return name
    if all(item[4:8] == b"ftyp" for item in data):  # the first box of every file of the ISO base media format
        return "AVIF, HEIC or a film"
    return None


def single(value: Value) -> bytes:
    """The bytes of a value that is one string."""
    if not isinstance(value, list) or len(value) != 1:
        raise ValueError(f"it is {describe(value)}, expected one string")
    return value[0]


def describe(value: Value | None) -> str:
    if value is None:
        return "empty"
    if isinstance(value, list):
        return f"a list of {len(value)} strings" if len(value) != 1 else f"a string of {len(value[0])} bytes"
    kind = {"i": "integers", "u": "integers", "f": "floats", "b": "truth values"}.get(value.dtype.kind, "numbers")
    return f"a list of {value.size} {kind}"


def _suspected(name: str, values: Sequence[Value]) -> bool:
    """A quick check that keeps ordinary strings from being taken for wrapped ones."""
    if name == "joined":
        return all(
            isinstance(value, list) and len(value) >= _MIN_BYTES and all(len(item) == 1 for item in value)
            for value in values
        )
    data = [value[0] for value in values if isinstance(value, list) and len(value) == 1]
    if not values or len(data) < len(values):
        return False
    if name == "npy":
        return all(item.startswith(_NPY_MAGIC) for item in data)
    if name == "tensor":
        # Field 1, the type, which every TensorProto begins with.
        return all(item[:1] == b"\x08" and len(item) >= 4 for item in data)
    if name == "zlib":
        return all(len(item) > 8 and (item[0] & 0x8F == 8 or item[:2] == b"\x1f\x8b") for item in data)
    if all(_DATA_URL.match(item) for item in data):
        return True
    # Digests in hexadecimal consist of base64's letters too.
    return all(len(item) >= _MIN_BYTES and _BASE64.fullmatch(item) and not _HEX.fullmatch(item) for item in data)


def _from_base64(value: Value) -> Value:
    data = single(value)
    # Also the alphabet for URLs, lines of 76 characters, and padding that was left out.
    data = b"".join(_DATA_URL.sub(b"", data, count=1).split()).translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"=")
    try:
        return [base64.b64decode(data + b"=" * (-len(data) % 4), validate=True)]
    except binascii.Error as error:
        raise ValueError(f"it is not base64 ({error})") from None


def _from_zlib(value: Value) -> Value:
    """zlib or gzip, up to MAX_BYTES."""
    stream = zlib.decompressobj(wbits=47)  # 15 bits of window, and 32 to recognize the headers of zlib and of gzip
    try:
        data = stream.decompress(single(value), MAX_BYTES)
    except zlib.error as error:
        raise ValueError(f"it is not packed with zlib or gzip ({error})") from None
    if not stream.eof:
        raise ValueError(f"it is cut short, or unpacks to more than {MAX_BYTES:,} bytes")
    return [data]


def _from_npy(value: Value) -> Value:
    """A file of numpy.save. Its header is matched, not evaluated."""
    data = single(value)
    if not data.startswith(_NPY_MAGIC) or len(data) < 12:
        raise ValueError("it is not a file of numpy.save")
    # Version 1 of the format has two bytes for the header's length, later ones four.
    size, start = (2, 10) if data[6] == 1 else (4, 12)
    end = start + int.from_bytes(data[8 : 8 + size], "little")
    header = _NPY.fullmatch(data[start : min(end, start + 1024)])
    kind = _plain_type(header[1].decode()) if header else None
    if not header or kind is None:
        raise ValueError("its numpy header is not one of plain numbers")
    shape = tuple(int(size) for size in header[3].replace(b" ", b"").split(b",") if size)
    return _shaped(data[end:], kind, shape, "F" if header[2] == b"True" else "C")


def _plain_type(name: str) -> "np.dtype[Any] | None":
    try:
        kind = np.dtype(name)
    except TypeError:
        return None
    return kind if kind.kind in "iufb" else None


def _from_tensor(value: Value) -> Value:
    """A serialized TensorProto: an array, or a list of strings."""
    kind: int | None = None
    shape: tuple[int, ...] | None = None
    content: bytes | None = None
    arrays: list[Array] = []
    strings: list[bytes] = []
    for number, field in example.walk(memoryview(single(value))):
        if number == 1 and isinstance(field, int):
            kind = field
        elif number == 2 and isinstance(field, memoryview):
            shape = _tensor_shape(field)
        elif number == 4 and isinstance(field, memoryview):
            content = bytes(field)
        elif number in _VALUE_FIELDS:
            arrays.append(_tensor_values(_VALUE_FIELDS[number], field))
        elif number == _STRING + 1 and isinstance(field, memoryview):
            strings.append(bytes(field))
        elif number != 3:  # the version of the format
            raise ValueError(f"a tensor has no field {number}")
        if len(arrays) + len(strings) > _MAX_PARTS:
            raise ValueError(f"a tensor has more than {_MAX_PARTS:,} values that are not packed")
    if kind == _STRING and content is None and shape is not None and len(strings) == _count(shape):
        return strings
    if kind not in _TENSOR_TYPES or shape is None:
        raise ValueError("it is not a serialized tensor of numbers or strings")
    if content is None:
        content = _filled(arrays, _TENSOR_TYPES[kind], _count(shape)).tobytes()
    return _shaped(content, np.dtype(_TENSOR_TYPES[kind]), shape, "C")


def _tensor_shape(block: memoryview) -> tuple[int, ...]:
    sizes: list[int] = []
    for number, dimension in example.walk(block):
        if number != 2 or not isinstance(dimension, memoryview) or len(sizes) > 8:
            raise ValueError("its tensor has no known shape")
        size = next((size for field, size in example.walk(dimension) if field == 1), 0)
        if not isinstance(size, int):
            raise ValueError("its tensor has no known shape")
        sizes.append(size)
    return tuple(sizes)


def _tensor_values(kind: str, field: int | memoryview) -> Array:
    if isinstance(field, int):
        return np.array([field], np.uint64).view(np.int64)
    if kind == "int":
        return example.packed_integers(field)
    if len(field) % np.dtype(kind).itemsize:
        raise ValueError("a list of its tensor is cut")
    return np.frombuffer(field, kind)


def _filled(arrays: Sequence[Array], kind: str, count: int) -> Array:
    """A tensor may leave out the end of a list of equal values."""
    if not arrays or count * 8 > MAX_BYTES:
        raise ValueError("it is not a serialized tensor of numbers or strings")
    values = np.concatenate(arrays)
    if not 0 < len(values) <= max(count, 1):
        raise ValueError(f"its tensor has {len(values)} values, its shape needs {count}")
    # As TensorFlow writes a tensor of ones: a shape, and 1 once.
    return np.concatenate([values, np.repeat(values[-1:], count - len(values))]).astype(kind)


def _shaped(content: bytes, kind: "np.dtype[Any]", shape: tuple[int, ...], order: Literal["C", "F"]) -> Array:
    if len(content) != _count(shape) * kind.itemsize:
        raise ValueError(f"it has {len(content)} bytes, its shape {shape} needs {_count(shape) * kind.itemsize}")
    return np.frombuffer(content, kind).reshape(shape, order=order)


def _count(shape: Sequence[int]) -> int:
    count = 1
    for size in shape:
        count = min(count * size, 1 << 40)  # forged sizes would make a number of any length
    return count


def _joined(value: Value) -> Value:
    if not isinstance(value, list) or any(len(item) != 1 for item in value):
        raise ValueError(f"it is {describe(value)}, not a list of one-byte strings")
    return [b"".join(value)]


# In the order in which they are tried.
WRAPPERS: dict[str, Callable[[Value], Value]] = {
    "joined": _joined,
    "npy": _from_npy,
    "tensor": _from_tensor,
    "base64": _from_base64,
    "zlib": _from_zlib,
}
