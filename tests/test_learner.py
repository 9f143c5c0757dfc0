"""What a network is read with while it is trained: averaged weights, and statistics that fit them."""

import ast

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.config import RunConfig, TrainConfig
from pipeline.model.checkpoints import Checkpoint, Checkpoints
from pipeline.model.reading import evaluation_batches, predict_batches
from pipeline.model.recognizer import Recognizer
from pipeline.model.variables import reading_arrays
from pipeline.training.feed import Feed
from pipeline.training.learner import Learner
from pipeline.training.plan import Plan
from pipeline.training.steps import Call
from tests.training_fixtures import assert_same_bits, make_records, make_state, settings_for_tests

pytestmark = pytest.mark.usefixtures("tiny_network")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return make_records(tmp_path_factory.mktemp("records"))


def make_learner(manifest, num_steps=0, **options):
    """One that has made some steps, as every one of this kind has."""
    plan = Plan.of(RunConfig(train=TrainConfig(**settings_for_tests(**options))), manifest, None, None)
    strategy = tf.distribute.get_strategy()
    learner, feed = Learner(plan, strategy), Feed.of(plan, manifest, None, None)
    learner.calibrate_with(feed.calibration_batches(strategy))
    if num_steps:
        learner.steps.run(feed.distributed(strategy, 0), Call.of(0, 0, [3e-3] * num_steps))
    return learner


def test_a_checkpoint_is_read_as_it_was_validated(manifest, tmp_path):
    learner = make_learner(manifest, num_steps=6)
    batches = evaluation_batches(manifest, "validation", 16, 1)
    with learner.reading() as calibrated:
        [validated] = predict_batches(learner.strategy, learner.recognizer, batches)
        network = {f"network/{name}": v for name, v in zip(_names(learner), learner.recognizer.network.variables)}
        expected = {name: variable.numpy() for name, variable in network.items()}
    Checkpoints(tmp_path).save(6, {**learner.arrays(), **calibrated}, make_state(6))
    assert_same_bits(reading_arrays(Checkpoints(tmp_path).load(6).arrays), expected)
    loaded = Recognizer.load(tmp_path)
    [read] = predict_batches(learner.strategy, loaded, batches)
    assert np.array_equal(read.probabilities, validated.probabilities)
    raw = Checkpoints(tmp_path).load(6).arrays
    Checkpoints(tmp_path).save(7, {name: raw[name] for name in expected}, make_state(7))
    [unlike] = predict_batches(learner.strategy, Recognizer.load(tmp_path, "last"), batches)
    assert not np.array_equal(read.probabilities, unlike.probabilities)


def test_reading_leaves_the_training_as_it_was(manifest):
    learner = make_learner(manifest, num_steps=3, dropout=0.5)
    before = learner.arrays()
    with learner.reading() as calibrated:
        assert {name.rsplit("/")[-1] for name in calibrated} == {"moving_mean", "moving_variance"}
    assert_same_bits(learner.arrays(), before)


def test_statistics_fit_the_images_and_not_the_steps_before(manifest):
    learner, other = make_learner(manifest), make_learner(manifest)
    layer = other.recognizer.network.get_layer("conv1_norm")
    layer.moving_mean.assign(np.full(layer.moving_mean.shape, 99.0))
    with learner.reading() as calibrated, other.reading() as others:
        assert_same_bits(calibrated, others)


def test_calibration_takes_images_as_they_are_read(manifest):
    plan = Plan.of(RunConfig(train=TrainConfig(**settings_for_tests(augmentation=1.0))), manifest, None, None)
    varied = Feed.of(plan, manifest, None, None)
    plain = Feed.of(
        Plan.of(RunConfig(train=TrainConfig(**settings_for_tests())), manifest, None, None), manifest, None, None
    )
    taken = varied.calibration_batches(tf.distribute.get_strategy())
    expected = [images for images, _ in plain.batches().take(6)]
    assert len(taken) == 6  # one pass over 48 images
    assert all(np.array_equal(images, other) for images, other in zip(taken, expected))


def test_without_averaging_the_last_weights_are_read(manifest):
    learner = make_learner(manifest, num_steps=2, averaging=0.0)
    arrays = learner.arrays()
    assert {name.split("/")[0] for name in arrays} == {"network", "optimizer"}
    assert all(np.array_equal(arrays[name], read) for name, read in reading_arrays(arrays).items())


