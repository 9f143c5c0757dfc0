"""tf.train.Example and SequenceExample as bytes: encoded and decoded without TensorFlow.

Example{1: Features{1: map<string, Feature>}}, Feature{1: BytesList | 2: FloatList | 3: Int64List}, each list with its
values in field 1. Features are written in the order given, so equal input gives equal bytes in every process (the
protobuf library's default order differs from process to process).

`decode` reads what this project writes. `read` takes the records of strangers: numbers come as arrays, and every list
is bounded before it is unpacked. SequenceExample{1: context Features, 2: FeatureLists}, where FeatureLists has in field
1 a map<string, FeatureList{1: Feature}>.
"""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from records.errors import quoted

# Of one record of a stranger: far above what an image with its label takes, and low enough that forged counts cannot
# fill the memory.
MAX_KEYS = 1024
MAX_KEY_LENGTH = 1024
MAX_VALUES = 1 << 22
MAX_STRINGS = 1 << 16
MAX_UNPACKED = 1 << 19  # each passes through Python by itself

# The wire types of protocol buffers. 3 and 4, the long deprecated groups, are in no Example.
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
Array = npt.NDArray[Any]
Value = list[bytes] | Array

# Looked up instead of built: a picture stored as one-byte strings has one for each pixel.
_ONE_BYTE = [bytes((value,)) for value in range(256)]


def encode(features: dict[str, bytes]) -> bytes:
    """The serialized Example of {key: bytes}."""
    parts: list[bytes] = []
    size = 0
    for key, value in features.items():
        # From the inside out, and joined once: an image in five messages would be copied five times.
        string = _head(1, len(value))
        strings = _head(1, len(string) + len(value))
        feature = _head(2, len(strings) + len(string) + len(value))
        name = _name(key)
        entry_size = len(name) + len(feature) + len(strings) + len(string) + len(value)
        entry = _head(1, entry_size)
        parts += (entry, name, feature, strings, string, value)
        size += len(entry) + entry_size
    return b"".join((_head(1, size), *parts))


def decode(data: bytes) -> dict[str, bytes]:
    """{key: bytes} of an Example that has one string of bytes for each key; ValueError of anything else."""
    features: dict[str, bytes] = {}
    try:
        position, end = _payload(data, 1, 0)
        if end != len(data):
            raise ValueError("something follows after its features")
        while position < end:
            position, entry_end = _payload(data, 1, position)
            position, key_end = _payload(data, 1, position)
            key = data[position:key_end].decode("utf-8")
            position, feature_end = _payload(data, 2, key_end)
            position, list_end = _payload(data, 1, position)
            position, value_end = _payload(data, 1, position)
            if not value_end == list_end == feature_end == entry_end <= end:
                raise ValueError(f"{key!r} is not one string of bytes")
            features[key] = data[position:value_end]
            position = value_end
    except IndexError:
        raise ValueError("it is cut") from None
    return features


@dataclasses.dataclass(frozen=True)
class Record:
    """A record of any project: {key: list of bytes, array of int64 or float32, or None where the feature is empty}.

    The keys of `steps` are those of a SequenceExample's feature lists, whose steps are joined end to end in `values`;
    {key: the number of values of each step}.
    """

    values: dict[str, Value | None]
    steps: dict[str, list[int]]
    is_sequence: bool


def read(data: bytes) -> Record:
    """The Record that the bytes of an Example or SequenceExample are; ValueError where they are neither."""
    values: dict[str, Value | None] = {}
    steps: dict[str, list[int]] = {}
    is_sequence = False
    for number, block in walk(memoryview(data)):
        if number == 1:
            for key, feature in _entries(block):
                _add(values, key, _values(feature))
        elif number == 2:
            is_sequence = True
            for key, features in _entries(block):
                parts = _steps(features)
                _add(values, key, _joined(parts))
                steps[key] = [0 if part is None else len(part) for part in parts]
        else:
            # Bytes that are not an Example at all often happen to parse as a message, but with other fields.
            raise ValueError(f"it has the unknown field {number}")
    return Record(values, steps, is_sequence)


