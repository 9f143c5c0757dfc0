"""Benchmarks run at their smallest size, and each prints one line that a machine can read."""

import importlib
import json
import operator

import numpy as np
import pytest

from pipeline.model.spec import ModelSpec
from tests.conftest import ROOT, long

ELSEWHERE = {"promise_on_images", "cluster_faults"}  # the first has its test in test_export.py, the other takes minutes
MODULES = sorted(
    path.stem
    for path in (ROOT / "benchmarks").glob("*.py")
    if "def main(" in path.read_text() and path.stem not in ELSEWHERE
)
# They train, or start worker processes.
SLOW = {"training", "told_apart", "data", "networks", "compare", "peers", "shards"}
# They run the whole program, some of them several times.
LONG = {"end_to_end", "memory", "profile", "time_to_accuracy"}


def marks_of(name):
    return [long] * (name in LONG) + [pytest.mark.slow] * (name in SLOW | LONG)


@pytest.mark.parametrize("name", [pytest.param(name, marks=marks_of(name)) for name in MODULES])
def test_every_benchmark_prints_one_line_of_json(name, capsys):
    importlib.import_module(f"benchmarks.{name}").main(["--toy"])
    assert json.loads(capsys.readouterr().out)["benchmark"] == name


def test_every_recipe_is_one_that_can_be_built():
    from benchmarks.networks import RECIPES, spec_of

    for name, recipe in RECIPES.items():
        assert spec_of(name, recipe, "float32").network == name  # a spec refuses what does not fit


def test_float_operations_are_those_of_a_count_by_hand():
    import keras

    from benchmarks.networks import float_operations

    images = keras.Input((6, 8, 3))
    x = keras.layers.Conv2D(5, 3, padding="valid", use_bias=False)(images)
    x = keras.layers.Flatten()(x)
    network = keras.Model(images, keras.layers.Dense(7, use_bias=False)(x))
    convolution = 4 * 6 * 5 * (3 * 3 * 3) * 2
    dense = (4 * 6 * 5) * 7 * 2
    assert float_operations(network) == convolution + dense


def test_float_operations_count_a_recurrent_layer_once_a_column():
    import keras

    from benchmarks.networks import float_operations

    def operations(columns):
        x = keras.Input((columns, 4))
        loop = keras.layers.GRU(3, return_sequences=True, use_cudnn=False)
        return float_operations(keras.Model(x, keras.layers.Bidirectional(loop)(x)))

    assert operations(6) - operations(5) == operations(5) - operations(4) > 2 * 2 * (4 + 3) * 9


def test_the_network_in_pytorch_is_ours():
    pytest.importorskip("torch")
    from benchmarks.torch_alexnet import reading, same_network
    from pipeline.model.recognizer import Recognizer

    spec = ModelSpec(
        network="alexnet",
        readout="positions",
        alphabet="01234",
        min_length=2,
        max_length=2,
        image_shape=(32, 64, 1),
        dropout=None,
        precision="float32",
    )
    recognizer, random = Recognizer(spec), np.random.default_rng(0)
    for variable in recognizer.network.variables:
        if len(variable.shape) == 1:  # those of the norms, which begin with 0 and 1
            variable.assign(random.uniform(0.5, 1.5, variable.shape))
    images = random.integers(0, 256, (3, 32, 64, 1), np.uint8)
    for peer in same_network(recognizer.network, images, 1e-3):  # raises where they differ
        for theirs, ours in zip(reading(peer, images)(), recognizer.predict(images), strict=True):
            np.testing.assert_allclose(theirs, ours, atol=1e-3)


def test_a_comparison_takes_both_in_every_round_after_one_that_does_not_count():
    from benchmarks.compare import compared

    calls = []
    found = compared(lambda: calls.append("ours"), lambda: calls.append("theirs"), rounds=2, num_images=1)
    assert calls == ["ours", "theirs", *2 * ["theirs", "ours"]]
    assert set(found.clock) == {"median", "lowest", "highest"}


def test_right_readings_are_counted_by_whole_codes():
    from benchmarks.compare import share_right

    assert share_right(["0123", "999", None, ""], ["0123", "9999", "1111", "2222"]) == 0.25


def test_memory_is_told_for_each_size_and_time_for_what_each_image_adds():
    from benchmarks.memory import Usage, described

    by_size = {100: Usage(50.0, 1.0, 1.0), 1100: Usage(60.0, 2.0, 1.5), 11100: Usage(61.5, 9.0, 8.5)}
    found = described(by_size)
    assert found["more_megabytes"] == 1.5
    assert found["microseconds_per_image"] == {1100: 500.0, 11100: 700.0}


def test_every_part_of_the_profile_is_there_to_be_timed():
    from benchmarks.profile import BEFORE_TENSORFLOW, PARTS

    for place in (*BEFORE_TENSORFLOW, *PARTS):
        module, path = place.split(":")
        assert callable(operator.attrgetter(path)(importlib.import_module(module))), place


def test_the_time_of_a_part_is_without_the_parts_within_it():
    from benchmarks.profile import Clocks

    times = iter([0.0, 10.0, 11.0, 13.0, 20.0, 26.0, 40.0])
    clocks = Clocks(lambda: next(times))
    with clocks.stage("train"), clocks.part("steps"), clocks.part("saves"):
        pass
    assert clocks.parts == {"train": {"saves": 2.0, "steps": 8.0, "rest": 16.0}}
    assert (clocks.first_step, clocks.after_last_step) == (10.0, 20.0)


def test_a_training_has_its_accuracy_at_the_first_validation_that_reached_it():
    from benchmarks.time_to_accuracy import Course, course_of

    lines = [
        "train: step 400, loss 1.0  position_accuracy 0.9990\n",
        "step 500 (epoch 0.5): validation position_accuracy 0.9970, sequence_accuracy 0.9940 (94 of 100) (best)\n",
        "step 1,000 (epoch 1): validation loss 0.1, position_accuracy 0.9990, sequence_accuracy 0.9960 (96 of 100)\n",
        "step 1,500 (epoch 1.5): validation position_accuracy 0.9980, sequence_accuracy 0.9950 (95 of 100)\n",
    ]
    times = iter([20.04, 31.0])
    assert course_of(lines, 0.995, lambda: next(times)) == Course(
        to_accuracy=20.0, steps=1000, best=0.996, seconds=31.0
    )
    assert course_of(lines[:2], 0.995, lambda: 9.0) == Course(to_accuracy=None, steps=None, best=0.994, seconds=9.0)