def test_a_checkpoint_from_before_images_were_remembered_begins_to_remember(manifest):
    arrays = make_learner(manifest, num_steps=4, learn_from="hardest", epochs=0).arrays()
    rows = arrays["remembered/rows"]
    assert rows.shape == (48, 3) and (rows[:, 2] > 0).sum() == 48, "four steps of 16 are more than a pass"
    old = {name: array for name, array in arrays.items() if name != "remembered/rows"}
    learner = make_learner(manifest, learn_from="hardest", epochs=0)
    learner.restore(Checkpoint(4, make_state(4), old))
    restored = learner.arrays()
    assert list(restored) == list(arrays)
    assert (restored.pop("remembered/rows")[:, 2] == 0).all()
    assert_same_bits(restored, old)


def test_a_checkpoint_without_averages_starts_them_from_the_weights(manifest):
    arrays = make_learner(manifest, num_steps=4).arrays()
    old = {name: array for name, array in arrays.items() if not name.startswith("averages/")}
    learner = make_learner(manifest)
    learner.restore(Checkpoint(4, make_state(4), old))
    restored = learner.arrays()
    assert list(restored) == list(arrays)
    averages = {name: array for name, array in restored.items() if name.startswith("averages/")}
    assert averages
    assert all(np.array_equal(old[name.replace("averages/", "network/")], array) for name, array in averages.items())


def test_another_training_begins_with_what_codes_are_read_with(manifest):
    arrays = make_learner(manifest, num_steps=4).arrays()
    learner = make_learner(manifest)
    learner.initialize(Checkpoint(4, make_state(4), arrays))
    now = learner.arrays()
    kernels = [name for name in arrays if name.startswith("network/") and name.endswith("kernel")]
    assert kernels
    for name in kernels:
        average = name.replace("network/", "averages/")
        assert np.array_equal(now[name], arrays[average]) and np.array_equal(now[average], arrays[average])


@pytest.mark.slow
def test_two_devices_remember_what_each_has_read(run_on_two_devices):
    printed = run_on_two_devices("""
from pipeline.training.remembered import Remembered
with strategy.scope():
    remembered = Remembered(5)

@tf.function(autograph=False)
def step():
    def read():
        mine = tf.distribute.get_replica_context().replica_id_in_sync_group
        numbers = tf.constant([[4, 0], [1, 3]], tf.int64)[mine]
        before = remembered.take(numbers)[:, 2]
        remembered.put(numbers, tf.cast(numbers, tf.float32)[:, None] + tf.constant([[0.5, 1.0, 2.0]]))
        return before, remembered.take(tf.range(5, dtype=tf.int64))
    return strategy.run(read)

for _ in range(2):
    found = [strategy.experimental_local_results(values) for values in step()]
    print([[value.numpy().astype(int).tolist() for value in values] for values in found])
""")
    rows = [[0, 1, 2], [1, 2, 3], [0, 0, 0], [3, 4, 5], [4, 5, 6]]
    first, second = (ast.literal_eval(line) for line in printed.splitlines())
    assert first[0] == [[0, 0], [0, 0]] and second[0] == [[6, 2], [3, 5]]
    for _, everything in (first, second):
        assert [[row if row[2] else [0, 0, 0] for row in of_one] for of_one in everything] == [rows, rows]


@pytest.mark.slow
def test_averages_on_two_devices(run_on_two_devices):
    printed = run_on_two_devices("""
from alexnet.averages import Averages
with strategy.scope():
    network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    averages = Averages(network, decay=0.5)
kernel = network.layers[0].kernel

@tf.function(autograph=False)
def update(step):
    strategy.run(lambda: averages.update(step))

kernel.assign([[10.0]])
update(tf.constant(0))
own = averages.variables[0].numpy().tolist()
with averages.in_place():
    inside = strategy.experimental_local_results(strategy.run(lambda: tf.identity(kernel.value)))
    inside = [value.numpy().round(4).tolist() for value in inside]
averages.start_again()
print(own, inside, kernel.numpy().tolist(), averages.variables[0].numpy().tolist())
""")
    assert printed == "[[9.0]] [[[9.0]], [[9.0]]] [[10.0]] [[10.0]]"


def _names(learner):
    return [name.removeprefix("network/") for name in learner.arrays() if name.startswith("network/")]


def test_the_rate_is_no_part_of_a_checkpoint(manifest):
    learner = make_learner(manifest)
    assert isinstance(learner.optimizer, keras.optimizers.AdamW)
    assert not [name for name in learner.arrays() if "learning_rate" in name]
