"""Which images to label next: those the model is least sure of, and unlike those that are chosen already.

for number in labelling_order(confidences, features):
    ...
"""

import numpy as np
import numpy.typing as npt

FIRST = 200  # how many are chosen for being different as well; the rest follows by confidence alone


def labelling_order(confidences: npt.ArrayLike, features: npt.ArrayLike, first: int = FIRST) -> list[int]:
    """Every image once. `features` [images, n] say how alike two images are; their log-probabilities will do.

    Greedy: the next image has the largest product of doubt and distance to the nearest one chosen.
    """
    doubts = 1 - np.asarray(confidences, np.float64) + 1e-6  # sure images differ too
    if not len(doubts):
        return []
    values = np.asarray(features, np.float64).reshape(len(doubts), -1)
    chosen = [int(doubts.argmax())]
    nearest = np.linalg.norm(values - values[chosen[0]], axis=1)
    while len(chosen) < min(first, len(doubts)):
        scores = doubts * nearest
        scores[chosen] = -1  # their distance is 0, but so may that of others be
        chosen.append(int(scores.argmax()))
        nearest = np.minimum(nearest, np.linalg.norm(values - values[chosen[-1]], axis=1))
    is_chosen = np.zeros(len(doubts), np.bool_)
    is_chosen[chosen] = True
    rest = np.argsort(-doubts, kind="stable")
    return chosen + [int(number) for number in rest if not is_chosen[number]]
