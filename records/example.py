"""tf.train.Example as bytes: encoded and decoded without TensorFlow.

Example{1: Features{1: map<string, Feature>}}, Feature{1: BytesList | 2: FloatList | 3: Int64List}, each list with its
values in field 1. Features are written in the order given, so equal input gives equal bytes in every process (the
protobuf library's default order differs from process to process).
"""

import struct

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def encode(features):
    """The serialized Example of {key: bytes}."""
    entries = []
    for key, value in features.items():
        feature = _field(1, _field(1, value))
        entries.append(_field(1, _field(1, key.encode("utf-8")) + _field(2, feature)))
    return _field(1, b"".join(entries))


def decode(data):
    """{key: list of bytes, floats or ints} of a serialized Example; ValueError where it is none."""
    features = {}
    for number, block in _fields(memoryview(data)):
        if number != 1:
            continue
        for entry_number, entry in _fields(_message(block)):
            if entry_number == 1:
                key, feature = b"", b""
                for field_number, value in _fields(_message(entry)):
                    if field_number == 1:
                        key = bytes(_message(value))
                    elif field_number == 2:
                        feature = _message(value)
                features[key.decode("utf-8")] = _feature(feature)
    return features


def _field(number, payload):
    return bytes((number << 3 | _BYTES,)) + _varint(len(payload)) + payload


def _varint(value):
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _feature(data):
    values = []
    for kind, block in _fields(data):
        values = [_value(kind, item) for item in _items(kind, _message(block))]
    return values


def _items(kind, data):
    """The entries of a list, packed or not, as the wire has them."""
    for number, item in _fields(data):
        if number != 1:
            continue
        if kind == 2 and isinstance(item, memoryview) and len(item) != 4:
            if len(item) % 4:
                raise ValueError("a list of floats is cut")
            for start in range(0, len(item), 4):
                yield item[start : start + 4]
        elif kind == 3 and isinstance(item, memoryview):
            position = 0
            while position < len(item):
                value, position = _read_varint(item, position)
                yield value
        else:
            yield item


def _value(kind, item):
    if kind == 1:
        return bytes(_message(item))
    if kind == 2:
        return struct.unpack("<f", _message(item))[0]
    if kind == 3:
        if isinstance(item, memoryview):
            raise ValueError("an integer list holds something else")
        return item - 2**64 if item >= 2**63 else item
    raise ValueError(f"a feature has the unknown kind {kind}")


def _message(value):
    if not isinstance(value, memoryview):
        raise ValueError("a number stands where a message was expected")
    return value


def _fields(data):
    """[(field number, int or memoryview)] of a message."""
    fields = []
    position, end = 0, len(data)
    while position < end:
        tag, position = _read_varint(data, position)
        wire = tag & 7
        if wire == _BYTES:
            length, position = _read_varint(data, position)
        elif wire == _VARINT:
            value, position = _read_varint(data, position)
            fields.append((tag >> 3, value))
            continue
        elif wire == _FIXED64:
            length = 8
        elif wire == _FIXED32:
            length = 4
        else:
            raise ValueError(f"a field has the unknown wire type {wire}")
        if position + length > end:
            raise ValueError("a field claims more bytes than there are")
        fields.append((tag >> 3, data[position : position + length]))
        position += length
    return fields


def _read_varint(data, position):
    try:
        value = data[position]
        if value < 0x80:
            return value, position + 1
        value &= 0x7F
        for shift in range(7, 64, 7):
            position += 1
            byte = data[position]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, position + 1
    except IndexError:
        raise ValueError("a number is cut") from None
    raise ValueError("a number is too long")
