"""Every figure against numbers written out by hand."""

import math

import numpy as np
import pytest

from pipeline.model import metrics
from pipeline.model.metrics import Coverage, Pair

# Codes of two and three characters: right, one wrong, one missing, one extra, all wrong.
LABELS = np.array([[1, 2, 3], [1, 2, 3], [1, 2, 3], [1, 2, -1], [4, 5, -1]])
DECODED = np.array([[1, 2, 3], [1, 7, 3], [1, 2, -1], [1, 2, 9], [6, 6, -1]])


def test_position_accuracy_counts_missing_and_extra_characters_as_wrong():
    right, counted = metrics.position_counts(LABELS, DECODED)
    assert right.tolist() == [4, 3, 2]
    assert counted.tolist() == [5, 5, 4]  # at the third position both codes of the last row have ended
    assert metrics.position_accuracy(LABELS, DECODED).tolist() == [0.8, 0.6, 0.5]


def test_a_position_that_no_code_has_is_nan():
    accuracy = metrics.position_accuracy(np.array([[1, -1]]), np.array([[1, -1]]))
    assert accuracy[0] == 1 and math.isnan(accuracy[1])


def test_sequence_accuracy_needs_the_whole_code():
    assert metrics.sequence_right(LABELS, DECODED).tolist() == [True, False, False, False, False]
    assert metrics.sequence_accuracy(LABELS, DECODED) == 0.2
    assert math.isnan(metrics.sequence_accuracy(LABELS[:0], DECODED[:0]))


def test_arrays_of_different_width_are_compared():
    assert metrics.sequence_right([[1, 2]], [[1, 2, -1]]).tolist() == [True]
    assert metrics.sequence_right([[1, 2]], [[1, 2, 3]]).tolist() == [False]
    assert metrics.position_accuracy([[1, 2]], [[1, 2, 3]]).tolist() == [1, 1, 0]


@pytest.mark.parametrize(
    "successes, count, low, high",
    [
        # Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (20, 20, 0.8389, 1.0),  # 0 of 20, mirrored
        (176, 200, 0.8277, 0.9180),  # (0.889604 -+ 1.96 * 0.0234949) / 1.019208
        (0, 0, 0.0, 1.0),
    ],
)
def test_wilson_interval_against_published_values(successes, count, low, high):
    assert metrics.wilson_interval(successes, count) == pytest.approx((low, high), abs=6e-5)


def test_chance_of_a_character_and_of_a_code():
    assert metrics.chance(10, 4, 4) == (0.1, 1e-4)
    assert metrics.chance(10, 1, 2) == (0.1, 1 / 110)
    assert metrics.chance(36, 4, 4) == (1 / 36, 1 / 1679616)


def test_most_frequent_share():
    shares = metrics.most_frequent_share(np.array([[1, 5, -1], [1, 6, -1], [2, 7, -1], [1, 8, -1]]))
    assert shares[:2] == [0.75, 0.25] and math.isnan(shares[2])


def test_align_by_place_or_by_the_fewest_changes():
    assert metrics.align("407", "417") == [("4", "4", 0), ("0", "1", 1), ("7", "7", 2)]
    assert metrics.align("4071", "471") == [("4", "4", 0), ("0", None, None), ("7", "7", 1), ("1", "1", 2)]
    assert metrics.align("47", "497") == [("4", "4", 0), (None, "9", 1), ("7", "7", 2)]
    assert metrics.align("", "1") == [(None, "1", 0)]
    assert metrics.align("12", "") == [("1", None, None), ("2", None, None)]


def test_confusion_counts_characters_missing_ones_and_extra_ones():
    assert metrics.confusion_counts(LABELS, DECODED) == {
        (1, 1): 4, (2, 2): 3, (3, 3): 2, (2, 7): 1, (3, None): 1, (None, 9): 1, (4, 6): 1, (5, 6): 1,
    }  # fmt: skip


def test_confused_pairs_the_most_frequent_first():
    confusion = {(7, 7): 8, (7, 1): 2, (1, 7): 2, (1, 1): 3, (3, None): 1, (3, 3): 9, (None, 4): 3}
    assert metrics.confused_pairs(confusion) == [
        Pair(None, 4, 3, 3), Pair(1, 7, 2, 5), Pair(7, 1, 2, 10), Pair(3, None, 1, 10),
    ]  # fmt: skip
    assert len(metrics.confused_pairs(confusion, limit=2)) == 2


def test_coverage_reads_equal_confidences_together():
    confidence = np.array([0.5, 0.9, 0.9, 0.2])
    right = np.array([False, True, False, True])
    assert metrics.coverage_curve(confidence, right) == [
        Coverage(0.9, 0.5, 2, 1), Coverage(0.5, 0.75, 3, 2), Coverage(0.2, 1.0, 4, 2),
    ]  # fmt: skip
    assert metrics.coverage_at(confidence, right, 0.9) == Coverage(0.9, 0.5, 2, 1)
    assert metrics.coverage_at(confidence, right, 0.5).error == 2 / 3
    assert math.isnan(metrics.coverage_at(confidence, right, 0.95).error)


def test_a_long_coverage_curve_is_thinned_and_keeps_its_ends():
    curve = metrics.coverage_curve(np.linspace(0, 1, 10_000), np.ones(10_000, bool), limit=100)
    assert len(curve) == 100
    assert (curve[0].count, curve[-1].count) == (1, 10_000)


def test_no_readings_make_an_empty_curve():
    assert metrics.coverage_curve(np.zeros(0), np.zeros(0, bool)) == []


def test_class_gaps_tell_what_others_show_at_a_place():
    classes = {"train": [{"1": 3, "2": 1}, {"4": 4}], "test": [{"1": 1}, {"4": 1}, {"5": 1}]}
    assert metrics.class_gaps(classes) == {"train": [(3, ["5"])], "test": [(1, ["2"])]}


def test_a_network_that_reads_nothing_is_counted():
    nothing = np.full((2, 2), -1)
    labels = np.array([[1, 2], [1, -1]])
    assert metrics.confusion_counts(labels, nothing) == {(1, None): 2, (2, None): 1}
    assert metrics.position_accuracy(labels, nothing).tolist() == [0, 0]


def test_accuracy_of_codes_of_each_length():
    of = metrics.length_accuracy(LABELS, DECODED)
    assert {length: (a.value, a.right, a.count) for length, a in of.items()} == {
        2: (0, 0, 2),
        3: (1 / 3, 1, 3),
    }
    assert (of[2].low, round(of[2].high, 4)) == (0.0, 0.6576)  # 1.96 ** 2 / (2 + 1.96 ** 2)
