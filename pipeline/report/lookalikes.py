"""Characters that look alike, and how much of what was read wrong is only that: numpy only.

pairs_of("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")     # [("0", "O"), ("0", "Q"), ...]
compare(label_ids, decoded_ids, confusion, alphabet).sequence_accuracy.value
"""

import collections
import itertools

import numpy as np

from pipeline.model import metrics
from pipeline.report.summary import LookAlikePair, LookAlikes

# Any two characters of a group look alike, in some fonts or when bent; no two digits do.
GROUPS: tuple[str, ...] = (
    *("0Oo", "0OQD", "1lIi", "ij", "2Zz", "5Ss", "6b", "6G", "8B", "9gq"),
    *("cC", "kK", "pP", "uUvV", "wW", "xX", "yY", "mn", "nr"),
)


def pairs_of(alphabet: str) -> list[tuple[str, str]]:
    """The pairs of which both characters are in the alphabet."""
    pairs = itertools.chain.from_iterable(itertools.combinations(group, 2) for group in GROUPS)
    return [pair for pair in dict.fromkeys(pairs) if set(pair) <= set(alphabet)]


def compare(
    label_ids: np.ndarray, decoded_ids: np.ndarray, confusion: collections.Counter, alphabet: str
) -> LookAlikes | None:
    """How often look-alikes were taken for each other, and the accuracy of whole codes if that counted as right.

    None for an alphabet without such pairs.
    """
    pairs = pairs_of(alphabet)
    if not pairs:
        return None
    numbers = {character: number for number, character in enumerate(alphabet)}
    shown = [int(np.count_nonzero(np.asarray(label_ids) == number)) for number in range(len(alphabet))]
    alike = np.eye(len(alphabet) + 1, dtype=bool)  # the last row is the padding: its id is -1
    found = []
    for pair in pairs:
        a, b = (numbers[character] for character in pair)
        alike[a, b] = alike[b, a] = True
        taken = confusion.get((a, b), 0), confusion.get((b, a), 0)
        found.append(LookAlikePair(pair, (shown[a], shown[b]), taken))
    label_ids, decoded_ids = metrics.same_width(label_ids, decoded_ids)
    right = alike[label_ids, decoded_ids].all(axis=1)
    return LookAlikes(tuple(found), metrics.Accuracy.of(int(right.sum()), len(right)))
