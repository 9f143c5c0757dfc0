"""The networks: shapes, sizes, a round trip through a file, and normalization on two devices."""

import importlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from alexnet import NETWORKS, alexnet_v2, catalogue
from alexnet.catalogue import CATALOGUE, networks_for, problem
from alexnet.normalization import FusedBatchNormalization
from alexnet.readout import READOUTS
from pipeline import choices
from pipeline.model.variables import numbered_paths
from pipeline.training import optimizer, rates


@pytest.fixture(autouse=True)
def narrow_alexnet_v2(request, monkeypatch):
    """46 million parameters take seconds to make; only those who count them need them all."""
    if "test_parameter_counts" not in request.node.name:
        monkeypatch.setattr(alexnet_v2, "WIDE", 16)


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_catalogue_knows_what_each_network_can_do(name):
    entry = CATALOGUE[name]
    module = importlib.import_module(entry.module)
    assert NETWORKS[name] is module.build
    assert entry.smallest == getattr(module, "SMALLEST", 1)
    for readout, num_positions in (("positions", 4), ("ctc", None)):
        if readout in entry.readouts:
            module.build((60, 160, 1), 11, num_positions)
        else:
            with pytest.raises(ValueError, match="positions|columns"):
                module.build((60, 160, 1), 11, num_positions)


def test_the_settings_name_what_there_is():
    assert choices.NETWORKS == tuple(CATALOGUE) == tuple(NETWORKS)
    assert choices.READOUTS == catalogue.READOUTS == tuple(READOUTS)
    assert networks_for("ctc") == choices.COLUMN_NETWORKS
    assert tuple(optimizer.OPTIMIZERS) == choices.OPTIMIZERS and ("auto", *rates.SCHEDULES) == choices.SCHEDULES


def test_why_a_network_cannot_read():
    assert problem("alexnet", "ctc", 60, 160) is None and problem("alexnet_v2", "positions", 1, 1) is None
    assert problem("vgg", "ctc", 80, 170) == (
        "vgg has one head for each position and no columns for --readout=ctc: use alexnet or alexnet_large or crnn"
    )
    assert problem("crnn", "positions", 60, 160).startswith("crnn has columns and no positions for --readout=positions")
    assert problem("three_conv", "positions", 8, 7) == "three_conv needs at least 8x8 pixels"


def test_an_unknown_network_is_no_network():
    assert "resnet" not in NETWORKS
    with pytest.raises(KeyError):
        NETWORKS["resnet"]


def _images(image_shape, count=2, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *image_shape), dtype=np.uint8)


@pytest.mark.parametrize(
    "width, height, channels", [(160, 60, 1), (95, 35, 1), (50, 22, 3), (170, 80, 3), (224, 224, 1), (16, 16, 3)]
)
def test_alexnet_gives_a_logit_vector_for_each_position(width, height, channels):
    network = NETWORKS["alexnet"]((height, width, channels), num_outputs=10, num_positions=4)
    logits = network(_images((height, width, channels)))
    assert logits.shape == (2, 4, 10)
    assert logits.dtype == "float32"


@pytest.mark.parametrize(
    "width, height, num_columns", [(160, 60, 40), (95, 35, 24), (50, 22, 13), (170, 80, 43), (224, 224, 56)]
)
def test_alexnet_without_positions_gives_a_logit_vector_for_every_4_pixels_of_the_width(width, height, num_columns):
    network = NETWORKS["alexnet"]((height, width, 1), num_outputs=11)
    assert network.output_shape == (None, num_columns, 11)
    assert network(_images((height, width, 1))).shape == (2, num_columns, 11)


@pytest.mark.parametrize(
    "network, width, height, channels",
    [
        ("alexnet_v2", 160, 60, 1),
        ("alexnet_v2", 50, 22, 3),
        ("three_conv", 160, 60, 3),
        ("three_conv", 180, 50, 1),
        ("three_conv", 8, 8, 1),
        ("nptu", 95, 35, 1),
        ("nptu", 16, 16, 3),
        ("percent4", 50, 22, 3),
        ("percent4", 16, 16, 1),
        ("vgg", 170, 80, 3),
        ("vgg", 76, 76, 1),
        ("vgg", 16, 16, 3),
    ],
)
def test_the_networks_of_heads_give_a_logit_vector_for_each_position(network, width, height, channels):
    network = NETWORKS[network]((height, width, channels), num_outputs=11, num_positions=5)
    logits = network(_images((height, width, channels)))
    assert logits.shape == (2, 5, 11)
    assert logits.dtype == "float32"
    assert np.isfinite(logits).all()


@pytest.mark.parametrize("network", networks_for("positions"))
def test_one_position_is_enough(network):
    assert NETWORKS[network]((60, 160, 1), num_outputs=10, num_positions=1).output_shape == (None, 1, 10)


