"""digitwise beside what others would use for the same work: python -m benchmarks.compare [--toy] [--model=FILE]

One line of JSON: for each peer, our images/s as a multiple of the peer's (median, lowest and highest of the rounds, in
which the two take turns), in processor time and by the clock; images/s of both by the clock; and what was left out, as
a package is not installed or a model was not given. benchmarks/requirements.txt lists what the peers need.

captcha_loop: drawing, against the loop in the README of the captcha package.
plain_tf_data: batches for a training, against TFRecordDataset, parse, decode, shuffle, batch.
keras_predict: reading batches of 64, against Model.predict on the same network.
pytorch_training, pytorch_reading: steps and readings of batches of 64, against the same network in PyTorch, in float32;
    the faster of PyTorch's two orders of an image in memory, as tried in the run itself.
pytorch_reading_file: the same readings by digitwise.Reader from an exported ONNX FILE (--model).
ddddocr: reading the files of synthetic images, against ddddocr's built-in model, which reads one image a call; --model
    as above. `right` is the share of whole codes that each of the two read right.

Threads that wait for others count as processor time in some of these libraries. Where other programs run beside it, a
single core is compared more fairly: taskset --cpu-list 0 python -m benchmarks.compare
"""

import argparse
import contextlib
import dataclasses
import importlib.util
import json
import pathlib
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.drawing import package_loop, spread
from pipeline.config import CodeConfig, DrawingConfig, GenerateConfig, RecordsConfig, RunConfig, available_cores
from pipeline.conversion.convert import convert
from pipeline.drawing.renderer import Drawing, SyntheticSource
from pipeline.machine.startup import import_tensorflow
from pipeline.workdir import Workdir
from records.dataset import schema
from records.dataset.manifest import Manifest

if TYPE_CHECKING:
    from pipeline.model.recognizer import Recognizer

_BATCH_SIZE = 64
_SHUFFLED = 4096
_STEPS = 4  # of a training, in a round
_UNSEEN_SEED = 1_000_003  # of images that no training by the defaults has seen
_LARGEST_DIFFERENCE = 1e-4  # of logits, where two libraries add up in different orders


@dataclasses.dataclass(frozen=True)
class Size:
    """Of a run: images in each round of drawing and of reading files, batches in each round of reading, and rounds."""

    drawn: int
    read: int
    batches: int
    rounds: int


_SIZE, _TOY_SIZE = Size(300, 512, 8, 9), Size(20, 4, 1, 2)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """How many times as fast ours is: processor time and the clock, each as median, lowest and highest of the rounds;
    images/s are those of the median round by the clock, ours and theirs."""

    processor_time: dict[str, float]
    clock: dict[str, float]
    images_per_second: tuple[int, int]
    right: tuple[float, float] | None = None


def compared(ours: Callable[[], object], theirs: Callable[[], object], rounds: int, num_images: int) -> Comparison:
    """Both take `num_images` in a round; both have run once before they are measured."""
    ours(), theirs()
    taken = np.array([[_seconds(theirs), _seconds(ours)] for _ in range(rounds)])  # [rounds, theirs/ours, clock/cores]
    clock, cores = (taken[:, 0] / taken[:, 1]).T.tolist()
    their_rate, our_rate = (num_images / np.median(taken[:, :, 0], axis=0)).tolist()
    return Comparison(spread(cores), spread(clock), (round(our_rate), round(their_rate)))


def _seconds(function: Callable[[], object]) -> tuple[float, float]:
    """(by the clock, of all cores)."""
    clock, cores = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - clock, time.process_time() - cores


def _repeated(function: Callable[[], object], times: int) -> Callable[[], None]:
    def repeat() -> None:
        for _ in range(times):
            function()

    return repeat


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
    convert(RunConfig(workers=1, code=code, generate=generate, records=RecordsConfig(source="synthetic")), workdir)
    return Manifest.load(workdir.records)


def against_plain_tf_data(size: Size) -> Comparison:
    from pipeline.machine.datasets import untuned
    from pipeline.training.feed import Feed

    with tempfile.TemporaryDirectory() as folder:
        manifest = written(pathlib.Path(folder), 10 * size.drawn)
        feed = Feed(manifest, channels=1, batch_size=_BATCH_SIZE, num_epochs=1, seed=0)
        ours, theirs = untuned(feed.batches()), plain_batches(manifest)
        read = manifest.count("train")
        return compared(lambda: read_through(ours), lambda: read_through(theirs), size.rounds, read)


def untrained() -> "Recognizer":
    """The network of a training by the defaults, at the size at which it sees the images."""
    from alexnet.working_size import working_size
    from benchmarks.networks import Recipe, spec_of
    from pipeline.model.recognizer import Recognizer

    seen = working_size([CodeConfig().size], [max(CodeConfig().lengths)])
    return Recognizer(spec_of("alexnet", Recipe(seen.width, seen.height, 1, _BATCH_SIZE), "float32"))


