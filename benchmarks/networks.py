"""How large and how fast the networks are: python -m benchmarks.networks [--toy] [--precision=auto]

One line of JSON: for each network, at the image and batch size it is used with, its parameters, the floating point
operations of one image's way through it, and images/s of the real training step and of the recognizer's prediction,
warm, the fastest of some rounds. The same as a table on stderr. The images are noise, as their content costs nothing.
"""

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.config import available_cores
from pipeline.machine.startup import import_tensorflow
from pipeline.model.spec import ModelSpec

if TYPE_CHECKING:
    import keras
    import numpy as np

    from pipeline.model.recognizer import Recognizer


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What a network is used with."""

    width: int
    height: int
    channels: int
    batch_size: int
    alphabet: str = "0123456789"
    length: int = 4
    readout: str = "positions"


LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
RECIPES: dict[str, Recipe] = {
    "alexnet": Recipe(160, 60, 1, batch_size=64),
    "alexnet_large": Recipe(160, 60, 1, batch_size=64),
    "alexnet_v2": Recipe(160, 60, 1, batch_size=10),
    "three_conv": Recipe(160, 60, 3, batch_size=64, alphabet="0123456789" + LETTERS.replace("O", ""), length=5),
    "nptu": Recipe(95, 35, 1, batch_size=10),
    "percent4": Recipe(50, 22, 3, batch_size=16),
    "vgg": Recipe(170, 80, 3, batch_size=32, alphabet="0123456789" + LETTERS),
    "crnn": Recipe(160, 60, 1, batch_size=64, length=6, readout="ctc"),
}
STEPS_PER_CALL = 10
ROUNDS = 5
TOY_BATCH = 2
TOY_NETWORKS: tuple[str, ...] = ("percent4",)  # the smallest
_HEADING = "network            image  batch   parameters     MFLOPs  training/s   reading/s"


def measure(name: str, recipe: Recipe, precision: str, toy: bool = False) -> dict[str, Any]:
    """The figures of one network."""
    import numpy as np

    from pipeline.model.recognizer import Recognizer

    recognizer = Recognizer(spec_of(name, recipe, precision))
    batch_size = TOY_BATCH if toy else recipe.batch_size
    count, rounds = (1, 1) if toy else (STEPS_PER_CALL, ROUNDS)
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (batch_size, *recognizer.image_shape), np.uint8)
    label_ids = random.integers(0, len(recipe.alphabet), (batch_size, recipe.length), np.int32)
    train = training(recognizer, images, label_ids, count)
    return {
        "image": [recipe.width, recipe.height, recipe.channels],
        "batch_size": batch_size,
        "parameters": recognizer.network.count_params(),
        "flops": float_operations(recognizer.network),
        "train": round(batch_size * count / _shortest_seconds(train, rounds), 1),
        "predict": round(batch_size / _shortest_seconds(lambda: recognizer.predict(images), rounds), 1),
    }


def float_operations(network: "keras.Model") -> int:
    """Of one image's way through the network, a multiplication and an addition counted as two."""
    import tensorflow as tf

    loops = _recurrent_layers(network)
    for loop in loops:
        loop.unroll = True  # the body of a loop would be counted once
    images = tf.TensorSpec([1, *network.input_shape[1:]], tf.uint8)
    traced = tf.function(lambda images: network(images, training=False), autograph=False).get_concrete_function(images)
    for loop in loops:
        loop.unroll = False
    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    return tf.compat.v1.profiler.profile(traced.graph, options={**options, "output": "none"}).total_float_ops


def _recurrent_layers(network: "keras.Model") -> list["keras.layers.Layer"]:
    import keras

    both_ways = [layer for layer in network.layers if isinstance(layer, keras.layers.Bidirectional)]
    return [loop for layer in both_ways for loop in (layer.forward_layer, layer.backward_layer)]


def spec_of(name: str, recipe: Recipe, precision: str) -> ModelSpec:
    return ModelSpec(
        network=name,
        readout=recipe.readout,
        alphabet=recipe.alphabet,
        min_length=recipe.length,
        max_length=recipe.length,
        image_shape=(recipe.height, recipe.width, recipe.channels),
        dropout=None,
        precision=precision,
    )


def training(recognizer: "Recognizer", images: "np.ndarray", label_ids: "np.ndarray", count: int) -> Callable[[], None]:
    """A function that runs `count` steps of training."""
    import tensorflow as tf

    from pipeline.machine.devices import make_strategy
    from pipeline.training.optimizer import make_optimizer
    from pipeline.training.steps import Call, Steps

    strategy = make_strategy("one")
    optimizer = make_optimizer(learning_rate=1e-5, weight_decay=0.1)
    optimizer.build(recognizer.network.trainable_variables)
    steps = Steps(strategy, recognizer, optimizer, len(images))
    batches = tf.data.Dataset.from_tensors((images, label_ids)).repeat()
    iterator = iter(strategy.distribute_datasets_from_function(lambda _: batches))

    def train() -> None:
        steps.run(iterator, Call.of(step=0, slot=0, rates=[1e-5] * count))
        steps.look(count)

    return train


def _shortest_seconds(function: Callable[[], Any], rounds: int) -> float:
    function()  # builds the graph
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        function()
        times.append(time.perf_counter() - began)
    return min(times)


def _row(name: str, figures: dict[str, Any]) -> str:
    width, height, channels = figures["image"]
    return (
        f"{name:12}{f'{width}x{height}x{channels}':>12}{figures['batch_size']:>7}{figures['parameters']:>13,}"
        f"{figures['flops'] / 1e6:>11,.1f}{figures['train']:>12,.0f}{figures['predict']:>12,.0f}"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--toy", action="store_true")
    parser.add_argument("--precision", default="auto", choices=("auto", "float32", "bfloat16"))
    given = parser.parse_args(arguments)
    import_tensorflow()
    import tensorflow as tf

    from pipeline.machine.devices import fast_precision

    tf.get_logger().setLevel("ERROR")  # it takes a function a network for one function traced too often
    precision = fast_precision() if given.precision == "auto" else given.precision
    result = {"benchmark": "networks", "cores": available_cores(), "precision": precision}
    print(_HEADING, file=sys.stderr)
    for name in TOY_NETWORKS if given.toy else RECIPES:
        result[name] = measure(name, RECIPES[name], precision, given.toy)
        print(_row(name, result[name]), file=sys.stderr, flush=True)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
