"""Damaged and hostile files of records for the reader: cut, flipped, spliced, with lengths forged, packed or not.

    python -m tests.fuzz 100000         prints one line: inputs, refused, read, seconds of the slowest, memory

Every input must end as a DigitwiseError or be read; anything else is printed with the seed that makes it again.
"""

import base64
import collections
import gzip
import io
import json
import pathlib
import random
import resource
import shutil
import struct
import sys
import tempfile
import time
import warnings
import zlib

import numpy as np
from PIL import Image

from records.errors import DigitwiseError
from records.foreign.source import Entry, ForeignSource
from records.probe.probe import probe_records
from records.tfrecord import example
from records.tfrecord.framing import frame, masked_crc

_LONG = (0, 1, 127, 128, 1 << 14, 1 << 31, (1 << 32) - 1, 1 << 40, (1 << 63) - 1, (1 << 64) - 1)


def corpus():
    """{key: values} of records of some kinds, few and small; the keys of `steps` are those of a SequenceExample."""
    generator = np.random.default_rng(0)
    groups = []
    for make in (_encoded, _raw, _tensor, _numbers, _sequence, _strings, _floats, _base64):
        groups.append([make(generator, number) for number in range(6)])
    return groups


def _picture(generator):
    return np.cumsum(generator.integers(-9, 10, (12, 16)), axis=1).clip(0, 255).astype(np.uint8)


def _file(generator, kind="PNG"):
    file = io.BytesIO()
    Image.fromarray(_picture(generator)).save(file, kind)
    return file.getvalue()


def _encoded(generator, number):
    kind = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "PNG")[number]
    return {"image": [_file(generator, kind)], "text": [b"%04d" % (number * 1234)]}


def _raw(generator, number):
    return {"image": [_picture(generator).tobytes()], "height": [12], "width": [16], "label": [number, 9 - number, 3]}


def _tensor(generator, number):
    shape = _field(2, _field(2, b"\x08" + _varint(12)) + _field(2, b"\x08" + _varint(16)))
    data = b"\x08\x04" + shape + _field(4, _picture(generator).tobytes())
    return {"image": [data], "label": np.eye(10, dtype=int)[[number, 9 - number]].ravel().tolist()}


def _numbers(generator, number):
    pixels = (_picture(generator).astype(int) * 5).clip(0, 255)
    return {"pixels": pixels.ravel().tolist(), "shape": [12, 16], "text": [b"ab%d" % (number * 3)]}


def _strings(generator, number):
    values = [bytes((value,)) for value in _picture(generator).ravel().tolist()]
    return {"image": values, "rows": [12], "cols": [16], "code": [b"x%d" % (number * 7)]}


def _floats(generator, number):
    data = (_picture(generator) / np.float32(48)).astype("<f4").tobytes()
    return {"x": [data], "h": [12], "w": [16], "y": [float(number), 9.0 - number, 4.0]}


def _base64(generator, number):
    return {"image": [base64.b64encode(_file(generator))], "filename": [b"%d.png" % (number * 321)]}


def _sequence(generator, number):
    return {"image": [_file(generator)], "steps": [[number], [9 - number], [5]]}


def _message(features):
    entries = b""
    for key, values in features.items():
        if key != "steps":
            entries += _field(1, _field(1, key.encode()) + _field(2, _feature(values)))
    if "steps" not in features:
        return _field(1, entries)
    steps = b"".join(_field(1, _feature(values)) for values in features["steps"])
    return _field(1, entries) + _field(2, _field(1, _field(1, b"ids") + _field(2, steps)))


def _feature(values):
    if values and isinstance(values[0], bytes):
        return _field(1, b"".join(_field(1, value) for value in values))
    if values and isinstance(values[0], float):
        return _field(2, _field(1, np.array(values, "<f4").tobytes()))
    return _field(3, _field(1, b"".join(_varint(value % (1 << 64)) for value in values)))


def _field(number, payload):
    return bytes((number << 3 | 2,)) + _varint(len(payload)) + payload


def _varint(value):
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(encoded + bytes((value,)))


def group_of(seed, groups):
    return seed % len(groups)


def mappings_of(groups, folder):
    """How each group is read while nothing is damaged."""
    mappings = []
    for group in groups:
        (folder / "whole").write_bytes(b"".join(frame(_message(features)) for features in group))
        mappings.append(probe_records(str(folder / "whole")).mapping)
    return mappings


def hostile_file(groups, seed):
    """The bytes of input number `seed`."""
    draw = random.Random(seed)
    group = [dict(features) for features in groups[group_of(seed, groups)]]
    level = draw.random()
    if level < 0.6:
        for _ in range(draw.randint(1, 3)):
            _change_value(draw.choice(group), draw, groups)
        if draw.random() < 0.3:
            for features in group[1:]:
                features.update(group[0])
    records = [_message(features) for features in group]
    if 0.6 < level < 0.8:
        place = draw.randrange(len(records))
        records[place] = draw.choice(_CHANGES)(records[place], draw, groups)
    data = b"".join(map(frame, records))
    if level > 0.8:
        data = draw.choice(_CHANGES)(data, draw, groups)
    if draw.random() < 0.1:
        data = _forged_frame(data, draw)
    packing = draw.random()
    if packing < 0.1:
        data = draw.choice((gzip.compress, zlib.compress))(data)
        data = draw.choice(_CHANGES)(data, draw, groups) if draw.random() < 0.5 else data
    elif packing < 0.102:
        length = (1 << 27).to_bytes(8, "little")
        data = gzip.compress(length + struct.pack("<I", masked_crc(length)) + bytes(1 << 27), 1)
    return data


