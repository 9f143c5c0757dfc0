"""Varied images: what varies them is their number alone, and they stay what they were."""

import numpy as np
import pytest
import tensorflow as tf

from pipeline.training.augmentation import RANGES, augment


def picture(height=24, width=60, channels=1):
    """A letter F, dark on light, which is itself neither mirrored nor upside down."""
    image = np.full((height, width, channels), 220, np.uint8)
    image[4:20, 20:24] = image[4:8, 20:40] = image[11:14, 20:33] = 40
    return image


def varied(numbers, image=None, seed=0, strength=1.0):
    image = picture() if image is None else image
    images = tf.constant(np.repeat(image[None], len(numbers), axis=0))
    return augment(images, tf.constant(numbers, tf.int64), seed, strength).numpy()


def test_strength_0_changes_nothing():
    image = np.random.default_rng(0).integers(0, 256, (9, 13, 3)).astype(np.uint8)
    assert np.array_equal(varied([3, 4], image, strength=0.0), [image, image])


@pytest.mark.parametrize("shape", [(24, 60, 1), (9, 13, 3)])
def test_a_number_gives_the_same_picture_in_any_batch(shape):
    image = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    numbers = [5, 0, 17, 2**40, 3, 8, 1]
    together = varied(numbers, image)
    assert together.shape == (7, *shape) and together.dtype == np.uint8
    for number, expected in zip(numbers, together):
        assert np.array_equal(varied([number], image)[0], expected)
    in_graph = tf.function(lambda n: augment(tf.constant(image[None]), n, 0, 1.0))
    assert np.array_equal(in_graph(tf.constant([17], tf.int64))[0], together[2])


def test_other_numbers_and_seeds_give_other_pictures():
    pictures = [*varied(range(20)), *varied(range(20), seed=1)]
    assert len({image.tobytes() for image in pictures}) == 40


def test_nothing_is_mirrored():
    image = picture()
    drawn = varied(range(100)).astype(float)
    for other in (image[:, ::-1], image[::-1], image[::-1, ::-1]):
        for one in drawn:
            assert _correlation(one, image) > _correlation(one, other)


def test_the_range_of_grey_is_used_and_kept():
    image = np.zeros((12, 20, 1), np.uint8)
    image[:, 10:] = 255
    drawn = varied(range(100), image, strength=3.0)
    assert drawn.min() == 0 and drawn.max() == 255
    # What falls below 0 or beyond 255 is cut off there: the dark side stays darker than the light one.
    assert (drawn[:, :, 1].mean((1, 2)) < drawn[:, :, -2].mean((1, 2))).all()


def test_how_far_a_picture_moves():
    """The middle of a blot in the middle is moved by the shift alone, and on average not at all."""
    image = np.full((60, 160, 1), 255, np.uint8)
    image[24:36, 72:88] = 0
    ink = 255.0 - varied(range(100), image)[..., 0]
    ink[ink < 128] = 0
    total = ink.sum((1, 2))
    x = (ink.sum(1) * np.arange(160)).sum(1) / total - 79.5
    y = (ink.sum(2) * np.arange(60)).sum(1) / total - 29.5
    assert abs(x.mean()) < 1 and abs(y.mean()) < 0.6
    # A scale of 0.9 makes the largest shift a ninth larger, and what turns the picture mixes the two a little.
    assert 4 < abs(x).max() < (160 * RANGES["shift_x"] + 60 * RANGES["shift_y"] * 0.17) / 0.88 + 0.5
    assert 3 < abs(y).max() < (60 * RANGES["shift_y"] + 160 * RANGES["shift_x"] * 0.07) / 0.88 + 0.5


def _correlation(a, b):
    return np.corrcoef(a.ravel(), b.ravel())[0, 1]
