"""How much of what was read wrong is only that characters look alike: numpy only.

compare(label_ids, decoded_ids, confusion, alphabet).sequence_accuracy.value
"""

import collections

import numpy as np

from pipeline.model import metrics
from pipeline.model.look_alikes import pairs_of
from pipeline.report.summary import LookAlikePair, LookAlikes


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
        # Only pairs: o like 0 and 0 like Q does not make o like Q.
        alike[a, b] = alike[b, a] = True
        taken = confusion.get((a, b), 0), confusion.get((b, a), 0)
        found.append(LookAlikePair(pair, (shown[a], shown[b]), taken))
    label_ids, decoded_ids = metrics.same_width(label_ids, decoded_ids)
    right = alike[label_ids, decoded_ids].all(axis=1)
    return LookAlikes(tuple(found), metrics.Accuracy.of(int(right.sum()), len(right)))