@pytest.mark.parametrize(
    "width, height, channels, num_columns", [(160, 60, 1, 40), (95, 35, 3, 23), (50, 22, 3, 12), (16, 16, 1, 4)]
)
def test_crnn_gives_a_logit_vector_for_every_4_pixels_of_the_width(width, height, channels, num_columns):
    network = NETWORKS["crnn"]((height, width, channels), num_outputs=11)
    logits = network(_images((height, width, channels)))
    assert logits.shape == (2, num_columns, 11)
    assert logits.dtype == "float32"
    assert np.isfinite(logits).all()


def test_crnn_has_no_positions():
    with pytest.raises(ValueError, match="crnn gives a logit vector for each column and has no positions"):
        NETWORKS["crnn"]((60, 160, 1), num_outputs=10, num_positions=4)


@pytest.mark.parametrize("network", sorted(set(NETWORKS) - set(networks_for("ctc"))))
def test_the_networks_of_heads_have_no_columns(network):
    with pytest.raises(ValueError, match=f"{network} has one head for each position and no columns to read"):
        NETWORKS[network]((60, 160, 1), num_outputs=11)


@pytest.mark.parametrize(
    "network, smallest, num_positions",
    [
        ("alexnet", 16, 4),
        ("alexnet_large", 16, 4),
        ("three_conv", 8, 4),
        ("nptu", 16, 4),
        ("percent4", 16, 4),
        ("vgg", 16, 4),
        ("crnn", 16, None),
    ],
)
def test_too_small_an_image_is_named_with_what_is_needed(network, smallest, num_positions):
    for width, height in ((160, smallest - 1), (smallest - 1, 60)):
        said = f"The image is {width}x{height}, but {network} needs at least {smallest}x{smallest} pixels"
        with pytest.raises(ValueError, match=said):
            NETWORKS[network]((height, width, 1), 10, num_positions)


@pytest.mark.parametrize(
    "network, image_shape, num_outputs, num_positions, count",
    [
        ("alexnet", (60, 160, 1), 10, 4, 275_468),
        ("alexnet_large", (60, 160, 1), 10, 4, 1_062_220),
        ("alexnet_v2", (60, 160, 1), 10, 4, 46_355_304),
        ("three_conv", (60, 160, 3), 35, 5, 2_949_103),
        ("nptu", (35, 95, 1), 10, 4, 679_768),  # 683,264 in the original
        ("percent4", (22, 50, 3), 10, 4, 1_483_896),
        ("vgg", (80, 170, 3), 36, 4, 1_393_584),
        ("crnn", (60, 160, 1), 11, None, 224_155),
    ],
)
def test_parameter_counts(network, image_shape, num_outputs, num_positions, count):
    assert NETWORKS[network](image_shape, num_outputs, num_positions).count_params() == count


@pytest.mark.parametrize("network", NETWORKS)
def test_the_loss_moves_every_variable(network):
    readout = READOUTS[CATALOGUE[network].readouts[0]](num_classes=10, min_length=2, max_length=2)
    network = NETWORKS[network]((22, 50, 3), readout.num_outputs, readout.num_positions)
    with tf.GradientTape() as tape:
        losses = readout.loss(network(_images((22, 50, 3)), training=True), tf.constant([[1, 2], [3, 4]]))
    variables = network.trainable_variables
    gradients = tape.gradient(losses, [variable.value for variable in variables])
    still = [v.path for v, g in zip(variables, gradients) if g is None or not np.any(g)]
    assert still == []


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_variables_have_the_same_names_however_often_a_network_is_built(name):
    num_positions = None if name == "crnn" else 4
    first, second = (numbered_paths(NETWORKS[name]((60, 160, 1), 11, num_positions).variables) for _ in range(2))
    assert first == second, "a checkpoint is read by these names"


def test_bytes_and_floats_of_the_same_image_give_the_same_logits():
    network = NETWORKS["alexnet"]((60, 160, 1), num_outputs=10, num_positions=4)
    images = _images((60, 160, 1))
    np.testing.assert_array_equal(network(images), network(images.astype("float32")))


def test_dropout_is_off_unless_training():
    network = NETWORKS["alexnet"]((22, 50, 1), num_outputs=10, num_positions=4, dropout=0.5)
    images = _images((22, 50, 1))
    np.testing.assert_array_equal(network(images, training=False), network(images, training=False))
    assert not np.array_equal(network(images, training=True), network(images, training=True))


