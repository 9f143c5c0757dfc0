"""Benchmarks run at their smallest size, and each prints one line that a machine can read."""

import importlib
import json

import pytest

from tests.conftest import ROOT

ELSEWHERE = {"promise_on_images", "cluster_faults"}  # the first has its test in test_export.py, the other takes minutes
MODULES = sorted(
    path.stem
    for path in (ROOT / "benchmarks").glob("*.py")
    if "def main(" in path.read_text() and path.stem not in ELSEWHERE
)
SLOW = {"training", "told_apart", "data", "networks", "compare", "end_to_end"}  # they train, or start worker processes


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in MODULES]
)
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