def _change_value(features, draw, groups):
    """One value of a record is damaged, taken from another record, or made into something else."""
    key = draw.choice(list(features))
    values = list(features[key])
    if key == "steps":
        features[key] = draw.choice(([], [[4]] * 3_000, [[]] * 7, [[1 << 40]], [[-1], [b"x"]], values[:1]))
    elif draw.random() < 0.2:
        features[key] = draw.choice(
            ([], [b""], [1 << 62] * 3, [-1], [float("nan")] * 192, [b"\xff"] * 200, [0] * 5_000)
        )
    elif draw.random() < 0.2:
        other = draw.choice(draw.choice(groups))
        features[key] = other.get(draw.choice(list(other)), [])
        if key != "steps" and features[key] and isinstance(features[key][0], list):
            features[key] = [b"steps"]
    elif values and isinstance(values[0], bytes):
        values[draw.randrange(len(values))] = draw.choice(_CHANGES)(values[0], draw, groups)
        features[key] = values
    elif values:
        values[draw.randrange(len(values))] = draw.choice((-1, 10, 255, 256, 1 << 33, -(1 << 63)))
        features[key] = [float(value) if isinstance(features[key][0], float) else int(value) for value in values]


def _cut(data, draw, groups):
    return data[: draw.randrange(len(data) + 1)]


def _flip(data, draw, groups):
    changed = bytearray(data)
    for _ in range(draw.randint(1, 8)):
        if changed:
            changed[draw.randrange(min(len(changed), draw.choice((40, 1 << 30))))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def _splice(data, draw, groups):
    other = _message(draw.choice(draw.choice(groups)))
    return data[: draw.randrange(len(data) + 1)] + other[draw.randrange(len(other)) :]


def _forge(data, draw, groups):
    """A varint of a length that is not so, put over what stands there or in between."""
    place = draw.randrange(len(data) + 1)
    number = _varint(draw.choice(_LONG))
    return data[:place] + number + data[place + draw.choice((0, 1, len(number))) :]


def _repeat(data, draw, groups):
    start = draw.randrange(len(data) + 1)
    piece = data[start : start + draw.randint(1, 64)]
    return data[:start] + piece * (draw.choice((2, 10, 1000, 5_000)) if len(data) < 20_000 else 1) + data[start:]


def _nest(data, draw, groups):
    for _ in range(draw.randint(1, 60)):
        data = _field(draw.choice((1, 1, 2, 3)), data)
    return data


def _forged_header(data, draw, groups):
    """A picture that claims to be far larger than it is."""
    place = data.find(b"IHDR")
    if place < 0:
        return _flip(data, draw, groups)
    header = b"IHDR" + struct.pack(">II", draw.choice((1, 4097, 1 << 20, 1 << 31)), draw.choice((1, 4097, 1 << 30)))
    body = header + data[place + 12 : place + 17]
    return data[:place] + body + struct.pack(">I", zlib.crc32(body)) + data[place + 21 :]


_CHANGES = (_cut, _flip, _flip, _splice, _forge, _forge, _repeat, _nest, _forged_header)


def _forged_frame(data, draw):
    length = struct.pack("<Q", draw.choice(_LONG))
    return data + length + struct.pack("<I", masked_crc(length)) + data[: draw.randrange(100)]


def read_all(path, unpacked, mapping=None):
    """What a user's run does with the file: probe, then read; or read by a mapping that was right for its like."""
    probe = probe_records(str(path), mapping=mapping)
    if probe.mapping is None or probe.mapping.text is None:
        return "nothing found"
    source = ForeignSource((Entry(probe.listing.files, probe.mapping),), str(unpacked))
    for key, _ in source.rows():
        source.load(key)
    return "asked" if probe.questions else "read"


def fuzz(first, count, groups):
    """(Counter of outcomes, seconds of the slowest input, [(seed, exception)])."""
    outcomes, slowest, failures = collections.Counter(), 0.0, []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        mappings = mappings_of(groups, folder)
        for seed in range(first, first + count):
            (folder / "input").write_bytes(hostile_file(groups, seed))
            began = time.process_time()
            for mapping in (None, mappings[group_of(seed, groups)]):
                try:
                    outcomes[read_all(folder / "input", folder / "unpacked", mapping)] += 1
                except DigitwiseError as error:
                    assert "\n" not in str(error), seed
                    outcomes["refused"] += 1
                except Exception as error:
                    failures.append((seed, repr(error)))
            slowest = max(slowest, time.process_time() - began)
            shutil.rmtree(folder / "unpacked", ignore_errors=True)
    return outcomes, slowest, failures


def main(count, first=0):
    # Text in the middle of damaged files may look like anything; the warnings of decoders are for people.
    warnings.simplefilter("ignore")
    groups = corpus()
    for group in groups:
        for features in group:
            assert example.read(_message(features))
    outcomes, slowest, failures = fuzz(first, count, groups)
    for seed, error in failures[:20]:
        print(f"seed {seed}: {error}", file=sys.stderr)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    line = {"inputs": count, **outcomes, "crashes": len(failures), "slowest_s": round(slowest, 2), "memory_mb": memory}
    print(json.dumps(line))
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
