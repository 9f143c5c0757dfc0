"""Training steps: what one changes, what it counts, and that their number in a call does not matter."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from alexnet.averages import Averages
from pipeline.config import TrainConfig
from pipeline.model import metrics
from pipeline.model.reading import evaluation_batches
from pipeline.model.recognizer import Recognizer
from pipeline.model.spec import ModelSpec
from pipeline.training import optimizer
from pipeline.training.rates import constant, one_cycle
from pipeline.training.remembered import Remembered
from pipeline.training.schedule import LOOK_STEPS
from pipeline.training.steps import Call, Choice, Steps, hardest, position_counts
from tests.training_fixtures import SPEC, make_records, settings_for_tests

pytestmark = pytest.mark.usefixtures("tiny_network")
RATE: float = settings_for_tests()["learning_rate"]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return make_records(tmp_path_factory.mktemp("records"), train=8)


def single_device_steps(manifest, averaging=0.0):
    """Steps on the one batch that there is, over and over."""
    asked = TrainConfig(**settings_for_tests())
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    keras.utils.set_random_seed(0)
    with strategy.scope():
        recognizer = Recognizer(ModelSpec.of(asked, manifest, asked.precision))
        adam = optimizer.make_optimizer(1.0, 0.0)  # a rate that is not used: each call brings its own
        adam.build(recognizer.network.trainable_variables)
        averages = Averages(recognizer.network, averaging) if averaging else None
        steps = Steps(strategy, recognizer, adam, asked.batch_size, averages)
    batches = evaluation_batches(manifest, "train", asked.batch_size, 1)
    batches = batches.map(lambda _, images, label_ids, mask: (images, label_ids)).repeat()
    return steps, iter(strategy.distribute_datasets_from_function(lambda _: batches))


def test_the_loss_halves_on_one_batch(manifest):
    steps, batches = single_device_steps(manifest)
    losses = []
    for _ in range(4):
        for slot in range(LOOK_STEPS):
            steps.run(batches, Call.of(slot, slot, [RATE]))
        losses += steps.look(LOOK_STEPS).losses.tolist()
    assert losses[0] == pytest.approx(math.log(4), abs=1.0)
    assert losses[-1] < losses[0] / 2


def test_several_steps_in_one_call_are_the_same_steps(manifest):
    results = []
    for counts in ([1, 1, 1, 1, 1, 1], [1, 3, 2]):
        steps, batches = single_device_steps(manifest)
        slot = 0
        for count in counts:
            steps.run(batches, Call.of(slot, slot, [RATE] * count))
            slot += count
        results.append(steps.look(slot).losses.tolist())
    assert results[0] == results[1]


class StandIn:
    """In place of a recognizer: whatever it is shown, it reads the code ab, through dropout and a norm."""

    def __init__(self):
        keras.utils.set_random_seed(0)
        images = keras.Input(SPEC.image_shape)
        x = keras.layers.Flatten()(images)
        x = keras.layers.BatchNormalization(momentum=0.5, name="norm")(x)
        x = keras.layers.Dropout(0.5)(x)
        x = keras.layers.Dense(8, kernel_initializer="zeros", bias_initializer=_read_ab, name="dense")(x)
        self.network = keras.Model(images, keras.layers.Reshape((2, 4))(x))
        self.readout = Recognizer(SPEC).readout


def _read_ab(shape, dtype=None):
    return tf.constant([9.0, 0, 0, 0, 0, 9.0, 0, 0])


def one_step(stand_in, images, label_ids, stop=0.0, **options):
    """The tally of one step with a learning rate of 0."""
    return few_steps(stand_in, [(images, label_ids)], stop, **options)


def few_steps(stand_in, batches, stop=0.0, remember_from=None, **options):
    """The tally of a step with a learning rate of 0 for each batch."""
    made = optimizer.make_optimizer(1.0, 0.0)
    made.build(stand_in.network.trainable_variables)
    steps = Steps(tf.distribute.get_strategy(), stand_in, made, len(batches[0][0]), **options)
    for number, batch in enumerate(batches):
        steps.run(iter(tf.data.Dataset.from_tensors(batch)), Call.of(number, number, [0.0], stop, remember_from))
    return steps.look(len(batches))


def test_a_step_runs_the_network_in_training_mode():
    stand_in = StandIn()
    images = np.random.default_rng(0).integers(0, 256, (4, 16, 32, 1)).astype(np.uint8)
    seeds = next(v for v in stand_in.network.variables if "seed" in v.path)
    seeds_before = seeds.numpy()
    one_step(stand_in, images, np.zeros((4, 2), np.int32))
    # A norm moves its statistics only in training: half way from 0 to the mean of the batch.
    moving_mean = stand_in.network.get_layer("norm").moving_mean
    np.testing.assert_allclose(moving_mean.numpy(), images.reshape(4, -1).mean(0) / 2, rtol=1e-5)
    assert not np.array_equal(seeds.numpy(), seeds_before), "dropout drew nothing"


def test_the_tally_names_what_a_step_came_to():
    label_ids = np.array([[0, 1], [0, 2], [3, 3], [0, 1]], np.int32)  # 5 of 8 characters are those of ab
    tally = one_step(StandIn(), np.zeros((4, 16, 32, 1), np.uint8), label_ids, stop=15.0)
    # Each position has the logits 9, 0, 0, 0.
    right = math.log(1 + 3 * math.exp(-9))
    assert tally.losses.tolist() == pytest.approx([(5 * right + 3 * (right + 9)) / 8], rel=1e-5)
    assert tally.accuracies.tolist() == [5 / 8]
    assert tally.stops.tolist() == [15.0]
    assert 0 <= tally.waits[0] < 60


def test_the_hardest_of_each_few_in_a_row_are_chosen():
    losses = tf.constant([1.0, 3.0, 2.0, 0.0, 5.0, 4.0, 6.0, 6.0])
    assert hardest(losses, 4).numpy().tolist() == [1, 6]
    assert hardest(losses, 2).numpy().tolist() == [1, 2, 4, 6]


def test_a_step_learns_from_the_hardest_and_tells_how_all_were_read():
    stand_in = StandIn()
    images = np.random.default_rng(0).integers(0, 256, (8, 16, 32, 1)).astype(np.uint8)
    label_ids = np.array([[0, 1]] * 8, np.int32)  # as they are read, but for
    label_ids[[2, 3, 5]] = [0, 2], [2, 2], [0, 2]
    tally = one_step(stand_in, images, label_ids, choice=Choice(4))
    # Of the first four the one with both characters wrong, of the last four the one with one wrong.
    moving_mean = stand_in.network.get_layer("norm").moving_mean
    np.testing.assert_allclose(moving_mean.numpy(), images[[3, 5]].reshape(2, -1).mean(0) / 2, rtol=1e-5)
    right = math.log(1 + 3 * math.exp(-9))
    assert tally.losses.tolist() == pytest.approx([(12 * right + 4 * (right + 9)) / 16], rel=1e-5)
    assert tally.accuracies.tolist() == [12 / 16]


def test_a_step_that_remembers_learns_from_those_that_were_hardest_and_reads_no_others():
    stand_in = StandIn()
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (9, 16, 32, 1)).astype(np.uint8)
    label_ids = np.array([[0, 1]] * 9, np.int32)  # as they are read, but for
    label_ids[[2, 3, 5]] = [0, 2], [2, 2], [0, 2]
    numbers = np.arange(9)
    remembered = Remembered(9)
    # Image 8 is in no batch of the first pass. In the second all look different, and are labelled as they are read.
    again = np.array([2, 3, 1, 0, 4, 8, 6, 5])
    changed = random.integers(0, 256, (8, 16, 32, 1)).astype(np.uint8)
    batches = [
        (images[:8], label_ids[:8], numbers[:8]),
        (changed, np.array([[0, 1]] * 8, np.int32), numbers[again]),
    ]
    tally = few_steps(stand_in, batches, remember_from=1, choice=Choice(4, remembered))
    # First images 3 and 5, then, half of the way each time, image 3 once more and the one that never was read.
    means = [images[[3, 5]].reshape(2, -1).mean(0), changed[[1, 5]].reshape(2, -1).mean(0)]
    moving_mean = stand_in.network.get_layer("norm").moving_mean
    np.testing.assert_allclose(moving_mean.numpy(), means[0] / 4 + means[1] / 2, rtol=1e-5)
    right = math.log(1 + 3 * math.exp(-9))
    # Of all images, the two that were learned from as they are read now and the others as they were.
    assert tally.losses.tolist() == pytest.approx(
        [(12 * right + 4 * (right + 9)) / 16, (14 * right + 2 * (right + 9)) / 16], rel=1e-5
    )
    assert tally.accuracies.tolist() == [12 / 16, 14 / 16]
    rows = remembered.variable.numpy()
    assert rows[:, 2].tolist() == [2] * 9 and rows[:, 1].tolist() == [2, 2, 1, 2, 2, 1, 2, 2, 2]


def test_a_loss_that_is_not_finite_while_learning_shows():
    """In float16 such a step is left out, so the weights, and what is read with them, stay as they are."""
    images, label_ids = np.zeros((4, 16, 32, 1), np.uint8), np.array([[0, 1]] * 4, np.int32)
    for factor in (1.0, math.nan):
        stand_in = StandIn()
        layer = stand_in.network.get_layer("norm")
        layer.call = _times_in_training(layer.call, factor)
        assert np.isfinite(one_step(stand_in, images, label_ids, choice=Choice(4)).losses).all() == (factor == 1.0)


def _times_in_training(call, factor):
    return lambda inputs, training=None, mask=None: call(inputs, training=training) * (factor if training else 1.0)


def test_gradients_are_those_of_a_batch_of_the_hardest(manifest):
    """Whose loss is a mean over them, not over all that were read."""
    asked = TrainConfig(**settings_for_tests())
    images = np.random.default_rng(0).integers(0, 256, (4, *SPEC.image_shape)).astype(np.uint8)
    label_ids = np.array([[0, 1], [2, 3], [1, 1], [3, 0]], np.int32)
    trained = []
    for hardest_of in (2, 1):
        keras.utils.set_random_seed(0)
        recognizer = Recognizer(ModelSpec.of(asked, manifest, asked.precision))
        plain = keras.optimizers.SGD(1.0, name="optimizer")
        plain.build(recognizer.network.trainable_variables)
        if hardest_of == 1:
            losses = recognizer.readout.loss(recognizer.network(images, training=False), label_ids)
            images, label_ids = (values[hardest(losses, 2).numpy()] for values in (images, label_ids))
        choice = Choice(hardest_of) if hardest_of > 1 else None
        steps = Steps(tf.distribute.get_strategy(), recognizer, plain, len(images), choice=choice)
        steps.run(iter(tf.data.Dataset.from_tensors((images, label_ids)).repeat()), Call.of(0, 0, [0.1]))
        trained.append([variable.numpy() for variable in recognizer.network.variables])
    for one, other in zip(*trained):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_positions_are_counted_where_a_reading_has_more_places_than_the_labels():
    label_ids, decoded_ids = [[1, 2], [3, -1]], [[1, 2, 4], [3, -1, -1]]
    right, counted = position_counts(tf.constant(label_ids), tf.constant(decoded_ids))
    assert (right.numpy().tolist(), counted.numpy().tolist()) == ([2, 1], [3, 1])
    assert [sum(counts) for counts in metrics.position_counts(label_ids, decoded_ids)] == [3, 4]


@pytest.mark.parametrize("name, moved", [("adamw", 0.5), ("adadelta", 0.5 * math.sqrt(1e-8 / (0.05 * 4 + 1e-8)) * 2)])
def test_the_first_step_of_each_optimizer_by_hand(name, moved):
    variable = keras.Variable([3.0], name="kernel")
    made = optimizer.make_optimizer(0.5, 0.0, optimizer=name)
    made.build([variable])
    made.apply([tf.constant([2.0])], [variable])
    assert 3.0 - float(variable.numpy()[0]) == pytest.approx(moved, rel=1e-3)


@pytest.mark.parametrize("name", optimizer.OPTIMIZERS)
def test_weight_decay_pulls_kernels_only(name):
    keras.utils.set_random_seed(0)
    images = keras.Input((8, 8, 2))
    x = keras.layers.BatchNormalization(name="norm")(keras.layers.Conv2D(3, 3, name="conv")(images))
    network = keras.Model(images, keras.layers.Dense(2, name="dense")(x))
    made = optimizer.make_optimizer(0.5, 0.1, optimizer=name)
    made.build(network.trainable_variables)
    for variable in network.trainable_variables:
        variable.assign(tf.ones(variable.shape))
    made.apply([tf.zeros(variable.shape) for variable in network.trainable_variables], network.trainable_variables)
    # Without a gradient only decay moves a weight: by the learning rate times the decay of itself.
    after = {f"{v.path.split('/')[-2]}/{v.name}": float(np.max(v.numpy())) for v in network.trainable_variables}
    assert after == {
        "conv/kernel": pytest.approx(0.95), "conv/bias": 1.0, "norm/gamma": 1.0, "norm/beta": 1.0,
        "dense/kernel": pytest.approx(0.95), "dense/bias": 1.0,
    }  # fmt: skip


def test_one_cycle_by_hand():
    rates = [one_cycle(1.0, 100, step) for step in (0, 25, 62.5, 100)]
    assert rates == pytest.approx([0.04, 1.0, 0.50005, 0.0001], abs=1e-6)
    assert constant(0.3, 100, 50) == 0.3


def test_each_step_has_its_own_rate():
    """Without a gradient only decay moves a kernel: by its rate times the decay of itself."""
    network, made = StandIn(), optimizer.make_optimizer(1.0, 0.5)
    kernel = network.network.get_layer("dense").kernel
    kernel.assign(tf.ones(kernel.shape))
    made.build(network.network.trainable_variables)
    network.readout.loss = lambda logits, label_ids: tf.reduce_sum(logits, [1, 2]) * 0.0
    steps = Steps(tf.distribute.get_strategy(), network, made, 4)
    images, label_ids = np.zeros((4, 16, 32, 1), np.uint8), np.zeros((4, 2), np.int32)
    batches = iter(tf.data.Dataset.from_tensors((images, label_ids)).repeat())
    steps.run(batches, Call.of(0, 0, [0.1, 0.0, 0.4]))
    np.testing.assert_allclose(kernel.numpy(), 0.95 * 0.8, rtol=1e-5)


def test_averages_follow_the_steps(manifest):
    steps, batches = single_device_steps(manifest, averaging=0.9)
    kernel = steps._network.get_layer("heads").kernel
    number = next(i for i, v in enumerate(steps._network.variables) if v is kernel)
    average = steps._averages.variables[steps._averages.numbers.index(number)]
    expected = kernel.numpy()
    for step, share in ((0, 9 / 10), (1, 9 / 11), (2, 9 / 12), (1000, 0.1)):
        steps.run(batches, Call.of(step, 0, [RATE]))
        expected = expected + share * (kernel.numpy() - expected)
    np.testing.assert_allclose(average.numpy(), expected, rtol=1e-5, atol=1e-7)
