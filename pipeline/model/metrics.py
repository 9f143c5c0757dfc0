"""How well codes were read, in numbers: numpy only.

    position_accuracy(label_ids, decoded_ids)     # one float a position
    right = sequence_right(label_ids, decoded_ids)
    wilson_interval(right.sum(), len(right))      # (low, high)

`label_ids` and `decoded_ids` are [count, positions], padded with -1 behind the end of a code.
"""

import collections
import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from alexnet.labels import PADDING

# (item or None, item or None, place in the second or None) for each step from one code to another.
Aligned = tuple[Any, Any, int | None]
# How often (label, decoded) occurred.
Confusion = collections.Counter[tuple[int | None, int | None]]


@dataclasses.dataclass(frozen=True)
class Accuracy:
    """The share of what is right, with Wilson's 95 % interval from `low` to `high`."""

    value: float
    count: int
    right: int
    low: float
    high: float

    @classmethod
    def of(cls, right: int, count: int) -> Self:
        """Where `right` of `count` are right; `count` is 1 or more."""
        low, high = wilson_interval(right, count)
        return cls(right / count, count, right, low, high)


@dataclasses.dataclass(frozen=True)
class Pair:
    """`count` of the `total` times that `label` stood in a code it was read as `decoded`; None: no character."""

    label: int | None
    decoded: int | None
    count: int
    total: int


@dataclasses.dataclass(frozen=True)
class Coverage:
    """Reading only what has at least `threshold` confidence: the share that is read, and how much of that is wrong."""

    threshold: float
    share: float
    count: int
    wrong: int

    @property
    def error(self) -> float:
        return self.wrong / self.count if self.count else float("nan")


