import keras
import numpy as np

from alexnet import NETWORKS
from alexnet.attention import CountingAttention
from alexnet.standardization import Standardization


def _attention(held, num_positions, sharpness=100.0):
    """With columns of one feature, which says by itself whether a column holds a character: 20 all of it, -20 none."""
    layer = CountingAttention(num_positions)
    columns = np.array(held, "float32")[None, :, None]
    layer.build(columns.shape)
    layer.measure.kernel.assign([[1.0, 0.0]])
    layer.held.assign(0.0)
    layer.sharpness.assign(np.log(sharpness))
    return layer, columns


def test_each_position_reads_the_column_that_holds_its_character():
    layer, columns = _attention([-20, 20, -20, -20, 21, 22], num_positions=3)
    np.testing.assert_allclose(layer(columns)[0, :, 0], [20, 21, 22], atol=1e-3)


def test_wherever_they_stand():
    layer, columns = _attention([20, 21, -20, -20, -20, 22], num_positions=3)
    np.testing.assert_allclose(layer(columns)[0, :, 0], [20, 21, 22], atol=1e-3)


def test_to_begin_with_each_position_reads_its_part_of_the_width():
    layer = CountingAttention(4)
    layer.build((None, 20, 1))
    layer.measure.kernel.assign([[0.0, 0.0]])
    places = np.arange(20, dtype="float32")[None, :, None]
    np.testing.assert_allclose(layer(places)[0, :, 0], [2, 7, 12, 17], atol=0.2)


def test_more_positions_than_columns():
    layer = CountingAttention(8)
    assert np.isfinite(layer(np.ones((1, 3, 2), "float32"))).all()


def test_colors_and_contrast_make_no_difference():
    drawn = np.random.default_rng(0).random((1, 6, 8, 1)) < 0.2

    def standardized(ground, ink):
        return Standardization()(np.where(drawn, ink, ground)).numpy()

    black_on_white = standardized([250.0] * 3, [0.0] * 3)
    np.testing.assert_allclose(standardized([200.0] * 3, [80.0] * 3), black_on_white, atol=0.2)
    np.testing.assert_allclose(standardized([0.0] * 3, [250.0] * 3)[..., 3], black_on_white[..., 3], atol=1e-3)
    np.testing.assert_allclose(standardized([9.0, 90, 200], [250, 20, 7])[..., 3], black_on_white[..., 3], atol=0.2)


def test_channels_are_divided_by_one_deviation():
    """So that a channel of little contrast stays one beside the others."""
    image = np.zeros((1, 2, 2, 3), "float32")
    image[0, 0] = [200.0, 20.0, 0.0]  # each 100, 10 and 0 above its mean
    deviation = ((100**2 + 10**2) / 3) ** 0.5 + 4.0
    np.testing.assert_allclose(Standardization()(image)[0, 0, 0, :3], np.array([100, 10, 0]) / deviation, rtol=1e-5)


def test_an_empty_image_stays_empty():
    np.testing.assert_allclose(Standardization()(np.full((1, 4, 4, 1), 77.0))[..., 0], np.zeros((1, 4, 4)), atol=1e-4)


def test_positions_of_alexnet_survive_a_file(tmp_path):
    network = NETWORKS["alexnet"]((32, 80, 1), 10, 4)
    network.save(tmp_path / "network.keras")
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 80, 1), np.uint8)
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "network.keras")(images), network(images))