def against_pytorch(
    recognizer: "Recognizer", images: np.ndarray, model: str | None, size: Size
) -> dict[str, Comparison]:
    """Readings first, as steps change the weights, which are checked to be the same before."""
    # Which PyTorch's build for GPUs brings, and which ends the process: its LLVM finds TensorFlow's options registered.
    sys.modules["triton"] = None  # type: ignore[assignment]
    import torch

    from benchmarks.networks import training as our_training
    from benchmarks.torch_alexnet import reading, same_network, training

    torch.set_num_threads(available_cores())
    peers = same_network(recognizer.network, images, _LARGEST_DIFFERENCE)
    label_ids = np.random.default_rng(0).integers(0, 10, (len(images), 4), np.int32)
    count, rounds = size.batches, size.rounds
    read = _repeated(_fastest([reading(peer, images) for peer in peers]), count)
    found = {
        "pytorch_reading": compared(
            _repeated(lambda: recognizer.predict(images), count), read, rounds, count * len(images)
        )
    }
    if model is not None:
        from digitwise.onnx_network import OnnxNetwork

        network = OnnxNetwork(model)
        ours = _repeated(lambda: network.run(images), count)
        found["pytorch_reading_file"] = compared(ours, read, rounds, count * len(images))
    train = _repeated(_fastest([training(peer, images, label_ids) for peer in peers]), _STEPS)
    ours = our_training(recognizer, images, label_ids, _STEPS)
    found["pytorch_training"] = compared(ours, train, rounds, _STEPS * len(images))
    return found


def _fastest(functions: Sequence[Callable[[], object]]) -> Callable[[], object]:
    """By the processor time of a few calls, after one that is not counted."""

    def seconds(function: Callable[[], object]) -> float:
        function()
        return min(_seconds(function)[1] for _ in range(3))

    return min(functions, key=seconds)


def against_ddddocr(model: str, size: Size) -> Comparison:
    """On files of synthetic images in memory, which are decoded within the time."""
    from ddddocr import DdddOcr

    from digitwise import Reader

    source = SyntheticSource(Drawing.of(CodeConfig(), DrawingConfig(seed=_UNSEEN_SEED)), size.read)
    files = [source.file(index)[1] for index in range(size.read)]
    codes = [source.drawing.text(index) for index in range(size.read)]
    reader, peer = Reader(model), DdddOcr(show_ad=False)
    peer.set_ranges(0)  # digits
    comparison = compared(
        lambda: reader.read(files), lambda: [peer.classification(file) for file in files], size.rounds, size.read
    )
    ours = share_right([reading.code for reading in reader.read(files)], codes)
    return dataclasses.replace(
        comparison, right=(ours, share_right([peer.classification(file) for file in files], codes))
    )


def share_right(readings: Sequence[str | None], codes: Sequence[str]) -> float:
    return round(sum(reading == code for reading, code in zip(readings, codes, strict=True)) / len(codes), 4)


def measure(size: Size, model: str | None) -> dict[str, Any]:
    drawing = Drawing.of(CodeConfig(), DrawingConfig())
    drawn, left_out = size.drawn, {}
    found = {"captcha_loop": compared(lambda: draw(drawing, drawn), lambda: package_loop(drawn), size.rounds, drawn)}
    import_tensorflow()
    found["plain_tf_data"] = against_plain_tf_data(size)
    recognizer = untrained()
    images = np.random.default_rng(0).integers(0, 256, (_BATCH_SIZE, *recognizer.image_shape), np.uint8)
    ours = _repeated(lambda: recognizer.predict(images), size.batches)
    theirs = _repeated(lambda: recognizer.network.predict(images, verbose=0), size.batches)
    found["keras_predict"] = compared(ours, theirs, size.rounds, size.batches * _BATCH_SIZE)
    if importlib.util.find_spec("torch"):
        found |= against_pytorch(recognizer, images, model, size)
    else:
        left_out["pytorch"] = "torch is not installed"
    if not importlib.util.find_spec("ddddocr"):
        left_out["ddddocr"] = "ddddocr is not installed"
    elif model is None:
        left_out["ddddocr"] = "--model was not given"
    else:
        found["ddddocr"] = against_ddddocr(model, size)
    return {
        "benchmark": "compare",
        "rounds": size.rounds,
        "cores": available_cores(),
        "python": platform.python_version(),
        "times_as_fast": {peer: comparison.processor_time for peer, comparison in found.items()},
        "times_as_fast_by_the_clock": {peer: comparison.clock for peer, comparison in found.items()},
        "images_per_second": {peer: comparison.images_per_second for peer, comparison in found.items()},
        "right": {peer: comparison.right for peer, comparison in found.items() if comparison.right},
        "left_out": left_out,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--toy", action="store_true")
    parser.add_argument("--model", help="an ONNX file that --stage=export wrote after a training by the defaults")
    given = parser.parse_args(arguments)
    with contextlib.redirect_stdout(sys.stderr):  # what the stages say is not the result
        result = measure(_TOY_SIZE if given.toy else _SIZE, given.model)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
