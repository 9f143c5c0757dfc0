import numpy as np
import tensorflow as tf
from PIL import Image

from alexnet.fitting import fit


def _images(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_an_image_of_the_size_stays_as_it_is():
    images = _images(2, 6, 10, 3)
    np.testing.assert_array_equal(fit(images, 6, 10), images)


def test_halved_by_hand():
    image = np.array([[0, 0, 100, 100], [0, 0, 100, 100]], np.uint8)[..., None]
    # A triangle 2 pixels to each side: 3/4 of the pixels below, 1/4 of those next to them; at the border 1/7.
    np.testing.assert_array_equal(fit(image, 1, 2)[..., 0], [[14, 86]])


def test_doubled_by_hand():
    image = np.array([[0, 100]], np.uint8)[..., None]
    np.testing.assert_array_equal(fit(image, 2, 4)[..., 0], [[0, 25, 75, 100]] * 2)


def test_like_pillow():
    for height, width, expected_width in ((22, 50, 127), (80, 575, 402), (100, 800, 448)):
        pixels = np.cumsum(_images(height, width), axis=1).astype(np.uint8) // 4 * 4
        ours = fit(pixels[..., None], 56, expected_width)[..., 0].numpy().astype(int)
        theirs = Image.fromarray(pixels).resize((expected_width, 56), Image.Resampling.BILINEAR)
        assert np.abs(ours - np.asarray(theirs, int)).max() <= 2


def test_narrower_images_are_padded_with_their_mean_color():
    image = np.zeros((4, 4, 3), np.uint8)
    image[:, :2] = 100, 50, 0
    fitted = fit(image, 4, 8).numpy()
    np.testing.assert_array_equal(fitted[:, :4], image)
    np.testing.assert_array_equal(fitted[:, 4:], np.tile([50, 25, 0], (4, 4, 1)))


def test_wider_images_are_squeezed():
    image = np.zeros((4, 40, 1), np.uint8)
    image[:, 20:] = 200
    fitted = fit(image, 4, 10).numpy()[..., 0]
    assert fitted[0, 0] == 0 and fitted[0, -1] == 200
    np.testing.assert_array_equal(fitted[0], 200 - fitted[0, ::-1])


def test_in_a_graph_of_any_size():
    graph = tf.function(lambda image: fit(image, 8, 16), input_signature=[tf.TensorSpec([None, None, 1], tf.uint8)])
    for shape in ((3, 5, 1), (80, 99, 1), (8, 16, 1)):
        image = _images(*shape)
        np.testing.assert_array_equal(graph(image), fit(image, 8, 16))
        assert graph(image).shape == (8, 16, 1)