@pytest.mark.parametrize(
    "network, image_shape, num_positions",
    [
        ("alexnet", (60, 160, 1), 4),
        ("alexnet", (35, 95, 3), None),
        ("alexnet_v2", (22, 50, 3), 2),
        ("three_conv", (22, 50, 3), 2),
        ("nptu", (22, 50, 1), 2),
        ("percent4", (22, 50, 3), 2),
        ("vgg", (22, 50, 3), 2),
        ("crnn", (22, 50, 3), None),
    ],
)
def test_a_saved_network_gives_the_same_logits(tmp_path, network, image_shape, num_positions):
    model = NETWORKS[network](image_shape, num_outputs=5, num_positions=num_positions)
    images = _images(image_shape)
    if network != "alexnet_v2":
        model(images, training=True)  # so that the moving statistics are no longer the initial ones
    model.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    np.testing.assert_array_equal(loaded(images), model(images))


def test_logits_stay_float32_in_mixed_precision():
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        for name, build in NETWORKS.items():
            network = build((60, 160, 1), num_outputs=10, num_positions=4 if CATALOGUE[name].has_positions else None)
            assert network.compute_dtype == "bfloat16"
            assert network(_images((60, 160, 1)), training=True).dtype == "float32"
    finally:
        keras.mixed_precision.set_global_policy("float32")


@pytest.mark.parametrize(
    "network, readout, learning_rate",
    [
        pytest.param(*one, marks=pytest.mark.slow if number else ())
        for number, one in enumerate(
            (
                ("alexnet", "positions", 5e-3),
                ("alexnet", "ctc", 5e-3),
                ("three_conv", "positions", 5e-3),
                ("nptu", "positions", 5e-3),
                ("percent4", "positions", 1e-3),
                ("vgg", "positions", 1e-3),
                ("crnn", "ctc", 5e-3),
            )
        )
    ],
)
def test_the_loss_falls_to_a_quarter_on_one_batch(network, readout, learning_rate):
    keras.utils.set_random_seed(0)
    readout = READOUTS[readout](num_classes=3, min_length=2, max_length=2)
    network = NETWORKS[network]((22, 50, 1), readout.num_outputs, readout.num_positions)
    readout.check_fits(network.output_shape)
    images, label_ids = tf.constant(_images((22, 50, 1), count=8)), tf.constant([[i % 3, i // 3] for i in range(8)])
    optimizer = keras.optimizers.Adam(learning_rate)

    @tf.function
    def train_step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(readout.loss(network(images, training=True), label_ids))
        optimizer.apply(tape.gradient(loss, network.trainable_variables), network.trainable_variables)
        return loss

    losses = [float(train_step()) for _ in range(50)]
    assert losses[-1] < losses[0] / 4


def test_fused_normalization_equals_that_of_keras():
    fused, plain = FusedBatchNormalization(momentum=0.9), keras.layers.BatchNormalization(momentum=0.9)
    images = np.random.default_rng(0).normal(3.0, 2.0, (4, 5, 6, 2)).astype("float32")
    np.testing.assert_allclose(fused(images, training=True), plain(images, training=True), atol=1e-5)
    np.testing.assert_allclose(fused.moving_mean, plain.moving_mean, atol=1e-6)
    # The kernel keeps the variance of the population (n - 1), Keras that of the batch (n).
    expected = 0.9 + 0.1 * images.var(axis=(0, 1, 2), ddof=1)
    np.testing.assert_allclose(fused.moving_variance, expected, rtol=1e-5)
    plain.moving_variance.assign(fused.moving_variance)
    np.testing.assert_allclose(fused(images), plain(images), atol=1e-5)


def test_frozen_normalization_keeps_its_statistics():
    layer = FusedBatchNormalization()
    layer.trainable = False
    images = np.full((2, 3, 3, 1), 5.0, "float32")
    layer(images, training=True)
    np.testing.assert_array_equal(layer.moving_mean, [0.0])


@pytest.mark.slow
def test_two_devices_normalize_by_the_whole_batch(run_on_two_devices):
    printed = run_on_two_devices("""
with strategy.scope():
    layer = FusedBatchNormalization(momentum=0.5)
    layer.build((None, 1, 1, 1))

@tf.function
def run(images):
    outputs = strategy.run(lambda images: layer(images, training=True), [images])
    return strategy.experimental_local_results(outputs)

images = strategy.experimental_distribute_values_from_function(values)
outputs = [[round(float(value), 2) for value in output.numpy().ravel()] for output in run(images)]
means = [float(copy.numpy()[0]) for copy in layer.moving_mean.value.values]
variances = [round(float(copy.numpy()[0]), 2) for copy in layer.moving_variance.value.values]
print(outputs, means, variances)
""")
    # Of 1, 3, 10 and 20 the mean is 8.5 and the variance 55.25, without bias 73.67: half the way there from 0 and 1.
    assert printed == "[[-1.01, -0.74], [0.2, 1.55]] [4.25, 4.25] [37.33, 37.33]"