def same_width(label_ids: ArrayLike, decoded_ids: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Both arrays with as many positions as the wider one has."""
    labels, decoded = np.asarray(label_ids), np.asarray(decoded_ids)
    width = max(labels.shape[1], decoded.shape[1])
    return _widened(labels, width), _widened(decoded, width)


def _widened(ids: np.ndarray, width: int) -> np.ndarray:
    return np.pad(ids, ((0, 0), (0, width - ids.shape[1])), constant_values=PADDING)


def position_counts(label_ids: ArrayLike, decoded_ids: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """(right, counted) per position: a missing and an extra character are wrong, nothing counts behind both ends."""
    label_ids, decoded_ids = same_width(label_ids, decoded_ids)
    counted = (label_ids != PADDING) | (decoded_ids != PADDING)
    right = counted & (label_ids == decoded_ids)
    return right.sum(axis=0), counted.sum(axis=0)


def position_accuracy(label_ids: ArrayLike, decoded_ids: ArrayLike) -> np.ndarray:
    """The share of right characters at each position; nan where no code has one."""
    right, counted = position_counts(label_ids, decoded_ids)
    shares: np.ndarray = np.divide(right, counted, out=np.full(len(counted), np.nan), where=counted > 0)
    return shares


def sequence_right(label_ids: ArrayLike, decoded_ids: ArrayLike) -> np.ndarray:
    """For each code whether all of it is right: bool [count]."""
    label_ids, decoded_ids = same_width(label_ids, decoded_ids)
    right: np.ndarray = (label_ids == decoded_ids).all(axis=1)
    return right


def sequence_accuracy(label_ids: ArrayLike, decoded_ids: ArrayLike) -> float:
    """The share of codes of which every character is right, and none is missing or too many."""
    right = sequence_right(label_ids, decoded_ids)
    return float(right.mean()) if len(right) else float("nan")


def length_accuracy(label_ids: np.ndarray, decoded_ids: np.ndarray) -> dict[int, Accuracy]:
    """{length: accuracy of the whole codes of this length}, for the lengths that occur."""
    lengths = (np.asarray(label_ids) != PADDING).sum(axis=1)
    right = sequence_right(label_ids, decoded_ids)
    groups = {int(length): right[lengths == length] for length in np.unique(lengths)}
    return {length: Accuracy.of(int(group.sum()), len(group)) for length, group in groups.items()}


def wilson_interval(successes: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """(low, high) of a share: Wilson's score interval, which stays inside 0..1 and does not vanish at 0 or `count`."""
    if not count:
        return 0.0, 1.0
    share = successes / count
    center = share + z * z / (2 * count)
    half = z * (share * (1 - share) / count + z * z / (4 * count * count)) ** 0.5
    scale = 1 + z * z / count
    # Exactly 0 and 1 at the ends, where rounding would leave 1e-17.
    low = 0.0 if successes == 0 else max(0.0, (center - half) / scale)
    high = 1.0 if successes == count else min(1.0, (center + half) / scale)
    return float(low), float(high)


def chance(num_classes: int, min_length: int, max_length: int) -> tuple[float, float]:
    """(position, sequence): how often a guess among all characters, and among all codes of these lengths, is right."""
    codes = sum(num_classes**length for length in range(min_length, max_length + 1))
    return 1 / num_classes, 1 / codes


def most_frequent_share(label_ids: ArrayLike) -> list[float]:
    """At each position the accuracy of always giving the most frequent character; nan where no code has one."""
    shares = []
    for ids in np.asarray(label_ids).T:
        ids = ids[ids != PADDING]
        shares.append(float(np.bincount(ids).max() / len(ids)) if len(ids) else float("nan"))
    return shares


def align(label: Sequence[Any], decoded: Sequence[Any]) -> list[Aligned]:
    """[(label or None, decoded or None, place in decoded or None)]: what was read as what.

    Codes of one length are compared place by place; else by the fewest changes, so that one missing character does
    not make all behind it wrong.
    """
    if len(label) == len(decoded):
        return [(a, b, place) for place, (a, b) in enumerate(zip(label, decoded))]
    costs = _edit_costs(label, decoded)
    row, column = len(label), len(decoded)
    steps: list[Aligned] = []
    while row or column:
        differ = row and column and label[row - 1] != decoded[column - 1]
        # Backwards through the table. Pairs go before gaps, so of several shortest ways it is always the same one.
        if row and column and costs[row][column] == costs[row - 1][column - 1] + differ:
            row, column = row - 1, column - 1
            steps.append((label[row], decoded[column], column))
        elif row and costs[row][column] == costs[row - 1][column] + 1:
            row -= 1
            steps.append((label[row], None, None))
        else:
            column -= 1
            steps.append((None, decoded[column], column))
    return steps[::-1]


def _edit_costs(label: Sequence[Any], decoded: Sequence[Any]) -> list[list[int]]:
    """Levenshtein distances: [row][column] is the cost of turning the first `row` items into the first `column`."""
    costs = [list(range(len(decoded) + 1))]
    for row, a in enumerate(label, 1):
        line = [row]
        for column, b in enumerate(decoded, 1):
            line.append(min(costs[-1][column] + 1, line[-1] + 1, costs[-1][column - 1] + (a != b)))
        costs.append(line)
    return costs


def confusion_counts(label_ids: ArrayLike, decoded_ids: ArrayLike) -> Confusion:
    """Counter of (label, decoded) over all characters; None is a missing or an extra character."""
    label_ids, decoded_ids = same_width(label_ids, decoded_ids)
    # Codes of equal length are compared place by place, all at once; only the others need to be aligned one by one.
    lengths_equal = (label_ids != PADDING).sum(axis=1) == (decoded_ids != PADDING).sum(axis=1)
    present = label_ids[lengths_equal] != PADDING
    pairs = np.stack([label_ids[lengths_equal][present], decoded_ids[lengths_equal][present]], axis=1)
    kinds, counts = np.unique(pairs, axis=0, return_counts=True)
    confusion: Confusion = collections.Counter({(int(a), int(b)): int(count) for (a, b), count in zip(kinds, counts)})
    for label, decoded in zip(label_ids[~lengths_equal].tolist(), decoded_ids[~lengths_equal].tolist()):
        confusion.update((a, b) for a, b, _ in align(_trimmed(label), _trimmed(decoded)))
    return confusion


def confused_pairs(confusion: Confusion, limit: int = 10) -> list[Pair]:
    """The most frequent mistakes, as Pairs; equal counts by the share of their character."""
    totals: collections.Counter[int | None] = collections.Counter()
    for (label, _), count in confusion.items():
        totals[label] += count
    pairs = [Pair(a, b, count, totals[a]) for (a, b), count in confusion.items() if a != b]
    # To the last key, so that the order never depends on that of a dictionary.
    return sorted(pairs, key=lambda pair: (-pair.count, pair.total, _order(pair.label), _order(pair.decoded)))[:limit]


def coverage_curve(confidence: ArrayLike, right: ArrayLike, limit: int = 500) -> list[Coverage]:
    """Coverage at falling thresholds, from reading least to reading all; equal confidences are read together."""
    order = np.argsort(-np.asarray(confidence), kind="stable")
    confidence, right = np.asarray(confidence)[order], np.asarray(right)[order]
    last_of_tie = np.flatnonzero(np.append(confidence[1:] != confidence[:-1], True)) if len(order) else order
    wrong = np.cumsum(~right)
    # Thinned evenly, with the first and the last: a plot does not show more.
    if len(last_of_tie) > limit:
        last_of_tie = last_of_tie[np.linspace(0, len(last_of_tie) - 1, limit).round().astype(int)]
    return [
        Coverage(float(confidence[place]), (place + 1) / len(order), int(place) + 1, int(wrong[place]))
        for place in last_of_tie.tolist()
    ]


def coverage_at(confidence: ArrayLike, right: ArrayLike, threshold: float) -> Coverage:
    """The Coverage of reading only what has at least `threshold` confidence."""
    read = np.asarray(confidence) >= threshold
    share = float(read.mean()) if len(read) else 0.0
    return Coverage(threshold, share, int(read.sum()), int((read & ~np.asarray(right)).sum()))


def class_gaps(classes: Mapping[str, Sequence[Mapping[str, int]]]) -> dict[str, list[tuple[int, list[str]]]]:
    """{name: [(place from 1, what others show there and this one never)]} of {name: [{character: count}]}."""
    nothing: Mapping[str, int] = {}
    everywhere = [sorted(set().union(*at)) for at in itertools.zip_longest(*classes.values(), fillvalue=nothing)]
    gaps = {}
    for name, by_place in classes.items():
        padded = [*by_place, *[nothing] * (len(everywhere) - len(by_place))]
        missing = (
            (place, [c for c in known if c not in counts])
            for place, (known, counts) in enumerate(zip(everywhere, padded, strict=True), 1)
        )
        gaps[name] = [(place, characters) for place, characters in missing if characters]
    return gaps


def _trimmed(ids: Sequence[int]) -> list[int]:
    return [i for i in ids if i != PADDING]


def _order(character: int | None) -> float:
    """None, which has no order of its own, behind all characters."""
    return float("inf") if character is None else character
