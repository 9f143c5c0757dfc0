"""Weights of a training on other images: what of them another network takes, and what it then gives."""

import keras
import numpy as np
import pytest

from alexnet import alexnet
from pipeline.model.variables import NETWORK, arrays_of, assign_what_fits
from pipeline.training.transfer import Transfer
from tests.training_fixtures import make_state


def transfer(given=None, own=None):
    return Transfer(make_state(**(given or {})).spec, make_state(**(own or {})).spec)


def initial(*shape):
    return np.full(shape, 99.0, np.float32)


@pytest.mark.parametrize("before, now", [(3, 1), (1, 3)])
def test_a_grey_image_looks_the_same_to_the_kernels_for_colour(before, now):
    kernel = np.random.default_rng(0).normal(size=(5, 5, before, 4)).astype(np.float32)
    fitted = transfer().fitted("conv1/kernel", kernel, initial(5, 5, now, 4))
    patch = np.random.default_rng(1).normal(size=(5, 5, 1)).astype(np.float32)

    def response(weights):
        grey = np.repeat(patch, weights.shape[2], axis=2)
        return np.einsum("hwc,hwcf->f", grey, weights)

    assert fitted.shape == (5, 5, now, 4) and fitted.dtype == np.float32
    assert np.allclose(response(fitted), response(kernel), atol=1e-5)


@pytest.mark.parametrize("height", [1, 2, 3, 5, 8])
def test_a_kernel_that_spans_the_height_adds_up_to_the_same(height):
    kernel = np.arange(3 * 2 * 2, dtype=np.float32).reshape(3, 1, 2, 2)
    fitted = transfer().fitted("columns/kernel", kernel, initial(height, 1, 2, 2))
    assert fitted.shape == (height, 1, 2, 2)
    assert np.allclose(fitted.sum(axis=0), kernel.sum(axis=0), rtol=0.15)
    top_is_smaller = fitted[0] <= fitted[-1]
    assert top_is_smaller.all() or height == 1  # in the same order


def test_characters_keep_what_was_learned_of_them_in_whatever_order():
    kernel = np.stack([np.full(2, place, np.float32) for place in range(4)], axis=-1)
    moved = transfer({"alphabet": "01aB"}, {"alphabet": "b10x"}).fitted("logits/kernel", kernel, initial(2, 4))
    assert moved[0].tolist() == [3.0, 1.0, 0.0, 99.0]  # b as B, and x as it began


def test_the_end_is_taken_over_where_both_have_one():
    given = {"alphabet": "01", "min_length": 3, "max_length": 4}
    bias = np.array([0.0, 1.0, 2.0], np.float32)
    with_end = transfer(given, {"alphabet": "210", "min_length": 1, "max_length": 6})
    assert with_end.fitted("logits/bias", bias, initial(4)).tolist() == [99.0, 1.0, 0.0, 2.0]
    without = transfer(given, {"alphabet": "210", "min_length": 4, "max_length": 4})
    assert without.fitted("logits/bias", bias, initial(3)).tolist() == [99.0, 1.0, 0.0]
    blank = transfer(given, {"alphabet": "210", "readout": "ctc", "network": "alexnet"})
    assert blank.fitted("logits/bias", bias, initial(4)).tolist() == [99.0, 1.0, 0.0, 99.0]


@pytest.mark.parametrize(
    "name, array, shape",
    [
        ("conv2/kernel", np.zeros((3, 3, 24, 48), np.float32), (3, 3, 32, 96)),
        ("conv2/kernel", np.zeros((3, 3, 24, 48), np.float32), (5, 5, 24, 48)),
        ("conv1_norm/gamma", np.zeros(24, np.float32), (32,)),
        ("conv1_norm/gamma", np.zeros(24, np.int32), (24,)),
        ("logits/kernel", np.zeros((128, 11), np.float32), (256, 11)),
    ],
)
def test_what_does_not_fit_is_left(name, array, shape):
    assert transfer().fitted(name, array, initial(*shape)) is None


def test_unknown_characters_leave_the_classifier_as_it_is():
    apart = transfer({"alphabet": "01"}, {"alphabet": "AB"})
    assert apart.fitted("logits/bias", np.zeros(2, np.float32), initial(2)) is None


def test_a_network_for_other_images_reads_what_the_first_one_does():
    """Grey instead of colour, longer codes, another order of the characters: the columns, and what they show, are the
    same."""
    wide = (48, 128)
    first = alexnet.build((*wide, 3), 4, 4)
    second = alexnet.build((*wide, 1), 3, 4)
    given, own = {"alphabet": "0123", "image_shape": (*wide, 3)}, {"alphabet": "310", "image_shape": (*wide, 1)}
    taken, left = assign_what_fits(
        arrays_of(**{NETWORK: first.variables}), second.variables, transfer(given, own).fitted
    )
    assert not left and len(taken) == len(second.variables)
    grey = np.random.default_rng(2).integers(0, 256, (2, *wide, 1)).astype(np.float32)
    before = keras.ops.convert_to_numpy(first(np.repeat(grey, 3, axis=3)))
    after = keras.ops.convert_to_numpy(second(grey))
    # The root of the distance is taken of a little more than its square.
    assert np.allclose(after, before[..., [3, 1, 0]], atol=3e-3)
