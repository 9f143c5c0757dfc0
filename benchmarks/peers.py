"""digitwise beside other networks on the same images, each for as many minutes: python -m benchmarks.peers

    python -m benchmarks.peers IMAGES FRESH_IMAGES --minutes=5

Both are folders of labelled images. All are trained on the same train split of IMAGES, by turns, and read FRESH_IMAGES.
One line of JSON: whole-code accuracy of each with its count and interval, and the seconds that training took.

digitwise: as `main.py --images=IMAGES` does it.
crnn, alexnet_v2: these networks with digitwise's training, from random weights.
keras_example: the network of "OCR model for reading Captchas" on keras.io with its settings: two convolutions, two
LSTMs both ways, CTC, grey images of 200x50, Adam, batches of 16, no augmentation, until its validation loss has not
improved for ten passes.
"""

import argparse
import contextlib
import dataclasses
import io
import json
import pathlib
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.program import run_main
from pipeline.machine.startup import import_tensorflow
from pipeline.model.metrics import Accuracy
from pipeline.workdir import Workdir
from records.dataset import schema
from records.dataset.manifest import Manifest
from records.images.folder import LabeledFolder
from records.tfrecord.framing import read_records

OURS: dict[str, tuple[str, ...]] = {
    "digitwise": (),
    "crnn": ("--network=crnn", "--readout=ctc", "--initialize_from=none"),
    "alexnet_v2": ("--network=alexnet_v2", "--batch_size=10", "--learning_rate=1e-4", "--initialize_from=none"),
}
EXAMPLE = "keras_example"
_WIDTH, _HEIGHT, _BATCH, _PATIENCE = 200, 50, 16, 10


@dataclasses.dataclass(frozen=True)
class Set:
    """Images as the example reads them, and their codes."""

    images: np.ndarray  # float32 [count, width, height, 1]
    codes: list[str]


def trained_here(options: Sequence[str], records: pathlib.Path, fresh: str, minutes: float) -> dict[str, Any]:
    """The figures of a network of the program."""
    with tempfile.TemporaryDirectory() as folder:
        workdir = Workdir(folder)
        workdir.records.symlink_to(records)
        began = time.perf_counter()
        run_main(f"--workdir={folder}", "--stage=train", f"--max_minutes={minutes}", *options)
        seconds = time.perf_counter() - began
        network = [option for option in options if option.startswith(("--network", "--readout"))]
        other = Workdir(f"{folder}/fresh")
        run_main(
            f"--workdir={other.root}", "--stage=test", f"--images={fresh}", f"--checkpoint={folder}",
            "--shown_predictions=0", *network,
        )  # fmt: skip
        report = json.loads((Workdir(other.tested).report / "report.json").read_text())
    return {"seconds": round(seconds), "sequence_accuracy": report["sequence_accuracy"]}


def split_of(manifest: Manifest, split: str) -> Set:
    rows = [schema.decode(data) for path in manifest.paths(split) for _, data in read_records(path)]
    return Set(np.stack([as_read(image) for _, image, _ in rows]), [code for _, _, code in rows])


def folder_of(fresh: str) -> Set:
    source = LabeledFolder(fresh)
    rows = list(source.rows())
    return Set(np.stack([as_read(source.load(key)) for key, _ in rows]), [code for _, code in rows])


def as_read(image: bytes) -> np.ndarray:
    """Grey, 200x50, with the width first, from 0 to 1."""
    with Image.open(io.BytesIO(image)) as opened:
        shown = opened.convert("RGBA")
    ground = Image.new("RGBA", shown.size, "white")
    grey = Image.alpha_composite(ground, shown).convert("L").resize((_WIDTH, _HEIGHT), Image.Resampling.BILINEAR)
    return np.asarray(grey, np.float32).T[:, :, None] / 255


