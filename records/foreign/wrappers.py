"""What strangers wrap pixels and labels in before they put them into a feature, and the way back.

    unwrap([b"iVBORw0KGgo..."], ("base64",))    # [b"\\x89PNG..."]
    unwrap([serialized], ("tensor",))           # an array with its shape, or a list of strings

A value is a list of bytes or an array of numbers. A wrapper is recognised only where every sample fits it whole.
"""

import base64
import binascii
import re
import zlib

import numpy as np

from records.tfrecord import example

MAX_BYTES = 1 << 27
MAX_WRAPPERS = 3
_LEAST_BYTES = 64

_BASE64 = re.compile(rb"[A-Za-z0-9+/_\-\r\n]+={0,2}\s*")
_HEX = re.compile(rb"[0-9a-fA-F]+")
_DATA_URL = re.compile(rb"data:[\w/+.\-]{1,64};base64,")
_NPY = re.compile(
    rb"\s*\{'descr': '([<>|=]?[a-zA-Z]\d{1,2})', 'fortran_order': (True|False), 'shape': \(([\d, ]*)\),? ?\}\s*"
)
_NPY_MAGIC = b"\x93NUMPY"
_TENSOR_TYPES = {
    1: "<f4", 2: "<f8", 3: "<i4", 4: "u1", 5: "<i2", 6: "i1", 9: "<i8", 10: "?", 17: "<u2", 19: "<f2", 22: "<u4",
    23: "<u8",
}  # fmt: skip
_STRING = 7
_VALUE_FIELDS = {5: "<f4", 6: "<f8", 7: "int", 10: "int", 11: "int", 16: "int", 17: "int"}


def unwrap(value, wrappers):
    """The value inside; ValueError where it is not wrapped so."""
    for name in wrappers:
        value = WRAPPERS[name](value)
    return value


def wrappers_of(values):
    """The wrappers that every one of the sampled values has on, outermost first."""
    found = []
    while len(found) < MAX_WRAPPERS:
        for name, opened in WRAPPERS.items():
            if _suspected(name, values):
                try:
                    values = [opened(value) for value in values]
                except ValueError:
                    continue
                found.append(name)
                break
        else:
            break
    return tuple(found)


def single(value):
    """The bytes of a value that is one string."""
    if not isinstance(value, list) or len(value) != 1:
        raise ValueError(f"it is {describe(value)} where one string belongs")
    return value[0]


def describe(value):
    if value is None:
        return "empty"
    if isinstance(value, list):
        return f"a list of {len(value)} strings" if len(value) != 1 else f"a string of {len(value[0])} bytes"
    kind = {"i": "integers", "u": "integers", "f": "floats", "b": "truth values"}.get(value.dtype.kind, "numbers")
    return f"a list of {value.size} {kind}"


def _suspected(name, values):
    """A cheap look that keeps ordinary strings from being taken for wrapped ones."""
    if name == "joined":
        return all(
            isinstance(value, list) and len(value) >= _LEAST_BYTES and all(len(item) == 1 for item in value)
            for value in values
        )
    data = [value[0] for value in values if isinstance(value, list) and len(value) == 1]
    if not values or len(data) < len(values):
        return False
    if name == "npy":
        return all(item.startswith(_NPY_MAGIC) for item in data)
    if name == "tensor":
        return all(item[:1] == b"\x08" and len(item) >= 4 for item in data)
    if name == "zlib":
        return all(len(item) > 8 and (item[0] & 0x8F == 8 or item[:2] == b"\x1f\x8b") for item in data)
    if all(_DATA_URL.match(item) for item in data):
        return True
    return all(len(item) >= _LEAST_BYTES and _BASE64.fullmatch(item) and not _HEX.fullmatch(item) for item in data)


def _from_base64(value):
    data = single(value)
    data = b"".join(_DATA_URL.sub(b"", data, count=1).split()).translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"=")
    try:
        return [base64.b64decode(data + b"=" * (-len(data) % 4), validate=True)]
    except binascii.Error as error:
        raise ValueError(f"it is not base64 ({error})") from None


