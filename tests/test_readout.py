"""The readouts against numbers worked out by hand."""

import math

import numpy as np
import pytest
import tensorflow as tf

from alexnet.readout import READOUTS, CtcReadout, PositionReadout
from pipeline.model.metrics import sequence_right


def _logits(rows):
    """Logits whose softmax gives these probabilities."""
    return tf.constant(np.log(np.array(rows, "float32")))


def _check(decoded, label_ids, probabilities, confidence):
    assert decoded.label_ids.dtype == "int32"
    assert decoded.label_ids.numpy().tolist() == label_ids
    np.testing.assert_allclose(decoded.probabilities, probabilities, rtol=1e-5)
    np.testing.assert_allclose(decoded.confidence, confidence, rtol=1e-5)


# --- positions


def test_positions_loss_is_the_mean_cross_entropy_of_each_example():
    readout = PositionReadout(num_classes=3, min_length=2, max_length=2)
    logits = _logits([[[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]], [[0.2, 0.2, 0.6], [1 / 3, 1 / 3, 1 / 3]]])
    loss = readout.loss(logits, tf.constant([[0, 2], [1, 0]]))
    assert loss.dtype == "float32"
    np.testing.assert_allclose(loss, [-(math.log(0.5) + math.log(0.8)) / 2, (math.log(5) + math.log(3)) / 2], rtol=1e-5)


