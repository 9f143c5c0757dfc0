"""The keys of sampled records: their values out of all wrappers, keys that go together, the order that boxes give."""

import collections
import re
from collections.abc import Collection, Iterable, Iterator, Sequence

import numpy as np

from records.errors import quoted
from records.foreign.sample import Sampled
from records.foreign.wrappers import Budget, OverBudget, unwrapped
from records.tfrecord.example import Array, Value

# All that the keys of a sample may unwrap to: thirty tensors of a few bytes can claim gigabytes.
MAX_UNWRAPPED = 96 << 20
# The values of one key that are compared as pictures: a quarter of it as floats, and its differences, fit in memory.
MAX_COMPARED = 24 << 20
_INDEXED = re.compile(r"^(.*?)(\d+)(\D*)$", re.DOTALL)
# Names of a box's sides as object detection writes them, without the punctuation in which they differ.
_LEFT = {"xmin", "minx", "x1", "x0", "left", "xs", "x", "cx", "xc", "xcenter", "centerx", "bboxxmin", "bboxleft"}
_TOP = {"ymin", "miny", "y0", "top", "bboxymin"}
_BOTTOM = {"ymax", "maxy", "bottom", "bboxymax"}


class Keys:
    """The keys of a sample. A key is unwrapped once, and all of them within one budget."""

    def __init__(self, sample: Sequence[Sampled]) -> None:
        self.sample = sample
        self.names = sorted({key for sampled in sample for key in sampled.record.values})
        self.too_large: list[str] = []
        self._budget = Budget(MAX_UNWRAPPED)
        self._unwrapped: dict[tuple[str, int], tuple[tuple[str, ...], list[Value]]] = {}

    def values(self, key: str, limit: int | None = None) -> list[Value]:
        """The values that records have of a key, as they are."""
        values = [value for sampled in self.sample if (value := sampled.record.values.get(key)) is not None]
        return values[:limit]

    def unwrapped(self, key: str, limit: int | None = None) -> tuple[tuple[str, ...], list[Value]] | None:
        """(wrappers, values inside); None where they take more memory than is left for a probe."""
        values = self.values(key, limit)
        # With the number of values: image and text are judged by samples of different sizes.
        known = self._unwrapped.get((key, len(values)))
        if known or key in self.too_large:
            return known
        try:
            self._unwrapped[key, len(values)] = unwrapped(values, self._budget)
        except OverBudget:
            self.too_large.append(key)
            return None
        return self._unwrapped[key, len(values)]

    @property
    def why_too_large(self) -> str:
        return f"its values unwrap to more than is left of the {MAX_UNWRAPPED >> 20} MB that a probe may use"

    def beside(self, taken: Collection[str]) -> Iterator[str]:
        """Keys that are not taken and that most records have, with values of one kind."""
        for key in self.names:
            values = self.values(key)
            if key not in taken and values and len(values) >= len(self.sample) / 2 and len(set(map(type, values))) == 1:
                yield key


def compared(values: Sequence[Value]) -> list[Value]:
    """The first of these values that can be compared as pictures without filling the memory, one at least."""
    total = 0
    kept: list[Value] = []
    for value in values:
        total += value.nbytes if isinstance(value, np.ndarray) else sum(map(len, value))
        if kept and total > MAX_COMPARED:
            break
        kept.append(value)
    return kept


def counts_up(numbers: Sequence[int]) -> bool:
    """Whether all are different and most are one more than the last: numbers of records, and no codes."""
    if len(numbers) < 3 or len(set(numbers)) < len(numbers):
        return False
    # Not all: a sample comes from several places of a file, and each new place makes a jump.
    return sum(b - a == 1 for a, b in zip(numbers, numbers[1:], strict=False)) >= 0.6 * (len(numbers) - 1)


def order_of_boxes(sample: Sequence[Sampled], key: str) -> tuple[str, str]:
    """(the key of the boxes' left sides or "", why the characters have no order that is known, or "")."""
    samples = [s for s in sample if s.record.values.get(key) is not None]
    counts = [len(value) for s in samples if (value := s.record.values[key]) is not None]
    boxes: dict[str, list[Array]] = {}
    others: list[str] = []
    for other in sample[0].record.values:
        values = [s.record.values.get(other) for s in samples]
        arrays = [value for value in values if isinstance(value, np.ndarray)]
        if other == key or max(counts) < 2 or len(arrays) < len(values):
            continue
        if [len(array) for array in arrays] == counts:
            boxes[other] = arrays
        elif [len(array) for array in arrays] == [4 * count for count in counts]:
            others.append(other)
    left = [name for name in boxes if _side(name) in _LEFT]
    low = next((arrays for name, arrays in boxes.items() if _side(name) in _TOP), None)
    high = next((arrays for name, arrays in boxes.items() if _side(name) in _BOTTOM), None)
    # Where one box begins below the end of another there are two lines, and left to right is not their order.
    if low and high and any(top.max() >= bottom.min() for top, bottom in zip(low, high, strict=True)):
        return "", "its boxes lie in several lines, one above the other"
    others += [name for name, arrays in boxes.items() if arrays[0].dtype.kind == "f"]
    # Positions of a form that is not understood: reading the characters in stored order could be wrong without a sign.
    if len(left) != 1 and others:
        return "", f"{quoted(others[0])} may say where its characters are: name it as order_key in a mapping"
    return left[0] if left else "", ""


def _side(name: str) -> str:
    """`image/object/bbox/x_min` -> xmin."""
    return re.sub(r"[^a-z0-9]", "", re.split(r"[/.:]", name.lower())[-1])


def runs_of_keys(keys: Iterable[str]) -> Iterator[list[str]]:
    """Groups of keys that differ in a number only, 0, 1, 2 ... or 1, 2, 3 ..., in the order of that number."""
    groups: dict[tuple[str, str], dict[int, str]] = collections.defaultdict(dict)
    for key in keys:
        match = _INDEXED.match(key)
        if match:
            groups[match[1], match[3]][int(match[2])] = key
    for group in groups.values():
        numbers = sorted(group)
        if len(numbers) > 1 and numbers[0] in (0, 1) and numbers == list(range(numbers[0], numbers[0] + len(numbers))):
            yield [group[number] for number in numbers]