def _from_zlib(value):
    """zlib or gzip; no more is unpacked than a record may hold."""
    stream = zlib.decompressobj(wbits=47)
    try:
        data = stream.decompress(single(value), MAX_BYTES)
    except zlib.error as error:
        raise ValueError(f"it is not packed with zlib or gzip ({error})") from None
    if not stream.eof:
        raise ValueError(f"it is cut short, or unpacks to more than {MAX_BYTES:,} bytes")
    return [data]


def _from_npy(value):
    """A file of numpy.save. Its header is matched, not evaluated."""
    data = single(value)
    if not data.startswith(_NPY_MAGIC) or len(data) < 12:
        raise ValueError("it is not a file of numpy.save")
    size, start = (2, 10) if data[6] == 1 else (4, 12)
    end = start + int.from_bytes(data[8 : 8 + size], "little")
    header = _NPY.fullmatch(data[start : min(end, start + 1024)])
    if not header or np.dtype(header[1].decode()).kind not in "iufb":
        raise ValueError("its numpy header is not one of plain numbers")
    shape = tuple(int(size) for size in header[3].replace(b" ", b"").split(b",") if size)
    return _shaped(data[end:], np.dtype(header[1].decode()), shape, "F" if header[2] == b"True" else "C")


def _from_tensor(value):
    """A serialized TensorProto: an array, or a list of strings."""
    kind, shape, content, values = None, None, None, []
    for number, field in example.walk(memoryview(single(value))):
        if number == 1 and isinstance(field, int):
            kind = field
        elif number == 2 and isinstance(field, memoryview):
            shape = _tensor_shape(field)
        elif number == 4 and isinstance(field, memoryview):
            content = bytes(field)
        elif number in _VALUE_FIELDS:
            values.append(_tensor_values(_VALUE_FIELDS[number], field))
        elif number == _STRING + 1 and isinstance(field, memoryview):
            values.append(bytes(field))
        elif number != 3:
            raise ValueError(f"a tensor has no field {number}")
    if kind == _STRING and content is None and shape is not None and len(values) == _count(shape):
        return values
    if kind not in _TENSOR_TYPES or shape is None:
        raise ValueError("it is not a serialized tensor of numbers or strings")
    if content is None:
        content = _filled(values, _TENSOR_TYPES[kind], _count(shape)).tobytes()
    return _shaped(content, np.dtype(_TENSOR_TYPES[kind]), shape, "C")


def _tensor_shape(block):
    sizes = []
    for number, dimension in example.walk(block):
        if number != 2 or not isinstance(dimension, memoryview) or len(sizes) > 8:
            raise ValueError("its tensor has no known shape")
        sizes.append(next((size for field, size in example.walk(dimension) if field == 1), 0))
    if not all(isinstance(size, int) for size in sizes):
        raise ValueError("its tensor has no known shape")
    return tuple(sizes)


def _tensor_values(kind, field):
    if isinstance(field, int):
        return np.array([field], np.uint64).view(np.int64)
    if kind == "int":
        return example.packed_integers(field)
    if len(field) % np.dtype(kind).itemsize:
        raise ValueError("a list of its tensor is cut")
    return np.frombuffer(field, kind)


def _filled(values, kind, count):
    """A tensor may leave out the end of a list of equal values."""
    if not values or not all(isinstance(value, np.ndarray) for value in values) or count * 8 > MAX_BYTES:
        raise ValueError("it is not a serialized tensor of numbers or strings")
    values = np.concatenate(values)
    if not 0 < len(values) <= max(count, 1):
        raise ValueError(f"its tensor has {len(values)} values where its shape asks for {count}")
    return np.concatenate([values, np.repeat(values[-1:], count - len(values))]).astype(kind)


def _shaped(content, kind, shape, order):
    if len(content) != _count(shape) * kind.itemsize:
        raise ValueError(
            f"it has {len(content)} bytes where its shape {shape} asks for {_count(shape) * kind.itemsize}"
        )
    return np.frombuffer(content, kind).reshape(shape, order=order)


def _count(shape):
    count = 1
    for size in shape:
        count = min(count * size, 1 << 40)
    return count


def _joined(value):
    if not isinstance(value, list) or any(len(item) != 1 for item in value):
        raise ValueError(f"it is {describe(value)}, not a list of one-byte strings")
    return [b"".join(value)]


# In the order in which they are tried.
WRAPPERS = {"joined": _joined, "npy": _from_npy, "tensor": _from_tensor, "base64": _from_base64, "zlib": _from_zlib}
