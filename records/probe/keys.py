"""The keys of sampled records: their values, those that go together, and the order that boxes give."""

import collections
import re

import numpy as np

_INDEXED = re.compile(r"^(.*?)(\d+)(\D*)$", re.DOTALL)
_LEFT = {"xmin", "minx", "x1", "x0", "left", "xs", "x", "cx", "xc", "xcenter", "centerx", "bboxxmin", "bboxleft"}
_TOP = {"ymin", "miny", "y0", "top", "bboxymin"}
_BOTTOM = {"ymax", "maxy", "bottom", "bboxymax"}


def values_by_key(sample, taken):
    """(key, values) of keys that most records have."""
    for key in sorted({key for sampled in sample for key in sampled.record.values}):
        values = [s.record.values[key] for s in sample if s.record.values.get(key) is not None]
        if key not in taken and values and len(values) >= len(sample) / 2 and len({type(v) for v in values}) == 1:
            yield key, values


def counts_up(numbers):
    """Whether all are different and most follow on the one before: numbers of records, and no codes."""
    if len(numbers) < 3 or len(set(numbers)) < len(numbers):
        return False
    return sum(b - a == 1 for a, b in zip(numbers, numbers[1:])) >= 0.6 * (len(numbers) - 1)


def order_of_boxes(sample, key):
    """(the key of the boxes' left sides or "", why the characters have no order that is known, or "")."""
    samples = [s for s in sample if s.record.values.get(key) is not None]
    counts = [len(s.record.values[key]) for s in samples]
    boxes, others = {}, []
    for other in sample[0].record.values:
        values = [s.record.values.get(other) for s in samples]
        if other == key or max(counts) < 2 or not all(isinstance(value, np.ndarray) for value in values):
            continue
        if [len(value) for value in values] == counts:
            boxes[other] = values
        elif [len(value) for value in values] == [4 * count for count in counts]:
            others.append(other)
    left = [name for name in boxes if _side(name) in _LEFT]
    low = next((values for name, values in boxes.items() if _side(name) in _TOP), None)
    high = next((values for name, values in boxes.items() if _side(name) in _BOTTOM), None)
    if low and high and any(top.max() >= bottom.min() for top, bottom in zip(low, high)):
        return "", "its boxes lie in several lines, one above the other"
    others += [name for name, values in boxes.items() if values[0].dtype.kind == "f"]
    if len(left) != 1 and others:
        return "", f"{others[0]!r} may say where its characters stand: a mapping with an order_key tells"
    return left[0] if left else "", ""


def _side(name):
    """`image/object/bbox/x_min` -> xmin."""
    return re.sub(r"[^a-z0-9]", "", re.split(r"[/.:]", name.lower())[-1])


def runs_of_keys(keys):
    """Groups of keys that differ in a number only, 0, 1, 2 ... or 1, 2, 3 ..., in the order of that number."""
    groups = collections.defaultdict(dict)
    for key in keys:
        match = _INDEXED.match(key)
        if match:
            groups[match[1], match[3]][int(match[2])] = key
    for group in groups.values():
        numbers = sorted(group)
        if len(numbers) > 1 and numbers[0] in (0, 1) and numbers == list(range(numbers[0], numbers[0] + len(numbers))):
            yield [group[number] for number in numbers]
