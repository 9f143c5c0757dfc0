"""Cleaned images against literals, against Pillow, and against a loop written another way."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageFilter

from pipeline import choices
from pipeline.model.cleaning import CLEANINGS, otsu_levels
from records.dataset.reader import match_channels


def cleaned(name, image):
    """Of one image [height][width], as lists."""
    return CLEANINGS[name](tf.constant(image, tf.uint8)[None, :, :, None])[0, :, :, 0].numpy().tolist()


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


def otsu_by_definition(grey):
    """The level with the greatest variance between the two sides, each weighed by its share of pixels."""
    best, best_level = -1.0, 0
    for level in range(256):
        dark, light = grey[grey <= level].astype(float), grey[grey > level].astype(float)
        between = len(dark) * len(light) * (dark.mean() - light.mean()) ** 2 if len(dark) and len(light) else 0.0
        if between > best * (1 + 1e-12):
            best, best_level = between, level
    return best_level


def test_the_names_are_those_of_the_settings():
    assert tuple(CLEANINGS) == choices.CLEANINGS


def test_none_keeps_images():
    image = noise(4, 5).tolist()
    assert cleaned("none", image) == image


def test_a_threshold_by_hand():
    assert cleaned("threshold", [[10, 12, 200], [11, 210, 190]]) == [[0, 0, 255], [0, 255, 255]]
    assert cleaned("threshold", [[7, 7], [7, 8]]) == [[0, 0], [0, 255]]


def test_an_image_of_one_level_stays_one_level():
    assert cleaned("threshold", [[9, 9], [9, 9]]) == [[255, 255], [255, 255]]


def test_each_image_has_the_level_of_otsu():
    images = noise(6, 12, 20, 1) // np.array([1, 2, 3, 5, 9, 40], np.uint8)[:, None, None, None]
    images[3, 4:8, 5:15] += 150
    expected = [otsu_by_definition(image) for image in images]
    assert otsu_levels(tf.constant(images)).numpy().tolist() == expected
    for image, level in zip(images, expected):
        assert np.array_equal(cleaned("threshold", image[..., 0]), np.where(image[..., 0] > level, 255, 0))


def test_colours_are_cut_by_their_grey():
    images = noise(2, 8, 9, 3)
    grey = CLEANINGS["threshold"](match_channels(tf.constant(images), 1))
    assert np.array_equal(CLEANINGS["threshold"](tf.constant(images)), np.repeat(grey, 3, axis=-1))


def test_a_median_by_hand():
    image = [[1, 2, 3], [4, 250, 6], [7, 8, 9]]
    assert cleaned("median", image)[1][1] == 6
    # The corner sees 1 1 2, 1 1 2, 4 4 250.
    assert cleaned("median", image)[0][0] == 2
    assert cleaned("median", [[5]]) == [[5]]


@pytest.mark.parametrize("shape", [(17, 23, 1), (17, 23, 3)])
def test_the_median_is_that_of_pillow(shape):
    images = noise(3, *shape)
    ours = CLEANINGS["median"](tf.constant(images)).numpy()
    for image, own in zip(images, ours):
        for channel in range(shape[2]):
            theirs = np.asarray(Image.fromarray(image[..., channel]).filter(ImageFilter.MedianFilter(3)))
            assert np.array_equal(own[1:-1, 1:-1, channel], theirs[1:-1, 1:-1])


def test_specks_go_before_the_threshold():
    image = np.full((7, 7), 200)
    image[2:5, 1:6] = 50
    image[0, 6] = 0
    expected = np.full((7, 7), 255)
    expected[2:5, 1:6] = 0
    for y, x in ((2, 1), (2, 5), (4, 1), (4, 5)):  # corners are rounded off
        expected[y, x] = 255
    assert cleaned("median_threshold", image) == expected.tolist()


@pytest.mark.parametrize("name", CLEANINGS)
def test_it_works_in_a_graph_of_any_batch(name):
    function = tf.function(CLEANINGS[name], input_signature=[tf.TensorSpec([None, 8, 9, 3], tf.uint8)])
    images = noise(4, 8, 9, 3)
    assert function.get_concrete_function().structured_outputs.shape.as_list() == [None, 8, 9, 3]
    assert np.array_equal(function(images), CLEANINGS[name](tf.constant(images)))
    dataset = tf.data.Dataset.from_tensor_slices(images).batch(3).map(CLEANINGS[name])
    assert np.array_equal(np.concatenate([batch.numpy() for batch in dataset]), function(images))