def test_positions_loss_takes_padding_for_the_class_end():
    readout = PositionReadout(num_classes=2, min_length=1, max_length=3)
    logits = _logits([[[0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [0.3, 0.3, 0.4]]])
    loss = readout.loss(logits, tf.constant([[0, -1, -1]]))
    np.testing.assert_allclose(loss, [-(math.log(0.5) + math.log(0.7) + math.log(0.4)) / 3], rtol=1e-5)


def test_positions_decode_a_fixed_length():
    readout = PositionReadout(num_classes=3, min_length=2, max_length=2)
    assert (readout.num_outputs, readout.num_positions) == (3, 2)
    decoded = readout.decode(_logits([[[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]]))
    _check(decoded, [[0, 2]], [[0.5, 0.8]], [0.4])


def test_positions_decode_stops_at_the_first_end():
    readout = PositionReadout(num_classes=2, min_length=1, max_length=4)
    assert (readout.num_outputs, readout.num_positions) == (3, 4)
    character, end = [0.2, 0.6, 0.2], [0.1, 0.1, 0.8]
    decoded = readout.decode(_logits([[character, end, character, end], [character] * 4]))
    # The first position cannot be `end`: 0.6 / 0.8. The confidence counts up to the first `end`, and nothing after it.
    _check(
        decoded,
        [[1, -1, -1, -1], [1, 1, 1, 1]],
        [[0.75, 0, 0, 0], [0.75, 0.6, 0.6, 0.6]],
        [0.75 * 0.8, 0.75 * 0.6**3],
    )


def test_positions_never_decode_less_than_the_least_length():
    readout = PositionReadout(num_classes=2, min_length=2, max_length=3)
    end = [0.1, 0.3, 0.6]
    decoded = readout.decode(_logits([[end, end, end]]))
    # Without `end` the two classes share the whole probability: 0.3 / 0.4.
    _check(decoded, [[1, 1, -1]], [[0.75, 0.75, 0]], [0.75 * 0.75 * 0.6])


# --- ctc


def test_ctc_loss_sums_over_all_alignments_and_divides_by_the_characters():
    readout = CtcReadout(num_classes=2, min_length=1, max_length=2)
    assert (readout.num_outputs, readout.num_positions) == (3, None)
    columns = [[0.6, 0.1, 0.3], [0.2, 0.5, 0.3], [0.1, 0.2, 0.7]]  # classes 0 and 1, blank
    loss = readout.loss(_logits([columns, columns]), tf.constant([[0, -1], [0, 1]]))
    # 0 on its own: 0--, 00-, 000, -0-, -00, --0.
    one = 0.6 * 0.3 * 0.7 + 0.6 * 0.2 * 0.7 + 0.6 * 0.2 * 0.1 + 0.3 * 0.2 * 0.7 + 0.3 * 0.2 * 0.1 + 0.3 * 0.3 * 0.1
    # 0 then 1: 01-, 011, 001, 0-1, -01.
    two = 0.6 * 0.5 * 0.7 + 0.6 * 0.5 * 0.2 + 0.6 * 0.2 * 0.2 + 0.6 * 0.3 * 0.2 + 0.3 * 0.2 * 0.2
    assert loss.dtype == "float32"
    np.testing.assert_allclose(loss, [-math.log(one), -math.log(two) / 2], rtol=1e-5)


def test_ctc_decode_merges_repeats_unless_a_blank_is_between_them():
    readout = CtcReadout(num_classes=2, min_length=1, max_length=3)
    zero, one, blank = [0.7, 0.1, 0.2], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]
    weak_one = [0.2, 0.5, 0.3]
    decoded = readout.decode(
        _logits([[zero, zero, blank, zero, weak_one], [blank, weak_one, one, blank, blank], [blank] * 5])
    )
    assert decoded.label_ids.numpy().tolist() == [[0, 0, 1, -1], [1, -1, -1, -1], [-1, -1, -1, -1]]
    np.testing.assert_allclose(decoded.probabilities, [[0.7, 0.7, 0.5, 0], [0.8, 0, 0, 0], [0, 0, 0, 0]], rtol=1e-5)
    np.testing.assert_allclose(decoded.confidence[2], 0.6**5, rtol=1e-4)


def test_ctc_confidence_is_the_likelihood_of_the_code():
    readout = CtcReadout(num_classes=2, min_length=1, max_length=1)
    decoded = readout.decode(_logits([[[0.6, 0.1, 0.3], [0.2, 0.3, 0.5]]]))
    # 0-, 00 and -0; the best column of the character is the first.
    _check(decoded, [[0, -1]], [[0.6, 0]], [0.6 * 0.5 + 0.6 * 0.2 + 0.3 * 0.2])


def test_ctc_confidence_is_that_of_tensorflows_loss():
    readout = CtcReadout(num_classes=3, min_length=1, max_length=6)
    logits = 2 * tf.random.stateless_normal((64, 14, 4), seed=(1, 2)) + [0, 0, 0, 2]  # with blanks enough
    decoded = readout.decode(logits)
    label_ids = decoded.label_ids.numpy()
    lengths = (label_ids != -1).sum(axis=1)
    assert {2, 6, 7} <= set(lengths)  # from short to too long
    fits = lengths <= 6
    assert ((label_ids[:, :-1] == label_ids[:, 1:]) & (label_ids[:, 1:] != -1))[fits].any()  # equal neighbours too
    losses = tf.nn.ctc_loss(
        np.maximum(label_ids, 0), logits, lengths, [14] * 64, logits_time_major=False, blank_index=3
    )
    np.testing.assert_allclose(decoded.confidence, np.where(fits, np.exp(-losses), 0), rtol=1e-4)


def test_ctc_confidence_of_what_hardly_can_be_is_nothing_and_not_nan():
    readout = CtcReadout(num_classes=40, min_length=1, max_length=2)
    decoded = readout.decode(tf.zeros((1, 200, 41)))  # (1 / 41) ** 200 is no float
    assert decoded.confidence.numpy().tolist() == [0]


def test_ctc_does_not_take_a_reading_that_is_too_long_for_its_beginning():
    readout = CtcReadout(num_classes=2, min_length=1, max_length=2)
    zero, one, blank = [0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]
    decoded = readout.decode(_logits([[zero, one, zero, one], [zero, one, blank, blank]]))
    assert decoded.label_ids.numpy().tolist() == [[0, 1, 0], [0, 1, -1]]
    np.testing.assert_allclose(decoded.probabilities, [[0.8, 0.8, 0.8], [0.8, 0.8, 0]], rtol=1e-5)
    assert decoded.confidence[0] == 0 and decoded.confidence[1] > 0.4
    assert sequence_right([[0, 1], [0, 1]], decoded.label_ids).tolist() == [False, True]


def test_ctc_decodes_batches_of_two_sizes_without_a_word_from_tensorflow(capfd):
    readout = CtcReadout(num_classes=2, min_length=1, max_length=2)
    for batch_size in (3, 5):
        tf.function(readout.decode, autograph=False)(tf.zeros((batch_size, 6, 3)))
    assert "tfg.While" not in capfd.readouterr().err


# --- both


@pytest.mark.parametrize("name", READOUTS)
def test_readouts_run_inside_a_function_with_a_gradient(name):
    readout = READOUTS[name](num_classes=2, min_length=1, max_length=2)
    logits = tf.random.stateless_normal((3, readout.num_positions or 5, 3), seed=(0, 0))
    label_ids = tf.constant([[0, -1], [1, 0], [1, 1]])

    @tf.function
    def run(logits):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            loss = readout.loss(logits, label_ids)
        return loss, tape.gradient(loss, logits), readout.decode(logits)

    loss, gradient, decoded = run(logits)
    np.testing.assert_allclose(loss, readout.loss(logits, label_ids), rtol=1e-5)
    assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0
    places = {"positions": 2, "ctc": 3}[name]
    assert [tuple(part.shape) for part in decoded] == [(3, places), (3, places), (3,)]


@pytest.mark.parametrize(
    "name, logits_shape, message",
    [
        ("ctc", (None, 10, 11), "The network gives 10 columns, but ctc takes 11 for codes of 6 characters"),
        ("ctc", (None, 20, 10), "The network gives 10 outputs, but the readout takes 11"),
        ("positions", (None, 4, 11), "The network gives 4 positions, but codes of up to 6 characters take 6"),
        ("positions", (None, 6, 10), "The network gives 10 outputs, but the readout takes 11"),
    ],
)
def test_a_network_that_does_not_fit_is_refused(name, logits_shape, message):
    readout = READOUTS[name](num_classes=10, min_length=3, max_length=6)
    with pytest.raises(ValueError, match=message):
        readout.check_fits(logits_shape)


@pytest.mark.parametrize(
    "name, logits_shape, places, message",
    [
        ("ctc", (2, 10, 11), 6, "The network gives 10 columns, but ctc takes 11 for codes of 6 characters"),
        ("ctc", (2, 20, 11), 7, "The labels have 7 places, but the readout takes codes of up to 6 characters"),
        ("positions", (2, 5, 11), 6, "The network gives 5 positions, but codes of up to 6 characters take 6"),
        ("positions", (2, 6, 11), 7, "The labels have 7 places, but the readout takes codes of up to 6 characters"),
    ],
)
def test_a_loss_of_labels_that_do_not_fit_is_refused(name, logits_shape, places, message):
    readout = READOUTS[name](num_classes=10, min_length=3, max_length=6)
    with pytest.raises(ValueError, match=message):
        readout.loss(tf.zeros(logits_shape), tf.zeros((2, places), tf.int32))


@pytest.mark.parametrize("name, logits_shape", [("ctc", (None, 11, 11)), ("positions", (None, 6, 11))])
def test_a_network_that_fits_is_taken(name, logits_shape):
    READOUTS[name](num_classes=10, min_length=3, max_length=6).check_fits(logits_shape)


@pytest.mark.parametrize("name", READOUTS)
@pytest.mark.parametrize("lengths", [(0, 4), (5, 4)])
def test_impossible_lengths_are_refused(name, lengths):
    with pytest.raises(ValueError, match="need 1 <= min_length <= max_length"):
        READOUTS[name](10, *lengths)


@pytest.mark.parametrize("readout", READOUTS)
def test_the_likelihood_of_a_code_that_is_read_is_its_confidence(readout):
    made = READOUTS[readout](num_classes=3, min_length=1, max_length=2)
    drawn = np.random.default_rng(0).normal(0, 2, (50, made.num_positions or 4, made.num_outputs))
    logits = tf.constant(drawn, tf.float32)
    decoded = made.decode(logits)
    read = decoded.confidence.numpy() > 0  # 0 where it is too long
    read &= decoded.label_ids.numpy()[:, 0] != -1
    logits = logits[read]
    likelihood = made.likelihood(logits, decoded.label_ids[read][:, :2]).numpy()
    if readout == "ctc":
        np.testing.assert_allclose(likelihood, decoded.confidence.numpy()[read], rtol=1e-5)
        return
    # Nothing can be read as shorter than a code may be, but a label is never that short.
    ends_first = tf.nn.softmax(logits)[:, 0, 3].numpy()
    expected = decoded.confidence.numpy()[read] * (1 - ends_first)
    np.testing.assert_allclose(likelihood, expected, rtol=1e-5)


def test_the_likelihood_of_another_code_by_hand():
    made = READOUTS["positions"](num_classes=2, min_length=2, max_length=2)
    logits = _logits([[[0.9, 0.1], [0.4, 0.6]]])
    np.testing.assert_allclose(made.likelihood(logits, tf.constant([[1, 0]])), [0.1 * 0.4], rtol=1e-5)
