"""digitwise beside what others would use for the same work: python -m benchmarks.compare [--toy]

One line of JSON: for each peer, our images/s as a multiple of the peer's (median, lowest and highest of the rounds, in
which the two take turns), in processor time. benchmarks/requirements.txt lists what the peers need.

captcha_loop: drawing, against the loop in the README of the captcha package.
plain_tf_data: batches for a training, against TFRecordDataset, parse, decode, shuffle, batch.
keras_predict: reading batches of 64, against Model.predict on the same network.
"""

import argparse
import contextlib
import json
import pathlib
import platform
import sys
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.drawing import package_loop, seconds_of, spread
from pipeline.config import CodeConfig, DrawingConfig, GenerateConfig, RecordsConfig, RunConfig
from pipeline.conversion.convert import convert
from pipeline.drawing.renderer import Drawing
from pipeline.machine.startup import import_tensorflow
from pipeline.workdir import Workdir
from records.dataset import schema
from records.dataset.manifest import Manifest

_BATCH_SIZE = 64
_SHUFFLED = 4096


def compared(ours: Callable[[], object], theirs: Callable[[], object], rounds: int) -> dict[str, float]:
    """How many times as fast ours is; both have run once before they are measured."""
    ours(), theirs()
    ratios = []
    for _ in range(rounds):
        seconds = seconds_of(theirs)
        ratios.append(seconds / seconds_of(ours))
    return spread(ratios)


def draw(drawing: Drawing, num_images: int) -> None:
    for index in range(num_images):
        drawing.image(index)


def plain_batches(manifest: Manifest) -> Any:
    """What a reader of TensorFlow's guide writes."""
    import tensorflow as tf

    features = {
        schema.IMAGE: tf.io.FixedLenFeature([], tf.string),
        schema.TEXT: tf.io.FixedLenFeature([], tf.string),
    }

    def parse(serialized: Any) -> Any:
        example = tf.io.parse_single_example(serialized, features)
        image = tf.io.decode_png(example[schema.IMAGE], channels=1)
        return tf.ensure_shape(image, [manifest.height, manifest.width, 1]), example[schema.TEXT]

    files = tf.data.TFRecordDataset([str(path) for path in manifest.paths("train")])
    examples = files.shuffle(_SHUFFLED).map(parse, tf.data.AUTOTUNE)
    return examples.batch(_BATCH_SIZE, drop_remainder=True).prefetch(tf.data.AUTOTUNE)


def read_through(batches: Any) -> None:
    for _ in batches:
        pass


def written(folder: pathlib.Path, num_images: int) -> Manifest:
    code, generate = CodeConfig(), GenerateConfig(num_images=num_images)
    workdir = Workdir(folder)
    workdir.create()
    with contextlib.redirect_stdout(sys.stderr):
        convert(RunConfig(workers=1, code=code, generate=generate, records=RecordsConfig(source="synthetic")), workdir)
    return Manifest.load(workdir.records)


def against_tensorflow(manifest: Manifest, rounds: int) -> dict[str, Any]:
    """Batches for a training, and reading."""
    from pipeline.machine.datasets import untuned
    from pipeline.model.recognizer import Recognizer
    from pipeline.model.spec import ModelSpec
    from pipeline.training.feed import Feed

    feed = Feed(manifest, channels=1, batch_size=_BATCH_SIZE, num_epochs=1, seed=0)
    spec = ModelSpec(
        network="alexnet",
        readout="positions",
        alphabet=manifest.alphabet,
        min_length=manifest.min_length,
        max_length=manifest.max_length,
        image_shape=(manifest.height, manifest.width, 1),
        dropout=None,
        precision="float32",
    )
    batches, theirs = untuned(feed.batches()), plain_batches(manifest)
    recognizer = Recognizer(spec)
    images = np.random.default_rng(0).integers(0, 256, (_BATCH_SIZE, *spec.image_shape), np.uint8)
    return {
        "plain_tf_data": compared(lambda: read_through(batches), lambda: read_through(theirs), rounds),
        "keras_predict": compared(
            lambda: recognizer.predict(images), lambda: recognizer.network.predict(images, verbose=0), rounds
        ),
    }


def measure(num_images: int, rounds: int) -> dict[str, Any]:
    drawing = Drawing.of(CodeConfig(), DrawingConfig())
    ratios = {
        "captcha_loop": compared(lambda: draw(drawing, num_images), lambda: package_loop(num_images), rounds),
    }
    import_tensorflow()
    with tempfile.TemporaryDirectory() as folder:
        ratios |= against_tensorflow(written(pathlib.Path(folder), 10 * num_images), rounds)
    return {"benchmark": "compare", "rounds": rounds, "python": platform.python_version(), "times_as_fast": ratios}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--toy", action="store_true")
    toy = parser.parse_args(arguments).toy
    with contextlib.redirect_stdout(sys.stderr):  # what the stages say is not the result
        result = measure(20, 2) if toy else measure(300, 9)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