def _add(values: dict[str, Value | None], key: str, value: Value | None) -> None:
    if key in values:
        raise ValueError(f"the key {quoted(key)} is in it twice")
    values[key] = value
    count = sum(len(other) for other in values.values() if other is not None)
    if len(values) > MAX_KEYS or count > 2 * MAX_VALUES:
        raise ValueError(f"it has more than {MAX_KEYS:,} keys or {2 * MAX_VALUES:,} values")


def _entries(block: int | memoryview) -> Iterator[tuple[str, memoryview]]:
    """(key, message) of each entry of a map from strings to messages."""
    for number, entry in walk(_message(block)):
        if number != 1:
            raise ValueError(f"a map has the unknown field {number}")
        key, message = b"", memoryview(b"")
        for field, value in walk(_message(entry)):
            if field == 1:
                key = bytes(_message(value))
            elif field == 2:
                message = _message(value)
        if len(key) > MAX_KEY_LENGTH:
            raise ValueError(f"the name of a key has {len(key):,} bytes; more than {MAX_KEY_LENGTH:,} are not read")
        yield key.decode("utf-8"), message


def _values(feature: memoryview) -> Value | None:
    """The values of a Feature."""
    kind: int | None = None
    values: Value | None = None
    for number, block in walk(feature):
        if kind is not None:
            raise ValueError("a feature holds two lists")
        kind = number
        if kind == 1:
            values = _strings(_message(block))
        elif kind in (2, 3):
            values = _numbers(_message(block), kind)
        else:
            raise ValueError(f"a feature has the unknown kind {kind}")
    return values if values is not None and len(values) else None


def _strings(block: memoryview) -> list[bytes]:
    """A list of strings. One-byte strings, three bytes each here, may be as many as the pixels of an image."""
    # 0x0A is the tag of field 1 with a length, 1 is that length.
    if len(block) > 3 * 16 and len(block) % 3 == 0:
        raw = np.frombuffer(block, np.uint8)
        if len(raw) <= 3 * MAX_VALUES and (raw[::3] == 0x0A).all() and (raw[1::3] == 1).all():
            return [_ONE_BYTE[value] for value in raw[2::3].tolist()]
    values = []
    for number, value in walk(block):
        if number == 1:
            values.append(bytes(_message(value)))
        if len(values) > MAX_STRINGS:
            raise ValueError(f"a list has more than {MAX_STRINGS:,} strings")
    return values


def _numbers(block: memoryview, kind: int) -> Array | None:
    """Floats (kind 2) or integers (kind 3), packed or one by one."""
    parts: list[Array] = []
    joined: list[Array] = []
    count = unpacked = 0
    for number, value in walk(block):
        if number != 1:
            raise ValueError(f"a list of numbers has the unknown field {number}")
        if isinstance(value, int):
            unpacked += 1
            if unpacked > MAX_UNPACKED:
                raise ValueError(f"a list has more than {MAX_UNPACKED:,} numbers that are not packed")
            # A float that is not packed comes as four bytes (FIXED32), never as a varint.
            if kind == 2:
                raise ValueError("a list of floats holds something else")
            # Negative integers are written as 64 bits in two's complement.
            numbers: Array = np.array([value], np.uint64).view(np.int64)
        else:
            numbers = _packed_floats(value) if kind == 2 else packed_integers(value)
        count += len(numbers)
        if count > MAX_VALUES or len(parts) > MAX_STRINGS:
            raise ValueError(f"a list has more than {MAX_VALUES:,} numbers")
        parts.append(numbers)
        if len(parts) == 4096:
            # Joined now and then: an array for each single number would take a hundred bytes.
            joined, parts = [*joined, np.concatenate(parts)], []
    return np.concatenate([*joined, *parts]) if count else None


def _packed_floats(block: memoryview) -> Array:
    if len(block) % 4 or len(block) > 4 * MAX_VALUES:
        raise ValueError("a list of floats is cut or too long")
    return np.frombuffer(block, "<f4").copy()  # a view would keep the whole record in memory


