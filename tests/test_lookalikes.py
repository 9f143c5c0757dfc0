"""Look-alikes against numbers written out by hand."""

import numpy as np
import pytest

from pipeline.model import metrics
from pipeline.report import lookalikes
from pipeline.report.summary import LookAlikePair
from records.alphabet import Alphabet


@pytest.mark.parametrize(
    "alphabet, pairs",
    [
        ("0123456789", []),
        ("ABCD", []),
        ("0ABO", [("0", "O")]),
        ("oO0", [("0", "O"), ("0", "o"), ("O", "o")]),
        ("lI1", [("1", "l"), ("1", "I"), ("l", "I")]),
        ("cCeE", [("c", "C")]),
    ],
)
def test_pairs_of_an_alphabet(alphabet, pairs):
    assert lookalikes.pairs_of(alphabet) == pairs


def test_a_pair_in_two_groups_is_one_pair():
    pairs = lookalikes.pairs_of(Alphabet.parse("alnum").characters)
    assert len(pairs) == len({frozenset(pair) for pair in pairs})
    assert {("0", "O"), ("5", "S"), ("s", "S"), ("w", "W"), ("1", "l")} <= {*pairs, *(pair[::-1] for pair in pairs)}


def test_look_alikes_are_counted_both_ways_and_as_equal():
    alphabet = "0O5S7"
    zero, o, five, _, seven = range(5)
    labels = np.array([[zero, five], [o, five], [zero, zero], [zero, seven], [o, -1], [zero, -1]])
    decoded = np.array([[o, five], [zero, five], [zero, o], [o, five], [o, zero], [zero, -1]])
    found = lookalikes.compare(labels, decoded, metrics.confusion_counts(labels, decoded), alphabet)
    # Right: the last. Right but for look-alikes: the first three. 7 for 5 is no look-alike; nothing is no character.
    zeros = LookAlikePair(("0", "O"), shown=(5, 2), taken_for_other=(3, 1))
    fives = LookAlikePair(("5", "S"), shown=(2, 0), taken_for_other=(0, 0))
    assert found.pairs == (zeros, fives)
    assert found.confused == [zeros]
    whole = found.sequence_accuracy
    assert (whole.right, whole.count, whole.value) == (4, 6, 4 / 6)
    assert (whole.low, whole.high) == metrics.wilson_interval(4, 6)


def test_a_reading_wider_than_the_labels_is_no_look_alike():
    found = lookalikes.compare(np.array([[0]]), np.array([[1, 0]]), {}, "0O")
    assert found.sequence_accuracy.right == 0


def test_digits_alone_have_no_look_alikes():
    assert lookalikes.compare(np.array([[1]]), np.array([[7]]), {(1, 7): 1}, "0123456789") is None