def example_network(num_outputs: int) -> Any:
    """As the example builds it, but for the softmax, which belongs to the loss here."""
    import keras
    from keras import layers

    images = keras.Input((_WIDTH, _HEIGHT, 1))
    x = layers.Conv2D(32, 3, activation="relu", kernel_initializer="he_normal", padding="same")(images)
    x = layers.MaxPooling2D(2)(x)
    x = layers.Conv2D(64, 3, activation="relu", kernel_initializer="he_normal", padding="same")(x)
    x = layers.MaxPooling2D(2)(x)
    x = layers.Reshape((_WIDTH // 4, (_HEIGHT // 4) * 64))(x)
    x = layers.Dropout(0.2)(layers.Dense(64, activation="relu")(x))
    x = layers.Bidirectional(layers.LSTM(128, return_sequences=True, dropout=0.25))(x)
    x = layers.Bidirectional(layers.LSTM(64, return_sequences=True, dropout=0.25))(x)
    return keras.Model(images, layers.Dense(num_outputs)(x))


def example(manifest: Manifest, fresh: Set, minutes: float) -> dict[str, Any]:
    """The figures of the example."""
    import keras
    import tensorflow as tf

    characters = {character: place for place, character in enumerate(manifest.alphabet)}
    longest = manifest.max_length

    def labels(codes: Sequence[str]) -> np.ndarray:
        ids = [[characters[c] for c in code] + [-1] * (longest - len(code)) for code in codes]
        return np.array(ids, np.int32)

    def loss(ids: Any, logits: Any) -> Any:
        ids = tf.cast(ids, tf.int32)
        lengths = tf.reduce_sum(tf.cast(ids >= 0, tf.int32), axis=1)
        columns = tf.fill(tf.shape(lengths), logits.shape[1])
        return tf.nn.ctc_loss(
            tf.maximum(ids, 0), logits, lengths, columns, logits_time_major=False, blank_index=len(characters)
        )

    network = example_network(len(characters) + 1)
    network.compile(optimizer="adam", loss=loss)
    train, validation = split_of(manifest, "train"), split_of(manifest, "validation")
    began, least, stale, best = time.perf_counter(), np.inf, 0, network.get_weights()
    while time.perf_counter() - began < 60 * minutes and stale < _PATIENCE:
        network.fit(train.images, labels(train.codes), batch_size=_BATCH, epochs=1, verbose=0)
        now = network.evaluate(validation.images, labels(validation.codes), verbose=0)
        stale = 0 if now < least else stale + 1
        if now < least:
            least, best = now, network.get_weights()
    seconds = time.perf_counter() - began
    network.set_weights(best)
    read = decoded(network.predict(fresh.images, verbose=0), manifest.alphabet)
    right = sum(map(str.__eq__, read, fresh.codes))
    accuracy = Accuracy.of(right, len(fresh.codes))
    keras.backend.clear_session()
    return {"seconds": round(seconds), "sequence_accuracy": dataclasses.asdict(accuracy)}


def decoded(logits: np.ndarray, alphabet: str) -> list[str]:
    """The best class of each column, repeats and blanks left out."""
    codes = []
    for ids in logits.argmax(axis=2):
        changes = ids[np.append(True, ids[1:] != ids[:-1])]
        codes.append("".join(alphabet[i] for i in changes if i < len(alphabet)))
    return codes


def measure(images: str, fresh: str, minutes: float, names: Sequence[str]) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        run_main(f"--workdir={folder}", "--stage=records", f"--images={images}")
        records = Workdir(folder).records
        for name in names:
            if name == EXAMPLE:
                import_tensorflow()
                figures[name] = example(Manifest.load(records), folder_of(fresh), minutes)
            else:
                figures[name] = trained_here(OURS[name], records, fresh, minutes)
            print(name, figures[name], file=sys.stderr, flush=True)
    return figures


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("images", nargs="?", help="a folder of labelled images")
    parser.add_argument("fresh", nargs="?", help="another one, to be read")
    parser.add_argument("--minutes", type=float, default=5.0, help="of training, for each")
    parser.add_argument("--toy", action="store_true")
    given = parser.parse_args(arguments)
    with contextlib.redirect_stdout(sys.stderr):
        if given.toy:
            result = toy()
        elif given.images and given.fresh:
            result = measure(given.images, given.fresh, given.minutes, (*OURS, EXAMPLE))
        else:
            parser.error("give two folders")
    print(json.dumps({"benchmark": "peers", "minutes": given.minutes, "networks": result}))


def toy() -> dict[str, Any]:
    """Two of them, on a handful of images."""
    with tempfile.TemporaryDirectory() as folder:
        images = pathlib.Path(folder) / "images"
        images.mkdir()
        for number in range(40):
            Image.new("L", (40, 16), number * 6).save(images / f"{number:02d}.png")
        fractions = ("--validation_fraction=0.2", "--test_fraction=0.2")
        run_main(f"--workdir={folder}/w", "--stage=records", f"--images={images}", *fractions)
        import_tensorflow()
        records = Workdir(f"{folder}/w").records
        return {
            "digitwise": trained_here(("--epochs=1",), records, str(images), 0.0),
            EXAMPLE: example(Manifest.load(records), folder_of(str(images)), 0.0),
        }


if __name__ == "__main__":
    main()