def packed_integers(block: memoryview) -> Array:
    """The int64 values of packed varints, all at once."""
    raw = np.frombuffer(block, np.uint8)
    # 64 bits in groups of seven take ten bytes. Only the last byte of a number is below 0x80.
    if len(raw) > 10 * MAX_VALUES or np.count_nonzero(raw < 0x80) > MAX_VALUES:
        raise ValueError(f"a list has more than {MAX_VALUES:,} numbers")
    ends = np.flatnonzero(raw < 0x80)
    # All below 128, as ids of characters are: nothing to put together.
    if len(ends) == len(raw):
        return raw.astype(np.int64)
    if not len(ends) or ends[-1] != len(raw) - 1:
        raise ValueError("a number is cut")
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts + 1
    if lengths.max() > 10:
        raise ValueError("a number is too long")
    values = np.zeros(len(ends), np.uint64)
    # Seven bits of every number at a time, the lowest first.
    for place in range(lengths.max()):
        longer = lengths > place
        bits = (raw[starts[longer] + place] & 0x7F).astype(np.uint64)
        values[longer] |= bits << np.uint64(7 * place)
    return values.view(np.int64)


def _steps(features: memoryview) -> list[Value | None]:
    """The values of each step of a feature list."""
    parts: list[Value | None] = []
    count = 0
    for number, part in walk(features):
        if number != 1:
            raise ValueError(f"a feature list has the unknown field {number}")
        values = _values(_message(part))
        parts.append(values)
        count += 0 if values is None else len(values)
        if len(parts) > MAX_STRINGS or count > MAX_VALUES:
            raise ValueError(f"a feature list has more than {MAX_STRINGS:,} steps or {MAX_VALUES:,} values")
    return parts


def _joined(parts: list[Value | None]) -> Value | None:
    """The values of a feature list's steps as one list."""
    filled = [part for part in parts if part is not None]
    arrays = [part for part in filled if isinstance(part, np.ndarray)]
    if not filled:
        return None
    if not arrays:
        return [value for part in filled for value in part]
    if len(arrays) < len(filled) or len({array.dtype.kind for array in arrays}) > 1:
        raise ValueError("the steps of a feature list are of different kinds")
    return np.concatenate(arrays)


@functools.lru_cache(1 << 12)
def _head(number: int, size: int) -> bytes:
    """What comes before the `size` bytes of a field."""
    return _ONE_BYTE[_tag(number)] + _varint(size)


@functools.lru_cache(1 << 8)
def _name(key: str) -> bytes:
    encoded = key.encode("utf-8")
    return _head(1, len(encoded)) + encoded


def _payload(data: bytes, number: int, position: int) -> tuple[int, int]:
    """(start, end) of what the field `number` holds that begins at `position`; the end is within the data."""
    if data[position] != _tag(number):
        raise ValueError(f"at byte {position} it has another field than an Example of strings")
    length, start = _read_varint(data, position + 1)
    if start + length > len(data):
        raise ValueError("a field claims more bytes than there are")
    return start, start + length


def _tag(number: int) -> int:
    # One byte, because all field numbers here are below 16.
    return number << 3 | _BYTES


def _varint(value: int) -> bytes:
    if value <= 0x7F:
        return _ONE_BYTE[value]
    if value <= 0x3FFF:  # most images
        return bytes((value & 0x7F | 0x80, value >> 7))
    return bytes((value & 0x7F | 0x80,)) + _varint(value >> 7)


def _message(value: int | memoryview) -> memoryview:
    if not isinstance(value, memoryview):
        raise ValueError("a number stands where a message was expected")
    return value


def walk(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yields (field number, int or memoryview) of a message."""
    position, end = 0, len(data)
    while position < end:
        tag, position = _read_varint(data, position)
        wire = tag & 7
        if wire == _BYTES:
            length, position = _read_varint(data, position)
        elif wire == _VARINT:
            value, position = _read_varint(data, position)
            yield tag >> 3, value
            continue
        elif wire == _FIXED64:
            length = 8
        elif wire == _FIXED32:
            length = 4
        else:
            raise ValueError(f"a field has the unknown wire type {wire}")
        if position + length > end:
            raise ValueError("a field claims more bytes than there are")
        yield tag >> 3, data[position : position + length]
        position += length


def _read_varint(data: bytes | memoryview, position: int) -> tuple[int, int]:
    try:
        value = data[position]
        if value < 0x80:
            return value, position + 1
        value &= 0x7F
        for shift in range(7, 64, 7):  # ten bytes in all; eleven are not a 64-bit number
            position += 1
            byte = data[position]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, position + 1
    except IndexError:
        raise ValueError("a number is cut") from None
    raise ValueError("a number is too long")
