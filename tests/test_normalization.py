import keras
import numpy as np
import pytest
import tensorflow as tf

from alexnet.averages import Averages
from alexnet.normalization import Calibration, FusedBatchNormalization


def _network(dropout=0.0):
    images = keras.Input((2, 2, 1))
    x = keras.layers.Dropout(dropout, seed=0)(images)
    x = FusedBatchNormalization(epsilon=0.0, name="first")(x)
    x = keras.layers.Rescaling(2.0)(x)
    return keras.Model(images, FusedBatchNormalization(epsilon=0.0, name="second")(x))


def _batch(*values):
    return tf.constant(values, tf.float32)[:, None, None, None] * tf.ones((1, 2, 2, 1))


def _statistics(network):
    layers = [network.get_layer(name) for name in ("first", "second")]
    return [(layer.moving_mean.numpy()[0], layer.moving_variance.numpy()[0]) for layer in layers]


def test_calibration_takes_the_mean_over_the_batches():
    network = _network()
    network.get_layer("first").moving_mean.assign([99.0])  # of which nothing is to stay
    Calibration(network, tf.distribute.get_strategy())([_batch(0, 2), _batch(10, 16)])
    # Of 8 values each: means 1 and 13, variances 1 and 9, without bias 8/7 of that. The second sees -2 and 2 each time.
    (first_mean, first_variance), (second_mean, second_variance) = _statistics(network)
    np.testing.assert_allclose(first_mean, 7)
    np.testing.assert_allclose(first_variance, 5 * 8 / 7, rtol=1e-6)
    np.testing.assert_allclose(second_mean, 0, atol=1e-6)
    np.testing.assert_allclose(second_variance, 4 * 8 / 7, rtol=1e-6)


def test_calibration_changes_the_statistics_alone():
    network = _network(dropout=0.5)
    before = {v.path: v.numpy() for v in network.variables}
    Calibration(network, tf.distribute.get_strategy())([_batch(0, 2)])
    changed = {v.path.split("/")[-1] for v in network.variables if not np.array_equal(v.numpy(), before[v.path])}
    assert changed == {"moving_mean", "moving_variance"}


def test_calibration_is_repeatable():
    network, results = _network(), []
    calibration = Calibration(network, tf.distribute.get_strategy())
    for _ in range(2):
        calibration([_batch(0, 2), _batch(3, 5)])
        results.append(_statistics(network))
    assert results[0] == results[1]


def test_training_follows_the_momentum_after_a_calibration():
    layer = FusedBatchNormalization(momentum=0.5)
    layer.build((None, 2, 2, 1))
    with layer.calibrating(tf.constant(1.0)):
        layer(_batch(4, 4))
    layer(_batch(8, 8), training=True)
    np.testing.assert_allclose(layer.moving_mean, [6.0])


@pytest.mark.slow
def test_calibration_on_two_devices(run_on_two_devices):
    printed = run_on_two_devices("""
from alexnet.normalization import Calibration
with strategy.scope():
    images = keras.Input((1, 1, 1))
    layer = FusedBatchNormalization()
    network = keras.Model(images, layer(images))
Calibration(network, strategy)([strategy.experimental_distribute_values_from_function(values)])
print([float(layer.moving_mean.numpy()[0]), round(float(layer.moving_variance.numpy()[0]), 2)])
""")
    assert printed == "[8.5, 73.67]"  # of 1, 3, 10 and 20


def _averaged():
    layer = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
    network = keras.Sequential([keras.Input((1,)), layer])
    return network, layer


def test_averages_by_hand():
    network, layer = _averaged()
    averages = Averages(network, decay=0.5)
    for step, value in ((0, 10.0), (1, 10.0), (1_000, 0.0)):
        layer.kernel.assign([[value]])
        averages.update(tf.constant(step))
    # The shares are 9/10, 9/11 and, as from there on, 1/2.
    np.testing.assert_allclose(averages.variables[0], [[(9 + (10 - 9) * 9 / 11) / 2]], rtol=1e-6)


def test_averages_stand_in_and_go_again():
    network, layer = _averaged()
    averages = Averages(network, decay=0.5)
    layer.kernel.assign([[10.0]])
    averages.update(tf.constant(0))
    with averages.in_place():
        np.testing.assert_allclose(layer.kernel, [[9.0]], rtol=1e-6)
    np.testing.assert_array_equal(layer.kernel, [[10.0]])
    np.testing.assert_allclose(averages.variables[0], [[9.0]], rtol=1e-6)


def test_averages_hold_moving_statistics_and_no_seeds():
    network = _network(dropout=0.5)
    assert len(network.variables) == 9  # one is the seed of the dropout
    assert len(Averages(network, decay=0.5).variables) == 8
